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

static sched_batch *take_work(sched *scheduler, uint64_t now_ns) {
    for (int32_t i = 0; i < scheduler->lane_count; i++) {
        uint64_t wake_ns = UINT64_MAX;
        sched_batch *batch = tandem__sched_take_work(scheduler, i, now_ns, &wake_ns);
        if (batch != NULL) return batch;
    }
    return NULL;
}

/* What a lane does with the batch: 'd' fails on it, 'h' hangs, 'n' has no finite result. */
static void end_batch(sched *scheduler, sched_batch *batch, char how, uint64_t *now_ns) {
    static const bool marks[] = {true};
    if (how == 'h') {
        *now_ns = batch->give_up_ns;
        (void)tandem__sched_tick(scheduler, *now_ns);
        assert_int_equal(batch->state, SCHED_SLOT_HUNG);
    }
    *now_ns += MS;
    const tandem_status status = how == 'd' ? TANDEM_DEVICE : TANDEM_OK;
    tandem__sched_done(scheduler, batch, *now_ns, status, how == 'n' ? marks : NULL);
    tandem__sched_check(scheduler);
}

/* A unit on three lanes, each of which does what its letter says when its turn comes. */
static void try_on_three(const char *faults, int32_t priority) {
    static const tandem_lane_class three[] = {TANDEM_CLASS_LATENCY, TANDEM_CLASS_THROUGHPUT,
                                              TANDEM_CLASS_BACKGROUND};
    sched *scheduler = open_lanes(three, 3);
    uint8_t unit_status[] = {TANDEM_OK};
    sched_job job = {.unit_tokens = unit_tokens,
                     .unit_status = unit_status,
                     .unit_count = 1,
                     .texts = 1,
                     .priority = priority,
                     .lane = SCHED_NO_LANE};
    uint64_t now_ns = MS;
    uint64_t retry_ns = 0;
    uint32_t seen = 0;
    assert_int_equal(tandem__sched_submit(scheduler, &job, now_ns, &retry_ns, NULL), TANDEM_OK);
    for (const char *fault = faults; *fault != 0; fault++) {
        sched_batch *batch = take_work(scheduler, now_ns);
        assert_non_null(batch);
        assert_int_equal(seen & 1u << batch->lane, 0);
        seen |= 1u << batch->lane;
        end_batch(scheduler, batch, *fault, &now_ns);
    }
    assert_null(take_work(scheduler, now_ns));
    assert_ptr_equal(tandem__sched_finished(scheduler), &job);
    const char last = faults[2];
    const tandem_status status = last == 'd'   ? TANDEM_DEVICE
                                 : last == 'h' ? TANDEM_TIMEOUT
                                 : last == 'n' ? TANDEM_NUMERIC
                                               : TANDEM_OK;
    assert_int_equal(unit_status[0], status);
    assert_int_equal(job.failed_units, status != TANDEM_OK);
    tandem__sched_close(scheduler);
}

/* The last lane that is left serves what two others failed on, in whatever way and order, and
 * only when all have failed the unit has. */
static void test_every_lane_is_tried(void **state) {
    (void)state;
    static const char ways[] = "dhn";
    static const int32_t priorities[] = {-1, 0, 10};
    for (int i = 0; i < 3 * 3 * 4 * 3; i++) {
        const char last = i / 9 % 4 < 3 ? ways[i / 9 % 4] : '.';
        const char faults[] = {ways[i % 3], ways[i / 3 % 3], last, 0};
        try_on_three(faults, priorities[i / 36]);
    }
}

/* ... of those that it may use: also where it is bound to one at a time. */
static void test_every_lane_of_its_classes(void **state) {
    (void)state;
    static const tandem_lane_class four[] = {TANDEM_CLASS_LATENCY, TANDEM_CLASS_THROUGHPUT,
                                             TANDEM_CLASS_THROUGHPUT, TANDEM_CLASS_BACKGROUND};
    sched *scheduler = open_lanes(four, 4);
    sched_job job = {.unit_tokens = unit_tokens,
                     .unit_count = 1,
                     .texts = 1,
                     .classes = 1u << TANDEM_CLASS_THROUGHPUT | 1u << TANDEM_CLASS_BACKGROUND,
                     .lane = SCHED_NO_LANE};
    uint64_t now_ns = MS;
    uint64_t retry_ns = 0;
    uint32_t seen = 0;
    assert_int_equal(tandem__sched_submit(scheduler, &job, now_ns, &retry_ns, NULL), TANDEM_OK);
    for (int i = 0; i < 3; i++) {
        sched_batch *batch = take_work(scheduler, now_ns);
        assert_non_null(batch);
        seen |= 1u << batch->lane;
        end_batch(scheduler, batch, "dn."[i], &now_ns);
    }
    assert_int_equal(seen, 0xe);
    assert_ptr_equal(tandem__sched_finished(scheduler), &job);
    assert_int_equal(job.failed_units, 0);
    tandem__sched_close(scheduler);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_standard),
        cmocka_unit_test(test_background),
        cmocka_unit_test(test_aged_twice),
        cmocka_unit_test(test_every_lane_is_tried),
        cmocka_unit_test(test_every_lane_of_its_classes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
