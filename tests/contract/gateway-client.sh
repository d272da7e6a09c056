#!/bin/sh
# Our clients of OpenRouter and LiteLLM. OpenRouter's goes through Prism, which holds each of its requests and every
# answer of the sandbox to the official specification. LiteLLM has none: what its client asks is held to the sandbox
# alone, which is held to the package from PyPI by hand. Prints TAP.
set -u
here=$(cd "$(dirname "$0")" && pwd)
: "${LLMHOOK_BUILD:=$PWD}"
: "${LLMHOOK_SANDBOX:=$LLMHOOK_BUILD/tests/sandbox/llmhook-sandbox}"
CONTRACT_SPEC=openrouter-keys
export LLMHOOK_SANDBOX CONTRACT_SPEC
. "$here/../sandbox/harness.sh"

work=$(mktemp -d "${TMPDIR:-/tmp}/llmhook-client.XXXXXX") || exit 1
trap 'sandbox_stop 2>/dev/null; rm -rf "$work" "$SANDBOX_DIR"' EXIT
trap 'exit 143' TERM INT
count=0 failed=0
# result STATUS NAME
result() {
    count=$((count + 1))
    if [ "$1" -eq 0 ]; then
        echo "ok $count - $2"
    else
        failed=$((failed + 1))
        echo "not ok $count - $2"
    fi
}
# relay PREFIX FILE: a program's TAP under our numbers. Its plan comes last: without one it did not get that far.
relay() {
    while IFS= read -r line; do
        case $line in
            'ok '*) result 0 "$1: ${line#ok * - }" ;;
            'not ok '*) result 1 "$1: ${line#not ok * - }" ;;
            1..*) ;;
            *) echo "# ${line#\# }" ;;
        esac
    done <"$2"
    grep -q "^1\.\.$(grep -cE '^(not )?ok ' "$2")\$" "$2"
    result $? "$1: all of it ran"
}

"$here/with-prism.sh" "$LLMHOOK_BUILD/tests/contract/gateway-client" openrouter >"$work/openrouter" 2>"$work/complaints"
status=$?
if [ "$status" -eq 77 ]; then
    echo "1..0 # SKIP $(head -n 1 "$work/complaints")"
    exit 0
fi
relay openrouter "$work/openrouter"
sed 's/^/# /' "$work/complaints"
result "$status" "openrouter: every request and every answer fits the official specification"

# shellcheck disable=SC2119 # it takes options, none are needed here
sandbox_start || exit 1
LLMHOOK_SANDBOX_URL=$SANDBOX_URL LLMHOOK_SANDBOX_ADMIN_KEY_FILE=$SANDBOX_ADMIN_KEY_FILE \
    LLMHOOK_SANDBOX_SECOND_ADMIN_KEY_FILE=$SANDBOX_SECOND_ADMIN_KEY_FILE \
    LLMHOOK_SANDBOX_CONTROL=$SANDBOX_CONTROL "$LLMHOOK_BUILD/tests/contract/gateway-client" litellm >"$work/litellm" 2>&1
relay litellm "$work/litellm"

echo "1..$count"
[ "$failed" -eq 0 ]
