/* SPDX-License-Identifier: Apache-2.0 */
/* V16_UNROLL before a loop of at most 32 rounds: unroll it whole, so that the arrays it walks can
 * live in registers. clang promotes an array only after its own "full" form; gcc has no such. */
#ifndef TANDEM_KERNELS_VEC16_UNROLL_H
#define TANDEM_KERNELS_VEC16_UNROLL_H

#if defined(__clang__)
#define V16_UNROLL _Pragma("clang loop unroll(full)")
#else
#define V16_UNROLL _Pragma("GCC unroll 32")
#endif

#endif
