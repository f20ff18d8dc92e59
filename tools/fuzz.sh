#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# tools/fuzz.sh [--report LOGS] [SECONDS [TARGET...]]
#
# Runs every libFuzzer target of the fuzz preset (or those named) for SECONDS, two at a time, from
# its committed corpus. New inputs go to build/fuzz/new/<name>, what fails to
# build/fuzz/failed/<name>-*. With --report it prints one line a target, "ok NAME runs" or
# "FAILED NAME reason", builds nothing, and leaves the output in LOGS.
set -u
cd "$(dirname "$0")/.." || exit 1
logs=build/fuzz/logs
is_report=no
if [ "${1-}" = --report ]; then
    is_report=yes
    logs=$2
    shift 2
else
    tools/build.sh fuzz || exit 1
fi
seconds=${1:-30}
[ $# -gt 0 ] && shift
mkdir -p "$logs" build/fuzz/failed

if [ $# -gt 0 ]; then
    targets=("${@/#/build/fuzz/fuzz/fuzz_}")
else
    targets=(build/fuzz/fuzz/fuzz_*)
fi
if [ ! -x "${targets[0]}" ]; then
    echo "FAILED fuzz no such target: ${targets[0]}"
    exit 1
fi

# fuzz_one PATH: one target; prints its line.
fuzz_one() {
    local target=$1 name log runs
    name=$(basename "$target")
    log=$logs/$name.log
    local corpus=tests/fuzz/corpus/${name#fuzz_} new=build/fuzz/new/${name#fuzz_}
    mkdir -p "$new"
    if [ ! -d "$corpus" ]; then
        echo "no corpus in $corpus" >"$log"
        echo "FAILED $name no corpus in $corpus"
        return 1
    fi
    # One allocation over 256 MB, or 2 GB in all, is a finding: nothing here needs it.
    if "$target" -max_total_time="$seconds" -timeout=10 -rss_limit_mb=2048 -malloc_limit_mb=256 \
        -artifact_prefix="build/fuzz/failed/$name-" -print_final_stats=1 "$new" "$corpus" \
        >"$log" 2>&1 </dev/null; then
        runs=$(sed -n 's/^stat::number_of_executed_units: *//p' "$log")
        echo "ok $name ${runs:-0} runs"
        return 0
    fi
    echo "FAILED $name $(grep -m 1 -E 'ERROR|SUMMARY|runtime error' "$log" | cut -c 1-120)"
    return 1
}

status=0
for ((i = 0; i < ${#targets[@]}; i += 2)); do
    pids=()
    for target in "${targets[@]:i:2}"; do
        fuzz_one "$target" &
        pids+=($!)
    done
    for pid in "${pids[@]}"; do wait "$pid" || status=1; done
done
[ $is_report = yes ] || [ $status = 0 ] || echo "logs in $logs, inputs in build/fuzz/failed" >&2
exit $status
