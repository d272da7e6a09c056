#!/bin/bash
# The daemon is killed again and again, at any moment, while VMs start, stop, reboot, are saved and undefined, and the
# provider fails now and then. Whenever the world comes to rest, everything must be as if nothing had happened.
#
# usage: kill9.sh [CYCLES [SEED]]        as `make soak CYCLES=200 SEED=n` runs it
#
# A cycle: some trouble at the provider, some things done to some VMs, and at a random moment kill -9 and a new daemon.
# After every few cycles the trouble ends, and what the provider has, the ledger, libvirt, the daemon and the guests
# must agree within a minute. A seed gives the same choices again, though not the same milliseconds.
set -u
# shellcheck source-path=SCRIPTDIR source=../system/common.sh
. "$(dirname "$0")/../system/common.sh"
command -v sqlite3 >/dev/null || tap_skip_all "packages are missing: sqlite3"
lab_enter "$0" "$@"
CYCLES=${1:-12}
# A run of `make check` is always the same one, as far as choices go.
SEED=${2:-$([ "$CYCLES" -lt 50 ] && echo 1 || echo $RANDOM)}
# shellcheck source-path=SCRIPTDIR source=world.sh
. "$(dirname "$0")/world.sh"

here=$(cd "$(dirname "$0")" && pwd -P)
REST_EVERY=6
REST_LIMIT=100
LEDGER=/var/lib/llmhook/ledger.sqlite
RANDOM=$SEED
CONFIG_PROVIDER='timeout = 3s'
declare -A HASH=() HASH_BOOT=()  # NAME: the key it had when the world was last at rest, and in which boot
rests=0 guests_asked=0 slowest_rest=0

# ---- the daemon's part ----

daemon_is_killed() {
    if lab_process_gone "$LAB_DAEMON_PID"; then
        broken "the daemon ended by itself: $(tail -n 3 "$LAB_DIR/llmhookd.log")"
    fi
    lab_daemon_kill9
    count kills
}

# Sometimes it does not even get as far as to listen.
daemon_comes() {
    roll 4
    if [ $ROLL = 0 ]; then
        "$LLMHOOK_BUILD/src/llmhookd" --config $CONFIG </dev/null >>"$LAB_DIR/llmhookd.log" 2>&1 &
        LAB_DAEMON_PID=$!
        random_moment 120
        lab_daemon_kill9
        count kills
        count kills-at-the-start
    fi
    # shellcheck disable=SC2119 # without more arguments
    lab_daemon_start || broken "the daemon does not come back: $(tail -n 3 "$LAB_DIR/llmhookd.log")"
}

# The one thing here that is slept for: a moment that nothing has announced.
random_moment() {
    roll "$1"
    sleep "$((ROLL / 1000)).$(printf %03d $((ROLL % 1000)))"
}

libvirtd_comes_and_goes() {
    await_actions
    lab_libvirtd_restart >>"$LAB_DIR/virsh.log" 2>&1 || broken "libvirtd does not restart"
    count libvirtd-restarts
}

# ---- rest, and what must be true then ----

# What no waiting makes good ends the run: what comes after it would only be its consequence.
broken() {
    tap_fail "cycle $cycle of $CYCLES, seed $SEED: ${1%%$'\n'*}" "$1"
    mkdir -p "$LAB_DIR/evidence"
    cp "$LEDGER"* "$LAB_DIR/world."* "$LAB_DIR/evidence"
    tap_note "logs, ledger, and what everybody said last: $LAB_DIR"
    tail -n 40 "$LAB_DIR/llmhookd.log" | sed 's/^/# /'
    figures
    tap_done
}

ledger_names() {
    sqlite3 -readonly "$LEDGER" "SELECT name FROM keys $1" | jq -Rn '[inputs]'
}

what_is_wanted() {
    local name hash
    for name in "${PERSISTENT[@]}" $TRANSIENT; do
        [ "${STATE[$name]}" != absent ] || continue
        hash=
        [ "${HASH_BOOT[$name]:-}" != "${BOOT[$name]}" ] || hash=${HASH[$name]}
        jq -n --arg name "$name" --arg uuid "${UUID[$name]}" --arg state "${STATE[$name]}" --arg hash "$hash" '$ARGS.named'
    done | jq -s .
}

# Prints what is not well; nothing when all is.
problems() {
    local strict=$1 world=$LAB_DIR/world name
    read_states || { echo "libvirt does not answer"; return; }
    llmhook status --json >"$world.status" || { echo "the daemon does not answer"; return; }
    if ! { sandbox_state >"$world.sandbox" && what_is_wanted >"$world.want" && ledger_names '' >"$world.known" &&
        ledger_names "WHERE fingerprint <> ''" >"$world.minted"; }; then
        echo "the world cannot be seen"
        return
    fi
    jq -nr --slurpfile sandbox "$world.sandbox" --slurpfile status "$world.status" --slurpfile want "$world.want" \
        --slurpfile known "$world.known" --slurpfile minted "$world.minted" --argjson strict "$strict" \
        '$want[0] as $want | $known[0] as $known | $minted[0] as $minted | '"$(cat "$here/invariants.jq")" ||
        echo "the invariants cannot be told"
}

# The guests themselves, and the daemon's own judgement. Only asked when the rest is well.
more_problems() {
    local name answer
    for name in "${PERSISTENT[@]}" $TRANSIENT; do
        [ "${STATE[$name]}" = running ] || continue
        guest_has_live_key "$name" "${UUID[$name]}" || echo "$name: its guest has another key than the provider, or none"
    done
    answer=$(llmhook audit --guests --json) || echo "audit: exit code $?: $(jq -c '.problems + [.rows[] |
        select(.verdict != "ok" and .verdict != "foreign")]' <<<"$answer")"
}

