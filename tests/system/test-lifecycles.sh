#!/bin/bash
# What happens to a VM between its start and its end, beyond test-endings.sh: each step with the hooks that libvirt calls
# for it, as it calls them in this version, and with the key that is alive after it.
set -u
# shellcheck source-path=SCRIPTDIR source=common.sh
. "$(dirname "$0")/common.sh"
lab_enter "$0" "$@"

one=70000000-0000-4000-8000-000000000001
two=70000000-0000-4000-8000-000000000002
three=70000000-0000-4000-8000-000000000003
HOOKS=$LAB_DIR/hooks
FOREIGN=/etc/libvirt/hooks/qemu.d
HELD=$LAB_DIR/held

# ---- hooks ----

# Another's hook, before ours: writes down what it is called for. ("-" is said of every call without a reason.)
record_hooks() {
    mkdir -p $FOREIGN
    # shellcheck disable=SC2016 # the hook expands it
    printf '#!/bin/sh\nif [ "$4" = - ]; then echo "$1 $2"; else echo "$1 $2($4)"; fi >>%s\n' "$HOOKS" \
        >/etc/libvirt/hooks/qemu
    chmod 0755 /etc/libvirt/hooks/qemu
    : >"$HOOKS"
}

# The reason of a release, where libvirt tells it to hooks: from 10.5 on.
gives_reasons() {
    local version
    version=$(virsh --version) && [ "$(printf '%s\n' 10.5.0 "$version" | sort -V | head -1)" = 10.5.0 ]
}

# What has been called for NAME since the last time that this was asked, each with its reason in parentheses.
# usage: hooks_are NAME "CALL..." DESCRIPTION
hooks_are() {
    local wanted=$2
    # shellcheck disable=SC2001 # not what is longest
    $REASONS || wanted=$(sed 's/([^)]*)//g' <<<"$wanted")
    tap_is "$(sed -n "s/^$1 //p" "$HOOKS" | paste -sd' ')" "$wanted" "$3: the hooks are '$wanted'"
    : >"$HOOKS"
}

# usage: foreign_hook FILE NAME OPERATION: fails there
foreign_hook() {
    # shellcheck disable=SC2016 # the hook expands it
    printf '#!/bin/sh\n[ "$1 $2" != "%s %s" ] || { echo "not today" >&2; exit 1; }\n' "$2" "$3" >"$FOREIGN/$1"
    chmod 0755 "$FOREIGN/$1"
}

# ---- keys ----

# One key of that UUID is alive, and it is the one with that hash.
# usage: same_key UUID HASH DESCRIPTION
same_key() {
    tap_is "$(live_hash "$1")" "$2" "$3: the same key is alive, and no other"
}

# The guest has the one key that is alive.
# usage: guest_has_it NAME UUID DESCRIPTION
guest_has_it() {
    tap_ok "$3: it is proven" wait_proven "$1" 60
    tap_is "$(live_keys "$2")" 1 "$3: one key is alive"
    tap_ok "$3: the guest has it" lab_wait_until 20 guest_has_live_key "$1" "$2"
}

# Starts a VM that no guest is needed in.
# usage: start_idle NAME UUID
start_idle() {
    virsh_quiet start --domain "$1" --paused && idle_has_key "$1" "$2"
}

idle_has_key() {
    wait_status "$1" '.state + " " + .grants[0].keys[0].state' "paused minted" 20 && live_keys_are 1 "$2"
}

# Runs COMMAND, which ends the VM of that UUID in the one or other way.
# usage: ends DESCRIPTION UUID COMMAND...
ends() {
    local description=$1 uuid=$2 start
    shift 2
    start=$(lab_now_ms)
    tap_ok "$description" "$@"
    tap_ok "$description: the key is revoked" wait_live_keys 0 15 "$uuid"
    tap_under $(($(sandbox_state | jq '[.projects[].keys[].deleted_ms | select(. != null)] | max // 0') - start)) 5000 \
        "$description: within 5 s"
}

# ---- the rows ----

test_failed_starts() {
    local file calls
    for file in 10-before 90-after; do
        while read -r operation calls; do
            foreign_hook $file dev-2 "$operation"
            ends "a hook $file ours fails at $operation" $two fails_with "*not today*" virsh start dev-2 --paused
            hooks_are dev-2 "$calls" "a hook $file ours fails at $operation"
        done <<-'END'
	prepare prepare stopped release(failed)
	start prepare start stopped release(failed)
	started prepare start started stopped release(failed)
	END
        rm $FOREIGN/$file
    done
}

