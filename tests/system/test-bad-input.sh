#!/bin/bash
# What people write wrongly: one clear message each, and no VM is the worse for
# it.
set -u
# shellcheck source-path=SCRIPTDIR source=common.sh
. "$(dirname "$0")/common.sh"
lab_enter "$0" "$@"

reason='.grants[0].status + ": " + .grants[0].reason'

# usage: write_config TEXT...: appended to what is right
write_config() {
    system_configure
    printf '%s\n' "$@" >>$CONFIG
}

test_configuration() {
    local status=0 good
    system_configure
    good=$(grep -c '' $CONFIG)
    write_config '[policy test-*]' 'montly-limit = 5'
    lab_daemon_start >/dev/null 2>&1
    tap_is "$(tail -1 "$LAB_DIR/llmhookd.log")" \
        "configuration: $CONFIG:$((good + 2)): a policy section has no key 'montly-limit': write providers, monthly-limit, rotate, overlap, on-stop, on-save, over-budget, required, boot-credential, owner or readers" \
        "a broken file at the start: file, line and what to write"
    wait "$LAB_DAEMON_PID" || status=$?
    tap_is $status 78 "and exit code 78"
    system_configure
    tap_ok "the same without the mistake starts" lab_daemon_start

    virsh_quiet start dev-1 --paused
    tap_ok "a VM has its key" wait_live_keys 1 20
    write_config '[provider second]' 'type = openai'
    echo '[policy test-*]' >>$CONFIG
    echo 'montly-limit = 5' >>$CONFIG
    daemon_reload
    tap_is "$(tail -3 "$LAB_DIR/llmhookd.log" | sed "s/: write.*//")" \
        "configuration: $CONFIG:$((good + 1)): this provider has no admin-key
configuration: $CONFIG:$((good + 4)): a policy section has no key 'montly-limit'
configuration: the earlier one stays in force" \
        "a broken file at a reload: each mistake with its line, and that the earlier one stays"
    tap_is "$(llmhook status --json | jq -r .configuration_problem)" \
        "$CONFIG:$((good + 1)): this provider has no admin-key: write admin-key = credential:NAME, env:NAME or file:/PATH below it" \
        "the status says so"
    tap_is "$(llmhook status | grep -c "the configuration in force is an older one: $CONFIG:$((good + 1)): this")" 1 "also to people"
    tap_is "$(live_keys)" 1 "the VM's key is alive"
    virsh_quiet start dev-2 --paused
    tap_ok "another VM starts and has one too" wait_live_keys 2 20
    chmod 0666 $CONFIG
    daemon_reload
    tap_is "$(llmhook status --json | jq -r .configuration_problem)" \
        "$CONFIG can be written by others (mode 0666): run chmod go-w $CONFIG" "a file that others can write is not read"
    system_configure
    chmod 0644 $CONFIG
    daemon_reload
    tap_is "$(llmhook status --json | jq -r .configuration_problem)" null "a right one: nothing is wrong any more"
    virsh_quiet destroy dev-2
}

# usage: start_ends WHAT LINE: the daemon does not start, LINE is its last word, and systemd is told not to try again.
start_ends() {
    local status=0
    lab_daemon_start >/dev/null 2>&1
    tap_is "$(tail -1 "$LAB_DIR/llmhookd.log")" "$2" "$1: a start says so"
    wait "$LAB_DAEMON_PID" || status=$?
    tap_is $status 78 "$1: and exit code 78"
}

# What a restart would stumble over is told before.
test_restart() {
    local host problem
    host=$(llmhook status --json | jq -r .host_id)
    problem="host-id is another in the configuration and $host in the ledger: what was made under the old name would be lost sight of; put the old one back"
    sed -i '/^.daemon.$/a host-id = another' $CONFIG
    daemon_reload
    tap_is "$(tail -2 "$LAB_DIR/llmhookd.log")" "configuration: $problem
configuration: the earlier one stays in force" "another host-id at a reload is refused"
    tap_is "$(llmhook status --json | jq -r .configuration_problem)" "$problem" "the status says so"
    lab_daemon_stop
    start_ends "another host-id" "$problem"

    system_configure
    sed -i "/^.daemon.\$/a host-id = $host" $CONFIG
    tap_ok "the one that it has is none" lab_daemon_start
    printf '[model-a]\ninput = 1\n' >/etc/llmhook/prices.conf
    sed -i '/^.daemon.$/a prices = /etc/llmhook/prices.conf' $CONFIG
    problem="configuration: prices: /etc/llmhook/prices.conf:1: model-a has no cached-input: a price has input, cached-input, output, date and checked"
    tap_ok "prices that are wrong: --check says so" fails_with "$problem" "$LLMHOOK_BUILD/src/llmhookd" --config $CONFIG --check
    lab_daemon_stop
    start_ends "prices that are wrong" "$problem"
    system_configure
    tap_ok "the same without them starts" lab_daemon_start
}

