#!/bin/bash
# Delivers to a real qemu-ga, with each shell that a guest may have as its /bin/sh. The agent runs in namespaces of
# its own, where /run is a fresh tmpfs and /etc a copy with accounts of ours: nothing of this machine is touched.
# AGENT_DELIVERIES and AGENT_KILLS say how many deliveries are watched, and how many killed, with each shell.
# Prints TAP. Needs root, and Debian's package of the agent (unpacked below the cache, not installed).
set -u
here=$(cd "$(dirname "$0")" && pwd -P)
top=$(cd "$here/../.." && pwd -P)
drive=${AGENT_DRIVE:-${LLMHOOK_BUILD:-$top}/tests/agent/agent-drive}
cache=${LLMHOOK_CACHE:-$top/.cache}/qemu-ga

# --- outside -------------------------------------------------------------------------------------------------------

skip_all() {
    echo "1..0 # SKIP $*"
    exit 77
}

# The agent and what it is linked with, as packages, for a machine that lacks some of it.
unpack_agent() (
    set -e
    [ ! -x "$cache/agent/usr/sbin/qemu-ga" ] || exit 0
    rm -rf "$cache"
    mkdir -p "$cache/new"
    cd "$cache"
    apt-get -q -o APT::Sandbox::User= download qemu-guest-agent >&2
    dpkg-deb -x qemu-guest-agent_*.deb new
    if ldd new/usr/sbin/qemu-ga | grep -q 'not found'; then
        # shellcheck disable=SC2046 # one word a package
        apt-get -q -o APT::Sandbox::User= download $(apt-cache depends qemu-guest-agent |
            sed -n 's/^ *Depends: \([a-z0-9][^ ]*\)$/\1/p') >&2
        for package in lib*.deb; do
            dpkg-deb -x "$package" new
        done
    fi
    mv new agent
)

if [ "${1:-}" != inside ]; then
    [ "$(id -u)" = 0 ] || skip_all "needs root, for namespaces and accounts"
    [ -x "$drive" ] || skip_all "$drive is not built"
    for tool in unshare setpriv apt-get dpkg-deb busybox dash; do
        command -v $tool >/dev/null || skip_all "needs $tool"
    done
    unpack_agent || skip_all "Debian's package qemu-guest-agent cannot be had"
    work=$(mktemp -d) || exit
    chmod 0755 "$work"
    unshare --mount --pid --fork --kill-child --mount-proc bash "$0" inside "$work" &
    trap 'kill -KILL $! 2>/dev/null; wait; rm -rf "$work"' EXIT
    trap 'exit 143' TERM INT HUP
    wait $!
    exit
fi

# --- inside: tools ---------------------------------------------------------------------------------------------------

work=$2
number=0 failed=0 shell=''
agent_pid=0
libraries=$cache/agent/usr/lib/x86_64-linux-gnu:$cache/agent/lib/x86_64-linux-gnu
ldd "$cache/agent/usr/sbin/qemu-ga" | grep -q 'not found' || libraries=

# is NAME GOT WANTED
is() {
    number=$((number + 1))
    if [ "$2" = "$3" ]; then
        echo "ok $number - $shell: $1"
    else
        failed=$((failed + 1))
        echo "not ok $number - $shell: $1"
        diff <(printf '%s\n' "$2") <(printf '%s\n' "$3") | sed -e 's/^</#   got:/' -e 's/^>/#   wanted:/' -e '/^#/!d'
    fi
}

# like NAME GOT PATTERN
like() {
    # shellcheck disable=SC2053 # a pattern is meant
    if [[ $2 == $3 ]]; then
        is "$1" "" ""
    else
        is "$1" "$2" "$3"
    fi
}

agent_start() {
    LD_LIBRARY_PATH=$libraries "$cache/agent/usr/sbin/qemu-ga" -m unix-listen -p "$work/socket" -t "$work" \
        -f "$work/pid" "$@" >"$work/agent.log" 2>&1 &
    agent_pid=$!
    for _ in {1..500}; do
        [ ! -S "$work/socket" ] || return 0
        sleep 0.01
    done
    cat "$work/agent.log"
    echo "Bail out! the agent does not listen"
    exit 1
}

agent_stop() {
    kill "$agent_pid"
    # Its handler takes a lock (g_main_loop_quit()). A signal that comes while the loop has that is never acted upon.
    (sleep 10 & s=$!; trap 'kill $s' TERM; wait $s && kill -KILL "$agent_pid") 2>/dev/null &
    wait "$agent_pid"
    kill $!
    rm -f "$work/socket"
}

# What came of it, without the words that differ from run to run.
deliver() {
    "$drive" "$work/socket" deliver "$@" | sed -e 's/ calls=.*where=/ where=/'
}

withdraw() {
    "$drive" "$work/socket" withdraw | sed -e 's/ calls=.*//'
}

probe() {
    "$drive" "$work/socket" probe | sed -e 's/ .*//'
}

fingerprint() {
    "$drive" - fingerprint "$@"
}

# USER COMMAND...: as that account, with no other group than its own.
as() {
    local uid gid
    IFS=: read -r _ _ uid gid _ < <(grep "^$1:" /etc/passwd)
    shift
    setpriv --reuid "$uid" --regid "$gid" --clear-groups "$@" 2>/dev/null
}

