/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TANDEM_KERNELS_EMBED_VEC16_H
#define TANDEM_KERNELS_EMBED_VEC16_H

#include "kernels/embed/embed.h"

V16_INLINE v16 embed_load(const void *src, tandem_dtype dtype, int at) {
    if (dtype == TANDEM_DTYPE_F32) return v16_load((const char *)src + 4 * (size_t)at);
    if (dtype == TANDEM_DTYPE_F16) return v16_load_f16((const char *)src + 2 * (size_t)at);
    return v16_load_bf16((const char *)src + 2 * (size_t)at);
}

#define EMBED_ADD_BODY(name)                                                                       \
    void name(float *dst, const void *src, tandem_dtype dtype, int n) {                            \
        const size_t element_bytes = dtype == TANDEM_DTYPE_F32 ? 4 : 2;                            \
        int i = 0;                                                                                 \
        for (; i + 16 <= n; i += 16) {                                                             \
            v16_store(dst + i, v16_add(v16_load(dst + i), embed_load(src, dtype, i)));             \
        }                                                                                          \
        if (i == n) return;                                                                        \
        float buffer[16] = {0.0f};                                                                 \
        const size_t part = (size_t)(n - i);                                                       \
        memcpy(buffer, (const char *)src + (size_t)i * element_bytes, part * element_bytes);       \
        const v16 sum = v16_add(v16_load_part(dst + i, n - i), embed_load(buffer, dtype, 0));      \
        v16_store_part(dst + i, sum, n - i);                                                       \
    }

#endif
