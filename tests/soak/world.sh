# shellcheck shell=bash
# What may happen to the domains of a soak, each at its own time and beside the others. Sourced by kill9.sh.
#
# All that is random is rolled in the main shell, so that a seed gives the same choices again; the moments at which
# things coincide are the machine's.

# A short run has fewer, as it spends its time waiting for them to boot.
PERSISTENT=(dev-1 dev-2)
[ "$CYCLES" -lt 50 ] || PERSISTENT=(dev-1 dev-2 dev-3 dev-4)
TRANSIENT=dev-5
ACTIONS=$LAB_DIR/actions
declare -A UUID=()     # of the domain that has or last had that name
declare -A BOOT=()     # counts what ends a boot
declare -A JOB=()      # the process that does something to it
declare -A STATE=()    # in virsh's words, or "absent"
declare -A COUNT=()    # of what was done in this shell
uuids_made=0

# usage: roll N: ROLL becomes one of 0..N-1
roll() {
    ROLL=$((RANDOM % $1))
}

# usage: choose WORD...: CHOICE becomes one of them
choose() {
    roll $#
    shift $ROLL
    CHOICE=$1
}

count() {
    COUNT[$1]=$((${COUNT[$1]:-0} + 1))
}

new_uuid() {
    uuids_made=$((uuids_made + 1))
    UUID[$1]=$(printf '50000000-0000-4000-8000-%012d' $uuids_made)
}

read_states() {
    local listing name state
    listing=$(LAB_VIRSH_LIMIT=30 virsh list --all --managed-save) || return
    for name in "${PERSISTENT[@]}" $TRANSIENT; do
        STATE[$name]=absent
    done
    while read -r _ name state; do
        [ -z "$name" ] || STATE[$name]=$state
    done <<<"$listing"
}

domain_xml() {
    lab_domain_xml "$1" --uuid "${UUID[$1]}"
}

# usage: doing KIND NAME COMMAND...: in the background; who succeeded is counted at the end
doing() {
    local kind=$1 name=$2
    shift 2
    (
        if "$@" >>"$LAB_DIR/virsh.log" 2>&1; then
            echo "$kind $name" >>"$ACTIONS"
        else
            echo "$kind-failed $name" >>"$ACTIONS"
        fi
    ) &
    JOB[$name]=$!
}

virsh_in_time() {
    LAB_VIRSH_LIMIT=60 virsh --quiet "$@"
}

define_and_start() {
    virsh_in_time define "$LAB_DIR/$1.xml" && virsh_in_time start "$1"
}

undefine_and_define() {
    virsh_in_time undefine "$1" && virsh_in_time define "$LAB_DIR/$1.xml"
}

save_and_restore() {
    virsh_in_time save "$1" "$LAB_DIR/$1.saved" && virsh_in_time restore "$LAB_DIR/$1.saved"
}

kill_qemu() {
    local pid
    pid=$(lab_qemu_pid "$1") && kill -KILL "$pid"
}

reboot_by_agent() {
    timeout 10 virsh --quiet qemu-agent-command --timeout 5 "$1" \
        '{"execute":"guest-exec","arguments":{"path":"/bin/sh","arg":["-c","sleep 0.2; exec reboot -f"]}}'
}

# It is absent: another domain of that name, or the same again.
appear() {
    local name=$1
    roll 2
    if [ -z "${UUID[$name]:-}" ] || [ $ROLL = 0 ]; then new_uuid "$name"; fi
    BOOT[$name]=$((${BOOT[$name]:-0} + 1))
    domain_xml "$name" >"$LAB_DIR/$name.xml"
    if [ "$name" = $TRANSIENT ]; then
        doing start "$name" virsh_in_time create "$LAB_DIR/$name.xml"
    else
        doing start "$name" define_and_start "$name"
    fi
}

