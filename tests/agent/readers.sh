# shellcheck shell=bash disable=SC2154
# A part of run-agent-tests.sh: who reads what was delivered, by what, and that nobody else does at any moment.

can_read() {
    as "$1" cat "$2" >/dev/null && echo yes || echo no
}

# What is not for login shells, and that all of it can be taken out again.
test_hooks() {
    local before
    withdraw >/dev/null
    fresh_etc
    mkdir -p /etc/zsh /etc/fish/conf.d
    printf '# no line end' >/etc/zsh/zshenv
    printf '# the distribution'"'"'s\n[ -z "${PS1-}" ] && return\nA=1\n' >/etc/bash.bashrc
    chmod 0640 /etc/bash.bashrc
    chown 1000:5000 /etc/bash.bashrc
    before=$(find /etc -type f -exec sha256sum {} + -exec stat -c '%n %a %u %g' {} + | sort)
    is "everything that is there is hooked" "$(deliver OPENAI_API_KEY="$work/one")" \
        "${good/=llmhook-run/=bash, zsh, fish, llmhook-run}"
    is "above what ends it early" "$(tail -n +3 /etc/bash.bashrc; stat -c '%a %u %g' /etc/bash.bashrc)" \
        "# llmhook end
# the distribution's
[ -z \"\${PS1-}\" ] && return
A=1
640 1000 5000"
    # shellcheck disable=SC2016 # the shell expands it
    is "which gives the key" "$(env -i bash --norc -c '. /etc/bash.bashrc; printf %s "$OPENAI_API_KEY"' | sha256sum)" \
        "$(hash_of "$work/one")"
    deliver --label=9 OPENAI_API_KEY="$work/two" >/dev/null
    is "once only" "$(grep -c '# llmhook end' /etc/bash.bashrc /etc/zsh/zshenv)" "/etc/bash.bashrc:1
/etc/zsh/zshenv:1"
    rm /etc/fish/conf.d/llmhook.fish
    deliver --label=9 OPENAI_API_KEY="$work/two" >/dev/null
    is "what somebody took away is not put back with the same set" "$(ls /etc/fish/conf.d)" ""
    deliver --label=10 OPENAI_API_KEY="$work/two" >/dev/null
    is "cleaning" "$("$drive" "$work/socket" clean | sed 's/ calls=.*//')" "outcome=proven written=yes humans=0 shell=no"
    is "leaves every file as it was" "$(find /etc -type f -exec sha256sum {} + -exec stat -c '%n %a %u %g' {} + | sort)" "$before"
    is "and nothing else of ours" "$(remains) $(find /etc /usr/local/bin -name '*llmhook*' | wc -l)" "0 0"
    is "cleaning again has nothing to do" "$("$drive" "$work/socket" clean | sed 's/ calls=.*//')" \
        "outcome=proven written=no humans=0 shell=no"

    fresh_etc
    touch /etc/NIXOS /etc/zshenv
    echo 'export MINE=1' >/etc/bashrc.local
    before=$(find /etc -type f -exec sha256sum {} + | sort)
    is "NixOS" "$(deliver OPENAI_API_KEY="$work/one" | sed 's/.* where/where/')" "where=/etc/profile.local also=bash, zsh"
    is "has what is its user's first" "$(head -1 /etc/bashrc.local) $(grep -c '# llmhook' /etc/bashrc.local)" "export MINE=1 2"
    echo 'export MORE=1' >>/etc/zshenv.local
    "$drive" "$work/socket" clean >/dev/null
    is "what was written behind it stays" "$(cat /etc/zshenv.local)" "export MORE=1"
    rm /etc/zshenv.local
    is "and all else is as it was" "$(find /etc -type f -exec sha256sum {} + | sort)" "$before"
    fresh_etc
}

# Who set a variable by hand keeps it; who has it from an earlier set gets the next.
test_rereading() {
    local probe='. /etc/profile.d/llmhook.sh; printf %s "$OPENAI_API_KEY" | sha256sum'
    deliver --label=1 OPENAI_API_KEY="$work/one" KEY_FILE@"$work/one" >/dev/null
    is "a variable that was set by hand stays" "$(env -i OPENAI_API_KEY=mine /bin/sh -c "$probe")" "$(printf mine | sha256sum)"
    is "also in a shell below one that has our set" \
        "$(env -i OPENAI_API_KEY=mine LLMHOOK_GENERATION=1 /bin/sh -c "$probe")" "$(printf mine | sha256sum)"
    is "one of an earlier set does not" "$(env -i OPENAI_API_KEY=old LLMHOOK_GENERATION=0 /bin/sh -c "$probe")" \
        "$(hash_of "$work/one")"
    # shellcheck disable=SC2016 # the shell expands it
    is "nor does the path of another's copy" "$(as alice env -i KEY_FILE=/run/llmhook/KEY_FILE LLMHOOK_GENERATION=1 \
        /bin/sh -c '. /etc/profile.d/llmhook.sh; echo "$KEY_FILE"')" /run/llmhook/users/1000/KEY_FILE
    # What of her copy its owner makes is read by whoever sources it as her.
    mkdir -m 0777 "$work/touched"
    as alice /bin/sh -c 'cd /run/llmhook/users/1000 && chmod u+w env && line=$(cat env) && printf "%s\n" \
        "PATH};touch $1/run;:\${Y='"'z'"'" "1=a" "=b" "A[0]=c" "" "$line" "lower_1='"'d'"'" >env' x "$work/touched"
    # shellcheck disable=SC2016
    is "lines without a variable's name are passed over" "$(as alice env -i PATH=/usr/bin:/bin /bin/sh -euc \
        '. /etc/profile.d/llmhook.sh; printf %s "$OPENAI_API_KEY" | sha256sum; echo "$lower_1"')" "$(hash_of "$work/one")
d"
    is "and nothing in them is run" "$(ls "$work/touched")" ""
    rm -r "$work/touched"
    withdraw >/dev/null
}

run() {
    "$@" 2>&1
    echo "exit $?"
}

test_llmhook_run() {
    local program=/usr/local/bin/llmhook-run
    is "without keys it says so" "$(rm -f $program; run /bin/sh "$top/qemu-guest-agent/guest/llmhook-run" -- true)" \
        "llmhook-run: this machine has no keys: on its host, \"llmhook show\" tells why
exit 125"
    deliver --label=4 OPENAI_API_KEY="$work/one" TOKEN_FILE@"$work/json" A_URL:http://10.0.0.1/ >/dev/null
    # shellcheck disable=SC2016 # the shell expands it
    is "a command gets the keys, and the caller's variables" "$(as alice env -i llmhook_line=x line=y "A=b c" $program -- \
        /bin/sh -c 'printf %s "$OPENAI_API_KEY" | sha256sum; echo "$1|$A|$line|$LLMHOOK_GENERATION|$TOKEN_FILE"; exit 7' x 'two  words'
        echo "exit $?")" "$(hash_of "$work/one")
two  words|b c|y|4|/run/llmhook/users/1000/TOKEN_FILE
exit 7"
    # shellcheck disable=SC2016
    is "also where it was set by hand" "$(env -i OPENAI_API_KEY=mine $program /bin/sh -c 'printf %s "$OPENAI_API_KEY"' | sha256sum)" \
        "$(hash_of "$work/one")"
    is "one key is printed" "$(as bob $program --print OPENAI_API_KEY | sha256sum)" "$(sha256sum <"$work/one")"
    is "also by the program in the set" "$(as bob /run/llmhook/llmhook-run --print OPENAI_API_KEY | sha256sum)" "$(sha256sum <"$work/one")"
    is "of a file, its content" "$(as bob $program --print TOKEN_FILE | sha256sum)" "$(sha256sum <"$work/json")"
    is "a text" "$($program --print A_URL)" "http://10.0.0.1/"
    rm /run/llmhook/TOKEN_FILE
    is "a file that is gone" "$(run $program --print TOKEN_FILE)" \
        "llmhook-run: the keys of this machine cannot be read: /run/llmhook/TOKEN_FILE
exit 125"
    is "one that is not there" "$(run $program --print NO_SUCH)" "llmhook-run: this machine has no NO_SUCH
exit 125"
    is "no variable's name" "$(run $program --print 'A=*')" "llmhook-run: --print takes the name of a variable, and nothing else
exit 125"
    like "a service account" "$(setpriv --reuid 990 --regid 990 --clear-groups $program -- id 2>&1)" \
        "llmhook-run: this account may not read the keys of this machine: *"
    is "a command that is not there" "$($program -- /nosuch 2>/dev/null; echo "exit $?")" "exit 127"
    like "no command" "$(run $program)" "usage: llmhook-run *exit 125"
    like "an option that is not there" "$(run $program --prnt X)" "llmhook-run: no such option: --prnt*exit 125"
    withdraw >/dev/null
    (sleep 0.5 && deliver --label=5 OPENAI_API_KEY="$work/two" >/dev/null) &
    is "who waits gets them when they come" "$($program --wait 20 --print OPENAI_API_KEY | sha256sum)" "$(sha256sum <"$work/two")"
    wait $!
    withdraw >/dev/null
    like "or the reason" "$(run $program --wait 1 -- true)" "llmhook-run: this machine has no keys*exit 125"
}

