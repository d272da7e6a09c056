#!/bin/sh
# with-prism.sh COMMAND...: runs the command with a sandbox behind Prism, which holds every request
# and every answer to the official specification. The command finds:
#
#   LLMHOOK_SANDBOX_URL              Prism's address; its /v1 is what https://api.openai.com/v1 is
#   LLMHOOK_SANDBOX_DIRECT_URL       the sandbox itself, for /v1/models, which the specification lacks
#   LLMHOOK_SANDBOX_ADMIN_KEY_FILE   the file with the admin key
#   LLMHOOK_SANDBOX_SECOND_ADMIN_KEY_FILE   that of a second organisation
#   LLMHOOK_SANDBOX_CONTROL          the sandbox's control socket
#
# CONTRACT_SPEC names the specification: openai-admin, or openrouter-keys, whose /api/v1 is what
# https://openrouter.ai/api/v1 is.
#
# Exit status: the command's when it failed; 1 when Prism reported a violation (they are shown on
# stderr); 77, with the reason, when something that this needs is missing; otherwise 0.
set -u
here=$(cd "$(dirname "$0")" && pwd)
. "$here/../sandbox/harness.sh"
. "$here/node-modules.sh"

[ $# -gt 0 ] || {
    echo "usage: with-prism.sh COMMAND..." >&2
    exit 2
}
contract_ready || {
    echo "with-prism: $contract_reason" >&2
    exit 77
}

prism=
# shellcheck disable=SC2329 # the trap calls it
end() {
    [ -z "$prism" ] || { kill "$prism" && wait "$prism"; } 2>/dev/null
    sandbox_stop 2>/dev/null
    rm -rf "$SANDBOX_DIR"
}
trap end EXIT
trap 'exit 143' TERM INT
# shellcheck disable=SC2119 # it takes options, none are needed here
sandbox_start || exit 1

node "$here/prism-spec.mjs" "$contract_spec" >"$SANDBOX_DIR/spec.json" || exit 1
log=$SANDBOX_DIR/prism.log
node "$LLMHOOK_NODE_DIR/node_modules/@stoplight/prism-cli/dist/index.js" proxy --errors --host 127.0.0.1 --port 0 \
    "$SANDBOX_DIR/spec.json" "$SANDBOX_URL" >"$log" 2>&1 &
prism=$!
sandbox_await 60 grep -q 'Prism is listening on' "$log" || {
    echo "with-prism: Prism did not start: $(tail -n 3 "$log")" >&2
    exit 1
}

export LLMHOOK_SANDBOX_URL LLMHOOK_SANDBOX_DIRECT_URL LLMHOOK_SANDBOX_ADMIN_KEY_FILE \
    LLMHOOK_SANDBOX_SECOND_ADMIN_KEY_FILE LLMHOOK_SANDBOX_CONTROL
LLMHOOK_SANDBOX_URL=$(sed -n 's/.*Prism is listening on \(http:[0-9a-z.:/]*\).*/\1/p' "$log")
LLMHOOK_SANDBOX_DIRECT_URL=$SANDBOX_URL
LLMHOOK_SANDBOX_ADMIN_KEY_FILE=$SANDBOX_ADMIN_KEY_FILE
LLMHOOK_SANDBOX_SECOND_ADMIN_KEY_FILE=$SANDBOX_SECOND_ADMIN_KEY_FILE
LLMHOOK_SANDBOX_CONTROL=$SANDBOX_CONTROL
"$@"
status=$?

# Prism answers first and writes its log later, in order: once it complains about this last
# request, it has complained about all before.
last=/the-end-of-with-prism
curl -sS --noproxy '*' -o /dev/null "$LLMHOOK_SANDBOX_URL$last"
sandbox_await 20 grep -q "$last.*error" "$log" || {
    echo "with-prism: Prism's log has no end" >&2
    exit 1
}
# Prism logs paths and what is wrong with them, never a header or a body.
violations=$(sed 's/\x1b\[[0-9;]*m//g' "$log" | grep -v "$last" | grep -E '✖|Violation' | sed 's/^[^›]*› //')
if [ -n "$violations" ]; then
    printf '%s\n' "$violations" | sed 's/^/prism: /' >&2
    [ "$status" -ne 0 ] || status=1
fi
grep -q 'Forwarding' "$log" || {
    echo "prism: no request came through" >&2
    [ "$status" -ne 0 ] || status=1
}
exit "$status"
