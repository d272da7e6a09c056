#!/bin/bash
# What an audit finds, that it changes nothing, that --fix mends exactly what is ours to mend, and a domain's history.
# shellcheck disable=SC2016 # the guest and jq expand
set -u
# shellcheck source-path=SCRIPTDIR source=common.sh
. "$(dirname "$0")/common.sh"
lab_enter "$0" "$@"

CONFIG_DAEMON='undefine-grace = 2s'
uuid=60000000-0000-4000-8000-000000000001
three=60000000-0000-4000-8000-000000000003
gone=60000000-0000-4000-8000-000000000009
shared=60000000-0000-4000-8000-00000000000a
LEDGER=/var/lib/llmhook/ledger.sqlite

# usage: outside ACTION [JSON FIELDS...]; prints what it made
outside() {
    local action=$1
    shift
    lab_sandbox_ctl POST /outside "{\"action\":\"$action\"$(printf ',%s' "$@")}" |
        jq -r '.service_account_id // .project_id // empty'
}

# usage: account PROJECT NAME
account() {
    outside create-service-account "\"project_id\":\"$1\"" "\"name\":\"$2\""
}

# Which of the accounts are alive, by name, one a line.
alive() {
    sandbox_state '?live=true' | jq -r '.projects[] | . as $project | .keys[] | . as $key |
        $project.service_accounts[] | select(.id == $key.service_account_id) | .name' | sort
}

# usage: verdicts [OPTION...]: "VERDICT NAME" of all that is not in order, sorted
verdicts() {
    llmhook audit --json "$@" | jq -r '.rows[] | select(.verdict != "ok") | .verdict + " " + .name' | sort
}

verdicts_are() {
    local wanted=$1
    shift
    [ "$(verdicts "$@")" = "$wanted" ]
}

# usage: exits CODE COMMAND...
exits() {
    local code=0 wanted=$1
    shift
    "$@" >"$LAB_DIR/exits.log" 2>&1 </dev/null || code=$?
    [ $code = "$wanted" ] || { echo "exit code $code"; cat "$LAB_DIR/exits.log"; return 1; }
}

daemon_log_has() {
    grep -qF -- "$1" "$LAB_DIR/llmhookd.log"
}

everything() {
    sandbox_state | sha256sum
    llmhook history $uuid --json | sha256sum
}

test_self_audit() {
    tap_ok "the daemon audits by itself when it has started" \
        lab_wait_until 10 daemon_log_has "audit: 0 looked at, 0 in order, 0 not"
    tap_is "$(llmhook status --json | jq -c '.last_audit | [.complete, .looked_at, .drift]')" '[true,0,0]' \
        "status --json knows what it found"
    tap_ok "status says when that was" fails_not "last audit: *all in order" llmhook status
}

fails_not() {
    local output
    output=$("${@:2}") || return
    # shellcheck disable=SC2254 # a pattern is what is wanted
    case $output in *$1*) ;; *) echo "$output"; return 1 ;; esac
}

test_start() {
    lab_domain_xml dev-1 --uuid $uuid | lab_define
    lab_domain_xml dev-2 --append noexec | lab_define
    virsh_quiet start dev-1
    virsh_quiet start dev-2
    tap_ok "a VM has its key" wait_proven dev-1 60
    tap_ok "another's guest cannot be given its key" wait_status dev-2 .delivery failing 60
    host=$(llmhook status --json | jq -r .host_id)
    project=$(project $uuid .id)
    ours=llmhook:$host:$uuid:openai
    minted=$(lab_now_ms)
}

