#!/bin/bash
# Does the lab do what the tests that run in it rely on? Nothing of llmhook is
# needed for this, nor built.
# shellcheck disable=SC2016,SC2317 # guests expand; functions passed by name
set -u
# shellcheck source-path=SCRIPTDIR source=lab.sh
. "$(dirname "$0")/lab.sh"
lab_enter "$0" "$@"

timing() {
    tap_note "$(printf '%-46s %6d ms' "$1" $(($(lab_now_ms) - $2)))"
}

# Succeeds when COMMAND fails and says so in these words.
fails_with() {
    local wanted=$1 output
    shift
    output=$("$@" 2>&1) && { echo "succeeded"; return 1; }
    case $output in
    *"$wanted"*) ;;
    *) echo "$output"; return 1 ;;
    esac
}

test_boot() {
    local start both
    lab_hook_record
    start=$(lab_now_ms)
    tap_ok "libvirtd starts" lab_libvirtd_start
    timing "libvirtd start to answer" "$start"
    lab_domain_xml one --uuid 11111111-1111-4111-8111-111111111111 \
        --metadata '<t:mark xmlns:t="urn:test" a="b"/>' | lab_define
    lab_domain_xml '-two <&>' | lab_define
    start=$(lab_now_ms)
    tap_ok "a guest starts" virsh start --domain one
    timing "virsh start" "$start"
    tap_ok "its agent connects" lab_wait_agent one 60
    [ "$TAP_FAILED" = 0 ] || tap_bail_out "no guest, no tests"
    timing "virsh start to agent connected, alone" "$start"
    tap_is "$(virsh domuuid --domain one | head -1)" \
        11111111-1111-4111-8111-111111111111 "--uuid is the domain's"
    tap_is "$(virsh metadata --domain one --uri urn:test | head -1)" \
        '<mark a="b"/>' "--metadata is in the domain"
    both=$(lab_now_ms)
    tap_ok "a second one starts, of an awkward name" virsh start --domain '-two <&>'
    tap_ok "its agent connects too" lab_wait_agent '-two <&>' 60
    timing "virsh start to agent connected, beside another" "$both"
    tap_note "memory: $(awk '/^VmRSS/ { print int($2 / 1024) }' \
        "/proc/$(lab_qemu_pid one)/status") MiB resident"
}

test_exec() {
    local start status=0
    start=$(lab_now_ms)
    tap_is "$(lab_guest_exec one 'id -u; echo "$PATH"')" \
        $'0\n/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin' \
        "exec as root"
    timing "one exec" "$start"
    tap_is "$(lab_guest_exec one --user alice 'id -un; id -gn; id -u')" \
        $'alice\nalice\n1000' "exec as alice"
    tap_is "$(lab_guest_exec one --user svc 'id -u')" 990 \
        "exec as a service account"
    tap_ok "exec and no login as a service account" \
        fails_with "not available" lab_guest_login one svc true
    lab_guest_exec one 'echo out; echo err >&2; exit 42' >/run/out 2>/run/err ||
        status=$?
    tap_is "$status,$(cat /run/out),$(cat /run/err)" "42,out,err" \
        "exit code, output and errors come out apart"
    lab_guest_exec one 'echo "export GREETING=hello" >/etc/profile.d/test.sh'
    tap_is "$(lab_guest_login one bob 'echo $GREETING; pwd; id -un')" \
        $'hello\n/home/bob\nbob' "a login shell reads /etc/profile.d"
    tap_is "$(lab_guest_exec one 'echo "[$GREETING]"')" "[]" \
        "what is no login shell does not"
    tap_is "$(lab_guest_exec one 'stat -c "%U %a" /home/alice /run /tmp /etc/shadow' |
        tr '\n' ' ')" "alice 700 root 755 root 1777 root 640 " \
        "owners and modes are a real guest's"
    lab_guest_exec one --user alice 'touch /tmp/mine; exec 2>&1; touch /run/mine' \
        >/run/out
    tap_is "$(cat /run/out)" "touch: /run/mine: Permission denied" \
        "alice is no root"
}

test_agent_comes_back() {
    lab_guest_exec one 'kill -9 "$PPID"' 2>/dev/null
    tap_ok "an agent that died comes back" \
        lab_wait_until 20 lab_guest_exec one true
}

test_reboot() {
    local start
    lab_guest_exec one 'touch /run/mark'
    start=$(lab_now_ms)
    tap_ok "a guest reboots" lab_guest_reboot one 60
    timing "guest reboot to agent connected" "$start"
    tap_ok "that emptied /run" lab_guest_exec one '! test -e /run/mark'
    lab_agent one '{"execute":"guest-exec","arguments":{"path":"reboot"}}' \
        >/dev/null
    tap_ok "'reboot' without force does it too" \
        lab_wait_until 10 lab_agent_gone one
    tap_ok "and the agent connects again" lab_wait_agent one 60
}

test_libvirtd_restart() {
    local pid start
    pid=$(lab_qemu_pid one)
    lab_guest_exec one 'touch /run/mark'
    start=$(lab_now_ms)
    tap_ok "libvirtd restarts" lab_libvirtd_restart
    timing "libvirtd restart" "$start"
    tap_is "$(virsh domstate --domain one | head -1)" running \
        "the guest still runs"
    tap_is "$(lab_qemu_pid one)" "$pid" "in the same process"
    tap_ok "its agent is still connected" lab_wait_agent one 10
    tap_ok "it is the same boot" lab_guest_exec one 'test -e /run/mark'
}

