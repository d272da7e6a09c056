#!/bin/bash
# The main job from beginning to end: a VM is started and gets its key while it
# boots, keeps it over a reboot, loses it when it is destroyed, gets another at
# the next start, and leaves nothing behind when it is undefined.
# shellcheck disable=SC2016 # the guest expands
set -u
# shellcheck source-path=SCRIPTDIR source=common.sh
. "$(dirname "$0")/common.sh"
lab_enter "$0" "$@"

uuid=10000000-0000-4000-8000-000000000001
CONFIG_PROVIDER='rate-limit = gpt-4o requests-per-minute=50 tokens-per-minute=20000'

test_start() {
    local start
    lab_domain_xml dev-1 --uuid $uuid --metadata "$(key_metadata "owner='alice'" "monthly-limit='40.50'")" | lab_define
    start=$(lab_now_ms)
    tap_ok "virsh start" virsh_quiet start dev-1
    tap_ok "a key is minted" wait_live_keys 1 20
    tap_ok "while the guest still boots: its agent has not connected" lab_agent_gone dev-1
    tap_note "virsh start to minted: $(($(sandbox_state | jq '[.projects[].keys[].created_ms] | max') - start)) ms"
    tap_ok "the agent connects" lab_wait_agent dev-1 60
    tap_note "virsh start to agent connected: $(($(lab_now_ms) - start)) ms"
    tap_ok "the guest proves that it has the key" wait_proven dev-1 30
    tap_note "virsh start to proven: $(($(lab_now_ms) - start)) ms"
}

test_provider() {
    local id
    id=$(project $uuid .id)
    tap_is "$(project $uuid .name)" "llmhook:$(llmhook status --json | jq -r .host_id):$uuid:openai dev-1" \
        "the project is named after host, domain and provider"
    tap_is "$(project $uuid '.spend_limit | tojson')" '{"cents":4050,"switched_on":true}' \
        "its spend limit is that of the metadata, not that of the configuration"
    tap_is "$(curl -s -H @$KEYS/admin "$LAB_SANDBOX_URL$PROJECTS/$id/rate_limits" |
        jq -c '.data[] | select(.model == "gpt-4o") | [.max_requests_per_1_minute, .max_tokens_per_1_minute]')" \
        '[50,20000]' "its rate limits are those of the configuration"
    tap_is "$(accounts_ever)" "llmhook:$(llmhook status --json | jq -r .host_id):$uuid:openai:g1" \
        "there is one service account, named after the first generation"
}

test_guest() {
    local hash
    hash=$(live_hash)
    tap_is "$(guest_hash dev-1 root)" "$hash" "root's login shell has the key in OPENAI_API_KEY"
    tap_is "$(guest_hash dev-1 alice)" "$hash" "so has alice's"
    tap_is "$(guest_hash dev-1 bob)" "$hash" "so has bob's"
    tap_is "$(lab_guest_exec dev-1 --user alice 'test -n "$OPENAI_API_KEY" || echo unset')" unset \
        "a shell that is no login shell has not"
    tap_is "$(lab_guest_exec dev-1 --user svc '. /etc/profile; test -n "$OPENAI_API_KEY" || echo unset')" unset \
        "a service account's has not"
    tap_is "$(lab_guest_exec dev-1 --user svc 'for file in /run/llmhook/env /run/llmhook/OPENAI_API_KEY \
        /run/llmhook/users/*/env /run/llmhook.d/*/env /run/llmhook.d/*/users/*/*; do cat "$file" 2>&1; done |
        grep -vc -e "Permission denied" -e "No such file"')" 0 "nor can it read any file that holds it"
    tap_is "$(lab_guest_exec dev-1 --user alice 'cat /run/llmhook/users/1001/env 2>&1 >/dev/null | grep -c denied')" 1 \
        "nor can alice read bob's copy"
    tap_ok "all of it is in memory" lab_guest_exec dev-1 'test "$(stat -f -c %T /run/llmhook/)" = tmpfs'
    keep_key dev-1 first
    tap_is "$(models_answer first)" 200 "/v1/models answers 200 to it"
}

