#!/bin/sh
# Checks the sandbox itself: its answers, faults and knobs, with curl. Prints TAP.
# The official SDK and specification check it too: ../contract/run-sandbox-contract.sh
set -u
here=$(cd "$(dirname "$0")" && pwd)
. "$here/harness.sh"

command -v curl >/dev/null || {
    echo "1..0 # SKIP curl is not installed"
    exit 0
}
[ -x "$LLMHOOK_SANDBOX" ] || {
    echo "1..0 # SKIP $LLMHOOK_SANDBOX is not built"
    exit 0
}

count=0 failed=0
# check NAME COMMAND...
check() {
    count=$((count + 1)) name=$1
    shift
    if "$@"; then
        echo "ok $count - $name"
    else
        failed=$((failed + 1))
        echo "not ok $count - $name"
        echo "# failed: $*"
    fi
}
# same NAME WANTED GOT
same() {
    count=$((count + 1))
    if [ "$2" = "$3" ]; then
        echo "ok $count - $1"
    else
        failed=$((failed + 1))
        echo "not ok $count - $1"
        echo "# wanted: $2"
        echo "# got:    $3"
    fi
}
# refused NAME STATUS CODE METHOD PATH [BODY]: the exact error
refused() {
    refused_name=$1 refused_status=$2 refused_code=$3
    shift 3
    answer=$(sandbox_admin "$@")
    same "$refused_name" "$refused_status $refused_code" \
        "$(sandbox_status) $(printf '%s' "$answer" | sed -n 's/^{"error":.*"code":"\{0,1\}\([a-z_]*\)"\{0,1\}}}$/\1/p')"
}
fault() { sandbox_control /faults -d "$1" >/dev/null; }
clear_faults() { sandbox_control /faults -X DELETE >/dev/null; }
knobs() { sandbox_control /knobs -d "$1" >/dev/null; }
outside() { sandbox_control /outside -d "$1"; }
state() { sandbox_control /state; }
projects_named() { state | grep -o "\"name\":\"$1\"" | wc -l; }
new_project() { sandbox_admin POST "$projects" "{\"name\":\"$1\"}" | sandbox_id; }
# new_key PROJECT NAME HEADER_FILE: mints; the service account's id
new_key() {
    sandbox_admin POST "$projects/$1/service_accounts" "{\"name\":\"$2\"}" >"$SANDBOX_DIR/minted"
    sandbox_key_header "$3" <"$SANDBOX_DIR/minted"
    sandbox_id <"$SANDBOX_DIR/minted"
    rm -f "$SANDBOX_DIR/minted"
}
# works HEADER_FILE: the status that /v1/models gives
works() {
    sandbox_request "$1" GET /v1/models >/dev/null
    sandbox_status
}
# in_flight N: are so many requests being answered?
in_flight() { sandbox_control /stats | grep -q "\"in_flight\":$1,"; }
models_body='{"model":"gpt-4o","messages":[]}'
projects=/v1/organization/projects

trap 'sandbox_stop; rm -rf "$SANDBOX_DIR"' EXIT
trap 'exit 143' TERM INT
sandbox_start --verbose || exit 1
key=$SANDBOX_DIR/key other=$SANDBOX_DIR/other
printf 'Authorization: Bearer sk-nobody\n' >"$SANDBOX_DIR/wrong"
printf 'X-Nothing: 1\n' >"$SANDBOX_DIR/none"

# --- who may do what
same "a wrong admin key is 401 invalid_api_key" '401 yes' \
    "$(sandbox_request "$SANDBOX_DIR/wrong" GET $projects | grep -q '"code":"invalid_api_key"' && a=yes; echo "$(sandbox_status) ${a-no}")"
same "no key is 401 without a code" '401 yes' \
    "$(sandbox_request "$SANDBOX_DIR/none" GET $projects | grep -q '"code":null' && a=yes; echo "$(sandbox_status) ${a-no}")"
