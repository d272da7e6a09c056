#!/bin/bash
# Anthropic's Workload Identity Federation: this host signs, Anthropic was told once, and the guest has a short-lived
# token whose file stays in its place while it is replaced. When the VM stops nothing more is signed.
# shellcheck disable=SC2016 # the guest expands
set -u
# shellcheck source-path=SCRIPTDIR source=common.sh
. "$(dirname "$0")/common.sh"
lab_enter "$0" "$@"

uuid=71000000-0000-4000-8000-000000000001
uuid2=71000000-0000-4000-8000-000000000002
TOKEN_FILE=ANTHROPIC_IDENTITY_TOKEN_FILE

# usage: configure_federation LINES: the provider's section, and takes it over
configure_federation() {
    CONFIG_PROVIDER="
[provider claude]
type = anthropic-federation
base-url = $LAB_SANDBOX_URL
$1"
    system_configure && daemon_reload
}

# What Anthropic has of it.
federation() {
    sandbox_state | jq -r ".federation | $1"
}

# The guest's token, into the 0600 file $KEYS/FILE.
# usage: keep_token FILE [VARIABLE [DOMAIN]]
keep_token() {
    (
        umask 077
        if [ "${2:-$TOKEN_FILE}" != $TOKEN_FILE ]; then
            lab_guest_login "${3:-dev-1}" alice 'printf %s "$'"$2"'"' >"$KEYS/$1"
        else
            lab_guest_login "${3:-dev-1}" alice 'cat "$'$TOKEN_FILE'"' >"$KEYS/$1"
        fi
    )
}

# A claim of the token in $KEYS/FILE.
claim() {
    jq -rR --arg name "$2" 'split(".")[1] | gsub("-"; "+") | gsub("_"; "/") | @base64d | fromjson | .[$name]' "$KEYS/$1"
}

# What Anthropic answers to the token in $KEYS/FILE, as the SDK in the guest would ask; the access token goes to
# $KEYS/FILE.access.
exchange() {
    (
        umask 077
        jq -n --rawfile assertion "$KEYS/$1" --arg rule "$rule" --arg account "$account" --arg organization "$organization" \
            '{grant_type: "urn:ietf:params:oauth:grant-type:jwt-bearer", assertion: $assertion, federation_rule_id: $rule,
            organization_id: $organization, service_account_id: $account}' >"$KEYS/exchange"
        curl --silent --max-time 10 --output "$KEYS/$1.answer" --write-out '%{http_code}' \
            --header 'anthropic-version: 2023-06-01' --header 'Content-Type: application/json' \
            --header 'anthropic-beta: oauth-2025-04-20,oidc-federation-2026-04-01' --data-binary "@$KEYS/exchange" \
            "$LAB_SANDBOX_URL/v1/oauth/token"
        jq -j '.access_token // empty' "$KEYS/$1.answer" >"$KEYS/$1.access"
    )
}

# What the model API answers to the access token in $KEYS/FILE, when it may use so many tokens.
# usage: model_answer FILE [TOKENS]
model_answer() {
    (
        umask 077
        printf 'Authorization: Bearer %s\n' "$(cat "$KEYS/$1")" >"$KEYS/header"
    )
    curl --silent --output /dev/null --write-out '%{http_code}' --max-time 10 --header "@$KEYS/header" \
        --header 'anthropic-version: 2023-06-01' --header 'Content-Type: application/json' \
        --data '{"model":"claude-sonnet-5-5","max_tokens":'"${2:-8}"',"messages":[{"role":"user","content":"hello"}]}' \
        "$LAB_SANDBOX_URL/v1/messages"
}

generations() {
    status dev-1 '.grants[0].keys | map("\(.generation) \(.state)") | join(",")'
}

generations_are() {
    [ "$(generations)" = "$1" ]
}

guest_path() {
    lab_guest_login dev-1 alice 'printf %s "$'$TOKEN_FILE'"'
}

