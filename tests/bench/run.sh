#!/bin/bash
# Each figure beside its floor: the least that anything could cost that does that job, measured in the same run, in
# turns. Run it as `make bench` or `make bench BENCH=name`.
#
#   hook             one call of the hook with the daemon up     an empty static program
#   virsh-start      virsh start with hook, daemon, sandbox      the same without any of them
#   delivery         a key delivered and proven, guest idle      one guest-exec of a shell that writes a file
#   first-delivery   agent connected to key proven, booting      the same guest-exec, at the same moment
#   ledger           a transition; all rows; opening             append + fsync; reading the file
#
# Medians. Prints a table and writes bench.json in the build folder. Those with a VM need root.
set -u
here=$(cd "$(dirname "$0")" && pwd -P)
LLMHOOK_BUILD=$(cd "${LLMHOOK_BUILD:-$here/../../build}" && pwd -P) || exit
LLMHOOK_SOURCE=$(cd "$here/../.." && pwd -P)
if [ -z "${LLMHOOK_CACHE:-}" ] && [ -w "$LLMHOOK_SOURCE/.cache" ]; then LLMHOOK_CACHE=$LLMHOOK_SOURCE/.cache; fi
export LLMHOOK_BUILD LLMHOOK_SOURCE LLMHOOK_CACHE=${LLMHOOK_CACHE:-$LLMHOOK_BUILD/.cache}
programs=$LLMHOOK_BUILD/tests/bench
# shellcheck source-path=SCRIPTDIR source=../lab/lab.sh
. "$here/../lab/lab.sh"

all="hook virsh-start delivery first-delivery ledger"
in_lab="virsh-start delivery first-delivery"
ROUNDS=10 BOOTS=5 DELIVERIES=25

die() { echo "bench: $*" >&2; exit 1; }
progress() { echo "bench: $*..." >&2; }

# One figure: a line of $RESULTS.
# usage: figure NAME VALUE FLOOR UNIT
figure() {
    awk -v name="$1" -v value="$2" -v floor="$3" -v unit="$4" 'BEGIN {
        if (!(value > 0 && floor > 0)) { print "bench: " name ": no figure: " value ", " floor >"/dev/stderr"; exit 1 }
        printf "%s %.3f %.3f %.3f %s\n", name, value, floor, value / floor, unit }' >>"$RESULTS" || exit
}

median() { sort -n | awk '{ v[NR] = $1 } END { print NR % 2 ? v[(NR + 1) / 2] : (v[NR / 2] + v[NR / 2 + 1]) / 2 }'; }
# The value of a line "NAME VALUE" on stdin.
named() { awk -v name="$1" '$1 == name { print $2 }'; }

bench_hook() {
    local output
    progress "hook: 1000 calls, in turns with the empty program"
    output=$("$programs/hook-bench" "$LLMHOOK_BUILD/tests/hook/qemu" "$programs/empty") || die "hook-bench failed"
    figure hook "$(named hook_us <<<"$output")" "$(named floor_us <<<"$output")" us
}

bench_ledger() {
    local output
    progress "ledger: 100,000 rows on this disk"
    output=$("$programs/ledger-bench" "$LLMHOOK_BUILD") || die "ledger-bench failed"
    while read -r name value floor unit; do
        figure "$name" "$value" "$floor" "$unit"
    done < <(awk '/ratio/ { print $1, $3, $5, $8 }' <<<"$output")
}

# --- in the lab -------------------------------------------------------------------------------------------------------

# Domains whose names begin with "with" get a key.
lab_begin() {
    lab_hook_install && lab_libvirtd_start && lab_sandbox_start || die "the lab does not start"
    mkdir -p /etc/llmhook
    cat >/etc/llmhook/llmhook.conf <<END
[provider openai]
admin-key = file:$LAB_SANDBOX/admin-key
base-url = $LAB_SANDBOX_URL/v1

[policy with*]
providers = openai
monthly-limit = 25
END
    for name in with without; do
        lab_domain_xml $name --uuid "$(cat /proc/sys/kernel/random/uuid)" | lab_define || die "no domain"
    done
    without=$(virsh domuuid without | head -1)
}

boot() {
    virsh --quiet start "$1" >/dev/null && lab_wait_agent "$1" 60 || die "$1 does not boot"
}

destroy() { virsh --quiet destroy "$1" >/dev/null; }

keys_live() {
    [ "$(lab_sandbox_ctl GET /state | jq .live_keys)" = "$1" ]
}

