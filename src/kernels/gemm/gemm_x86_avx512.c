/* SPDX-License-Identifier: Apache-2.0 */
/* AVX-512: 14x32 from 28 accumulators, 2 vectors of B and one broadcast of the 32 registers. A step
 * of k is 28 fma (14 cycles on two full-width units), 2 loads of B and 14 broadcasting loads, so
 * the loads fit twice over.
 *
 * Few rows: 6x64, 24 accumulators from two panels. A chain of fma is 4 cycles a link and two start
 * a cycle, so at least 8 accumulators must be under way: from 2 rows up they are. */
#include "kernels/vec16/vec16_avx512.h"

#include "kernels/gemm/gemm_pack_vec16.h"
#include "kernels/gemm/gemm_vec16.h"

#define CASE(rows, nv, is_f16)                                                                     \
    case rows:                                                                                     \
        gemm_tile(tile, rows, nv, 2, is_f16);                                                      \
        break;

#define TALL(is_f16)                                                                               \
    switch (tile->m) {                                                                             \
        CASE(1, 2, is_f16)                                                                         \
        CASE(2, 2, is_f16)                                                                         \
        CASE(3, 2, is_f16)                                                                         \
        CASE(4, 2, is_f16)                                                                         \
        CASE(5, 2, is_f16)                                                                         \
        CASE(6, 2, is_f16)                                                                         \
        CASE(7, 2, is_f16)                                                                         \
        CASE(8, 2, is_f16)                                                                         \
        CASE(9, 2, is_f16)                                                                         \
        CASE(10, 2, is_f16)                                                                        \
        CASE(11, 2, is_f16)                                                                        \
        CASE(12, 2, is_f16)                                                                        \
        CASE(13, 2, is_f16)                                                                        \
    default:                                                                                       \
        gemm_tile(tile, 14, 2, 2, is_f16);                                                         \
        break;                                                                                     \
    }

/* A tile at the right edge may have one panel only. */
#define WIDE(is_f16, narrow)                                                                       \
    if (tile->n <= 32) {                                                                           \
        narrow(tile);                                                                              \
        return;                                                                                    \
    }                                                                                              \
    switch (tile->m) {                                                                             \
        CASE(1, 4, is_f16)                                                                         \
        CASE(2, 4, is_f16)                                                                         \
        CASE(3, 4, is_f16)                                                                         \
        CASE(4, 4, is_f16)                                                                         \
        CASE(5, 4, is_f16)                                                                         \
    default:                                                                                       \
        gemm_tile(tile, 6, 4, 2, is_f16);                                                          \
        break;                                                                                     \
    }

void tandem_gemm_f32_14x32__avx512(const tandem_gemm_tile *tile) {
    TALL(false)
}

void tandem_gemm_f16_14x32__avx512(const tandem_gemm_tile *tile) {
    TALL(true)
}

void tandem_gemm_f32_6x64__avx512(const tandem_gemm_tile *tile) {
    WIDE(false, tandem_gemm_f32_14x32__avx512)
}

void tandem_gemm_f16_6x64__avx512(const tandem_gemm_tile *tile){
    WIDE(true, tandem_gemm_f16_14x32__avx512)}

GEMM_PACK_BODY(tandem_gemm_pack__avx512)
