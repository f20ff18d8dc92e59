#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# tools/fuzz_coverage.sh: the share of each parser's lines that the committed fuzz corpora reach, by
# gcov; fails below 80%. The parsers are the files named in tests/fuzz/parsers.txt.
set -u
cd "$(dirname "$0")/.." || exit 1
goal=80
tools/build.sh coverage || exit 1
find build/coverage -name '*.gcda' -delete
ctest --test-dir build/coverage -R '^fuzz_.*_corpus$' --output-on-failure || exit 1
status=0
while read -r source; do
    case $source in '' | '#'*) continue ;; esac
    data=$(find build/coverage -name "$(basename "$source").gcda" | head -n 1)
    if [ -z "$data" ]; then
        echo "$source: no corpus reaches it"
        status=1
        continue
    fi
    share=$(gcov -n "$data" 2>/dev/null | awk -v name="$source" '
        /^File/ { mine = index($0, name) > 0 }
        mine && /^Lines executed/ { split($0, part, /[:%]/); print part[2]; exit }')
    echo "$source: ${share:-0}% of its lines"
    awk -v share="${share:-0}" -v goal=$goal 'BEGIN { exit !(share >= goal) }' || status=1
done <tests/fuzz/parsers.txt
[ $status = 0 ] || echo "below $goal%: add inputs to tests/fuzz/corpus"
exit $status