# How often that process was told to reload, since it was asked last. Of signals that wait the lower number is first.
# usage: told_managers NAME...
told_managers() {
    local name line
    for name; do
        kill -USR1 "$(cat "$work/managers/$name.pid")"
        # A signal that comes just before it waits again is seen with the next one.
        until read -r -t 5 line <&"${managers[$name]}"; do kill -USR1 "$(cat "$work/managers/$name.pid")" || break; done
        while [ "$line" = told ]; do
            printf '%s ' "$name"
            read -r -t 30 line <&"${managers[$name]}" || break
        done
    done
}

# Something that is called `systemd`, or not, and says when it is told.
# usage: start_manager NAME COMMAND CGROUP
start_manager() {
    local fd
    mkdir -p "$work/managers/$1" "$3/init.scope"
    mkfifo "$work/managers/$1.says"
    printf '#!/bin/sh\necho $$ >%s.pid\ntrap "echo told" HUP\ntrap "echo asked" USR1\necho asked\nwhile :; do read -r x; done\n' \
        "$work/managers/$1" >"$work/managers/$1/$2"
    chmod +x "$work/managers/$1/$2"
    exec {fd}<>"$work/managers/$1.says"
    managers[$1]=$fd
    "$work/managers/$1/$2" <>"$work/never" >"$work/managers/$1.says" &
    read -r -t 30 _ <&"$fd"
    cat "$work/managers/$1.pid" >>"$3/init.scope/cgroup.procs"
}

