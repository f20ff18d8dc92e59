/* SPDX-License-Identifier: Apache-2.0 */
/* The host code of the metal lane over the stand-in for Metal: its life on three versions of macOS,
 * several batches at once, batches that hang and are left, callers side by side, and every failure
 * of the system, each with the reason that a user is told. Each test ends without leak or misuse.
 */
#include <limits.h>
#include <math.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/mem.h"
#include "metal_models.h"

enum { TOKENS_MAX = 120, SEQUENCES_MAX = 8, MS = 1000 * 1000 };

static const tandem_backend *const metal = &tandem__backend_metal;

static random_plan *make_plan(void) {
    return random_plan_make(&metal_shapes[0], 42);
}

static size_t floats_of(const tandem_plan *plan, const tandem_batch *batch) {
    return (size_t)batch->sequences * (size_t)plan->dimensions;
}

/* A lane opened, used and closed. */
static void live(const tandem_plan *plan) {
    tandem_lane *lane = metal_open(plan, TOKENS_MAX, SEQUENCES_MAX, 3);
    for (uint64_t i = 0; i < 3; i++) {
        random_batch batch = random_batch_make(plan, 3, 20, true, i);
        float *got = metal_run(lane, plan, &batch.batch, TANDEM_OUTPUT_POOLED);
        metal_compare("a life", plan, &batch.batch, TANDEM_OUTPUT_POOLED, got);
        free(got);
        random_batch_free(&batch);
    }
    metal->close(lane);
}

static void test_versions_and_limits(void **state) {
    static const int versions[] = {1400, 1500, 2600};
    static const unsigned long limits[] = {1024, 512, 256, 128};
    (void)state;
    random_plan *made = make_plan();
    for (int i = 0; i < 3; i++) {
        for (int j = 0; j < 4; j++) {
            tandem_probe probe;
            metal_sim_start(&(metal_sim_options){
                .version = versions[i], .build = MSL_CHECKED, .threads_max = limits[j]});
            metal->probe(&probe);
            assert_true(probe.is_available);
            assert_string_equal(probe.device, "a simulated GPU");
            assert_int_equal(metal_sim_compiles(), 0);
            live(&made->plan);
            live(&made->plan); /* finds the pipelines compiled */
            assert_int_equal(metal_sim_compiles(), 1);
            assert_int_equal(metal_sim_batches(), 6);
            assert_int_equal(metal_sim_dispatches(), 6 * (2 + 7 * made->plan.layer_count));
            metal_stop();
        }
    }
    random_plan_free(made);
}

/* Pipelines that allow too few threads for the large tiles leave the narrow one. */
static void test_narrow_pipelines(void **state) {
    static const char *const kernels[] = {"gemm_64x64", "gemm_32x32"};
    (void)state;
    random_plan *made = make_plan();
    for (int i = 0; i < 2; i++) {
        metal_sim_start(&(metal_sim_options){.build = MSL_FAST, .narrow = kernels[i]});
        live(&made->plan);
        metal_stop();
    }
    random_plan_free(made);
}

