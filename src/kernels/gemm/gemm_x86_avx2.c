/* SPDX-License-Identifier: Apache-2.0 */
/* AVX2 + FMA + F16C: 6x16 from 12 accumulators, 2 registers of B and 2 for broadcasts of the 16.
 * vcvtph2ps from memory costs what a load does, so f16 panels run at the speed of f32 in the cache
 * and above it beyond.
 *
 * Few rows: 3x32 from two panels, so that 12 accumulators hide the fma's latency there too. */
#include "kernels/vec16/vec16_avx2.h"

#include "kernels/gemm/gemm_6x16.h"
#include "kernels/gemm/gemm_pack_vec16.h"
#include "kernels/gemm/gemm_vec16.h"

GEMM_6X16_BODIES(avx2)

GEMM_PACK_BODY(tandem_gemm_pack__avx2)
