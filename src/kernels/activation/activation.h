/* SPDX-License-Identifier: Apache-2.0 */
/* Activations, element by element, in place.
 *
 *   GELU_ERF    x/2 · (1 + erf(x / sqrt 2))                            |error| <= 2e-7 · max(1,
 * |x|) GELU_TANH   x/2 · (1 + tanh(sqrt(2/pi) · (x + 0.044715 x³)))       |error| <= 4e-7 · max(1,
 * |x|) SILU        x / (1 + exp(-x))                                      |error| <= 4e-7 · max(1,
 * |x|) RELU        max(x, 0)                                              exact TANH        tanh(x)
 * |error| <= 4e-7
 *
 * NaN gives NaN. +inf gives +inf (TANH: 1); -inf gives a value within the bound of the limit (0,
 * or -1). Vector kernels use polynomials of our own, no libm; all vector kernels give the same
 * bits. x may start anywhere a float may. */
#ifndef TANDEM_KERNELS_ACTIVATION_H
#define TANDEM_KERNELS_ACTIVATION_H

#include <stddef.h>
#include <stdint.h>

/* Values equal those of the plan's tandem_activation (model/plan.h), which this room cannot see. */
typedef enum tandem_act {
    TANDEM_ACT_NONE = 0,
    TANDEM_ACT_GELU_ERF = 1,
    TANDEM_ACT_GELU_TANH = 2,
    TANDEM_ACT_SILU = 3,
    TANDEM_ACT_RELU = 4,
    TANDEM_ACT_TANH = 5,
    TANDEM_ACT_COUNT = 6,
} tandem_act;

/* x [n] f32, replaced by act(x). */
typedef void tandem_activation_function(float *x, size_t n);

typedef struct tandem_activation_kernels {
    tandem_activation_function *apply[TANDEM_ACT_COUNT]; /* NONE does nothing */
} tandem_activation_kernels;

void tandem_activation_fill(tandem_activation_kernels *kernels, uint32_t cpu_flags);

/* The definition, in double. */
double tandem_activation__ref(tandem_act act, double x);

#define ACTIVATION_KERNEL(name, act, flags) tandem_activation_function name;
#include "kernels/activation/activation.inc"
#undef ACTIVATION_KERNEL

#endif
