#!/bin/bash
# Builds daemon, command and hook with failpoints in $LLMHOOK_BUILD/inner/failpoints, and prints where. What doubt takes
# half a minute to settle takes 1.5 s there, as in the sandbox's stale lists, and what alerts are about is looked at twice a
# second and over after one.
set -eu
# shellcheck source-path=SCRIPTDIR source=../build/common.sh
. "$(dirname "$0")/../build/common.sh"
mkdir -p "$LLMHOOK_BUILD/inner"
exec 9>"$LLMHOOK_BUILD/inner/failpoints.lock"
flock 9 # two tests want it
inner_configure failpoints --enable-failpoints --disable-hardening \
    CPPFLAGS="-DLLMHOOK_SETTLE_MS=1500 -DLLMHOOK_ALERT_SCAN_MS=500 -DLLMHOOK_ALERT_QUIET_MS=1000" >&2
inner_make failpoints -j2 src/llmhookd src/llmhook hooks/qemu >&2
echo "$LLMHOOK_BUILD/inner/failpoints"
