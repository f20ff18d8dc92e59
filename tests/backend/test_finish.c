/* SPDX-License-Identifier: Apache-2.0 */
/* What follows the layers, fed with the reference's token vectors on random plans, against the
 * reference's own outputs; in whole batches, in parts, and from vectors pooled elsewhere. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "backend/finish.h"
#include "backend/random_plan.h"
#include "base/mem.h"

enum { TOKENS_MAX = 2000, SEQUENCES_MAX = 64, THREADS = 3, PAD = 7 };
#if defined(__SANITIZE_THREAD__)
enum { PLANS = 6 }; /* the threads are the same in all */
#else
enum { PLANS = 24 };
#endif

/* Every pooling, with and without modules, head, word head, skipped tokens. */
static random_shape shape_of(int index) {
    static const tandem_pooling poolings[] = {
        TANDEM_POOLING_MEAN, TANDEM_POOLING_CLS,           TANDEM_POOLING_MAX,
        TANDEM_POOLING_LAST, TANDEM_POOLING_WEIGHTED_MEAN, TANDEM_POOLING_MEAN_SQRT,
    };
    return (random_shape){.name = "random",
                          .hidden = 16 + 7 * (index % 5),
                          .heads = 2,
                          .head_dim = 8,
                          .ffn = 24,
                          .layers = 1,
                          .positions = 300,
                          .vocab = 97 + 131 * (index % 4),
                          .embedding = index % 3 == 2 ? 12 : 0,
                          .dense = index % 3,
                          .joined = index / 3 % 3,
                          .storage = (tandem_dtype)(index % 3),
                          .activation = TANDEM_ACTIVATION_GELU_ERF,
                          .pooling = poolings[index % 6],
                          .position = TANDEM_POSITION_ABSOLUTE,
                          .is_norm_first = index % 2 == 1,
                          .lacks_bias = index % 7 == 6,
                          .has_head = index % 2 == 0,
                          .has_steps = index % 4 == 1,
                          .has_lm = index % 3 != 1};
}

typedef struct fixture {
    random_plan *made;
    const tandem_plan *plan;
    tandem_pool *pool;
    tandem_lane *ref;
    tandem_finish *finish;
} fixture;

static const tandem_backend *ref_backend(void) {
    return tandem__backend_find("ref");
}

static fixture open_fixture(int index, tandem_dtype dtype) {
    const random_shape shape = shape_of(index);
    fixture f = {.made = random_plan_make(&shape, 1000u + (uint64_t)index)};
    tandem_error err = {0};
    f.plan = &f.made->plan;
    f.made->plan.splade.is_sum = index % 6 == 0;
    f.made->plan.splade.is_log_twice = index % 6 == 2;
    assert_int_equal(tandem__pool_open(THREADS, &f.pool, &err), TANDEM_OK);
    tandem_backend_options options = {.dtype = TANDEM_DTYPE_F32,
                                      .tokens_max = TOKENS_MAX,
                                      .sequences_max = SEQUENCES_MAX,
                                      .in_flight_max = 1,
                                      .pool = f.pool};
    assert_int_equal(ref_backend()->open(f.plan, &options, &f.ref, &err), TANDEM_OK);
    options.dtype = dtype;
    assert_int_equal(tandem__finish_open(f.plan, &options, &f.finish, &err), TANDEM_OK);
    return f;
}

static void close_fixture(fixture *f) {
    tandem__finish_close(f->finish);
    ref_backend()->close(f->ref);
    tandem__pool_close(f->pool);
    random_plan_free(f->made);
}

static size_t floats_of(const fixture *f, const tandem_batch *batch, tandem_output output) {
    return (size_t)tandem__output_rows(f->plan, output, batch) *
           (size_t)tandem__output_width(f->plan, output);
}

static float *by_ref(const fixture *f, const tandem_batch *batch, tandem_output output) {
    float *out = calloc(floats_of(f, batch, output), sizeof *out);
    tandem_ticket ticket = 0;
    tandem_error err = {0};
    if (ref_backend()->submit(f->ref, batch, output, out, &ticket, &err) != TANDEM_OK)
        fail_msg("ref: %s", err.message);
    return out;
}

/* The reference's token vectors, rows hidden + PAD apart with NaN between: not to be read. */
static float *padded_tokens(const fixture *f, const tandem_batch *batch) {
    const size_t hidden = (size_t)f->plan->hidden;
    float *tokens = by_ref(f, batch, TANDEM_OUTPUT_TOKENS);
    float *padded = calloc((size_t)batch->tokens * (hidden + PAD), sizeof *padded);
    for (size_t row = 0; row < (size_t)batch->tokens; row++) {
        float *to = padded + row * (hidden + PAD);
        memcpy(to, tokens + row * hidden, hidden * sizeof *to);
        for (size_t i = hidden; i < hidden + PAD; i++) to[i] = NAN;
    }
    free(tokens);
    return padded;
}

