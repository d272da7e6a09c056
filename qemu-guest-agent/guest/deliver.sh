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
# accounts that have copies, and SHELL where login shells are hooked, behind it a +NAME for whatever else is. Then
# sha256sum's list of all files, read through /run/llmhook: that is the proof. The exit codes and what they mean stand
# in delivery.c.
#
#   /run/llmhook -> llmhook.d/N    replaced by a rename, so that readers see one set or the other, whole
#   /run/llmhook.d/N/env           NAME='VALUE' or NAME='PATH' lines, for sh and for systemd's EnvironmentFile=
#   /run/llmhook.d/N/NAME          the value alone
#   /run/llmhook.d/N/generation    the label
#   /run/llmhook.d/N/.fresh        until units.sh, where a guest has that, has seen this set
#   /run/llmhook.d/N/profile.sh    what shells read, for everybody
#   /run/llmhook.d/N/llmhook-run   a program, for everybody
#   /run/llmhook.d/N/users/UID/    env and NAME again, owned by that human
#   /run/llmhook.d/N/.told         when managers of logins have been told of it
#   /run/llmhook.d/P               empty: process P is at work here
# N begins with the number of the process that wrote it. All folders are root's: nobody else can put a link or a pipe in the
# place of what root opens, changes or removes by its path.
#
# Files are born with the mode they keep and get their owner before the set can be found by name: there is no
# moment in which somebody reads what is not meant for him.
unset llmhook
LC_ALL=C
export LC_ALL
PATH=${PATH:+$PATH:}/run/current-system/sw/bin:/usr/sbin:/usr/bin:/sbin:/bin
umask 077
set -u
link=/run/llmhook
store=/run/llmhook.d claim=
nl='
'
profile='@profile.sh@'
hook='@hook.sh@'
fish='@hook.fish@'
units='@user-environment@'
run='@llmhook-run@'

# A shell without a printf of its own would show the keys in the arguments of a program.
PATH=/dev/null printf '' 2>/dev/null || exit 30
command -v sha256sum >/dev/null || exit 31
[ -r /proc/mounts ] && [ -r /proc/self/fd/0 ] || exit 33

# On a disk, keys would outlive the guest's run in its image and its snapshots.
if [ ! -d $store ]; then
    while read -r _ point type _; do
        [ "$point" != /run ] || break
    done </proc/mounts
    case $point:$type in
    /run:tmpfs | /run:ramfs) ;;
    *) exit 34 ;;
    esac
    umask 066
    mkdir -p $store || exit 23
    umask 077
fi

# shellcheck source=common.sh
. ./common.sh

make_claim || exit 23
trap 'rm -f $claim; [ -L $link ] || rmdir $store 2>/dev/null' EXIT
is_alone || exit 40

# What a shell says about input that is cut short could quote it.
complete=no verb='' readers='' label='' paths='' plain='' copies=''
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

