#!/bin/bash
# In a guest with systemd, sshd and all the usual shells: who has the key, after the first delivery, after a rotation,
# after a reboot; laid out as Debian does, as NixOS does, and as NixOS does with the module of ours. Prints the tables.
#
# usage: test-guest-shells.sh [debian|nixos|module]...
# shellcheck disable=SC2016 # the guest expands
set -u
# shellcheck source-path=SCRIPTDIR source=common.sh
. "$(dirname "$0")/common.sh"
if [ "${LAB_INSIDE:-}" != 1 ]; then
    SYSTEMD_GUEST=$("$LAB_HERE/guest-systemd.sh" 2>&1) || tap_skip_all "${SYSTEMD_GUEST##*$'\n'}"
    export SYSTEMD_GUEST LAB_GUEST=none
fi
lab_enter "$0" "$@"

# Its disk is a layer of its own over the image. The cache of translated code has room for systemd and all the shells: with
# 32 MiB they throw each other out, which takes twice the time. Without no_timer_check the kernel may find no timer when the
# machine has much to do.
# usage: systemd_domain_xml NAME LOOK
systemd_domain_xml() {
    qemu-img create -q -f qcow2 -F raw -b "$SYSTEMD_GUEST/disk" "$LAB_DIR/$1.qcow2" || return
    cat <<END
<domain type='qemu'>
  <name>$1</name>
  <memory unit='MiB'>512</memory>
  <vcpu>2</vcpu>
  <os>
    <type arch='x86_64' machine='pc'>hvm</type>
    <kernel>$SYSTEMD_GUEST/kernel</kernel>
    <initrd>$SYSTEMD_GUEST/initramfs</initrd>
    <cmdline>root=/dev/vda rw console=ttyS0 quiet panic=1 cryptomgr.notests nokaslr mitigations=off norandmaps no_timer_check look=$2</cmdline>
  </os>
  <features><acpi/><tcg><tb-cache unit='MiB'>128</tb-cache></tcg></features>
  <clock offset='utc'><timer name='hpet' present='no'/></clock>
  <devices>
    <emulator>/usr/bin/qemu-system-x86_64</emulator>
    <controller type='usb' model='none'/>
    <memballoon model='none'/>
    <disk type='file' device='disk'>
      <driver name='qemu' type='qcow2' cache='unsafe'/>
      <source file='$LAB_DIR/$1.qcow2'/>
      <target dev='vda' bus='virtio'/>
    </disk>
    <rng model='virtio'><backend model='random'>/dev/urandom</backend></rng>
    <serial type='file'><source path='$LAB_DIR/$1.console' append='on'/></serial>
    <channel type='unix'><target type='virtio' name='$LAB_CHANNEL'/></channel>
  </devices>
</domain>
END
}

# ---- the module ----

# What the module sets NixOS's options to, as JSON like tests/build/nix/evaluate.nix's. Without a nixpkgs lib, what
# test-nix.sh holds it to.
module_configuration() {
    local guest=$LAB_HERE/../../qemu-guest-agent/guest
    if [ -n "${NIXPKGS_LIB:-}" ]; then
        NIX_CONF_DIR=$LAB_DIR NIX_PATH='' HOME=$LAB_DIR nix-instantiate --store dummy:// --eval --strict --json \
            "$LAB_HERE/../build/nix/evaluate.nix" --arg lib "import $NIXPKGS_LIB" -A config --arg guest '{ enable = true; }'
        return
    fi
    jq -n --rawfile hook "$guest/hook.sh" --rawfile fish "$guest/hook.fish" --rawfile units "$guest/user-environment" \
        --rawfile run "$guest/llmhook-run" '{
            programs: {bash: {shellInit: $hook, interactiveShellInit: $hook}, zsh: {shellInit: $hook}, fish: {shellInit: $fish}},
            environment: {
                etc: {"llmhook/native": {text: "by the module\n"},
                    "systemd/user-environment-generators/20-llmhook": {source: ("20-llmhook: " + $units)}},
                systemPackages: [{name: "llmhook-run", text: $run}]}}'
}

