#!/bin/bash
# The daemon or libvirtd is not there when something happens: absent, stopped,
# killed at any time. Every VM starts, and in the end each running one has
# exactly one live key and each ended one has none.
set -u
# shellcheck source-path=SCRIPTDIR source=common.sh
. "$(dirname "$0")/common.sh"
lab_enter "$0" "$@"

one=20000000-0000-4000-8000-000000000001
two=20000000-0000-4000-8000-000000000002
SPOOL=/var/lib/llmhook/spool
current='.grants[0].keys | map(.state) | map(select(. != "revoking")) | join(",")'

# usage: starts_soon DOMAIN MS DESCRIPTION [MORE FOR virsh start...]
starts_soon() {
    local start domain=$1 limit=$2 description=$3
    shift 3
    start=$(lab_now_ms)
    tap_ok "$description" virsh_quiet start --domain "$domain" "$@"
    tap_under $(($(lab_now_ms) - start)) "$limit" "$description soon"
}

spool_is_empty() {
    [ -z "$(ls $SPOOL)" ]
}

check_one_key() {
    tap_is "$(live_keys "$2")" 1 "$1: one key is alive"
    tap_is "$(most_at_once "$2")" 1 "$1: and there never were two"
}

# The guest of domain dev-1 has the one key, which works.
check_delivered() {
    tap_ok "$1: the guest proves its key" wait_proven dev-1 60
    check_one_key "$1" $one
    tap_ok "$1: its login shells have it" lab_wait_until 20 guest_has_live_key dev-1 $one
}

end_both() {
    local domain
    for domain in dev-1 dev-2; do
        virsh_quiet destroy $domain 2>/dev/null
    done
    tap_ok "$1: destroyed, nothing is left alive" wait_live_keys 0 10
}

test_absent() {
    lab_daemon_stop
    starts_soon dev-1 5000 "no daemon: the VM starts"
    tap_is "$(ls $SPOOL)" "$one.json" "no daemon: one message waits in the spool"
    tap_is "$(stat -c '%a %U' $SPOOL $SPOOL/$one.json | tr '\n' ' ')" "700 root 600 root " "which only root can read"
    tap_is "$(jq -r '.parameters | [.domain, .operation] | join(" ")' $SPOOL/$one.json)" "dev-1 started" \
        "no daemon: the last thing that happened"
    cp -a $SPOOL/$one.json "$LAB_DIR/earlier-boot.json"
    tap_ok "a daemon comes" lab_daemon_start
    tap_ok "it has emptied the spool" lab_wait_until 10 spool_is_empty
    check_delivered "a daemon comes"
}

# What an operator takes away is given again at the next boot, whatever the daemon's lives are: not for the boot before.
test_held() {
    tap_ok "an operator revokes the key" llmhook revoke --yes dev-1
    tap_ok "it is revoked" wait_live_keys 0 20 $one
    lab_daemon_stop
    mv "$LAB_DIR/earlier-boot.json" $SPOOL/$one.json
    tap_ok "a daemon comes, to which that boot is told as from before" lab_daemon_start
    tap_ok "it has emptied the spool" lab_wait_until 10 spool_is_empty
    tap_ok "and looked at the VM" wait_status dev-1 .state running 20
    tap_is "$(status dev-1 '.grants[0] | [.held, .status] | join(" ")') $(live_keys $one)" "true off 0" "it makes no key for it"
    lab_daemon_stop
    virsh_quiet destroy dev-1
    tap_ok "the next boot, and no daemon" virsh_quiet start dev-1
    tap_ok "a daemon comes" lab_daemon_start
    check_delivered "the next boot"
}

test_stopped() {
    kill -STOP "$LAB_DAEMON_PID"
    # Three calls of the hook, of at most 200 ms each.
    starts_soon dev-2 5000 "a daemon that does not answer: the VM starts" --paused
    tap_is "$(live_keys $two)" 0 "a daemon that does not answer: no key yet"
    kill -CONT "$LAB_DAEMON_PID"
    tap_ok "it goes on: a key is made" wait_live_keys 1 20 $two
    tap_ok "and the spool is empty" lab_wait_until 10 spool_is_empty
    end_both "it goes on"
}

restart_daemon() {
    tap_ok "$1: a daemon comes" lab_daemon_start
}

