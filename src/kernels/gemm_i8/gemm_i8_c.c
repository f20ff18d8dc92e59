/* SPDX-License-Identifier: Apache-2.0 */
/* The portable tile and the portable quantiser: the definition, in the same order of roundings as
 * the vector kernels. */
#include <math.h>
#include <string.h>

#include "kernels/gemm_i8/gemm_i8.h"

enum { NR = 16, GROUP = 4 };

static void add_products(const tandem_gemm_i8_tile *tile, const uint8_t *a, int32_t sums[NR]) {
    const int8_t *b = tile->b;
    for (int k = 0; k < tile->depth; k += GROUP) {
        for (int j = 0; j < NR; j++) {
            for (int i = 0; i < GROUP; i++) sums[j] += a[k + i] * b[GROUP * j + i];
        }
        b += NR * GROUP;
    }
}

void tandem_gemm_i8_4x16__c(const tandem_gemm_i8_tile *tile) {
    for (int i = 0; i < tile->m; i++) {
        int32_t sums[NR] = {0};
        float out[NR];
        add_products(tile, tile->a + (size_t)i * tile->lda, sums);
        for (int j = 0; j < tile->n; j++) {
            const int32_t whole = sums[j] - tile->row_zeros[i] * tile->column_sums[j];
            out[j] = (float)whole * (tile->row_scales[i] * tile->column_scales[j]);
            if (tile->bias != NULL) out[j] += tile->bias[j];
        }
        if (tile->activation != NULL) tile->activation(out, (size_t)tile->n);
        for (int j = 0; j < tile->n && tile->residual != NULL; j++) {
            out[j] += tile->residual[(size_t)i * tile->ld_residual + (size_t)j];
        }
        memcpy(tile->c + (size_t)i * tile->ldc, out, (size_t)tile->n * sizeof(float));
    }
}

void tandem_quantize_u8__c(const float *x, int k, uint8_t *q, int depth, float *scale,
                           int32_t *zero) {
    float low = 0.0f;
    float high = 0.0f;
    float poison = 0.0f;
    for (int i = 0; i < k; i++) {
        low = x[i] < low ? x[i] : low;
        high = x[i] > high ? x[i] : high;
        poison += x[i] * 0.0f;
    }
    const float range = high - low;
    memset(q, 0, (size_t)depth);
    *scale = range * (1.0f / 255.0f);
    *zero = 0;
    if (isnan(poison) || isinf(range)) *scale = NAN;
    if (isnan(*scale)) return;
    if (range < 1e-30f) {
        *scale = 0.0f;
        return;
    }
    const float inverse = 255.0f / range;
    const float offset = rintf(-low * inverse);
    *zero = (int32_t)offset;
    for (int i = 0; i < k; i++) {
        const float value = rintf(x[i] * inverse) + offset;
        q[i] = (uint8_t)(value < 0.0f ? 0.0f : value > 255.0f ? 255.0f : value);
    }
}
