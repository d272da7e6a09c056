# shellcheck shell=bash
# Functions for tests, benchmarks and the demo that run in the lab. Source it:
#
#   . "$(dirname "$0")/../lab/lab.sh"
#   lab_enter "$0" "$@"        # from here on we are inside, or have skipped
#   lab_libvirtd_start
#   lab_domain_xml one | lab_define
#   virsh start one && lab_wait_agent one 30
#   tap_is "$(lab_guest_exec one --user alice 'id -un')" alice "exec as alice"
#   tap_done
#
# Works under set -eu, does not ask for it. Times are whole or decimal seconds
# unless a name ends in _ms. A function that fails says why on stderr.

LAB_HERE=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd -P)
LLMHOOK_BUILD=${LLMHOOK_BUILD:-$(cd "$LAB_HERE/../.." && pwd -P)}
export LLMHOOK_BUILD LC_ALL=C LIBVIRT_DEFAULT_URI=qemu:///system

# Where the parts put what the others ask for. All on the lab's own tmpfs.
LAB_LIBVIRTD_PID=/run/libvirtd.pid
LAB_SANDBOX=/run/lab/sandbox
LAB_SANDBOX_PID=
LAB_SANDBOX_URL=
LAB_DAEMON_SOCKET=/run/llmhookd/socket
LAB_DAEMON_PID=
LAB_DAEMON_LOG_PID=
LAB_CHANNEL=org.qemu.guest_agent.0

lab_fail() {
    echo "lab: $*" >&2
    return 1
}

# Goes on inside the lab, with the same script and arguments. A machine that
# cannot have one makes it a test that was skipped.
# usage: lab_enter "$0" "$@"
lab_enter() {
    local script reason status=0
    [ "${LAB_INSIDE:-}" != 1 ] || return 0
    reason=$("$LAB_HERE/enter.sh" --check 2>&1) || status=$?
    [ $status != 77 ] || tap_skip_all "${reason#lab: }"
    script=$(cd "$(dirname "$1")" && pwd -P)/$(basename "$1")
    shift
    exec "$LAB_HERE/enter.sh" bash "$script" "$@"
}

# ---- time ----

lab_now_ms() {
    local now=${EPOCHREALTIME/[.,]/}
    echo $((now / 1000))
}