bench_delivery() {
    local output
    progress "delivery: $DELIVERIES to an idle guest, in turns with the hand-made one"
    boot without
    # The guest has things to do just after its boot.
    sleep 5
    output=$("$programs/agent-bench" qemu:///system "$without" $DELIVERIES 2>/run/complaints) ||
        die "$(cat /run/complaints)"
    destroy without
    figure delivery "$(named value_ms <<<"$output")" "$(named floor_ms <<<"$output")" ms
}

proven_lines() { grep -c '^.*with: the guest has proven .* agent connected' "$LAB_DIR/llmhookd.log"; }
proven_more_than() { [ "$(proven_lines)" -gt "$1" ]; }
last_proven() { sed -n 's/.*with: the guest has proven .* \([0-9]*\) ms after its agent connected.*/\1/p' "$LAB_DIR/llmhookd.log" | tail -1; }

bench_first_delivery() {
    local round before bench
    lab_daemon_start || die "no daemon"
    for ((round = 1; round <= BOOTS; round++)); do
        progress "first-delivery: boot $round of $BOOTS, of either kind"
        "$programs/agent-bench" qemu:///system "$without" --first >/run/first 2>&1 &
        bench=$!
        lab_wait_until 10 grep -q watching /run/first || die "agent-bench does not watch"
        boot without
        wait $bench || die "agent-bench: $(cat /run/first)"
        named first_ms </run/first >>/run/floors
        destroy without
        before=$(proven_lines)
        boot with
        lab_wait_until 60 proven_more_than "$before" || die "no key was proven, see $LAB_DIR/llmhookd.log"
        last_proven >>/run/values
        destroy with
        lab_wait_until 30 keys_live 0 || die "the key is not revoked"
    done
    lab_daemon_stop
    figure first-delivery "$(median </run/values)" "$(median </run/floors)" ms
}

# Milliseconds that `virsh start` takes.
start_ms() {
    local start=${EPOCHREALTIME/[.,]/} took
    virsh --quiet start with >/dev/null || die "virsh start"
    took=$((${EPOCHREALTIME/[.,]/} - start))
    printf '%d.%03d\n' $((took / 1000)) $((took % 1000))
}

# libvirtd looks for hooks once, when it starts, so it does that before each.
bench_virsh_start() {
    local round
    for ((round = 0; round <= ROUNDS; round++)); do
        progress "virsh-start: round $round of $ROUNDS"
        rm -f /etc/libvirt/hooks/qemu
        lab_libvirtd_restart || die "libvirtd"
        start_ms >/run/one
        # The first finds nothing in any cache.
        [ $round = 0 ] || cat /run/one >>/run/starts.floor
        destroy with
        lab_hook_install && lab_libvirtd_restart && lab_daemon_start || die "the lab does not start again"
        start_ms >/run/one
        [ $round = 0 ] || cat /run/one >>/run/starts
        lab_wait_until 20 keys_live 1 || die "no key was minted"
        destroy with
        lab_wait_until 30 keys_live 0 || die "the key is not revoked"
        lab_daemon_stop
    done
    figure virsh-start "$(median </run/starts)" "$(median </run/starts.floor)" ms
}

# --- all of it ---------------------------------------------------------------------------------------------------------

wanted=${1:-all}
case $wanted in
all) wanted=$all ;;
*) case " $all " in *" $wanted "*) ;; *) die "there is no benchmark $wanted, but: $all" ;; esac ;;
esac

if [ "${LAB_INSIDE:-}" = 1 ]; then
    lab_begin
    for name in $in_lab; do
        case " $wanted " in *" $name "*) "bench_${name//-/_}" ;; esac
    done
    exit 0
fi

RESULTS=$(mktemp "$LLMHOOK_BUILD/bench.XXXXXX") || exit
export RESULTS
trap 'rm -f "$RESULTS"' EXIT
left_out=
for name in $wanted; do
    case " $in_lab " in
    *" $name "*)
        reason=$("$LAB_HERE/enter.sh" --check 2>&1) || { left_out="$left_out $name"; why=${reason#lab: }; continue; }
        "$LAB_HERE/enter.sh" bash "$0" "$name" || die "$name failed"
        ;;
    *) "bench_$name" ;;
    esac
done

awk 'BEGIN { printf "%-18s %12s %12s %8s\n", "", "value", "floor", "ratio" }
    { printf "%-18s %9.1f %-2s %9.1f %-2s %8.2f\n", $1, $2, $5, $3, $5, $4 }' "$RESULTS"
awk 'BEGIN { printf "{" }
    { printf "%s\n  \"%s\": {\"value\": %s, \"floor\": %s, \"ratio\": %s, \"unit\": \"%s\"}", (NR > 1 ? "," : ""), $1, $2, $3, $4, $5 }
    END { print "\n}" }' "$RESULTS" >"$LLMHOOK_BUILD/bench.json"
[ -z "$left_out" ] || echo "left out:$left_out ($why)"
