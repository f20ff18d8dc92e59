/* SPDX-License-Identifier: Apache-2.0 */
/* Work that failed on the lane it belongs to goes to another at once, also where nothing else is
 * about: neither the kept latency lane nor a share of background work may leave it behind. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "sched/sched.h"

#define MS ((uint64_t)1000000)

static const int32_t unit_tokens[] = {32};

static sched *open_lanes(const tandem_lane_class *classes, int count) {
    sched_options options = {.lane_count = count, .probe_every_ns = UINT64_MAX};
    for (int i = 0; i < count; i++) {
        options.lanes[i] = (sched_lane_options){.name = "a lane",
                                                .lane_class = classes[i],
                                                .tokens_max = 1024,
                                                .sequences_max = 32,
                                                .slots = 1,
                                                .slots_max = 1,
                                                .rules_limit = 1,
                                                .hang_min_ns = 1000 * MS,
                                                .is_available = true};
        tandem__service_init(&options.lanes[i].service, 1e6, 1e5);
    }
    sched *scheduler = NULL;
    assert_int_equal(tandem__sched_open(&options, &scheduler, NULL), TANDEM_OK);
    return scheduler;
}

/* One request of that priority, which `lane` takes and fails on; the lane that takes it next. */
static int32_t retried_on(const tandem_lane_class *classes, int count, int32_t priority,
                          int32_t lane) {
    sched *scheduler = open_lanes(classes, count);
    sched_job job = {.unit_tokens = unit_tokens,
                     .unit_count = 1,
                     .texts = 1,
                     .priority = priority,
                     .lane = SCHED_NO_LANE};
    uint64_t retry_ns = 0;
    uint64_t wake_ns = UINT64_MAX;
    assert_int_equal(tandem__sched_submit(scheduler, &job, MS, &retry_ns, NULL), TANDEM_OK);
    sched_batch *batch = tandem__sched_take(scheduler, lane, MS, &wake_ns);
    assert_non_null(batch);
    tandem__sched_done(scheduler, batch, 2 * MS, TANDEM_DEVICE, NULL);
    tandem__sched_check(scheduler);
    assert_null(tandem__sched_take(scheduler, lane, 2 * MS, &wake_ns));
    int32_t next = SCHED_NO_LANE;
    for (int32_t i = 0; i < count; i++) {
        batch = tandem__sched_take(scheduler, i, 2 * MS, &wake_ns);
        if (batch == NULL) continue;
        assert_int_equal(next, SCHED_NO_LANE);
        next = i;
        tandem__sched_done(scheduler, batch, 4 * MS, TANDEM_OK, NULL);
    }
    if (next != SCHED_NO_LANE) {
        assert_ptr_equal(tandem__sched_finished(scheduler), &job);
        assert_int_equal(job.failed_units, 0);
        assert_int_equal(job.reason, SCHED_REASON_RETRY);
    }
    tandem__sched_close(scheduler);
    return next;
}

static void test_standard(void **state) {
    (void)state;
    static const tandem_lane_class two[] = {TANDEM_CLASS_LATENCY, TANDEM_CLASS_THROUGHPUT};
    assert_int_equal(retried_on(two, 2, 0, 1), 0);
    static const tandem_lane_class three[] = {TANDEM_CLASS_LATENCY, TANDEM_CLASS_THROUGHPUT,
                                              TANDEM_CLASS_BACKGROUND};
    assert_int_equal(retried_on(three, 3, 0, 1), 2); // the latency lane is still kept
}

static void test_background(void **state) {
    (void)state;
    static const tandem_lane_class three[] = {TANDEM_CLASS_LATENCY, TANDEM_CLASS_THROUGHPUT,
                                              TANDEM_CLASS_BACKGROUND};
    assert_true(retried_on(three, 3, 10, 2) != SCHED_NO_LANE);
    static const tandem_lane_class two[] = {TANDEM_CLASS_LATENCY, TANDEM_CLASS_BACKGROUND};
    assert_int_equal(retried_on(two, 2, 10, 1), 0);
}

/* Two aged pieces in a row, where no realtime work waits. */
static void test_aged_twice(void **state) {
    (void)state;
    static const tandem_lane_class two[] = {TANDEM_CLASS_THROUGHPUT, TANDEM_CLASS_BACKGROUND};
    sched *scheduler = open_lanes(two, 2);
    sched_job jobs[2];
    uint64_t retry_ns = 0;
    for (int i = 0; i < 2; i++) {
        jobs[i] = (sched_job){.unit_tokens = unit_tokens,
                              .unit_count = 1,
                              .texts = 1,
                              .priority = 10,
                              .lane = SCHED_NO_LANE};
        assert_int_equal(tandem__sched_submit(scheduler, &jobs[i], MS, &retry_ns, NULL), TANDEM_OK);
    }
    uint64_t now_ns = 100000 * MS; /* over the age limit */
    for (int i = 0; i < 2; i++) {
        uint64_t wake_ns = UINT64_MAX;
        scheduler->lanes[0].options.sequences_max = 1;
        sched_batch *batch = tandem__sched_take(scheduler, 0, now_ns, &wake_ns);
        assert_non_null(batch);
        assert_int_equal(batch->units, 1);
        now_ns += MS;
        tandem__sched_done(scheduler, batch, now_ns, TANDEM_OK, NULL);
        assert_ptr_equal(tandem__sched_finished(scheduler), &jobs[i]);
    }
    tandem__sched_close(scheduler);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_standard),
        cmocka_unit_test(test_background),
        cmocka_unit_test(test_aged_twice),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
