# shellcheck shell=bash
# Functions of the system tests: everything of ours around a private libvirtd
# with real guests. Source it:
#
#   . "$(dirname "$0")/common.sh"
#   lab_enter "$0" "$@"
#   system_start
#   lab_domain_xml dev-1 | lab_define
#   virsh_quiet start dev-1
#   tap_ok "the key arrives" wait_proven dev-1 60
#   tap_done
#
# Secrets: a key is only ever a shell variable's value inside the guest or a
# 0600 file in $KEYS. What is compared and shown are SHA-256 hashes.
# shellcheck source-path=SCRIPTDIR source=../lab/lab.sh
. "$(dirname "${BASH_SOURCE[0]}")/../lab/lab.sh"

CONFIG=/etc/llmhook/llmhook.conf
KEYS=/run/lab/keys
PROJECTS=/v1/organization/projects
# shellcheck disable=SC2034 # for the tests
MINTING="POST $PROJECTS/*/service_accounts"

# What a test may change before system_configure: further lines of a section.
# The daemon's own audits, and its questions after usage, would ask when a test counts requests.
CONFIG_DAEMON='undefine-grace = 2s
audit-interval = never
usage-interval = never'
CONFIG_PROVIDER=
CONFIG_POLICY='[policy dev-*]
providers = openai
monthly-limit = 25'

llmhook() {
    timeout 60 "$LLMHOOK_BUILD/src/llmhook" "$@"
}

virsh_quiet() {
    virsh --quiet "$@" >/dev/null
}

# ---- starting ----

# The sandbox must run, since its port is not known before.
system_configure() {
    mkdir -p /etc/llmhook
    cat >"$CONFIG.new" <<END
[daemon]
$CONFIG_DAEMON

[provider openai]
admin-key = file:$LAB_SANDBOX/admin-key
base-url = $LAB_SANDBOX_URL/v1
$CONFIG_PROVIDER

$CONFIG_POLICY
END
    mv "$CONFIG.new" $CONFIG
}

# Hook, libvirtd, sandbox, daemon. Nothing that follows could pass without.
system_start() {
    if ! { lab_hook_install && lab_libvirtd_start && system_sandbox_start && system_configure && lab_daemon_start; }; then
        tap_bail_out "the lab does not start"
    fi
}

system_sandbox_start() {
    install -d -m 0700 $KEYS
    lab_sandbox_start || return
    (
        umask 077
        printf 'Authorization: Bearer %s\n' "$(cat $LAB_SANDBOX/admin-key)" >$KEYS/admin
    )
}

# Returns when the daemon has said that it took over the configuration, or
# that it did not.
daemon_reload() {
    local before
    before=$(grep -c '^configuration: .* in force$' "$LAB_DIR/llmhookd.log")
    kill -HUP "$LAB_DAEMON_PID"
    lab_wait_until 20 reloaded_since "$before" || lab_fail "llmhookd does not reload"
}

reloaded_since() {
    [ "$(grep -c '^configuration: .* in force$' "$LAB_DIR/llmhookd.log")" -gt "$1" ]
}

# The daemon has logged this text.
logged() {
    grep -F "$1" "$LAB_DIR/llmhookd.log" >/dev/null
}

# A warning is no failure for doctor's exit code.
doctor_advises() {
    llmhook doctor --json | jq -r '.checks[].remedy // empty' | grep -F "$1" >/dev/null
}

# The daemon has logged no error so far, and nothing worse. Shows what it has.
logged_no_error() {
    test -f "$LAB_DIR/llmhookd.errors" && ! grep '' "$LAB_DIR/llmhookd.errors"
}

# ---- the month ----

# Returns when the last turn of the month (UTC) is three minutes ago at least, and the next is MINUTES away. With a month
# all that was spent begins anew, and for two minutes on either side of its turn the daemon believes no total.
# usage: month_lasts MINUTES
month_lasts() {
    local told=
    until [ "$(date -u -d '-3 minutes' +%m)" = "$(date -u -d "+$1 minutes" +%m)" ]; do
        [ -n "$told" ] || tap_note "the month turns: waiting until it lasts for $1 minutes"
        told=yes
        sleep 5
    done
}

# ---- what llmhook says ----

