/* SPDX-License-Identifier: Apache-2.0 */
/* LayerNorm over 16 lanes. A row (1.5 to 4 KB) is read three times from L1. The sums of a row are
 * one chain of additions, in the order of kernels.h, so four rows go side by side: their chains
 * hide one another's latency. */
#ifndef TANDEM_KERNELS_NORM_VEC16_H
#define TANDEM_KERNELS_NORM_VEC16_H

#include <math.h>

#include "kernels/norm/norm.h"

enum { NORM_ROWS = 4 };

/* Sums of `rows` rows, at most NORM_ROWS, from x on. */
V16_INLINE void norm_sums(const float *x, size_t stride, const int rows, int n, float *sums) {
    v16 sum[NORM_ROWS];
    V16_UNROLL
    for (int r = 0; r < rows; r++) sum[r] = v16_zero();
    int i = 0;
    for (; i + 16 <= n; i += 16) {
        V16_UNROLL
        for (int r = 0; r < rows; r++) {
            sum[r] = v16_add(sum[r], v16_load(x + (size_t)r * stride + i));
        }
    }
    V16_UNROLL
    for (int r = 0; r < rows; r++) {
        const float *rest = x + (size_t)r * stride + i;
        if (i < n) sum[r] = v16_add(sum[r], v16_load_part(rest, n - i));
        sums[r] = v16_fold_add(sum[r]);
    }
}

/* Sums of squares about each row's mean. */
V16_INLINE void norm_squares(const float *x, size_t stride, const int rows, int n,
                             const float *means, float *sums) {
    v16 sum[NORM_ROWS];
    v16 mean[NORM_ROWS];
    V16_UNROLL
    for (int r = 0; r < rows; r++) {
        sum[r] = v16_zero();
        mean[r] = v16_set(means[r]);
    }
    int i = 0;
    for (; i + 16 <= n; i += 16) {
        V16_UNROLL
        for (int r = 0; r < rows; r++) {
            const v16 centred = v16_sub(v16_load(x + (size_t)r * stride + i), mean[r]);
            sum[r] = v16_fma(centred, centred, sum[r]);
        }
    }
    V16_UNROLL
    for (int r = 0; r < rows; r++) {
        if (i < n) {
            const v16 rest = v16_load_part(x + (size_t)r * stride + i, n - i);
            const v16 kept = v16_keep(v16_sub(rest, mean[r]), n - i, 0.0f);
            sum[r] = v16_fma(kept, kept, sum[r]);
        }
        sums[r] = v16_fold_add(sum[r]);
    }
}

V16_INLINE void norm_write(const tandem_norm_args *args, int row, float mean, float scale) {
    const float *x = args->x + (size_t)row * args->x_stride;
    float *y = args->y + (size_t)row * args->y_stride;
    const v16 means = v16_set(mean);
    const v16 scales = v16_set(scale);
    const int n = args->hidden;
    for (int i = 0; i < n; i += 16) {
        const int part = n - i < 16 ? n - i : 16;
        const v16 unit = v16_mul(v16_sub(v16_load_part(x + i, part), means), scales);
        const v16 shift = args->beta == NULL ? v16_zero() : v16_load_part(args->beta + i, part);
        v16_store_part(y + i, v16_fma(unit, v16_load_part(args->gamma + i, part), shift), part);
    }
}

V16_INLINE void norm_rows(const tandem_norm_args *args, int row, const int rows) {
    const int n = args->hidden;
    const float *x = args->x + (size_t)row * args->x_stride;
    float means[NORM_ROWS];
    float squares[NORM_ROWS];
    norm_sums(x, args->x_stride, rows, n, means);
    for (int r = 0; r < rows; r++) means[r] /= (float)n;
    norm_squares(x, args->x_stride, rows, n, means, squares);
    for (int r = 0; r < rows; r++) {
        const float scale = 1.0f / sqrtf(squares[r] / (float)n + args->eps);
        norm_write(args, row + r, means[r], scale);
    }
}

#define LAYERNORM_BODY(name)                                                                       \
    void name(const tandem_norm_args *args, int row_begin, int row_end) {                          \
        int row = row_begin;                                                                       \
        for (; row + NORM_ROWS <= row_end; row += NORM_ROWS) norm_rows(args, row, NORM_ROWS);      \
        for (; row < row_end; row++) norm_rows(args, row, 1);                                      \
    }

#endif
