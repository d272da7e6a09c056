#!/bin/bash
# Guests without an agent: QEMU hands the keys over when it starts, and the guest's systemd takes them for a credential.
# QEMU runs as the user that Debian has for it, since the file changes its owner on the way.
# shellcheck disable=SC2016 # the guest expands
set -u
# shellcheck source-path=SCRIPTDIR source=common.sh
. "$(dirname "$0")/common.sh"
if [ "${LAB_INSIDE:-}" != 1 ]; then
    SYSTEMD_GUEST=$("$LAB_HERE/guest-systemd.sh" 2>&1) || tap_skip_all "${SYSTEMD_GUEST##*$'\n'}"
    export SYSTEMD_GUEST
fi
lab_enter "$0" "$@"

FOLDER=/run/llmhookd/boot
one=50000000-0000-4000-8000-000000000001
two=50000000-0000-4000-8000-000000000002
three=50000000-0000-4000-8000-000000000003
CONFIG_POLICY='[policy must-*]
providers = openai
monthly-limit = 25
required = yes
boot-credential = yes

[policy may-*]
providers = openai
monthly-limit = 25
boot-credential = yes

[policy off-*]
providers = openai
monthly-limit = 25'

# What llmhook(1) tells to put into a guest, and what says on the console what came of it: a service by EnvironmentFile,
# one by LoadCredential, and a service account that tries.
write_units() {
    cat >"$LAB_DIR/told.service" <<'END'
[Service]
Type=oneshot
EnvironmentFile=-/run/credentials/@system/llmhook.env
EnvironmentFile=-/run/llmhook/env
LoadCredential=llmhook.env
ExecStart=/usr/local/sbin/tell
END
    cat >"$LAB_DIR/tell" <<'END'
#!/bin/sh
hash() { if [ -n "$1" ]; then printf %s "$1" | sha256sum | cut -c1-64; else echo none; fi; }
by_service=$OPENAI_API_KEY
unset OPENAI_API_KEY
if [ -r "$CREDENTIALS_DIRECTORY/llmhook.env" ]; then . "$CREDENTIALS_DIRECTORY/llmhook.env"; fi
raw=/sys/firmware/qemu_fw_cfg/by_name/opt/io.systemd.credentials/llmhook.env/raw
denied=$(for file in $raw /run/credentials/@system/llmhook.env; do
    [ ! -e $file ] || runuser -u svc -- cat $file >/dev/null 2>&1 && echo svc reads $file
done)
echo "told: $(hash "$by_service") $(hash "$OPENAI_API_KEY") $(stat -c %a $raw) ${denied:-closed} $(cat /proc/sys/kernel/random/boot_id)." >/dev/console
END
    chmod 0755 "$LAB_DIR/tell"
}

make_disk() {
    local base=$LAB_DIR/base.raw
    write_units
    cp --sparse=always "$SYSTEMD_GUEST/disk" "$base" || return
    debugfs -w -f /dev/stdin "$base" >/dev/null 2>&1 <<END
write $LAB_DIR/told.service /etc/systemd/system/told.service
symlink /etc/systemd/system/multi-user.target.wants/told.service /etc/systemd/system/told.service
write $LAB_DIR/tell /usr/local/sbin/tell
set_inode_field /usr/local/sbin/tell mode 0100755
END
    debugfs -R 'stat /usr/local/sbin/tell' "$base" 2>/dev/null | grep -q 'Mode:  0755'
}

# usage: boot_entry UUID
boot_entry() {
    echo "<entry name='opt/io.systemd.credentials/llmhook.env' file='$FOLDER/$1.env'/>"
}

