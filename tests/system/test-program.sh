#!/bin/bash
# A program as the provider, with the example that is installed: the whole story
# of its keys, suspended while their VM does not run.
set -u
# shellcheck source-path=SCRIPTDIR source=common.sh
. "$(dirname "$0")/common.sh"
lab_enter "$0" "$@"

one=53000000-0000-4000-8000-000000000001
store=$KEYS/gateway

# What the gateway takes now: the SHA-256 of each token.
tokens() {
    [ -f $store.tokens ] || return 0
    while read -r token; do
        printf %s "$token" | sha256sum | cut -c1-64
    done <$store.tokens
}

names() {
    jq -r '.keys[].name' $store
}

tokens_are() {
    [ "$(tokens | grep -c .)" = "$1" ]
}

nothing_is_left() {
    [ -z "$(names)" ]
}

limit_is() {
    [ "$(cat $store.limits)" = "$1" ]
}

guest_has_token() {
    local hash
    hash=$(tokens)
    [ "${#hash}" = 64 ] && guest_hash_is dev-1 "$hash"
}

test_story() {
    local first
    tap_ok "a VM gets a key of the program's" wait_proven dev-1 60
    tap_ok "it is the one that the gateway takes" guest_has_token
    tap_is "$(cat $store.limits)" 25000000 "for as much as the policy says"
    CONFIG_POLICY=${CONFIG_POLICY/monthly-limit = 25/monthly-limit = 40}
    system_configure && daemon_reload
    tap_ok "the policy says more: the program changes the living key" lab_wait_until 20 limit_is 40000000
    tap_ok "which it is still" guest_has_token
    tap_is "$(names)" "$(status dev-1 '.grants[0].keys[0].name')" "under its own name"
    first=$(tokens)
    virsh_quiet destroy dev-1
    tap_ok "stopped: it is suspended" wait_status dev-1 '.grants[0].keys | map(.state) | join(",")' suspended 20
    tap_ok "the gateway does not take it" lab_wait_until 20 tokens_are 0
    virsh_quiet start dev-1
    tap_ok "started: it is proven again" wait_proven dev-1 60
    tap_is "$(tokens)" "$first" "the same key"
    tap_ok "audit: all is in order" audit_is_clean
    tap_ok "revoke" llmhook revoke --yes dev-1
    tap_ok "the gateway does not know it any more" lab_wait_until 20 tokens_are 0
    tap_is "$(names)" "" "nor does the store"
}

# An id is unique at one provider alone.
test_same_ids() {
    local id name
    virsh_quiet destroy dev-1
    virsh_quiet start dev-1
    tap_ok "a new boot has a key" wait_proven dev-1 60
    CONFIG_POLICY+="

[provider other]
type = exec
program = $KEYS/provider $KEYS/other
environment = OTHER_API_KEY"
    system_configure && daemon_reload
    id=$(status dev-1 '.grants[0].keys[0].remote_id')
    name="llmhook:$(llmhook status --json | jq -r .host_id):$one:other:g9"
    jq -n --arg id "$id" --arg name "$name" '{keys: [{id: $id, name: $name}]}' >$KEYS/other
    tap_ok "another program has a key with its id, under our name: the audit finds it" \
        fails_with "*orphan*$name*" llmhook audit
    tap_ok "which is put right" llmhook audit --fix --yes
    tap_ok "by revoking it there" lab_wait_until 20 no_other
    tap_ok "and not the VM's" wait_proven dev-1 20
    tap_is "$(names)" "$(status dev-1 '.grants[0].keys[0].name')" "which the gateway still has"
}

no_other() {
    [ "$(jq -c .keys $KEYS/other)" = "[]" ]
}

# The next start, with a program that does not do what it should.
test_trouble() {
    virsh_quiet destroy dev-1
    chmod 0777 $KEYS/provider
    virsh_quiet start dev-1
    tap_ok "writable by others: it is not run, and status says why" \
        wait_status_like dev-1 '.grants[0].reason' "*can be written by others (mode 777): chmod go-w*" 20
    chmod 0755 $KEYS/provider
    tap_ok "put right: a key by itself" wait_proven dev-1 90
    remove_domain dev-1
    tap_ok "undefined: nothing is left" lab_wait_until 30 tokens_are 0
    tap_ok "the domain is forgotten" lab_wait_until 15 fails_with "no*dev-1" llmhook show dev-1
}

# A program whose answer depends on the project: asked about a key in another one, it says that there is no such key.
test_another_project() {
    cat >$KEYS/by-project <<-'END'
	#!/bin/sh
	question=$(cat)
	here=${0%/*}
	project=$(printf '%s' "$question" | jq --raw-output .project)
	printf '%s' "$question" | "$here/provider" "$here/in-$project"
	END
    chmod 0755 $KEYS/by-project
    CONFIG_POLICY=${CONFIG_POLICY//"$KEYS/provider $store"/"$KEYS/by-project"$'\nproject = team-a'}
    CONFIG_POLICY=${CONFIG_POLICY%%"[provider other]"*}
    system_configure && daemon_reload
    lab_domain_xml dev-2 --uuid 53000000-0000-4000-8000-000000000002 | lab_define
    virsh_quiet start dev-2
    tap_ok "a VM gets a key in the project" wait_proven dev-2 60
    store=$KEYS/in-team-a
    tap_ok "which is there" tokens_are 1
    CONFIG_POLICY=${CONFIG_POLICY/team-a/team-b}
    system_configure && daemon_reload
    tap_ok "another project: the log says that it waits" \
        logged "[provider gateway] has become another, of project team-b: it is not in force"
    tap_ok "doctor says what to do" doctor_advises "give the section another name, or put project = team-a back"
    tap_ok "the VM keeps its key" wait_proven dev-2 20
    remove_domain dev-2
    tap_ok "undefined: it is revoked where it was made" lab_wait_until 30 nothing_is_left
    lab_domain_xml dev-3 --uuid 53000000-0000-4000-8000-000000000003 | lab_define
    virsh_quiet start dev-3
    tap_ok "nothing is left of the earlier: the next VM gets a key" wait_proven dev-3 90
    store=$KEYS/in-team-b
    tap_ok "in the other project" tokens_are 1
    remove_domain dev-3
    tap_ok "which ends with it" lab_wait_until 30 tokens_are 0
}

install -d -m 0700 $KEYS
install -m 0755 "$LLMHOOK_SOURCE/packaging/examples/provider-file.sh" $KEYS/provider
CONFIG_POLICY="[provider gateway]
type = exec
program = $KEYS/provider $store
can = suspend change-limit
environment = OPENAI_API_KEY

[policy dev-*]
providers = gateway
monthly-limit = 25
on-stop = suspend"
system_start
lab_domain_xml dev-1 --uuid $one | lab_define
virsh_quiet start dev-1
test_story
test_same_ids
test_trouble
test_another_project
tap_done
