#!/bin/bash
# The story of a key at each provider that has no projects: a VM gets it while it boots, uses it, is saved and resumed,
# loses it when it stops, gets another at the next start, and leaves nothing behind when it is undefined.
# Without arguments it is told of OpenRouter and of LiteLLM, one after the other.
set -u
# shellcheck source-path=SCRIPTDIR source=common.sh
. "$(dirname "$0")/common.sh"
lab_enter "$0" "$@"

# What differs: the section, the variable, where models are asked, what is sent to make a key and to end one.
tell_of() {
    provider=$1
    case $provider in
    openrouter)
        uuid=40000000-0000-4000-8000-000000000001 variable=OPENROUTER_API_KEY base=/api/v1
        models=$base/models minting="POST $base/keys" over_budget=402 period=monthly
        ending="PATCH $base/keys/*|DELETE $base/keys/*"
        ;;
    litellm)
        uuid=40000000-0000-4000-8000-000000000002 variable=OPENAI_API_KEY base=/litellm
        models=$base/v1/models minting="POST $base/key/generate" over_budget=429 period=1mo
        ending="POST $base/key/delete"
        ;;
    esac
    chat=${models%models}chat/completions vm=gw-$provider
}

limit=40.50 expires=

# How long a key of the provider is used, and for how long beside its successor.
# shellcheck disable=SC2317 # lab_wait_until calls it
grant_is() {
    [ "$(sqlite3 -readonly /var/lib/llmhook/ledger.sqlite "SELECT rotate_ms, overlap_ms FROM grants
        WHERE provider = '$provider' AND ended_at = 0")" = "$1" ]
}

# Replaces that of common.sh, which is of OpenAI alone.
system_configure() {
    mkdir -p /etc/llmhook
    cat >"$CONFIG.new" <<END
[daemon]
$CONFIG_DAEMON

[provider openrouter]
admin-key = file:$LAB_SANDBOX/admin-key
base-url = $LAB_SANDBOX_URL/api/v1
$expires

[provider litellm]
admin-key = file:$LAB_SANDBOX/admin-key
base-url = $LAB_SANDBOX_URL/litellm
guest-base-url = http://gateway.lan:4000
models = gpt-4o

[policy gw-openrouter]
providers = openrouter
monthly-limit = $limit
on-save = suspend

[policy gw-litellm]
providers = litellm
monthly-limit = $limit
on-save = suspend
END
    mv "$CONFIG.new" $CONFIG
}

# Of this provider's keys, live or ever: each one's FILTER.
keys() {
    sandbox_state "${2:-}" | jq -r --arg provider "$provider" '.gateway_keys[] | select(.provider == $provider) | '"$1"
}
live() { keys "$1" '?live=true'; }
# shellcheck disable=SC2317 # see live_are
count_live() { live .id | grep -c .; }
# shellcheck disable=SC2317 # lab_wait_until calls it
live_are() { [ "$(count_live)" = "$1" ]; }
wait_live() {
    lab_wait_until "$2" live_are "$1" || lab_fail "$(count_live) keys are alive after $2 s, not $1"
}
# shellcheck disable=SC2317 # lab_wait_until calls it
disabled_is() { [ "$(live .disabled)" = "$1" ]; }

# What is answered to the key in $KEYS/FILE.
answer_of() {
    curl --silent --output /dev/null --write-out '%{http_code}' --max-time 10 --header "@$KEYS/$1" "$LAB_SANDBOX_URL$models"
}
chat_answer() {
    curl --silent --output /dev/null --write-out '%{http_code}' --max-time 10 --header "@$KEYS/$1" \
        --header 'Content-Type: application/json' --data '{"model":"gpt-4o","messages":[]}' "$LAB_SANDBOX_URL$chat"
}
keep() {
    (
        umask 077
        printf 'Authorization: Bearer ' >"$KEYS/$1"
        lab_guest_login "$vm" alice "printf '%s\\n' \"\$$variable\"" >>"$KEYS/$1"
    )
}

