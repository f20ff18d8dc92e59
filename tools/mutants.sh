#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# tools/mutants.sh [--check] [LIST...]
#
# Plants faults in the Apple lanes and sees whether the tests find them. A list (all of
# tests/apple/mutants/*.list unless some are named) has a fault a line:
#
#     name | file | sed -E expression | name of the test that must fail | note
#
# Each is planted alone, in a copy of the tree under build/mutants, where what its test needs is
# built and that test is run. A fault is killed if the compiler refuses it or the test fails; one
# that survives needs a note "survives: why". Two work at a time (MUTANTS_AT_ONCE). The table is
# tests/apple/results/mutants.txt, in which a list that is named replaces its own lines alone. The
# exit status is 1 if the table then has fewer than 60 faults planted, fewer than 95 of 100 killed,
# or a survivor that is not explained. With --check it plants nothing and says whether each
# expression still changes its file.
set -u
cd "$(dirname "$0")/.." || exit 2
root=$PWD
scratch=$root/build/mutants
workers=${MUTANTS_AT_ONCE:-2}
planted_least=60
seconds_max=180 # for one test
result=tests/apple/results/mutants.txt

fail() {
    echo "tools/mutants.sh: $*" >&2
    exit 1
}

check_only=no
if [ "${1-}" = --check ]; then
    check_only=yes
    shift
fi
if [[ ${1-} == -* ]]; then
    echo "usage: tools/mutants.sh [--check] [LIST...]" >&2
    exit 2
