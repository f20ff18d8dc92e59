/* SPDX-License-Identifier: Apache-2.0 */
/* The guide's two rules, on a table of all their branches: what the scheduler makes of a request
 * beside the guide's own lines, written down here once more. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "sched/sched.h"

#define ANE       0
#define METAL     1
#define CPU       2
#define LANES     3
#define TEXTS_MAX 64
#define JOBS_MAX  16

static int32_t unit_tokens[TEXTS_MAX];

/* class SmartBackendSelector:
 *     def select_backend(self, request):
 *         if request.priority == "urgent" and self.ane_queue_size < 5:
 *             return "ane"
 *         elif request.batch_size > 1:
 *             return "metal"
 *         else:
 *             return "cpu" */
static int32_t smart_backend_selector(bool is_urgent, int ane_queue_size, uint32_t batch_size) {
    if (is_urgent && ane_queue_size < 5) return ANE;
    if (batch_size > 1) return METAL;
    return CPU;
}

/* def select_backend(request_type, batch_size, priority):
 *     if priority == "real_time":
 *         return "ane"
 *     elif batch_size > 10:
 *         return "metal"
 *     else:
 *         return "auto" */
static int32_t select_backend(bool is_real_time, uint32_t batch_size) {
    if (is_real_time) return ANE;
    if (batch_size > 10) return METAL;
    return SCHED_NO_LANE;
}

/* `missing` are bits of lanes that the machine lacks. */
static sched *open_guide_mac(sched_policy policy, uint32_t missing) {
    static const char *const names[] = {"ane", "metal", "cpu"};
    static const int32_t limits[] = {1, 32, 8}; /* MemoryOptimizer.batch_size_limits */
    sched_options options = {.policy = policy, .lane_count = LANES};
    for (int i = 0; i < LANES; i++) {
        sched_lane_options *lane = &options.lanes[i];
        *lane = (sched_lane_options){.name = names[i],
                                     .lane_class = (tandem_lane_class)(TANDEM_CLASS_LATENCY + i),
                                     .tokens_max = 1 << 14,
                                     .sequences_max = 512,
                                     .slots = 1,
                                     .slots_max = 1,
                                     .rules_limit = limits[i],
                                     .hang_min_ns = 1000000000,
                                     .is_available = (missing & (1u << i)) == 0};
        tandem__service_init(&lane->service, 1e6, 1e4);
    }
    sched *scheduler = NULL;
    assert_int_equal(tandem__sched_open(&options, &scheduler, NULL), TANDEM_OK);
    return scheduler;
}

static void close_all(sched *scheduler) {
    while (scheduler->alive != NULL) tandem__sched_cancel(scheduler, scheduler->alive, 1);
    while (tandem__sched_finished(scheduler) != NULL) continue;
    tandem__sched_close(scheduler);
}

static sched_job job_of(int32_t priority, uint32_t texts) {
    return (sched_job){.unit_tokens = unit_tokens,
                       .unit_count = texts,
                       .texts = texts,
                       .priority = priority,
                       .lane = SCHED_NO_LANE};
}

static void submit(sched *scheduler, sched_job *job) {
    uint64_t retry_ns = 0;
    assert_int_equal(tandem__sched_submit(scheduler, job, 1, &retry_ns, NULL), TANDEM_OK);
    tandem__sched_check(scheduler);
}

/* A scheduler whose ane has `size` requests waiting or under way. */
static void fill_ane(sched *scheduler, sched_job jobs[JOBS_MAX], int size, bool is_running) {
    for (int i = 0; i < size; i++) {
        jobs[i] = job_of(-10, 1);
        jobs[i].lane = ANE;
        submit(scheduler, &jobs[i]);
    }
    uint64_t wake_ns = UINT64_MAX;
    if (is_running && size > 0) assert_non_null(tandem__sched_take(scheduler, ANE, 1, &wake_ns));
}

static const int32_t priorities[] = {-10, -1, 0, 1, 10};
static const uint32_t sizes[] = {1, 2, 8, 10, 11, 32, 33, 64};

