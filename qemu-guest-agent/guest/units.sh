#!/bin/sh
# What runs in a guest whose keys have changed: restarts or reloads the units that hold the earlier ones.
#
# llmhook-units.path starts it when /run/llmhook/.fresh exists, which deliver.sh puts into each set that it writes.
# That mark is taken away first: a set that comes while this is at work has a mark of its own, and this is started
# again. So no change is missed, whenever it comes.
#
# usage: units.sh [LIST]     (default: /etc/llmhook/units), of lines `restart UNIT` and `reload UNIT`
#
# A unit that was stopped stays stopped. One that failed, as it does that wants a credential which was not there yet,
# is started.
# The locale decides which names [A-Z_]* means.
LC_ALL=C
export LC_ALL
PATH=${PATH:+$PATH:}/run/current-system/sw/bin:/usr/sbin:/usr/bin:/sbin:/bin
umask 077
set -u
list=${1:-/etc/llmhook/units}
link=/run/llmhook
told=/run/llmhook.units # the hash of what the units were told last; withdraw.sh removes it

rm -f $link/.fresh
[ -r $link/env ] && [ -r "$list" ] || exit 0

# shellcheck source=common.sh
. ./common.sh

# The set is named after the process that wrote it. When that has ended, the host has its proof, or never will.
set=$(readlink $link)
pid=${set##*/}
pid=${pid%%x*}
tries=0
while [ $tries -lt 100 ] && runs "$pid"; do
    sleep 0.1
    tries=$((tries + 1))
done

# Another label or another reader is no other key.
# A key that is a file changes while the variable with its path does not.
hash=$(cat $link/env $link/[A-Z_]* 2>/dev/null | sha256sum) || exit 1
before=
[ ! -r $told ] || read -r before <$told
[ "$hash" != "$before" ] || exit 0

status=0
while read -r verb unit _ || [ -n "$verb" ]; do
    case $verb in
    restart | reload) ;;
    *) continue ;;
    esac
    if systemctl --quiet is-failed -- "$unit"; then
        # With Restart= it has failed until it was started too often (five times in 10 s is the default), and is refused then.
        systemctl reset-failed -- "$unit"
        systemctl --no-block start -- "$unit" || status=1
    elif [ "$verb" = restart ]; then
        systemctl --no-block try-restart -- "$unit" || status=1
    else
        systemctl --no-block try-reload-or-restart -- "$unit" || status=1
    fi
done <"$list"
echo "$hash" >$told.new && mv $told.new $told || status=1
# The set may have been withdrawn meanwhile, and have come back.
[ "$(readlink $link)" = "$set" ] || rm -f $told
exit $status
