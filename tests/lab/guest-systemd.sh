#!/bin/bash
# Builds the large guest of the tests and prints the folder that holds it: "kernel", "initramfs" and "disk", a raw image
# of Debian 12 with systemd, sshd, the guest agent, the shells that people use, an account for each of them and one of a
# service. With look=nixos on its kernel's command line it looks as NixOS does: see guest-systemd/usr/local/sbin/guest-look.
#
# usage: guest-systemd.sh
#
# Made by mmdebstrap, below $LLMHOOK_CACHE: the packages once for each list of them, which takes minutes, and the image
# once for each recipe (this file and the folder guest-systemd/), which takes seconds. Exits with 77 when this machine
# cannot have it.
set -euo pipefail
export LC_ALL=C
umask 022

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd -P)
build=${LLMHOOK_BUILD:-$(cd "$here/../.." && pwd -P)}
recipe=$here/guest-systemd
suite=bookworm
packages=systemd-sysv,udev,dbus,dbus-user-session,libpam-systemd,kmod,qemu-guest-agent,linux-image-cloud-amd64
packages=$packages,initramfs-tools,bash,zsh,fish,openssh-client,openssh-server
keyring=/usr/share/keyrings/debian-archive-keyring.gpg
mkdir -p "${LLMHOOK_CACHE:-$build/.cache}/guest-systemd"
cache=$(cd "${LLMHOOK_CACHE:-$build/.cache}/guest-systemd" && pwd -P)
log=$cache/build.log

cannot() {
    echo "guest-systemd: $*" >&2
    exit 77
}

check_machine() {
    local tool missing=
    [ "$(id -u)" = 0 ] || cannot "needs root"
    [ "$(uname -m)" = x86_64 ] || cannot "this is made for amd64 only, here is $(uname -m)"
    command -v apt-get >/dev/null || cannot "packages come from apt, and here is none"
    for tool in mmdebstrap:mmdebstrap mkfs.ext4:e2fsprogs qemu-img:qemu-utils flock:util-linux cpio:cpio \
        busybox:busybox-static; do
        command -v "${tool%:*}" >/dev/null || missing="$missing ${tool#*:}"
    done
    [ -e $keyring ] || missing="$missing debian-archive-keyring"
    [ -z "$missing" ] || cannot "packages are missing:$missing"
}

# Where this machine gets Debian's packages from.
source_line() {
    # shellcheck disable=SC2016 # apt expands it
    apt-get indextargets --format '$(LABEL) $(REPO_URI)' 'Created-By: Packages' |
        awk -v suite=$suite -v keyring=$keyring '
            $1 == "Debian" && !n++ { print "deb [signed-by=" keyring "] " $2 " " suite " main" }'
}

# All packages as an archive, $2; $1 is a folder to work in.
build_base() {
    local work=$1 folder
    source_line >"$work/sources.list"
    [ -s "$work/sources.list" ] || cannot "this machine's apt has no source that is Debian's own"
    for folder in man doc info locale lintian; do
        echo "path-exclude=/usr/share/$folder/*"
    done >"$work/dpkg.cfg"
    echo force-unsafe-io >>"$work/dpkg.cfg"
    apt-config dump --no-empty | grep -E '^Acquire::(http|https|Retries|ForceIPv)' >"$work/apt.conf" || true
    # The packages' own initramfs is not used, and this way it is soon made.
    # shellcheck disable=SC2016 # a shell of mmdebstrap's expands it
    mmdebstrap --mode=root --variant=minbase --aptopt="$work/apt.conf" --dpkgopt="$work/dpkg.cfg" \
        --include="$packages" \
        --essential-hook='mkdir -p "$1/etc/initramfs-tools/conf.d" "$1/usr/share/initramfs-tools/modules.d"' \
        --essential-hook='echo MODULES=list >"$1/etc/initramfs-tools/conf.d/lab"' \
        --essential-hook='printf "virtio_pci\nvirtio_blk\next4\n" >"$1/usr/share/initramfs-tools/modules.d/lab"' \
        $suite "$work/base.tar" "$work/sources.list" >"$log" 2>&1 || {
        tail -n 5 "$log" >&2
        cannot "mmdebstrap failed, see $log"
    }
    mv "$work/base.tar" "$2"
}

# What would only take time: an emulated processor is a tenth of a real one.
make_quick() {
    local root=$1 unit
    for unit in apt-daily.timer apt-daily-upgrade.timer e2scrub_all.timer e2scrub_reap.service fstrim.timer \
        dpkg-db-backup.timer systemd-timesyncd.service systemd-pstore.service systemd-update-utmp.service \
        systemd-update-utmp-runlevel.service systemd-journal-flush.service getty@tty1.service getty.target \
        serial-getty@ttyS0.service ifupdown-pre.service networking.service modprobe@{configfs,drm,efi_pstore,fuse}.service \
        modprobe@{dm_mod,loop}.service kmod-static-nodes.service dev-hugepages.mount dev-mqueue.mount \
        sys-kernel-{debug,tracing,config}.mount sys-fs-fuse-connections.mount proc-sys-fs-binfmt_misc.automount \
        systemd-binfmt.service systemd-modules-load.service systemd-remount-fs.service systemd-random-seed.service \
        systemd-fsck-root.service systemd-sysctl.service systemd-ask-password-wall.path \
        systemd-ask-password-console.path; do
        ln -sf /dev/null "$root/etc/systemd/system/$unit"
    done
    ln -sf /lib/systemd/system/multi-user.target "$root/etc/systemd/system/default.target"
    # The initramfs has loaded all modules there are to load.
    mkdir -p "$root/etc/systemd/system/systemd-udev-trigger.service.d"
    cat >"$root/etc/systemd/system/systemd-udev-trigger.service.d/lab.conf" <<'END'
[Service]
ExecStart=
ExecStart=udevadm trigger --action=add --subsystem-match=virtio-ports --subsystem-match=block
END
    rm -f "$root"/etc/apt/apt.conf.d/99mmdebstrap "$root"/etc/ssh/ssh_host_{rsa,ecdsa}_key*
    # No first boot, nothing to bring up to date.
    echo 0123456789abcdef0123456789abcdef >"$root/etc/machine-id"
    touch -r "$root/usr" "$root/etc/.updated" "$root/var/.updated"
    # Each login would start a manager of its own, which ends with it; alice's is there from the boot on.
    sed -i -e '/pam_systemd/d' -e '/pam_motd/d' -e '/pam_mail/d' "$root"/etc/pam.d/{common-session,runuser-l,sshd,login}
    mkdir -p "$root/etc/systemd/journald.conf.d"
    printf '[Journal]\nStorage=volatile\n' >"$root/etc/systemd/journald.conf.d/lab.conf"
}

