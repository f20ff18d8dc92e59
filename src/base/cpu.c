/* SPDX-License-Identifier: Apache-2.0 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE /* sched_getaffinity */
#endif
#include "base/cpu.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#if defined(__x86_64__)
#include <cpuid.h>
#endif
#if defined(__linux__)
#include <sched.h>
#include <sys/syscall.h>
#endif
#if defined(__linux__) && defined(__aarch64__)
#include <sys/auxv.h>
#endif
#ifdef __APPLE__
#include <sys/sysctl.h>
#endif

#include "base/cgroup.h"
#include "base/log.h"

static uint32_t detected_flags;
static char detected_name[64] = "unknown processor";
static _Atomic uint32_t flags_mask = UINT32_MAX;
static pthread_once_t detect_once = PTHREAD_ONCE_INIT;

#if defined(__x86_64__)

static uint64_t read_xcr0(void) {
    uint32_t low;
    uint32_t high;
    __asm__ volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
    return ((uint64_t)high << 32) | low;
}

/* Linux gives a process the tile registers only after it asks (arch_prctl, since 5.16). */
static bool amx_permitted(void) {
#if defined(__linux__)
    enum { ARCH_REQ_XCOMP_PERM = 0x1023, XFEATURE_XTILEDATA = 18 };
    return syscall(SYS_arch_prctl, ARCH_REQ_XCOMP_PERM, XFEATURE_XTILEDATA) == 0;
#else
    return false;
#endif
}

/* Bits as in Intel's manual, CPUID leaves 1, 7.0 and 7.1. */
static uint32_t detect_flags(void) {
    uint32_t a;
    uint32_t b;
    uint32_t c;
    uint32_t d;
    if (!__get_cpuid(1, &a, &b, &c, &d)) return 0;
    const bool has_base =
        (c & (1u << 12)) && (c & (1u << 29)) && (c & (1u << 27)); /* FMA F16C OSXSAVE */
    if (!has_base) return 0;
    const uint64_t xcr0 = read_xcr0();
    uint32_t b7;
    uint32_t c7;
    uint32_t d7;
    if ((xcr0 & 0x6) != 0x6 || !__get_cpuid_count(7, 0, &a, &b7, &c7, &d7)) return 0;
    uint32_t a71 = 0;
    (void)__get_cpuid_count(7, 1, &a71, &b, &c, &d);
    uint32_t flags = 0;
    if ((b7 & (1u << 5)) && (b7 & (1u << 8))) flags |= TANDEM_CPU_AVX2;
    if (flags == 0) return 0;
    if (a71 & (1u << 4)) flags |= TANDEM_CPU_AVXVNNI;
    const uint32_t avx512 = (1u << 16) | (1u << 17) | (1u << 28) | (1u << 30) | (1u << 31);
    if ((xcr0 & 0xe6) != 0xe6 || (b7 & avx512) != avx512) return flags;
    flags |= TANDEM_CPU_AVX512;
    if (c7 & (1u << 11)) flags |= TANDEM_CPU_AVX512VNNI;
    if (a71 & (1u << 5)) flags |= TANDEM_CPU_AVX512BF16;
    if (d7 & (1u << 23)) flags |= TANDEM_CPU_AVX512FP16;
    const uint32_t amx = (1u << 22) | (1u << 24) | (1u << 25);
    if ((d7 & amx) == amx && (xcr0 & 0x60000) == 0x60000 && amx_permitted()) {
        flags |= TANDEM_CPU_AMX;
    }
    return flags;
}

static void detect_name(void) {
    uint32_t words[12];
    for (uint32_t i = 0; i < 3; i++) {
        if (!__get_cpuid(0x80000002u + i, &words[4 * i], &words[4 * i + 1], &words[4 * i + 2],
                         &words[4 * i + 3])) {
            return;
        }
    }
    char raw[sizeof words + 1];
    memcpy(raw, words, sizeof words);
    raw[sizeof words] = '\0';
    const char *start = raw + strspn(raw, " ");
    (void)snprintf(detected_name, sizeof detected_name, "%s", start);
}

#elif defined(__aarch64__)

#if defined(__linux__)

/* Bits as in Linux' Documentation/arch/arm64/elf_hwcaps.rst and its uapi/asm/hwcap.h. */
static uint32_t detect_flags(void) {
    static const struct {
        uint32_t flag;
        unsigned long source; /* AT_HWCAP or AT_HWCAP2 */
        int bit;
    } features[] = {
        {TANDEM_CPU_NEON, AT_HWCAP, 1},     {TANDEM_CPU_FP16, AT_HWCAP, 10},
        {TANDEM_CPU_DOTPROD, AT_HWCAP, 20}, {TANDEM_CPU_FHM, AT_HWCAP, 23},
        {TANDEM_CPU_BF16, AT_HWCAP2, 14},   {TANDEM_CPU_I8MM, AT_HWCAP2, 13},
    };
    uint32_t flags = 0;
    for (size_t i = 0; i < sizeof features / sizeof features[0]; i++) {
        const unsigned long bits = getauxval(features[i].source);
        if ((bits >> features[i].bit) & 1u) flags |= features[i].flag;
    }
    return flags;
}

#elif defined(__APPLE__)