# A start that fails uses up no saved memory, in which the key is.
test_failed_restore() {
    local hash operation calls="restore prepare start started"
    tap_ok "a VM without a guest has a key" start_idle dev-2 $two
    hash=$(live_hash $two)
    tap_ok "managedsave" virsh_quiet managedsave dev-2
    tap_ok "managedsave: it is known to be saved" wait_status dev-2 .state saved 10
    : >"$HOOKS"
    for operation in prepare start started; do
        foreign_hook 90-after dev-2 $operation
        tap_ok "a start from it fails at $operation" fails_with "*not today*" virsh start dev-2 --paused
        tap_is "$(head -1 "$HOOKS")" "dev-2 restore" "a start from it fails at $operation: its memory was there"
        tap_ok "a start from it fails at $operation: it is still saved" wait_status dev-2 .state saved 10
        same_key $two "$hash" "a start from it fails at $operation"
        : >"$HOOKS"
    done
    foreign_hook 90-after dev-2 restore
    if virsh start dev-2 --paused >/dev/null 2>&1; then
        # libvirt 11.3 calls that a start, and removes the memory.
        tap_is "$(virsh domstate dev-2)" "shut off" "a start from it fails at restore, whatever libvirt says"
        calls="prepare start started"
    else
        tap_is "$(virsh domstate dev-2)" "shut off" "a start from it fails at restore"
    fi
    tap_ok "a start from it fails at restore: it is still saved" wait_status dev-2 .state saved 10
    same_key $two "$hash" "a start from it fails at restore"
    rm $FOREIGN/90-after
    : >"$HOOKS"
    tap_ok "a start from it" start_idle dev-2 $two
    hooks_are dev-2 "$calls" "a start from it"
    same_key $two "$hash" "a start from it"
    ends "destroyed" $two virsh_quiet destroy dev-2
    hooks_are dev-2 "stopped release(destroyed)" "destroyed"
}

# Another's hook that holds the domain, and with it all that could be asked of libvirt about it. What is done
# meanwhile is done because of the reason alone.
hold_release() {
    rm -f "$HELD"
    mkfifo "$HELD"
    # shellcheck disable=SC2016 # the hook expands it
    printf '#!/bin/sh\n[ "$2" != release ] || read -r line <%s\n' "$HELD" >$FOREIGN/90-hold
    chmod 0755 $FOREIGN/90-hold
}

let_go() {
    rm $FOREIGN/90-hold
    timeout 20 sh -c "echo >$HELD"
}

test_reason() {
    local hash ending
    start_idle dev-2 $two
    hash=$(live_hash $two)
    hold_release
    : >"$HOOKS"
    virsh_quiet destroy dev-2 &
    ending=$!
    tap_ok "destroyed, and held at its release" lab_wait_until 10 grep -q "^dev-2 release" "$HOOKS"
    if $REASONS; then
        tap_ok "held: the key is revoked, since the hook said destroyed" wait_live_keys 0 10 $two
    else
        tap_ok "held: it is not known why it stopped" wait_status dev-2 .state unknown 10
        same_key $two "$hash" "held"
    fi
    tap_ok "held: libvirt cannot have been asked" kill -0 $ending
    tap_ok "let go" let_go
    wait $ending
    tap_ok "let go: no key is alive" wait_live_keys 0 10 $two

    start_idle dev-2 $two
    hash=$(live_hash $two)
    hold_release
    : >"$HOOKS"
    virsh_quiet managedsave dev-2 &
    ending=$!
    tap_ok "saved, and held at its release" lab_wait_until 10 grep -q "^dev-2 release" "$HOOKS"
    if $REASONS; then
        tap_ok "held: it is saved, since the hook said so" wait_status dev-2 .state saved 10
    else
        tap_ok "held: it is not known why it stopped" wait_status dev-2 .state unknown 10
    fi
    same_key $two "$hash" "saved and held"
    let_go
    wait $ending
    tap_ok "let go: it is saved" wait_status dev-2 .state saved 10
    same_key $two "$hash" "let go"
    virsh_quiet managedsave-remove dev-2
    : >"$HOOKS"
}

