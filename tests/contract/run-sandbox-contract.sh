#!/bin/sh
# Is the sandbox faithful? The official SDK drives it as a client, by itself and through Prism,
# which checks requests and answers against the official specification where there is one. Prints TAP.
set -u
here=$(cd "$(dirname "$0")" && pwd)
. "$here/../sandbox/harness.sh"
. "$here/node-modules.sh"
. "$here/relay.sh"

contract_or_skip

work=$(mktemp -d "${TMPDIR:-/tmp}/llmhook-contract.XXXXXX") || exit 1
trap 'sandbox_stop; rm -rf "$work" "$SANDBOX_DIR"' EXIT
trap 'exit 143' TERM INT

# --- the SDK alone
# shellcheck disable=SC2119 # it takes options, none are needed here
sandbox_start || exit 1
LLMHOOK_SANDBOX_URL=$SANDBOX_URL LLMHOOK_SANDBOX_DIRECT_URL=$SANDBOX_URL \
    LLMHOOK_SANDBOX_ADMIN_KEY_FILE=$SANDBOX_ADMIN_KEY_FILE LLMHOOK_SANDBOX_CONTROL=$SANDBOX_CONTROL \
    node "$here/sdk-openai.mjs" >"$work/sdk" 2>&1
status=$?
relay sdk "$work/sdk"
result $status "sdk: all of it ran"
# Anthropic has no official specification: its SDK is the only judge.
LLMHOOK_SANDBOX_URL=$SANDBOX_URL LLMHOOK_SANDBOX_ADMIN_KEY_FILE=$SANDBOX_ADMIN_KEY_FILE \
    LLMHOOK_SANDBOX_CONTROL=$SANDBOX_CONTROL node "$here/sdk-anthropic.mjs" >"$work/sdk" 2>&1
status=$?
relay anthropic "$work/sdk"
result $status "anthropic: all of it ran"
sandbox_stop
result $? "sdk: the sandbox ended cleanly"
SANDBOX_PID=

# --- the SDK through Prism
"$here/with-prism.sh" node "$here/sdk-openai.mjs" >"$work/prism" 2>"$work/violations"
status=$?
relay prism "$work/prism"
sed 's/^/# /' "$work/violations"
result $status "prism: every request and every answer fits the official specification"

# --- Prism must notice what is broken, or the line above proves nothing
"$here/with-prism.sh" "$here/broken.sh" >"$work/broken" 2>&1
result "$(($? != 1))" "with-prism.sh fails when there was a violation"
# notices NAME PATH COMPLAINT
notices() {
    grep -qE "^prism: .* $2 .*$3" "$work/broken"
    result $? "prism notices $1"
}
projects=/v1/organization/projects
notices "a cut answer" $projects/proj_cut 'FetchError: invalid json'
notices "an answer without a required field" $projects/proj_lacking '#VIOLATIONS'
notices "a field of the wrong type" $projects/proj_type '#VIOLATIONS'
notices "a success with an unexpected status" $projects/proj_status '#VIOLATIONS'
notices "an error of another shape" $projects/proj_shape '#VIOLATIONS'
notices "a request with a wrong body" $projects/proj_body '#UNPROCESSABLE_ENTITY'
notices "a path that does not exist" $projects/proj_path/nothing '#NO_PATH_MATCHED'
notices "a missing key" $projects/proj_key '#UNAUTHORIZED'
# with-prism.sh shows nothing but violations, each of them once
lines=$(grep -c '' "$work/broken")
result "$((lines != 8))" "and nothing else ($lines lines)"
[ $failed -eq 0 ] || sed 's/^/# /' "$work/broken"

echo "1..$count"
[ "$failed" -eq 0 ]
