/* SPDX-License-Identifier: Apache-2.0 */
/* A row of f32 to u8 with its scale and zero point, over 16 lanes: read twice, from L1. */
#ifndef TANDEM_KERNELS_QUANTIZE_VEC16_H
#define TANDEM_KERNELS_QUANTIZE_VEC16_H

#include <math.h>
#include <stdbool.h>

#include "kernels/gemm_i8/gemm_i8.h"

/* max(x, 0) - min(x, 0) over the row, NaN if a value is not finite; `low` gets the minimum. */
V16_INLINE float quantize_range(const float *x, int k, float *low) {
    v16 lowest = v16_zero();
    v16 highest = v16_zero();
    v16 poison = v16_zero();
    for (int i = 0; i < k; i += 16) {
        const v16 value = v16_load_part(x + i, k - i < 16 ? k - i : 16);
        lowest = v16_min(value, lowest);
        highest = v16_max(value, highest);
        poison = v16_fma(value, v16_zero(), poison);
    }
    *low = -v16_fold_max(v16_sub(v16_zero(), lowest));
    return v16_has_nan(poison) ? NAN : v16_fold_max(highest) - *low;
}

#define QUANTIZE_BODY(name)                                                                        \
    void name(const float *x, int k, uint8_t *q, int depth, float *scale, int32_t *zero) {         \
        float low;                                                                                 \
        const float range = quantize_range(x, k, &low);                                            \
        *scale = isinf(range) ? NAN : range < 1e-30f ? 0.0f : range * (1.0f / 255.0f);             \
        *zero = 0;                                                                                 \
        if (!(*scale > 0.0f)) {                                                                    \
            memset(q, 0, (size_t)depth);                                                           \
            return;                                                                                \
        }                                                                                          \
        const v16 inverse = v16_set(255.0f / range);                                               \
        const float rounded = rintf(-low * (255.0f / range));                                      \
        const v16 offset = v16_set(rounded);                                                       \
        *zero = (int32_t)rounded;                                                                  \
        for (int i = 0; i < depth; i += 16) {                                                      \
            const int part = k - i < 0 ? 0 : k - i < 16 ? k - i : 16;                              \
            const v16 value = v16_round(v16_mul(v16_load_part(x + i, part), inverse));             \
            const v16 bounded = v16_max(v16_add(value, offset), v16_zero());                       \
            v16_store_u8(q + i, v16_min(bounded, v16_set(255.0f)));                                \
        }                                                                                          \
    }

#endif
