#!/bin/sh
# What runs in a guest to deliver: puts a set of keys below /run/llmhook. Its siblings are withdraw.sh and probe.sh.
#
# The agent starts it as `/bin/sh -c 'eval "$llmhook"'` with this text in the environment variable llmhook, since
# the agent writes a command's arguments to the guest's log; the keys come on standard input and are never an
# argument or in an environment.
#
# The guest may be emulated. Then starting a program costs as much as fifty lines of this, and `read`, which asks the
# system for every single byte, a millisecond for a few lines. So every program is started once at most (chown: once
# an account), the input is sourced, and only short files are read.
#
# Standard input is shell, made by manifest.c, which lets nothing through that could end a quoted string:
#     verb=deliver readers=humans label=7       or verb=force: write even if the set seems to be there
#     paths=' NAME  NAME '                      of those below: their variable holds the path of the file
#     set -- NAME 'VALUE' NAME 'VALUE'          sorted by name
#     plain="NAME='TEXT' and so on, a line each"
#     complete=yes
# Readers: humans, root, everybody, group:NAME.
#
# Standard output: `llmhook 1 WHAT READERS HUMANS SHELL`, where WHAT is written or unchanged, HUMANS the number of
# accounts that have copies, and SHELL where login shells are hooked. Behind it, sha256sum's list of all files, read
# through /run/llmhook: that is the proof. The exit codes and what they mean stand in delivery.c.
#
#   /run/llmhook -> llmhook.d/N    replaced by a rename, so that readers see one set or the other, whole
#   /run/llmhook.d/N/env           NAME='VALUE' or NAME='PATH' lines, for sh and for systemd's EnvironmentFile=
#   /run/llmhook.d/N/NAME          the value alone
#   /run/llmhook.d/N/generation    the label
#   /run/llmhook.d/N/.fresh        until units.sh, where a guest has that, has seen this set
#   /run/llmhook.d/N/users/UID/    env and NAME again, owned by that human
# N is the number of the process that wrote it.
#
# Files are born with the mode they keep and get their owner before the set can be found by name: there is no
# moment in which somebody reads what is not meant for him.
unset llmhook
PATH=${PATH:+$PATH:}/run/current-system/sw/bin:/usr/sbin:/usr/bin:/sbin:/bin
umask 077
set -u
link=/run/llmhook
store=/run/llmhook.d
nl='
'
profile='@PROFILE@'

# A shell without a printf of its own would show the keys in the arguments of a program.
PATH=/dev/null printf '' 2>/dev/null || exit 30
command -v sha256sum >/dev/null || exit 31
[ -r /proc/mounts ] && [ -r /proc/self/fd/0 ] || exit 33

# What a shell says about input that is cut short could quote it.
complete=no verb='' readers='' label='' paths='' plain=''
set --
# shellcheck source=/dev/null
. /proc/self/fd/0 2>/dev/null
[ $complete = yes ] || exit 20
[ -L $link ] || [ ! -e $link ] || exit 21

# FOLDER NAME VALUE...: sets $env to the file of all variables for who reads them in FOLDER, and $names.
make_env() {
    to=$1 env='' names=''
    shift
    while [ $# -gt 0 ]; do
        case $paths in
        *" $1 "*) env="$env$1='$to/$1'$nl" ;;
        *) env="$env$1='$2'$nl" ;;
        esac
        names="$names $1"
        shift 2
    done
    env=$env$plain
}
make_env $link "$@"

# Two deliveries at once could only be the follower of one that was given up on the host as too slow.
for old in "$store"/[0-9]*; do
    pid=${old##*/}
    pid=${pid%%x*} line=
    if [ "$pid" != $$ ] && [ -r "/proc/$pid/cmdline" ]; then
        read -r line <"/proc/$pid/cmdline"
        # shellcheck disable=SC2016 # as it stands in the command line
        case $line in
        *'eval "$llmhook"'*) exit 40 ;;
        esac
    fi
done

# On a disk, keys would outlive the guest's run in its image and its snapshots.
if [ ! -d $store ]; then
    while read -r _ point type _; do
        [ "$point" != /run ] || break
    done </proc/mounts
    case $point:$type in
    /run:tmpfs | /run:ramfs) ;;
    *) exit 34 ;;
    esac
fi

# Who logs in here: each account in the range for people whose shell is one. Sets $humans to " UID:GID"s, $count.
# Lines of passwd; one without a name sets the range.
find_humans() {
    while IFS=: read -r name kind uid gid _ _ shell; do
        case $shell in
        */nologin | */false | */true | */sync | */halt | */shutdown | */null) continue ;;
        esac
        case $uid:$gid in
        0* | :* | *: | *[!0-9:]*) continue ;;
        esac
        case $name:$kind in
        :low) low=$uid && continue ;;
        :high) high=$uid && continue ;;
        esac
        if [ "$uid" -ge "$low" ] && [ "$uid" -le "$high" ] && [ -x "${shell:-/bin/sh}" ]; then
            case "$humans " in
            *" $uid:"*) ;;
            *) humans="$humans $uid:$gid" count=$((count + 1)) ;;
            esac
        fi
    done
}
count=0 humans='' low=1000 high=59999 key=
if [ "$readers" = humans ]; then
    [ ! -r /etc/login.defs ] || while read -r key value _; do
        case $key:$value in
        '#'*) break ;;
        UID_M[IA][NX]:*[!0-9]*) ;;
        UID_MIN:?*) low=$value ;;
        UID_MAX:?*) high=$value ;;
        esac
    done </etc/login.defs
    case $key in
    '#'*)
        # With comments it is a distribution's, which goes on for pages.
        command -v sed >/dev/null || exit 32
        find_humans <<END