# The accounts, and what people have written into their own files.
make_people() {
    chroot "$1" sh -eu <<'END'
useradd -m -u 1000 -U -s /bin/bash alice
useradd -m -u 1001 -U -s /usr/bin/zsh bob
useradd -m -u 1002 -U -s /usr/bin/fish carol
useradd -m -u 1003 -U -s /bin/sh dave
useradd -r -u 990 -U -M -d /var/lib/svc -s /bin/bash svc
ssh-keygen -q -t ed25519 -N '' -f /root/.ssh-key
for user in alice bob carol dave svc; do
    home=$(getent passwd $user | cut -d: -f6)
    mkdir -p -m 0700 "$home/.ssh"
    cp /root/.ssh-key.pub "$home/.ssh/authorized_keys"
done
echo 'alias ll="ls -l" # without a line end at the end, and what follows is alice'"'s" >>/home/alice/.bashrc
printf 'export EDITOR=vi' >>/home/alice/.profile
printf '# bob wrote this\nsetopt interactivecomments\n' >/home/bob/.zshrc
mkdir -p /home/carol/.config/fish
printf '# carol wrote this\nset -g mine yes' >/home/carol/.config/fish/config.fish
for user in alice bob carol dave svc; do
    chown -R $user: "$(getent passwd $user | cut -d: -f6)"
done
mkdir -p /var/lib/systemd/linger
touch /var/lib/systemd/linger/alice
systemctl enable guest-look.service
echo guest >/etc/hostname
echo '127.0.0.1 localhost guest' >/etc/hosts
echo '/dev/vda / ext4 noatime 0 0' >/etc/fstab
END
}

# The root is found by the kernel's name for it; nothing is to be searched or waited for.
make_initramfs() {
    local root=$1 to=$2 module
    mkdir -p "$to"/{bin,dev,proc,sys,root,modules}
    cp "$(command -v busybox)" "$to/bin/busybox"
    for module in virtio_ring virtio virtio_pci_legacy_dev virtio_pci_modern_dev virtio_pci virtio_blk virtio_console \
        virtio-rng; do
        find "$root/usr/lib/modules" -name "$module.ko" -exec cp {} "$to/modules" \;
    done
    cat >"$to/init" <<'END'
#!/bin/busybox sh
/bin/busybox mount -t devtmpfs dev /dev
cd /modules
for module in virtio_ring virtio virtio_pci_legacy_dev virtio_pci_modern_dev virtio_pci virtio_blk virtio_console \
    virtio-rng; do
    /bin/busybox insmod $module.ko
done
until /bin/busybox mount -o noatime -t ext4 /dev/vda /root 2>/dev/null; do
    /bin/busybox sleep 0.1
done
/bin/busybox mount -o move /dev /root/dev
exec /bin/busybox switch_root /root /lib/systemd/systemd
END
    chmod 0755 "$to/init"
    (cd "$to" && find . | sort | cpio --quiet -o -H newc -R 0:0)
}

build_guest() {
    local work=$1 root=$1/root
    mkdir "$root" "$work/guest"
    tar -xf "$2" -C "$root"
    cp -R "$recipe/." "$root"
    cp "$root/usr/bin/dbus-daemon" "$root/usr/local/sbin/"
    chmod 0755 "$root"/usr/local/sbin/*
    make_quick "$root"
    make_people "$root" >>"$log" 2>&1
    cp "$root"/boot/vmlinuz-* "$work/guest/kernel"
    make_initramfs "$root" "$work/initramfs" >"$work/guest/initramfs"
    rm -rf "${root:?}"/boot/*
    truncate -s 2G "$work/guest/disk"
    mkfs.ext4 -q -d "$root" "$work/guest/disk" >>"$log" 2>&1
}

check_machine
base=$cache/base-$(echo "$suite $packages virtio_pci virtio_blk ext4" | sha256sum | cut -c1-16).tar
hash=$({
    find "$recipe" -type f | sort | xargs -d '\n' sha256sum | sed "s, $recipe/, ,"
    cat "$here/guest-systemd.sh"
} | sha256sum | cut -c1-16)
exec 9>"$cache/lock"
flock 9
if [ ! -s "$cache/$hash/disk" ]; then
    # We hold the lock: what is there was left by a build that was killed.
    rm -rf "$cache"/work.*
    work=$cache/work.$$
    mkdir "$work"
    # shellcheck disable=SC2064 # the folder's name as it is now
    trap "rm -rf '$work'" EXIT
    [ -s "$base" ] || build_base "$work" "$base"
    build_guest "$work" "$base"
    rm -rf "${cache:?}/$hash"
    mv -T "$work/guest" "$cache/$hash"
fi
echo "$cache/$hash"
