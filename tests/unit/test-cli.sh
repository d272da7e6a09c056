#!/bin/sh
# The real command against a real control server that gives the answers in tests/cli/. Wanted texts are there too:
# UPDATE_GOLDEN=1 writes them anew, to be looked at before they are kept.
set -u
srcdir=${srcdir:-.}
llmhook=$(realpath "${LLMHOOK:-src/llmhook}")
fixture=$(realpath "${CONTROL_FIXTURE:-tests/unit/control-fixture}")
data=$(cd "$srcdir/tests/cli" && pwd)
man=$srcdir/src/cli/llmhook.1

work=$(mktemp -d)
socket=$work/socket
answers=$work/answers
count=0
failures=0
server=

cleanup() {
    [ -z "$server" ] || kill "$server" 2>/dev/null
    rm -rf "$work"
}
trap cleanup EXIT
LC_ALL=C.UTF-8 TZ=UTC TERM=xterm
export LC_ALL TZ TERM
unset NO_COLOR

ok() { count=$((count + 1)) && echo "ok $count - $1"; }
skip() { count=$((count + 1)) && echo "ok $count - $1 # SKIP $2"; }
not_ok() {
    count=$((count + 1)) failures=$((failures + 1))
    echo "not ok $count - $1"
    shift
    for line in "$@"; do printf '%s\n' "$line" | sed 's/^/# /'; done
}
# check NAME CONDITION...: the condition is a command.
check() {
    name=$1
    shift
    if "$@"; then ok "$name"; else not_ok "$name" "failed: $*" "$(cat "$work/out" "$work/err" 2>/dev/null)"; fi
}
# is NAME GOT WANTED
is() { if [ "$2" = "$3" ]; then ok "$1"; else not_ok "$1" "got: $2" "wanted: $3"; fi; }

