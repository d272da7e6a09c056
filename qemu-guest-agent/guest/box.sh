#!/bin/sh
# What runs in a guest whose agent may run no programs, but read and write files: does with what the host has put into
# the drop box what the agent would have done with it. qemu-guest-agent/box.h says what is in the box.
#
# llmhook-box.path starts it when /run/llmhook.box/ready exists. That is removed first: what comes while this is at work
# starts it again. The folder and the file `in` are made when the system boots, by systemd-tmpfiles.
#
# usage: box.sh FOLDER     with deliver.sh, probe.sh, withdraw.sh and clean.sh in it

# The locale decides which names [A-Z_]* means.
LC_ALL=C
export LC_ALL
PATH=${PATH:+$PATH:}/run/current-system/sw/bin:/usr/sbin:/usr/bin:/sbin:/bin
umask 077
set -u
scripts=$1
cd /run/llmhook.box || exit 1
rm -f ready

# A shell without a printf of its own would show the keys in the arguments of a program.
PATH=/dev/null printf '' 2>/dev/null || exit 1
mark='' nonce='' what='' length='' input=''
{
    read -r mark nonce what length
    case $mark:$nonce:$what:$length in
    *[!a-z0-9.:-]*) exit 1 ;;
    llmhook-box-1:?*:deliver:[0-9]* | llmhook-box-1:?*:probe:[0-9]* | llmhook-box-1:?*:withdraw:[0-9]* | \
        llmhook-box-1:?*:clean:[0-9]*) ;;
    *) exit 0 ;;
    esac
    input=$(head -c "$length")
} <in
# The file stays: the host writes only to one that is there.
true >in

# As the agent starts it, so that one delivery knows another.
script=$(cat "$scripts/$what.sh") || exit 1
printf '%s\n' "$input" |
    llmhook=$script llmhook_box=yes HOME=/ SHELL=/bin/sh /bin/sh -c 'eval "$llmhook"' >said 2>complaints
status=$?
length=$(wc -c <said)
{
    echo "llmhook-box-1 $nonce $status $((length))"
    cat said complaints
} >out.new && mv out.new out
rm -f said complaints
