#!/bin/bash
# Breaks the core, one small change at a time, and asks whether anything notices: the unit tests of src/lifecycle/ or
# the simulator. Prints TAP; each line says who noticed. A check that nothing can trip is not a check.
#
# usage: mutate.sh [NAME...]     SEEDS=N for the simulator (4000), CC, CFLAGS
set -u
here=$(cd "$(dirname "$0")" && pwd -P)
source=${LLMHOOK_SOURCE:-$(cd "$here/../.." && pwd -P)}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
seeds=${SEEDS:-4000}
read -ra compile <<<"${CC:-cc} -std=gnu11 ${CFLAGS:--O1} -D_GNU_SOURCE -DPACKAGE_VERSION=\"mutated\""
read -ra json <<<"$(pkg-config --libs json-c 2>/dev/null || echo -ljson-c)"
units='audit domain plan schedule transition'
core='audit domain outcome plan policy records schedule transition'
shell='deliveries methods policy requests rows sightings'
world='guest hooks invariants ledger libvirt process remote run script simulate'

# TREE: a copy of src/. Objects of files that are as in the original are taken from there.
build() {
    local tree=$1 out=$2 file
    mkdir -p "$out"
    local include=(-I"$tree/src" -I"$source" -I"$here" -I"$source/tests/unit")
    for file in $core; do
        "${compile[@]}" "${include[@]}" -c "$tree/src/lifecycle/$file.c" -o "$out/core-$file.o" || return
    done
    for file in $shell; do
        "${compile[@]}" "${include[@]}" -include "$here/shell.h" -c "$tree/src/daemon/$file.c" -o "$out/shell-$file.o" ||
            return
    done
    "${compile[@]}" "${include[@]}" -include "$here/shell.h" -c "$here/engine-here.c" -o "$out/shell-engine.o" || return
    [ -z "${3:-}" ] || return 0
    for file in $world; do
        "${compile[@]}" "${include[@]}" -c "$here/$file.c" -o "$out/world-$file.o" || return
    done
    for file in base/buffer base/durable base/error base/json providers/result; do
        "${compile[@]}" "${include[@]}" -c "$tree/src/$file.c" -o "$out/world-$(basename "$file").o" || return
    done
    for file in $units; do
        "${compile[@]}" "${include[@]}" -c "$source/tests/unit/test-$file.c" -o "$out/unit-$file.o" || return
    done
}

# Links and runs; says who noticed.
try() {
    local out=$1 file noticed=
    for file in $units; do
        "${compile[@]}" "$work/original/unit-$file.o" "$out"/core-*.o "$work/original/world-error.o" -lcmocka \
            -o "$out/unit-$file" || return
        timeout 60 "$out/unit-$file" >"$out/unit-$file.log" 2>&1 || noticed="$noticed test-$file"
    done
    "${compile[@]}" "$out"/core-*.o "$out"/shell-*.o "$work"/original/world-*.o "${json[@]}" -o "$out/simulate" || return
    if ! timeout 300 "$out/simulate" --seeds "$seeds" >"$out/simulate.log" 2>&1; then
        local what
        what=$(sed -n 's/^# seed [0-9]*: \([^:]*\):.*/\1/p' "$out/simulate.log" | sort | uniq -c | sort -rn | head -3 |
            awk '{ printf "%s%s", (NR > 1 ? ", " : ""), $2 }')
        [ -n "$what" ] || what=$(sed -n 's/^# \(too little was done\).*/\1/p' "$out/simulate.log" | head -1)
        noticed="$noticed simulate(${what:-died})"
    fi
    echo "$noticed"
}

declare -a names files changes
while IFS='|' read -r name file change; do
    name=$(echo "$name" | tr -d ' ')
    [[ $name == \#* || -z $name ]] && continue
    if [ $# -gt 0 ] && [[ " $* " != *" $name "* ]]; then continue; fi
    names+=("$name") files+=("$(echo "$file" | tr -d ' ')") changes+=("${change# }")
done < <(sed 's/ | /\x01/; s/ | /\x01/' "$here/mutations" | awk -F'\001' '{ gsub(/\|/, "\002"); print $1 "|" $2 "|" $3 }')

echo "1..$((${#names[@]} + 1))"
mkdir -p "$work/tree"
cp -a "$source/src" "$source/qemu-guest-agent" "$work/tree/"
if ! build "$work/tree" "$work/original"; then
    echo "Bail out! the original does not compile"
    exit 1
fi
cp -a "$work/original" "$work/whole"
noticed=$(try "$work/whole")
if [ -n "$noticed" ]; then
    echo "not ok 1 - the original passes: noticed by$noticed"
    grep -h '^# seed\|^not ok' "$work"/whole/*.log | head -5 | sed 's/^/# /'
    exit 1
fi
echo "ok 1 - the original passes"
failed=0
for i in "${!names[@]}"; do
    tree=$work/mutant out=$work/out
    rm -rf "$tree" "$out"
    cp -a "$work/tree" "$tree"
    change=$(printf %s "${changes[i]}" | tr '\002' '|')
    perl -0777 -pi -e "$change" "$tree/src/${files[i]}"
    if cmp -s "$tree/src/${files[i]}" "$work/tree/src/${files[i]}"; then
        echo "not ok $((i + 2)) - ${names[i]}: the change does not apply to ${files[i]} any more"
        failed=1
    elif ! build "$tree" "$out" again 2>"$work/errors"; then
        echo "not ok $((i + 2)) - ${names[i]}: does not compile: $(grep -m1 error "$work/errors")"
        failed=1
    else
        noticed=$(try "$out")
        [ -n "$noticed" ] || failed=1
        [ -n "$noticed" ] && echo "ok $((i + 2)) - ${names[i]} (${files[i]}): noticed by$noticed" ||
            echo "not ok $((i + 2)) - ${names[i]} (${files[i]}): nobody notices"
    fi
done
exit $failed