$(sed -n -e 's/^UID_MIN[[:blank:]]*\([0-9][0-9]*\).*/:low:\1:0:::/p' \
            -e 's/^UID_MAX[[:blank:]]*\([0-9][0-9]*\).*/:high:\1:0:::/p' \
            -e '/^[^:][^:]*:[^:]*:[1-9][0-9][0-9]/p' /etc/login.defs /etc/passwd)
END
        ;;
    *) find_humans </etc/passwd ;;
    esac
fi
[ $(((count + 1) * (1 + $# / 2))) -le 300 ] || exit 22

# FILE CONTENT: whether it has that, line ends at its end aside.
holds() {
    text=
    [ -r "$1" ] || return
    while IFS= read -r line || [ -n "$line" ]; do
        text=$text$line$nl
    done <"$1"
    [ "${text%"$nl"}" = "${2%"$nl"}" ]
}

# NAME VALUE...: whether the files are right that env only has the paths of.
paths_hold() {
    while [ $# -gt 0 ]; do
        case $paths in
        *" $1 "*) holds "$link/$1" "$2" || return ;;
        esac
        shift 2
    done
}

# Whether the set that is there is the one wanted. This compares what a shell compares cheaply; that the files
# themselves are right is what the list of hashes proves afterwards.
what=written
if [ "$verb" = deliver ] && [ -r $link/.readers ] && read -r line <$link/.readers && [ "$line" = "$readers$humans" ] &&
    [ -r $link/generation ] && read -r line <$link/generation && [ "$line" = "$label" ] && holds $link/env "$env" &&
    paths_hold "$@"; then
    what=unchanged
fi

undo() {
    rm -rf "$new"
    exit "$1"
}

# FOLDER [NAME VALUE]...
write_files() {
    to=$1
    shift
    printf %s "$env" >"$to/env" || undo 24
    while [ $# -gt 0 ]; do
        printf %s "$2" >"$to/$1" || undo 24
        shift 2
    done
}

if [ $what = written ]; then
    n=$$
    while [ -e $store/$n ]; do
        n=${n}x
    done
    new=$store/$n
    folders=
    for human in $humans; do
        folders="$folders $new/users/${human%%:*}"
    done

    # The mode given is for the last folder of a path, those on the way follow the umask.
    private=0377
    umask 066
    [ "$readers" != everybody ] || { private=0222 && umask 022; }
    # shellcheck disable=SC2086 # one word a folder
    mkdir -p ${folders:+-m 0500} ${folders:-$new} || undo 23
    umask $private
    write_files "$new" "$@"
    for human in $humans; do
        [ -z "$paths" ] || make_env "$link/users/${human%%:*}" "$@"
        write_files "$new/users/${human%%:*}" "$@"
    done
    umask 0377
    echo "$readers$humans" >"$new/.readers" || undo 24
    true >"$new/.fresh" || undo 24
    umask 0222
    echo "$label" >"$new/generation" || undo 24
    umask 077
    for human in $humans; do
        chown "$human" "$new/users/${human%%:*}" "$new/users/${human%%:*}"/* || undo 25
    done
    files=
    for name in $names; do
        files="$files $new/$name"
    done
    case $readers in
    group:*)
        # shellcheck disable=SC2086 # one word a file
        # First the group, then the right to read: in between only root has it.
        chown "0:${readers#group:}" "$new"/env $files || undo 26
        chmod 0440 "$new"/env $files || undo 25
        ;;
    esac

    if [ -L $link ]; then
        # An old busybox's mv has no -T: then the link is missing for a moment.
        { ln -s llmhook.d/$n $link.$n && mv -T $link.$n $link 2>/dev/null; } ||
            ln -sfn llmhook.d/$n $link || undo 28
    else
        ln -s llmhook.d/$n $link || undo 28
    fi
    olds=
    for old in "$store"/[0-9]* "$link".[0-9]*; do
        if [ "$old" != $new ] && { [ -e "$old" ] || [ -L "$old" ]; }; then
            olds="$olds $old"
        fi
    done
    # shellcheck disable=SC2086 # one word a folder
    [ -z "$olds" ] || rm -rf $olds || exit 29
fi

# Hooks login shells where this guest's own start-up files allow it, and touches nothing that others wrote. That it
# fails (/etc may be read-only) does not make a delivery fail.
hook=profile.d
at=/etc/profile.d/llmhook.sh
line='' text=$profile$nl
if [ -e /etc/llmhook/native ]; then
    # Whoever set this guest up has seen to its shells.
    hook=native at=
elif [ -e $at ]; then
    read -r line <$at
    case $line in
    "${profile%%"$nl"*}") at= ;;
    '# llmhook '*) true >$at ;;
    *) hook=foreign at= ;;
    esac
else
    # FILE PATTERN: whether it has such a line.
    has_line() {
        while read -r line || [ -n "$line" ]; do
            # shellcheck disable=SC2254 # a pattern is meant
            case $line in
            $2) return ;;
            esac
        done <"$1"
        false
    }
    if [ ! -d /etc/profile.d ] || [ ! -r /etc/profile ] || ! has_line /etc/profile '[!#]*profile.d*'; then
        hook=profile
        [ ! -e /etc/NIXOS ] || hook=profile.local
        at=/etc/$hook
        if [ -s $at ]; then
            text=$nl$text
            ! has_line $at '# llmhook *' || at=
        fi
    fi
fi
if [ -n "$at" ]; then
    umask 022
    { printf %s "$text" >>$at; } 2>/dev/null || hook=failed
fi

cd $link || exit 28
# shellcheck disable=SC2086 # one word a name
set -- env $names
for human in $humans; do
    for name in env $names; do
        set -- "$@" "users/${human%%:*}/$name"
    done
done
echo "llmhook 1 $what $readers $count $hook"
exec sha256sum "$@"