start_server() {
    mkdir -p "$answers"
    cp "$data"/*.json "$answers"
    mkfifo "$work/ready"
    "$fixture" "$socket" "$answers" >"$work/ready" &
    server=$!
    read -r word <"$work/ready"
    rm "$work/ready"
    [ "$word" = ready ] || { echo "Bail out! the fixture does not start"; exit 99; }
}
# answer METHOD VARIANT: from now on; without a variant the usual answer.
answer() { cp -f "$data/$1${2:+.$2}.json" "$answers/$1.json"; }

# run ARGUMENT...: not on a terminal. Sets $code; the outputs are in $work/out and $work/err.
run() {
    "$llmhook" --socket "$socket" "$@" >"$work/out" 2>"$work/err" </dev/null
    code=$?
}
# on_terminal INPUT ARGUMENT...: on a terminal of 80 columns, both outputs in $work/out without carriage returns.
on_terminal() {
    input=$1
    shift
    printf '%b' "$input" | SHELL=/bin/sh script -qec "stty cols 80 -echo; '$llmhook' --socket '$socket' $*" /dev/null >"$work/raw" 2>&1
    code=$?
    tr -d '\r' <"$work/raw" >"$work/out"
    : >"$work/err"
}
# golden NAME FILE CODE: what the last run printed and how it ended.
golden() {
    [ -z "${UPDATE_GOLDEN:-}" ] || cp "$work/out" "$data/$2"
    if [ "$code" != "$3" ]; then
        not_ok "$1" "exit code $code, wanted $3" "$(cat "$work/out" "$work/err")"
    elif difference=$(diff -u "$data/$2" "$work/out"); then
        ok "$1"
    else
        not_ok "$1" "$difference"
    fi
}
# says NAME CODE TEXT: the last run ended with CODE and said exactly TEXT on standard error, nothing on standard output.
says() { is "$1" "$code $(cat "$work/out")$(cat "$work/err")" "$2 $3"; }
# json NAME CODE FILTER: the last run's output is JSON for which jq's FILTER is true.
json() {
    if [ "$code" = "$2" ] && jq -e "$3" "$work/out" >/dev/null 2>"$work/err"; then ok "$1"
    else not_ok "$1" "exit code $code; $3" "$(head -c 2000 "$work/out" "$work/err")"; fi
}
# called NAME LINE: the last call that the server got.
called() { is "$1" "$(tail -n 1 "$answers/calls")" "$2"; }
have_jq() { command -v jq >/dev/null; }
have_terminal() { command -v script >/dev/null; }

test_without_daemon() {
    how="start it with \`systemctl start llmhookd\`; \`llmhook doctor\` says what is missing"
    for verb in status 'show x' audit 'revoke --yes x' 'rotate x'; do
        # shellcheck disable=SC2086
        run $verb
        says "$verb without a daemon says so and how to start it" 2 \
            "llmhook: llmhookd is not running (there is no $socket): $how"
    done
}

test_status() {
    run status
    golden 'status in a pipe has one line a row and no colour' status.golden 0
    called 'status asks once, without parameters' 'Status {}'
    is 'nothing on standard error' "$(cat "$work/err")" ''
    answer Status empty
    run status
    golden 'status without a domain says so' status-empty.golden 0
    answer Status
    if ! have_terminal; then skip 'status on a terminal' 'no script(1)'; return; fi
    NO_COLOR=1 on_terminal '' status
    golden 'status on 80 columns wraps between words' status-80.golden 0
    is 'no line is longer than 80 characters' "$(grep -cE '^.{81,}$' "$work/out")" 0
    check 'NO_COLOR is obeyed' sh -c "! grep -q '$(printf '\033')' '$work/out'"
    on_terminal '' status
    check 'a terminal gets colours' grep -q "$(printf '\033\\[31m')" "$work/out"
    TERM=dumb on_terminal '' status
    check 'a dumb terminal does not' sh -c "! grep -q '$(printf '\033')' '$work/out'"
}

test_show() {
    run show dev-1
    golden 'show in a pipe' show.golden 0
    called 'show names the domain' 'Show {"domain":"dev-1"}'
    run show -- -dash
    called 'a domain may begin with a dash' 'Show {"domain":"-dash"}'
    run show nosuch
    says 'a domain that nobody knows' 1 "llmhook: llmhookd knows no domain 'nosuch'"
    if ! have_terminal; then skip 'show on a terminal' 'no script(1)'; return; fi
    NO_COLOR=1 on_terminal '' show dev-1
    golden 'show on 80 columns' show-80.golden 0
    is 'no line is longer than 80 characters' "$(grep -cE '^.{81,}$' "$work/out")" 0
}

test_audit() {
    run audit
    golden 'audit: drift first, exit 1' audit.golden 1
    called 'audit leaves the guests alone' 'Audit {"guests":false}'
    run audit --guests
    called 'audit --guests does not' 'Audit {"guests":true}'
    answer Audit clean
    run audit
    golden 'audit: what others made is no drift, exit 0' audit-clean.golden 0
    answer Audit incomplete
    run audit
    golden 'audit: not all could be seen, exit 2' audit-incomplete.golden 2
    answer Audit both
    run audit
    golden 'audit: drift in what could be seen, exit 1' audit-both.golden 1
    run audit --json
    is 'the same exit code with --json' "$code" 1
    answer Audit
    if ! have_terminal; then skip 'audit on a terminal' 'no script(1)'; return; fi
    NO_COLOR=1 on_terminal '' audit
    golden 'audit on 80 columns' audit-80.golden 1
}

test_federation() {
    run federation show
    golden 'federation show' federation-show.golden 0
    called 'federation show names no provider unless told to' 'FederationShow {}'
    run federation show --provider claude --json
    called 'federation show --provider' 'FederationShow {"provider":"claude"}'
    check 'as JSON it is the answer' grep -q 'subject_prefix.*llmhook:h1:[*]' "$work/out"
    run federation apply --credential file:/etc/llmhook/org-admin
    golden 'federation apply' federation-apply.golden 0
    called 'a reference is passed on' 'FederationApply {"credential":"file:\/etc\/llmhook\/org-admin"}'
    printf ' made-up-token \n' | "$llmhook" --socket "$socket" federation apply --provider claude >"$work/out" 2>"$work/err"
    called 'so is a token from standard input' 'FederationApply {"provider":"claude","token":"made-up-token"}'
    run federation apply
    says 'no token' 64 'llmhook: standard input holds no token: pass one line, or say --credential REFERENCE'
    printf 'one\ntwo\n' | "$llmhook" --socket "$socket" federation apply >"$work/out" 2>"$work/err"
    is 'two lines are no token' "$?" 64
    answer FederationApply refused
    run federation apply --credential env:T
    golden 'what was done before it was refused is told' federation-refused.golden 1
    check 'and why it was' grep -q '^llmhook: rule: fdrl_1 is there, and its target is not' "$work/err"
    answer FederationApply
    run federation remove
    says 'nothing else can be done' 64 \
        "llmhook: what to do with the federation? \`llmhook federation show\` or \`llmhook federation apply\`"
    run federation show --credential env:T
    says 'show asks nobody' 64 'llmhook: show needs no credential: nothing is asked of Anthropic'
}

test_rotate() {
    run rotate dev-1
    says 'rotate' 0 'Replacing 2 keys of dev-1; `llmhook show dev-1` tells when the guest has the new ones.'
    called 'rotate without a provider names none' 'Rotate {"domain":"dev-1"}'
    run rotate --provider openai dev-1
    called 'rotate --provider' 'Rotate {"domain":"dev-1","provider":"openai"}'
    run rotate --no-overlap dev-1
    called 'rotate --no-overlap' 'Rotate {"domain":"dev-1","no_overlap":true}'
    answer Rotate all
    run rotate --all
    called 'rotate --all' 'Rotate {"all":true}'
    says 'rotate --all is spread' 0 'Replacing 7 keys, spread over the next 10 min; `llmhook status` tells how far it has come.'
    run rotate --now --all
    called 'rotate --all --now' 'Rotate {"all":true,"now":true}'
    run rotate --all dev-1
    says 'rotate --all names no domain' 64 "llmhook: what is 'dev-1' for?: try \`llmhook rotate --help\`"
    answer Rotate
    : >"$answers/calls"
    run rotate --al dev-1
    says 'a slip is not taken for --all' 64 "llmhook: '--al' is no option: write --all in full: try \`llmhook rotate --help\`"
    is 'and nothing is asked of the daemon' "$(cat "$answers/calls")" ''
    run rotate --provider --all dev-1
    called 'nor is an argument that looks like it' 'Rotate {"domain":"dev-1","provider":"--all"}'
    run rotate nosuch
    says 'nothing to rotate' 1 \
        "llmhook: domain 'nosuch' has no key to replace: the next boot gets a new one anyway"
}

test_pool() {
    printf 'sk-ant-api03-canary-canary\r\nmore\n' >"$work/key"
    : >"$answers/calls"
    "$llmhook" --socket "$socket" pool add anthropic --name 'from the Console' <"$work/key" >"$work/out" 2>"$work/err"
    code=$?
    says 'pool add' 0 'Added to the pool of anthropic: apikey_1. The next domain that asks for a key may have it.'
    called 'the key is one line of standard input' \
        'PoolAdd {"provider":"anthropic","secret":"sk-ant-api03-canary-canary","label":"from the Console"}'
    run pool add --from file:/k --id apikey_1 anthropic
    called 'or a reference, and nothing is read' 'PoolAdd {"provider":"anthropic","reference":"file:\/k","id":"apikey_1"}'
    run pool add anthropic
    is 'no key at all is an error of usage' "$code $(cat "$work/err")" \
        '64 llmhook: there is no key on standard input: put it there, or say where it is with --from'
    answer PoolAdd ambiguous
    run pool add --from file:/k anthropic
    is 'what is ambiguous is asked back' "$code $(cat "$work/err")" \
        "2 llmhook: several of the provider's keys look like it: say which one with --id: apikey_1 (a), apikey_2 (b)"
    run pool list
    golden 'pool list' pool.golden 0
    answer PoolList empty
    run pool list
    says 'an empty pool' 0 'The pool is empty: llmhook pool add PROVIDER puts a key into it.'
    run pool remove anthropic apikey_1
    says 'pool remove' 0 'Removed from the pool; at the provider it is as it was.'
    called 'pool remove names one' 'PoolRemove {"provider":"anthropic","id":"apikey_1"}'
    run pool mend
    is 'another word is an error of usage' "$code $(cat "$work/err")" \
        '64 llmhook: say what to do with the pool: add PROVIDER, list, or remove PROVIDER ID'
    run pool remove anthropic
    says 'a missing id too' 64 "llmhook: ID is missing: try \`llmhook pool --help\`"
    run pool add --name list
    says 'and a missing provider' 64 "llmhook: PROVIDER is missing: try \`llmhook pool --help\`"
    run pool --name add list
    called 'an option may have an argument that is a word of ours' 'PoolList {}'
}

test_audit_fix() {
    answer Audit
    : >"$answers/calls"
    run audit --fix
    golden 'audit --fix without a terminal shows its plan, and exits 1' audit-fix-plan.golden 1
    is 'it says why it does nothing' "$(cat "$work/err")" \
        'llmhook: nobody is there to confirm, so nothing is done: say --yes to have it done without being asked'
    is 'and only looked' "$(cut -d' ' -f1 "$answers/calls")" Audit
    run audit --fix --yes --guests
    golden 'audit --fix --yes' audit-fix.golden 0
    called 'only what was shown as to be done is asked for' 'AuditFix {"guests":true,"rows":[{"verdict":"orphan","kind":"key","provider":"openai","id":"svcacct_2","name":"llmhook-f00dcafe-dev-7-1","reason":"named as ours, and the ledger does not know it","remedy":"llmhook audit --fix","fix":"revoke it"}]}'
    answer AuditFix left
    run audit --fix --yes
    is 'what could not be mended is still drift' "$code $(tail -n 1 "$work/out")" "1 1 left; \`llmhook audit\` shows it"
    answer AuditFix incomplete
    run audit --fix --yes
    is 'what could not be seen the second time may be left: it is not called mended' \
        "$code $(tail -n 4 "$work/out" | tr '\n' '|')" '2 Could not look everywhere:|  openai: connection refused by 127.0.0.1:8443||It is not known whether anything is left: what could not be seen was not mended either. Run it again.|'
    answer AuditFix
    answer Audit clean
    : >"$answers/calls"
    run audit --fix --yes
    golden 'audit --fix with nothing to mend is an audit' audit-clean.golden 0
    is 'and asks for no mending' "$(cut -d' ' -f1 "$answers/calls")" Audit
    answer Audit
    if ! have_terminal; then skip 'audit --fix on a terminal' 'no script(1)'; return; fi
    : >"$answers/calls"
    for no in n '' ye; do
        on_terminal "$no\n" audit --fix
        is "audit --fix: the answer '$no' is a no" "$code" 1
    done
    is 'and nothing was mended' "$(cut -d' ' -f1 "$answers/calls" | sort -u)" Audit
    check 'the plan stands before the question' \
        sh -c "tr '\n' ' ' <'$work/out' | grep -q 'To be done:.*revoke it.*Do this now. .y/N.'"
    on_terminal "y\n" audit --fix
    is "audit --fix: the answer 'y' is a yes" "$code" 0
    : >"$answers/calls"
    on_terminal "y\n" --json audit --fix
    is 'audit --fix --json: what was not shown is not asked about' \
        "$code $(grep -c 'llmhook: with --json nobody is asked, so nothing is done: say --yes' "$work/out")" '1 1'
    is 'and nothing is mended' "$(cut -d' ' -f1 "$answers/calls")" Audit
    answer Audit progress
    on_terminal '' audit
    check 'on a terminal it tells how far it has come' grep -qF 'open\x1bai: 7 pages read, 612 found' "$work/out"
    is 'and that is gone in the end' "$(tail -n 1 "$work/out" | sed "s/.*$(printf '\033')\[K//")" \
        '0 looked at, 0 in order, 0 not'
    answer Audit
}

test_spending() {
    run usage
    golden 'usage in a pipe: budgets, and what was spent by domain' usage.golden 0
    is 'usage asks for the month in force, page by page' "$(tail -n 2 "$answers/calls")" \
        'Usage {}
Usage {"since":1730419200000,"until":1730764800000,"after":7}'
    on_terminal '' usage --by model
    golden 'usage --by model on 80 columns, with bars and days' usage-80.golden 0
    run usage --csv
    golden 'usage --csv: no formula, quotes doubled' usage-csv.golden 0
    run usage --since 2024-11-02
    is 'usage --since a date is UTC' "$(tail -n 2 "$answers/calls" | head -n 1)" 'Usage {"since":1730505600000}'
    for wrong in yesterday 0d 7 2024-13-01 2024-11-02x 30000d; do
        run usage --since "$wrong"
        says "usage --since $wrong" 64 'llmhook: --since takes a number of days (7d) or a date (2026-11-24, UTC)'
    done
    run usage --by weather
    says 'usage by what there is not' 64 'llmhook: --by takes domain, owner, provider or model'
    run usage --last --since 7d
    says 'usage of two times' 64 'llmhook: --since and --last are two answers to one question: give one of them'
    run usage --last
    check 'usage --last has a beginning and an end' grep -q '^Usage {"since":[0-9]*,"until":[0-9]*}$' "$answers/calls"
    if ! have_jq; then skip 'usage --json' 'no jq'; return; fi
    run usage --json
    json 'usage --json' 0 '(.rows | length) == 4 and (has("next") | not) and .budgets[0].overshoot == 4100000'
}

test_history() {
    : >"$answers/calls"
    run history dev-1
    golden 'history: oldest first, over all pages' history.golden 0
    is 'the pages are asked for one after the other' "$(cat "$answers/calls")" \
        'History {"domain":"dev-1","limit":2000}
History {"domain":"10000000-0000-4000-8000-000000000001","after":7,"limit":2000}'
    run history --since 2026-09-21 dev-1
    check '--since takes a date' grep -qF '"since":1789948800000' "$answers/calls"
    run history --since '2026-09-21 13:05' dev-1
    check '--since takes a date and a time' grep -qF '"since":1789995900000' "$answers/calls"
    : >"$answers/calls"
    run history --since 2h dev-1
    ago=$(sed -n '1s/.*"since":\([0-9]*\)[0-9][0-9][0-9],.*/\1/p' "$answers/calls")
    late=$(($(date +%s) - ago - 7200))
    check '--since takes how long ago' [ $((late >= 0 && late < 30)) = 1 ]
    for wrong in yesterday 2h3 h 2026-13-01 ''; do
        run history --since "$wrong" dev-1
        says "--since does not take '$wrong'" 64 \
            "llmhook: --since takes how long ago (90m, 2h, 3d) or a date (2026-11-24, '2026-11-24 13:05')"
    done
    answer History none
    run history dev-1
    is 'history: nothing' "$code $(cat "$work/out")" '0 Nothing has happened.'
    answer History changed
    run history dev-1
    is 'history: a journal that was changed is bad news' "$code $(cat "$work/err")" \
        '1 llmhook: the journal was changed by somebody else, do not trust it: verify journal: line 3 is missing'
    answer History
    run history nosuch
    says 'history of a domain that nobody knows' 1 "llmhook: llmhookd knows no domain 'nosuch'"
    if ! have_jq; then skip 'history --json' 'no jq'; return; fi
    run history --json dev-1
    json 'history --json' 0 '[.events[].id] == [5, 7, 9] and .events[1].generation == 1 and (.others | length) == 1'
}

