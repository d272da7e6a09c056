#!/bin/bash
# A VM that spends over its limit is cut off, stays so through restarts and new
# boots, and goes on when the limit is raised; a limit that somebody changed at
# the provider is put back. So it is with what the host's VMs, or an owner's, may
# spend together.
set -u
# shellcheck source-path=SCRIPTDIR source=common.sh
. "$(dirname "$0")/common.sh"
lab_enter "$0" "$@"

one=80000000-0000-4000-8000-000000000001

# usage: usage_is FILTER VALUE: of what `llmhook usage --json` says
usage_is() {
    [ "$(llmhook usage --json | jq -r "$1")" = "$2" ]
}

wait_usage() {
    lab_wait_until "$3" usage_is "$1" "$2" ||
        lab_fail "usage: $1 is '$(llmhook usage --json | jq -c "$1")' after $3 s, not '$2'"
}

# A request to a model, with the key in $KEYS/FILE.
model_answer() {
    curl --silent --output /dev/null --write-out '%{http_code}' --max-time 10 --header "@$KEYS/$1" \
        --header 'Content-Type: application/json' --data '{"model":"gpt-4o","input":"hello"}' "$LAB_SANDBOX_URL/v1/responses"
}

outside() {
    lab_sandbox_ctl POST /outside "$1" >/dev/null
}

# At a clock that goes on with each sleep alone: how many minutes month_lasts waits, and how often it says so.
# usage: month_waits DATE MINUTES
month_waits() (
    began=$(date -u -d "$1" +%s) now=$began
    # shellcheck disable=SC2317,SC2329 # month_lasts calls it
    date() { command date -u -d "@$((now + 60 * ${3% minutes}))" "$4"; }
    # shellcheck disable=SC2317,SC2329 # month_lasts calls it
    sleep() { now=$((now + $1)); }
    month_lasts "$2" >/run/lab/said
    echo "$(((now - began) / 60)) $(grep -c '^# the month turns' /run/lab/said)"
)

# So the turn of the month does not come in between, here and where else money is counted.
test_month() {
    tap_is "$(month_waits "2026-10-31 23:44" 15), $(month_waits "2026-11-01 00:03" 15)" "0 0, 0 0" \
        "where the month goes on it is not waited for"
    tap_is "$(month_waits "2026-10-31 23:45" 15), $(month_waits "2026-12-31 23:59" 5), $(month_waits "2028-03-01 00:01" 5)" \
        "18 1, 4 1, 2 1" "until three minutes after its turn it is"
}

test_spending() {
    keep_key dev-1 first
    tap_is "$(model_answer first) $(model_answer first)" "200 200" "the guest's key makes two requests"
    tap_ok "what they used is known soon" wait_usage '[.rows[] | select(.source == "estimate") | .requests] | add' 2 30
    tap_ok "and what they cost" wait_usage '[.rows[] | select(.source == "bill")] | length' 1 30
    tap_ok "the estimate is what is billed, at the built-in price; each request is rounded by itself" usage_is \
        '[.rows[] | .micro_dollars] | min > 0 and max - min <= 2' true
    tap_ok "the table names the domain" grep -q '^dev-1 .*openai' <(llmhook usage)
}

test_cut_off() {
    local read_at
    outside '{"action":"set-spend","project_id":"'"$(project $one .id)"'","cents":2600}'
    tap_ok "over its limit: the key ends" wait_live_keys 0 40 $one
    tap_is "$(models_answer first)" 401 "the provider does not take it any more"
    tap_ok "status says why" status_like dev-1 '.grants[0].reason' '*limit of this month is reached*'
    tap_is "$(status dev-1 '.grants[0].over_budget')" true "and that it is over budget"
    tap_ok "so does the log" grep -q 'dev-1: openai: its own monthly limit of 25.00 USD is reached with 26.00 USD' \
        "$LAB_DIR/llmhookd.log"
    lab_daemon_kill9
    tap_ok "another daemon" lab_daemon_start
    virsh_quiet destroy dev-1
    read_at=$(llmhook usage --json | jq '.providers[0].read_at // 0')
    virsh_quiet start dev-1
    tap_ok "a new boot is over budget as well" wait_status dev-1 '.state + " " + (.grants[0].over_budget | tostring)' "running true" 30
    tap_ok "another request for usage goes by" wait_usage ".providers[0].read_at > $read_at" true 30
    tap_is "$(live_keys $one) $(count_accounts_ever $one)" "0 1" "neither brings a fresh budget"
}

test_raised() {
    CONFIG_POLICY='[policy dev-*]
providers = openai
monthly-limit = 100'
    system_configure
    daemon_reload
    tap_ok "the limit is raised: it has a key again" wait_proven dev-1 60
    keep_key dev-1 second
    tap_is "$(model_answer second)" 200 "which works"
}

limit_is() {
    [ "$(sandbox_state | jq -r --arg part "$one" '.projects[] | select(.name | contains($part)) | .spend_limit.cents')" = "$1" ]
}

test_changed_outside() {
    tap_ok "the provider's own limit is ours" limit_is 10000
    outside '{"action":"set-spend-limit","project_id":"'"$(project $one .id)"'","cents":500}'
    tap_ok "lowered by somebody else: put back" lab_wait_until 40 limit_is 10000
    tap_ok "and said" grep -q 'was changed by somebody else, and is set again' "$LAB_DIR/llmhookd.log"
    outside '{"action":"delete-spend-limit","project_id":"'"$(project $one .id)"'"}'
    tap_ok "taken away: put back" lab_wait_until 40 limit_is 10000
}

# What others share is judged with it: the words of status name the line that helps, which is then followed.
# usage: together WHOSE REMEDY POLICY DAEMON POLICY DAEMON: too small a limit, and one that is large enough
together() {
    local daemon=$CONFIG_DAEMON policy=$CONFIG_POLICY
    CONFIG_POLICY="$policy$3" CONFIG_DAEMON="$daemon$4"
    system_configure
    daemon_reload
    tap_ok "$1 limit: the key ends" wait_live_keys 0 40 $one
    tap_ok "$1 limit: status says whose" status_like dev-1 '.grants[0].reason' "$1 limit of this month is reached*"
    tap_ok "$1 limit: and what to raise" status_like dev-1 '.grants[0].remedy' "raise $2 of $CONFIG, or wait*"
    CONFIG_POLICY="$policy$5" CONFIG_DAEMON="$daemon$6"
    system_configure
    daemon_reload
    tap_ok "$1 limit: raised, it has a key again" wait_proven dev-1 60
    CONFIG_POLICY=$policy CONFIG_DAEMON=$daemon
}

test_together() {
    local owner=$'\nowner = alice\n[owner alice]\nmonthly-limit = '
    together "this host's" 'host-monthly-limit in \[daemon\]' '' $'\nhost-monthly-limit = 20' '' $'\nhost-monthly-limit = 1000'
    together "its owner's" 'monthly-limit in \[owner alice\]' "${owner}20" '' "${owner}1000" ''
}

CONFIG_DAEMON=${CONFIG_DAEMON/usage-interval = never/usage-interval = 10s}
test_month
month_lasts 10
system_start
lab_domain_xml dev-1 --uuid $one | lab_define
virsh_quiet start dev-1
tap_ok "a VM has its key" wait_proven dev-1 60
test_spending
test_cut_off
test_raised
test_changed_outside
test_together
tap_done
