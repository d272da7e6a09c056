#!/bin/bash
# Everything that can be wrong with the ledger's file and its disk, under the real daemon: what it says, that running
# VMs keep their keys, that nothing is asked of the provider that was not written down, and that all goes on when the
# trouble ends. What SQLite makes of each single fault is for tests/unit/test-ledger-*.c.
#
# EIO comes from tests/system/faulty-disk.c, as there is no device mapper in the lab. A file system cannot be made
# read-only under a file that is open for writing, so that is tried at the daemon's start.
set -u
# shellcheck source-path=SCRIPTDIR source=common.sh
. "$(dirname "$0")/common.sh"
lab_enter "$0" "$@"

one=90000000-0000-4000-8000-000000000001
two=90000000-0000-4000-8000-000000000002
four=90000000-0000-4000-8000-000000000004
STATE=/var/lib/llmhook
LEDGER=$STATE/ledger.sqlite
LOG=$LAB_DIR/llmhookd.log
BAD=/run/lab/disk-is-bad

warning_like() {
    llmhook status --json | jq -r '.warnings[]' | grep -qE "$1"
}

no_warnings() {
    llmhook status --json | jq -e '.warnings == []' >/dev/null
}

# The VM that runs through all of this has its key, the same as at first, and it works.
keeps_its_key() {
    tap_is "$(live_hash $one)" "$first_key" "$1: the running VM's key is the same"
    tap_is "$(models_answer kept)" 200 "$1: and works"
}

# Trouble while it runs, in which a VM is started and another ends.
# usage: in_trouble NAME WARNING BEGIN END, the last two are commands
in_trouble() {
    local name=$1 warning=$2 begin=$3 end=$4 ever said
    virsh_quiet start dev-2 --paused
    lab_wait_until 20 live_keys_are 1 $two
    # One is about to ask for its key when the trouble begins.
    listening false
    virsh_quiet start dev-4 --paused
    tap_ok "$name: a key is planned" wait_status dev-4 '.grants[0].keys | map(.state) | join(",")' planned 20
    ever=$(count_accounts_ever)
    $begin
    listening true
    virsh_quiet destroy dev-2
    tap_ok "$name: status says so" lab_wait_until 20 warning_like "$warning"
    tap_is "$(live_keys $two)" 1 "$name: a revocation that cannot be written down waits"
    tap_ok "$name: a VM starts" virsh_quiet start dev-2 --paused
    tap_ok "$name: the daemon answers" llmhook status
    tap_note "$(llmhook status --json | jq -r '.warnings[]')"
    keeps_its_key "$name"
    # What several VMs wait for is said in several sentences, which would alternate.
    said=$(grep -c '^ledger: .*; trying again' "$LOG")
    lab_wait_until 6 false
    said=$(($(grep -c '^ledger: .*; trying again' "$LOG") - said))
    # Not at once when much was said in the minute before.
    tap_ok "$name: so does the log, as an error" lab_wait_until 70 fails_with "<3>ledger: *$warning*; trying again" logged_no_error
    tap_ok "$name: it is not said at each try ($said lines in 6 s)" test $said -le 4
    tap_is "$(count_accounts_ever)" "$ever" "$name: nothing is asked for that was not written down"
    virsh_quiet destroy dev-2
    $end
    tap_ok "$name: over: who waited has its key" wait_live_keys 1 30 $four
    virsh_quiet destroy dev-4
    tap_ok "$name: over: the ended VM's key is revoked" wait_live_keys 0 30 $two
    tap_ok "$name: over: no warning is left" lab_wait_until 20 no_warnings
    tap_ok "$name: over: a VM that starts has its key" eval "virsh_quiet start dev-2 --paused && wait_live_keys 1 20 $two"
    virsh_quiet destroy dev-2
    tap_ok "$name: over: and it is revoked" wait_live_keys 0 20 $two
    keeps_its_key "$name: over"
}

fill_disk() {
    cat /dev/zero >"$STATE/filler" 2>/dev/null
}

empty_disk() {
    rm "$STATE/filler"
}

disk_goes_bad() {
    touch "$BAD"
}