static void test_several_in_flight(void **state) {
    enum { COUNT = 3 };
    (void)state;
    random_plan *made = make_plan();
    const tandem_plan *plan = &made->plan;
    random_batch batches[COUNT + 1];
    float *alone[COUNT];
    float *out[COUNT];
    tandem_ticket tickets[COUNT + 1];
    tandem_error err = {0};
    metal_sim_start(&(metal_sim_options){.build = MSL_CHECKED});
    tandem_lane *lane = metal_open(plan, TOKENS_MAX, SEQUENCES_MAX, 9);
    tandem_capabilities capabilities;
    metal->capabilities(lane, &capabilities);
    assert_int_equal(capabilities.in_flight_max, COUNT);
    assert_false(capabilities.is_synchronous);
    assert_int_equal(capabilities.dtype, TANDEM_DTYPE_F16);
    for (int i = 0; i <= COUNT; i++)
        batches[i] = random_batch_make(plan, 2 + i, 20, true, (uint64_t)i);
    for (int i = 0; i < COUNT; i++) {
        alone[i] = metal_run(lane, plan, &batches[i].batch, TANDEM_OUTPUT_POOLED);
        out[i] = calloc(floats_of(plan, &batches[i].batch), sizeof(float));
    }
    for (int i = 0; i < COUNT; i++) {
        assert_int_equal(
            metal->submit(lane, &batches[i].batch, TANDEM_OUTPUT_POOLED, out[i], &tickets[i], &err),
            TANDEM_OK);
    }
    assert_int_equal(metal->submit(lane, &batches[COUNT].batch, TANDEM_OUTPUT_POOLED, out[0],
                                   &tickets[COUNT], &err),
                     TANDEM_CAPACITY);
    for (int i = COUNT - 1; i >= 0; i--) { /* the last one first */
        bool is_done = false;
        while (i == 1 && !is_done)
            assert_int_equal(metal->poll(lane, tickets[i], &is_done, &err), TANDEM_OK);
        if (i != 1) assert_int_equal(metal->wait(lane, tickets[i], UINT64_MAX, &err), TANDEM_OK);
        assert_memory_equal(out[i], alone[i], floats_of(plan, &batches[i].batch) * sizeof(float));
    }
    for (int i = 0; i <= COUNT; i++) random_batch_free(&batches[i]);
    for (int i = 0; i < COUNT; i++) free(alone[i]);
    for (int i = 0; i < COUNT; i++) free(out[i]);
    metal->close(lane);
    metal_stop();
    random_plan_free(made);
}

/* A batch that hangs: waited for no longer than asked, left, and its workspace not used before the
 * device has done with it. */
static void test_hang(void **state) {
    (void)state;
    random_plan *made = make_plan();
    const tandem_plan *plan = &made->plan;
    random_batch batch = random_batch_make(plan, 2, 20, true, 1);
    const size_t bytes = floats_of(plan, &batch.batch) * sizeof(float);
    float *out = malloc(bytes);
    float *before = malloc(bytes);
    tandem_ticket ticket = 0;
    tandem_error err = {0};
    bool is_done = true;
    memset(out, 7, bytes);
    memcpy(before, out, bytes);
    (void)alarm(30); /* ends a test that waits for the device after all */
    metal_sim_start(&(metal_sim_options){.build = MSL_CHECKED});
    tandem_lane *lane = metal_open(plan, TOKENS_MAX, SEQUENCES_MAX, 2);
    metal_sim_hang(true);
    for (int i = 0; i < 2; i++) {
        assert_int_equal(
            metal->submit(lane, &batch.batch, TANDEM_OUTPUT_POOLED, out, &ticket, &err), TANDEM_OK);
        assert_int_equal(metal->poll(lane, ticket, &is_done, &err), TANDEM_OK);
        assert_false(is_done);
        tandem_error timeout = {0};
        assert_int_equal(metal->wait(lane, ticket, 30 * MS, &timeout), TANDEM_TIMEOUT);
        assert_non_null(strstr(timeout.message, "not done after 30 ms"));
        metal->abandon(lane, ticket);
        metal->abandon(lane, ticket); /* a ticket that is over: nothing */
    }
    assert_int_equal(metal->submit(lane, &batch.batch, TANDEM_OUTPUT_POOLED, out, &ticket, &err),
                     TANDEM_CAPACITY);
    metal_sim_hang(false);
    while (metal_sim_pending() > 0) {
    }
    assert_memory_equal(out, before, bytes); /* nobody wrote to what was given up */
    float *got = metal_run(lane, plan, &batch.batch, TANDEM_OUTPUT_POOLED);
    metal_compare("after a hang", plan, &batch.batch, TANDEM_OUTPUT_POOLED, got);
    free(got);
    metal->close(lane);
    metal_stop();
    (void)alarm(0);
    free(out);
    free(before);
    random_batch_free(&batch);
    random_plan_free(made);
}

