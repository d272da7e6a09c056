#!/bin/bash
# Builds llmhook in another Debian, with its compiler's warnings as errors and for the places that the README has it installed
# to. Run by debian.sh; two machines at once wait for each other, since they have one build.
#
# usage: debian-build.sh [TARGET...]      besides all, and the sandbox
set -eu
cd "$LLMHOOK_BUILD"
exec 9>lock
flock 9
if [ ! -e Makefile ] || [ "$LLMHOOK_SOURCE/configure" -nt config.status ]; then
    "$LLMHOOK_SOURCE/configure" --quiet --enable-werror --prefix=/usr --sysconfdir=/etc --localstatedir=/var
fi
make --no-print-directory -s -j2 all tests/sandbox/llmhook-sandbox "$@"
