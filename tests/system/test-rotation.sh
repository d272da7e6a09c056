#!/bin/bash
# A key is replaced while its VM works: the new one is proven before the earlier
# one ends, whatever happens in between.
set -u
# shellcheck source-path=SCRIPTDIR source=common.sh
. "$(dirname "$0")/common.sh"
lab_enter "$0" "$@"

one=70000000-0000-4000-8000-000000000001

states_are() {
    status_is dev-1 '.grants[0].keys | map("\(.generation) \(.state)") | join(",")' "$1"
}

# usage: wait_states STATES TIMEOUT
wait_states() {
    lab_wait_until "$2" states_are "$1" ||
        lab_fail "dev-1 has $(status dev-1 '.grants[0].keys | map("\(.generation) \(.state)") | join(",")') after $2 s"
}

newest_is_in_guest() {
    local hash
    hash=$(status dev-1 '.grants[0].keys | last | .fingerprint')
    [ "${#hash}" = 64 ] && guest_hash_is dev-1 "$hash"
}

fails_to() {
    ! "$@"
}

test_overlap() {
    local before
    before=$(live_hash $one)
    keep_key dev-1 first
    tap_ok "rotate" llmhook rotate dev-1
    tap_ok "the earlier one retires when the new one is proven" wait_states "1 retiring,2 active" 20
    # Before any guest is asked, which may take as long as the overlap.
    tap_is "$(models_answer first)" 200 "and works on during the overlap"
    tap_ok "the guest has the new one" newest_is_in_guest
    tap_ok "which is another" fails_to guest_hash_is dev-1 "$before"
    keep_key dev-1 second
    tap_is "$(models_answer second)" 200 "which works as well"
    tap_ok "asked again: nothing new before the earlier one has ended" llmhook rotate dev-1
    tap_ok "overlap: is over, and the next rotation follows" wait_states "2 retiring,3 active" 40
    tap_is "$(models_answer first)" 401 "the first key does not work any more"
    keep_key dev-1 third
    tap_is "$(models_answer third)" 200 "the third one does"
    tap_ok "and alone in the end" wait_states "3 active" 40
    tap_is "$(most_at_once $one)" 2 "never were there more than two"
    tap_is "$(live_keys $one)" 1 "one is alive"
}

# With an hour of overlap, and none for who asks for none.
test_hurry() {
    tap_ok "the overlap ends" wait_states "5 active" 40
    CONFIG_POLICY=${CONFIG_POLICY/10s/1h}
    system_configure
    daemon_reload
    tap_ok "rotate --no-overlap" llmhook rotate --no-overlap dev-1
    tap_ok "the earlier one ends with the proof of the new one" wait_states "6 active" 20
    tap_ok "the guest has it" newest_is_in_guest
    tap_ok "rotate --all: in its time, not now" llmhook rotate --all
    tap_is "$(status dev-1 '.grants[0].keys | map("\(.generation) \(.state)") | join(",")')" "6 active" "it is spread"
    tap_ok "rotate --all --now" llmhook rotate --all --now
    tap_ok "at once, with its overlap" wait_states "6 retiring,7 active" 20
    tap_ok "whoever is in a hurry later ends that too" llmhook rotate --no-overlap dev-1
    tap_ok "the overlap is over" wait_states "8 active" 30
}

# Somebody else has them: no overlap, no waiting, and no VM without a key.
test_compromised() {
    local before
    before=$(live_hash $one)
    keep_key dev-1 stolen
    tap_ok "revoke --compromised" llmhook revoke --yes --compromised dev-1
    tap_ok "another generation takes its place" wait_states "9 active" 20
    tap_is "$(models_answer stolen)" 401 "the stolen one does not work"
    tap_ok "the guest has another" fails_to guest_hash_is dev-1 "$before"
    tap_ok "one that works" newest_is_in_guest
    tap_ok "the history says why" grep -q "an operator called it compromised" <<<"$(llmhook history dev-1)"
}

# Nothing of the earlier key ends while the new one cannot be delivered.
test_daemon_killed() {
    fault '{"match":"'"$MINTING"'","mode":"drop-after"}'
    tap_ok "rotate, and the answer is lost" llmhook rotate dev-1
    tap_ok "the earlier one stays while it is in doubt" wait_states "3 active,4 revoking" 20
    lab_daemon_kill9
    tap_ok "the daemon is killed and comes back" lab_daemon_start
    tap_ok "the one in doubt is removed, another takes its place" wait_states "3 retiring,5 active" 60
    tap_ok "the guest has it" newest_is_in_guest
    tap_is "$(most_at_once $one)" 2 "never more than two"
}

test_agent_gone() {
    # Its own answer to this is none.
    lab_guest_exec dev-1 'killall -STOP qemu-ga' >/dev/null 2>&1
    tap_ok "the guest answers nothing" fails_with "Guest agent is not responding" lab_agent dev-1 '{"execute":"guest-ping"}'
    tap_ok "rotate" llmhook rotate dev-1
    tap_ok "the delivery fails" wait_status dev-1 .delivery failing 60
    tap_ok "the new one is minted and not proven" wait_states "9 active,10 minted" 20
    tap_is "$(live_keys $one)" 2 "the guest's own is not touched"
    tap_ok "destroyed: both end" virsh_quiet destroy dev-1
    tap_ok "both are gone" wait_live_keys 0 15 $one
    tap_ok "nothing to rotate" fails_with "has no key to replace: the next boot gets a new one anyway" llmhook rotate dev-1
}

CONFIG_POLICY='[policy dev-*]
providers = openai
overlap = 10s'
system_start
lab_domain_xml dev-1 --uuid $one | lab_define
virsh_quiet start dev-1
tap_ok "a VM has its key" wait_proven dev-1 60
test_overlap
test_daemon_killed
test_hurry
test_compromised
test_agent_gone
tap_done
