/* SPDX-License-Identifier: Apache-2.0 */
/* What can go wrong with the lane `ane`: at open, in a prediction, on the disk, with the model, and
 * in time. Every message carries the system's own words. */
#include <fcntl.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "apple/ane_rig.h"
#include "base/clock.h"
#include "base/mem.h"
#include "support/temp_folder.h"

#define SHORT_NS 20000000u
#define LONG_NS  30000000000u

enum { TOKENS = 40, BATCH_TOKENS = 160 };

typedef struct fixture {
    random_plan *made;
    random_batch batch;
    float out[2][TOKENS * 8 * 64];
} fixture;

static int set_up(void **state) {
    fixture *f = calloc(1, sizeof *f);
    if (f == NULL || rig_cache_make(NULL) != 0) return -1;
    f->made = random_plan_make(&rig_shape, 5);
    f->batch = random_batch_make(&f->made->plan, 4, TOKENS, false, 6);
    coreml_sim_start(0);
    *state = f;
    return 0;
}

static int tear_down(void **state) {
    fixture *f = *state;
    const int wrong = coreml_sim_stop();
    random_batch_free(&f->batch);
    random_plan_free(f->made);
    free(f);
    (void)rig_cache_remove(NULL);
    return wrong;
}

static void expect(const tandem_error *err, tandem_status status, const char *text) {
    if (err->status != status || strstr(err->message, text) == NULL)
        fail_msg("status %d, \"%s\", expected %d, \"%s\"", (int)err->status, err->message,
                 (int)status, text);
}

static void expect_closed(const tandem_plan *plan, tandem_status status, const char *text) {
    tandem_error err;
    tandem_lane *lane = NULL;
    assert_int_equal(rig_try_open(plan, BATCH_TOKENS, 2, &lane, &err), status);
    assert_null(lane);
    expect(&err, status, text);
}

/* The machine. */

static void probe_says_what_there_is(void **state) {
    tandem_probe probe;
    (void)state;
    tandem__backend_ane.probe(&probe);
    assert_true(probe.is_available);
    assert_string_equal(probe.device, "Apple M0 Neural Engine");
    assert_string_equal(probe.reason, "");
}

static void old_systems_are_refused(void **state) {
    fixture *f = *state;
    tandem_probe probe;
    assert_int_equal(coreml_sim_stop(), 0);
    coreml_sim_start(1306);
    tandem__backend_ane.probe(&probe);
    assert_false(probe.is_available);
    assert_non_null(strstr(probe.reason, "macOS 14"));
    expect_closed(&f->made->plan, TANDEM_DEVICE, "macOS 14");
}

static void machines_without_an_engine_are_refused(void **state) {
    fixture *f = *state;
    tandem_probe probe;
    coreml_sim_set_faults(&(coreml_sim_faults){.has_no_engine = true});
    tandem__backend_ane.probe(&probe);
    assert_false(probe.is_available);
    assert_non_null(strstr(probe.reason, "no Neural Engine"));
    expect_closed(&f->made->plan, TANDEM_DEVICE, "no Neural Engine");
}

static void other_systems_are_refused(void **state) {
    fixture *f = *state;
    tandem_probe probe;
    assert_int_equal(coreml_sim_stop(), 0);
    tandem__backend_ane.probe(&probe);
    assert_false(probe.is_available);
    assert_non_null(strstr(probe.reason, "needs macOS"));
    expect_closed(&f->made->plan, TANDEM_DEVICE, "needs macOS");
    coreml_sim_start(0);
}

/* Opening. */

static void a_compiler_that_refuses_is_quoted(void **state) {
    fixture *f = *state;
    coreml_sim_set_faults(&(coreml_sim_faults){.compile_error = "espresso says no"});
    expect_closed(&f->made->plan, TANDEM_DEVICE, "espresso says no");
}