/* Closing does not wait for a device that hangs, and takes nothing from under one that goes on. */
static void test_close_under_way(void **state) {
    (void)state;
    random_plan *made = make_plan();
    random_batch batch = random_batch_make(&made->plan, 2, 20, true, 1);
    float *out = calloc(floats_of(&made->plan, &batch.batch), sizeof *out);
    for (int goes_on = 0; goes_on < 2; goes_on++) {
        tandem_ticket ticket = 0;
        tandem_error err = {0};
        metal_sim_start(&(metal_sim_options){.build = MSL_CHECKED});
        tandem_lane *lane = metal_open(&made->plan, TOKENS_MAX, SEQUENCES_MAX, 2);
        metal_sim_hang(true);
        for (int i = 0; i < 2; i++) {
            assert_int_equal(
                metal->submit(lane, &batch.batch, TANDEM_OUTPUT_POOLED, out, &ticket, &err),
                TANDEM_OK);
        }
        metal->abandon(lane, ticket);
        metal->close(lane);
        assert_int_equal(metal_sim_pending(), 2);
        if (goes_on) metal_sim_hang(false);
        metal_stop();
    }
    metal->close(NULL);
    free(out);
    random_batch_free(&batch);
    random_plan_free(made);
}

typedef struct caller {
    tandem_lane *lane;
    const tandem_plan *plan;
    random_batch batch;
    float *expected;
    int differences;
} caller;

static void *call(void *argument) {
    caller *self = argument;
    const size_t bytes = floats_of(self->plan, &self->batch.batch) * sizeof(float);
    float *out = malloc(bytes);
    for (int i = 0; i < 6; i++) {
        tandem_ticket ticket = 0;
        tandem_status status = TANDEM_CAPACITY;
        while (status == TANDEM_CAPACITY) {
            status = metal->submit(self->lane, &self->batch.batch, TANDEM_OUTPUT_POOLED, out,
                                   &ticket, NULL);
        }
        if (status == TANDEM_OK) status = metal->wait(self->lane, ticket, UINT64_MAX, NULL);
        if (status != TANDEM_OK || memcmp(out, self->expected, bytes) != 0) self->differences++;
    }
    free(out);
    return NULL;
}

static void test_callers_at_the_same_time(void **state) {
    enum { CALLERS = 4 };
    (void)state;
    random_plan *made = make_plan();
    caller callers[CALLERS];
    pthread_t threads[CALLERS];
    metal_sim_start(&(metal_sim_options){.build = MSL_FAST});
    tandem_lane *lane = metal_open(&made->plan, TOKENS_MAX, SEQUENCES_MAX, 3);
    for (int i = 0; i < CALLERS; i++) {
        callers[i] = (caller){.lane = lane, .plan = &made->plan};
        callers[i].batch = random_batch_make(&made->plan, 1 + i, 25, true, (uint64_t)i);
        callers[i].expected =
            metal_run(lane, &made->plan, &callers[i].batch.batch, TANDEM_OUTPUT_POOLED);
    }
    for (int i = 0; i < CALLERS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, call, &callers[i]), 0);
    for (int i = 0; i < CALLERS; i++) {
        assert_int_equal(pthread_join(threads[i], NULL), 0);
        assert_int_equal(callers[i].differences, 0);
        free(callers[i].expected);
        random_batch_free(&callers[i].batch);
    }
    metal->close(lane);
    metal_stop();
    random_plan_free(made);
}

typedef struct waiter {
    tandem_lane *lane;
    tandem_ticket ticket;
    tandem_status status;
} waiter;

static void *wait_long(void *argument) {
    waiter *self = argument;
    self->status = metal->wait(self->lane, self->ticket, UINT64_MAX, NULL);
    return NULL;
}

