#!/bin/bash
# Searches key.pml exhaustively, and sees to it that each way of breaking it is found out. TAP. Needs spin and a C
# compiler. As `make check` runs it, it takes some fifteen seconds. With "whole", as `make model` runs it, the bounds are
# larger: minutes, and at most 4 GiB, one search after the other.
#
# usage: test-model.sh [whole]
set -u
here=$(cd "$(dirname "$0")" && pwd -P)
command -v spin >/dev/null || { echo "1..0 # SKIP spin is not installed"; exit 0; }
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
ulimit -v 6000000 # kilobytes: whatever goes wrong, others have their memory

# What may happen in one run, over all domains that are used; and how many states there are at least. A search that comes
# to fewer has not been what it was.
#       domains faults crashes moves rotations states
bounds=('1      1      1       3     1         90000'
        '2      1      0       3     1         90000'
        '1      1      1       3     1         90000  SUSPENDS')
[ "${1:-}" != whole ] || bounds+=(
        '1      2      2       4     2         3000000'
        '1      3      1       4     1         2000000'
        '2      1      1       2     1         1000000'
        '2      0      1       4     2         1000000'
        '2      1      1       3     1         5000000'
        '1      2      1       4     0         1500000 SUSPENDS')
small='1 1 1 3 1'
# Each with the property that is to find it out. (Bounds of their own where one rotation or one domain would not do.)
mutations=(
    'NO_WRITE_AHEAD              I1'
    'UNKNOWN_IS_REFUSED          I1'
    'FORGET_AT_CRASH             I1'
    'NAME_REUSED                 I1'
    'NO_SETTLE                   I2'
    'FOUND_ONCE                  I2'
    'DROP_UNASKED                I2'
    'FORGET_BEFORE_REVOKED       I2'
    'UNKNOWN_IS_OFF              I3'
    'SAVED_IS_OFF                I3'
    'OLD_ENDS_WHEN_NEW_IS_MINTED I3'
    'NAMED_WITHOUT_DOMAIN        I3 2 1 0 2 1'
    'NO_WAITING                  I4'
    'ROTATES_AT_ONCE             I4 1 0 0 1 2'
    'RETIRES_UNPROVEN            I5'
    'DELIVERED_IS_PROVEN         I5'
    'NOT_FOUND_IS_NOT_GONE       I8'
    'UNDEFINED_IS_FORGOTTEN      I8'
    'OVERLAP_FOR_EVER            I8'
    'RETIRING_BLOCKS             I8'
    'SUSPENSION_UNWRITTEN        I3 1 2 1 4 0 SUSPENDS'
    'RESUMED_AT_ONCE             I3 1 2 1 4 0 SUSPENDS'
    'RESUMPTION_UNWRITTEN        I1 1 2 1 4 0 SUSPENDS'
    'SUSPENDED_AT_ONCE           I1 1 2 1 4 0 SUSPENDS'
    'STAYS_SUSPENDED             I8 1 2 1 4 0 SUSPENDS'
)
witnesses=(
    'THIRD_GENERATION  the third generation is in use, the other two are history'
    'DOUBTED_SUCCESSOR the successor was made twice and nobody knows, while the guest uses the first'
    'SAVED_BETWEEN_TWO the domain is saved when its successor has been minted'
    'CRASH_IN_OVERLAP  the daemon has crashed during an overlap'
    'OLD_LIST          an old list shows a doubted key that is gone'
    'RESUMED           a suspended key is in use again, and its guest has proven it / 1 1 1 3 1 SUSPENDS'
    'TWO_OVERLAPS      both domains have a retiring key / 2 0 0 2 2'
)