static void a_loader_that_refuses_is_quoted(void **state) {
    fixture *f = *state;
    coreml_sim_set_faults(&(coreml_sim_faults){.load_error = "not enough engine"});
    expect_closed(&f->made->plan, TANDEM_DEVICE, "not enough engine");
    assert_int_equal(coreml_sim_count().compiled, 3); /* new models are not made twice */
    coreml_sim_set_faults(&(coreml_sim_faults){.load_error = NULL});
    tandem__backend_ane.close(rig_open(&f->made->plan, BATCH_TOKENS));
    assert_int_equal(coreml_sim_count().compiled, 6); /* and not kept either */
}

static void flags_that_do_not_fit_are_named(void **state) {
    random_shape shape = rig_shape;
    (void)state;
    shape.hidden = 48;
    random_plan *made = random_plan_make(&shape, 1);
    expect_closed(&made->plan, TANDEM_UNSUPPORTED, "hidden 48");
    random_plan_free(made);
    shape = rig_shape;
    shape.layers = 0;
    made = random_plan_make(&shape, 1);
    expect_closed(&made->plan, TANDEM_UNSUPPORTED, "0 layers");
    random_plan_free(made);
    made = random_plan_make(&rig_shape, 1);
    const tandem_backend_options options = {
        .dtype = TANDEM_DTYPE_F32, .tokens_max = 64, .sequences_max = 4};
    tandem_lane *lane = NULL;
    assert_int_equal(tandem__backend_ane.open(&made->plan, &options, &lane, NULL),
                     TANDEM_UNSUPPORTED);
    random_plan_free(made);
}

static void many_windows_are_refused(void **state) {
    random_shape shape = rig_shape;
    (void)state;
    shape.hidden = 32;
    shape.heads = 1;
    shape.layers = 8;
    random_plan *made = random_plan_make(&shape, 1);
    for (int i = 0; i < 8; i++) made->layers[i].window = i + 1;
    tandem__backend_ane.close(rig_open(&made->plan, 32));
    random_plan_free(made);
}

static void weights_that_are_not_numbers_are_named(void **state) {
    fixture *f = *state;
    const float nan = NAN;
    char *weight = (char *)(uintptr_t)f->made->layers[1].up.weight.data;
    memcpy(weight + 4 * (64 + 3), &nan, sizeof nan);
    expect_closed(&f->made->plan, TANDEM_NUMERIC, "layer 1 ffn.up.weight: element 67 is nan");
}

static void weights_too_large_for_f16_are_named(void **state) {
    fixture *f = *state;
    const float large = 70000.0f;
    char *bias = (char *)(uintptr_t)f->made->layers[0].query.bias.data;
    memcpy(bias + 4 * 5, &large, sizeof large);
    /* The scale of the scores is in the weights of the query: these are not. */
    tandem__backend_ane.close(rig_open(&f->made->plan, BATCH_TOKENS));
    bias = (char *)(uintptr_t)f->made->layers[0].key.bias.data;
    memcpy(bias + 4 * 5, &large, sizeof large);
    expect_closed(&f->made->plan, TANDEM_NUMERIC, "layer 0 key.bias: element 5 is 70000");
}

static void words_that_are_not_numbers_are_named(void **state) {
    fixture *f = *state;
    const float infinity = INFINITY;
    tandem_error err = {.status = TANDEM_OK};
    tandem_ticket ticket = 0;
    const tandem_batch *batch = &f->batch.batch;
    char *word = (char *)(uintptr_t)f->made->plan.word.data;
    memcpy(word + 4 * (batch->ids[7] * 64 + 9), &infinity, sizeof infinity);
    tandem_lane *lane = rig_open(&f->made->plan, BATCH_TOKENS);
    assert_int_equal(
        tandem__backend_ane.submit(lane, batch, TANDEM_OUTPUT_TOKENS, f->out[0], &ticket, &err),
        TANDEM_NUMERIC);
    expect(&err, TANDEM_NUMERIC, "embeddings.word: element");
    tandem__backend_ane.close(lane);
}