refused "an unknown path is 404" 404 null GET /v1/organization/nothing
refused "a wrong method is 405" 405 null DELETE $projects
refused "a body that is no JSON is 400" 400 null POST $projects '{"name":'
refused "a missing field is named" 400 missing_required_parameter POST $projects '{}'
refused "an unknown field is refused" 400 unknown_parameter POST $projects '{"name":"a","colour":"red"}'
refused "a field of the wrong type is refused" 400 invalid_type POST $projects '{"name":7}'
refused "an unknown project is 404" 404 not_found GET $projects/proj_nothing

# --- a key's life
project=$(new_project vm-1)
account=$(new_key "$project" vm-1-1 "$key")
same "a minted key works" 200 "$(works "$key")"
same "the admin key is no model key" 401 "$(works "$SANDBOX_DIR/admin-header")"
hash=$(sed 's/.*Bearer //' "$key" | tr -d '\n' | sha256sum | cut -d ' ' -f 1)
same "the state shows the secret's hash" 1 "$(state | grep -c "\"sha256\":\"$hash\"")"
sed 's/.*Bearer //' "$key" >"$SANDBOX_DIR/needle"
state >"$SANDBOX_DIR/haystack"
sandbox_control /requests >>"$SANDBOX_DIR/haystack"
sandbox_admin GET "$projects/$project/api_keys?owner_project_access=any" >>"$SANDBOX_DIR/haystack"
same "and no secret is in the state, the requests, the lists or the log" '1 0' \
    "$(grep -c '^sk-svcacct-.\{64\}$' "$SANDBOX_DIR/needle") $(cat "$SANDBOX_DIR/haystack" "$SANDBOX_DIR/err" | grep -cFf "$SANDBOX_DIR/needle")"
same "a minted key cannot administrate" 403 "$(sandbox_request "$key" GET $projects >/dev/null; sandbox_status)"
refused "deleting a service account's key is refused" 400 null DELETE \
    "$projects/$project/api_keys/$(sandbox_admin GET "$projects/$project/api_keys" | sandbox_id)"
knobs '{"key_delete":"allow"}'
sandbox_admin DELETE "$projects/$project/api_keys/$(sandbox_admin GET "$projects/$project/api_keys" | sandbox_id)" >/dev/null
same "unless the knob allows it: then the key is dead" '200 401' "$(sandbox_status) $(works "$key")"
knobs '{"key_delete":"refuse"}'
sandbox_admin POST "$projects/$project/service_accounts/$account/api_keys" '{"name":"second"}' | sandbox_key_header "$key"
same "a second key of the same account works" 200 "$(works "$key")"
sandbox_admin DELETE "$projects/$project/service_accounts/$account" >/dev/null
same "deleting the service account kills its keys" '200 401' "$(sandbox_status) $(works "$key")"
refused "deleting it again is 404" 404 not_found DELETE "$projects/$project/service_accounts/$account"
new_key "$project" twin "$key" >/dev/null
new_key "$project" twin "$other" >/dev/null
same "names are not unique" 2 "$(projects_named twin)"
default=$(sandbox_admin GET $projects | sandbox_id)
refused "the default project takes no service account" 400 null POST "$projects/$default/service_accounts" '{"name":"a"}'
sandbox_admin POST "$projects/$project/archive" >/dev/null
same "archiving kills a project's keys" '200 401 401' "$(sandbox_status) $(works "$key") $(works "$other")"
same "the state can leave out what is dead" '1 0' \
    "$(state | grep -c "$project") $(sandbox_control '/state?live=true' | grep -c "$project")"
refused "an archived project mints nothing" 400 project_archived POST "$projects/$project/service_accounts" '{"name":"a"}'
refused "an archived project lists no accounts" 400 project_archived GET "$projects/$project/service_accounts"
same "an archived project is listed only when asked for" '0 1' \
    "$(sandbox_admin GET $projects | grep -c "$project") $(sandbox_admin GET "$projects?include_archived=true" | grep -c "$project")"

