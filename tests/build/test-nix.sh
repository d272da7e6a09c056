#!/bin/bash
# The Nix files: all are parsed; with NIXPKGS_LIB=DIR, the `lib` folder of a nixpkgs, the modules are evaluated as well:
# what they make of a configuration, that each option has a type and is described, that wrong values are refused. What
# needs a Nix that builds (the package, the VM test of flake.nix) is not run here.
set -u
# shellcheck source-path=SCRIPTDIR source=common.sh
. "$(dirname "$0")/common.sh"

command -v nix-instantiate >/dev/null || skip_all "nix-instantiate is not installed (Debian: nix-bin)"
guest=$LLMHOOK_SOURCE/qemu-guest-agent/guest
# Nothing of this machine: no store, no configuration.
nix() { NIX_CONF_DIR=$work NIX_PATH='' HOME=$work nix-instantiate --store dummy:// "$@"; }

files=$(cd "$LLMHOOK_SOURCE" && find . \( -name .git -o -name .cache -o -path ./build -o -name inner \) -prune -o -name '*.nix' -print | sort)
check "there are Nix files" test "$(wc -l <<<"$files")" -ge 7
for file in $files; do
    check "${file#./} is Nix" nix --parse "$LLMHOOK_SOURCE/$file"
done

if [ -z "${NIXPKGS_LIB:-}" ]; then
    skip "the modules are evaluated" "NIXPKGS_LIB is not given: the lib folder of a nixpkgs"
    finish
fi

# usage: evaluate ATTRIBUTE [guest|host NIX]...; JSON
evaluate() {
    local attribute=$1 arguments=()
    shift
    while [ $# -gt 0 ]; do
        arguments+=(--arg "$1" "$2")
        shift 2
    done
    nix --eval --strict --json "$LLMHOOK_SOURCE/tests/build/nix/evaluate.nix" \
        --arg lib "import $NIXPKGS_LIB" -A "$attribute" ${arguments[@]+"${arguments[@]}"}
}
# usage: is NAME GOT WANTED
is() {
    if [ "$2" = "$3" ]; then pass "$1"; else fail "$1" "got:    $2
wanted: $3"; fi
}
# What jq makes of it.
# usage: gives NAME FILTER WANTED ATTRIBUTE [guest|host NIX]...
gives() {
    local name=$1 filter=$2 wanted=$3 got
    shift 3
    got=$(evaluate "$@" 2>"$work/errors" | jq -c "$filter") || true
    is "$name" "${got:-$(tail -5 "$work/errors")}" "$wanted"
}
# Refused, in these words.
# usage: refused NAME WORDS [guest|host NIX]...
refused() {
    local name=$1 words=$2
    shift 2
    if evaluate config "$@" >"$work/output" 2>&1; then
        fail "$name" "accepted"
    elif tr '\n' ' ' <"$work/output" | grep -qF -- "$words"; then
        pass "$name"
    else
        fail "$name" "$(tail -20 "$work/output")"
    fi
}

# --- options ---------------------------------------------------------------------------------------------------------------

gives "there are options" 'length >= 15' true options
gives "each has a type" . '[]' untyped
gives "each is described" . '[]' undescribed

# --- the guest -------------------------------------------------------------------------------------------------------------

gives "switched off it changes nothing" '[.services.qemuGuest.enable, .environment.etc, .systemd.services]' \
    '[false,{},{}]' config
gives "it turns the agent on" .services.qemuGuest.enable true config guest '{ enable = true; }'
gives "which starts at a switch, where there is its channel" \
    '.systemd.services["qemu-guest-agent"] | [.wantedBy, .unitConfig.ConditionPathExists]' \
    '[["multi-user.target"],"/dev/virtio-ports/org.qemu.guest_agent.0"]' config guest '{ enable = true; }'
gives "it tells the delivery that shells are hooked, and hooks the managers of logins" '.environment.etc | keys' \
    '["llmhook/native","systemd/user-environment-generators/20-llmhook"]' config guest '{ enable = true; }'
gives "or does not" '.environment.etc | keys' '["llmhook/native"]' config guest '{ enable = true; userServices = false; }'
script=$(evaluate config guest '{ enable = true; }' |
    jq -r '.environment.etc["systemd/user-environment-generators/20-llmhook"].source')
is "by the delivery's own text" "$script" "20-llmhook: $(cat "$guest/user-environment")"
script=$(evaluate config guest '{ enable = true; }' | jq -r '.environment.systemPackages[] | .name, .text')
is "llmhook-run is there" "$script" "llmhook-run
$(cat "$guest/llmhook-run")"
profile=$(evaluate config guest '{ enable = true; }' | jq -r .programs.bash.shellInit)
is "bash runs the delivery's own text" "$profile" "$(cat "$guest/hook.sh")"
gives "so do its interactive children, and zsh" \
    '.programs | [.bash.interactiveShellInit == .bash.shellInit, .zsh.shellInit == .bash.shellInit]' '[true,true]' \
    config guest '{ enable = true; }'
profile=$(evaluate config guest '{ enable = true; }' | jq -r .programs.fish.shellInit)
is "fish has its own" "$profile" "$(cat "$guest/hook.fish")"
gives "a shell that is not named is left alone" '.programs | [.bash.shellInit, .zsh.shellInit != "", .fish.shellInit]' '["",true,""]' \
    config guest '{ enable = true; shells = [ "zsh" ]; }'
gives "a service reads all keys" '.systemd.services.agent.serviceConfig' '{"EnvironmentFile":["-/run/llmhook/env"]}' \
    config guest '{ enable = true; services = [ "agent" ]; }'
gives "whichever way it is named" '.systemd.services.agent.serviceConfig' '{"EnvironmentFile":["-/run/llmhook/env"]}' \
    config guest '{ enable = true; services = [ "agent.service" ]; }'
gives "a service reads what was there at its start, and what came since over that" \
    '.systemd.services.agent.serviceConfig.EnvironmentFile | join(" ")' \
    '"-/run/credentials/@system/llmhook.env -/run/llmhook/env"' \
    config guest '{ enable = true; bootCredential = true; services = [ "agent" ]; }'
gives "a service gets keys as credentials" '.systemd.services.agent.serviceConfig' \
    '{"LoadCredential":["A_KEY:/run/llmhook/A_KEY","B_KEY:/run/llmhook/B_KEY"]}' \
    config guest '{ enable = true; credentialServices.agent = [ "A_KEY" "B_KEY" ]; }'
units='{ enable = true; services = [ "a" "b" ]; credentialServices.c = [ "K" ]; restartUnits = [ "d.service" ];
    reloadUnits = [ "b.service" ]; }'
gives "what is told to units" '.environment.etc["llmhook/units"].text' \
    '"restart d.service\nrestart a.service\nrestart c.service\nreload b.service\n"' config guest "$units"
gives "by a unit that starts when a new set is there" '.systemd.paths["llmhook-units"] | [.pathConfig, .wantedBy]' \
    '[{"PathExists":"/run/llmhook/.fresh"},["paths.target"]]' config guest "$units"
script=$(evaluate config guest "$units" | jq -r '.systemd.services["llmhook-units"].serviceConfig.ExecStart[0]')
# As embed.sh puts them together, but for comments and indentation.
plain() { sed -e 's/^[[:blank:]]*//' -e '/^# llmhook /b' -e '/^#!/b' -e '/^#/d' -e '/^$/d'; }
is "and runs the delivery's own text" "$(plain <<<"$script" | sed 1d)" "$(sh "$guest/embed.sh" "$guest" units | plain)"
gives "however often there is one" '.systemd.services["llmhook-units"].unitConfig' '{"StartLimitIntervalSec":0}' \
    config guest "$units"
gives "without units there is no such unit" '[.systemd.paths, (.systemd.services | keys)]' '[{},["qemu-guest-agent"]]' \
    config guest '{ enable = true; }'
gives "services are not restarted where that is not wanted" '.systemd.paths' '{}' \
    config guest '{ enable = true; services = [ "a" ]; restartServices = false; }'
box='{ enable = true; dropBox = true; }'
gives "a drop box is made" .systemd.tmpfiles.rules \
    '["d /run/llmhook.box 0700 root root -","f /run/llmhook.box/in 0600 root root -"]' config guest "$box"
gives "somebody looks after it" '.systemd.paths["llmhook-box"].pathConfig' '{"PathExists":"/run/llmhook.box/ready"}' \
    config guest "$box"
script=$(evaluate config guest "$box" | jq -r '.systemd.services["llmhook-box"].serviceConfig.ExecStart[0]')
is "with the text that is tested" "$script" "llmhook-box: $(cat "$guest/box.sh")
 /etc/llmhook/box"
for name in deliver probe withdraw clean; do
    evaluate config guest "$box" | jq -r ".environment.etc[\"llmhook/box/$name.sh\"].text" >"$work/$name.sh"
    check "and $name.sh, which a shell understands" sh -n "$work/$name.sh"
    is "as the agent would be given it" "$(plain <"$work/$name.sh" | sed 1d)" \
        "$(sh "$guest/embed.sh" "$guest" $name | plain)"
done
gives "a group is made" .users.groups '{"llm":{}}' config guest '{ enable = true; group = "llm"; }'

refused "enable must be yes or no" 'services.llmhook.guest.enable' guest '{ enable = "yes"; }'
refused "a shell must be one that is known" 'one of "bash", "zsh", "fish"' guest '{ enable = true; shells = [ "csh" ]; }'
refused "a group must have a name" 'services.llmhook.guest.group' guest '{ enable = true; group = "a b"; }'
refused "a service must have one" 'services.llmhook.guest.services' guest '{ enable = true; services = [ "a b" ]; }'
refused "a unit must have a suffix" 'services.llmhook.guest.restartUnits' guest '{ enable = true; restartUnits = [ "a" ]; }'
refused "a key must be a variable's name" 'services.llmhook.guest.credentialServices.a' \
    guest '{ enable = true; credentialServices.a = [ "../x" ]; }'
refused "a service without keys is a mistake" 'non-empty' guest '{ enable = true; credentialServices.a = [ ]; }'
refused "there is no such option" "services.llmhook.guest.shels" guest '{ enable = true; shels = [ ]; }'
gives "restarted and reloaded" . '["services.llmhook.guest: to be restarted and to be reloaded: a.service"]' \
    failed guest '{ enable = true; restartUnits = [ "a.service" ]; reloadUnits = [ "a.service" ]; }'

# --- the host --------------------------------------------------------------------------------------------------------------

host='{ enable = true; settings = { daemon.audit-interval = "1d";
    "provider openai" = { admin-key = "credential:admin";
        rate-limit = [ "gpt-4o requests-per-minute=500" "o3 requests-per-minute=5" ]; };
    "provider claude" = { type = "anthropic-federation"; workspace = "wrkspc_1"; };
    "owner alice".monthly-limit = 40; alerts.mail = "root@example.org";
    vault.token = "credential:vault"; vault.address = "https://vault.example.org"; };
    policies = [ { pattern = "agent-build-*"; }
        { pattern = "agent-*"; providers = [ "openai" ]; monthly-limit = 25; required = true; } ];
    credentials.admin = "/run/secrets/admin"; encryptedCredentials.seal = "/etc/credstore.encrypted/seal"; }'
