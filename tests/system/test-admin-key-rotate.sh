#!/bin/bash
# llmhook admin-key rotate: another admin key is made, tried, put in its place, and the old one removed; what cannot be done
# is refused before anything is; and whatever goes wrong on the way, the key that is in place works.
set -u
# shellcheck source-path=SCRIPTDIR source=common.sh
. "$(dirname "$0")/common.sh"
lab_enter "$0" "$@"

admin=/run/lab/admin-keys/openai
path=/v1/organization/admin_api_keys

# usage: configure ADMIN-KEY
configure() {
    cat >$CONFIG.new <<-END
	[daemon]
	$CONFIG_DAEMON

	[provider openai]
	admin-key = $1
	base-url = $LAB_SANDBOX_URL/v1

	[provider router]
	type = openrouter
	admin-key = $1
	base-url = $LAB_SANDBOX_URL/api/v1
	END
    mv $CONFIG.new $CONFIG
    daemon_reload
}

held() { tr -d '\n' <"$1" | sha256sum | cut -d ' ' -f 1; }
live() { sandbox_state | jq -r ".admin_keys[] | select(.live) | $1"; }
ever() { sandbox_state | jq -r '.admin_keys[].id' | grep -c .; }
requests_to() { lab_sandbox_ctl GET /requests | jq -r '.requests[] | select(.path == "'"$path"'" and .method == "POST") | .path' | grep -c .; }

# The file holds the one key that is alive, for nobody else to read, and nothing lies beside it.
# usage: is_right WHAT
is_right() {
    tap_is "$(live .sha256)" "$(held $admin)" "$1: the one key that is alive is the file's"
    tap_is "$(stat -c '%a %U' $admin)" "600 root" "which is nobody else's to read"
    tap_is "$(ls -A "$(dirname $admin)")" "$(basename $admin)" "and nothing lies beside it"
}

test_rotated() {
    local before
    before=$(held $admin)
    tap_ok "the admin key is rotated" llmhook admin-key rotate openai
    tap_ok "it is another" test "$(held $admin)" != "$before"
    is_right "done"
    tap_is "$(live .name)" "llmhook:$(llmhook status --json | jq -r .host_id):admin-key:openai" "it has our name"
    tap_is "$(llmhook status --json | jq -r '.providers[] | select(.name == "openai") | .status')" ok "the daemon goes on with it"
    tap_ok "and llmhook audit, with it" llmhook audit
    tap_ok "and once more" llmhook admin-key rotate openai
    is_right "again"
    tap_is "$(ever)" 3 "three there ever were"
}

# usage: refused REFERENCE WORDS
refused() {
    local asked
    asked=$(requests_to)
    configure "$1"
    tap_ok "$1: refused" fails_with "the admin key of openai cannot be rotated: $2" llmhook admin-key rotate openai
    tap_is "$(requests_to)" "$asked" "and nothing was made"
}

test_refused() {
    refused env:NOBODY "it comes from llmhookd's environment"
    refused credential:nobody "systemd hands it over when llmhookd starts"
    refused exec:/bin/false "it is kept by another program"
    ln -s $admin /run/lab/link
    refused file:/run/lab/link "its file is a link"
    configure file:$admin
    tap_ok "a provider whose API makes none" fails_with "its API makes no admin keys" llmhook admin-key rotate router
    tap_ok "one that is not there" fails_with "it is not in the configuration" llmhook admin-key rotate nobody
    # Only a folder that can be written takes another file.
    mkdir -p /run/lab/closed
    mount -t tmpfs -o mode=700 tmpfs /run/lab/closed
    cp -p $admin /run/lab/closed/key
    mount -o remount,ro /run/lab/closed
    local asked
    asked=$(requests_to)
    configure file:/run/lab/closed/key
    tap_ok "a folder that cannot be written" fails_with "the folder of the key has to be writable for llmhookd" llmhook admin-key rotate openai
    tap_is "$(requests_to)" "$asked" "and nothing was made"
    umount /run/lab/closed
    configure file:$admin
}

# usage: interrupted FAULT WORDS WHAT
interrupted() {
    local before
    before=$(held $admin)
    fault "$1"
    tap_ok "$3: it says so" fails_with "$2" llmhook admin-key rotate openai
    tap_ok "what the file holds works" grep -q "$(held $admin)" <(live .sha256)
    faults_end
    tap_ok "run again, it is done" llmhook admin-key rotate openai
    tap_ok "another key is in place" test "$(held $admin)" != "$before"
    is_right "$3"
}

test_interrupted() {
    interrupted '{"match":"POST '"$path"'","mode":"drop-after"}' "the old key is in use: run it again" "made, and the answer lost"
    interrupted '{"match":"POST '"$path"'","mode":"drop-before"}' "the old key is in use: run it again" "never made"
    interrupted '{"match":"GET /v1/organization/projects","mode":"status","status":500}' "the new one is kept beside it: run it again" "made, and not to be tried"
    interrupted '{"match":"DELETE '"$path"'/*","mode":"status","status":500}' "the new key is in use, and the old one has not been removed: run it again" "in place, and the old one stays"
    interrupted '{"match":"DELETE '"$path"'/*","mode":"drop-after","times":2}' "the old one has not been removed: run it again" "removed, and the answer lost"
}

system_start
mkdir -p "$(dirname $admin)"
install -m 0600 $LAB_SANDBOX/admin-key $admin
configure file:$admin
test_rotated
test_refused
test_interrupted
tap_is "$(grep -c 'sk-admin' "$LAB_DIR/llmhookd.log")" 0 "no key is in the log"
tap_done
