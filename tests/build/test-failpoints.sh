#!/bin/bash
# Failpoints cost nothing in a normal build: there is none in it. And there are in one that is made for them, so that
# this test can fail.
set -u
# shellcheck source-path=SCRIPTDIR source=common.sh
. "$(dirname "$0")/common.sh"

[ -z "$(make_variable "$LLMHOOK_BUILD" FAILPOINT_CPPFLAGS)" ] || skip_all "this build has failpoints"

expansion() {
    printf '#include "base/failpoint.h"\nFAILPOINT("key minted", "committing");\n' |
        ${CC:-cc} -E -P "$@" -I"$LLMHOOK_SOURCE/src" - | tail -1
}
symbols() { nm "$1" 2>/dev/null | grep -i failpoint; }
strings_of() { grep -aoE 'LLMHOOK_FAILPOINT[A-Z_]*|key-minted\.committing' "$1"; }
programs=(src/llmhookd src/llmhook hooks/qemu)

is() { [ "$1" = "$2" ] || { echo "it is: $1"; return 1; }; }
check "the macro is nothing at all" is "$(expansion)" '((void)0);'
check "with failpoints it is a call" is "$(expansion -DLLMHOOK_FAILPOINTS)" 'failpoint_pass(("key minted"), ("committing"));'
for program in "${programs[@]}" libbase.a; do
    silent "no symbol of one in $program" symbols "$LLMHOOK_BUILD/$program"
    silent "no word of one in $program" strings_of "$LLMHOOK_BUILD/$program"
done

build=$("$LLMHOOK_SOURCE/tests/crash/build.sh" 2>"$work/build.log") || note "$(tail -20 "$work/build.log")"
for program in src/llmhookd hooks/qemu; do
    check "the build for the crash matrix has the symbols: $program" symbols "$build/$program"
    check "and the words: $program" strings_of "$build/$program"
done

# What it does: dies where it is told to, and says where it was.
cat >"$work/passes.c" <<'END'
#include "base/failpoint.h"
#include <stddef.h>
int main(int argc, char **argv)
{
    for (int i = 1; i < argc; i++)
        FAILPOINT(argv[i], "committing");
    return 0;
}
END
check "a program of three passes compiles" "${CC:-cc}" -DLLMHOOK_FAILPOINTS -D_GNU_SOURCE -I"$LLMHOOK_SOURCE/src" -o "$work/passes" \
    "$work/passes.c" "$LLMHOOK_SOURCE/src/base/failpoint.c" || finish
# usage: ends STATUS TRACE ORDER STEP...: its exit code as a shell sees it, and what it has traced
ends() {
    local wanted="$1 $2" order=$3 status=0
    shift 3
    rm -f "$work/trace"
    # The shell's own word about a death by signal is not wanted.
    (LLMHOOK_FAILPOINT=$order LLMHOOK_FAILPOINT_TRACE=$work/trace exec "$work/passes" "$@") 2>"$work/said" || status=$?
    is "$status $(tr '\n' ',' 2>/dev/null <"$work/trace")" "$wanted"
}
check "without an order it passes all" ends 0 "key-minted.committing,granted.committing," "" "key minted" granted
check "it dies at the one that is named" ends 137 "granted.committing,key-minted.committing KILL," key-minted.committing \
    granted "key minted" granted
check "and at its second pass" ends 137 "granted.committing,held.committing,granted.committing KILL," granted.committing:2 \
    granted held granted held
echo held.committing >"$work/order"
check "as a file says" ends 137 "granted.committing,held.committing KILL," "@$work/order" granted held granted
check "a name that is not in the list stops it" ends 134 "" "" "key mintd"
check "and says which" grep -q 'failpoint key-mintd.committing: it is not in the list' "$work/said"
finish
