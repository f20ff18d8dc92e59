/* SPDX-License-Identifier: Apache-2.0 */
/* The cpu lane against the reference on random models of every form the plan can take, on every
 * instruction set of the processor; and its promise of equal bits in any batch, on any number of
 * threads. */
#include <math.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "backend/random_plan.h"
#include "base/cpu.h"
#include "base/dtype.h"
#include "base/mem.h"

/* The flags of BERT: activation and pooling vary. */
#define BERT(act, pool)                                                                            \
    .types = 2, .position = TANDEM_POSITION_ABSOLUTE, .activation = TANDEM_ACTIVATION_##act,       \
    .pooling = TANDEM_POOLING_##pool

/* clang-format off */
static const random_shape shapes[] = {
    {.name = "bert, D 8", BERT(GELU_ERF, MEAN), .hidden = 16, .heads = 2, .head_dim = 8,
     .ffn = 40, .layers = 2, .positions = 300, .storage = TANDEM_DTYPE_F32},
    {.name = "bert, D 32, f16 file", BERT(GELU_ERF, MEAN), .hidden = 96, .heads = 3,
     .head_dim = 32, .ffn = 200, .layers = 3, .positions = 260, .storage = TANDEM_DTYPE_F16,
     .has_head = true},
    {.name = "odd widths, D 12, bf16 file", BERT(GELU_ERF, MEAN), .hidden = 33, .heads = 5,
     .head_dim = 12, .ffn = 51, .layers = 2, .positions = 200, .storage = TANDEM_DTYPE_BF16,
     .dense = 2},
    {.name = "no bias, D 64, no types", .hidden = 64, .heads = 1, .head_dim = 64, .ffn = 64,
     .layers = 2, .positions = 130, .storage = TANDEM_DTYPE_F32, .lacks_bias = true,
     .activation = TANDEM_ACTIVATION_RELU, .pooling = TANDEM_POOLING_MAX,
     .position = TANDEM_POSITION_ABSOLUTE},
    {.name = "norm first, gate, silu", BERT(SILU, CLS), .hidden = 40, .heads = 4, .head_dim = 16,
     .ffn = 70, .layers = 3, .positions = 150, .storage = TANDEM_DTYPE_F32,
     .is_norm_first = true, .has_gate = true},
    {.name = "projected embeddings, tanh gelu", BERT(GELU_TANH, LAST), .hidden = 48, .heads = 3,
     .head_dim = 16, .ffn = 96, .layers = 2, .positions = 90, .embedding = 20,
     .storage = TANDEM_DTYPE_F32},
    {.name = "gate, norm after, one layer", BERT(GELU_ERF, WEIGHTED_MEAN), .hidden = 20,
     .heads = 1, .head_dim = 20, .ffn = 130, .layers = 1, .positions = 70,
     .storage = TANDEM_DTYPE_F32, .has_gate = true},
    {.name = "rope, windows in every other layer", .position = TANDEM_POSITION_ROPE, .window = 9,
     .activation = TANDEM_ACTIVATION_GELU_ERF, .pooling = TANDEM_POOLING_MEAN, .hidden = 32,
     .heads = 2, .head_dim = 16, .ffn = 48, .layers = 3, .positions = 220,
     .storage = TANDEM_DTYPE_F32, .is_norm_first = true, .has_gate = true, .has_head = true},
    {.name = "alibi, three heads", .position = TANDEM_POSITION_ALIBI,
     .activation = TANDEM_ACTIVATION_GELU_ERF, .pooling = TANDEM_POOLING_MEAN, .hidden = 24,
     .heads = 3, .head_dim = 8, .ffn = 48, .layers = 2, .positions = 160,
     .storage = TANDEM_DTYPE_F32},
    {.name = "relative positions and a window", .position = TANDEM_POSITION_RELATIVE,
     .window = 70, .activation = TANDEM_ACTIVATION_GELU_ERF, .pooling = TANDEM_POOLING_MEAN,
     .hidden = 32, .heads = 4, .head_dim = 8, .ffn = 48, .layers = 2, .positions = 280,
     .storage = TANDEM_DTYPE_F32},
    {.name = "language model head, joined poolings, every module", BERT(GELU_ERF, MEAN),
     .hidden = 24, .heads = 2, .head_dim = 12, .ffn = 40, .layers = 2, .positions = 140,
     .embedding = 20, .vocab = 611, .dense = 2, .joined = 2, .has_steps = true, .has_lm = true,
     .storage = TANDEM_DTYPE_F32},
    {.name = "no layer", BERT(GELU_ERF, MEAN_SQRT), .hidden = 24, .heads = 2, .head_dim = 12,
     .ffn = 24, .layers = 0, .positions = 50, .storage = TANDEM_DTYPE_F32},
};
/* clang-format on */
enum { SHAPES = sizeof shapes / sizeof shapes[0] };

