#!/bin/bash
# Debian 13: its compiler has no warnings, its libraries do what ours expect of them, and on its libvirt, which tells
# its hook why a VM ends, every lifecycle goes as on the older one.
# shellcheck disable=SC2317,SC2329 # check calls the functions
set -u
# shellcheck source-path=SCRIPTDIR source=common.sh
. "$(dirname "$0")/common.sh"

# What stands between us and a library, and the lifecycles.
units=(agent config control domain-xml hook-message http json ledger provider)
systems=(test-endings.sh test-lifecycles.sh)

# Runs this script in Debian 13.
enter_trixie() {
    local reason status=0
    reason=$("$here/../lab/enter.sh" --check 2>&1) || skip_all "${reason#*: }"
    LLMHOOK_SOURCE=$(source_tree) || { fail "there is a source to build from"; finish; }
    export LLMHOOK_SOURCE
    "$here/../lab/trixie.sh" bash /llmhook/source/tests/build/test-trixie.sh --inside 2>"$work/complaints" |
        tee "$work/said"
    status=${PIPESTATUS[0]}
    [ "$status" != 77 ] || skip_all "$(sed -n 's/^trixie: //p' "$work/complaints" | head -1)"
    cat "$work/complaints" >&2
    # What ended before its first test has not even said that it failed.
    [ -s "$work/said" ] || { fail "there is a Debian 13 to test in" "$(tail -30 "$work/complaints")"; finish; }
    return "$status"
}

is_trixie() {
    # shellcheck disable=SC1091 # there it is
    (. /etc/os-release && [ "$ID $VERSION_ID" = "debian 13" ])
}

# The reason is there from 10.5 on; this one is more than that.
libvirt_is_new() {
    local version
    version=$(virsh --version) && note "libvirt $version, $(qemu-system-x86_64 --version | head -1), $(gcc --version | head -1)"
    [ "${version%%.*}" -ge 11 ]
}

build_here() {
    if [ ! -e Makefile ] || [ "$LLMHOOK_SOURCE/configure" -nt config.status ]; then
        "$LLMHOOK_SOURCE/configure" --quiet --enable-werror || return
    fi
    make --no-print-directory -s -j2 all tests/sandbox/llmhook-sandbox "${units[@]/#/tests/unit/test-}"
}

if [ "${1:-}" != --inside ]; then
    enter_trixie
    exit
fi
cd "$LLMHOOK_BUILD" || exit
check "this is Debian 13" is_trixie || finish
check "its libvirt is 11 or newer" libvirt_is_new || finish
sed -n '/^# libvirt/p' "$work/output"
check "its compiler builds everything without a warning" build_here || finish
for name in "${units[@]}"; do
    run_item "$LLMHOOK_BUILD" "test-$name" "unit:tests/unit/test-$name"
done
for name in "${systems[@]}"; do
    run_item "$LLMHOOK_BUILD" "$name" "system:$LLMHOOK_SOURCE/tests/system/$name"
done
finish
