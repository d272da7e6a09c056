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

# The same as in deliver.sh: one that was given up on the host may still be at work here.
runs() {
    line='' word='' real=''
    [ -r "/proc/$1/cmdline" ] || return
    read -r line <"/proc/$1/cmdline"
    # shellcheck disable=SC2016 # as it stands in the command line
    case $line in
    *'eval "$llmhook"'*) ;;
    *) return 1 ;;
    esac
    while read -r word real _ && [ "$word" != Uid: ]; do :; done <"/proc/$1/status"
    [ "$real" = 0 ]
} 2>/dev/null
# What has not been done yet of what was put into the drop box is not done later.
if [ -z "${llmhook_box:-}" ] && [ -d /run/llmhook.box ]; then
    rm -f /run/llmhook.box/ready
    [ ! -f /run/llmhook.box/in ] || true >/run/llmhook.box/in
fi

what=absent claim=
[ ! -L $link ] && [ ! -e $store ] || what=withdrawn
umask 077
if [ -d $store ]; then
    claim=$store/$$
    set -C
    until { true >$claim; } 2>/dev/null; do
        [ -e $claim ] || exit 29
        claim=${claim}x
    done
    set +C
    trap 'rm -f $claim' EXIT
fi
for old in "$store"/[0-9]*; do
    pid=${old##*/}
    pid=${pid%%x*}
    [ "$pid" = $$ ] || ! runs "$pid" || exit 40
done

# The same as in deliver.sh: before rm walks through folders that an earlier version gave away, they are root's again.
take_back() {
    for folder; do
        if [ -d "$folder" ] && [ ! -L "$folder" ] && [ ! -O "$folder" ]; then
            { chown 0 "$folder" && chmod 0700 "$folder"; } || return
            take_back "$folder"/* "$folder"/.[!.]* "$folder"/..?* || return
        fi
    done
}

# The same as in deliver.sh: what managers of logins start from now on has the keys no more.
reload_managers() {
    [ -d /run/systemd/system ] || return
    for base in /sys/fs/cgroup /sys/fs/cgroup/systemd /sys/fs/cgroup/unified; do
        [ -d $base/user.slice ] || continue
        for at in $base/user.slice/user-*.slice/user@*.service/init.scope/cgroup.procs; do
            [ ! -r "$at" ] || while read -r pid; do
                read -r line <"/proc/$pid/comm"
                [ "$line" != systemd ] || kill -HUP "$pid"
            done <"$at"
        done
        break
    done
} 2>/dev/null

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
    { take_back $store/*/users/* && rm -rf "$@" /run/llmhook.units; } || exit 29
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
