#!/bin/bash
# Alerts: each cause is told once, to everybody, whatever dies in between; who cannot be reached delays nobody else.
set -u
# shellcheck source-path=SCRIPTDIR source=common.sh
. "$(dirname "$0")/common.sh"
lab_enter "$0" "$@"

told=/run/lab/told
uuid=30000000-0000-4000-8000-000000000011

# What each of them has heard, a line each: kinds.
heard_webhook() { jq -r .alert.kind 2>/dev/null <$told/webhook; }
heard_program() { jq -r .alert.kind 2>/dev/null <$told/program; }
heard_mail() { sed -n 's/^Subject: llmhook on [^:]*: \([a-z-]*\).*/\1/p' $told/mail; }

# usage: heard WHO KIND COUNT
heard() {
    [ "$("heard_$1" | grep -cx "$2")" = "$3" ]
}

# usage: wait_heard WHO KIND COUNT TIMEOUT
wait_heard() {
    lab_wait_until "$4" heard "$1" "$2" "$3" || lab_fail "the $1 has heard: $("heard_$1" | tr '\n' ' ')"
}

sinks_start() {
    install -d -m 0700 $told
    (umask 077 && head -c 24 /dev/urandom | base64 >$told/secret)
    : >$told/webhook
    : >$told/program
    : >$told/mail
    cat >$told/take-program <<END
#!/bin/sh
cat >>$told/program
[ ! -p $told/gate ] || { : >$told/waiting && read -r _ <$told/gate; }
END
    cat >$told/take-mail <<END
#!/bin/sh
{ printf 'to %s\n' "\$*"; cat; } >>$told/mail
END
    chmod 0755 $told/take-program $told/take-mail
    "$LLMHOOK_SOURCE/tests/system/webhook.py" $told/port $told &
    webhook_pid=$!
    lab_wait_until 20 test -s $told/port
}

alerts_section() {
    CONFIG_POLICY="[alerts]
webhook = http://127.0.0.1:$(cat $told/port)/hook/path
webhook-secret = file:$told/secret
program = $told/take-program
mail = ops@example.com
sendmail = $told/take-mail

[policy dev-*]
providers = openai
monthly-limit = 25"
}

waits_for_webhook() {
    [ "$(llmhook alert list --json | jq -r '.alerts[] | select(.kind == "'"$1"'") | .waiting | join(",")')" = webhook ]
}

nothing_waits() {
    llmhook alert list --json | jq -e '[.alerts[].waiting[]] == []' >/dev/null
}

test_test() {
    tap_ok "alert test: all are told" llmhook alert test
    wait_heard webhook test 1 10
    tap_is "$(heard_webhook | tr '\n' ' ')" "test " "the webhook has it, well signed"
    tap_is "$(heard_program | tr '\n' ' ')" "test " "the program has it"
    tap_is "$(heard_mail | tr '\n' ' ')" "test " "and so has the mail"
    tap_ok "the mail goes to the address" grep -qx 'to -i -- ops@example.com' $told/mail
    tap_ok "Slack would show a text" jq -e '.text | startswith("llmhook on ")' $told/webhook
    : >$told/broken
    tap_ok "alert test: a webhook that fails is named" fails_with "webhook  the webhook answered with status 500" llmhook alert test
    rm $told/broken
    cp $told/take-mail $told/good-mail
    # What Postfix's does where its spool cannot be written to: it complains, and tries for ever.
    printf '#!/bin/sh\necho "postdrop: warning: create file maildrop/1.2: Read-only file system" >&2\nexec sleep 300\n' \
        >$told/take-mail
    tap_ok "alert test: what a sendmail complains of is shown" \
        fails_with "mail     $told/take-mail did not end within 20000 ms and was killed: postdrop: warning: create file maildrop/1.2: Read-only file system" \
        llmhook alert test
    cat $told/good-mail >$told/take-mail
}

# Whoever asked may go before all have been told.
test_test_without_asker() {
    local asker
    mkfifo $told/gate
    "$LLMHOOK_BUILD/src/llmhook" alert test >/dev/null 2>&1 &
    asker=$!
    tap_ok "alert test: the program takes its time" lab_wait_until 20 test -e $told/waiting
    kill $asker
    wait $asker 2>/dev/null
    llmhook status >/dev/null # the daemon has seen it go before it answers this
    exec 7>$told/gate
    rm $told/gate
    exec 7>&-
    tap_ok "whoever asked has gone: all are told again" llmhook alert test
    tap_ok "by the same daemon" kill -0 "$LAB_DAEMON_PID"
    : >$told/webhook
    : >$told/program
    : >$told/mail
}