# As a disk that was full leaves a file. And what only a restart can change is nowhere used before one.
test_cut_short() {
    local problem="$CONFIG has no section, and the keys that are alive (1) would end: put back what was in it, or write [daemon] if nothing is to be given any more"
    : >$CONFIG
    daemon_reload
    tap_is "$(tail -2 "$LAB_DIR/llmhookd.log")" "configuration: $problem
configuration: the earlier one stays in force" "an empty file at a reload is refused"
    lab_daemon_stop
    start_ends "an empty file" "$problem"
    tap_is "$(live_keys)" 1 "the VM's key is alive"
    system_configure
    tap_ok "the right one starts" lab_daemon_start

    install -d -m 0700 /var/lib/elsewhere
    sed -i '/^.daemon.$/a state-directory = /var/lib/elsewhere' $CONFIG
    rm /var/lib/llmhook/required
    daemon_reload
    tap_is "$(ls /var/lib/elsewhere)" "" "another state-directory at a reload: nothing is put there before a restart"
    tap_ok "but where it was" test -e /var/lib/llmhook/required
    rmdir /var/lib/elsewhere
    system_configure
    daemon_reload
}

# A domain whose metadata is METADATA starts, and its status has a PROBLEM.
# usage: bad_metadata NAME PROBLEM METADATA
bad_metadata() {
    lab_domain_xml dev-3 --uuid 70000000-0000-4000-8000-000000000003 --metadata "$3" | lab_define
    tap_ok "$1: the VM starts" virsh_quiet start dev-3 --paused
    tap_ok "$1: the status says what is wrong" wait_status dev-3 .problem "$2" 20
    tap_is "$(live_keys 70000000-0000-4000-8000-000000000003)" 0 "$1: there is no key"
    virsh_quiet destroy dev-3
}

test_metadata() {
    local new="xmlns:llmhook='urn:llmhook:vm:1'"
    bad_metadata "an amount that is none" \
        "llmhook:key, attribute monthly-limit: 'lots' is not an amount of US dollars: write it like 100 or 12.50" "$(key_metadata '' "monthly-limit='lots'")"
    bad_metadata "an attribute that there is not" \
        "llmhook:vm has no attribute 'owners': write owner, required, boot-credential, readers, monthly-limit, rotate, overlap, on-stop, on-save or over-budget" "$(key_metadata "owners='alice'")"
    bad_metadata "a namespace of another version" \
        "the namespace urn:llmhook:vm:2 is not one that this llmhook knows: write urn:llmhook:vm:1 or install a newer llmhook" \
        "<llmhook:vm xmlns:llmhook='urn:llmhook:vm:2'/>"
    bad_metadata "one provider twice" "llmhook:key, attribute provider: 'openai' is there twice: keep one" \
        "<llmhook:vm $new><llmhook:key provider='openai'/><llmhook:key provider='openai'/></llmhook:vm>"

    lab_domain_xml dev-3 --uuid 70000000-0000-4000-8000-000000000003 --metadata \
        "<llmhook:vm $new><llmhook:key provider='opneai'/></llmhook:vm>" | lab_define
    tap_ok "an unknown provider: the VM starts" virsh_quiet start dev-3 --paused
    tap_ok "an unknown provider: the status says so" wait_status dev-3 "$reason" \
        "failing: there is no provider called opneai in the configuration" 20
    tap_is "$(status dev-3 '.grants[0].remedy')" "add a [provider opneai] section to $CONFIG and reload llmhookd" \
        "an unknown provider: and what to do"
    virsh_quiet destroy dev-3

    # A VM that runs with a key keeps it when its metadata become wrong.
    virsh_quiet metadata dev-1 --uri urn:llmhook:vm:1 --key llmhook --live --set "<vm rotate='often'/>"
    tap_ok "wrong metadata in a VM that runs: the status says so" wait_status_like dev-1 .problem "llmhook:vm, attribute rotate: *" 20
    tap_is "$(live_keys 70000000-0000-4000-8000-000000000001)" 1 "its key is kept"
    virsh_quiet metadata dev-1 --uri urn:llmhook:vm:1 --live --remove
    tap_ok "right ones: all is well again" wait_status dev-1 '.problem // "none"' none 20
}

