/* SPDX-License-Identifier: Apache-2.0 */
#include "kernels/vec16/vec16_neon.h"

#include "kernels/convert/convert_vec16.h"

CONVERT_BODY(tandem_convert_f16_f32__neon, v16_load_f16, 2, v16_store, 4)
CONVERT_BODY(tandem_convert_f32_f16__neon, v16_load, 4, v16_store_f16, 2)
CONVERT_BODY(tandem_convert_bf16_f32__neon, v16_load_bf16, 2, v16_store, 4)
CONVERT_BODY(tandem_convert_f32_bf16__neon, v16_load, 4, v16_store_bf16, 2)
