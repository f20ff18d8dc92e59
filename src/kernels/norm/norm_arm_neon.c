/* SPDX-License-Identifier: Apache-2.0 */
#include "kernels/vec16/vec16_neon.h"

#include "kernels/norm/norm_vec16.h"

LAYERNORM_BODY(tandem_layernorm_f32__neon)
