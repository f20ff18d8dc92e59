/* SPDX-License-Identifier: Apache-2.0 */
/* What the processor and the operating system allow, as flags. Detected once; TANDEM_CPU in the
 * environment lowers it (`TANDEM_CPU=avx2`: nothing newer), so that every path can be run on one
 * machine. Read-only after the first call; any thread. */
#ifndef TANDEM_BASE_CPU_H
#define TANDEM_BASE_CPU_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Levels build on each other inside an architecture: the order here is the order of the ladder
 * that kernelcheck climbs. AVX2 means AVX2 + FMA + F16C + BMI2; AVX512 means F + BW + CD + DQ +
 * VL. Arm's extensions are in the order in which cores got them. */
/* clang-format off */
#define TANDEM_CPU_MAP(X)                                                                          \
    X(AVX2,        0,  "avx2")                                                                     \
    X(AVXVNNI,     1,  "avxvnni")                                                                  \
    X(AVX512,      2,  "avx512")                                                                   \
    X(AVX512VNNI,  3,  "avx512vnni")                                                               \
    X(AVX512BF16,  4,  "avx512bf16")                                                               \
    X(AVX512FP16,  5,  "avx512fp16")                                                               \
    X(AMX,         6,  "amx") /* tile + int8 + bf16, and Linux's permission to use the tiles */   \
    X(NEON,        16, "neon")                                                                     \
    X(FP16,        17, "fp16")                                                                     \
    X(DOTPROD,     18, "dotprod")                                                                  \
    X(FHM,         19, "fhm")                                                                      \
    X(BF16,        20, "bf16")                                                                     \
    X(I8MM,        21, "i8mm")
/* clang-format on */

typedef enum tandem_cpu_flag {
#define TANDEM_CPU_ENUM(name, bit, text) TANDEM_CPU_##name = 1 << (bit),
    TANDEM_CPU_MAP(TANDEM_CPU_ENUM)
#undef TANDEM_CPU_ENUM
} tandem_cpu_flag;

/* Flags of this machine under the mask. 0 = portable C only. */
uint32_t tandem__cpu_flags(void);

/* Lowers the flags for tests: only bits in `mask` stay. Call it before anything else asks, or
 * rebuild every dispatch table after it. */
void tandem__cpu_set_mask(uint32_t mask);

/* The mask that a name of the ladder stands for: that flag and all below it on its architecture;
 * "c" is 0, "native" everything. False for an unknown name. */
bool tandem__cpu_mask_from_name(const char *name, uint32_t *mask);

/* The newest level under the mask that kernels are written for: "avx512", "avx2", "neon" or "c".
 * Static. */
const char *tandem__cpu_kernels(void);

/* Processors this process may use: affinity, then the cgroup's quota rounded up. At least 1. */
int tandem__cpu_count(void);

/* Bytes of one core's second-level cache as the system says, between 256 KB and 2 MB; 512 KB where
 * it does not say. */
size_t tandem__cpu_l2_bytes(void);

/* The processor's own name, such as "AMD EPYC 9555P"; static storage. */
const char *tandem__cpu_name(void);

#endif
