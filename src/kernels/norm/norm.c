/* SPDX-License-Identifier: Apache-2.0 */
#include "kernels/norm/norm.h"

#include "base/cpu.h"

void tandem_norm_fill(tandem_norm_kernels *kernels, uint32_t cpu_flags) {
#define NORM_KERNEL(name, op, flags)                                                               \
    if (((flags) & ~cpu_flags) == 0) kernels->op = name;
#include "kernels/norm/norm.inc"
#undef NORM_KERNEL
}
