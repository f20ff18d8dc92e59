/* SPDX-License-Identifier: Apache-2.0 */
/* Which instruction sets this build may contain; the .inc registries are fenced by these. */
#ifndef TANDEM_KERNELS_ARCH_H
#define TANDEM_KERNELS_ARCH_H

#if defined(__x86_64__)
#define TANDEM_ARCH_X86 1
#else
#define TANDEM_ARCH_X86 0
#endif

#if defined(__aarch64__)
#define TANDEM_ARCH_ARM64 1
#else
#define TANDEM_ARCH_ARM64 0
#endif

#endif
