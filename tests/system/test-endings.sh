#!/bin/bash
# Every way in which a VM ends: whatever it was, its key is revoked, and where
# it only sleeps, it is kept.
set -u
# shellcheck source-path=SCRIPTDIR source=common.sh
. "$(dirname "$0")/common.sh"
lab_enter "$0" "$@"

one=60000000-0000-4000-8000-000000000001
two=60000000-0000-4000-8000-000000000002

# Starts a VM that no guest is needed in. dev-2 unless another is named.
# shellcheck disable=SC2120 # one is, by way of tap_ok
start_idle() {
    virsh_quiet start --domain "${1:-dev-2}" --paused
    wait_status "${1:-dev-2}" '.state + " " + .grants[0].keys[0].state' "paused minted" 20
}

# Runs COMMAND, which ends the VM of that UUID in the one or other way.
# usage: ends NAME UUID COMMAND...
ends() {
    local name=$1 uuid=$2 start
    shift 2
    start=$(lab_now_ms)
    tap_ok "$name" "$@"
    tap_ok "$name: the key is revoked" wait_live_keys 0 15 "$uuid"
    tap_under $(($(sandbox_state | jq '[.projects[].keys[].deleted_ms | select(. != null)] | max') - start)) 5000 \
        "$name: within 5 s"
}

# Without a guest, and fifteen times, since what can be wrong here is a matter of
# which millisecond something comes in.
test_destroy() {
    local round rounds=0 stuck=0 kept=0 hash
    for round in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15; do
        start_idle || break
        hash=$(live_hash $two)
        virsh_quiet destroy dev-2
        if [ $((round % 3)) = 0 ]; then
            # At once, before anybody could ask libvirt what has become of it.
            start_idle || break
            lab_wait_until 10 live_keys_are 1 $two
            [ "$(live_hash $two)" != "$hash" ] || kept=$((kept + 1))
            virsh_quiet destroy dev-2
        fi
        lab_wait_until 5 live_keys_are 0 $two || stuck=$((stuck + 1))
        rounds=$((rounds + 1))
    done
    tap_is "$rounds" 15 "fifteen times started and destroyed"
    tap_is "$stuck" 0 "never was a key left alive"
    # From libvirt 10.5 on the hook says why a VM stopped. Before, a start at once after a destroy looks like a
    # revert to a snapshot until libvirt has been asked, and then the key is kept.
    tap_note "of five that were started at once after their destroy, $kept kept their key"
}

qemu_is_killed() {
    kill -KILL "$(lab_qemu_pid "$1")"
}

foreign_hook() {
    printf '#!/bin/sh\n[ "$1 $2" != "dev-2 %s" ] || { echo "not today" >&2; exit 1; }\n' "$1" >/etc/libvirt/hooks/qemu.d/10-foreign
    chmod 0755 /etc/libvirt/hooks/qemu.d/10-foreign
}

# libvirt sends no event about a start that failed.
test_failed_start() {
    local accounts operation
    accounts=$(count_accounts_ever $two)
    for operation in start started; do
        foreign_hook $operation
        ends "another's hook fails at $operation" $two fails_with "*not today*" virsh start dev-2 --paused
    done
    rm /etc/libvirt/hooks/qemu.d/10-foreign
    lab_domain_xml dev-2 --uuid $two |
        sed "s|<memballoon|<disk type='file'><source file='$LAB_DIR/missing'/><target dev='vda'/></disk>&|" | lab_define
    ends "a disk is missing" $two fails_with "*missing*" virsh start dev-2 --paused
    lab_domain_xml dev-2 --uuid $two | lab_define
    tap_note "keys made for these: $(($(count_accounts_ever $two) - accounts))"
    tap_ok "the next start is fine" start_idle
    ends "QEMU is killed" $two qemu_is_killed dev-2
}

# One guest through all in which its memory is kept, and its own end.
test_guest() {
    local hash
    virsh_quiet start dev-1
    tap_ok "a guest has its key" wait_proven dev-1 60
    hash=$(live_hash $one)
    tap_ok "save" virsh_quiet save dev-1 "$LAB_DIR/saved"
    tap_ok "save: the daemon knows" wait_status dev-1 .state saved 10
    tap_is "$(live_hash $one)" "$hash" "save: the key is kept"
    tap_is "$(status dev-1 '.grants[0] | .status + ": " + .reason')" "ok: the domain is saved: its key is kept" \
        "save: the status says so"
    tap_ok "restore" virsh_quiet restore "$LAB_DIR/saved"
    tap_ok "restore: it is proven again" wait_proven dev-1 60
    tap_ok "restore: it is the same" lab_wait_until 20 guest_hash_is dev-1 "$hash"
    # Nobody hears of this one, and libvirt forgets why the VM stopped.
    lab_daemon_kill9
    tap_ok "managedsave, without a daemon" virsh_quiet managedsave dev-1
    tap_ok "managedsave: libvirtd restarts, a daemon comes" eval "lab_libvirtd_restart && lab_daemon_start"
    tap_ok "managedsave: it is known to be saved" wait_status dev-1 .state saved 10
    tap_is "$(live_hash $one)" "$hash" "managedsave: the key is kept"
    tap_ok "start" virsh_quiet start dev-1
    tap_ok "start: it is proven again" wait_proven dev-1 60
    tap_ok "start: it is the same" lab_wait_until 20 guest_hash_is dev-1 "$hash"
    tap_is "$(count_accounts_ever $one)" 1 "none other was ever made"
    ends "the guest powers off" $one lab_shutdown dev-1 agent
    tap_is "$(virsh domstate dev-1 | head -1)" "shut off" "by itself"
}

