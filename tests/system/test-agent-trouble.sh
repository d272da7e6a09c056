#!/bin/bash
# Guests that cannot be given their key, or not yet: each is told apart, and the key comes as soon as it can.
# shellcheck disable=SC2016 # the guest expands
set -u
# shellcheck source-path=SCRIPTDIR source=common.sh
. "$(dirname "$0")/common.sh"
lab_enter "$0" "$@"

# usage: waits NAME STATUS REASON-PATTERN DESCRIPTION [TIMEOUT]
waits() {
    tap_ok "$4: status says so" \
        wait_status_like "$1" '.delivery + " " + .grants[0].status + " " + .delivery_reason' "$2 $3" "${5:-60}"
    tap_is "$(live_keys "$(uuid_of "$1")")" 1 "its key is minted and waits"
}

ends() {
    local uuid
    uuid=$(uuid_of "$1")
    remove_domain "$1"
    tap_ok "it is revoked with the VM" wait_live_keys 0 20 "$uuid"
}

uuid_of() {
    virsh domuuid --domain "$1" | head -n 1
}

test_no_channel() {
    lab_domain_xml dev-1 --no-channel | lab_define
    tap_ok "no agent channel: it starts" virsh_quiet start dev-1
    waits dev-1 "failing failing" "the domain has no guest agent channel, so nothing can reach the guest" "no channel"
    tap_is "$(status dev-1 .delivery_remedy)" "add <channel type='unix'><target type='virtio' name='org.qemu.guest_agent.0'/></channel> to its <devices> and start it anew" \
        "with the channel to add"
    tap_is "$(status dev-1 .agent)" no-channel "agent: no-channel"
    tap_is "$(llmhook doctor --json | jq -r '.checks[] | select(.name == "domain dev-1") | .detail')" \
        "it is to get a key and has no guest agent channel" "doctor says it too"
    virsh_quiet destroy dev-1
    lab_domain_xml dev-1 --uuid "$(uuid_of dev-1)" | lab_define
    virsh_quiet start dev-1
    tap_ok "with a channel: the key is delivered" wait_proven dev-1 90
    ends dev-1
}

test_no_agent() {
    lab_domain_xml dev-2 --append noagent | lab_define
    tap_ok "an agent that never comes: it starts" virsh_quiet start dev-2
    waits dev-2 "pending waiting" "waiting for the guest agent to connect" "no agent"
    tap_is "$(status dev-2 .agent)" disconnected "agent: disconnected"
}

# It must have run for two minutes; the others come in between.
test_no_agent_for_long() {
    waits dev-2 "failing failing" "the guest agent has not connected for [2-9] minutes" "no agent for long" 150
    tap_is "$(status dev-2 .delivery_remedy)" \
        "install and start qemu-guest-agent in the guest (NixOS: services.qemuGuest.enable = true), or restart it" \
        "with what to do"
    ends dev-2
}

test_blocked() {
    lab_domain_xml dev-3 --append noexec | lab_define
    tap_ok "an agent that may not exec: it starts" virsh_quiet start dev-3
    lab_wait_agent dev-3 90
    local start
    start=$(lab_now_ms)
    waits dev-3 "failing failing" "the guest's agent may not run guest-exec: in the guest, allow guest-exec and guest-exec-status (*), then restart its qemu-guest-agent service; or make a drop box there*" "blocked"
    tap_under $(($(lab_now_ms) - start)) 10000 "within 10 s of the agent connecting"
    tap_note "$(status dev-3 .delivery_reason)"
    tap_is "$(status dev-3 '.delivery_next_attempt_in | type')" number "and when it is tried next"
    ends dev-3
}

test_no_sha() {
    lab_domain_xml dev-4 --append nosha | lab_define
    virsh_quiet start dev-4
    waits dev-4 "failing failing" "the guest has no sha256sum, so nothing could be proven: install coreutils or busybox there" "a guest without sha256sum"
    ends dev-4
}

frozen() {
    [ "$(lab_agent dev-5 '{"execute":"guest-fsfreeze-status"}' | jq -r .return)" = "$1" ]
}

test_frozen() {
    lab_domain_xml dev-5 --append freezable | lab_define
    # So that nothing is delivered before it is frozen.
    lab_daemon_stop
    virsh_quiet start dev-5
    lab_wait_agent dev-5 90
    lab_agent dev-5 '{"execute":"guest-fsfreeze-freeze"}' >/dev/null
    tap_ok "a guest is frozen" frozen frozen
    lab_daemon_start
    waits dev-5 "failing failing" "the guest's file systems are frozen, as for a snapshot or a backup: the keys follow when they are thawed; *" "frozen"
    lab_agent dev-5 '{"execute":"guest-fsfreeze-thaw"}' >/dev/null
    tap_ok "thawed: the key is delivered" wait_proven dev-5 30
    tap_ok "to the login shells" guest_has_live_key dev-5 "$(uuid_of dev-5)"
    ends dev-5
}

test_paused() {
    lab_domain_xml dev-6 | lab_define
    virsh_quiet start dev-6
    tap_ok "paused while it boots" virsh_quiet suspend dev-6
    tap_is "$(lab_agent_connected dev-6 && echo connected)" "" "before its agent has connected"
    waits dev-6 "pending waiting" "the domain is paused; delivered when it is resumed" "paused"
    virsh_quiet resume dev-6
    tap_ok "resumed: it gets its key" wait_proven dev-6 90
    virsh_quiet suspend dev-6
    tap_ok "paused with its key: nothing is wrong" wait_status dev-6 '.state + " " + .delivery' "paused proven" 20
    virsh_quiet resume dev-6
    tap_ok "resumed, and still proven" wait_proven dev-6 30
    tap_is "$(count_accounts_ever "$(virsh domuuid dev-6 | head -n 1)")" 1 "one key all the time"
    ends dev-6
}

test_slow() {
    lab_domain_xml dev-7 --append agentdelay=8 | lab_define
    virsh_quiet start dev-7
    tap_ok "an agent that takes its time: the key waits" wait_live_keys 1 20 "$(uuid_of dev-7)"
    tap_ok "and is delivered" wait_proven dev-7 120
    # An agent that is restarted: everything is still there, and nothing is written.
    lab_agent dev-7 '{"execute":"guest-exec","arguments":{"path":"/bin/sh",
        "arg":["-c","sleep 0.3; kill $(pidof qemu-ga)"]}}' >/dev/null
    tap_ok "its agent is restarted" lab_wait_until 30 lab_agent_gone dev-7
    tap_ok "and comes back" lab_wait_agent dev-7 60
    # Until the daemon has heard that the agent was away, the status is the one from before.
    tap_ok "what it had is proven again, without being written" lab_wait_until 30 \
        grep -q 'dev-7: the guest has proven 1 key (it had them)' "$LAB_DIR/llmhookd.log"
    tap_is "$(grep -c 'dev-7: the guest has proven 1 key (written)' "$LAB_DIR/llmhookd.log")" 1 "written once"
    tap_ok "and its status says so" wait_proven dev-7 30
    # Somebody in the guest removes it: that is not noticed until the agent connects again, and then put right.
    lab_guest_exec dev-7 'rm -rf /run/llmhook /run/llmhook.d'
    tap_ok "lost in the guest: the audit notices" fails_with "stale" llmhook audit --guests
    ends dev-7
}

system_start
test_frozen
test_no_agent
test_no_channel
test_blocked
test_no_sha
test_paused
test_slow
test_no_agent_for_long
tap_ok "the audit finds everything in order" lab_wait_until 30 llmhook audit
tap_done