# As a crash before anything was written, a lost ledger, another host, a user and a mistake would leave it.
test_finds() {
    local before lost mixed
    account "$project" "$ours:g7" >/dev/null
    account "$project" "$ours:g1" >/dev/null
    account "$project" "llmhook:beefbeef:$uuid:openai:g1" >/dev/null
    account "$project" "$ours:g7 copy" >/dev/null
    account "$project" "my own" >/dev/null
    lost=$(outside create-project "\"name\":\"llmhook:$host:$gone:openai lost-1\"")
    account "$lost" "llmhook:$host:$gone:openai:g3" >/dev/null
    mixed=$(outside create-project "\"name\":\"llmhook:$host:$shared:openai\"")
    account "$mixed" "llmhook:$host:$shared:openai:g1" >/dev/null
    account "$mixed" "my other own" >/dev/null
    outside set-spend-limit "\"project_id\":\"$project\"" '"cents":999900' >/dev/null
    lab_guest_exec dev-1 'rm -rf /run/llmhook /run/llmhook.d'
    left="another host's llmhook:beefbeef:$uuid:openai:g1
not ours $ours:g7 copy
not ours my other own
not ours my own
orphan llmhook:$host:$shared:openai
orphan llmhook:$host:$shared:openai:g1"
    before=$(everything)
    tap_is "$(verdicts --guests)" "$(sort <<<"$left
orphan $ours:g1
orphan $ours:g7
orphan llmhook:$host:$gone:openai lost-1
orphan llmhook:$host:$gone:openai:g3
over budget $ours dev-1
stale dev-1
undelivered dev-2")" "an audit finds all of it"
    tap_is "$(llmhook audit --json | jq -r '.rows[] | select(.verdict == "undelivered") | .reason')" \
        "minted, and not proven in the guest: $(status dev-2 .delivery_reason)" "and says why"
    tap_ok "exit code 1" exits 1 llmhook audit
    tap_ok "--fix with nobody to ask shows its plan" fails_with \
        "To be done:*orphan key $ours:g7 *: revoke it
*nobody is there to confirm" llmhook audit --fix --guests
    tap_ok "and ends with 1" exits 1 llmhook audit --fix
    tap_is "$(everything)" "$before" "nothing has changed at the provider or in the ledger"
}

test_fixes() {
    local key
    key=$(status dev-1 '.grants[0].keys[0].fingerprint')
    tap_ok "--fix --yes leaves what is not ours alone to decide, so it ends with 1" \
        exits 1 llmhook audit --guests --fix --yes --json
    tap_is "$(jq -r '.rows[] | select(has("fixed")) | [.verdict, .name, .result] | join(" ")' "$LAB_DIR/exits.log" | sort)" \
        "orphan $ours:g1 done
orphan $ours:g7 done
orphan llmhook:$host:$gone:openai lost-1 done
orphan llmhook:$host:$gone:openai:g3 done
over budget $ours dev-1 done
stale dev-1 done
undelivered dev-2 done" "it says what it did"
    virsh_quiet destroy dev-2
    tap_ok "all else is in order soon" lab_wait_until 20 verdicts_are "$left"
    tap_ok "with the other VM off" wait_live_keys 0 10 "$(status dev-2 .uuid)"
    tap_is "$(alive)" "$(sort <<<"llmhook:beefbeef:$uuid:openai:g1
$ours:g7 copy
my other own
my own
llmhook:$host:$shared:openai:g1
$ours:g1")" "alive is what others made, what is among theirs, and the VM's own key"
    tap_is "$(live_hash "$ours:g1")" "$key" "which is the same"
    tap_ok "and in the guest again" lab_wait_until 20 guest_hash_is dev-1 "$key"
    tap_ok "the lost domain's project is archived" lab_wait_until 10 project_is $gone .live false
    tap_is "$(project $uuid '.spend_limit.cents')" 2500 "the limit is what it was"
}

