#!/bin/bash
# The unit test programs run clean under valgrind, leaks included, and so do the sandbox when it is driven by its own
# tests and our OpenAI client behind Prism: what the sanitizers do not see is the use of what was never set.
set -u
# shellcheck source-path=SCRIPTDIR source=common.sh
. "$(dirname "$0")/common.sh"

command -v valgrind >/dev/null || skip_all "valgrind is not installed"
[ -z "$(make_variable "$LLMHOOK_BUILD" SANITIZE_CFLAGS)" ] || skip_all "a build with sanitizers does not run in valgrind"

# 99 is nobody else's exit code. Reports go to files, since a test may look at what a program prints. What is still
# pointed to is not lost: some tests are about processes that die with all they have.
valgrind="valgrind --quiet --error-exitcode=99 --leak-check=full --errors-for-leak-kinds=definite,indirect
    --show-leak-kinds=definite,indirect --suppressions=$here/valgrind.supp --log-file=$work/report.%p"

# Thousands of ledgers are broken, each at another step; here a sample is enough.
export LEDGER_FAULTS_EVERY=401 BUDGET_MONTHS_EVERY=41

reports() {
    find "$work" -name 'report.*' -size +0 -exec cat {} +
    rm -f "$work"/report.*
}

run_under_valgrind() {
    local name=$1 found
    shift
    run_item "$LLMHOOK_BUILD" "$name" "$@"
    found=$(reports)
    [ -z "$found" ] || fail "$name: no report" "$(head -60 <<<"$found")"
}

for item in $(suite "$LLMHOOK_BUILD" unit); do
    case $item in
    # They start our programs, which the sanitizers' run looks into.
    *.sh | *.py) ;;
    # Ten thousand worlds; the sanitizers' run looks into them in a tenth of the time.
    *:tests/simulate/*) ;;
    # They count the milliseconds of a hook that valgrind is not in, with a daemon that would be.
    *:tests/hook/*) ;;
    # A suite of its own, or its log would be that of the test without valgrind.
    *) run_under_valgrind "${item##*/}" "valgrind:${item#*:}" --wrap "$(tr -s '\n ' '  ' <<<"$valgrind")" ;;
    esac
done
# Should none be found, there would be nothing to fail.
check "at least eighty of them ran" test $ran -ge 80

if [ -x "$LLMHOOK_BUILD/tests/sandbox/llmhook-sandbox" ]; then
    printf '#!/bin/sh\nexec %s %s "$@"\n' "$(tr -s '\n ' '  ' <<<"$valgrind")" \
        "'$LLMHOOK_BUILD/tests/sandbox/llmhook-sandbox'" >"$work/sandbox"
    chmod +x "$work/sandbox"
    LLMHOOK_SANDBOX_HERE=$work/sandbox \
        run_under_valgrind "the sandbox" "valgrind:$LLMHOOK_SOURCE/tests/sandbox/selftest.sh"
    run_under_valgrind "the client" valgrind:tests/contract/openai-client \
        --wrap "$LLMHOOK_SOURCE/tests/contract/with-prism.sh $(tr -s '\n ' '  ' <<<"$valgrind")"
else
    skip "the sandbox" "libmicrohttpd is not there, so it has not been built"
fi
finish
