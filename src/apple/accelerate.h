/* SPDX-License-Identifier: Apache-2.0 */
/* The products of Apple's Accelerate, the one public way to the matrix units beside the cores. */
#ifndef TANDEM_APPLE_ACCELERATE_H
#define TANDEM_APPLE_ACCELERATE_H

/* cblas_sgemm: c [m, n] = alpha · a [m, k] · b + beta · c, of f32. It has threads of its own: call
 * it from one thread at a time, and not from a job of a pool. */
typedef void accelerate_sgemm(int order, int transpose_a, int transpose_b, int m, int n, int k,
                              float alpha, const float *a, int lda, const float *b, int ldb,
                              float beta, float *c, int ldc);

enum {
    ACCELERATE_ROW_MAJOR = 101,
    ACCELERATE_AS_IS = 111,
    ACCELERATE_TRANSPOSED = 112,
};

/* NULL where the system has none: every one but macOS. Any thread. */
accelerate_sgemm *tandem__accelerate_open(void);

#endif
