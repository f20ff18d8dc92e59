/* SPDX-License-Identifier: Apache-2.0 */
/* NEON: 6x16, 24 accumulators, the inner loop of vec16_neon_product.h. f16 panels are widened by
 * fcvtl, which like fmla takes a slot of the vector units: 28 of them for the 24 of f32.
 *
 * Few rows: 3x32 from two panels, so that twice as many chains are under way there. */
#include "kernels/vec16/vec16_neon.h"

#include "kernels/gemm/gemm.h"
#include "kernels/gemm/gemm_6x16.h"
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

GEMM_6X16_BODIES(neon)

GEMM_PACK_BODY(tandem_gemm_pack__neon)
