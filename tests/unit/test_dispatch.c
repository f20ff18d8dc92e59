/* SPDX-License-Identifier: Apache-2.0 */
/* The engine's threads over simulated lanes in real time: blocking calls, calls that do not block,
 * lanes that fail, and many callers at once. */
#include <poll.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include "base/chance.h"
#include "base/clock.h"
#include "base/mem.h"
#include "support/sim_lanes.h"

#define MS ((uint64_t)1000000)

static const int32_t some_ids[] = {2, 5, 6, 3, 2, 7, 3};
static const int32_t some_offsets[] = {0, 4, 7};

static tandem_engine *opened;

static tandem_engine *engine_open(const double text_us[SIM_LANES],
                                  const tandem_engine_options *options) {
    opened = sim_engine_open(text_us, options);
    return opened;
}

static void engine_close(tandem_engine *engine) {
    tandem_engine_close(engine);
    opened = NULL;
}

/* A test that failed leaves nothing at work behind the next one. */
static int close_opened(void **state) {
    (void)state;
    sim_engine_broken(-1);
    engine_close(opened);
    return 0;
}

static tandem_request one_text(void) {
    return (tandem_request){.ids = some_ids, .id_offsets = some_offsets, .count = 1};
}

static void infer(tandem_engine *engine, const tandem_request *request, tandem_result *result) {
    tandem_error err = {0};
    if (tandem_engine_infer(engine, request, result, &err) != TANDEM_OK)
        fail_msg("%s", err.message);
}

static int by_size(const void *a, const void *b) {
    const uint64_t x = *(const uint64_t *)a;
    const uint64_t y = *(const uint64_t *)b;
    return (x > y) - (x < y);
}

/* A lane that costs nothing: what is left is the pipeline's own time. */
static void test_overhead(void **state) {
    (void)state;
    enum { COUNT = 5001 };
    static uint64_t ns[COUNT];
    tandem_engine *engine = engine_open((double[]){0, -1, -1}, NULL);
    tandem_result result = {0};
    const tandem_request request = one_text();
    for (int i = 0; i < 100; i++) infer(engine, &request, &result);
    const uint64_t before = tandem__mem_count();
    for (int i = 0; i < COUNT; i++) {
        const uint64_t start_ns = tandem__clock_ns();
        infer(engine, &request, &result);
        ns[i] = tandem__clock_ns() - start_ns;
    }
    assert_int_equal(tandem__mem_count(), before);
    qsort(ns, COUNT, sizeof ns[0], by_size);
    print_message("overhead of a blocking call: p50 %.1f us, p95 %.1f us\n",
                  (double)ns[COUNT / 2] / 1e3, (double)ns[COUNT * 95 / 100] / 1e3);
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__) && defined(NDEBUG)
    assert_true(ns[COUNT / 2] <= 15000);
#endif
    tandem_result_deinit(&result);
    engine_close(engine);
}

static void test_priorities_find_lanes(void **state) {
    (void)state;
    tandem_engine *engine = engine_open((double[]){1000, 20000, 60000}, NULL);
    tandem_result result = {0};
    tandem_request request = one_text();
    request.priority = TANDEM_PRIORITY_REALTIME;
    infer(engine, &request, &result);
    assert_string_equal(result.lane, "ane");
    assert_string_equal(result.reason, "earliest predicted finish");
    request.priority = TANDEM_PRIORITY_STANDARD;
    infer(engine, &request, &result);
    assert_string_equal(result.lane, "metal");
    request.priority = TANDEM_PRIORITY_BACKGROUND;
    infer(engine, &request, &result);
    assert_string_equal(result.lane, "cpu");
    request.lane = "metal";
    infer(engine, &request, &result);
    assert_string_equal(result.lane, "metal");
    assert_string_equal(result.reason, "asked for");
    assert_true(result.infer_ns >= 1000000);
    tandem_result_deinit(&result);
    engine_close(engine);
}

