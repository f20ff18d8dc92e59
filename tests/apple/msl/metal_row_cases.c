/* SPDX-License-Identifier: Apache-2.0 */
/* embed, norm, rope and pool against double precision. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "apple/msl/metal_cases.h"

enum { TABLE_ROWS = 11 };

static void make_expectation(case_expectation *to, int buffer, size_t rows, size_t cols) {
    *to = (case_expectation){.buffer = buffer, .rows = rows, .cols = cols, .stride = cols};
    to->values = case_memory(rows * cols * sizeof(double));
    to->allowed = case_memory(rows * cols * sizeof(double));
}

/* values and allowed are this file's to fill. */
static double *values_of(const case_expectation *expected) {
    return (double *)(uintptr_t)expected->values;
}

static double *allowed_of(const case_expectation *expected) {
    return (double *)(uintptr_t)expected->allowed;
}

/* x [width] to its LayerNorm. Allowed: the mean and the variance are sums in f32 over `width`,
 * which shift and scale a row whose elements are up to `largest`. */
static void expect_norm(double *x, double *allowed, int width, const float *gamma,
                        const float *beta, float eps) {
    double mean = 0.0;
    double largest = 0.0;
    for (int i = 0; i < width; i++) {
        mean += x[i] / width;
        largest = fmax(largest, fabs(x[i]));
    }
    double variance = 0.0;
    for (int i = 0; i < width; i++) variance += (x[i] - mean) * (x[i] - mean) / width;
    const double scale = 1.0 / sqrt(variance + (double)eps);
    for (int i = 0; i < width; i++) {
        const double unit = (x[i] - mean) * scale;
        const double shift = (width / 32.0 + 8.0) * CASE_F32_ULP * largest * scale;
        allowed[i] = fabs((double)gamma[i]) *
                     (shift + fabs(unit) * ((width / 32.0 + 8.0) * CASE_F32_ULP + 2.0 * shift));
        x[i] = unit * (double)gamma[i] + (beta == NULL ? 0.0 : (double)beta[i]);
        allowed[i] += 4.0 * CASE_F32_ULP * fabs(x[i]);
    }
}

typedef struct embed_case {
    int tokens;
    int width;
    int has_position;
    int has_type;
    int has_norm;
    int has_beta;
} embed_case;

static void run_embed(const embed_case *at) {
    const size_t table = (size_t)(TABLE_ROWS * at->width);
    const size_t tokens = (size_t)at->tokens;
    const size_t width = (size_t)at->width;
    msl_dispatch dispatch = {.kernel = "embed", .groups = {(uint32_t)at->tokens, 1, 1}};
    msl_buffer *buffers = dispatch.buffers;
    const float *word = case_halves(&buffers[0], table, -2.0f, 2.0f);
    const float *position = case_halves(&buffers[1], table, -1.0f, 1.0f);
    const float *type = case_halves(&buffers[2], table, 0.0f, 1.0f);
    const int32_t *ids = case_ints(&buffers[3], tokens, TABLE_ROWS);
    const int32_t *positions = case_ints(&buffers[4], tokens, TABLE_ROWS);
    const int32_t *types = case_ints(&buffers[5], tokens, TABLE_ROWS);
    const float *gamma = case_floats(&buffers[6], width, 0.5f, 1.5f);
    const float *beta = case_floats(&buffers[7], width, -1.0f, 1.0f);
    case_output(&buffers[8], tokens * width * 2);
    const struct metal_embed_args args = {.width = at->width,
                                          .has_position = at->has_position,
                                          .has_type = at->has_type,
                                          .has_norm = at->has_norm,
                                          .has_beta = at->has_beta,
                                          .eps = 1e-5f};
    case_args(&buffers[9], &args, sizeof args);
    case_expectation expected;
    make_expectation(&expected, 8, tokens, width);
    expected.is_half = true;
    for (size_t t = 0; t < tokens; t++) {
        double *x = values_of(&expected) + t * width;
        for (size_t i = 0; i < width; i++) {
            x[i] = (double)word[(size_t)ids[t] * width + i];
            if (at->has_position) x[i] += (double)position[(size_t)positions[t] * width + i];
            if (at->has_type) x[i] += (double)type[(size_t)types[t] * width + i];
        }
        if (at->has_norm) {
            expect_norm(x, allowed_of(&expected) + t * width, at->width, gamma,
                        at->has_beta ? beta : NULL, args.eps);
        }
    }
    char what[120];
    (void)snprintf(what, sizeof what, "%d x %d position %d type %d norm %d beta %d", at->tokens,
                   at->width, at->has_position, at->has_type, at->has_norm, at->has_beta);
    case_check(&dispatch, &expected, what);
    case_end();
}

