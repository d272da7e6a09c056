#!/bin/bash
# As a user has it: installed by the README on a Debian 13 that systemd has booted, beside the libvirtd of Debian's own
# unit, whose QEMU runs as a user of its own. llmhookd runs in the sandbox of its unit, with its admin key and its sealing
# key from encrypted credentials, and systemd upgrades, kills, and shuts it down. In the end all of it is removed.
# LLMHOOK_DEBIAN=12 does the same on a Debian 12, whose systemd (252) is older.
# shellcheck disable=SC2317 # functions passed by name
set -u
if [ "${1:-}" != --inside ]; then
    # shellcheck source-path=SCRIPTDIR source=common.sh
    . "$(dirname "$0")/common.sh"
    enter_debian --systemd tests/build/test-systemd.sh
    exit
fi
export LAB_INSIDE=1 LAB_DIR=/run/lab
mkdir -p /run/lab
# shellcheck source-path=SCRIPTDIR source=../system/common.sh
. "$(dirname "$0")/../system/common.sh"

llmhook() {
    timeout 60 /usr/bin/llmhook "$@"
}

one=60000000-0000-4000-8000-000000000001
two=60000000-0000-4000-8000-000000000002
three=60000000-0000-4000-8000-000000000003
CREDENTIALS=/etc/credstore.encrypted
STORE=/var/lib/llmhook-gateway
DROPINS=/etc/systemd/system/llmhookd.service.d

# usage: unit PROPERTY
unit() {
    systemctl show --property "$1" --value llmhookd
}

unit_is() {
    [ "$(unit "$1")" = "$2" ]
}

# What the unit has said since journal_from_here was called.
journal_from_here() {
    journal_begin=$(journalctl --show-cursor --lines 0 --quiet | sed -n 's/^-- cursor: //p')
}

journal_says() {
    journalctl --unit llmhookd --output cat --after-cursor "$journal_begin" | grep -E -- "$1"
}

in_build() {
    make -C "$LLMHOOK_BUILD" --no-print-directory -s "$@"
}

# usage: write_configuration [SECTIONS]
write_configuration() {
    install -d -m 0755 /etc/llmhook
    cat >$CONFIG <<END
[daemon]
seal-key = credential:seal
undefine-grace = 2s
usage-interval = never

[provider openai]
admin-key = credential:openai-admin
base-url = $LAB_SANDBOX_URL/v1

[provider gateway]
type = exec
program = /usr/share/doc/llmhook/examples/provider-file.sh $STORE/store
can = suspend change-limit
environment = GATEWAY_KEY

${1-[policy agent-*]
providers = openai gateway
monthly-limit = 25

[policy early-*]
providers = openai
required = yes
boot-credential = yes}
END
}

# As the unit's own comment has it. The sealing key is 32 bytes of chance, in hexadecimal digits.
write_credentials() {
    install -d -m 0700 "$CREDENTIALS" "$DROPINS"
    systemd-creds encrypt --quiet --name=openai-admin "$LAB_SANDBOX/admin-key" "$CREDENTIALS/llmhook-openai-admin" &&
        (umask 077 && od -An -N32 -v -tx1 /dev/urandom | tr -d ' \n') |
        systemd-creds encrypt --quiet --name=seal - "$CREDENTIALS/llmhook-seal" || return
    # What the unit and the example tell to uncomment, and to allow.
    {
        echo '[Service]'
        sed -n 's/^#\(LoadCredentialEncrypted=\)/\1/p' /usr/lib/systemd/system/llmhookd.service
        echo "ReadWritePaths=$STORE"
    } >"$DROPINS/override.conf"
    install -d -m 0700 "$STORE"
}

has_gateway_key() {
    [ "$(guest_hash "$1" alice GATEWAY_KEY)" = "$(tr -d '\n' <"$STORE/store.tokens" | sha256sum | cut -c1-64)" ]
}

has_both() {
    status_is "$1" '.delivery + " " + (.grants | map(.status + " " + (.keys | map(.state) | join(","))) | join(" "))' \
        "proven ok active ok active"
}

