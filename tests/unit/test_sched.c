/* SPDX-License-Identifier: Apache-2.0 */
/* The scheduler driven by hand: where work goes whose batch failed, and what is said at the start.
 * Its laws under random traffic are tested by simulation (test_simulate). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "sched/sched.h"

#define MS    ((uint64_t)1000000)
#define START ((uint64_t)1000000 * MS) /* a machine that has been up for a while */

static const int32_t unit_tokens[] = {8, 8, 8, 8};

static sched *open_sched(const tandem_lane_class *classes, int count, int slots) {
    sched_options options = {.lane_count = count, .probe_every_ns = UINT64_MAX};
    static const char *const names[] = {"a", "b", "c"};
    for (int i = 0; i < count; i++) {
        sched_lane_options *lane = &options.lanes[i];
        *lane = (sched_lane_options){.name = names[i],
                                     .lane_class = classes[i],
                                     .tokens_max = 1024,
                                     .sequences_max = 64,
                                     .slots = slots,
                                     .slots_max = slots,
                                     .rules_limit = 8,
                                     .hang_min_ns = 500 * MS,
                                     .is_available = true};
        tandem__service_init(&lane->service, 0, 1e5);
    }
    sched *scheduler = NULL;
    tandem_error err = {0};
    if (tandem__sched_open(&options, &scheduler, &err) != TANDEM_OK) fail_msg("%s", err.message);
    return scheduler;
}

static void submit(sched *scheduler, sched_job *job, uint64_t now_ns) {
    uint64_t retry_ns = 0;
    tandem_error err = {0};
    job->unit_tokens = unit_tokens;
    if (tandem__sched_submit(scheduler, job, now_ns, &retry_ns, &err) != TANDEM_OK)
        fail_msg("%s", err.message);
    tandem__sched_check(scheduler);
}

static sched_batch *take(sched *scheduler, int32_t lane, uint64_t now_ns) {
    uint64_t wake_ns = UINT64_MAX;
    sched_batch *batch = tandem__sched_take(scheduler, lane, now_ns, &wake_ns);
    tandem__sched_check(scheduler);
    return batch;
}

static void done(sched *scheduler, sched_batch *batch, uint64_t now_ns, tandem_status status) {
    tandem__sched_done(scheduler, batch, now_ns, status, NULL);
    tandem__sched_check(scheduler);
}

/* What fails on the only lane of its kind is tried on a lane that is kept for other work. */
static void check_retry(const tandem_lane_class *classes, int count, int32_t priority,
                        int32_t fails_on, int32_t served_by) {
    sched *scheduler = open_sched(classes, count, 1);
    sched_job job = {.unit_count = 1, .lane = SCHED_NO_LANE, .priority = priority};
    submit(scheduler, &job, START);
    assert_null(take(scheduler, served_by, START));
    sched_batch *batch = take(scheduler, fails_on, START);
    assert_non_null(batch);
    done(scheduler, batch, START + MS, TANDEM_DEVICE);
    assert_null(take(scheduler, fails_on, START + MS));
    batch = take(scheduler, served_by, START + MS);
    assert_non_null(batch);
    done(scheduler, batch, START + 2 * MS, TANDEM_OK);
    assert_ptr_equal(tandem__sched_finished(scheduler), &job);
    assert_int_equal(job.status, TANDEM_OK);
    assert_int_equal(job.reason, SCHED_REASON_RETRY);
    tandem__sched_close(scheduler);
}

static void test_retries_find_a_lane(void **state) {
    (void)state;
    check_retry((tandem_lane_class[]){TANDEM_CLASS_LATENCY, TANDEM_CLASS_BACKGROUND}, 2, 0, 1, 0);
    check_retry((tandem_lane_class[]){TANDEM_CLASS_THROUGHPUT, TANDEM_CLASS_BACKGROUND}, 2, 1, 1,
                0);
}

/* A lane that serves nothing but what names it is no other lane. */
static void test_reference_takes_no_retries(void **state) {
    (void)state;
    sched *scheduler =
        open_sched((tandem_lane_class[]){TANDEM_CLASS_BACKGROUND, TANDEM_CLASS_NONE}, 2, 1);
    sched_job job = {.unit_count = 1, .lane = SCHED_NO_LANE};
    submit(scheduler, &job, START);
    done(scheduler, take(scheduler, 0, START), START + MS, TANDEM_DEVICE);
    assert_null(take(scheduler, 1, START + MS));
    sched_batch *batch = take(scheduler, 0, START + MS);
    assert_non_null(batch);
    done(scheduler, batch, START + 2 * MS, TANDEM_OK);
    assert_ptr_equal(tandem__sched_finished(scheduler), &job);
    assert_int_equal(job.failed_units, 0);
    tandem__sched_close(scheduler);
}