at_rest() {
    found=$(problems "$1")
    [ -n "$found" ] || { read_states && found=$(more_problems); }
    case $found in *VIOLATION*) return 0 ;; esac
    [ -z "$found" ]
}

# What the next rest is compared with.
remember() {
    local name
    for name in "${PERSISTENT[@]}" $TRANSIENT; do
        [ "${STATE[$name]}" = running ] || continue
        HASH[$name]=$(live_hash "${UUID[$name]}")
        HASH_BOOT[$name]=${BOOT[$name]}
        guests_asked=$((guests_asked + 1))
    done
}

wake_the_paused() {
    local name
    read_states
    for name in "${PERSISTENT[@]}" $TRANSIENT; do
        [ "${STATE[$name]}" != paused ] || virsh_in_time resume "$name" >>"$LAB_DIR/virsh.log" 2>&1
    done
}

# usage: rest false|true: true: doubts must be over too
rest() {
    local start end
    await_actions
    calm
    wake_the_paused
    start=$(lab_now_ms)
    end=$((start + REST_LIMIT * 1000))
    until at_rest "$1"; do
        [ "$(lab_now_ms)" -lt $end ] || break
        echo "cycle $cycle, $(($(lab_now_ms) - start)) ms: $found" >>"$LAB_DIR/rests"
        sleep 0.2
    done
    end=$(($(lab_now_ms) - start))
    [ $end -le $slowest_rest ] || slowest_rest=$end
    [ -z "$found" ] || broken "after $end ms: $found"
    rests=$((rests + 1))
    remember
    tap_pass "cycle $cycle: all agree after $end ms: $(for name in "${PERSISTENT[@]}" $TRANSIENT; do
        printf '%s, ' "${STATE[$name]}"; done | sed 's/, $//')"
}

# ---- the run ----

one_cycle() {
    local name
    read_states || broken "libvirt does not answer"
    roll 3
    [ $ROLL = 0 ] || calm
    trouble
    roll 3
    local things=$((ROLL + 1))
    while [ $things -gt 0 ]; do
        choose "${PERSISTENT[@]}" $TRANSIENT
        act_on "$CHOICE"
        things=$((things - 1))
    done
    random_moment 1200
    daemon_is_killed
    roll 3
    if [ $ROLL = 0 ]; then
        read_states || broken "libvirt does not answer"
        choose "${PERSISTENT[@]}" $TRANSIENT
        act_on "$CHOICE"
        random_moment 400
    fi
    roll 30
    [ $ROLL != 0 ] || libvirtd_comes_and_goes
    daemon_comes
}

done_so_far() {
    grep -c "^$1 " "$ACTIONS"
}

figures() {
    local kind
    tap_note "seed $SEED: $cycle cycles, ${COUNT[kills]:-0} times killed (${COUNT[kills-at-the-start]:-0} before it listened)"
    tap_note "$rests times at rest, after at most $slowest_rest ms; $guests_asked times a guest was asked for its key"
    tap_note "faults that a request met: $(faults_fired); other settings of the provider: ${COUNT[knobs]:-0}"
    tap_note "done: $(sort "$ACTIONS" | cut -d' ' -f1 | uniq -c | awk '{ printf "%s%s %s", sep, $2, $1; sep = ", " }')," \
        "libvirtd restarted ${COUNT[libvirtd-restarts]:-0}"
    tap_note "keys that were ever made: $(count_accounts_ever "")"
}

# usage: enough COUNT LEAST WHAT
enough() {
    tap_ok "$3: $1, at least $2" test "$1" -ge "$2"
}

# A run in which little happened has shown little.
enough_was_done() {
    enough "${COUNT[kills]:-0}" "$CYCLES" "kills"
    enough "$(($(done_so_far start) + $(done_so_far wake)))" $((CYCLES / 4)) "starts"
    enough "$(($(done_so_far stop) + $(done_so_far poweroff)))" $((CYCLES / 8)) "stops"
    enough "$(done_so_far reboot)" $((CYCLES / 25)) "reboots"
    enough "$(done_so_far save)" $((CYCLES / 25)) "saves"
    enough "$(done_so_far undefine)" $((CYCLES / 40)) "undefines"
    enough "${COUNT[libvirtd-restarts]:-0}" $((CYCLES / 100)) "restarts of libvirtd"
    enough "$(faults_fired)" $((CYCLES / 3)) "faults that a request met"
    enough "$guests_asked" $((CYCLES / REST_EVERY)) "guests that were asked for their key"
    enough "$(count_accounts_ever "")" $((CYCLES / 4)) "keys that were made"
}

cycle=0
: >"$ACTIONS"
tap_note "seed $SEED"
system_start
for name in "${PERSISTENT[@]}"; do
    new_uuid "$name"
    BOOT[$name]=0
    domain_xml "$name" >"$LAB_DIR/$name.xml"
    virsh_quiet define "$LAB_DIR/$name.xml"
done
while [ $cycle -lt "$CYCLES" ]; do
    cycle=$((cycle + 1))
    one_cycle
    if [ $((cycle % REST_EVERY)) = 0 ] || [ $cycle = "$CYCLES" ]; then rest false; fi
done
# Half a minute more, which a short run does without.
[ "$CYCLES" -lt 50 ] || rest true
figures
enough_was_done
tap_done
