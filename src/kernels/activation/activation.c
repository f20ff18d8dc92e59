/* SPDX-License-Identifier: Apache-2.0 */
#include "kernels/activation/activation.h"

#include "base/cpu.h"

void tandem_activation_fill(tandem_activation_kernels *kernels, uint32_t cpu_flags) {
#define ACTIVATION_KERNEL(name, act, flags)                                                        \
    if (((flags) & ~cpu_flags) == 0) kernels->apply[act] = name;
#include "kernels/activation/activation.inc"
#undef ACTIVATION_KERNEL
}
