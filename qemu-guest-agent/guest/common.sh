#!/bin/sh
# What deliver.sh, withdraw.sh and units.sh have in common: embed.sh puts it in the place of their line `. ./common.sh`.
# $store is theirs.
# shellcheck disable=SC2154

# PID: whether it is a script of the agent's. Anybody can have its command line, but not as root: that is who started it,
# whoever it runs as, since a program that is setuid can be given any command line. That is asked first: a command line is
# read from the process's own memory, and whoever it is can have the reader wait for a page of it, for ever.
runs() {
    line='' word='' real=''
    [ -r "/proc/$1/status" ] || return
    while read -r word real _ && [ "$word" != Uid: ]; do :; done <"/proc/$1/status"
    [ "$real" = 0 ] || return
    read -r line <"/proc/$1/cmdline"
    # shellcheck disable=SC2016 # as it stands in the command line
    case $line in
    *'eval "$llmhook"'*) ;;
    *) false ;;
    esac
} 2>/dev/null

# Two at once could only be the follower of one that was given up on the host as too slow. Who is at work says so before all
# else, and looks for others after that: of two that begin together none goes on, or one.
make_claim() {
    claim=$store/$$
    set -C
    until { true >$claim; } 2>/dev/null; do
        [ -e $claim ] || { set +C && return 1; }
        claim=${claim}x
    done
    set +C
}

# Whether nobody else is at work.
is_alone() {
    for old in "$store"/[0-9]*; do
        pid=${old##*/}
        pid=${pid%%x*}
        [ "$pid" = $$ ] || ! runs "$pid" || return
    done
}

# FOLDER...: what an earlier version gave away becomes root's, each folder before those in it. So nobody can put a link in
# the place of one that rm walks through by its path, as busybox's does.
take_back() {
    for folder; do
        if [ -d "$folder" ] && [ ! -L "$folder" ] && [ ! -O "$folder" ]; then
            { chown 0 "$folder" && chmod 0700 "$folder"; } || return
            take_back "$folder"/* "$folder"/.[!.]* "$folder"/..?* || return
        fi
    done
}

# Takes off what is mounted below the store, in the order in which it was. Where the folder that it is in is somebody else's,
# there could be a link in its place by now: take_back comes first. What the kernel writes with a backslash is no name of ours.
unmount() {
    rest=$(cat /proc/mounts)
    while :; do
        case $rest in
        *" $store/"*) ;;
        *) break ;;
        esac
        rest=${rest#*" $store/"}
        point=$store/${rest%% *}
        case $point in
        *[!A-Za-z0-9_./-]*) ;;
        *) [ ! -O "${point%/*}" ] || umount -l "$point" ;;
        esac
    done
} 2>/dev/null

# PATH...: removes those of the store. The owner of a copy can mount something over it, since fusermount does that for whoever
# can write to a file, and what has something mounted over it cannot be removed. Nobody else gets into a set's folder that is
# closed, so nothing is mounted anew.
remove() {
    case $(cat /proc/mounts) in
    *" $store/"*) ;;
    *) { take_back "$store"/*/users/* && rm -rf "$@"; } 2>/dev/null && return ;;
    esac
    for old; do
        [ -L "$old" ] || [ ! -d "$old" ] || chmod 0700 "$old"
    done
    unmount
    take_back "$store"/*/users/* && unmount && rm -rf "$@"
}

# The managers of logins that are there already, root's too: they make their environment anew (systemd(1), SIGHUP), so that
# what they start from now on has the new keys, or none where they may not be read any more. Where there are several
# hierarchies, the first that has logins has all of them: one of its own, version 1's, and that of a mix of both.
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