test_start() {
    lab_domain_xml "$vm" --uuid $uuid | lab_define
    tap_ok "$provider: virsh start" virsh_quiet start "$vm"
    tap_ok "a key is minted" wait_live 1 20
    tap_is "$(live '[.name, .limit_micro_usd, .period] | tojson')" \
        "[\"llmhook:$(llmhook status --json | jq -r .host_id):$uuid:$provider:g1\",40500000,\"$period\"]" \
        "of the first generation, with its limit by month"
    tap_is "$(status "$vm" '.grants[0].monthly_limit_enforced')" provider "and the status says that the provider holds it"
    tap_ok "the guest proves that it has the key" wait_proven "$vm" 60
    tap_is "$(guest_hash "$vm" alice $variable)" "$(live .id)" "alice's login shell has it in $variable"
    keep "$provider-first"
    tap_is "$(answer_of "$provider-first")" 200 "it works"
    tap_is "$(chat_answer "$provider-first")" 200 "a model answers to it"
    tap_ok "llmhook audit finds everything in order" llmhook audit
}

test_save() {
    virsh_quiet managedsave "$vm"
    tap_ok "saved: the key is suspended" lab_wait_until 20 disabled_is true
    tap_is "$(answer_of "$provider-first")" 401 "and refused"
    virsh_quiet start "$vm"
    tap_ok "restored: the guest proves it again" wait_proven "$vm" 60
    tap_is "$(answer_of "$provider-first")" 200 "it works again"
    tap_is "$(keys .id | grep -c .)" 1 "the same: none was minted"
}

test_budget() {
    lab_sandbox_ctl POST /outside '{"action":"gateway-set-spend","api_key_id":"'"$(live .id)"'","cents":4050}' >/dev/null
    tap_is "$(chat_answer "$provider-first")" $over_budget "over its limit a model refuses it with $over_budget"
}

# shellcheck disable=SC2317 # lab_wait_until calls it
limit_is() { [ "$(live '[.limit_micro_usd, .period] | tojson')" = "[$1,\"$period\"]" ]; }
outside_limit() {
    lab_sandbox_ctl POST /outside '{"action":"gateway-set-limit","api_key_id":"'"$(live .id)"'"'"$1"'}' >/dev/null
}

# The limit is on the key: a new one reaches the one that lives, and is put back where somebody else has changed it.
test_limit() {
    local first
    first=$(live .id)
    limit=60
    system_configure
    daemon_reload
    tap_ok "the policy's limit is raised: the provider has it on the same key" lab_wait_until 20 limit_is 60000000
    tap_is "$(chat_answer "$provider-first")" 200 "and a model answers to it again"
    outside_limit ',"cents":990000'
    tap_ok "raised by somebody else: an audit says so" fails_with "over budget" llmhook audit
    llmhook audit --fix --yes >/dev/null
    tap_ok "and puts it back" lab_wait_until 20 limit_is 60000000
    tap_ok "llmhook audit finds everything in order" audit_is_clean
    CONFIG_DAEMON=${CONFIG_DAEMON/usage-interval = never/usage-interval = 10s}
    system_configure
    daemon_reload
    outside_limit ''
    tap_ok "taken away: put back at the next poll" lab_wait_until 40 limit_is 60000000
    tap_ok "and said" grep -q "the limit of llmhook:.*:$provider:g1 was changed by somebody else, and is set again: it has none" "$LAB_DIR/llmhookd.log"
    outside_limit ',"cents":100'
    tap_ok "lowered: put back" lab_wait_until 40 limit_is 60000000
    tap_is "$(live .id)" "$first" "all on the same key"
    tap_is "$(answer_of "$provider-first")" 200 "which works"
    CONFIG_DAEMON=${CONFIG_DAEMON/usage-interval = 10s/usage-interval = never} limit=50
    system_configure
    daemon_reload
    tap_ok "the policy's limit is lowered: the provider has it" lab_wait_until 20 limit_is 50000000
    tap_is "$(status "$vm" '.grants[0].keys[0].monthly_limit')" 50000000 "and the status says so"
}