# The old copy knows nothing of the domain, of which generation 2 is alive: it makes a generation 1.
test_old_ledger() {
    third=llmhook:$host:$three:openai
    lab_domain_xml dev-3 --uuid $three | lab_define
    lab_daemon_stop
    cp $LEDGER "$LAB_DIR/old-copy"
    lab_daemon_start
    virsh_quiet start dev-3 --paused
    wait_status dev-3 '.grants[0].keys | map(.state) | join(",")' minted 20
    virsh_quiet destroy dev-3
    wait_status dev-3 '.grants[0].keys | length' 0 20
    virsh_quiet start dev-3 --paused
    wait_status dev-3 '.grants[0].keys | map(.state) | join(",")' minted 20
    tap_is "$(status dev-3 '.grants[0].keys[0].generation')" 2 "two boots later"
    lab_daemon_kill9
    rm -f $LEDGER-wal $LEDGER-shm
    cp "$LAB_DIR/old-copy" $LEDGER
    lab_daemon_start
    tap_ok "the ledger is an old copy: what the provider knows more is found" \
        lab_wait_until 20 eval 'verdicts | grep -qx "orphan $third:g2"'
    tap_ok "the daemon's own audit warns of it" \
        lab_wait_until 10 daemon_log_has "audit: orphan: key $third:g2"
    tap_ok "--fix" lab_wait_until 20 eval 'llmhook audit --fix --yes >/dev/null; verdicts_are "$left"'
    tap_is "$(alive | grep -c "^$third:g2\$")" 0 "it is gone"
    virsh_quiet destroy dev-3
    tap_ok "destroyed: nothing of it is alive" wait_live_keys 0 20 "$third"
    virsh_quiet start dev-3 --paused
    wait_status dev-3 '.grants[0].keys | map(.state) | join(",")' minted 20
    tap_is "$(status dev-3 '.grants[0].keys[0].generation')" 3 "its name is never used again"
}

attempts_are() {
    status_is dev-3 '.grants[0].keys[0].attempts >= '"$1" true
}

test_zombie() {
    fault '{"match":"DELETE '$PROJECTS'/*/service_accounts/*","mode":"status","status":403,"times":-1,
        "type":"forbidden","code":"forbidden","message":"Not now."}'
    virsh_quiet destroy dev-3
    tap_ok "a revocation is refused: a zombie" lab_wait_until 10 eval 'verdicts | grep -qx "zombie $third:g3"'
    llmhook audit --fix --yes >/dev/null
    tap_ok "--fix: it is tried again at once" lab_wait_until 3 attempts_are 2
    llmhook audit --fix --yes >/dev/null
    lab_wait_until 3 attempts_are 3
    tap_is "$(llmhook audit --json | jq -r '.rows[] | select(.verdict == "stuck") | .name + ": " + .reason' |
        sed 's/(.*//')" "$third:g3: its revocation keeps failing: OpenAI refused " "it is stuck, with its reason"
    faults_end
    llmhook audit --fix --yes >/dev/null
    tap_ok "the provider does it again: it is gone at once" wait_live_keys 0 4 "$third:g3"
}

is_missing() {
    verdicts_are "$(sort <<<"$left
missing $ours:g1")"
}

test_missing() {
    local id age
    id=$(sandbox_state | jq -r --arg name "$ours:g1" '.projects[] | .service_accounts[] | select(.name == $name and .deleted_ms == null) | .id')
    outside delete-service-account "\"project_id\":\"$project\"" "\"service_account_id\":\"$id\"" >/dev/null
    age=$((($(lab_now_ms) - minted) / 1000))
    tap_ok "somebody removes the VM's key at the provider: missing, as soon as lists can be believed" \
        lab_wait_until $((age < 30 ? 35 - age : 5)) is_missing
    tap_ok "--fix: its row ends" exits 1 llmhook audit --fix --yes
    tap_ok "and a new key is in the guest" wait_proven dev-1 30
    tap_is "$(status dev-1 '.grants[0].keys[0].generation')" 9 \
        "of a generation that no name at the provider, nor any row, has had"
    tap_ok "that is the one there is" guest_has_live_key dev-1 "$uuid:openai:g9"
}

archived_is_missing() {
    verdicts | grep -qx "missing $ours:g9"
}

