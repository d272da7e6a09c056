#!/bin/bash
# What holds the tree together and no compiler sees: who may use whom, who owns which library, and house rules.
# Each rule is first shown a small tree that breaks it.
set -u
# shellcheck source-path=SCRIPTDIR source=common.sh
. "$(dirname "$0")/common.sh"

# --- what there is -----------------------------------------------------------------------------------------------------

# All files of ours below the folder, one a line. Not: what was built or downloaded.
tree_files() {
    (cd "$1" && find . \( -type d \( -name .git -o -name .cache -o -name autom4te.cache -o -name build-aux \
        -o -name node_modules -o -name inner -o -path './tests/log' \) -prune \) \
        -o \( -mindepth 1 -type d -exec test -e '{}/config.status' \; -prune \) \
        -o -type f ! -name '*.o' ! -name '*.a' ! -name '*.Po' ! -name '*~' ! -name Makefile.in ! -name aclocal.m4 \
        ! -name '*.varlink.h' ! -name guest-scripts.h ! -path ./configure ! -path ./Makefile ! -name 'config.*[a-bd-z]' \
        -print) | sed 's|^\./||' | sort
}

c_files() { tree_files "$1" | grep '\.[ch]$'; }

# What is linked into the three programs, or made for the guest.
product_files() { c_files "$1" | grep -E '^(src|hooks|qemu-guest-agent)/'; }

# Those that a shell runs. The tiny guest's have busybox's.
shell_files() {
    tree_files "$1" | while read -r file; do
        case $file in
        *.sh) echo "$file" ;;
        *) head -c 64 "$1/$file" | head -1 | grep -aqE '^#! ?/(usr/)?bin/(env )?(busybox sh|sh|bash|dash)$' && echo "$file" ;;
        esac
    done
}

# --- the rules: each prints what breaks it in the tree $1 -----------------------------------------------------------------

# One owner a library: HEADER PLACE. Only there, and there indeed.
owners() {
    cat <<-'END'
	curl/	src/providers/http.c
	openssl/	src/providers/jwt.c
	sqlite3.h	src/ledger/database.c
	libvirt/	src/host/
	libxml/	src/host/domain_xml.c
	sodium.h	src/base/
	ini.h	src/config/ini_file.c
	libsmartcols/	src/cli/table.c
	END
}
foreign_headers() {
    local header place
    owners | while read -r header place; do
        (cd "$1" && product_files . | xargs grep -nE "^ *# *include *[<\"]${header//./\\.}" /dev/null) >"$work/uses"
        grep -v "^$place" "$work/uses"
        grep -q "^$place" "$work/uses" || echo "nobody includes <$header...>, $place should"
    done
    # The sandbox's and the tests' own never get into a program.
    (cd "$1" && product_files . | xargs grep -nE '^ *# *include *[<"](microhttpd|cmocka|tests/)' /dev/null)
}

