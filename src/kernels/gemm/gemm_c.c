/* SPDX-License-Identifier: Apache-2.0 */
/* The portable tile: 4x16 in plain loops that a compiler can turn into whatever vectors the ABI
 * floor has. Products and sums are rounded separately (kernels.h). */
#include <string.h>

#include "kernels/convert/convert.h"
#include "kernels/gemm/gemm.h"

enum { MR = 4, NR = 16 };

static void store_tile(const tandem_gemm_tile *tile, float sums[MR][NR]) {
    const int n = tile->n;
    for (int i = 0; i < tile->m; i++) {
        float *c = tile->c + (size_t)i * tile->ldc;
        for (int j = 0; j < n; j++) {
            if (tile->bias != NULL) sums[i][j] += tile->bias[j];
        }
        if (tile->activation != NULL) tile->activation(sums[i], (size_t)n);
        if (tile->residual != NULL) {
            const float *residual = tile->residual + (size_t)i * tile->ld_residual;
            for (int j = 0; j < n; j++) sums[i][j] += residual[j];
        }
        memcpy(c, sums[i], (size_t)n * sizeof(float));
    }
}

static void add_products(const tandem_gemm_tile *tile, int k, const float b[NR],
                         float sums[MR][NR]) {
    for (int i = 0; i < tile->m; i++) {
        const float a = tile->a[(size_t)i * tile->lda + (size_t)k];
        for (int j = 0; j < NR; j++) sums[i][j] += a * b[j];
    }
}

void tandem_gemm_f32_4x16__c(const tandem_gemm_tile *tile) {
    float sums[MR][NR] = {{0.0f}};
    const float *b = tile->b;
    for (int k = 0; k < tile->k; k++) add_products(tile, k, b + (size_t)k * NR, sums);
    store_tile(tile, sums);
}

void tandem_gemm_f16_4x16__c(const tandem_gemm_tile *tile) {
    float sums[MR][NR] = {{0.0f}};
    const uint16_t *b = tile->b;
    for (int k = 0; k < tile->k; k++) {
        float wide[NR];
        for (int j = 0; j < NR; j++)
            wide[j] = tandem_convert_f16_value(b[(size_t)k * NR + (size_t)j]);
        add_products(tile, k, wide, sums);
    }
    store_tile(tile, sums);
}
