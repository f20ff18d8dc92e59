/* SPDX-License-Identifier: Apache-2.0 */
/* From token vectors to one vector: pooling over the rows of a sequence, L2 normalisation.
 *
 * Plain C in double for every processor: the sums are exact to the last bit or two of f32, the same
 * everywhere, and cost a thousandth of the forward pass. */
#ifndef TANDEM_KERNELS_POOLING_H
#define TANDEM_KERNELS_POOLING_H

#include <stddef.h>

typedef enum tandem_pool_kind {
    TANDEM_POOL_MEAN = 1,
    TANDEM_POOL_CLS = 2, /* the first row */
    TANDEM_POOL_MAX = 3,
    TANDEM_POOL_LAST = 4,
    TANDEM_POOL_WEIGHTED_MEAN = 5, /* row i (from 0) weighs i + 1 */
    TANDEM_POOL_MEAN_SQRT = 6,     /* sum / sqrt(rows) */
} tandem_pool_kind;

/* x [rows, width] f32, rows `stride` apart, rows >= 1; out [width]. The order of sums is rising
 * rows. NaN in a row that is used gives NaN in its column. out must not overlap x. */
void tandem_pool_rows(tandem_pool_kind kind, const float *x, size_t stride, int rows, int width,
                      float *out);

/* x [n] f32 divided by its Euclidean length, but by no less than 1e-12 (as PyTorch does): a zero
 * vector stays zero. Cutting a vector to its first n dimensions (matryoshka) is this with a
 * smaller n. */
void tandem_pool_normalize(float *x, int n);

#endif
