/* SPDX-License-Identifier: Apache-2.0 */
/* What lanes refuse, and how they say it; memory that runs out at every allocation of open; pages
 * given back. Both lanes, unless a test says otherwise. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "backend/random_plan.h"
#include "base/mem.h"

static const random_shape shape = {.name = "small",
                                   .hidden = 24,
                                   .heads = 3,
                                   .head_dim = 8,
                                   .ffn = 40,
                                   .layers = 3,
                                   .positions = 32,
                                   .types = 2,
                                   .dense = 1,
                                   .storage = TANDEM_DTYPE_F32,
                                   .activation = TANDEM_ACTIVATION_GELU_ERF,
                                   .pooling = TANDEM_POOLING_MEAN,
                                   .position = TANDEM_POSITION_ABSOLUTE,
                                   .has_head = true};

static const char *const names[] = {"cpu", "ref"};
enum { NAMES = sizeof names / sizeof names[0] };

static tandem_status try_open(const char *name, const tandem_plan *plan, tandem_dtype dtype,
                              tandem_lane **lane, tandem_error *err) {
    const tandem_backend_options options = {
        .dtype = dtype, .tokens_max = 60, .sequences_max = 4, .in_flight_max = 1};
    tandem_error_clear(err);
    return tandem__backend_find(name)->open(plan, &options, lane, err);
}

static void expect_open_fails(const random_plan *made, const char *name, tandem_dtype dtype,
                              tandem_status status, const char *message) {
    tandem_lane *lane = NULL;
    tandem_error err = {0};
    assert_int_equal(try_open(name, &made->plan, dtype, &lane, &err), status);
    assert_null(lane);
    assert_string_equal(err.message, message);
}

/* Writes one f32 element of a view, which the tests own. */
static void poke(const tandem_view *view, int64_t index, float value) {
    memcpy((char *)(uintptr_t)view->data + 4 * index, &value, sizeof value);
}

static void test_weights_that_are_not_finite(void **state) {
    (void)state;
    for (int n = 0; n < NAMES; n++) {
        random_plan *made = random_plan_make(&shape, 1);
        poke(&made->layers[1].key.weight, 17, NAN);
        poke(&made->layers[2].down.bias, 0, INFINITY);
        expect_open_fails(made, names[n], TANDEM_DTYPE_F32, TANDEM_NUMERIC,
                          "layer 1 key.weight: element 17 is nan, expected a finite number");
        poke(&made->layers[1].key.weight, 17, 0.0f);
        expect_open_fails(made, names[n], TANDEM_DTYPE_F32, TANDEM_NUMERIC,
                          "layer 2 ffn.down.bias: element 0 is inf, expected a finite number");
        poke(&made->layers[2].down.bias, 0, 0.0f);
        poke(&made->plan.word, 24 * 97 - 1, -INFINITY);
        expect_open_fails(made, names[n], TANDEM_DTYPE_F32, TANDEM_NUMERIC,
                          "embeddings.word: element 2327 is -inf, expected a finite number");
        random_plan_free(made);
    }
}

static void test_weights_too_large_for_f16(void **state) {
    (void)state;
    static const char message[] = "layer 0 ffn.up.weight: element 3 is 70000, f16 holds up to "
                                  "65504: use dtype f32";
    random_plan *made = random_plan_make(&shape, 1);
    tandem_lane *lane = NULL;
    tandem_error err = {0};
    poke(&made->layers[0].up.weight, 3, 70000.0f);
    expect_open_fails(made, "cpu", TANDEM_DTYPE_F16, TANDEM_NUMERIC, message);
    assert_int_equal(try_open("cpu", &made->plan, TANDEM_DTYPE_F32, &lane, &err), TANDEM_OK);
    tandem__backend_find("cpu")->close(lane);
    random_plan_free(made);
}

static void test_plans_that_do_not_fit_together(void **state) {
    (void)state;
    for (int n = 0; n < NAMES; n++) {
        random_plan *made = random_plan_make(&shape, 1);
        made->layers[2].up.weight.rows = 39;
        expect_open_fails(made, names[n], TANDEM_DTYPE_F32, TANDEM_INVALID,
                          "layer 2 ffn.up.weight: shape [39, 24], expected [40, 24]");
        made->layers[2].up.weight.rows = 40;
        const tandem_view saved = made->layers[0].output.weight;
        made->layers[0].output.weight.data = NULL;
        expect_open_fails(made, names[n], TANDEM_DTYPE_F32, TANDEM_INVALID,
                          "layer 0 attention.output.weight: missing, expected [24, 24]");
        made->layers[0].output.weight = saved;
        made->plan.positions_max = 33;
        expect_open_fails(made, names[n], TANDEM_DTYPE_F32, TANDEM_INVALID,
                          "plan: positions_max is 33, expected 1 to 32");
        made->plan.positions_max = 32;
        made->plan.head_dim = 0;
        expect_open_fails(made, names[n], TANDEM_DTYPE_F32, TANDEM_INVALID,
                          "plan: head_dim is 0, expected 1 to 21845");
        random_plan_free(made);
    }
}