fi
lists=("$@")
[ $# -gt 0 ] || lists=(tests/apple/mutants/*.list)
if [ $check_only = yes ]; then
    scratch=$(mktemp -d)
    trap 'rm -rf "$scratch"' EXIT
else
    mkdir -p "$scratch"
    exec 9>"$scratch/lock"
    flock -n 9 || fail "another one is at work in $scratch"
fi

# One line a fault: list, name, file, expression, test, note, separated by the unit separator.
for list in "${lists[@]}"; do
    [ -f "$list" ] || fail "$list: no such list"
    awk -F ' [|] ' -v list="$(basename "$list" .list)" -v OFS=$'\037' '
        /^[ \t]*(#|$)/ { next }
        { sub(/ [|] *$/, "") } # no note
        NF < 4 || NF > 5 { print list ": line " FNR ": " NF " fields" > "/dev/stderr"; bad = 1 }
        { print list, $1, $2, $3, $4, $5 }
        END { exit bad }' "$list" || fail "$list is malformed"
done >"$scratch/all" || exit 1
[ -s "$scratch/all" ] || fail "no faults in ${lists[*]}"

if [ $check_only = yes ]; then
    status=0
    while IFS=$'\037' read -r list name file expression _; do
        if ! sed -E "$expression" "$file" >"$scratch/changed" || cmp -s "$file" "$scratch/changed"
        then
            echo "$list: $name: the expression does not change $file" >&2
            status=1
        fi
    done <"$scratch/all"
    exit $status
fi

# What has to be built for a test: its program, which is a target of that name and has no command
# before it is built, or for a script all programs of the Apple tests.
targets_of() {
    (cd "$2" && ctest --show-only=json-v1) | python3 -c '
import json, sys
name, build = sys.argv[1:]
for test in json.load(sys.stdin)["tests"]:
    if test["name"] == name:
        is_program = test.get("command", [build])[0].startswith(build)
        print(name if is_program else "tests/apple/all tandem_cli")' "$1" "$2"
}

# run_test TREE TEST: by ctest, with what the test needs.
run_test() {
    ctest --test-dir "$1/build/release" -R "^$2\$" --timeout $seconds_max --output-on-failure \
        --no-tests=error </dev/null
}

# build TREE TARGETS: a list of words.
build() {
    local words
    read -ra words <<<"$2"
    ninja -C "$1/build/release" "${words[@]}" </dev/null
}

# make_tree TREE: a copy of what git would commit, configured. Files that did not change keep their
# times, so that a second run builds little.
make_tree() {
    mkdir -p "$1"
    git ls-files -co --exclude-standard | while read -r file; do
        [ -f "$file" ] || continue
        cmp -s "$file" "$1/$file" && continue
        mkdir -p "$1/$(dirname "$file")"
        cp "$file" "$1/$file"
    done
    (cd "$1" && cmake --preset release >/dev/null)
}

# plant TREE FILE EXPRESSION TEST TARGETS: prints what became of it.
plant() {
    local tree=$1 file=$2 expression=$3 name=$4 targets=$5 state
    [ -f "$root/$file" ] || { echo "not planted: no such file" && return; }
    if ! sed -E "$expression" "$root/$file" >"$tree/$file"; then
        state="not planted: sed refused the expression"
    elif cmp -s "$root/$file" "$tree/$file"; then
        state="not planted: the expression changes nothing"
    elif ! build "$tree" "$targets" >"$tree/log" 2>&1; then
        state="killed by the compiler"
        grep -qE 'error|warning' "$tree/log" || state="killed by the build"
    elif run_test "$tree" "$name" >"$tree/log" 2>&1; then
        state="survived"
    else
        state="killed"
        grep -q 'Timeout' "$tree/log" && state="killed by the clock"
    fi
    cp "$root/$file" "$tree/$file"
    echo "$state"
}

# work NUMBER: every fault whose line is this worker's.
work() {
    local number=$1 tree=$scratch/tree$1 list name file expression test note targets
    declare -A targets_by_test
    make_tree "$tree" || return 1
    # The tests pass without a fault, or nothing can be said.
    while read -r test; do
        targets=$(targets_of "$test" "$tree/build/release")
        [ -n "$targets" ] || { echo "$test: no such test" >&2; return 1; }
        targets_by_test[$test]=$targets
        if ! build "$tree" "$targets" >"$tree/log" 2>&1 ||
            ! run_test "$tree" "$test" >>"$tree/log" 2>&1; then
            echo "$test fails without a fault: $tree/log" >&2
            return 1
        fi
    done < <(cut -d $'\037' -f 5 "$scratch/lines$number" | sort -u)
    while IFS=$'\037' read -r list name file expression test note; do
        printf '%s\037%s\037%s\037%s\037%s\037%s\n' "$list" "$name" "$file" "$test" \
            "$(plant "$tree" "$file" "$expression" "$test" "${targets_by_test[$test]}")" "$note"
    done <"$scratch/lines$number" >"$scratch/done$number"
}

rm -f "$scratch"/lines* "$scratch"/done*
for ((i = 0; i < workers; i++)); do
    awk -v i=$i -v n="$workers" 'NR % n == i' "$scratch/all" >"$scratch/lines$i"
done
started=()
for ((i = 0; i < workers; i++)); do
    [ -s "$scratch/lines$i" ] || continue
    work $i &
    started+=($!)
done
for pid in "${started[@]}"; do
    wait "$pid" || fail "a worker failed"
done

# The lines of other lists stay.
names=" $(for list in "${lists[@]}"; do basename "$list" .list; done | tr '\n' ' ')"
{
    [ $# -eq 0 ] || [ ! -f $result ] || awk -v names="$names" '
        /^[0-9]/ { next }
        !index(names, " " $1 " ")' $result
    sort "$scratch"/done* | awk -F $'\037' '{
        printf "%-8s %-48s %-42s %-20s %s%s\n", $1, $2, $3, $4, $5,
            $5 ~ /^killed/ || $6 == "" ? "" : "; " $6 }'
} | sort >"$scratch/lines"
totals=$(awk '
    { planted += !/ not planted: /; killed += / killed( by the [a-z]+)?$/ }
    !/ killed( by the [a-z]+)?$/ && !/ survived; survives: ./ { open++ }
    END {
        printf "%d planted, %d killed, %d survived, %d not explained or not planted\n", planted,
            killed, planted - killed, open
    }' "$scratch/lines")
mkdir -p "$(dirname $result)"
{ cat "$scratch/lines" && echo "$totals"; } >$result
cat $result
read -r planted _ killed _ _ _ unexplained _ <<<"$totals"
[ "$planted" -ge $planted_least ] || fail "$planted planted, expected at least $planted_least"
[ $((killed * 100)) -ge $((planted * 95)) ] || fail "$killed of $planted killed, below 95 of 100"
[ "$unexplained" -eq 0 ] || fail "$unexplained survive without a reason, or were not planted"
