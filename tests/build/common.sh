# shellcheck shell=bash
# What the tests of the build share. Source it:
#
#   . "$(dirname "$0")/common.sh"
#   inner_configure clang CC=clang              # in $LLMHOOK_BUILD/inner/clang
#   check "it builds" inner_make clang all
#   finish
#
# LLMHOOK_BUILD is the build that is being tested, LLMHOOK_SOURCE its source. Inner builds stay, so that the next run
# is quick; `make clean` removes them.
# shellcheck disable=SC2034 # for whoever sources it

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd -P)
LLMHOOK_SOURCE=$(cd "${LLMHOOK_SOURCE:-$here/../..}" && pwd -P) || exit
LLMHOOK_BUILD=$(cd "${LLMHOOK_BUILD:-$LLMHOOK_SOURCE/build}" && pwd -P) || exit
export LLMHOOK_BUILD LLMHOOK_SOURCE LC_ALL=C
# What the outer make has told its children is not for ours: it has its jobs, and they have one each.
unset MAKEFLAGS MFLAGS MAKELEVEL MAKEOVERRIDES GNUMAKEFLAGS DESTDIR LLMHOOK_TALLY LLMHOOK_STRICT
work=$(mktemp -d "${TMPDIR:-/tmp}/w.XXXXXX") || exit # short: sockets are made far below it
chmod 0755 "$work"
trap 'rm -rf "$work"' EXIT

count=0
failures=0
ran=0

note() { printf '%s\n' "$*" | sed 's/^/# /'; }
pass() { count=$((count + 1)) && echo "ok $count - $1"; }
skip() { count=$((count + 1)) && echo "ok $count - $1 # SKIP $2"; }
# usage: fail NAME [WHY]
fail() {
    count=$((count + 1)) failures=$((failures + 1))
    echo "not ok $count - $1"
    [ -z "${2:-}" ] || note "$2"
}

# Passes when COMMAND succeeds; else its output is shown, the end of it if it is long.
# usage: check NAME COMMAND...
check() {
    local name=$1 status=0
    shift
    "$@" >"$work/output" 2>&1 || status=$?
    if [ $status = 0 ]; then pass "$name"; else fail "$name" "exit $status of: $*
$(tail -40 "$work/output")"; fi
    return $status
}

# Passes when COMMAND prints nothing, neither on stdout nor on stderr, whatever its exit code.
# usage: silent NAME COMMAND...
silent() {
    local name=$1
    shift
    "$@" >"$work/output" 2>&1 || true
    if [ -s "$work/output" ]; then fail "$name" "$(head -40 "$work/output")"; else pass "$name"; fi
}

skip_all() {
    echo "1..0 # SKIP $*"
    exit 0
}

finish() {
    echo "1..$count"
    [ "$failures" = 0 ]
    exit
}

# --- builds of our own ------------------------------------------------------------------------------------------------

# The tree to build from: the source itself, or a copy where that has been configured in place.
source_tree() {
    if [ ! -e "$LLMHOOK_SOURCE/config.status" ]; then
        echo "$LLMHOOK_SOURCE"
        return
    fi
    mkdir -p "$LLMHOOK_BUILD/inner" &&
        make -C "$LLMHOOK_BUILD" -s distdir distdir="$LLMHOOK_BUILD/inner/source" >&2 &&
        echo "$LLMHOOK_BUILD/inner/source"
}

# Configures $LLMHOOK_BUILD/inner/NAME, unless that has been done, with these arguments and this ./configure.
# usage: inner_configure NAME ARGUMENT...
inner_configure() {
    local folder=$LLMHOOK_BUILD/inner/$1 tree
    shift
    tree=$(source_tree) || return
    mkdir -p "$folder" || return
    cd "$folder" || return
    if [ ! -e Makefile ] || [ "$tree/configure" -nt config.status ] || [ "$(cat arguments 2>/dev/null)" != "$*" ]; then
        rm -f arguments
        "$tree/configure" --quiet "$@" && printf '%s\n' "$*" >arguments
    fi
}

# usage: inner_make NAME ARGUMENT...
inner_make() {
    local folder=$LLMHOOK_BUILD/inner/$1
    shift
    make -C "$folder" --no-print-directory -s "$@"
}

# The programs and scripts that `make check-SUITE` would run in a build folder, as tests/run wants them.
# usage: suite FOLDER SUITE
suite() {
    make -C "$1" --no-print-directory -s "check-$2" RUN='printf "%s\n"' | grep "^$2:"
}

# A variable's value in a build folder's Makefile.
# usage: make_variable FOLDER NAME
make_variable() {
    # shellcheck disable=SC2016 # make expands
    printf 'include Makefile\nprint-variable:\n\t@echo "$(%s)"\n' "$2" |
        make -C "$1" --no-print-directory -s -f - print-variable
}

# Runs one item of a suite as tests/run does, and reports it as one test: passed, failed, or skipped as a whole.
# What of it was skipped stays in its log. How many have passed is in $ran.
# usage: run_item FOLDER NAME ITEM [OPTION OF tests/run...]
run_item() {
    local folder=$1 name=$2 item=$3 status=0 passed=0 failed=0 skipped=0 output
    shift 3
    rm -f "$work/tally"
    output=$(LLMHOOK_TALLY=$work/tally LLMHOOK_BUILD=$folder LLMHOOK_SANDBOX=${LLMHOOK_SANDBOX_HERE:-} \
        bash "$LLMHOOK_SOURCE/tests/run" --jobs 1 "$@" "$item" 2>&1) || status=$?
    if [ -e "$work/tally" ]; then read -r passed failed skipped <"$work/tally"; fi
    if [ $status != 0 ]; then
        fail "$name" "$output"
    elif [ "$passed" = 0 ]; then
        skip "$name" "$(sed -n 's/.*# *[Ss][Kk][Ii][Pp] *//p' <<<"$output" | head -1)"
    else
        ran=$((ran + 1))
        pass "$name ($passed checks)"
    fi
}

# --- another Debian --------------------------------------------------------------------------------------------------------

# usage: run_in_debian ARGUMENT OF debian.sh...
run_in_debian() {
    local status
    "$here/../lab/debian.sh" "$@" 2>"$work/complaints" | tee "$work/said"
    status=${PIPESTATUS[0]}
    cat "$work/complaints" >&2
    return "$status"
}

# Runs a script of the source, with --inside, in Debian 13, or 12: see tests/lab/debian.sh. It is the whole of the test.
# usage: enter_debian [--systemd] SCRIPT
enter_debian() {
    local systemd=() reason status=0
    if [ "$1" = --systemd ]; then
        systemd=(--systemd)
        shift
    fi
    reason=$("$here/../lab/enter.sh" --check 2>&1) || skip_all "${reason#*: }"
    LLMHOOK_SOURCE=$(source_tree) || { fail "there is a source to build from"; finish; }
    run_in_debian ${systemd[@]+"${systemd[@]}"} bash "/llmhook/source/$1" --inside
    status=$?
    # A machine that ended before its first test says nothing of llmhook. It has been seen once in a dozen.
    if [ ! -s "$work/said" ] && [ "$status" != 77 ]; then
        note "the machine ended before its first test (exit $status), and is started once more"
        run_in_debian ${systemd[@]+"${systemd[@]}"} bash "/llmhook/source/$1" --inside
        status=$?
    fi
    [ "$status" != 77 ] || skip_all "$(sed -n 's/^debian: //p' "$work/complaints" | head -1)"
    [ -s "$work/said" ] || { fail "there is a Debian to test in" "exit $status
$(tail -30 "$work/complaints")"; finish; }
    return "$status"
}
