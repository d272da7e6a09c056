#!/bin/sh
# Makes a C header of what runs in a guest: each script as an environment variable for the agent, without its
# comments and indentation (an emulated guest takes milliseconds to read them). A line NAME='@FILE@' of a script
# becomes the text of that file, and a line `. ./FILE` what that file does.
#
# usage: embed.sh FOLDER >guest-scripts.h
#        embed.sh FOLDER NAME         that script alone, as it runs
set -eu
cd "$1"

as_c_lines() {
    sed -e 's/\\/\\\\/g' -e 's/"/\\"/g' -e 's/^/    "/' -e 's/$/\\n"/'
}

# A file that is put into the guest keeps the lines by which it is known again.
text_of() {
    sed -e '/^#!/b' -e '/^# llmhook /b' -e '/^[[:blank:]]*#/d' -e '/^$/d' "$1"
}

script_lines() {
    while IFS= read -r line; do
        case $line in
        *"='@"*"@'")
            file=${line#*\'@}
            file=${file%@\'}
            text=$(text_of "$file")
            case $text in
            *\'*)
                echo "embed.sh: $file: a single quote would end the string that it is put into" >&2
                exit 1
                ;;
            esac
            printf "%s='%s\n'\n" "${line%%=*}" "$text"
            ;;
        '. ./'*) without_comments "${line#. ./}" ;;
        '#'* | '') ;;
        *) printf '%s\n' "$line" ;;
        esac
    done
}

without_comments() {
    sed -e 's/^[[:blank:]]*//' "$1" | script_lines
}

if [ $# = 2 ]; then
    without_comments "$2.sh"
    exit
fi
echo "/* Made by embed.sh from the scripts beside it; changes belong there. */"
for name in deliver withdraw clean probe; do
    lines=$(without_comments $name.sh)
    echo "static const char ${name}_script[] = \"llmhook=\""
    printf '%s\n' "$lines" | as_c_lines
    echo "    ;"
done
