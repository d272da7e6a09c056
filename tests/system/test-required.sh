#!/bin/bash
# A VM that requires a key starts with one or not at all, and virsh says why.
set -u
# shellcheck source-path=SCRIPTDIR source=common.sh
. "$(dirname "$0")/common.sh"
lab_enter "$0" "$@"

one=40000000-0000-4000-8000-000000000001
two=40000000-0000-4000-8000-000000000002
CONFIG_DAEMON='undefine-grace = 2s
audit-interval = never
required-deadline = 4s'
CONFIG_POLICY='[policy must-not-*]

[policy must-*]
providers = openai
monthly-limit = 25
required = yes'

# usage: refused NAME DOMAIN PATTERN ATLEAST ATMOST
refused() {
    local start took
    start=$(lab_now_ms)
    tap_ok "$1: the start fails, and virsh says why" \
        fails_with "llmhook: $2 requires an LLM key and none could be had: $3" virsh start "$2" --paused
    took=$(($(lab_now_ms) - start))
    tap_ok "$1: not before $4 ms ($took ms)" test $took -ge "$4"
    tap_under $took "$5" "$1: in time"
    tap_is "$(virsh domstate "$2" | head -1)" "shut off" "$1: nothing runs"
}

# A grace that is shorter than what a start may wait: the VM counts as starting all the same.
test_short_grace() {
    CONFIG_DAEMON=$CONFIG_DAEMON$'\n''start-grace = 1s'
    system_configure
    daemon_reload
    fault '{"match":"'"$MINTING"'","mode":"latency","ms":2500,"times":1}'
    tap_ok "start-grace is over while it waits: it starts" virsh_quiet start must-1 --paused
    tap_is "$(live_keys $one)" 1 "with a key"
    virsh_quiet destroy must-1
    faults_end
    CONFIG_DAEMON=${CONFIG_DAEMON%$'\n'*}
    system_configure
    daemon_reload
    nothing_is_left "start-grace" must-1
}

nothing_is_left() {
    tap_ok "$1: no key is left alive" wait_live_keys 0 15
    tap_ok "$1: nor does it wait for one" wait_status "$2" .state off 15
}

# Its own metadata have never been readable: that the configuration requires a key is not less true.
test_wrong_metadata() {
    lab_domain_xml must-2 --uuid 40000000-0000-4000-8000-000000000009 \
        --metadata "<llmhook:vm xmlns:llmhook='urn:llmhook:vm:1'><llmhook:key provider='openai' rotate='often'/></llmhook:vm>" | lab_define
    tap_ok "metadata with a mistake: the start fails, and virsh says which" \
        fails_with "llmhook: must-2 requires an LLM key and none could be had: *rotate*" virsh start must-2 --paused
    virsh_quiet undefine must-2
}

test_well() {
    virsh_quiet start must-1
    tap_is $? 0 "all is well: it starts"
    tap_is "$(live_keys $one)" 1 "with a key that is there before the VM is"
    tap_ok "which the guest proves" wait_proven must-1 60
    tap_is "$(status must-1 .required)" true "the status says that it is required"
    virsh_quiet destroy must-1
    nothing_is_left "all is well" must-1
    tap_ok "required by its own metadata: it starts" virsh_quiet start own-1 --paused
    tap_is "$(live_keys $two)" 1 "with a key that is there before the VM is"
    virsh_quiet destroy own-1
    nothing_is_left "required by its own metadata" own-1
}

test_provider() {
    local made
    listening false
    refused "the provider refuses connections" must-1 "gave up after 4 s (required-deadline): openai cannot be reached: *127.0.0.1*" 3900 7000
    listening true
    nothing_is_left "the provider refuses connections" must-1

    fault '{"match":"'"$MINTING"'","mode":"hang","times":-1}'
    refused "the provider does not answer" must-1 "gave up after 4 s (required-deadline): openai is minting it" 3900 7000
    faults_end
    tap_ok "the provider does not answer: no key is left alive" wait_live_keys 0 15
    # Which is only sure after half a minute.
    tap_ok "the provider does not answer: what may have been made is looked for" wait_status must-1 \
        '.state + " " + .grants[0].status + " " + .grants[0].keys[0].state' "off waiting revoking" 15

    fault '{"match":"'"$MINTING"'","mode":"latency","ms":6000,"execute":"after","times":1}'
    made=$(count_accounts_ever $one)
    refused "the key comes too late" must-1 "gave up after 4 s (required-deadline): openai is minting it" 3900 7000
    tap_ok "the key comes too late: it is made" lab_wait_until 20 accounts_are $((made + 1))
    nothing_is_left "the key comes too late" must-1

    fault '{"match":"'"$MINTING"'","mode":"latency","ms":1500,"times":1}'
    tap_ok "the key comes late, but in time: it starts" virsh_quiet start must-1 --paused
    tap_is "$(live_keys $one)" 1 "with a key"
    virsh_quiet destroy must-1
    nothing_is_left "in time" must-1
}

accounts_are() {
    [ "$(count_accounts_ever $one)" = "$1" ]
}

