#!/bin/bash
# Where keys are kept at the provider: a project for each domain, for each
# owner, or one that is given; and that its limits follow the policy.
set -u
# shellcheck source-path=SCRIPTDIR source=common.sh
. "$(dirname "$0")/common.sh"
lab_enter "$0" "$@"

uuid() {
    echo "50000000-0000-4000-8000-00000000000$1"
}

# usage: idle NUMBER NAME [METADATA]: a VM of which no guest is needed
idle() {
    lab_domain_xml "$2" --uuid "$(uuid "$1")" --metadata "${3:-}" | lab_define
    virsh_quiet start --domain "$2" --paused
}

has_key() {
    wait_live_keys 1 20 "$(uuid "$1")"
}

limit() {
    project "$1" '.spend_limit | tojson'
}

limit_is() {
    [ "$(limit "$1")" = "$2" ]
}

test_policy() {
    idle 1 dev-1
    idle 2 other-1
    idle 3 other-2 "$(key_metadata "" "monthly-limit='7'")"
    idle 4 build-1
    tap_ok "the configuration's policy gives a key" has_key 1
    tap_is "$(limit "$(uuid 1)")" '{"cents":2500,"switched_on":true}' "with its limit"
    tap_ok "metadata gives one to a domain without a policy" has_key 3
    tap_is "$(limit "$(uuid 3)")" '{"cents":700,"switched_on":true}' "with its limit"
    tap_is "$(status other-1 .name)" "" "a domain that nobody named is none of ours"
    tap_is "$(status build-1 .name)" "" "nor one for which an earlier policy says so"
    tap_is "$(live_keys)" 2 "neither has a key"
    virsh_quiet metadata other-2 --uri urn:llmhook:vm:1 --key llmhook --live --set \
        "<vm><key provider='openai' monthly-limit='9.999'/></vm>"
    tap_ok "the limit follows the metadata, rounded up to cents" limit_is_soon "$(uuid 3)" '{"cents":1000,"switched_on":true}'
    tap_is "$(count_accounts_ever "$(uuid 3)")" 1 "with the same key"
    virsh_quiet metadata other-2 --uri urn:llmhook:vm:1 --live --remove
    tap_ok "no metadata, no key" wait_live_keys 0 15 "$(uuid 3)"
    CONFIG_POLICY=${CONFIG_POLICY/= 25/= 30}
    system_configure
    daemon_reload
    tap_ok "the limit follows the configuration" limit_is_soon "$(uuid 1)" '{"cents":3000,"switched_on":true}'
    tap_ok "a rate limit is wanted from now on" reload_with 'rate-limit = gpt-4o requests-per-minute=50'
    tap_ok "the project gets it" lab_wait_until 20 rate_is "$(uuid 1)" 50
}

# The project's name has room for a part of it, which ends in the middle of a character: that would be no JSON.
test_long_name() {
    local umlauts
    LC_ALL=C.UTF-8 lab_libvirtd_restart # in C it starts no such domain
    umlauts=$(printf 'ü%.0s' {1..40})
    idle a "dev-1$umlauts"
    tap_ok "a name that is long and not ASCII gets a key" has_key a
    tap_is "$(project "$(uuid a)" '.name | sub(".* "; "") | length')" 32 "in a project that is named by the beginning of it"
    tap_is "$(status "dev-1$umlauts" .name)" "dev-1$umlauts" "and the status says all of it"
    remove_domain "dev-1$umlauts"
}

# Every domain has been looked at since the daemon began.
all_are_seen() {
    llmhook status --json | jq -e 'all(.domains[]; .state != "unknown")' >/dev/null
}

limit_is_soon() {
    lab_wait_until 20 limit_is "$@"
}

reload_with() {
    CONFIG_PROVIDER=$1
    system_configure
    daemon_reload
}

rate_is() {
    [ "$(curl -s -H @$KEYS/admin "$LAB_SANDBOX_URL$PROJECTS/$(project "$1" .id)/rate_limits" |
        jq '.data[] | select(.model == "gpt-4o") | .max_requests_per_1_minute')" = "$2" ]
}