hash_of() {
    printf %s "$(cat "$1")" | sha256sum
}

# USER [SHELL OPTION...]: the hash of what a new login shell has in OPENAI_API_KEY.
login_hash() {
    local user=$1
    shift
    # shellcheck disable=SC2016 # the login shell expands it
    as "$user" env -i HOME=/ PATH=/usr/bin:/bin /bin/sh "$@" -l -c 'printf %s "${OPENAI_API_KEY-}"' | sha256sum
}

# What is in /run; mount(8) keeps a folder there.
in_run() {
    find /run -mindepth 1 -name mount -prune -o "$@"
}

# Modes, owners and names of what is in /run, the numbers of processes made N.
listing() {
    in_run -printf '%M %U:%G %P%y%l\n' |
        sed -e 's/llmhook.d\/[0-9x]*/llmhook.d\/N/g' -e 's/[dfl]\(llmhook.d\/N\)\{0,1\}$/ \1/' -e 's/ $//' | sort -k3
}

remains() {
    in_run -print | wc -l
}

fresh_etc() {
    rm -rf /etc/profile.d/* /etc/profile /etc/*.local /etc/NIXOS /etc/bash.bashrc /etc/zsh /etc/zshenv /etc/fish /etc/llmhook \
        /usr/local/bin/*
    cat >/etc/passwd <<'END'
root:x:0:0:root:/root:/bin/sh
daemon:x:1:1:daemon:/usr/sbin:/usr/sbin/nologin
sync:x:4:65534:sync:/bin:/bin/sync
service:x:990:990:a service:/:/bin/sh
alice:x:1000:1000:Alice $(touch /run/evil) `touch /run/evil`:/:/bin/sh
bob:x:1001:1002:Bob:/:
twin:x:1000:1000:the same again:/:/bin/sh
robot:x:1003:1003:no human:/:/usr/sbin/nologin
gone:x:1004:1004:a shell that is not there:/:/bin/nosuchshell
half:x:1005
nobody:x:65534:65534:nobody:/nonexistent:/usr/sbin/nologin
END
    printf 'root:x:0:\ndevs:x:5000:\n' >/etc/group
    printf 'UID_MIN 1000\nUID_MAX 60000\n' >/etc/login.defs
    cat >/etc/profile <<'END'
PATH=/usr/bin:/bin
# Reads what is in
for i in /etc/profile.d/*.sh; do
    [ ! -r "$i" ] || . "$i"
done
END
}

use_shell() {
    shell=$1
    case $1 in
    dash) ;;
    *) mount --bind "$(command -v "$1")" "$(readlink -f /bin/sh)" ;;
    esac
}

restore_shell() {
    case $shell in
    dash) ;;
    *) umount "$(readlink -f /bin/sh)" ;;
    esac
}

# --- inside: tests ---------------------------------------------------------------------------------------------------

good="outcome=proven written=yes humans=2 shell=yes where=/etc/profile.d/llmhook.sh also=llmhook-run"

test_first() {
    is "a first delivery is proven" "$(deliver --label=3 OPENAI_API_KEY="$work/one" ANTHROPIC_API_KEY="$work/two")" "$good"
    is "modes and owners" "$(listing)" "lrwxrwxrwx 0:0 llmhook llmhook.d/N
drwx--x--x 0:0 llmhook.d
drwx--x--x 0:0 llmhook.d/N
-r-------- 0:0 llmhook.d/N/.fresh
-r-------- 0:0 llmhook.d/N/.hooks
-r-------- 0:0 llmhook.d/N/.readers
-r-------- 0:0 llmhook.d/N/.told
-r-------- 0:0 llmhook.d/N/ANTHROPIC_API_KEY
-r-------- 0:0 llmhook.d/N/OPENAI_API_KEY
-r-------- 0:0 llmhook.d/N/env
-r--r--r-- 0:0 llmhook.d/N/generation
-r-xr-xr-x 0:0 llmhook.d/N/llmhook-run
-r--r--r-- 0:0 llmhook.d/N/profile.sh
drwx--x--x 0:0 llmhook.d/N/users
drwx--x--x 0:0 llmhook.d/N/users/1000
-r-------- 1000:1000 llmhook.d/N/users/1000/ANTHROPIC_API_KEY
-r-------- 1000:1000 llmhook.d/N/users/1000/OPENAI_API_KEY
-r-------- 1000:1000 llmhook.d/N/users/1000/env
drwx--x--x 0:0 llmhook.d/N/users/1001
-r-------- 1001:1002 llmhook.d/N/users/1001/ANTHROPIC_API_KEY
-r-------- 1001:1002 llmhook.d/N/users/1001/OPENAI_API_KEY
-r-------- 1001:1002 llmhook.d/N/users/1001/env"
    is "the label is shown" "$(as service cat /run/llmhook/generation)" 3
    is "a key's file is the key" "$(sha256sum </run/llmhook/OPENAI_API_KEY)" "$(hash_of "$work/one")"
    # shellcheck disable=SC1091,SC2154 # made by the delivery
    is "a shell reads env" "$(. /run/llmhook/env && printf %s "$OPENAI_API_KEY" | sha256sum)" "$(hash_of "$work/one")"
    is "what the guest has is what was sent" "$(probe)" \
        "$(fingerprint ANTHROPIC_API_KEY="$work/two" OPENAI_API_KEY="$work/one")"
}

test_readers() {
    local user file seen=''
    for user in alice bob service robot gone nobody; do
        for file in env OPENAI_API_KEY users/1000/env users/1000/OPENAI_API_KEY users/1001/env; do
            [ "$(can_read $user /run/llmhook/$file)" = no ] || seen="$seen $user:$file"
        done
    done
    is "each human reads his own, nobody else anything" "$seen" \
        " alice:users/1000/env alice:users/1000/OPENAI_API_KEY bob:users/1001/env"
    is "alice's login shell has the key" "$(login_hash alice)" "$(hash_of "$work/one")"
    is "also one that stops at every error" "$(login_hash alice -eu)" "$(hash_of "$work/one")"
    is "bob's has it" "$(login_hash bob)" "$(hash_of "$work/one")"
    is "root's has it" "$(login_hash root)" "$(hash_of "$work/one")"
    is "a service's has none" "$(login_hash service)" "$(printf '' | sha256sum)"
}

test_again() {
    local before after
    before=$(find /run/llmhook.d -type f -printf '%i %T@\n' | sort)
    is "the same again writes nothing" \
        "$(deliver --label=3 ANTHROPIC_API_KEY="$work/two" OPENAI_API_KEY="$work/one")" "${good/written=yes/written=no}"
    after=$(find /run/llmhook.d -type f -printf '%i %T@\n' | sort)
    is "and touches no file" "$after" "$before"
    is "another key is written" "$(deliver --label=4 OPENAI_API_KEY="$work/two")" "$good"
    is "and is there" "$(sha256sum </run/llmhook/users/1001/OPENAI_API_KEY)" "$(hash_of "$work/two")"
    is "what was before is gone" "$(listing | grep -c 'ANTHROPIC\|llmhook.d/N$')" 2 # the folder, and the link to it
    is "another label is written" "$(deliver --label=5 OPENAI_API_KEY="$work/two")" "$good"
    is "no folder piles up" "$(find /run/llmhook.d -mindepth 1 -maxdepth 1 | wc -l)" 1
    is "nothing else is left in /run" "$(cd /run && echo [!m]* .[!.]*)" "llmhook llmhook.d .[!.]*"
}

test_repair() {
    echo spoilt >/run/llmhook/users/1000/OPENAI_API_KEY
    is "a copy that was changed is repaired" "$(deliver --label=5 OPENAI_API_KEY="$work/two")" "$good"
    is "and is right" "$(sha256sum </run/llmhook/users/1000/OPENAI_API_KEY)" "$(hash_of "$work/two")"
    rm /run/llmhook/OPENAI_API_KEY
    is "a file that was removed is made again" "$(deliver --label=5 OPENAI_API_KEY="$work/two")" "$good"
    echo spoilt >/run/llmhook/users/1001/env
    like "a probe sees an account's variables that differ" "$("$drive" "$work/socket" probe OPENAI_API_KEY="$work/two")" "*same=no *"
    echo spoilt >/run/llmhook/users/1001/OPENAI_API_KEY
    like "and a key that differs" "$("$drive" "$work/socket" probe)" "*outcome=mismatch*differ from those of its root*"
    echo "carol:x:1007:1007::/:/bin/sh" >>/etc/passwd
    is "a new account gets its copy" "$(deliver --label=5 OPENAI_API_KEY="$work/two")" "${good/humans=2/humans=3}"
    is "which it can read" "$(can_read carol /run/llmhook/users/1007/env)" yes
}

test_policies() {
    is "readers=root" "$(deliver --readers=root OPENAI_API_KEY="$work/one")" "${good/humans=2/humans=0}"
    is "is for root alone" "$(listing | grep -v -e generation -e profile.sh -e llmhook-run | cut -d' ' -f1,2 | sort -u)" "-r-------- 0:0
drwx--x--x 0:0
lrwxrwxrwx 0:0"
    is "readers=group:devs" "$(deliver --readers=group:devs OPENAI_API_KEY="$work/one")" "${good/humans=2/humans=0}"
    is "is for that group" "$(listing | grep 'OPENAI\|env')" "-r--r----- 0:5000 llmhook.d/N/OPENAI_API_KEY
-r--r----- 0:5000 llmhook.d/N/env"
    is "its members read it" "$(setpriv --reuid 1000 --regid 1000 --groups 5000 cat /run/llmhook/OPENAI_API_KEY | sha256sum)" \
        "$(hash_of "$work/one")"
    is "others do not" "$(can_read bob /run/llmhook/OPENAI_API_KEY)" no
    is "a probe knows the readers" "$(probe)" "$(fingerprint --readers=group:devs OPENAI_API_KEY="$work/one")"
    like "a group that is not there" "$(deliver --readers=group:nosuch OPENAI_API_KEY="$work/two")" \
        "outcome=failed*error=not-found: the guest does not know the group*"
    is "leaves what was there" "$(listing | grep 'OPENAI\|env')" "-r--r----- 0:5000 llmhook.d/N/OPENAI_API_KEY
-r--r----- 0:5000 llmhook.d/N/env"
    is "readers=everybody" "$(deliver --readers=everybody OPENAI_API_KEY="$work/one")" "${good/humans=2/humans=0}"
    is "is for services, too" "$(can_read service /run/llmhook/env)" yes
}

# Keys in files, and what is no key.
test_kinds() {
    local set=(FEDERATED_TOKEN_FILE@"$work/json" OPENAI_API_KEY="$work/one" OPENAI_BASE_URL:'http://10.0.0.1:4000/v1?a=b')
    is "a key, a file and an address" "$(deliver --label=6 "${set[@]}")" "$good"
    # shellcheck disable=SC2016 # the login shell expands it
    is "a login shell has the path of its own copy, and the address" \
        "$(as alice env -i HOME=/ PATH=/usr/bin:/bin /bin/sh -l -c 'echo "$FEDERATED_TOKEN_FILE $OPENAI_BASE_URL"')" \
        "/run/llmhook/users/1000/FEDERATED_TOKEN_FILE http://10.0.0.1:4000/v1?a=b"
    # shellcheck disable=SC2016
    is "root has root's" "$(as root env -i HOME=/ PATH=/usr/bin:/bin /bin/sh -l -c 'echo "$FEDERATED_TOKEN_FILE"')" \
        /run/llmhook/FEDERATED_TOKEN_FILE
    is "the copy is the whole file" "$(as bob sha256sum /run/llmhook/users/1001/FEDERATED_TOKEN_FILE | cut -c1-64)" \
        "$(sha256sum <"$work/json" | cut -c1-64)"
    is "which is nobody else's" "$(can_read service /run/llmhook/users/1001/FEDERATED_TOKEN_FILE)$(
        can_read bob /run/llmhook/users/1000/FEDERATED_TOKEN_FILE)" nono
    is "an address has no file" "$(cd /run/llmhook && echo [A-Z]* users/1000/*)" \
        "FEDERATED_TOKEN_FILE OPENAI_API_KEY users/1000/FEDERATED_TOKEN_FILE users/1000/OPENAI_API_KEY users/1000/env"
    like "a probe finds all of it" "$("$drive" "$work/socket" probe "${set[@]}")" "*same=yes *"
    like "and that another address is another set" \
        "$("$drive" "$work/socket" probe "${set[@]:0:2}" OPENAI_BASE_URL:http://10.0.0.2:4000/v1)" "*same=no *"
    is "the same again writes nothing" "$(deliver --label=6 "${set[@]}")" "${good/written=yes/written=no}"
    set[0]=FEDERATED_TOKEN_FILE@$work/two
    like "another file under the same label is seen at once" "$("$drive" "$work/socket" deliver --label=6 "${set[@]}")" \
        "outcome=proven written=yes humans=2 shell=yes *"
    # shellcheck disable=SC2016
    is "the path stays, its content follows" \
        "$(as alice env -i HOME=/ PATH=/usr/bin:/bin /bin/sh -l -c 'sha256sum <"$FEDERATED_TOKEN_FILE"' | cut -c1-64)" \
        "$(sha256sum <"$work/two" | cut -c1-64)"
    is "for a group" "$(deliver --readers=group:devs "${set[@]}")" "${good/humans=2/humans=0}"
    is "the file is root's and the group's" "$(listing | grep 'TOKEN_FILE')" "-r--r----- 0:5000 llmhook.d/N/FEDERATED_TOKEN_FILE"
    is "an address alone" "$(deliver --readers=group:devs OPENAI_BASE_URL:http://10.0.0.1/)" "${good/humans=2/humans=0}"
    like "is found" "$("$drive" "$work/socket" probe --readers=group:devs OPENAI_BASE_URL:http://10.0.0.1/)" "*same=yes *"
}

# How often it is asked whether the script has ended is a matter of time.
test_calls() {
    like "one key costs one agent call" "$("$drive" "$work/socket" deliver A="$work/one")" "*written=yes* asked=1 *"
    like "and five cost one" "$("$drive" "$work/socket" deliver A="$work/one" B="$work/two" C="$work/one" \
        D:http://10.0.0.1/ E@"$work/json")" "*written=yes* asked=1 *"
}

test_withdraw() {
    is "withdrawing" "$(withdraw)" "outcome=proven written=yes humans=0 shell=no"
    is "leaves a start-up file that does nothing" "$(remains) $(ls /etc/profile.d)" "0 llmhook.sh"
    is "a probe finds nothing" "$(probe)" "fingerprint="
    is "withdrawing again has nothing to do" "$(withdraw)" "outcome=proven written=no humans=0 shell=no"
    is "a login shell works without keys" "$(login_hash alice -eu)" "$(printf '' | sha256sum)"
}

test_cut_input() {
    local text length shown='' left=0 script
    script=$(sh "$top/qemu-guest-agent/guest/embed.sh" "$top/qemu-guest-agent/guest" deliver)
    text="verb=deliver readers=humans label=1"$'\n'"set -- OPENAI_API_KEY '$(cat "$work/one")'"$'\n'"complete=yes"
    for length in 0 10 30 40 55 60 100 150 $((${#text} - 15)) $((${#text} - 5)) $((${#text} - 1)); do
        shown=$shown$(printf %s "${text:0:length}" | env -i /bin/sh -c "$script" 2>&1 && echo "accepted $length")
        left=$((left + $(remains)))
    done
    is "input that is cut short writes nothing" "$left" 0
    is "and is shown nowhere" "$(grep -c "$(cut -c1-20 "$work/one")\|accepted" <<<"$shown")" 0
}

test_start_up_files() {
    local text
    printf 'A=1\nexport A' >/etc/profile
    text="outcome=proven written=yes humans=2 shell=yes where="
    is "a profile that reads no folder" "$(deliver OPENAI_API_KEY="$work/one")" "${text}/etc/profile also=llmhook-run"
    is "gets a block behind what was there" "$(head -3 /etc/profile)" "A=1
export A
# llmhook 2: gives new shells the keys this machine was lent; \`llmhook guest clean\` takes these lines out."
    text=$(cat /etc/profile)
    deliver --label=9 OPENAI_API_KEY="$work/two" >/dev/null
    is "once only" "$(cat /etc/profile)" "$text"
    is "which works" "$(login_hash alice -eu)" "$(hash_of "$work/two")"
    withdraw >/dev/null
    is "and does no harm when the keys are gone" "$(login_hash alice -eu)" "$(printf '' | sha256sum)"

    rm /etc/profile
    is "no profile at all" "$(deliver OPENAI_API_KEY="$work/one" | sed 's/.* where/where/')" "where=/etc/profile also=llmhook-run"
    is "is made" "$(login_hash bob -eu)" "$(hash_of "$work/one")"
    withdraw >/dev/null

    fresh_etc
    echo '# reads /etc/profile.d? no' >/etc/profile
    touch /etc/NIXOS
    is "NixOS" "$(deliver OPENAI_API_KEY="$work/one" | sed 's/.* where/where/')" "where=/etc/profile.local also=bash"
    is "has it in profile.local" "$(head -c9 /etc/profile.local) $(cat /etc/profile)" \
        "# llmhook # reads /etc/profile.d? no"
    withdraw >/dev/null

    fresh_etc
    echo 'echo mine' >/etc/profile.d/llmhook.sh
    like "somebody else's llmhook.sh" "$(deliver OPENAI_API_KEY="$work/one")" \
        "outcome=proven * shell=no where=*is somebody else's also=llmhook-run"
    withdraw >/dev/null
    is "stays" "$(cat /etc/profile.d/llmhook.sh)" "echo mine"
    echo '# llmhook 0: an older one' >/etc/profile.d/llmhook.sh
    is "an older one of ours" "$(deliver OPENAI_API_KEY="$work/one")" "$good"
    is "is replaced" "$(head -1 /etc/profile.d/llmhook.sh | cut -c1-12) $(grep -c older /etc/profile.d/llmhook.sh)" "# llmhook 2: 0"
    withdraw >/dev/null

    rm /etc/profile.d/llmhook.sh
    mount -o remount,bind,ro /etc
    like "a read-only /etc" "$(deliver OPENAI_API_KEY="$work/one")" "outcome=proven * shell=no where=*/etc cannot be written*"
    mount -o remount,bind,rw /etc
    withdraw >/dev/null
}

