/* SPDX-License-Identifier: Apache-2.0 */
/* NEON: 6x16, 24 accumulators, the inner loop of vec16_neon_product.h. f16 panels are widened by
 * fcvtl, which like fmla takes a slot of the vector units: 28 of them for the 24 of f32.
 *
 * Few rows: 3x32 from two panels, so that twice as many chains are under way there. */
#include "kernels/vec16/vec16_neon.h"

#include "kernels/gemm/gemm.h"
#include "kernels/gemm/gemm_pack_vec16.h"
#include "kernels/vec16/vec16_neon_product.h"

/* A panel is one vector wide, so vectors are a panel apart. */
static inline __attribute__((always_inline)) void gemm_sums_neon(const tandem_gemm_tile *tile,
                                                                 const int m, const int nv,
                                                                 const int per_panel,
                                                                 const bool is_f16, v16 *sums) {
    (void)per_panel;
    const product_operand b = {tile->b, tile->panel_stride, is_f16 ? 32 : 64,   is_f16,
                               true,    tile->prefetch,     tile->prefetch_step};
    product_sums(m, nv, tile->k, tile->a, tile->lda, &b, sums);
}

#define GEMM_SUMS gemm_sums_neon
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

void tandem_gemm_f32_6x16__neon(const tandem_gemm_tile *tile) {
    TALL(false)
}

void tandem_gemm_f16_6x16__neon(const tandem_gemm_tile *tile) {
    TALL(true)
}

void tandem_gemm_f32_3x32__neon(const tandem_gemm_tile *tile) {
    WIDE(false, tandem_gemm_f32_6x16__neon)
}

void tandem_gemm_f16_3x32__neon(const tandem_gemm_tile *tile){
    WIDE(true, tandem_gemm_f16_6x16__neon)}

GEMM_PACK_BODY(tandem_gemm_pack__neon)
