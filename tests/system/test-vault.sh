#!/bin/bash
# The story of a key that Vault makes: a VM gets it while it boots, uses it, and keeps it longer than one lease lasts, since
# it is renewed. Vault is sealed meanwhile, its engine's most is reached, the token is replaced by another, a lease vanishes,
# an answer is lost: the VM goes on, and in the end nothing is alive.
set -u
# shellcheck source-path=SCRIPTDIR source=common.sh
. "$(dirname "$0")/common.sh"
lab_enter "$0" "$@"

uuid=50000000-0000-4000-8000-000000000001 vm=leased
LEASE=16 # seconds
# Until another token is used: it is fetched when the earlier one was kept for 30 s, and seen when a lease is looked at.
TAKEN_UP=$((30 + LEASE / 2 + 30))
minting="GET /vault/v1/openai/creds/dev"

# Replaces that of common.sh. $VAULT is how Vault is opened.
system_configure() {
    mkdir -p /etc/llmhook
    cat >"$CONFIG.new" <<END
[daemon]
$CONFIG_DAEMON

[vault]
address = $LAB_SANDBOX_URL/vault
namespace = team/llm
$VAULT

[provider engine]
type = vault
path = openai/creds/dev
field = api_key
environment = OPENAI_API_KEY

[policy leased]
providers = engine
overlap = 0s
END
    mv "$CONFIG.new" $CONFIG
}

outside() {
    lab_sandbox_ctl POST /outside "$1"
}

# A token of so many seconds, in the file that [vault] names. Its id is printed.
# usage: put_token SECONDS [not-renewable]
put_token() {
    (
        umask 077
        outside '{"action":"vault-create-token","seconds":'"$1"',"status":"'"${2:-}"'"}' >$KEYS/token.json
        jq -r .value $KEYS/token.json >$KEYS/vault-token.new
        mv $KEYS/vault-token.new $KEYS/vault-token
    )
    jq -r .token_id $KEYS/token.json
    rm $KEYS/token.json
}

leases() { sandbox_state "${2:-}" | jq -r ".vault.leases[] | $1"; }
live() { leases "$1" '?live=true'; }
# shellcheck disable=SC2317 # see live_are
count_live() { live .id | grep -c .; }
# shellcheck disable=SC2317 # lab_wait_until calls it
live_are() { [ "$(count_live)" = "$1" ]; }
wait_live() {
    lab_wait_until "$2" live_are "$1" || lab_fail "$(count_live) leases are alive after $2 s, not $1"
}
# shellcheck disable=SC2317 # lab_wait_until calls it
renewed() { [ "$(live .renewals | sort -n | tail -n 1)" -ge "$1" ]; }
# The guest has the one that lives, and it is not $1.
# shellcheck disable=SC2317 # lab_wait_until calls it
has_another_than() {
    live_are 1 && [ "$(live .id)" != "$1" ] && is_proven "$vm" && guest_hash_is "$vm" "$(live .sha256)"
}

answer_of() {
    curl --silent --output /dev/null --write-out '%{http_code}' --max-time 10 --header "@$KEYS/$1" "$LAB_SANDBOX_URL/vault/models"
}

test_start() {
    lab_domain_xml $vm --uuid $uuid | lab_define
    tap_ok "virsh start" virsh_quiet start $vm
    tap_ok "Vault makes a key" wait_live 1 20
    tap_is "$(live .namespace)" team/llm "in the namespace"
    tap_ok "the guest proves that it has it" wait_proven $vm 60
    tap_is "$(guest_hash $vm)" "$(live .sha256)" "alice's login shell has it in OPENAI_API_KEY"
    tap_is "$(status $vm '.grants[0].keys[0].remote_id')" "$(live .id)" "its lease is what llmhook knows it by"
    tap_is "$(status $vm '.grants[0].monthly_limit_enforced')" nobody "nobody holds a limit, and that is said"
    keep_key $vm first
    tap_is "$(answer_of first)" 200 "it works"
    first=$(live .id)
}

test_renewal() {
    tap_ok "at half of its life it is renewed" lab_wait_until $LEASE renewed 1
    tap_ok "and again" lab_wait_until $LEASE renewed 2
    tap_is "$(live .id)" "$first" "it is the same"
    tap_is "$(status $vm '.grants[0].reason')" "" "there is nothing to say of it"
}