test_apply() {
    tap_is "$(llmhook federation show | grep -c -e "(not set)" -e "subject prefix .*llmhook:.*:\*")" 2 "show tells what is to be entered"
    llmhook federation show --json >"$KEYS/shown"
    tap_is "$(jq -r '[.wanted.issuer.jwks.keys[0].alg, .wanted.rule.match.subject_prefix, .wanted.rule.match.audience] | join(" ")' "$KEYS/shown")" \
        "ES256 llmhook:$(llmhook status --json | jq -r .host_id):* https://api.anthropic.com" "as JSON, with the public key"
    tap_is "$(stat -c '%a %U' /var/lib/llmhook/signing.key) $(grep -c PRIVATE /var/lib/llmhook/signing.key)" "600 root 0" \
        "the signing key is root's alone, and sealed"
    tap_is "$(jq -r 'tostring' "$KEYS/shown" | grep -c -e PRIVATE -e '"d":')" 0 "nothing of its private half is shown"
    tap_ok "apply wants a workspace first" fails_with "set workspace = wrkspc_" sh -c 'echo x | "$0" federation apply' "$LLMHOOK_BUILD/src/llmhook"
    workspace=$(lab_sandbox_ctl POST /outside '{"action":"create-workspace","name":"vms"}' | jq -r .workspace_id)
    organization=$(federation .organization_id)
    (umask 077 && lab_sandbox_ctl POST /outside '{"action":"log-in"}' | jq -r .value >"$KEYS/org-admin")
    configure_federation "workspace = $workspace
organization = $organization
token-lifetime = 40s"
    tap_ok "an admin key is not enough" fails_with "has to be an OAuth token with the scope org:admin" \
        llmhook federation apply --credential file:$LAB_SANDBOX/admin-key
    tap_ok "a token that a program would have to fetch is refused, and nothing waits for it" \
        fails_with "takes too long here: put the token on standard input" \
        llmhook federation apply --credential "exec:/bin/cat $KEYS/org-admin"
    tap_is "$(llmhook federation apply --json <"$KEYS/org-admin" | jq -c '[.complete, (.parts[] | .made)]')" \
        "[true,true,true,true,true]" "with the token on standard input all of it is made"
    llmhook federation apply --credential file:$KEYS/org-admin --json >"$KEYS/applied"
    tap_is "$(jq -c '[.complete, (.parts[] | .made)]' "$KEYS/applied")" "[true,false,false,false,false]" \
        "applied again, everything is there"
    rule=$(jq -r '.parts[] | select(.part == "rule") | .id' "$KEYS/applied")
    account=$(jq -r '.parts[] | select(.part == "service account") | .id' "$KEYS/applied")
}

test_without_ids() {
    lab_domain_xml dev-1 --uuid $uuid | lab_define
    virsh_quiet start dev-1
    tap_ok "before the ids are set nothing is signed, and status says what to do" \
        wait_status_like dev-1 '.grants[0].reason' 'federation-rule is not set for claude: llmhook federation apply*' 20
    virsh_quiet destroy dev-1
    configure_federation "workspace = $workspace
organization = $organization
federation-rule = $rule
service-account = $account
token-lifetime = 40s"
}

test_guest() {
    tap_ok "a VM is started, and has its token" wait_start
    keep_token first
    tap_is "$(claim first sub)" "llmhook:$(llmhook status --json | jq -r .host_id):$uuid" "whose subject is the VM"
    tap_is "$(lab_guest_login dev-1 alice 'printf "%s " "$ANTHROPIC_FEDERATION_RULE_ID" "$ANTHROPIC_ORGANIZATION_ID" \
        "$ANTHROPIC_SERVICE_ACCOUNT_ID" "$ANTHROPIC_WORKSPACE_ID"')" "$rule $organization $account $workspace " \
        "the names that the SDKs read are set"
    tap_is "$(lab_guest_login dev-1 alice 'stat -c "%U %a" "$(readlink -f "$'$TOKEN_FILE'")"')" "alice 400" \
        "the file is a copy of alice's own"
    tap_is "$(exchange first)" 200 "Anthropic takes it"
    tap_is "$(model_answer first.access)" 200 "and the model what it is exchanged for"
    tap_is "$(status dev-1 '.grants[0].reason')" \
        "a token of this host, a new one every 20 s; what was signed works until it ends by itself" "status says what it is"
}

