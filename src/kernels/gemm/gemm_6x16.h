/* SPDX-License-Identifier: Apache-2.0 */
/* Tiles of 6x16, and of 3x32 for few rows from two panels, over the gemm_tile that the including
 * file has: for instruction sets whose panels are 16 wide. GEMM_6X16_BODIES(isa) makes the four. */
#ifndef TANDEM_KERNELS_GEMM_6X16_H
#define TANDEM_KERNELS_GEMM_6X16_H

#define GEMM_CASE(rows, nv, is_f16)                                                                \
    case rows:                                                                                     \
        gemm_tile(tile, rows, nv, 1, is_f16);                                                      \
        break;

#define GEMM_TALL(is_f16)                                                                          \
    switch (tile->m) {                                                                             \
        GEMM_CASE(1, 1, is_f16)                                                                    \
        GEMM_CASE(2, 1, is_f16)                                                                    \
        GEMM_CASE(3, 1, is_f16)                                                                    \
        GEMM_CASE(4, 1, is_f16)                                                                    \
        GEMM_CASE(5, 1, is_f16)                                                                    \
    default:                                                                                       \
        gemm_tile(tile, 6, 1, 1, is_f16);                                                          \
        break;                                                                                     \
    }

/* A tile at the right edge may have one panel only. */
#define GEMM_WIDE(is_f16, narrow)                                                                  \
    if (tile->n <= 16) {                                                                           \
        narrow(tile);                                                                              \
        return;                                                                                    \
    }                                                                                              \
    switch (tile->m) {                                                                             \
        GEMM_CASE(1, 2, is_f16)                                                                    \
        GEMM_CASE(2, 2, is_f16)                                                                    \
    default:                                                                                       \
        gemm_tile(tile, 3, 2, 1, is_f16);                                                          \
        break;                                                                                     \
    }

#define GEMM_6X16_BODIES(isa)                                                                      \
    void tandem_gemm_f32_6x16__##isa(const tandem_gemm_tile *tile) {                               \
        GEMM_TALL(false)                                                                           \
    }                                                                                              \
    void tandem_gemm_f16_6x16__##isa(const tandem_gemm_tile *tile) {                               \
        GEMM_TALL(true)                                                                            \
    }                                                                                              \
    void tandem_gemm_f32_3x32__##isa(const tandem_gemm_tile *tile) {                               \
        GEMM_WIDE(false, tandem_gemm_f32_6x16__##isa)                                              \
    }                                                                                              \
    void tandem_gemm_f16_3x32__##isa(const tandem_gemm_tile *tile) {                               \
        GEMM_WIDE(true, tandem_gemm_f16_6x16__##isa)                                               \
    }

#endif
