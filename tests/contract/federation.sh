#!/bin/sh
# This host as Anthropic's identity provider: what we enter there, sign and deliver, with the official SDK on the other
# side. Prints TAP.
set -u
here=$(cd "$(dirname "$0")" && pwd)
: "${LLMHOOK_BUILD:=$PWD}"
# shellcheck source-path=SCRIPTDIR source=../sandbox/harness.sh
. "$here/../sandbox/harness.sh"
# shellcheck source-path=SCRIPTDIR source=node-modules.sh
. "$here/node-modules.sh"

contract_or_skip
work=$(mktemp -d "${TMPDIR:-/tmp}/llmhook-federation.XXXXXX") || exit 1
trap 'sandbox_stop; rm -rf "$work" "$SANDBOX_DIR"' EXIT
trap 'exit 143' TERM INT
# shellcheck disable=SC2119 # it takes options, none are needed here
sandbox_start || exit 1
LLMHOOK_WORK=$work LLMHOOK_FEDERATION_CLIENT=$LLMHOOK_BUILD/tests/contract/federation-client \
    LLMHOOK_SANDBOX_URL=$SANDBOX_URL LLMHOOK_SANDBOX_ADMIN_KEY_FILE=$SANDBOX_ADMIN_KEY_FILE \
    LLMHOOK_SANDBOX_CONTROL=$SANDBOX_CONTROL node "$here/sdk-federation.mjs" >"$work/out" 2>&1
status=$?
awk '/^(not )?ok - / { sub(/ok - /, "ok " ++n " - ") } { print } END { print "1.." n }' "$work/out"
exit "$status"
