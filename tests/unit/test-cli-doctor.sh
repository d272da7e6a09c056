#!/bin/sh
# `llmhook doctor` on a small system below a directory of its own: in order first, then with one thing broken at a time.
# The daemon's half is a control server with the answers in tests/cli/; so is what stands for libvirtd's socket, since
# only connecting is of interest.
set -u
srcdir=${srcdir:-.}
llmhook=$(realpath "${LLMHOOK:-src/llmhook}")
llmhookd=$(realpath "${LLMHOOKD:-src/llmhookd}")
fixture=$(realpath "${CONTROL_FIXTURE:-tests/unit/control-fixture}")
data=$(cd "$srcdir/tests/cli" && pwd)

if [ "$(id -u)" != 0 ]; then echo '1..0 # SKIP needs root: doctor looks at who owns what'; exit 0; fi
for program in "$llmhook" "$llmhookd" "$fixture"; do
    [ -x "$program" ] || { echo "1..0 # SKIP $program is not built"; exit 0; }
done

work=$(mktemp -d)
chmod 0755 "$work"
root=$work/root
socket=$work/socket
answers=$work/answers
hooks=$root/etc/libvirt/hooks
state=$root/var/lib/llmhook
version=$("$llmhook" --version | sed 's/.* //')
count=0
failures=0
servers=
LC_ALL=C.UTF-8
export LC_ALL
umask 022

cleanup() {
    for server in $servers; do kill "$server" 2>/dev/null; done
    rm -rf "$work"
}
trap cleanup EXIT

start() {
    mkfifo "$work/ready"
    "$fixture" "$1" "$answers" >"$work/ready" &
    servers="$servers $!"
    read -r word <"$work/ready"
    rm "$work/ready"
    [ "$word" = ready ] || { echo "Bail out! the fixture does not start"; exit 99; }
}

# A system that is in order; the hooks are older than "libvirtd".
healthy() {
    rm -rf "${root:?}/etc" "${root:?}/var" "${root:?}/usr"
    mkdir -p "$hooks" "$root/etc/llmhook" "$root/usr/sbin" "$root/var/lib" "$state"
    chmod 0700 "$state"
    mkdir "$state/spool"
    printf '[provider openai]\nadmin-key = file:/etc/llmhook/openai.key\n' >"$root/etc/llmhook/llmhook.conf"
    ln -s "$llmhookd" "$root/usr/sbin/llmhookd"
    printf '#!/bin/sh\n# llmhook-hook-marker\n' >"$hooks/qemu"
    chmod 0755 "$hooks/qemu"
    (umask 077 && head -c 32 /dev/zero >"$state/seal.key" && : >"$state/ledger.sqlite")
    touch -d '1 hour ago' "$hooks"
    sed "s/\"version\": \"[^\"]*\"/\"version\": \"$version\"/" "$data/Doctor.json" >"$answers/Doctor.json"
}

run() {
    $llmhook --socket "$socket" doctor --root "$root" "$@" >"$work/raw" 2>"$work/err" </dev/null
    code=$?
    sed -e "s|$root|ROOT|g" -e "s|$work|WORK|g" -e 's|[^ ]*/install-hook.sh|install-hook.sh|' -e 's/   */ /g' "$work/raw" >"$work/out"
}
ok() { count=$((count + 1)) && echo "ok $count - $1"; }
not_ok() {
    count=$((count + 1)) failures=$((failures + 1))
    echo "not ok $count - $1"
    sed 's/^/# /' "$work/out" "$work/err"
}
# finds NAME CODE LINE: doctor ends with CODE, and LINE is one of its lines.
finds() {
    run
    if [ "$code" = "$2" ] && tr -s ' ' <"$work/out" | grep -qxF -- "$3"; then ok "$1"; else not_ok "$1 (exit code $code; wanted $2, '$3')"; fi
}

mkdir -p "$answers" "$root/run/libvirt"
start "$root/run/libvirt/libvirt-sock"