# usage: defines DOMAINS FAULTS CRASHES MOVES ROTATIONS [SUSPENDS]
defines() { echo "-DUSED=$1 -DFAULTS=$2 -DCRASHES=$3 -DMOVES=$4 -DROTATIONS=$5${6:+ -D$6}"; }
# verify FOLDER COMPILER-FLAGS PAN-FLAGS SPIN-FLAGS...: leaves what came of it in FOLDER/result. What spin writes makes
# compilers warn.
verify() {
    local folder=$work/$1 compile=$2 flags=$3
    shift 3
    mkdir -p "$folder"
    cd "$folder" || return
    spin "$@" -a "$here/key.pml" >result 2>&1 || return
    # shellcheck disable=SC2086 # one word a flag
    ${CC:-cc} -w $compile -o pan pan.c >result 2>&1 || return
    # shellcheck disable=SC2086
    timeout "${LLMHOOK_MODEL_TIMEOUT:-3000}" ./pan $flags -m200000 >result 2>&1
    if [ -e key.pml.trail ]; then spin "$@" -t -k key.pml.trail "$here/key.pml" >trail 2>&1; fi
}
# usage: figure NAME TEXT: the number before or after TEXT in its result
figure() {
    case $2 in
    depth) sed -n 's/.*depth reached \([0-9]*\).*/\1/p' "$work/$1/result" ;;
    seconds) sed -n 's/.*elapsed time \([0-9.]*\) .*/\1/p' "$work/$1/result" ;;
    *) sed -n "s/^[[:space:]]*\\([0-9.e+]*\\)[[:space:]]$2.*/\\1/p" "$work/$1/result" ;;
    esac | tail -1 | awk '{ printf "%.0f", $1 }'
}
story() {
    echo "$(figure "$1" 'states, stored') states, $(figure "$1" transitions) transitions, depth $(figure "$1" depth)," \
        "$(figure "$1" 'total actual') MiB, $(figure "$1" seconds) s"
}
# usage: clean NAME STATES: all of it was searched, nothing was found, and it was not too little
clean() {
    local states
    grep -q 'errors: 0' "$work/$1/result" || return
    ! grep -qE 'out of memory|max search depth too small|[Nn]ot completed' "$work/$1/result" || return
    states=$(figure "$1" 'states, stored')
    [ "${states:-0}" -ge "$2" ] || { echo "fewer than $2 states" >>"$work/$1/result"; return 1; }
}
found() { sed -n "s/^ *\\($2.*\\)/\\1/p" "$work/$1/trail" 2>/dev/null | head -1; }

number=0 failed=0
# usage: say STATUS TEXT [NAME]: with its result, where it failed
say() {
    number=$((number + 1))
    [ "$1" != 0 ] || { echo "ok $number - $2"; return; }
    echo "not ok $number - $2"
    failed=1
    tail -20 "$work/${3:-}/result" "$work/${3:-}/trail" 2>/dev/null | sed 's/^/# /'
}
echo "1..$((${#bounds[@]} + 2 + ${#mutations[@]} + ${#witnesses[@]}))"

exact='-O2 -DSAFETY -DCOLLAPSE -DMEMLIM=4000'
for bound in "${bounds[@]}"; do
    read -r used faults crashes moves rotations least suspends <<<"$bound"
    # shellcheck disable=SC2046 # one word a flag
    verify bound "$exact" -w24 $(defines "$used" "$faults" "$crashes" "$moves" "$rotations" "$suspends")
    clean bound "$least"
    say $? "I1 to I5 and I8 hold with $used domains, $faults faults, $crashes crashes, $moves moves, $rotations rotations${suspends:+, keys that are suspended}: \
$(story bound)" bound
    rm -rf "$work/bound"
done

# I8 is two things. Every state in which nothing is left to be done is as it should be: the assertion at the timeout,
# above. And there is no way of never coming to one: no cycle at all that is without progress, and nothing is marked as
# progress. That needs no fairness, which an LTL property would: it is the stronger of the two.
# shellcheck disable=SC2046
{
    verify ends '-O1 -DNP -DMEMLIM=2000' '-l -w22' $(defines 1 1 1 2 1)
    clean ends 30000
    say $? "I8: no run goes on for ever: $(story ends)" ends
    verify for-ever '-O1 -DNP -DMEMLIM=2000' '-l -w22' $(defines 1 1 1 2 1) -DLOOK_FOR_EVER
    grep -q 'non-progress cycle' "$work/for-ever/result"
    say $? "LOOK_FOR_EVER is found out by I8: a run that goes on for ever" for-ever
}

# These are small: two at a time.
some='-O0 -DSAFETY -DMEMLIM=2000'
for item in "${mutations[@]}"; do
    read -r name _ bound <<<"$item"
    while [ "$(jobs -rp | wc -l)" -ge 2 ]; do wait -n; done
    # shellcheck disable=SC2046,SC2086
    verify "$name" "$some" -w20 $(defines ${bound:-$small}) "-D$name" &
done
for item in "${witnesses[@]}"; do
    read -r name _ <<<"$item"
    bound=${item#*/}
    [ "$bound" != "$item" ] || bound=$small
    while [ "$(jobs -rp | wc -l)" -ge 2 ]; do wait -n; done
    # shellcheck disable=SC2046,SC2086
    verify "$name" "$some" -w20 $(defines $bound) "-DSEES_$name" &
done
wait
for item in "${mutations[@]}"; do
    read -r name property _ <<<"$item"
    why=$(found "$name" 'I[0-9]: ')
    [ "${why%%:*}" = "$property" ]
    say $? "$name is found out by ${why:-nothing}" "$name"
done
for item in "${witnesses[@]}"; do
    read -r name what <<<"${item%%/*}"
    [ "$(found "$name" seen)" = seen ]
    say $? "the search comes to where $what" "$name"
done
exit $failed
