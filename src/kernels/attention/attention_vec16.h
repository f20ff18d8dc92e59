/* SPDX-License-Identifier: Apache-2.0 */
/* Attention over 16-lane vectors. The including file defines ATTENTION_ROWS, ATTENTION_VECTORS (the
 * register tile) and ATTENTION_CASES(nv) (one CASE a row count); ATTENTION_SUMS if its instruction
 * set has a better inner loop.
 *
 *     K [L, D] in place --transpose--> Kᵀ: panels of 16 keys, [panel][D][16]
 *     for each block of at most ATTENTION_ROWS query rows:
 *         S[rows, L] = q · Kᵀ            tiles of rows x up to 2 panels, depth D
 *         softmax of each row of S       whole row: maximum, then exp and sum
 *         context = S · V / sum          tiles of rows x up to 2 vectors of D, depth L
 *
 * V is read where it lies for a short sequence; for a long one it is copied first, because its
 * rows are 3·N·D floats apart and would be walked once for each row block. Online softmax was not
 * taken: it would make bits depend on the block of keys, and a row of scores fits in L2 up to the
 * longest sequence. */
#ifndef TANDEM_KERNELS_ATTENTION_VEC16_H
#define TANDEM_KERNELS_ATTENTION_VEC16_H

#include <math.h>
#include <stdbool.h>

#include "kernels/attention/attention.h"
#include "kernels/vec16/vec16_math.h"

enum { V_IN_PLACE_MAX = 128 }; /* tokens up to which V is not copied */

/* B of a product: vector j of step k is at base + j * vector_stride + k * step. */
typedef struct attention_operand {
    const float *base;
    size_t vector_stride;
    size_t step;
} attention_operand;

#ifndef ATTENTION_SUMS
#define ATTENTION_SUMS attention_sums

V16_INLINE void attention_sums(const int m, const int nv, int depth, const float *a, size_t lda,
                               attention_operand operand, v16 *sums) {
    const float *b = operand.base;
    V16_UNROLL
    for (int i = 0; i < m * nv; i++) sums[i] = v16_zero();
    for (int k = 0; k < depth; k++) {
        v16 row_b[ATTENTION_VECTORS];
        V16_UNROLL
        for (int j = 0; j < nv; j++) row_b[j] = v16_load(b + (size_t)j * operand.vector_stride);
        V16_UNROLL
        for (int i = 0; i < m; i++) {
            const v16 broadcast = v16_set(a[(size_t)i * lda + (size_t)k]);
            V16_UNROLL
            for (int j = 0; j < nv; j++) {
                sums[i * nv + j] = v16_fma(broadcast, row_b[j], sums[i * nv + j]);
            }
        }
        b += operand.step;
    }
}
#endif

/* out[i][16 j ..] = sum over k of a[i][k] · b[k][j], m rows by nv vectors. */
V16_INLINE void attention_tile(const int m, const int nv, int depth, const float *a, size_t lda,
                               attention_operand operand, float *out, size_t ldo) {
    v16 sums[ATTENTION_ROWS * ATTENTION_VECTORS];
    ATTENTION_SUMS(m, nv, depth, a, lda, operand, sums);
    V16_UNROLL
    for (int i = 0; i < m; i++) {
        V16_UNROLL
        for (int j = 0; j < nv; j++) {
            v16_store(out + (size_t)i * ldo + (size_t)j * 16, sums[i * nv + j]);
        }
    }
}

/* All of out's vectors: `vectors` of them, as many at a time as the tile takes. */
static void attention_product(int m, int vectors, int depth, const float *a, size_t lda,
                              attention_operand b, float *out, size_t ldo) {
    while (vectors > 0) {
        const int nv = vectors < ATTENTION_VECTORS ? 1 : ATTENTION_VECTORS;
        if (nv == ATTENTION_VECTORS) {
            switch (m) { ATTENTION_CASES(ATTENTION_VECTORS) }
        } else {
            switch (m) { ATTENTION_CASES(1) }
        }
        b.base += (size_t)nv * b.vector_stride;
        out += (size_t)nv * 16;
        vectors -= nv;
    }
}

static void transpose_keys(const tandem_attention_args *args, float *keys) {
    const int dims = args->head_dim;
    for (int key = 0; key < args->tokens; key += 16) {
        const int count = args->tokens - key < 16 ? args->tokens - key : 16;
        const float *from = args->k + (size_t)key * args->stride;
        float *panel = keys + (size_t)key * (size_t)dims;
        for (int d = 0; d < dims; d += 16) {
            const int part = dims - d < 16 ? dims - d : 16;
            v16 rows[16];
            V16_UNROLL
            for (int i = 0; i < 16; i++) {
                const float *row = from + (size_t)i * args->stride + d;
                rows[i] = i < count ? v16_load_part(row, part) : v16_zero();
            }
            v16_transpose(rows);
            V16_UNROLL
            for (int i = 0; i < 16; i++) {
                if (i < part) v16_store(panel + (size_t)(d + i) * 16, rows[i]);
            }
        }
    }
}

