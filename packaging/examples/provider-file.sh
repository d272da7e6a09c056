#!/bin/sh
# A provider for a gateway of your own that reads its tokens from a file: llmhook-provider(7) in shell, with jq(1) and
# flock(1). STORE is this program's memory; STORE.tokens has the tokens that are good now, one a line, for the gateway, and
# STORE.limits in the same order what each may cost a month, in millionths of a dollar (0: as much as it likes).
#
#   [provider gateway]
#   type = exec
#   program = /usr/local/lib/llmhook/provider-file.sh /var/lib/llmhook-gateway/store
#   can = suspend change-limit
#   environment = OPENAI_API_KEY
#
# The unit lets llmhookd and its programs write below /var/lib/llmhook alone, see llmhook-provider(7). So make the store's
# folder, and allow it: systemctl edit llmhookd, then systemctl restart llmhookd.
#
#   [Service]
#   ReadWritePaths=/var/lib/llmhook-gateway
#
# A token is only ever a shell variable, a pipe and these two files: never an argument.
set -eu
umask 077
store=${1:?usage: provider-file.sh STORE}
question=$(cat)

field() {
    printf '%s' "$question" | jq --raw-output --arg name "$1" '.[$name] // ""'
}

# What a key may cost a month.
limit() {
    printf '%s' "$question" | jq '.monthly_limit // 0'
}

# usage: save <NEW-STORE: whole, on the disk, and then in its place
save() {
    cat >"$store.new"
    jq --exit-status '.keys | type == "array"' "$store.new" >/dev/null
    jq --raw-output '.keys[] | select(.disabled | not) | .token' "$store.new" >"$store.tokens.new"
    jq --raw-output '.keys[] | select(.disabled | not) | .monthly_limit // 0' "$store.new" >"$store.limits.new"
    sync "$store.new" "$store.tokens.new" "$store.limits.new"
    mv "$store.new" "$store"
    mv "$store.tokens.new" "$store.tokens"
    mv "$store.limits.new" "$store.limits"
}

# Exit code 10: it is certainly not there. jq(1) says so with 1; all else is that STORE could not be read.
must_exist() {
    status=0
    jq --exit-status --arg id "$id" 'any(.keys[]; .id == $id)' "$store" >/dev/null || status=$?
    case $status in
    0) ;;
    1)
        # It may have ended between STORE and STORE.tokens.
        save <"$store"
        exit 10
        ;;
    *) exit 1 ;;
    esac
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
    echo '{"capabilities":["suspend","limit","change-limit"]}'
    ;;
check)
    jq --exit-status '.keys | type == "array"' "$store" >/dev/null || exit 11
    echo '{}'
    ;;
mint)
    id=$(od -An -N8 -tx1 /dev/urandom | tr -d ' \n')
    token=sk-gateway-$(head -c 24 /dev/urandom | base64 | tr '+/' '-_')
    printf '%s' "$token" | jq --raw-input --arg id "$id" --arg name "$name" --argjson limit "$(limit)" \
        --slurpfile store "$store" '. as $token | $store[0] | .keys += [{id: $id, name: $name, token: $token, disabled: false,
            monthly_limit: $limit, created_at: (now * 1000 | floor)}]' | save
    printf '%s' "$token" | jq --raw-input --compact-output --arg id "$id" '{id: $id, secret: .}'
    ;;
find)
    jq --compact-output --arg name "$name" \
        '{keys: [.keys[] | select(.name == $name) | {id, name, created_at, monthly_limit, suspended: .disabled}]}' "$store"
    ;;
list)
    jq --compact-output --arg prefix "$(field prefix)" \
        '{keys: [.keys[] | select(.name | startswith($prefix)) |
            {id, name, created_at, monthly_limit, suspended: .disabled}]}' "$store"
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
limit)
    must_exist
    jq --arg id "$id" --argjson to "$(limit)" '.keys |= map(if .id == $id then .monthly_limit = $to else . end)' "$store" | save
    jq --compact-output --arg id "$id" '.keys[] | select(.id == $id) | {monthly_limit}' "$store"
    ;;
*)
    exit 15
    ;;
esac