disk_is_good() {
    rm "$BAD"
}

start_with_a_disk_that_can_fail() {
    LD_PRELOAD=$LLMHOOK_BUILD/tests/system/faulty-disk.so FAULTY_DISK=$BAD FAULTY_FOLDER=$STATE lab_daemon_start
}

# The daemon does not start, says why, and touches nothing.
# usage: refuses NAME TEXT
refuses() {
    local before status=0 sums
    before=$(wc -l <"$LOG")
    sums=$(cat $LEDGER* 2>/dev/null | sha256sum)
    timeout 30 "$LLMHOOK_BUILD/src/llmhookd" --config $CONFIG </dev/null >>"$LOG" 2>&1 || status=$?
    tap_is "$status" 1 "$1: the daemon does not start"
    tap_is "$(tail -n +$((before + 1)) "$LOG")" "$2" "$1: and says why"
    tap_is "$(cat $LEDGER* 2>/dev/null | sha256sum)" "$sums" "$1: and leaves the file as it is"
    keeps_its_key "$1"
}

test_while_it_runs() {
    tap_ok "a disk that can fail" eval "lab_daemon_stop; start_with_a_disk_that_can_fail"
    tap_ok "no error is logged as long as there is none" logged_no_error
    in_trouble "full disk" "database or disk is full" fill_disk empty_disk
    in_trouble "EIO" "disk I/O error" disk_goes_bad disk_is_good
}

test_two_daemons() {
    local pid=$LAB_DAEMON_PID
    refuses "a second daemon" "ledger $LEDGER: another llmhookd (pid $pid) has it open"
    tap_ok "a second daemon: the first goes on" llmhook status
}

test_at_the_start() {
    lab_daemon_stop
    mount --bind $STATE $STATE && mount -o remount,bind,ro $STATE
    refuses "a read-only file system" "open $STATE/ledger.lock: Read-only file system"
    umount $STATE
    chown 64055 $LEDGER
    refuses "another's file" "$LEDGER belongs to another user (uid 64055)"
    chown 0 $LEDGER
    local schema
    schema=$(sqlite3 $LEDGER 'PRAGMA user_version')
    sqlite3 $LEDGER "PRAGMA user_version = $((schema + 1))"
    refuses "a newer schema" "ledger $LEDGER has schema $((schema + 1)), and this llmhookd knows up to $schema: a newer one wrote it; run that, or restore the copy from before"
    sqlite3 $LEDGER "PRAGMA user_version = $schema"
    chmod 0666 $LEDGER
    chmod 0755 $STATE
    tap_ok "an open folder and an open file: the daemon starts" lab_daemon_start
    tap_is "$(stat -c %a $STATE $LEDGER | tr '\n' ' ')" "700 600 " "an open folder and an open file: it has closed them"
    tap_ok "put right: the running VM is proven" wait_proven dev-1 30
    keeps_its_key "put right"
}

overwrite_a_page() {
    local pages
    pages=$(sqlite3 -readonly $LEDGER 'PRAGMA page_count')
    for ((page = 2; page < pages; page++)); do
        dd if=/dev/urandom of=$LEDGER bs=4096 seek=$page count=1 conv=notrunc status=none
    done
}

test_damage() {
    virsh_quiet start dev-2 --paused
    tap_ok "a second VM has a key" wait_live_keys 1 20 $two
    lab_daemon_stop
    cp $LEDGER "$LAB_DIR/good-copy"
    overwrite_a_page
    local said
    said="ledger $LEDGER is damaged \(.*\): restore it, or move it and its -wal file aside and run \`llmhook audit\`, which finds the keys it knew"
    refuses_like "a damaged page" "$said"
    cp "$LAB_DIR/good-copy" $LEDGER
    tap_ok "a good copy: the daemon starts" lab_daemon_start
    tap_ok "a good copy: and proves what is there" wait_proven dev-1 30
    overwrite_a_page
    virsh_quiet destroy dev-2
    tap_ok "damaged while it runs: said, or not met yet" llmhook status
    tap_note "damaged while it runs: $(llmhook status --json | jq -r '.warnings[]') / $(tail -n 1 "$LOG")"
    keeps_its_key "damaged while it runs"
    lab_daemon_kill9
    refuses_like "damaged while it ran" "$said"
    rm -f $LEDGER-wal $LEDGER-shm
    cp "$LAB_DIR/good-copy" $LEDGER
    tap_ok "the good copy again: the daemon starts" lab_daemon_start
    tap_ok "the good copy again: the VM that ended meanwhile loses its key" wait_live_keys 0 30 $two
    keeps_its_key "the good copy again"
}