# Seconds, whole or decimal, as milliseconds.
lab_to_ms() {
    local whole=${1%%.*} part=
    case $1 in *.*) part=${1#*.} ;; esac
    part=${part}000
    echo $((10#${whole:-0} * 1000 + 10#${part:0:3}))
}

# Between two questions. What takes long is asked for less often, for each question to libvirt is a process, and takes its
# time from the guest that is waited for.
# usage: lab_pause SINCE, in milliseconds
lab_pause() {
    local pause=$((($(lab_now_ms) - $1) / 10))
    pause=$((pause < 50 ? 50 : pause > 300 ? 300 : pause))
    sleep "0.$(printf %03d $pause)"
}

# Runs COMMAND again and again until it succeeds. Its output is dropped.
# usage: lab_wait_until TIMEOUT COMMAND...
lab_wait_until() {
    local began timeout
    began=$(lab_now_ms)
    timeout=$(lab_to_ms "$1")
    shift
    until "$@" >/dev/null 2>&1; do
        [ "$(lab_now_ms)" -lt $((began + timeout)) ] || return 1
        lab_pause "$began"
    done
}

lab_process_gone() {
    # A dead child of ours stays in the table until the shell has looked.
    ! kill -0 "$1" 2>/dev/null || grep -q '^State:.Z' "/proc/$1/status" 2>/dev/null
}

# ---- libvirtd ----

# The program, but libvirtd is not waited for for ever: where it hangs its threads are written down.
virsh() {
    local status=0
    timeout --foreground "${LAB_VIRSH_LIMIT:-300}" virsh "$@" || status=$?
    [ $status != 124 ] || lab_libvirtd_hangs "virsh $*"
    return $status
}

lab_libvirtd_hangs() {
    local stacks
    stacks=$(mktemp "$LAB_DIR/libvirt/hangs.XXXXXX")
    timeout 60 gdb --batch -p "$(cat $LAB_LIBVIRTD_PID)" -ex 'thread apply all backtrace' >"$stacks" 2>&1 || true
    lab_fail "libvirtd does not answer '$1'; where its threads are: $stacks"
}

# Returns when it answers.
lab_libvirtd_start() {
    libvirtd --daemon --pid-file $LAB_LIBVIRTD_PID ||
        { lab_fail "libvirtd did not start, see $LAB_DIR/libvirt/libvirtd.log"; return; }
    lab_wait_until 30 virsh uri ||
        { lab_fail "libvirtd does not answer, see $LAB_DIR/libvirt/libvirtd.log"; return; }
    lab_keep_capabilities
}

# For the next lab: see enter.sh. Files come whole or not at all, since other
# labs may be reading and writing them.
lab_keep_capabilities() {
    local file kept=$LLMHOOK_CACHE/capabilities
    mkdir -p "$kept"
    # A connection does not mean that QEMU has been asked; this does.
    virsh domcapabilities --virttype qemu --arch x86_64 >/dev/null || return
    for file in /var/cache/libvirt/qemu/capabilities/*.xml; do
        cmp -s "$file" "$kept/${file##*/}" && continue
        cp "$file" "$kept/.${file##*/}.$LAB_ID" &&
            mv "$kept/.${file##*/}.$LAB_ID" "$kept/${file##*/}"
    done
}

# Running guests go on: their QEMUs are no children of libvirtd.
lab_libvirtd_stop() {
    local pid
    pid=$(cat $LAB_LIBVIRTD_PID) || return
    kill "$pid"
    lab_wait_until 30 lab_process_gone "$pid" || lab_fail "libvirtd does not stop"
}

lab_libvirtd_restart() {
    lab_libvirtd_stop && lab_libvirtd_start
}

# ---- domains ----

lab_xml_escape() {
    sed -e 's/&/\&amp;/g' -e 's/</\&lt;/g' -e 's/>/\&gt;/g' \
        -e 's/"/\&quot;/g' -e "s/'/\&apos;/g" <<<"$1"
}

# The XML of a domain that boots the tiny guest.
# usage: lab_domain_xml NAME [--uuid U] [--no-channel] [--append WORDS]
#        [--metadata XML] [--memory MIB] [--on-poweroff A] [--on-reboot A]
#        [--on-crash A]
# --append: for the kernel's command line, see guest-tiny/init.
# --memory: under 88 MiB the tiny guest does not boot.
# --metadata: goes between <metadata> and </metadata> as it is.
lab_domain_xml() {
    local name=$1 uuid='' channel=yes append='' metadata='' memory=128
    local poweroff=destroy reboot=restart crash=destroy
    shift
    while [ $# -gt 0 ]; do
        case $1 in
        --no-channel) channel=no; shift; continue ;;
        --uuid) uuid=$2 ;;
        --append) append=$2 ;;
        --metadata) metadata=$2 ;;
        --memory) memory=$2 ;;
        --on-poweroff) poweroff=$2 ;;
        --on-reboot) reboot=$2 ;;
        --on-crash) crash=$2 ;;
        *) lab_fail "lab_domain_xml: what is $1?"; return ;;
        esac
        shift 2
    done
    # Leaving out what the kernel would check on each boot: 2.0 s instead of 2.8. And what a real processor would need:
    # what guards it against other guests; and another address for each program started, for which QEMU would translate
    # the same code again. A shell's start costs 30 ms instead of 150.
    append="console=ttyS0 quiet panic=1 cryptomgr.notests nokaslr rodata=off mitigations=off norandmaps $append"
    # A small cache of translated code: a start is as fast, a guest's reboot
    # twice as fast, since QEMU drops what it knows of the old kernel page by
    # page, and it takes less memory.
    cat <<END
<domain type='qemu'>
  <name>$(lab_xml_escape "$name")</name>
  ${uuid:+<uuid>$uuid</uuid>}
  <metadata>$metadata</metadata>
  <memory unit='MiB'>$memory</memory>
  <vcpu>1</vcpu>
  <os>
    <type arch='x86_64' machine='pc'>hvm</type>
    <kernel>$(lab_xml_escape "$LAB_GUEST/kernel")</kernel>
    <initrd>$(lab_xml_escape "$LAB_GUEST/initramfs")</initrd>
    <cmdline>$(lab_xml_escape "$append")</cmdline>
  </os>
  <features><acpi/><tcg><tb-cache unit='MiB'>24</tb-cache></tcg></features>
  <clock offset='utc'><timer name='hpet' present='no'/></clock>
  <on_poweroff>$poweroff</on_poweroff>
  <on_reboot>$reboot</on_reboot>
  <on_crash>$crash</on_crash>
  <devices>
    <emulator>/usr/bin/qemu-system-x86_64</emulator>
    <controller type='usb' model='none'/>
    <memballoon model='none'/>
    <serial type='file'>
      <source path='$(lab_xml_escape "$LAB_DIR/$name.console")' append='on'/>
    </serial>