test_sealed() {
    local before
    outside '{"action":"vault-seal"}' >/dev/null
    tap_ok "sealed: status says what is, and until when" wait_status_like $vm '.grants[0].reason' \
        "it works, and its lease, which ends in * s, could not be renewed: Vault is sealed (503): vault operator unseal" $LEASE
    tap_is "$(status $vm '.grants[0].status')" ok "the VM keeps its key"
    tap_is "$(answer_of first)" 200 "which works"
    before=$(live .renewals)
    outside '{"action":"vault-unseal"}' >/dev/null
    tap_ok "unsealed: it is renewed in time" lab_wait_until $LEASE renewed $((before + 1))
    tap_is "$(live .id)" "$first" "it is the same"
    tap_ok "and there is nothing more to say" wait_status $vm '.grants[0].reason' "" 10
}

# The daemon knows nothing of leases when it begins: Vault tells it.
test_restart() {
    local before
    before=$(live .renewals)
    lab_daemon_stop
    tap_ok "the daemon is started anew" lab_daemon_start
    tap_ok "it goes on renewing" lab_wait_until $LEASE renewed $((before + 1))
    tap_is "$(live .id)" "$first" "the same key"
}

test_most() {
    knob vault_lease_most_s $((($(date +%s%3N) - $(live .made_ms)) / 1000 + LEASE + 4))
    tap_ok "the engine's most is near: a newer key takes its place" lab_wait_until $((3 * LEASE)) has_another_than "$first"
    knob vault_lease_most_s 0
    tap_is "$(answer_of first)" 401 "the earlier one is revoked"
    keep_key $vm second
    tap_is "$(answer_of second)" 200 "the newer one works"
}

test_token() {
    local earlier old=$token
    earlier=$(live .id)
    token=$(put_token 3600)
    tap_ok "with another token: what hangs on the earlier one is replaced" lab_wait_until $TAKEN_UP has_another_than "$earlier"
    tap_is "$(live .token)" "$token" "by one that hangs on it"
    outside '{"action":"vault-revoke-token","api_key_id":"'"$old"'"}' >/dev/null
    tap_is "$(count_live)" 1 "so the earlier token may end"
    earlier=$(live .id)
    outside '{"action":"vault-revoke-token","api_key_id":"'"$token"'"}' >/dev/null
    tap_ok "one that ends under a VM: status says so" wait_status_like $vm '.grants[0].reason' "*Vault does not accept the token (403)*" $LEASE
    token=$(put_token 3600)
    tap_ok "with the next the VM gets another key" lab_wait_until $((2 * LEASE)) has_another_than "$earlier"
}

# shellcheck disable=SC2317 # lab_wait_until calls it
token_renewed() { [ "$(sandbox_state | jq -r '.vault.tokens[] | select(.sha256 == "'"$token"'") | .renewals')" -ge "$1" ]; }

# A token that lives hardly longer than a lease: who renews the lease looks at the token first, and renews it.
test_own_token() {
    local earlier began old=$token
    earlier=$(live .id)
    token=$(put_token 20)
    # Else the earlier one would be used until it is fetched again, and that may be later than this one ends.
    outside '{"action":"vault-revoke-token","api_key_id":"'"$old"'"}' >/dev/null
    tap_ok "a token of twenty seconds: the VM gets a key that hangs on it" lab_wait_until $((2 * LEASE)) has_another_than "$earlier"
    earlier=$(live .id) began=$(date +%s)
    tap_ok "it is renewed, again and again" lab_wait_until 90 token_renewed 3
    tap_ok "for longer than one of its lives" test $(($(date +%s) - began)) -gt 20
    tap_is "$(live '.id + " " + .token')" "$earlier $token" "and the VM has the same key, which hangs on the same token"
    tap_is "$(status $vm '.grants[0].reason')" "" "there is nothing to say of it"
    token=$(put_token 40 not-renewable)
    daemon_reload # which fetches it at once: it does not live long
    tap_ok "one that cannot be renewed: the VM gets a key of it" lab_wait_until $((2 * LEASE)) has_another_than "$earlier"
    earlier=$(live .id)
    tap_ok "near its end status says what ends with it, and what to do" wait_status_like $vm '.grants[0].reason' \
        "*the token that Vault is asked with ends in * s and cannot be renewed, and with it all keys*put a newer one where admin-key, or \[vault\], points*" 45
    tap_is "$(sandbox_state | jq -r '.vault.tokens[] | select(.sha256 == "'"$token"'") | .renewals')" 0 "nobody tried to renew it"
    token=$(put_token 3600)
    tap_ok "with a newer one the VM gets another key" lab_wait_until $TAKEN_UP has_another_than "$earlier"
}