# --- knobs
project=$(new_project paged)
for i in 1 2 3 4 5; do new_key "$project" "p$i" "$key" >/dev/null; done
knobs '{"page_max":2}'
walked='' after='' pages=0
while [ $pages -lt 9 ]; do
    page=$(sandbox_admin GET "$projects/$project/service_accounts?limit=100${after:+&after=$after}")
    pages=$((pages + 1))
    walked="$walked$(printf '%s' "$page" | grep -o '"name":"[^"]*"' | cut -d '"' -f 4 | tr '\n' ' ')"
    after=$(printf '%s' "$page" | sed -n 's/.*"last_id":"\([^"]*\)".*/\1/p')
    case $page in *'"has_more":false'*) break ;; esac
done
same "small pages: everything once, in order" '3 p1 p2 p3 p4 p5 ' "$pages $walked"
knobs '{"page_max":0}'
refused "an unknown cursor is 400" 400 invalid_value GET "$projects/$project/service_accounts?after=user-nobody"
refused "a limit above 100 is 400" 400 invalid_value GET "$projects/$project/service_accounts?limit=101"
knobs '{"stale_list_ms":1500}'
account=$(new_key "$project" late "$key")
same "stale lists: not listed yet, but there" '0 200' \
    "$(sandbox_admin GET "$projects/$project/service_accounts" | grep -c '"late"') $(sandbox_admin GET "$projects/$project/service_accounts/$account" >/dev/null; sandbox_status)"
listed() { sandbox_admin GET "$projects/$project/service_accounts" | grep -q '"late"'; }
check "stale lists: listed after a while" sandbox_await 5 listed
knobs '{"stale_list_ms":0,"minting":"forbid"}'
refused "a policy can forbid minting" 403 api_key_creation_forbidden POST "$projects/$project/service_accounts" '{"name":"a"}'
knobs '{"minting":"allow","expires_in_seconds":"refuse"}'
refused "an expiry can be refused" 400 unknown_parameter POST "$projects/$project/service_accounts" '{"name":"a","expires_in_seconds":60}'
knobs '{"expires_in_seconds":"accept"}'
sandbox_admin POST "$projects/$project/service_accounts" '{"name":"a","expires_in_seconds":1}' | sandbox_key_header "$key"
expired() { [ "$(works "$key")" = 401 ]; }
check "or accepted: then the key dies by itself" sandbox_await 5 expired
knobs '{"project_limit":3}'
new_project third >/dev/null
refused "the number of projects is limited" 400 project_limit_exceeded POST $projects '{"name":"fourth"}'
knobs '{"project_limit":2000}'
same "an unknown knob is refused" 400 "$(sandbox_control /knobs -d '{"colour":1}' -o /dev/null -w '%{http_code}')"

# --- money
limit='{"threshold_amount":500,"currency":"USD","interval":"month"}'
project=$(new_project spender)
new_key "$project" s1 "$key" >/dev/null
refused "a project begins without a spend limit" 404 not_found GET "$projects/$project/spend_limit"
same "a spend limit enforces once set" enforcing \
    "$(sandbox_admin POST "$projects/$project/spend_limit" "$limit" | sed 's/.*"status":"\([a-z]*\)".*/\1/')"
sandbox_request "$key" POST /v1/chat/completions "$models_body" >/dev/null
same "a call below the limit passes" 200 "$(sandbox_status)"
outside "{\"action\":\"set-spend\",\"project_id\":\"$project\",\"cents\":500}" >/dev/null
same "at the limit calls get 429 project_spend_limit_exceeded, /v1/models does not" '429 1 200' \
    "$(a=$(sandbox_request "$key" POST /v1/chat/completions "$models_body" | grep -c '"code":"project_spend_limit_exceeded"'); echo "$(sandbox_status) $a $(works "$key")")"
same "the costs report shows what was set" '5.000000 1' \
    "$(sandbox_admin GET "/v1/organization/costs?start_time=$(($(date +%s) - 3600))&project_ids=$project&group_by=project_id" | sed 's/.*"value":\([0-9.]*\).*/\1/') $(sandbox_admin GET "/v1/organization/usage/completions?start_time=$(($(date +%s) - 3600))&bucket_width=1h&project_ids[]=$project" | sed 's/.*"num_model_requests":\([0-9]*\).*/\1/')"
