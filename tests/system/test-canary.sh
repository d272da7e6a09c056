#!/bin/bash
# The key is looked for wherever it must not be: logs, ledger, spool, argv and
# environment of every process, cores, XML, everything that the command prints.
# Each kind of place is also looked into for a word that was planted there.
set -u
# shellcheck source-path=SCRIPTDIR source=common.sh
. "$(dirname "$0")/common.sh"
lab_enter "$0" "$@"

PLANT=planted-canary-$LAB_ID-$RANDOM$RANDOM$RANDOM
OUTPUT=/run/lab/output

# Adds what the key of dev-1 looks like, as it is and in base64 at each of the
# three places where it may begin, to the patterns that are looked for.
# usage: look_for_key_of DOMAIN
look_for_key_of() {
    local key coded before
    # shellcheck disable=SC2016 # the guest expands it
    key=$(lab_guest_login "$1" alice 'printf %s "$OPENAI_API_KEY"')
    [ "$(printf %s "$key" | sha256sum | cut -c1-64)" = "$(live_hash)" ] || return
    (
        umask 077
        printf '%s\n' "$key" >>$KEYS/patterns
        # Without what the neighbours have a share in.
        for before in '' . ..; do
            coded=$(printf %s "$before$key" | base64 -w0)
            coded=${coded:4:${#coded}-8}
            printf '%s\n' "$coded" >>$KEYS/patterns
        done
    )
}

# The files to be looked through. Not: the guest's own memory in QEMU, and the
# files in which this test keeps the key.
places() {
    find "$LAB_DIR" /var/lib/llmhook /run/llmhookd /run/libvirt /var/lib/libvirt /var/cache/libvirt /etc/libvirt \
        /etc/llmhook $OUTPUT -type f
    find /proc -mindepth 2 -maxdepth 2 -path '/proc/[0-9]*' \( -name cmdline -o -name environ \)
}

# Prints where a line of the patterns is found.
# usage: found PATTERNS
found() {
    local place
    places 2>/dev/null | while read -r place; do
        # What is here now may be gone in a moment.
        if grep -aqsFf "$1" "$place"; then
            echo "$place"
        fi
    done | sed 's|/proc/[0-9]*/|/proc/N/|' | sort -u
}

collect_output() {
    local words
    mkdir -p $OUTPUT
    for words in status "show dev-1" "history dev-1" audit "audit --guests" "audit --fix --yes" doctor; do
        # shellcheck disable=SC2086 # the words apart
        {
            llmhook $words
            llmhook $words --json
        } >"$OUTPUT/$words.$1" 2>&1
    done
    virsh dumpxml dev-1 --security-info >"$OUTPUT/dumpxml.$1"
    virsh metadata dev-1 --uri urn:llmhook:vm:1 >"$OUTPUT/metadata.$1" 2>&1
    lab_guest_exec dev-1 'ps -ef' >"$OUTPUT/guest-ps.$1"
}

test_search_works() {
    local pid
    echo $PLANT >$KEYS/plant
    echo "log: $PLANT" >"$LAB_DIR/planted.log"
    printf 'a\0b%sc\0' $PLANT >/var/lib/llmhook/planted
    mkdir -p $OUTPUT && echo $PLANT >$OUTPUT/planted
    echo $PLANT >/run/libvirt/planted
    CANARY=$PLANT sleep 1000 &
    pid=$!
    bash -c 'sleep 1000; true' $PLANT &
    tap_ok "both planted processes run" lab_wait_until 10 grep -aqs $PLANT "/proc/$!/cmdline" "/proc/$pid/environ"
    tap_is "$(found $KEYS/plant | tr '\n' ' ')" \
        "/proc/N/cmdline /proc/N/environ /run/lab/output/planted /run/libvirt/planted $LAB_DIR/planted.log /var/lib/llmhook/planted " \
        "what is planted is found in every kind of place"
    kill "$pid" "$!"
    rm "$LAB_DIR/planted.log" /var/lib/llmhook/planted $OUTPUT/planted /run/libvirt/planted
    tap_is "$(found $KEYS/plant)" "" "and not when it is gone"
}

test_usual() {
    virsh_quiet start dev-1
    tap_ok "a guest has its key" wait_proven dev-1 60
    tap_ok "which we know, and look for" look_for_key_of dev-1
    tap_is "$(found $KEYS/patterns)" "" "it is found nowhere"
    collect_output usual
    tap_is "$(find $OUTPUT -size +0 | grep -c usual)" 10 "there is output to look through"
    tap_is "$(found $KEYS/patterns)" "" "nor in what the command and virsh print"
    # shellcheck disable=SC2016 # the guest expands it
    lab_guest_exec dev-1 'for place in /root /tmp /dev/shm; do cp /run/llmhook/OPENAI_API_KEY $place/planted; done'
    tap_is "$(found_in_guest)" "/dev/shm/planted /root/planted /run/llmhook.d/ /tmp/planted " "copies in the guest are found"
    lab_guest_exec dev-1 'rm /root/planted /tmp/planted /dev/shm/planted'
    tap_is "$(found_in_guest)" "/run/llmhook.d/ " "and there are no others outside /run/llmhook"
}

# Where in the guest its key is. Besides the root, keys could be on the file systems in memory; one is below /dev.
found_in_guest() {
    lab_guest_exec dev-1 'find / -xdev -type f -exec grep -lsFf /run/llmhook/OPENAI_API_KEY {} +
        find /run /tmp /dev -type f -exec grep -lsFf /run/llmhook/OPENAI_API_KEY {} +' |
        sed 's|^/run/llmhook[.]d/.*|/run/llmhook.d/|' | sort -u | tr '\n' ' '
}

# The same with every log at its most talkative, and with what a user might have
# in the environment to debug libvirt.
test_debug() {
    lab_daemon_stop
    CONFIG_DAEMON="$CONFIG_DAEMON
log-level = debug"
    system_configure
    export LIBVIRT_DEBUG=1 LIBVIRT_LOG_OUTPUTS="1:file:$LAB_DIR/libvirt-client.log"
    lab_daemon_start
    unset LIBVIRT_DEBUG LIBVIRT_LOG_OUTPUTS
    virsh_quiet destroy dev-1
    tap_ok "its key is revoked" wait_live_keys 0 10
    virsh_quiet start dev-1
    tap_ok "with debug logging: a guest has another key" wait_proven dev-1 60
    tap_ok "which we look for as well" look_for_key_of dev-1
    tap_ok "the log is talkative" grep -q 'mint key' "$LAB_DIR/llmhookd.log"
    tap_ok "libvirt's log in the daemon, which would hold agent commands, is off" test ! -s "$LAB_DIR/libvirt-client.log"
    collect_output debug
    tap_is "$(found $KEYS/patterns)" "" "none of the two is found anywhere"
    tap_is "$(sort -u $KEYS/patterns | wc -l)" 8 "(eight patterns were looked for)"
}

# Whether this machine writes cores of what dies here.
cores_are_written() {
    local pid
    sleep 1000 &
    pid=$!
    # Before that it is this shell.
    lab_wait_until 5 grep -q '^sleep$' "/proc/$pid/comm"
    kill -SEGV "$pid"
    wait "$pid" 2>/dev/null
    compgen -G "core*" >/dev/null
}

test_core() {
    local pid
    cd "$LAB_DIR" || return
    ulimit -c unlimited
    lab_daemon_stop
    lab_daemon_start
    tap_ok "a daemon that may write cores: the key is proven" wait_proven dev-1 30
    pid=$LAB_DAEMON_PID
    tap_is "$(awk '/^Max core file size/ { print $5, $6 }' "/proc/$pid/limits")" "0 0" "the daemon has switched cores off"
    # What root takes by force. That the key is not even there is more than is promised.
    if command -v gcore >/dev/null; then
        gcore -o "$LAB_DIR/forced" "$pid" >/dev/null 2>&1
        if [ ! -s "$LAB_DIR/forced.$pid" ]; then
            tap_skip "a memory image taken by root" "gcore could not take it"
        elif grep -aqsFf $KEYS/patterns "$LAB_DIR/forced.$pid"; then
            tap_note "a memory image taken by root holds the key, or what is left of it"
            tap_skip "a memory image taken by root" "the daemon's memory may hold keys"
        else
            tap_pass "a memory image taken by root does not hold the key"
        fi
        rm -f "$LAB_DIR/forced.$pid"
    else
        tap_skip "a memory image taken by root" "no gcore here (package gdb)"
    fi
    if cores_are_written; then
        rm -f core*
        kill -SEGV "$pid"
        tap_ok "the daemon dies of a SIGSEGV" lab_wait_until 10 lab_process_gone "$pid"
        tap_is "$(compgen -G 'core*')" "" "and leaves no core"
    else
        tap_skip "the daemon leaves no core" "cores are not written into the working folder here ($(cat /proc/sys/kernel/core_pattern))"
        lab_daemon_kill9
    fi
    ulimit -c 0
}

test_spool() {
    virsh_quiet destroy dev-1
    tap_ok "no daemon: the end is in the spool" test -s /var/lib/llmhook/spool/*.json
    tap_is "$(found $KEYS/patterns)" "" "no key is"
    lab_daemon_start
    tap_ok "the daemon revokes the key" wait_live_keys 0 10
    virsh_quiet undefine dev-1
    tap_ok "undefined: the project is archived" lab_wait_until 15 no_project_is_live
    tap_is "$(found $KEYS/patterns)" "" "in the end it is found nowhere"
    lab_daemon_stop
}

no_project_is_live() {
    [ -z "$(project llmhook: 'select(.live)')" ]
}

system_start
test_search_works
lab_domain_xml dev-1 --metadata "$(key_metadata "owner='alice'")" | lab_define
test_usual
test_debug
test_core
test_spool
tap_done