test_revoke() {
    run revoke --yes dev-1
    golden 'revoke --yes' revoke.golden 0
    called 'revoke without a provider names none' 'Revoke {"domain":"dev-1"}'
    run revoke --provider openai dev-1 --yes
    called 'revoke --provider' 'Revoke {"domain":"dev-1","provider":"openai"}'
    run revoke --yes --compromised dev-1
    called 'revoke --compromised' 'Revoke {"domain":"dev-1","compromised":true}'
    : >"$answers/calls"
    run revoke dev-1
    says 'revoke asks nobody who is not there' 64 \
        'llmhook: nobody is there to confirm: say --yes to revoke without being asked'
    is 'and does nothing' "$(cat "$answers/calls")" ''
    run revoke --yes bare
    says 'nothing to revoke' 1 "llmhook: domain 'bare' has no key to revoke"
    answer Revoke none
    run revoke --yes dev-1
    says 'a boot that has no key yet gets none' 0 'No key of dev-1 is alive, and none is made before its next boot.'
    run revoke --yes --provider openai dev-1
    says 'of that provider' 0 'No openai key of dev-1 is alive, and none is made before its next boot.'
    answer Revoke
    run revoke --yes full
    says "the daemon's own trouble" 2 'llmhook: the ledger cannot be written: No space left on device'
    if ! have_terminal; then skip 'revoke on a terminal' 'no script(1)'; return; fi
    : >"$answers/calls"
    for no in n '' yellow ye yesterday; do
        on_terminal "$no\n" revoke dev-1
        is "the answer '$no' is a no" "$code" 1
    done
    is 'and nothing was asked of the daemon' "$(cat "$answers/calls")" ''
    check 'the question says what will happen' \
        grep -qF 'Revoke every key of dev-1 now? It gets no new one before its next boot. [y/N]' "$work/out"
    for yes in Y yes y; do
        on_terminal "$yes\n" revoke --provider openai dev-1
        is "the answer '$yes' is a yes" "$code" 0
    done
    check 'the question names the provider' grep -qF 'Revoke the openai keys of dev-1 now?' "$work/out"
    called 'and it is done' 'Revoke {"domain":"dev-1","provider":"openai"}'
}

