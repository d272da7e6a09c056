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

if [ "${1:-}" != --inside ]; then
    enter_debian tests/build/test-trixie.sh
    exit
fi
cd "$LLMHOOK_BUILD" || exit
check "this is Debian 13" is_trixie || finish
check "its libvirt is 11 or newer" libvirt_is_new || finish
sed -n '/^# libvirt/p' "$work/output"
check "its compiler builds everything without a warning" bash "$here/../lab/debian-build.sh" "${units[@]/#/tests/unit/test-}" || finish
for name in "${units[@]}"; do
    run_item "$LLMHOOK_BUILD" "test-$name" "unit:tests/unit/test-$name"
done
for name in "${systems[@]}"; do
    run_item "$LLMHOOK_BUILD" "$name" "system:$LLMHOOK_SOURCE/tests/system/$name"
done
finish