test_two_providers() {
    CONFIG_PROVIDER="
[provider second]
type = openai
admin-key = file:$LAB_SANDBOX/admin-key
base-url = $LAB_SANDBOX_URL/v1"
    system_configure
    daemon_reload
    bad_metadata "two keys of one name" \
        "openai and second would both be OPENAI_API_KEY in the guest: give one of them another name (environment=\"...\" on its llmhook:key)" \
        "<llmhook:vm xmlns:llmhook='urn:llmhook:vm:1'><llmhook:key provider='openai'/><llmhook:key provider='second'/></llmhook:vm>"
    lab_domain_xml dev-3 --uuid 70000000-0000-4000-8000-000000000003 --metadata \
        "<llmhook:vm xmlns:llmhook='urn:llmhook:vm:1' monthly-limit='3'><llmhook:key provider='openai'/><llmhook:key provider='second' environment='SECOND_KEY'/></llmhook:vm>" | lab_define
    virsh_quiet start dev-3
    tap_ok "two keys of two names: both are made" wait_live_keys 2 20 70000000-0000-4000-8000-000000000003
    tap_ok "both are proven" wait_status dev-3 '.delivery + " " + ([.grants[].status] | tojson)' 'proven ["ok","ok"]' 60
    tap_is "$({ guest_hash dev-3; guest_hash dev-3 alice SECOND_KEY; } | sort)" \
        "$(live_hash 70000000-0000-4000-8000-000000000003 | sort)" "and in the guest"
    virsh_quiet metadata dev-3 --uri urn:llmhook:vm:1 --key llmhook --live --set \
        "<vm monthly-limit='9'><key provider='openai'/><key provider='second'/></vm>"
    tap_ok "one name for both while it runs: the status says so" wait_status_like dev-3 .problem "openai and second would both be *" 20
    tap_is "$(status dev-3 '[.grants[] | .monthly_limit, .environment] | tojson')" \
        '[3000000,"OPENAI_API_KEY",3000000,"SECOND_KEY"]' "nothing of it is applied"
    tap_is "$(live_keys 70000000-0000-4000-8000-000000000003)" 2 "it keeps both keys"
    remove_domain dev-3
    tap_ok "undefined: both are revoked" wait_live_keys 0 15 70000000-0000-4000-8000-000000000003
    tap_ok "and both projects archived" lab_wait_until 15 no_live_project_of 70000000-0000-4000-8000-000000000003
    CONFIG_PROVIDER=
    system_configure
    daemon_reload
}

# What a running VM's guest was given is what it is given again, also by a daemon that has never understood its metadata.
test_wrong_metadata_and_another_daemon() {
    local three=70000000-0000-4000-8000-000000000003
    lab_domain_xml dev-3 --uuid $three --metadata "$(key_metadata "readers='root'")" | lab_define
    virsh_quiet start dev-3
    tap_ok "a key for root alone" wait_proven dev-3 60
    tap_is "$(guest_hash dev-3)" none "others do not have it"
    virsh_quiet metadata dev-3 --uri urn:llmhook:vm:1 --key llmhook --live --set "<vm readers='root' rotate='often'/>"
    tap_ok "its metadata become wrong" wait_status_like dev-3 .problem "llmhook:vm, attribute rotate: *" 20
    lab_daemon_stop
    tap_ok "the daemon is started anew" lab_daemon_start
    tap_ok "and says what is wrong" wait_status_like dev-3 .problem "llmhook:vm, attribute rotate: *" 20
    tap_ok "the guest's agent is asked again for what it has" wait_status dev-3 .delivery proven 30
    tap_is "$(guest_hash dev-3)" none "others do not have it yet"
    tap_is "$(guest_hash dev-3 root)" "$(live_hash $three)" "root has"
    remove_domain dev-3
    tap_ok "undefined: it is revoked" wait_live_keys 0 15 $three
}

no_live_project_of() {
    [ -z "$(project "$1" 'select(.live)')" ]
}

# A VM starts, the status says REASON, and after COMMAND there is a key.
# usage: bad_provider NAME REASON COMMAND...
bad_provider() {
    local name=$1 wanted=$2
    shift 2
    tap_ok "$name: the VM starts" virsh_quiet start dev-2 --paused
    tap_ok "$name: the status says so" wait_status_like dev-2 "$reason" "$wanted" 20
    tap_ok "$name: and when it is tried next" lab_wait_until 10 is_tried_later dev-2
    tap_is "$(live_keys 70000000-0000-4000-8000-000000000002)" 0 "$name: there is no key"
    tap_is "$(virsh domstate dev-2 | head -1)" paused "$name: the VM is there"
    "$@"
    tap_ok "$name: corrected, a key is made" wait_live_keys 1 40 70000000-0000-4000-8000-000000000002
    virsh_quiet destroy dev-2
    tap_ok "$name: destroyed" wait_live_keys 0 15 70000000-0000-4000-8000-000000000002
}