# Who logs in here: each account in the range for people whose shell is one. Sets $humans to " UID:GID"s, $count.
# Lines of passwd; one without a name sets the range.
find_humans() {
    while IFS=: read -r name kind uid gid _ _ shell || [ -n "$name" ]; do
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
    [ ! -r /etc/login.defs ] || while read -r key value _ || [ -n "$key" ]; do
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

# Whether the accounts' folders are root's: an earlier version gave them away, and what is in them may be anything.
folders_hold() {
    for human in $humans; do
        [ -O "$link/users/${human%%:*}" ] || return
    done
}

# Whether the set that is there is the one wanted. This compares what a shell compares cheaply; that the files
# themselves are right is what the list of hashes proves afterwards.
what=written
if [ "$verb" = deliver ] && [ -r $link/.readers ] && read -r line <$link/.readers && [ "$line" = "$readers$humans" ] &&
    [ -r $link/generation ] && read -r line <$link/generation && [ "$line" = "$label" ] && holds $link/env "$env" &&
    paths_hold "$@" && folders_hold; then
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
    n=${claim##*/}
    while [ -e $store/$n ]; do
        n=${n}x
    done
    new=$store/$n
    folders=
    for human in $humans; do
        folders="$folders $new/users/${human%%:*}"
    done

    private=0377
    umask 066
    [ "$readers" != everybody ] || { private=0222 && umask 022; }
    # shellcheck disable=SC2086 # one word a folder
    mkdir -p ${folders:-$new} || undo 23
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
    printf %s "$profile" >"$new/profile.sh" || undo 24
    printf %s "$run" >"$new/llmhook-run" || undo 24
    chmod 0555 "$new/llmhook-run" || undo 25
    umask 077
    # What of a copy its owner makes later is his affair: it is proven while it is root's.
    set --
    for human in $humans; do
        for name in env $names; do
            set -- "$@" "users/${human%%:*}/$name"
        done
    done
    [ $# = 0 ] || copies=$(cd "$new" && sha256sum "$@") || undo 27
    for human in $humans; do
        chown "$human" "$new/users/${human%%:*}"/* || undo 25
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
else
    new=$(cd -P $link && pwd -P) || exit 28
fi
# Also what one left behind that was ended before it had come here.
olds=
for old in "$store"/[0-9]* "$link".[0-9]*; do
    if [ "$old" != "$new" ] && [ "$old" != $claim ] && { [ -e "$old" ] || [ -L "$old" ]; }; then
        olds="$olds $old"
    fi
done
# shellcheck disable=SC2086 # one word a folder
[ -z "$olds" ] || remove $olds || exit 29

# --- hooks: what makes shells and services read it. Nothing that others wrote is changed, but for three lines at the
# top of a start-up file where the system has no folder for such. That one fails (/etc may be read-only) does not make a
# delivery fail.

# FILE TEXT [MODE]: a file of our own. 2 when it is somebody else's.
put_file() {
    first='' second=''
    if [ -s "$1" ] || [ -L "$1" ]; then
        { read -r first && read -r second; } <"$1"
        case $2 in
        "$first$nl$second$nl"*) return 0 ;;
        esac
        case $nl$first$nl$second in
        *"$nl# llmhook "*) ;;
        *) return 2 ;;
        esac
    fi
    umask 022
    { printf %s "$2" >"$1.llmhook"; } 2>/dev/null || return 1
    [ $# -lt 3 ] || chmod "$3" "$1.llmhook"
    mv -f "$1.llmhook" "$1"
}

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

# FILE: our lines at the end of it; it is made if it is not there.
append() {
    gap=
    if [ -s "$1" ]; then
        ! has_line "$1" '# llmhook *' || return 0
        gap=$nl
    fi
    umask 022
    { printf %s "$gap$hook" >>"$1"; } 2>/dev/null
}

# FILE: our lines at the top of it, above what ends it early for shells that nobody types in.
prepend() {
    if [ ! -s "$1" ]; then
        append "$1"
        return
    fi
    [ ! -L "$1" ] || return
    ! has_line "$1" '# llmhook *' || return 0
    if cp -p "$1" "$1.llmhook" && { printf %s "$hook" && cat "$1"; } >"$1.llmhook" &&
        { sync "$1.llmhook" || sync; } && mv -f "$1.llmhook" "$1"; then
        return
    fi
    rm -f "$1.llmhook"
    false
} 2>/dev/null

# NAME COMMAND...: one hook more, if the command succeeds.
also() {
    name=$1
    shift
    if "$@"; then
        where=$where+$name
    fi
}

hook_nixos() {
    where=profile.local
    append /etc/profile.local || where=failed
    also bash append /etc/bashrc.local
    [ ! -e /etc/zshenv ] || also zsh append /etc/zshenv.local
}

hook_others() {
    if [ -d /etc/profile.d ] && [ -r /etc/profile ] && has_line /etc/profile '[!#]*profile.d*'; then
        put_file /etc/profile.d/llmhook.sh "$hook"
        case $? in
        0) where=profile.d ;;
        2) where=foreign ;;
        *) where=failed ;;
        esac
    else
        where=profile
        append /etc/profile || where=failed
    fi
    if [ -d /etc/bash/bashrc.d ]; then
        also bash put_file /etc/bash/bashrc.d/llmhook.sh "$hook"
    elif [ -e /etc/bash.bashrc ]; then
        also bash prepend /etc/bash.bashrc
    fi
    if [ -d /etc/zsh ]; then
        also zsh prepend /etc/zsh/zshenv
    elif [ -e /etc/zshenv ]; then
        also zsh prepend /etc/zshenv
    fi
    if [ -d /etc/fish/conf.d ]; then
        also fish put_file /etc/fish/conf.d/llmhook.fish "$fish"
    fi
    if [ -d /usr/local/bin ]; then
        also run put_file /usr/local/bin/llmhook-run "$run" 0755
    fi
}

hook_units() {
    to=/etc/systemd/user-environment-generators
    umask 022
    if [ -d /run/systemd/system ] && { [ -d $to ] || mkdir -p $to; } 2>/dev/null; then
        also units put_file $to/20-llmhook "$units" 0755
    fi
}

# Once a set: what is missing later was taken away on purpose.
if [ -e /etc/llmhook/native ]; then
    # Whoever set this guest up has seen to its shells.
    where=native
elif [ $what = unchanged ] && [ -r $link/.hooks ]; then
    read -r where <$link/.hooks
else
    if [ -e /etc/NIXOS ]; then
        hook_nixos
    else
        hook_others
    fi
    hook_units
    umask 0377
    [ -e $link/.hooks ] || echo "$where" >$link/.hooks
fi
if [ ! -e $link/.told ]; then
    reload_managers
    umask 0377
    true >$link/.told
fi

cd $link || exit 28
# shellcheck disable=SC2086 # one word a name
set -- env $names
echo "llmhook 1 $what $readers $count $where"
if [ $what = written ]; then
    sha256sum "$@" || exit 27
    [ -z "$copies" ] || printf '%s\n' "$copies"
    exit
fi
for human in $humans; do
    for name in env $names; do
        set -- "$@" "users/${human%%:*}/$name"
    done
done
# Who owns a copy may have made it endless, or have everybody wait who opens it (fcntl's lease); what is as it should be takes
# no such time.
limit=
! command -v timeout >/dev/null || limit='timeout 5'
# shellcheck disable=SC2086,SC3045 # two words; dash, bash and busybox have it, who has not does without
(ulimit -t 2 2>/dev/null; exec $limit sha256sum "$@") || exit 27