test_rename() {
    local id
    id=$(project $one .id)
    tap_ok "rename" virsh_quiet domrename dev-1 dev-renamed
    tap_ok "rename: known by the new name" lab_wait_until 10 llmhook show dev-renamed
    tap_ok "rename: and not by the old one" lab_wait_until 10 fails_with "no*dev-1" llmhook show dev-1
    tap_ok "rename: it is started" start_idle dev-renamed
    tap_is "$(project $one .id)" "$id" "rename: in the same project"
    ends "undefined while it runs, then destroyed" $one eval "virsh_quiet undefine dev-renamed && running_on"
    tap_ok "the project is archived" lab_wait_until 15 project_is $one .live false
}

running_on() {
    wait_status dev-renamed .state paused 10 && live_keys_are 1 $one && virsh_quiet destroy dev-renamed
}

# What Terraform does to change a VM.
test_redefine() {
    local id
    start_idle
    id=$(project $two .id)
    virsh_quiet destroy dev-2
    virsh_quiet undefine dev-2
    lab_domain_xml dev-2 --uuid $two --memory 144 | lab_define
    tap_ok "undefined and defined with the same UUID at once: it has a key again" start_idle
    # Longer than it takes until an undefine counts.
    tap_ok "the pause in which it could have been archived is over" lab_wait_until 10 libvirt_quiet_for 3000
    tap_is "$(project $two '.id + " " + (.live | tostring)')" "$id true" "in the same project, which is open"
    tap_ok "with one key" live_keys_are 1 $two
    virsh_quiet destroy dev-2
    virsh_quiet undefine dev-2
    tap_ok "undefined for good: the project is archived" lab_wait_until 15 project_is $two .live false
    lab_domain_xml dev-2 --uuid $two | lab_define
    tap_ok "defined again after that: it has a key" start_idle
    tap_is "$(project $two '.id + " " + (.live | tostring)' | wc -l)" 2 "in a new project"
    tap_is "$(accounts_ever $two | sed 's/.*:g//' | sort -n | uniq -d)" "" "no generation was ever used twice"
    remove_domain dev-2
}

# It was started so many ms ago and is still there.
libvirt_quiet_for() {
    [ "$(llmhook show dev-2 --json | jq -r '.domain.grants[0].keys[0].minted_at')" -lt $(($(lab_now_ms) - $1)) ]
}

# Two of one name: what cannot be revoked yet stays known after its VM is gone.
test_namesakes() {
    local four=60000000-0000-4000-8000-000000000004 five=60000000-0000-4000-8000-000000000005
    lab_domain_xml dev-4 --uuid $four | lab_define
    virsh_quiet start dev-4 --paused
    tap_ok "dev-4 has a key" wait_live_keys 1 20 $four
    fault '{"match":"DELETE '$PROJECTS'/*/service_accounts/*","mode":"status","status":403,"times":-1}'
    fault '{"match":"POST '$PROJECTS'/*/archive","mode":"status","status":403,"times":-1}'
    virsh_quiet destroy dev-4
    virsh_quiet undefine dev-4
    lab_domain_xml dev-4 --uuid $five | lab_define
    virsh_quiet start dev-4 --paused
    tap_ok "a new dev-4 has one of its own" wait_live_keys 1 20 $five
    tap_is "$(live_keys $four)" 1 "that of the earlier one cannot be revoked yet"
    tap_ok "revoke dev-4" llmhook revoke --yes dev-4
    tap_is "$(llmhook show --json dev-4 | jq -r .domain.uuid)" $five "dev-4 is the one that there is"
    tap_is "$(llmhook history --json dev-4 | jq -r '.uuid + " " + (.others | join(" "))')" "$five $four" \
        "the history is of that one, and names the other"
    tap_ok "the key of the one that there is ends" lab_wait_until 10 revoking $five
    virsh_quiet destroy dev-4
    virsh_quiet undefine dev-4
    tap_ok "both are gone, and so the name says nothing" lab_wait_until 10 fails_with "several domains are called so*: $four, $five" \
        llmhook revoke --yes dev-4
    tap_ok "either can be had by its UUID" llmhook show $four
    faults_end
    tap_ok "in the end no key of either is alive" wait_live_keys 0 60
}

# usage: revoking UUID
revoking() {
    [ "$(llmhook show --json "$1" | jq -r '.domain.grants[0].keys | map(.state) | join(",")')" = revoking ]
}

test_transient() {
    local three=60000000-0000-4000-8000-000000000003
    lab_domain_xml dev-3 --uuid $three >"$LAB_DIR/dev-3.xml"
    tap_ok "a transient VM" virsh_quiet create "$LAB_DIR/dev-3.xml" --paused
    tap_ok "has a key" wait_live_keys 1 20 $three
    ends "destroyed, and so it is gone" $three virsh_quiet destroy dev-3
    tap_ok "its project is archived" lab_wait_until 15 project_is $three .live false
}

system_start
mkdir -p /etc/libvirt/hooks/qemu.d
lab_domain_xml dev-1 --uuid $one | lab_define
lab_domain_xml dev-2 --uuid $two | lab_define
test_destroy
test_failed_start
test_guest
test_rename
test_redefine
test_namesakes
test_transient
tap_ok "in the end nothing is alive" wait_live_keys 0 10
tap_ok "and all is in order" audit_is_clean
tap_done
