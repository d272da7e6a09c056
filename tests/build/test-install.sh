#!/bin/bash
# `make install`: every file in its place and mode and no other; what is installed says who it is; its manual pages and
# its unit are right; `make uninstall` takes all of it away.
set -u
# shellcheck source-path=SCRIPTDIR source=common.sh
. "$(dirname "$0")/common.sh"

dest=$work/dest
in_build() { make -C "$LLMHOOK_BUILD" --no-print-directory -s "$@"; }
path() { make_variable "$LLMHOOK_BUILD" "$1"; }
# An exit code that is not 0, and its first line on stderr.
# usage: refuses CODE TEXT COMMAND...
refuses() {
    local code=$1 text=$2 status=0 said
    shift 2
    said=$("$@" 2>&1 >/dev/null) || status=$?
    [ "$status" = "$code" ] && grep -qF -- "$text" <<<"$said" ||
        { echo "exit $status, said: $said"; return 1; }
}

bindir=$(path bindir) sbindir=$(path sbindir) libexecdir=$(path pkglibexecdir) mandir=$(path mandir)
unitdir=$(path systemdsystemunitdir) docdir=$(path docdir) exampledir=$(path exampledir)
completiondir=$(path bashcompletiondir) version=$(path VERSION)

# As a careful packager's shell may be: the files are the same.
umask 077
check "make install DESTDIR=" in_build install DESTDIR="$dest" || finish
umask 022

sort >"$work/wanted" <<END
755 $bindir/llmhook
755 $sbindir/llmhookd
755 $libexecdir/qemu
755 $libexecdir/install-hook.sh
644 $mandir/man1/llmhook-run.1
644 $mandir/man1/llmhook.1
644 $mandir/man5/llmhook.conf.5
644 $mandir/man7/llmhook-provider.7
644 $mandir/man8/llmhookd.8
644 $unitdir/llmhookd.service
644 $docdir/ARCHITECTURE.md
644 $docdir/CONTRIBUTING.md
644 $docdir/README.md
644 $docdir/SECURITY.md
644 $exampledir/llmhook.conf
755 $exampledir/provider-file.sh
755 $exampledir/provider-xai.py
644 $completiondir/llmhook
END
find "$dest" ! -type d -printf '%m /%P\n' | sort >"$work/got"
silent "every file is in its place and mode, and no other" diff "$work/wanted" "$work/got"
silent "no file is empty" find "$dest" -type f -empty
silent "no file can be written by others" find "$dest" ! -type l -perm /022

hook=$dest$libexecdir/qemu daemon=$dest$sbindir/llmhookd command=$dest$bindir/llmhook
check "llmhook --version" test "$("$command" --version)" = "llmhook $version"
check "llmhookd --version" test "$("$daemon" --version)" = "llmhookd $version"
check "the hook's --version" test "$("$hook" --version)" = "llmhook $version (llmhook-hook-marker)"
for program in "$command" "$daemon"; do
    "$program" --help >"$work/help" 2>"$work/complaints"
    check "${program##*/} --help" test $? = 0 -a -s "$work/help" -a ! -s "$work/complaints"
    check "it is a usage" grep -qi "^usage: ${program##*/} " "$work/help"
    # An option that nobody has heard of is no reason to start.
    check "${program##*/} refuses an unknown option" refuses 64 "--no-such-option" "$program" --no-such-option
done

# All places have been put in, and they are those of this build.
unit=$dest$unitdir/llmhookd.service
check "the unit starts what is installed" grep -qx "ExecStart=$sbindir/llmhookd" "$unit"
# Where memory cannot be locked, libsodium goes on without, and nothing else shows it.
check "its secrets have room in locked memory" grep -qx "LimitMEMLOCK=64M" "$unit"
silent "libvirt, which comes after it, does not wait for a network" grep -n network-online "$unit"
quietly() { "$@" >"$work/hook.log" 2>&1; }
check "make hook" quietly make -C "$LLMHOOK_BUILD" hook DESTDIR="$work/place"
check "puts it where libvirt looks" test -x "$work/place/etc/libvirt/hooks/qemu"
check "make unhook" quietly make -C "$LLMHOOK_BUILD" unhook DESTDIR="$work/place"
check "takes it away" test ! -e "$work/place/etc/libvirt/hooks/qemu"
silent "nothing is left to be put in" grep -rnE '@[a-zA-Z_]+@' "$dest" --include='*.service' --include='*.conf' --include='*.[158]'
silent "no place of the build is in it" grep -rlF -e "$LLMHOOK_BUILD" -e "$dest" "$dest" --include='*.service' --include='*.conf' --include='*.[158]' --include='*.sh'

if command -v mandoc >/dev/null; then
    for page in "$dest$mandir"/man?/*; do
        silent "mandoc has nothing to say about ${page##*/}" mandoc -T lint -W warning "$page"
    done
else
    skip "the manual pages" "mandoc is not installed"
fi
# What a program takes, its page names.
options() { "$1" --help 2>&1 | grep -oE -- '(^|[ ,[])--[a-z][a-z-]+' | grep -oE -- '--[a-z-]+' | sort -u; }
unnamed_options() {
    local option
    for option in $(options "$1"); do
        # A page writes a dash as \-.
        sed 's/\\-/-/g; s/\\&//g' "$2" | grep -qE -- "(^|[^a-z-])(-?Fl -?|--|-)${option#--}([^a-z-]|\$)" || echo "$option is not in ${2##*/}"
    done
}
silent "llmhook.1 names every option" unnamed_options "$command" "$dest$mandir/man1/llmhook.1"
silent "llmhookd.8 names every option" unnamed_options "$daemon" "$dest$mandir/man8/llmhookd.8"

check "the example is a configuration that llmhookd takes" "$daemon" --check --config "$dest$exampledir/llmhook.conf"

# The hook is put beside what libvirt has only when asked to: it is not a file of ours alone.
check "make hook DESTDIR=" in_build hook DESTDIR="$dest"
check "it is libvirt's hook" cmp "$hook" "$dest/etc/libvirt/hooks/qemu"
rm -f "$dest/etc/libvirt/hooks/qemu"

check "make uninstall DESTDIR=" in_build uninstall DESTDIR="$dest"
silent "nothing is left" find "$dest" ! -type d
silent "nor an empty folder that was its own" find "$dest" -name '*llmhook*'
finish