static float *poisoned(size_t floats) {
    float *out = calloc(floats + 1, sizeof *out);
    for (size_t i = 0; i <= floats; i++) out[i] = NAN;
    return out;
}

static void compare(const fixture *f, const tandem_batch *batch, tandem_output output,
                    const float *got, const float *expected, double bound) {
    const size_t width = (size_t)tandem__output_width(f->plan, output);
    const size_t rows = floats_of(f, batch, output) / width;
    for (size_t row = 0; row < rows; row++) {
        double length = 0.0;
        for (size_t i = 0; i < width; i++) length += pow((double)expected[row * width + i], 2.0);
        for (size_t i = 0; i < width; i++) {
            const size_t at = row * width + i;
            const double distance = fabs((double)got[at] - (double)expected[at]);
            if (!(distance <= bound * sqrt(length))) {
                fail_msg("%s: output %d row %zu of %zu column %zu: %g, expected %g",
                         f->made->plan.family, (int)output, row, rows, i, (double)got[at],
                         (double)expected[at]);
            }
        }
    }
}

static bool has_output(const tandem_plan *plan, tandem_output output) {
    return tandem__output_check(plan, output, NULL) == TANDEM_OK;
}

static void check_states(const fixture *f, const tandem_batch *batch, double bound) {
    static const tandem_output outputs[] = {TANDEM_OUTPUT_POOLED, TANDEM_OUTPUT_TOKENS,
                                            TANDEM_OUTPUT_HEAD, TANDEM_OUTPUT_SPARSE};
    float *states = padded_tokens(f, batch);
    const size_t stride = (size_t)f->plan->hidden + PAD;
    for (size_t i = 0; i < sizeof outputs / sizeof outputs[0]; i++) {
        if (!has_output(f->plan, outputs[i])) continue;
        const size_t floats = floats_of(f, batch, outputs[i]);
        float *expected = by_ref(f, batch, outputs[i]);
        float *got = poisoned(floats);
        tandem__finish_states(f->finish, batch, outputs[i], states, stride, got);
        assert_true(isnan(got[floats])); /* nothing past the end */
        compare(f, batch, outputs[i], got, expected, bound);
        free(expected);
        free(got);
    }
    free(states);
}

static void check_plans(tandem_dtype dtype, double bound) {
    static const int sizes[][2] = {{1, 1}, {3, 40}, {60, 30}, {4, 300}};
    for (int index = 0; index < PLANS; index++) {
        fixture f = open_fixture(index, dtype);
        for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
            random_batch batch =
                random_batch_make(f.plan, sizes[i][0], sizes[i][1], index % 2 == 0, i + 5);
            check_states(&f, &batch.batch, bound);
            random_batch_free(&batch);
        }
        close_fixture(&f);
    }
}

/* The gate of f32: that of test_lanes. */
static void test_states_in_f32(void **state) {
    (void)state;
    check_plans(TANDEM_DTYPE_F32, 2e-5);
}

/* Weights rounded to 2^-11, a chain of a few products. */
static void test_states_in_f16(void **state) {
    (void)state;
    check_plans(TANDEM_DTYPE_F16, 4e-3);
}

/* A batch of more tokens than a chunk of the word head, in parts and whole, and each text alone:
 * the same bits. */
static void check_bits(const fixture *f, const tandem_batch *batch, tandem_output output) {
    const size_t width = (size_t)tandem__output_width(f->plan, output);
    const size_t stride = (size_t)f->plan->hidden + PAD;
    const size_t floats = floats_of(f, batch, output);
    float *states = padded_tokens(f, batch);
    float *whole = poisoned(floats);
    float *parts = poisoned(floats);
    tandem__finish_states(f->finish, batch, output, states, stride, whole);
    for (int32_t b = 0; b < batch->sequences;) {
        const int32_t end = b + 3 < batch->sequences ? b + 3 : batch->sequences;
        const tandem_finish_part part = {.batch = batch,
                                         .output = output,
                                         .begin = b,
                                         .end = end,
                                         .states = states + (size_t)batch->offsets[b] * stride,
                                         .stride = stride,
                                         .out = parts,
                                         .worker = b % THREADS};
        tandem__finish_part(f->finish, &part);
        b = end;
    }
    tandem__finish_parts(f->finish, batch, output, parts);
    assert_memory_equal(whole, parts, floats * sizeof *whole);
    for (int32_t b = 0; b < batch->sequences; b++) {
        const int32_t offsets[2] = {0, batch->offsets[b + 1] - batch->offsets[b]};
        const tandem_batch one = {.ids = batch->ids + batch->offsets[b],
                                  .offsets = offsets,
                                  .tokens = offsets[1],
                                  .sequences = 1};
        float *alone = poisoned(width);
        tandem__finish_states(f->finish, &one, output, states + (size_t)batch->offsets[b] * stride,
                              stride, alone);
        assert_memory_equal(whole + (size_t)b * width, alone, width * sizeof *alone);
        free(alone);
    }
    free(states);
    free(whole);
    free(parts);
}

