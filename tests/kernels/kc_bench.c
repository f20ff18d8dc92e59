/* SPDX-License-Identifier: Apache-2.0 */
/* kernelcheck --bench: one thread pinned to one processor; each figure the median of many windows
 * of at least a millisecond, with the distance from the 10th to the 90th percentile in percent. The
 * peak is measured in the same run. Shapes come from a file: `M N K` a line, # starts a comment. */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE /* sched_setaffinity */
#endif
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#ifdef __linux__
#include <sched.h>
#endif

#include "base/assert.h"
#include "base/clock.h"
#include "base/cpu.h"
#include "base/mem.h"
#include "kc_peak.h"
#include "kernelcheck.h"

enum { WINDOWS = 31, WINDOW_NS = 2000000, LINE_MAX_BYTES = 256 };

typedef struct subject {
    void (*run)(void *context);
    void *context;
    double operations; /* floating-point operations of one run; 0: none counted */
    double bytes;      /* read and written by one run */
} subject;

typedef struct figure {
    double ns;
    double spread; /* (p90 - p10) / median */
} figure;

static double peak_gflops;
static bool is_json;

static int compare(const void *left, const void *right) {
    const double a = *(const double *)left;
    const double b = *(const double *)right;
    return (a > b) - (a < b);
}

static figure measure(const subject *s) {
    double samples[WINDOWS];
    s->run(s->context);
    for (int i = 0; i < WINDOWS; i++) {
        const uint64_t start = tandem__clock_ns();
        uint64_t now = start;
        int runs = 0;
        while (now - start < WINDOW_NS) {
            s->run(s->context);
            runs++;
            now = tandem__clock_ns();
        }
        samples[i] = (double)(now - start) / runs;
    }
    qsort(samples, WINDOWS, sizeof samples[0], compare);
    const double median = samples[WINDOWS / 2];
    return (figure){median, (samples[WINDOWS * 9 / 10] - samples[WINDOWS / 10]) / median};
}

static void report(const char *name, const char *shape, const subject *s) {
    const figure f = measure(s);
    const double gflops = s->operations / f.ns;
    const double share = peak_gflops > 0.0 ? gflops / peak_gflops : 0.0;
    if (is_json) {
        (void)printf("{\"kernel\":\"%s\",\"shape\":\"%s\",\"ns\":%.1f,\"spread\":%.4f,"
                     "\"gflops\":%.2f,\"peak_share\":%.4f,\"gbytes_per_s\":%.2f}\n",
                     name, shape, f.ns, f.spread, gflops, share, s->bytes / f.ns);
        return;
    }
    (void)printf("%-22s %-18s %11.0f ns  +-%4.1f %%", name, shape, f.ns, f.spread * 50.0);
    if (s->operations > 0.0) (void)printf("  %7.1f GFLOP/s  %5.1f %%", gflops, share * 100.0);
    if (s->operations <= 0.0) (void)printf("  %7.1f GB/s", s->bytes / f.ns);
    (void)printf("\n");
}

static void *take(size_t bytes) {
    void *block = tandem__mem_alloc_aligned(bytes);
    TANDEM_ASSERT(block != NULL);
    memset(block, 0, bytes);
    return block;
}

static float *take_floats(size_t n) {
    float *x = take(n * sizeof(float));
    kc_fill(x, n, KC_NORMAL);
    return x;
}

/* ---- gemm ---- */

typedef struct gemm_case {
    const tandem_kernels *kernels;
    tandem_gemm_args args;
    tandem_gemm_matrix matrix;
    int m;
    float *out[2]; /* taken in turn */
    int turn;
} gemm_case;

static void run_gemm(void *context) {
    gemm_case *g = context;
    g->args.c = g->out[g->turn];
    g->turn = 1 - g->turn;
    const int block = tandem_gemm_row_block(g->matrix.k);
    const int panels = tandem_gemm_panel_count(&g->matrix);
    for (int row = 0; row < g->m; row += block) {
        const int end = row + block < g->m ? row + block : g->m;
        tandem_gemm_run(&g->kernels->gemm, &g->args, row, end, 0, panels);
    }
}

