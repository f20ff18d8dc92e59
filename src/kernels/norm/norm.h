/* SPDX-License-Identifier: Apache-2.0 */
/* LayerNorm over rows:  y = (x - mean(x)) / sqrt(var(x) + eps) · gamma + beta, var over H, not H-1.
 *
 *   x, y    [rows, H] f32, row strides of their own; y may be x itself, or must not overlap it
 *   gamma   [H] f32     beta  [H] f32, or NULL: nothing is added
 *
 * Two passes, in f32, sums in the order of kernels.h; rows do not influence each other. A NaN or
 * infinity makes its own row NaN. A row of equal values gives beta. rows = 0 does nothing. */
#ifndef TANDEM_KERNELS_NORM_H
#define TANDEM_KERNELS_NORM_H

#include <stddef.h>
#include <stdint.h>

typedef struct tandem_norm_args {
    const float *x;
    size_t x_stride; /* elements from row to row, >= H */
    float *y;
    size_t y_stride;
    const float *gamma;
    const float *beta;
    float eps;
    int hidden; /* H, at least 1 */
} tandem_norm_args;

typedef void tandem_norm_function(const tandem_norm_args *args, int row_begin, int row_end);

typedef struct tandem_norm_kernels {
    tandem_norm_function *layernorm;
} tandem_norm_kernels;

void tandem_norm_fill(tandem_norm_kernels *kernels, uint32_t cpu_flags);

/* The definition: double accumulation. */
tandem_norm_function tandem_layernorm_f32__ref;

#define NORM_KERNEL(name, op, flags) tandem_norm_function name;
#include "kernels/norm/norm.inc"
#undef NORM_KERNEL

#endif
