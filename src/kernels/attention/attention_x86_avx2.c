/* SPDX-License-Identifier: Apache-2.0 */
/* AVX2: tiles of 6 rows by one vector of 16 (two registers), as in gemm_x86_avx2.c. */
#include "kernels/vec16/vec16_avx2.h"

#define ATTENTION_ROWS    6
#define ATTENTION_VECTORS 1
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

void tandem_attention_f32__avx2(const tandem_attention_args *args, int row_begin, int row_end,
                                float *scratch) {
    attention_body(args, row_begin, row_end, scratch);
}