static void bench_gemm(const tandem_kernels *kernels, int m, int n, int k, tandem_dtype dtype) {
    const size_t sm = (size_t)m;
    const size_t sn = (size_t)n;
    const size_t sk = (size_t)k;
    float *a = take_floats(sm * sk);
    float *w = take_floats(sn * sk);
    float *bias = take_floats(sn);
    const size_t packed_bytes = tandem_gemm_packed_bytes(&kernels->gemm, dtype, n, k);
    gemm_case g = {.kernels = kernels, .m = m, .matrix = {NULL, dtype, n, k, kernels->gemm.nr}};
    g.out[0] = take(sm * sn * 4);
    g.out[1] = take(sm * sn * 4);
    g.matrix.panels = take(packed_bytes);
    const bool is_finite = tandem_gemm_pack(&kernels->gemm, &g.matrix, 0, w, TANDEM_DTYPE_F32, n);
    TANDEM_ASSERT(is_finite);
    g.args = (tandem_gemm_args){
        .a = a, .lda = sk, .w = &g.matrix, .bias = bias, .ldc = sn, .act = TANDEM_ACT_NONE};
    char shape[64];
    (void)snprintf(shape, sizeof shape, "%d %d %d", m, n, k);
    const subject s = {run_gemm, &g, 2.0 * m * n * k, 0.0};
    report(dtype == TANDEM_DTYPE_F32 ? "gemm f32" : "gemm f16", shape, &s);
    tandem__mem_free_aligned(a, sm * sk * 4);
    tandem__mem_free_aligned(w, sn * sk * 4);
    tandem__mem_free_aligned(bias, sn * 4);
    tandem__mem_free_aligned(g.out[0], sm * sn * 4);
    tandem__mem_free_aligned(g.out[1], sm * sn * 4);
    tandem__mem_free_aligned(g.matrix.panels, packed_bytes);
}

typedef struct gemm_i8_case {
    const tandem_kernels *kernels;
    tandem_gemm_i8_args args;
    const float *x;
    int m;
    uint8_t *q;
    float *scales;
    int32_t *zeros;
} gemm_i8_case;

/* Finding A's bytes is part of it, though a layer's products may share them. */
static void run_gemm_i8(void *context) {
    const gemm_i8_case *g = context;
    const tandem_gemm_i8_kernels *gemm = &g->kernels->gemm_i8;
    const int k = g->args.w->k;
    tandem_gemm_i8_quantize(gemm, g->x, (size_t)k, k, 0, g->m, g->q, g->scales, g->zeros);
    tandem_gemm_i8_run(gemm, &g->args, 0, g->m, 0, tandem_gemm_i8_panel_count(g->args.w));
}

static void bench_gemm_i8(const tandem_kernels *kernels, int m, int n, int k) {
    const size_t sm = (size_t)m;
    const size_t sn = (size_t)n;
    const size_t sk = (size_t)k;
    float *x = take_floats(sm * sk);
    float *w = take_floats(sn * sk);
    float *bias = take_floats(sn);
    float *c = take(sm * sn * 4);
    const size_t packed_bytes = tandem_gemm_i8_packed_bytes(&kernels->gemm_i8, n, k);
    const size_t q_bytes = sm * (size_t)tandem_gemm_i8_depth(k);
    tandem_gemm_i8_matrix matrix = {take(packed_bytes), n, k, kernels->gemm_i8.nr,
                                    kernels->gemm_i8.group};
    const bool is_finite = tandem_gemm_i8_pack(&matrix, 0, w, TANDEM_DTYPE_F32, n);
    TANDEM_ASSERT(is_finite);
    gemm_i8_case g = {.kernels = kernels, .x = x, .m = m, .q = take(q_bytes)};
    g.scales = take(sm * 4);
    g.zeros = take(sm * 4);
    g.args = (tandem_gemm_i8_args){.q = g.q,
                                   .scales = g.scales,
                                   .zeros = g.zeros,
                                   .w = &matrix,
                                   .bias = bias,
                                   .c = c,
                                   .ldc = sn,
                                   .act = TANDEM_ACT_NONE};
    char shape[64];
    (void)snprintf(shape, sizeof shape, "%d %d %d", m, n, k);
    const subject s = {run_gemm_i8, &g, 2.0 * m * n * k, 0.0};
    report("gemm i8", shape, &s);
    tandem__mem_free_aligned(x, sm * sk * 4);
    tandem__mem_free_aligned(w, sn * sk * 4);
    tandem__mem_free_aligned(bias, sn * 4);
    tandem__mem_free_aligned(c, sm * sn * 4);
    tandem__mem_free_aligned(g.q, q_bytes);
    tandem__mem_free_aligned(g.scales, sm * 4);
    tandem__mem_free_aligned(g.zeros, sm * 4);
    tandem__mem_free_aligned(matrix.panels, packed_bytes);
}

