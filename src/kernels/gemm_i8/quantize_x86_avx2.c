/* SPDX-License-Identifier: Apache-2.0 */
#include "kernels/vec16/vec16_avx2.h"

#include "kernels/gemm_i8/quantize_vec16.h"

QUANTIZE_BODY(tandem_quantize_u8__avx2)