test_json() {
    if ! have_jq; then skip '--json' 'no jq'; return; fi
    run --json status
    # As the manual's examples ask it.
    sed -n "/^# llmhook status --json/,/^\.Ed/{s/^[#>] *//;/^\.Ed/d;s/^llmhook status --json | *//;p}" "$man" >"$work/example"
    filter=$(sed -n "/^jq -r '.*|\$/,/'\$/{s/^jq -r '//;s/'\$//;p}" "$work/example")
    is "the manual's question after keys that are not proven" \
        "$(jq '.domains[].delivery = "pending"' "$work/out" | jq -r "$filter")" windows-build-machine-with-a-long-name
    json 'status --json' 0 '.domains[1].grants[0].keys[1].generation == 3 and .version == "0.1.0"'
    run show dev-1 --json
    json 'show --json' 0 '.domain.name == "dev-1" and (.events | length) == 3'
    run audit --json
    json 'audit --json' 1 '[.rows[].verdict] == ["ok","orphan","not ours","stale"]'
    run revoke --json --yes dev-1
    json 'revoke --json' 0 '. == {revoking: 2}'
    # On a system that has nothing, so that it is the same everywhere.
    run doctor --json --root "$work"
    json 'doctor --json' 1 '[.checks[] | has("name") and has("result") and has("detail")] | length > 0 and all'
    run status --json
    check '--json is indented' grep -q '^  "version": "0.1.0"' "$work/out"
}

