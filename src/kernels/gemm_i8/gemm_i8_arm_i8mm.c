/* SPDX-License-Identifier: Apache-2.0 */
/* NEON with matrix products of bytes: usmmla multiplies 2 rows of 8 u8 by 2 columns of 8 s8 into
 * 2x2 whole sums, 32 products an instruction where sdot has 16. 6x16 is 3 pairs of rows by 8 pairs
 * of columns, 24 accumulators; two rows of 16 bytes become two operands by zip. An odd row has
 * itself as its partner. */
#include "kernels/vec16/vec16_neon.h"

#include "kernels/gemm_i8/gemm_i8_vec16.h"

enum { PAIRS = 8, NR = 2 * PAIRS, ROWS_MAX = 6, STEP = 16, GROUP = 8 };

/* Eight k of all rows by all columns. */
#define PRODUCT_GROUP(rows)                                                                        \
    V16_UNROLL                                                                                     \
    for (int j = 0; j < PAIRS; j++) {                                                              \
        const int8x16_t columns = vld1q_s8(b + 16 * j);                                            \
        V16_UNROLL                                                                                 \
        for (int i = 0; i < pairs; i++) {                                                          \
            sums[PAIRS * i + j] = vusmmlaq_s32(sums[PAIRS * i + j], rows[i], columns);             \
        }                                                                                          \
    }                                                                                              \
    b += GROUP * NR;

V16_INLINE void gemm_i8_tile(const tandem_gemm_i8_tile *tile, const int m) {
    const int pairs = (m + 1) / 2;
    int32x4_t sums[ROWS_MAX / 2 * PAIRS];
    const uint8_t *a = tile->a;
    const int8_t *b = tile->b;
    V16_UNROLL
    for (int i = 0; i < pairs * PAIRS; i++) sums[i] = vdupq_n_s32(0);
    for (int k = 0; k < tile->depth; k += STEP) {
        uint8x16_t first[ROWS_MAX / 2];
        uint8x16_t second[ROWS_MAX / 2];
        V16_UNROLL
        for (int i = 0; i < pairs; i++) {
            const int partner = 2 * i + 1 < m ? 2 * i + 1 : 2 * i;
            const uint64x2_t even = vreinterpretq_u64_u8(vld1q_u8(a + (size_t)(2 * i) * tile->lda));
            const uint64x2_t odd = vreinterpretq_u64_u8(vld1q_u8(a + (size_t)partner * tile->lda));
            first[i] = vreinterpretq_u8_u64(vzip1q_u64(even, odd));
            second[i] = vreinterpretq_u8_u64(vzip2q_u64(even, odd));
        }
        PRODUCT_GROUP(first)
        PRODUCT_GROUP(second)
        a += STEP;
    }
    int32_t out[ROWS_MAX * NR];
    V16_UNROLL
    for (int i = 0; i < pairs; i++) {
        V16_UNROLL
        for (int j = 0; j < PAIRS; j++) {
            int32_t *to = out + 2 * i * NR + 2 * j;
            vst1_s32(to, vget_low_s32(sums[PAIRS * i + j]));
            vst1_s32(to + NR, vget_high_s32(sums[PAIRS * i + j]));
        }
    }
    gemm_i8_finish(tile, out, NR);
}

#define CASE(rows)                                                                                 \
    case rows:                                                                                     \
        gemm_i8_tile(tile, rows);                                                                  \
        break;

void tandem_gemm_i8_6x16__i8mm(const tandem_gemm_i8_tile *tile) {
    switch (tile->m) {
        CASE(1)
        CASE(2)
        CASE(3)
        CASE(4)
        CASE(5)
    default:
        gemm_i8_tile(tile, ROWS_MAX);
        break;
    }
}