/* A ticket given up by one thread while another waits for it: the waiter is told, the workspace is
 * not used by the next batch before it has left. */
static void test_abandon_under_a_waiter(void **state) {
    (void)state;
    random_plan *made = make_plan();
    random_batch batch = random_batch_make(&made->plan, 2, 20, true, 1);
    float *out = calloc(floats_of(&made->plan, &batch.batch), sizeof *out);
    tandem_ticket ticket = 0;
    pthread_t thread;
    metal_sim_start(&(metal_sim_options){.build = MSL_FAST});
    tandem_lane *lane = metal_open(&made->plan, TOKENS_MAX, SEQUENCES_MAX, 1);
    metal_sim_hang(true);
    assert_int_equal(metal->submit(lane, &batch.batch, TANDEM_OUTPUT_POOLED, out, &ticket, NULL),
                     TANDEM_OK);
    waiter waiting = {.lane = lane, .ticket = ticket};
    assert_int_equal(pthread_create(&thread, NULL, wait_long, &waiting), 0);
    (void)usleep(30 * 1000);
    metal->abandon(lane, ticket);
    assert_int_equal(metal->wait(lane, ticket, 0, NULL), TANDEM_CANCELLED);
    metal_sim_hang(false);
    assert_int_equal(pthread_join(thread, NULL), 0);
    assert_int_equal(waiting.status, TANDEM_CANCELLED);
    for (size_t i = 0; i < floats_of(&made->plan, &batch.batch); i++) assert_true(out[i] == 0.0f);
    free(metal_run(lane, &made->plan, &batch.batch, TANDEM_OUTPUT_POOLED));
    metal->close(lane);
    metal_stop();
    free(out);
    random_batch_free(&batch);
    random_plan_free(made);
}

/* Failures of the system. */

typedef struct failure {
    metal_sim_options system;
    tandem_status status;
    const char *reason;
    bool is_probed; /* already the probe says so */
} failure;

static void check_failure(const tandem_plan *plan, const failure *f) {
    const tandem_backend_options options = {.dtype = TANDEM_DTYPE_F16,
                                            .tokens_max = TOKENS_MAX,
                                            .sequences_max = SEQUENCES_MAX,
                                            .in_flight_max = 2};
    tandem_probe probe;
    tandem_error err = {0};
    tandem_lane *lane = NULL;
    metal_sim_start(&f->system);
    metal->probe(&probe);
    assert_int_equal(probe.is_available, !f->is_probed);
    if (f->is_probed && strstr(probe.reason, f->reason) == NULL)
        fail_msg("\"%s\" says nothing of \"%s\"", probe.reason, f->reason);
    assert_int_equal(metal->open(plan, &options, &lane, &err), f->status);
    assert_null(lane);
    if (strstr(err.message, f->reason) == NULL)
        fail_msg("\"%s\" says nothing of \"%s\"", err.message, f->reason);
    metal_stop();
}

