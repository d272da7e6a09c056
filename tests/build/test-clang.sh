#!/bin/bash
# Everything builds with clang too, and without a warning. (That gcc has none is shown by test-distcheck.sh.)
set -u
# shellcheck source-path=SCRIPTDIR source=common.sh
. "$(dirname "$0")/common.sh"

command -v clang >/dev/null || skip_all "clang is not installed"

check "configure CC=clang --enable-werror" inner_configure clang CC=clang --enable-werror || finish
check "clang compiles the programs, the tests and the benchmarks" inner_make clang all test-programs bench-programs
grep -i 'warning:' "$work/output" >"$work/warnings"
silent "without a warning" cat "$work/warnings"
check "it was clang" grep -aq 'clang version' "$LLMHOOK_BUILD/inner/clang/src/llmhookd"
finish
