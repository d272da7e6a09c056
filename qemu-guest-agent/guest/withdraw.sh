#!/bin/sh
# What runs in a guest to take keys away again; started as deliver.sh is, without input.
#
# Standard output: `llmhook 1 withdrawn - 0 -`, or `absent` when there was nothing. Exit codes as deliver.sh's.
unset llmhook
LC_ALL=C
export LC_ALL
PATH=${PATH:+$PATH:}/run/current-system/sw/bin:/usr/sbin:/usr/bin:/sbin:/bin
set -u
link=/run/llmhook
store=/run/llmhook.d

# shellcheck source=common.sh
. ./common.sh

# What has not been done yet of what was put into the drop box is not done later.
if [ -z "${llmhook_box:-}" ] && [ -d /run/llmhook.box ]; then
    rm -f /run/llmhook.box/ready
    [ ! -f /run/llmhook.box/in ] || true >/run/llmhook.box/in
fi

what=absent claim=
[ ! -L $link ] && [ ! -e $store ] || what=withdrawn
umask 077
if [ -d $store ]; then
    make_claim || exit 29
    trap 'rm -f $claim' EXIT
fi
is_alone || exit 40

# Start-up files keep their lines, which do nothing where there are no keys: clean.sh takes those out.
set --
for old in "$store"/* "$store"/.[!.]*; do
    if [ "$old" != "$claim" ] && { [ -e "$old" ] || [ -L "$old" ]; }; then
        set -- "$@" "$old"
    fi
done
# What is no link of ours stays. With it goes what units were told last: if the same keys come back, they are news.
[ ! -L $link ] || set -- "$@" $link
if [ $what = withdrawn ]; then
    remove "$@" /run/llmhook.units || exit 29
    # A store that is no folder of ours goes, too; in one that is, somebody may be at work already who comes after us.
    [ -z "$claim" ] || rm -f $claim
    trap - EXIT
    [ ! -e $store ] || rmdir $store 2>/dev/null || rm -f $store 2>/dev/null
    reload_managers
fi
for old in "$@"; do
    [ ! -e "$old" ] && [ ! -L "$old" ] || exit 29
done
echo "llmhook 1 $what - 0 -"
