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
 * The products are summed in registers over the whole depth. Bias and residual are added there too;
 * a tile with an activation or with partial columns goes through a buffer in L1, so that there is
 * one copy of that code and not one a tile shape.
 *
 * A file whose instruction set has a better inner loop defines GEMM_SUMS first. */
#ifndef TANDEM_KERNELS_GEMM_VEC16_H
#define TANDEM_KERNELS_GEMM_VEC16_H

#include <stdbool.h>

#include "kernels/gemm/gemm.h"

#define GEMM_VECTORS_MAX 32

V16_INLINE v16 gemm_load_b(const char *b, bool is_f16) {
    return is_f16 ? v16_load_f16(b) : v16_load(b);
}

/* Activation and residual on sums that lie in out [m][width], then to C; partial columns too. */
static __attribute__((noinline)) void gemm_finish(const tandem_gemm_tile *tile, float *out,
                                                  int width) {
    const int m = tile->m;
    const int n = tile->n;
    if (tile->activation != NULL) tile->activation(out, (size_t)(m * width));
    for (int i = 0; i < m; i++) {
        const float *from = out + i * width;
        float *c = tile->c + (size_t)i * tile->ldc;
        const float *residual =
            tile->residual == NULL ? NULL : tile->residual + (size_t)i * tile->ld_residual;
        int j = 0;
        for (; j + 16 <= n; j += 16) {
            v16 value = v16_load(from + j);
            if (residual != NULL) value = v16_add(value, v16_load(residual + j));
            v16_store(c + j, value);
        }
        if (j == n) continue;
        v16 value = v16_load(from + j);
        if (residual != NULL) value = v16_add(value, v16_load_part(residual + j, n - j));
        v16_store_part(c + j, value, n - j);
    }
}

#ifndef GEMM_SUMS
#define GEMM_SUMS gemm_sums

/* The products of m rows by nv vectors, `per_panel` of them side by side in each panel. */
V16_INLINE void gemm_sums(const tandem_gemm_tile *tile, const int m, const int nv,
                          const int per_panel, const bool is_f16, v16 *sums) {
    const size_t vector_bytes = is_f16 ? 32 : 64;
    const size_t lda = tile->lda;
    const float *a = tile->a;
    const char *b = tile->b;
    const char *prefetch = tile->prefetch;
    /* None for a wide f32 tile: it reads B as fast as the caches give it as it is. */
    const int lines = is_f16 ? (nv + 1) / 2 : nv > per_panel ? 0 : nv;
    V16_UNROLL
    for (int i = 0; i < m * nv; i++) sums[i] = v16_zero();
    for (int k = 0; k < tile->k; k++) {
        v16 row_b[4];
        V16_UNROLL
        for (int j = 0; j < nv; j++) {
            const size_t panel_at = (size_t)(j / per_panel) * tile->panel_stride;
            row_b[j] = gemm_load_b(b + panel_at + (size_t)(j % per_panel) * vector_bytes, is_f16);
        }
        V16_UNROLL
        for (int i = 0; i < m; i++) {
            const v16 broadcast = v16_set(a[(size_t)i * lda]);
            V16_UNROLL
            for (int j = 0; j < nv; j++) {
                sums[i * nv + j] = v16_fma(broadcast, row_b[j], sums[i * nv + j]);
            }
        }
        V16_UNROLL
        for (int line = 0; line < lines; line++) v16_prefetch(prefetch + 64 * line);
        prefetch += tile->prefetch_step;
        a += 1;
        b += vector_bytes * (size_t)per_panel;
    }
}
#endif

/* m rows by nv vectors, finished and written. */
V16_INLINE void gemm_tile(const tandem_gemm_tile *tile, const int m, const int nv,
                          const int per_panel, const bool is_f16) {
    v16 sums[GEMM_VECTORS_MAX];
    GEMM_SUMS(tile, m, nv, per_panel, is_f16, sums);
    if (tile->bias != NULL) {
        V16_UNROLL
        for (int j = 0; j < nv; j++) {
            const int left = tile->n - 16 * j;
            const int part = left < 0 ? 0 : left < 16 ? left : 16;
            const v16 bias = v16_load_part(tile->bias + 16 * j, part);
            V16_UNROLL
            for (int i = 0; i < m; i++) sums[i * nv + j] = v16_add(sums[i * nv + j], bias);
        }
    }
    if (tile->activation != NULL || tile->n < 16 * nv) {
        float out[16 * GEMM_VECTORS_MAX] __attribute__((aligned(64)));
        V16_UNROLL
        for (int i = 0; i < m * nv; i++) v16_store(out + 16 * i, sums[i]);
        gemm_finish(tile, out, 16 * nv);
        return;
    }
    V16_UNROLL
    for (int i = 0; i < m; i++) {
        float *c = tile->c + (size_t)i * tile->ldc;
        V16_UNROLL
        for (int j = 0; j < nv; j++) {
            v16 value = sums[i * nv + j];
            if (tile->residual != NULL) {
                const float *residual = tile->residual + (size_t)i * tile->ld_residual;
                value = v16_add(value, v16_load(residual + 16 * j));
            }
            v16_store(c + 16 * j, value);
        }
    }
}

#endif