# Downwards only. `config` checks that what it reads is a provider and a place for its key; `credentials` asks Vault over
# the one HTTP there is.
may_use() {
    case $1 in
    base) echo base ;;
    lifecycle) echo base lifecycle ;;
    config) echo base lifecycle config credentials providers ;;
    credentials) echo base lifecycle credentials providers ;;
    ledger | providers | host | control | qemu-guest-agent) echo base lifecycle "$1" ;;
    daemon) echo base lifecycle ledger providers credentials config host control qemu-guest-agent daemon ;;
    cli) echo base control cli ;;
    hooks) echo base hooks ;;
    esac
}
upward_includes() {
    local file folder line used allowed
    product_files "$1" | while read -r file; do
        folder=$(cut -d/ -f1,2 <<<"$file")
        case $folder in src/*.[ch]) echo "$file: belongs to no folder" ;; esac
        folder=${folder#src/} folder=${folder%%/*}
        allowed=" $(may_use "$folder") "
        [ "$allowed" != "  " ] || echo "$file: what may $folder use? (may_use in tests/build/test-structure.sh)"
        grep -nE '^ *# *include *"' "$1/$file" | while read -r line; do
            used=$(sed 's/.*"\(.*\)".*/\1/' <<<"$line")
            case $used in
            ../*) ;;
            */*) used=${used%%/*} ;;
            *) if [ "$folder" = hooks ]; then used=hooks; fi ;;
            esac
            case $allowed in *" $used "*) ;; *) echo "$file:$line" ;; esac
        done
    done
}

# lifecycle/ decides and does nothing else. What its archive asks of others: text, memory, errors.
impure_symbols() {
    nm --undefined-only "$1" | awk '$1 == "U" { print $2 }' | sort -u >"$work/wanted"
    nm --defined-only "$1" | awk 'NF == 3 { print $3 }' | sort -u | comm -13 - "$work/wanted" |
        grep -vE '^(_?_?(mem|str|v?snprintf|isoc99_sscanf)|error_|buffer_|__stack_chk_fail|__ctype_|qsort|bsearch|__assert_fail|__(v?snprintf|mem.*|str.*)_chk)'
}

links_more_than_libc() {
    ldd "$1" 2>&1 | grep -vE 'not a dynamic executable|statically linked|linux-vdso|/?ld-linux|libc\.so'
}

long_files() {
    (cd "$1" && tree_files . | grep -E '\.(c|h|sh|mjs)$|^(quickstart|tests/run)$' | xargs wc -l) |
        awk '$1 > 800 && $2 != "total" { print $2 ": " $1 " lines" }'
}

# A function begins and ends with a brace at the line's start.
long_functions() {
    (cd "$1" && c_files . | xargs awk '
        FNR == 1 { start = 0 }
        /^\{/ { start = FNR }
        /^\}/ { if (start && FNR - start - 1 > 80) print FILENAME ":" start ": " FNR - start - 1 " lines"; start = 0 }')
}

# Those that cannot know where to stop, and those that start a shell. Comments may name them.
banned_functions() {
    local file
    product_files "$1" | while read -r file; do
        gcc -fpreprocessed -dD -E "$1/$file" 2>/dev/null |
            grep -E '(^|[^[:alnum:]_>.])(strcpy|stpcpy|strcat|strncat|v?sprintf|gets|system|popen|tmpnam|mktemp|alloca) *\(' |
            sed "s|^ *|$file: |"
    done
}

unfinished() {
    (cd "$1" && tree_files . | grep -v '^tests/build/test-structure.sh$' |
        xargs grep -InwE 'TODO|FIXME|XXX|HACK|tbd|TBD')
}

# `make mutate` and `make crash-mutate` take too long for every day; whether a change still finds its place, and leaves
# something that can be compiled, does not.
stale_mutations() {
    local list line name file change
    for list in tests/simulate/mutations tests/crash/mutations; do
        while IFS= read -r line; do
            [[ $line != '#'* ]] || continue
            name=${line%% | *} file=${line#* | } change=${line#* | * | }
            [[ $list != tests/crash/* ]] || change=${change% | * | *}
            file=${file%% | *}
            if ! perl -0777 -pe "$change" "$1/src/$file" >"$work/mutated" 2>/dev/null || cmp -s "$work/mutated" "$1/src/$file"; then
                printf '%s: %s changes nothing\n' "$list" "$name"
            elif [[ $file == *.c ]] && ! gcc -fsyntax-only -w -std=gnu11 -D_GNU_SOURCE -DPACKAGE_VERSION='""' -I"$1/src" -I"$1" \
                -I"$LLMHOOK_BUILD" -I"$LLMHOOK_BUILD/src" -x c - <"$work/mutated" 2>"$work/complaint"; then
                printf '%s: %s cannot be compiled: %s\n' "$list" "$name" "$(grep -m1 error: "$work/complaint")"
            fi
        done <"$1/$list"
    done
}

# What the dictionary of the configuration's fuzzing does not have, the fuzzer does not think of: keys and types.
unfuzzed_words() {
    local word
    {
        sed -nE 's/^ +\{"([a-z-]+)", read_[a-z_]+, .*/\1 = /p' "$1"/src/config/draft*.c
        sed -nE 's/^ +\.type = "([a-z-]+)",/type = \1/p' "$1"/src/providers/*.c
    } | while IFS= read -r word; do
        grep -qF "\"$word" "$1/tests/fuzz/config.dict" || echo "tests/fuzz/config.dict: no line begins with '$word'"
    done
}

# Patterns of what providers and forges hand out, and of keys in PEM. Tests have made-up ones, which show that: they
# count up, or spell the alphabet.
secrets() {
    (cd "$1" && tree_files . | grep -v package-lock.json | xargs grep -InoE \
        -e 'sk-[A-Za-z0-9_-]{32,}' -e 'T3Blbk''FJ' -e '(AKIA|ASIA)[0-9A-Z]{16}' -e 'gh[pousr]_[A-Za-z0-9]{36}' \
        -e 'github_pat_[A-Za-z0-9_]{40,}' -e 'glpat-[A-Za-z0-9_-]{20}' -e 'npm_[A-Za-z0-9]{36}' \
        -e 'xox[abprs]-[A-Za-z0-9-]{20,}' -e 'AIza[0-9A-Za-z_-]{35}' -e '-----BEGIN [A-Z ]*PRIVATE KEY' \
        -e 'eyJ[A-Za-z0-9_-]{16,}\.eyJ[A-Za-z0-9_-]{16,}' -e '://[^/@: ]+:[^/@ $%"]{8,}@') |
        grep -viE '0123456789|abcdefgh|dGhpcyBpcyBtYWRlIHVw'
}

# Files, functions, targets of make and verbs of the command that the four documents name, and there are none of.
dead_names() {
    local doc name
    (cd "$1" && for doc in README.md ARCHITECTURE.md SECURITY.md CONTRIBUTING.md; do
        [ -e $doc ] || continue
        { grep -oE '\b(src|tests|packaging|qemu-guest-agent)/[[:alnum:]_./-]+' $doc; grep -oE '\]\([[:alnum:]_./-]+\)' $doc; } |
            tr -d ']()' | sed 's/[.]*$//' | sort -u | while read -r name; do [ -e "$name" ] || echo "$doc: $name"; done
        grep -oE '`[a-z_]+\(\)`' $doc | tr -d '`()' | sort -u | while read -r name; do
            product_files . | xargs grep -qw "$name" || echo "$doc: $name()"
        done
        grep -oE '(^ {4,}|`)(sudo )?make [a-z][a-z-]*' $doc | sed 's/.*make //' | sort -u | while read -r name; do
            case $name in check | install) continue ;; esac
            grep -q "^$name:" Makefile.am || echo "$doc: make $name"
        done
        grep -oE '(^ {4,}|`)(sudo )?llmhook [a-z][a-z-]*' $doc | sed 's/.*llmhook //' | sort -u | while read -r name; do
            grep -q "^  $name " tests/cli/help.golden || echo "$doc: llmhook $name"
        done
    done)
}

shell_complaints() {
    local file shell
    shell_files "$1" | while read -r file; do
        shell=()
        if head -1 "$1/$file" | grep -q busybox; then shell=(--shell=dash); fi
        if ! head -1 "$1/$file" | grep -qE '^#!|shellcheck shell'; then shell=(--shell=sh); fi
        (cd "$1" && shellcheck --external-sources --source-path=SCRIPTDIR --severity=warning --format=gcc \
            ${shell[@]+"${shell[@]}"} "$file")
    done
}

# --- can they fail? --------------------------------------------------------------------------------------------------------

bad=$work/bad
plant() { mkdir -p "$bad/$(dirname "$1")" && printf '%b' "$2" >"$bad/$1"; }
plant src/base/a.c '#include <curl/curl.h>\nint strcpy_not(void);\n'
plant src/providers/http.c '#include <curl/curl.h>\n'
plant src/lifecycle/b.c '#include "ledger/ledger.h"\nvoid f(char *a) { /* gets(a) */ strcpy(a, "b"); }\n'
plant src/cli/c.c '#include "base/error.h"\n#include "daemon/engine.h"\n'
plant hooks/d.c '#include "own.h"\n#include "control/control.h"\n'
plant src/ledger/e.c "int g(void)\n{\n$(printf '    ;\\n%.0s' {1..81})}\n"
plant src/ledger/f.h "$(printf '/* */\\n%.0s' {1..801})"
plant src/ledger/g.h "/* TO""DO */ /* key: sk-""Zq83nfKw02mVbx71LpQe49RtYu56HjGd */\n"
plant src/other/h.c 'int h;\n'
plant README.md 'See src/base/a.c and src/base/nosuch.c, [this](b.md), `fly()`.\n    sudo make fly\n    llmhook dance\n    llmhook status\n'
plant Makefile.am 'install:\n'
plant tests/cli/help.golden '  status   x\n'
plant tool.sh '#!/bin/sh\nfor i in $(ls *.c); do [ $i = a ] && local x; done\n'
catches() {
    local rule=$1 wanted=$2 got
    got=$("$rule" "$bad" | sed 's/:.*//' | sort -u | tr '\n' ' ')
    [ "$got" = "$wanted " ] || { echo "found: $got, wanted: $wanted"; return 1; }
}
catches_header() { foreign_headers "$bad" | grep -q '^src/base/a.c:1:' && foreign_headers "$bad" | grep -q 'nobody includes <sqlite3.h'; }
check "rule: a header outside of its owner is found, and an owner without it" catches_header
check "rule: includes upwards are found" catches upward_includes "hooks/d.c src/cli/c.c src/lifecycle/b.c src/other/h.c"
check "rule: a long file is found" catches long_files "src/ledger/f.h"
catches_names() {
    [ "$(dead_names "$bad" | tr '\n' ';')" = \
        "README.md: b.md;README.md: src/base/nosuch.c;README.md: fly();README.md: make fly;README.md: llmhook dance;" ]
}
check "rule: what a document names and is not there is found" catches_names
check "rule: a long function is found" catches long_functions "src/ledger/e.c"
check "rule: a banned function is found, not in a comment" catches banned_functions "src/lifecycle/b.c"
check "rule: a note to oneself is found" catches unfinished "src/ledger/g.h"
plant tests/simulate/mutations '# title\nfits | ledger/e.c | s/x|;/;;/\nstale | ledger/e.c | s/fgets/puts/\nbroken | ledger/e.c | s/(/\n'
plant tests/crash/mutations "$(printf '%s\\n' 'worn | ledger/e.c | s/h\\(void\\)|zz/g(int)/ | Start | words' \
    'right | ledger/e.c | s/g/h/ | Stop | words' 'wrong | ledger/e.c | s/void/(/ | Stop | words')"
