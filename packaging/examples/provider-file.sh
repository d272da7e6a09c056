#!/bin/sh
# A provider for a gateway of your own that reads its tokens from a file: llmhook-provider(7) in shell, with jq(1) and
# flock(1). STORE is this program's memory; STORE.tokens has the tokens that are good now, one a line, for the gateway.
#
#   [provider gateway]
#   type = exec
#   program = /usr/local/lib/llmhook/provider-file.sh /var/lib/llmhook-gateway/store
#   can = suspend
#   environment = OPENAI_API_KEY
#
# A token is only ever a shell variable, a pipe and these two files: never an argument.
set -eu
umask 077
store=${1:?usage: provider-file.sh STORE}
question=$(cat)

field() {
    printf '%s' "$question" | jq --raw-output --arg name "$1" '.[$name] // ""'
}

# usage: save <NEW-STORE: whole, on the disk, and then in its place
save() {
    cat >"$store.new"
    jq --exit-status '.keys | type == "array"' "$store.new" >/dev/null
    jq --raw-output '.keys[] | select(.disabled | not) | .token' "$store.new" >"$store.tokens.new"
    sync "$store.new" "$store.tokens.new"
    mv "$store.new" "$store"
    mv "$store.tokens.new" "$store.tokens"
}

# Exit code 10: it is not there.
must_exist() {
    jq --exit-status --arg id "$id" 'any(.keys[]; .id == $id)' "$store" >/dev/null || exit 10
}

# usage: disable true|false
disable() {
    jq --arg id "$id" --argjson to "$1" '.keys |= map(if .id == $id then .disabled = $to else . end)' "$store" | save
}

exec 9>"$store.lock"
flock 9
[ -s "$store" ] || echo '{"keys":[]}' | save
verb=$(field verb)
name=$(field name)
id=$(field id)
case $verb in
capabilities)
    echo '{"capabilities":["suspend"]}'
    ;;
check)
    jq --exit-status '.keys | type == "array"' "$store" >/dev/null || exit 11
    echo '{}'
    ;;
mint)
    id=$(od -An -N8 -tx1 /dev/urandom | tr -d ' \n')
    token=sk-gateway-$(head -c 24 /dev/urandom | base64 | tr '+/' '-_')
    printf '%s' "$token" | jq --raw-input --arg id "$id" --arg name "$name" --slurpfile store "$store" '. as $token |
        $store[0] | .keys += [{id: $id, name: $name, token: $token, disabled: false, created_at: (now * 1000 | floor)}]' |
        save
    printf '%s' "$token" | jq --raw-input --compact-output --arg id "$id" '{id: $id, secret: .}'
    ;;
find)
    jq --compact-output --arg name "$name" '{keys: [.keys[] | select(.name == $name) | {id, name, created_at}]}' "$store"
    ;;
list)
    jq --compact-output --arg prefix "$(field prefix)" \
        '{keys: [.keys[] | select(.name | startswith($prefix)) | {id, name, created_at}]}' "$store"
    ;;
revoke)
    must_exist
    jq --arg id "$id" '.keys |= map(select(.id != $id))' "$store" | save
    echo '{}'
    ;;
suspend)
    must_exist
    disable true
    echo '{}'
    ;;
resume)
    must_exist
    disable false
    echo '{}'
    ;;
*)
    exit 15
    ;;
esac
