#!/bin/bash
# Builds the tiny guest of the tests and prints the folder that holds it:
# "kernel" and "initramfs", a Debian cloud kernel and an initramfs of busybox,
# dash and the QEMU guest agent. See guest-tiny/init for its variants.
#
# usage: guest-tiny.sh
#
# Nothing is installed: the packages are downloaded with apt-get and unpacked
# below the cache, $LLMHOOK_CACHE (default: .cache at the top of the checkout).
# Needs no root. A guest is built once for each recipe (this file and the
# folder guest-tiny/) and each set of package versions. Two builds at once
# wait for each other; a build that was killed leaves nothing that counts.
set -euo pipefail
export LC_ALL=C
umask 022

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd -P)
build=${LLMHOOK_BUILD:-$(cd "$here/../.." && pwd -P)}
mkdir -p "${LLMHOOK_CACHE:-$build/.cache}/guest-tiny"
cache=$(cd "${LLMHOOK_CACHE:-$build/.cache}/guest-tiny" && pwd -P)
recipe=$here/guest-tiny
log=$cache/build.log

die() {
    echo "guest-tiny: $*" >&2
    exit 1
}

# apt-get with lists of our own, for a machine whose lists are missing or too
# old to be downloaded from.
apt_options=()
use_private_lists() {
    mkdir -p "$cache/apt/lists/partial" "$cache/apt/cache/archives/partial"
    apt_options=(-o "Dir::State::lists=$cache/apt/lists"
        -o "Dir::Cache=$cache/apt/cache" -o "APT::Sandbox::User=")
    apt-get "${apt_options[@]}" -q update >>"$log" 2>&1 ||
        die "apt-get update failed, see $log"
}

# Everything that decides what comes out, without asking apt: when this is as
# it was, the answer is as it was.
inputs_key() {
    {
        find "$recipe" "$here/guest-tiny.sh" -type f -printf '%P %m ' \
            -exec sha256sum -- {} + | sed "s|$here||" | sort
        # There are folders below that not everybody can look into.
        { find /etc/apt /var/lib/apt/lists -type f \
            \( -name '*.list' -o -name '*.sources' -o -name '*_Packages*' \) \
            -printf '%p %s %T@\n' 2>/dev/null || true; } | sort
    } | sha256sum | cut -c1-16
}

# The packages: the concrete kernel behind the metapackage, busybox, a shell
# that finds programs by PATH as real ones do (busybox's has its own inside),
# and the agent with all that it and the shell depend on.
package_names() {
    apt-cache "${apt_options[@]}" depends linux-image-cloud-amd64 2>/dev/null |
        sed -n 's/^ *Depends: \(linux-image-[0-9].*\)/\1/p'
    printf '%s\n' busybox-static dash
    apt-cache "${apt_options[@]}" depends --recurse --no-recommends \
        --no-suggests --no-conflicts --no-breaks --no-replaces --no-enhances \
        --no-pre-depends qemu-guest-agent 2>/dev/null | grep '^[a-z0-9]' |
        grep -v -e '-base$'
}

# Lines of: 'URL' FILE SIZE HASH. Fails when apt does not know them all.
package_files() {
    local names
    names=$(package_names) || return
    grep -q '^linux-image-' <<<"$names" || return
    # shellcheck disable=SC2086 # one word a package
    apt-get "${apt_options[@]}" -q download --print-uris $names \
        2>>"$log" | sort
}

download() {
    local names
    names=$(package_names)
    # As _apt, apt could not write below a folder that only its owner reads.
    # shellcheck disable=SC2086 # one word a package
    (cd "$1" && apt-get "${apt_options[@]}" -q -o APT::Sandbox::User= \
        download $names >>"$log" 2>&1)
}

# What of the packages the guest needs, from below $1 to below $2.
install_programs() {
    local from=$1 to=$2 linker libraries library
    find "$from" -path '*bin/busybox' -type f -exec cp -t "$to/usr/bin" {} +
    find "$from" -path '*bin/dash' -type f -exec cp -t "$to/usr/bin" {} +
    find "$from" -path '*sbin/qemu-ga' -type f -exec cp -t "$to/usr/sbin" {} +
    ln -s dash "$to/usr/bin/sh"
    "$to/usr/bin/busybox" --list | while read -r applet; do
        [ -e "$to/usr/bin/$applet" ] || ln -s busybox "$to/usr/bin/$applet"
    done
    ln -s ../bin/busybox "$to/usr/sbin/nologin"
    # The packages' own loader tells what the agent loads, so that neither
    # this machine's libraries nor a tool of its own have a say.
    linker=$(find "$from" -name ld-linux-x86-64.so.2 -path '*x86_64-linux-gnu*')
    libraries=$("$linker" --library-path \
        "$from/lib/x86_64-linux-gnu:$from/usr/lib/x86_64-linux-gnu" \
        --list "$to/usr/sbin/qemu-ga" | awk '$2 == "=>" { print $3 }')
    for library in $libraries $linker; do
        case $library in
        "$from"/*) cp -L "$library" "$to/usr/lib/x86_64-linux-gnu" ;;
        *) die "no package brought ${library##*/}" ;;
        esac
    done
    ln -s ../lib/x86_64-linux-gnu/ld-linux-x86-64.so.2 "$to/usr/lib64"
}

