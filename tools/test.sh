#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# tools/test.sh [--fast|--all]
#
# Everything `make test` runs: set-up, builds by gcc and clang without warnings, the tests on every
# instruction set of this machine, under AddressSanitizer, UndefinedBehaviorSanitizer and
# ThreadSanitizer, builds for macOS, the fuzz targets for 20 seconds each, tidy. --fast (make
# check): the release build's quick tests alone. --all: the long tests too.
#
# Each test of ctest counts as one, and so does each other step: a build, a fuzz target. A test that
# says "skipped" counts as failed, because nothing here may be left out silently. Logs are in
# build/test/. The last line is "N passed, N failed"; the exit status is 1 if any failed.
set -u
cd "$(dirname "$0")/.." || exit 1
mode=${1-}
case $mode in
'' | --fast | --all) ;;
*)
    echo "usage: tools/test.sh [--fast|--all]" >&2
    exit 2
    ;;
esac

logs=build/test
seconds_each=20 # of fuzzing
passed=0
failed=0
mkdir -p "$logs"
rm -f "$logs/summary"

# report STATE NAME SECONDS NOTE
report() { printf '%-6s %-36s %4ss  %s\n' "$1" "$2" "$3" "$4"; }

# Shows the end of a log, indented, so that a failure can be read where the logs cannot be had.
show() { tail -n 40 "$1" | sed 's/^/    | /'; }

# Shows what each failed test of a ctest log said, its first 40 lines and its last 80, for at most
# ten tests, and then ctest's own list of them. In the log a test's output follows its result.
show_failed() {
    sed 's/\r$//' "$1" | awk '
        function flush(    i) {
            if (is_failed && ++shown <= 10) {
                print ""
                print head
                for (i = 1; i <= count; i++) {
                    if (i == 41 && count > 120) printf "... %d lines more ...\n", count - 120
                    if (i <= 40 || i > count - 80) print lines[i]
                }
            }
            is_failed = count = 0
        }
        /^ *[0-9]+\/[0-9]+ Test +#[0-9]+: / {
            flush()
            head = $0
            is_failed = !/ Passed +[0-9.]+ sec/
            next
        }
        /^ +Start +[0-9]+: / || /^[0-9]+% tests passed/ { flush() }
        /^The following tests / { is_list = 1 }
        is_failed { lines[++count] = substr($0, 1, 400) }
        is_list { list = list $0 "\n" }
        END {
            flush()
            if (shown > 10) printf "\n... and %d failed tests more\n", shown - 10
            printf "\n%s", list
        }' | sed 's/^/    | /'
}