/* Builds without optimisation or with sanitizers take a part of the cases: they look for other
 * faults than numbers; and so does an emulated processor. */
#if defined(__OPTIMIZE__) && !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__) &&    \
    !defined(TANDEM_EMULATED)
enum { IS_THOROUGH = 1 };
#else
enum { IS_THOROUGH = 0 };
#endif

/* Names of the ladder that this processor has, plain C first. */
static int ladder(uint32_t *masks) {
    static const char *const names[] = {"c", "avx2", "avx512", "neon"};
    int count = 0;
    tandem__cpu_set_mask(UINT32_MAX);
    const uint32_t native = tandem__cpu_flags();
    uint32_t before = UINT32_MAX;
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        uint32_t mask = 0;
        assert_true(tandem__cpu_mask_from_name(names[i], &mask));
        if ((mask & native) == before || (i > 0 && (mask & native) == 0)) continue;
        before = mask & native;
        masks[count++] = mask;
    }
    if (!IS_THOROUGH && count > 2) {
        masks[1] = masks[count - 1];
        count = 2;
    }
    return count;
}

static const tandem_backend *backend_named(const char *name) {
    const tandem_backend *backend = tandem__backend_find(name);
    assert_non_null(backend);
    return backend;
}

enum { TOKENS_MAX = 1200, SEQUENCES_MAX = 64 };

static tandem_lane *open_lane(const char *name, const tandem_plan *plan, tandem_dtype dtype,
                              tandem_pool *pool) {
    const tandem_backend_options options = {.dtype = dtype,
                                            .tokens_max = TOKENS_MAX,
                                            .sequences_max = SEQUENCES_MAX,
                                            .in_flight_max = 1,
                                            .pool = pool};
    tandem_lane *lane = NULL;
    tandem_error err = {0};
    if (backend_named(name)->open(plan, &options, &lane, &err) != TANDEM_OK)
        fail_msg("%s: %s", name, err.message);
    return lane;
}

static size_t output_floats(const tandem_plan *plan, tandem_output output,
                            const tandem_batch *batch) {
    return (size_t)tandem__output_rows(plan, output, batch) *
           (size_t)tandem__output_width(plan, output);
}

static float *submit(const char *name, tandem_lane *lane, const tandem_plan *plan,
                     const tandem_batch *batch, tandem_output output) {
    const size_t floats = output_floats(plan, output, batch);
    float *out = calloc(floats + 1, sizeof *out);
    out[floats] = 12345.0f; /* canary */
    tandem_ticket ticket = 0;
    tandem_error err = {0};
    const tandem_backend *backend = backend_named(name);
    if (backend->submit(lane, batch, output, out, &ticket, &err) != TANDEM_OK)
        fail_msg("%s: %s", name, err.message);
    assert_true(ticket != 0);
    bool is_done = false;
    assert_int_equal(backend->poll(lane, ticket, &is_done, &err), TANDEM_OK);
    assert_true(is_done);
    assert_true(out[floats] == 12345.0f);
    return out;
}

static double row_length(const float *row, int width) {
    double sum = 0.0;
    for (int i = 0; i < width; i++) sum += (double)row[i] * (double)row[i];
    return sqrt(sum);
}

typedef struct comparison {
    double cosine_min;
    double cosine_mean;
    double largest; /* between rows scaled by the length of the expected one */
} comparison;

static comparison compare_rows(const float *got, const float *expected, int64_t rows, int width) {
    comparison c = {.cosine_min = 1.0};
    for (int64_t row = 0; row < rows; row++) {
        const float *a = got + row * width;
        const float *b = expected + row * width;
        const double scale = 1.0 / row_length(b, width);
        double dot = 0.0;
        for (int i = 0; i < width; i++) {
            const double distance = fabs((double)a[i] - (double)b[i]) * scale;
            if (!(distance <= c.largest)) c.largest = distance;
            dot += (double)a[i] * (double)b[i];
        }
        const double cosine = dot / (row_length(a, width) * row_length(b, width));
        if (!(cosine >= c.cosine_min)) c.cosine_min = cosine;
        c.cosine_mean += cosine / (double)rows;
    }
    return c;
}

