/* SPDX-License-Identifier: Apache-2.0 */
/* Command line, ladder of processor levels, and the ledger of failures. See kernelcheck.h.
 *
 *     kernelcheck [--op PART] [--list] [--cpu LEVEL] [--repeat N] [--bench [--json] [--shapes
 * FILE]] [SEED] */
#include "kernelcheck.h"

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/cpu.h"

enum { KERNELS_MAX = 256, PRINTED_MAX = 4 };

static struct {
    const char *filter;
    uint64_t random_state;
    uint32_t flags;
    uint32_t flags_below;
    const char *level;
    const char *kernel; /* under test, for messages and signals */
    const char *checked[KERNELS_MAX];
    int checked_count;
    int kernel_failures;
    int failed_kernels;
    long comparisons;
} state;

static sigjmp_buf signal_return;
static volatile sig_atomic_t signal_number;

uint32_t kc_random(void) { /* xorshift64*, Vigna 2014 */
    uint64_t x = state.random_state;
    x ^= x >> 12;
    x ^= x << 25;
    x ^= x >> 27;
    state.random_state = x;
    return (uint32_t)((x * 0x2545f4914f6cdd1dull) >> 32);
}

int kc_random_int(int below) {
    return (int)(((uint64_t)kc_random() * (uint64_t)below) >> 32);
}

uint64_t kc_reseed(uint64_t random_state) {
    const uint64_t before = state.random_state;
    state.random_state = random_state;
    return before;
}

uint32_t kc_flags_below(void) {
    return state.flags_below;
}

bool kc_has_level_below(void) {
    return (state.flags_below & (TANDEM_CPU_AVX2 | TANDEM_CPU_NEON)) != 0;
}

void kc_count(void) {
    state.comparisons++;
}

bool kc_is_selected(const char *name) {
    return state.filter == NULL || strstr(name, state.filter) != NULL;
}

bool kc_begin(const char *name, uint32_t flags) {
    if ((flags & ~state.flags) != 0 || !kc_is_selected(name)) return false;
    for (int i = 0; i < state.checked_count; i++) {
        if (strcmp(state.checked[i], name) == 0) return false;
    }
    if (state.checked_count < KERNELS_MAX) state.checked[state.checked_count++] = name;
    state.kernel = name;
    state.kernel_failures = 0;
    return true;
}

void kc_fail(const char *format, ...) {
    if (state.kernel_failures == 0) state.failed_kernels++;
    state.kernel_failures++;
    if (state.kernel_failures > PRINTED_MAX) return;
    va_list args;
    va_start(args, format);
    (void)printf("  FAIL %s (%s): ", state.kernel, state.level);
    (void)vprintf(format, args);
    (void)printf("\n");
    va_end(args);
}

void kc_list_kernel(const char *name, uint32_t flags) {
    if (!kc_is_selected(name)) return;
    const bool is_here = (flags & ~tandem__cpu_flags()) == 0;
    (void)printf("%s%s\n", name, is_here ? "" : "  (not on this processor)");
}

static void on_signal(int number) {
    signal_number = number;
    siglongjmp(signal_return, 1);
}

static void catch_signals(void) {
    static const int numbers[] = {SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGABRT};
    struct sigaction action;
    memset(&action, 0, sizeof action);
    action.sa_handler = on_signal;
    action.sa_flags = SA_NODEFER;
    for (size_t i = 0; i < sizeof numbers / sizeof numbers[0]; i++) {
        (void)sigaction(numbers[i], &action, NULL);
    }
}

typedef struct op {
    const char *name;
    void (*check)(const tandem_kernels *kernels);
} op;

/* A kernel that dies takes the rest of its op at this level with it, not the run: the op starts
 * over and skips what was begun. */
static void run_op(const op *subject, const tandem_kernels *kernels) {
    static volatile int deaths;
    deaths = 0;
    state.kernel = subject->name;
    state.kernel_failures = 0;
    if (sigsetjmp(signal_return, 1) != 0) {
        kc_fail("signal %d (%s)", (int)signal_number, strsignal((int)signal_number));
        if (++deaths > 8) return;
    }
    subject->check(kernels);
}

static void check_level(const tandem_kernels *kernels) {
    static const op ops[] = {
        {"convert", kc_check_convert}, {"activation", kc_check_activation},
        {"norm", kc_check_norm},       {"gemm", kc_check_gemm},
        {"gemm_i8", kc_check_gemm_i8}, {"attention", kc_check_attention},
        {"embed", kc_check_embed},     {"pool", kc_check_pool},
        {"digest", kc_check_digest},
    };
    for (size_t i = 0; i < sizeof ops / sizeof ops[0]; i++) run_op(&ops[i], kernels);
}

/* Levels of this processor's ladder that it has, from c up, each including those below. A level
 * that brings no kernel has the table of the one below, which has been checked. */