gives "libvirt runs the hook" .virtualisation.libvirtd.hooks.qemu '{"50-llmhook":"/llmhook/libexec/llmhook/qemu"}' config host "$host"
gives "by a link that follows at each switch" .systemd.tmpfiles.rules \
    '["L+ /var/lib/libvirt/hooks/qemu.d/50-llmhook - - - - /llmhook/libexec/llmhook/qemu"]' config host "$host"
gives "the unit is the package's, hardening and all" '.systemd.packages' '["/llmhook"]' config host "$host"
gives "with the credentials" '.systemd.services.llmhookd | [.wantedBy, .serviceConfig.LoadCredential,
    .serviceConfig.LoadCredentialEncrypted]' \
    '[["multi-user.target"],["admin:/run/secrets/admin"],["seal:/etc/credstore.encrypted/seal"]]' config host "$host"
gives "nothing is wrong with it" . '[]' failed host "$host"
evaluate config host "$host" | jq -r '.environment.etc["llmhook/llmhook.conf"].source.text' >"$work/llmhook.conf"
is "its configuration" "$(cat "$work/llmhook.conf")" '[alerts]
mail = root@example.org

[daemon]
audit-interval = 1d

[owner alice]
monthly-limit = 40

[provider claude]
type = anthropic-federation
workspace = wrkspc_1

