/* SPDX-License-Identifier: Apache-2.0 */
/* LayerNorm over 16 lanes. A row (1.5 to 4 KB) is read three times from L1; one accumulator a pass
 * keeps the order of kernels.h, and the processor overlaps neighbouring rows. */
#ifndef TANDEM_KERNELS_NORM_VEC16_H
#define TANDEM_KERNELS_NORM_VEC16_H

#include <math.h>

#include "kernels/norm/norm.h"

V16_INLINE float norm_sum(const float *x, int n) {
    v16 sum = v16_zero();
    int i = 0;
    for (; i + 16 <= n; i += 16) sum = v16_add(sum, v16_load(x + i));
    if (i < n) sum = v16_add(sum, v16_load_part(x + i, n - i));
    return v16_fold_add(sum);
}

V16_INLINE float norm_squares(const float *x, v16 mean, int n) {
    v16 sum = v16_zero();
    int i = 0;
    for (; i + 16 <= n; i += 16) {
        const v16 centred = v16_sub(v16_load(x + i), mean);
        sum = v16_fma(centred, centred, sum);
    }
    if (i < n) {
        const v16 centred = v16_sub(v16_load_part(x + i, n - i), mean);
        const v16 kept = v16_keep(centred, n - i, 0.0f);
        sum = v16_fma(kept, kept, sum);
    }
    return v16_fold_add(sum);
}

V16_INLINE void norm_write(const tandem_norm_args *args, const float *x, float *y, v16 mean,
                           v16 scale) {
    const float *gamma = args->gamma;
    const float *beta = args->beta;
    const int n = args->hidden;
    for (int i = 0; i < n; i += 16) {
        const int part = n - i < 16 ? n - i : 16;
        const v16 unit = v16_mul(v16_sub(v16_load_part(x + i, part), mean), scale);
        const v16 shift = beta == NULL ? v16_zero() : v16_load_part(beta + i, part);
        v16_store_part(y + i, v16_fma(unit, v16_load_part(gamma + i, part), shift), part);
    }
}

#define LAYERNORM_BODY(name)                                                                       \
    void name(const tandem_norm_args *args, int row_begin, int row_end) {                          \
        const int hidden = args->hidden;                                                           \
        for (int row = row_begin; row < row_end; row++) {                                          \
            const float *x = args->x + (size_t)row * args->x_stride;                               \
            float *y = args->y + (size_t)row * args->y_stride;                                     \
            const float mean = norm_sum(x, hidden) / (float)hidden;                                \
            const float squares = norm_squares(x, v16_set(mean), hidden);                          \
            const float scale = 1.0f / sqrtf(squares / (float)hidden + args->eps);                 \
            norm_write(args, x, y, v16_set(mean), v16_set(scale));                                 \
        }                                                                                          \
    }

#endif