# From here on by owner. Keys that are there stay where they are.
test_owner() {
    local id limits
    reload_with 'project = per-owner'
    idle 5 dev-5 "$(key_metadata "owner='alice'" "monthly-limit='10'")"
    idle 6 dev-6 "$(key_metadata "owner='alice'" "monthly-limit='15'")"
    idle 7 dev-7
    tap_ok "per owner: two of one owner have keys" eval "has_key 5 && has_key 6"
    tap_is "$(project :owner=alice:openai '.service_accounts | length')" 2 "in one project"
    tap_ok "whose limit is the sum" limit_is_soon :owner=alice:openai '{"cents":2500,"switched_on":true}'
    tap_ok "one without an owner has a key" has_key 7
    tap_is "$(status dev-5 '.grants[0].monthly_limit_enforced') $(status dev-7 '.grants[0].monthly_limit_enforced')" \
        "nobody provider" "the provider holds the sum, and of the two nobody's own limit"
    lab_daemon_stop
    limits=$(requests "POST $PROJECTS/$(project :owner=alice:openai .id)/spend_limit")
    tap_ok "the daemon is started anew" lab_daemon_start
    tap_ok "and has seen everybody" lab_wait_until 20 all_are_seen
    tap_ok "it finds all in order" audit_is_clean
    tap_is "$(requests "POST $PROJECTS/$(project :owner=alice:openai .id)/spend_limit")" "$limits" \
        "and sets no limit for those who share one that it has not looked at yet"
    tap_is "$(project "$(uuid 7)" '.service_accounts | length')" 1 "in a project of its own"
    tap_is "$(project "$(uuid 1)" .live)" true "who had one before keeps it"
    id=$(project :owner=alice:openai .id)
    virsh_quiet destroy dev-5
    virsh_quiet undefine dev-5
    tap_ok "one of the two is undefined: its key is revoked" wait_live_keys 0 15 "$(uuid 5)"
    tap_is "$(live_keys "$(uuid 6)")" 1 "the other's is not"
    tap_ok "the limit is what is left" limit_is_soon :owner=alice:openai '{"cents":1500,"switched_on":true}'
    virsh_quiet destroy dev-6
    virsh_quiet undefine dev-6
    tap_ok "both are undefined: no key is alive" wait_live_keys 0 15 "$(uuid 6)"
    tap_is "$(project :owner=alice:openai .live)" true "the owner's project stays"
    idle 6 dev-6 "$(key_metadata "owner='alice'" "monthly-limit='15'")"
    tap_ok "a new one of that owner has a key" has_key 6
    tap_is "$(project :owner=alice:openai .id)" "$id" "in the same project"
    remove_domain dev-6
    tap_ok "undefined as well: its key is revoked" wait_live_keys 0 15 "$(uuid 6)"
    lab_sandbox_ctl POST /outside '{"action":"archive-project","project_id":"'"$id"'"}' >/dev/null
    tap_ok "somebody archives the project that no domain uses: an audit misses it" \
        lab_wait_until 45 fails_with "missing*llmhook:*:owner=alice:openai*" llmhook audit
    llmhook audit --fix --yes >/dev/null
    tap_ok "--fix: nobody waits for a domain to use it" audit_is_clean
}

test_given() {
    local id own other
    id=$(lab_sandbox_ctl POST /outside '{"action":"create-project","name":"made by hand"}' | jq -r .project_id)
    reload_with "project = $id"
    idle 8 dev-8
    tap_ok "a given project: a key is made" has_key 8
    tap_is "$(project "made by hand" '.service_accounts | length')" 1 "in it"
    tap_is "$(limit "made by hand")" null "which gets no limit from us"
    tap_is "$(status dev-8 '.grants[0].monthly_limit_enforced')" nobody "and the status says that nobody enforces ours"
    own=$(lab_sandbox_ctl POST /outside '{"action":"create-service-account","project_id":"'"$id"'","name":"my own"}' |
        jq -r .service_account_id)
    tap_ok "an audit looks for what is ours in it" audit_is_clean
    tap_is "$(llmhook audit --json | jq '[.rows[] | select(.name == "my own" or .name == "made by hand")] | length')" 0 \
        "and shows nothing else"
    lab_sandbox_ctl POST /outside '{"action":"delete-service-account","project_id":"'"$id"'",
        "service_account_id":"'"$own"'"}' >/dev/null
    other=$(lab_sandbox_ctl POST /outside '{"action":"create-project","name":"another"}' | jq -r .project_id)
    reload_with "project = $other"
    tap_is "$(llmhook audit --json | jq -c '[.complete, (.rows[] | select(.domain == "dev-8" and .kind == "key") | .verdict)]')" '[true,"ok"]' \
        "another is given: it looks into the first as well, where the key is"
    remove_domain dev-8
    tap_ok "undefined: the key is revoked" wait_live_keys 0 15 "$(uuid 8)"
    tap_ok "the domain is forgotten" lab_wait_until 15 fails_with "no*dev-8" llmhook show dev-8
    tap_is "$(project "made by hand" .live)" true "the project is left alone"
    idle 8 dev-8
    tap_ok "and in the other a key is made" has_key 8
    reload_with "project = $id"
    lab_sandbox_ctl POST /outside '{"action":"archive-project","project_id":"'"$other"'"}' >/dev/null
    tap_ok "one that is not to be seen any more: an audit says what it has not looked at" \
        fails_with "*keys in a project that cannot be seen, *are not compared: 1*incomplete*" llmhook audit
    remove_domain dev-8
    reload_with 'project = proj_thatIsNotThere'
    idle 9 dev-9
    tap_ok "a project that is not there: the status says so" wait_status_like dev-9 '.grants[0].reason' '*404*' 20
    tap_ok "and when it is tried next" lab_wait_until 10 is_tried_later dev-9
    tap_ok "audit says that it could not look there" fails_with "*404*incomplete*" llmhook audit
    remove_domain dev-9
    reload_with ''
}

CONFIG_POLICY='[policy build-*]

[policy dev-*]
providers = openai
monthly-limit = 25

[policy *ild-*]
providers = openai
monthly-limit = 25'
system_start
test_policy
test_long_name
test_owner
test_given
for domain in $(virsh list --all --name); do
    remove_domain "$domain"
done
tap_ok "in the end nothing is alive" wait_live_keys 0 15
tap_ok "and all is in order" audit_is_clean
tap_done
