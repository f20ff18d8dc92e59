/* SPDX-License-Identifier: Apache-2.0 */
/* NEON: tiles of 6 rows by one vector of 16 (four registers), as in gemm_arm_neon.c. */
#include "kernels/vec16/vec16_neon.h"

#include "kernels/vec16/vec16_neon_product.h"

#define ATTENTION_ROWS    6
#define ATTENTION_VECTORS 1
#define ATTENTION_SUMS(m, nv, depth, a, lda, operand, sums)                                        \
    const product_operand product_b = {(const char *)(operand).base,                               \
                                       (operand).vector_stride * sizeof(float),                    \
                                       (operand).step * sizeof(float),                             \
                                       false,                                                      \
                                       false,                                                      \
                                       NULL,                                                       \
                                       0};                                                         \
    product_sums(m, nv, depth, a, lda, &product_b, sums)
#define CASE(rows, nv)                                                                             \
    case rows:                                                                                     \
        attention_tile(rows, nv, depth, a, lda, b, out, ldo);                                      \
        break;
#define ATTENTION_CASES(nv)                                                                        \
    CASE(1, nv)                                                                                    \
    CASE(2, nv)                                                                                    \
    CASE(3, nv)                                                                                    \
    CASE(4, nv)                                                                                    \
    CASE(5, nv)                                                                                    \
    CASE(6, nv)
#include "kernels/attention/attention_vec16.h"

void tandem_attention_f32__neon(const tandem_attention_args *args, int row_begin, int row_end,
                                float *scratch) {
    attention_body(args, row_begin, row_end, scratch);
}