void test_embed(void **state) {
    (void)state;
    const embed_case cases[] = {
        {3, 384, 1, 1, 1, 1}, {1, 768, 1, 1, 1, 0},  {2, 8, 1, 0, 1, 1}, {2, 516, 0, 1, 1, 1},
        {5, 132, 0, 0, 0, 0}, {2, 1024, 1, 0, 0, 1}, {1, 4, 0, 0, 1, 0}, {2, 1540, 1, 1, 0, 0},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) run_embed(&cases[i]);
}

static void run_norm(int rows, int width, float low, float high, float eps, bool has_beta,
                     bool is_in_place) {
    const size_t count = (size_t)(rows * width);
    msl_dispatch dispatch = {.kernel = "norm",
                             .groups = {case_groups(rows, METAL_NORM_ROWS), 1, 1}};
    msl_buffer *buffers = dispatch.buffers;
    const float *x = case_halves(&buffers[0], count, low, high);
    const float *gamma = case_floats(&buffers[1], (size_t)width, 0.5f, 1.5f);
    const float *beta = case_floats(&buffers[2], (size_t)width, -1.0f, 1.0f);
    if (is_in_place)
        buffers[3] = buffers[0];
    else
        case_output(&buffers[3], count * 2);
    const struct metal_norm_args args = {
        .rows = rows, .width = width, .has_beta = has_beta, .eps = eps};
    case_args(&buffers[4], &args, sizeof args);
    case_expectation expected;
    make_expectation(&expected, 3, (size_t)rows, (size_t)width);
    expected.is_half = true;
    double *values = values_of(&expected);
    for (size_t i = 0; i < count; i++) values[i] = (double)x[i];
    for (int row = 0; row < rows; row++) {
        expect_norm(values + row * width, allowed_of(&expected) + row * width, width, gamma,
                    has_beta ? beta : NULL, eps);
    }
    char what[120];
    (void)snprintf(what, sizeof what, "%d x %d from %g to %g%s", rows, width, (double)low,
                   (double)high, is_in_place ? " in place" : "");
    case_check(&dispatch, &expected, what);
    case_end();
}

void test_norm(void **state) {
    (void)state;
    run_norm(1, 4, -1.0f, 1.0f, 1e-12f, true, false);
    run_norm(4, 384, -3.0f, 3.0f, 1e-12f, true, true);
    run_norm(9, 132, -1.0f, 1.0f, 1e-5f, false, false);
    run_norm(6, 1024, -0.01f, 0.01f, 1e-5f, true, true);
    /* A large mean: the difference of two large squares would be off by more than the variance. */
    run_norm(3, 256, 200.0f, 202.0f, 1e-5f, true, false);
    run_norm(2, 64, 0.0f, 0.0f, 1e-5f, true, false);
}

static void run_rope(int tokens, int heads, int head_dim) {
    enum { POSITIONS = 7 };
    const int inner = heads * head_dim;
    const int pairs = head_dim / 2;
    msl_dispatch dispatch = {.kernel = "rope",
                             .groups = {case_groups(inner, METAL_THREADS), (uint32_t)tokens, 1}};
    msl_buffer *buffers = dispatch.buffers;
    const float *qkv = case_halves(&buffers[0], (size_t)(tokens * 3 * inner), -2.0f, 2.0f);
    const float *angles = case_floats(&buffers[1], (size_t)(POSITIONS * pairs * 2), -1.0f, 1.0f);
    const int32_t *positions = case_ints(&buffers[2], (size_t)tokens, POSITIONS);
    const struct metal_rope_args args = {.heads = heads, .head_dim = head_dim, .stride = 3 * inner};
    case_args(&buffers[3], &args, sizeof args);
    case_expectation expected;
    make_expectation(&expected, 0, (size_t)tokens, (size_t)(2 * inner));
    expected.is_half = true;
    expected.stride = (size_t)(3 * inner);
    for (int t = 0; t < tokens; t++) {
        for (int i = 0; i < 2 * inner; i++) {
            const int at = i % head_dim;
            const bool is_first = at < pairs;
            const float *turn = angles + (positions[t] * pairs + at % pairs) * 2;
            const double own = (double)qkv[t * 3 * inner + i];
            const double other = (double)qkv[t * 3 * inner + (is_first ? i + pairs : i - pairs)];
            const double sine = is_first ? -(double)turn[1] : (double)turn[1];
            values_of(&expected)[t * 2 * inner + i] = own * (double)turn[0] + other * sine;
            allowed_of(&expected)[t * 2 * inner + i] =
                2.0 * CASE_F32_ULP * (fabs(own) + fabs(other));
        }
    }
    char what[120];
    (void)snprintf(what, sizeof what, "%d tokens, %d heads of %d", tokens, heads, head_dim);
    case_check(&dispatch, &expected, what);
    case_end();
}