# Both of its keys are proven, and that is all there is to say about them.
# usage: wait_both NAME TIMEOUT
wait_both() {
    lab_wait_until "$2" has_both "$1" || {
        llmhook status
        journal_says .
        lab_fail "$1 has not its two keys after $2 s"
    }
}

test_install() {
    tap_ok "the machine has booted" systemctl is-system-running --wait
    tap_ok "llmhook is built" bash "$LAB_HERE/debian-build.sh"
    tap_ok "make install" in_build install
    tap_ok "make hook" in_build hook
    tap_ok "the sandbox provider starts" system_sandbox_start
    write_configuration
    tap_ok "credentials are encrypted" write_credentials
    tap_ok "systemd finds nothing wrong with the unit" systemd-analyze verify --man=no llmhookd.service
    tap_ok "systemctl daemon-reload" systemctl daemon-reload
    tap_ok "systemctl enable --now llmhookd" systemctl enable --quiet --now llmhookd
    tap_is "$(unit ActiveState)" active "it is active: it has told that it is ready"
    tap_ok "systemctl reload libvirtd" systemctl reload libvirtd
    tap_ok "llmhook doctor finds nothing that fails" llmhook doctor
    [ "$TAP_FAILED" = 0 ] || tap_bail_out "what is not installed cannot be tried"
}

test_sandbox() {
    local status
    status=/proc/$(unit MainPID)/status
    tap_is "$(sed -n 's/^\(CapPrm\|CapBnd\|NoNewPrivs\|Seccomp\):\t*//p' "$status" | tr '\n' ' ')" \
        "0000000000000000 0000000000000000 1 2 " "it has no capability, gets none, and may not make every system call"
    tap_like "$(systemd-analyze security llmhookd --no-pager | sed -n 's/.*Overall exposure level for llmhookd.service: //p')" \
        '[012].* OK *' "systemd-analyze security calls that OK"
    tap_is "$(stat -c '%U %a' /var/lib/llmhook /run/llmhookd | tr '\n' ' ')" "root 700 root 755 " "its folders are as they should be"
    tap_ok "no seal key is written where one is given" test ! -e /var/lib/llmhook/seal.key
}

test_start() {
    journal_from_here
    lab_domain_xml agent-1 --uuid $one | lab_define
    tap_ok "virsh start" virsh_quiet start agent-1
    tap_ok "the guest proves both keys" wait_both agent-1 90
    tap_is "$(ps -o user= -p "$(lab_qemu_pid agent-1)")" libvirt-qemu "its QEMU is not root's" 
    tap_ok "it has the one that OpenAI has" guest_has_live_key agent-1 $one
    tap_ok "and the one that a program has made, in the sandbox too" has_gateway_key agent-1
    keep_key agent-1 one
    tap_is "$(models_answer one)" 200 "which OpenAI answers to"
}

# QEMU, which is not root, reads what root has written, at the moment between.
test_boot_credential() {
    lab_domain_xml early-1 --uuid $two | sed "s,<os>,<sysinfo type='fwcfg'><entry \
name='opt/io.systemd.credentials/llmhook.env' file='/run/llmhookd/boot/$two.env'/></sysinfo><os>," | lab_define
    tap_ok "a domain that requires a key, with a boot credential, starts" virsh_quiet start early-1
    tap_is "$(live_keys $two)" 1 "it has a key by then"
    tap_ok "the file is gone" lab_wait_until 20 test ! -e "/run/llmhookd/boot/$two.env"
    tap_ok "it is proven" wait_proven early-1 60
    tap_ok "virsh destroy" virsh_quiet destroy early-1
    tap_ok "and its key is gone" wait_live_keys 0 20 $two
}

test_upgrade() {
    local hash
    hash=$(live_hash $one)
    touch "$LAB_DIR/before"
    tap_ok "make install over it" in_build install
    tap_ok "make hook over it" in_build hook
    tap_ok "systemctl daemon-reload and restart" eval 'systemctl daemon-reload && systemctl restart llmhookd'
    tap_ok "the key stays proven" wait_both agent-1 30
    tap_is "$(live_hash $one)" "$hash" "it is the same"
    tap_is "$(count_accounts_ever $one)" 1 "none was made besides"
    tap_ok "virsh reboot of the guest gives it again" lab_guest_reboot agent-1 90
    tap_ok "the same" lab_wait_until 60 guest_hash_is agent-1 "$hash"
}

