#!/bin/bash
# Breaks the core, one small change at a time, and asks whether anything notices: the unit tests of src/lifecycle/ or
# the simulator, in many worlds and in those that are kept. Prints TAP; each line says who noticed. A check that nothing can trip is not a check.
#
# usage: mutate.sh [NAME...]     SEEDS=N for the simulator (20000), JOBS=N at a time (2), CC, CFLAGS
set -u
here=$(cd "$(dirname "$0")" && pwd -P)
source=${LLMHOOK_SOURCE:-$(cd "$here/../.." && pwd -P)}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
trap 'exit 1' INT TERM
seeds=${SEEDS:-20000} jobs=${JOBS:-2}
enough=5 # worlds that break: more say nothing new
read -ra compile <<<"${CC:-cc} -std=gnu11 ${CFLAGS:--O1} -D_GNU_SOURCE -DPACKAGE_VERSION=\"mutated\""
read -ra json <<<"$(pkg-config --libs json-c 2>/dev/null || echo -ljson-c)"
units='audit budget decisions domain plan leases rotation schedule repeat suspension transition'
core='audit budget domain outcome plan policy records schedule transition'
shell='boot-credential deliveries methods policy requests rows shared sightings'
world='guest hooks invariants ledger libvirt process provider remote requests run script settled simulate'

# TREE OUT: what may be broken. All of it, or the one file below src/ that is given.
build() {
    local tree=$1 out=$2 only=${3:-} file
    local include=(-I"$tree/src" -I"$source" -I"$here" -I"$source/tests/unit")
    mkdir -p "$out"
    [[ $only == *.h ]] && only= # whoever includes it
    for file in $core; do
        [[ -n $only && $only != "lifecycle/$file.c" ]] ||
            "${compile[@]}" "${include[@]}" -c "$tree/src/lifecycle/$file.c" -o "$out/core-$file.o" || return
    done
    include+=(-include "$here/shell.h")
    for file in $shell; do
        [[ -n $only && $only != "daemon/$file.c" ]] ||
            "${compile[@]}" "${include[@]}" -c "$tree/src/daemon/$file.c" -o "$out/shell-$file.o" || return
    done
    [[ -n $only && $only != daemon/engine.c ]] ||
        "${compile[@]}" "${include[@]}" -c "$here/engine-here.c" -o "$out/shell-engine.o"
}

# What the changes are judged by.
build_judges() {
    local tree=$1 out=$2 file
    local include=(-I"$tree/src" -I"$source" -I"$here" -I"$source/tests/unit")
    for file in $world; do
        "${compile[@]}" "${include[@]}" -c "$here/$file.c" -o "$out/world-$file.o" || return
    done
    for file in base/buffer base/durable base/error base/json base/utf8 providers/result; do
        "${compile[@]}" "${include[@]}" -c "$tree/src/$file.c" -o "$out/world-$(basename "$file").o" || return
    done
    for file in $units; do
        "${compile[@]}" "${include[@]}" -c "$source/tests/unit/test-$file.c" -o "$out/unit-$file.o" || return
    done
}

# OUT KIND: the objects of that kind, the original ones where OUT has none.
objects() {
    local file
    for file in "$work"/original/"$2"-*.o; do
        if [ -e "$1/${file##*/}" ]; then echo "$1/${file##*/}"; else echo "$file"; fi
    done
}

# Links and runs; says who noticed.
try() {
    local out=$1 file noticed='' what
    local core_objects shell_objects
    mapfile -t core_objects < <(objects "$out" core)
    mapfile -t shell_objects < <(objects "$out" shell)
    for file in $units; do
        "${compile[@]}" "$work/original/unit-$file.o" "${core_objects[@]}" "$work/original/world-error.o" -lcmocka \
            -o "$out/unit-$file" || return
        timeout 60 "$out/unit-$file" >"$out/unit-$file.log" 2>&1 || noticed="$noticed test-$file"
    done
    "${compile[@]}" "${core_objects[@]}" "${shell_objects[@]}" "$work"/original/world-*.o "${json[@]}" \
        -o "$out/simulate" || return
    timeout 60 "$out/simulate" --replay "$here"/regressions/* >"$out/replay.log" 2>&1 || noticed="$noticed regressions"
    if ! timeout 300 "$out/simulate" --seeds "$seeds" --enough "$enough" --jobs 1 >"$out/simulate.log" 2>&1; then
        what=$(sed -n 's/^# seed [0-9]*: \([^:]*\):.*/\1/p' "$out/simulate.log" | sort | uniq -c | sort -rn | head -3 |
            awk '{ printf "%s%s", (NR > 1 ? ", " : ""), $2 }')
        [ -n "$what" ] || what=$(sed -n 's/^# \(too little was done: \)[0-9]* \([^,]*\),.*/\1\2/p' "$out/simulate.log" | head -1)
        noticed="$noticed simulate(${what:-died})"
    fi
    echo "$noticed"
}

# NUMBER: one change; its line of TAP.
change() {
    local i=$1 tree=$work/tree.$1 out=$work/out.$1 noticed
    cp -a "$work/tree" "$tree"
    perl -0777 -pi -e "$(printf %s "${changes[i]}" | tr '\002' '|')" "$tree/src/${files[i]}"
    if cmp -s "$tree/src/${files[i]}" "$work/tree/src/${files[i]}"; then
        echo "not ok $((i + 2)) - ${names[i]}: the change does not apply to ${files[i]} any more"
    elif ! build "$tree" "$out" "${files[i]}" 2>"$work/errors.$i"; then
        echo "not ok $((i + 2)) - ${names[i]}: does not compile: $(grep -m1 error "$work/errors.$i")"
    elif ! noticed=$(try "$out" 2>"$work/errors.$i"); then
        echo "not ok $((i + 2)) - ${names[i]}: cannot be linked: $(grep -m1 undefined "$work/errors.$i")"
    elif [ -n "$noticed" ]; then
        echo "ok $((i + 2)) - ${names[i]} (${files[i]}): noticed by$noticed"
    else
        echo "not ok $((i + 2)) - ${names[i]} (${files[i]}): nobody notices"
    fi
    rm -rf "$tree" "$out"
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
if ! build "$work/tree" "$work/original" || ! build_judges "$work/tree" "$work/original"; then
    echo "Bail out! the original does not compile"
    exit 1
fi
mkdir "$work/whole"
if ! noticed=$(try "$work/whole"); then
    echo "Bail out! the original cannot be linked"
    exit 1
fi
if [ -n "$noticed" ]; then
    echo "not ok 1 - the original passes: noticed by$noticed"
    grep -h '^# seed\|^not ok\|^# too little' "$work"/whole/*.log | head -5 | sed 's/^/# /'
    exit 1
fi
echo "ok 1 - the original passes"
for ((job = 0; job < jobs; job++)); do
    for ((i = job; i < ${#names[@]}; i += jobs)); do
        change "$i"
    done &
done >"$work/lines"
wait
# "not ok N" has its number one word later.
awk '{ n = $1 == "not" ? $3 : $2; print n "\t" $0 }' "$work/lines" | sort -n | cut -f2-
[ "$(grep -c '^ok' "$work/lines")" = "${#names[@]}" ]