static void test_failures(void **state) {
    static const failure failures[] = {
        {{.version = 1306}, TANDEM_DEVICE, "needs macOS 14.0 or newer", true},
        {{.missing = "libobjc"}, TANDEM_DEVICE, "needs macOS: this system has no /usr/lib", true},
        {{.missing = "Metal"}, TANDEM_DEVICE, "this macOS has no framework Metal", true},
        {{.missing = "MTLCreateSystemDefaultDevice"},
         TANDEM_DEVICE,
         "has no MTLCreateSystemDefaultDevice",
         true},
        {{.has_no_device = true}, TANDEM_DEVICE, "Metal finds no GPU", true},
        {{.family = 1006}, TANDEM_DEVICE, "needs a GPU of family Apple7", true},
        {{.threadgroup_memory = 16384}, TANDEM_DEVICE, "a simulated GPU has 16384", true},
        {{.compile_error = "program_source:7: no such type"},
         TANDEM_DEVICE,
         "the kernels do not compile: program_source:7: no such type",
         false},
        {{.no_function = "rope"}, TANDEM_DEVICE, "the library has no kernel rope", false},
        {{.pipeline_error = "out of registers"},
         TANDEM_DEVICE,
         "no pipeline for kernel embed: out of registers",
         false},
        {{.simd_width = 64}, TANDEM_DEVICE, "simdgroups of 64 threads, expected 32", false},
        {{.narrow = "embed"}, TANDEM_DEVICE, "kernel embed fewer than its 128 threads", false},
        {{.narrow = "attention_32"}, TANDEM_DEVICE, "kernel attention_32 fewer", false},
        {{.narrow = "gemm_16x32"}, TANDEM_DEVICE, "kernel gemm_16x32 fewer", false},
        {{.working_set = 20000}, TANDEM_MEMORY, "this GPU's working set is 20000", false},
        {{.working_set = 40000}, TANDEM_MEMORY, "this GPU's working set is 40000", false},
        {{.buffer_max = 10000}, TANDEM_MEMORY, "this GPU takes 10000", false},
    };
    (void)state;
    random_plan *made = make_plan();
    for (size_t i = 0; i < sizeof failures / sizeof failures[0]; i++)
        check_failure(&made->plan, &failures[i]);
    /* Each buffer in turn: the weights' and those of two workspaces. */
    for (int i = 1; i <= 23; i++) {
        const failure f = {{.fail_buffer = i}, TANDEM_MEMORY, "metal: no buffer", false};
        check_failure(&made->plan, &f);
    }
    random_plan_free(made);
}

/* A framework that may be missing. */
static void test_without_graphics(void **state) {
    (void)state;
    random_plan *made = make_plan();
    metal_sim_start(&(metal_sim_options){.build = MSL_FAST, .missing = "CoreGraphics"});
    live(&made->plan);
    metal_stop();
    random_plan_free(made);
}

/* Where there is no macOS, by dlopen itself. */
static void test_this_system(void **state) {
    tandem_probe probe;
    (void)state;
    metal->probe(&probe);
    assert_false(probe.is_available);
    assert_non_null(strstr(probe.reason, "needs macOS"));
}

static void test_failed_batch(void **state) {
    (void)state;
    random_plan *made = make_plan();
    const tandem_plan *plan = &made->plan;
    random_batch batch = random_batch_make(plan, 2, 20, true, 1);
    float *out = calloc(floats_of(plan, &batch.batch), sizeof *out);
    tandem_ticket ticket = 0;
    metal_sim_start(&(metal_sim_options){.build = MSL_FAST});
    tandem_lane *lane = metal_open(plan, TOKENS_MAX, SEQUENCES_MAX, 1);
    metal_sim_fail("Caused GPU Timeout Error");
    for (int i = 0; i < 3; i++) {
        tandem_error err = {0};
        bool is_done = false;
        assert_int_equal(
            metal->submit(lane, &batch.batch, TANDEM_OUTPUT_POOLED, out, &ticket, &err), TANDEM_OK);
        tandem_status status = TANDEM_OK;
        if (i == 0) status = metal->wait(lane, ticket, UINT64_MAX, &err);
        while (i > 0 && !is_done) status = metal->poll(lane, ticket, &is_done, &err);
        assert_int_equal(status, TANDEM_DEVICE);
        assert_string_equal(err.message, "metal: the batch failed: Caused GPU Timeout Error");
    }
    metal_sim_fail(NULL);
    float *got = metal_run(lane, plan, &batch.batch, TANDEM_OUTPUT_POOLED);
    metal_compare("after a failure", plan, &batch.batch, TANDEM_OUTPUT_POOLED, got);
    free(got);
    free(out);
    metal->close(lane);
    metal_stop();
    random_batch_free(&batch);
    random_plan_free(made);
}

/* A large batch is several command buffers; one that fails, or that there is none of, is an error
 * of the batch, and the lane serves the next one. */
