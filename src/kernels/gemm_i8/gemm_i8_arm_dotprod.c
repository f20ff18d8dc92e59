/* SPDX-License-Identifier: Apache-2.0 */
/* NEON with dot products: 6x16, 24 accumulators, A by lanes as in vec16_neon_product.h: 16 bytes of
 * a row are four groups. sdot takes signed bytes on both sides, so A loses 128 on the way in, and
 * the sums begin with 128 times the columns' sums instead of 0. */
#include "kernels/vec16/vec16_neon.h"

#include "kernels/gemm_i8/gemm_i8_vec16.h"

enum { QUARTERS = 4, NR = 16, ROWS_MAX = 6, STEP = 16 };

#define DOT_GROUP(lane)                                                                            \
    V16_UNROLL                                                                                     \
    for (int j = 0; j < QUARTERS; j++) {                                                           \
        const int8x16_t columns = vld1q_s8(b + 16 * j);                                            \
        V16_UNROLL                                                                                 \
        for (int i = 0; i < m; i++) {                                                              \
            sums[QUARTERS * i + j] =                                                               \
                vdotq_laneq_s32(sums[QUARTERS * i + j], columns, rows[i], lane);                   \
        }                                                                                          \
    }                                                                                              \
    b += 4 * NR;

V16_INLINE void gemm_i8_tile(const tandem_gemm_i8_tile *tile, const int m) {
    int32x4_t sums[ROWS_MAX * QUARTERS];
    const uint8_t *a = tile->a;
    const int8_t *b = tile->b;
    V16_UNROLL
    for (int j = 0; j < QUARTERS; j++) {
        const int32x4_t start = vshlq_n_s32(vld1q_s32(tile->column_sums + 4 * j), 7);
        V16_UNROLL
        for (int i = 0; i < m; i++) sums[QUARTERS * i + j] = start;
    }
    for (int k = 0; k < tile->depth; k += STEP) {
        int8x16_t rows[ROWS_MAX];
        V16_UNROLL
        for (int i = 0; i < m; i++) {
            const uint8x16_t bytes = vld1q_u8(a + (size_t)i * tile->lda);
            rows[i] = vreinterpretq_s8_u8(veorq_u8(bytes, vdupq_n_u8(0x80)));
        }
        DOT_GROUP(0)
        DOT_GROUP(1)
        DOT_GROUP(2)
        DOT_GROUP(3)
        a += STEP;
    }
    int32_t out[ROWS_MAX * NR];
    V16_UNROLL
    for (int i = 0; i < m * QUARTERS; i++) vst1q_s32(out + 4 * i, sums[i]);
    gemm_i8_finish(tile, out, NR);
}

#define CASE(rows)                                                                                 \
    case rows:                                                                                     \
        gemm_i8_tile(tile, rows);                                                                  \
        break;

void tandem_gemm_i8_6x16__dotprod(const tandem_gemm_i8_tile *tile) {
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
