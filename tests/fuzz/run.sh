#!/bin/bash
# Fuzzes for a while: each target for so many seconds of CPU (an hour is an hour however busy the machine is), two at a
# time or $JOBS. Begins with what is kept (CORPUS/TARGET) and what earlier runs have found (FOLDER/TARGET), and leaves there
# what is new. Prints a line a target, with what it has had in all since it last broke: an hour of each takes two cores ten
# hours, and can be had in pieces, also by stopping this: it is written down every few minutes. Fails when one broke.
#
# usage: [JOBS=N] run.sh CORPUS FOLDER SECONDS TARGET...
set -u
corpus=$1 folder=$2 seconds=$3
PIECE=300
shift 3
mkdir -p "$folder/artifacts" "$folder/log" "$folder/spent" || exit
export ASAN_OPTIONS=${ASAN_OPTIONS:-detect_stack_use_after_return=1:strict_string_checks=1:allocator_may_return_null=1}
export UBSAN_OPTIONS=${UBSAN_OPTIONS:-print_stacktrace=1:halt_on_error=1}

# usage: value NAME LOG: one of libFuzzer's final figures; 0 if it broke before it said any
value() { awk -v name="stat::$1:" '$1 == name { value = $2 } END { print value + 0 }' "$2"; }

# One target; its line says what came of it. libFuzzer counts seconds of the clock: it is begun again with what is left of
# those of CPU until there are none.
one() {
    local target=$1 log=$folder/log/$1.log status=0 cpu=0 runs=0 new=0 left=$seconds words=() reached total before piece
    before=$(cat "$folder/spent/$1" 2>/dev/null || echo 0)
    mkdir -p "$folder/$target" "$corpus/$target"
    [ ! -e "$corpus/../$target.dict" ] || words=("-dict=$corpus/../$target.dict")
    TIMEFORMAT='%U %S'
    while [ "$status" = 0 ] && [ "$left" -gt 0 ]; do
        piece=$((left < PIECE ? left : PIECE))
        cpu="$cpu $({ time LLVM_PROFILE_FILE=/dev/null nice -n 19 "$folder/fuzz-$target" -max_total_time="$piece" \
            -timeout=60 -rss_limit_mb=2048 -max_len=8192 -print_final_stats=1 \
            -artifact_prefix="$folder/artifacts/$target-" ${words[@]+"${words[@]}"} "$folder/$target" "$corpus/$target" \
            >"$log" 2>&1; } 2>&1)" || status=$?
        cpu=$(awk '{ for (i = 1; i <= NF; i++) sum += $i; printf "%.0f", sum }' <<<"$cpu")
        left=$((seconds - cpu))
        runs=$((runs + $(value number_of_executed_units "$log")))
        new=$((new + $(value new_units_added "$log")))
        total=$((before + cpu))
        echo "$total" >"$folder/spent/$target"
    done
    reached=$(grep -o 'cov: [0-9]* ft: [0-9]*' "$log" | tail -1)
    printf '%-16s %10s runs %7s/s  %-22s %5s new inputs  %4s MB  %6s s of CPU, %s in all%s\n' "$target" "$runs" \
        "$((runs / (cpu > 0 ? cpu : 1)))" "$reached" "$new" "$(value peak_rss_mb "$log")" "$cpu" "$total" \
        "$([ $status = 0 ] || echo "  BROKE (exit $status)")"
    if [ $status != 0 ]; then
        rm "$folder/spent/$target"
        grep -E -A30 'does not hold|failed:|ERROR:|runtime error' "$log" | head -40 | sed 's/^/    | /'
        grep -E 'Test unit written to' "$log" | sed 's/^/    /'
        : >"$folder/log/$target.broke"
    fi
}

rm -f "$folder"/log/*.broke
for target in "$@"; do
    while [ "$(jobs -rp | wc -l)" -ge "${JOBS:-2}" ]; do wait -n; done
    one "$target" &
done
wait
[ -z "$(find "$folder/log" -name '*.broke')" ]
