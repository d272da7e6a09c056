#!/bin/bash
# A guest whose agent is in the attacker's hands: it answers slowly, hugely, wrongly, never, lies, floods, and comes and
# goes thousands of times. It may spoil its own delivery. It must not cost the daemon more than a bounded amount of
# memory, threads and log, nor other guests their time, and it must see nothing that is another's.
#
# The attacker is tests/system/hostile-agent.c in qemu-ga's place, on the real virtio port. It writes down all that it
# is sent to a second port, which this test reads.
# shellcheck disable=SC2016 # the guest expands
set -u
# shellcheck source-path=SCRIPTDIR source=common.sh
. "$(dirname "$0")/common.sh"
lab_enter "$0" "$@"

good=80000000-0000-4000-8000-000000000001
bad=80000000-0000-4000-8000-000000000002
worse=80000000-0000-4000-8000-000000000003
# As many as there are attackers: whatever these hold up, they could hold up all of.
CONFIG_DAEMON='undefine-grace = 2s
agent-workers = 2'
RSS_LIMIT_KB=80000
LOG=$LAB_DIR/llmhookd.log

# ---- the attackers ----

# The tiny guest with another agent: archives in a row are one to the kernel, and the last one wins.
make_hostile_guest() {
    local root=$LAB_DIR/hostile-root
    mkdir -p "$root/usr/sbin"
    cp "$LLMHOOK_BUILD/tests/system/hostile-agent" "$root/usr/sbin/qemu-ga"
    { cat "$LAB_GUEST/initramfs"; (cd "$root" && find . | cpio --quiet -o -H newc -R 0:0); } >"$LAB_DIR/hostile-initramfs"
}

# usage: start_hostile NAME UUID
start_hostile() {
    mkfifo "$LAB_DIR/$1.in" "$LAB_DIR/$1.out"
    cat "$LAB_DIR/$1.out" >"$LAB_DIR/$1.heard" &
    # The guest may wait for it to be read, so it is open before.
    lab_domain_xml "$1" --uuid "$2" | sed -e "s|<initrd>.*</initrd>|<initrd>$LAB_DIR/hostile-initramfs</initrd>|" \
        -e "s|<memballoon|<channel type='pipe'><source path='$LAB_DIR/$1'/><target type='virtio' name='org.llmhook.test'/></channel>&|" |
        lab_define && virsh_quiet start "$1"
}

# usage: order NAME MODE
order() {
    local before
    before=$(obeyed "$1")
    echo "$2" >"$LAB_DIR/$1.in"
    lab_wait_until 30 obeyed_since "$1" "$before" || lab_fail "$1 does not hear"
}

obeyed() {
    grep -ac '^obeys$' "$LAB_DIR/$1.heard"
}

obeyed_since() {
    [ "$(obeyed "$1")" -gt "$2" ]
}

# The attacker does what it is told, and the daemon says that about it, and nothing worse.
# usage: attack NAME MODE PATTERN WHAT
attack() {
    local start
    start=$(lab_now_ms)
    order "$1" "$2"
    tap_ok "$4: said as it is" wait_status_like "$1" '.delivery + " " + .delivery_reason' "failing $3" 60
    tap_note "$2: $(($(lab_now_ms) - start)) ms: $(status "$1" .delivery_reason)"
}

# ---- what it may cost ----

daemon_status() {
    sed -n "s/^$1:[[:space:]]*\([0-9]*\).*/\1/p" "/proc/$LAB_DAEMON_PID/status"
}

daemon_fds() {
    find "/proc/$LAB_DAEMON_PID/fd" -mindepth 1 | wc -l
}

proven_since() {
    [ "$(status dev-1 'select(.delivery == "proven") | .delivered_at // 0')" -gt "$1" ]
}

# How long until the other guest has proven a change that it was given: milliseconds, the slowest of five. Fails when one
# is never proven.
deliveries_take() {
    local readers start took slowest=0
    for readers in root humans root humans everybody; do
        start=$(lab_now_ms)
        virsh_quiet metadata dev-1 --uri urn:llmhook:vm:1 --key llmhook --live \
            --set "<vm readers='$readers'><key provider='openai' monthly-limit='25'/></vm>"
        lab_wait_until 40 proven_since "$start" || return
        took=$(($(lab_now_ms) - start))
        slowest=$((took > slowest ? took : slowest))
    done
    echo $slowest
}

# usage: beside WHAT: the other guest's deliveries beside it. Slower than alone, as there are two cores for all of this.
beside() {
    local took
    took=$(deliveries_take) || { tap_fail "$1: others are served within a normal time" "not within 40 s"; return; }
    tap_note "a delivery to another guest beside $1: $took ms, $((took * 10 / alone / 10)).$((took * 10 / alone % 10)) times as long"
    tap_ok "$1: others are served within a normal time ($took ms)" test "$took" -lt $((alone * 4 + 2000))
}

# ---- what it heard ----

# All that an attacker was sent, and what was packed into it.
heard() {
    cat "$LAB_DIR/$1.heard"
    grep -ao '"input-data":"[^"]*"' "$LAB_DIR/$1.heard" | cut -d'"' -f4 | while read -r data; do base64 -d <<<"$data"; done
}

# usage: heard_key NAME FILE: whether what NAME heard has the key in $KEYS/FILE, which is one
heard_key() {
    (umask 077; sed 's/.*Bearer //' "$KEYS/$2" >"$KEYS/pattern"; heard "$1" >"$KEYS/heard")
    grep -aqF -f "$KEYS/pattern" "$KEYS/heard"
}

heard_no_key() {
    heard_key "$@"
    [ $? = 1 ]
}