# What a shell that sources the snippet has afterwards: no names of ours, allexport as it was.
test_snippet() {
    local set
    deliver OPENAI_API_KEY="$work/one" >/dev/null
    for set in +a -a; do
        # shellcheck disable=SC2016 # the shell expands it
        is "the snippet leaves no trace (set $set)" \
            "$(env -i /bin/sh -c 'set -eu '$set'; . /etc/profile.d/llmhook.sh
                case $- in *a*) echo -a ;; *) echo +a ;; esac; set | grep -i ^_llmhook || :; env | grep -c "^OPENAI_API_KEY=."' 2>&1)" \
            "$set
1"
    done
    withdraw >/dev/null
}

test_accounts() {
    local defs
    {
        echo "# A distribution's, with comments."
        echo "#UID_MIN 1"
        printf 'UID_MIN\t\t\t  500\nUID_MAX 1000 # so\n'
    } >/etc/login.defs
    echo "old:x:500:500::/:/bin/sh" >>/etc/passwd
    deliver OPENAI_API_KEY="$work/one" >/dev/null
    is "a long login.defs sets the range" "$(cat /run/llmhook/.readers)" "humans 990:990 1000:1000 500:500"
    for defs in 'UID_MIN 1001' 'UID_MAX 1000' 'UID_MIN x' ''; do
        printf '%s\n' "$defs" >/etc/login.defs
        deliver OPENAI_API_KEY="$work/one" >/dev/null
        echo "$defs: $(cat /run/llmhook/.readers)"
    done >"$work/ranges"
    is "and so does a short one" "$(cat "$work/ranges")" "UID_MIN 1001: humans 1001:1002
UID_MAX 1000: humans 1000:1000
UID_MIN x: humans 1000:1000 1001:1002
: humans 1000:1000 1001:1002"
    rm /etc/login.defs
    deliver OPENAI_API_KEY="$work/one" >/dev/null
    is "and none" "$(cat /run/llmhook/.readers)" "humans 1000:1000 1001:1002"
    printf 'UID_MIN 1000\nUID_MAX 1001' >/etc/login.defs
    printf 'last:x:1001:1001::/:/bin/sh\nlater:x:1002:1002::/:/bin/sh\n' >/etc/passwd
    deliver OPENAI_API_KEY="$work/one" >/dev/null
    is "a last line without its end counts" "$(cat /run/llmhook/.readers)" "humans 1001:1001"
    printf 'last:x:1001:1001::/:/bin/sh' >/etc/passwd
    deliver OPENAI_API_KEY="$work/one" >/dev/null
    is "in each file" "$(cat /run/llmhook/.readers)" "humans 1001:1001"
    fresh_etc
    is "names are never run" "$(cd /run && echo [!m]*)" "llmhook llmhook.d"
    for ((uid = 2000; uid < 2200; uid++)); do
        echo "u$uid:x:$uid:$uid::/:/bin/sh"
    done >>/etc/passwd
    like "a crowd" "$(deliver OPENAI_API_KEY="$work/one")" "outcome=failed*error=limit: *too many accounts*"
    fresh_etc
    withdraw >/dev/null
}