static void test_modes_that_a_lane_lacks(void **state) {
    (void)state;
    random_plan *made = random_plan_make(&shape, 1);
    expect_open_fails(made, "ref", TANDEM_DTYPE_F16, TANDEM_UNSUPPORTED,
                      "the ref lane computes in f32 alone");
    expect_open_fails(made, "cpu", TANDEM_DTYPE_FP8, TANDEM_UNSUPPORTED,
                      "the cpu lane has the modes f32 and f16, and i8 on a processor with "
                      "AVX-512 VNNI or Arm's dot products");
    random_plan_free(made);
}

typedef struct bad_batch {
    tandem_batch batch;
    tandem_output output;
    tandem_status status;
    const char *message;
} bad_batch;

static void expect_submit_fails(const char *name, tandem_lane *lane, const bad_batch *bad) {
    float out[64 * 40];
    tandem_ticket ticket = 0;
    tandem_error err = {0};
    const tandem_backend *backend = tandem__backend_find(name);
    assert_int_equal(backend->submit(lane, &bad->batch, bad->output, out, &ticket, &err),
                     bad->status);
    assert_string_equal(err.message, bad->message);
    assert_true(ticket == 0);
}

static void test_batches_that_are_wrong(void **state) {
    (void)state;
    static const int32_t ids[80] = {1, 2, 3, 4};
    static const int32_t high[4] = {0, 97, 0, 0};
    static const int32_t low[4] = {0, 1, 2, -1};
    static const int32_t types[4] = {0, 1, 2, 0};
    static const int32_t skips[2] = {0, 2};
    static const int32_t two[3] = {0, 2, 4};
    static const int32_t empty[3] = {0, 0, 4};
    static const int32_t shifted[3] = {1, 2, 4};
    static const int32_t many[6] = {0, 1, 2, 3, 4, 5};
    static const int32_t long_one[2] = {0, 33};
    static const int32_t long_two[3] = {0, 31, 61};
    static const bad_batch cases[] = {
        {{ids, NULL, two, 0, 0, NULL}, 0, TANDEM_INVALID, "batch of 0 sequences and 0 tokens"},
        {{high, NULL, two, 4, 2, NULL},
         0,
         TANDEM_INVALID,
         "sequence 0 token 1: id 97, vocabulary of 97"},
        {{low, NULL, two, 4, 2, NULL},
         0,
         TANDEM_INVALID,
         "sequence 1 token 1: id -1, vocabulary of 97"},
        {{ids, types, two, 4, 2, NULL},
         0,
         TANDEM_INVALID,
         "sequence 1 token 0: type 2, the model has 2"},
        {{ids, NULL, two, 4, 2, skips},
         0,
         TANDEM_INVALID,
         "sequence 1: pooling skips 2 of 2 tokens"},
        {{ids, NULL, empty, 4, 2, NULL},
         0,
         TANDEM_INVALID,
         "sequence 0: offsets 0 to 0 of 4 tokens"},
        {{ids, NULL, shifted, 4, 2, NULL},
         0,
         TANDEM_INVALID,
         "batch offsets from 1 to 4, expected 0 to 4"},
        {{ids, NULL, many, 5, 5, NULL},
         0,
         TANDEM_CAPACITY,
         "batch of 5 sequences, the lane takes 4"},
        {{ids, NULL, long_one, 33, 1, NULL},
         0,
         TANDEM_INVALID,
         "sequence 0: 33 tokens, the model has 32 positions"},
        {{ids, NULL, long_two, 61, 2, NULL},
         0,
         TANDEM_CAPACITY,
         "batch of 61 tokens, the lane takes 60"},
    };
    random_plan *made = random_plan_make(&shape, 1);
    for (int n = 0; n < NAMES; n++) {
        tandem_lane *lane = NULL;
        tandem_error err = {0};
        assert_int_equal(try_open(names[n], &made->plan, TANDEM_DTYPE_F32, &lane, &err), TANDEM_OK);
        for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
            expect_submit_fails(names[n], lane, &cases[i]);
        tandem__backend_find(names[n])->close(lane);
    }
    random_plan_free(made);
}