key_is_live() {
    [ "$(sed 's/.*Bearer //' "$KEYS/$1" | tr -d '\n' | sha256sum | cut -c1-64)" = "$(live_hash "$2")" ]
}

# Writes an attacker's own key, which is among what it was sent, into $KEYS/NAME.
# usage: keep_own_key NAME UUID
keep_own_key() {
    local key
    while read -r key; do
        (umask 077; printf 'Authorization: Bearer %s\n' "$key" >"$KEYS/$1")
        key_is_live "$1" "$2" && return
    done < <(heard "$1" | grep -ao "sk-[A-Za-z0-9_-]*" | sort -u)
    return 1
}

# The other guest's key was not sent to an attacker: a search for its own finds that.
# usage: sees_only_its_own NAME UUID
sees_only_its_own() {
    tap_ok "$1 was sent a key of its own" keep_own_key "$1" "$2"
    tap_ok "which the search finds" heard_key "$1" "$1"
    tap_ok "nothing of the other guest's was sent to $1" heard_no_key "$1" good
}

# ---- the attacks ----

# In turns: for libvirt, which may still be busy with what it did not understand, the agent's coming anew is soon lost.
test_answers() {
    attack dev-2 ids "the guest agent is not connected, or does not answer: *" "somebody else's id in its answer"
    attack dev-3 malformed "*" "no JSON"
    attack dev-2 quotes "the guest agent could not be asked: *(withheld)*" "what libvirt quotes: a key"
    tap_is "$(grep -c sk-quoted "$LOG")" 0 "which no log shows"
    attack dev-3 pids "guest-exec's answer: *" "a process id that is none"
    attack dev-2 liar "what the guest has below /run/llmhook is not what was sent: *" "it claims success: other hashes"
    attack dev-3 nothing "the delivery script's first line is not as it should be" "it claims success, with nothing to show"
    attack dev-2 huge "*" "24 MB"
    attack dev-3 large "*" "3 MB"
    attack dev-2 errors "the agent answered:  ?31m trouble number *" "errors with control characters"
    tap_is "$(grep -c '[[:cntrl:]]' "$LOG")" 0 "which no log shows as they are"
}

lines_about() {
    grep -c "^$1: " "$LOG"
}

# It comes and goes as fast as it can; and it does so whenever something was begun, so that all is begun again.
test_storms() {
    local lines libvirtd start
    libvirtd=$(cat $LAB_LIBVIRTD_PID)
    lines=$(lines_about dev-2)
    start=$(lab_now_ms)
    order dev-2 hangup
    beside "an agent that comes anew at every command"
    lab_wait_until 10 eval '[ $(($(lab_now_ms) - '"$start"')) -gt 8000 ]'
    start=$(($(lab_now_ms) - start))
    lines=$(($(lines_about dev-2) - lines))
    tap_ok "the log does not grow with what it says ($lines lines in $start ms)" test $lines -le 15
    lines=$(lines_about dev-2)
    start=$(lab_now_ms)
    order dev-2 "storm 3000"
    beside "3000 reconnects"
    tap_ok "it came and went 3000 times" lab_wait_until 120 grep -aq '^done$' "$LAB_DIR/dev-2.heard"
    lines=$(($(lines_about dev-2) - lines))
    tap_note "3000 reconnects: $(($(lab_now_ms) - start)) ms, $lines lines of log"
    tap_ok "the log does not grow with them ($lines lines)" test $lines -le 15
    tap_is "$(cat $LAB_LIBVIRTD_PID)" "$libvirtd" "libvirtd is the same"
    tap_ok "and answers" virsh_quiet list
}

system_start
make_hostile_guest
lab_domain_xml dev-1 --uuid $good | lab_define
virsh_quiet start dev-1
tap_ok "a guest is served" wait_proven dev-1 60
alone=$(deliveries_take) || tap_bail_out "a delivery to a guest alone takes more than 40 s"
# What follows is measured by it.
tap_ok "alone, a delivery takes a normal time ($alone ms)" test "$alone" -lt 10000
keep_key dev-1 good
tap_ok "its key is known, and looked for later" key_is_live good $good
threads=$(daemon_status Threads) fds=$(daemon_fds)

start_hostile dev-2 $bad
start_hostile dev-3 $worse
lab_wait_agent dev-2 60
lab_wait_agent dev-3 60
# The longest that a guest can keep somebody waiting: it is there, and says no more.
order dev-2 mute
order dev-3 mute
# Each has one try that others may have to wait for.
tap_ok "a guest that never answers" wait_status_like dev-2 .delivery failing 60
tap_ok "a second one" wait_status_like dev-3 .delivery failing 60
beside "two guests that never answer, with two workers"
order dev-3 drip
beside "one that never answers and one that takes a second for a byte"
test_answers
order dev-3 flood
beside "a flood"
test_storms

sees_only_its_own dev-2 $bad
sees_only_its_own dev-3 $worse
tap_note "memory at most $(daemon_status VmHWM) kB, $(daemon_status Threads) threads (before: $threads), $(daemon_fds) descriptors (before: $fds)"
tap_ok "the daemon's memory stays bounded" test "$(daemon_status VmHWM)" -lt $RSS_LIMIT_KB
tap_is "$(daemon_status Threads)" "$threads" "and its threads"
tap_ok "and its descriptors" test "$(daemon_fds)" -le $((fds + 8))
tap_ok "the attackers' keys end with them" eval "remove_domain dev-2; remove_domain dev-3; wait_live_keys 1 20"
tap_ok "the other guest has its key all the time" guest_has_live_key dev-1 $good
tap_ok "all is in order" audit_is_clean
tap_done