wait_start() {
    virsh_quiet start dev-1 && wait_proven dev-1 60
}

newer_than() {
    local now
    now=$(status dev-1 '.grants[0].keys | map(select(.state == "active")) | last | .generation')
    [ "${now:-0}" -gt "$1" ] 2>/dev/null
}

test_refresh() {
    local path before
    path=$(guest_path)
    before=$(status dev-1 '.grants[0].keys | last | .generation')
    tap_ok "at half of its life it is replaced" lab_wait_until 40 newer_than "$before"
    tap_ok "the earlier one is not kept" lab_wait_until 10 is_proven dev-1
    keep_token second
    tap_is "$(guest_path)" "$path" "at the same path"
    tap_ok "there is another" test "$(claim second llmhook_key)" != "$(claim first llmhook_key)"
    tap_ok "which lives longer" test "$(claim second exp)" -gt "$(claim first exp)"
    tap_is "$(exchange second)" 200 "Anthropic takes it as well"
    tap_ok "llmhook audit finds everything in order" llmhook audit --guests
}

test_stop() {
    local off on
    virsh_quiet destroy dev-1
    tap_ok "destroyed: it has no token any more" lab_wait_until 10 generations_are ""
    tap_is "$(status dev-1 '.grants[0].reason')" \
        "nothing is signed any more; what was signed ends by itself within 3 min" "status says what was signed lives on, and how long"
    off=$(lab_now_ms)
    lab_daemon_kill9
    tap_ok "the daemon is killed and comes back" lab_daemon_start
    tap_is "$(llmhook federation show --json | jq -c .wanted.issuer)" "$(jq -c .wanted.issuer "$KEYS/shown" | sed 's/"max_jwt_lifetime_seconds":[0-9]*/"max_jwt_lifetime_seconds":40/')" \
        "with the same signing key"
    on=$(lab_now_ms)
    tap_ok "started again, it has a token" wait_start
    tap_is "$(llmhook history dev-1 --json | jq --argjson off "$off" --argjson on "$on" \
        '[.events[] | select(.event == "key minted" and .at > $off) | .at < $on] | unique | tojson' -r)" "[false]" \
        "and none was signed while it was off"
    tap_ok "revoked by the operator: it is taken from the guest" llmhook revoke --yes dev-1
    tap_ok "and nothing is signed before the next boot" lab_wait_until 10 generations_are ""
    tap_is "$(status dev-1 '.grants[0].reason')" \
        "an operator revoked it; the next boot gets a new one; nothing is signed any more; what was signed ends by itself within 3 min" \
        "status says so"
    virsh_quiet destroy dev-1
}