$([ $channel = no ] || echo "    <channel type='unix'><target type='virtio' name='$LAB_CHANNEL'/></channel>")
  </devices>
</domain>
END
}

# Defines the domain whose XML is on stdin.
lab_define() {
    virsh --quiet define /dev/stdin >/dev/null
}

# Not through a pipe: grep would be done before virsh is, which a caller with
# pipefail takes for a failure, and lab_agent_gone for a success.
lab_agent_connected() {
    local xml
    xml=$(virsh dumpxml --domain "$1") || return
    case $xml in
    *"name='$LAB_CHANNEL' state='connected'"*) ;;
    *) return 1 ;;
    esac
}

lab_agent_gone() {
    ! lab_agent_connected "$1"
}

# usage: lab_wait_agent NAME TIMEOUT
lab_wait_agent() {
    lab_wait_until "$2" lab_agent_connected "$1" ||
        lab_fail "no agent in $1 after $2 s, see $LAB_DIR/$1.console"
}

lab_domain_is() {
    [ "$(virsh domstate --domain "$1" 2>/dev/null)" = "$2" ]
}

# usage: lab_wait_state NAME STATE TIMEOUT, a state in virsh's words
lab_wait_state() {
    lab_wait_until "$3" lab_domain_is "$1" "$2" ||
        lab_fail "$1 is not '$2' after $3 s but '$(virsh domstate --domain "$1")'"
}

# usage: lab_shutdown NAME agent|acpi
# A guest that is quick takes its agent down with it before the agent's socket
# has been read to the end, and virsh calls that a failure. Whether the guest
# goes off is for the caller to see.
lab_shutdown() {
    local said
    said=$(virsh shutdown --domain "$1" --mode "$2" 2>&1) || case $said in
    *"End of file from agent socket"* | *"Guest agent disappeared"*) [ "$2" = agent ] ;;
    *) printf '%s\n' "$said" >&2; return 1 ;;
    esac
}

lab_qemu_pid() {
    cat "/run/libvirt/qemu/$1.pid"
}

# ---- in the guest ----

# One command to the agent: lab_agent NAME '{"execute":"guest-ping"}'
lab_agent() {
    virsh qemu-agent-command --domain "$1" --cmd "$2"
}

# Runs a program in the guest; its output comes out here, and its exit code
# (128 and more: a signal) is returned. 125: the agent did not run it.
# usage: lab_guest_run NAME PATH [ARGUMENT...]
lab_guest_run() {
    local name=$1 path=$2 command reply pid began
    shift 2
    command=$(jq -cn --arg path "$path" '{execute: "guest-exec", arguments:
        {path: $path, arg: $ARGS.positional, "capture-output": true}}' \
        --args -- "$@") || return 125
    reply=$(lab_agent "$name" "$command") || return 125
    pid=$(jq .return.pid <<<"$reply")
    began=$(lab_now_ms)
    while :; do
        reply=$(lab_agent "$name" \
            '{"execute":"guest-exec-status","arguments":{"pid":'"$pid"'}}') ||
            return 125
        [ "$(jq .return.exited <<<"$reply")" != true ] || break
        lab_pause "$began"
    done
    jq -r '.return["err-data"] // empty' <<<"$reply" | base64 -d >&2
    jq -r '.return["out-data"] // empty' <<<"$reply" | base64 -d
    return "$(jq -r '.return | .exitcode // (128 + .signal)' <<<"$reply")"
}

# A shell command, as root or as USER, in the agent's bare environment.
# usage: lab_guest_exec NAME [--user USER] COMMAND
lab_guest_exec() {
    local name=$1
    shift
    if [ "$1" = --user ]; then
        # A service account has no shell of its own.
        lab_guest_run "$name" /bin/su -s /bin/sh "$2" -c "$3"
    else
        lab_guest_run "$name" /bin/sh -c "$1"
    fi
}

# The same in a login shell, which reads /etc/profile.
# usage: lab_guest_login NAME USER COMMAND
lab_guest_login() {
    lab_guest_run "$1" /bin/su -l "$2" -c "$3"
}

