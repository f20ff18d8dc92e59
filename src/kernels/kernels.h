/* SPDX-License-Identifier: Apache-2.0 */
/* The CPU kernels: one table of function pointers, and what is true of every op.
 *
 * An op is a folder: <op>.h is its contract, <op>_ref.c that contract in plain loops with double
 * accumulation, <op>.inc the list of its kernels, <op>.c picks from the list. Callers get the table
 * from tandem_kernels_get and hand it to the ops' drivers (tandem_gemm_run, ...).
 *
 * ORDER OF SUMS. All kernels that claim TANDEM_KERNEL_ORDERED compute each output by one fixed
 * sequence of roundings, so the same text gives the same bits alone or in any batch, however rows
 * are split over tiles, threads and calls, and with AVX2 as with AVX-512 and NEON:
 *   - a product sum (gemm, scores, weighted values) is one chain of fused multiply-adds over its
 *     depth in rising order, starting from +0;
 *   - a sum or maximum along a row (norms, softmax) goes to 16 lanes, lane i taking elements i,
 *     i + 16, ... in order, absent elements of the last round adding nothing; the lanes then fold
 *     i with i + 8, i + 4, i + 2, i + 1.
 * The portable C kernels keep the order but round products separately (the baseline x86-64 has no
 * FMA), so their bits differ from the others', and agree among themselves.
 *
 * No kernel allocates, reads the environment or keeps state. Any thread, on distinct outputs. */
#ifndef TANDEM_KERNELS_KERNELS_H
#define TANDEM_KERNELS_KERNELS_H

#include <stdint.h>

#include "kernels/activation/activation.h"
#include "kernels/attention/attention.h"
#include "kernels/convert/convert.h"
#include "kernels/embed/embed.h"
#include "kernels/gemm/gemm.h"
#include "kernels/gemm_i8/gemm_i8.h"
#include "kernels/norm/norm.h"
#include "kernels/pooling/pooling.h"

typedef struct tandem_kernels {
    uint32_t cpu_flags; /* what the table was filled for */
    tandem_convert_kernels convert;
    tandem_activation_kernels activation;
    tandem_gemm_kernels gemm;
    tandem_gemm_i8_kernels gemm_i8;
    tandem_norm_kernels norm;
    tandem_attention_kernels attention;
    tandem_embed_kernels embed;
} tandem_kernels;

/* The table for tandem__cpu_flags(), filled at the first call and read-only after. */
const tandem_kernels *tandem_kernels_get(void);

/* Fills `kernels` for the given flags (base/cpu.h), which the processor must have: for tests that
 * climb the ladder. */
void tandem_kernels_fill(tandem_kernels *kernels, uint32_t cpu_flags);

/* The name of a kernel of the registries, "tandem_gemm_f16_14x32__avx512": what it computes left of
 * the __, for which instruction set right of it. "unlisted" for any other function. */
typedef void tandem_kernel_function(void);
const char *tandem_kernels_name(tandem_kernel_function *kernel);

#endif