# usage: status NAME FILTER: of that domain's part of the status, as JSON
# strings without quotes; nothing when it is not in it
status() {
    llmhook status --json | jq -r --arg name "$1" '.domains[] | select(.name == $name) | '"$2"
}

# usage: status_is NAME FILTER VALUE
status_is() {
    [ "$(status "$1" "$2")" = "$3" ]
}

status_like() {
    # shellcheck disable=SC2254 # a pattern is what is wanted
    case $(status "$1" "$2") in
    $3) ;;
    *) return 1 ;;
    esac
}

# usage: wait_status NAME FILTER VALUE TIMEOUT
wait_status() {
    lab_wait_until "$4" status_is "$1" "$2" "$3" ||
        lab_fail "$1: $2 is '$(status "$1" "$2")' after $4 s, not '$3'"
}

# Whether it says when the first grant's next attempt is: not while one is under way.
# usage: is_tried_later NAME
is_tried_later() {
    [ "$(status "$1" '.grants[0].next_attempt_in')" -gt 0 ]
}

# usage: wait_status_like NAME FILTER PATTERN TIMEOUT
wait_status_like() {
    lab_wait_until "$4" status_like "$1" "$2" "$3" ||
        lab_fail "$1: $2 is '$(status "$1" "$2")' after $4 s, not like '$3'"
}

is_proven() {
    status_is "$1" '.delivery + " " + .grants[0].status + " " + (.grants[0].keys | map(.state) | join(","))' \
        "proven ok active"
}

# The guest has proven its one key, and that is all there is to say about it.
# usage: wait_proven NAME TIMEOUT
wait_proven() {
    lab_wait_until "$2" is_proven "$1" || {
        lab_fail "$1 has no proven key after $2 s: $(status "$1" 'tojson')
$(tail -n 15 "$LAB_DIR/llmhookd.log")"
    }
}

key_state() {
    status "$1" '.grants[0].keys | map(.state) | join(",")'
}

# ---- what the provider has ----

sandbox_state() {
    lab_sandbox_ctl GET "/state${1:-}"
}

# How many keys are alive, of a domain or of all.
# usage: live_keys [UUID]
live_keys() {
    sandbox_state '?live=true' | jq --arg uuid "${1:-}" '[.projects[] | . as $project | .keys[] | . as $key |
        $project.service_accounts[] | select(.id == $key.service_account_id and (.name | contains($uuid)))] | length'
}

live_keys_are() {
    [ "$(live_keys "${2:-}")" = "$1" ]
}

# usage: wait_live_keys COUNT TIMEOUT [UUID]
wait_live_keys() {
    lab_wait_until "$2" live_keys_are "$1" "${3:-}" ||
        lab_fail "$(live_keys "${3:-}") keys are alive after $2 s, not $1"
}

# The SHA-256 of the one live key. Nothing when there is none, several lines
# when there are more.
# usage: live_hash [UUID]
live_hash() {
    sandbox_state '?live=true' | jq -r --arg uuid "${1:-}" '.projects[] | . as $project | .keys[] | . as $key |
        select(any($project.service_accounts[]; .id == $key.service_account_id and (.name | contains($uuid)))) |
        .sha256'
}

# The names of all service accounts there ever were, of a domain or of all.
# usage: accounts_ever [UUID]
accounts_ever() {
    sandbox_state | jq -r --arg uuid "${1:-}" \
        '.projects[].service_accounts[] | select(.name | contains($uuid)) | .name'
}

count_accounts_ever() {
    accounts_ever "$@" | grep -c .
}

