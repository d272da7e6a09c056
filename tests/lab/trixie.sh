#!/bin/bash
# Runs a command in Debian 13, whose libvirt (11.3) tells its hook why a VM ends, on a host that may be older.
#
# usage: trixie.sh COMMAND [ARGUMENT...]
#        trixie.sh --check          only says whether it can be had
#
# It is a root folder of its own, made once by mmdebstrap from the mirror that this machine's apt uses, with what
# `quickstart` lists for building and for the lab. It is kept as an archive below $LLMHOOK_CACHE by a hash of its
# recipe (this file and those lists), unpacked for each run and removed after it. COMMAND has namespaces of its own, a
# loopback for a network, and:
#
#   /llmhook/source    $LLMHOOK_SOURCE, which cannot be written to
#   /llmhook/build     $LLMHOOK_BUILD/inner/trixie: a build of its own, which stays
#   /llmhook/guest     $LAB_GUEST, or what guest-tiny.sh makes; it boots anywhere
#
# LLMHOOK_SOURCE, LLMHOOK_BUILD, LLMHOOK_CACHE and LAB_GUEST are set to these, so that everything of tests/lab works
# there. All else in it is read-only or in memory. Exits as COMMAND does; with 77 when this machine cannot have it.
set -euo pipefail
export LC_ALL=C
umask 022

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd -P)
LLMHOOK_SOURCE=$(cd "${LLMHOOK_SOURCE:-$here/../..}" && pwd -P)
LLMHOOK_BUILD=$(cd "${LLMHOOK_BUILD:-$LLMHOOK_SOURCE/build}" && pwd -P)
export LLMHOOK_SOURCE LLMHOOK_BUILD LLMHOOK_CACHE=${LLMHOOK_CACHE:-$LLMHOOK_BUILD/.cache}
suite=trixie
keyring=/usr/share/keyrings/debian-archive-keyring.gpg
cache=$LLMHOOK_CACHE/$suite

die() {
    echo "$suite: $*" >&2
    exit 1
}

cannot() {
    echo "$suite: $*" >&2
    exit 77
}

check_machine() {
    local tool missing=
    [ "$(id -u)" = 0 ] || cannot "needs root"
    [ "$(uname -m)" = x86_64 ] || cannot "this is made for amd64 only, here is $(uname -m)"
    command -v apt-get >/dev/null || cannot "packages come from apt, and here is none"
    for tool in mmdebstrap:mmdebstrap zstd:zstd ip:iproute2 pivot_root:util-linux unshare:util-linux flock:util-linux; do
        command -v "${tool%:*}" >/dev/null || missing="$missing ${tool#*:}"
    done
    [ -e $keyring ] || missing="$missing debian-archive-keyring"
    [ -z "$missing" ] || cannot "packages are missing:$missing"
    unshare -m -n -p -f -i -u true 2>/dev/null || cannot "this machine does not allow namespaces"
}

# ---- the archive ----

# What quickstart installs for the build and for the lab, but for what makes ./configure and the guest, which the host
# has done; and what the tests look with.
packages() {
    # shellcheck disable=SC2154 # the lists, as they stand there
    (
        eval "$(sed -n '/^\(build\|lab\)_packages=(/,/)$/p' "$LLMHOOK_SOURCE/quickstart")"
        printf '%s\n' "${build_packages[@]}" "${lab_packages[@]}" procps
    ) | grep -vx -e autoconf -e automake -e cpio
}

recipe_hash() {
    { cat "$here/trixie.sh"; packages; } | sha256sum | cut -c1-16
}

# Where this machine gets Debian's packages, and their security updates, from: the same place has the other suites.
sources() {
    # shellcheck disable=SC2016 # apt expands it
    apt-get indextargets --format '$(LABEL) $(REPO_URI)' 'Created-By: Packages' |
        awk -v suite=$suite -v keyring=$keyring '
            $1 == "Debian" && !debian++ { print "deb [signed-by=" keyring "] " $2 " " suite " main" }
            $1 == "Debian-Security" && !security++ { print "deb [signed-by=" keyring "] " $2 " " suite "-security main" }'
}

# How to get through to there. Nothing of it stays in the archive.
apt_options() {
    apt-config dump --no-empty | grep -E '^Acquire::(http|https|Retries|ForceIPv)' || true
    echo 'Acquire::Languages "none";'
}

