/* SPDX-License-Identifier: Apache-2.0 */
/* Activations over arrays, written once for every vector instruction set (vec16/vec16_math.h). */
#ifndef TANDEM_KERNELS_ACTIVATION_VEC16_H
#define TANDEM_KERNELS_ACTIVATION_VEC16_H

#include "kernels/activation/activation.h"
#include "kernels/vec16/vec16_math.h"

/* Two vectors at a time: one hides the other's latency. */
#define ACTIVATION_BODY(name, op)                                                                  \
    void name(float *x, size_t n) {                                                                \
        size_t i = 0;                                                                              \
        for (; i + 32 <= n; i += 32) {                                                             \
            const v16 a = op(v16_load(x + i));                                                     \
            const v16 b = op(v16_load(x + i + 16));                                                \
            v16_store(x + i, a);                                                                   \
            v16_store(x + i + 16, b);                                                              \
        }                                                                                          \
        for (; i < n; i += 16) {                                                                   \
            const int part = n - i < 16 ? (int)(n - i) : 16;                                       \
            v16_store_part(x + i, op(v16_load_part(x + i, part)), part);                           \
        }                                                                                          \
    }

#endif
