/* SPDX-License-Identifier: Apache-2.0 */
/* The products of Apple's Accelerate, the one public way to the matrix units beside the cores. */
#ifndef TANDEM_APPLE_ACCELERATE_H
#define TANDEM_APPLE_ACCELERATE_H

#include "apple/symbols.h"

/* cblas_sgemm: c [m, n] = alpha · a [m, k] · b + beta · c, of f32: order, transposition of a and of
 * b, m, n, k, alpha, a, lda, b, ldb, beta, c, ldc. It has threads of its own: call it from one
 * thread at a time, and not from a job of a pool. */
typedef cblas_sgemm_function accelerate_sgemm;

/* NULL where the system has none: every one but macOS. Any thread. */
accelerate_sgemm *tandem__accelerate_open(void);

#endif