static void every_view_is_given_back(void **state) {
    random_shape shape = rig_shape;
    (void)state;
    shape.position = TANDEM_POSITION_RELATIVE;
    shape.dense = 2;
    random_plan *made = random_plan_make(&shape, 1);
    tandem_lane *lane = rig_open(&made->plan, BATCH_TOKENS);
    const int64_t word = made->plan.word.rows * made->plan.word.cols * 4;
    assert_int_equal(made->released, random_plan_bytes(made) - word);
    tandem_capabilities has;
    tandem__backend_ane.capabilities(lane, &has);
    assert_true(has.weights_bytes > 0 && has.workspace_bytes > 0);
    assert_false(has.is_synchronous);
    assert_int_equal(has.in_flight_max, 2);
    assert_int_equal(has.bucket_count, 3);
    assert_int_equal(has.buckets[2], 128);
    tandem__backend_ane.close(lane);
    random_plan_free(made);
}

/* Each allocation of an open fails once. What was not recovered from says so. */
static void memory_runs_out_at_open(void **state) {
    random_shape shape = rig_shape;
    uint64_t all = 0;
    int failures = 0;
    (void)state;
    shape.layers = 1;
    shape.hidden = 32;
    shape.heads = 1;
    random_plan *made = random_plan_make(&shape, 1);
    for (uint64_t n = 0; n == 0 || n <= all; n++) {
        tandem_error err;
        tandem_lane *lane = NULL;
        char folder[300];
        (void)snprintf(folder, sizeof folder, "%s/%d", rig_cache, (int)n);
        assert_int_equal(setenv("XDG_CACHE_HOME", folder, 1), 0);
        const uint64_t before = tandem__mem_count();
        tandem__mem_fail_at(n);
        const tandem_status status = rig_try_open(&made->plan, 32, 1, &lane, &err);
        tandem__mem_fail_at(0);
        if (n == 0) all = tandem__mem_count() - before;
        if (status != TANDEM_OK) {
            assert_null(lane);
            assert_true(strlen(err.message) > 0);
            failures++;
        }
        tandem__backend_ane.close(lane);
    }
    assert_true(all > 10);
    assert_true(failures > (int)all / 2);
    random_plan_free(made);
}

/* The cache. */

static void compiled_models_are_kept(void **state) {
    fixture *f = *state;
    tandem__backend_ane.close(rig_open(&f->made->plan, BATCH_TOKENS));
    assert_int_equal(coreml_sim_count().compiled, 3);
    tandem__backend_ane.close(rig_open(&f->made->plan, BATCH_TOKENS));
    assert_int_equal(coreml_sim_count().compiled, 3);
    coreml_sim_set_build("23B74");
    tandem__backend_ane.close(rig_open(&f->made->plan, BATCH_TOKENS));
    assert_int_equal(coreml_sim_count().compiled, 6);
    random_plan *other = random_plan_make(&rig_shape, 6);
    tandem__backend_ane.close(rig_open(&other->plan, BATCH_TOKENS));
    assert_int_equal(coreml_sim_count().compiled, 9);
    random_plan_free(other);
}

/* The one line of a command. */
static void read_line(const char *command, char *line, size_t size) {
    FILE *pipe = popen(command, "r");
    assert_non_null(pipe);
    line[0] = '\0';
    (void)fgets(line, (int)size, pipe);
    line[strcspn(line, "\n")] = '\0';
    assert_int_equal(pclose(pipe), 0);
}

