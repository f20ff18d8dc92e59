/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "kernels/embed/embed.h"

void tandem_embed_add__c(float *dst, const void *src, tandem_dtype dtype, int n) {
    for (int i = 0; i < n; i++) {
        float value;
        uint16_t bits;
        if (dtype == TANDEM_DTYPE_F32) {
            memcpy(&value, (const char *)src + 4 * (size_t)i, 4);
        } else {
            memcpy(&bits, (const char *)src + 2 * (size_t)i, 2);
            value = dtype == TANDEM_DTYPE_F16 ? tandem_convert_f16_value(bits)
                                              : tandem_convert_bf16_value(bits);
        }
        dst[i] += value;
    }
}