[provider openai]
admin-key = credential:admin
rate-limit = gpt-4o requests-per-minute=500
rate-limit = o3 requests-per-minute=5

[vault]
address = https://vault.example.org
token = credential:vault

[policy agent-build-*]

[policy agent-*]
monthly-limit = 25
providers = openai
required = yes'
check "is one that llmhookd takes" "$LLMHOOK_BUILD/src/llmhookd" --check --config "$work/llmhook.conf"
gives "and is checked before it is used" '.environment.etc["llmhook/llmhook.conf"].source.script | contains("/llmhook/bin/llmhookd --check")' \
    true config host "$host"
evaluate config host '{ enable = true; settings.daemon.prices = "/etc/llmhook/prices.conf"; }' >"$work/priced"
jq -r '.environment.etc["llmhook/llmhook.conf"].source.text' "$work/priced" >"$work/text"
jq -r '.environment.etc["llmhook/llmhook.conf"].source.script' "$work/priced" |
    sed "s|[^ ]*/bin/llmhookd|$LLMHOOK_BUILD/src/llmhookd|" >"$work/script.sh"
check "a price table that the builder does not see is no mistake" \
    env -C "$work" textPath="$work/text" out="$work/out" bash -e "$work/script.sh"
check "and the configuration names it" grep -qx 'prices = /etc/llmhook/prices.conf' "$work/out"