/* What was not used for two months goes when something new comes; what was used stays. */
static void old_models_are_removed(void **state) {
    fixture *f = *state;
    const struct timespec long_ago[2] = {{.tv_sec = 1600000000}, {.tv_sec = 1600000000}};
    char command[600];
    char line[512];
    tandem__backend_ane.close(rig_open(&f->made->plan, BATCH_TOKENS));
    (void)snprintf(command, sizeof command, "find %s -name files", rig_cache);
    read_line(command, line, sizeof line);
    assert_int_equal(utimensat(AT_FDCWD, line, long_ago, 0), 0);
    tandem__backend_ane.close(rig_open(&f->made->plan, BATCH_TOKENS)); /* used now */
    coreml_sim_set_build("23B74");
    tandem__backend_ane.close(rig_open(&f->made->plan, BATCH_TOKENS));
    assert_int_equal(access(line, F_OK), 0);
    assert_int_equal(utimensat(AT_FDCWD, line, long_ago, 0), 0);
    coreml_sim_set_build("23C71");
    tandem__backend_ane.close(rig_open(&f->made->plan, BATCH_TOKENS));
    assert_int_equal(access(line, F_OK), -1);
    coreml_sim_set_build("23B74");
    tandem__backend_ane.close(rig_open(&f->made->plan, BATCH_TOKENS));
    assert_int_equal(coreml_sim_count().compiled, 9);
}

/* Three models, one file of weights on disk. */
static void weights_are_kept_once(void **state) {
    fixture *f = *state;
    char command[512];
    char line[64];
    tandem__backend_ane.close(rig_open(&f->made->plan, BATCH_TOKENS));
    (void)snprintf(command, sizeof command,
                   "cd '%s' && find . -name weight.bin -links 3 | wc -l | tr -d ' '", rig_cache);
    read_line(command, line, sizeof line);
    assert_string_equal(line, "3");
    (void)snprintf(command, sizeof command, "cd '%s' && find . -name '*.part'", rig_cache);
    read_line(command, line, sizeof line);
    assert_string_equal(line, "");
}

/* A byte changed, a file gone, a file more: the models are made again. */
static void broken_models_are_made_again(void **state) {
    static const char *const damages[] = {
        "f=$(find . -name weight.bin | head -1); printf X 1<>$f; echo",
        "rm $(find . -name coremldata.bin | head -1); echo",
        "touch $(find . -name s32.mlmodelc)/more; echo",
        "rm $(find . -name files); echo",
    };
    fixture *f = *state;
    char command[1024];
    char line[512];
    float *expected = f->out[0];
    tandem_lane *lane = rig_open(&f->made->plan, BATCH_TOKENS);
    rig_run(lane, &f->batch.batch, TANDEM_OUTPUT_TOKENS, expected);
    tandem__backend_ane.close(lane);
    for (int i = 0; i < 4; i++) {
        (void)snprintf(command, sizeof command, "cd '%s' && %s", rig_cache, damages[i]);
        read_line(command, line, sizeof line);
        lane = rig_open(&f->made->plan, BATCH_TOKENS);
        assert_int_equal(coreml_sim_count().compiled, 3 * (i + 2));
        rig_run(lane, &f->batch.batch, TANDEM_OUTPUT_TOKENS, f->out[1]);
        assert_memory_equal(expected, f->out[1],
                            (size_t)f->batch.batch.tokens * 64 * sizeof *expected);
        tandem__backend_ane.close(lane);
    }
}

/* What is whole but is not loaded is made again once, and then given up. */
static void models_that_do_not_load_are_made_again(void **state) {
    fixture *f = *state;
    char command[600];
    char line[512];
    tandem__backend_ane.close(rig_open(&f->made->plan, BATCH_TOKENS));
    coreml_sim_set_faults(&(coreml_sim_faults){.load_error = "not today"});
    expect_closed(&f->made->plan, TANDEM_DEVICE, "not today");
    assert_int_equal(coreml_sim_count().compiled, 6);
    (void)snprintf(command, sizeof command, "find %s -type f | wc -l", rig_cache);
    read_line(command, line, sizeof line);
    assert_string_equal(line, "0"); /* nothing is left of either */
}

