# shellcheck shell=sh
# TAP of several programs as one: results under numbers of our own. Sourced by tests.

count=0 failed=0

# result STATUS NAME
result() {
    count=$((count + 1))
    if [ "$1" -eq 0 ]; then
        echo "ok $count - $2"
    else
        failed=$((failed + 1))
        echo "not ok $count - $2"
    fi
}

# relay PREFIX FILE: the lines of FILE, numbered or not, with a prefix.
relay() {
    while IFS= read -r line; do
        case $line in
            'ok - '*) result 0 "$1: ${line#ok - }" ;;
            'not ok - '*) result 1 "$1: ${line#not ok - }" ;;
            'ok '*) result 0 "$1: ${line#ok * - }" ;;
            'not ok '*) result 1 "$1: ${line#not ok * - }" ;;
            1..*) ;;
            *) echo "# ${line#\# }" ;;
        esac
    done <"$2"
}

# relay_whole PREFIX FILE [OF]: a program whose plan comes last. Without one it did not get that far.
relay_whole() {
    relay "$1" "$2"
    grep -q "^1\.\.$(grep -cE '^(not )?ok ' "$2")\$" "$2"
    result $? "$1:${3:+ $3:} all of it ran"
}
