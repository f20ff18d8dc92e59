/* SPDX-License-Identifier: Apache-2.0 */
#include "kernels/attention/attention.h"

#include "base/assert.h"
#include "base/cpu.h"

void tandem_attention_fill(tandem_attention_kernels *kernels, uint32_t cpu_flags) {
#define ATTENTION_KERNEL(name, flags)                                                              \
    if (((flags) & ~cpu_flags) == 0) kernels->run = name;
#include "kernels/attention/attention.inc"
#undef ATTENTION_KERNEL
}

/* Scratch, for L rounded up to 32 (Lp):
 *
 *     [ Kᵀ: D x Lp ][ scores: 16 rows x Lp ][ row sums: 16 ]        floats
 */
size_t tandem_attention_scratch_bytes(int tokens, int head_dim) {
    TANDEM_ASSERT(tokens > 0 && head_dim > 0);
    const size_t padded = ((size_t)tokens + 31) / 32 * 32;
    return (padded * ((size_t)head_dim + 16) + 16) * sizeof(float);
}
