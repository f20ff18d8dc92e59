/* SPDX-License-Identifier: Apache-2.0 */
/* Pooling and normalisation: one implementation for all processors, checked at the lowest level. */
#include <math.h>

#include "kernelcheck.h"

static double column(tandem_pool_kind kind, const float *x, size_t stride, int rows, int j) {
    double sum = 0.0;
    double weighted = 0.0;
    double largest = (double)-INFINITY;
    for (int i = 0; i < rows; i++) {
        const double value = (double)x[(size_t)i * stride + (size_t)j];
        sum += value;
        weighted += (i + 1) * value;
        largest = fmax(largest, value);
    }
    switch (kind) {
    case TANDEM_POOL_MEAN:
        return sum / rows;
    case TANDEM_POOL_CLS:
        return (double)x[j];
    case TANDEM_POOL_MAX:
        return largest;
    case TANDEM_POOL_LAST:
        return (double)x[(size_t)(rows - 1) * stride + (size_t)j];
    case TANDEM_POOL_WEIGHTED_MEAN:
        return weighted / (0.5 * rows * (rows + 1.0));
    case TANDEM_POOL_MEAN_SQRT:
        return sum / sqrt(rows);
    }
    return (double)NAN;
}

static void check_kind(tandem_pool_kind kind) {
    static const int widths[] = {1, 2, 15, 64, 255, 256, 257, 384, 700};
    static const int row_counts[] = {1, 2, 3, 14, 130};
    for (int w = 0; w < 9; w++) {
        for (int r = 0; r < 5; r++) {
            const int width = widths[w];
            const int rows = row_counts[r];
            const size_t stride = (size_t)width + 3;
            const size_t floats = stride * (size_t)(rows - 1) + (size_t)width;
            float *x = kc_buffer(KC_A, floats * 4);
            float *out = kc_buffer(KC_OUT, (size_t)width * 4);
            kc_fill(x, floats, KC_NORMAL);
            tandem_pool_rows(kind, x, stride, rows, width, out);
            for (int j = 0; j < width; j++) {
                const double want = column(kind, x, stride, rows, j);
                if (!kc_close("pooled", j, out[j], want, 1.01 * KC_U * fabs(want) + 1e-12)) return;
            }
            kc_check_canary(KC_OUT);
            x[stride * (size_t)(rows - 1)] = NAN;
            tandem_pool_rows(kind, x, stride, rows, width, out);
            const bool is_used = kind != TANDEM_POOL_CLS || rows == 1;
            if ((isnan(out[0]) != 0) != is_used) kc_fail("kind %d: NaN in the last row", (int)kind);
            if (width > 1 && isnan(out[1])) kc_fail("kind %d: NaN left its column", (int)kind);
        }
    }
}

static void check_normalize(void) {
    for (int n = 1; n <= 1024; n = n * 3 / 2 + 1) {
        float *x = kc_buffer(KC_A, (size_t)n * 4);
        kc_fill(x, (size_t)n, KC_NORMAL);
        tandem_pool_normalize(x, n);
        double squares = 0.0;
        for (int i = 0; i < n; i++) squares += (double)x[i] * (double)x[i];
        (void)kc_close("length", n, (float)sqrt(squares), 1.0, 2.0 * KC_U);
    }
    float zeros[3] = {0.0f, -0.0f, 0.0f};
    tandem_pool_normalize(zeros, 3);
    for (int i = 0; i < 3; i++) (void)kc_close("zero vector", i, zeros[i], 0.0, 0.0);
    float tiny[2] = {3e-30f, 4e-30f};
    tandem_pool_normalize(tiny, 2);
    (void)kc_close("tiny vector", 0, tiny[0], 3e-18, 1e-24);
}

void kc_check_pool(const tandem_kernels *kernels) {
    (void)kernels;
    if (!kc_begin("tandem_pool_rows", 0)) return;
    for (int kind = TANDEM_POOL_MEAN; kind <= TANDEM_POOL_MEAN_SQRT; kind++) {
        check_kind((tandem_pool_kind)kind);
    }
    check_normalize();
}