# A key that ends by itself would end in the running guest.
test_expires() {
    [ "$provider" = openrouter ] || return
    tap_is "$(status "$vm" '.grants[0].keys[0] | .expires_at - .minted_at')" 7200000 "the key ends after two hours"
    tap_ok "keys end after two hours: another takes its place after one and a half, beside it for half an hour" \
        lab_wait_until 10 grant_is "5400000|1800000"
    expires=
    system_configure
    daemon_reload
    tap_ok "no end any more: what the policy says holds" lab_wait_until 10 grant_is "-1|86400000"
    tap_is "$(status "$vm" '.grants[0].keys[0] | .expires_at - .minted_at')" 7200000 "but not for this key"
}

# With the admin key.
# usage: change METHOD PATH JSON
change() {
    curl --silent --show-error --fail --output /dev/null --max-time 10 --request "$1" --header "@$KEYS/admin" \
        --header 'Content-Type: application/json' --data "$3" "$LAB_SANDBOX_URL$base$2"
}

# usage: switch off|on
switch() {
    case $provider-$1 in
    openrouter-off) change PATCH "/keys/$(live .id)" '{"disabled":true}' ;;
    openrouter-on) change PATCH "/keys/$(live .id)" '{"disabled":false}' ;;
    litellm-off) change POST /key/block "{\"key\":\"$(live .id)\"}" ;;
    litellm-on) change POST /key/unblock "{\"key\":\"$(live .id)\"}" ;;
    esac
}

# shellcheck disable=SC2317 # lab_wait_until calls it
answers() { [ "$(answer_of "$1")" = "$2" ]; }

# Somebody switches it off there while its domain runs, and on while its domain is saved.
test_switched() {
    keep "$provider-switched"
    switch off
    tap_is "$(answer_of "$provider-switched")" 401 "switched off by somebody else: it does not work"
    tap_ok "an audit says so" lab_wait_until 70 fails_with "missing*somebody has suspended it there" llmhook audit
    llmhook audit --fix --yes >/dev/null
    tap_ok "--fix switches it on again" lab_wait_until 20 answers "$provider-switched" 200
    tap_ok "llmhook audit finds everything in order" audit_is_clean
    virsh_quiet managedsave "$vm"
    tap_ok "saved: it is suspended" lab_wait_until 20 answers "$provider-switched" 401
    switch on
    tap_is "$(answer_of "$provider-switched")" 200 "switched on by somebody else: it works"
    tap_ok "an audit says so" lab_wait_until 70 fails_with "zombie*the provider takes it" llmhook audit
    llmhook audit --fix --yes >/dev/null
    tap_ok "--fix switches it off again" lab_wait_until 20 answers "$provider-switched" 401
    virsh_quiet start "$vm"
    tap_ok "restored: the guest proves it again" wait_proven "$vm" 60
    tap_is "$(answer_of "$provider-switched")" 200 "and it works"
}

# Somebody gives it another name there: it is known by its id.
test_renamed() {
    local first
    [ "$provider" = openrouter ] || return
    first=$(live .id)
    change PATCH "/keys/$first" '{"name":"of the tall machine"}'
    tap_is "$(live .name)" "of the tall machine" "renamed by somebody else"
    llmhook audit --fix --yes >/dev/null
    tap_ok "llmhook audit finds everything in order all the same" audit_is_clean
    tap_is "$(live .id) $(answer_of "$provider-switched")" "$first 200" "and ends nothing: it works on"
}