static void a_cache_that_cannot_be_written_is_named(void **state) {
    fixture *f = *state;
    char file[300];
    folder_write_text(rig_cache, "file", "no folder");
    (void)snprintf(file, sizeof file, "%s/file", rig_cache);
    assert_int_equal(setenv("XDG_CACHE_HOME", file, 1), 0);
    expect_closed(&f->made->plan, TANDEM_NOT_FOUND, "/file");
    assert_int_equal(unsetenv("XDG_CACHE_HOME"), 0);
    assert_int_equal(setenv("HOME", rig_cache, 1), 0);
    tandem__backend_ane.close(rig_open(&f->made->plan, BATCH_TOKENS));
    (void)snprintf(file, sizeof file, "%s/Library/Caches/tandem/ane", rig_cache);
    assert_int_equal(access(file, F_OK), 0);
    assert_int_equal(setenv("HOME", "", 1), 0);
    expect_closed(&f->made->plan, TANDEM_NOT_FOUND, "XDG_CACHE_HOME");
}

/* Batches. */

static void batches_that_do_not_fit_are_refused(void **state) {
    fixture *f = *state;
    tandem_error err = {.status = TANDEM_OK};
    tandem_ticket ticket = 0;
    random_shape shape = rig_shape;
    shape.positions = 600;
    random_plan *made = random_plan_make(&shape, 5);
    random_batch batch = random_batch_make(&made->plan, 1, 513, false, 6);
    tandem_lane *lane = rig_open(&made->plan, 600);
    assert_int_equal(tandem__backend_ane.submit(lane, &batch.batch, TANDEM_OUTPUT_TOKENS, f->out[0],
                                                &ticket, &err),
                     TANDEM_CAPACITY);
    expect(&err, TANDEM_CAPACITY, "513 tokens, the ane lane takes 512");
    err.status = TANDEM_OK;
    assert_int_equal(tandem__backend_ane.submit(lane, &f->batch.batch, TANDEM_OUTPUT_STATES,
                                                f->out[0], &ticket, &err),
                     TANDEM_UNSUPPORTED);
    err.status = TANDEM_OK;
    assert_int_equal(tandem__backend_ane.submit(lane, &f->batch.batch, TANDEM_OUTPUT_HEAD,
                                                f->out[0], &ticket, &err),
                     TANDEM_UNSUPPORTED);
    tandem__backend_ane.close(lane);
    random_batch_free(&batch);
    random_plan_free(made);
}

static void two_batches_are_under_way_at_once(void **state) {
    fixture *f = *state;
    tandem_error err = {.status = TANDEM_OK};
    tandem_ticket third = 0;
    const tandem_batch *batch = &f->batch.batch;
    tandem_lane *lane = rig_open(&f->made->plan, BATCH_TOKENS);
    coreml_sim_set_faults(&(coreml_sim_faults){.is_hanging = true});
    const tandem_ticket first = rig_submit(lane, batch, TANDEM_OUTPUT_TOKENS, f->out[0]);
    const tandem_ticket second = rig_submit(lane, batch, TANDEM_OUTPUT_TOKENS, f->out[1]);
    assert_true(first != 0 && second != 0 && first != second);
    assert_int_equal(
        tandem__backend_ane.submit(lane, batch, TANDEM_OUTPUT_TOKENS, f->out[0], &third, &err),
        TANDEM_CAPACITY);
    bool is_done = true;
    assert_int_equal(tandem__backend_ane.poll(lane, first, &is_done, &err), TANDEM_OK);
    assert_false(is_done);
    while (coreml_sim_count().at_once < 2) (void)usleep(1000);
    coreml_sim_set_faults(&(coreml_sim_faults){.is_hanging = false});
    assert_int_equal(tandem__backend_ane.wait(lane, second, LONG_NS, &err), TANDEM_OK);
    while (!is_done)
        assert_int_equal(tandem__backend_ane.poll(lane, first, &is_done, &err), TANDEM_OK);
    assert_memory_equal(f->out[0], f->out[1], (size_t)batch->tokens * 64 * sizeof(float));
    /* And of either worker two for each of two larger buckets, to see that they are right. */
    assert_in_range(coreml_sim_count().predicted, 2 * batch->sequences, 2 * batch->sequences + 8);
    assert_int_equal(coreml_sim_count().at_once, 2);
    tandem__backend_ane.close(lane);
}

