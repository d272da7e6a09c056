#!/bin/bash
# The unit and contract tests run clean under AddressSanitizer (leaks included) and UndefinedBehaviorSanitizer.
set -u
# shellcheck source-path=SCRIPTDIR source=common.sh
. "$(dirname "$0")/common.sh"

folder=$LLMHOOK_BUILD/inner/sanitizers
check "configure --enable-sanitizers" inner_configure sanitizers --enable-sanitizers || finish
check "it builds" inner_make sanitizers all test-programs || finish

# Programs that a sanitizer is not in would pass as well.
instrumented() {
    local program
    for program in hooks/qemu src/llmhook src/llmhookd tests/sandbox/llmhook-sandbox tests/unit/test-plan; do
        grep -aq __asan_init "$folder/$program" && grep -aq __ubsan_handle "$folder/$program" ||
            { echo "not instrumented: $program"; return 1; }
    done
}
check "the programs are instrumented" instrumented

# A sanitizer's report ends the program with 99, so that no test takes it for the failure that it expects; and it is
# also looked for, as what a test starts may have its output and its end looked at by nobody.
export ASAN_OPTIONS=detect_leaks=1:detect_stack_use_after_return=1:strict_string_checks=1:exitcode=99:log_path=$work/report
export UBSAN_OPTIONS=print_stacktrace=1:halt_on_error=1:exitcode=99:log_path=$work/report
export LSAN_OPTIONS=exitcode=99
export HOOK_INSTRUMENTED=yes
# Thousands of ledgers are broken, each at another step; here a sample is enough.
export LEDGER_FAULTS_EVERY=7 BUDGET_MONTHS_EVERY=7
for item in $(suite "$folder" unit) $(suite "$folder" contract); do
    run_item "$folder" "${item%%:*} ${item##*/}" "$item"
    if [ -n "$(find "$work" -name 'report.*')" ]; then
        fail "${item%%:*} ${item##*/}: no report" "$(head -60 "$work"/report.*)"
        rm -f "$work"/report.*
    fi
done
# Should none be found, there would be nothing to fail.
check "at least ninety of them ran" test $ran -ge 90
finish
