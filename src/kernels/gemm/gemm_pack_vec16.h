/* SPDX-License-Identifier: Apache-2.0 */
/* Packing over 16x16 blocks: 16 source rows of 16 k are widened, transposed in registers and stored
 * as 16 rows of 16 columns. The last k go through a buffer; columns that are no whole block of 16
 * are packed by plain C. */
#ifndef TANDEM_KERNELS_GEMM_PACK_VEC16_H
#define TANDEM_KERNELS_GEMM_PACK_VEC16_H

#include <math.h>
#include <stdbool.h>

#include "kernels/gemm/gemm.h"

V16_INLINE v16 pack_load(const char *src, tandem_dtype dtype) {
    if (dtype == TANDEM_DTYPE_F32) return v16_load(src);
    return dtype == TANDEM_DTYPE_F16 ? v16_load_f16(src) : v16_load_bf16(src);
}

/* n of 16, zeros after them. */
V16_INLINE v16 pack_load_part(const char *src, tandem_dtype dtype, size_t n) {
    float buffer[16] = {0.0f};
    memcpy(buffer, src, n * (dtype == TANDEM_DTYPE_F32 ? 4 : 2));
    return pack_load((const char *)buffer, dtype);
}

/* Columns column .. column + 15 from 16 rows of k values, column a multiple of 16. `largest` and
 * `poison` gather what is needed to tell whether all were finite. */
V16_INLINE void pack_block(const tandem_gemm_matrix *matrix, int column, const char *src,
                           tandem_dtype src_dtype, v16 *largest, v16 *poison) {
    const size_t k = (size_t)matrix->k;
    const size_t nr = (size_t)matrix->nr;
    const size_t src_bytes = src_dtype == TANDEM_DTYPE_F32 ? 4 : 2;
    const size_t dst_bytes = matrix->dtype == TANDEM_DTYPE_F32 ? 4 : 2;
    const size_t first = (size_t)column / nr * nr * k + (size_t)column % nr;
    char *dst = (char *)matrix->panels + first * dst_bytes;
    for (size_t at = 0; at < k; at += 16) {
        const size_t part = k - at < 16 ? k - at : 16;
        v16 rows[16];
        V16_UNROLL
        for (size_t i = 0; i < 16; i++) {
            const char *from = src + (i * k + at) * src_bytes;
            rows[i] =
                part == 16 ? pack_load(from, src_dtype) : pack_load_part(from, src_dtype, part);
            *largest = v16_max(*largest, v16_abs(rows[i]));
            *poison = v16_fma(rows[i], v16_zero(), *poison);
        }
        v16_transpose(rows);
        V16_UNROLL
        for (size_t i = 0; i < 16; i++) {
            char *to = dst + (at + i) * nr * dst_bytes;
            if (i >= part) continue;
            if (matrix->dtype == TANDEM_DTYPE_F32)
                v16_store(to, rows[i]);
            else
                v16_store_f16(to, rows[i]);
        }
    }
}

V16_INLINE bool pack_is_finite(const tandem_gemm_matrix *matrix, v16 largest, v16 poison) {
    const float limit = matrix->dtype == TANDEM_DTYPE_F32 ? INFINITY : 65520.0f;
    return !v16_has_nan(poison) && v16_fold_max(largest) < limit;
}

#define GEMM_PACK_BODY(name)                                                                       \
    bool name(const tandem_gemm_matrix *matrix, int column, const void *src,                       \
              tandem_dtype src_dtype, int rows) {                                                  \
        const size_t row_bytes = (size_t)matrix->k * (src_dtype == TANDEM_DTYPE_F32 ? 4 : 2);      \
        const int ragged = (16 - column % 16) % 16;                                                \
        int row = ragged < rows ? ragged : rows;                                                   \
        bool is_finite = row == 0 || tandem_gemm_pack__c(matrix, column, src, src_dtype, row);     \
        v16 largest = v16_zero();                                                                  \
        v16 poison = v16_zero();                                                                   \
        for (; row + 16 <= rows; row += 16) {                                                      \
            const char *from = (const char *)src + (size_t)row * row_bytes;                        \
            pack_block(matrix, column + row, from, src_dtype, &largest, &poison);                  \
        }                                                                                          \
        if (!pack_is_finite(matrix, largest, poison)) is_finite = false;                           \
        if (row == rows && column + rows != matrix->n) return is_finite;                           \
        const char *rest = (const char *)src + (size_t)row * row_bytes;                            \
        return tandem_gemm_pack__c(matrix, column + row, rest, src_dtype, rows - row) &&           \
               is_finite;                                                                          \
    }

#endif