# Who may read now, or may not any more, is told, and nobody else's process is.
test_managers() {
    local -A managers=()
    local slice=user.slice/user-1000.slice name place all="alice service root pam" same=(--label=1 OPENAI_API_KEY="$work/one")
    mount -t tmpfs tmpfs /sys/fs/cgroup
    mkdir -p /run/systemd/system
    start_manager alice systemd "/sys/fs/cgroup/$slice/user@1000.service"
    start_manager service systemd "/sys/fs/cgroup/user.slice/user-990.slice/user@990.service"
    start_manager root systemd "/sys/fs/cgroup/user.slice/user-0.slice/user@0.service"
    start_manager pam sd-pam "/sys/fs/cgroup/$slice/user@1000.service"
    for name in humans group:devs everybody root; do
        deliver --readers=$name "${same[@]}" >/dev/null
        # shellcheck disable=SC2086 # one word a process
        is "readers=$name: running managers of logins are told" "$(told_managers $all)" "alice service root "
    done
    deliver --readers=root "${same[@]}" >/dev/null
    # shellcheck disable=SC2086
    is "nothing new, nobody is told" "$(told_managers $all)" ""
    withdraw >/dev/null
    # shellcheck disable=SC2086
    is "a withdrawal: they are told" "$(told_managers $all)" "alice service root "
    withdraw >/dev/null
    # shellcheck disable=SC2086
    is "nothing to withdraw: nobody is" "$(told_managers $all)" ""
    for place in systemd unified; do
        mkdir -p "/sys/fs/cgroup/$place"
        mv /sys/fs/cgroup/user.slice "/sys/fs/cgroup/$place" 2>/dev/null ||
            cp -r /sys/fs/cgroup/systemd/user.slice "/sys/fs/cgroup/$place"
        deliver "${same[@]}" >/dev/null
        is "also where logins are in $place, and once" "$(told_managers root)" "root "
        withdraw >/dev/null
        is "and when the keys go" "$(told_managers root)" "root "
    done
    for name in $all; do
        kill "$(cat "$work/managers/$name.pid")"
        place=${managers[$name]}
        exec {place}<&-
    done
    rm -rf "$work/managers"
    umount /sys/fs/cgroup
    rm -rf /run/systemd
    fresh_etc
    rm -rf /etc/systemd/user-environment-generators
}

