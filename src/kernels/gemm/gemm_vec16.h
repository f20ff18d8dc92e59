/* SPDX-License-Identifier: Apache-2.0 */
/* The tile of C = act(A·Wᵀ + bias) + residual over 16-lane vectors, compiled for each row count so
 * that all accumulators stay in registers.
 *
 *              nv vectors of B at step k (one load each; f16 widened by the load)
 *              [ b0 ][ b1 ]
 *     a[0,k]   [ += ][ += ]      each row's a broadcast straight from memory, rows unpacked
 *     a[1,k]   [ += ][ += ]
 *      ...
 *
 * The products are summed in registers over the whole depth; the finished tile goes to a buffer in
 * L1 where bias, activation and residual are applied (1 % of the tile's time at K = 384, and
 * one copy of the epilogue instead of one a tile shape). */
#ifndef TANDEM_KERNELS_GEMM_VEC16_H
#define TANDEM_KERNELS_GEMM_VEC16_H

#include <stdbool.h>

#include "kernels/gemm/gemm.h"

#define GEMM_VECTORS_MAX 32

V16_INLINE v16 gemm_load_b(const char *b, bool is_f16) {
    return is_f16 ? v16_load_f16(b) : v16_load(b);
}

/* m rows by nv vectors, `per_panel` of them side by side in each panel; sums to out[m][nv]. */
V16_INLINE void gemm_sums(const tandem_gemm_tile *tile, const int m, const int nv,
                          const int per_panel, const bool is_f16, float *out) {
    const size_t vector_bytes = is_f16 ? 32 : 64;
    const size_t lda = tile->lda;
    const float *a = tile->a;
    const char *b = tile->b;
    const int k_count = tile->k;
    v16 sums[GEMM_VECTORS_MAX];
#pragma GCC unroll 32
    for (int i = 0; i < m * nv; i++) sums[i] = v16_zero();
#pragma GCC unroll 2
    for (int k = 0; k < k_count; k++) {
        v16 row_b[4];
#pragma GCC unroll 4
        for (int j = 0; j < nv; j++) {
            const size_t panel_at = (size_t)(j / per_panel) * tile->panel_stride;
            row_b[j] = gemm_load_b(b + panel_at + (size_t)(j % per_panel) * vector_bytes, is_f16);
        }
#pragma GCC unroll 16
        for (int i = 0; i < m; i++) {
            const v16 broadcast = v16_set(a[(size_t)i * lda]);
#pragma GCC unroll 4
            for (int j = 0; j < nv; j++) {
                sums[i * nv + j] = v16_fma(broadcast, row_b[j], sums[i * nv + j]);
            }
        }
        a += 1;
        b += vector_bytes * (size_t)per_panel;
    }
#pragma GCC unroll 32
    for (int i = 0; i < m * nv; i++) v16_store(out + 16 * i, sums[i]);
}

/* out [m][width] holds the products. */
V16_INLINE void gemm_finish(const tandem_gemm_tile *tile, float *out, const int width) {
    const int m = tile->m;
    if (tile->bias != NULL) {
        for (int j = 0; j < tile->n; j += 16) {
            const v16 bias = v16_load_part(tile->bias + j, tile->n - j < 16 ? tile->n - j : 16);
            for (int i = 0; i < m; i++) {
                float *at = out + i * width + j;
                v16_store(at, v16_add(v16_load(at), bias));
            }
        }
    }
    if (tile->activation != NULL) tile->activation(out, (size_t)(m * width));
    for (int i = 0; i < m; i++) {
        float *c = tile->c + (size_t)i * tile->ldc;
        const float *residual =
            tile->residual == NULL ? NULL : tile->residual + (size_t)i * tile->ld_residual;
        for (int j = 0; j < tile->n; j += 16) {
            const int part = tile->n - j < 16 ? tile->n - j : 16;
            v16 value = v16_load(out + i * width + j);
            if (residual != NULL) value = v16_add(value, v16_load_part(residual + j, part));
            v16_store_part(c + j, value, part);
        }
    }
}

#endif
