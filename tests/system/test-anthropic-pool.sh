#!/bin/bash
# Anthropic's keys from the beginning to the end: made by a person, put into the
# pool, claimed by a VM, inactive while that is off, active again with the same
# key, archived when it is undefined, and never another's.
# shellcheck disable=SC2016 # the guest expands
set -u
# shellcheck source-path=SCRIPTDIR source=common.sh
. "$(dirname "$0")/common.sh"
lab_enter "$0" "$@"

first=40000000-0000-4000-8000-000000000001
second=40000000-0000-4000-8000-000000000002

system_configure() {
    mkdir -p /etc/llmhook
    cat >$CONFIG <<END_OF_IT
[daemon]
undefine-grace = 2s
audit-interval = never

[provider anthropic]
admin-key = file:$LAB_SANDBOX/admin-key
base-url = $LAB_SANDBOX_URL
pool-low = 2

[policy dev-*]
providers = anthropic
monthly-limit = 25
END_OF_IT
}

# The Console's deed: a key whose secret is in the 0600 file $KEYS/NAME, and its
# id in $KEYS/NAME.id.
# usage: console_makes NAME [JSON FIELDS...]
console_makes() {
    (
        umask 077
        lab_sandbox_ctl POST /outside '{"action":"create-api-key","name":"'"$1"'"'"$(printf ',%s' "${@:2}" | sed 's/^,$//')"'}' >$KEYS/answer
        jq -r .value $KEYS/answer >"$KEYS/$1"
        printf 'x-api-key: %s\n' "$(cat "$KEYS/$1")" >"$KEYS/$1.header"
        jq -r .api_key_id $KEYS/answer >"$KEYS/$1.id"
        rm $KEYS/answer
    )
}

# A field of one of the sandbox's keys.
# usage: console_key NAME FILTER
console_key() {
    sandbox_state | jq -r --arg id "$(cat "$KEYS/$1.id")" '.anthropic.workspaces[].keys[] | select(.id == $id) | '"$2"
}

console_key_is() {
    [ "$(console_key "$1" "$2")" = "$3" ]
}

# What the model API answers to it.
use() {
    curl --silent --output /dev/null --write-out '%{http_code}' --max-time 10 --header "@$KEYS/$1.header" \
        --header 'anthropic-version: 2023-06-01' --header 'Content-Type: application/json' \
        --data '{"model":"claude-sonnet-5-5","max_tokens":8,"messages":[{"role":"user","content":"hello"}]}' \
        "$LAB_SANDBOX_URL/v1/messages"
}

pool() {
    llmhook pool list --json | jq -c "$1"
}

pool_is() {
    [ "$(pool "$1")" = "$2" ]
}

# shellcheck disable=SC2317 # lab_wait_until calls it
pool_alerts_are() {
    [ "$(llmhook alert list --json | jq '[.alerts[] | select(.kind == "pool-low" and .provider == "anthropic")] | length')" = "$1" ]
}

test_empty() {
    lab_domain_xml dev-1 --uuid $first | lab_define
    virsh_quiet start dev-1
    tap_ok "a domain that finds the pool empty is told so" wait_status_like dev-1 '.grants[0].reason' '*no key of*pool*' 20
    tap_ok "with what to do about it" status_like dev-1 '.grants[0].remedy' '*llmhook pool add anthropic*'
    tap_is "$(llmhook status --json | jq -r '.warnings[]' | grep -c 'the pool of anthropic has no free key')" 1 \
        "the status warns"
    tap_ok "and the journal" grep -q 'the pool of anthropic has no free key' "$LAB_DIR/llmhookd.log"
    tap_ok "and an alert, once" lab_wait_until 40 pool_alerts_are 1
}

