/* SPDX-License-Identifier: Apache-2.0 */
/* gemm against double precision. What is allowed: the sum in f32, (K + 2) 2^-24 sum |a||w|, and a
 * few steps of f32 for what follows; then the one rounding to f16, which case_check adds. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "apple/msl/metal_cases.h"
#include "model/plan.h"

static const char *const gemms[] = {"gemm_16x32", "gemm_32x32", "gemm_64x64"};
enum { GEMMS = 3 };

typedef struct gemm_case {
    int m, n, k;
    int lda_more, ldc_more; /* beyond k and n */
    int has_bias;
    int activation;
    int other;
    int is_in_place; /* other is c */
    float low, high; /* of a's and w's elements */
} gemm_case;

static double activated(int activation, double x) {
    switch (activation) {
    case TANDEM_ACTIVATION_GELU_ERF:
        return 0.5 * x * (1.0 + erf(x / sqrt(2.0)));
    case TANDEM_ACTIVATION_GELU_TANH:
        return 0.5 * x *
               (1.0 + tanh(sqrt(2.0 / 3.14159265358979323846) * (x + 0.044715 * x * x * x)));
    case TANDEM_ACTIVATION_SILU:
        return x / (1.0 + exp(-x));
    case TANDEM_ACTIVATION_RELU:
        return x > 0.0 ? x : 0.0;
    case TANDEM_ACTIVATION_TANH:
        return tanh(x);
    default:
        return x;
    }
}

typedef struct gemm_data {
    float *a;
    float *w;
    float *bias;
    float *other;
    double *values;
    double *allowed;
} gemm_data;

static void expect(const gemm_case *at, const gemm_data *data) {
    const int lda = at->k + at->lda_more;
    const int ldc = at->n + at->ldc_more;
    for (int i = 0; i < at->m; i++) {
        for (int j = 0; j < at->n; j++) {
            double sum = 0.0;
            double size = 0.0;
            for (int l = 0; l < at->k; l++) {
                const double product =
                    (double)data->a[i * lda + l] * (double)data->w[j * at->k + l];
                sum += product;
                size += fabs(product);
            }
            double allowed = (at->k + 2) * CASE_F32_ULP * size;
            if (at->has_bias) sum += (double)data->bias[j];
            allowed += 2.0 * CASE_F32_ULP * fabs(sum);
            const double y = activated(at->activation, sum);
            /* No activation is steeper than 1.13; their own error is said in the kernel. */
            allowed = 1.13 * allowed + (at->activation == 0 ? 0.0 : 4e-7 * (fabs(sum) + 1.0));
            const double other = (double)data->other[i * ldc + j];
            double value = y;
            if (at->other == METAL_OTHER_ADD) value = y + other;
            if (at->other == METAL_OTHER_MULTIPLY) {
                value = y * other;
                allowed *= fabs(other);
            }
            data->values[i * at->n + j] = value;
            data->allowed[i * at->n + j] = allowed + 2.0 * CASE_F32_ULP * fabs(value);
        }
    }
}

typedef void gemm_check(msl_dispatch *, const case_expectation *, const char *);

static void run_gemm(const char *kernel, const gemm_case *at, gemm_check *check) {
    const int lda = at->k + at->lda_more;
    const int ldc = at->n + at->ldc_more;
    const size_t c_count = (size_t)(at->m * ldc);
    int tile_m;
    int tile_n;
    case_tile(kernel, &tile_m, &tile_n);
    msl_dispatch dispatch = {.kernel = kernel,
                             .groups = {case_groups(at->n, tile_n), case_groups(at->m, tile_m), 1}};
    msl_buffer *buffers = dispatch.buffers;
    const gemm_data data = {
        .a = case_halves(&buffers[0], (size_t)(at->m * lda), at->low, at->high),
        .w = case_halves(&buffers[1], (size_t)(at->n * at->k), at->low, at->high),
        .bias = case_floats(&buffers[2], (size_t)at->n, -1.0f, 1.0f),
        .other = case_halves(&buffers[3], c_count, -2.0f, 2.0f),
        .values = case_memory(sizeof(double) * (size_t)(at->m * at->n)),
        .allowed = case_memory(sizeof(double) * (size_t)(at->m * at->n))};
    if (at->is_in_place)
        buffers[4] = buffers[3];
    else
        case_output(&buffers[4], c_count * 2);
    const struct metal_gemm_args args = {.m = at->m,
                                         .n = at->n,
                                         .k = at->k,
                                         .lda = lda,
                                         .ldc = ldc,
                                         .ld_other = ldc,
                                         .has_bias = at->has_bias,
                                         .activation = at->activation,
                                         .other = at->other};
    case_args(&buffers[5], &args, sizeof args);
    expect(at, &data);
    const case_expectation expected = {.buffer = 4,
                                       .is_half = true,
                                       .rows = (size_t)at->m,
                                       .cols = (size_t)at->n,
                                       .stride = (size_t)ldc,
                                       .values = data.values,
                                       .allowed = data.allowed};
    char what[120];
    (void)snprintf(what, sizeof what, "m %d n %d k %d activation %d other %d%s", at->m, at->n,
                   at->k, at->activation, at->other, at->is_in_place ? " in place" : "");
    check(&dispatch, &expected, what);
    case_end();
}