# Whatever holds up one domain in libvirt holds up no other: not the look at it, nor the sweep that comes to it.
test_held_alone() {
    local ending
    start_idle dev-2 $two
    hold_release
    : >"$HOOKS"
    virsh_quiet destroy dev-2 &
    ending=$!
    tap_ok "destroyed, and held at its release" lab_wait_until 10 grep -q "^dev-2 release" "$HOOKS"
    kill -HUP "$LAB_DAEMON_PID"
    tap_ok "another that is started is seen" start_idle dev-1 $one
    tap_ok "the first is still held" kill -0 $ending
    let_go
    wait $ending
    ends "the other is destroyed" $one virsh_quiet destroy dev-1
    : >"$HOOKS"
}

# It leaves libvirt's list when it is saved.
test_transient() {
    local hash
    lab_domain_xml dev-3 --uuid $three >"$LAB_DIR/dev-3.xml"
    virsh_quiet create "$LAB_DIR/dev-3.xml" --paused
    tap_ok "a transient VM has a key" idle_has_key dev-3 $three
    hash=$(live_hash $three)
    : >"$HOOKS"
    tap_ok "a transient VM is saved" virsh_quiet save dev-3 "$LAB_DIR/dev-3.saved"
    hooks_are dev-3 "stopped release(saved)" "a transient VM is saved"
    tap_ok "and known to be so" wait_status dev-3 .state saved 10
    tap_ok "libvirt does not know it" fails_with "*failed to get domain*" virsh domstate dev-3
    tap_ok "for longer than it takes until an undefine counts" lab_wait_until 10 is_later_than $(($(lab_now_ms) + 3000))
    same_key $three "$hash" "after that"
    tap_ok "restored" virsh_quiet restore "$LAB_DIR/dev-3.saved" --paused
    tap_ok "restored: it is known" wait_status dev-3 .state paused 10
    hooks_are dev-3 "restore prepare start started" "restored"
    same_key $three "$hash" "restored"
    ends_with_the_host
    : >"$HOOKS"
}

# No daemon runs when it is restored; the host goes down with it, and comes up again. What is left is the hook's message, which
# tells of an earlier boot of the host.
ends_with_the_host() {
    local left=/var/lib/llmhook/spool/$three.json
    tap_ok "saved once more" virsh_quiet save dev-3 "$LAB_DIR/dev-3.saved"
    tap_ok "and known to be so" wait_status dev-3 .state saved 10
    lab_daemon_stop
    tap_ok "restored while no daemon runs" virsh_quiet restore "$LAB_DIR/dev-3.saved" --paused
    tap_is "$(jq -r .parameters.operation $left)" started "the spool has that"
    jq -c '.parameters.boot = "00000000-0000-4000-8000-00000000dead"' $left >"$LAB_DIR/earlier.json"
    touch -r $left "$LAB_DIR/earlier.json"
    virsh_quiet destroy dev-3
    mv "$LAB_DIR/earlier.json" $left
    tap_ok "the host goes down and comes up again: its key is kept so far" test "$(live_keys $three)" = 1
    tap_ok "a daemon comes" lab_daemon_start
    tap_ok "it knows that the VM is saved no more: its key is revoked" wait_live_keys 0 15 $three
}

# shellcheck disable=SC2317,SC2329 # tap_ok calls it
is_later_than() {
    [ "$(lab_now_ms)" -gt "$1" ]
}

# ---- with a guest ----

test_start_and_pause() {
    tap_ok "a guest is started" virsh_quiet start dev-1
    hooks_are dev-1 "prepare start started" "a guest is started"
    guest_has_it dev-1 $one "a guest is started"
    hash=$(live_hash $one)
    tap_ok "paused" virsh_quiet suspend dev-1
    tap_ok "paused: it is known" wait_status dev-1 .state paused 10
    same_key $one "$hash" "paused"
    tap_ok "resumed" virsh_quiet resume dev-1
    tap_ok "resumed: it is known" wait_status dev-1 .state running 10
    hooks_are dev-1 "" "paused and resumed"
    same_key $one "$hash" "resumed"
    guest_has_it dev-1 $one "resumed"
}

