#!/bin/bash
# A guest that comes back with the memory of another time, or of another domain, is given the keys that are its own now.
set -u
# shellcheck source-path=SCRIPTDIR source=common.sh
. "$(dirname "$0")/common.sh"
lab_enter "$0" "$@"

uuid=70000000-0000-4000-8000-000000000001
CONFIG_POLICY='[policy dev-*]
providers = openai
overlap = 0s'

# The tiny guest has no disk; a snapshot of its memory needs one to lie in.
with_disk() {
    qemu-img create -q -f qcow2 "/run/lab/$1.qcow2" 64M || return
    sed "s|^  </devices>|    <disk type='file'><driver name='qemu' type='qcow2'/><source file='/run/lab/$1.qcow2'/><target dev='vda' bus='virtio'/></disk>\n&|"
}

# usage: wait_live_key NAME TIMEOUT UUID: the guest has the one live key
wait_live_key() {
    lab_wait_until "$2" guest_has_live_key "$1" "$3" ||
        lab_fail "$1 has $(guest_hash "$1"), alive is $(live_hash "$3"): $(status "$1" tojson)
$(tail -n 20 "$LAB_DIR/llmhookd.log")"
}

start_with_snapshot() {
    lab_domain_xml dev-1 --uuid $uuid | with_disk dev-1 | lab_define
    virsh_quiet start dev-1
    tap_ok "the first key is proven" wait_proven dev-1 90
    first=$(live_hash $uuid)
    tap_ok "a snapshot is taken of the running guest" virsh_quiet snapshot-create-as dev-1 s1
    tap_ok "it has the key yet" guest_hash_is dev-1 "$first"
    tap_ok "the key is rotated" llmhook rotate dev-1
    tap_ok "the next is in the guest, the first is gone" wait_other_key dev-1 "$first" 90
}

wait_other_key() {
    lab_wait_until "$3" has_other_key "$1" "$2"
}

has_other_key() {
    is_proven "$1" && live_keys_are 1 $uuid && [ "$(live_hash $uuid)" != "$2" ] && guest_has_live_key "$1" $uuid
}

test_revert() {
    tap_ok "it is reverted to the snapshot" virsh_quiet snapshot-revert dev-1 s1 --running
    tap_ok "the guest has the key that is alive" wait_live_key dev-1 90 $uuid
    tap_ok "which is proven" wait_proven dev-1 60
    tap_ok "the first one stays dead" test "$(live_hash $uuid)" != "$first"
    tap_ok "the audit finds all in order, in the guest too" llmhook audit --guests
}

# Off in between: then that boot's key is revoked, and memory brings back one that is older still.
test_old_memory() {
    local before
    tap_ok "it is saved to a file" virsh_quiet save dev-1 /run/lab/memory
    cp /run/lab/memory /run/lab/older
    tap_ok "and restored" virsh_quiet restore /run/lab/memory
    tap_ok "with its key" wait_proven dev-1 60
    before=$(live_hash $uuid)
    tap_ok "the key is rotated again" llmhook rotate dev-1
    tap_ok "and another one is in the guest" wait_other_key dev-1 "$before" 90
    virsh_quiet destroy dev-1
    tap_ok "destroyed: none is alive" wait_live_keys 0 20 $uuid
    tap_ok "the older memory is restored" virsh_quiet restore /run/lab/older
    tap_ok "the guest has the key that is alive" wait_live_key dev-1 90 $uuid
    tap_ok "which is proven" wait_proven dev-1 60
    tap_is "$(sandbox_state '?live=true' | jq --arg old "$before" '[.projects[].keys[] | select(.sha256 == $old)] | length')" 0 \
        "and not the one that its memory held"
}

# What a copy of another domain's memory would hold, under the same label: libvirt itself restores no memory under
# another UUID.
test_clone() {
    local other=70000000-0000-4000-8000-000000000002
    lab_daemon_stop
    lab_domain_xml dev-2 --uuid $other | lab_define
    virsh_quiet start dev-2
    lab_wait_agent dev-2 90
    lab_guest_exec dev-2 'umask 077; cd /run; mkdir -p llmhook.d/9/users/1000; chmod 0711 llmhook.d llmhook.d/9 llmhook.d/9/users
        cd llmhook.d/9
        printf foreign | tee OPENAI_API_KEY >users/1000/OPENAI_API_KEY
        echo "OPENAI_API_KEY='"'foreign'"'" | tee env >users/1000/env
        chown -R 1000 users/1000; umask 022; echo 1 >generation; echo "humans 1000:1000 1001:1001" >.readers
        cp /etc/profile.d/llmhook.sh profile.sh 2>/dev/null; ln -s llmhook.d/9 /run/llmhook'
    tap_is "$(lab_guest_exec dev-2 --user alice 'cut -c1-23 /run/llmhook/users/1000/env')" "OPENAI_API_KEY='foreign" \
        "a second domain's guest holds another's key"
    lab_daemon_start
    tap_ok "it is given its own" wait_live_key dev-2 90 $other
    tap_is "$(lab_guest_exec dev-2 'cd /run/llmhook.d && ls | wc -l; grep -rc foreign . | grep -vc ":0$"')" "1
0" "nothing of the other is left"
    tap_ok "the audit finds all in order, in the guests too" audit_guests_clean
}

audit_guests_clean() {
    lab_wait_until 45 llmhook audit --guests || llmhook audit --guests
}

system_start
start_with_snapshot
test_revert
test_old_memory
test_clone
tap_done