# usage: back_after RESTARTS
back_after() {
    unit_is NRestarts "$1" && unit_is ActiveState active
}

test_killed() {
    local hash
    hash=$(live_hash $one)
    tap_ok "kill -9" systemctl kill --signal KILL llmhookd
    tap_ok "systemd starts it again" lab_wait_until 30 back_after 1
    tap_ok "the key stays proven" wait_both agent-1 30
    tap_is "$(live_hash $one)" "$hash" "it is the same"
}

# Half a minute is the unit's; here it is less, so that it can be waited for.
test_hangs() {
    printf '[Service]\nWatchdogSec=3\n' >$DROPINS/watchdog.conf
    systemctl daemon-reload && systemctl restart llmhookd
    tap_is "$(unit WatchdogUSec)" 3s "with a watchdog of three seconds"
    journal_from_here
    systemctl kill --signal STOP llmhookd
    lab_domain_xml agent-2 --uuid $three | lab_define
    tap_ok "while it hangs a VM starts" virsh_quiet start agent-2
    tap_ok "systemd ends and starts it" lab_wait_until 60 journal_says '^llmhookd .* in the ledger$'
    tap_ok "and the VM gets its keys" wait_both agent-2 90
    tap_is "$(find / -xdev -name 'core*' -newer $DROPINS/watchdog.conf -type f -size +1M 2>/dev/null)" "" "no core is left"
    rm $DROPINS/watchdog.conf
    systemctl daemon-reload && systemctl restart llmhookd
    remove_domain agent-2
    tap_ok "which are revoked when it goes" wait_live_keys 0 30 $three
}

test_misconfigured() {
    journal_from_here
    sed -i 's/^monthly-limit = 25$/monthly-limit = lots/' $CONFIG
    tap_ok "systemctl reload with a mistake in the configuration fails" \
        fails_with "Job for llmhookd.service failed" systemctl reload llmhookd
    tap_ok "the journal has where the mistake is" journal_says '^configuration: .*llmhook.conf:[0-9]+: monthly-limit: '
    tap_is "$(unit ActiveState)" active "llmhookd goes on"
    tap_ok "with what was in force" has_both agent-1
    tap_ok "a restart with it fails" fails_with "Job for llmhookd.service failed" systemctl restart llmhookd
    tap_is "$(unit ActiveState) $(unit ExecMainStatus)" "failed 78" "and is not tried again"
    lab_domain_xml agent-2 --uuid $three | lab_define
    tap_ok "VMs start without it" virsh_quiet start agent-2
    sed -i 's/^monthly-limit = lots$/monthly-limit = 25/' $CONFIG
    tap_ok "once it is mended, systemctl start" systemctl start llmhookd
    tap_ok "gives them their keys" wait_both agent-2 90
    tap_ok "and the one that ran all the time has its own" wait_both agent-1 30
}

test_libvirtd_restarts() {
    local hash
    hash=$(live_hash $one)
    tap_ok "systemctl restart libvirtd" systemctl restart libvirtd
    tap_ok "audit finds everything in order" audit_is_clean
    tap_is "$(live_hash $one)" "$hash" "the key is the same"
}

# usage: doctor_says CHECK: "RESULT DETAIL" of it
doctor_says() {
    llmhook doctor --json | jq -r --arg name "$1" '.checks[] | select(.name == $name) | .result + " " + .detail'
}

