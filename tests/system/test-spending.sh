#!/bin/bash
# What a VM spends at OpenRouter, LiteLLM and Anthropic, with reports that are late and corrected afterwards as the real
# ones are: it is told, kept over generations and restarts, and when the month's limit is reached the keys are suspended
# or revoked, as the policy says.
set -u
# shellcheck source-path=SCRIPTDIR source=common.sh
. "$(dirname "$0")/common.sh"
lab_enter "$0" "$@"

one=80000000-0000-4000-8000-000000000001
two=80000000-0000-4000-8000-000000000002

# Replaces that of common.sh, which is of OpenAI alone.
system_configure() {
    mkdir -p /etc/llmhook
    printf '[claude-sonnet-5-5]\ninput = 3\ncached-input = 0.30\noutput = 15\ndate = 2026-11-26\nchecked = no\n' \
        >/etc/llmhook/prices.conf
    cat >"$CONFIG.new" <<END
[daemon]
$CONFIG_DAEMON
prices = /etc/llmhook/prices.conf

[provider openrouter]
admin-key = file:$LAB_SANDBOX/admin-key
base-url = $LAB_SANDBOX_URL/api/v1

[provider litellm]
admin-key = file:$LAB_SANDBOX/admin-key
base-url = $LAB_SANDBOX_URL/litellm
guest-base-url = http://gateway.lan:4000

[provider anthropic]
admin-key = file:$LAB_SANDBOX/admin-key
base-url = $LAB_SANDBOX_URL

[policy dev-*]
providers = openrouter litellm anthropic
monthly-limit = 25

[policy rev-*]
providers = openrouter litellm
monthly-limit = 25
over-budget = revoke
END
    mv "$CONFIG.new" $CONFIG
}

# usage: usage_is FILTER VALUE: of what `llmhook usage --json` says
usage_is() {
    [ "$(llmhook usage --json | jq -r "$1")" = "$2" ]
}
wait_usage() {
    lab_wait_until "$3" usage_is "$1" "$2" ||
        lab_fail "usage: $1 is '$(llmhook usage --json | jq -c "$1")' after $3 s, not '$2'
$(llmhook usage --json | jq -c '.rows[], .providers')"
}

# The domain's keys are all proven.
is_whole() {
    status_is "$1" '.delivery + " " + ([.grants[] | .status + ([.keys[] | select(.state != "revoking") | .state] | join(","))] | unique | join(" "))' \
        "proven okactive"
}
wait_whole() {
    lab_wait_until "$2" is_whole "$1" || lab_fail "$1: $(status "$1" tojson)"
}

# The keys of a guest as headers: $KEYS/VM-PROVIDER
# usage: keep VM PROVIDER VARIABLE HEADER
keep() {
    (
        umask 077
        printf '%s' "$4" >"$KEYS/$1-$2"
        lab_guest_login "$1" alice "printf '%s\\n' \"\$$3\"" >>"$KEYS/$1-$2"
    )
}
keep_all() {
    keep "$1" openrouter OPENROUTER_API_KEY 'Authorization: Bearer '
    keep "$1" litellm OPENAI_API_KEY 'Authorization: Bearer '
    [ "${2:-}" = two ] || keep "$1" anthropic ANTHROPIC_API_KEY 'x-api-key: '
}

# A request that is answered with so many tokens: what the model API says to it.
# usage: ask VM PROVIDER TOKENS
ask() {
    local path=/v1/messages model=claude-sonnet-5-5
    case $2 in
    openrouter) path=/api/v1/chat/completions model=gpt-4o ;;
    litellm) path=/litellm/v1/chat/completions model=gpt-4o ;;
    esac
    curl --silent --output /dev/null --write-out '%{http_code}' --max-time 10 --header "@$KEYS/$1-$2" \
        --header 'anthropic-version: 2023-06-01' --header 'Content-Type: application/json' \
        --data '{"model":"'$model'","max_tokens":'"$3"',"messages":[{"role":"user","content":"hello"}]}' "$LAB_SANDBOX_URL$path"
}