knobs '{"spend_alert_bug":true}'
sandbox_admin POST "$projects/$project/spend_alerts" \
    '{"threshold_amount":100,"currency":"USD","interval":"month","notification_channel":{"type":"email","recipients":["a@example.org"]}}' >/dev/null
same "the spend-alert bug overwrites the limit and switches it off" '100 inactive' \
    "$(sandbox_admin GET "$projects/$project/spend_limit" | sed 's/.*"threshold_amount":\([0-9]*\).*"status":"\([a-z]*\)".*/\1 \2/')"
sandbox_request "$key" POST /v1/chat/completions "$models_body" >/dev/null
same "so that calls pass again" 200 "$(sandbox_status)"
knobs '{"spend_alert_bug":false,"enforcing":"when-hit"}'
same "reported as enforcing only when hit, if so turned" 'inactive enforcing' \
    "$(sandbox_admin POST "$projects/$project/spend_limit" '{"threshold_amount":501000,"currency":"USD","interval":"month"}' | sed 's/.*"status":"\([a-z]*\)".*/\1/') $(sandbox_admin POST "$projects/$project/spend_limit" '{"threshold_amount":500,"currency":"USD","interval":"month"}' | sed 's/.*"status":"\([a-z]*\)".*/\1/')"
knobs '{"enforcing":"when-set","enforcement_lag_ms":1500}'
status_of() { sandbox_admin GET "$projects/$project/spend_limit" | sed 's/.*"status":"\([a-z]*\)".*/\1/'; }
sandbox_admin POST "$projects/$project/spend_limit" "$limit" >/dev/null
same "enforcement can lag" inactive "$(status_of)"
enforces() { [ "$(status_of)" = enforcing ]; }
check "and comes" sandbox_await 5 enforces
knobs '{"enforcement_lag_ms":0}'
refused "a rate limit above the organization's is refused" 400 invalid_value POST "$projects/$project/rate_limits/rl-gpt-4o" '{"max_requests_per_1_minute":99999999}'

# --- faults
make='{"name":"made"}' made=$projects
fault '{"match":"POST /v1/organization/projects","mode":"status","status":429,"code":"slow_down","message":"later","retry_after":3,"retry_after_ms":2500,"should_retry":true}'
sandbox_admin POST $made "$make" -D "$SANDBOX_DIR/headers" >"$SANDBOX_DIR/answer"
same "status: the error, its headers, nothing executed" '429 1 1 1 1 0' \
    "$(sandbox_status) $(grep -c '"message":"later".*"code":"slow_down"' "$SANDBOX_DIR/answer") $(grep -ci '^retry-after: 3.$' "$SANDBOX_DIR/headers") $(grep -ci '^retry-after-ms: 2500.$' "$SANDBOX_DIR/headers") $(grep -ci '^x-should-retry: true.$' "$SANDBOX_DIR/headers") $(projects_named made)"
same "and only once, as asked" '200 1' "$(sandbox_admin POST $made "$make" >/dev/null; sandbox_status) $(projects_named made)"
fault '{"match":"POST /v1/organization/projects","mode":"status","status":500,"execute":"before"}'
same "status after execution: an error, but done" '500 2' "$(sandbox_admin POST $made "$make" >/dev/null; sandbox_status) $(projects_named made)"
fault '{"match":"POST /v1/organization/projects","mode":"drop-before"}'
sandbox_admin POST $made "$make"
same "drop-before: no answer, nothing executed" '52 2' "$? $(projects_named made)"
fault '{"match":"POST /v1/organization/projects","mode":"drop-after"}'
sandbox_admin POST $made "$make"
same "drop-after: no answer, but done" '52 3' "$? $(projects_named made)"
fault '{"match":"POST /v1/organization/projects","mode":"garbage"}'
same "garbage: done, and the answer is cut" '200 4 0' \
    "$(a=$(sandbox_admin POST $made "$make" | grep -c '}$'); echo "$(sandbox_status) $(projects_named made) $a")"
