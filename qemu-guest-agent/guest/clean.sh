#!/bin/sh
# What runs in a guest to take out of its files whatever deliveries put there, so that nothing of ours is left; after
# withdraw.sh, and started as deliver.sh is, without input. What others wrote around it stays as it is.
#
# Standard output: `llmhook 1 withdrawn - 0 -`, or `absent` when there was nothing. Exit codes as deliver.sh's.
unset llmhook
LC_ALL=C
export LC_ALL
PATH=${PATH:+$PATH:}/run/current-system/sw/bin:/usr/sbin:/usr/bin:/sbin:/bin
umask 077
set -u
nl='
'
what=absent
[ ! -L /run/llmhook ] && [ ! -e /run/llmhook.d ] || exit 41

# FILE: whether one of its first two lines is that of a file of ours.
is_ours() {
    first='' second=''
    [ -f "$1" ] && [ ! -L "$1" ] || return 1
    { read -r first && read -r second; } <"$1"
    case $nl$first$nl$second in
    *"$nl# llmhook "*) ;;
    *) return 1 ;;
    esac
}

for file in /etc/profile.d/llmhook.sh /etc/bash/bashrc.d/llmhook.sh /etc/fish/conf.d/llmhook.fish \
    /usr/local/bin/llmhook-run /etc/systemd/user-environment-generators/20-llmhook; do
    if is_ours $file; then
        rm -f $file || exit 42
        what=withdrawn
    fi
done
# Nobody misses it when it is empty; it stays otherwise.
[ ! -d /etc/systemd/user-environment-generators ] || rmdir /etc/systemd/user-environment-generators 2>/dev/null

# The block is at the top, or at the end with one line end before it that came with it.
for file in /etc/profile /etc/profile.local /etc/bashrc.local /etc/zshenv.local /etc/bash.bashrc /etc/zsh/zshenv \
    /etc/zshenv; do
    if [ ! -f $file ] || [ -L $file ] || [ ! -r $file ]; then
        continue
    fi
    # What $() takes away at the end is behind the x.
    text=$(cat $file && echo x)
    text=$nl${text%x}
    case $text in
    *"$nl# llmhook "*"$nl# llmhook end$nl"*) ;;
    *) continue ;;
    esac
    head=${text%%"$nl# llmhook "*} tail=${text#*"$nl# llmhook end$nl"}
    head=${head#"$nl"}
    [ -z "$head" ] || [ -z "$tail" ] || head=$head$nl
    what=withdrawn
    if [ -z "$head$tail" ]; then
        rm -f $file || exit 42
    else
        { cp -p $file $file.llmhook && printf %s "$head$tail" >$file.llmhook && mv -f $file.llmhook $file; } || exit 42
    fi
done
echo "llmhook 1 $what - 0 -"
