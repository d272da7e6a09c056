#!/bin/bash
# Runs a command in the lab: on this machine, but with namespaces of its own
# in which a private libvirtd can do as it likes.
#
# usage: enter.sh COMMAND [ARGUMENT...]
#        enter.sh --check            only says whether there can be a lab
#
# In the lab /run, /var/lib/libvirt, /var/lib/llmhook and the like are empty,
# /etc is a copy that may be written to, and the network is a loopback. The
# rest is the host's. When COMMAND ends, or this script is killed, everything
# that was started in the lab is gone, and the host is as it was.
#
# LAB_DIR     where logs go; made if missing. Without it: a temporary folder,
#             removed when COMMAND succeeds.
# LAB_GUEST   a folder made by guest-tiny.sh; without it, that is asked.
#             "none": no guest is needed.
# In the lab LAB_INSIDE=1, both of the above are set, and LAB_ID is a number
# that no other lab on this machine has.
#
# Exits as COMMAND does; with 77 when this machine cannot have a lab.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd -P)
export LLMHOOK_BUILD=${LLMHOOK_BUILD:-$(cd "$here/../.." && pwd -P)}
export LLMHOOK_CACHE=${LLMHOOK_CACHE:-$LLMHOOK_BUILD/.cache}
# Covered by a writable copy, changes to which are lost.
copied=(/etc /var/lib /var/cache /var/log)

cannot() {
    echo "lab: $*" >&2
    exit 77
}

check_machine() {
    local tool missing=
    [ "$(id -u)" = 0 ] || cannot "needs root"
    for tool in unshare:util-linux setpriv:util-linux ip:iproute2 \
        libvirtd:libvirt-daemon virsh:libvirt-clients \
        qemu-system-x86_64:qemu-system-x86 curl:curl jq:jq; do
        command -v "${tool%:*}" >/dev/null || missing="$missing ${tool#*:}"
    done
    [ -e /usr/lib/x86_64-linux-gnu/libvirt/connection-driver/libvirt_driver_qemu.so ] ||
        [ -e /usr/lib64/libvirt/connection-driver/libvirt_driver_qemu.so ] ||
        missing="$missing libvirt-daemon-driver-qemu"
    [ -z "$missing" ] || cannot "packages are missing:$missing"
    # A file system driver is loaded when it is first asked for, if it is there.
    grep -qw overlay /proc/filesystems || modprobe -q overlay ||
        cannot "the kernel has no overlay file system"
    unshare -m -n -p -f -i -u true 2>/dev/null ||
        cannot "this machine does not allow namespaces"
}

