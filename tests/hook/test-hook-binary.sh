#!/bin/sh
# The hook as it is installed: what it links, what it contains, and what needs no daemon to be tried. Prints TAP.
# HOOK_BUILD: the hook as it is installed. HOOK_INSTRUMENTED: not empty for a build with sanitizers or coverage.
set -u

hook=${HOOK_BUILD:-hooks/qemu}
work=$(mktemp -d) || exit 99
trap 'rm -rf "$work"' EXIT
trap 'exit 99' HUP INT TERM
count=0

ok() {
    count=$((count + 1))
    name=$1
    shift
    if "$@"; then
        echo "ok $count - $name"
    else
        echo "not ok $count - $name"
    fi
}

skip() {
    count=$((count + 1))
    echo "ok $count - $1 # SKIP $2"
}

# libc and the loader at most; a static program has neither.
links_libc_only() {
    libraries=$(ldd "$hook" 2>&1)
    case $libraries in
    *'statically linked'* | *'not a dynamic executable'*) return 0 ;;
    esac
    others=$(printf '%s\n' "$libraries" | grep -Ev '(linux-vdso|libc|ld-linux[^/]*|ld-musl[^/]*|/ld64)\.so' || :)
    [ -z "$others" ] || printf '# also links: %s\n' "$others"
    [ -z "$others" ]
}

contains() {
    LC_ALL=C grep -aq "$1" "$hook"
}

lacks() {
    ! contains "$1"
}

says_version() {
    said=$("$hook" --version 2>&1) || return 1
    case $said in
    'llmhook '[0-9]*' (llmhook-hook-marker)') return 0 ;;
    esac
    printf '# said: %s\n' "$said"
    return 1
}

# Runs the hook at `prepare` of a domain that requires a key, as a user who is not root.
leaves_session_alone() {
    xml="<domain><metadata><vm xmlns='urn:llmhook:vm:1' required='yes'/></metadata></domain>"
    printf '%s' "$xml" | {
        $1 "$work/qemu" dev-1 prepare begin - >"$work/out" 2>&1
        echo $? >"$work/status"
        cat >"$work/rest"
    }
    [ "$(cat "$work/status")" -eq 0 ] && [ ! -s "$work/out" ] && [ "$(cat "$work/rest")" = "$xml" ]
}

if [ -n "${HOOK_INSTRUMENTED:-}" ]; then
    skip 'links libc at most' 'an instrumented build links its runtime'
else
    ok 'links libc at most' links_libc_only
fi
ok 'says its version' says_version
ok 'can be told from a foreign hook' contains 'llmhook-hook-marker'
ok 'no variable of the test build' lacks 'LLMHOOK_TEST'

chmod 0755 "$work"
cp "$hook" "$work/qemu"
if [ "$(id -u)" -ne 0 ]; then
    ok 'session: exits 0 at once and leaves its input unread' leaves_session_alone ''
elif command -v setpriv >/dev/null 2>&1; then
    ok 'session: exits 0 at once and leaves its input unread' leaves_session_alone \
        'setpriv --reuid=65534 --regid=65534 --clear-groups'
else
    skip 'session: exits 0 at once and leaves its input unread' 'root, and no setpriv to become somebody else'
fi

echo "1..$count"
