#!/bin/bash
# The provider fails in every way it can: the VM starts all the same, the
# status says why the key is missing and when it is tried next, the key arrives
# once the provider is back, and there is never a second one.
set -u
# shellcheck source-path=SCRIPTDIR source=common.sh
. "$(dirname "$0")/common.sh"
lab_enter "$0" "$@"

uuid=30000000-0000-4000-8000-000000000001
CONFIG_PROVIDER='timeout = 3s'

# Starts the VM, sees what the status says, ends the trouble and waits for the
# key. The trouble has begun.
# usage: one_outage boot|paused NAME REASON COMMAND-THAT-ENDS-IT...
# boot: a real guest, which is to get the key. paused: no guest, to save time;
# the key is to be made.
one_outage() {
    local how=$1 name=$2 reason=$3 start
    shift 3
    start=$(lab_now_ms)
    if [ "$how" = boot ]; then
        tap_ok "$name: the VM starts" virsh_quiet start dev-1
    else
        tap_ok "$name: the VM starts" virsh_quiet start dev-1 --paused
    fi
    tap_note "virsh start: $(($(lab_now_ms) - start)) ms"
    tap_ok "$name: the status says why there is no key" wait_status_like dev-1 '.grants[0].reason' "$reason" 30
    tap_ok "$name: and when it is tried next" lab_wait_until 10 says_when
    "$@"
    if [ "$how" = boot ]; then
        tap_ok "$name: over, and the key arrives" wait_proven dev-1 60
        tap_ok "$name: in the guest" lab_wait_until 20 guest_has_live_key dev-1 $uuid
    else
        tap_ok "$name: over, and the key is made" wait_status dev-1 "$key_states" minted 20
    fi
    check_one_key "$name" $uuid
    virsh_quiet destroy dev-1
    tap_ok "$name: destroyed, nothing is left alive" wait_live_keys 0 10 $uuid
}

# The states of the keys that may be in a guest.
key_states='.grants[0].keys | map(.state) | map(select(. != "revoking")) | join(",")'

check_one_key() {
    tap_is "$(live_keys "$2")" 1 "$1: one key is alive"
    tap_is "$(most_at_once "$2")" 1 "$1: and there never were two"
}

says_when() {
    llmhook status --json | jq -e '.domains[0].grants[0].next_attempt_in | . >= 0 and . <= 60000' >/dev/null
}

# Minting fails in MODE until somebody says faults_end.
# usage: minting_fails MODE [MORE OF THE FAULT AS JSON]
minting_fails() {
    fault '{"match":"'"$MINTING"'","mode":"'"$1"'","times":-1'"${2:+,$2}"'}'
}

last_request() {
    lab_sandbox_ctl GET /requests | jq '[.requests[].seq] | max // 0'
}

# The times between the requests to mint a key of dev-1 since number $1, in ms, a line each.
minting_gaps() {
    lab_sandbox_ctl GET "/requests?since=$1" | jq --arg project "$(project $uuid .id)" '[.requests[] |
        select(.method == "POST" and (.path | endswith($project + "/service_accounts"))) | .time_ms] | [.[:-1], .[1:]] | transpose[] | .[1] - .[0]'
}

gaps_are_many() {
    [ "$(minting_gaps "$1" | wc -l)" -ge "$2" ]
}

# The look for what may have been made is answered each time, which must not
# make every try look like the first.
tries_ever_more_slowly() {
    local gap
    tap_ok "500: it is tried again" lab_wait_until 30 gaps_are_many "$since" 4
    gap=$(minting_gaps "$since" | sed -n 4p)
    tap_ok "500: ever more slowly (the fourth wait: $gap ms)" test "$gap" -ge 1400
    faults_end
}

