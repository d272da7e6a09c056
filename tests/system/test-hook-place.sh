#!/bin/bash
# Our hook beside somebody else's, and in the sessions of ordinary users, which
# run it as well.
set -u
# shellcheck source-path=SCRIPTDIR source=common.sh
. "$(dirname "$0")/common.sh"
lab_enter "$0" "$@"

HOOKS=/etc/libvirt/hooks
INSTALLER=$LAB_HERE/../../hooks/install-hook.sh

test_beside() {
    local foreign
    foreign=$(sha256sum <$HOOKS/qemu)
    tap_ok "ours is in qemu.d" cmp "$LLMHOOK_BUILD/hooks/qemu" $HOOKS/qemu.d/50-llmhook
    virsh_quiet start dev-1 --paused
    tap_ok "a VM has its key" wait_live_keys 1 20
    virsh_quiet destroy dev-1
    tap_ok "and loses it" wait_live_keys 0 10
    tap_is "$(grep -c '^dev-1 ' "$LAB_DIR/hook.log")" 5 "the other's hook was called each time, too"
    tap_is "$(llmhook doctor --json | jq -r '.checks[] | select(.name == "hook calls") | .result')" ok \
        "doctor finds ours in order"
    tap_ok "ours is removed" "$INSTALLER" remove
    tap_ok "it is gone" test ! -e $HOOKS/qemu.d/50-llmhook
    tap_is "$(sha256sum <$HOOKS/qemu)" "$foreign" "the other's is what it was"

    virsh_quiet start dev-1 --paused
    tap_ok "without our hook: libvirt's events are enough for a key" wait_live_keys 1 20
    tap_ok "and doctor says what is missing" fails_with "*libvirt started dev-1 without calling llmhook's hook*" llmhook doctor
    virsh_quiet destroy dev-1
    tap_ok "and for its end" wait_live_keys 0 10
    tap_ok "ours is installed again" "$INSTALLER" --source "$LLMHOOK_BUILD/hooks/qemu" install
}

# As an ordinary user, with the environment of a login.
as_user() {
    setpriv --reuid 65534 --regid 65534 --clear-groups env -i PATH="$PATH" HOME=/run/user/65534 \
        XDG_RUNTIME_DIR=/run/user/65534 LC_ALL=C "$@"
}

test_session() {
    local calls before accounts
    install -d -m 0700 -o 65534 -g 65534 /run/user/65534
    # The other's hook shows that the session's libvirtd calls hooks.
    chmod 0755 "$LAB_DIR" && chmod 0666 "$LAB_DIR/hook.log"
    before=$(llmhook doctor --json | jq -r '.checks[] | select(.name == "hook calls") | .detail')
    accounts=$(count_accounts_ever)
    cat >/run/user/65534/dev-user.xml <<-END
	<domain type='qemu'><name>dev-user</name><memory unit='MiB'>16</memory>
	<metadata>$(key_metadata "required='yes'" "monthly-limit='5'")</metadata>
	<os><type arch='x86_64' machine='pc'>hvm</type></os>
	<devices><emulator>/usr/bin/qemu-system-x86_64</emulator></devices></domain>
	END
    if ! as_user virsh -c qemu:///session uri >"$LAB_DIR/session.out" 2>&1; then
        tap_skip "a session of an ordinary user" "none can be had here: $(tail -1 "$LAB_DIR/session.out")"
        return
    fi
    tap_ok "an ordinary user's VM that requires a key starts" \
        as_user virsh -c qemu:///session create /run/user/65534/dev-user.xml --paused
    calls=$(grep -c '^dev-user ' "$LAB_DIR/hook.log")
    tap_is "$calls" 3 "its libvirtd called the hooks"
    tap_ok "it ends" as_user virsh -c qemu:///session destroy dev-user
    tap_is "$(llmhook doctor --json | jq -r '.checks[] | select(.name == "hook calls") | .detail')" "$before" \
        "the daemon has heard nothing of it"
    tap_is "$(ls /var/lib/llmhook/spool)" "" "nor the spool"
    tap_is "$(count_accounts_ever)" "$accounts" "and no key was made"
    tap_ok "an ordinary user cannot talk to the daemon" \
        fails_with "only root may talk to llmhookd (at /run/llmhookd/socket)" as_user "$LLMHOOK_BUILD/src/llmhook" status
}

lab_hook_install --foreign
lab_libvirtd_start && system_sandbox_start && system_configure && lab_daemon_start || tap_bail_out "the lab does not start"
lab_domain_xml dev-1 | lab_define
test_beside
test_session
tap_done