# As an earlier version left it: the folder is alice's, and in the place of her copy is what hangs whoever opens it.
give_away() {
    chown 1000:1000 /run/llmhook/users/1000
    as alice /bin/sh -c 'cd /run/llmhook/users/1000 && chmod 0700 . && rm -f env && mkfifo env && mkdir -p a/b .c/d && chmod 0777 a'
}

# SCRIPT: what it says, and before it which folders are not root's when it starts rm, which could be led astray in them.
# Busybox's shell starts none, but removes by itself.
led_astray() {
    mkdir -p "$work/rm"
    printf '#!/bin/sh\nfind /run/llmhook.d -type d ! -user 0 -printf "%%P "\nexec %s "$@"\n' "$(command -v rm)" >"$work/rm/rm"
    chmod +x "$work/rm/rm"
    PATH=$work/rm:$PATH llmhook=$(sh "$top/qemu-guest-agent/guest/embed.sh" "$top/qemu-guest-agent/guest" "$1") \
        /bin/sh -c 'eval "$llmhook"' 2>&1
}

# Root acts by path in no folder of a reader's.
test_swapped() {
    local same=(--label=7 OPENAI_API_KEY="$work/one") verb="verb=deliver readers=root label=8 complete=yes"
    deliver "${same[@]}" >/dev/null
    is "a reader can put nothing in the place of its copy" "$(as alice /bin/sh -c 'cd /run/llmhook/users/1000
        chmod 0700 .; rm -f env; mv OPENAI_API_KEY env; mkfifo .x; rmdir .; ls -d env OPENAI_API_KEY .x')" "OPENAI_API_KEY
env"
    is "and nobody can list it" "$(as alice ls /run/llmhook/users/1000; as bob ls /run/llmhook/users/1000)" ""
    is "the same again writes nothing" "$(deliver "${same[@]}")" "${good/written=yes/written=no}"
    as alice chmod u+w /run/llmhook/users/1000/env && as alice truncate -s 1E /run/llmhook/users/1000/env
    like "a copy without an end is given up" "$("$drive" "$work/socket" probe)" \
        "outcome=failed*error=io: the guest could not read all of what it has below /run/llmhook*"
    is "and replaced" "$(deliver "${same[@]}")" "$good"

    give_away
    is "a folder that is its reader's is not looked into" "$(probe)" "fingerprint="
    is "and is none of the set wanted" "$(deliver "${same[@]}")" "$good"
    is "whose folders are root's" "$(find /run/llmhook.d -type d ! -user 0) $(find /run/llmhook.d -mindepth 1 -maxdepth 1 | wc -l)" " 1"
    give_away
    is "before a delivery removes such a set, all of it is root's" "$(led_astray deliver <<<"$verb" | head -1 | cut -d' ' -f1-4)" \
        "llmhook 1 written root"
    is "and it is gone" "$(find /run/llmhook.d -name users)" ""
    deliver "${same[@]}" >/dev/null
    give_away
    is "so it is before a withdrawal does" "$(led_astray withdraw </dev/null)" "llmhook 1 withdrawn - 0 -"
    is "and nothing is left" "$(ls -d /run/llmhook /run/llmhook.d 2>/dev/null)" ""
    withdraw >/dev/null
}

# FILE...: something is mounted over alice's copy, as fusermount does it for whoever can write to a file.
cover() {
    local file
    for file; do
        mount --bind "$work/two" "$(readlink -f /run/llmhook)/users/1000/$file"
    done
}

uncovered() {
    grep -c ' /run/llmhook\.d/' /proc/mounts
    find /run/llmhook.d -mindepth 1 -maxdepth 1 | wc -l
}

