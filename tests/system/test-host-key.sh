#!/bin/bash
# The host's own key in every VM: delivered as it is, said to be shared, and
# replaced in the guests when the host has another.
set -u
# shellcheck source-path=SCRIPTDIR source=common.sh
. "$(dirname "$0")/common.sh"
lab_enter "$0" "$@"

one=51000000-0000-4000-8000-000000000001
place=$KEYS/host-key

# usage: put_key TEXT
put_key() {
    (umask 077 && printf '%s\n' "$1" >$place.new && mv $place.new $place)
}

hash_of() {
    printf %s "$1" | sha256sum | cut -c1-64
}

has() {
    guest_hash_is dev-1 "$(hash_of "$1")"
}

wait_has() {
    lab_wait_until "$2" has "$1"
}

fails_to() {
    ! "$@"
}

shown() {
    llmhook show dev-1 | tr -s ' \n' ' ' | grep -qF "$1"
}

test_shared() {
    tap_ok "a VM has the host's key" wait_proven dev-1 60
    tap_ok "as it is" has sk-test-host-0123456789-first
    tap_is "$(status dev-1 .grants[0].shared)" true "status: it is shared"
    tap_is "$(status dev-1 .grants[0].reason)" \
        "shared: the host's own key; nobody enforces its budget, and it cannot be revoked" "in words"
    tap_is "$(status dev-1 .grants[0].monthly_limit_enforced)" nobody "nobody enforces a budget"
    tap_ok "show says the same" shown "shared: the host's own key"
    tap_is "$(llmhook audit --json | jq -r '.complete, (.rows[] | select(.kind == "key") | .verdict + " " + .reason)')" \
        "true
ok shared: the host's own key; nobody lists it" "and so does the audit"
    tap_is "$(requests POST)" 0 "no provider was asked for one"
}

test_changed() {
    put_key sk-test-host-0123456789-second
    tap_ok "the host has another key, and reloads" daemon_reload
    tap_ok "the guest gets it" wait_has sk-test-host-0123456789-second 20
    tap_ok "the earlier row ends after its overlap" \
        wait_status dev-1 '.grants[0].keys | map("\(.generation) \(.state)") | join(",")' "2 active" 20
    tap_ok "a reload that changes nothing" daemon_reload
    put_key sk-test-host-0123456789-third
    lab_daemon_stop
    tap_ok "it changes while the daemon is down" lab_daemon_start
    tap_ok "the guest gets it" wait_has sk-test-host-0123456789-third 30
}

test_missing() {
    rm -f $place
    tap_ok "the key's file is gone: a VM that runs keeps what it has" has sk-test-host-0123456789-third
    virsh_quiet destroy dev-1
    tap_ok "stopped: nothing is alive" wait_status dev-1 '.grants[0].keys | length' 0 15
    virsh_quiet start dev-1
    tap_ok "the next start has none, and says why" wait_status_like dev-1 '.grants[0].reason' \
        "*the key cannot be had: file:$place: there is no file*" 20
    tap_ok "and what to do" status_like dev-1 '.grants[0].remedy' "*file:$place*"
    put_key sk-test-host-0123456789-fourth
    tap_ok "put back: the guest gets it by itself" wait_has sk-test-host-0123456789-fourth 60
}

install -d -m 0700 $KEYS
put_key sk-test-host-0123456789-first
CONFIG_POLICY="[provider host]
type = static
key = file:$place
environment = OPENAI_API_KEY

[policy dev-*]
providers = host
overlap = 1s"
system_start
lab_domain_xml dev-1 --uuid $one | lab_define
virsh_quiet start dev-1
test_shared
test_changed
test_missing
remove_domain dev-1
tap_ok "undefined: forgotten" lab_wait_until 20 fails_with "no*dev-1" llmhook show dev-1
tap_done