# step NAME COMMAND... : counts as one test.
step() {
    local name=$1 start=$SECONDS log
    shift
    log=$logs/${name//[^a-z0-9]/_}.log
    if "$@" >"$log" 2>&1 </dev/null; then
        passed=$((passed + 1))
        report ok "$name" $((SECONDS - start)) ""
        return 0
    fi
    failed=$((failed + 1))
    report FAILED "$name" $((SECONDS - start)) "$log"
    show "$log"
    return 1
}

# attribute FILE NAME: a number from the <testsuite> of ctest's JUnit file; 0 if it is not there.
attribute() {
    local value
    value=$(sed '/<testcase/,$d' "$1" 2>/dev/null | grep -o "$2=\"[0-9]*\"" | head -n 1)
    value=${value#*\"} value=${value%\"}
    echo "${value:-0}"
}

# suite NAME PRESET CTEST_ARGUMENT... : counts the tests of one run of ctest. One test more than
# there are processors runs at a time, as those of servers and clients wait much.
suite() {
    local name=$1 preset=$2 start=$SECONDS log total bad
    shift 2
    log=$logs/${name//[^a-z0-9]/_}.log
    local junit=$PWD/${log%.log}.xml
    rm -f "$junit"
    ctest --test-dir "build/$preset" --timeout 300 -j $((jobs + 1)) --output-on-failure \
        --output-junit "$junit" "$@" >"$log" 2>&1 </dev/null
    total=$(attribute "$junit" tests)
    bad=$(($(attribute "$junit" failures) + $(attribute "$junit" skipped) + \
        $(attribute "$junit" disabled)))
    if [ "$total" -eq 0 ]; then
        total=1 bad=1
        echo "no test ran" >>"$log"
    fi
    passed=$((passed + total - bad))
    failed=$((failed + bad))
    if [ "$bad" -eq 0 ]; then
        report ok "$name" $((SECONDS - start)) "$total tests"
    else
        report FAILED "$name" $((SECONDS - start)) "$bad of $total, $log"
        if grep -q '^The following tests ' "$log"; then show_failed "$log"; else show "$log"; fi
    fi
}

finish() {
    echo "$passed passed, $failed failed" | tee "$logs/summary"
    [ "$failed" -eq 0 ]
    exit
}

# What later steps build is built ahead, by what the tests leave of the processors while they wait
# for servers and clients (nice 19): the step finds its work done, or does it. One after the other
# and in the order of the steps.
ahead() {
    local preset
    [ "$(uname -sm)" != "Linux x86_64" ] || tools/arm.sh --build
    : >"$logs/ahead_arm"
    for preset in clang dev tsan fuzz coverage; do
        tools/build.sh "$preset"
        : >"$logs/ahead_$preset"
    done
    [ "$(uname -s)" != Linux ] || tools/macho.sh
    : >"$logs/ahead_macho"
}

# await NAME: until it is built, or building has ended; two may not build in one folder.
await() {
    while [ ! -e "$logs/ahead_$1" ] && kill -0 "$ahead" 2>/dev/null; do sleep 0.1; done
}

# Processors this process may use.
jobs=$( (nproc || sysctl -n hw.ncpu || echo 2) 2>/dev/null | head -n 1)

step "set-up" tools/setup.sh test || finish
step "model" tools/fetch_model.sh
step "build release" tools/build.sh release || finish

if [ "$mode" = --fast ]; then
    suite "release" release -L fast
    finish
fi
rm -f "$logs"/ahead_*
set -m # a group of its own, to be ended as one
(
    renice -n 19 "$BASHPID"
    ahead
) >"$logs/ahead.log" 2>&1 </dev/null &
ahead=$!
set +m
trap 'kill -- "-$ahead" 2>/dev/null' EXIT

if [ "$mode" = --all ]; then
    suite "release, all" release
else
    suite "release" release -LE long
fi
# Whole models on the older instruction sets; kernelcheck climbs them by itself.
for level in c avx2; do
    [ "$level" = c ] || grep -qsw "$level" /proc/cpuinfo || continue
    TANDEM_CPU=$level suite "release, at most $level" release \
        -R '^test_(golden.*|lanes|engine|families)$' -LE long
done

# The kernels of 64-bit Arm and whole models through them, on an emulated core with all that there
# is and on one without extensions. On an Arm the suites above have done it.
await arm
if [ "$(uname -sm)" = "Linux x86_64" ] && step "build for 64-bit Arm" tools/arm.sh --build; then
    on_arm='^(kernelcheck_[a-z0-9]*|test_(golden.*|families|lm|heads|flags|lanes|base_file))$'
    QEMU_CPU=max suite "64-bit Arm, every extension" arm64 -R "$on_arm"
    QEMU_CPU=cortex-a57 suite "64-bit Arm, no extension" arm64 -R "$on_arm" -E 'minilm|lanes'
    if [ "$mode" = --all ]; then
        step "same bits on 64-bit Arm" tools/arm.sh --same-bits
        # The others but those against the clock, which emulation has another one of.
        step "build all for 64-bit Arm" tools/arm.sh --build all &&
            QEMU_CPU=max suite "64-bit Arm, the other units" arm64 -R '^test_' -LE 'long|script' \
                -E "$on_arm|^test_(text_regex|simulate)\$"
    fi
fi

await clang
step "build by clang" tools/build.sh clang && suite "by clang" clang -L fast -LE long
# The server under sanitizers is judged by the clients that it has: fewer of schemathesis' requests.
export SCHEMATHESIS_EXAMPLES=3
await dev
if step "build with asan and ubsan" tools/build.sh dev; then
    suite "asan and ubsan" dev -LE 'long|script'
    suite "clients, asan and ubsan" dev -L clients
fi
await tsan
if step "build with tsan" tools/build.sh tsan; then
    suite "tsan" tsan -L threads
    suite "clients, tsan" tsan -L clients
fi
await fuzz
if step "build fuzz targets" tools/build.sh fuzz; then
    # Two at a time, each with a line of its own.
    while read -r state name note; do
        if [ "$state" = ok ]; then passed=$((passed + 1)); else failed=$((failed + 1)); fi
        report "$state" "$name" "$seconds_each" "$note"
        [ "$state" = ok ] || [ ! -f "$logs/$name.log" ] || show "$logs/$name.log"
    done < <(tools/fuzz.sh --report "$logs" "$seconds_each" </dev/null)
fi
await coverage
step "coverage of the parsers" tools/fuzz_coverage.sh
[ "$mode" != --all ] || step "planted faults" tools/mutants.sh
if [ "$(uname -s)" = Linux ]; then
    await macho
    step "for macOS, arm64" tools/macho.sh arm64
    step "for macOS, x86_64" tools/macho.sh x86_64
fi
step "shell scripts" shellcheck .ci/run tools/*.sh tests/api/*.sh \
    tests/apple/oracle/*.sh
finish
