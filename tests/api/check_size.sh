#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# check_size.sh FILE...: each is below 5 MB once stripped.
set -eu
limit=5000000
copy=$(mktemp)
trap 'rm -f "$copy"' EXIT
for file in "$@"; do
    cp "$file" "$copy"
    strip "$copy"
    bytes=$(wc -c <"$copy")
    echo "$(basename "$file"): $bytes bytes stripped, limit $limit"
    [ "$bytes" -lt "$limit" ] || exit 1
done