# usage: act_on NAME: one thing that can happen to it as it is now
act_on() {
    local name=$1
    if [ -n "${JOB[$name]:-}" ] && kill -0 "${JOB[$name]}" 2>/dev/null; then
        return
    fi
    case ${STATE[$name]} in
    absent) CHOICE=appear ;;
    running)
        if [ "$name" = $TRANSIENT ]; then
            choose destroy destroy reset kill save suspend
        else
            choose destroy destroy destroy destroy reset reset reboot poweroff poweroff kill managedsave managedsave \
                save suspend undefine redefine
        fi
        ;;
    paused) choose resume resume resume destroy kill ;;
    saved) choose wake wake wake wake wake undefine ;;
    'shut off') choose start start start start start start start undefine redefine ;;
    *) return ;;
    esac
    perform "$name" "$CHOICE"
}

perform() {
    local name=$1 what=$2
    case $what in
    destroy | poweroff | kill | start) BOOT[$name]=$((BOOT[$name] + 1)) ;;
    esac
    case $what in
    appear) appear "$name" ;;
    start | wake) doing "$what" "$name" virsh_in_time start "$name" ;;
    destroy) doing stop "$name" virsh_in_time destroy "$name" ;;
    kill) doing stop "$name" kill_qemu "$name" ;;
    # The guest may be too young to hear it, or take its time.
    poweroff) doing poweroff "$name" virsh_in_time shutdown "$name" --mode acpi ;;
    reset) doing reboot "$name" virsh_in_time reset "$name" ;;
    reboot) doing reboot "$name" reboot_by_agent "$name" ;;
    managedsave) doing save "$name" virsh_in_time managedsave "$name" ;;
    save) doing save "$name" save_and_restore "$name" ;;
    suspend | resume) doing "$what" "$name" virsh_in_time "$what" "$name" ;;
    undefine) doing undefine "$name" virsh_in_time undefine "$name" --managed-save ;;
    redefine) doing redefine "$name" undefine_and_define "$name" ;;
    esac
}

await_actions() {
    local name
    for name in "${!JOB[@]}"; do
        wait "${JOB[$name]}"
        unset "JOB[$name]"
    done
}

# ---- the provider's part ----

# usage: trouble: a fault, or none, until calm
trouble() {
    local ms times
    roll 4
    times=$((ROLL + 1))
    roll 400
    ms=$((ROLL + 20))
    choose before after never
    local execute=$CHOICE
    choose none slow slow slow 500 500-any lost-minting lost-project cut 500-delete stale 429 garbage small-pages hang
    case $CHOICE in
    none) return ;;
    slow)
        [ "$execute" != never ] || execute=before
        fault '{"match":"*","mode":"latency","ms":'"$ms"',"execute":"'"$execute"'","times":-1}'
        ;;
    500)
        [ "$execute" = never ] || execute=before
        fault '{"match":"'"$MINTING"'","mode":"status","status":500,"execute":"'"$execute"'","times":'"$times"'}'
        ;;
    500-any) fault '{"match":"*","mode":"status","status":500,"execute":"never","skip":1,"times":'"$times"'}' ;;
    lost-minting) fault '{"match":"'"$MINTING"'","mode":"drop-after"}' ;;
    lost-project) fault '{"match":"POST '"$PROJECTS"'","mode":"drop-after"}' ;;
    cut) fault '{"match":"*","mode":"drop-before","times":'"$times"'}' ;;
    500-delete)
        [ "$execute" = never ] || execute=before
        fault '{"match":"DELETE '"$PROJECTS"'/*/service_accounts/*","mode":"status","status":500,"execute":"'"$execute"'","times":'"$times"'}'
        ;;
    stale) knob stale_list_ms $((ms * 10)) ;;
    429) fault '{"match":"*","mode":"status","status":429,"retry_after":1,"execute":"never","times":'"$times"'}' ;;
    garbage) fault '{"match":"'"$MINTING"'","mode":"garbage"}' ;;
    small-pages) knob page_max $times ;;
    hang) fault '{"match":"*","mode":"hang","execute":"before"}' ;;
    esac
    count "trouble-$CHOICE"
    case $CHOICE in stale | small-pages) count knobs ;; esac
}

calm() {
    faults_end
    knob stale_list_ms 0
    knob page_max 0
}

faults_fired() {
    lab_sandbox_ctl GET /stats | jq '[.. | objects | .faults? | numbers] | add // 0'
}
