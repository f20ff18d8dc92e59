/* SPDX-License-Identifier: Apache-2.0 */
#include <math.h>

#include "base/assert.h"
#include "kernels/activation/activation.h"

double tandem_activation__ref(tandem_act act, double x) {
    switch (act) {
    case TANDEM_ACT_NONE:
        return x;
    case TANDEM_ACT_GELU_ERF:
        return 0.5 * x * erfc(-x * 0.70710678118654752440);
    case TANDEM_ACT_GELU_TANH:
        return 0.5 * x * (1.0 + tanh(0.79788456080286535588 * (x + 0.044715 * x * x * x)));
    case TANDEM_ACT_SILU:
        return x / (1.0 + exp(-x));
    case TANDEM_ACT_RELU:
        return x > 0.0 || isnan(x) ? x : 0.0;
    case TANDEM_ACT_TANH:
        return tanh(x);
    case TANDEM_ACT_COUNT:
        break;
    }
    TANDEM_ASSERT(act < TANDEM_ACT_COUNT);
    return 0.0;
}