# What a reader has mounted over its copy, and so is busy, keeps no set from being replaced or taken away.
test_covered() {
    local same=(--label=3 OPENAI_API_KEY="$work/one") old
    deliver "${same[@]}" >/dev/null
    cover env OPENAI_API_KEY OPENAI_API_KEY
    is "copies with something mounted over them are replaced" "$(deliver --label=4 OPENAI_API_KEY="$work/two")" "$good"
    is "and gone" "$(uncovered | tr '\n' ' ')" "0 1 "
    is "their owner reads the new one" "$(can_read alice /run/llmhook/users/1000/env)" yes
    cover env
    is "in the set that is wanted such a copy is replaced" "$(deliver --label=4 OPENAI_API_KEY="$work/two")" "$good"
    cp -a "$(readlink -f /run/llmhook)" /run/llmhook.d/999999999
    mount --bind "$work/two" /run/llmhook.d/999999999/users/1000/env
    is "in one that was left behind it goes" "$(deliver --label=4 OPENAI_API_KEY="$work/two")" "${good/written=yes/written=no}"
    is "and nothing else" "$(uncovered | tr '\n' ' ')$(can_read alice /run/llmhook/users/1000/env)" "0 1 yes"

    # She does it again and again, for as long as she gets there.
    old=$(readlink -f /run/llmhook)
    mkdir -p "$work/rm"
    printf '#!/bin/sh\n! setpriv --reuid 1000 --clear-groups test -e %s || mount --bind %s %s\nexec %s "$@"\n' \
        "$old/users/1000/env" "$work/two" "$old/users/1000/env" "$(command -v rm)" >"$work/rm/rm"
    chmod +x "$work/rm/rm"
    # shellcheck disable=SC2016 # as the agent starts it
    is "who mounts anew before each removal" "$(PATH=$work/rm:$PATH llmhook=$(sh "$top/qemu-guest-agent/guest/embed.sh" \
        "$top/qemu-guest-agent/guest" deliver) /bin/sh -c 'eval "$llmhook"' \
        <<<"verb=deliver readers=root label=5 complete=yes" 2>&1 | head -1 | cut -d' ' -f1-4)" "llmhook 1 written root"
    is "keeps nothing" "$(uncovered | tr '\n' ' ')" "0 1 "

    deliver "${same[@]}" >/dev/null
    give_away
    mkdir -p "$work/empty"
    mount --bind "$work/empty" "$(readlink -f /run/llmhook)/users/1000/a/b"
    is "also what is in a folder that was given away" "$(deliver --label=6 OPENAI_API_KEY="$work/one")" "$good"
    is "is gone" "$(uncovered | tr '\n' ' ')" "0 1 "

    cover env env OPENAI_API_KEY
    is "keys are withdrawn from under it" "$(withdraw)" "outcome=proven written=yes humans=0 shell=no"
    is "and nothing stays" "$(ls -d /run/llmhook /run/llmhook.d 2>/dev/null; grep -c ' /run/llmhook\.d/' /proc/mounts)" 0
    while old=$(grep -om1 ' /run/llmhook\.d/[^ ]*' /proc/mounts); do umount -l "${old# }"; done
    withdraw >/dev/null
}

# Nobody can read, at any moment, what is not for him.
test_watched() {
    local times=${AGENT_DELIVERIES:-40} said
    deliver OPENAI_API_KEY="$work/one" >/dev/null
    mkfifo "$work/watching"
    "${drive%/*}/watch" /run/llmhook.d /run/llmhook 1001 env OPENAI_API_KEY TOKEN_FILE .readers \
        <"$work/watching" >"$work/watched" 2>&1 &
    exec 8>"$work/watching"
    is "$times deliveries" "$("$drive" "$work/socket" repeat "$times" OPENAI_API_KEY="$work/two" TOKEN_FILE@"$work/json")" \
        "proven=$times"
    exec 8>&-
    wait $!
    rm "$work/watching"
    said=$(cat "$work/watched")
    like "are watched ($said)" "$said" "looks=[1-9]*[0-9] tries=[1-9]*[0-9] wrong=0"
    withdraw >/dev/null
}

# Ends the delivery's script, wherever it is by now. Without a program for each process that is looked at: the script has
# ended before some hundred of those have.
kill_script() {
    local process words
    for process in /proc/[0-9]*; do
        words=()
        { mapfile -t -d '' words <"$process/cmdline"; } 2>/dev/null
        # shellcheck disable=SC2016 # as it stands in the command line
        if [[ ${words[*]} == *'eval "$llmhook"'* ]]; then
            kill -KILL "${process#/proc/}" 2>/dev/null
        fi
    done
}

