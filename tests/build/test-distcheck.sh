#!/bin/bash
# An ordinary user makes everything from the release's archive: `make distcheck`, which builds beside a source that
# cannot be written to, runs the unit tests, installs, removes, and finds nothing left. With warnings as errors.
set -u
# shellcheck source-path=SCRIPTDIR source=common.sh
. "$(dirname "$0")/common.sh"

# As somebody who owns nothing, if we are root.
as_user=()
if [ "$(id -u)" = 0 ]; then
    command -v setpriv >/dev/null || skip_all "root, and no setpriv to become somebody else"
    user=$(id -u nobody 2>/dev/null) || user=65534
    as_user=(setpriv "--reuid=$user" "--regid=$user" --clear-groups --no-new-privs)
fi
in_archive() {
    cd "$folder" && ${as_user[@]+"${as_user[@]}"} env -u LLMHOOK_BUILD -u LLMHOOK_SOURCE -u LLMHOOK_CACHE -u srcdir \
        -u HOOK_BUILD -u HOOK_TEST_BUILD -u LLMHOOK_SANDBOX -u npm_config_cache -u XDG_CACHE_HOME \
        HOME="$work/u" TMPDIR="$work/u" LLMHOOK_INNER=1 "$@"
}

release=$(make_variable "$LLMHOOK_BUILD" distdir)
archive=$release.tar.xz
folder=$work/u/$release
# What `make dist` does, but with nothing left in the build folder, in which others are at work.
make_archive() {
    make -C "$LLMHOOK_BUILD" --no-print-directory -s distdir distdir="$work/$release" &&
        tar -C "$work" -cJf "$work/$archive" "$release" && chmod -R u+w "$work/$release" && rm -rf "${work:?}/$release"
}
unpack() {
    mkdir "$work/u" && tar -C "$work/u" --no-same-owner -xf "$work/$archive" || return
    [ ${#as_user[@]} = 0 ] || chown -R "$user:$user" "$work/u"
}
check "make dist" make_archive || finish
check "the archive unpacks" unpack || finish

# What the next test needs may be missing from the archive, and nobody would miss it here.
forgotten() {
    git -c safe.directory='*' -C "$LLMHOOK_SOURCE" ls-files | grep -vE '(^|/)\.git' | sort >"$work/tracked"
    tar -tf "$work/$archive" | sed "s|^$release/||" | grep -v '/$' | sort | comm -23 "$work/tracked" -
}
if [ -e "$LLMHOOK_SOURCE/.git" ] && command -v git >/dev/null; then
    silent "every file of the repository is in it" forgotten
else
    skip "every file of the repository is in it" "the source is no git checkout"
fi
check "configure, as an ordinary user" in_archive ./configure --quiet || finish
check "make distcheck" in_archive make --no-print-directory -s distcheck DISTCHECK_CONFIGURE_FLAGS=--enable-werror
cp "$work/output" "$LLMHOOK_BUILD/tests/log/distcheck.log"
# Or a broken `make check` would pass for one.
check "it ran the unit tests" grep -E '^[1-9][0-9]* passed, 0 failed, ' "$LLMHOOK_BUILD/tests/log/distcheck.log"
check "the archive is ready" grep -q "archives ready for distribution" "$LLMHOOK_BUILD/tests/log/distcheck.log"
finish
