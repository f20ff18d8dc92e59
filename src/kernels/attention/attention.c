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

tandem_attention_layout tandem_attention_layout_of(int tokens, int head_dim) {
    const size_t keys = ((size_t)tokens + 15) / 16 * 16;
    const size_t width = ((size_t)head_dim + 15) / 16 * 16;
    tandem_attention_layout layout;
    layout.scores_at = keys * width;
    layout.ld_scores = keys + 16; /* not a multiple of 4 KB for any usual length */
    layout.sums_at = layout.scores_at + TANDEM_ATTENTION_ROWS_MAX * layout.ld_scores;
    layout.values_at = layout.sums_at + TANDEM_ATTENTION_ROWS_MAX * width;
    layout.floats = layout.values_at + keys * width;
    return layout;
}

size_t tandem_attention_scratch_bytes(int tokens, int head_dim) {
    TANDEM_ASSERT(tokens > 0 && head_dim > 0);
    return tandem_attention_layout_of(tokens, head_dim).floats * sizeof(float);
}
