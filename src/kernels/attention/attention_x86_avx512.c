/* SPDX-License-Identifier: Apache-2.0 */
/* AVX-512: tiles of 12 rows by 2 vectors, 24 accumulators, 2 vectors of B and a broadcast. */
#include "kernels/vec16/vec16_avx512.h"

#define ATTENTION_ROWS    12
#define ATTENTION_VECTORS 2
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
    CASE(6, nv)                                                                                    \
    CASE(7, nv)                                                                                    \
    CASE(8, nv)                                                                                    \
    CASE(9, nv)                                                                                    \
    CASE(10, nv)                                                                                   \
    CASE(11, nv)                                                                                   \
    CASE(12, nv)
#include "kernels/attention/attention_vec16.h"

void tandem_attention_f32__avx512(const tandem_attention_args *args, int row_begin, int row_end,
                                  float *scratch) {
    attention_body(args, row_begin, row_end, scratch);
}
