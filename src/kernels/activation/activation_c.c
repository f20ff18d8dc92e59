/* SPDX-License-Identifier: Apache-2.0 */
/* Activations by libm, for processors without vector kernels. */
#include <math.h>

#include "kernels/activation/activation.h"

void tandem_activation_none__c(float *x, size_t n) {
    (void)x;
    (void)n;
}

void tandem_activation_gelu_erf__c(float *x, size_t n) {
    for (size_t i = 0; i < n; i++) {
        const float bounded = x[i] < -14.0f ? -14.0f : x[i]; /* -inf · 0 would be NaN */
        x[i] = 0.5f * bounded * erfcf(-bounded * 0.70710678f);
    }
}

void tandem_activation_gelu_tanh__c(float *x, size_t n) {
    for (size_t i = 0; i < n; i++) {
        const float bounded = x[i] < -14.0f ? -14.0f : x[i];
        const float inner = 0.79788456f * (bounded + 0.044715f * bounded * bounded * bounded);
        x[i] = bounded / (1.0f + expf(-2.0f * inner));
    }
}

void tandem_activation_silu__c(float *x, size_t n) {
    for (size_t i = 0; i < n; i++) {
        const float bounded = x[i] < -87.0f ? -87.0f : x[i];
        x[i] = bounded / (1.0f + expf(-bounded));
    }
}

void tandem_activation_relu__c(float *x, size_t n) {
    for (size_t i = 0; i < n; i++) {
        if (x[i] <= 0.0f) x[i] = 0.0f;
    }
}

void tandem_activation_tanh__c(float *x, size_t n) {
    for (size_t i = 0; i < n; i++) x[i] = tanhf(x[i]);
}
