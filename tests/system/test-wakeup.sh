#!/bin/bash
# A guest that has slept in its memory and wakes is in the same boot: what an operator took from it stays away.
set -u
# shellcheck source-path=SCRIPTDIR source=common.sh
. "$(dirname "$0")/common.sh"
lab_enter "$0" "$@"

uuid=70000000-0000-4000-8000-000000000001

system_start
lab_domain_xml dev-1 --uuid $uuid | sed "s|<devices>|<pm><suspend-to-mem enabled='yes'/></pm>&|" | lab_define
virsh_quiet start dev-1
tap_ok "it has its key" wait_proven dev-1 60
# A daemon that did not hear of the start must take no other event for it.
lab_daemon_stop
lab_daemon_start
tap_ok "and so for the daemon that comes next" wait_proven dev-1 60
tap_ok "the operator revokes it" llmhook revoke --yes dev-1
tap_ok "no key is left alive" wait_live_keys 0 30 $uuid

# The agent's command has no answer, since nothing in the guest goes on.
lab_guest_exec dev-1 'echo mem >/sys/power/state' 2>/dev/null
tap_ok "the guest sleeps" wait_status dev-1 .state paused 30
tap_is "$(virsh domstate dev-1 | head -1)" pmsuspended "in its memory"
virsh_quiet dompmwakeup dev-1
tap_ok "it wakes" wait_status dev-1 .state running 30
# The event is heard before libvirt is asked for the state.
tap_is "$(llmhook history --json dev-1 | grep -c 'hold ended')" 0 "that is no new boot"
tap_is "$(llmhook doctor | grep -c 'dev-1')" 0 "nor is it taken for a start without the hook"
tap_is "$(count_accounts_ever $uuid)" 1 "there was one key"

virsh_quiet destroy dev-1
tap_ok "it is off" wait_status dev-1 .state off 30
virsh_quiet start dev-1
tap_ok "a new boot has a new key" wait_proven dev-1 60
tap_is "$(llmhook history --json dev-1 | grep -c 'hold ended')" 1 "and says so"
tap_done