test_host_exchange() {
    configure_federation "workspace = $workspace
organization = $organization
federation-rule = $rule
service-account = $account
token-lifetime = 40s
exchange = host"
    tap_ok "exchange = host: a VM is started" wait_start
    keep_token access ANTHROPIC_AUTH_TOKEN
    tap_is "$(head -c 13 "$KEYS/access")" sk-ant-oat01- "the guest has a ready access token"
    tap_is "$(guest_path)" "" "and no token of the host's"
    tap_is "$(model_answer access)" 200 "which the model takes"
    tap_is "$(federation "[.tokens[] | select(.sha256 == \"$(sha256sum <"$KEYS/access" | cut -c1-64)\") | .admin] | tojson")" \
        "[false]" "Anthropic gave it to this host"
}

# --- a service account for each domain ---

# usage: configure_accounts WHERE-THE-ADMIN-TOKEN-IS
configure_accounts() {
    configure_federation "workspace = $workspace
organization = $organization
service-account = per-domain
admin-key = file:$1
token-lifetime = 40s"
}

# The account and its rule of the domain with that UUID, as the guest names them; nothing: there is none that lives.
account_of() {
    federation '.service_accounts[] | select(.archived_at == null and (.name | contains("'"$1"'"))) | "\(.id) \(.rules | join(" "))"'
}
accounts_are() {
    [ "$(federation '[.service_accounts[] | select(.archived_at == null and (.description // "" | startswith("llmhook:")))] | length')" = "$1" ]
}
guest_place() {
    lab_guest_login "$1" alice 'printf "%s %s" "$ANTHROPIC_SERVICE_ACCOUNT_ID" "$ANTHROPIC_FEDERATION_RULE_ID"'
}
has_own_place() {
    [ -n "$(account_of "$2")" ] && [ "$(guest_place "$1")" = "$(account_of "$2")" ]
}

# What `llmhook usage` says of both, by domain: tokens that came out, and whether it was billed.
told_apart() {
    llmhook usage --json | jq -r '[.rows[] | select(.provider == "claude")] | group_by(.name) |
        map("\(.[0].name) \(map(.output_tokens // 0) | max) \([.[] | select(.source == "bill" and .micro_dollars > 0)] | length > 0)") | join(", ")'
}
told_apart_is() {
    [ "$(told_apart)" = "$1" ]
}

# usage: spend DOMAIN TOKENS
spend() {
    keep_token "$1" $TOKEN_FILE "$1"
    read -r account rule <<<"$(guest_place "$1")"
    exchange "$1" && model_answer "$1.access" "$2"
}

test_per_domain() {
    lab_domain_xml dev-2 --uuid $uuid2 | lab_define
    CONFIG_DAEMON=${CONFIG_DAEMON/usage-interval = never/usage-interval = 10s}
    configure_accounts "$KEYS/org-admin"
    virsh_quiet start dev-2
    tap_ok "service-account = per-domain: a running VM gets its own, and says so to programs" lab_wait_until 40 has_own_place dev-1 $uuid
    tap_ok "another VM as well" wait_proven dev-2 90
    tap_ok "another one" lab_wait_until 20 has_own_place dev-2 $uuid2
    tap_is "$(account_of $uuid | wc -w) $([ "$(account_of $uuid)" = "$(account_of $uuid2)" ] && echo the same)" "2 " "each has a rule of its own"
    tap_is "$(federation '.service_accounts[] | select(.name | contains("'$uuid2'")) | .description')" \
        "llmhook:$(llmhook status --json | jq -r .host_id):$uuid2:claude dev-2" "and says in the Console which domain it is"
    tap_is "$(spend dev-1 1000) $(spend dev-2 3000)" "200200 200200" "they ask models, the one for 1000 tokens, the other for 3000"
    tap_ok "llmhook usage tells them apart, in tokens and in dollars" lab_wait_until 60 told_apart_is "dev-1 1000 true, dev-2 3000 true"
    tap_ok "llmhook audit finds everything in order" llmhook audit
}

# usage: as_admin PATH BODY
as_admin() {
    (umask 077 && printf 'Authorization: Bearer %s\n' "$(cat "$KEYS/org-admin")" >"$KEYS/header")
    curl --silent --output /dev/null --header "@$KEYS/header" --header 'anthropic-version: 2023-06-01' \
        --header 'Content-Type: application/json' --data "$2" "$LAB_SANDBOX_URL/v1/organizations/$1"
}

# Somebody archives a VM's rule: what it is signed is worth nothing any more, which no answer to us ever says.
test_rule_archived() {
    local account before host
    host=$(llmhook status --json | jq -r .host_id)
    read -r account before <<<"$(account_of $uuid)"
    as_admin "federation_rules/$before/archive" '{}'
    # What was made less than half a minute ago may not be in the list yet.
    tap_ok "a rule is archived: llmhook audit misses it" lab_wait_until 50 audit_misses "llmhook:$host:$uuid:claude dev-1"
    llmhook audit --fix --yes >"$KEYS/fixed" 2>&1
    tap_ok "mended: the account has another rule" lab_wait_until 30 has_other_rule "$account" "$before"
    tap_ok "and the guest another place" lab_wait_until 40 has_own_place dev-1 $uuid
    tap_is "$(spend dev-1 10)" "200200" "in which it can ask models"
    tap_ok "llmhook audit finds everything in order again" llmhook audit
}
audit_misses() {
    [ "$(llmhook audit --json | jq -r '[.rows[] | select(.verdict == "missing") | .name] | join(" ")')" = "$1" ]
}
has_other_rule() {
    local account='' rule=''
    read -r account rule <<<"$(account_of $uuid)"
    [ "$account" = "$1" ] && [ -n "$rule" ] && [ "$rule" != "$2" ]
}

has_problem() {
    llmhook doctor --json | jq -e --arg piece "$1" '[.checks[] | select(.name == "provider claude") | .detail | contains($piece)] | any'
}

# The admin's token ends: what there is goes on, what there is not waits.
test_admin_token_ended() {
    local before
    cp "$KEYS/org-admin" "$KEYS/org-admin.good"
    echo a-token-that-has-ended >"$KEYS/org-admin"
    tap_ok "the admin's token has ended: llmhook doctor says so" lab_wait_until 40 has_problem "an OAuth token with the scope org:admin that has not ended"
    before=$(status dev-1 '.grants[0].keys | last | .generation')
    tap_ok "running VMs go on getting tokens" lab_wait_until 40 newer_than "$before"
    virsh_quiet destroy dev-2
    virsh_quiet undefine dev-2
    tap_ok "a VM that is undefined is not forgotten" lab_wait_until 30 has_container_error dev-2
    cp "$KEYS/org-admin.good" "$KEYS/org-admin"
    tap_ok "and with a new token its account is archived, with its rule" lab_wait_until 90 accounts_are 1
    tap_is "$(account_of $uuid2)" "" "it is that one"
}
has_container_error() {
    status_like "$1" '.grants[0].reason' '*has to be an OAuth token*' || status_like "$1" '.grants[0].status' 'archiving*'
}

# Made by an earlier host of our name, or half made when somebody cut the power: nobody knows of it.
test_orphan() {
    local host
    host=$(llmhook status --json | jq -r .host_id)
    as_admin service_accounts '{"name":"llmhook-'"$host"'-71000000-0000-4000-8000-00000000dead-claude"}'
    llmhook audit --json >"$KEYS/audit"
    tap_is "$(jq -r '[.rows[] | select(.verdict == "orphan") | "\(.provider) \(.name)"] | join(" ")' "$KEYS/audit")" \
        "claude llmhook:$host:71000000-0000-4000-8000-00000000dead:claude" "llmhook audit finds an account that nobody has"
    llmhook audit --fix --yes >"$KEYS/fixed" 2>&1
    tap_ok "and has it archived" lab_wait_until 30 orphan_is_gone
}

orphan_is_gone() {
    [ -z "$(account_of 71000000-0000-4000-8000-00000000dead)" ]
}

# The section is taken out while a domain has its account.
test_stranded() {
    CONFIG_PROVIDER=''
    CONFIG_POLICY=''
    system_configure && daemon_reload
    virsh_quiet destroy dev-1
    virsh_quiet undefine dev-1
    tap_ok "taken out of the configuration, and undefined: its account is archived all the same" lab_wait_until 40 accounts_are 0
}

test_undefine() {
    tap_ok "undefined: nothing is left of it" lab_wait_until 15 fails_with "no*dev-1" llmhook show dev-1
    tap_ok "llmhook audit finds everything in order" llmhook audit
    tap_is "$(grep -c -e eyJ -e sk-ant- -e PRIVATE "$LAB_DIR/llmhookd.log")" 0 "no token and no key is in the log"
}

CONFIG_PROVIDER='
[provider claude]
type = anthropic-federation'
CONFIG_POLICY='[policy dev-*]
providers = claude'
month_lasts 15
system_start
test_apply
test_without_ids
test_guest
test_refresh
test_stop
test_host_exchange
lab_sandbox_ctl POST /knobs '{"usage_lag_s":2,"cost_lag_s":6}' >/dev/null
test_per_domain
test_rule_archived
test_admin_token_ended
test_orphan
test_stranded
test_undefine
tap_done