fault '{"match":"POST /v1/organization/projects","mode":"garbage","body":"<html>busy</html>"}'
same "garbage: or what the test wants" '<html>busy</html>' "$(sandbox_admin POST $made "$make")"
fault '{"match":"POST /v1/organization/projects","mode":"duplicate"}'
same "duplicate: executed twice, answered once" '200 7' "$(sandbox_admin POST $made "$make" >/dev/null; sandbox_status) $(projects_named made)"
fault '{"match":"POST /v1/organization/projects","mode":"redirect","location":"http://127.0.0.1:1/"}'
sandbox_admin POST $made "$make" -D "$SANDBOX_DIR/headers" >/dev/null
same "redirect: 302 to there, nothing executed" '302 1 7' "$(sandbox_status) $(grep -ci '^location: http://127.0.0.1:1/.$' "$SANDBOX_DIR/headers") $(projects_named made)"
fault '{"match":"GET /v1/organization/projects","mode":"huge"}'
same "huge: there is always more" 5000000 "$(sandbox_admin GET $projects '' | head -c 5000000 | wc -c)"
fault '{"match":"GET /v1/organization/projects","mode":"latency","ms":400}'
took=$(sandbox_admin GET $projects '' -o /dev/null -w '%{stderr}%{time_total}\n' 2>/dev/null; tail -n 1 "$SANDBOX_DIR/status")
check "latency: late, but right ($took s)" awk -v "took=$took" 'BEGIN { exit !(took >= 0.4 && took < 5) }'
fault '{"match":"POST /v1/organization/projects","mode":"latency","ms":60000,"execute":"after","times":1}'
clear_faults
same "what is cleared does not hit" 200 "$(sandbox_admin GET $projects >/dev/null; sandbox_status)"
fault '{"match":"GET /v1/organization/projects","mode":"status","status":503,"times":2,"skip":1}'
same "skip and times count" '200 503 503 200' "$(for i in 1 2 3 4; do sandbox_admin GET $projects >/dev/null; sandbox_status; done | tr '\n' ' ' | sed 's/ $//')"
fault '{"match":"GET /v1/organization/*","mode":"status","status":503,"times":-1}'
same "a star stays within its segment" '503 200' \
    "$(sandbox_admin GET $projects >/dev/null; sandbox_status) $(sandbox_admin GET "$projects/$project" >/dev/null; sandbox_status)"
clear_faults
fault '{"match":"GET *","mode":"status","status":503,"times":-1}'
same "a lone star is any path, the method still counts" '503 200' \
    "$(sandbox_admin GET "$projects/$project" >/dev/null; sandbox_status) $(sandbox_admin POST "$projects/$project" '{"name":"spender"}' >/dev/null; sandbox_status)"
clear_faults
same "an unknown fault is refused" 400 "$(sandbox_control /faults -d '{"match":"*","mode":"gremlins"}' -o /dev/null -w '%{http_code}')"

# hang SETTINGS: the status, curl's result and the number of projects made while it hung and after its release
hang() {
    fault "{\"match\":\"POST /v1/organization/projects\",\"mode\":\"hang\"$1}"
    before=$(projects_named made)
    sandbox_admin POST $made "$make" >/dev/null &
    sandbox_await 5 in_flight 1
    during=$(($(projects_named made) - before))
    clear_faults
    wait $!
    echo "$? $during $(($(projects_named made) - before))"
}
same "hang: nothing executed, dropped when released" '52 0 0' "$(hang '')"
same "hang before: executed at once, answered when released" '0 1 1' "$(hang ',"execute":"before"')"
same "hang after: executed and answered when released" '0 0 1' "$(hang ',"execute":"after"')"

# --- the listener
made_before=$(projects_named made)
fault '{"match":"GET *","mode":"hang","times":-1}'
sandbox_admin GET $projects >/dev/null 2>&1 &
hung=$!
sandbox_await 5 in_flight 1
sandbox_control /listen -d '{"listening":false}' >/dev/null
wait $hung
same "not listening: what hangs is dropped" 52 $?
sandbox_admin GET $projects
same "not listening: connections are refused" 7 $?
clear_faults
sandbox_control /listen -d '{"listening":true}' >/dev/null
same "listening again: same port, same state" "200 $made_before" "$(sandbox_admin GET $projects >/dev/null; sandbox_status) $(projects_named made)"

