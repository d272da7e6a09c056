# shellcheck shell=sh
# For shell tests that need a sandbox: sourced, not run.
#
#   sandbox_start [OPTION...]   starts one with its own admin key in a private directory; fails after 10 s
#   sandbox_stop                ends it; its exit status
#   SANDBOX_URL                 http://127.0.0.1:PORT, without the /v1
#   SANDBOX_CONTROL             the control socket
#   SANDBOX_ADMIN_KEY_FILE      the admin key, mode 0600
#   SANDBOX_SECOND_ADMIN_KEY_FILE   that of a second organisation
#   SANDBOX_DIR                 all of it, and the sandbox's stdout and stderr as `out` and `err`
#
# The program is $LLMHOOK_SANDBOX, or tests/sandbox/llmhook-sandbox below the build folder (the
# working directory of `make check`). Keys go to curl in header files, never in arguments.

: "${LLMHOOK_SANDBOX:=$PWD/tests/sandbox/llmhook-sandbox}"
SANDBOX_DIR='' SANDBOX_PID=''

sandbox_start() {
    SANDBOX_DIR=$(mktemp -d "${TMPDIR:-/tmp}/llmhook-sandbox.XXXXXX") || return 1
    SANDBOX_CONTROL=$SANDBOX_DIR/control
    SANDBOX_ADMIN_KEY_FILE=$SANDBOX_DIR/admin-key
    SANDBOX_SECOND_ADMIN_KEY_FILE=$SANDBOX_DIR/second-admin-key
    (
        umask 077
        for sandbox_name in admin second-admin; do
            printf 'sk-admin-%s\n' "$(od -An -N24 -tx1 /dev/urandom | tr -d ' \n')" >"$SANDBOX_DIR/$sandbox_name-key"
            printf 'Authorization: Bearer %s\n' "$(cat "$SANDBOX_DIR/$sandbox_name-key")" >"$SANDBOX_DIR/$sandbox_name-header"
        done
    )
    "$LLMHOOK_SANDBOX" --listen 127.0.0.1:0 --control "$SANDBOX_CONTROL" \
        --admin-key-file "$SANDBOX_ADMIN_KEY_FILE" \
        --second-admin-key-file "$SANDBOX_SECOND_ADMIN_KEY_FILE" --port-file "$SANDBOX_DIR/port" "$@" \
        >"$SANDBOX_DIR/out" 2>"$SANDBOX_DIR/err" &
    SANDBOX_PID=$!
    sandbox_await 10 grep -q '^ready$' "$SANDBOX_DIR/out" || {
        echo "# the sandbox did not start: $(cat "$SANDBOX_DIR/err")" >&2
        return 1
    }
    SANDBOX_URL=http://127.0.0.1:$(cat "$SANDBOX_DIR/port")
    export SANDBOX_URL SANDBOX_CONTROL SANDBOX_ADMIN_KEY_FILE SANDBOX_SECOND_ADMIN_KEY_FILE
}

sandbox_stop() {
    [ -n "$SANDBOX_PID" ] || return 0
    kill -TERM "$SANDBOX_PID" 2>/dev/null
    wait "$SANDBOX_PID"
}

# sandbox_await SECONDS COMMAND...: until the command succeeds; its failure when the time is over.
sandbox_await() {
    sandbox_tries=$(($1 * 50))
    shift
    while ! "$@" >/dev/null 2>&1; do
        sandbox_tries=$((sandbox_tries - 1))
        [ "$sandbox_tries" -gt 0 ] || return 1
        sleep 0.02
    done
}

# sandbox_control PATH [CURL OPTION...]
sandbox_control() {
    sandbox_path=$1
    shift
    curl -sS --noproxy '*' --max-time 20 --unix-socket "$SANDBOX_CONTROL" "$@" "http://sandbox$sandbox_path"
}

# sandbox_admin METHOD PATH [BODY] [CURL OPTION...]: the body of the answer; $SANDBOX_DIR/status has the status.
sandbox_admin() {
    sandbox_request "$SANDBOX_DIR/admin-header" "$@"
}

# sandbox_request HEADER_FILE METHOD PATH [BODY] [CURL OPTION...]
sandbox_request() {
    sandbox_header=$1 sandbox_method=$2 sandbox_path=$3 sandbox_body=${4-}
    shift "$(($# > 3 ? 4 : 3))"
    [ -z "$sandbox_body" ] || set -- -H 'Content-Type: application/json' --data-binary "$sandbox_body" "$@"
    : >"$SANDBOX_DIR/status"
    curl -sS -g --noproxy '*' --max-time 20 -H "@$sandbox_header" -X "$sandbox_method" \
        -w '%{stderr}%{http_code}\n' "$@" "$SANDBOX_URL$sandbox_path" 2>"$SANDBOX_DIR/status"
}

sandbox_status() {
    tail -n 1 "$SANDBOX_DIR/status"
}

# sandbox_id: the first "id" of the JSON on stdin.
sandbox_id() {
    grep -o '"id":"[^"]*"' | head -n 1 | cut -d '"' -f 4
}

# sandbox_key_header FILE: makes of the JSON on stdin a header file with the key it shows.
sandbox_key_header() {
    (
        umask 077
        sed -n 's/.*"value":"\([^"]*\)".*/Authorization: Bearer \1/p' >"$1"
    )
}
