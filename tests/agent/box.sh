# shellcheck shell=bash disable=SC2154
# A part of run-agent-tests.sh: guests whose agent may not run programs, what is said of it, and the drop box.

test_blocked() {
    agent_stop
    agent_start -b guest-exec,guest-exec-status
    like "an agent that may not exec" "$("$drive" "$work/socket" deliver OPENAI_API_KEY="$work/one")" \
        "outcome=blocked * calls=5 *error=denied: the guest's agent may not run guest-exec*"
    agent_stop
    agent_start -b guest-exec,guest-exec-status,guest-file-open
    like "nor write files" "$("$drive" "$work/socket" deliver OPENAI_API_KEY="$work/one")" \
        "outcome=blocked * calls=5 *error=denied: the guest's agent may neither run programs nor write files: in the guest, allow guest-exec and guest-exec-status (*"
    agent_stop
    agent_start -b guest-exec-status
    like "one that may not tell" "$("$drive" "$work/socket" deliver OPENAI_API_KEY="$work/one")" \
        "outcome=blocked * calls=6 *error=denied: the guest's agent may not run guest-exec-status*"
    agent_stop
    agent_start
    # It was executed all the same.
    withdraw >/dev/null
}

# Who looks after the drop box in a guest, in systemd's place.
box_start() {
    mkdir -m 0700 /run/llmhook.box
    (umask 077 && true >/run/llmhook.box/in)
    (while :; do
        [ ! -e /run/llmhook.box/ready ] || /bin/sh "$top/qemu-guest-agent/guest/box.sh" "$work/scripts"
        sleep 0.02
    done) >"$work/box.log" 2>&1 &
    box_pid=$!
}
box_stop() {
    kill $box_pid
    wait $box_pid 2>/dev/null
}

test_box() {
    local name before
    mkdir -p "$work/scripts"
    for name in deliver probe withdraw clean; do
        sh "$top/qemu-guest-agent/guest/embed.sh" "$top/qemu-guest-agent/guest" $name >"$work/scripts/$name.sh"
    done
    agent_stop
    agent_start -b guest-exec,guest-exec-status
    box_start
    is "by the drop box a delivery is proven" "$(deliver --label=3 OPENAI_API_KEY="$work/one" B="$work/two")" "$good"
    is "the keys are there" "$(sha256sum </run/llmhook/OPENAI_API_KEY) $(login_hash alice)" \
        "$(hash_of "$work/one") $(hash_of "$work/one")"
    is "a probe finds them" "$(probe)" "$(fingerprint OPENAI_API_KEY="$work/one" B="$work/two")"
    is "the same again writes nothing" "$(deliver --label=3 OPENAI_API_KEY="$work/one" B="$work/two")" \
        "${good/written=yes/written=no}"
    is "nothing of them stays in the box" "$(cd /run/llmhook.box && stat -c '%a %U %s %n' in; ls; cat ./* | grep -cFf "$work/one")" \
        "600 root 0 in
in
out
0"
    like "what the script says of a failure comes back" "$(deliver --readers=group:nosuch OPENAI_API_KEY="$work/one")" \
        "outcome=failed*error=not-found: the guest does not know the group*"
    # More than was there, then less: what an earlier one left behind is not read.
    printf 'x%.0s' {1..5000} >/run/llmhook.box/in
    is "what was in the file before is not taken for keys" "$(deliver --label=4 OPENAI_API_KEY="$work/two")" "$good"
    before=$(readlink /run/llmhook)
    printf 'llmhook-box-1 1 deliver 900\nverb=force readers=everybody label=1\nset -- A' >/run/llmhook.box/in
    touch /run/llmhook.box/ready
    while [ -e /run/llmhook.box/ready ] || [ "$(head -c 17 /run/llmhook.box/out)" != "llmhook-box-1 1 2" ]; do :; done
    is "input that was cut short is refused, and changes nothing" "$(head -n 1 /run/llmhook.box/out) $(readlink /run/llmhook)" \
        "llmhook-box-1 1 20 0 $before"
    is "withdrawing" "$(withdraw)" "outcome=proven written=yes humans=0 shell=no"
    is "leaves the box alone" "$(in_run -printf "%P\n" | sort | tr "\n" " ")" "llmhook.box llmhook.box/in llmhook.box/out "
    box_stop
    like "nobody looks after it" "$("$drive" "$work/socket" deliver --deadline=900 OPENAI_API_KEY="$work/one")" \
        "outcome=timeout*error=timeout: nobody in the guest looks after its drop box*"
    rm -r /run/llmhook.box
    like "there is none" "$("$drive" "$work/socket" deliver OPENAI_API_KEY="$work/one")" \
        "outcome=blocked * calls=5 *error=denied: the guest's agent may not run guest-exec*; or make a drop box there*"
    is "and none is made" "$(remains)" 0
    agent_stop
    agent_start
}
