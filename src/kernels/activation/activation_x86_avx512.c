/* SPDX-License-Identifier: Apache-2.0 */
#include "kernels/vec16/vec16_avx512.h"

#include "kernels/activation/activation_vec16.h"

ACTIVATION_BODY(tandem_activation_gelu_erf__avx512, v16_gelu_erf)
ACTIVATION_BODY(tandem_activation_gelu_tanh__avx512, v16_gelu_tanh)
ACTIVATION_BODY(tandem_activation_silu__avx512, v16_silu)
ACTIVATION_BODY(tandem_activation_relu__avx512, v16_relu)
ACTIVATION_BODY(tandem_activation_tanh__avx512, v16_tanh)