test_snapshot() {
    local old
    tap_ok "a snapshot with its memory" virsh_quiet snapshot-create-as dev-1 memory
    hooks_are dev-1 "" "a snapshot with its memory"
    same_key $one "$hash" "a snapshot with its memory"
    guest_has_it dev-1 $one "after the snapshot"
    old=$hash
    ends "the guest is destroyed" $one virsh_quiet destroy dev-1
    : >"$HOOKS"
    tap_ok "it is reverted to the snapshot while it is off" virsh_quiet snapshot-revert dev-1 memory --running
    guest_has_it dev-1 $one "reverted while off"
    hash=$(live_hash $one)
    tap_ok "reverted while off: another key than that in its memory" test "$hash" != "$old"
    : >"$HOOKS"
    tap_ok "it is reverted while it runs" virsh_quiet snapshot-revert dev-1 memory --running --force
    tap_note "the hooks of a revert while it runs: $(paste -sd' ' "$HOOKS")"
    tap_ok "reverted while it runs: the guest gets a key that lives, in place of that in its memory" \
        lab_wait_until 60 guest_has_live_key dev-1 $one
    guest_has_it dev-1 $one "reverted while it runs"
    tap_is "$(most_at_once $one)" 1 "there never were two keys"
    hash=$(live_hash $one)
    : >"$HOOKS"
}

test_libvirtd() {
    virsh_quiet autostart dev-2
    # libvirt starts what is marked so once after the machine's own start, and notes here that it did.
    tap_ok "libvirtd stops" lab_libvirtd_stop
    rm -f /run/libvirt/qemu/autostarted /run/libvirt/qemu/driver.autostarted
    : >"$HOOKS"
    tap_ok "libvirtd starts, as after the machine's start" lab_libvirtd_start
    tap_ok "autostart: the VM has a key" wait_live_keys 1 20 $two
    tap_ok "the guest's hook has been called" lab_wait_until 10 grep -q "^dev-1 reconnect" "$HOOKS"
    tap_is "$(sed -n 's/^dev-2 //p' "$HOOKS" | paste -sd' ')" "prepare start started" "autostart: the hooks are those of a start"
    hooks_are dev-1 "reconnect" "libvirtd restarts"
    same_key $one "$hash" "libvirtd restarts"
    guest_has_it dev-1 $one "libvirtd restarts"
    virsh_quiet autostart dev-2 --disable
    ends "the one that was autostarted is destroyed" $two virsh_quiet destroy dev-2
    : >"$HOOKS"
}

test_qemu_dies() {
    local pid
    start_idle dev-2 $two
    : >"$HOOKS"
    pid=$(lab_qemu_pid dev-2)
    lab_daemon_kill9
    kill -KILL "$pid"
    tap_ok "without a daemon QEMU is killed" lab_wait_until 10 grep -q "^dev-2 release" "$HOOKS"
    hooks_are dev-2 "stopped release(crashed)" "without a daemon QEMU is killed"
    ends "a daemon comes" $two lab_daemon_start
    start_idle dev-2 $two
    pid=$(lab_qemu_pid dev-2)
    lab_daemon_kill9
    lab_libvirtd_stop
    : >"$HOOKS"
    kill -KILL "$pid"
    tap_ok "without a daemon and libvirtd QEMU is killed" lab_wait_until 10 lab_process_gone "$pid"
    tap_ok "a daemon comes, and has nobody to ask" lab_daemon_start
    tap_is "$(live_keys $two)" 1 "without libvirtd nothing is revoked"
    ends "libvirtd comes" $two lab_libvirtd_start
    hooks_are dev-2 "stopped release(crashed)" "libvirtd comes"
    tap_ok "the guest's daemon knows it again" wait_status dev-1 .state running 20
    same_key $one "$hash" "the other VM"
    guest_has_it dev-1 $one "the other VM"
}

record_hooks
system_start
REASONS=false
gives_reasons && REASONS=true
tap_note "libvirt $(virsh --version): release hooks $($REASONS && echo get a || echo get no) reason"
qemu-img create -q -f qcow2 "$LAB_DIR/disk" 1M
lab_domain_xml dev-1 --uuid $one |
    sed "s|<memballoon|<disk type='file'><driver name='qemu' type='qcow2'/><source file='$LAB_DIR/disk'/><target dev='sda' bus='sata'/></disk>&|" |
    lab_define
lab_domain_xml dev-2 --uuid $two | lab_define
test_failed_starts
test_failed_restore
test_reason
test_held_alone
test_transient
test_start_and_pause
[ "$TAP_FAILED" = 0 ] || tap_bail_out "what follows needs a guest with a key"
test_snapshot
test_libvirtd
test_qemu_dies
ends "the guest is destroyed in the end" $one virsh_quiet destroy dev-1
tap_ok "and all is in order" audit_is_clean
tap_done
