/* SPDX-License-Identifier: Apache-2.0 */
/* Activations that follow a Dense module alone: a vector a text, so plain C in double, the same in
 * every lane. Definitions and constants are torch.nn's with their default arguments. */
#include <math.h>

#include "backend/backend.h"

static double softplus(double x) {
    return x > 20.0 ? x : log1p(exp(x)); /* the threshold is torch's */
}

static double elu(double x) {
    return x > 0.0 ? x : expm1(x);
}

/* Klambauer et al. 2017. */
static double selu(double x) {
    const double alpha = 1.6732632423543772848170429916717;
    const double scale = 1.0507009873554804934193349852946;
    return scale * (x > 0.0 ? x : alpha * expm1(x));
}

bool tandem__activation_is_late(tandem_activation activation) {
    return activation >= TANDEM_ACTIVATION_SIGMOID;
}

void tandem__activate(tandem_activation activation, float *x, int n) {
    for (int i = 0; i < n; i++) {
        const double v = (double)x[i];
        switch (activation) {
        case TANDEM_ACTIVATION_NONE:
        case TANDEM_ACTIVATION_GELU_ERF:
        case TANDEM_ACTIVATION_GELU_TANH:
        case TANDEM_ACTIVATION_SILU:
        case TANDEM_ACTIVATION_RELU:
        case TANDEM_ACTIVATION_TANH:
            return;
        case TANDEM_ACTIVATION_SIGMOID:
            x[i] = (float)(1.0 / (1.0 + exp(-v)));
            break;
        case TANDEM_ACTIVATION_LEAKY_RELU:
            x[i] = (float)(v > 0.0 ? v : 0.01 * v);
            break;
        case TANDEM_ACTIVATION_ELU:
            x[i] = (float)elu(v);
            break;
        case TANDEM_ACTIVATION_SELU:
            x[i] = (float)selu(v);
            break;
        case TANDEM_ACTIVATION_MISH:
            x[i] = (float)(v * tanh(softplus(v)));
            break;
        case TANDEM_ACTIVATION_SOFTPLUS:
            x[i] = (float)softplus(v);
            break;
        }
    }
}