static void test_failing_lane_is_left(void **state) {
    (void)state;
    tandem_engine *engine = engine_open((double[]){200, 400, 800}, NULL);
    tandem_result result = {0};
    tandem_request request = one_text();
    request.priority = TANDEM_PRIORITY_REALTIME;
    sim_engine_fault(0, &(tandem_sim_fault){.fail_share = 1});
    for (int i = 0; i < 10; i++) {
        infer(engine, &request, &result);
        assert_string_not_equal(result.lane, "ane");
    }
    /* Whichever is asked, and be it two of them in a row (lane 0 serves yet if it was measured slow
     * and not asked three times): what hangs or is not finite is tried on the one that is well. */
    sim_engine_fault(0, &(tandem_sim_fault){.is_hung = true});
    sim_engine_fault(1, &(tandem_sim_fault){.nan_share = 1});
    for (int i = 0; i < 10; i++) {
        infer(engine, &request, &result);
        assert_string_equal(result.lane, "cpu");
        assert_int_equal(result.failed, 0);
    }
    /* Nothing serves: the device's own message. */
    sim_engine_fault(1, &(tandem_sim_fault){.fail_share = 1});
    sim_engine_fault(2, &(tandem_sim_fault){.fail_share = 1});
    tandem_error err = {0};
    assert_int_equal(tandem_engine_infer(engine, &request, &result, &err), TANDEM_DEVICE);
    assert_string_equal(err.message, "simulated failure");
    sim_engine_fault(0, &(tandem_sim_fault){.slow = 1});
    sim_engine_fault(1, &(tandem_sim_fault){.slow = 1});
    sim_engine_fault(2, &(tandem_sim_fault){.slow = 1});
    tandem_result_deinit(&result);
    engine_close(engine);
}

/* A lane that cannot have the model is left out, and says why. */
static void test_lane_that_cannot_be_opened(void **state) {
    (void)state;
    sim_engine_broken(0);
    tandem_engine *engine = engine_open((double[]){100, 2000, 60000}, NULL);
    sim_engine_broken(-1);
    tandem_result result = {0};
    tandem_request request = one_text();
    request.priority = TANDEM_PRIORITY_REALTIME;
    infer(engine, &request, &result);
    assert_string_equal(result.lane, "metal");
    request.lane = "ane";
    infer(engine, &request, &result);
    assert_string_equal(result.reason, "fallback: lane ane: this model is not for lane ane");
    tandem_lane_info lanes[TANDEM_LANES_MAX];
    assert_true(tandem_lanes(engine, lanes) >= SIM_LANES);
    assert_false(lanes[0].is_available);
    assert_string_equal(lanes[0].reason, "this model is not for lane ane");
    tandem_result_deinit(&result);
    engine_close(engine);
}

static void test_deadlines(void **state) {
    (void)state;
    tandem_engine *engine = engine_open((double[]){-1, -1, 60000}, NULL);
    tandem_result result = {0};
    tandem_request request = one_text();
    infer(engine, &request, &result);
    for (int i = 0; i < 20; i++) infer(engine, &request, &result); // it learns what a text takes
    request.deadline_ms = 10;
    tandem_error err = {0};
    const uint64_t start_ns = tandem__clock_ns();
    assert_int_equal(tandem_engine_infer(engine, &request, &result, &err), TANDEM_TIMEOUT);
    assert_true(tandem__clock_ns() - start_ns < 50 * MS); // refused before it is computed
    assert_non_null(strstr(err.message, "deadline in "));
    request.deadline_ms = -1;
    tandem_error_clear(&err);
    assert_int_equal(tandem_engine_infer(engine, &request, &result, &err), TANDEM_INVALID);
    request.deadline_ms = 2000;
    infer(engine, &request, &result);
    tandem_result_deinit(&result);
    engine_close(engine);
}

