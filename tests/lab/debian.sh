#!/bin/bash
# Runs a command in Debian 13, whose libvirt (11.3) tells its hook why a VM ends, on a host that may be older; or, with
# LLMHOOK_DEBIAN=12, in Debian 12.
#
# usage: [LLMHOOK_DEBIAN=12] debian.sh COMMAND [ARGUMENT...]
#        debian.sh --systemd COMMAND [ARGUMENT...]
#        debian.sh --check          only says whether it can be had
#
# With --systemd it is a machine that has booted: systemd is its first process, libvirtd runs as Debian's own unit has
# it, and COMMAND is a service, lab.service, whose output comes out here. All of its files can be written to.
#
# It is a root folder of its own, made once by mmdebstrap from the mirror that this machine's apt uses, with what
# `quickstart` lists for building and for the lab. It is kept as an archive below $LLMHOOK_CACHE by a hash of its
# recipe (this file and those lists), unpacked for each run and removed after it. COMMAND has namespaces of its own, a
# loopback for a network, and:
#
#   /llmhook/source    $LLMHOOK_SOURCE, which cannot be written to
#   /llmhook/build     $LLMHOOK_BUILD/inner/trixie, or bookworm: a build of its own, which stays
#   /llmhook/guest     $LAB_GUEST, or what guest-tiny.sh makes; it boots anywhere
#
# LLMHOOK_SOURCE, LLMHOOK_BUILD, LLMHOOK_CACHE and LAB_GUEST are set to these, so that everything of tests/lab works
# there. All else in it is read-only or in memory. Exits as COMMAND does; with 77 when this machine cannot have it, or
# cannot start systemd in it.
set -eEuo pipefail
trap 'echo "debian: line $LINENO: exit $?" >&2' ERR
export LC_ALL=C
umask 022

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd -P)
LLMHOOK_SOURCE=$(cd "${LLMHOOK_SOURCE:-$here/../..}" && pwd -P)
LLMHOOK_BUILD=$(cd "${LLMHOOK_BUILD:-$LLMHOOK_SOURCE/build}" && pwd -P)
export LLMHOOK_SOURCE LLMHOOK_BUILD LLMHOOK_CACHE=${LLMHOOK_CACHE:-$LLMHOOK_BUILD/.cache}
release=${LLMHOOK_DEBIAN:-13}
case $release in
12) suite=bookworm ;;
13) suite=trixie ;;
*)
    echo "debian: LLMHOOK_DEBIAN is 12 or 13, not '$release'" >&2
    exit 2
    ;;
esac
keyring=/usr/share/keyrings/debian-archive-keyring.gpg
cache=$LLMHOOK_CACHE/$suite

die() {
    echo "debian: $*" >&2
    exit 1
}