test_words() {
    tap_is "$(status dev-1 '[.name, .uuid, .state, .owner, .agent, .delivery, .grants[0].status, .grants[0].reason,
        .grants[0].monthly_limit, .grants[0].monthly_limit_enforced, .grants[0].keys[0].fingerprint] | tojson')" \
        "[\"dev-1\",\"$uuid\",\"running\",\"alice\",\"connected\",\"proven\",\"ok\",\"\",40500000,\"provider\",\"$(live_hash)\"]" \
        "llmhook status --json says it all"
    tap_ok "llmhook show knows it by name" llmhook show dev-1
    tap_ok "and by UUID" llmhook show $uuid
    tap_ok "llmhook audit finds everything in order" llmhook audit
    tap_ok "also in the guest" llmhook audit --guests
    tap_is "$(llmhook audit --guests --json | jq -c '[.rows[] | select(.kind == "guest") | [.domain, .verdict]]')" \
        '[["dev-1","ok"]]' "the guest was asked"
    tap_is "$(llmhook revoke --yes --provider anthropic dev-1 2>&1; echo $?)" "llmhook: llmhookd knows no provider 'anthropic'
1" "a provider that nobody knows is refused by its name"
}

test_reboot() {
    local hash
    hash=$(live_hash)
    tap_ok "the guest reboots" lab_guest_reboot dev-1 90
    tap_ok "it has the same key again" lab_wait_until 60 guest_hash_is dev-1 "$hash"
    tap_is "$(count_accounts_ever)" 1 "for which none was minted"
    tap_is "$(live_hash)" "$hash" "the provider has that one alone"
    tap_ok "which is proven" wait_proven dev-1 20
}

test_destroy() {
    local start
    start=$(lab_now_ms)
    tap_ok "virsh destroy" virsh_quiet destroy dev-1
    tap_ok "the key is revoked" wait_live_keys 0 10
    tap_under $(($(sandbox_state | jq '[.projects[].keys[].deleted_ms] | max') - start)) 5000 \
        "within 5 s of the destroy"
    tap_is "$(models_answer first)" 401 "/v1/models answers 401 to it"
    tap_is "$(project $uuid .live)" true "the project stays as long as the domain is defined"
}

test_again() {
    local first
    first=$(sandbox_state | jq -r '.projects[].keys[].sha256')
    tap_ok "it is started again" virsh_quiet start dev-1
    tap_ok "and has a key" wait_proven dev-1 60
    tap_is "$(status dev-1 '.grants[0].keys[0].generation')" 2 "of the second generation"
    tap_ok "that is another" test "$(live_hash)" != "$first"
    tap_is "$(guest_hash dev-1)" "$(live_hash)" "in the guest"
    tap_is "$(project $uuid .id | wc -l)" 1 "in the same project"
    keep_key dev-1 second
    tap_is "$(models_answer second)" 200 "/v1/models answers 200 to it"
    virsh_quiet destroy dev-1
    tap_ok "it is destroyed, and the key revoked" wait_live_keys 0 10
    tap_is "$(models_answer second)" 401 "/v1/models answers 401 to it"
}

test_undefine() {
    virsh_quiet undefine dev-1
    tap_ok "undefined: the project is archived" lab_wait_until 15 project_is $uuid .live false
    tap_ok "llmhook knows no such domain any more" lab_wait_until 10 fails_with "no*dev-1" llmhook show dev-1
    tap_is "$(llmhook status --json | jq -c '.domains')" '[]' "llmhook status is empty"
    tap_ok "llmhook audit finds everything in order" llmhook audit
    tap_is "$(llmhook audit --json | jq -c '[.complete, .problems, [.rows[] | select(.verdict != "not ours")]]')" \
        '[true,[],[]]' "and nothing of ours"
    tap_ok "the daemon logged no error" logged_no_error
    tap_ok "the daemon ends when it is told to" lab_daemon_stop
}

system_start
test_start
[ "$TAP_FAILED" = 0 ] || tap_bail_out "no key, no story"
test_provider
test_guest
test_words
test_reboot
test_destroy
test_again
test_undefine
tap_done