# Reboots the guest, which empties its /run, and returns when the agent is
# connected again.
# usage: lab_guest_reboot NAME TIMEOUT
lab_guest_reboot() {
    # A moment later, so that the agent's answer is out before the guest goes.
    lab_agent "$1" '{"execute":"guest-exec","arguments":{"path":"/bin/sh",
        "arg":["-c","sleep 0.2; exec reboot -f"]}}' >/dev/null || return
    lab_wait_until 10 lab_agent_gone "$1" ||
        { lab_fail "$1 does not reboot"; return; }
    lab_wait_agent "$1" "$2"
}

# ---- hooks ----

# A qemu hook that writes "NAME OP SUBOP EXTRA" to $LAB_DIR/hook.log, each
# argument as the shell would quote it. Install hooks before libvirtd starts:
# it looks for them once.
lab_hook_record() {
    mkdir -p /etc/libvirt/hooks
    {
        echo '#!/bin/bash'
        printf '{ printf "%%q " "$@"; echo; } >>%q\n' "$LAB_DIR/hook.log"
    } >/etc/libvirt/hooks/qemu
    chmod 0755 /etc/libvirt/hooks/qemu
}

# Installs our hook as the project's installer does it; with --foreign, beside
# somebody else's, which is there first and writes to $LAB_DIR/hook.log.
lab_hook_install() {
    local hook=$LLMHOOK_BUILD/hooks/qemu
    [ -x "$hook" ] || { lab_fail "$hook has not been built"; return; }
    [ "${1:-}" != --foreign ] || lab_hook_record
    "$LAB_HERE/../../hooks/install-hook.sh" --source "$hook" install >/dev/null
}

# ---- the sandbox provider ----

# Sets LAB_SANDBOX_URL. The admin key is made here and stays in its file.
# More arguments go to the sandbox as they are.
lab_sandbox_start() {
    local program=$LLMHOOK_BUILD/tests/sandbox/llmhook-sandbox
    [ -x "$program" ] || { lab_fail "$program has not been built"; return; }
    install -d -m 0700 $LAB_SANDBOX
    [ -s $LAB_SANDBOX/admin-key ] || (
        umask 077
        echo "sk-admin-$(od -An -N16 -tx1 /dev/urandom | tr -d ' \n')" \
            >$LAB_SANDBOX/admin-key
    )
    rm -f $LAB_SANDBOX/port
    "$program" --listen 127.0.0.1:0 --control $LAB_SANDBOX/control \
        --admin-key-file $LAB_SANDBOX/admin-key \
        --port-file $LAB_SANDBOX/port "$@" \
        </dev/null >>"$LAB_DIR/sandbox.log" 2>&1 &
    LAB_SANDBOX_PID=$!
    lab_wait_until 10 lab_sandbox_ready ||
        { lab_fail "the sandbox is not ready, see $LAB_DIR/sandbox.log"; return; }
    # shellcheck disable=SC2034 # for the caller
    LAB_SANDBOX_URL=http://127.0.0.1:$(cat $LAB_SANDBOX/port)
}

lab_sandbox_ready() {
    [ -s $LAB_SANDBOX/port ] && lab_socket_listens $LAB_SANDBOX/control
}

lab_sandbox_stop() {
    lab_end "$LAB_SANDBOX_PID" TERM
}

# usage: lab_sandbox_ctl METHOD PATH [JSON]; fails on an HTTP error
lab_sandbox_ctl() {
    curl --silent --show-error --fail-with-body --max-time 10 \
        --unix-socket $LAB_SANDBOX/control --request "$1" \
        ${3:+--header 'Content-Type: application/json' --data "$3"} \
        "http://sandbox$2"
}

# ---- the daemon ----

# Whether a program accepts connections on that socket: the kernel's word, so
# that nothing has to connect.
lab_socket_listens() {
    awk -v path="$1" '$4 == "00010000" && $8 == path { found = 1 }
        END { exit !found }' /proc/net/unix
}

# Keeps what the daemon says, which begins each line with its level as it does for the journal: without the level in
# llmhookd.log, and errors and worse also in llmhookd.errors.
lab_daemon_log() {
    exec sed -u -e '/^<[0-3]>/w /dev/stderr' -e 's/^<[0-7]>//' >>"$LAB_DIR/llmhookd.log" 2>>"$LAB_DIR/llmhookd.errors"
}

