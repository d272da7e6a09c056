#!/bin/bash
# Anthropic's Workload Identity Federation: this host signs, Anthropic was told once, and the guest has a short-lived
# token whose file stays in its place while it is replaced. When the VM stops nothing more is signed.
# shellcheck disable=SC2016 # the guest expands
set -u
# shellcheck source-path=SCRIPTDIR source=common.sh
. "$(dirname "$0")/common.sh"
lab_enter "$0" "$@"

uuid=71000000-0000-4000-8000-000000000001
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
# usage: keep_token FILE [VARIABLE]
keep_token() {
    (
        umask 077
        if [ $# = 2 ]; then
            lab_guest_login dev-1 alice 'printf %s "$'"$2"'"' >"$KEYS/$1"
        else
            lab_guest_login dev-1 alice 'cat "$'$TOKEN_FILE'"' >"$KEYS/$1"
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

# What the model API answers to the access token in $KEYS/FILE.
model_answer() {
    (
        umask 077
        printf 'Authorization: Bearer %s\n' "$(cat "$KEYS/$1")" >"$KEYS/header"
    )
    curl --silent --output /dev/null --write-out '%{http_code}' --max-time 10 --header "@$KEYS/header" \
        --header 'anthropic-version: 2023-06-01' --header 'Content-Type: application/json' \
        --data '{"model":"claude-sonnet-5-5","max_tokens":8,"messages":[{"role":"user","content":"hello"}]}' \
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

test_undefine() {
    virsh_quiet destroy dev-1
    virsh_quiet undefine dev-1
    tap_ok "undefined: nothing is left of it" lab_wait_until 15 fails_with "no*dev-1" llmhook show dev-1
    tap_ok "llmhook audit finds everything in order" llmhook audit
    tap_is "$(grep -c -e eyJ -e sk-ant- -e PRIVATE "$LAB_DIR/llmhookd.log")" 0 "no token and no key is in the log"
}

CONFIG_PROVIDER='
[provider claude]
type = anthropic-federation'
CONFIG_POLICY='[policy dev-*]
providers = claude'
system_start
test_apply
test_without_ids
test_guest
test_refresh
test_stop
test_host_exchange
test_undefine
tap_done
