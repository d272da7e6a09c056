#!/bin/sh
# Our client of Vault, against the sandbox; and, where `bao` or `vault` is on PATH, against a real server on the loopback,
# with its state in memory and its files in a folder of its own. The sandbox has to pass what the real one passes. Prints TAP.
#
# A real server has two engines that need nobody else: ssh (one-time passwords, whose leases cannot be renewed) and rabbitmq,
# to which rabbitmq.py is what it administrates.
set -u
here=$(cd "$(dirname "$0")" && pwd)
: "${LLMHOOK_BUILD:=$PWD}"
: "${LLMHOOK_SANDBOX:=$LLMHOOK_BUILD/tests/sandbox/llmhook-sandbox}"
client=$LLMHOOK_BUILD/tests/contract/vault-client
. "$here/../sandbox/harness.sh"
. "$here/relay.sh"

work=$(mktemp -d "${TMPDIR:-/tmp}/llmhook-vault.XXXXXX") || exit 1
server='' rabbit=''
finish() {
    sandbox_stop 2>/dev/null
    [ -z "$server" ] || { kill "$server" && wait "$server"; } 2>/dev/null
    [ -z "$rabbit" ] || { kill "$rabbit" && wait "$rabbit"; } 2>/dev/null
    rm -rf "$work" "$SANDBOX_DIR"
}
trap finish EXIT
trap 'exit 143' TERM INT
umask 077
# run PREFIX ARGUMENTS...: the client's TAP under our numbers.
run() {
    prefix=$1
    shift
    "$client" "$@" >"$work/tap" 2>&1
    relay_whole "$prefix" "$work/tap" "$1"
}

# api METHOD PATH [BODY]: with the root token, which is in $work/root as a header. The answer is printed.
api() {
    curl -sS --fail-with-body --noproxy '*' --max-time 20 -H "@$work/root" -X "$1" ${3:+--data-binary "$3"} "$url/v1/$2"
}

# What both have: a secret in a store of each version, and one way in by AppRole, whose halves are in $work.
tell_of_sources() {
    printf '%s' sk-canary-of-the-contract-0123456789 >"$work/secret"
    api POST secret/data/llm '{"data":{"key":"sk-canary-of-the-contract-0123456789"}}' >/dev/null &&
        api POST kv/llm '{"key":"sk-canary-of-the-contract-0123456789"}' >/dev/null
    result $? "$1: secrets are put there"
    run "$1" fetch "$url" "$work/token" 'vault:secret/llm#key' "$work/secret"
    run "$1" fetch "$url" "$work/token" 'vault:kv/llm#key' "$work/secret"
    run "$1" fetch "$url" "$work/token" "vault-token:$url" "$work/token"
    run "$1" login "$url" "$work/role-id" "$work/secret-id" 'vault:secret/llm#key' "$work/secret"
}

[ -x "$client" ] || {
    echo "1..0 # SKIP $client is not built"
    exit 0
}

# --- the sandbox ---

# shellcheck disable=SC2119 # it takes options, none are needed here
sandbox_start || exit 1
url=$SANDBOX_URL/vault
cp "$SANDBOX_ADMIN_KEY_FILE" "$work/token"
printf 'X-Vault-Token: %s\n' "$(cat "$work/token")" >"$work/root"
sandbox_control /knobs -d '{"vault_lease_s":6,"vault_lease_most_s":14}' >/dev/null
sandbox_control /outside -d '{"action":"vault-set-approle"}' >"$work/approle"
sed 's/.*"role_id":"\([^"]*\)".*/\1/' "$work/approle" >"$work/role-id"
sed 's/.*"secret_id":"\([^"]*\)".*/\1/' "$work/approle" >"$work/secret-id"
tell_of_sources sandbox
run sandbox keys "$url" "$work/token" openai/creds/dev api_key

# --- a real one ---

port_is_free() {
    python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'
}

vault_start() {
    program=$1 url=http://127.0.0.1:$(port_is_free) || return 1
    # Its first token is written into its home, and stands in no argument.
    HOME=$work "$program" server -dev -dev-listen-address="${url#http://}" >"$work/server.log" 2>&1 &
    server=$!
    sandbox_await 30 curl -sS --fail --noproxy '*' --max-time 5 -o "$work/health" "$url/v1/sys/health" || return 1
    sandbox_await 10 test -s "$work/.vault-token" || return 1
    cp "$work/.vault-token" "$work/token"
    printf 'X-Vault-Token: %s\n' "$(cat "$work/token")" >"$work/root"
}

vault_has_engines() {
    python3 "$here/rabbitmq.py" "$work/rabbit-port" &
    rabbit=$!
    sandbox_await 20 test -s "$work/rabbit-port" || return 1
    api POST sys/mounts/kv '{"type":"kv","options":{"version":"1"}}' &&
        api POST sys/mounts/ssh '{"type":"ssh"}' &&
        api POST ssh/roles/otp '{"key_type":"otp","default_user":"alice","cidr_list":"127.0.0.0/8"}' &&
        api POST sys/mounts/rabbitmq '{"type":"rabbitmq"}' &&
        api POST rabbitmq/config/connection '{"connection_uri":"http://127.0.0.1:'"$(cat "$work/rabbit-port")"'","username":"vault","password":"vault","verify_connection":false}' &&
        api POST rabbitmq/config/lease '{"ttl":6,"max_ttl":14}' &&
        api POST rabbitmq/roles/dev '{"vhosts":"{\"/\":{\"write\":\".*\",\"read\":\".*\",\"configure\":\".*\"}}"}'
}

vault_has_approle() {
    api POST sys/policies/acl/llm '{"policy":"path \"secret/data/llm\" { capabilities = [\"read\"] }"}' &&
        api POST sys/auth/approle '{"type":"approle"}' &&
        api POST auth/approle/role/llm '{"token_policies":"llm","token_ttl":600}' &&
        api GET auth/approle/role/llm/role-id | sed 's/.*"role_id":"\([^"]*\)".*/\1/' >"$work/role-id" &&
        api POST auth/approle/role/llm/secret-id '{}' | sed 's/.*"secret_id":"\([^"]*\)".*/\1/' >"$work/secret-id" &&
        test -s "$work/role-id" && test -s "$work/secret-id"
}

real=$(command -v bao || command -v vault)
if [ -z "$real" ]; then
    count=$((count + 1))
    echo "ok $count - a real server # SKIP neither bao nor vault is on PATH"
else
    name=$(basename "$real")
    vault_start "$real"
    result $? "$name: a server of our own"
    vault_has_engines >"$work/engines" 2>&1
    result $? "$name: it has engines"
    vault_has_approle >"$work/engines" 2>&1
    result $? "$name: and an AppRole"
    tell_of_sources "$name"
    run "$name" keys "$url" "$work/token" rabbitmq/creds/dev password
    run "$name" unrenewed "$url" "$work/token" ssh/creds/otp key ip=127.0.0.1
    api POST sys/seal >/dev/null
    "$client" fetch "$url" "$work/token" 'vault:secret/llm#key' "$work/secret" >"$work/tap" 2>&1
    grep -q 'is sealed or under maintenance (503): vault operator unseal' "$work/tap"
    result $? "$name: sealed, and that is said"
fi

echo "1..$count"
[ "$failed" -eq 0 ]
