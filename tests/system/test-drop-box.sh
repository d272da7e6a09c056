#!/bin/bash
# Guests whose agent may not run programs: with a drop box they get their keys by that, and one where nothing is allowed
# is told apart at once. All of it in the language of another host: libvirtd says so in Czech.
set -u
# shellcheck source-path=SCRIPTDIR source=common.sh
. "$(dirname "$0")/common.sh"
lab_enter "$0" "$@"

uuid_of() {
    virsh domuuid --domain "$1" | head -n 1
}

# The catalog as libvirt-l10n has it, of what matters here, for an older and a newer libvirt.
other_language() {
    mount -t tmpfs tmpfs /usr/share/locale && mkdir -p /usr/share/locale/cs/LC_MESSAGES || return
    python3 - >/usr/share/locale/cs/LC_MESSAGES/libvirt.mo <<'END' || return
import struct, sys
texts = {"": "Content-Type: text/plain; charset=UTF-8\n"}
for one, two in (("%s", "%s"), ("%1$s", "%2$s")):
    texts[f"internal error: {one}"] = f"vnitřní chyba: {one}"
    texts[f"guest agent command failed: {one}"] = f"příkaz agenta se nezdařil: {one}"
    texts[f"Guest agent is not responding: {one}"] = f"Agent v hostovi neodpovídá: {one}"
    texts[f"unable to execute QEMU agent command '{one}': {two}"] = f"nedaří se vykonat příkaz QEMU agenta „{one}“: {two}"
pairs = sorted((a.encode(), b.encode()) for a, b in texts.items())
tables, strings, start = [b"", b""], b"", 28 + 16 * len(pairs)
for which in (0, 1):
    for pair in pairs:
        tables[which] += struct.pack("<II", len(pair[which]), start + len(strings))
        strings += pair[which] + b"\0"
head = struct.pack("<7I", 0x950412DE, 0, len(pairs), 28, 28 + 8 * len(pairs), 0, start)
sys.stdout.buffer.write(head + tables[0] + tables[1] + strings)
END
    # The locale is that of C under a name of its own: that needs no package, and the name says the language.
    mkdir "$LAB_DIR/locale" && cp -r /usr/lib/locale/C.utf8 "$LAB_DIR/locale/cs_CZ.utf8" || return
    LOCPATH=$LAB_DIR/locale LC_ALL=cs_CZ.UTF-8 lab_libvirtd_restart
}

# All that could be a way in is closed.
test_fully_blocked() {
    lab_domain_xml dev-1 --append "noexec nofile" | lab_define
    virsh_quiet start dev-1
    lab_wait_agent dev-1 90
    local start
    start=$(lab_now_ms)
    tap_ok "no way in: status says so" \
        wait_status_like dev-1 '.delivery + " " + .delivery_reason' "failing the guest's agent may neither run programs nor write files: in the guest, allow guest-exec and guest-exec-status (*), then restart its qemu-guest-agent service; with SELinux *" 30
    tap_under $(($(lab_now_ms) - start)) 10000 "within 10 s of the agent connecting"
    tap_is "$(live_keys "$(uuid_of dev-1)")" 1 "its key is minted and waits"
    tap_ok "libvirtd speaks the other language" fails_with "vykonat příkaz QEMU agenta" lab_guest_exec dev-1 true
    remove_domain dev-1
}

# The tiny guest with what looks after a drop box. Its path replaces LAB_GUEST for a domain.
guest_with_box() {
    local folder=$LAB_DIR/guest-box scripts=$LAB_HERE/../../qemu-guest-agent/guest name
    mkdir -p "$folder/root/usr/local/lib/llmhook"
    for name in deliver probe withdraw; do
        sh "$scripts/embed.sh" "$scripts" $name >"$folder/root/usr/local/lib/llmhook/$name.sh"
    done
    cp "$scripts/box.sh" "$folder/root/usr/local/lib/llmhook"
    ln -s "$LAB_GUEST/kernel" "$folder/kernel"
    # One archive behind the other are one.
    cp "$LAB_GUEST/initramfs" "$folder/initramfs"
    (cd "$folder/root" && find . | cpio --quiet -o -H newc -R 0:0) >>"$folder/initramfs"
    echo "$folder"
}

# What the agent answers that reads a file in a guest where nothing can be executed.
box_read() {
    local handle
    handle=$(lab_agent dev-2 '{"execute":"guest-file-open","arguments":{"path":"'"$1"'","mode":"r"}}' | jq .return) || return
    lab_agent dev-2 '{"execute":"guest-file-read","arguments":{"handle":'"$handle"',"count":4096}}'
    lab_agent dev-2 '{"execute":"guest-file-close","arguments":{"handle":'"$handle"'}}' >/dev/null
}

# The hash of such a file.
box_hash() {
    box_read "$1" | jq -r '.return["buf-b64"]' | base64 -d | sha256sum | cut -d' ' -f1
}

# There is nobody whom the agent could start for it.
reboot_by_box() {
    virsh_quiet reset dev-2
    lab_wait_until 20 lab_agent_gone dev-2 && lab_wait_agent dev-2 90 &&
        lab_wait_until 60 box_hash_is "$(status dev-2 '.grants[0].keys | last | .fingerprint')"
}

box_hash_is() {
    [ "$(box_hash /run/llmhook/OPENAI_API_KEY)" = "$1" ]
}

test_drop_box() {
    local guest=$LAB_GUEST uuid
    LAB_GUEST=$(guest_with_box)
    lab_domain_xml dev-2 --append "noexec dropbox" | lab_define
    LAB_GUEST=$guest
    virsh_quiet start dev-2
    uuid=$(uuid_of dev-2)
    tap_ok "blocked, with a drop box: the key is delivered and proven" wait_proven dev-2 90
    tap_is "$(box_hash /run/llmhook/OPENAI_API_KEY)" "$(live_hash "$uuid")" "to root"
    tap_is "$(box_hash /run/llmhook/users/1000/OPENAI_API_KEY)" "$(live_hash "$uuid")" "and to alice"
    tap_is "$(box_read /run/llmhook.box/in | jq -c '.return | [.count, .eof]')" "[0,true]" "nothing of it stays in the box"
    tap_ok "the audit looks in by the box, too" llmhook audit --guests
    tap_is "$(llmhook audit --guests --json | jq -c '[.rows[] | select(.kind == "guest") | [.domain, .verdict]]')" \
        '[["dev-2","ok"]]' "and finds it"
    tap_ok "a rotation" llmhook rotate dev-2
    tap_ok "goes the same way" wait_status dev-2 '[.grants[0].keys[] | select(.state == "active") | .generation] | tojson' "[2]" 60
    tap_ok "rebooted: /run is empty, and the box is filled again" reboot_by_box
    remove_domain dev-2
    tap_ok "the keys are revoked with the VM" wait_live_keys 0 20 "$uuid"
}

system_start
tap_ok "libvirtd begins anew in another language" other_language
test_fully_blocked
test_drop_box
tap_ok "the audit finds everything in order" lab_wait_until 30 llmhook audit
tap_done