# One that is killed leaves the set of before, or its own, whole; and whole start-up files.
test_killed() {
    local times=${AGENT_KILLS:-8} i killed=0 wrong=0 seen
    mkdir -p /etc/zsh
    deliver --label=0 OPENAI_API_KEY="$work/one" >/dev/null
    # When no kill came in time, or all too early, there are more tries.
    for ((i = 1; i <= times || (killed == 0 && i <= times + 40); i++)); do
        printf '# mine\nA=1\n' >/etc/bash.bashrc
        "$drive" "$work/socket" deliver --label="$i" OPENAI_API_KEY="$work/two" TOKEN_FILE@"$work/json" >"$work/said" &
        sleep "$(printf 0.%03d $((RANDOM % (i <= times ? 25 : 250))))"
        kill_script
        wait $!
        ! grep -q 'killed by signal 9' "$work/said" || killed=$((killed + 1))
        seen=$("$drive" "$work/socket" probe OPENAI_API_KEY="$work/one")$("$drive" "$work/socket" probe \
            OPENAI_API_KEY="$work/two" TOKEN_FILE@"$work/json")
        case $seen in
        *same=yes*) ;;
        *) wrong=$((wrong + 1)) && echo "# $seen" ;;
        esac
        case $(grep -v -e '^# llmhook' -e '/run/llmhook' /etc/bash.bashrc | tr '\n' ' ') in
        '# mine A=1 ') ;;
        *) wrong=$((wrong + 1)) && sed 's/^/# bashrc: /' /etc/bash.bashrc ;;
        esac
        deliver --label=0 OPENAI_API_KEY="$work/one" | grep -q outcome=proven || wrong=$((wrong + 1))
    done
    is "of $((i - 1)) deliveries some were killed ($killed)" "$((killed > 0))" 1
    is "and none left half a set or half a file" "$wrong" 0
    fresh_etc
    withdraw >/dev/null
}

# A command that was given up on the host may be carried out late, side by side with the next one; or be ended on its way.
test_interrupted() {
    local pid lease
    llmhook=$(sh "$top/qemu-guest-agent/guest/embed.sh" "$top/qemu-guest-agent/guest" deliver) \
        /bin/sh -c 'eval "$llmhook"' <"$work/never" >/dev/null 2>&1 &
    pid=$!
    exec 9>"$work/never"
    until [ -e /run/llmhook.d/$pid ]; do :; done
    like "while one waits for its input another is refused" "$(deliver OPENAI_API_KEY="$work/one")" "outcome=failed*error=busy: *"
    like "and so is a withdrawal" "$("$drive" "$work/socket" withdraw)" "outcome=failed*error=busy: *"
    exec 9>&-
    wait $pid
    is "it leaves nothing" "$(remains)" 0

    deliver --label=5 OPENAI_API_KEY="$work/one" >/dev/null
    cp -a "$(readlink -f /run/llmhook)" /run/llmhook.d/999999999
    is "a set is there" "$(deliver --label=5 OPENAI_API_KEY="$work/one")" "${good/written=yes/written=no}"
    is "and one that was left behind goes" "$(find /run/llmhook.d -mindepth 1 -maxdepth 1 | wc -l)" 1

    rm -f "$work/lease"
    # Who opens a file on which somebody has a lease waits for 45 s, unless he is somebody who is ended.
    as alice /usr/bin/python3 -c 'import fcntl, os, signal, sys
signal.signal(signal.SIGIO, signal.SIG_IGN)
os.chmod(sys.argv[1], 0o600)
file = os.open(sys.argv[1], os.O_RDWR)
fcntl.fcntl(file, fcntl.F_SETLEASE, fcntl.F_WRLCK)
print(os.getpid(), flush=True)
signal.pause()' /run/llmhook/users/1000/env >"$work/lease" &
    pid=$!
    until [ -s "$work/lease" ]; do kill -0 $pid 2>/dev/null || break; done
    is "who holds a copy does not hold up a set" "$(deliver --label=5 OPENAI_API_KEY="$work/one")" "$good"
    read -r lease <"$work/lease" && kill -KILL "$lease"
    wait $pid 2>/dev/null

    mkdir -m 0700 /run/llmhook.box
    echo "llmhook-box-1 1 deliver 1000" >/run/llmhook.box/in
    true >/run/llmhook.box/ready
    is "what is in the drop box" "$(withdraw)" "outcome=proven written=yes humans=0 shell=no"
    is "is not done after a withdrawal" "$(ls /run/llmhook.box; cat /run/llmhook.box/in)" "in"
    rm -r /run/llmhook.box
}
