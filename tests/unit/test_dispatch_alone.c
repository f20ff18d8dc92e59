/* SPDX-License-Identifier: Apache-2.0 */
/* The engine where the system gives no thread, and where its only lane goes out: callers that block
 * compute themselves and are not forgotten. */
#include <poll.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <string.h>

#include <cmocka.h>

#include "base/clock.h"
#include "support/sim_lanes.h"

#define MS ((uint64_t)1000000)

static const int32_t some_ids[] = {2, 5, 6, 3, 2, 7, 3};
static const int32_t some_offsets[] = {0, 4, 7};

static _Atomic bool is_refusing;

/* The linker puts these in the place of pthread_create and of its own name. */
int __real_pthread_create(pthread_t *thread, const pthread_attr_t *attributes,
                          void *(*start)(void *), void *context);
int __wrap_pthread_create(pthread_t *thread, const pthread_attr_t *attributes,
                          void *(*start)(void *), void *context);
int __wrap_pthread_create(pthread_t *thread, const pthread_attr_t *attributes,
                          void *(*start)(void *), void *context) {
    if (atomic_load(&is_refusing)) return 11; // EAGAIN
    return __real_pthread_create(thread, attributes, start, context);
}

typedef struct caller {
    tandem_engine *engine;
    size_t count;
    tandem_status status;
    size_t failed;
} caller;

static void *call(void *context) {
    caller *self = context;
    const tandem_request request = {
        .ids = some_ids, .id_offsets = some_offsets, .count = self->count};
    tandem_result result = {0};
    self->status = tandem_engine_infer(self->engine, &request, &result, NULL);
    self->failed = result.failed;
    tandem_result_deinit(&result);
    return NULL;
}

static void count_done(void *context, tandem_call *done) {
    atomic_fetch_add((_Atomic int *)context, 1);
    tandem_call_close(done);
}

/* All but the first sleep while it computes; nobody else can wake them. */
static void test_no_threads(void **state) {
    (void)state;
    enum { CALLERS = 4 };
    tandem_engine *engine = sim_engine_open((double[]){-1, -1, 20000}, NULL);
    caller callers[CALLERS];
    pthread_t threads[CALLERS];
    atomic_store(&is_refusing, true);
    const uint64_t start_ns = tandem__clock_ns();
    for (int i = 0; i < CALLERS; i++) {
        callers[i] = (caller){.engine = engine, .count = 1};
        assert_int_equal(__real_pthread_create(&threads[i], NULL, call, &callers[i]), 0);
    }
    for (int i = 0; i < CALLERS; i++) {
        assert_int_equal(pthread_join(threads[i], NULL), 0);
        assert_int_equal(callers[i].status, TANDEM_OK);
    }
    assert_true(tandem__clock_ns() - start_ns < 450 * MS); // a lane is given up after 500
    const tandem_request request = {.ids = some_ids, .id_offsets = some_offsets, .count = 1};
    _Atomic int done = 0;
    tandem_error err = {0};
    assert_int_equal(tandem_engine_submit(engine, &request, count_done, &done, NULL, NULL, &err),
                     TANDEM_MEMORY);
    assert_string_equal(err.message, "lane cpu: the system gives no thread");
    atomic_store(&is_refusing, false);
    assert_int_equal(tandem_engine_submit(engine, &request, count_done, &done, NULL, NULL, NULL),
                     TANDEM_OK);
    assert_int_equal(tandem_engine_drain(engine, 10000, NULL), TANDEM_OK);
    assert_int_equal(atomic_load(&done), 1);
    tandem_engine_close(engine);
}

/* Two texts: both fail, both again, then one alone: three times, and the lane is out. The other
 * text is computed when a probe says that it is well again, by whoever can probe it. */
static void check_only_lane_out(bool has_threads) {
    tandem_engine *engine = sim_engine_open((double[]){-1, -1, 1000}, NULL);
    sim_engine_fault(2, &(tandem_sim_fault){.fail_share = 1});
    atomic_store(&is_refusing, !has_threads);
    caller self = {.engine = engine, .count = 2};
    pthread_t thread;
    assert_int_equal(__real_pthread_create(&thread, NULL, call, &self), 0);
    (void)poll(NULL, 0, 50);
    sim_engine_fault(2, &(tandem_sim_fault){.slow = 1});
    assert_int_equal(pthread_join(thread, NULL), 0);
    assert_int_equal(self.status, TANDEM_OK);
    assert_int_equal(self.failed, 1);
    atomic_store(&is_refusing, false);
    tandem_engine_close(engine);
}

static void test_only_lane_out(void **state) {
    (void)state;
    check_only_lane_out(true);
    check_only_lane_out(false);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_no_threads),
        cmocka_unit_test(test_only_lane_out),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
