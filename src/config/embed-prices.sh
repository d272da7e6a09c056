#!/bin/sh
# Makes a C header of the price table, without its comments: embed-prices.sh FILE
set -eu
echo "/* Made by embed-prices.sh from packaging/prices.conf; changes belong there. */"
echo "static const char prices_conf[] ="
sed -e '/^#/d' -e '/^$/d' -e 's/\\/\\\\/g' -e 's/"/\\"/g' -e 's/^/    "/' -e 's/$/\\n"/' "$1"
echo "    ;"