cannot() {
    echo "debian: $*" >&2
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
# has done; what a machine of its own has besides; and what the tests look with.
packages() {
    # shellcheck disable=SC2154 # the lists, as they stand there
    (
        eval "$(sed -n '/^\(build\|lab\)_packages=(/,/)$/p' "$LLMHOOK_SOURCE/quickstart")"
        printf '%s\n' "${build_packages[@]}" "${lab_packages[@]}" systemd-sysv dbus libvirt-daemon-system procps
    ) | grep -vx -e autoconf -e automake -e cpio
}

recipe_hash() {
    { cat "$here/debian.sh"; packages; } | sha256sum | cut -c1-16
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
            cannot "the packages of Debian $release cannot be had here: $(grep -m1 -E '^[EW]: ' "$log"), see $log"
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

# What COMMAND finds in its environment.
settings=(PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LC_ALL=C TMPDIR=/tmp
    LLMHOOK_SOURCE=/llmhook/source LLMHOOK_BUILD=/llmhook/build LLMHOOK_CACHE=/llmhook/cache LAB_GUEST=/llmhook/guest)

# systemd would set the host's devices and kernel in order: it gets the ones that are nobody's, and may look at the rest.
mount_for_systemd() {
    local root=$1 device
    mount -n -t cgroup2 cgroup2 "$root/sys/fs/cgroup" || cannot "control groups cannot be had here"
    mount -n -o remount,bind,ro "$root/sys"
    mount -n --bind "$root/proc/sys" "$root/proc/sys"
    mount -n -o remount,bind,ro "$root/proc/sys"
    mount -n -t tmpfs -o mode=0755,nosuid tmpfs "$root/dev"
    mkdir "$root/dev/pts" "$root/dev/shm"
    mount -n -t devpts -o newinstance,ptmxmode=0666,mode=0620,gid=5 devpts "$root/dev/pts"
    mount -n -t tmpfs -o mode=1777,nosuid,nodev tmpfs "$root/dev/shm"
    ln -s pts/ptmx "$root/dev/ptmx"
    ln -s /proc/self/fd "$root/dev/fd"
    for device in null zero full random urandom tty; do
        : >"$root/dev/$device"
        mount -n --bind "/dev/$device" "$root/dev/$device"
    done
}

# Takes libvirt's units as they are, and leaves out what would only take time.
# usage: write_units ROOT COMMAND...
write_units() {
    local root=$1 units=$1/etc/systemd/system unit
    shift
    for unit in console-getty.service getty.target apt-daily.timer apt-daily-upgrade.timer dpkg-db-backup.timer \
        e2scrub_all.timer fstrim.timer systemd-journal-flush.service modprobe@.service; do
        ln -sf /dev/null "$units/$unit"
    done
    ln -sf /usr/lib/systemd/system/multi-user.target "$units/default.target"
    touch -r "$root/usr" "$root/etc/.updated" "$root/var/.updated"
    echo 0123456789abcdef0123456789abcdef >"$root/etc/machine-id"
    echo '127.0.0.1 localhost lab' >"$root/etc/hosts"
    { echo '#!/bin/bash' && printf 'exec env -i' && printf ' %q' "${settings[@]}" "$@" && echo; } >"$root/llmhook/command"
    chmod 0755 "$root/llmhook/command"
    cat >"$units/lab.service" <<'END'
[Unit]
Description=what this machine was started for
# It stays when all others are stopped, as at a shutdown.
DefaultDependencies=no
IgnoreOnIsolate=yes
SuccessAction=exit-force
FailureAction=exit-force
[Service]
Type=exec
ExecStart=/llmhook/command
StandardOutput=file:/llmhook/said
StandardError=inherit
END
    mkdir -p "$units/multi-user.target.wants"
    ln -sf ../lab.service "$units/multi-user.target.wants/lab.service"
}

# The first process of the namespaces. In it the root folder is not only a chroot, since the lab makes its mounts
# private from / on, which must be a mount of its own.
inside() {
    local root=$1 systemd=
    shift
    if [ "$1" = --systemd ]; then
        systemd=yes
        shift
    fi
    mount -n --bind "$root" "$root"
    mount -n -t proc -o nosuid,nodev,noexec proc "$root/proc"
    mount -n -t sysfs -o nosuid,nodev,noexec sysfs "$root/sys"
    if [ "$systemd" = yes ]; then
        mount_for_systemd "$root"
        write_units "$root" "$@"
    else
        mount -n --rbind /dev "$root/dev"
    fi
    mount -n -t tmpfs -o mode=0755,nosuid,nodev tmpfs "$root/run"
    mount -n -t tmpfs -o mode=1777,nosuid,nodev tmpfs "$root/tmp"
    mount -n --bind "$LLMHOOK_SOURCE" "$root/llmhook/source"
    mount -n -o remount,bind,ro "$root/llmhook/source"
    mount -n --bind "$LLMHOOK_BUILD/inner/$suite" "$root/llmhook/build"
    mount -n --bind "$cache/lab" "$root/llmhook/cache"
    mount -n --bind "$LAB_GUEST" "$root/llmhook/guest"
    [ "$systemd" = yes ] || mount -n -o remount,bind,ro "$root"
    ip link set lo up
    cd "$root"
    pivot_root . mnt
    cd /
    umount -l /mnt
    if [ "$systemd" = yes ]; then
        # As it would be on a machine: without it no service gets its credentials.
        mount -n --make-rshared /
        hostname lab
        # By container= it knows that neither hardware nor kernel are its own, and takes an exit code along.
        exec env -i container=llmhook /usr/lib/systemd/systemd --log-target=null
    fi
    exec env -i "${settings[@]}" "$@"
}

# ---- outside ----

# A control group of its own, for systemd to make those of its services in.
group=
make_group() {
    local mounted
    mounted=$(awk '$3 == "cgroup2" { print $2; exit }' /proc/mounts)
    [ -n "$mounted" ] || cannot "there are no control groups of version 2 here, which systemd needs"
    group=$mounted$(sed -n 's/^0:://p' /proc/self/cgroup)/llmhook-$$
    mkdir "$group" 2>/dev/null || { group=; cannot "control groups cannot be made here"; }
}

# All that were in it have been killed by now.
# shellcheck disable=SC2317,SC2329 # a trap calls it
remove_group() {
    [ -n "$group" ] || return 0
    while [ -d "$group" ] && ! find "$group" -depth -type d -exec rmdir {} + 2>/dev/null; do sleep 0.1; done
}

# What COMMAND prints when it is a service, which has no other way to us.
listen_to_service() {
    mkfifo "$root/llmhook/said"
    cat "$root/llmhook/said" &
    listener=$!
    # Lest it wait for ever for somebody to write, where nobody ever does.
    exec {held}<>"$root/llmhook/said"
}

outside() {
    local status=0 child held='' listener=''
    [ $# -gt 0 ] || { echo "usage: debian.sh COMMAND [ARGUMENT...]" >&2; exit 2; }
    check_machine
    [ "$1" != --check ] || exit 0
    find_archive
    [ -n "${LAB_GUEST:-}" ] || LAB_GUEST=$("$here/guest-tiny.sh") || exit 1
    export LAB_GUEST LLMHOOK_DEBIAN_INSIDE=1
    mkdir -p "$LLMHOOK_BUILD/inner/$suite" "$cache/lab"
    root=$(mktemp -d "${TMPDIR:-/tmp}/$suite.XXXXXX")
    # All mounts in it are those of namespaces that are gone by then.
    trap 'remove_group; rm -rf --one-file-system "$root"' EXIT
    zstd -dcq "$archive" | tar -C "$root" --numeric-owner -xpf -
    if [ "$1" = --systemd ]; then
        make_group
        listen_to_service
    fi
    # The shell has started us with these two ignored for background jobs.
    # shellcheck disable=SC2016 # the inner one expands it
    env --default-signal=INT,QUIT setpriv --pdeathsig KILL bash -c '[ -z "$0" ] || echo $$ >"$0/cgroup.procs"; exec "$@"' \
        "$group" unshare -m -n -p -f -i -u ${group:+-C} --kill-child=KILL "$here/debian.sh" --inside "$root" "$@" <&0 &
    child=$!
    # shellcheck disable=SC2064 # the number as it is now
    trap "kill -KILL $child 2>/dev/null; wait $child || :; exit 143" TERM INT HUP
    wait "$child" || status=$?
    if [ -n "$held" ]; then
        exec {held}<&-
        wait "$listener"
    fi
    exit $status
}

if [ "${1:-}" = --inside ] && [ "${LLMHOOK_DEBIAN_INSIDE:-}" = 1 ] && [ $$ = 1 ]; then
    shift
    inside "$@"
fi
outside "$@"