static void test_outputs_that_a_model_lacks(void **state) {
    (void)state;
    static const int32_t ids[2] = {1, 2};
    static const int32_t offsets[2] = {0, 2};
    const tandem_batch batch = {ids, NULL, offsets, 2, 1, NULL};
    random_shape bare = shape;
    bare.has_head = false;
    bare.dense = 0;
    bare.pooling = TANDEM_POOLING_NONE;
    random_plan *made = random_plan_make(&bare, 1);
    for (int n = 0; n < NAMES; n++) {
        tandem_lane *lane = NULL;
        tandem_error err = {0};
        assert_int_equal(try_open(names[n], &made->plan, TANDEM_DTYPE_F32, &lane, &err), TANDEM_OK);
        const bad_batch cases[] = {
            {batch, TANDEM_OUTPUT_POOLED, TANDEM_UNSUPPORTED,
             "the model has no pooling, only token vectors"},
            {batch, TANDEM_OUTPUT_HEAD, TANDEM_UNSUPPORTED, "the model is not a classifier"},
            {batch, TANDEM_OUTPUT_SPARSE, TANDEM_UNSUPPORTED,
             "the model is no masked language model"},
        };
        for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
            expect_submit_fails(names[n], lane, &cases[i]);
        tandem__backend_find(names[n])->close(lane);
    }
    random_plan_free(made);
}

/* Finite weights whose products overflow spoil their own sequence and no other. */
static void test_results_that_are_not_finite(void **state) {
    (void)state;
    static const int32_t ids[4] = {1, 2, 3, 96};
    static const int32_t offsets[3] = {0, 2, 4};
    const tandem_batch batch = {.ids = ids, .offsets = offsets, .tokens = 4, .sequences = 2};
    random_plan *made = random_plan_make(&shape, 1);
    for (int64_t i = 0; i < 24; i++) poke(&made->plan.word, 96 * 24 + i, i % 2 ? 3e38f : -3e38f);
    poke(&made->plan.type_rows, 0, -3e38f);
    for (int n = 0; n < NAMES; n++) {
        const tandem_backend *backend = tandem__backend_find(names[n]);
        tandem_lane *lane = NULL;
        tandem_error err = {0};
        assert_int_equal(try_open(names[n], &made->plan, TANDEM_DTYPE_F32, &lane, &err), TANDEM_OK);
        float out[4 * 24];
        tandem_ticket ticket = 0;
        assert_int_equal(backend->submit(lane, &batch, TANDEM_OUTPUT_TOKENS, out, &ticket, &err),
                         TANDEM_OK);
        assert_false(tandem__floats_are_finite(out + 3 * 24, 24));
        backend->close(lane);
    }
    random_plan_free(made);
}

static void test_memory_that_runs_out(void **state) {
    (void)state;
    random_plan *made = random_plan_make(&shape, 1);
    for (int n = 0; n < NAMES; n++) {
        tandem_lane *lane = NULL;
        tandem_error err = {0};
        int failures = 0;
        for (uint64_t at = 1; lane == NULL; at++) {
            tandem__mem_fail_at(at);
            const tandem_status status =
                try_open(names[n], &made->plan, TANDEM_DTYPE_F32, &lane, &err);
            tandem__mem_fail_at(0);
            if (lane != NULL) break;
            assert_int_equal(status, TANDEM_MEMORY);
            assert_true(strstr(err.message, "no memory for") != NULL);
            failures++;
        }
        assert_true(failures >= 4);
        tandem__backend_find(names[n])->close(lane);
    }
    random_plan_free(made);
}

static void test_every_view_is_given_back(void **state) {
    (void)state;
    for (int n = 0; n < NAMES; n++) {
        random_plan *made = random_plan_make(&shape, 1);
        tandem_lane *lane = NULL;
        tandem_error err = {0};
        assert_int_equal(try_open(names[n], &made->plan, TANDEM_DTYPE_F32, &lane, &err), TANDEM_OK);
        assert_int_equal(made->released, random_plan_bytes(made));
        tandem_capabilities has;
        tandem__backend_find(names[n])->capabilities(lane, &has);
        assert_true(has.weights_bytes >= random_plan_bytes(made));
        assert_true(has.workspace_bytes > 0);
        assert_true(has.is_exact && has.is_synchronous);
        assert_int_equal(has.tokens_max, 60);
        tandem__backend_find(names[n])->close(lane);
        random_plan_free(made);
    }
}

static void test_the_table(void **state) {
    (void)state;
    int count = 0;
    const tandem_backend *const *backends = tandem__backends(&count);
    assert_true(count >= 2);
    for (int i = 0; i < count; i++) {
        tandem_probe probe;
        assert_ptr_equal(tandem__backend_find(backends[i]->name), backends[i]);
        backends[i]->probe(&probe);
        assert_true(probe.is_available ? probe.device[0] != '\0' : probe.reason[0] != '\0');
        backends[i]->close(NULL);
    }
    assert_null(tandem__backend_find("gpu"));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_weights_that_are_not_finite),
        cmocka_unit_test(test_weights_too_large_for_f16),
        cmocka_unit_test(test_plans_that_do_not_fit_together),
        cmocka_unit_test(test_modes_that_a_lane_lacks),
        cmocka_unit_test(test_batches_that_are_wrong),
        cmocka_unit_test(test_outputs_that_a_model_lacks),
        cmocka_unit_test(test_results_that_are_not_finite),
        cmocka_unit_test(test_memory_that_runs_out),
        cmocka_unit_test(test_every_view_is_given_back),
        cmocka_unit_test(test_the_table),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
