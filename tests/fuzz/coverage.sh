#!/bin/bash
# What the kept corpora reach: lines and branches of each fuzzed file, over all targets.
#
# usage: coverage.sh CORPUS FOLDER TARGET...
set -u
corpus=$1 folder=$2
shift 2
version=$(clang --version | sed -n 's/.*version \([0-9]*\).*/\1/p' | head -1)
tool() { if command -v "$1-$version" >/dev/null; then "$1-$version" "${@:2}"; else "$@"; fi; }
tool llvm-cov --version >/dev/null 2>&1 || { echo "llvm-cov is missing: apt-get install llvm" >&2; exit 1; }
programs=() profiles=()
for target in "$@"; do
    LLVM_PROFILE_FILE=$folder/$target.profraw "$folder/fuzz-$target" -runs=0 "$corpus/$target" >"$folder/coverage.log" 2>&1 ||
        { cat "$folder/coverage.log" && exit 1; }
    profiles+=("$folder/$target.profraw")
    programs+=(-object "$folder/fuzz-$target")
done
tool llvm-profdata merge -o "$folder/coverage.profdata" "${profiles[@]}" || exit
tool llvm-cov report "${programs[@]:1}" -instr-profile="$folder/coverage.profdata" \
    -ignore-filename-regex='(^|/)(tests/|/usr/)' |
    awk 'BEGIN { printf "%-40s %14s %16s\n", "file", "lines", "branches" }
        NF == 13 && $1 !~ /\.h$/ && $8 > 0 { printf "%-40s %5d %8s %7d %8s\n", $1, $8, $10, $11, $13 }'