/* The classes that a request may use: what serves it, and what is said where nothing may. */
static void test_lane_classes(void **state) {
    (void)state;
    static const struct {
        uint32_t classes;
        const char *lane; /* that is named */
        tandem_fallback fallback;
        tandem_status status;
        const char *says; /* the lane that serves, or a part of the message */
    } cases[] = {
        {TANDEM_LANES_LATENCY, NULL, 0, TANDEM_OK, "ane"},
        {TANDEM_LANES_BACKGROUND, "auto", 0, TANDEM_OK, "cpu"},
        {TANDEM_LANES_THROUGHPUT | TANDEM_LANES_BACKGROUND, "metal", 0, TANDEM_OK, "cpu"},
        {TANDEM_LANES_LATENCY | TANDEM_LANES_THROUGHPUT, "metal", 0, TANDEM_OK, "ane"},
        {TANDEM_LANES_THROUGHPUT, "metal", TANDEM_FALLBACK_NONE, TANDEM_DEVICE, "the test's"},
        {TANDEM_LANES_THROUGHPUT, "metal", 0, TANDEM_DEVICE, "may use: throughput"},
        {TANDEM_LANES_THROUGHPUT, NULL, 0, TANDEM_DEVICE, "may use: throughput"},
        {TANDEM_LANES_BACKGROUND, "ane", 0, TANDEM_PERMISSION,
         "lane ane: its class is latency, the request may use background"},
        {TANDEM_LANES_LATENCY, "cpu", 0, TANDEM_PERMISSION, "lane cpu: its class is background"},
        {1u << 4, NULL, 0, TANDEM_INVALID, "lane_classes: 0x10"},
        {1, NULL, 0, TANDEM_INVALID, "lane_classes: 0x1"},
    };
    tandem_engine *engine = engine_open((double[]){100, -1, 400}, NULL);
    tandem_result result = {0};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        tandem_error err = {0};
        tandem_request request = one_text();
        request.lane_classes = cases[i].classes;
        request.lane = cases[i].lane;
        request.fallback = cases[i].fallback;
        const tandem_status status = tandem_engine_infer(engine, &request, &result, &err);
        assert_int_equal(status, cases[i].status);
        if (status == TANDEM_OK)
            assert_string_equal(result.lane, cases[i].says);
        else if (strstr(err.message, cases[i].says) == NULL)
            fail_msg("\"%s\", expected \"%s\"", err.message, cases[i].says);
        if (status == TANDEM_OK && cases[i].lane == NULL)
            assert_string_equal(result.reason, "lane of the classes that the request may use");
    }
    tandem_result_deinit(&result);
    engine_close(engine);
}

static void test_queue(void **state) {
    (void)state;
    enum { COUNT = 200 };
    tandem_engine *engine = engine_open((double[]){100, 200, 400}, NULL);
    tandem_queue *queue = NULL;
    tandem_error err = {0};
    assert_int_equal(tandem_queue_open(&queue, &err), TANDEM_OK);
    static int seen[COUNT];
    memset(seen, 0, sizeof seen);
    tandem_call *calls[COUNT];
    const tandem_request request = one_text();
    for (int i = 0; i < COUNT; i++) {
        assert_int_equal(
            tandem_queue_submit(queue, engine, &request, &seen[i], &calls[i], NULL, &err),
            TANDEM_OK);
    }
    for (int i = 0; i < COUNT; i += 10) tandem_call_cancel(calls[i]);
    int left = COUNT;
    int cancelled = 0;
    while (left > 0) {
        struct pollfd waits = {.fd = tandem_queue_fd(queue), .events = POLLIN};
        assert_int_equal(poll(&waits, 1, 10000), 1);
        for (tandem_call *call = tandem_queue_next(queue); call != NULL;
             call = tandem_queue_next(queue)) {
            const tandem_result *result = NULL;
            const tandem_status status = tandem_call_result(call, &result, NULL);
            *(int *)tandem_call_context(call) += 1;
            cancelled += status == TANDEM_CANCELLED;
            if (status == TANDEM_OK) assert_int_equal(result->rows, 1);
            tandem_call_close(call);
            left--;
        }
    }
    for (int i = 0; i < COUNT; i++) assert_int_equal(seen[i], 1);
    assert_true(cancelled > 0 && cancelled <= COUNT / 10);
    tandem_queue_close(queue);
    engine_close(engine);
}

static void count_done(void *context, tandem_call *call) {
    atomic_fetch_add((_Atomic int *)context, 1);
    tandem_call_close(call);
}

/* What 20 ms of waiting leave room for, and the same again when that has passed. */
static void test_refused_for_its_wait(void **state) {
    (void)state;
    tandem_engine_options options = {.threads = 1, .queue_ms_max = -1};
    tandem_engine *engine = NULL;
    tandem_error err = {0};
    assert_int_equal(tandem_engine_open(&options, &engine, &err), TANDEM_INVALID);
    assert_non_null(strstr(err.message, "queue_ms_max: -1"));
    tandem_error_clear(&err);
    options.queue_ms_max = 20;
    engine = engine_open((double[]){-1, -1, 2000}, &options);
    const tandem_request request = one_text();
    tandem_result result = {0};
    for (int i = 0; i < 20; i++) infer(engine, &request, &result); // it learns what a text takes
    _Atomic int done = 0;
    int accepted = 0;
    tandem_status status = TANDEM_OK;
    uint64_t retry_ns = 0;
    while (status == TANDEM_OK && accepted < 1000) {
        status = tandem_engine_submit(engine, &request, count_done, &done, NULL, &retry_ns, &err);
        accepted += status == TANDEM_OK;
    }
    assert_int_equal(status, TANDEM_CAPACITY);
    assert_non_null(strstr(err.message, "waiting time: "));
    assert_true(retry_ns > 0 && retry_ns < 1000 * MS);
    /* How true the time is, test_sched_wait measures where no busy machine is in the way. */
    for (int tries = 0; tries < 500 && status == TANDEM_CAPACITY; tries++) {
        (void)nanosleep(&(struct timespec){.tv_nsec = (long)retry_ns}, NULL);
        status = tandem_engine_submit(engine, &request, count_done, &done, NULL, &retry_ns, NULL);
    }
    assert_int_equal(status, TANDEM_OK);
    assert_int_equal(tandem_engine_drain(engine, 10000, NULL), TANDEM_OK);
    assert_int_equal(atomic_load(&done), accepted + 1);
    tandem_result_deinit(&result);
    engine_close(engine);
}

