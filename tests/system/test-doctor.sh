#!/bin/bash
# What the daemon tells doctor of its providers: what is known of each, and no more.
set -u
# shellcheck source-path=SCRIPTDIR source=common.sh
. "$(dirname "$0")/common.sh"
lab_enter "$0" "$@"

answered="it answered the last time it was asked"
unasked="not asked yet, so it is not known whether it answers and accepts us"

# usage: check NAME: "RESULT DETAIL" of that check, nothing when there is none
check() {
    llmhook doctor --json | jq -r --arg name "$1" '.checks[] | select(.name == $name) | .result + " " + .detail'
}

check_like() {
    # shellcheck disable=SC2254 # a pattern is what is wanted
    case $(check "$1") in
    $2) ;;
    *) return 1 ;;
    esac
}

audits_since() {
    [ "$(grep -c '^audit: ' "$LAB_DIR/llmhookd.log")" -gt "$1" ]
}

configure() {
    system_configure && daemon_reload
}

test_unasked() {
    tap_is "$(check "provider openai")" "warning $unasked" "nobody has asked it, and it is not said to be well"
    tap_ok "an audit asks it" llmhook audit
    tap_is "$(check "provider openai")" "ok its admin key can be read, and $answered" "then it is"
    sed "s|^admin-key = file:\(.*\)|admin-key = exec:/bin/cat \1|" $CONFIG >$CONFIG.new && mv $CONFIG.new $CONFIG
    daemon_reload
    tap_is "$(check "provider openai")" "warning $unasked" "its section is another: nobody has asked it with that"
    tap_ok "an audit asks it again" llmhook audit
    tap_is "$(check "provider openai")" "ok $answered" "a key that is not fetched is not said to be readable"
}

test_own_audits() {
    local before
    CONFIG_DAEMON='undefine-grace = 2s
audit-interval = 1h'
    before=$(grep -c '^audit: ' "$LAB_DIR/llmhookd.log")
    configure
    tap_ok "with audits of its own it is asked soon" lab_wait_until 20 audits_since "$before"
    tap_is "$(check "provider openai")" "ok its admin key can be read, and $answered" "and doctor knows"
    (umask 077 && echo sk-admin-of-somebody-else-0123456789 >$KEYS/wrong)
    CONFIG_POLICY="[provider second]
type = openai
admin-key = file:$KEYS/wrong
base-url = $LAB_SANDBOX_URL/v1
environment = SECOND_API_KEY

$CONFIG_POLICY"
    configure
    tap_ok "one that a reload adds is asked soon, too: its admin key is wrong" \
        lab_wait_until 20 check_like "provider second" "failed *does not accept the admin key (401)*"
}

# A provider that is set up and then forgotten, as it is not named where VMs are said to get its keys.
test_unused() {
    local warning="warning no policy names second and no domain asks for it, so no VM gets a key of it"
    tap_is "$(check "use of second")" "$warning" "a provider that no policy names is told"
    tap_ok "and what to do" llmhook_advises "add second to the providers = of a [policy], see llmhook.conf(5)"
    tap_is "$(check "use of openai")" "" "of one that is named there is nothing to say"
    lab_domain_xml own-1 --metadata "<llmhook:vm xmlns:llmhook='urn:llmhook:vm:1'><llmhook:key provider='second'/></llmhook:vm>" |
        lab_define
    tap_ok "a domain asks for it in its own metadata: nothing to say" lab_wait_until 20 check_like "use of second" ""
    remove_domain own-1
    tap_ok "the domain is gone: it is told again" lab_wait_until 20 check_like "use of second" "$warning"
    CONFIG_POLICY=${CONFIG_POLICY/providers = openai/providers = openai second}
    configure
    tap_is "$(check "use of second")" "" "the policy names it: nothing to say"
}

llmhook_advises() {
    llmhook doctor --json | jq -e --arg remedy "$1" 'any(.checks[]; .remedy == $remedy)' >/dev/null
}

system_start
lab_wait_until 20 check_like libvirt "ok *"
test_unasked
test_own_audits
test_unused
tap_done
