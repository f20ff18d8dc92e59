/* SPDX-License-Identifier: Apache-2.0 */
#include <math.h>
#include <string.h>

#include "kernels/attention/attention.h"

/* The score of one pair of tokens; no scratch holds doubles, so it is computed twice. */
static double score(const tandem_attention_args *args, int row, int key) {
    const float *q = args->q + (size_t)row * args->stride;
    const float *k = args->k + (size_t)key * args->stride;
    double sum = 0.0;
    for (int i = 0; i < args->head_dim; i++) sum += (double)q[i] * (double)k[i];
    sum *= (double)args->scale;
    if (args->bias != NULL)
        sum += (double)args->bias[(size_t)row * args->bias_stride + (size_t)key];
    return sum;
}

void tandem_attention_f32__ref(const tandem_attention_args *args, int row_begin, int row_end,
                               float *scratch) {
    (void)scratch;
    for (int row = row_begin; row < row_end; row++) {
        double largest = (double)-INFINITY;
        for (int key = 0; key < args->tokens; key++) {
            const double s = score(args, row, key);
            if (s > largest || isnan(s)) largest = s;
        }
        double total = 0.0;
        for (int key = 0; key < args->tokens; key++) total += exp(score(args, row, key) - largest);
        for (int d = 0; d < args->head_dim; d++) {
            double sum = 0.0;
            for (int key = 0; key < args->tokens; key++) {
                const double v = (double)args->v[(size_t)key * args->stride + (size_t)d];
                sum += exp(score(args, row, key) - largest) * v;
            }
            args->context[(size_t)row * args->context_stride + (size_t)d] = (float)(sum / total);
        }
    }
}
