#!/bin/bash
# Builds a guest as a cloud's image is one, and prints the folder that holds it: "kernel", "initramfs" and "disk", a raw
# image of Debian 12 with systemd and cloud-init. It is for tests of what cloud-init is told; all else has the tiny guest,
# which boots ten times as fast.
#
# usage: guest-cloud.sh
#
# The guest agent is not installed, but lies in a repository of the guest's own, since a guest in the lab has no network
# to fetch it from. Made once by mmdebstrap for each recipe (this file), below $LLMHOOK_CACHE. Exits with 77 when this
# machine cannot have it.
set -euo pipefail
export LC_ALL=C
umask 022

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd -P)
build=${LLMHOOK_BUILD:-$(cd "$here/../.." && pwd -P)}
suite=bookworm
keyring=/usr/share/keyrings/debian-archive-keyring.gpg
mkdir -p "${LLMHOOK_CACHE:-$build/.cache}/guest-cloud"
cache=$(cd "${LLMHOOK_CACHE:-$build/.cache}/guest-cloud" && pwd -P)
log=$cache/build.log

cannot() {
    echo "guest-cloud: $*" >&2
    exit 77
}

check_machine() {
    local tool missing=
    [ "$(id -u)" = 0 ] || cannot "needs root"
    [ "$(uname -m)" = x86_64 ] || cannot "this is made for amd64 only, here is $(uname -m)"
    command -v apt-get >/dev/null || cannot "packages come from apt, and here is none"
    for tool in mmdebstrap:mmdebstrap mkfs.ext4:e2fsprogs flock:util-linux; do
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

# The agent's package in a repository below $1, with what else it needs left in place.
agent_in_repository() {
    local root=$1 package
    mkdir -p "$root/srv/packages"
    cp "$root"/var/cache/apt/archives/qemu-guest-agent_*.deb "$root/srv/packages"
    chroot "$root" dpkg --purge qemu-guest-agent
    for package in "$root"/srv/packages/*.deb; do
        dpkg-deb -f "$package"
        echo "Filename: ./${package##*/}"
        echo "Size: $(stat -c %s "$package")"
        echo "SHA256: $(sha256sum <"$package" | cut -d' ' -f1)"
        echo
    done >"$root/srv/packages/Packages"
    echo 'deb [trusted=yes] file:/srv/packages ./' >"$root/etc/apt/sources.list"
}

# What would only take time, and no network to wait for.
make_quick() {
    local root=$1 unit
    for unit in apt-daily.timer apt-daily-upgrade.timer e2scrub_all.timer e2scrub_reap.service fstrim.timer \
        dpkg-db-backup.timer systemd-timesyncd.service systemd-pstore.service; do
        ln -sf /dev/null "$root/etc/systemd/system/$unit"
    done
    cat >"$root/etc/cloud/cloud.cfg.d/90_lab.cfg" <<'END'
datasource_list: [NoCloud, None]
network: {config: disabled}
cloud_init_modules: [write-files, users-groups]
cloud_config_modules: [runcmd]
cloud_final_modules: [package-update-upgrade-install, scripts-user]
END
    echo '/dev/vda / ext4 defaults 0 0' >"$root/etc/fstab"
    rm -f "$root"/var/cache/apt/archives/*.deb "$root"/etc/apt/apt.conf.d/99mmdebstrap
}

build_guest() {
    local work=$1 root=$1/root folder
    source_line >"$work/sources.list"
    [ -s "$work/sources.list" ] || cannot "this machine's apt has no source that is Debian's own"
    for folder in man doc info locale lintian; do
        echo "path-exclude=/usr/share/$folder/*"
    done >"$work/dpkg.cfg"
    echo force-unsafe-io >>"$work/dpkg.cfg"
    apt-config dump --no-empty | grep -E '^Acquire::(http|https|Retries|ForceIPv)' >"$work/apt.conf" || true
    echo 'APT::Keep-Downloaded-Packages "true";' >>"$work/apt.conf"
    # shellcheck disable=SC2016 # a shell of mmdebstrap's expands it
    mmdebstrap --mode=root --variant=minbase --aptopt="$work/apt.conf" --dpkgopt="$work/dpkg.cfg" \
        --skip=cleanup/apt \
        --include=systemd-sysv,udev,dbus,kmod,cloud-init,qemu-guest-agent,linux-image-cloud-amd64,initramfs-tools,sudo \
        --essential-hook='mkdir -p "$1/etc/initramfs-tools/conf.d" "$1/usr/share/initramfs-tools/modules.d"' \
        --essential-hook='echo MODULES=list >"$1/etc/initramfs-tools/conf.d/lab"' \
        --essential-hook='printf "virtio_pci\nvirtio_blk\next4\n" >"$1/usr/share/initramfs-tools/modules.d/lab"' \
        $suite "$root" "$work/sources.list" >"$log" 2>&1 || {
        tail -n 5 "$log" >&2
        cannot "mmdebstrap failed, see $log"
    }
    agent_in_repository "$root" >>"$log" 2>&1
    make_quick "$root"
    mkdir "$work/guest"
    cp "$root"/boot/vmlinuz-* "$work/guest/kernel"
    cp "$root"/boot/initrd.img-* "$work/guest/initramfs"
    rm -rf "${root:?}"/boot/*
    truncate -s 2G "$work/guest/disk"
    mkfs.ext4 -q -d "$root" "$work/guest/disk" >>"$log" 2>&1
}

check_machine
hash=$(sha256sum <"$here/guest-cloud.sh" | cut -c1-16)
exec 9>"$cache/lock"
flock 9
if [ ! -s "$cache/$hash/disk" ]; then
    # We hold the lock: what is there was left by a build that was killed.
    rm -rf "$cache"/work.*
    work=$cache/work.$$
    mkdir "$work"
    # shellcheck disable=SC2064 # the folder's name as it is now
    trap "rm -rf '$work'" EXIT
    build_guest "$work"
    mv -T "$work/guest" "$cache/$hash"
fi
echo "$cache/$hash"