static void test_smart_backend_selector(void **state) {
    (void)state;
    for (int queue = 0; queue <= 8; queue++) {
        for (size_t p = 0; p < sizeof priorities / sizeof priorities[0]; p++) {
            for (size_t s = 0; s < sizeof sizes / sizeof sizes[0]; s++) {
                for (int running = 0; running < 2; running++) {
                    sched *scheduler = open_guide_mac(SCHED_RULES, 0);
                    sched_job jobs[JOBS_MAX];
                    fill_ane(scheduler, jobs, queue, running == 1);
                    sched_job job = job_of(priorities[p], sizes[s]);
                    submit(scheduler, &job);
                    assert_int_equal(job.home,
                                     smart_backend_selector(priorities[p] < 0, queue, sizes[s]));
                    assert_int_equal(job.reason, SCHED_REASON_RULE);
                    close_all(scheduler);
                }
            }
        }
    }
}

static void test_select_backend(void **state) {
    (void)state;
    for (int queue = 0; queue <= 8; queue++) {
        for (size_t p = 0; p < sizeof priorities / sizeof priorities[0]; p++) {
            for (size_t s = 0; s < sizeof sizes / sizeof sizes[0]; s++) {
                sched *scheduler = open_guide_mac(SCHED_RULES_SIMPLE, 0);
                sched_job jobs[JOBS_MAX];
                fill_ane(scheduler, jobs, queue, true);
                sched_job job = job_of(priorities[p], sizes[s]);
                submit(scheduler, &job);
                const int32_t expected = select_backend(priorities[p] < 0, sizes[s]);
                assert_int_equal(job.home, expected);
                assert_int_equal(job.reason,
                                 expected == SCHED_NO_LANE ? SCHED_REASON_NONE : SCHED_REASON_RULE);
                close_all(scheduler);
            }
        }
    }
}

/* MemoryOptimizer.batch_size_limits: what one batch holds under the rules. */
static void test_batch_limits(void **state) {
    (void)state;
    static const uint32_t limits[LANES] = {1, 32, 8};
    for (int32_t lane = 0; lane < LANES; lane++) {
        sched *scheduler = open_guide_mac(SCHED_RULES, 0);
        sched_job job = job_of(0, TEXTS_MAX);
        job.lane = lane;
        submit(scheduler, &job);
        uint32_t left = TEXTS_MAX;
        while (left > 0) {
            uint64_t wake_ns = UINT64_MAX;
            sched_batch *batch = tandem__sched_take(scheduler, lane, 1, &wake_ns);
            assert_non_null(batch);
            assert_int_equal(batch->units, left < limits[lane] ? left : limits[lane]);
            left -= batch->units;
            tandem__sched_done(scheduler, batch, 2, TANDEM_OK, NULL);
        }
        assert_ptr_equal(tandem__sched_finished(scheduler), &job);
        assert_int_equal(job.served_lane, lane);
        close_all(scheduler);
    }
}

/* A lane that the machine lacks is replaced by the next of ane → metal → cpu, round. */
static void test_missing_lanes(void **state) {
    (void)state;
    static const struct {
        uint32_t missing;
        int32_t priority;
        uint32_t texts;
        int32_t home;
    } cases[] = {
        {1u << ANE, -10, 1, METAL},
        {1u << ANE | 1u << METAL, -10, 1, CPU},
        {1u << METAL, 0, 8, CPU},
        {1u << METAL | 1u << CPU, 0, 8, ANE},
        {1u << CPU, 0, 1, ANE},
        {1u << CPU | 1u << ANE, 0, 1, METAL},
        {1u << METAL | 1u << CPU, 10, 1, ANE},
        {0, 0, 1, CPU},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        sched *scheduler = open_guide_mac(SCHED_RULES, cases[i].missing);
        sched_job job = job_of(cases[i].priority, cases[i].texts);
        submit(scheduler, &job);
        assert_int_equal(job.home, cases[i].home);
        close_all(scheduler);
    }
}

/* A request that names a lane gets it, whatever the rules say. */
static void test_named_lane_wins(void **state) {
    (void)state;
    for (int policy = 0; policy < 3; policy++) {
        for (int32_t lane = 0; lane < LANES; lane++) {
            sched *scheduler = open_guide_mac((sched_policy)policy, 0);
            sched_job job = job_of(-10, 8);
            job.lane = lane;
            submit(scheduler, &job);
            assert_int_equal(job.home, lane);
            assert_int_equal(job.reason, SCHED_REASON_ASKED);
            close_all(scheduler);
        }
    }
}

int main(void) {
    for (int i = 0; i < TEXTS_MAX; i++) unit_tokens[i] = 32;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_smart_backend_selector), cmocka_unit_test(test_select_backend),
        cmocka_unit_test(test_batch_limits),           cmocka_unit_test(test_missing_lanes),
        cmocka_unit_test(test_named_lane_wins),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