# Escape sequences, C1 controls, text that reorders, line breaks, tags.
hazards() { LC_ALL=C grep -cP '[\x00-\x08\x0b-\x1f\x7f]|\xc2[\x80-\x9f]|\xe2\x80[\xaa-\xae\x8b-\x8f]|\xf3\xa0[\x80\x81]' "$work/out"; }
test_hostile_text() {
    answer Status hostile
    run status
    golden 'what a guest said cannot act on the terminal' hostile.golden 0
    is 'no control character is printed' "$(hazards)" 0
    run status --json
    is 'not even with --json' "$(hazards)" 0
    if have_jq; then
        json 'and there the value stays what it was' 0 \
            '.domains[0].name == "a\u001b[2Jb\u009bcd\u202egnp.exe\u007f" and (.domains[0].delivery_reason | endswith(" \udb40\udc41"))'
    else
        skip 'and there the value stays what it was' 'no jq'
    fi
    answer Status
    # As the daemon answers to it. What is there is a copy of a file that may be read-only.
    rm -f "$answers/Show.json"
    printf '%s\n' '{"error": "NoSuchDomain", "parameters": {"domain": "a\u001b]0;x\u0007"}}' >"$answers/Show.json"
    run show "$(printf 'a\033]0;x\007')"
    says 'nor what the daemon repeats of the command line' 1 "llmhook: llmhookd knows no domain 'a\\x1b]0;x\\x07'"
    called 'which it heard as it was' 'Show {"domain":"a\u001b]0;x\u0007"}'
    answer Show
    run nonsense"$(printf '\033[2J')"
    says 'nor what the command repeats of it' 64 "llmhook: there is no verb 'nonsense\\x1b[2J': try \`llmhook --help\`"
}