static void test_refused_with_time_to_retry(void **state) {
    (void)state;
    const tandem_engine_options options = {
        .threads = 1, .queue_tokens_max = 40, .tenant_tokens_max = 20};
    tandem_engine *engine = engine_open((double[]){-1, -1, 5000}, &options);
    _Atomic int done = 0;
    int accepted = 0;
    tandem_status status = TANDEM_OK;
    uint64_t retry_ns = 0;
    tandem_error err = {0};
    tandem_request request = one_text();
    request.tenant = "one";
    while (status == TANDEM_OK && accepted < 100) {
        status = tandem_engine_submit(engine, &request, count_done, &done, NULL, &retry_ns, &err);
        accepted += status == TANDEM_OK;
    }
    assert_int_equal(status, TANDEM_CAPACITY);
    assert_true(retry_ns > 0 && retry_ns < 60000 * MS);
    assert_non_null(strstr(err.message, "tenant"));
    request.tenant = "another";
    tandem_error_clear(&err);
    assert_int_equal(
        tandem_engine_submit(engine, &request, count_done, &done, NULL, &retry_ns, &err),
        TANDEM_OK);
    accepted++;
    assert_int_equal(tandem_engine_drain(engine, 10000, &err), TANDEM_OK);
    assert_int_equal(atomic_load(&done), accepted);
    assert_int_equal(
        tandem_engine_submit(engine, &request, count_done, &done, NULL, &retry_ns, &err),
        TANDEM_CANCELLED);
    engine_close(engine);
}

/* Closing with work in flight: what cannot be done in time is cancelled, and everybody is told. */
static void test_close_tells_everybody(void **state) {
    (void)state;
    tandem_engine *engine = engine_open((double[]){-1, -1, 30000}, NULL);
    _Atomic int done = 0;
    const tandem_request request = one_text();
    for (int i = 0; i < 200; i++) {
        assert_int_equal(
            tandem_engine_submit(engine, &request, count_done, &done, NULL, NULL, NULL), TANDEM_OK);
    }
    tandem_error err = {0};
    assert_int_equal(tandem_engine_drain(engine, 50, &err), TANDEM_TIMEOUT);
    assert_int_equal(atomic_load(&done), 200);
    engine_close(engine);
}

/* No inference yet: the first question has the lanes probed. */
static void test_readiness(void **state) {
    (void)state;
    tandem_engine *engine = engine_open((double[]){100, 200, -1}, NULL);
    const uint64_t until_ns = tandem__clock_ns() + 5000 * MS;
    assert_false(tandem_engine_is_ready(engine));
    while (!tandem_engine_is_ready(engine) && tandem__clock_ns() < until_ns) (void)poll(NULL, 0, 5);
    assert_true(tandem_engine_is_ready(engine));
    assert_int_equal(tandem_engine_drain(engine, 1000, NULL), TANDEM_OK);
    assert_false(tandem_engine_is_ready(engine));
    engine_close(engine);
}

/* Standard work keeps off the latency lane, unless the machine is hot. */
static void test_heat_spreads_the_load(void **state) {
    (void)state;
    tandem_engine *engine = engine_open((double[]){500, 1000, 3000}, NULL);
    tandem_result result = {0};
    const tandem_request request = one_text();
    for (int i = 0; i < 10; i++) {
        infer(engine, &request, &result);
        assert_string_not_equal(result.lane, "ane");
    }
    tandem_engine_set_speed_limit(engine, 60);
    const uint64_t until_ns = tandem__clock_ns() + 5000 * MS;
    bool is_spread = false;
    while (!is_spread && tandem__clock_ns() < until_ns) {
        infer(engine, &request, &result);
        is_spread = strcmp(result.lane, "ane") == 0;
    }
    assert_true(is_spread);
    assert_non_null(strstr(result.reason, "heat"));
    tandem_result_deinit(&result);
    engine_close(engine);
}

