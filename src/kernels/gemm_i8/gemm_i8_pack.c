/* SPDX-License-Identifier: Apache-2.0 */
/* Quantising and packing weights: plain C for every processor, once a model. */
#include <math.h>
#include <string.h>

#include "base/assert.h"
#include "kernels/convert/convert.h"
#include "kernels/gemm_i8/gemm_i8.h"

static float source_value(const void *src, tandem_dtype dtype, size_t index) {
    uint16_t bits;
    float value;
    if (dtype == TANDEM_DTYPE_F32) {
        memcpy(&value, (const char *)src + 4 * index, 4);
        return value;
    }
    memcpy(&bits, (const char *)src + 2 * index, 2);
    return dtype == TANDEM_DTYPE_F16 ? tandem_convert_f16_value(bits)
                                     : tandem_convert_bf16_value(bits);
}

/* Where element 0 of a column lies in the panels, its groups being nr · group apart. */
static int8_t *column_start(const tandem_gemm_i8_matrix *matrix, int column) {
    const size_t depth = (size_t)tandem_gemm_i8_depth(matrix->k);
    const size_t panel = (size_t)column / (size_t)matrix->nr;
    const size_t inside = (size_t)column % (size_t)matrix->nr;
    return (int8_t *)matrix->panels + panel * (size_t)matrix->nr * depth +
           inside * (size_t)matrix->group;
}

/* The column's scale and sum to their places behind the panels. */
static void store_column(const tandem_gemm_i8_matrix *matrix, int column, float scale,
                         int32_t sum) {
    const size_t columns = (size_t)tandem_gemm_i8_panel_count(matrix) * (size_t)matrix->nr;
    const size_t depth = (size_t)tandem_gemm_i8_depth(matrix->k);
    char *scales = (char *)matrix->panels + columns * depth;
    memcpy(scales + 4 * (size_t)column, &scale, 4);
    memcpy(scales + 4 * (columns + (size_t)column), &sum, 4);
}

static int32_t store_weights(const tandem_gemm_i8_matrix *matrix, int column, const void *src,
                             tandem_dtype dtype, size_t first, float inverse) {
    const int depth = tandem_gemm_i8_depth(matrix->k);
    const int group = matrix->group;
    int8_t *to = column_start(matrix, column);
    int32_t sum = 0;
    for (int i = 0; i < depth; i++) {
        int value = 0;
        if (i < matrix->k && src != NULL) {
            const float w = source_value(src, dtype, first + (size_t)i);
            value = (int)lrintf(w * inverse);
        }
        value = value < -127 ? -127 : value > 127 ? 127 : value;
        sum += value;
        to[(size_t)(i / group) * (size_t)(matrix->nr * group) + (size_t)(i % group)] =
            (int8_t)value;
    }
    return sum;
}

static bool pack_column(const tandem_gemm_i8_matrix *matrix, int column, const void *src,
                        tandem_dtype dtype, size_t first) {
    float largest = 0.0f;
    bool is_finite = true;
    for (int i = 0; i < matrix->k; i++) {
        const float w = source_value(src, dtype, first + (size_t)i);
        const float magnitude = fabsf(w);
        is_finite = is_finite && isfinite(magnitude);
        largest = magnitude > largest ? magnitude : largest;
    }
    if (!is_finite || largest < 1e-30f) {
        (void)store_weights(matrix, column, NULL, dtype, 0, 0.0f);
        store_column(matrix, column, is_finite ? 0.0f : NAN, 0);
        return is_finite;
    }
    const int32_t sum = store_weights(matrix, column, src, dtype, first, 127.0f / largest);
    store_column(matrix, column, largest / 127.0f, sum);
    return true;
}

bool tandem_gemm_i8_pack(const tandem_gemm_i8_matrix *matrix, int column, const void *src,
                         tandem_dtype src_dtype, int rows) {
    TANDEM_ASSERT(src_dtype == TANDEM_DTYPE_F32 || src_dtype == TANDEM_DTYPE_F16 ||
                  src_dtype == TANDEM_DTYPE_BF16);
    TANDEM_ASSERT(column >= 0 && rows >= 0 && column + rows <= matrix->n);
    bool is_finite = true;
    for (int row = 0; row < rows; row++) {
        const size_t first = (size_t)row * (size_t)matrix->k;
        if (!pack_column(matrix, column + row, src, src_dtype, first)) is_finite = false;
    }
    if (rows > 0 && column + rows == matrix->n) {
        const int padded = tandem_gemm_i8_panel_count(matrix) * matrix->nr;
        for (int pad = matrix->n; pad < padded; pad++) {
            (void)store_weights(matrix, pad, NULL, src_dtype, 0, 0.0f);
            store_column(matrix, pad, 0.0f, 0);
        }
    }
    return is_finite;
}
