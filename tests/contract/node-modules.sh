# shellcheck shell=sh
# Sourced by the contract tests, after ../sandbox/harness.sh.
#
#   contract_missing       what is missing to run them, as a sentence; nothing when all is there
#   contract_install       node modules into the cache, once per lock file; LLMHOOK_NODE_DIR names the place
#   contract_ready         both; fails when either does, and contract_reason says why
#   contract_or_skip       the same for a test, which is skipped then
#
# The cache is $LLMHOOK_CACHE, or build/cache below the build folder.

contract_here=$(cd "$(dirname "$0")" && pwd)
contract_spec=$contract_here/../../../shared/openapi/${CONTRACT_SPEC:-openai-admin}.json
: "${LLMHOOK_CACHE:=$PWD/build/cache}"

contract_missing() {
    for program in node npm curl flock; do
        command -v "$program" >/dev/null || { echo "$program is not installed"; return; }
    done
    [ -f "$contract_spec" ] || { echo "../shared with the official specification is not there"; return; }
    [ -x "$LLMHOOK_SANDBOX" ] || echo "$LLMHOOK_SANDBOX is not built"
}

# Two tests that start together install once: the second waits for the first.
contract_install() {
    contract_hash=$(cat "$contract_here/package.json" "$contract_here/package-lock.json" | sha256sum | cut -c 1-16)
    LLMHOOK_NODE_DIR=$LLMHOOK_CACHE/node-$contract_hash
    export LLMHOOK_NODE_DIR
    mkdir -p "$LLMHOOK_NODE_DIR" || return 1
    (
        flock 9
        [ ! -e "$LLMHOOK_NODE_DIR/complete" ] || exit 0
        cp "$contract_here/package.json" "$contract_here/package-lock.json" "$LLMHOOK_NODE_DIR/" &&
            cd "$LLMHOOK_NODE_DIR" &&
            npm ci --ignore-scripts --no-audit --no-fund >npm.log 2>&1 &&
            : >complete
    ) 9>"$LLMHOOK_NODE_DIR/lock"
}

contract_ready() {
    contract_reason=$(contract_missing)
    [ -z "$contract_reason" ] || return 1
    contract_install || {
        contract_reason="npm ci failed: $(tail -n 1 "$LLMHOOK_NODE_DIR/npm.log")"
        return 1
    }
}

contract_or_skip() {
    contract_ready || {
        echo "1..0 # SKIP $contract_reason"
        exit 0
    }
}
