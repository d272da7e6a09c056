#!/bin/bash
# Checks key.pml exhaustively, and that each way of breaking it is found out. TAP. Needs spin and a C compiler; takes
# about a minute on two cores, and at most 3 GiB.
set -u
here=$(cd "$(dirname "$0")" && pwd -P)
command -v spin >/dev/null || { echo "1..0 # SKIP spin is not installed"; exit 77; }
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# How much may go wrong in one run: faults of the provider, crashes of the daemon, boots of each domain.
bounds=('1 1 2' '2 1 1' '1 2 1')
mutations='NO_WRITE_AHEAD NOT_FOUND_IS_NOT_GONE OVERLAP NO_SETTLE UNKNOWN_IS_REFUSED FOUND_ONCE FORGET_AT_CRASH DROP_UNASKED'

# verify FOLDER COMPILER-FLAGS PAN-FLAGS SPIN-FLAGS...: leaves what came of it in FOLDER/result.
verify() {
    local folder=$work/$1 compile=$2 flags=$3
    shift 3
    mkdir -p "$folder"
    cd "$folder" || return
    spin "$@" -a "$here/key.pml" >spin.log 2>&1 || { cat spin.log >result; return; }
    # shellcheck disable=SC2086
    ${CC:-cc} -O2 $compile -DMEMLIM=2000 -o pan pan.c >compile.log 2>&1 || { cat compile.log >result; return; }
    # shellcheck disable=SC2086
    timeout 600 ./pan $flags -m100000 >result 2>&1
}
figure() { sed -n "s/^ *\\([0-9.e+]*\\) $2.*/\\1/p" "$work/$1/result" | head -1; }
clean() {
    grep -q 'errors: 0' "$work/$1/result" && ! grep -qE 'out of memory|max search depth too small|Search not completed' "$work/$1/result"
}

count=$((${#bounds[@]} + 2 + $(echo "$mutations" | wc -w)))
echo "1..$count"
number=0 failed=0
say() { # OK TEXT
    number=$((number + 1))
    if [ "$1" = 0 ]; then echo "ok $number - $2"; else echo "not ok $number - $2"; failed=1; fi
}

i=0
for bound in "${bounds[@]}"; do
    read -r faults crashes boots <<<"$bound"
    while [ "$(jobs -rp | wc -l)" -ge 2 ]; do wait -n; done
    verify "bound$i" -DSAFETY -w24 -DFAULTS="$faults" -DCRASHES="$crashes" -DBOOTS="$boots" &
    i=$((i + 1))
done
wait
i=0
for bound in "${bounds[@]}"; do
    read -r faults crashes boots <<<"$bound"
    clean "bound$i"
    say $? "at most $faults faults, $crashes crashes, $boots boots: I1, I4, I8 hold in all $(figure "bound$i" 'states, stored') states"
    [ $failed = 0 ] || tail -20 "$work/bound$i/result" | sed 's/^/# /'
    i=$((i + 1))
done
# Every end is the right one (above); and there is no way of never coming to one.
verify ends -DNP '-l -w22' -DFAULTS=1 -DCRASHES=1 -DBOOTS=1
clean ends
say $? "no run goes on for ever ($(figure ends 'states, stored') states)"
verify for-ever -DNP '-l -w20' -DFAULTS=1 -DCRASHES=1 -DBOOTS=1 -DLOOK_FOR_EVER
grep -q 'errors: 1' "$work/for-ever/result"
say $? "LOOK_FOR_EVER is found out: a run that goes on for ever"
for mutation in $mutations; do
    verify "$mutation" -DSAFETY -w22 -DFAULTS=1 -DCRASHES=1 -DBOOTS=2 -D"$mutation"
    why=$(cd "$work/$mutation" && spin -DFAULTS=1 -DCRASHES=1 -DBOOTS=2 -D"$mutation" -t -k key.pml.trail "$here/key.pml" 2>/dev/null |
        grep -oE 'I[0-9]: .*' | head -1)
    grep -q 'errors: 1' "$work/$mutation/result" && [ -n "$why" ]
    say $? "$mutation is found out: ${why:-nothing}"
done
exit $failed