typedef struct lane_pair {
    const random_shape *shape;
    const tandem_plan *plan;
    tandem_lane *ref;
    tandem_lane *cpu;
    tandem_dtype dtype;
} lane_pair;

static void compare_output(const lane_pair *pair, const tandem_batch *batch, tandem_output output) {
    const tandem_plan *plan = pair->plan;
    float *expected = submit("ref", pair->ref, plan, batch, output);
    float *got = submit("cpu", pair->cpu, plan, batch, output);
    const comparison c = compare_rows(got, expected, tandem__output_rows(plan, output, batch),
                                      tandem__output_width(plan, output));
    const bool is_strict = pair->dtype == TANDEM_DTYPE_F32;
    bool is_close = is_strict ? c.cosine_min >= 0.999999 && c.largest <= 2e-5
                              : c.cosine_mean >= 0.99999 && c.cosine_min >= 0.9999;
    /* Rows of 24 random values cost more in eight bits than a model's 384 do. */
    if (pair->dtype == TANDEM_DTYPE_I8) is_close = c.cosine_mean >= 0.995 && c.cosine_min >= 0.95;
    if (!is_close) {
        fail_msg("%s, %s, output %d, %d tokens, flags %x: cosine %.9f mean %.9f least, largest "
                 "difference %.2e",
                 pair->shape->name, tandem__dtype_word(pair->dtype), (int)output,
                 (int)batch->tokens, tandem__cpu_flags(), c.cosine_mean, c.cosine_min, c.largest);
    }
    free(expected);
    free(got);
}

static void compare_shape(const random_shape *shape, tandem_dtype dtype, tandem_pool *pool) {
    static const struct {
        int sequences;
        int length_max;
    } sizes[] = {{1, 1}, {1, 17}, {3, 9}, {30, 20}, {2, 1000}};
    const size_t size_count = IS_THOROUGH ? sizeof sizes / sizeof sizes[0] : 3;
    random_plan *made = random_plan_make(shape, 42);
    lane_pair pair = {.shape = shape, .plan = &made->plan, .dtype = dtype};
    pair.ref = open_lane("ref", &made->plan, TANDEM_DTYPE_F32, pool);
    pair.cpu = open_lane("cpu", &made->plan, dtype, pool);
    for (size_t i = 0; i < size_count; i++) {
        const int length =
            sizes[i].length_max < shape->positions ? sizes[i].length_max : shape->positions;
        random_batch batch =
            random_batch_make(&made->plan, sizes[i].sequences, length, i % 2 == 0, i);
        compare_output(&pair, &batch.batch, TANDEM_OUTPUT_POOLED);
        compare_output(&pair, &batch.batch, TANDEM_OUTPUT_TOKENS);
        compare_output(&pair, &batch.batch, TANDEM_OUTPUT_STATES);
        if (shape->has_head) compare_output(&pair, &batch.batch, TANDEM_OUTPUT_HEAD);
        if (shape->has_lm) compare_output(&pair, &batch.batch, TANDEM_OUTPUT_SPARSE);
        random_batch_free(&batch);
    }
    backend_named("ref")->close(pair.ref);
    backend_named("cpu")->close(pair.cpu);
    random_plan_free(made);
}

static void compare_all(tandem_dtype dtype) {
    uint32_t masks[8];
    const int levels = ladder(masks);
    tandem_pool *pool = NULL;
    assert_int_equal(tandem__pool_open(2, &pool, NULL), TANDEM_OK);
    for (int level = 0; level < levels; level++) {
        tandem__cpu_set_mask(masks[level]);
        for (int i = 0; i < SHAPES; i++) compare_shape(&shapes[i], dtype, pool);
    }
    tandem__cpu_set_mask(UINT32_MAX);
    tandem__pool_close(pool);
}

static void test_f32_against_ref(void **state) {
    (void)state;
    compare_all(TANDEM_DTYPE_F32);
}

static void test_f16_against_ref(void **state) {
    (void)state;
    compare_all(TANDEM_DTYPE_F16);
}