static void climb(void) {
    static const struct {
        const char *name;
        uint32_t flag;
    } levels[] = {{"c", 0},
#define LEVEL(name, bit, text) {text, TANDEM_CPU_##name},
                  TANDEM_CPU_MAP(LEVEL)
#undef LEVEL
    };
    const uint32_t available = tandem__cpu_flags();
    tandem_kernels below;
    memset(&below, 0, sizeof below);
    state.flags = 0;
    state.flags_below = 0;
    for (size_t i = 0; i < sizeof levels / sizeof levels[0]; i++) {
        if ((levels[i].flag & ~available) != 0) continue;
        state.flags_below = state.flags;
        state.flags |= levels[i].flag;
        state.level = levels[i].name;
        const int before = state.checked_count;
        tandem_kernels kernels;
        memset(&kernels, 0, sizeof kernels);
        tandem_kernels_fill(&kernels, state.flags);
        below.cpu_flags = state.flags;
        if (memcmp(&kernels, &below, sizeof below) != 0) check_level(&kernels);
        below = kernels;
        (void)printf("%-12s %d kernels\n", levels[i].name, state.checked_count - before);
    }
}

static void list_kernels(void) {
    kc_list_convert();
    kc_list_activation();
    kc_list_norm();
    kc_list_gemm();
    kc_list_gemm_i8();
    kc_list_attention();
    kc_list_embed();
}

typedef struct options {
    bool is_list;
    bool is_bench;
    int repeat;
    uint64_t seed;
    const char *cpu;
    kc_bench_options bench;
} options;

static bool parse_options(int argc, char **argv, options *chosen) {
    for (int i = 1; i < argc; i++) {
        const char *word = argv[i];
        const char *value = i + 1 < argc ? argv[i + 1] : NULL;
        if (strcmp(word, "--list") == 0) {
            chosen->is_list = true;
        } else if (strcmp(word, "--bench") == 0) {
            chosen->is_bench = true;
        } else if (strcmp(word, "--json") == 0) {
            chosen->bench.is_json = true;
        } else if (word[0] != '-') {
            chosen->seed = strtoull(word, NULL, 0);
        } else if (value == NULL) {
            return false;
        } else {
            i++;
            if (strcmp(word, "--op") == 0)
                state.filter = value;
            else if (strcmp(word, "--cpu") == 0)
                chosen->cpu = value;
            else if (strcmp(word, "--shapes") == 0)
                chosen->bench.shapes_path = value;
            else if (strcmp(word, "--repeat") == 0)
                chosen->repeat = (int)strtol(value, NULL, 10);
            else
                return false;
        }
    }
    return true;
}

/* Says what was asked for and is not here, so that a pass is not taken for more than it is. */
static bool set_level(const char *cpu) {
    uint32_t mask = UINT32_MAX;
    if (cpu == NULL) cpu = getenv("TANDEM_CPU");
    if (cpu == NULL || cpu[0] == '\0') return true;
    if (!tandem__cpu_mask_from_name(cpu, &mask)) {
        (void)fprintf(stderr, "kernelcheck: --cpu %s is none of c, avx2, avx512, ...\n", cpu);
        return false;
    }
    tandem__cpu_set_mask(mask);
    if (mask == UINT32_MAX) return true;
    const uint32_t top = mask & ~(mask >> 1); /* the level's own flag */
    if ((top & ~tandem__cpu_flags()) != 0) {
        (void)printf("%s: this processor lacks it; only the levels below are checked\n", cpu);
    }
    return true;
}

int main(int argc, char **argv) {
    options chosen = {.repeat = 1, .seed = (uint64_t)time(NULL)};
    if (!parse_options(argc, argv, &chosen)) {
        (void)fprintf(stderr, "usage: kernelcheck [--op PART] [--list] [--cpu LEVEL] [--repeat N] "
                              "[--bench [--json] [--shapes FILE]] [SEED]\n");
        return 2;
    }
    if (!set_level(chosen.cpu)) return 2;
    if (chosen.is_list) {
        list_kernels();
        return 0;
    }
    (void)setvbuf(stdout, NULL, _IOLBF, 0);
    if (!chosen.bench.is_json) {
        (void)printf("%s, seed %llu\n", tandem__cpu_name(), (unsigned long long)chosen.seed);
    }
    catch_signals();
    state.random_state = chosen.seed * 0x9e3779b97f4a7c15ull | 1u;
    const int repeat = chosen.bench.is_json ? 0 : chosen.repeat;
    for (int i = 0; i < repeat; i++) {
        state.checked_count = 0;
        climb();
    }
    if (repeat > 0) {
        (void)printf("%ld comparisons, %d kernels failed\n", state.comparisons,
                     state.failed_kernels);
    }
    if (state.failed_kernels != 0) return 1;
    if (chosen.is_bench) kc_bench(tandem_kernels_get(), &chosen.bench);
    return 0;
}
