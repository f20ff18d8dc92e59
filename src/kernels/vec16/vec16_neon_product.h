/* SPDX-License-Identifier: Apache-2.0 */
/* The inner loop of products on NEON: m rows by nv vectors, summed over the whole depth, for gemm
 * and for attention.
 *
 * A broadcast takes a slot of the vector units on most Arm cores, where x86 does it in the load. So
 * A is not broadcast: four steps of k of a row are loaded as one register, and the multiply-add
 * picks its lane (fmla by element):
 *
 *     a[0, k..k+3]     sums[0]  += b[k]   · a[0] lane 0
 *      ...             sums[0]  += b[k+1] · a[0] lane 1   ...
 *
 * Registers, 6 rows by one vector of 16: 24 sums, 6 of A, 2 of B by turns, the 32 there are. Four
 * steps are 96 fmla and 6 + 16 loads. Rows left over by fours of k are multiplied one by one; the
 * order of sums is the same. */
#ifndef TANDEM_KERNELS_VEC16_NEON_PRODUCT_H
#define TANDEM_KERNELS_VEC16_NEON_PRODUCT_H

#include <stdbool.h>
#include <stddef.h>

#include "kernels/vec16/vec16_neon.h"

enum { PRODUCT_ROWS_MAX = 6 };

/* Vector j of step k of B is at base + j * vector_stride + k * step, in bytes. */
typedef struct product_operand {
    const char *base;
    size_t vector_stride;
    size_t step;
    bool is_f16;
    bool has_prefetch; /* a line into L2 at every fourth step, as in gemm.h */
    const char *prefetch;
    size_t prefetch_step;
} product_operand;

V16_INLINE float32x4_t product_load(const char *b, int quarter, bool is_f16) {
    return is_f16 ? v16_f16_quarter(b + 8 * quarter)
                  : vld1q_f32((const float *)(const void *)(b + 16 * quarter));
}

/* One quarter of vector j, all rows; multiply(sum, b, i) is the multiply-add by row i. */
#define PRODUCT_QUARTER(field, quarter, multiply)                                                  \
    {                                                                                              \
        const float32x4_t part = product_load(at, quarter, operand->is_f16);                       \
        V16_UNROLL                                                                                 \
        for (int i = 0; i < m; i++) {                                                              \
            sums[i * nv + j].field = multiply(sums[i * nv + j].field, part, i);                    \
        }                                                                                          \
    }
#define PRODUCT_STEP(multiply)                                                                     \
    V16_UNROLL                                                                                     \
    for (int j = 0; j < nv; j++) {                                                                 \
        const char *at = b + (size_t)j * operand->vector_stride;                                   \
        PRODUCT_QUARTER(q0, 0, multiply)                                                           \
        PRODUCT_QUARTER(q1, 1, multiply)                                                           \
        PRODUCT_QUARTER(q2, 2, multiply)                                                           \
        PRODUCT_QUARTER(q3, 3, multiply)                                                           \
    }                                                                                              \
    b += operand->step;

#define PRODUCT_LANE0(sum, part, i) vfmaq_laneq_f32(sum, part, row[i], 0)
#define PRODUCT_LANE1(sum, part, i) vfmaq_laneq_f32(sum, part, row[i], 1)
#define PRODUCT_LANE2(sum, part, i) vfmaq_laneq_f32(sum, part, row[i], 2)
#define PRODUCT_LANE3(sum, part, i) vfmaq_laneq_f32(sum, part, row[i], 3)
#define PRODUCT_ONE(sum, part, i)   vfmaq_n_f32(sum, part, a[(size_t)(i)*lda])

/* sums[i * nv + j] = sum over k of a[i * lda + k] · b[k][vector j], k = 0 .. depth - 1 in order. */
V16_INLINE void product_sums(const int m, const int nv, int depth, const float *a, size_t lda,
                             const product_operand *operand, v16 *sums) {
    const char *b = operand->base;
    const char *prefetch = operand->prefetch;
    V16_UNROLL
    for (int i = 0; i < m * nv; i++) sums[i] = v16_zero();
    int k = 0;
    for (; k + 4 <= depth; k += 4) {
        float32x4_t row[PRODUCT_ROWS_MAX];
        V16_UNROLL
        for (int i = 0; i < m; i++) row[i] = vld1q_f32(a + (size_t)i * lda);
        PRODUCT_STEP(PRODUCT_LANE0)
        PRODUCT_STEP(PRODUCT_LANE1)
        PRODUCT_STEP(PRODUCT_LANE2)
        PRODUCT_STEP(PRODUCT_LANE3)
        if (operand->has_prefetch) {
            v16_prefetch(prefetch);
            prefetch += 4 * operand->prefetch_step;
        }
        a += 4;
    }
    for (; k < depth; k++) {
        PRODUCT_STEP(PRODUCT_ONE)
        a += 1;
    }
}

#endif