# --- others
id=$(outside '{"action":"create-project","name":"foreign"}' | sed 's/.*"project_id":"\([^"]*\)".*/\1/')
account=$(outside "{\"action\":\"create-service-account\",\"project_id\":\"$id\",\"name\":\"stranger\"}" | sed 's/.*"service_account_id":"\([^"]*\)".*/\1/')
same "somebody else's project and account are there" '200 200' \
    "$(sandbox_admin GET "$projects/$id" >/dev/null; sandbox_status) $(sandbox_admin GET "$projects/$id/service_accounts/$account" >/dev/null; sandbox_status)"
outside "{\"action\":\"delete-service-account\",\"project_id\":\"$id\",\"service_account_id\":\"$account\"}" >/dev/null
refused "somebody else deletes it" 404 not_found GET "$projects/$id/service_accounts/$account"
outside "{\"action\":\"set-spend-limit\",\"project_id\":\"$id\",\"cents\":7}" >/dev/null
same "somebody else sets a spend limit" 7 "$(sandbox_admin GET "$projects/$id/spend_limit" | sed 's/.*"threshold_amount":\([0-9]*\).*/\1/')"
outside "{\"action\":\"delete-spend-limit\",\"project_id\":\"$id\"}" >/dev/null
refused "somebody else removes it" 404 not_found GET "$projects/$id/spend_limit"
outside "{\"action\":\"archive-project\",\"project_id\":\"$id\"}" >/dev/null
same "somebody else archives the project" archived "$(sandbox_admin GET "$projects/$id" | sed 's/.*"status":"\([a-z]*\)".*/\1/')"

# --- the second organisation
second=$SANDBOX_DIR/second-admin-header
id=$(new_project mine)
account=$(new_key "$id" mine-1 "$key")
as_second() { sandbox_request "$second" "$@"; }
# to_second METHOD PATH [BODY]: the status and the error's code and words
to_second() { as_second "$@" | sed -n 's/.*"message":"\([^"]*\)".*"code":"\([a-z_]*\)".*/\2 \1/p' >"$SANDBOX_DIR/words"; echo "$(sandbox_status) $(cat "$SANDBOX_DIR/words")"; }
unseen='404 not_found No such project.'
same "to the second organisation's key a project of the first is not there" "$unseen $unseen" \
    "$(to_second GET "$projects/$id") $(to_second GET $projects/proj_never)"
same "nor is anything in it, nor can it be archived" "$unseen $unseen $unseen $unseen $unseen $unseen" \
    "$(to_second GET "$projects/$id/service_accounts") $(to_second POST "$projects/$id/service_accounts" '{"name":"a"}') $(to_second DELETE "$projects/$id/service_accounts/$account") $(to_second GET "$projects/$id/rate_limits") $(to_second POST "$projects/$id/spend_limit" "$limit") $(to_second POST "$projects/$id/archive")"
same "and its key lives on" 200 "$(works "$key")"
same "each lists its own projects only" '0 1 1 0' \
    "$(as_second GET $projects | grep -c "$id") $(as_second GET $projects | grep -o '"id":"proj_' | wc -l) $(sandbox_admin GET "$projects?limit=100" | grep -c "$id") $(sandbox_admin GET "$projects?limit=100" | grep -c "$(as_second GET $projects | sandbox_id)")"
theirs=$(as_second POST $projects '{"name":"theirs"}' | sandbox_id)
refused "what the second makes the first does not see" 404 not_found GET "$projects/$theirs"
knobs '{"project_limit":3}'
same "each counts its own projects only" '200 400' \
    "$(for name in third fourth; do as_second POST $projects "{\"name\":\"$name\"}" >/dev/null; sandbox_status; done | tr '\n' ' ' | sed 's/ $//')"