test_usage() {
    run
    says 'no verb' 64 "llmhook: what to do?: try \`llmhook --help\`"
    run --nonsense
    says 'an unknown option' 64 "llmhook: unknown option '--nonsense': try \`llmhook --help\`"
    run status --guests
    says "another verb's option" 64 "llmhook: unknown option '--guests': try \`llmhook status --help\`"
    run --jso status
    says 'half an option' 64 "llmhook: '--jso' is no option: write --json in full: try \`llmhook --help\`"
    "$llmhook" --sock="$socket" status >"$work/out" 2>"$work/err" </dev/null
    code=$?
    says 'half an option with an argument' 64 \
        "llmhook: '--sock=$socket' is no option: write --socket in full: try \`llmhook --help\`"
    run revoke --yes --prov openai dev-1
    says "half of a verb's option" 64 \
        "llmhook: '--prov' is no option: write --provider in full: try \`llmhook revoke --help\`"
    run show dev-1 -xy
    says 'letters are no options' 64 "llmhook: unknown option '-x': try \`llmhook show --help\`"
    run -q status
    says 'nor before the verb' 64 "llmhook: unknown option '-q': try \`llmhook --help\`"
    run status --json=yes
    says 'an option that takes no argument' 64 \
        "llmhook: '--json=yes': this option takes no argument: try \`llmhook status --help\`"
    run status dev-1
    says 'a word too many' 64 "llmhook: what is 'dev-1' for?: try \`llmhook status --help\`"
    run show
    says 'a word too few' 64 "llmhook: DOMAIN is missing: try \`llmhook show --help\`"
    run revoke dev-1 --provider
    says 'an option without its argument' 64 \
        "llmhook: option '--provider' needs an argument: try \`llmhook revoke --help\`"
    run --version
    check '--version' grep -qE '^llmhook [0-9]' "$work/out"
    is '--version ends well' "$code" 0
    if [ -w /dev/full ]; then
        "$llmhook" --socket "$socket" status >/dev/full 2>"$work/err"
        is 'an answer that could not be written is no success' "$? $(cat "$work/err")" \
            '2 llmhook: cannot write the answer: No space left on device'
    else
        skip 'an answer that could not be written is no success' 'no /dev/full'
    fi
}