healthy
finds 'no daemon' 1 'failed daemon llmhookd is not running: nobody answers at WORK/socket; remedy: systemctl start llmhookd; journalctl -u llmhookd says why it ended'
: >"$state/spool/a.json"
touch -d '150 seconds ago' "$state/spool/a.json"
finds 'no daemon, and events that wait for it' 1 'warning spool events of the hook that wait for llmhookd: 1, the oldest came 2 min ago; remedy: systemctl start llmhookd'
printf '[policy dev-*]\nmonthly-limit = lots\n' >"$root/etc/llmhook/llmhook.conf"
run
if [ "$code" = 1 ] && grep -q '^failed configuration ROOT/etc/llmhook/llmhook.conf:2: .*; remedy: correct it (see llmhook.conf(5)), then systemctl start llmhookd$' "$work/out"
then ok 'no daemon, and a mistake in the configuration'; else not_ok 'no daemon, and a mistake in the configuration'; fi
start "$socket"

healthy
run
[ -z "${UPDATE_GOLDEN:-}" ] || cp "$work/out" "$data/doctor.golden"
if [ "$code" = 0 ] && diff -u "$data/doctor.golden" "$work/out" >"$work/err"; then ok 'a host in order'; else not_ok "a host in order (exit code $code)"; fi

cp "$data/Doctor.broken.json" "$answers/Doctor.json"
finds "the daemon's own findings count" 1 'failed provider openai file:/etc/llmhook/openai.key: No such file or directory; remedy: make file:/etc/llmhook/openai.key readable for llmhookd'

sed 's/"version": "[^"]*"/"version": "0.0.9"/' "$data/Doctor.json" >"$answers/Doctor.json"
finds 'a daemon of another version' 0 "warning daemon llmhookd answers at WORK/socket, but is version 0.0.9, not $version; remedy: systemctl restart llmhookd"
sed 's/"version": "[^"]*", //' "$data/Doctor.json" >"$answers/Doctor.json"
finds 'a daemon that does not say its version' 0 "warning daemon llmhookd answers at WORK/socket, but is an earlier version, not $version; remedy: systemctl restart llmhookd"

cp "$data/Doctor.json" "$answers/Doctor.json"
if command -v setpriv >/dev/null && cp "$llmhook" "$work/llmhook" && setpriv --reuid 65534 --clear-groups "$work/llmhook" --version >/dev/null; then
    program=$llmhook
    llmhook="setpriv --reuid 65534 --clear-groups $work/llmhook"
    finds 'not as root' 1 'failed user running as uid 65534, who cannot see most of this; remedy: sudo llmhook doctor'
    finds 'not as root, the daemon' 1 'failed daemon only root may talk to llmhookd (at WORK/socket); remedy: sudo llmhook doctor'
    finds 'not as root, the spool' 1 'warning spool cannot look into ROOT/var/lib/llmhook/spool: Permission denied'
    llmhook=$program
else
    count=$((count + 1)) && echo "ok $count - not as root # SKIP no setpriv(1)"
fi

# --- the configuration
healthy
rm "$root/etc/llmhook/llmhook.conf"
finds 'no configuration' 1 'failed configuration ROOT/etc/llmhook/llmhook.conf: No such file or directory; remedy: write it: see llmhook.conf(5)'
healthy
rm "$root/usr/sbin/llmhookd"
finds 'no daemon to check it' 1 'failed configuration ROOT/etc/llmhook/llmhook.conf is there, but no llmhookd to check it; remedy: install llmhookd'
healthy
printf '[policy dev-*]\nprovders = openai\nmonthly-limit = lots\n' >"$root/etc/llmhook/llmhook.conf"
run
for line in 2 3; do
    if [ "$code" = 1 ] && grep -q "^failed configuration ROOT/etc/llmhook/llmhook.conf:$line: .*; remedy: correct it (see llmhook.conf(5)), then systemctl reload llmhookd$" "$work/out"
    then ok "a mistake in line $line of the configuration"; else not_ok "a mistake in line $line of the configuration"; fi
