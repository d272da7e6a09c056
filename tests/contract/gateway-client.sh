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
. "$here/relay.sh"

work=$(mktemp -d "${TMPDIR:-/tmp}/llmhook-client.XXXXXX") || exit 1
trap 'sandbox_stop 2>/dev/null; rm -rf "$work" "$SANDBOX_DIR"' EXIT
trap 'exit 143' TERM INT

"$here/with-prism.sh" "$LLMHOOK_BUILD/tests/contract/gateway-client" openrouter >"$work/openrouter" 2>"$work/complaints"
status=$?
if [ "$status" -eq 77 ]; then
    echo "1..0 # SKIP $(head -n 1 "$work/complaints")"
    exit 0
fi
relay_whole openrouter "$work/openrouter"
sed 's/^/# /' "$work/complaints"
result "$status" "openrouter: every request and every answer fits the official specification"

# shellcheck disable=SC2119 # it takes options, none are needed here
sandbox_start || exit 1
LLMHOOK_SANDBOX_URL=$SANDBOX_URL LLMHOOK_SANDBOX_ADMIN_KEY_FILE=$SANDBOX_ADMIN_KEY_FILE \
    LLMHOOK_SANDBOX_SECOND_ADMIN_KEY_FILE=$SANDBOX_SECOND_ADMIN_KEY_FILE \
    LLMHOOK_SANDBOX_CONTROL=$SANDBOX_CONTROL "$LLMHOOK_BUILD/tests/contract/gateway-client" litellm >"$work/litellm" 2>&1
relay_whole litellm "$work/litellm"

echo "1..$count"
[ "$failed" -eq 0 ]
