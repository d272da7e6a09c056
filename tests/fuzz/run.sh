#!/bin/bash
# Fuzzes for a while: each target for so many seconds, two at a time. Begins with what is kept (CORPUS/TARGET) and what
# earlier runs have found (FOLDER/TARGET), and leaves there what is new. Prints a line a target; fails when one broke.
#
# usage: run.sh CORPUS FOLDER SECONDS TARGET...
set -u
corpus=$1 folder=$2 seconds=$3
shift 3
mkdir -p "$folder/artifacts" "$folder/log" || exit
export ASAN_OPTIONS=${ASAN_OPTIONS:-detect_stack_use_after_return=1:strict_string_checks=1:allocator_may_return_null=1}
export UBSAN_OPTIONS=${UBSAN_OPTIONS:-print_stacktrace=1:halt_on_error=1}

# usage: value NAME LOG: one of libFuzzer's final figures
value() { sed -n "s/^stat::$1: *//p" "$2" | tail -1; }

# One target; its line says what came of it.
one() {
    local target=$1 log=$folder/log/$1.log status=0 cpu words=() reached
    mkdir -p "$folder/$target" "$corpus/$target"
    [ ! -e "$corpus/../$target.dict" ] || words=("-dict=$corpus/../$target.dict")
    TIMEFORMAT='%U %S'
    cpu=$({ time LLVM_PROFILE_FILE=/dev/null nice -n 19 "$folder/fuzz-$target" -max_total_time="$seconds" -timeout=60 \
        -rss_limit_mb=2048 -max_len=8192 -print_final_stats=1 -artifact_prefix="$folder/artifacts/$target-" \
        ${words[@]+"${words[@]}"} "$folder/$target" "$corpus/$target" >"$log" 2>&1; } 2>&1) || status=$?
    reached=$(grep -o 'cov: [0-9]* ft: [0-9]*' "$log" | tail -1)
    printf '%-16s %9s runs %7s/s  %-22s %5s new inputs  %4s MB  %6.0f s of CPU%s\n' "$target" \
        "$(value number_of_executed_units "$log")" "$(value average_exec_per_sec "$log")" "$reached" \
        "$(value new_units_added "$log")" "$(value peak_rss_mb "$log")" \
        "$(awk '{ print $1 + $2 }' <<<"$cpu")" "$([ $status = 0 ] || echo "  BROKE (exit $status)")"
    if [ $status != 0 ]; then
        grep -E -A30 'does not hold|failed:|ERROR:|runtime error' "$log" | head -40 | sed 's/^/    | /'
        grep -E 'Test unit written to' "$log" | sed 's/^/    /'
        : >"$folder/log/$target.broke"
    fi
}

rm -f "$folder"/log/*.broke
for target in "$@"; do
    while [ "$(jobs -rp | wc -l)" -ge 2 ]; do wait -n; done
    one "$target" &
done
wait
[ -z "$(find "$folder/log" -name '*.broke')" ]