done
mv "$root/etc/llmhook/llmhook.conf" "$root/other.conf"
run --config /other.conf
if grep -q '^failed configuration ROOT/other.conf:2: ' "$work/out"; then ok '--config'; else not_ok '--config'; fi
# The hook has no configuration: what is moved, it does not find.
healthy
printf '[daemon]\nsocket = /run/other/socket\n' >"$root/etc/llmhook/llmhook.conf"
finds 'a socket that the hook does not know' 0 'warning configuration ROOT/etc/llmhook/llmhook.conf: socket is /run/other/socket, and the hook calls /run/llmhookd/socket alone: no domain that requires a key can start; remedy: see llmhook.conf(5)'
printf '[daemon]\nstate-directory = /var/lib/elsewhere/\n' >"$root/etc/llmhook/llmhook.conf"
finds 'a spool that the hook does not know' 1 'warning configuration ROOT/etc/llmhook/llmhook.conf: state-directory is /var/lib/elsewhere, and the hook knows /var/lib/llmhook alone: what it leaves there while llmhookd does not run is not taken up, nor does it know then who requires a key; remedy: see llmhook.conf(5)'
# A daemon that hangs or dies cannot be made of the real one.
healthy
rm "$root/usr/sbin/llmhookd"
printf '#!/bin/sh\nkill -9 $$\n' >"$root/usr/sbin/llmhookd"
chmod 0755 "$root/usr/sbin/llmhookd"
finds 'a daemon that dies of its configuration' 1 'failed configuration llmhookd does not accept ROOT/etc/llmhook/llmhook.conf; remedy: see llmhook.conf(5)'

# --- the hook
healthy
rm "$hooks/qemu"
finds 'no hook' 1 'failed hook not installed: domains are only noticed once they run; remedy: install-hook.sh install, then systemctl reload libvirtd'
# Where this build's own hook is installed.
libexec=$root$(sed -n 's|.*remedy: \(/[^ ]*\)/install-hook.sh install, .*|\1|p' "$work/raw")
printf '#!/bin/sh\n' >"$hooks/qemu"
finds "only somebody else's hook" 1 "failed hook not installed: domains are only noticed once they run (the qemu hook is somebody else's, and may stay); remedy: install-hook.sh install, then systemctl reload libvirtd"
mkdir "$hooks/qemu.d"
cp "$hooks/qemu" "$hooks/qemu.d/50-llmhook"
finds 'a foreign file in our place' 1 "failed hook ROOT/etc/libvirt/hooks/qemu.d/50-llmhook is not llmhook's; remedy: move it out of the way, then install-hook.sh install"
printf '#!/bin/sh\n# llmhook-hook-marker\n' >"$hooks/qemu.d/50-llmhook"
chmod 0755 "$hooks/qemu.d/50-llmhook"
finds "beside somebody else's hook" 0 "ok hook installed at ROOT/etc/libvirt/hooks/qemu.d/50-llmhook, beside somebody else's qemu hook"
cp -p "$hooks/qemu.d/50-llmhook" "$hooks/qemu"
finds 'twice' 0 'warning hook installed twice, at ROOT/etc/libvirt/hooks/qemu and at ROOT/etc/libvirt/hooks/qemu.d/50-llmhook; remedy: rm ROOT/etc/libvirt/hooks/qemu.d/50-llmhook'
healthy
chmod 0644 "$hooks/qemu"
finds 'not executable' 1 'failed hook ROOT/etc/libvirt/hooks/qemu is not executable, so libvirt does not run it; remedy: chmod 0755 ROOT/etc/libvirt/hooks/qemu'
chmod 0775 "$hooks/qemu"
finds 'writable by a group' 1 'failed hook ROOT/etc/libvirt/hooks/qemu can be changed by others than root (uid 0, mode 0775); remedy: chown root ROOT/etc/libvirt/hooks/qemu && chmod go-w ROOT/etc/libvirt/hooks/qemu'
chmod 0755 "$hooks/qemu"
chown 65534 "$hooks/qemu"
finds "somebody else's property" 1 'failed hook ROOT/etc/libvirt/hooks/qemu can be changed by others than root (uid 65534, mode 0755); remedy: chown root ROOT/etc/libvirt/hooks/qemu && chmod go-w ROOT/etc/libvirt/hooks/qemu'
healthy
chmod 0777 "$hooks"
finds 'in a directory that others write' 1 'failed hook ROOT/etc/libvirt/hooks can be changed by others than root (uid 0, mode 0777); remedy: chown root ROOT/etc/libvirt/hooks && chmod go-w ROOT/etc/libvirt/hooks'
healthy
mkdir -p "$root/var/lib/libvirt"
mv "$hooks" "$root/var/lib/libvirt/hooks"
finds "where NixOS has it" 0 'ok hook installed at ROOT/var/lib/libvirt/hooks/qemu'
# NixOS's libvirt looks nowhere else, and its configuration's service makes the link whenever libvirtd starts.
healthy
: >"$root/etc/NIXOS"
finds 'on NixOS, where its libvirt does not look' 1 'failed hook not installed: domains are only noticed once they run; remedy: systemctl restart libvirtd (domains keep running)'
nixos=$root/var/lib/libvirt/hooks/qemu.d
mkdir -p "$nixos"
ln -s "$work/collected" "$nixos/50-llmhook"
finds 'on NixOS, a link to what is gone' 1 'failed hook not installed: domains are only noticed once they run; remedy: systemctl restart libvirtd (domains keep running)'
cp -p "$hooks/qemu" "$work/stored"
ln -sf "$work/stored" "$nixos/50-llmhook"
touch -d '1 hour ago' "$nixos"
finds 'on NixOS, by its link, and nothing is installed twice' 0 'ok hook installed at ROOT/var/lib/libvirt/hooks/qemu.d/50-llmhook'
touch -d 'now + 1 minute' "$nixos"
finds 'on NixOS, a link that is younger than libvirtd' 0 'warning hook seen ROOT/var/lib/libvirt/hooks/qemu.d has changed since libvirtd started: a first hook is only seen after a restart; remedy: systemctl restart libvirtd (domains keep running)'
mkdir -p "$libexec"
echo '# of another version' >"$libexec/qemu"
finds 'on NixOS, one from before an upgrade' 0 "warning hook ROOT/var/lib/libvirt/hooks/qemu.d/50-llmhook differs from ROOT${libexec#"$root"}/qemu, which belongs to this llmhook; remedy: systemctl restart libvirtd (domains keep running)"
rm "$libexec/qemu" "$nixos/50-llmhook"
printf '#!/bin/sh\n' >"$nixos/50-llmhook"
finds 'on NixOS, a foreign file in our place' 1 "failed hook ROOT/var/lib/libvirt/hooks/qemu.d/50-llmhook is not llmhook's; remedy: move it out of the way, then systemctl restart libvirtd (domains keep running)"
healthy
mkdir -p "$libexec"
cp "$hooks/qemu" "$libexec/qemu"
finds 'the one that belongs to this command' 0 'ok hook installed at ROOT/etc/libvirt/hooks/qemu'
echo '# of another version' >>"$libexec/qemu"
finds 'one from before an upgrade' 0 "warning hook ROOT/etc/libvirt/hooks/qemu differs from ROOT${libexec#"$root"}/qemu, which belongs to this llmhook; remedy: install-hook.sh install"
rm "$libexec/qemu"

