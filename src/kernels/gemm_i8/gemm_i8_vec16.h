/* SPDX-License-Identifier: Apache-2.0 */
/* What every vector tile of eight bits shares: from whole sums to C, and the quantiser of a row. */
#ifndef TANDEM_KERNELS_GEMM_I8_VEC16_H
#define TANDEM_KERNELS_GEMM_I8_VEC16_H

#include <math.h>
#include <stdbool.h>

#include "kernels/gemm_i8/gemm_i8.h"

/* The tile's sums [m][width] to C, partial columns too. */
V16_INLINE void gemm_i8_finish(const tandem_gemm_i8_tile *tile, const int32_t *sums, int width) {
    for (int i = 0; i < tile->m; i++) {
        const v16 row_scale = v16_set(tile->row_scales[i]);
        const size_t row = (size_t)i;
        for (int j = 0; j < tile->n; j += 16) {
            const int part = tile->n - j < 16 ? tile->n - j : 16;
            const v16 scale = v16_mul(row_scale, v16_load(tile->column_scales + j));
            v16 value = v16_mul(
                v16_whole(sums + i * width + j, tile->column_sums + j, tile->row_zeros[i]), scale);
            if (tile->bias != NULL) value = v16_add(value, v16_load_part(tile->bias + j, part));
            if (tile->activation != NULL) {
                float out[16] __attribute__((aligned(64)));
                v16_store(out, value);
                tile->activation(out, 16);
                value = v16_load(out);
            }
            if (tile->residual != NULL) {
                const float *residual = tile->residual + row * tile->ld_residual + j;
                value = v16_add(value, v16_load_part(residual, part));
            }
            v16_store_part(tile->c + row * tile->ldc + j, value, part);
        }
    }
}

#endif