test_guest() {
    run guest cloud-config
    is 'guest cloud-config ends well, without a daemon' "$code $(head -n 1 "$work/out")" '0 #cloud-config'
    cp "$work/out" "$work/plain"
    run guest --json cloud-config
    check 'as JSON it is the same' python3 -c 'import json, sys; sys.exit(json.load(open(sys.argv[1]))["cloud_config"] != open(sys.argv[2]).read())' \
        "$work/out" "$work/plain"
    run guest clean dev-1
    says 'guest clean' 0 "Nothing of llmhook's is left in the files of dev-1."
    called 'it names the domain' 'CleanGuest {"domain":"dev-1"}'
    run guest --socket "$socket" clean dev-2
    called 'options may stand before what is to be done' 'CleanGuest {"domain":"dev-2"}'
    run guest clean
    says 'guest clean and no domain' 64 "llmhook: DOMAIN is missing: try \`llmhook guest --help\`"
    answer CleanGuest refused
    run guest clean dev-1
    says 'guest clean, refused' 2 "llmhook: the guest has keys"
    answer CleanGuest
    run guest
    is 'guest and nothing more' "$code $(cat "$work/err")" '64 llmhook: what about guests? try `llmhook guest --help`'
    run guest nosuch
    is 'guest and something else' "$code $(cat "$work/err")" "64 llmhook: what is 'nosuch' for?: try \`llmhook guest --help\`"
    run guest cloud-config more
    is 'guest cloud-config and a word too many' "$code $(cat "$work/err")" "64 llmhook: what is 'more' for?: try \`llmhook guest --help\`"
}

