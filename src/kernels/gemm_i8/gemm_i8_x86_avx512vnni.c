/* SPDX-License-Identifier: Apache-2.0 */
/* AVX-512 VNNI: 14x32, 28 accumulators of 16 whole sums, 2 registers of B, one broadcast of four
 * bytes of A. vpdpbusd multiplies four u8 by four s8 a lane and adds them exactly: 64 products an
 * instruction where f32 has 16. */
#include "kernels/vec16/vec16_avx512.h"

#include "kernels/gemm_i8/gemm_i8_vec16.h"

enum { VECTORS = 2, NR = 16 * VECTORS, ROWS_MAX = 14, GROUP = 4 };

V16_INLINE void gemm_i8_tile(const tandem_gemm_i8_tile *tile, const int m) {
    __m512i sums[ROWS_MAX * VECTORS];
    const uint8_t *a = tile->a;
    const int8_t *b = tile->b;
    V16_UNROLL
    for (int i = 0; i < m * VECTORS; i++) sums[i] = _mm512_setzero_si512();
    for (int k = 0; k < tile->depth; k += GROUP) {
        const __m512i b0 = _mm512_loadu_si512(b);
        const __m512i b1 = _mm512_loadu_si512(b + 64);
        V16_UNROLL
        for (int i = 0; i < m; i++) {
            int32_t bytes;
            memcpy(&bytes, a + (size_t)i * tile->lda, 4);
            const __m512i broadcast = _mm512_set1_epi32(bytes);
            sums[2 * i] = _mm512_dpbusd_epi32(sums[2 * i], broadcast, b0);
            sums[2 * i + 1] = _mm512_dpbusd_epi32(sums[2 * i + 1], broadcast, b1);
        }
        a += GROUP;
        b += NR * GROUP;
    }
    int32_t out[ROWS_MAX * NR] __attribute__((aligned(64)));
    V16_UNROLL
    for (int i = 0; i < m * VECTORS; i++) _mm512_store_si512(out + 16 * i, sums[i]);
    gemm_i8_finish(tile, out, NR);
}

#define CASE(rows)                                                                                 \
    case rows:                                                                                     \
        gemm_i8_tile(tile, rows);                                                                  \
        break;

void tandem_gemm_i8_14x32__avx512vnni(const tandem_gemm_i8_tile *tile) {
    switch (tile->m) {
        CASE(1)
        CASE(2)
        CASE(3)
        CASE(4)
        CASE(5)
        CASE(6)
        CASE(7)
        CASE(8)
        CASE(9)
        CASE(10)
        CASE(11)
        CASE(12)
        CASE(13)
    default:
        gemm_i8_tile(tile, ROWS_MAX);
        break;
    }
}