# So many whole dollars, of that source, at that provider. The prompts cost some millionths.
told() {
    echo "[.rows[] | select(.provider == \"$1\" and .source == \"$2\") | .micro_dollars] | add // 0 | . / 1000000 | floor"
}
grant() {
    status "$1" '.grants[] | select(.provider == "'"$2"'") | '"$3"
}
grant_is() {
    [ "$(grant "$1" "$2" "$3")" = "$4" ]
}
gateway_keys() {
    sandbox_state "${3:-}" | jq -r --arg provider "$1" --arg part "$2" '.gateway_keys[] | select(.provider == $provider and (.name | contains($part)))'
}
gateway_live() {
    [ "$(gateway_keys "$1" "$2" '?live=true' | jq -s length)" = "$3" ]
}

test_told() {
    tap_is "$(ask dev-1 openrouter 1000000) $(ask dev-1 litellm 1000000) $(ask dev-1 anthropic 1000000)" "200 200 200" \
        "the guest's keys make a request for 10 or 15 dollars each"
    tap_ok "OpenRouter tells what the key cost" wait_usage "$(told openrouter bill)" 10 60
    tap_ok "LiteLLM what the day did" wait_usage "$(told litellm bill)" 10 60
    tap_ok "with the model" usage_is '[.rows[] | select(.provider == "litellm" and .micro_dollars > 1000000) | .model] | join(" ")' gpt-4o
    tap_ok "of Anthropic's tokens it is estimated" wait_usage "$(told anthropic estimate)" 15 60
    tap_ok "and Anthropic's costs are divided among the keys" wait_usage "$(told anthropic bill)" 15 60
    tap_is "$(llmhook usage --json | jq -c '[.budgets[] | select(.kind == "domain" and .name == "dev-1") | [.provider, (.spent / 1000000 | floor)]] | sort')" \
        '[["anthropic",15],["litellm",10],["openrouter",10]]' "each has spent that much of its own budget"
    llmhook usage >$KEYS/table
    tap_is "$(for provider in openrouter litellm anthropic; do grep -q "^dev-1 .*$provider" $KEYS/table && echo $provider; done | wc -l)" \
        3 "the table tells of each"
}

# The answers to so many requests for OpenRouter's keys hang.
lists_hang() {
    [ "$(lab_sandbox_ctl GET /faults | jq 'map(.hits) | add')" -ge "$1" ]
}
# OpenRouter's keys were listed since request number $1.
is_listed() {
    lab_sandbox_ctl GET "/requests?since=$1" |
        jq -e '.requests | any(.method == "GET" and (.path | startswith("/api/v1/keys")) and .status == 200)' >/dev/null
}

# The last key's last minutes are in none of the reports that were read, and one of them is read before and comes after.
test_generations() {
    local since
    lab_daemon_kill9
    tap_ok "the daemon is killed and begins anew" lab_daemon_start
    tap_ok "with what it knew" wait_usage "$(told openrouter bill)" 10 10
    knob usage_lag_s 0
    fault '{"match":"GET /api/v1/keys","mode":"hang","execute":"before","times":-1}'
    tap_ok "a report of OpenRouter's hangs, and the look at the keys' limits" lab_wait_until 30 lists_hang 2
    tap_is "$(ask dev-1 openrouter 100000)" 200 "another dollar just before the VM stops"
    virsh_quiet destroy dev-1
    tap_ok "the key is revoked" lab_wait_until 30 gateway_live openrouter $one 0
    tap_ok "and told in the end what it cost" wait_usage "$(told openrouter bill)" 11 30
    since=$(lab_sandbox_ctl GET /requests | jq '.requests[-1].seq')
    faults_end
    tap_ok "the report comes, and another is asked for" lab_wait_until 30 is_listed "$since"
    tap_ok "it was older, and changes nothing" usage_is "$(told openrouter bill)" 11
    virsh_quiet start dev-1
    tap_ok "a new boot has new keys" wait_whole dev-1 90
    keep_all dev-1
    tap_is "$(grant dev-1 openrouter '.spent / 1000000 | floor') $(grant dev-1 litellm '.spent / 1000000 | floor')" "11 10" \
        "and no fresh budget"
}