# How many service accounts of a domain were ever alive at the same time.
# usage: most_at_once UUID
most_at_once() {
    sandbox_state | jq --arg uuid "$1" '[.projects[] | . as $project | .service_accounts[] |
        select(.name | contains($uuid)) |
        {at: .created_ms, change: 1},
        ((.deleted_ms // $project.archived_ms) | select(. != null) | {at: ., change: -1})] |
        sort_by(.at, .change) | reduce .[] as $event ({now: 0, most: 0};
            .now += $event.change | .most = ([.most, .now] | max)) | .most'
}

# A project's field, by a part of its name.
# usage: project PART FILTER
project() {
    sandbox_state | jq -r --arg part "$1" '.projects[] | select(.name | contains($part)) | '"$2"
}

project_is() {
    [ "$(project "$1" "$2")" = "$3" ]
}

# usage: fault JSON
fault() {
    lab_sandbox_ctl POST /faults "$1" >/dev/null
}

faults_end() {
    lab_sandbox_ctl DELETE /faults >/dev/null
}

# usage: listening true|false
listening() {
    lab_sandbox_ctl POST /listen '{"listening":'"$1"'}' >/dev/null
}

# usage: knob NAME VALUE, the value as JSON
knob() {
    lab_sandbox_ctl POST /knobs '{"'"$1"'":'"$2"'}' >/dev/null
}

# Requests so far, by the beginning of "METHOD path".
# usage: requests BEGINNING
requests() {
    lab_sandbox_ctl GET /requests | jq --arg begin "$1" \
        '[.requests[] | select((.method + " " + .path) | startswith($begin))] | length'
}

# Whether a request that matches has come and is not answered.
minting_hangs() {
    lab_sandbox_ctl GET /requests | jq -e '[.requests[] | select(.method == "POST" and
        (.path | endswith("/service_accounts")))] | last | . != null and .took_us == -1' >/dev/null
}

# ---- what the guest has ----

# The SHA-256 of OPENAI_API_KEY in a login shell, or "none".
# usage: guest_hash NAME [USER [VARIABLE]]
guest_hash() {
    # shellcheck disable=SC2016 # the guest expands it
    lab_guest_login "$1" "${2:-alice}" \
        'v=$'"${3:-OPENAI_API_KEY}"'; if [ -n "$v" ]; then printf %s "$v" | sha256sum | cut -c1-64; else echo none; fi'
}

guest_hash_is() {
    [ "$(guest_hash "$1" 2>/dev/null)" = "$2" ]
}

# The guest's login shells have the one live key there is (of the domain).
# usage: guest_has_live_key NAME [UUID]
guest_has_live_key() {
    local hash
    hash=$(live_hash "${2:-}")
    [ "${#hash}" = 64 ] && guest_hash_is "$1" "$hash"
}

# Writes a header with the guest's key into the 0600 file $KEYS/FILE.
# usage: keep_key NAME FILE
keep_key() {
    (
        umask 077
        printf 'Authorization: Bearer ' >"$KEYS/$2"
        # shellcheck disable=SC2016 # the guest expands it
        lab_guest_login "$1" alice 'printf "%s\n" "$OPENAI_API_KEY"' >>"$KEYS/$2"
    )
}

# What the provider's /v1/models answers to the key in $KEYS/FILE.
models_answer() {
    curl --silent --output /dev/null --write-out '%{http_code}' --max-time 10 \
        --header "@$KEYS/$1" "$LAB_SANDBOX_URL/v1/models"
}

# ---- domains ----

# Usually the last step of a test's section: off, gone, and nothing left alive.
# usage: remove_domain NAME
remove_domain() {
    virsh_quiet destroy --domain "$1" 2>/dev/null
    virsh_quiet undefine --domain "$1" --managed-save 2>/dev/null
}

# The metadata that gives a domain one key of openai.
# usage: key_metadata [ATTRIBUTES OF llmhook:vm [ATTRIBUTES OF llmhook:key]]
key_metadata() {
    echo "<llmhook:vm xmlns:llmhook='urn:llmhook:vm:1' ${1:-}><llmhook:key provider='openai' ${2:-}/></llmhook:vm>"
}

# Fails when COMMAND fails otherwise than with PATTERN somewhere in its output.
# usage: fails_with PATTERN COMMAND...
fails_with() {
    local wanted=$1 output
    shift
    output=$("$@" 2>&1) && {
        echo "it succeeded: $output"
        return 1
    }
    # shellcheck disable=SC2254 # a pattern is what is wanted
    case $output in
    *$wanted*) ;;
    *)
        echo "wanted: $wanted"
        echo "got:    $output"
        return 1
        ;;
    esac
}

# usage: tap_under MILLISECONDS LIMIT DESCRIPTION
tap_under() {
    if [ "$1" -le "$2" ]; then
        tap_pass "$3 ($1 ms)"
    else
        tap_fail "$3" "it took $1 ms, the limit is $2 ms"
    fi
}

# What is in doubt takes half a minute to settle.
audit_is_clean() {
    lab_wait_until 45 llmhook audit || llmhook audit
}