static void test_many_commands(void **state) {
    (void)state;
    random_plan *made = make_plan();
    const tandem_plan *plan = &made->plan;
    random_batch batch = random_batch_make(plan, 2, 20, true, 1);
    float *out = calloc(floats_of(plan, &batch.batch), sizeof *out);
    tandem__metal_cut(1);
    metal_sim_start(&(metal_sim_options){.build = MSL_CHECKED});
    live(plan);
    const int pieces = metal_sim_batches() / 3;
    assert_in_range(pieces, 5, 16);
    metal_stop();
    for (int i = 0; i < 2 * pieces; i++) {
        tandem_ticket ticket = 0;
        tandem_error err = {0};
        const bool is_nil = i % 2 == 0;
        metal_sim_start(&(metal_sim_options){.build = MSL_FAST,
                                             .nil_commands = is_nil ? i / 2 + 1 : 0,
                                             .fail_run = is_nil ? 0 : i / 2 + 1});
        tandem_lane *lane = metal_open(plan, TOKENS_MAX, SEQUENCES_MAX, 1);
        tandem_status status =
            metal->submit(lane, &batch.batch, TANDEM_OUTPUT_POOLED, out, &ticket, &err);
        if (!is_nil) {
            assert_int_equal(status, TANDEM_OK);
            status = metal->wait(lane, ticket, UINT64_MAX, &err);
        }
        assert_int_equal(status, TANDEM_DEVICE);
        assert_string_equal(err.message, is_nil
                                             ? "metal: no command encoder"
                                             : "metal: the batch failed: Impacting Interactivity");
        while (metal_sim_pending() > 0) {
        }
        float *got = metal_run(lane, plan, &batch.batch, TANDEM_OUTPUT_POOLED);
        metal_compare("after commands that failed", plan, &batch.batch, TANDEM_OUTPUT_POOLED, got);
        free(got);
        metal->close(lane);
        metal_stop();
    }
    tandem__metal_cut(0);
    free(out);
    random_batch_free(&batch);
    random_plan_free(made);
}

/* The working set bounds how many batches are under way; the stand-in counts every byte. */
static void test_fewer_in_flight(void **state) {
    (void)state;
    random_plan *made = make_plan();
    tandem_capabilities capabilities;
    uint64_t bytes[3];
    for (int i = 0; i < 3; i++) {
        metal_sim_start(&(metal_sim_options){.build = MSL_FAST});
        tandem_lane *lane = metal_open(&made->plan, TOKENS_MAX, SEQUENCES_MAX, i + 1);
        bytes[i] = metal_sim_bytes();
        metal->close(lane);
        metal_stop();
    }
    for (int in_flight = 3; in_flight >= 1; in_flight--) {
        metal_sim_start(
            &(metal_sim_options){.build = MSL_FAST, .working_set = bytes[in_flight - 1]});
        tandem_lane *lane = metal_open(&made->plan, TOKENS_MAX, SEQUENCES_MAX, 3);
        metal->capabilities(lane, &capabilities);
        assert_int_equal(capabilities.in_flight_max, in_flight);
        metal->close(lane);
        metal_stop();
    }
    random_plan_free(made);
}

/* What the lane refuses by itself. */
static void refuse(const random_shape *shape, tandem_dtype dtype, tandem_status status,
                   const char *reason) {
    const tandem_backend_options options = {.dtype = dtype,
                                            .tokens_max = TOKENS_MAX,
                                            .sequences_max = SEQUENCES_MAX,
                                            .in_flight_max = 1};
    random_plan *made = random_plan_make(shape, 1);
    tandem_lane *lane = NULL;
    tandem_error err = {0};
    assert_int_equal(metal->open(&made->plan, &options, &lane, &err), status);
    if (strstr(err.message, reason) == NULL)
        fail_msg("\"%s\" says nothing of \"%s\"", err.message, reason);
    random_plan_free(made);
}