static void bench_shapes(const tandem_kernels *kernels, const char *path) {
    FILE *file = fopen(path, "r");
    if (file == NULL) {
        (void)fprintf(stderr, "kernelcheck: %s cannot be read\n", path);
        return;
    }
    char line[LINE_MAX_BYTES];
    while (fgets(line, sizeof line, file) != NULL) {
        char *end = line;
        const long m = strtol(end, &end, 10);
        const long n = strtol(end, &end, 10);
        const long k = strtol(end, &end, 10);
        if (line[0] == '#' || m <= 0 || n <= 0 || k <= 0) continue;
        bench_gemm(kernels, (int)m, (int)n, (int)k, TANDEM_DTYPE_F32);
        bench_gemm(kernels, (int)m, (int)n, (int)k, TANDEM_DTYPE_F16);
        bench_gemm_i8(kernels, (int)m, (int)n, (int)k);
    }
    (void)fclose(file);
}

/* ---- the others ---- */

typedef struct attention_case {
    const tandem_kernels *kernels;
    tandem_attention_args args;
    float *scratch;
} attention_case;

static void run_attention(void *context) {
    attention_case *c = context;
    c->kernels->attention.run(&c->args, 0, c->args.tokens, c->scratch);
}

static void bench_attention(const tandem_kernels *kernels, int tokens, int dims) {
    const size_t heads = 12;
    const size_t hidden = heads * (size_t)dims;
    const size_t floats = (size_t)tokens * 3 * hidden;
    const size_t scratch_bytes = tandem_attention_scratch_bytes(tokens, dims);
    float *fused = take_floats(floats);
    float *out = take((size_t)tokens * hidden * 4);
    attention_case c = {.kernels = kernels, .scratch = take(scratch_bytes)};
    c.args = (tandem_attention_args){.q = fused,
                                     .k = fused + hidden,
                                     .v = fused + 2 * hidden,
                                     .stride = 3 * hidden,
                                     .context = out,
                                     .context_stride = hidden,
                                     .scale = 1.0f / sqrtf((float)dims),
                                     .tokens = tokens,
                                     .head_dim = dims};
    char shape[64];
    (void)snprintf(shape, sizeof shape, "L %d D %d", tokens, dims);
    const subject s = {run_attention, &c, 4.0 * tokens * tokens * dims, 0.0};
    report("attention, a head", shape, &s);
    tandem__mem_free_aligned(fused, floats * 4);
    tandem__mem_free_aligned(out, (size_t)tokens * hidden * 4);
    tandem__mem_free_aligned(c.scratch, scratch_bytes);
}

typedef struct rows_case {
    const tandem_kernels *kernels;
    tandem_norm_args norm;
    int rows;
    tandem_act act;
    float *x;
    size_t n;
} rows_case;

static void run_norm(void *context) {
    rows_case *c = context;
    c->kernels->norm.layernorm(&c->norm, 0, c->rows);
}