# Starts what looks like a delivery's script and is alice's. It is setuid, as su is: whoever starts such a program says what
# its command line is. It has a place of its own, since nothing is setuid in a /tmp that is mounted so.
pretend() {
    mkdir -p "$work/setuid"
    mount -t tmpfs -o mode=0755 tmpfs "$work/setuid"
    install -m 4755 "$(command -v sleep)" "$work/setuid/sleep"
    # shellcheck disable=SC2016 # bash expands it
    setpriv --reuid 1000 --regid 1000 --clear-groups bash -c 'exec -a "eval \"\$llmhook\"" "$1" 600' x "$work/setuid/sleep" &
    pretended=$!
    until grep -aq '^eval "[$]llmhook"' /proc/$pretended/cmdline; do :; done
    is "a process that alice has started is root's by its effective uid alone" \
        "$(sed -n 's/^Uid:[[:space:]]*\([0-9]*\)[[:space:]]*\([0-9]*\).*/\1 \2/p' /proc/$pretended/status)" "1000 0"
    # It is in its process's hands how long that takes. Here whoever opens it waits.
    [ -p "$work/blocks" ] || mkfifo "$work/blocks"
    mount --bind "$work/blocks" /proc/$pretended/cmdline
}

pretend_no_more() {
    umount -l /proc/$pretended/cmdline
    true <>"$work/blocks"
    kill -KILL $pretended
    wait $pretended 2>/dev/null
    umount "$work/setuid"
}

