/* SPDX-License-Identifier: Apache-2.0 */
/* Packing in plain C: any panel width, any split of the columns. */
#include <math.h>
#include <string.h>

#include "kernels/convert/convert.h"
#include "kernels/gemm/gemm.h"

static float load_value(const void *src, tandem_dtype dtype, size_t index) {
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

/* Writes column `column`; false if a value is not finite once stored. */
static bool pack_column(const tandem_gemm_matrix *matrix, int column, const void *src,
                        tandem_dtype src_dtype, size_t src_index) {
    const size_t nr = (size_t)matrix->nr;
    const size_t k = (size_t)matrix->k;
    const size_t first = (size_t)column / nr * nr * k + (size_t)column % nr;
    bool is_finite = true;
    for (size_t i = 0; i < k; i++) {
        const float value = load_value(src, src_dtype, src_index + i);
        if (matrix->dtype == TANDEM_DTYPE_F32) {
            ((float *)matrix->panels)[first + i * nr] = value;
            is_finite = is_finite && isfinite(value);
        } else {
            const uint16_t half = tandem_convert_value_f16(value);
            ((uint16_t *)matrix->panels)[first + i * nr] = half;
            is_finite = is_finite && (half & 0x7c00u) != 0x7c00u;
        }
    }
    return is_finite;
}

static void zero_column(const tandem_gemm_matrix *matrix, int column) {
    const size_t nr = (size_t)matrix->nr;
    const size_t k = (size_t)matrix->k;
    const size_t first = (size_t)column / nr * nr * k + (size_t)column % nr;
    for (size_t i = 0; i < k; i++) {
        if (matrix->dtype == TANDEM_DTYPE_F32)
            ((float *)matrix->panels)[first + i * nr] = 0.0f;
        else
            ((uint16_t *)matrix->panels)[first + i * nr] = 0;
    }
}

bool tandem_gemm_pack__c(const tandem_gemm_matrix *matrix, int column, const void *src,
                         tandem_dtype src_dtype, int rows) {
    bool is_finite = true;
    for (int row = 0; row < rows; row++) {
        const size_t index = (size_t)row * (size_t)matrix->k;
        if (!pack_column(matrix, column + row, src, src_dtype, index)) is_finite = false;
    }
    if (column + rows == matrix->n) {
        const int padded = (matrix->n + matrix->nr - 1) / matrix->nr * matrix->nr;
        for (int pad = matrix->n; pad < padded; pad++) zero_column(matrix, pad);
    }
    return is_finite;
}
