#!/bin/bash
# Breaks the daemon, one small change at a time, and asks whether the crash matrix notices, in the words that the change
# deserves. Prints TAP. A check that nothing can trip is not a check.
#
# usage: mutate.sh [NAME...]      as root; takes some minutes
set -u
here=$(cd "$(dirname "$0")" && pwd -P)
export LLMHOOK_SOURCE=${LLMHOOK_SOURCE:-$(cd "$here/../.." && pwd -P)}
export LLMHOOK_BUILD=${LLMHOOK_BUILD:-$PWD}
work=$(mktemp -d /tmp/crash-mutate.XXXXXX)
trap 'rm -rf "$work"' EXIT
tree=$work/tree
mkdir -p "$tree"
for part in src hooks qemu-guest-agent tests packaging build-aux configure configure.ac Makefile.am Makefile.in \
    aclocal.m4 README.md ARCHITECTURE.md SECURITY.md CONTRIBUTING.md; do
    cp -a "$LLMHOOK_SOURCE/$part" "$tree"
done
mkdir -p "$work/build/inner" "$work/build/tests"
ln -s "$LLMHOOK_BUILD/tests/sandbox" "$work/build/tests/sandbox"
export LLMHOOK_CACHE=${LLMHOOK_CACHE:-$LLMHOOK_BUILD/.cache}

count=0 failed=0
while IFS=$'\001' read -r name file change workload words; do
    if [ $# -gt 0 ] && [[ " $* " != *" $name "* ]]; then continue; fi
    count=$((count + 1))
    cp "$tree/src/$file" "$work/original"
    perl -0777 -pi -e "$change" "$tree/src/$file"
    if cmp -s "$tree/src/$file" "$work/original"; then
        echo "not ok $count - $name: the change does not apply to $file any more"
        failed=1
        continue
    fi
    LLMHOOK_SOURCE=$tree LLMHOOK_BUILD=$work/build bash "$tree/tests/crash/run.sh" --labs 2 --workload "$workload" \
        >"$work/log" 2>&1
    status=$?
    if [ $status != 0 ] && grep -q "^#.*$words" "$work/log"; then
        echo "ok $count - $name: noticed in $workload: $(grep -m1 "^#.*$words" "$work/log" | cut -c3-150)"
    else
        echo "not ok $count - $name: $workload does not say '$words' (exit $status)"
        grep -vE '^ok|^#   \|' "$work/log" | head -20 | sed 's/^/# /'
        failed=1
    fi
    cp "$work/original" "$tree/src/$file"
done < <(grep -v '^#' "$here/mutations" | sed 's/ | /\x01/g')
echo "1..$count"
exit $failed