# usage: boot_domain_xml NAME UUID [ENTRY]; without a third, its own
boot_domain_xml() {
    qemu-img create -q -f qcow2 -F raw -b "$LAB_DIR/base.raw" "$LAB_DIR/$1.qcow2" || return
    cat <<END
<domain type='qemu'>
  <name>$1</name>
  <uuid>$2</uuid>
  <memory unit='MiB'>384</memory>
  <vcpu>1</vcpu>
  <sysinfo type='fwcfg'>${3-$(boot_entry "$2")}</sysinfo>
  <os>
    <type arch='x86_64' machine='pc'>hvm</type>
    <kernel>$SYSTEMD_GUEST/kernel</kernel>
    <initrd>$SYSTEMD_GUEST/initramfs</initrd>
    <cmdline>root=/dev/vda rw console=ttyS0 quiet panic=1 cryptomgr.notests nokaslr mitigations=off norandmaps no_timer_check</cmdline>
  </os>
  <features><acpi/><tcg><tb-cache unit='MiB'>128</tb-cache></tcg></features>
  <clock offset='utc'><timer name='hpet' present='no'/></clock>
  <devices>
    <emulator>/usr/bin/qemu-system-x86_64</emulator>
    <controller type='usb' model='none'/>
    <memballoon model='none'/>
    <disk type='file' device='disk'>
      <driver name='qemu' type='qcow2' cache='unsafe'/>
      <source file='$LAB_DIR/$1.qcow2'/>
      <target dev='vda' bus='virtio'/>
    </disk>
    <rng model='virtio'><backend model='random'>/dev/urandom</backend></rng>
    <serial type='file'><source path='$LAB_DIR/$1.console' append='on'/></serial>
  </devices>
</domain>
END
}

# What libvirt finds in the folder when it is about to run QEMU, and when it does; by a hook that comes after ours.
watch_starts() {
    mkdir -p /etc/libvirt/hooks/qemu.d
    cat >/etc/libvirt/hooks/qemu.d/90-watch <<END
#!/bin/sh
for file in $FOLDER/*; do
    [ ! -e "\$file" ] ||
        echo "\$1 \$2 \${file##*/} \$(stat -c '%U %a' "\$file") \$(sed -n "s/^OPENAI_API_KEY='\\(.*\\)'\$/\\1/p" "\$file" |
            tr -d '\\n' | sha256sum | cut -c1-64)"
done >>$LAB_DIR/starts
END
    chmod 0755 /etc/libvirt/hooks/qemu.d/90-watch
}

saw() {
    grep -Fxq "$*" "$LAB_DIR/starts"
}

folder_is_empty() {
    [ -z "$(ls -A $FOLDER)" ]
}

# The boots that have told what they have.
told() {
    tr -d '\r' <"$LAB_DIR/$1.console" | grep -o 'told: [^.]*\.'
}

told_times() {
    [ "$(told "$1" | wc -l)" -ge "$2" ]
}

# usage: check_told NAME TIMES HASH WORDS
check_told() {
    tap_ok "$4: the guest is up" lab_wait_until 300 told_times "$1" "$2"
    tap_like "$(told "$1" | tail -n 1)" "told: $3 $3 400 closed *" \
        "$4: what services have by EnvironmentFile and by LoadCredential, and nobody else"
}

nothing=$(printf '' | sha256sum | cut -c1-64)

test_handed_over() {
    local hash
    virsh_quiet start must-1
    tap_is $? 0 "a start that requires the key: it starts"
    hash=$(live_hash $one)
    tap_ok "the key is in the file when QEMU is about to start, for root alone" \
        saw must-1 start $one.env root 600 "$hash"
    tap_ok "the file is gone when the domain has started" folder_is_empty
    tap_is "$(status must-1 '.delivery + " " + .grants[0].status + " " + .grants[0].keys[0].state')" "boot ok minted" \
        "status: handed over, and not proven"
    tap_like "$(llmhook show must-1)" "*newer ones are at its next start only*" "show says what it cannot do"
    tap_ok "nothing is rotated that nobody can prove" \
        fails_with "has no key to replace: the next boot gets a new one anyway" llmhook rotate must-1
    check_told must-1 1 "$hash" "the first boot"
}

test_save() {
    local hash
    hash=$(live_hash $one)
    : >"$LAB_DIR/starts"
    tap_ok "it is saved" virsh_quiet managedsave must-1
    tap_ok "it is restored" virsh_quiet start must-1
    tap_ok "restored: QEMU is given the key that it had" saw must-1 start $one.env root 600 "$hash"
    tap_ok "restored: the file is gone" folder_is_empty
    tap_is "$(live_hash $one)" "$hash" "restored: the key is the same"
    virsh_quiet reset must-1
    check_told must-1 2 "$hash" "a reboot of the guest after it was restored"
    tap_is "$(told must-1 | sort -u | wc -l)" 2 "it was another boot"
    virsh_quiet destroy must-1
    tap_ok "destroyed: the key is revoked" wait_live_keys 0 20 $one
}