test_add() {
    console_makes one
    console_makes two
    tap_is "$(llmhook pool add anthropic --name first <$KEYS/one | grep -c "$(cat $KEYS/one.id)")" 1 \
        "llmhook pool add finds out which key it is"
    tap_ok "which is switched on for the domain that waited" lab_wait_until 20 console_key_is one .status active
    tap_ok "and takes none twice" fails_with '*in the pool already*' llmhook pool add anthropic --from "file:$KEYS/one"
    (umask 077 && printf 'sk-ant-api03-%s\n' nobody-ever-made-this-one >$KEYS/none)
    tap_ok "nor one that the provider does not know" fails_with '*no living key that begins and ends like this one*' \
        llmhook pool add anthropic --from "file:$KEYS/none"
    tap_ok "the domain that waited has it at once" wait_proven dev-1 60
    tap_is "$(console_key one .status)" active "and its key works on"
    tap_is "$(console_key two .status)" active "one that somebody has made works"
    tap_ok "another is taken from where a reference says" llmhook pool add anthropic --from "file:$KEYS/two"
    tap_is "$(console_key two .status) $(use two)" "inactive 401" "it is switched off until a domain claims it"
    tap_is "$(pool '[.keys[] | [.label, .state, .domain]]')" '[["first","active","dev-1"],["two","free",null]]' \
        "llmhook pool list says whose each is"
}

can_add() {
    llmhook pool add anthropic --from "file:$KEYS/$1" >/dev/null 2>&1
}

# An operator's deed goes through the gate that is there for everybody.
test_add_when_it_fails() {
    local before
    console_makes three
    fault '{"match":"GET /v1/organizations/api_keys","mode":"status","status":429,"retry_after":8}'
    tap_ok "Anthropic asks for fewer requests: none is added" fails_with '*asks for fewer requests (429)*' \
        llmhook pool add anthropic --from "file:$KEYS/three"
    before=$(requests "GET /v1/organizations/api_keys")
    tap_ok "asked for again, the answer comes at once, with what to do" \
        fails_with '*anthropic is not asked now: Anthropic asks for fewer requests (429)*Nothing was added: try again in * s*' \
        llmhook pool add anthropic --from "file:$KEYS/three"
    tap_is "$(requests "GET /v1/organizations/api_keys")" "$before" "and Anthropic was not asked"
    tap_ok "then it is added" lab_wait_until 20 can_add three
    llmhook pool remove anthropic "$(cat $KEYS/three.id)" >/dev/null
    tap_is "$(sqlite3 -readonly /var/lib/llmhook/ledger.sqlite "SELECT actor FROM journal
        WHERE event = 'pool key removed' AND cause = '$(cat $KEYS/three.id)'")" operator "who took it out is in the journal"
    fault '{"match":"GET /v1/organizations/api_keys","mode":"status","status":401}'
    tap_ok "the admin key is refused: none is added" fails_with '*does not accept the admin key (401)*' \
        llmhook pool add anthropic --from "file:$KEYS/three"
    faults_end
    tap_ok "put right, it is tried at once" can_add three
    llmhook pool remove anthropic "$(cat $KEYS/three.id)" >/dev/null
    # Carried out late, it would switch off what a domain has claimed meanwhile.
    fault '{"match":"POST /v1/organizations/api_keys/*","mode":"drop-after"}'
    tap_ok "switching it off is not answered: it is not added" fails_with '*could not be switched off*' \
        llmhook pool add anthropic --from "file:$KEYS/three"
    faults_end
    daemon_reload
    tap_ok "nor is it while that may yet be done, reload or not" fails_with '*may do it yet*try again in * s*' try_until_not_closed three
    tap_ok "after that it is" lab_wait_until 40 can_add three
    llmhook pool remove anthropic "$(cat $KEYS/three.id)" >/dev/null
}
# The provider is not asked for a moment after any failure.
try_until_not_closed() {
    local said
    until said=$(llmhook pool add anthropic --from "file:$KEYS/$1" 2>&1) || ! grep -q 'is not asked now' <<<"$said"; do sleep 0.2; done
    echo "$said" >&2
    grep -q 'may do it yet' <<<"$said" && return 1
}

test_use() {
    tap_is "$(console_key one .name)" "llmhook:$(llmhook status --json | jq -r .host_id):$first:anthropic:g1" \
        "at the provider it is called after host, domain and generation"
    tap_is "$(console_key one .status)" active "and active"
    tap_is "$(guest_hash dev-1 alice ANTHROPIC_API_KEY)" "$(console_key one .sha256)" \
        "the guest's login shells have it in ANTHROPIC_API_KEY"
    tap_is "$(use one)" 200 "a model answers to it"
    tap_ok "llmhook audit finds everything in order" llmhook audit --guests
    tap_ok "a claimed key cannot be taken out" fails_with '*a domain has claimed it*' \
        llmhook pool remove anthropic "$(cat $KEYS/one.id)"
    tap_is "$(grep -rlF -f $KEYS/one $KEYS/one.header /var/lib/llmhook "$LAB_DIR/llmhookd.log")" $KEYS/one.header \
        "nothing on the disk holds its secret, where a search finds it in a file of ours"
}