/* Every edge: below, at and beyond a tile in each direction, and depths that end within a step. */
void test_gemm_shapes(void **state) {
    (void)state;
    for (int g = 0; g < GEMMS; g++) {
        int m;
        int n;
        case_tile(gemms[g], &m, &n);
        const gemm_case cases[] = {
            {.m = 1, .n = 1, .k = 8},
            {.m = 1, .n = n, .k = 16, .lda_more = 8},
            {.m = m, .n = n, .k = 64},
            {.m = m - 1, .n = n - 1, .k = 72, .ldc_more = 3},
            {.m = m + 1, .n = n + 1, .k = 40, .lda_more = 4, .ldc_more = 1},
            {.m = 2 * m + 3, .n = 3, .k = 24},
            {.m = 5, .n = 2 * n + 7, .k = 8},
        };
        for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
            gemm_case at = cases[i];
            at.low = -1.0f;
            at.high = 1.0f;
            at.has_bias = i % 2 == 1;
            run_gemm(gemms[g], &at, case_check);
        }
    }
}

/* Every activation with every use of `other`; values from far below to far above 0. */
void test_gemm_epilogues(void **state) {
    (void)state;
    for (int activation = 0; activation <= TANDEM_ACTIVATION_TANH; activation++) {
        for (int other = METAL_OTHER_NONE; other <= METAL_OTHER_MULTIPLY; other++) {
            gemm_case at = {.m = 9, .n = 21, .k = 24, .has_bias = 1, .activation = activation};
            at.other = other;
            at.is_in_place = other != METAL_OTHER_NONE && activation % 2 == 0;
            at.ldc_more = other;
            at.low = -2.0f;
            at.high = 2.0f;
            run_gemm(gemms[(activation + other) % GEMMS], &at, case_check);
        }
        /* Sums to some -100 and +100, where an exponential that is not held back overflows. */
        gemm_case steep = {.m = 16, .n = 32, .k = 8, .activation = activation};
        steep.low = -6.0f;
        steep.high = 6.0f;
        run_gemm(gemms[activation % GEMMS], &steep, case_check);
        /* Near 0, where 1 - e cancels. */
        gemm_case small = {.m = 16, .n = 32, .k = 8, .activation = activation};
        small.low = -0.05f;
        small.high = 0.08f;
        run_gemm(gemms[(activation + 1) % GEMMS], &small, case_check);
    }
}

/* All terms positive: sums in f16 would be off by many of its steps. */
void test_gemm_depth(void **state) {
    (void)state;
    for (int g = 0; g < GEMMS; g++) {
        const gemm_case at = {.m = 16, .n = 16, .k = 1536, .low = 0.1f, .high = 0.4f};
        run_gemm(gemms[g], &at, case_check);
    }
}

/* The same bits by every kernel, for all rows or a few of them. */
void test_gemm_same_bits(void **state) {
    (void)state;
    enum { M = 37, N = 40, K = 136 };
    for (int build = MSL_CHECKED; build <= MSL_FAST_MATH; build++) {
        uint16_t *first = NULL;
        for (int g = 0; g < 2 * GEMMS; g++) {
            const int m = g < GEMMS ? M : 5;
            int tile_m;
            int tile_n;
            msl_report report;
            case_tile(gemms[g % GEMMS], &tile_m, &tile_n);
            msl_dispatch dispatch = {.kernel = gemms[g % GEMMS],
                                     .groups = {case_groups(N, tile_n), case_groups(m, tile_m), 1},
                                     .threads = {METAL_THREADS, 1, 1}};
            case_restart();
            (void)case_halves(&dispatch.buffers[0], M * K, -1.0f, 1.0f);
            (void)case_halves(&dispatch.buffers[1], N * K, -1.0f, 1.0f);
            (void)case_floats(&dispatch.buffers[2], N, -1.0f, 1.0f);
            dispatch.buffers[3] = dispatch.buffers[0];
            case_output(&dispatch.buffers[4], M * N * 2);
            const struct metal_gemm_args args = {
                .m = m, .n = N, .k = K, .lda = K, .ldc = N, .has_bias = 1, .activation = 1};
            case_args(&dispatch.buffers[5], &args, sizeof args);
            assert_true(msl_run((msl_build)build, &dispatch, &report));
            if (first == NULL) first = dispatch.buffers[4].data;
            assert_memory_equal(dispatch.buffers[4].data, first, (size_t)(m * N) * 2);
        }
        case_end();
    }
}

void test_gemm_real(void **state) {
    (void)state;
    const gemm_case cases[] = {
        {.m = 128, .n = 1152, .k = 384, .has_bias = 1},
        {.m = 77, .n = 1536, .k = 384, .has_bias = 1, .activation = TANDEM_ACTIVATION_GELU_ERF},
        {.m = 77, .n = 384, .k = 1536, .has_bias = 1, .other = METAL_OTHER_ADD},
        {.m = 13, .n = 768, .k = 3072, .has_bias = 1, .other = METAL_OTHER_ADD, .is_in_place = 1},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        gemm_case at = cases[i];
        at.low = -0.5f;
        at.high = 0.5f;
        run_gemm(gemms[i % GEMMS], &at, case_check_fast);
    }
}

void test_gemm_random(void **state) {
    (void)state;
    for (uint32_t i = 0; i < 60; i++) {
        const gemm_case at = {.m = 1 + case_random(i, 0, 90),
                              .n = 1 + case_random(i, 1, 140),
                              .k = 8 * (1 + case_random(i, 2, 20)),
                              .lda_more = 4 * case_random(i, 3, 3),
                              .ldc_more = case_random(i, 4, 5),
                              .has_bias = case_random(i, 5, 2),
                              .activation = case_random(i, 6, TANDEM_ACTIVATION_TANH + 1),
                              .other = case_random(i, 7, METAL_OTHER_MULTIPLY + 1),
                              .low = -1.0f,
                              .high = 1.0f};
        run_gemm(gemms[i % GEMMS], &at, case_check);
    }
}