static void a_prediction_that_fails_is_quoted(void **state) {
    fixture *f = *state;
    tandem_error err = {.status = TANDEM_OK};
    const tandem_batch *batch = &f->batch.batch;
    tandem_lane *lane = rig_open(&f->made->plan, BATCH_TOKENS);
    coreml_sim_set_faults(
        &(coreml_sim_faults){.predict_error = "the engine is cross", .predict_error_at = 2});
    const tandem_ticket ticket = rig_submit(lane, batch, TANDEM_OUTPUT_TOKENS, f->out[0]);
    assert_int_equal(tandem__backend_ane.wait(lane, ticket, LONG_NS, &err), TANDEM_DEVICE);
    expect(&err, TANDEM_DEVICE, "the engine is cross");
    rig_run(lane, batch, TANDEM_OUTPUT_TOKENS, f->out[0]); /* the next one is well */
    tandem__backend_ane.close(lane);
}

/* Rows of an array of Core ML's own are further apart than those that were asked for. */
static void arrays_of_the_systems_own_are_read(void **state) {
    fixture *f = *state;
    const tandem_batch *batch = &f->batch.batch;
    tandem_lane *lane = rig_open(&f->made->plan, BATCH_TOKENS);
    rig_run(lane, batch, TANDEM_OUTPUT_TOKENS, f->out[0]);
    coreml_sim_set_faults(&(coreml_sim_faults){.takes_no_backing = true});
    rig_run(lane, batch, TANDEM_OUTPUT_TOKENS, f->out[1]);
    assert_memory_equal(f->out[0], f->out[1], (size_t)batch->tokens * 64 * sizeof(float));
    tandem__backend_ane.close(lane);
}

static void what_is_not_finite_is_given_as_it_is(void **state) {
    fixture *f = *state;
    tandem_lane *lane = rig_open(&f->made->plan, BATCH_TOKENS);
    coreml_sim_set_faults(&(coreml_sim_faults){.writes_nan = true});
    rig_run(lane, &f->batch.batch, TANDEM_OUTPUT_TOKENS, f->out[0]);
    assert_true(isnan(f->out[0][0]));
    assert_true(isfinite(f->out[0][1]));
    tandem__backend_ane.close(lane);
}

/* Only the smallest bucket is checked when the lane opens; the others before they first answer. */
static void a_wrong_bucket_never_answers(void **state) {
    fixture *f = *state;
    tandem_error err = {.status = TANDEM_OK};
    random_batch longer = random_batch_make(&f->made->plan, 1, 40, false, 6);
    random_batch shorter = random_batch_make(&f->made->plan, 1, 20, false, 7);
    tandem_lane *lane = rig_open(&f->made->plan, BATCH_TOKENS);
    coreml_sim_set_faults(&(coreml_sim_faults){.wrong_from = 64});
    rig_run(lane, &shorter.batch, TANDEM_OUTPUT_TOKENS, f->out[0]);
    const tandem_ticket ticket = rig_submit(lane, &longer.batch, TANDEM_OUTPUT_TOKENS, f->out[0]);
    assert_int_equal(tandem__backend_ane.wait(lane, ticket, LONG_NS, &err), TANDEM_DEVICE);
    expect(&err, TANDEM_DEVICE, "the model of length 64 is wrong: cosine ");
    coreml_sim_set_faults(&(coreml_sim_faults){.wrong_from = 0});
    rig_run(lane, &longer.batch, TANDEM_OUTPUT_TOKENS, f->out[0]);
    tandem__backend_ane.close(lane);
    random_batch_free(&longer);
    random_batch_free(&shorter);
}