test_refusals() {
    mkdir /run/llmhook /run/llmhook.d
    touch /run/llmhook/mine
    like "a folder in our place" "$(deliver OPENAI_API_KEY="$work/one")" "outcome=failed*error=exists: *"
    withdraw >/dev/null
    is "stays" "$(cd /run && echo [!m]* llmhook/*)" "llmhook llmhook/mine"
    rm -r /run/llmhook

    # shellcheck disable=SC2016 # as the agent starts it
    llmhook='read -r x' /bin/sh -c 'eval "$llmhook"' <"$work/never" &
    local pid=$!
    exec 9>"$work/never"
    mkdir -p /run/llmhook.d/$pid
    like "while an earlier one runs" "$(deliver OPENAI_API_KEY="$work/one")" "outcome=failed*error=busy: an earlier delivery*"
    like "nothing is withdrawn either" "$("$drive" "$work/socket" withdraw)" "outcome=failed*error=busy: an earlier delivery*"
    exec 9>&-
    wait "$pid"
    is "afterwards it works" "$(deliver OPENAI_API_KEY="$work/one")" "$good"
    is "and the earlier one's is gone" "$(find /run/llmhook.d -mindepth 1 -maxdepth 1 | wc -l)" 1

    pretend
    pid=$pretended
    mkdir /run/llmhook.d/$pid
    is "alice's process that looks like one is none" "$(deliver --label=2 OPENAI_API_KEY="$work/one")" "$good"
    mkdir -p /run/llmhook.d/$pid
    is "nor does it keep keys from being withdrawn" "$(withdraw)" "outcome=proven written=yes humans=0 shell=no"
    pretend_no_more

    # The filesystem is full: what was there stays, what was begun goes.
    mount -t tmpfs -o mode=0755,nr_inodes=32 tmpfs /run
    deliver OPENAI_API_KEY="$work/one" >/dev/null
    local before
    before=$(listing)
    like "no room" "$(deliver --label=8 A="$work/one" B="$work/two" C="$work/one" D="$work/two" E="$work/one")" \
        "outcome=failed*error=io: the guest could not *No space left*"
    is "leaves what was there" "$(listing)" "$before"
    umount /run

    # So it is when a reader lets its copy grow, until that or the keys are taken away.
    mount -t tmpfs -o mode=0755,size=256k tmpfs /run
    deliver OPENAI_API_KEY="$work/one" >/dev/null
    # shellcheck disable=SC2016 # her shell expands it
    as alice /bin/sh -c 'chmod u+w "$1"; cat /dev/zero >>"$1"' x /run/llmhook/users/1000/env
    before=$(listing)
    like "a copy that takes all the room" "$(deliver --label=8 OPENAI_API_KEY="$work/two")" \
        "outcome=failed*error=io: the guest could not write a file *"
    is "takes nothing of what was there" "$(listing)" "$before"
    is "keys are withdrawn all the same" "$(withdraw)" "outcome=proven written=yes humans=0 shell=no"
    is "then there is room" "$(deliver --label=8 OPENAI_API_KEY="$work/two")" "$good"
    umount /run
}

