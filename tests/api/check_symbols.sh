#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# check_symbols.sh LIBRARY HEADERS: the shared library exports every function that the public
# headers declare with TANDEM_API, and no other symbol. hub.h is another library's.
set -eu
exported=$(mktemp)
declared=$(mktemp)
trap 'rm -f "$exported" "$declared"' EXIT
if [ "$(uname -s)" = Darwin ]; then
    nm -gU "$1" | awk '{ sub(/^_/, "", $NF); print $NF }' | sort -u >"$exported"
else
    nm -D --defined-only "$1" | awk '{ print $NF }' | sort -u >"$exported"
fi
find "$2" -name "*.h" ! -name hub.h -exec cat {} + |
    grep -v '^#' | tr '\n' ' ' | grep -oE 'TANDEM_API [^;(]*\(' |
    sed 's/ *($//; s/.*[ *]//' | sort -u >"$declared"
[ -s "$declared" ] || { echo "no TANDEM_API in $2" && exit 1; }
if ! diff "$declared" "$exported"; then
    echo "< declared in the headers but not exported; > exported but not declared"
    exit 1
fi
echo "$(wc -l <"$exported") symbols"