/* A text alone and among others. */
static void batches_do_not_matter(void **state) {
    fixture *f = *state;
    const tandem_batch *batch = &f->batch.batch;
    tandem_lane *lane = rig_open(&f->made->plan, BATCH_TOKENS);
    rig_run(lane, batch, TANDEM_OUTPUT_POOLED, f->out[0]);
    for (int i = 0; i < batch->sequences; i++) {
        int32_t offsets[2];
        const tandem_batch one = random_batch_one(&f->batch, i, offsets);
        rig_run(lane, &one, TANDEM_OUTPUT_POOLED, f->out[1]);
        assert_memory_equal(f->out[0] + 64 * i, f->out[1], 64 * sizeof(float));
    }
    tandem__backend_ane.close(lane);
}

/* Time. */

static void a_hanging_prediction_is_left_behind(void **state) {
    fixture *f = *state;
    tandem_error err = {.status = TANDEM_OK};
    int32_t offsets[2];
    const tandem_batch one = random_batch_one(&f->batch, 0, offsets);
    tandem_lane *lane = rig_open(&f->made->plan, BATCH_TOKENS);
    coreml_sim_set_faults(&(coreml_sim_faults){.is_hanging = true});
    const tandem_ticket ticket = rig_submit(lane, &one, TANDEM_OUTPUT_TOKENS, f->out[0]);
    assert_int_equal(tandem__backend_ane.wait(lane, ticket, SHORT_NS, &err), TANDEM_TIMEOUT);
    while (coreml_sim_count().predicted < 1) (void)usleep(1000);
    tandem__backend_ane.abandon(lane, ticket);
    memset(f->out[0], 0x55, sizeof f->out[0]);
    coreml_sim_set_faults(&(coreml_sim_faults){.is_hanging = false});
    rig_run(lane, &f->batch.batch, TANDEM_OUTPUT_TOKENS, f->out[1]);
    for (size_t i = 0; i < sizeof f->out[0]; i++)
        assert_int_equal(((const unsigned char *)f->out[0])[i], 0x55);
    tandem__backend_ane.close(lane);
}

/* One of two tickets hangs for good: the other worker serves the other. */
static void a_hang_does_not_stop_the_lane(void **state) {
    fixture *f = *state;
    int32_t offsets[2];
    const tandem_batch one = random_batch_one(&f->batch, 0, offsets);
    tandem_lane *lane = rig_open(&f->made->plan, BATCH_TOKENS);
    coreml_sim_set_faults(&(coreml_sim_faults){.is_hanging = true, .hanging_max = 1});
    const tandem_ticket ticket = rig_submit(lane, &one, TANDEM_OUTPUT_TOKENS, f->out[0]);
    while (coreml_sim_count().predicted < 1) (void)usleep(1000);
    tandem__backend_ane.abandon(lane, ticket);
    for (int i = 0; i < 5; i++) rig_run(lane, &f->batch.batch, TANDEM_OUTPUT_TOKENS, f->out[1]);
    coreml_sim_set_faults(&(coreml_sim_faults){.is_hanging = false});
    tandem__backend_ane.close(lane);
}

/* A lane that is closed with a prediction under way is freed by the thread that comes back. */
static void closing_does_not_wait_for_ever(void **state) {
    fixture *f = *state;
    int32_t offsets[2];
    const tandem_batch one = random_batch_one(&f->batch, 0, offsets);
    tandem_lane *lane = rig_open(&f->made->plan, BATCH_TOKENS);
    coreml_sim_set_faults(&(coreml_sim_faults){.is_hanging = true});
    (void)rig_submit(lane, &one, TANDEM_OUTPUT_TOKENS, f->out[0]);
    while (coreml_sim_count().predicted < 1) (void)usleep(1000);
    const uint64_t start_ns = tandem__clock_ns();
    tandem__backend_ane.close(lane);
    assert_true(tandem__clock_ns() - start_ns < 10000000000u);
    coreml_sim_set_faults(&(coreml_sim_faults){.is_hanging = false});
    while (objc_sim_live("MLModel") > 0) (void)usleep(1000);
    (void)usleep(100000); /* and then its memory */
    assert_int_equal(objc_sim_live(NULL), 0);
}

