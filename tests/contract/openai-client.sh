#!/bin/sh
# Our OpenAI client through Prism, which holds each of its requests to the official specification. Prints TAP: the
# client's own lines, and one for Prism's verdict.
set -u
here=$(cd "$(dirname "$0")" && pwd)
: "${LLMHOOK_BUILD:=$PWD}"
: "${LLMHOOK_SANDBOX:=$LLMHOOK_BUILD/tests/sandbox/llmhook-sandbox}"
export LLMHOOK_SANDBOX

work=$(mktemp -d "${TMPDIR:-/tmp}/llmhook-client.XXXXXX") || exit 1
trap 'rm -rf "$work"' EXIT
"$here/with-prism.sh" "$LLMHOOK_BUILD/tests/contract/openai-client" >"$work/out" 2>"$work/complaints"
status=$?
if [ "$status" -eq 77 ]; then
    echo "1..0 # SKIP $(head -n 1 "$work/complaints")"
    exit 0
fi
grep -v '^1\.\.' "$work/out"
sed 's/^/# /' "$work/complaints"
count=$(($(grep -cE '^(not )?ok ' "$work/out") + 1))
# Its plan comes last: without one it did not get that far.
if [ "$status" -eq 0 ] && grep -q "^1\.\.$((count - 1))\$" "$work/out"; then
    echo "ok $count - every request and every answer fits the official specification"
else
    echo "not ok $count - every request and every answer fits the official specification (exit $status)"
    status=1
fi
echo "1..$count"
exit "$status"
