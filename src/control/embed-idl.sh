#!/bin/sh
# Prints the C header that carries an interface's text: embed-idl.sh FILE.varlink >FILE.varlink.h
# The variable is named after the file: io.llmhook.varlink becomes io_llmhook_varlink.
set -eu
name=$(basename "$1" | tr -c 'a-zA-Z0-9\n' '_')
printf '/* Generated from %s by embed-idl.sh. */\nstatic const char %s[] =\n' "$(basename "$1")" "$name"
sed -e 's/\\/\\\\/g' -e 's/"/\\"/g' -e 's/^/    "/' -e 's/$/\\n"/' "$1"
printf '    "";\n'