# What no waiting can help is said at once.
test_hopeless() {
    cp $LAB_SANDBOX/admin-key $KEYS/right-admin-key
    echo sk-admin-wrong >$LAB_SANDBOX/admin-key
    refused "a wrong admin key" must-1 "openai does not accept our admin key: OpenAI does not accept the admin key (401)*put a valid admin key at file:*" 0 3000
    # Whoever has tried lets others go first the next time, but not where a start waits for it.
    virsh_quiet start also-1 --paused
    tap_ok "another VM waits for its key" wait_status_like also-1 '.grants[0].reason' "openai does not accept our admin key: *" 15
    # Until that one's next try is further away than a start waits.
    for _ in 1 2 3 4; do
        refused "a wrong admin key, and another VM waits" must-1 "openai does not accept our admin key: *" 0 3000
    done
    cat $KEYS/right-admin-key >$LAB_SANDBOX/admin-key
    tap_ok "corrected: it starts at once" virsh_quiet start must-1 --paused
    tap_ok "and the other has its key" wait_live_keys 2 5
    virsh_quiet destroy must-1
    virsh_quiet destroy also-1
    nothing_is_left "corrected" must-1

    knob minting '"forbid"'
    refused "minting is forbidden" must-1 "OpenAI refused (403): *(api_key_creation_forbidden)" 0 3000
    knob minting '"allow"'
    nothing_is_left "minting is forbidden" must-1
}

# A refusal of its project says nothing of the next start: that asks anew, though by itself nothing would be tried for minutes.
test_project_refused() {
    lab_domain_xml must-3 --uuid 40000000-0000-4000-8000-000000000003 | lab_define
    fault '{"match":"POST '"$PROJECTS"'","mode":"status","status":400,"times":-1}'
    for _ in 1 2 3 4; do
        refused "the project is refused" must-3 "OpenAI refused (400)*" 0 3000
    done
    faults_end
    tap_ok "put right: it starts at once" virsh_quiet start must-3 --paused
    virsh_quiet destroy must-3
    nothing_is_left "put right" must-3
    remove_domain must-3
}

# The hook as libvirt calls it, but without the domain's XML: that did not come in time.
# usage: bare NAME OPERATION SUBOPERATION
bare() {
    /etc/libvirt/hooks/qemu "$1" "$2" "$3" - </dev/null
}

test_without_xml() {
    tap_ok "without XML, a VM that is known: it gets its key" bare must-1 prepare begin
    tap_is "$(live_keys $one)" 1 "which is there before the VM is"
    bare must-1 stopped end
    bare must-1 release end
    nothing_is_left "without XML" must-1
    tap_ok "without XML, required by its own metadata: it gets its key" bare own-1 prepare begin
    tap_is "$(live_keys $two)" 1 "which is there before the VM is"
    bare own-1 stopped end
    bare own-1 release end
    nothing_is_left "without XML, required by its own metadata" own-1
    tap_ok "without XML, a VM that only the policies know: it does not start without its key" \
        fails_with "llmhook: must-2 requires an LLM key and none could be had: llmhookd was not given its XML, and does not know it yet: start it again" \
        bare must-2 prepare begin
    tap_ok "without XML, what requires nothing starts" bare free-1 prepare begin
    tap_ok "without XML, what nobody knows starts" bare free-2 prepare begin
    tap_ok "without XML, whose own policy gives nothing starts" bare must-not-2 prepare begin
    tap_ok "without XML, who wants none starts" bare must-none-1 prepare begin
}

test_no_daemon() {
    local starting
    lab_daemon_stop
    refused "no daemon" must-1 "llmhookd is not running; start it with \`systemctl start llmhookd\`" 3900 7000
    refused "no daemon, required by its own metadata" own-1 "llmhookd is not running*" 3900 7000
    tap_ok "no daemon: who requires nothing starts" virsh_quiet start free-1 --paused
    virsh_quiet destroy free-1
    tap_ok "no daemon: whose own policy, before that, gives nothing starts" virsh_quiet start must-not-1 --paused
    virsh_quiet destroy must-not-1
    tap_ok "no daemon: who wants none, whatever the policies say, starts" virsh_quiet start must-none-1 --paused
    virsh_quiet destroy must-none-1
    # It comes while the hook waits.
    virsh_quiet start must-1 --paused &
    starting=$!
    tap_ok "the VM waits for a daemon" lab_wait_until 10 test -e "/var/lib/llmhook/spool/$one.json"
    lab_daemon_start
    tap_ok "the daemon comes: it starts" wait "$starting"
    tap_is "$(live_keys $one)" 1 "with a key"
    virsh_quiet destroy must-1
    nothing_is_left "the daemon comes" must-1
    kill -STOP "$LAB_DAEMON_PID"
    refused "the daemon does not answer" must-1 "llmhookd does not answer; *" 3900 7000
    kill -CONT "$LAB_DAEMON_PID"
    nothing_is_left "the daemon does not answer" must-1
}

system_start
lab_domain_xml must-1 --uuid $one | lab_define
lab_domain_xml own-1 --uuid $two --metadata "$(key_metadata "required='yes'" "monthly-limit='5'")" | lab_define
lab_domain_xml also-1 --metadata "$(key_metadata)" | lab_define
lab_domain_xml free-1 | lab_define
lab_domain_xml must-not-1 | lab_define
lab_domain_xml must-none-1 --metadata "<vm xmlns='urn:llmhook:vm:1'/>" | lab_define
test_well
test_wrong_metadata
test_provider
test_short_grace
test_hopeless
test_project_refused
test_without_xml
test_no_daemon
tap_ok "in the end all is in order" audit_is_clean
tap_done
