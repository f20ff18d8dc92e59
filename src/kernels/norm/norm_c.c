/* SPDX-License-Identifier: Apache-2.0 */
#include <math.h>

#include "kernels/lanes.h"
#include "kernels/norm/norm.h"

static float sum_row(const float *x, int n) {
    float lanes[TANDEM_LANES] = {0.0f};
    for (int i = 0; i < n; i++) lanes[i % TANDEM_LANES] += x[i];
    return tandem__lanes_fold_add(lanes);
}

static float sum_squares(const float *x, float mean, int n) {
    float lanes[TANDEM_LANES] = {0.0f};
    for (int i = 0; i < n; i++) {
        const float centred = x[i] - mean;
        lanes[i % TANDEM_LANES] += centred * centred;
    }
    return tandem__lanes_fold_add(lanes);
}

void tandem_layernorm_f32__c(const tandem_norm_args *args, int row_begin, int row_end) {
    const int hidden = args->hidden;
    for (int row = row_begin; row < row_end; row++) {
        const float *x = args->x + (size_t)row * args->x_stride;
        float *y = args->y + (size_t)row * args->y_stride;
        const float mean = sum_row(x, hidden) / (float)hidden;
        const float variance = sum_squares(x, mean, hidden) / (float)hidden;
        const float scale = 1.0f / sqrtf(variance + args->eps);
        for (int i = 0; i < hidden; i++) {
            const float beta = args->beta == NULL ? 0.0f : args->beta[i];
            y[i] = (x[i] - mean) * scale * args->gamma[i] + beta;
        }
    }
}