# usage: refuses_like NAME REGULAR-EXPRESSION
refuses_like() {
    local before status=0
    before=$(wc -l <"$LOG")
    timeout 30 "$LLMHOOK_BUILD/src/llmhookd" --config $CONFIG </dev/null >>"$LOG" 2>&1 || status=$?
    tap_is "$status" 1 "$1: the daemon does not start"
    tap_ok "$1: and says why" grep -qxE "$2" <(tail -n 1 "$LOG")
    tap_note "$(tail -n +$((before + 1)) "$LOG")"
    keeps_its_key "$1"
}

# The provider knows more than the ledger: keys and projects that were made since the copy.
test_old_copy() {
    local three=90000000-0000-4000-8000-000000000003
    tap_ok "nothing is amiss before" audit_is_clean
    lab_daemon_stop
    cp $LEDGER "$LAB_DIR/old-copy"
    lab_daemon_start
    virsh_quiet start dev-2 --paused
    wait_live_keys 1 20 $two
    virsh_quiet destroy dev-2
    wait_live_keys 0 20 $two
    virsh_quiet start dev-2 --paused
    wait_live_keys 1 20 $two
    lab_domain_xml dev-3 --uuid $three | lab_define
    virsh_quiet start dev-3 --paused
    tap_ok "since the copy: two more VMs have keys" wait_live_keys 3 20
    lab_daemon_kill9
    rm -f $LEDGER-wal $LEDGER-shm
    cp "$LAB_DIR/old-copy" $LEDGER
    tap_ok "an old copy: the daemon starts" lab_daemon_start
    tap_ok "an old copy: the running VM is proven" wait_proven dev-1 30
    keeps_its_key "an old copy"
    tap_ok "an old copy: the others get keys that are known" wait_status dev-2 '.grants[0].keys | map(.state) | join(",")' minted 30
    tap_ok "an old copy: the third too" wait_status dev-3 '.grants[0].keys | map(.state) | join(",")' minted 30
    tap_is "$(sandbox_state | jq -r '.projects[] | select(.live) | .name' | sort | uniq -d)" "" "an old copy: no project was made twice"
    llmhook audit --json >"$LAB_DIR/audit.json"
    tap_is "$?" 1 "an old copy: the audit finds what the ledger does not know"
    tap_is "$(jq -r '[.rows[] | select(.verdict == "orphan" and .kind == "key")] | length' "$LAB_DIR/audit.json")" 2 \
        "an old copy: both keys from after it, as orphans"

    tap_ok "an old copy: the audit mends it" eval "llmhook audit --fix --yes || audit_is_clean"
    tap_ok "an old copy: each VM has one key" wait_live_keys 3 40
    tap_ok "an old copy: and nothing is amiss" audit_is_clean
    keeps_its_key "an old copy, mended"
}

system_start
lab_daemon_stop
# Small, so that it is soon full; and the daemon's own.
mount -t tmpfs -o mode=0700,size=3M tmpfs $STATE
lab_daemon_start
lab_domain_xml dev-1 --uuid $one | lab_define
lab_domain_xml dev-2 --uuid $two | lab_define
lab_domain_xml dev-4 --uuid $four | lab_define
virsh_quiet start dev-1
tap_ok "a guest is served" wait_proven dev-1 60
first_key=$(live_hash $one)
keep_key dev-1 kept
test_while_it_runs
test_two_daemons
test_at_the_start
test_damage
tap_ok "the guest has had its key all the time" guest_has_live_key dev-1 $one
test_old_copy
tap_done