static uint32_t detect_flags(void) {
    static const struct {
        uint32_t flag;
        const char *name;
    } features[] = {
        {TANDEM_CPU_FP16, "hw.optional.arm.FEAT_FP16"},
        {TANDEM_CPU_DOTPROD, "hw.optional.arm.FEAT_DotProd"},
        {TANDEM_CPU_FHM, "hw.optional.arm.FEAT_FHM"},
        {TANDEM_CPU_BF16, "hw.optional.arm.FEAT_BF16"},
        {TANDEM_CPU_I8MM, "hw.optional.arm.FEAT_I8MM"},
    };
    uint32_t flags = TANDEM_CPU_NEON; /* on every 64-bit Mac with Arm */
    for (size_t i = 0; i < sizeof features / sizeof features[0]; i++) {
        int has = 0;
        size_t len = sizeof has;
        if (sysctlbyname(features[i].name, &has, &len, NULL, 0) == 0 && has) {
            flags |= features[i].flag;
        }
    }
    return flags;
}

#else

static uint32_t detect_flags(void) {
    return TANDEM_CPU_NEON;
}

#endif

static void detect_name(void) {
#ifdef __APPLE__
    size_t len = sizeof detected_name;
    (void)sysctlbyname("machdep.cpu.brand_string", detected_name, &len, NULL, 0);
#else
    (void)snprintf(detected_name, sizeof detected_name, "64-bit Arm processor");
#endif
}

#else

static uint32_t detect_flags(void) {
    return 0;
}
static void detect_name(void) {}

#endif

static void detect(void) {
    detected_flags = detect_flags();
    detect_name();
    const char *wanted = getenv("TANDEM_CPU");
    uint32_t mask = UINT32_MAX;
    if (wanted != NULL && wanted[0] != '\0') {
        if (tandem__cpu_mask_from_name(wanted, &mask))
            atomic_store(&flags_mask, mask);
        else
            tandem__log(TANDEM_LOG_WARN, "TANDEM_CPU=%s is not known and is ignored", wanted);
    }
}

uint32_t tandem__cpu_flags(void) {
    (void)pthread_once(&detect_once, detect);
    return detected_flags & atomic_load(&flags_mask);
}

void tandem__cpu_set_mask(uint32_t mask) {
    (void)pthread_once(&detect_once, detect);
    atomic_store(&flags_mask, mask);
}

const char *tandem__cpu_kernels(void) {
    const uint32_t flags = tandem__cpu_flags();
    if (flags & TANDEM_CPU_AVX512) return "avx512";
    if (flags & TANDEM_CPU_AVX2) return "avx2";
    if (flags & TANDEM_CPU_NEON) return "neon";
    return "c";
}

const char *tandem__cpu_name(void) {
    (void)pthread_once(&detect_once, detect);
    return detected_name;
}

bool tandem__cpu_mask_from_name(const char *name, uint32_t *mask) {
    static const struct {
        const char *name;
        unsigned bit;
    } levels[] = {
#define TANDEM_CPU_LEVEL(level, position, text) {text, position},
        TANDEM_CPU_MAP(TANDEM_CPU_LEVEL)
#undef TANDEM_CPU_LEVEL
    };
    if (strcmp(name, "c") == 0) {
        *mask = 0;
        return true;
    }
    if (strcmp(name, "native") == 0) {
        *mask = UINT32_MAX;
        return true;
    }
    for (size_t i = 0; i < sizeof levels / sizeof levels[0]; i++) {
        if (strcmp(name, levels[i].name) != 0) continue;
        const unsigned base = levels[i].bit & ~15u; /* x86 flags start at 0, Arm's at 16 */
        *mask = ((2u << levels[i].bit) - 1u) & ~((1u << base) - 1u);
        return true;
    }
    return false;
}

#if defined(__linux__)
/* Processors that one line of cpu.max allows: "max 100000" or "150000 100000", quota and period in
 * microseconds; 0 = as many as there are. */
static int quota_of(const char *line) {
    char *end = NULL;
    const long quota = strtol(line, &end, 10);
    if (quota <= 0 || end == line) return 0;
    const long period = strtol(end, NULL, 10);
    return period <= 0 ? 0 : (int)((quota + period - 1) / period);
}
#endif

int tandem__cpu_count(void) {
    int count = 0;
#if defined(__linux__)
    cpu_set_t set;
    CPU_ZERO(&set);
    if (sched_getaffinity(0, sizeof set, &set) == 0) count = CPU_COUNT(&set);
    char line[64];
    for (int level = 0; tandem__cgroup_line(level, "cpu.max", line, sizeof line); level++) {
        const int limit = quota_of(line);
        if (limit > 0 && limit < count) count = limit;
    }
#endif
    if (count <= 0) count = (int)sysconf(_SC_NPROCESSORS_ONLN);
    return count < 1 ? 1 : count;
}

size_t tandem__cpu_l2_bytes(void) {
    const size_t low = (size_t)256 << 10;
    const size_t high = (size_t)2 << 20;
    size_t bytes = 0;
#if defined(__linux__) && defined(_SC_LEVEL2_CACHE_SIZE)
    const long said = sysconf(_SC_LEVEL2_CACHE_SIZE);
    if (said > 0) bytes = (size_t)said;
#elif defined(__APPLE__)
    uint64_t said = 0; /* of the fast cores, shared by a cluster of them */
    size_t len = sizeof said;
    if (sysctlbyname("hw.perflevel0.l2cachesize", &said, &len, NULL, 0) == 0) bytes = (size_t)said;
#endif
    if (bytes == 0) return 2 * low;
    return bytes < low ? low : bytes > high ? high : bytes;
}
