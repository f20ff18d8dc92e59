/* SPDX-License-Identifier: Apache-2.0 */
/* AVX2 + FMA + F16C: 6x16 from 12 accumulators, 2 registers of B and 2 for broadcasts of the 16.
 * vcvtph2ps from memory costs what a load does, so f16 panels run at the speed of f32 in the cache
 * and above it beyond.
 *
 * Few rows: 3x32 from two panels, so that 12 accumulators hide the fma's latency there too. */
#include "kernels/vec16/vec16_avx2.h"

#include "kernels/gemm/gemm_pack_vec16.h"
#include "kernels/gemm/gemm_vec16.h"

#define CASE(rows, nv, is_f16)                                                                     \
    case rows:                                                                                     \
        gemm_tile(tile, rows, nv, 1, is_f16);                                                      \
        break;

#define TALL(is_f16)                                                                               \
    switch (tile->m) {                                                                             \
        CASE(1, 1, is_f16)                                                                         \
        CASE(2, 1, is_f16)                                                                         \
        CASE(3, 1, is_f16)                                                                         \
        CASE(4, 1, is_f16)                                                                         \
        CASE(5, 1, is_f16)                                                                         \
    default:                                                                                       \
        gemm_tile(tile, 6, 1, 1, is_f16);                                                          \
        break;                                                                                     \
    }

/* A tile at the right edge may have one panel only. */
#define WIDE(is_f16, narrow)                                                                       \
    if (tile->n <= 16) {                                                                           \
        narrow(tile);                                                                              \
        return;                                                                                    \
    }                                                                                              \
    switch (tile->m) {                                                                             \
        CASE(1, 2, is_f16)                                                                         \
        CASE(2, 2, is_f16)                                                                         \
    default:                                                                                       \
        gemm_tile(tile, 3, 2, 1, is_f16);                                                          \
        break;                                                                                     \
    }

void tandem_gemm_f32_6x16__avx2(const tandem_gemm_tile *tile) {
    TALL(false)
}

void tandem_gemm_f16_6x16__avx2(const tandem_gemm_tile *tile) {
    TALL(true)
}

void tandem_gemm_f32_3x32__avx2(const tandem_gemm_tile *tile) {
    WIDE(false, tandem_gemm_f32_6x16__avx2)
}

void tandem_gemm_f16_3x32__avx2(const tandem_gemm_tile *tile){
    WIDE(true, tandem_gemm_f16_6x16__avx2)}

GEMM_PACK_BODY(tandem_gemm_pack__avx2)