test_stop() {
    virsh_quiet destroy dev-1
    tap_ok "destroyed: the key is inactive" lab_wait_until 10 console_key_is one .status inactive
    tap_is "$(use one)" 401 "and no model answers to it"
    tap_ok "which the pool says too" lab_wait_until 5 pool_is '.keys[0].state' '"suspended"'
    virsh_quiet start dev-1
    tap_ok "started again: it is the domain's once more" wait_proven dev-1 60
    tap_is "$(console_key one .status)" active "active"
    tap_is "$(guest_hash dev-1 alice ANTHROPIC_API_KEY)" "$(console_key one .sha256)" "the same key, in the guest"
    tap_is "$(use one)" 200 "and a model answers"
}

test_second() {
    lab_domain_xml dev-2 --uuid $second | lab_define
    virsh_quiet start dev-2
    tap_ok "a second domain has a key" wait_proven dev-2 60
    tap_is "$(guest_hash dev-2 alice ANTHROPIC_API_KEY)" "$(console_key two .sha256)" "the second one"
    remove_domain dev-1
    tap_ok "undefined: the first is archived" lab_wait_until 20 console_key_is one .status archived
    tap_is "$(use one)" 401 "no model answers to it"
    lab_domain_xml dev-1 --uuid $first | lab_define
    virsh_quiet start dev-1
    tap_ok "it is given to nobody again, not even to the same domain" \
        wait_status_like dev-1 '.grants[0].reason' '*no key of*pool*' 30
    tap_ok "nor can it be added again" fails_with 'no living key that begins and ends like this one' \
        llmhook pool add anthropic --from "file:$KEYS/one"
    tap_is "$(console_key one .status)" archived "it stays archived"
    remove_domain dev-1
    remove_domain dev-2
    tap_ok "the second is archived with its domain" lab_wait_until 20 console_key_is two .status archived
    tap_ok "llmhook audit finds everything in order" llmhook audit
}

# What a person can make in the Console beside the usual.
test_kinds() {
    local ends
    console_makes everywhere '"status":"of-organization"'
    tap_ok "a key that is in no workspace could administrate the organisation, and is not added" \
        fails_with '*of the whole organisation*Make one in a workspace*' llmhook pool add anthropic --from "file:$KEYS/everywhere"
    tap_is "$(console_key everywhere .status)" active "nothing was done to it"
    console_makes brief '"seconds":3600'
    tap_is "$(llmhook pool add anthropic --from "file:$KEYS/brief" | grep -c 'It ends at .*: a domain that has it')" 1 \
        "of one that ends it is said when"
    lab_domain_xml dev-1 --uuid $first | lab_define
    virsh_quiet start dev-1
    tap_ok "a domain has it" wait_proven dev-1 60
    (umask 077 && printf 'x-api-key: %s\n' "$(cat $LAB_SANDBOX/admin-key)" >$KEYS/administrator)
    ends=$(curl --silent --max-time 10 --header "@$KEYS/administrator" --header 'anthropic-version: 2023-06-01' \
        "$LAB_SANDBOX_URL/v1/organizations/api_keys/$(cat $KEYS/brief.id)" | jq -r '.expires_at | sub("\\.[0-9]+"; "") | fromdate')
    tap_is "$(($(status dev-1 '.grants[0].keys[0].expires_at') / 1000))" "$ends" "and llmhook knows when that is, to replace it before"
    remove_domain dev-1
    tap_ok "it is archived with its domain" lab_wait_until 20 console_key_is brief .status archived
    tap_ok "the daemon logged no error" logged_no_error
}

system_start
test_empty
test_add
test_add_when_it_fails
[ "$TAP_FAILED" = 0 ] || tap_bail_out "no key, no story"
test_use
test_stop
test_second
test_kinds
tap_done