knobs '{"project_limit":2000}'
same "each knows its own admin key only" '1 1 2' \
    "$(for header in "$SANDBOX_DIR/admin-header" "$second"; do sandbox_request "$header" GET /v1/organization/admin_api_keys; done | grep -o '"id":"key_[^"]*"' | sort | uniq -c | awk '{ printf "%s ", $1 } END { print NR }')"
outside "{\"action\":\"set-spend\",\"project_id\":\"$id\",\"cents\":500}" >/dev/null
same "nor does it see the other's costs" '1 0' \
    "$(for header in "$SANDBOX_DIR/admin-header" "$second"; do sandbox_request "$header" GET "/v1/organization/costs?start_time=$(($(date +%s) - 3600))&group_by=project_id" | grep -c '"project_id":"proj_'; done | tr '\n' ' ' | sed 's/ $//')"
same "the state names the organisation" '1 2' \
    "$(state | grep -o "\"id\":\"\($id\|$theirs\)\"[^}]*\"organisation\":[12]" | grep -o '[12]$' | tr '\n' ' ' | sed 's/ $//')"
same "a second organisation with the first one's key is refused" "1 llmhook-sandbox: $SANDBOX_ADMIN_KEY_FILE holds the first organisation's key" \
    "$(words=$(timeout 10 "$LLMHOOK_SANDBOX" --listen 127.0.0.1:0 --control "$SANDBOX_DIR/other-control" --admin-key-file "$SANDBOX_ADMIN_KEY_FILE" --second-admin-key-file "$SANDBOX_ADMIN_KEY_FILE" 2>&1); echo "$? $words")"

# --- many at once: a thousand requests in flight together, all answered
fault '{"match":"GET /v1/organization/projects","mode":"hang","execute":"before","times":-1}'
many=
for i in 1 2 3 4; do
    curl -sS --noproxy '*' -Z --parallel-max 250 --parallel-immediate --max-time 60 -H "@$SANDBOX_DIR/admin-header" -o /dev/null \
        -w '%{http_code}\n' "$SANDBOX_URL$projects?limit=1&page[1-250]" >"$SANDBOX_DIR/many$i" 2>"$SANDBOX_DIR/many-err$i" &
    many="$many $!"
done
check "a thousand requests hang at once" sandbox_await 120 in_flight 1000
clear_faults
for i in $many; do wait "$i"; done
same "and all are answered when released" 1000 "$(cat "$SANDBOX_DIR"/many[1-4] | grep -c '^200$')"

