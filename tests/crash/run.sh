#!/bin/bash
# The crash matrix; see run.py, which gets the arguments. Without any: all singles and a sample of pairs.
set -u
here=$(cd "$(dirname "$0")" && pwd -P)
export LLMHOOK_SOURCE=${LLMHOOK_SOURCE:-$(dirname "$(dirname "$here")")}
# shellcheck source-path=SCRIPTDIR source=../lab/lab.sh
. "$here/../lab/lab.sh"
reason=$("$here/../lab/enter.sh" --check 2>&1) || tap_skip_all "${reason#lab: }"
/usr/bin/python3 -c "import libvirt" 2>/dev/null || tap_skip_all "python3-libvirt is not installed"
CRASH_BUILD=$("$here/build.sh") || tap_bail_out "the build with failpoints failed"
LAB_GUEST=$("$here/../lab/guest-tiny.sh") || tap_bail_out "there is no guest"
export CRASH_BUILD LAB_GUEST
mine=
if [ -z "${TMPDIR:-}" ]; then
    TMPDIR=$(mktemp -d /tmp/crash.XXXXXX) mine=yes
fi
export TMPDIR PYTHONDONTWRITEBYTECODE=1
[ $# -gt 0 ] || set -- --pairs 25 --least 400
/usr/bin/python3 "$here/run.py" "$@"
status=$?
if [ $status = 0 ] && [ -n "$mine" ]; then rm -rf "$TMPDIR"; fi
exit $status