/* V as [L, width] without gaps, zeros from head_dim on. */
static void copy_values(const tandem_attention_args *args, int width, float *values) {
    for (int key = 0; key < args->tokens; key++) {
        const float *from = args->v + (size_t)key * args->stride;
        float *to = values + (size_t)key * (size_t)width;
        for (int d = 0; d < width; d += 16) {
            const int part = args->head_dim - d < 16 ? args->head_dim - d : 16;
            v16_store(to + d, v16_load_part(from + d, part));
        }
    }
}

/* Adds the bias and scales, where there is a bias; returns the row's maximum, NaN left aside (the
 * exponentials find it). */
V16_INLINE float row_maximum(float *scores, int n, const float *bias, float scale) {
    v16 largest = v16_set(-INFINITY);
    for (int i = 0; i < n; i += 16) {
        const int part = n - i < 16 ? n - i : 16;
        v16 value = v16_load(scores + i);
        if (bias != NULL) {
            value = v16_fma(value, v16_set(scale), v16_load_part(bias + i, part));
            v16_store(scores + i, value);
        }
        if (part < 16) value = v16_keep(value, part, -INFINITY);
        largest = v16_max(value, largest);
    }
    return v16_fold_max(largest);
}

/* Scores become exp((score - maximum) · scale), 0 from n to the next multiple of 16; returns the
 * sum. */
V16_INLINE float row_exponentials(float *scores, int n, float maximum, float scale) {
    const float factor = scale * V16_LOG2_E;
    const v16 factors = v16_set(factor);
    const v16 offsets = v16_set(-maximum * factor);
    v16 sum = v16_zero();
    int i = 0;
    for (; i + 16 <= n; i += 16) {
        const v16 e = v16_exp2(v16_fma(v16_load(scores + i), factors, offsets));
        v16_store(scores + i, e);
        sum = v16_add(sum, e);
    }
    if (i < n) {
        const v16 e = v16_exp2(v16_fma(v16_load(scores + i), factors, offsets));
        const v16 kept = v16_keep(e, n - i, 0.0f);
        v16_store(scores + i, kept);
        sum = v16_add(sum, kept);
    }
    return v16_fold_add(sum);
}

static void softmax_rows(const tandem_attention_args *args, int row, int m, float *scores,
                         size_t ld_scores, float *inverses) {
    for (int i = 0; i < m; i++) {
        float *at = scores + (size_t)i * ld_scores;
        const ptrdiff_t bias_at = (row + i) * args->bias_stride;
        const float *bias = args->bias == NULL ? NULL : args->bias + bias_at;
        const float maximum = row_maximum(at, args->tokens, bias, args->scale);
        const float scale = args->bias == NULL ? args->scale : 1.0f;
        inverses[i] = 1.0f / row_exponentials(at, args->tokens, maximum, scale);
    }
}

static void write_context(const tandem_attention_args *args, int row, int m, const float *sums,
                          size_t ld_sums, const float *inverses) {
    for (int i = 0; i < m; i++) {
        const v16 inverse = v16_set(inverses[i]);
        float *to = args->context + (size_t)(row + i) * args->context_stride;
        const float *from = sums + (size_t)i * ld_sums;
        for (int d = 0; d < args->head_dim; d += 16) {
            const int part = args->head_dim - d < 16 ? args->head_dim - d : 16;
            v16_store_part(to + d, v16_mul(v16_load(from + d), inverse), part);
        }
    }
}

V16_INLINE void attention_body(const tandem_attention_args *args, int row_begin, int row_end,
                               float *scratch) {
    const int rows = row_end - row_begin;
    if (rows <= 0) return;
    const int dims = args->head_dim;
    const int width = (dims + 15) / 16 * 16;
    const tandem_attention_layout layout = tandem_attention_layout_of(args->tokens, dims);
    float *keys = scratch;
    float *scores = scratch + layout.scores_at;
    float *sums = scratch + layout.sums_at;
    float *values = scratch + layout.values_at;
    float inverses[ATTENTION_ROWS];
    transpose_keys(args, keys);
    const attention_operand k = {keys, (size_t)dims * 16, 16};
    attention_operand v = {args->v, 16, args->stride};
    if (dims % 16 != 0 || args->tokens > V_IN_PLACE_MAX) {
        copy_values(args, width, values);
        v = (attention_operand){values, 16, (size_t)width};
    }
    const int blocks = (rows + ATTENTION_ROWS - 1) / ATTENTION_ROWS;
    for (int block = 0; block < blocks; block++) {
        const int row = row_begin + (int)((int64_t)rows * block / blocks);
        const int end = row_begin + (int)((int64_t)rows * (block + 1) / blocks);
        const int m = end - row;
        const float *q = args->q + (size_t)row * args->stride;
        attention_product(m, (args->tokens + 15) / 16, dims, q, args->stride, k, scores,
                          layout.ld_scores);
        softmax_rows(args, row, m, scores, layout.ld_scores, inverses);
        attention_product(m, width / 16, args->tokens, scores, layout.ld_scores, v, sums,
                          (size_t)width);
        write_context(args, row, m, sums, (size_t)width, inverses);
    }
}

#endif
