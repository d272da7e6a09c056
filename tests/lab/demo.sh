#!/bin/bash
# The main job, shown step by step with times: a real VM on a real libvirtd gets its own key and loses it again. Run it
# as `sudo ./quickstart demo`. The provider is the sandbox in tests/sandbox/, which answers as OpenAI does.
# shellcheck disable=SC2016 # guests expand
set -uo pipefail
# shellcheck source=lab.sh
. "$(dirname "$0")/lab.sh"
lab_enter "$0" "$@"

DOMAIN=agent-1
LLMHOOK=$LLMHOOK_BUILD/src/llmhook
began=$(lab_now_ms)
work=$(mktemp -d /run/demo.XXXXXX)

if [ -t 1 ] && [ -z "${NO_COLOR:-}" ]; then bold=$'\e[1m' dim=$'\e[2m' red=$'\e[31m' green=$'\e[32m' plain=$'\e[0m'
else bold='' dim='' red='' green='' plain=''; fi

say() { printf '%s%7.2f s%s  %s\n' "$dim" "$(seconds)" "$plain" "$*"; }
seconds() { local ms=$(($(lab_now_ms) - began)); echo "$((ms / 1000)).$(printf %03d $((ms % 1000)))"; }
step() { printf '\n%s%s%s\n' "$bold" "$*" "$plain"; }
good() { say "$green+$plain $*"; }
shown() { sed 's/^/             /'; }
run() {
    printf '%11s%s$ %s%s\n' '' "$dim" "$*" "$plain"
    "$@" 2>&1 | sed '/^$/d' | shown
}
stop() {
    printf '%sdemo: %s%s\n' "$red" "$*" "$plain" >&2
    echo "the daemon's last lines:" >&2
    tail -15 "$LAB_DIR/llmhookd.log" >&2
    exit 1
}

# usage: wait_for SECONDS WHAT COMMAND...
wait_for() {
    local limit=$1 what=$2
    shift 2
    lab_wait_until "$limit" "$@" || stop "$what: not within $limit s"
}

state() { lab_sandbox_ctl GET /state | jq -r "$1"; }
keys_live() { [ "$(state .live_keys)" = "$1" ]; }
key_is() { [ "$("$LLMHOOK" --json show $DOMAIN | jq -r '.domain.grants[0].keys[-1].state // "none"')" = "$1" ]; }
delivered() { [ "$("$LLMHOOK" --json show $DOMAIN | jq -r .domain.delivery)" = proven ]; }
archived() { [ "$(state '[.projects[] | select(.name | startswith("llmhook:")) | select(.live)] | length')" = 0 ]; }
nothing_left() { [ "$("$LLMHOOK" --json status | jq '.domains | length')" = 0 ]; }

# The key itself only passes through a file that nobody else can read; what is shown is its hash.
fetch_key() {
    (umask 077; lab_guest_login $DOMAIN alice 'printf %s "$OPENAI_API_KEY"' >"$work/key")
    [ -s "$work/key" ] || stop "a login shell in the guest has no OPENAI_API_KEY"
    sha256sum <"$work/key" | cut -c1-16
}

# Asks /v1/models with the key that the guest had, as the guest would; prints the HTTP status.
models() {
    { printf 'header = "Authorization: Bearer '; cat "$work/key"; echo '"'; } |
        curl --silent --config - --output /dev/null --write-out '%{http_code}' "$LAB_SANDBOX_URL/v1/models"
}

step "A private libvirtd with llmhook's hook, a sandbox provider, llmhookd"
"$LLMHOOK_SOURCE/hooks/install-hook.sh" --source "$LLMHOOK_BUILD/hooks/qemu" install 2>&1 | shown
lab_libvirtd_start || stop "no libvirtd"
say "libvirtd $(libvirtd --version | sed 's/.* //') in namespaces of its own"
lab_sandbox_start || stop "no sandbox"
say "the sandbox provider at $LAB_SANDBOX_URL"
install -d -m 0755 /etc/llmhook
cat >/etc/llmhook/llmhook.conf <<END
[daemon]
undefine-grace = 2s

[provider openai]
admin-key = file:$LAB_SANDBOX/admin-key
base-url = $LAB_SANDBOX_URL/v1

[policy agent-*]
providers = openai
monthly-limit = 25
END
lab_daemon_start || stop "no daemon"
good "llmhookd listens; its configuration:"
shown </etc/llmhook/llmhook.conf
lab_domain_xml $DOMAIN | lab_define || stop "the domain cannot be defined"

step "virsh start"
run virsh start $DOMAIN
wait_for 20 "the key is minted" keys_live 1
good "minted at the provider, while the guest boots: $(state '[.projects[] | select(.live and (.default | not))][0] |
    "project \(.id), limit \(.spend_limit.cents / 100) USD a month, service account \(.service_accounts[0].id)"')"
wait_for 60 "the guest agent connects" lab_agent_connected $DOMAIN
good "the guest agent has connected"
wait_for 30 "the key is delivered" delivered
good "delivered and read back from the guest"
run "$LLMHOOK" status

step "In the guest"
hash=$(fetch_key)
good "a login shell of alice has OPENAI_API_KEY, SHA-256 $hash..."
answer=$(models)
[ "$answer" = 200 ] || stop "/v1/models answered $answer, not 200"
good "/v1/models with that key: $answer"

step "A reboot of the guest, which empties its /run"
lab_guest_reboot $DOMAIN 60 || stop "the guest does not reboot"
say "the guest has rebooted"
wait_for 60 "the guest agent connects" lab_agent_connected $DOMAIN
wait_for 30 "the key is delivered again" delivered
again=$(fetch_key)
[ "$again" = "$hash" ] || stop "another key after the reboot: $again"
good "the same key again, SHA-256 $again..., $(state '[.projects[].service_accounts[]] | length') ever minted"

step "virsh destroy"
run virsh destroy $DOMAIN
wait_for 10 "the key is revoked" keys_live 0
good "revoked at the provider"
answer=$(models)
[ "$answer" = 401 ] || stop "/v1/models answered $answer, not 401"
good "/v1/models with that key: $answer"

step "virsh undefine"
run virsh undefine $DOMAIN
wait_for 20 "the project is archived" archived
good "its project is archived"
wait_for 10 "the ledger lets go" nothing_left

step "llmhook audit"
"$LLMHOOK" audit 2>&1 | shown
[ "${PIPESTATUS[0]}" = 0 ] || stop "the audit found drift"
good "clean: no key, no project, no row is left"
rm -rf "$work"
printf '\n%sThe whole story took %s s.%s Nothing of it is left on this host.\n' "$bold" "$(seconds)" "$plain"
