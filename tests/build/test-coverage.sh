#!/bin/bash
# The unit tests of src/lifecycle/ alone run each of its lines and take each of its branches.
set -u
# shellcheck source-path=SCRIPTDIR source=common.sh
. "$(dirname "$0")/common.sh"

{ gcc --version && gcov --version; } >/dev/null 2>&1 || skip_all "gcc and gcov are not installed"

# Nothing is optimised: gcc would merge branches, and so forget some.
compile=(gcc -std=gnu11 -O0 -D_GNU_SOURCE "-I$LLMHOOK_SOURCE/src" "-I$LLMHOOK_SOURCE" "-I$LLMHOOK_SOURCE/tests/unit")

# Those that include nothing of src/ but lifecycle/ and base/.
units() {
    local file
    for file in "$LLMHOOK_SOURCE"/tests/unit/test-*.c; do
        grep -qE '^#include "(lifecycle/|plan-fixture\.h)' "$file" || continue
        grep '^#include "' "$file" | grep -qvE '"(check.h|plan-fixture.h|lifecycle/.*|base/error.h)"' || echo "$file"
    done
}

# shellcheck disable=SC2317,SC2329 # check calls it
build() {
    local file name
    for file in "$LLMHOOK_SOURCE"/src/lifecycle/*.c; do
        name=$(basename "$file" .c)
        "${compile[@]}" --coverage -c "$file" -o "core-$name.o" || return
    done
    "${compile[@]}" -c "$LLMHOOK_SOURCE/src/base/error.c" -o error.o || return
    for file in $(units); do
        name=$(basename "$file" .c)
        "${compile[@]}" -c "$file" -o "$name.o" &&
            gcc --coverage "$name.o" core-*.o error.o -lcmocka -o "$name" || return
    done
}

cd "$work" || exit
check "src/lifecycle and its unit tests build with counters" build || finish
ran=0
for file in $(units); do
    name=$(basename "$file" .c)
    check "$name" "./$name" && ran=$((ran + 1))
done
# Should none be found, there would be nothing to fail.
check "at least twelve of them ran" test $ran -ge 12
check "every line and every branch of src/lifecycle" \
    python3 "$LLMHOOK_SOURCE/tests/build/coverage.py" --all "$LLMHOOK_SOURCE" src/lifecycle
note "$(tail -1 "$work/output")"
finish