# usage: put_into_guest NAME PATH MODE, with the content on standard input
put_into_guest() {
    lab_guest_exec "$1" "PATH=\$PATH:/run/current-system/sw/bin
        mkdir -p ${2%/*} && echo $(base64 -w0) | base64 -d >$2 && chmod $3 $2"
}

# As a switch to a configuration with the module would leave the guest.
install_module() {
    local made=$LAB_DIR/module.json option name
    module_configuration >"$made" || return
    for option in programs.bash.shellInit programs.bash.interactiveShellInit programs.zsh.shellInit programs.fish.shellInit; do
        jq -j ".$option" "$made" | put_into_guest "$1" "/etc/nixos/options/$option" 0644 || return
    done
    jq -j '.environment.etc["llmhook/native"].text' "$made" | put_into_guest "$1" /etc/llmhook/native 0644 || return
    name=systemd/user-environment-generators/20-llmhook
    jq -j ".environment.etc[\"$name\"].source" "$made" | sed '1s/^20-llmhook: //' |
        put_into_guest "$1" /nix/store/20-llmhook 0755 || return
    lab_guest_exec "$1" "mkdir -p /etc/${name%/*} && ln -sfn /nix/store/20-llmhook /etc/$name" || return
    jq -j '.environment.systemPackages[] | select(.name == "llmhook-run").text' "$made" |
        put_into_guest "$1" /nix/sw/bin/llmhook-run 0755 || return
    lab_guest_exec "$1" /usr/local/sbin/guest-etc
}

# ---- what the guest says ----

guest_files() {
    lab_guest_exec "$1" /usr/local/sbin/guest-files
}

# The paths that two lists of files differ in.
# usage: differing BEFORE AFTER
differing() {
    comm -3 <(echo "$1") <(echo "$2") | sed 's/^\t//' | cut -f1 | sort -u
}

# The hash of a file without our lines.
# usage: without_block NAME PATH
without_block() {
    lab_guest_exec "$1" "sed '/^# llmhook /,/^# llmhook end\$/d' $2 | sha256sum | cut -c1-64"
}

newest_hash() { status "$1" '.grants[0].keys | last | .fingerprint'; }
newest_is_active() { [ "$(status "$1" '.grants[0].keys | last | [.generation, .state] | tojson')" = "[$2,\"active\"]" ]; }
proofs() { grep -c "^[^:]*$1: the guest has proven" "$LAB_DIR/llmhookd.log"; }
more_proofs_than() { [ "$(proofs "$1")" -gt "$2" ]; }

declare -A cells=()
ways=()

# Asks the guest, and turns hashes into words: newest, old (what it was at first), none.
# usage: fill TABLE STAGE NAME
fill() {
    local way hash newest
    newest=$(newest_hash "$3")
    ways=()
    while IFS=$'\t' read -r way hash; do
        ways+=("$way")
        case $hash in
        "$newest") hash=newest ;;
        "$first_key") hash=old ;;
        esac
        cells["$1 $2 $way"]=$hash
    done < <(lab_guest_exec "$3" '/usr/local/sbin/guest-table')
    [ "$2" != first ] || first_key=$newest
}

# What cannot be otherwise, or would be wrong.
# usage: wanted TABLE STAGE WAY
wanted() {
    case $1,$2,$3 in
    *,'service account'*) echo none ;;
    # Reads no start-up file, which is what llmhook-run is for.
    *,'sh, ssh command') echo none ;;
    # Without a login's start-up files it has what it was given.
    *,rotation,'sh, interactive in an older login') echo old ;;
    # Only by its module, since NixOS's fish reads nothing that could be written without one.
    nixos,*,fish*) echo none ;;
    *) echo newest ;;
    esac
}

check_table() {
    local way stage wrong=''
    tap_note "$(printf '%-36s %-10s %-10s %-10s' "$1" first rotation reboot)"
    for way in "${ways[@]}"; do
        tap_note "$(printf '%-36s %-10s %-10s %-10s' "$way" "${cells["$1 first $way"]:-?}" \
            "${cells["$1 rotation $way"]:-?}" "${cells["$1 reboot $way"]:-?}")"
        for stage in first rotation reboot; do
            [ "${cells["$1 $stage $way"]:-?}" = "$(wanted "$1" $stage "$way")" ] ||
                wrong="$wrong$stage, $way: ${cells["$1 $stage $way"]:-?}, not $(wanted "$1" $stage "$way")"$'\n'
        done
    done
    tap_is "${#ways[@]}" 23 "$1: the table is whole"
    tap_is "$wrong" '' "$1: who is to have the key has the newest, and nobody else has one"
}

# ---- the story ----

enable_policy() {
    CONFIG_POLICY='[policy *]
providers = openai
overlap = 1h'
    system_configure
    daemon_reload
}

disable_policy() {
    CONFIG_POLICY=
    system_configure
    daemon_reload
}

# Keys come, are rotated, survive a reboot, and go. `before` is how the files were, `new` which may be other then.
# usage: test_keys TABLE NAME
test_keys() {
    local table=$1 name=$2 generation proven
    first_key=
    generation=$(($(status "$name" '.grants[0].keys | last | .generation' | grep -x '[0-9]*' || echo 0) + 1))
    enable_policy
    tap_ok "$table: the guest proves its key" lab_wait_until 300 newest_is_active "$name" $generation
    fill "$table" first "$name"
    tap_note "$table: $(llmhook show "$name" | grep 'read by')"
    tap_is "$(differing "$before" "$(guest_files "$name")")" "$new" "$table: no file was touched but these"
    tap_ok "$table: it is rotated" llmhook rotate "$name"
    tap_ok "$table: the guest proves the new key" lab_wait_until 300 newest_is_active "$name" $((generation + 1))
    fill "$table" rotation "$name"
    proven=$(proofs "$name")
    tap_ok "$table: the guest reboots" lab_guest_reboot "$name" 300
    tap_ok "$table: and proves its key again" lab_wait_until 300 more_proofs_than "$name" "$proven"
    fill "$table" reboot "$name"
    check_table "$table"
}

# usage: test_cleaning TABLE NAME
test_cleaning() {
    tap_ok "$1: cleaning is refused while it is to have keys" \
        fails_with "first take the domain out of the policy" llmhook guest clean "$2"
    disable_policy
    tap_ok "$1: its keys are taken away" lab_wait_until 240 lab_guest_exec "$2" '[ ! -e /run/llmhook ]'
    tap_ok "$1: it is cleaned" llmhook guest clean "$2"
    tap_is "$(differing "$before" "$(guest_files "$2")")" '' "$1: every file is as it was, byte by byte"
}

# usage: start_guest NAME LOOK
start_guest() {
    local start
    systemd_domain_xml "$1" "$2" | lab_define
    start=$(lab_now_ms)
    virsh_quiet start "$1"
    lab_wait_agent "$1" 600 || tap_bail_out "no agent: $(tail -n 5 "$LAB_DIR/$1.console")"
    tap_note "$1: virsh start to agent connected: $(($(lab_now_ms) - start)) ms"
    before=$(guest_files "$1")
}

test_debian() {
    local file original
    start_guest debian debian
    new='/etc/bash.bashrc
/etc/fish/conf.d/llmhook.fish
/etc/profile.d/llmhook.sh
/etc/systemd/user-environment-generators
/etc/systemd/user-environment-generators/20-llmhook
/etc/zsh/zshenv
/usr/local/bin/llmhook-run'
    test_keys debian debian
    for file in /etc/bash.bashrc /etc/zsh/zshenv; do
        original=$(awk -F '\t' -v path="$file" '$1 == path && length($2) == 64 { print $2 }' <<<"$before")
        tap_is "$(without_block debian "$file")" "$original" "debian: $file has three lines more, and is otherwise as it was"
    done
    test_cleaning debian debian
    remove_domain debian
}

test_nixos() {
    start_guest nixos nixos
    tap_is "$(lab_guest_exec nixos 'ls /bin/; echo $PATH')" $'env\nsh\n/nix/agent/bin' "nixos: it has no /bin/cat"
    new='/etc/bashrc.local
/etc/profile.local
/etc/systemd/user-environment-generators
/etc/systemd/user-environment-generators/20-llmhook
/etc/zshenv.local'
    test_keys nixos nixos
    test_cleaning nixos nixos
    remove_domain nixos
}

test_module() {
    start_guest module nixos
    tap_ok "module: it is installed" install_module module
    tap_note "module: its text is made by ${NIXPKGS_LIB:-the files that test-nix.sh compares it with}"
    before=$(guest_files module)
    new=
    test_keys module module
    test_cleaning module module
    remove_domain module
}

CONFIG_POLICY=
system_start
[ $# -gt 0 ] || set -- debian nixos module
for look in "$@"; do
    case $look in
    debian) test_debian ;;
    nixos) test_nixos ;;
    module) test_module ;;
    *) tap_bail_out "there is no look $look" ;;
    esac
done
tap_done