catches_mutations() {
    [ "$(stale_mutations "$bad" | sed 's/^[^:]*: //; s/: .*//' | tr '\n' ';')" = \
        "stale changes nothing;broken changes nothing;worn changes nothing;wrong cannot be compiled;" ]
}
check "rule: a mutation that changes nothing, is none or cannot be compiled is found" catches_mutations
plant src/config/draft-a.c '    {"old-key", read_old, false},\n    {"new-key", read_new, true},\n'
plant tests/fuzz/config.dict '"old-key = 1"\n'
catches_unfuzzed() { [ "$(unfuzzed_words "$bad")" = "tests/fuzz/config.dict: no line begins with 'new-key = '" ]; }
check "rule: a key that is not fuzzed is found" catches_unfuzzed
check "rule: a secret is found" catches secrets "src/ledger/g.h"
if command -v shellcheck >/dev/null; then
    check "rule: a shell script's fault is found" catches shell_complaints "tool.sh"
fi

# --- the tree ------------------------------------------------------------------------------------------------------------

tree=$LLMHOOK_SOURCE
silent "each library is used by its owner alone" foreign_headers "$tree"
silent "folders use what is below them" upward_includes "$tree"
if [ -z "$(make_variable "$LLMHOOK_BUILD" SANITIZE_CFLAGS)$(make_variable "$LLMHOOK_BUILD" COVERAGE_CFLAGS)" ]; then
    silent "lifecycle/ asks nothing of the system" impure_symbols "$LLMHOOK_BUILD/liblifecycle.a"
    check "rule: another archive does" test -n "$(impure_symbols "$LLMHOOK_BUILD/libledger.a")"
    silent "the hook links libc at most" links_more_than_libc "$LLMHOOK_BUILD/hooks/qemu"
    check "rule: another program does link more" test -n "$(links_more_than_libc "$LLMHOOK_BUILD/src/llmhook")"
else
    skip "lifecycle/ asks nothing of the system" "an instrumented build links its runtime"
    skip "the hook links libc at most" "an instrumented build links its runtime"
fi
silent "no file is longer than 800 lines" long_files "$tree"
silent "no function is longer than 80 lines" long_functions "$tree"
silent "what the documents name is there" dead_names "$tree"
silent "no banned function" banned_functions "$tree"
silent "nothing is left to do" unfinished "$tree"
silent "each mutation of the core and of the daemon can be made and compiled" stale_mutations "$tree"
silent "every key and type of the configuration is fuzzed" unfuzzed_words "$tree"
silent "nothing looks like a secret" secrets "$tree"
if command -v shellcheck >/dev/null; then
    silent "shellcheck has nothing to warn of" shell_complaints "$tree"
else
    skip "shellcheck has nothing to warn of" "shellcheck is not installed"
fi
# Where nothing was looked at, nothing was found.
check "it looked at the tree" test "$(product_files "$tree" | wc -l)" -gt 100 -a "$(shell_files "$tree" | wc -l)" -gt 25
finish
