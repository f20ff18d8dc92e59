/* SPDX-License-Identifier: Apache-2.0 */
/* The cpu lane's word table, of which blocks of rows are made when a batch first needs them: same
 * bits as a table that is packed at open, what is read of the file, rows that are bad, memory that
 * runs out, threads. */
#include <math.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "backend/random_plan.h"
#include "base/mem.h"

enum { WORDS = 60000, HIDDEN = 24, FEW = 1000 }; /* over 2 MB in f16, and far below */

static const random_shape shape = {.name = "many words",
                                   .hidden = HIDDEN,
                                   .heads = 3,
                                   .head_dim = 8,
                                   .ffn = 40,
                                   .layers = 1,
                                   .positions = 32,
                                   .types = 2,
                                   .vocab = WORDS,
                                   .storage = TANDEM_DTYPE_F32,
                                   .activation = TANDEM_ACTIVATION_GELU_ERF,
                                   .pooling = TANDEM_POOLING_MEAN,
                                   .position = TANDEM_POSITION_ABSOLUTE};

static const int32_t offsets[2] = {0, 6};
static const int32_t low_ids[6] = {0, 999, 341, 340, 342, 1};
static const int32_t high_ids[6] = {WORDS - 1, 0, 30000, 30001, WORDS - 2, 30000};

static tandem_batch batch_of(const int32_t *ids) {
    return (tandem_batch){.ids = ids, .offsets = offsets, .tokens = 6, .sequences = 1};
}

static tandem_status try_open(const char *name, const tandem_plan *plan, tandem_dtype dtype,
                              tandem_lane **lane, tandem_error *err) {
    const tandem_backend_options options = {
        .dtype = dtype, .tokens_max = 32, .sequences_max = 4, .in_flight_max = 1};
    tandem_error_clear(err);
    return tandem__backend_find(name)->open(plan, &options, lane, err);
}

static tandem_lane *open_cpu(const tandem_plan *plan, tandem_dtype dtype) {
    tandem_lane *lane = NULL;
    tandem_error err = {0};
    if (try_open("cpu", plan, dtype, &lane, &err)) fail_msg("%s", err.message);
    return lane;
}

static tandem_status submit(tandem_lane *lane, const int32_t *ids, float *out, tandem_error *err) {
    const tandem_batch batch = batch_of(ids);
    tandem_ticket ticket = 0;
    return tandem__backend_find("cpu")->submit(lane, &batch, TANDEM_OUTPUT_TOKENS, out, &ticket,
                                               err);
}

static void close_cpu(tandem_lane *lane) {
    tandem__backend_find("cpu")->close(lane);
}

/* Against the same rows in a table that is small enough to be packed. */
static void test_the_same_bits(void **state) {
    (void)state;
    static const tandem_dtype storages[] = {TANDEM_DTYPE_F32, TANDEM_DTYPE_F16, TANDEM_DTYPE_BF16};
    static const tandem_dtype modes[] = {TANDEM_DTYPE_F32, TANDEM_DTYPE_F16};
    for (int s = 0; s < 3; s++) {
        random_shape stored = shape;
        stored.storage = storages[s];
        random_plan *made = random_plan_make(&stored, 1);
        for (int m = 0; m < 2; m++) {
            tandem_plan few = made->plan;
            few.word.rows = few.vocab = FEW;
            tandem_lane *sparse = open_cpu(&made->plan, modes[m]);
            tandem_lane *packed = open_cpu(&few, modes[m]);
            float out[2][6 * HIDDEN];
            assert_int_equal(submit(sparse, low_ids, out[0], NULL), TANDEM_OK);
            assert_int_equal(submit(packed, low_ids, out[1], NULL), TANDEM_OK);
            assert_memory_equal(out[0], out[1], sizeof out[0]);
            assert_int_equal(submit(sparse, low_ids, out[1], NULL), TANDEM_OK);
            assert_memory_equal(out[0], out[1], sizeof out[0]);
            close_cpu(sparse);
            close_cpu(packed);
        }
        random_plan_free(made);
    }
}

static void test_the_last_rows(void **state) {
    (void)state;
    random_plan *made = random_plan_make(&shape, 2);
    tandem_lane *lanes[2] = {open_cpu(&made->plan, TANDEM_DTYPE_F32)};
    tandem_error err = {0};
    assert_int_equal(try_open("ref", &made->plan, TANDEM_DTYPE_F32, &lanes[1], &err), TANDEM_OK);
    float out[2][6 * HIDDEN];
    const tandem_batch batch = batch_of(high_ids);
    tandem_ticket ticket = 0;
    assert_int_equal(submit(lanes[0], high_ids, out[0], NULL), TANDEM_OK);
    const tandem_backend *ref = tandem__backend_find("ref");
    assert_int_equal(ref->submit(lanes[1], &batch, TANDEM_OUTPUT_TOKENS, out[1], &ticket, NULL),
                     TANDEM_OK);
    for (int i = 0; i < 6 * HIDDEN; i++) assert_true(fabsf(out[0][i] - out[1][i]) < 2e-5f);
    close_cpu(lanes[0]);
    ref->close(lanes[1]);
    random_plan_free(made);
}