static void run_activation(void *context) {
    rows_case *c = context;
    memcpy(c->x, c->x + c->n, c->n * sizeof(float)); /* applied again and again, all would be 0 */
    c->kernels->activation.apply[c->act](c->x, c->n);
}

static void run_widen(void *context) {
    rows_case *c = context;
    c->kernels->convert.f16_f32(c->x + c->n, c->x, c->n);
}

static void run_narrow(void *context) {
    rows_case *c = context;
    c->kernels->convert.f32_f16(c->x + c->n, c->x, c->n);
}

static void bench_rows(const tandem_kernels *kernels) {
    enum { ROWS = 128, HIDDEN = 384 };
    const size_t n = (size_t)ROWS * HIDDEN;
    float *x = take_floats(2 * n);
    float *gamma = take_floats(HIDDEN);
    rows_case c = {.kernels = kernels, .rows = ROWS, .x = x, .n = n};
    c.norm = (tandem_norm_args){x, HIDDEN, x + n, HIDDEN, gamma, gamma, 1e-12f, HIDDEN};
    const subject norm = {run_norm, &c, 0.0, 8.0 * (double)n};
    report("layernorm", "128 384", &norm);
    static const char *const names[] = {"copy alone", "copy, gelu_erf", "copy, gelu_tanh",
                                        "copy, silu", "copy, relu",     "copy, tanh"};
    for (int act = 0; act < TANDEM_ACT_COUNT; act++) {
        c.act = (tandem_act)act;
        kc_fill(x + n, n, KC_NORMAL);
        const subject s = {run_activation, &c, 0.0, 8.0 * (double)n};
        report(names[act], "49152", &s);
    }
    const subject widen = {run_widen, &c, 0.0, 6.0 * (double)n};
    const subject narrow = {run_narrow, &c, 0.0, 6.0 * (double)n};
    report("f16 to f32", "49152", &widen);
    report("f32 to f16", "49152", &narrow);
    tandem__mem_free_aligned(x, 2 * n * 4);
    tandem__mem_free_aligned(gamma, HIDDEN * 4);
}

/* The operations of some rounds, 0 where the level has no vectors. */
static double peak_rounds(uint32_t flags) {
    enum { ROUNDS = 400000 };
#if TANDEM_ARCH_X86
    if ((flags & TANDEM_CPU_AVX512) != 0) return kc_peak_avx512(ROUNDS);
    if ((flags & TANDEM_CPU_AVX2) != 0) return kc_peak_avx2(ROUNDS);
#endif
#if TANDEM_ARCH_ARM64
    if ((flags & TANDEM_CPU_NEON) != 0) return kc_peak_neon(ROUNDS);
#endif
    (void)flags;
    return 0.0;
}

static double measure_peak(uint32_t flags) {
    double best = 0.0;
    for (int i = 0; i < 9; i++) {
        const uint64_t start = tandem__clock_ns();
        const double operations = peak_rounds(flags);
        best = fmax(best, operations / (double)(tandem__clock_ns() - start));
    }
    return best;
}

static void pin_thread(void) {
#ifdef __linux__
    cpu_set_t set;
    CPU_ZERO(&set);
    CPU_SET((size_t)sched_getcpu(), &set);
    (void)sched_setaffinity(0, sizeof set, &set);
#endif
}

void kc_bench(const tandem_kernels *kernels, const kc_bench_options *options) {
    is_json = options->is_json;
    pin_thread();
    peak_gflops = measure_peak(kernels->cpu_flags);
    if (!is_json) (void)printf("peak %.1f GFLOP/s, one thread\n", peak_gflops);
    const char *path = options->shapes_path;
    bench_shapes(kernels, path == NULL ? "bench/shapes/minilm-l6.txt" : path);
    if (kc_is_selected("attention")) {
        static const int lengths[] = {5, 14, 16, 32, 64, 128, 256, 512};
        for (size_t i = 0; i < sizeof lengths / sizeof lengths[0]; i++) {
            bench_attention(kernels, lengths[i], 32);
            bench_attention(kernels, lengths[i], 64);
        }
    }
    bench_rows(kernels);
}