/* Two batches on a lane; one hangs, the lane goes out, and then the other fails. */
static void test_pinned_work_leaves_a_lane_that_is_out(void **state) {
    (void)state;
    sched *scheduler =
        open_sched((tandem_lane_class[]){TANDEM_CLASS_THROUGHPUT, TANDEM_CLASS_BACKGROUND}, 2, 2);
    sched_job jobs[2] = {{.unit_count = 1, .lane = 0}, {.unit_count = 1, .lane = 0}};
    submit(scheduler, &jobs[0], START);
    sched_batch *hangs = take(scheduler, 0, START);
    submit(scheduler, &jobs[1], START + 400 * MS);
    sched_batch *fails = take(scheduler, 0, START + 400 * MS);
    assert_non_null(hangs);
    assert_non_null(fails);
    (void)tandem__sched_tick(scheduler, START + 600 * MS);
    assert_int_equal(scheduler->lanes[0].state, SCHED_LANE_OUT);
    done(scheduler, fails, START + 601 * MS, TANDEM_DEVICE);
    for (int i = 0; i < 2; i++) {
        sched_batch *batch = take(scheduler, 1, START + 602 * MS);
        assert_non_null(batch);
        done(scheduler, batch, START + 603 * MS, TANDEM_OK);
    }
    done(scheduler, hangs, START + 700 * MS, TANDEM_TIMEOUT);
    for (int i = 0; i < 2; i++) assert_non_null(tandem__sched_finished(scheduler));
    for (int i = 0; i < 2; i++) {
        assert_int_equal(jobs[i].status, TANDEM_OK);
        assert_int_equal(jobs[i].failed_units, 0);
        assert_int_equal(jobs[i].reason, SCHED_REASON_FALLBACK);
    }
    tandem__sched_close(scheduler);
}

/* Both lanes are out, the second with what was pinned to either. The first comes back: it gets all
 * of that as soon as the second fails a probe. */
static void test_pinned_work_is_not_left_behind(void **state) {
    (void)state;
    sched *scheduler =
        open_sched((tandem_lane_class[]){TANDEM_CLASS_THROUGHPUT, TANDEM_CLASS_BACKGROUND}, 2, 1);
    sched_job jobs[2] = {{.unit_count = 1, .lane = 0}, {.unit_count = 1, .lane = 1}};
    sched_batch *hangs[2];
    for (int32_t i = 0; i < 2; i++) {
        submit(scheduler, &jobs[i], START);
        hangs[i] = take(scheduler, i, START);
        assert_non_null(hangs[i]);
    }
    (void)tandem__sched_tick(scheduler, START + 600 * MS);
    for (int i = 0; i < 2; i++) done(scheduler, hangs[i], START + 601 * MS, TANDEM_TIMEOUT);
    for (uint64_t p = 0; p < 2; p++) {
        sched_batch *probe = take(scheduler, 0, START + (800 + p) * MS);
        assert_non_null(probe);
        assert_int_equal(probe->item_count, 0);
        done(scheduler, probe, START + (800 + p) * MS + 1, TANDEM_OK);
    }
    assert_int_equal(scheduler->lanes[0].state, SCHED_LANE_UP);
    sched_batch *probe = take(scheduler, 1, START + 810 * MS);
    assert_non_null(probe);
    done(scheduler, probe, START + 811 * MS, TANDEM_DEVICE);
    for (int i = 0; i < 2; i++) {
        sched_batch *batch = take(scheduler, 0, START + 820 * MS);
        assert_non_null(batch);
        done(scheduler, batch, START + 821 * MS, TANDEM_OK);
        assert_non_null(tandem__sched_finished(scheduler));
    }
    assert_null(scheduler->alive);
    tandem__sched_close(scheduler);
}

/* The clock counts from the machine's start, the rate of tokens from the first batch. */
static void test_first_refusal_is_no_guess(void **state) {
    (void)state;
    sched *scheduler = open_sched((tandem_lane_class[]){TANDEM_CLASS_BACKGROUND}, 1, 1);
    scheduler->options.tokens_max = 16;
    sched_job jobs[3] = {{.unit_count = 1, .lane = SCHED_NO_LANE},
                         {.unit_count = 2, .lane = SCHED_NO_LANE},
                         {.unit_count = 2, .lane = SCHED_NO_LANE}};
    submit(scheduler, &jobs[0], START);
    done(scheduler, take(scheduler, 0, START), START + MS, TANDEM_OK);
    submit(scheduler, &jobs[1], START + MS);
    uint64_t retry_ns = 0;
    jobs[2].unit_tokens = unit_tokens;
    assert_int_equal(tandem__sched_submit(scheduler, &jobs[2], START + MS, &retry_ns, NULL),
                     TANDEM_CAPACITY);
    assert_true(retry_ns >= MS && retry_ns <= 1000 * MS);
    tandem__sched_cancel(scheduler, &jobs[1], START + MS);
    tandem__sched_close(scheduler);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_retries_find_a_lane),
        cmocka_unit_test(test_reference_takes_no_retries),
        cmocka_unit_test(test_pinned_work_leaves_a_lane_that_is_out),
        cmocka_unit_test(test_pinned_work_is_not_left_behind),
        cmocka_unit_test(test_first_refusal_is_no_guess),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
