/* SPDX-License-Identifier: Apache-2.0 */
/* Number formats over 16 lanes; tails go through a small buffer, so no byte outside is touched. */
#ifndef TANDEM_KERNELS_CONVERT_VEC16_H
#define TANDEM_KERNELS_CONVERT_VEC16_H

#include "kernels/convert/convert.h"

#define CONVERT_BODY(name, load, src_bytes, store, dst_bytes)                                      \
    void name(void *dst, const void *src, size_t n) {                                              \
        const char *from = src;                                                                    \
        char *to = dst;                                                                            \
        for (; n >= 16; n -= 16) {                                                                 \
            store(to, load(from));                                                                 \
            from += 16 * (src_bytes);                                                              \
            to += 16 * (dst_bytes);                                                                \
        }                                                                                          \
        if (n == 0) return;                                                                        \
        float buffer[16] = {0.0f};                                                                 \
        memcpy(buffer, from, n *(src_bytes));                                                      \
        store(buffer, load(buffer));                                                               \
        memcpy(to, buffer, n *(dst_bytes));                                                        \
    }

#endif
