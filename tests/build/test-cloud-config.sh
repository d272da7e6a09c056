#!/bin/bash
# What `llmhook guest cloud-config` prints: valid for cloud-init, the files in it those of qemu-guest-agent/guest/, and
# no key. Needs Debian's package of cloud-init, which is unpacked below the cache and not installed: installed, it would
# set this machine up when that boots.
set -u
# shellcheck source-path=SCRIPTDIR source=common.sh
. "$(dirname "$0")/common.sh"
cache=${LLMHOOK_CACHE:-$LLMHOOK_SOURCE/.cache}/cloud-init

unpack() (
    set -e
    [ ! -d "$cache/unpacked" ] || exit 0
    rm -rf "$cache"
    mkdir -p "$cache/new"
    cd "$cache"
    apt-get -q -o APT::Sandbox::User= download cloud-init >&2
    dpkg-deb -x cloud-init_*.deb new
    mv new unpacked
)
# With Debian's own Python, for which the libraries are.
cloud_init() {
    PYTHONPATH=$cache/unpacked/usr/lib/python3/dist-packages PYTHONDONTWRITEBYTECODE=1 HOME=$work \
        /usr/bin/python3 -W ignore -m cloudinit.cmd.main "$@"
}

command -v apt-get >/dev/null && command -v dpkg-deb >/dev/null || skip_all "needs Debian's apt-get"
unpack || skip_all "Debian's package cloud-init cannot be had"
cloud_init --version >"$work/version" 2>&1 || skip_all "cloud-init does not run here: $(tail -1 "$work/version")"
note "$(cat "$work/version")"

text=$work/user-data
"$LLMHOOK_BUILD/src/llmhook" guest cloud-config >"$text"
check "cloud-init schema has nothing against it" cloud_init schema --config-file "$text"
sed 's/permissions: "0644"/permissions: 420/' "$text" >"$work/wrong"
cloud_init schema --config-file "$work/wrong" >"$work/said" 2>&1
check "it would have" grep -q "write_files.0.permissions: 420 is not of type 'string'" "$work/said"

# PATH of the guest, file of ours or made of them
same() {
    local file=$2
    case $file in /*) ;; *) file=$LLMHOOK_SOURCE/qemu-guest-agent/guest/$file ;; esac
    /usr/bin/python3 - "$text" "$1" "$file" <<'PYTHON'
import sys, yaml
files = {file["path"]: file for file in yaml.safe_load(open(sys.argv[1]))["write_files"]}
assert files[sys.argv[2]]["content"] == open(sys.argv[3]).read(), "the text differs"
assert files[sys.argv[2]]["permissions"] == "0644", "the mode is another"
PYTHON
}
check "shells get the delivery's own text" same /etc/profile.d/llmhook.sh hook.sh
check "the drop box is made" same /etc/tmpfiles.d/llmhook-box.conf systemd/llmhook-box.conf
check "somebody looks after it" same /usr/local/lib/llmhook/box.sh box.sh
for name in units deliver probe withdraw clean; do
    sh "$LLMHOOK_SOURCE/qemu-guest-agent/guest/embed.sh" "$LLMHOOK_SOURCE/qemu-guest-agent/guest" $name >"$work/$name.sh"
    check "with $name.sh as the agent would run it" same "/usr/local/lib/llmhook/$name.sh" "$work/$name.sh"
done
for unit in llmhook-units.path llmhook-units.service llmhook-box.path llmhook-box.service; do
    check "$unit is there" same "/etc/systemd/system/$unit" "systemd/$unit"
done
silent "no number of sets within a time ends one" sh -c "cd '$LLMHOOK_SOURCE/qemu-guest-agent/guest/systemd' &&
    grep -L '^StartLimitIntervalSec=0$' llmhook-units.service llmhook-box.service"
check "the list of units is there" same /etc/llmhook/units systemd/units
silent "there is nothing like a key in it" grep -nE 'sk-|[A-Za-z0-9+]{40}' "$text"
if command -v systemd-analyze >/dev/null; then
    silent "systemd understands the units" sh -c "cd '$LLMHOOK_SOURCE/qemu-guest-agent/guest/systemd' &&
        systemd-analyze verify --man=no ./llmhook-units.path ./llmhook-units.service ./llmhook-box.path \
            ./llmhook-box.service 2>&1 | grep llmhook"
fi
finish