# Somebody deletes it there, and nobody else would notice.
test_deleted() {
    local first
    first=$(live .id)
    lab_sandbox_ctl POST /outside '{"action":"gateway-delete-key","api_key_id":"'"$first"'"}' >/dev/null
    # One that was made a moment ago may be missing from a list: that is no finding yet.
    tap_ok "deleted by somebody else: an audit misses it" lab_wait_until 45 fails_with "missing" llmhook audit
    llmhook audit --fix --yes >/dev/null
    tap_ok "mended: the domain has another one" lab_wait_until 20 live_are 1
    tap_ok "which the guest proves" wait_proven "$vm" 60
    tap_ok "llmhook audit finds everything in order" audit_is_clean
}

test_stop() {
    local first
    first=$(live .id)
    virsh_quiet destroy "$vm"
    tap_ok "destroyed: the key is revoked" wait_live 0 10
    tap_is "$(answer_of "$provider-first")" 401 "and dead"
    virsh_quiet start "$vm"
    tap_ok "started again: it has a key" wait_proven "$vm" 60
    tap_ok "that is another" test "$(live .id)" != "$first"
    tap_is "$(status "$vm" '.grants[0].keys[0].generation')" 3 "of the third generation"
    tap_ok "which may spend what those before have left of this month's limit: 9.50 USD" limit_is 9500000
    test_denied
}

# The provider says of a key that lives that there is none.
test_denied() {
    local one
    keep "$provider-denied"
    IFS='|' read -ra endings <<<"$ending"
    for one in "${endings[@]}"; do
        fault '{"match":"'"$one"'","mode":"status","status":404,"times":-1}'
    done
    virsh_quiet destroy "$vm"
    tap_ok "destroyed, and the provider denies that there is a key: the daemon asks the key itself" lab_wait_until 20 \
        grep -q "revoke llmhook:.*:$provider:g3: refused: .* does not refuse that key itself (200)" "$LAB_DIR/llmhookd.log"
    tap_is "$(answer_of "$provider-denied")" 200 "which works"
    tap_is "$(status "$vm" '[.grants[0].keys[] | select(.generation == 3)][0].state')" revoking "and is not forgotten"
    faults_end
    tap_ok "the provider knows it again: it is revoked" wait_live 0 30
    tap_is "$(answer_of "$provider-denied")" 401 "and dead"
}

# The answer is lost after the key was made.
test_lost_answer() {
    local before
    before=$(requests "$minting")
    fault '{"match":"'"$minting"'","mode":"drop-after"}'
    virsh_quiet start "$vm"
    tap_ok "a lost answer: the domain gets a key all the same" wait_proven "$vm" 60
    if [ "$provider" = litellm ]; then
        tap_is $(($(requests "$minting") - before)) 2 "asked for again"
        tap_is "$(keys .name | sort | uniq -d)" "" "and made once"
        tap_is "$(status "$vm" '.grants[0].keys[0].generation')" 4 "of the same generation"
    else
        tap_is "$(status "$vm" '[.grants[0].keys[] | select(.state == "active")][0].generation')" 5 "of the next generation"
    fi
    virsh_quiet destroy "$vm"
    tap_ok "nothing stays alive" wait_live 0 50
    faults_end
}

test_undefine() {
    virsh_quiet undefine "$vm"
    tap_ok "undefined: llmhook knows no such domain" lab_wait_until 50 fails_with "no*$vm" llmhook show "$vm"
    tap_ok "llmhook audit finds everything in order" audit_is_clean
    tap_is "$(llmhook audit --json | jq -c '[.rows[] | select(.verdict != "not ours")]')" '[]' "and nothing of ours"
}

month_lasts 15
system_start
for name in "${@:-openrouter litellm}"; do
    for one in $name; do
        tell_of "$one"
        limit=40.50 expires="expires = 2h"
        system_configure
        daemon_reload
        test_start
        [ "$TAP_FAILED" = 0 ] || tap_bail_out "no key, no story"
        test_save
        test_budget
        test_limit
        test_expires
        test_switched
        test_renamed
        test_deleted
        test_stop
        test_lost_answer
        test_undefine
    done
done
tap_ok "the daemon logged no error" logged_no_error
tap_ok "the daemon ends when it is told to" lab_daemon_stop
tap_done
