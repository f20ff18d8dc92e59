/* SPDX-License-Identifier: Apache-2.0 */
#include "kernels/gemm/gemm.h"

void tandem_gemm__ref(const tandem_gemm_args *args, const float *w, int row_begin, int row_end) {
    const int n = args->w->n;
    const int k = args->w->k;
    for (int row = row_begin; row < row_end; row++) {
        for (int column = 0; column < n; column++) {
            const float *a = args->a + (size_t)row * args->lda;
            const float *b = w + (size_t)column * (size_t)k;
            double sum = args->bias == NULL ? 0.0 : (double)args->bias[column];
            for (int i = 0; i < k; i++) sum += (double)a[i] * (double)b[i];
            sum = tandem_activation__ref(args->act, sum);
            if (args->residual != NULL) {
                sum += (double)args->residual[(size_t)row * args->ld_residual + (size_t)column];
            }
            args->c[(size_t)row * args->ldc + (size_t)column] = (float)sum;
        }
    }
}