/* A lane that failed is probed and serves again, also where every call blocks. */
static void test_failed_lane_comes_back(void **state) {
    (void)state;
    tandem_engine *engine = engine_open((double[]){200, 400, -1}, NULL);
    tandem_result result = {0};
    tandem_request request = one_text();
    request.priority = TANDEM_PRIORITY_REALTIME;
    sim_engine_fault(0, &(tandem_sim_fault){.fail_share = 1});
    for (int i = 0; i < 10; i++) infer(engine, &request, &result);
    assert_string_equal(result.lane, "metal");
    sim_engine_fault(0, &(tandem_sim_fault){.slow = 1});
    const uint64_t until_ns = tandem__clock_ns() + 10000 * MS;
    while (strcmp(result.lane, "ane") != 0 && tandem__clock_ns() < until_ns) {
        infer(engine, &request, &result);
        (void)poll(NULL, 0, 5);
    }
    assert_string_equal(result.lane, "ane");
    tandem_result_deinit(&result);
    engine_close(engine);
}

/* Work that is late is dropped although its lane never rests. */
static void note_late(void *context, tandem_call *call) {
    const tandem_result *result = NULL;
    atomic_store((_Atomic int *)context, 1 + (int)tandem_call_result(call, &result, NULL));
    tandem_call_close(call);
}

static void test_deadline_behind_other_work(void **state) {
    (void)state;
    enum { COUNT = 40 };
    tandem_engine *engine = engine_open((double[]){20000, -1, -1}, NULL);
    _Atomic int done = 0;
    _Atomic int late = 0;
    tandem_result result = {0};
    tandem_request request = one_text();
    for (int i = 0; i < 20; i++) infer(engine, &request, &result); // it learns what a text takes
    request.priority = TANDEM_PRIORITY_REALTIME;
    assert_int_equal(tandem_engine_submit(engine, &request, count_done, &done, NULL, NULL, NULL),
                     TANDEM_OK);
    request.priority = TANDEM_PRIORITY_BACKGROUND;
    request.deadline_ms = 150;
    assert_int_equal(tandem_engine_submit(engine, &request, note_late, &late, NULL, NULL, NULL),
                     TANDEM_OK);
    request.priority = TANDEM_PRIORITY_REALTIME;
    request.deadline_ms = 0;
    for (int i = 1; i < COUNT; i++)
        assert_int_equal(
            tandem_engine_submit(engine, &request, count_done, &done, NULL, NULL, NULL), TANDEM_OK);
    while (atomic_load(&late) == 0) (void)poll(NULL, 0, 1);
    assert_int_equal(atomic_load(&late), 1 + (int)TANDEM_TIMEOUT);
    assert_true(atomic_load(&done) < COUNT);
    assert_int_equal(tandem_engine_drain(engine, 10000, NULL), TANDEM_OK);
    assert_int_equal(atomic_load(&done), COUNT);
    tandem_result_deinit(&result);
    engine_close(engine);
}

typedef struct crowd_member {
    tandem_engine *engine;
    tandem_queue *queue;
    uint64_t seed;
    uint64_t until_ns;
    int64_t ended[64]; /* by status */
    int64_t asked;
} crowd_member;

static tandem_request draw_request(tandem_random *random) {
    tandem_request request = one_text();
    request.count = 1 + tandem__random_next(random) % 2;
    const uint64_t kind = tandem__random_next(random) % 8;
    if (kind < 3) request.priority = TANDEM_PRIORITY_REALTIME;
    if (kind == 7) request.priority = TANDEM_PRIORITY_BACKGROUND;
    if (kind == 2) request.deadline_ms = 5;
    if (kind == 6) request.lane = "ane";
    return request;
}

/* Blocking calls by turns with queued ones, some of which are cancelled. */
static void *crowd(void *context) {
    crowd_member *member = context;
    tandem_random random;
    tandem__random_init(&random, member->seed);
    tandem_result result = {0};
    while (tandem__clock_ns() < member->until_ns) {
        const tandem_request request = draw_request(&random);
        tandem_call *call = NULL;
        member->asked++;
        if (tandem__random_next(&random) % 2 == 0) {
            member->ended[tandem_engine_infer(member->engine, &request, &result, NULL)]++;
            continue;
        }
        const tandem_status status =
            tandem_queue_submit(member->queue, member->engine, &request, NULL, &call, NULL, NULL);
        if (status != TANDEM_OK) {
            member->ended[status]++;
            continue;
        }
        if (tandem__random_next(&random) % 4 == 0) tandem_call_cancel(call);
        struct pollfd waits = {.fd = tandem_queue_fd(member->queue), .events = POLLIN};
        while (poll(&waits, 1, -1) != 1) continue;
        call = tandem_queue_next(member->queue);
        const tandem_result *borrowed = NULL;
        member->ended[tandem_call_result(call, &borrowed, NULL)]++;
        tandem_call_close(call);
    }
    tandem_result_deinit(&result);
    return NULL;
}