# With the key in it, of which nobody has asked yet.
test_archived() {
    outside archive-project "\"project_id\":\"$(status dev-1 '.grants[0].container')\"" >/dev/null
    tap_ok "somebody archives the VM's project: its key is missing" lab_wait_until 45 archived_is_missing
    tap_ok "--fix: its project is asked for" exits 1 llmhook audit --fix --yes
    tap_ok "which shows that both are gone: another key is made" wait_status dev-1 '.grants[0].keys[0].generation' 10 30
    tap_ok "and is in the guest" wait_proven dev-1 30
    tap_ok "in a project that is there" guest_has_live_key dev-1 "$uuid:openai:g10"
}

test_history() {
    remove_domain dev-1
    tap_ok "the domain is undefined and forgotten" lab_wait_until 20 fails_with "no*dev-1" llmhook show dev-1
    llmhook history dev-1 --json >"$LAB_DIR/history.json"
    tap_is "$(jq -c '[.uuid, (.events | map(.id) == (map(.id) | sort)), has("chain_problem")]' "$LAB_DIR/history.json")" \
        "[\"$uuid\",true,false]" "its history is known by its name, oldest first"
    tap_is "$(jq -r '.events[] | select(.generation == 1) | [.event, .provider, .actor] | join(" ")' "$LAB_DIR/history.json")" \
        "key planned openai llmhookd
key minting openai llmhookd
key minted openai llmhookd
key active openai llmhookd
key revoking openai operator
key revoked openai llmhookd" "with all that happened to a key, and who did it"
    tap_is "$(jq -r '.events[] | select(.event == "key adopted") | [.generation, .actor, .cause] | join(" ")' "$LAB_DIR/history.json" | sort -n)" \
        "7 operator an audit found it: named as ours, and the ledger does not know it
8 operator an audit found it: a second one under the name of a key that the ledger knows" "and what an audit has found"
    tap_is "$(jq -r '.events | [first.event, first.actor, last.event, last.cause, last.actor] | join(" ")' "$LAB_DIR/history.json")" \
        "granted policy domain forgotten dev-1 libvirt" "from its beginning to its end"
    tap_is "$(llmhook history $uuid --json | sha256sum)" "$(sha256sum <"$LAB_DIR/history.json")" "by its UUID too"
    tap_is "$(llmhook history --json --since 1w dev-1 | jq '.events | length')" "$(jq '.events | length' "$LAB_DIR/history.json")" \
        "--since a week ago"
    tap_is "$(llmhook history --json --since 2099-01-01 dev-1 | jq '.events | length')" 0 "--since a day to come"
    tap_ok "nobody knows a domain that never was" exits 1 llmhook history dev-99
}

test_incomplete() {
    listening false
    for domain in $(virsh list --all --name); do
        remove_domain "$domain"
    done
    tap_ok "the provider cannot be reached: exit code 2" exits 2 llmhook audit
    tap_ok "and --fix does nothing" exits 2 llmhook audit --fix --yes
    listening true
}

test_tampering() {
    lab_daemon_stop
    python3 - $LEDGER <<-'END'
	import sqlite3, sys
	ledger = sqlite3.connect(sys.argv[1])
	ledger.execute("DROP TRIGGER journal_is_not_rewritten")
	ledger.execute("UPDATE journal SET actor = 'nobody' WHERE id = 3")
	ledger.commit()
	END
    lab_daemon_start
    tap_ok "the journal was changed: the daemon says so" \
        lab_wait_until 10 daemon_log_has "audit: stale: journal journal, here: verify journal: line 3 does not fit its hash"
    tap_ok "so does audit" fails_with "stale*journal*line 3 does not fit its hash" llmhook audit
    tap_ok "so does history" fails_with "do not trust it: verify journal: line 3" llmhook history $uuid
    tap_ok "which ends with 1" exits 1 llmhook history $uuid
}

system_start
test_self_audit
test_start
test_finds
test_fixes
test_old_ledger
test_zombie
test_missing
test_archived
test_history
test_incomplete
test_tampering
tap_done