static void test_refusals(void **state) {
    (void)state;
    metal_sim_start(&(metal_sim_options){.build = MSL_FAST});
    random_shape shape = metal_shapes[0];
    assert_false(metal->has_dtype(TANDEM_DTYPE_F32));
    assert_true(metal->has_dtype(TANDEM_DTYPE_F16));
    refuse(&shape, TANDEM_DTYPE_F32, TANDEM_UNSUPPORTED, "has the mode f16");
    shape.head_dim = 12;
    refuse(&shape, TANDEM_DTYPE_F16, TANDEM_UNSUPPORTED, "a multiple of 8 as head_dim, not 12");
    shape.head_dim = 136;
    refuse(&shape, TANDEM_DTYPE_F16, TANDEM_UNSUPPORTED, "heads of up to 128, not 136");
    shape = metal_shapes[0];
    shape.hidden = 20;
    refuse(&shape, TANDEM_DTYPE_F16, TANDEM_UNSUPPORTED, "a multiple of 8 as hidden, not 20");
    shape = metal_shapes[0];
    shape.ffn = 42;
    refuse(&shape, TANDEM_DTYPE_F16, TANDEM_UNSUPPORTED, "a multiple of 8 as ffn, not 42");
    shape = metal_shapes[4];
    shape.embedding = 12;
    refuse(&shape, TANDEM_DTYPE_F16, TANDEM_UNSUPPORTED, "the width of the word table, not 12");
    assert_int_equal(metal_sim_compiles(), 0); /* before the device is asked for anything */
    metal_stop();
}

/* More tokens than the kernels' indices reach, on a device that has the memory. */
static void test_too_many_tokens(void **state) {
    (void)state;
    const tandem_backend_options options = {
        .dtype = TANDEM_DTYPE_F16, .tokens_max = 1 << 26, .sequences_max = 2, .in_flight_max = 1};
    metal_sim_start(&(metal_sim_options){
        .build = MSL_FAST, .working_set = UINT64_MAX / 2, .buffer_max = ULONG_MAX / 2});
    random_plan *made = random_plan_make(&metal_shapes[0], 1);
    tandem_lane *lane = NULL;
    tandem_error err = {0};
    assert_int_equal(metal->open(&made->plan, &options, &lane, &err), TANDEM_UNSUPPORTED);
    assert_non_null(strstr(err.message, "tokens a batch of this model, not 67108864"));
    random_plan_free(made);
    metal_stop();
}

/* A weight that is no number, or too large for f16, by name. */
static void test_bad_weights(void **state) {
    static const float values[] = {NAN, -INFINITY, 65536.0f};
    static const char *const words[] = {"nan", "-inf", "65536"};
    (void)state;
    metal_sim_start(&(metal_sim_options){.build = MSL_FAST});
    const tandem_backend_options options = {
        .dtype = TANDEM_DTYPE_F16, .tokens_max = 20, .sequences_max = 2, .in_flight_max = 1};
    for (int i = 0; i < 3; i++) {
        random_plan *made = make_plan();
        tandem_lane *lane = NULL;
        tandem_error err = {0};
        char *weight = (char *)(uintptr_t)made->layers[1].down.weight.data;
        memcpy(weight + 3 * sizeof(float), &values[i], sizeof(float)); /* not aligned */
        assert_int_equal(metal->open(&made->plan, &options, &lane, &err), TANDEM_NUMERIC);
        assert_non_null(strstr(err.message, "layer 1 ffn.down.weight: element 3"));
        assert_non_null(strstr(err.message, words[i]));
        random_plan_free(made);
    }
    metal_stop();
}