void test_rope(void **state) {
    (void)state;
    run_rope(1, 1, 8);
    run_rope(5, 2, 64);
    run_rope(3, 12, 24);
    run_rope(2, 3, 128);
}

/* Sequence b has lengths[b] tokens, of which skips[b] are left out. */
static double pooled(int kind, const float *x, int width, int skip, int length, double *size) {
    double sum = 0.0;
    double weights = 0.0;
    double largest = -HUGE_VAL;
    *size = 0.0;
    for (int t = skip; t < length; t++) {
        const double value = (double)x[t * width];
        const double weight = kind == METAL_POOL_WEIGHTED_MEAN ? t + 1.0 : 1.0;
        sum += weight * value;
        *size += weight * fabs(value);
        weights += weight;
        largest = fmax(largest, value);
    }
    if (kind == METAL_POOL_CLS) return (double)x[skip * width];
    if (kind == METAL_POOL_LAST) return (double)x[(length - 1) * width];
    if (kind == METAL_POOL_MAX) return largest;
    *size /= kind == METAL_POOL_MEAN_SQRT ? sqrt(weights) : weights;
    return sum / (kind == METAL_POOL_MEAN_SQRT ? sqrt(weights) : weights);
}

static void run_pool(int kind, int width, bool has_skips) {
    static const int lengths[] = {1, 7, 2, 40, 5};
    static const int skips[] = {0, 3, 1, 9, 4};
    enum { SEQUENCES = 5, TOKENS = 55 };
    msl_dispatch dispatch = {.kernel = "pool",
                             .groups = {SEQUENCES, case_groups(width, METAL_POOL_COLS), 1}};
    msl_buffer *buffers = dispatch.buffers;
    const float *x = case_halves(&buffers[0], (size_t)(TOKENS * width), -3.0f, -0.5f);
    int32_t *offsets = case_ints(&buffers[1], SEQUENCES + 1, 1);
    int32_t *skipped = case_ints(&buffers[2], SEQUENCES, 1);
    const int out_stride = 3 * width + 1;
    case_output(&buffers[3], (size_t)(SEQUENCES * out_stride) * 4);
    const struct metal_pool_args args = {
        .width = width, .kind = kind, .out_stride = out_stride, .out_first = width};
    case_args(&buffers[4], &args, sizeof args);
    case_expectation expected;
    make_expectation(&expected, 3, SEQUENCES, (size_t)width);
    expected.first = (size_t)width;
    expected.stride = (size_t)out_stride;
    for (int b = 0; b < SEQUENCES; b++) {
        offsets[b + 1] = offsets[b] + lengths[b];
        skipped[b] = has_skips ? skips[b] : 0;
        for (int i = 0; i < width; i++) {
            double size;
            values_of(&expected)[b * width + i] =
                pooled(kind, x + offsets[b] * width + i, width, skipped[b], lengths[b], &size);
            const bool is_exact =
                kind == METAL_POOL_CLS || kind == METAL_POOL_LAST || kind == METAL_POOL_MAX;
            allowed_of(&expected)[b * width + i] =
                is_exact ? 0.0 : (lengths[b] + 4) * CASE_F32_ULP * size;
        }
    }
    char what[120];
    (void)snprintf(what, sizeof what, "kind %d width %d skips %d", kind, width, has_skips);
    case_check(&dispatch, &expected, what);
    case_end();
}

void test_pool(void **state) {
    (void)state;
    for (int kind = METAL_POOL_MEAN; kind <= METAL_POOL_MEAN_SQRT; kind++) {
        run_pool(kind, 36, false);
        run_pool(kind, 64, true);
    }
}
