/* SPDX-License-Identifier: Apache-2.0 */
#include "kernels/convert/convert.h"

#include <string.h>

#include "base/assert.h"
#include "base/cpu.h"

void tandem_convert_fill(tandem_convert_kernels *kernels, uint32_t cpu_flags) {
#define CONVERT_KERNEL(name, op, flags)                                                            \
    if (((flags) & ~cpu_flags) == 0) kernels->op = name;
#include "kernels/convert/convert.inc"
#undef CONVERT_KERNEL
}

void tandem_convert_to_f32(const tandem_convert_kernels *kernels, float *dst, const void *src,
                           tandem_dtype src_dtype, size_t n) {
    TANDEM_ASSERT(src_dtype == TANDEM_DTYPE_F32 || src_dtype == TANDEM_DTYPE_F16 ||
                  src_dtype == TANDEM_DTYPE_BF16);
    if (n == 0) return;
    if (src_dtype == TANDEM_DTYPE_F32)
        memcpy(dst, src, n * sizeof(float));
    else if (src_dtype == TANDEM_DTYPE_F16)
        kernels->f16_f32(dst, src, n);
    else
        kernels->bf16_f32(dst, src, n);
}