/* Each sequence alone on one thread, then in random batches on more: memcmp. */
static void check_bits(const char *name, const random_shape *shape, tandem_dtype dtype,
                       tandem_output output) {
    static const int thread_counts[] = {1, 2, 3, 5};
    random_plan *made = random_plan_make(shape, 7);
    const tandem_plan *plan = &made->plan;
    tandem_lane *alone = open_lane(name, plan, dtype, NULL);
    const size_t width = (size_t)tandem__output_width(plan, output);
    for (size_t i = 0; i < sizeof thread_counts / sizeof thread_counts[0]; i++) {
        tandem_pool *pool = NULL;
        assert_int_equal(tandem__pool_open(thread_counts[i], &pool, NULL), TANDEM_OK);
        tandem_lane *lane = open_lane(name, plan, dtype, pool);
        for (int round = 0; round < (IS_THOROUGH ? 6 : 2); round++) {
            const int sequences = round % 3 == 0 ? 1 + round : round % 3 == 1 ? 5 : 40;
            const int length =
                sequences <= 5 ? (round < 3 && IS_THOROUGH ? plan->positions_max : 40) : 20;
            random_batch batch =
                random_batch_make(plan, sequences, length, false, 100 + (uint64_t)round);
            float *together = submit(name, lane, plan, &batch.batch, output);
            for (int b = 0; b < sequences; b++) {
                int32_t offsets[2];
                const tandem_batch one = random_batch_one(&batch, b, offsets);
                float *single = submit(name, alone, plan, &one, output);
                if (memcmp(single, together + (size_t)b * width, width * sizeof *single) != 0) {
                    fail_msg("%s %s: sequence %d of %d (%d tokens) differs on %d threads, flags %x",
                             name, shape->name, b, sequences, (int)offsets[1], thread_counts[i],
                             tandem__cpu_flags());
                }
                free(single);
            }
            free(together);
            random_batch_free(&batch);
        }
        backend_named(name)->close(lane);
        tandem__pool_close(pool);
    }
    backend_named(name)->close(alone);
    random_plan_free(made);
}

static void test_same_bits_in_any_batch(void **state) {
    (void)state;
    uint32_t masks[8];
    const int levels = ladder(masks);
    for (int level = IS_THOROUGH ? 0 : levels - 1; level < levels; level++) {
        tandem__cpu_set_mask(masks[level]);
        /* Plain C is slow, and what differs by shape is the cut, which is the same for all. */
        const int count = level == 0 || !IS_THOROUGH ? 3 : SHAPES;
        for (int i = 0; i < count; i++) {
            check_bits("cpu", &shapes[i], TANDEM_DTYPE_F32, TANDEM_OUTPUT_POOLED);
            check_bits("cpu", &shapes[i], TANDEM_DTYPE_F16, TANDEM_OUTPUT_POOLED);
            if (!shapes[i].has_lm) continue;
            check_bits("cpu", &shapes[i], TANDEM_DTYPE_F32, TANDEM_OUTPUT_SPARSE);
            check_bits("cpu", &shapes[i], TANDEM_DTYPE_F16, TANDEM_OUTPUT_SPARSE);
        }
    }
    tandem__cpu_set_mask(UINT32_MAX);
    check_bits("ref", &shapes[1], TANDEM_DTYPE_F32, TANDEM_OUTPUT_POOLED);
}

/* In eight bits where the processor has the instructions; refused, with what is missing, where it
 * has not, as under the mask of plain C. */
static void test_eight_bits(void **state) {
    (void)state;
    if (backend_named("cpu")->has_dtype(TANDEM_DTYPE_I8)) {
        tandem_pool *pool = NULL;
        assert_int_equal(tandem__pool_open(2, &pool, NULL), TANDEM_OK);
        for (int i = 0; i < SHAPES; i++) compare_shape(&shapes[i], TANDEM_DTYPE_I8, pool);
        tandem__pool_close(pool);
        for (int i = 0; i < (IS_THOROUGH ? SHAPES : 3); i++)
            check_bits("cpu", &shapes[i], TANDEM_DTYPE_I8, TANDEM_OUTPUT_POOLED);
    }
    tandem__cpu_set_mask(0);
    random_plan *made = random_plan_make(&shapes[0], 7);
    const tandem_backend_options options = {
        .dtype = TANDEM_DTYPE_I8, .tokens_max = TOKENS_MAX, .sequences_max = SEQUENCES_MAX};
    tandem_lane *lane = NULL;
    tandem_error err = {0};
    assert_false(backend_named("cpu")->has_dtype(TANDEM_DTYPE_I8));
    assert_int_equal(backend_named("cpu")->open(&made->plan, &options, &lane, &err),
                     TANDEM_UNSUPPORTED);
    assert_non_null(strstr(err.message, "i8 on a processor with AVX-512 VNNI"));
    tandem__cpu_set_mask(UINT32_MAX);
    random_plan_free(made);
}