# --- libvirtd
healthy
touch -d 'now + 1 minute' "$hooks"
finds 'a hook that is younger than libvirtd' 0 'warning hook seen ROOT/etc/libvirt/hooks has changed since libvirtd started: a first hook is only seen after a reload; remedy: systemctl reload libvirtd (domains keep running), unless that was done since'
healthy
mv "$root/run/libvirt/libvirt-sock" "$root/run/libvirt/virtqemud-sock"
finds 'the modular daemon' 0 'ok libvirtd listens at ROOT/run/libvirt/virtqemud-sock'
mv "$root/run/libvirt/virtqemud-sock" "$root/run/libvirt/away"
finds 'no libvirtd' 1 'failed libvirtd nobody answers at ROOT/run/libvirt/libvirt-sock or virtqemud-sock: No such file or directory; remedy: systemctl start libvirtd (or virtqemud)'
mv "$root/run/libvirt/away" "$root/run/libvirt/libvirt-sock"

# --- the host's shutdown: what stands for systemd says what it is told to, in a few words
healthy
mkdir -p "$root/run/systemd/system" "$root/usr/bin"
cat >"$root/usr/bin/systemctl" <<END
#!/bin/sh
[ "\$1 \$2" = 'show --property=ActiveState,After' ] && cat "$work/\$3"
END
chmod 0755 "$root/usr/bin/systemctl"
# usage: says UNIT STATE [UNIT THAT COMES BEFORE IT...]
says() {
    unit=$1 active=$2
    shift 2
    printf 'After=%s\nActiveState=%s\n' "$*" "$active" >"$work/$unit.service"
}
says libvirtd active network.target
says virtqemud inactive
says libvirt-guests active libvirtd.socket network.target
finds 'VMs that outlive libvirtd' 0 'warning host shutdown libvirt-guests and libvirtd.service stop at the same time: VMs are neither shut down nor saved when the host goes down, and their keys stay alive until it is up again; remedy: systemctl edit libvirt-guests, and there: [Unit], and on the next line After=libvirtd.service'
says libvirt-guests active libvirtd.socket libvirtd.service network.target
finds 'VMs that do not' 0 'ok host shutdown libvirt-guests ends VMs before libvirtd.service and llmhookd stop'
says libvirtd inactive
says virtqemud active
finds 'nor the modular daemon' 0 'warning host shutdown libvirt-guests and virtqemud.service stop at the same time: VMs are neither shut down nor saved when the host goes down, and their keys stay alive until it is up again; remedy: systemctl edit libvirt-guests, and there: [Unit], and on the next line After=virtqemud.service'
says libvirt-guests inactive
finds 'nobody who ends VMs' 0 'warning host shutdown libvirt-guests does not run, which shuts VMs down, or saves them, before libvirtd stops: when the host goes down their keys stay alive until it is up again; remedy: systemctl enable --now libvirt-guests'
rm -r "$root/run/systemd"
run
if [ "$code" = 0 ] && ! grep -q 'host shutdown' "$work/out"; then ok 'a host without systemd is not asked'; else not_ok 'a host without systemd is not asked'; fi

