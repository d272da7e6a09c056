#!/bin/sh
# What runs in a guest to take keys away again; started as deliver.sh is, without input.
#
# Standard output: `llmhook 1 withdrawn - 0 -`, or `absent` when there was nothing. Exit codes as deliver.sh's.
unset llmhook
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

what=absent
set --
if [ -L $link ] || [ -e $store ]; then
    what=withdrawn
    # What is no link of ours stays.
    [ ! -L $link ] || set -- $link
    # With it goes what units were told last: if the same keys come back, they are news.
    set -- "$@" $store /run/llmhook.units
fi
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
[ $# = 0 ] || { take_back $store/*/users/* && rm -rf "$@"; }
[ ! -L $link ] && [ ! -e $store ] || exit 29
[ $what = absent ] || reload_managers
echo "llmhook 1 $what - 0 -"
