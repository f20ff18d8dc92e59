/* SPDX-License-Identifier: Apache-2.0 */
#include <math.h>

#include "kernels/norm/norm.h"

void tandem_layernorm_f32__ref(const tandem_norm_args *args, int row_begin, int row_end) {
    const int hidden = args->hidden;
    for (int row = row_begin; row < row_end; row++) {
        const float *x = args->x + (size_t)row * args->x_stride;
        float *y = args->y + (size_t)row * args->y_stride;
        double sum = 0.0;
        for (int i = 0; i < hidden; i++) sum += (double)x[i];
        const double mean = sum / hidden;
        double squares = 0.0;
        for (int i = 0; i < hidden; i++) {
            squares += ((double)x[i] - mean) * ((double)x[i] - mean);
        }
        const double scale = 1.0 / sqrt(squares / hidden + (double)args->eps);
        for (int i = 0; i < hidden; i++) {
            const double beta = args->beta == NULL ? 0.0 : (double)args->beta[i];
            y[i] = (float)(((double)x[i] - mean) * scale * (double)args->gamma[i] + beta);
        }
    }
}
