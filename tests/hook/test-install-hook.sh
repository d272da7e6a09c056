#!/bin/sh
# install-hook.sh: where the hook goes, what it leaves alone, and what it says. Prints TAP.
# HOOK_BUILD: the hook as it is installed. srcdir: the source tree.
set -u

script=${srcdir:-.}/hooks/install-hook.sh
work=$(mktemp -d) || exit 99
trap 'rm -rf "$work"' EXIT
trap 'exit 99' HUP INT TERM
# As an archive or a strict umask may leave it: the mode is the installer's business.
hook=$work/hook
cp "${HOOK_BUILD:-hooks/qemu}" "$hook" && chmod 0600 "$hook" || exit 99
count=0
dest=
hooks=
main=
side=
out=
status=

RELOAD='this is the first hook on this host, so libvirt must be told: systemctl reload libvirtd'
RELOAD="$RELOAD (where virtqemud runs the VMs: systemctl reload virtqemud)"

# A host of its own for the next checks.
fresh() {
    dest=$work/host$count
    hooks=$dest/etc/libvirt/hooks
    main=$hooks/qemu
    side=$hooks/qemu.d/50-llmhook
    mkdir -p "$dest"
}

foreign() {
    mkdir -p "$(dirname "$1")"
    printf '#!/bin/sh\ntouch "%s/foreign-ran"\n' "$work" >"$1"
    chmod "$2" "$1"
    cp -p "$1" "$work/foreign"
}

run() {
    out=$("$script" --destdir "$dest" --source "$hook" "$@" 2>&1)
    status=$?
}

# ok NAME CONDITION...: the condition is a command.
ok() {
    count=$((count + 1))
    name=$1
    shift
    if "$@"; then
        echo "ok $count - $name"
    else
        echo "not ok $count - $name"
        printf '# %s: status %s, said:\n' "$*" "$status"
        printf '%s\n' "$out" | sed 's/^/#   /'
    fi
}

# said STATUS TEXT: exactly that.
said() {
    [ "$status" -eq "$1" ] && [ "$out" = "$2" ]
}

# is_hook FILE: ours, whole, executable, and nothing half-done beside it.
is_hook() {
    cmp -s "$hook" "$1" && [ "$(stat -c %a "$1")" = 755 ] && [ -z "$(find "$dest" -name '.llmhook*')" ]
}

unchanged() {
    cmp -s "$work/foreign" "$1" && [ "$(stat -c %a "$1")" = "$(stat -c %a "$work/foreign")" ] \
        && [ ! -e "$work/foreign-ran" ]
}

absent() {
    [ ! -e "$1" ] && [ ! -L "$1" ]
}

fresh
run status
ok 'status of nothing' said 1 'install-hook: the hook is not installed'
run install
ok 'first install says that libvirt must be told' said 0 "installed $main
$RELOAD"
ok 'it is the main hook' is_hook "$main"
ok 'and the only one' absent "$side"
run status
ok 'status' said 0 "installed $main"
run install
ok 'install again: libvirt knows already' said 0 "installed $main"
ok 'it is still the main hook' is_hook "$main"
printf 'older' >>"$main"
cp "$main" "$work/older"
ln "$main" "$work/running" # what a hook that runs meanwhile still has open
run status
ok 'another version is told apart' said 0 "installed $main, which differs from $hook: install again to have that one"
run install
ok 'an older one is replaced' is_hook "$main"
ok 'in one step: the old file was not written to' cmp -s "$work/older" "$work/running"
chmod 0644 "$main"
run status
ok 'one that cannot run is told' said 1 \
    "install-hook: $main is not executable, so libvirt does not run it: install again"
run remove
ok 'remove' said 0 "removed $main"
ok 'it is gone' absent "$main"
run remove
ok 'remove again' said 0 'nothing to remove'

fresh
foreign "$main" 755
run install
ok 'a foreign hook: beside it, no reload' said 0 "installed $side; $main is not llmhook's and was left alone"
ok 'ours is in qemu.d' is_hook "$side"
ok 'the foreign one is as it was' unchanged "$main"
run install
ok 'the same again' said 0 "installed $side; $main is not llmhook's and was left alone"
run status
ok 'status says where' said 0 "installed $side"
run remove
ok 'remove says what it leaves' said 0 "$main is not llmhook's and was left alone
removed $side"
ok 'ours is gone' absent "$side"
ok 'the foreign one is still as it was' unchanged "$main"

fresh
foreign "$main" 644
run install
ok 'a foreign file that libvirt does not run: reload' said 0 "installed $side; $main is not llmhook's and was left alone
$RELOAD"
ok 'it is as it was' unchanged "$main"

fresh
foreign "$hooks/qemu.d/10-other" 755
run install
ok 'something in qemu.d: the main place is free, no reload' said 0 "installed $main"
ok 'ours is the main hook' is_hook "$main"
ok 'the other is as it was' unchanged "$hooks/qemu.d/10-other"

fresh
foreign "$main" 755
foreign "$side" 755
run install
ok 'both places foreign' said 1 "install-hook: $side is not llmhook's: move it away, then install again"
ok 'neither is touched' unchanged "$side"
run remove
ok 'remove touches neither' said 0 "$main is not llmhook's and was left alone
$side is not llmhook's and was left alone
nothing to remove"
ok 'both are still there' unchanged "$side"

fresh
mkdir -p "$hooks"
ln -s /nowhere/at/all "$main"
run install
ok 'a link that leads nowhere is foreign' said 0 "installed $side; $main is not llmhook's and was left alone
$RELOAD"
ok 'the link is as it was' [ "$(readlink "$main")" = /nowhere/at/all ]

fresh
foreign "$main" 755
run install
rm -f "$main"
run install
ok 'the foreign one went: ours moves to the main place' said 0 "installed $main"
ok 'and is not run twice' absent "$side"

fresh
out=$("$script" --destdir "$dest" --source "$work/foreign" install 2>&1)
status=$?
ok 'a source that is not the hook' said 1 "install-hook: $work/foreign is not llmhook's hook"
out=$("$script" --destdir "$dest" --source "$work/none" install 2>&1)
status=$?
ok 'no source' said 1 "install-hook: $work/none does not exist: build it first, or say --source FILE"
ok 'nothing was installed' absent "$main"
for arguments in '' 'install now' 'reinstall' '--destdir' '--help'; do
    # shellcheck disable=SC2086 # split on purpose
    out=$("$script" $arguments 2>&1)
    status=$?
    ok "usage: '$arguments'" said 2 'usage: install-hook.sh [--destdir DIR] [--source FILE] install | remove | status'
done

echo "1..$count"
