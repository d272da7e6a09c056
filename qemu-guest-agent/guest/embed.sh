#!/bin/sh
# Makes a C header of what runs in a guest: each script as an environment variable for the agent, without its
# comments and indentation (an emulated guest takes milliseconds to read them), the snippet for login shells in its
# place in deliver.sh.
#
# usage: embed.sh FOLDER >guest-scripts.h
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

echo "/* Made by embed.sh from the scripts beside it; changes belong there. */"
for name in deliver withdraw probe; do
    echo "static const char ${name}_script[] = \"llmhook=\""
    sed "/^profile='@PROFILE@'\$/,\$d" $name.sh | without_comments | as_c_lines
    if [ $name = deliver ]; then
        {
            printf "profile='"
            # Without the last newline.
            printf "%s'\n" "$(snippet)"
        } | as_c_lines
        sed "1,/^profile='@PROFILE@'\$/d" $name.sh | without_comments | as_c_lines
    fi
    echo "    ;"
done