test_killed() {
    local hash
    # Before: the request never leaves the daemon.
    listening false
    starts_soon dev-1 5000 "killed before the minting: the VM starts"
    tap_ok "killed before the minting: it was tried" wait_status_like dev-1 '.grants[0].reason' '*cannot be reached*' 20
    lab_daemon_kill9
    listening true
    restart_daemon "killed before the minting"
    check_delivered "killed before the minting"
    virsh_quiet destroy dev-1
    tap_ok "killed before the minting: destroyed, nothing is left alive" wait_live_keys 0 10

    # During: it has happened, and nobody has heard the answer.
    fault '{"match":"'"$MINTING"'","mode":"latency","ms":60000,"execute":"before"}'
    virsh_quiet start dev-1
    tap_ok "killed during the minting: it has happened" wait_live_keys 1 20 $one
    tap_ok "killed during the minting: and is not answered" minting_hangs
    hash=$(live_hash $one)
    lab_daemon_kill9
    faults_end
    restart_daemon "killed during the minting"
    check_delivered "killed during the minting"
    tap_ok "killed during the minting: it is another key" test "$(live_hash $one)" != "$hash"

    # After the minting, before the delivery.
    virsh_quiet destroy dev-1
    tap_ok "killed before the delivery: nothing is alive" wait_live_keys 0 10
    virsh_quiet start dev-1
    tap_ok "killed before the delivery: minted" wait_status dev-1 "$current" minted 20
    hash=$(live_hash $one)
    lab_daemon_kill9
    restart_daemon "killed before the delivery"
    check_delivered "killed before the delivery"
    tap_is "$(live_hash $one)" "$hash" "killed before the delivery: it is the same key"

    # After the delivery.
    lab_daemon_kill9
    restart_daemon "killed after the delivery"
    check_delivered "killed after the delivery"
    tap_is "$(live_hash $one)" "$hash" "killed after the delivery: it is the same key"
}

test_libvirtd() {
    local hash pid
    hash=$(live_hash $one)
    tap_ok "libvirtd restarts" lab_libvirtd_restart
    tap_ok "the daemon finds it again" lab_wait_until 20 libvirt_connected
    check_delivered "libvirtd restarts"
    tap_is "$(live_hash $one)" "$hash" "libvirtd restarts: the key is kept"

    virsh_quiet start dev-2 --paused
    tap_ok "a second VM has a key" wait_live_keys 1 20 $two
    pid=$(lab_qemu_pid dev-2)
    tap_ok "libvirtd stops" lab_libvirtd_stop
    kill -KILL "$pid"
    tap_ok "its QEMU dies meanwhile" lab_wait_until 10 lab_process_gone "$pid"
    tap_is "$(live_keys)" 2 "no key is revoked while nothing is known"
    tap_ok "libvirtd starts" lab_libvirtd_start
    tap_ok "the dead one's key is revoked" wait_live_keys 0 15 $two
    tap_is "$(live_hash $one)" "$hash" "the other's is kept"
    check_delivered "libvirtd was away"
}

libvirt_connected() {
    llmhook status --json | jq -e '.libvirt_connected and (.warnings == [])' >/dev/null
}

test_ended_meanwhile() {
    local start
    virsh_quiet start dev-2 --paused
    tap_ok "both have keys" wait_live_keys 2 20
    lab_daemon_kill9
    virsh_quiet destroy dev-1
    virsh_quiet destroy dev-2
    virsh_quiet undefine dev-2
    tap_is "$(live_keys)" 2 "destroyed, undefined, and nobody there"
    start=$(lab_now_ms)
    restart_daemon "a daemon that was killed"
    tap_ok "it revokes both" wait_live_keys 0 10
    tap_under $(($(sandbox_state | jq '[.projects[].keys[].deleted_ms | select(. != null)] | max') - start)) 5000 \
        "within 5 s of its start"
    tap_ok "and archives the project of the undefined one" lab_wait_until 15 project_is $two .live false
    tap_is "$(project $one .live)" true "not the other's"
    virsh_quiet undefine dev-1
    tap_ok "which follows when it is undefined" lab_wait_until 15 project_is $one .live false
}

system_start
lab_domain_xml dev-1 --uuid $one | lab_define
lab_domain_xml dev-2 --uuid $two | lab_define
test_absent
test_held
test_stopped
test_killed
test_libvirtd
test_ended_meanwhile
tap_ok "in the end all is in order" audit_is_clean
tap_done