# More arguments go to the daemon as they are.
lab_daemon_start() {
    local program=$LLMHOOK_BUILD/src/llmhookd log
    [ -x "$program" ] || { lab_fail "$program has not been built"; return; }
    # As systemd does for RuntimeDirectory= and StateDirectory=.
    install -d -m 0755 /run/llmhookd
    install -d -m 0700 /var/lib/llmhook
    exec {log}> >(lab_daemon_log)
    LAB_DAEMON_LOG_PID=$!
    JOURNAL_STREAM=lab "$program" --config /etc/llmhook/llmhook.conf "$@" </dev/null >&"$log" 2>&1 {log}>&- &
    LAB_DAEMON_PID=$!
    exec {log}>&-
    lab_wait_until 20 lab_daemon_ready_or_dead
    lab_socket_listens $LAB_DAEMON_SOCKET || {
        lab_daemon_log_ends
        lab_fail "llmhookd is not ready, see $LAB_DIR/llmhookd.log"
    }
}

# The daemon has ended: returns when all that it said is in its log.
lab_daemon_log_ends() {
    lab_wait_until 5 lab_process_gone "$LAB_DAEMON_LOG_PID"
}

lab_daemon_ready_or_dead() {
    lab_socket_listens $LAB_DAEMON_SOCKET || lab_process_gone "$LAB_DAEMON_PID"
}

# Returns the daemon's exit code.
lab_daemon_stop() {
    local status=0
    lab_end "$LAB_DAEMON_PID" TERM || status=$?
    lab_daemon_log_ends
    return $status
}

lab_daemon_kill9() {
    lab_end "$LAB_DAEMON_PID" KILL
    lab_daemon_log_ends
    return 0
}

# Ends a child of this shell and returns its exit code. One that does not obey
# within 20 s is killed, and 124 is returned.
lab_end() {
    local status=0 late=
    [ -n "$1" ] || { lab_fail "not running"; return; }
    kill -"$2" "$1" 2>/dev/null
    lab_wait_until 20 lab_process_gone "$1" || { late=yes; kill -KILL "$1"; }
    wait "$1" 2>/dev/null || status=$?
    [ -z "$late" ] || return 124
    return $status
}

# ---- TAP ----

TAP_COUNT=0
TAP_FAILED=0

tap_note() {
    printf '%s\n' "$*" | sed 's/^/# /'
}

tap_pass() {
    TAP_COUNT=$((TAP_COUNT + 1))
    echo "ok $TAP_COUNT - $1"
}

# usage: tap_fail DESCRIPTION [WHY]
tap_fail() {
    TAP_COUNT=$((TAP_COUNT + 1))
    TAP_FAILED=$((TAP_FAILED + 1))
    echo "not ok $TAP_COUNT - $1"
    [ -z "${2:-}" ] || tap_note "$2"
}

# Passes when COMMAND succeeds. Its output is shown when it does not.
# usage: tap_ok DESCRIPTION COMMAND...
tap_ok() {
    local description=$1 output=/run/lab/tap.$BASHPID status=0
    shift
    "$@" >"$output" 2>&1 || status=$?
    if [ $status = 0 ]; then
        tap_pass "$description"
    else
        tap_fail "$description" "exit code $status of: $*
$(cat "$output")"
    fi
}

# Never for secrets: both are shown when they differ.
# usage: tap_is GOT WANTED DESCRIPTION
tap_is() {
    if [ "$1" = "$2" ]; then
        tap_pass "$3"
    else
        tap_fail "$3" "got:    $1
wanted: $2"
    fi
}

# The same with a pattern of the shell's.
# usage: tap_like GOT PATTERN DESCRIPTION
tap_like() {
    # shellcheck disable=SC2053 # a pattern
    if [[ $1 == $2 ]]; then
        tap_pass "$3"
    else
        tap_fail "$3" "got:    $1
wanted: $2"
    fi
}

# usage: tap_skip DESCRIPTION REASON
tap_skip() {
    TAP_COUNT=$((TAP_COUNT + 1))
    echo "ok $TAP_COUNT - $1 # SKIP $2"
}

# Ends the script before its first test.
tap_skip_all() {
    echo "1..0 # SKIP $*"
    exit 0
}

# Ends the script when nothing that follows could pass.
tap_bail_out() {
    echo "Bail out! $*"
    exit 1
}

# Ends the script.
tap_done() {
    echo "1..$TAP_COUNT"
    [ "$TAP_FAILED" = 0 ]
    exit
}