test_hanging() {
    # Nobody but the script opens this one.
    mv /etc/login.defs /etc/login.defs.kept
    mkfifo /etc/login.defs
    like "a guest that hangs" "$(deliver --deadline=700 OPENAI_API_KEY="$work/one")" "outcome=timeout*error=timeout: *"
    is "the key is in no arguments and no environment" \
        "$(cat /proc/[0-9]*/cmdline /proc/[0-9]*/environ 2>/dev/null | grep -acFf "$work/one")" 0
    is "the script's text is in no arguments" "$(cat /proc/[0-9]*/cmdline | tr '\0' ' ' | grep -c 'UID_MI[N]')" 0
    # Who hangs reads an empty file; the right one is there for the next.
    : >/etc/login.defs
    mv /etc/login.defs.kept /etc/login.defs
    # Its command line, in a pattern that does not find itself.
    local end=$((SECONDS + 20))
    while grep -aq 'eval "[$]llmhook"' /proc/[0-9]*/cmdline 2>/dev/null && [ $SECONDS -lt $end ]; do :; done
    deliver OPENAI_API_KEY="$work/one" >/dev/null
    is "delivers when it does so no longer" "$(deliver OPENAI_API_KEY="$work/one")" "${good/written=yes/written=no}"
    withdraw >/dev/null
}