right_key() {
    cat $KEYS/right-admin-key >$LAB_SANDBOX/admin-key
}

allow() {
    knob minting '"allow"'
}

# What an operator says of a boot that has no key yet holds for it, and of one that is over there is nothing to say.
test_revoked_without_a_key() {
    local dev_2=70000000-0000-4000-8000-000000000002 name verb
    knob minting '"forbid"'
    tap_ok "a provider that makes no key: the VM starts" virsh_quiet start dev-2 --paused
    tap_ok "it has none" wait_status_like dev-2 "$reason" "failing: *" 20
    tap_is "$(llmhook revoke --yes dev-2 2>&1; echo $?)" \
        "No key of dev-2 is alive, and none is made before its next boot.
0" "revoke says so"
    allow
    tap_ok "and it is held" wait_status dev-2 '.grants[0] | [.held, .status] | join(" ")' "true off" 20
    virsh_quiet destroy dev-2
    tap_ok "its next start" virsh_quiet start dev-2 --paused
    tap_ok "gets a key" wait_live_keys 1 40 $dev_2
    # A name that is none must not mean all of them.
    for name in "" "$(printf 'a%.0s' {1..40})"; do
        for verb in "revoke --yes" "revoke --yes --compromised" "rotate" "rotate --all --now"; do
            # shellcheck disable=SC2046,SC2086 # words
            tap_ok "$verb --provider '$name' is refused" fails_with "llmhookd does not accept 'provider'" \
                llmhook $verb --provider "$name" $([ "${verb#*--all}" != "$verb" ] || echo dev-2)
        done
    done
    tap_ok "a provider that nobody knows has not simply no keys" fails_with "llmhookd knows no provider 'opnai'" \
        llmhook rotate --all --now --provider opnai
    tap_ok "nor has the domain none of it" fails_with "llmhookd knows no provider 'opnai'" \
        llmhook revoke --yes --compromised --provider opnai dev-2
    tap_is "$(status dev-2 '[.grants[0].held, (.grants[0].keys | map(.state))] | tojson')" '[false,["minted"]]' \
        "and nothing has become of the key"
    virsh_quiet destroy dev-2
    tap_ok "and it is off" wait_status dev-2 '.state + " " + ([.grants[].keys[]] | tojson)' "off []" 20
    tap_is "$(llmhook revoke --yes dev-2 2>&1; echo $?)" "llmhook: domain 'dev-2' has no key to revoke
1" "revoke: there is nothing"
    tap_is "$(status dev-2 '.grants[0].held')" false "and nothing is held"
}

test_provider_says_no() {
    cp $LAB_SANDBOX/admin-key $KEYS/right-admin-key
    echo sk-admin-wrong >$LAB_SANDBOX/admin-key
    bad_provider "a wrong admin key" \
        "failing: openai does not accept our admin key: OpenAI does not accept the admin key (401): replace it where admin-key points" right_key
    mv $LAB_SANDBOX/admin-key $KEYS/away
    bad_provider "no admin key" "failing: openai is not asked: the admin key cannot be had: *$LAB_SANDBOX/admin-key*" \
        mv $KEYS/away $LAB_SANDBOX/admin-key
    knob minting '"forbid"'
    bad_provider "a policy of the provider's" \
        "failing: OpenAI refused (403): The organization's policy does not allow creating this kind of API key. (api_key_creation_forbidden)" allow
    tap_is "$(live_keys 70000000-0000-4000-8000-000000000001)" 1 "all the while the other VM's key is kept"
}

lab_hook_install && lab_libvirtd_start && system_sandbox_start || tap_bail_out "the lab does not start"
for n in 1 2; do
    lab_domain_xml dev-$n --uuid 70000000-0000-4000-8000-00000000000$n | lab_define
done
test_configuration
test_restart
test_cut_short
test_metadata
test_wrong_metadata_and_another_daemon
test_provider_says_no
test_revoked_without_a_key
test_two_providers
for n in 1 2; do
    remove_domain dev-$n
done
tap_ok "in the end nothing is alive" wait_live_keys 0 15
tap_ok "and all is in order" audit_is_clean
tap_done