# The recommendations are left out, as quickstart does it, and what only people read.
make_archive() {
    local archive=$1 log=$cache/build.log work folder=
    work=$(mktemp -d "$cache/work.XXXXXX")
    # shellcheck disable=SC2064 # the folder's name as it is now
    trap "rm -rf '$work'" EXIT
    sources >"$work/sources.list"
    [ -s "$work/sources.list" ] || cannot "this machine's apt has no source that is Debian's own"
    apt_options >"$work/apt.conf"
    for folder in man doc info locale lintian; do
        echo "path-exclude=/usr/share/$folder/*"
    done >"$work/dpkg.cfg"
    echo force-unsafe-io >>"$work/dpkg.cfg"
    # shellcheck disable=SC2016 # a shell of mmdebstrap's expands it
    mmdebstrap --mode=root --variant=apt --aptopt="$work/apt.conf" --dpkgopt="$work/dpkg.cfg" \
        --include="$(packages | paste -sd,)" \
        --customize-hook='mkdir -p "$1/llmhook/source" "$1/llmhook/build" "$1/llmhook/cache" "$1/llmhook/guest"' \
        --customize-hook='rm -f "$1"/etc/apt/sources.list "$1"/etc/apt/sources.list.d/* "$1"/etc/apt/apt.conf.d/99mmdebstrap' \
        --format=tar $suite "$work/root.tar" "$work/sources.list" >"$log" 2>&1 || {
        ! grep -qE 'Could not (resolve|connect)|Temporary failure|Unable to connect|[Tt]imed out|Failed to fetch' "$log" ||
            cannot "the packages of Debian 13 cannot be had here: $(grep -m1 -E '^[EW]: ' "$log"), see $log"
        tail -n 20 "$log" >&2
        die "mmdebstrap failed, see $log"
    }
    zstd --quiet -1 -T2 --rm "$work/root.tar" -o "$work/root.tar.zst"
    mv "$work/root.tar.zst" "$archive"
    rm -rf "$work"
    trap - EXIT
}

# Sets archive. Two at once wait for each other.
find_archive() {
    mkdir -p "$cache"
    archive=$cache/$(recipe_hash).tar.zst
    [ ! -s "$archive" ] || return 0
    exec 9>"$cache/lock"
    flock 9
    if [ ! -s "$archive" ]; then
        # We hold the lock: what is there is of an older recipe, or was left by a run that was killed.
        rm -rf "$cache"/*.tar.zst "$cache"/work.*
        make_archive "$archive"
    fi
    exec 9>&-
}

# ---- inside ----

# The first process of the namespaces. In it the root folder is not only a chroot, since the lab makes its mounts
# private from / on, which must be a mount of its own.
inside() {
    local root=$1
    shift
    mount -n --bind "$root" "$root"
    mount -n -t proc -o nosuid,nodev,noexec proc "$root/proc"
    mount -n -t sysfs -o nosuid,nodev,noexec sysfs "$root/sys"
    mount -n --rbind /dev "$root/dev"
    mount -n -t tmpfs -o mode=0755,nosuid,nodev tmpfs "$root/run"
    mount -n -t tmpfs -o mode=1777,nosuid,nodev tmpfs "$root/tmp"
    mount -n --bind "$LLMHOOK_SOURCE" "$root/llmhook/source"
    mount -n -o remount,bind,ro "$root/llmhook/source"
    mount -n --bind "$LLMHOOK_BUILD/inner/$suite" "$root/llmhook/build"
    mount -n --bind "$cache/lab" "$root/llmhook/cache"
    mount -n --bind "$LAB_GUEST" "$root/llmhook/guest"
    mount -n -o remount,bind,ro "$root"
    ip link set lo up
    cd "$root"
    pivot_root . mnt
    cd /
    umount -l /mnt
    exec env -i PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LC_ALL=C TMPDIR=/tmp \
        LLMHOOK_SOURCE=/llmhook/source LLMHOOK_BUILD=/llmhook/build LLMHOOK_CACHE=/llmhook/cache \
        LAB_GUEST=/llmhook/guest "$@"
}

# ---- outside ----

outside() {
    local status=0 child
    [ $# -gt 0 ] || { echo "usage: trixie.sh COMMAND [ARGUMENT...]" >&2; exit 2; }
    check_machine
    [ "$1" != --check ] || exit 0
    find_archive
    [ -n "${LAB_GUEST:-}" ] || LAB_GUEST=$("$here/guest-tiny.sh") || exit 1
    export LAB_GUEST LLMHOOK_TRIXIE_INSIDE=1
    mkdir -p "$LLMHOOK_BUILD/inner/$suite" "$cache/lab"
    root=$(mktemp -d "${TMPDIR:-/tmp}/$suite.XXXXXX")
    # All mounts in it are those of namespaces that are gone by then.
    trap 'rm -rf --one-file-system "$root"' EXIT
    zstd -dcq "$archive" | tar -C "$root" --numeric-owner -xpf -
    # The shell has started us with these two ignored for background jobs.
    env --default-signal=INT,QUIT setpriv --pdeathsig KILL \
        unshare -m -n -p -f -i -u --kill-child=KILL "$here/trixie.sh" --inside "$root" "$@" <&0 &
    child=$!
    # shellcheck disable=SC2064 # the number as it is now
    trap "kill -KILL $child 2>/dev/null; wait $child; exit 143" TERM INT HUP
    wait "$child" || status=$?
    exit $status
}

if [ "${1:-}" = --inside ] && [ "${LLMHOOK_TRIXIE_INSIDE:-}" = 1 ] && [ $$ = 1 ]; then
    shift
    inside "$@"
fi
outside "$@"