test_minting_fails() {
    local since gap
    # The first one of all meets every request.
    listening false
    one_outage boot "refused" "openai cannot be reached: *127.0.0.1*" listening true

    since=$(last_request)
    minting_fails status '"status":500'
    one_outage boot "500" "*(500)*" tries_ever_more_slowly

    since=$(last_request)
    minting_fails status '"status":429,"retry_after":4'
    one_outage paused "429 with Retry-After" "openai asks us to come back later: *(429)*" faults_end
    gap=$(minting_gaps "$since" | sort -n | head -1)
    tap_ok "429: nothing was asked before the time had passed ($gap ms)" test "$gap" -ge 4000

    minting_fails hang
    one_outage paused "no answer" "*no answer in time*" faults_end
    minting_fails drop-before
    one_outage paused "cut off" "*the connection ended before the answer*" faults_end
    minting_fails garbage
    one_outage paused "half an answer" "*OpenAI*" faults_end
    minting_fails drop-after
    one_outage boot "cut off after the deed" "*the connection ended before the answer*" faults_end
}

# What is asked before the first minting. A project of which it is unknown
# whether it was made must be believed missing only after half a minute, so
# this one waits while others go on.
test_project_fails() {
    local mode match
    fault '{"match":"POST '$PROJECTS'","mode":"status","status":500}'
    lab_domain_xml dev-2 --uuid "${uuid%1}2" | lab_define
    virsh_quiet start dev-2 --paused
    tap_ok "500 to the project's creation: the status says so" wait_status_like dev-2 '.grants[0].reason' "*(500)*" 20
    fault '{"match":"POST '$PROJECTS'","mode":"drop-after"}'
    lab_domain_xml dev-3 --uuid "${uuid%1}3" | lab_define
    virsh_quiet start dev-3 --paused
    tap_ok "the answer to the project's creation is lost: a key is made" wait_live_keys 1 20 "${uuid%1}3"
    tap_is "$(project "${uuid%1}3" .live)" true "in the one project that was made"
    for mode in drop-before drop-after garbage; do
        fault '{"match":"POST '$PROJECTS'/*/spend_limit","mode":"'$mode'"}'
    done
    match=$(requests "POST $PROJECTS")
    lab_domain_xml dev-4 --uuid "${uuid%1}4" | lab_define
    virsh_quiet start dev-4 --paused
    tap_ok "trouble with the spend limit: a key is made in the end" wait_live_keys 1 20 "${uuid%1}4"
    tap_is "$(project "${uuid%1}4" '.spend_limit | tojson')" '{"cents":2500,"switched_on":true}' "with its limit"
    # Half an answer does no harm here: the limit is read back in any case.
    tap_is "$(($(requests "POST $PROJECTS") - match))" 5 "the limit was set three times, before the one minting"
}

test_duplicate() {
    fault '{"match":"'"$MINTING"'","mode":"duplicate"}'
    virsh_quiet start dev-1 --paused
    tap_ok "the provider mints twice: we know of one" wait_status dev-1 "$key_states" minted 20
    tap_is "$(live_keys $uuid)" 2 "there are two"
    tap_ok "audit says so" fails_with "orphan*openai*llmhook:*:$uuid:openai:g*a second one under the name*" llmhook audit
    virsh_quiet destroy dev-1
    tap_ok "destroyed: ours is revoked" wait_live_keys 1 10 $uuid
    virsh_quiet undefine dev-1
    tap_ok "undefined: the project is archived, and with it dies the other" wait_live_keys 0 15 $uuid
}

tried_often() {
    [ "$(($(requests "DELETE $PROJECTS") - $1))" -ge 4 ]
}

# One request is what the provider fails at, each time: that of the domain that is looked at first.
test_one_request_fails() {
    local before
    before=$(requests "DELETE $PROJECTS")
    lab_domain_xml dev-1 --uuid $uuid | lab_define
    virsh_quiet start dev-1 --paused
    tap_ok "one request: a key is there" wait_status dev-1 "$key_states" minted 20
    fault '{"match":"DELETE '$PROJECTS'/'"$(project $uuid 'select(.live) | .id')"'/service_accounts/*","mode":"status","status":500,"times":-1}'
    virsh_quiet destroy dev-1
    tap_ok "one request: it fails, and is tried again and again" lab_wait_until 30 tried_often "$before"
    lab_domain_xml dev-5 --uuid "${uuid%1}5" | lab_define
    virsh_quiet start dev-5 --paused
    tap_ok "one request: another VM starts, and has its key all the same" wait_live_keys 1 20 "${uuid%1}5"
    virsh_quiet destroy dev-5
    tap_ok "one request: and loses it when it ends" wait_live_keys 0 20 "${uuid%1}5"
    tap_is "$(live_keys $uuid)" 1 "one request: it fails yet"
    faults_end
    tap_ok "one request: over, and it is through" wait_live_keys 0 10 $uuid
    remove_domain dev-1
    remove_domain dev-5
}