static void test_parts_have_the_bits_of_the_whole(void **state) {
    (void)state;
    for (int index = 0; index < 6; index++) {
        fixture f = open_fixture(index, TANDEM_DTYPE_F16);
        random_batch batch = random_batch_make(f.plan, 12, 280, false, 77);
        assert_true(batch.batch.tokens > THREADS * 256);
        check_bits(&f, &batch.batch, TANDEM_OUTPUT_POOLED);
        if (has_output(f.plan, TANDEM_OUTPUT_HEAD))
            check_bits(&f, &batch.batch, TANDEM_OUTPUT_HEAD);
        if (has_output(f.plan, TANDEM_OUTPUT_SPARSE))
            check_bits(&f, &batch.batch, TANDEM_OUTPUT_SPARSE);
        random_batch_free(&batch);
        close_fixture(&f);
    }
}

/* First rows pooled by hand, as a device would. */
static void test_vectors_pooled_elsewhere(void **state) {
    (void)state;
    for (int index = 0; index < PLANS; index++) {
        fixture f = open_fixture(index, TANDEM_DTYPE_F32);
        random_batch batch = random_batch_make(f.plan, 20, 9, false, 3);
        const bool is_head =
            has_output(f.plan, TANDEM_OUTPUT_HEAD) && f.plan->head_pooling != TANDEM_POOLING_MEAN;
        const bool is_pooled = f.plan->pooling == TANDEM_POOLING_CLS && f.plan->joined_count == 0;
        const size_t stride = (size_t)f.plan->hidden + PAD;
        float *states = padded_tokens(&f, &batch.batch);
        float *pooled = poisoned(20 * stride);
        for (int b = 0; b < 20; b++) {
            memcpy(pooled + (size_t)b * stride, states + (size_t)batch.offsets[b] * stride,
                   (size_t)f.plan->hidden * sizeof *pooled);
        }
        const tandem_output output = is_head ? TANDEM_OUTPUT_HEAD : TANDEM_OUTPUT_POOLED;
        if (is_head || is_pooled) {
            float *expected = by_ref(&f, &batch.batch, output);
            float *got = poisoned(floats_of(&f, &batch.batch, output));
            tandem__finish_pooled(f.finish, 20, output, pooled, stride, got);
            compare(&f, &batch.batch, output, got, expected, 2e-5);
            free(expected);
            free(got);
        }
        free(states);
        free(pooled);
        random_batch_free(&batch);
        close_fixture(&f);
    }
}

/* Each allocation of open fails in turn: an error, nothing left behind. */
static void test_open_without_memory(void **state) {
    (void)state;
    const random_shape shape = shape_of(2);
    random_plan *made = random_plan_make(&shape, 1);
    const tandem_backend_options options = {
        .dtype = TANDEM_DTYPE_F32, .tokens_max = 10, .sequences_max = 2, .in_flight_max = 1};
    tandem_finish *finish = NULL;
    int failures = 0;
    for (uint64_t at = 1; finish == NULL; at++) {
        tandem_error err = {0};
        tandem__mem_fail_at(at);
        const tandem_status status = tandem__finish_open(&made->plan, &options, &finish, &err);
        tandem__mem_fail_at(0);
        assert_int_equal(status, finish == NULL ? TANDEM_MEMORY : TANDEM_OK);
        failures += finish == NULL;
        assert_true(at < 20);
    }
    assert_true(failures >= 4);
    tandem__finish_close(finish);
    random_plan_free(made);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_states_in_f32),
        cmocka_unit_test(test_states_in_f16),
        cmocka_unit_test(test_parts_have_the_bits_of_the_whole),
        cmocka_unit_test(test_vectors_pooled_elsewhere),
        cmocka_unit_test(test_open_without_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
