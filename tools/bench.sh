#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# tools/bench.sh: each kernel against the machine's limits, then the lanes on two shapes. Keep the
# machine otherwise idle; docs/perf/method.md says how figures are taken.
set -eu
cd "$(dirname "$0")/.."
tools/build.sh release
build/release/tests/kernels/kernelcheck --bench
for shape in minilm bert-base; do
    build/release/tandem bench --shape "$shape"
done