/* Only what is needed is read, and what is read is given back, once. */
static void test_few_rows_are_read(void **state) {
    (void)state;
    random_plan *made = random_plan_make(&shape, 3);
    tandem_lane *lane = open_cpu(&made->plan, TANDEM_DTYPE_F32);
    tandem_capabilities has;
    tandem__backend_find("cpu")->capabilities(lane, &has);
    assert_true(has.weights_bytes >= random_plan_bytes(made)); /* all of them, once used */
    const int64_t table_bytes = (int64_t)WORDS * HIDDEN * 4;
    const int64_t others = random_plan_bytes(made) - table_bytes;
    assert_int_equal(made->released, others);
    float out[6 * HIDDEN];
    assert_int_equal(submit(lane, high_ids, out, NULL), TANDEM_OK);
    const int64_t released = made->released;
    assert_true(released > others);
    assert_true(released <= others + 6 * 16384);
    assert_int_equal(submit(lane, high_ids, out, NULL), TANDEM_OK);
    assert_int_equal(made->released, released);
    close_cpu(lane);
    random_plan_free(made);
}

static void test_rows_that_are_bad(void **state) {
    (void)state;
    random_plan *made = random_plan_make(&shape, 4);
    char *element = (char *)(uintptr_t)made->plan.word.data + 4 * (30001 * HIDDEN + 7);
    float saved;
    memcpy(&saved, element, 4);
    static const struct {
        float value;
        tandem_dtype mode;
        const char *message;
    } cases[] = {
        {NAN, TANDEM_DTYPE_F32, "embeddings.word: element 720031 is nan, expected a finite number"},
        {INFINITY, TANDEM_DTYPE_F16,
         "embeddings.word: element 720031 is inf, expected a finite number"},
        {70000.0f, TANDEM_DTYPE_F16,
         "embeddings.word: element 720031 is 70000, f16 holds up to 65504: use dtype f32"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        memcpy(element, &cases[i].value, 4);
        tandem_lane *lane = open_cpu(&made->plan, cases[i].mode);
        float out[6 * HIDDEN];
        assert_int_equal(submit(lane, low_ids, out, NULL), TANDEM_OK);
        for (int turn = 0; turn < 2; turn++) {
            tandem_error err = {0};
            assert_int_equal(submit(lane, high_ids, out, &err), TANDEM_NUMERIC);
            assert_string_equal(err.message, cases[i].message);
        }
        assert_int_equal(submit(lane, low_ids, out, NULL), TANDEM_OK);
        memcpy(element, &saved, 4);
        assert_int_equal(submit(lane, high_ids, out, NULL), TANDEM_OK);
        close_cpu(lane);
    }
    random_plan_free(made);
}

static void test_memory_that_runs_out(void **state) {
    (void)state;
    random_plan *made = random_plan_make(&shape, 5);
    tandem_lane *lane = NULL;
    tandem_error err = {0};
    int failures = 0;
    for (uint64_t at = 1; lane == NULL; at++) {
        tandem__mem_fail_at(at);
        const tandem_status status = try_open("cpu", &made->plan, TANDEM_DTYPE_F16, &lane, &err);
        tandem__mem_fail_at(0);
        if (lane != NULL) break;
        assert_int_equal(status, TANDEM_MEMORY);
        assert_true(strstr(err.message, "no memory for") != NULL);
        failures++;
    }
    assert_true(failures >= 6); /* two more than for a small table */
    close_cpu(lane);
    random_plan_free(made);
}

typedef struct visitor {
    tandem_lane *lane;
    int first;
    int wrong;
} visitor;

static void *visit(void *context) {
    visitor *self = context;
    float out[6 * HIDDEN];
    for (int i = 0; i < 200; i++) {
        int32_t ids[6];
        for (int t = 0; t < 6; t++) ids[t] = (self->first + 613 * (6 * i + t)) % WORDS;
        self->wrong += submit(self->lane, ids, out, NULL) != TANDEM_OK;
    }
    return NULL;
}

static void test_threads(void **state) {
    (void)state;
    random_plan *made = random_plan_make(&shape, 6);
    tandem_lane *lane = open_cpu(&made->plan, TANDEM_DTYPE_F16);
    visitor visitors[2] = {{.lane = lane}, {.lane = lane, .first = 100}};
    pthread_t threads[2];
    for (int i = 0; i < 2; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, visit, &visitors[i]), 0);
    for (int i = 0; i < 2; i++) {
        assert_int_equal(pthread_join(threads[i], NULL), 0);
        assert_int_equal(visitors[i].wrong, 0);
    }
    close_cpu(lane);
    random_plan_free(made);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_the_same_bits),        cmocka_unit_test(test_the_last_rows),
        cmocka_unit_test(test_few_rows_are_read),    cmocka_unit_test(test_rows_that_are_bad),
        cmocka_unit_test(test_memory_that_runs_out), cmocka_unit_test(test_threads),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