# From outside: everything below dies with this process, whatever kills it.
# unshare holds signals back from itself while it waits, hence the SIGKILL.
outside() {
    local status=0 temporary="" lab
    [ $# -gt 0 ] || { echo "usage: enter.sh COMMAND [ARGUMENT...]" >&2; exit 2; }
    check_machine
    [ "$1" != --check ] || exit 0
    [ -n "${LAB_GUEST:-}" ] || LAB_GUEST=$("$here/guest-tiny.sh") || exit 1
    if [ -z "${LAB_DIR:-}" ]; then
        LAB_DIR=$(mktemp -d "${TMPDIR:-/tmp}/lab.XXXXXX")
        temporary=yes
    fi
    mkdir -p "$LAB_DIR" "$LLMHOOK_CACHE"
    LLMHOOK_CACHE=$(cd "$LLMHOOK_CACHE" && pwd -P)
    LLMHOOK_BUILD=$(cd "$LLMHOOK_BUILD" && pwd -P)
    LAB_DIR=$(cd "$LAB_DIR" && pwd -P)
    export LAB_DIR LAB_GUEST LAB_INSIDE=1
    # Process numbers are not unique between labs; this is.
    export LAB_ID=$$
    # The shell has started us with these two ignored for background jobs.
    env --default-signal=INT,QUIT setpriv --pdeathsig KILL \
        unshare -m -n -p -f -i -u --mount-proc --kill-child=KILL \
        "$here/enter.sh" --inside "$@" <&0 &
    lab=$!
    # shellcheck disable=SC2064 # the number as it is now
    trap "kill -KILL $lab 2>/dev/null; exit 143" TERM INT HUP
    wait "$lab" || status=$?
    if [ "$temporary" = yes ]; then
        if [ $status = 0 ]; then
            rm -rf "$LAB_DIR"
        else
            echo "lab: logs are in $LAB_DIR" >&2
        fi
    fi
    exit $status
}

# Folders that must stay the real ones, where a copy or a tmpfs covers them.
# They are held by descriptors, as they have no path in between.
kept=()
hold_real_folders() {
    local folder descriptor
    for folder in "$LAB_DIR" "$LAB_GUEST" "$LLMHOOK_BUILD" \
        "$LLMHOOK_CACHE" "$PWD"; do
        case $folder/ in
        /etc/* | /run/* | /var/lib/* | /var/cache/* | /var/log/*)
            [ -d "$folder" ] || continue
            exec {descriptor}<"$folder"
            kept+=("$descriptor:$folder")
            ;;
        esac
    done
}

give_back_real_folders() {
    local entry
    for entry in ${kept[@]+"${kept[@]}"}; do
        mkdir -p "${entry#*:}"
        mount --no-canonicalize --bind "/proc/self/fd/${entry%%:*}" "${entry#*:}"
        eval "exec ${entry%%:*}<&-"
    done
    cd "$PWD"
}

mount_private() {
    local folder layer=/run/lab/layers
    # unshare has made the mounts private; -n, or mount leaves its notes in the
    # /run of the host.
    mount -n -t tmpfs -o mode=0755,nosuid,nodev tmpfs /run
    mkdir -p /run/lock /run/lab
    chmod 1777 /run/lock
    # The one that is there shows the network interfaces of the host.
    mount -t sysfs -o nosuid,nodev,noexec sysfs /sys
    for folder in "${copied[@]}"; do
        mkdir -p "$layer$folder"/{upper,work}
        chmod --reference="$folder" "$layer$folder/upper"
        mount -t overlay -o "lowerdir=$folder,upperdir=$layer$folder/upper,workdir=$layer$folder/work" \
            overlay "$folder"
    done
    # Not merely copies: whatever the host's own libvirt has there is not ours.
    for folder in /etc/libvirt /etc/llmhook /var/lib/libvirt /var/lib/llmhook \
        /var/cache/libvirt /var/log/libvirt; do
        mkdir -p "$folder"
        mount -t tmpfs -o mode=0755,nosuid,nodev tmpfs "$folder"
    done
    chmod 0700 /var/lib/llmhook
    mkdir -p /etc/libvirt/hooks "$LAB_DIR/libvirt"
    mount --bind "$LAB_DIR/libvirt" /var/log/libvirt
}

# What libvirt has found out about QEMU, which takes it 2 s. It checks by
# itself that this is about the QEMU that is here; lab_libvirtd_start keeps it.
seed_capabilities() {
    [ -d "$LLMHOOK_CACHE/capabilities" ] || return 0
    mkdir -p /var/cache/libvirt/qemu
    cp -R "$LLMHOOK_CACHE/capabilities" /var/cache/libvirt/qemu/
}

configure_libvirt() {
    # Debian's libvirtd asks for this account before it reads whom to run
    # QEMU as; the package that makes it would also start the host's service.
    getent group libvirt-qemu >/dev/null ||
        echo 'libvirt-qemu:x:64055:' >>/etc/group
    getent passwd libvirt-qemu >/dev/null ||
        echo 'libvirt-qemu:x:64055:64055::/var/lib/libvirt:/usr/sbin/nologin' \
            >>/etc/passwd
    # The owners of the guest's files are nobody's business here, and a folder
    # that only its owner can enter is one that QEMU as root must be able to.
    cat >/etc/libvirt/qemu.conf <<-END
	user = "root"
	group = "root"
	dynamic_ownership = 0
	remember_owner = 0
	clear_emulator_capabilities = 0
	cgroup_controllers = []
	namespaces = []
	security_driver = "none"
	stdio_handler = "file"
	END
    cat >/etc/libvirt/libvirtd.conf <<-END
	auth_unix_rw = "none"
	unix_sock_rw_perms = "0700"
	log_outputs = "3:file:/var/log/libvirt/libvirtd.log"
	END
}

# The first process of the lab. It stays, since it is the one that has to
# collect the dead of others: libvirt waits for its QEMUs to be gone.
inside() {
    hold_real_folders
    mount_private
    give_back_real_folders
    configure_libvirt
    seed_capabilities
    ip link set lo up
    hostname lab
    "$@"
    exit $?
}

if [ "${1:-}" = --inside ] && [ "${LAB_INSIDE:-}" = 1 ] && [ $$ = 1 ]; then
    shift
    set +e
    inside "$@"
fi
outside "$@"
