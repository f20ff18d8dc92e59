/* SPDX-License-Identifier: Apache-2.0 */
#include "kernels/pooling/pooling.h"

#include <math.h>
#include <stdbool.h>
#include <string.h>

#include "base/assert.h"

/* Columns whose sums are kept at a time: rows are read in order, the sums stay in L1. */
enum { COLUMNS = 256 };

static void sum_columns(const float *x, size_t stride, int rows, int columns, bool is_weighted,
                        double sums[COLUMNS]) {
    for (int j = 0; j < columns; j++) sums[j] = 0.0;
    for (int i = 0; i < rows; i++) {
        const float *row = x + (size_t)i * stride;
        const double weight = is_weighted ? (double)i + 1.0 : 1.0;
        for (int j = 0; j < columns; j++) sums[j] += weight * (double)row[j];
    }
}

static void pool_sums(const float *x, size_t stride, int rows, int width, bool is_weighted,
                      double divisor, float *out) {
    double sums[COLUMNS];
    for (int first = 0; first < width; first += COLUMNS) {
        const int columns = width - first < COLUMNS ? width - first : COLUMNS;
        sum_columns(x + first, stride, rows, columns, is_weighted, sums);
        for (int j = 0; j < columns; j++) out[first + j] = (float)(sums[j] / divisor);
    }
}

static void pool_max(const float *x, size_t stride, int rows, int width, float *out) {
    memcpy(out, x, (size_t)width * sizeof(float));
    for (int i = 1; i < rows; i++) {
        const float *row = x + (size_t)i * stride;
        for (int j = 0; j < width; j++) {
            if (row[j] > out[j] || isnan(row[j])) out[j] = row[j];
        }
    }
}

void tandem_pool_rows(tandem_pool_kind kind, const float *x, size_t stride, int rows, int width,
                      float *out) {
    TANDEM_ASSERT(rows >= 1);
    const double count = (double)rows;
    const float *last = x + (size_t)(rows - 1) * stride;
    switch (kind) {
    case TANDEM_POOL_MEAN:
        pool_sums(x, stride, rows, width, false, count, out);
        return;
    case TANDEM_POOL_CLS:
        memcpy(out, x, (size_t)width * sizeof(float));
        return;
    case TANDEM_POOL_MAX:
        pool_max(x, stride, rows, width, out);
        return;
    case TANDEM_POOL_LAST:
        memcpy(out, last, (size_t)width * sizeof(float));
        return;
    case TANDEM_POOL_WEIGHTED_MEAN:
        pool_sums(x, stride, rows, width, true, 0.5 * count * (count + 1.0), out);
        return;
    case TANDEM_POOL_MEAN_SQRT:
        pool_sums(x, stride, rows, width, false, sqrt(count), out);
        return;
    }
    TANDEM_ASSERT(kind <= TANDEM_POOL_MEAN_SQRT);
}

void tandem_pool_normalize(float *x, int n) {
    double squares = 0.0;
    for (int i = 0; i < n; i++) squares += (double)x[i] * (double)x[i];
    const double length = sqrt(squares);
    const double divisor = length > 1e-12 || isnan(length) ? length : 1e-12;
    for (int i = 0; i < n; i++) x[i] = (float)((double)x[i] / divisor);
}
