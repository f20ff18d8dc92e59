/* SPDX-License-Identifier: Apache-2.0 */
/* Attention in plain C, one query row at a time; K is read in place, the scores' row and the
 * context's row are all it needs. */
#include <math.h>

#include "kernels/attention/attention.h"
#include "kernels/lanes.h"

static void score_row(const tandem_attention_args *args, int row, float *scores) {
    const float *q = args->q + (size_t)row * args->stride;
    const float *bias = args->bias == NULL ? NULL : args->bias + row * args->bias_stride;
    for (int key = 0; key < args->tokens; key++) {
        const float *k = args->k + (size_t)key * args->stride;
        float sum = 0.0f;
        for (int i = 0; i < args->head_dim; i++) sum += q[i] * k[i];
        scores[key] = sum * args->scale + (bias == NULL ? 0.0f : bias[key]);
    }
}

/* Replaces scores by exp(score - maximum); returns their sum. */
static float exponentials(float *scores, int n) {
    float largest = scores[0];
    for (int i = 1; i < n; i++) {
        if (scores[i] > largest || isnan(scores[i])) largest = scores[i];
    }
    float lanes[TANDEM_LANES] = {0.0f};
    for (int i = 0; i < n; i++) {
        scores[i] = expf(scores[i] - largest);
        lanes[i % TANDEM_LANES] += scores[i];
    }
    return tandem__lanes_fold_add(lanes);
}

void tandem_attention_f32__c(const tandem_attention_args *args, int row_begin, int row_end,
                             float *scratch) {
    for (int row = row_begin; row < row_end; row++) {
        float *context = args->context + (size_t)row * args->context_stride;
        score_row(args, row, scratch);
        const float inverse = 1.0f / exponentials(scratch, args->tokens);
        for (int d = 0; d < args->head_dim; d++) context[d] = 0.0f;
        for (int key = 0; key < args->tokens; key++) {
            const float *v = args->v + (size_t)key * args->stride;
            for (int d = 0; d < args->head_dim; d++) context[d] += scratch[key] * v[d];
        }
        for (int d = 0; d < args->head_dim; d++) context[d] *= inverse;
    }
}