test_vanished() {
    local earlier
    earlier=$(live .id)
    outside '{"action":"vault-revoke-lease","api_key_id":"'"$earlier"'"}' >/dev/null
    tap_ok "somebody revokes it at Vault: the VM gets another" lab_wait_until $((2 * LEASE)) has_another_than "$earlier"
}

test_audit() {
    tap_ok "an audit says what the token may not" fails_with \
        "list and sudo on sys/leases/lookup/openai/creds/dev/*" llmhook audit
    knob vault_sudo true
    tap_ok "where it may, all is in order" audit_is_clean
}

test_stop() {
    keep_key $vm third
    virsh_quiet destroy $vm
    tap_ok "destroyed: the key is revoked" wait_live 0 10
    tap_is "$(answer_of third)" 401 "and dead"
    virsh_quiet start $vm
    tap_ok "started again: it has a key" wait_proven $vm 60
    virsh_quiet destroy $vm
    tap_ok "destroyed: it is revoked" wait_live 0 10
}

# The lease was made and nobody knows it. Nobody renews it either. (The guest need not be up for that, and leases are short.)
test_lost_answer() {
    knob vault_lease_s 30
    fault '{"match":"'"$minting"'","mode":"drop-after"}'
    virsh_quiet start $vm
    tap_ok "a lost answer: another key is made at once" wait_live 2 20
    tap_ok "which is the domain's" wait_status $vm '[.grants[0].keys[] | select(.state == "minted" or .state == "active")] | length' 1 10
    virsh_quiet destroy $vm
    tap_ok "destroyed: it is revoked, and one is nobody's" wait_live 1 10
    tap_ok "status says what is with that" wait_status $vm '.grants[0].reason' \
        "an answer was lost; the key that may have been made, and nobody has, ends with its lease" 10
    tap_ok "it ends by itself" wait_live 0 40
    tap_ok "and is history then" wait_status $vm '.grants[0].keys | length' 0 60
    faults_end
    knob vault_lease_s $LEASE
}

# A login's token is another at each start of the daemon, and while it is young the same for all.
test_approle() {
    (
        umask 077
        outside '{"action":"vault-set-approle","seconds":600}' >$KEYS/approle.json
        jq -r .role_id $KEYS/approle.json >$KEYS/role-id
        jq -r .secret_id $KEYS/approle.json >$KEYS/secret-id
        rm $KEYS/approle.json
    )
    VAULT="role-id = file:$KEYS/role-id
secret-id = file:$KEYS/secret-id"
    system_configure
    tap_ok "an AppRole in place of the token" daemon_reload
    virsh_quiet start $vm
    tap_ok "the VM has a key" wait_proven $vm 60
    tap_ok "which is renewed" lab_wait_until $LEASE renewed 1
    tap_is "$(requests "POST /vault/v1/auth/approle/login")" 1 "one login was enough"
    virsh_quiet destroy $vm
    tap_ok "destroyed: it is revoked" wait_live 0 10
}

test_undefine() {
    virsh_quiet undefine $vm
    tap_ok "undefined: llmhook knows no such domain" lab_wait_until 50 fails_with "no*$vm" llmhook show $vm
    tap_ok "llmhook audit finds everything in order" audit_is_clean
}

VAULT="token-file = $KEYS/vault-token"
system_start_vault() {
    lab_hook_install && lab_libvirtd_start && system_sandbox_start && token=$(put_token 3600) && system_configure && lab_daemon_start
}
system_start_vault || tap_bail_out "the lab does not start"
knob vault_lease_s $LEASE
test_start
[ "$TAP_FAILED" = 0 ] || tap_bail_out "no key, no story"
test_renewal
test_sealed
test_restart
test_most
test_token
test_own_token
test_vanished
test_audit
test_stop
test_lost_answer
test_approle
test_undefine
tap_ok "the daemon logged no error" logged_no_error
tap_ok "the daemon ends when it is told to" lab_daemon_stop
tap_done