test_alert() {
    run alert list
    golden 'alerts' alerts.golden 0
    answer Alerts none
    run alert list
    golden 'no alerts' alerts-none.golden 0
    run alert test
    golden 'an alert that not everybody took' alert-test.golden 1
    run alert sound
    says 'no such deed' 64 "llmhook: it is \`llmhook alert list\` or \`llmhook alert test\`"
}

# usage: synopsis VERB: what the manual's synopsis has of it
synopsis() {
    sed -n '/^\.Sh SYNOPSIS/,/^\.Sh DESCRIPTION/p' "$man" |
        awk -v verb="$1" '$1 == ".Nm" { if (of) print block; block = ""; of = 0 } { block = block $0 "\n" }
            $1 == ".Cm" && $2 == verb { of = 1 } END { if (of) print block }'
}

test_help() {
    run --help
    golden '--help' help.golden 0
    check '--help fits on 80 columns' sh -c "! grep -qE '^.{81,}$' '$work/out'"
    for verb in status show audit history revoke rotate usage alert pool guest federation admin-key doctor; do
        run "$verb" --help
        check "$verb --help ends well" [ "$code" = 0 ]
        check "$verb --help is about $verb" grep -q "^Usage: llmhook $verb" "$work/out"
        check "$verb --help fits on 80 columns" sh -c "! grep -qE '^.{81,}$' '$work/out'"
        # shellcheck disable=SC2013 # options are words
        for option in $(grep -oE -- '--[a-z-]+' "$work/out" | sort -u); do
            check "the manual knows $verb $option" grep -q "Fl -${option#--}" "$man"
            case $option in --help | --version) continue ;; esac
            check "its synopsis has $verb $option" sh -c "echo '$(synopsis "$verb")' | grep -qwe 'Fl -${option#--}'"
        done
        grep -oE "^  $verb [a-z-]+ " "$work/out" >"$work/deeds"
        while read -r _ deed; do
            check "its synopsis has $verb $deed" sh -c "echo '$(synopsis "$verb")' | grep -qx '.Cm $verb $deed'"
        done <"$work/deeds"
    done
}

if [ ! -x "$llmhook" ] || [ ! -x "$fixture" ]; then
    echo "1..0 # SKIP llmhook or control-fixture is not built"
    exit 0
fi
test_without_daemon
start_server
test_status
test_show
test_audit
test_audit_fix
test_history
test_spending
test_rotate
test_pool
test_revoke
test_alert
test_federation
test_json
test_hostile_text
test_usage
test_guest
test_help
kill "$server"
wait "$server"
is 'the server ends well' "$?" 0
server=
echo "1..$count"
[ "$failures" = 0 ]