static void test_bad_batches(void **state) {
    (void)state;
    random_plan *made = make_plan();
    random_batch batch = random_batch_make(&made->plan, 2, 20, true, 1);
    tandem_ticket ticket = 0;
    float out[1];
    metal_sim_start(&(metal_sim_options){.build = MSL_FAST});
    tandem_lane *lane = metal_open(&made->plan, 30, 1, 1);
    assert_int_equal(metal->submit(lane, &batch.batch, TANDEM_OUTPUT_POOLED, out, &ticket, NULL),
                     TANDEM_CAPACITY);
    assert_int_equal(metal->submit(lane, &batch.batch, TANDEM_OUTPUT_HEAD, out, &ticket, NULL),
                     TANDEM_UNSUPPORTED);
    assert_int_equal(metal->submit(lane, &batch.batch, TANDEM_OUTPUT_STATES, out, &ticket, NULL),
                     TANDEM_UNSUPPORTED);
    batch.batch.sequences = 1;
    batch.batch.tokens = batch.offsets[1];
    batch.ids[0] = made->plan.vocab;
    assert_int_equal(metal->submit(lane, &batch.batch, TANDEM_OUTPUT_POOLED, out, &ticket, NULL),
                     TANDEM_INVALID);
    assert_int_equal(metal_sim_batches(), 0);
    metal->close(lane);
    metal_stop();
    random_batch_free(&batch);
    random_plan_free(made);
}

/* Every allocation of open fails in turn; after it, a batch makes none. */
static void test_memory(void **state) {
    (void)state;
    const tandem_backend_options options = {
        .dtype = TANDEM_DTYPE_F16, .tokens_max = 60, .sequences_max = 2, .in_flight_max = 2};
    random_plan *made = random_plan_make(&metal_shapes[9], 42);
    const tandem_plan *plan = &made->plan;
    tandem_lane *lane = NULL;
    tandem_status status = TANDEM_MEMORY;
    metal_sim_start(&(metal_sim_options){.build = MSL_FAST});
    int failures = 0;
    for (uint64_t n = 1; status != TANDEM_OK; n++) {
        tandem_error err = {0};
        tandem__mem_fail_at(n);
        status = metal->open(plan, &options, &lane, &err);
        tandem__mem_fail_at(0);
        assert_true(status == TANDEM_OK || status == TANDEM_MEMORY);
        failures += status == TANDEM_MEMORY;
    }
    assert_true(failures >= 6);
    const uint64_t before = tandem__mem_count();
    random_batch batch = random_batch_make(plan, 2, 20, false, 1);
    float *out = metal_run(lane, plan, &batch.batch, TANDEM_OUTPUT_SPARSE);
    free(out);
    assert_int_equal(tandem__mem_count(), before);
    random_batch_free(&batch);
    metal->close(lane);
    metal_stop();
    random_plan_free(made);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(test_this_system, metal_tear_down),
        cmocka_unit_test_teardown(test_versions_and_limits, metal_tear_down),
        cmocka_unit_test_teardown(test_narrow_pipelines, metal_tear_down),
        cmocka_unit_test_teardown(test_several_in_flight, metal_tear_down),
        cmocka_unit_test_teardown(test_hang, metal_tear_down),
        cmocka_unit_test_teardown(test_close_under_way, metal_tear_down),
        cmocka_unit_test_teardown(test_callers_at_the_same_time, metal_tear_down),
        cmocka_unit_test_teardown(test_abandon_under_a_waiter, metal_tear_down),
        cmocka_unit_test_teardown(test_failures, metal_tear_down),
        cmocka_unit_test_teardown(test_without_graphics, metal_tear_down),
        cmocka_unit_test_teardown(test_failed_batch, metal_tear_down),
        cmocka_unit_test_teardown(test_many_commands, metal_tear_down),
        cmocka_unit_test_teardown(test_fewer_in_flight, metal_tear_down),
        cmocka_unit_test_teardown(test_refusals, metal_tear_down),
        cmocka_unit_test_teardown(test_bad_weights, metal_tear_down),
        cmocka_unit_test_teardown(test_bad_batches, metal_tear_down),
        cmocka_unit_test_teardown(test_memory, metal_tear_down),
        cmocka_unit_test_teardown(test_too_many_tokens, metal_tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
