#!/bin/sh
# Puts the hook where libvirt looks for it, beside whatever is there.
#
#   install-hook.sh [--destdir DIR] [--source FILE] install | remove | status
#
# libvirt runs /etc/libvirt/hooks/qemu and then every executable in qemu.d. The first is often somebody's own script:
# one that is not ours is left alone, and ours goes to qemu.d/50-llmhook. Whether a file is ours is read from its
# content; nothing is run.
#
# Exit status: 0 done (status: installed), 1 not done (status: not installed), 2 wrong usage.
set -eu

MARKER=llmhook-hook-marker
destdir=
source=$(dirname "$0")/qemu

say() {
    printf '%s\n' "$*"
}

fail() {
    printf 'install-hook: %s\n' "$*" >&2
    exit 1
}

usage() {
    echo 'usage: install-hook.sh [--destdir DIR] [--source FILE] install | remove | status' >&2
    exit 2
}

# A name is taken when something is there, be it a link that leads nowhere.
taken() {
    [ -e "$1" ] || [ -L "$1" ]
}

ours() {
    [ -f "$1" ] && LC_ALL=C grep -aq "$MARKER" "$1"
}

# True when libvirtd found a hook when it last looked, and so looks again at each operation.
any_hook() {
    [ -f "$main" ] && [ -x "$main" ] && return 0
    for file in "$directory/qemu.d"/* "$directory/qemu.d"/.[!.]*; do
        [ -f "$file" ] && [ -x "$file" ] && return 0
    done
    return 1
}

# The copy is made outside qemu.d: libvirt would run a half-written one in there, whatever its name.
put() {
    new=$directory/.llmhook-hook.$$
    trap 'rm -f "$new"' EXIT
    trap 'exit 1' HUP INT TERM
    cp "$source" "$new"
    chmod 0755 "$new"
    mv -f "$new" "$1"
    if [ -z "$destdir" ] && command -v restorecon >/dev/null 2>&1; then
        restorecon "$1" || say "could not set the SELinux context of $1"
    fi
}

do_install() {
    [ -f "$source" ] || fail "$source does not exist: build it first, or say --source FILE"
    ours "$source" || fail "$source is not llmhook's hook"
    first=yes
    any_hook && first=no
    mkdir -p "$directory"
    if ! taken "$main" || ours "$main"; then
        put "$main"
        # The same hook twice would tell the daemon everything twice.
        if ours "$side"; then
            rm -f "$side"
        fi
        say "installed $main"
    else
        if taken "$side" && ! ours "$side"; then
            fail "$side is not llmhook's: move it away, then install again"
        fi
        mkdir -p "$directory/qemu.d"
        put "$side"
        say "installed $side; $main is not llmhook's and was left alone"
    fi
    if [ "$first" = yes ]; then
        say 'this is the first hook on this host, so libvirt must be told: systemctl reload libvirtd' \
            '(where virtqemud runs the VMs: systemctl reload virtqemud)'
    fi
}

do_remove() {
    removed=no
    for file in "$main" "$side"; do
        if ours "$file"; then
            rm -f "$file"
            say "removed $file"
            removed=yes
        elif taken "$file"; then
            say "$file is not llmhook's and was left alone"
        fi
    done
    [ "$removed" = yes ] || say 'nothing to remove'
}

do_status() {
    found=no
    for file in "$main" "$side"; do
        ours "$file" || continue
        found=yes
        if [ ! -x "$file" ]; then
            fail "$file is not executable, so libvirt does not run it: install again"
        elif [ -f "$source" ] && ! cmp -s "$source" "$file"; then
            say "installed $file, which differs from $source: install again to have that one"
        else
            say "installed $file"
        fi
    done
    [ "$found" = yes ] || fail 'the hook is not installed'
}

while [ $# -gt 0 ]; do
    case $1 in
    --destdir)
        [ $# -ge 2 ] || usage
        destdir=$2
        shift 2
        ;;
    --source)
        [ $# -ge 2 ] || usage
        source=$2
        shift 2
        ;;
    *)
        break
        ;;
    esac
done
[ $# -eq 1 ] || usage
directory=$destdir/etc/libvirt/hooks
main=$directory/qemu
side=$directory/qemu.d/50-llmhook
case $1 in
install) do_install ;;
remove) do_remove ;;
status) do_status ;;
*) usage ;;
esac