# --- Vault
vault=$SANDBOX_DIR/vault-header
# vault_header KEY: into the header file, from standard input
vault_header() { (umask 077 && sed 's/^/X-Vault-Token: /' >"$vault"); }
# in_vault METHOD PATH [BODY]: the status and what the answer says in short
in_vault() {
    in_vault_answer=$(sandbox_request "$vault" "$1" "/vault/v1/$2" "${3-}")
    printf '%s %s' "$(sandbox_status)" "$(printf '%s' "$in_vault_answer" | sed 's/sk-vault-[A-Za-z0-9]*/KEY/; s/"request_id":"[^"]*",//')"
}
# told PATTERN TEXT: the first match
told() { printf '%s' "$2" | grep -o "$1" | head -n 1; }
vault_header <"$SANDBOX_ADMIN_KEY_FILE"
same "a token sees itself: the root token has no end" '"ttl":0' "$(told '"ttl":[0-9]*' "$(in_vault GET auth/token/lookup-self)")"
same "and cannot be renewed" '400 {"errors":["lease is not renewable"]}' "$(in_vault POST auth/token/renew-self)"
outside '{"action":"vault-create-token","seconds":600}' | sed -n 's/.*"value":"\([^"]*\)".*/\1/p' | vault_header
same "one of ten minutes can" '"lease_duration":600' "$(told '"lease_duration":[1-9][0-9]*' "$(in_vault POST auth/token/renew-self)")"
made=$(in_vault GET openai/creds/dev)
lease=$(told 'openai/creds/dev/[A-Za-z0-9]*' "$made")
same "reading a role's path makes a key" '200 "api_key":"KEY"' "${made%% *} $(told '"api_key":"KEY"' "$made")"
same "writing to it as well" 200 "$(in_vault POST openai/creds/dev '{"ttl":"1h"}' | cut -c 1-3)"
same "a lease can be looked at" "\"id\":\"$lease\"" "$(told '"id":"[^"]*"' "$(in_vault POST sys/leases/lookup "{\"lease_id\":\"$lease\"}")")"
same "and renewed" 200 "$(in_vault POST sys/leases/renew "{\"lease_id\":\"$lease\"}" | cut -c 1-3)"
same "listing takes sudo" 403 "$(in_vault GET 'sys/leases/lookup/openai/creds/dev/?list=true' | cut -c 1-3)"
knobs '{"vault_sudo":true}'
same "with it both are there" 2 "$(sandbox_request "$vault" GET '/vault/v1/sys/leases/lookup/openai/creds/dev/?list=true' | grep -o '"[A-Za-z0-9]\{24\}"' | wc -l)"
knobs '{"vault_sudo":false}'
same "a lease is revoked" '204 ' "$(in_vault POST sys/leases/revoke "{\"lease_id\":\"$lease\",\"sync\":true}")"
same "one that is not there is, too" '204 ' "$(in_vault POST sys/leases/revoke '{"lease_id":"nobodys"}')"
same "but it can be neither looked at" '400 {"errors":["invalid lease"]}' "$(in_vault POST sys/leases/lookup "{\"lease_id\":\"$lease\"}")"
same "nor renewed" '400 {"errors":["lease not found"]}' "$(in_vault POST sys/leases/renew "{\"lease_id\":\"$lease\"}")"
same "a store of version 1 keeps what is written" '204 "key":"one"' \
    "$(in_vault POST kv/llm '{"key":"one"}')$(told '"key":"one"' "$(in_vault GET kv/llm)")"
same "one of version 2 too, a level deeper" '200 {"data":{"key":"two"}' \
    "$(in_vault POST secret/data/llm '{"data":{"key":"two"}}' | cut -c 1-4)$(told '{"data":{"key":"two"}' "$(in_vault GET secret/data/llm)")"
same "whose path without data is none" '404 {"errors":[]}' "$(in_vault GET secret/llm)"
same "and which says that it is of version 2" '"version":"2"' "$(told '"version":"2"' "$(in_vault GET sys/internal/ui/mounts/secret/llm)")"
outside '{"action":"vault-set-approle","seconds":60}' >"$SANDBOX_DIR/approle"
login=$(sed 's/.*"role_id":"\([^"]*\)".*"secret_id":"\([^"]*\)".*/{"role_id":"\1","secret_id":"\2"}/' "$SANDBOX_DIR/approle")
same "an AppRole logs in" '"lease_duration":60' "$(told '"lease_duration":[1-9][0-9]*' "$(in_vault POST auth/approle/login "$login")")"
same "with the right halves alone" 400 "$(in_vault POST auth/approle/login '{"role_id":"a","secret_id":"b"}' | cut -c 1-3)"
outside '{"action":"vault-seal"}' >/dev/null
same "sealed, it says so to everything" '503 {"errors":["Vault is sealed"]}' "$(in_vault GET auth/token/lookup-self)"
outside '{"action":"vault-unseal"}' >/dev/null
same "a token that revokes itself" '204 ' "$(in_vault POST auth/token/revoke-self)"
same "is not known any more" '403 {"errors":["permission denied"]}' "$(in_vault GET auth/token/lookup-self)"

# --- the end
fault '{"match":"GET *","mode":"hang"}'
sandbox_admin GET $projects >/dev/null 2>&1 &
hung=$!
sandbox_await 5 in_flight 1
trap 'rm -rf "$SANDBOX_DIR"' EXIT
sandbox_stop
same "SIGTERM ends it cleanly, with a request still hanging" 0 $?
wait $hung
check "and it leaves no control socket behind" test ! -e "$SANDBOX_CONTROL"
same "and the log holds no complaint" '' "$(grep -vE '^[0-9]+ [A-Z]+ /' "$SANDBOX_DIR/err")"

echo "1..$count"
[ "$failed" -eq 0 ]
