/* SPDX-License-Identifier: Apache-2.0 */
/* Attention of one head of one sequence over a range of its query rows:
 *
 *     S = Q Kᵀ · scale (+ bias)      P = softmax of each row of S      context = P V
 *
 *   q, k, v   [L, D] f32 each, rows `stride` apart: views into the packed batch's [T, 3·N·D] result
 *             of the fused query-key-value product, at the sequence's first token and the head's
 *             first column
 *   bias      [L, L] f32 added to the scaled scores (MPNet, ALiBi, relative positions), or NULL;
 *             row stride of its own: -1 reads a table by distance key - query from its middle;
 *             -inf hides a key; a row hidden altogether is NaN
 *   context   [L, D] f32, rows `context_stride` apart; must not overlap q, k, v
 *
 * Scores never exist as [N, L, L]: a few rows of them live in the scratch at a time, with the
 * transposed K of the head. A context element is one chain over the keys of exp(s - max) · v,
 * divided by the row's sum; orders as in kernels.h, so bits depend neither on the batch nor on how
 * query rows are split over calls. exp is a polynomial: a score more than 86 under the row's
 * maximum weighs 2e-38, -inf too. NaN in a query row makes its context row NaN, in K all rows of
 * the head, in V one column of it. scale must be above 0.
 *
 * A call transposes K for itself (about 1/rows of its work): give it all L query rows, or at least
 * some 64 where a long sequence is shared by threads. */
#ifndef TANDEM_KERNELS_ATTENTION_H
#define TANDEM_KERNELS_ATTENTION_H

#include <stddef.h>
#include <stdint.h>

typedef struct tandem_attention_args {
    const float *q;
    const float *k;
    const float *v;
    size_t stride; /* elements from token to token in q, k and v */
    float *context;
    size_t context_stride;
    const float *bias;
    ptrdiff_t bias_stride;
    float scale;
    int tokens;   /* L, at least 1 */
    int head_dim; /* D, at least 1 */
} tandem_attention_args;

/* Rows [row_begin, row_end) of the context. `scratch`: tandem_attention_scratch_bytes for at least
 * this L and D, aligned to 64, for this call alone; contents do not matter. */
typedef void tandem_attention_function(const tandem_attention_args *args, int row_begin,
                                       int row_end, float *scratch);

typedef struct tandem_attention_kernels {
    tandem_attention_function *run;
} tandem_attention_kernels;

void tandem_attention_fill(tandem_attention_kernels *kernels, uint32_t cpu_flags);

/* Rises with tokens and head_dim: ask for the longest sequence once. A multiple of 64. */
size_t tandem_attention_scratch_bytes(int tokens, int head_dim);

/* What lies where in the scratch, in floats; for kernels.
 *
 *     [ Kᵀ: D x L ][ scores: 16 rows x ld_scores ][ sums: 16 rows x D ][ V: L x D ]
 *
 * with L and D rounded up to 16. */
#define TANDEM_ATTENTION_ROWS_MAX 16

typedef struct tandem_attention_layout {
    size_t scores_at;
    size_t ld_scores;
    size_t sums_at;
    size_t values_at;
    size_t floats;
} tandem_attention_layout;

tandem_attention_layout tandem_attention_layout_of(int tokens, int head_dim);

#define ATTENTION_KERNEL(name, flags) tandem_attention_function name;
#include "kernels/attention/attention.inc"
#undef ATTENTION_KERNEL

#endif
