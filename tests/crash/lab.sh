#!/bin/bash
# A lab for crash cases: takes them, one a line, from standard input, and answers on standard output. run.py starts it.
set -eu
# shellcheck source-path=SCRIPTDIR source=../lab/lab.sh
. "$(dirname "$0")/../lab/lab.sh"
lab_enter "$0" "$@"
mkdir -p /etc/libvirt/hooks
ln -s "$CRASH_BUILD/hooks/qemu" /etc/libvirt/hooks/qemu # it looks once whether there is one
lab_libvirtd_start >&2
exec /usr/bin/python3 "$LAB_HERE/../crash/case.py"
