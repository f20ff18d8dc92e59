/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/vectors.h"

#include <math.h>

double cli_dot(const float *a, const float *b, int32_t n) {
    double sum = 0.0;
    for (int32_t i = 0; i < n; i++) sum += (double)a[i] * (double)b[i];
    return sum;
}

double cli_cosine(const float *a, const float *b, int32_t n) {
    const double aa = cli_dot(a, a, n);
    const double bb = cli_dot(b, b, n);
    if (aa <= 0.0 || bb <= 0.0) return 0.0;
    const double value = cli_dot(a, b, n) / sqrt(aa * bb);
    return value > 1.0 ? 1.0 : value < -1.0 ? -1.0 : value;
}

double cli_dot_sparse(const float *a, const int32_t *ids, const float *weights, size_t count) {
    double sum = 0.0;
    for (size_t i = 0; i < count; i++) sum += (double)a[ids[i]] * (double)weights[i];
    return sum;
}
