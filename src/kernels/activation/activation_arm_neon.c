/* SPDX-License-Identifier: Apache-2.0 */
#include "kernels/vec16/vec16_neon.h"

#include "kernels/activation/activation_vec16.h"

ACTIVATION_BODY(tandem_activation_gelu_erf__neon, v16_gelu_erf)
ACTIVATION_BODY(tandem_activation_gelu_tanh__neon, v16_gelu_tanh)
ACTIVATION_BODY(tandem_activation_silu__neon, v16_silu)
ACTIVATION_BODY(tandem_activation_relu__neon, v16_relu)
ACTIVATION_BODY(tandem_activation_tanh__neon, v16_tanh)
