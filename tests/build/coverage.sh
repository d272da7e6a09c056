#!/bin/bash
# How much of the source the tests run: a build with counters in $LLMHOOK_BUILD/inner/coverage, then the figures after
# the unit tests, and again after each further suite.
#
# usage: coverage.sh [SUITE...]     as in `make check-SUITE`
set -eu
# shellcheck source-path=SCRIPTDIR source=common.sh
. "$(dirname "$0")/common.sh"

folder=$LLMHOOK_BUILD/inner/coverage
inner_configure coverage --enable-coverage --disable-hardening CFLAGS='-O0 -g'
inner_make coverage -j2 all test-programs
find "$folder" -name '*.gcda' -delete

suites=
# A program that a test ends the hard way leaves no counters, and one that has no access to them says so.
export GCOV_EXIT_AT_ERROR=0 GCOV_ERROR_FILE=/dev/null
for name in unit "$@"; do
    suites="$suites${suites:+, }$name"
    inner_make coverage "check-$name" || echo "(not all of these tests passed)"
    echo "Run by the tests: $suites"
    (cd "$folder" && python3 "$LLMHOOK_SOURCE/tests/build/coverage.py" "$LLMHOOK_SOURCE" src/base src/lifecycle src/ledger \
        src/providers src/credentials src/config src/host src/control src/daemon src/cli hooks qemu-guest-agent src) |
        sed 's/^/    /'
done
