#!/bin/bash
# What the ledger's secrets are sealed with is not there when the daemon starts: it says so and makes no other, until it is told
# that the key is lost for good. Which ledgers get a key, and which none, is for tests/unit/test-sealing.c.
set -u
# shellcheck source-path=SCRIPTDIR source=common.sh
. "$(dirname "$0")/common.sh"
lab_enter "$0" "$@"

one=91000000-0000-4000-8000-000000000001
STATE=/var/lib/llmhook
LOG=$LAB_DIR/llmhookd.log

lost_for_good() {
    "$LLMHOOK_BUILD/src/llmhookd" --config /etc/llmhook/llmhook.conf --seal-key-lost
}

# usage: start_is_refused WORDS
start_is_refused() {
    ! lab_daemon_start 2>/dev/null && grep -qF -- "$1" "$LOG"
}

system_start
lab_domain_xml dev-1 --uuid $one | lab_define
virsh_quiet start dev-1
tap_ok "a guest is served" wait_proven dev-1 60
first=$(live_hash $one)
tap_ok "while the daemon runs nothing is given up" fails_with "*another*" lost_for_good
lab_daemon_stop

mv $STATE/seal.key $STATE/elsewhere
tap_ok "without its sealing key the daemon does not start" start_is_refused "there is no sealing key $STATE/seal.key"
tap_ok "and makes no other" test ! -e $STATE/seal.key
head -c 32 /dev/zero >$STATE/seal.key
chmod 0600 $STATE/seal.key
tap_ok "nor with another" start_is_refused "the sealing key $STATE/seal.key is another one"
mv $STATE/elsewhere $STATE/seal.key
tap_ok "where the key is there nothing is given up" fails_with "*nothing is lost*" lost_for_good
tap_ok "put back, it is taken" lab_daemon_start
tap_ok "and the guest's key is proven as before" wait_proven dev-1 30
tap_is "$(live_hash $one)" "$first" "it is the same"

lab_daemon_stop
rm $STATE/seal.key
lost_for_good >"$LAB_DIR/lost"
tap_is "$?" 0 "lost for good: the ledger is made ready"
tap_is "$(head -1 "$LAB_DIR/lost")" "Keys that are to be revoked and replaced: 1; llmhookd does that when it is started." \
    "and it is said how many keys that costs"
tap_ok "lost for good: the daemon starts" lab_daemon_start
tap_ok "the guest proves another key" wait_status dev-1 '.grants[0].keys | map(.generation) | join(",")' 2 60
tap_ok "which is proven" wait_proven dev-1 60
tap_is "$(live_keys $one)" 1 "and is the only one that lives"
tap_ok "the earlier one is not alive" test "$(live_hash $one)" != "$first"
tap_ok "the guest has it" lab_wait_until 20 guest_has_live_key dev-1 $one
tap_ok "nothing is amiss" audit_is_clean
tap_ok "the story tells why" eval "llmhook history $one | grep -q 'its secret was lost with the sealing key'"
tap_done
