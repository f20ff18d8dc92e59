#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# check_spaces.sh CLANG SOURCE FLAG...: every pointer in a Metal source says which memory it points
# to. Metal's compiler insists; clang's "C++ for OpenCL" takes a pointer without as generic, which
# shows where it compiles for SPIR: such a variable or parameter has address space 4.
set -eu
clang=$1
source=$2
shift 2

# count FILE FLAG...: generic pointers in it.
count() {
    "$clang" "$@" -target spir64 -O0 -emit-llvm -S -o - | grep -c 'alloca ptr addrspace(4)' || true
}

bad=$(mktemp)
trap 'rm -f "$bad"' EXIT
cat >"$bad" <<'SAMPLE'
#include <metal_stdlib>
inline float first(const float *p) { return *p; }
kernel void sample(device const float *a [[buffer(0)]], device float *b [[buffer(1)]]) {
    b[0] = first(a);
}
SAMPLE
if [ "$(count "$@" "$bad")" != 1 ]; then
    echo "the check does not find the fault in its own sample" >&2
    exit 1
fi
found=$(count "$@" "$source")
if [ "$found" != 0 ]; then
    echo "$source: $found pointers have no address space" >&2
    exit 1
fi
