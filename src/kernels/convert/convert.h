/* SPDX-License-Identifier: Apache-2.0 */
/* Number formats, element by element: f32 <-> f16 (IEEE binary16), f32 <-> bf16.
 *
 *   to f32     exact; infinities and NaNs stay such (a signalling NaN may become quiet)
 *   to f16     nearest, ties to even; denormals kept; magnitudes from 65520 up become infinity;
 *              a NaN stays a NaN
 *   to bf16    nearest, ties to even; a NaN stays a NaN
 *
 * Source and destination may start anywhere (no alignment, not even to the element, so that bytes
 * of a mapped file will do) and must not overlap. n = 0 does nothing. Every kernel gives the same
 * bits, except for the payload of NaNs. */
#ifndef TANDEM_KERNELS_CONVERT_H
#define TANDEM_KERNELS_CONVERT_H

#include <stddef.h>
#include <stdint.h>

#include "tandem/dtype.h"

/* dst [n], src [n] of the types the kernel's name says. */
typedef void tandem_convert_function(void *dst, const void *src, size_t n);

typedef struct tandem_convert_kernels {
    tandem_convert_function *f16_f32; /* reads f16, writes f32 */
    tandem_convert_function *f32_f16;
    tandem_convert_function *bf16_f32;
    tandem_convert_function *f32_bf16;
} tandem_convert_kernels;

void tandem_convert_fill(tandem_convert_kernels *kernels, uint32_t cpu_flags);

/* n elements of F32, F16 or BF16 at `src` to f32. */
void tandem_convert_to_f32(const tandem_convert_kernels *kernels, float *dst, const void *src,
                           tandem_dtype src_dtype, size_t n);

/* One element, plain C: what the vector kernels are held against, and their tails' last resort. */
float tandem_convert_f16_value(uint16_t half);
uint16_t tandem_convert_value_f16(float value);
float tandem_convert_bf16_value(uint16_t bits);
uint16_t tandem_convert_value_bf16(float value);

#define CONVERT_KERNEL(name, op, flags) tandem_convert_function name;
#include "kernels/convert/convert.inc"
#undef CONVERT_KERNEL

#endif
