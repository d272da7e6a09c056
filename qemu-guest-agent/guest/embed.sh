#!/bin/sh
# Makes a C header of what runs in a guest: each script as an environment variable for the agent, without its
# comments and indentation (an emulated guest takes milliseconds to read them), the snippet for login shells in its
# place in deliver.sh.
#
# usage: embed.sh FOLDER >guest-scripts.h
#        embed.sh FOLDER NAME         that script alone, as it runs
set -eu
cd "$1"

# The snippet stands between single quotes.
if grep "'" profile.sh >&2; then
    echo "embed.sh: profile.sh: a single quote would end the string that it is put into" >&2
    exit 1
fi
if [ "$(grep -c "^profile='@PROFILE@'\$" deliver.sh)" != 1 ]; then
    echo "embed.sh: deliver.sh: no place for the snippet" >&2
    exit 1
fi

as_c_lines() {
    sed -e 's/\\/\\\\/g' -e 's/"/\\"/g' -e 's/^/    "/' -e 's/$/\\n"/'
}

without_comments() {
    sed -e 's/^[[:blank:]]*//' -e '/^#/d' -e '/^$/d'
}

# The snippet keeps its first line, by which it is known again.
snippet() {
    sed -e 1b -e '/^#/d' profile.sh
}

# NAME
script() {
    if [ "$1" = deliver ]; then
        sed "/^profile='@PROFILE@'\$/,\$d" deliver.sh | without_comments
        printf "profile='"
        # Without the last newline.
        printf "%s'\n" "$(snippet)"
        sed "1,/^profile='@PROFILE@'\$/d" deliver.sh | without_comments
    else
        without_comments <"$1.sh"
    fi
}

if [ $# = 2 ]; then
    script "$2"
    exit
fi
echo "/* Made by embed.sh from the scripts beside it; changes belong there. */"
for name in deliver withdraw probe; do
    echo "static const char ${name}_script[] = \"llmhook=\""
    script $name | as_c_lines
    echo "    ;"
done
