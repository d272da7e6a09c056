#!/bin/sh
# Makes ./configure out of configure.ac. Needed after a clone, not for a release's tarball.
set -e
cd "$(dirname "$0")"
exec autoreconf --install --force --warnings=all "$@"