install_modules() {
    local from=$1 to=$2 module file
    for module in virtio_ring virtio virtio_pci_legacy_dev \
        virtio_pci_modern_dev virtio_pci virtio_console button evdev loop; do
        file=$(find "$from" -name "$module.ko" -o -name "$module.ko.xz")
        case $file in
        *.ko) cp "$file" "$to/usr/lib/modules" ;;
        *.xz) "$to/usr/bin/busybox" xzcat "$file" \
            >"$to/usr/lib/modules/$module.ko" ;;
        *) die "the kernel package has no module $module" ;;
        esac
    done
}

# The guest's root. Homes are left out: they have other owners.
make_root() {
    local from=$1 to=$2 folder
    mkdir -p "$to"/{dev,etc/profile.d,home,mnt,proc,root,run,sys,tmp} \
        "$to"/usr/{bin,sbin,lib64,lib/modules,lib/x86_64-linux-gnu} \
        "$to"/usr/local/{bin,sbin} "$to"/var/{lib,log,tmp}
    chmod 0700 "$to/root"
    chmod 1777 "$to/tmp" "$to/var/tmp"
    for folder in bin sbin lib lib64; do
        ln -s "usr/$folder" "$to/$folder"
    done
    ln -s /run "$to/var/run"
    cp -R "$recipe/etc" "$to"
    cp "$recipe/init" "$to"
    cp "$recipe/sbin/shutdown" "$to/usr/sbin"
    chmod -R u+w "$to/etc"
    chmod 0640 "$to/etc/shadow"
    ln -s /proc/mounts "$to/etc/mtab"
    install_programs "$from" "$to"
    install_modules "$from" "$to"
}

# Three archives in a row are one to the kernel; each has one owner, whoever
# runs this. Not compressed: emulated, unpacking costs more than reading.
make_initramfs() {
    local root=$1 user id
    (cd "$root" && find . | sort | cpio --quiet --reproducible -o -H newc -R 0:0)
    for user in alice:1000 bob:1001; do
        id=${user#*:}
        user=${user%:*}
        mkdir -p "$root.$user/home/$user"
        chmod 0700 "$root.$user/home/$user"
        (cd "$root.$user" && echo "home/$user" |
            cpio --quiet --reproducible -o -H newc -R "$id:$id")
    done
}

# Builds below $1, which is renamed into place when all is there.
build_guest() {
    local work=$1 package
    mkdir -p "$work"/{packages,unpacked,root,guest}
    if ! download "$work/packages"; then
        # The lists named a file that the archive has replaced.
        use_private_lists
        download "$work/packages" || die "download failed, see $log"
    fi
    for package in "$work"/packages/*.deb; do
        dpkg-deb -x "$package" "$work/unpacked"
    done
    make_root "$work/unpacked" "$work/root"
    make_initramfs "$work/root" >"$work/guest/initramfs"
    cp "$work"/unpacked/boot/vmlinuz-* "$work/guest/kernel"
    (cd "$work/packages" && ls) >"$work/guest/packages"
    chmod 0644 "$work"/guest/*
}

main() {
    local key files hash work
    [ "$(uname -m)" = x86_64 ] ||
        die "the tiny guest is made for amd64 only, this is $(uname -m)"
    for tool in apt-get dpkg-deb cpio flock sha256sum; do
        command -v $tool >/dev/null || die "$tool is missing"
    done
    key=$(inputs_key)
    if [ -s "$cache/inputs-$key" ] &&
        [ -s "$(cat "$cache/inputs-$key")/initramfs" ]; then
        cat "$cache/inputs-$key"
        return
    fi
    exec 9>"$cache/lock"
    flock 9
    : >"$log"
    files=$(package_files) || files=
    if [ -z "$files" ]; then
        use_private_lists
        files=$(package_files) ||
            die "this machine's package sources have no linux-image-cloud-amd64, qemu-guest-agent or busybox-static"
    fi
    hash=$({
        find "$recipe" -type f -printf '%P %m\n' | sort
        find "$recipe" -type f | sort | xargs -d '\n' cat -- "$here/guest-tiny.sh"
        awk '{ print $2, $4 }' <<<"$files"
    } | sha256sum | cut -c1-16)
    if [ ! -s "$cache/$hash/initramfs" ]; then
        # We hold the lock: what is there was left by a build that was killed.
        rm -rf "$cache"/work.*
        work=$cache/work.$$
        # shellcheck disable=SC2064 # the folder's name as it is now
        trap "rm -rf '$work'" EXIT
        build_guest "$work"
        mv -T "$work/guest" "$cache/$hash"
        rm -rf "$work"
    fi
    echo "$cache/$hash" >"$cache/inputs-$key.new"
    mv "$cache/inputs-$key.new" "$cache/inputs-$key"
    echo "$cache/$hash"
}

main