# A shutdown up to where the machine would be switched off, and what follows when it is switched on.
test_host_goes_down_and_up() {
    printf 'ON_SHUTDOWN=shutdown\nSHUTDOWN_TIMEOUT=60\nPARALLEL_SHUTDOWN=2\n' >/etc/default/libvirt-guests
    tap_like "$(doctor_says "host shutdown")" 'warning libvirt-guests and libvirtd.service stop at the same time*' \
        "doctor knows that Debian's libvirt-guests comes too late"
    install -d /etc/systemd/system/{libvirt-guests.service,shutdown.target}.d
    printf '[Unit]\nAfter=libvirtd.service\n' >/etc/systemd/system/libvirt-guests.service.d/override.conf
    printf '[Unit]\nRefuseManualStart=no\n' >/etc/systemd/system/shutdown.target.d/lab.conf
    systemctl daemon-reload
    tap_like "$(doctor_says "host shutdown")" 'ok *' "with what it advises it does not"
    virsh_quiet autostart agent-1
    tap_is "$(virsh list --name | sort | tr '\n' ' ')" " agent-1 agent-2 " "two VMs run"
    journal_from_here
    tap_ok "the host goes down" systemctl start shutdown.target
    tap_is "$(systemctl is-active llmhookd libvirtd libvirt-guests | tr '\n' ' ')" "inactive inactive inactive " \
        "nothing of it runs any more"
    tap_is "$(live_keys)" 0 "no key is left at OpenAI: llmhookd went last"
    tap_ok "nor in the gateway" test ! -s $STORE/store.tokens
    tap_ok "it said goodbye" journal_says '^stopping$'
    # Of /run, which a reboot empties, this counts: whether libvirtd has started such domains.
    rm -f /run/libvirt/qemu/autostarted
    journal_from_here
    tap_ok "the host comes up" systemctl start default.target
    tap_ok "what starts with it gets its keys" wait_both agent-1 90
    tap_is "$(unit NRestarts)" 0 "llmhookd was there at once"
    tap_is "$(llmhook doctor --json | jq -r '.checks[] | select(.result == "failed") | .name')" "" "doctor finds nothing that fails"
    keep_key agent-1 one
}

# A journal is read by more people than root: usage of its words, and of what systemd shows of the unit.
test_secrets() {
    umask 077
    live=$KEYS/all
    { cat "$LAB_SANDBOX/admin-key" "$STORE/store.tokens"; sed 's/^Authorization: Bearer //' $KEYS/one; } >"$live"
    tap_is "$(grep -c . "$live")" 3 "three secrets are looked for"
    tap_is "$(journalctl --output json | grep -cF -f "$live")" 0 "none is in the journal"
    tap_is "$(systemctl show llmhookd | grep -cF -f "$live")" 0 "nor in what systemd shows"
    tap_is "$(tr '\0' '\n' <"/proc/$(unit MainPID)/environ" | grep -cF -f "$live")" 0 "nor in the environment of llmhookd"
    tap_is "$(grep -rlF -f "$live" /etc /var/lib/llmhook /run/llmhookd /var/log 2>/dev/null)" "" "nor in a file of its own"
}

test_removal() {
    write_configuration ""
    tap_ok "without policies: reload" systemctl reload llmhookd
    tap_ok "the keys are revoked, of running VMs too" wait_live_keys 0 30
    tap_ok "audit finds nothing left" audit_is_clean
    tap_ok "make unhook" in_build unhook
    tap_ok "systemctl disable --now" systemctl disable --quiet --now llmhookd
    tap_ok "make uninstall" in_build uninstall
    tap_ok "systemd forgets it" eval 'systemctl daemon-reload; ! systemctl cat llmhookd'
    tap_is "$(find / -xdev -path /llmhook -prune -o -name '*llmhook*' -print | sort | tr '\n' ' ')" \
        "/etc/credstore.encrypted/llmhook-openai-admin /etc/credstore.encrypted/llmhook-seal /etc/llmhook \
/etc/llmhook/llmhook.conf /etc/systemd/system/llmhookd.service.d /var/lib/llmhook /var/lib/llmhook-gateway " \
        "what stays is what somebody wrote, and what is known"
    tap_ok "VMs start as before" virsh_quiet start agent-2
    tap_ok "but for one with the entry of a boot credential" fails_with "/run/llmhookd/boot/$two.env: No such file" \
        virsh_quiet start early-1
    virsh dumpxml --inactive early-1 | sed '/<sysinfo/,/<.sysinfo>/d' | lab_define
    tap_ok "which starts without it" virsh_quiet start early-1
}

test_install
test_sandbox
test_start
test_boot_credential
test_upgrade
test_killed
test_hangs
test_misconfigured
test_libvirtd_restarts
test_host_goes_down_and_up
test_secrets
test_removal
tap_done