# A reader that looks all the time sees the old set or the new one, whole.
test_switching() {
    local first second i
    deliver --label=1 OPENAI_API_KEY="$work/one" >/dev/null
    first=$(sha256sum </run/llmhook/env)
    deliver --label=2 OPENAI_API_KEY="$work/two" >/dev/null
    second=$(sha256sum </run/llmhook/env)
    : >"$work/looking"
    (
        looks=0 wrong=0
        while [ -e "$work/looking" ]; do
            seen=''
            IFS= read -r seen </run/llmhook/env || wrong=$((wrong + 1))
            looks=$((looks + 1))
            case $seen in
            OPENAI_API_KEY=\'?*\') ;;
            *) wrong=$((wrong + 1)) ;;
            esac
        done
        echo "$wrong $looks" >"$work/looked"
    ) 2>/dev/null &
    for i in {1..12}; do
        deliver --label="$i" OPENAI_API_KEY="$work/$([ $((i % 2)) = 0 ] && echo one || echo two)" >/dev/null
    done
    rm "$work/looking"
    wait $!
    read -r wrong looks <"$work/looked"
    is "in $looks looks during 12 switches no reader saw less than a whole set" "$wrong" 0
    is "the two sets differ" "$([ "$first" != "$second" ] && echo yes)" yes
    withdraw >/dev/null
}

# What units are told, with a systemctl that writes down what it is asked; `failed` is a unit that has failed.
told() {
    : >"$work/told"
    PATH=$work/bin:$PATH timeout 60 /bin/sh -c "$(sh "$top/qemu-guest-agent/guest/embed.sh" "$top/qemu-guest-agent/guest" units)" units "$work/units" || echo "exit $?"
    cat "$work/told"
}
test_units() {
    mkdir -p "$work/bin"
    printf '#!/bin/sh\necho "$@" >>%s\n[ ! -p %s ] || read -r x <%s\n[ "$2" != is-failed ] || [ "$4" = failed.service ]\n' \
        "$work/told" "$work/waits" "$work/waits" >"$work/bin/systemctl"
    chmod +x "$work/bin/systemctl"
    printf 'restart a.service\n# b.service\nreload c.service\nrestart failed.service' >"$work/units"
    is "no keys, nothing is told" "$(told)" ""
    deliver OPENAI_API_KEY="$work/one" >/dev/null
    is "the first keys: each unit is told" "$(told | grep -v is-failed)" "--no-block try-restart -- a.service
--no-block try-reload-or-restart -- c.service
reset-failed -- failed.service
--no-block start -- failed.service"
    is "the mark is gone, the hash is root's" "$(cd /run && ls llmhook/.fresh 2>/dev/null; stat -c '%a %U' llmhook.units)" "600 root"
    deliver --label=2 OPENAI_API_KEY="$work/one" >/dev/null
    is "another label is no other key" "$(ls /run/llmhook/.fresh) $(told)" "/run/llmhook/.fresh "
    deliver --label=3 OPENAI_API_KEY="$work/two" >/dev/null
    is "another key is" "$(told | grep -c a.service)" 2
    is "told once" "$(told)" ""
    withdraw >/dev/null
    is "a withdrawal leaves nothing" "$(remains)" 0
    deliver --label=3 OPENAI_API_KEY="$work/two" >/dev/null
    is "the same key is news when it comes back" "$(told | grep -c a.service)" 2
    withdraw >/dev/null
    deliver --label=3 OPENAI_API_KEY="$work/two" >/dev/null
    mkfifo "$work/waits"
    exec 9<>"$work/waits"
    : >"$work/told"
    told >/dev/null 9>&- &
    # Until it has begun, and waits.
    until [ -s "$work/told" ] || [ -z "$(jobs -rp %%)" ]; do :; done
    withdraw >/dev/null
    deliver --label=3 OPENAI_API_KEY="$work/two" >/dev/null
    rm "$work/waits"
    exec 9>&-
    wait $!
    is "also when it does so while units are told" "$(told | grep -c a.service)" 2
    deliver --label=3 OPENAI_API_KEY="$work/two" TOKEN_FILE@"$work/one" >/dev/null
    told >/dev/null
    deliver --label=3 OPENAI_API_KEY="$work/two" TOKEN_FILE@"$work/json" >/dev/null
    is "a key that is a file is another by its content" "$(told | grep -c a.service)" 2

    # While the script that wrote the set still runs, the host has no proof of it.
    # shellcheck disable=SC2016 # as the agent starts it
    llmhook='read -r x' /bin/sh -c 'eval "$llmhook"' <"$work/never" &
    local pid=$! waiting
    exec 9>"$work/never"
    deliver --label=4 OPENAI_API_KEY="$work/one" >/dev/null
    mv "$(readlink -f /run/llmhook)" /run/llmhook.d/$pid
    ln -sfn llmhook.d/$pid /run/llmhook
    : >"$work/told"
    told >"$work/told.later" &
    waiting=$!
    # It is at work, and has a second to do too early what it is to do.
    until [ ! -e /run/llmhook/.fresh ]; do :; done
    for _ in {1..20}; do
        [ -s "$work/told" ] || sleep 0.05
    done
    is "before the proof nothing is told" "$(cat "$work/told")" ""
    exec 9>&-
    wait $pid $waiting
    is "after it, it is" "$(grep -c a.service "$work/told.later")" 2

    pretend
    pid=$pretended
    deliver --label=5 OPENAI_API_KEY="$work/two" >/dev/null
    mv "$(readlink -f /run/llmhook)" /run/llmhook.d/$pid
    ln -sfn llmhook.d/$pid /run/llmhook
    SECONDS=0
    is "for alice's process that looks like one nobody waits" "$(told | grep -c a.service) $((SECONDS < 5))" "2 1"
    pretend_no_more
    withdraw >/dev/null
}