test_suspended() {
    tap_is "$(ask dev-1 openrouter 1450000) $(ask dev-1 litellm 1550000) $(ask dev-1 anthropic 700000)" "200 200 200" \
        "the new keys spend the rest: each is below the limit by itself"
    for provider in openrouter litellm anthropic; do
        tap_ok "$provider: over its limit, the key is suspended" lab_wait_until 60 grant_is dev-1 $provider '.over_budget and .keys[-1].state == "suspended"' true
        tap_ok "$provider: and refused" lab_wait_until 30 answers_401 dev-1 $provider
        tap_ok "$provider: status says why" lab_wait_until 60 \
            grant_is dev-1 $provider '.reason | contains("limit of this month is reached")' true
        tap_ok "$provider: it did not go further than is stated" grant_is dev-1 $provider '.spent - .monthly_limit <= .overshoot' true
    done
}
answers_401() {
    [ "$(ask "$1" "$2" 10)" = 401 ]
}

test_revoked() {
    lab_domain_xml rev-1 --uuid $two | lab_define
    virsh_quiet start rev-1
    tap_ok "another VM, whose policy revokes" wait_whole rev-1 90
    keep_all rev-1 two
    tap_is "$(ask rev-1 openrouter 3000000) $(ask rev-1 litellm 3000000)" "200 200" "spends 30 dollars of its 25 at once"
    for provider in openrouter litellm; do
        tap_ok "$provider: its key is revoked" lab_wait_until 60 gateway_live $provider $two 0
        tap_ok "$provider: and no other is made" grant_is rev-1 $provider .over_budget true
        tap_is "$(ask rev-1 $provider 10)" 401 "$provider: the key is dead"
        tap_is "$(gateway_keys $provider $two | jq -s length)" 1 "$provider: there was no other"
    done
    tap_ok "what it cost stays known" usage_is \
        '[.budgets[] | select(.name == "rev-1") | .spent >= 30000000] | length == 2 and all' true
}

# More than one answer of the daemon's has room for: what 100,000 days and models cost, of which a page has whole grants.
test_many() {
    lab_daemon_stop
    sqlite3 /var/lib/llmhook/ledger.sqlite "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 20000)
        INSERT INTO spending SELECT id, 18262, 'bill', 'model-' || i, 0, 1, 0, 0, 0, 0 FROM n, grants LIMIT 100000"
    lab_daemon_start
    tap_is "$(llmhook usage --json --since 2020-01-01 | jq '[.rows[] | select(.model | startswith("model-"))] |
        [length, (map(.micro_dollars) | add), (map([.domain, .provider, .model] | join(" ")) | unique | length)] | tojson')" \
        '"[100000,100000,100000]"' "100,000 rows come, each once"
}

CONFIG_DAEMON=${CONFIG_DAEMON/usage-interval = never/usage-interval = 10s}
month_lasts 15
system_start
lab_sandbox_ctl POST /knobs '{"usage_lag_s":2,"cost_lag_s":6,"cost_draft_percent":-30,"cost_final_s":9}' >/dev/null
(
    umask 077
    for i in 1 2; do
        lab_sandbox_ctl POST /outside '{"action":"create-api-key","name":"pool'$i'"}' | jq -r .value >$KEYS/pool$i
    done
)
tap_ok "Anthropic's pool has two keys" llmhook pool add anthropic --from "file:$KEYS/pool1"
tap_ok "the second" llmhook pool add anthropic --from "file:$KEYS/pool2"
lab_domain_xml dev-1 --uuid $one | lab_define
virsh_quiet start dev-1
tap_ok "a VM has keys of three providers" wait_whole dev-1 120
keep_all dev-1
test_told
test_generations
test_suspended
test_revoked
test_many
tap_done