refused "a setting must be in a section" 'services.llmhook.settings.admin-key' host '{ enable = true; settings.admin-key = "x"; }'
refused "a setting is a word, a number, yes or no, or words" 'services.llmhook.settings.daemon.socket' \
    host '{ enable = true; settings.daemon.socket = { }; }'
refused "a credential must be a file" 'services.llmhook.credentials.a' host '{ enable = true; credentials.a = "secret"; }'
gives "there is no such section" '.[0] | startswith("services.llmhook.settings: a section is")' true \
    failed host '{ enable = true; settings.providers.a = 1; }'
gives "an order of policies is not left to their names" '.[0] | startswith("services.llmhook.settings: the first policy")' true \
    failed host '{ enable = true; settings."policy a".rotate = "30d"; }'
refused "a policy must say for whom it is" 'services.llmhook.policies' host '{ enable = true; policies = [ { rotate = "30d"; } ]; }'
gives "a value is one line" . '["services.llmhook: a section and a value are one line each"]' \
    failed host '{ enable = true; settings.daemon.socket = "/a\n[policy *]"; }'
gives "and so is that of a policy" . '["services.llmhook: a section and a value are one line each"]' \
    failed host '{ enable = true; policies = [ { pattern = "a"; rotate = "30d\n[policy *]"; } ]; }'
gives "and a section" . '["services.llmhook: a section and a value are one line each"]' \
    failed host '{ enable = true; settings."owner a]\n[policy *".monthly-limit = 1; }'
gives "no secret comes from the store" '.[0] | contains("everybody can read the Nix store")' true \
    failed host '{ enable = true; credentials.a = "${builtins.storeDir}/x"; }'
gives "encrypted or not" . '["services.llmhook: a credential is given both encrypted and not"]' \
    failed host '{ enable = true; credentials.a = "/a"; encryptedCredentials.a = "/b"; }'
finish
