#!/bin/bash
# A guest as a cloud's image is one, set up by what `llmhook guest cloud-config` prints, through cloud-init's NoCloud: it
# has no guest agent before. Its login shells get the key, its services a rotation, and it goes on by the drop box when
# its agent may run nothing any more; all by systemd, as it would be anywhere.
# shellcheck disable=SC2016 # the guest expands
set -u
# shellcheck source-path=SCRIPTDIR source=common.sh
. "$(dirname "$0")/common.sh"
if [ "${LAB_INSIDE:-}" != 1 ]; then
    command -v genisoimage >/dev/null || tap_skip_all "genisoimage is not installed"
    CLOUD_GUEST=$("$LAB_HERE/guest-cloud.sh" 2>&1) || tap_skip_all "${CLOUD_GUEST##*$'\n'}"
    export CLOUD_GUEST LAB_GUEST=none
fi
lab_enter "$0" "$@"

# usage: cloud_domain_xml NAME SEED
cloud_domain_xml() {
    cat <<END
<domain type='qemu'>
  <name>$1</name>
  <memory unit='MiB'>512</memory>
  <vcpu>2</vcpu>
  <os>
    <type arch='x86_64' machine='pc'>hvm</type>
    <kernel>$CLOUD_GUEST/kernel</kernel>
    <initrd>$CLOUD_GUEST/initramfs</initrd>
    <cmdline>root=/dev/vda rw console=ttyS0 quiet cryptomgr.notests nokaslr mitigations=off norandmaps</cmdline>
  </os>
  <features><acpi/></features>
  <clock offset='utc'><timer name='hpet' present='no'/></clock>
  <devices>
    <emulator>/usr/bin/qemu-system-x86_64</emulator>
    <controller type='usb' model='none'/>
    <memballoon model='none'/>
    <disk type='file' device='disk'><driver name='qemu' type='qcow2'/><source file='$LAB_DIR/$1.qcow2'/><target dev='vda' bus='virtio'/></disk>
    <disk type='file' device='disk'><driver name='qemu' type='raw'/><source file='$2'/><target dev='vdb' bus='virtio'/><readonly/></disk>
    <serial type='file'><source path='$LAB_DIR/$1.console' append='on'/></serial>
    <channel type='unix'><target type='virtio' name='$LAB_CHANNEL'/></channel>
  </devices>
</domain>
END
}

start_guest() {
    local seed=$LAB_DIR/seed
    mkdir -p "$seed"
    llmhook guest cloud-config >"$seed/user-data"
    printf 'instance-id: i-1\nlocal-hostname: dev-1\n' >"$seed/meta-data"
    genisoimage -quiet -output "$seed.iso" -volid cidata -joliet -rock "$seed/user-data" "$seed/meta-data"
    qemu-img create -q -f qcow2 -F raw -b "$CLOUD_GUEST/disk" "$LAB_DIR/dev-1.qcow2"
    cloud_domain_xml dev-1 "$seed.iso" | lab_define
    virsh_quiet start dev-1
}

in_guest() { lab_guest_exec dev-1 "$1"; }
# Not by `cloud-init status`, which keeps an emulated processor busy for seconds.
cloud_init_done() { in_guest 'test -e /run/cloud-init/result.json'; }
newest() { status dev-1 '.grants[0].keys | last | .fingerprint'; }
newest_is_active() { [ "$(status dev-1 '.grants[0].keys | last | [.generation, .state] | tojson')" = "[$1,\"active\"]" ]; }
login_has_newest() { [ "$(guest_hash dev-1 debian)" = "$(newest)" ]; }
service_has_newest() { [ "$(in_guest 'cat /run/reader')" = "$(newest)" ]; }

test_first() {
    local start
    start=$(lab_now_ms)
    tap_ok "a guest without an agent starts" start_guest
    tap_ok "cloud-init installs the agent, which connects" lab_wait_agent dev-1 900
    tap_note "virsh start to agent connected: $(($(lab_now_ms) - start)) ms"
    [ "$TAP_FAILED" = 0 ] || tap_bail_out "no agent: $(tail -n 5 "$LAB_DIR/dev-1.console")"
    tap_ok "the guest proves that it has the key" wait_proven dev-1 240
    tap_ok "cloud-init ends" lab_wait_until 300 cloud_init_done
    tap_is "$(in_guest 'cat /run/cloud-init/result.json' | jq -c .v1.errors)" '[]' "and has nothing to complain of"
    tap_is "$(guest_hash dev-1 debian)" "$(live_hash)" "the login shell of cloud-init's own user has the key"
    tap_is "$(in_guest 'systemctl is-active llmhook-units.path llmhook-box.path qemu-guest-agent.service')" \
        $'active\nactive\nactive' "what waits for keys is active"
    tap_is "$(in_guest 'stat -c "%a %U" /run/llmhook.box /run/llmhook.box/in')" $'700 root\n600 root' "the drop box is there"
}

# A service that writes down what it was started with.
test_service() {
    in_guest 'cat >/etc/systemd/system/reader.service <<EOF
[Service]
EnvironmentFile=-/run/llmhook/env
ExecStart=/bin/sh -c '\''printf %%s "\$\$OPENAI_API_KEY" | sha256sum | cut -c1-64 >/run/reader; exec sleep infinity'\''
EOF
        echo "restart reader.service" >>/etc/llmhook/units; systemctl daemon-reload; systemctl start reader'
    tap_ok "a service reads the key" lab_wait_until 240 service_has_newest
    tap_ok "a rotation" llmhook rotate dev-1
    tap_ok "is proven" lab_wait_until 240 newest_is_active 2
    tap_ok "and the service has the new key" lab_wait_until 240 service_has_newest
    tap_ok "so has a login shell" login_has_newest
    tap_is "$(in_guest 'systemctl show -p NRestarts --value reader; journalctl -u reader -o cat | grep -c Started')" $'0\n2' \
        "it was restarted once"
}

test_box() {
    in_guest 'mkdir -p /etc/systemd/system/qemu-guest-agent.service.d
        printf "[Service]\nExecStart=\nExecStart=/usr/sbin/qemu-ga -b guest-exec,guest-exec-status\n" \
            >/etc/systemd/system/qemu-guest-agent.service.d/b.conf
        systemctl daemon-reload; systemd-run --quiet --on-active=1 systemctl restart qemu-guest-agent'
    tap_ok "its agent may run nothing any more" lab_wait_until 240 agent_is_blocked
    tap_ok "what it has is proven by the drop box" lab_wait_until 240 \
        grep -q 'dev-1: the guest has proven 1 key (it had them)' "$LAB_DIR/llmhookd.log"
}

agent_is_blocked() {
    lab_agent dev-1 '{"execute":"guest-info"}' |
        jq -e '.return.supported_commands[] | select(.name == "guest-exec") | .enabled == false'
}

system_start
test_first
test_service
test_box
tap_done