# How often the daemon was not let in, and whether it was more often than BEFORE.
times_refused() { grep -c "provider openai: unauthorized" "$LAB_DIR/llmhookd.log"; }
refused_since() { [ "$(times_refused)" -gt "$1" ]; }

# The daemon does not get in any more, and one of three cannot be told.
test_once() {
    local refused
    : >$told/broken
    cp -p $LAB_SANDBOX/admin-key $told/good-key
    (umask 077 && echo sk-admin-of-nobody >$LAB_SANDBOX/admin-key)
    virsh_quiet start dev-1 --paused
    tap_ok "a refused admin key: the program hears of it" wait_heard program admin-key 1 40
    tap_ok "and the mail" wait_heard mail admin-key 1 20
    tap_ok "the webhook is broken: the alert waits for it" lab_wait_until 20 waits_for_webhook admin-key
    tap_ok "it is in the list" grep -q admin-key <<<"$(llmhook alert list)"
    lab_daemon_kill9
    lab_daemon_start
    tap_ok "killed and started: it still waits" lab_wait_until 20 waits_for_webhook admin-key
    rm $told/broken
    tap_ok "the webhook works again, and is told" wait_heard webhook admin-key 1 40
    tap_ok "nobody is left to be told" lab_wait_until 20 nothing_waits
    lab_daemon_kill9
    refused=$(times_refused)
    lab_daemon_start
    # Two more scans, of 15 s each, see the same cause.
    tap_ok "the cause is still there" lab_wait_until 30 refused_since "$refused"
    lab_wait_until 40 scans_since "$(lab_now_ms)" 32000
    for who in webhook program mail; do
        tap_ok "killed again: the $who has still heard of it once" heard $who admin-key 1
    done
    cp -p $told/good-key $LAB_SANDBOX/admin-key
    wait_live_keys 1 60 $uuid
}

# The clock itself is what is waited for here: that nothing comes.
scans_since() {
    [ $(($(lab_now_ms) - $1)) -ge "$2" ]
}

# A key of our name that nobody knows: the daemon's own audit finds it at its start.
test_drift() {
    local name
    name="llmhook:$(llmhook status --json | jq -r .host_id):$uuid:openai:g9"
    lab_sandbox_ctl POST /outside '{"action":"create-service-account","project_id":"'"$(project $uuid .id)"'","name":"'"$name"'"}' >/dev/null
    CONFIG_DAEMON='undefine-grace = 2s
audit-interval = 1h'
    system_configure
    lab_daemon_kill9
    lab_daemon_start
    for who in webhook program mail; do
        tap_ok "an orphan: the $who hears of it" wait_heard $who drift 1 60
    done
    tap_ok "and what it is" grep -q "orphan: key $name" $told/program
    lab_daemon_kill9
    lab_daemon_start
    tap_ok "found again" lab_wait_until 60 audited_again
    tap_ok "and told once" heard program drift 1
}

audited_again() {
    llmhook status --json | jq -e '.last_audit.complete and .last_audit.drift == 1' >/dev/null
}

# What is looked for is a file's only line: a secret gets into no argument, nor into what is shown of a failure.
# usage: is_in FILE-WITH-THE-TEXT FILE...
is_in() {
    [ "$(grep -c . "$1")" = 1 ] || return 2
    grep -qF -f "$@"
}

# Each file was there, and was read.
nowhere() {
    is_in "$@"
    [ $? = 1 ]
}

test_secrets() {
    local name
    echo "bad signature" >$told/bad
    echo hook/path >$told/path
    (umask 077 && cat $told/path $told/bad $told/secret $told/good-key >$told/all)
    for name in good-key secret bad path; do
        tap_ok "the search finds what is there ($name)" is_in $told/$name $told/all
    done
    tap_ok "no admin key is in what was told" nowhere $told/good-key $told/webhook $told/program $told/mail
    tap_ok "nor that of the webhook" nowhere $told/secret $told/webhook $told/program $told/mail "$LAB_DIR/llmhookd.log"
    tap_ok "nor is any signature bad" nowhere $told/bad $told/webhook
    tap_ok "the webhook's path, which may be its password, is not in the log" nowhere $told/path "$LAB_DIR/llmhookd.log"
}

sinks_start
alerts_section
system_start
lab_domain_xml dev-1 --uuid $uuid | lab_define
test_test
test_test_without_asker
test_once
test_drift
test_secrets
kill $webhook_pid
tap_done