/* AVX2, AVX-512 and NEON compute the same bits too: the order of sums is part of the contract. */
static void test_same_bits_on_every_vector_width(void **state) {
    (void)state;
    uint32_t masks[8];
    const int levels = ladder(masks);
    random_plan *made = random_plan_make(&shapes[1], 11);
    random_batch batch = random_batch_make(&made->plan, 9, 60, false, 3);
    const size_t bytes = output_floats(&made->plan, TANDEM_OUTPUT_POOLED, &batch.batch) * 4;
    float *first = NULL;
    for (int level = 1; level < levels; level++) {
        tandem__cpu_set_mask(masks[level]);
        tandem_lane *lane = open_lane("cpu", &made->plan, TANDEM_DTYPE_F16, NULL);
        float *out = submit("cpu", lane, &made->plan, &batch.batch, TANDEM_OUTPUT_POOLED);
        backend_named("cpu")->close(lane);
        if (first != NULL) assert_memory_equal(out, first, bytes);
        if (first == NULL)
            first = out;
        else
            free(out);
    }
    tandem__cpu_set_mask(UINT32_MAX);
    free(first);
    random_batch_free(&batch);
    random_plan_free(made);
}

static void test_batches_allocate_nothing(void **state) {
    (void)state;
    random_plan *made = random_plan_make(&shapes[4], 5);
    tandem_pool *pool = NULL;
    assert_int_equal(tandem__pool_open(2, &pool, NULL), TANDEM_OK);
    tandem_lane *lane = open_lane("cpu", &made->plan, TANDEM_DTYPE_F16, pool);
    const uint64_t before = tandem__mem_count();
    for (int i = 0; i < 8; i++) {
        random_batch batch = random_batch_make(&made->plan, 1 + 7 * i, 15, false, 9);
        free(submit("cpu", lane, &made->plan, &batch.batch, TANDEM_OUTPUT_POOLED));
        random_batch_free(&batch);
    }
    assert_int_equal(tandem__mem_count(), before);
    backend_named("cpu")->close(lane);
    tandem__pool_close(pool);
    random_plan_free(made);
}

typedef struct caller {
    tandem_lane *lane;
    const tandem_plan *plan;
    const random_batch *batch;
    const float *expected;
    int differences;
} caller;

static void *call(void *argument) {
    caller *self = argument;
    const size_t floats = output_floats(self->plan, TANDEM_OUTPUT_POOLED, &self->batch->batch);
    for (int i = 0; i < (IS_THOROUGH ? 30 : 5); i++) {
        float *out =
            submit("cpu", self->lane, self->plan, &self->batch->batch, TANDEM_OUTPUT_POOLED);
        if (memcmp(out, self->expected, floats * sizeof *out) != 0) self->differences++;
        free(out);
    }
    return NULL;
}

static void test_callers_at_the_same_time(void **state) {
    (void)state;
    enum { CALLERS = 3 };
    random_plan *made = random_plan_make(&shapes[0], 5);
    tandem_pool *pool = NULL;
    assert_int_equal(tandem__pool_open(2, &pool, NULL), TANDEM_OK);
    tandem_lane *lane = open_lane("cpu", &made->plan, TANDEM_DTYPE_F32, pool);
    random_batch batches[CALLERS];
    caller callers[CALLERS];
    pthread_t threads[CALLERS];
    for (int i = 0; i < CALLERS; i++) {
        batches[i] = random_batch_make(&made->plan, 3 + 10 * i, 30, false, (uint64_t)i);
        callers[i] = (caller){.lane = lane, .plan = &made->plan, .batch = &batches[i]};
        callers[i].expected =
            submit("cpu", lane, &made->plan, &batches[i].batch, TANDEM_OUTPUT_POOLED);
    }
    for (int i = 0; i < CALLERS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, call, &callers[i]), 0);
    for (int i = 0; i < CALLERS; i++) assert_int_equal(pthread_join(threads[i], NULL), 0);
    for (int i = 0; i < CALLERS; i++) {
        assert_int_equal(callers[i].differences, 0);
        free((void *)(uintptr_t)callers[i].expected);
        random_batch_free(&batches[i]);
    }
    backend_named("cpu")->close(lane);
    tandem__pool_close(pool);
    random_plan_free(made);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_f32_against_ref),
        cmocka_unit_test(test_f16_against_ref),
        cmocka_unit_test(test_same_bits_in_any_batch),
        cmocka_unit_test(test_same_bits_on_every_vector_width),
        cmocka_unit_test(test_eight_bits),
        cmocka_unit_test(test_batches_allocate_nothing),
        cmocka_unit_test(test_callers_at_the_same_time),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