# Nothing may depend on the daemon, or on a key, but what requires it. The guest boots beside the next one.
test_without_daemon() {
    lab_daemon_stop
    virsh_quiet start may-1
    tap_is $? 0 "without a daemon: it starts"
    tap_ok "without a daemon: QEMU is given an empty file" saw may-1 start $two.env root 600 "$nothing"
    tap_ok "without a daemon: the file is gone when the domain has started" folder_is_empty
    lab_daemon_start
    tap_ok "the daemon comes: a key is made" wait_live_keys 1 20 $two
    tap_ok "the daemon comes: it says that the key is not in the guest" wait_status_like may-1 \
        '.delivery + ": " + .boot_credential + "; " + .boot_credential_remedy' \
        'failing: no key was there when it started, so none was handed over; with required="yes" a start waits for its keys' 10
}

test_nothing_in_the_guest() {
    check_told may-1 1 none "no key at its start, and none of another domain's"
    virsh_quiet destroy may-1
}

test_refused() {
    listening false
    : >"$LAB_DIR/starts"
    tap_ok "no key to be had: who requires it does not start" \
        fails_with "must-1 requires an LLM key and none could be had: " virsh start must-1
    tap_ok "no key to be had: the file is gone" folder_is_empty
    listening true
}

test_left_behind() {
    tap_ok "a start that comes to nothing after its key: it does not start" fails_with "llmhook-no-such-file" \
        virsh start must-2
    tap_ok "a start that comes to nothing after its key: the file is gone" folder_is_empty
    lab_daemon_stop
    printf 'OPENAI_API_KEY=x\n' >$FOLDER/$one.env
    cp $FOLDER/$one.env $FOLDER/$two.env
    touch -d '-11 minutes' $FOLDER/$one.env
    lab_daemon_start
    tap_ok "left by a libvirtd that died: removed when the daemon comes" lab_wait_until 30 test ! -e $FOLDER/$one.env
    tap_ok "what may belong to a start is left" test -e $FOLDER/$two.env
    virsh_quiet start off-1 --paused
    rm -f $FOLDER/$two.env
}

# usage: check_words NAME REASON
check_words() {
    tap_ok "$1: status says so" wait_status_like "$1" .boot_credential "$2" 10
    tap_like "$(llmhook doctor --json | jq -r --arg name "domain $1" '.checks[] | select(.name == $name) | .detail')" "*$2*" \
        "$1: doctor says so"
}

test_words() {
    check_words off-1 "its XML has the entry of the boot credential, and its policy does not ask for it: the file is empty"
    check_words may-2 "its policy says boot-credential, and its XML has no entry for it"
    check_words may-3 "its XML has the entry of the boot credential with another file than its own*"
    check_words may-4 "its XML has the entry of the boot credential with a text*"
}

sed -i -e '/^\s*\(user\|group\|dynamic_ownership\|remember_owner\) /d' /etc/libvirt/qemu.conf
printf '%s\n' 'user = "libvirt-qemu"' 'group = "libvirt-qemu"' >>/etc/libvirt/qemu.conf
chmod 0711 "$LAB_DIR"
watch_starts
make_disk || tap_bail_out "the guest's disk cannot be made"
system_start
boot_domain_xml must-1 $one | lab_define
boot_domain_xml may-1 $two | lab_define
boot_domain_xml off-1 $three | lab_define
boot_domain_xml must-2 50000000-0000-4000-8000-000000000004 |
    sed "s,<initrd>.*</initrd>,<initrd>/run/llmhook-no-such-file</initrd>," | lab_define
boot_domain_xml may-2 50000000-0000-4000-8000-000000000005 '' | lab_define
boot_domain_xml may-3 50000000-0000-4000-8000-000000000006 "$(boot_entry $one)" | lab_define
boot_domain_xml may-4 50000000-0000-4000-8000-000000000007 \
    "<entry name='opt/io.systemd.credentials/llmhook.env'>NAME=VALUE</entry>" | lab_define
test_without_daemon
test_handed_over
test_nothing_in_the_guest
test_save
test_refused
test_left_behind
test_words
tap_ok "in the end all is in order" audit_is_clean
tap_done