test_native() {
    fresh_etc
    mkdir /etc/llmhook
    touch /etc/llmhook/native
    is "a guest that has its own set-up" "$(deliver OPENAI_API_KEY="$work/one")" \
        "outcome=proven written=yes humans=2 shell=yes where=the guest's own set-up: /etc/llmhook/native"
    is "is left alone" "$(ls /etc/profile.d)" ""
    rm -r /etc/llmhook
    withdraw >/dev/null
}

test_lacking() {
    local tool
    tool=$(readlink -f "$(command -v sha256sum)")
    mount --bind /etc/group "$tool"
    like "a guest without sha256sum" "$("$drive" "$work/socket" deliver OPENAI_API_KEY="$work/one")" \
        "outcome=unsupported*error=not-found: the guest has no sha256sum*"
    umount "$tool"
    is "is given nothing" "$(remains)" 0

    mkdir -p "$work/disk"
    umount /run
    mount --bind "$work/disk" /run
    if [ "$(stat -f -c %T /run)" = tmpfs ]; then
        number=$((number + 1))
        echo "ok $number - $shell: a /run on a disk # SKIP the temporary folder is a tmpfs"
    else
        like "a /run on a disk" "$(deliver OPENAI_API_KEY="$work/one")" \
            "outcome=unsupported*error=not-found: the guest's /run is on a disk*"
    fi
    is "gets no keys" "$(remains)" 0
    umount /run
    mount -t tmpfs -o mode=0755 tmpfs /run

    printf "it's" >"$work/quoted"
    like "a value with a quote is not sent" "$("$drive" "$work/socket" deliver OPENAI_API_KEY="$work/quoted")" \
        "outcome=failed * calls=0 *error=invalid: the value for OPENAI_API_KEY*"
}

# shellcheck source-path=SCRIPTDIR source=readers.sh
. "$here/readers.sh"
# shellcheck source-path=SCRIPTDIR source=box.sh
. "$here/box.sh"

# --- inside: all of it ---------------------------------------------------------------------------------------------

mount --make-rprivate /
mount -t tmpfs -o mode=0755 tmpfs /run
mount -t tmpfs -o mode=0755 tmpfs /usr/local/bin
mkdir -p "$work/etc/profile.d"
for file in /etc/ld.so.cache /etc/nsswitch.conf; do
    [ ! -e "$file" ] || cp "$file" "$work/etc"
done
mount --bind "$work/etc" /etc
fresh_etc
mkfifo "$work/never"
for name in one two; do
    printf 'sk-proj-%s=%s\n' "$(od -An -tx1 -N60 /dev/urandom | tr -d ' \n')" $name >"$work/$name"
done
printf '{\n  "token": "$(touch /run/evil) \\\\ `id`",\n\n  "x": 1\n}\n' >"$work/json"
agent_start
for name in ${AGENT_SHELLS:-dash bash busybox}; do
    use_shell "$name"
    for part in first readers again repair; do
        "test_$part"
    done
    fresh_etc
    for part in policies kinds calls withdraw cut_input start_up_files native snippet hooks rereading llmhook_run managers swapped covered accounts refusals hanging switching watched killed interrupted box; do
        "test_$part"
    done
    restore_shell
done
shell=agent
test_units
test_lacking
test_blocked
agent_stop
echo "1..$number"
[ "$failed" = 0 ]