# --- the state
healthy
chmod 0755 "$state"
finds 'a state directory that others read' 1 'failed state ROOT/var/lib/llmhook is not a directory of root'"'"'s with mode 0700 (uid 0, mode 0755); remedy: chown root: ROOT/var/lib/llmhook && chmod 0700 ROOT/var/lib/llmhook'
healthy
chmod 0640 "$state/seal.key"
finds 'a seal key that others read' 1 'failed seal key ROOT/var/lib/llmhook/seal.key is not a file for root alone (uid 0, mode 0640); remedy: chown root: ROOT/var/lib/llmhook/seal.key && chmod 0600 ROOT/var/lib/llmhook/seal.key'
healthy
truncate -s 31 "$state/seal.key"
finds 'half a seal key' 1 'failed seal key ROOT/var/lib/llmhook/seal.key has 31 bytes, not at least 32; remedy: put it back from a backup'
healthy
rm "$state/seal.key"
finds 'a ledger without its seal key' 1 'failed seal key there is a ledger, but no ROOT/var/lib/llmhook/seal.key; remedy: put it back from a backup; without it the secrets in the ledger cannot be read, and llmhookd does not start; where it is lost for good: llmhookd --seal-key-lost'
rm "$state/ledger.sqlite"
finds 'neither, before the first start' 0 'ok seal key none yet: llmhookd makes ROOT/var/lib/llmhook/seal.key when it starts for the first time'
healthy
printf '[elsewhere]\nseal-key = /x\n[daemon]\nseal-key = credential:seal # by systemd\nstate-directory = /var/lib/elsewhere\n' >"$root/etc/llmhook/llmhook.conf"
finds 'a seal key of systemd' 1 'ok seal key credential:seal: passed to llmhookd by systemd'
finds 'a state directory elsewhere' 1 'failed state there is no ROOT/var/lib/elsewhere: llmhookd makes it when it starts; remedy: systemctl start llmhookd'
healthy
: >"$state/spool/a.json"
: >"$state/spool/.b.json"
finds 'an event of just now' 0 'ok spool events of the hook that came just now: 1'
touch -d '150 seconds ago' "$state/spool/a.json"
finds 'an event that nobody takes up' 1 'failed spool events of the hook that llmhookd does not take up: 1, the oldest came 2 min ago; remedy: journalctl -u llmhookd'

echo "1..$count"
[ "$failures" = 0 ]