# usage: one_end NAME BEGIN END [READY], commands; READY (revokes_later unless
# another is named): when it has gone on for long enough
one_end() {
    local back revoked
    virsh_quiet start dev-4 --paused
    tap_ok "$1: a key is there" wait_status dev-4 "$key_states" minted 20
    $2
    virsh_quiet destroy dev-4
    tap_ok "$1: destroyed; the status says that it is revoked as soon as can be" \
        lab_wait_until 40 "${4:-revokes_later}" dev-4
    tap_is "$(live_keys "${uuid%1}4")" 1 "$1: it is still alive"
    back=$(lab_now_ms)
    $3
    tap_ok "$1: over, and it is revoked" wait_live_keys 0 40 "${uuid%1}4"
    revoked=$(sandbox_state | jq '[.projects[].keys[].deleted_ms | select(. != null)] | max')
    tap_under $((revoked - back)) 5000 "$1: within 5 s of the provider being back"
}

# The waits have grown as long as they get.
revokes_later() {
    llmhook status --json | jq -e --arg name "$1" '.domains[] | select(.name == $name) | .grants[0] |
        .keys[-1].state == "revoking" and .next_attempt_in > 1800' >/dev/null
}

# For so long that what is sent again ever more slowly is hardly sent at all.
revokes_for_long() {
    [ "$(llmhook show "$1" --json | jq '.domain.grants[0].keys[-1].revoking_at')" -lt $(($(lab_now_ms) - 14000)) ]
}

refuse() {
    listening false
}

accept() {
    listening true
}

# From here on packets to the provider vanish, as behind a broken line: nobody
# refuses anything. The other end of the device looks at nothing.
vanish() {
    ip link add void0 type veth peer name void1
    ip link set void0 up
    ip link set void1 up
    sysctl -qw net.ipv4.conf.void0.route_localnet=1 net.ipv4.conf.all.route_localnet=1
    ip route add 127.0.0.0/8 dev void0
    ip neigh add 127.0.0.1 lladdr "$(cat /sys/class/net/void1/address)" dev void0 nud permanent
    ip route del table local local 127.0.0.0/8 dev lo
    ip route del table local local 127.0.0.1 dev lo
}

come_back() {
    ip route add table local local 127.0.0.1 dev lo
    ip route add table local local 127.0.0.0/8 dev lo
    ip link del void0
}

deletes_fail() {
    fault '{"match":"DELETE '$PROJECTS'/*/service_accounts/*","mode":"status","status":500,"times":-1}'
}

test_end_in_outage() {
    virsh_quiet destroy dev-4
    tap_ok "destroyed before" wait_live_keys 0 10 "${uuid%1}4"
    one_end "destroyed while connections are refused" refuse accept
    one_end "destroyed while the provider says 500" deletes_fail faults_end
    # As it is usually set: no help from a short deadline.
    CONFIG_PROVIDER=
    system_configure
    daemon_reload
    one_end "destroyed while packets vanish" vanish come_back revokes_for_long
}

system_start
lab_domain_xml dev-1 --uuid $uuid | lab_define
test_project_fails
test_minting_fails
test_duplicate
test_one_request_fails
test_end_in_outage
tap_ok "500 to the project's creation, half a minute later: a key is made" wait_live_keys 1 40 "${uuid%1}2"
tap_is "$(project "${uuid%1}2" .live)" true "in the one project"
for domain in dev-2 dev-3 dev-4; do
    remove_domain $domain
done
tap_ok "in the end nothing is alive" wait_live_keys 0 10
tap_ok "and all is in order" audit_is_clean
tap_done