static void open_tickets_are_abandoned_at_close(void **state) {
    fixture *f = *state;
    tandem_lane *lane = rig_open(&f->made->plan, BATCH_TOKENS);
    (void)rig_submit(lane, &f->batch.batch, TANDEM_OUTPUT_TOKENS, f->out[0]);
    tandem__backend_ane.close(lane);
    tandem__backend_ane.close(NULL);
}

/* Explaining. */

typedef struct said {
    char text[8192];
} said;

static void hear(void *context, const char *op, const char *where, const char *how) {
    said *s = context;
    const size_t len = strlen(s->text);
    (void)snprintf(s->text + len, sizeof s->text - len, "%s | %s | %s\n", op, where, how);
}

static void explain(const tandem_plan *plan, int version, said *s) {
    assert_int_equal(coreml_sim_stop(), 0);
    coreml_sim_start(version);
    tandem_lane *lane = rig_open(plan, BATCH_TOKENS);
    s->text[0] = '\0';
    tandem__backend_ane.explain(lane, hear, s);
    tandem__backend_ane.close(lane);
}

static void operations_are_counted_by_device(void **state) {
    fixture *f = *state;
    said s;
    explain(&f->made->plan, 1404, &s);
    assert_non_null(strstr(s.text, "embeddings | processor"));
    assert_non_null(strstr(s.text, "length 32: conv x 12 | Neural Engine | Core ML's plan"));
    assert_non_null(strstr(s.text, "length 128: softmax x 4 | processor | Core ML's plan"));
    assert_null(strstr(s.text, "const"));
    explain(&f->made->plan, 1403, &s);
    assert_non_null(strstr(s.text, "layers | not said | this macOS cannot tell"));
    assert_int_equal(coreml_sim_stop(), 0);
    coreml_sim_start(1404);
    tandem_lane *lane = rig_open(&f->made->plan, BATCH_TOKENS);
    coreml_sim_set_faults(&(coreml_sim_faults){.plan_error = "no plan today"});
    s.text[0] = '\0';
    tandem__backend_ane.explain(lane, hear, &s);
    assert_non_null(strstr(s.text, "length 64 | not said | Core ML makes no plan: no plan today"));
    tandem__backend_ane.close(lane);
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, set_up, tear_down)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(probe_says_what_there_is),
        TEST(old_systems_are_refused),
        TEST(machines_without_an_engine_are_refused),
        TEST(other_systems_are_refused),
        TEST(a_compiler_that_refuses_is_quoted),
        TEST(a_loader_that_refuses_is_quoted),
        TEST(flags_that_do_not_fit_are_named),
        TEST(many_windows_are_refused),
        TEST(weights_that_are_not_numbers_are_named),
        TEST(weights_too_large_for_f16_are_named),
        TEST(words_that_are_not_numbers_are_named),
        TEST(every_view_is_given_back),
        TEST(memory_runs_out_at_open),
        TEST(compiled_models_are_kept),
        TEST(old_models_are_removed),
        TEST(weights_are_kept_once),
        TEST(broken_models_are_made_again),
        TEST(models_that_do_not_load_are_made_again),
        TEST(a_cache_that_cannot_be_written_is_named),
        TEST(batches_that_do_not_fit_are_refused),
        TEST(a_wrong_bucket_never_answers),
        TEST(two_batches_are_under_way_at_once),
        TEST(a_prediction_that_fails_is_quoted),
        TEST(arrays_of_the_systems_own_are_read),
        TEST(what_is_not_finite_is_given_as_it_is),
        TEST(batches_do_not_matter),
        TEST(a_hanging_prediction_is_left_behind),
        TEST(a_hang_does_not_stop_the_lane),
        TEST(closing_does_not_wait_for_ever),
        TEST(open_tickets_are_abandoned_at_close),
        TEST(operations_are_counted_by_device),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