test_libvirtd_hangs() {
    kill -STOP "$(cat $LAB_LIBVIRTD_PID)"
    LAB_VIRSH_LIMIT=1 tap_ok "a libvirtd that hangs is not waited for for ever" \
        fails_with "libvirtd does not answer 'virsh domstate one'; where its threads are: $LAB_DIR/libvirt/hangs." \
        virsh domstate one
    kill -CONT "$(cat $LAB_LIBVIRTD_PID)"
    tap_ok "and where its threads are is known" grep -q '^Thread .*rpc-' "$LAB_DIR"/libvirt/hangs.*
    tap_ok "it goes on" lab_wait_until 10 virsh domstate one
}

test_save() {
    tap_ok "save" virsh managedsave --domain one
    tap_is "$(virsh domstate --domain one | head -1)" "shut off" \
        "a saved guest is off"
    tap_ok "restore" virsh start --domain one
    tap_ok "the agent is connected again" lab_wait_agent one 20
    tap_ok "the guest goes on where it was" \
        lab_wait_until 20 lab_guest_exec one 'test -e /run/mark'
}

test_poweroff() {
    local how
    for how in agent acpi; do
        tap_ok "virsh shutdown --mode $how" lab_shutdown one $how
        tap_ok "the guest is off" lab_wait_state one "shut off" 20
        virsh start --domain one >/dev/null && lab_wait_agent one 60
    done
    # Which answers nothing: the guest is gone first.
    lab_agent one '{"execute":"guest-exec","arguments":{"path":"poweroff"}}' \
        >/dev/null 2>&1
    tap_ok "poweroff in the guest" lab_wait_state one "shut off" 20
    tap_ok "destroy" virsh destroy --domain '-two <&>'
}

test_variant_exec() {
    lab_domain_xml noexec --append "noexec nofile nosha" | lab_define
    virsh start --domain noexec >/dev/null
    tap_ok "noexec: the agent connects" lab_wait_agent noexec 60
    tap_ok "noexec: guest-exec is refused" \
        fails_with "guest-exec has been disabled" lab_guest_exec noexec true
    tap_ok "nofile: guest-file-open is refused" \
        fails_with "guest-file-open has been disabled" lab_agent noexec \
        '{"execute":"guest-file-open","arguments":{"path":"/etc/passwd"}}'
    tap_is "$(lab_agent noexec '{"execute":"guest-ping"}')" '{"return":{}}' \
        "noexec: guest-ping is answered"
    virsh destroy --domain noexec >/dev/null
}

test_variant_agent() {
    local start elapsed
    lab_domain_xml late --append "agentdelay=4 nosha freezable" | lab_define
    lab_domain_xml none --append noagent | lab_define
    lab_domain_xml deaf --no-channel | lab_define
    virsh start --domain none >/dev/null
    virsh start --domain deaf >/dev/null
    virsh start --domain late >/dev/null
    tap_ok "agentdelay: the guest is up" \
        lab_wait_until 60 grep -q 'guest: up' "$LAB_DIR/late.console"
    start=$(lab_now_ms)
    tap_ok "agentdelay: the agent connects" lab_wait_agent late 60
    elapsed=$(($(lab_now_ms) - start))
    tap_ok "agentdelay: not at once ($elapsed ms)" test $elapsed -ge 2500
    tap_ok "nosha: no sha256sum" \
        fails_with "not found" lab_guest_exec late 'echo x | sha256sum'
    tap_ok "a guest that is off runs nothing" \
        fails_with "domain is not running" lab_guest_exec noexec true
    tap_is "$(lab_agent late '{"execute":"guest-fsfreeze-freeze"}')" \
        '{"return":1}' "freezable: one file system freezes"
    tap_ok "freezable: exec is refused meanwhile" \
        fails_with "has been disabled" lab_guest_exec late true
    tap_is "$(lab_agent late '{"execute":"guest-fsfreeze-thaw"}')" \
        '{"return":1}' "freezable: it thaws"
    tap_ok "freezable: exec works again" lab_guest_exec late true
    tap_ok "noagent: the guest is up" \
        lab_wait_until 60 grep -q 'guest: up' "$LAB_DIR/none.console"
    tap_ok "noagent: no agent" fails_with "agent is not connected" \
        lab_agent none '{"execute":"guest-ping"}'
    tap_ok "--no-channel: the guest is up" \
        lab_wait_until 60 grep -q 'guest: up' "$LAB_DIR/deaf.console"
    tap_ok "--no-channel: no agent is possible" \
        fails_with "agent is not configured" \
        lab_agent deaf '{"execute":"guest-ping"}'
}

test_hooks() {
    tap_is "$(grep '^one ' "$LAB_DIR/hook.log" | head -3)" \
        $'one prepare begin - \none start begin - \none started begin - ' \
        "the hook is called at the start"
    tap_is "$(grep -c '^one reconnect begin - $' "$LAB_DIR/hook.log")" 1 \
        "at libvirtd's restart"
    tap_is "$(grep -A2 '^one stopped end - $' "$LAB_DIR/hook.log" | sed -n 2,3p)" \
        $'one release end - \none restore begin - ' "at a save and restore"
    tap_is "$(grep -F -- '-two\ ' "$LAB_DIR/hook.log" | tail -1)" \
        '-two\ \<\&\> release end - ' "at the end, the name as it is"
}

test_boot
test_exec
test_agent_comes_back
test_reboot
test_libvirtd_restart
test_libvirtd_hangs
test_save
test_poweroff
test_variant_exec
test_variant_agent
test_hooks
tap_done