static void break_lanes(uint64_t until_ns) {
    tandem_random random;
    tandem__random_init(&random, 77);
    while (tandem__clock_ns() < until_ns) {
        const tandem_sim_fault kinds[] = {{.slow = 1},        {.fail_share = 0.5},
                                          {.nan_share = 0.3}, {.fail_share = 1},
                                          {.is_hung = true},  {.slow = 4}};
        sim_engine_fault((int)(tandem__random_next(&random) % 2),
                         &kinds[tandem__random_next(&random) % 6]);
        (void)poll(NULL, 0, 40);
    }
    for (int i = 0; i < SIM_LANES; i++) sim_engine_fault(i, &(tandem_sim_fault){.slow = 1});
}

/* 32 threads over lanes that break; every request ends once, as something it may end as. */
static void test_crowd(void **state) {
    (void)state;
    enum { THREADS = 32 };
    static crowd_member members[THREADS];
    pthread_t threads[THREADS];
    const char *seconds = getenv("TANDEM_STRESS_SECONDS");
    const uint64_t run_ns = (seconds == NULL ? 2 : strtoull(seconds, NULL, 10)) * 1000 * MS;
    tandem_engine *engine = engine_open((double[]){100, 200, 400}, NULL);
    const uint64_t until_ns = tandem__clock_ns() + run_ns;
    for (int i = 0; i < THREADS; i++) {
        members[i] =
            (crowd_member){.engine = engine, .seed = (uint64_t)i + 1, .until_ns = until_ns};
        assert_int_equal(tandem_queue_open(&members[i].queue, NULL), TANDEM_OK);
        assert_int_equal(pthread_create(&threads[i], NULL, crowd, &members[i]), 0);
    }
    break_lanes(until_ns);
    int64_t total[64] = {0};
    int64_t asked = 0;
    for (int i = 0; i < THREADS; i++) {
        assert_int_equal(pthread_join(threads[i], NULL), 0);
        tandem_queue_close(members[i].queue);
        for (int s = 0; s < 64; s++) total[s] += members[i].ended[s];
        asked += members[i].asked;
    }
    print_message("%lld asked: %lld done, %lld late, %lld cancelled, %lld device, %lld capacity\n",
                  (long long)asked, (long long)total[TANDEM_OK], (long long)total[TANDEM_TIMEOUT],
                  (long long)total[TANDEM_CANCELLED], (long long)total[TANDEM_DEVICE],
                  (long long)total[TANDEM_CAPACITY]);
    assert_int_equal(total[TANDEM_OK] + total[TANDEM_TIMEOUT] + total[TANDEM_CANCELLED] +
                         total[TANDEM_DEVICE] + total[TANDEM_CAPACITY],
                     asked);
    assert_true(total[TANDEM_OK] > asked / 4);
    engine_close(engine);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(test_overhead, close_opened),
        cmocka_unit_test_teardown(test_priorities_find_lanes, close_opened),
        cmocka_unit_test_teardown(test_failing_lane_is_left, close_opened),
        cmocka_unit_test_teardown(test_lane_that_cannot_be_opened, close_opened),
        cmocka_unit_test_teardown(test_deadlines, close_opened),
        cmocka_unit_test_teardown(test_queue, close_opened),
        cmocka_unit_test_teardown(test_lane_classes, close_opened),
        cmocka_unit_test_teardown(test_refused_with_time_to_retry, close_opened),
        cmocka_unit_test_teardown(test_refused_for_its_wait, close_opened),
        cmocka_unit_test_teardown(test_close_tells_everybody, close_opened),
        cmocka_unit_test_teardown(test_readiness, close_opened),
        cmocka_unit_test_teardown(test_heat_spreads_the_load, close_opened),
        cmocka_unit_test_teardown(test_failed_lane_comes_back, close_opened),
        cmocka_unit_test_teardown(test_deadline_behind_other_work, close_opened),
        cmocka_unit_test_teardown(test_crowd, close_opened),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
