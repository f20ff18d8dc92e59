/* SPDX-License-Identifier: Apache-2.0 */
/* Requests that say which classes of lanes may serve them: nothing of theirs is ever on another
 * lane, whatever fails. Driven by hand, and at random with every invariant asserted. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "base/chance.h"
#include "sched/sched.h"

#define MS    ((uint64_t)1000000)
#define START ((uint64_t)1000000 * MS)

#define LATENCY    ((uint8_t)(1u << TANDEM_CLASS_LATENCY))
#define THROUGHPUT ((uint8_t)(1u << TANDEM_CLASS_THROUGHPUT))
#define BACKGROUND ((uint8_t)(1u << TANDEM_CLASS_BACKGROUND))

enum { ANE, METAL, CPU, REF, LANES }; /* in the order of their classes, the reference last */

static const int32_t unit_tokens[] = {8, 24, 8, 16, 32, 8, 8, 64};

/* `present` has a bit for each lane; the others are missing. */
static sched *open_policy(sched_policy policy, uint32_t present) {
    static const char *const names[] = {"ane", "metal", "cpu", "ref"};
    static const tandem_lane_class classes[] = {TANDEM_CLASS_LATENCY, TANDEM_CLASS_THROUGHPUT,
                                                TANDEM_CLASS_BACKGROUND, TANDEM_CLASS_NONE};
    sched_options options = {.policy = policy, .lane_count = LANES, .probe_every_ns = UINT64_MAX};
    for (int i = 0; i < LANES; i++) {
        sched_lane_options *lane = &options.lanes[i];
        *lane = (sched_lane_options){.name = names[i],
                                     .lane_class = classes[i],
                                     .tokens_max = 256,
                                     .sequences_max = 8,
                                     .slots = 1,
                                     .slots_max = 2,
                                     .rules_limit = 8,
                                     .hang_min_ns = 500 * MS,
                                     .is_available = (present & (1u << i)) != 0};
        tandem__service_init(&lane->service, 1e5, 1e4 * (i + 1));
        lane->service.largest = lane->tokens_max;
    }
    sched *scheduler = NULL;
    tandem_error err = {0};
    if (tandem__sched_open(&options, &scheduler, &err) != TANDEM_OK) fail_msg("%s", err.message);
    return scheduler;
}

static sched *open_all(void) {
    return open_policy(SCHED_PREDICT, 15);
}

static sched_job job_of(uint8_t classes, int32_t lane) {
    return (sched_job){
        .unit_tokens = unit_tokens, .unit_count = 2, .texts = 2, .lane = lane, .classes = classes};
}

static tandem_status offer(sched *scheduler, sched_job *job, uint64_t now_ns, tandem_error *err) {
    uint64_t retry_ns = 0;
    const tandem_status status = tandem__sched_submit(scheduler, job, now_ns, &retry_ns, err);
    tandem__sched_check(scheduler);
    return status;
}

static void submit(sched *scheduler, sched_job *job, uint64_t now_ns) {
    tandem_error err = {0};
    if (offer(scheduler, job, now_ns, &err) != TANDEM_OK) fail_msg("%s", err.message);
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

/* The lane's batch is computed; it has to be there. */
static void serve(sched *scheduler, int32_t lane, uint64_t now_ns) {
    sched_batch *batch = take(scheduler, lane, now_ns);
    assert_non_null(batch);
    done(scheduler, batch, now_ns + MS, TANDEM_OK);
}

/* The lane goes out by a job of its own that hangs, and ends as a timeout. */
static void put_out(sched *scheduler, int32_t lane, uint64_t now_ns) {
    sched_job job = job_of(0, lane);
    submit(scheduler, &job, now_ns);
    sched_batch *batch = take(scheduler, lane, now_ns);
    assert_non_null(batch);
    (void)tandem__sched_tick(scheduler, now_ns + 600 * MS);
    done(scheduler, batch, now_ns + 600 * MS, TANDEM_TIMEOUT);
    assert_int_equal(scheduler->lanes[lane].state, SCHED_LANE_OUT);
    tandem__sched_cancel(scheduler, &job, now_ns + 600 * MS);
    assert_ptr_equal(tandem__sched_finished(scheduler), &job);
}

static void bring_back(sched *scheduler, int32_t lane, uint64_t now_ns) {
    for (uint64_t i = 0; i < 2; i++) {
        sched_batch *probe = take(scheduler, lane, now_ns + i * MS);
        assert_non_null(probe);
        assert_int_equal(probe->item_count, 0);
        done(scheduler, probe, now_ns + i * MS + 1, TANDEM_OK);
    }
    assert_int_equal(scheduler->lanes[lane].state, SCHED_LANE_UP);
}

static void close_all(sched *scheduler, uint64_t now_ns) {
    while (scheduler->alive != NULL) tandem__sched_cancel(scheduler, scheduler->alive, now_ns);
    tandem__sched_close(scheduler);
}

static void test_a_named_lane_must_be_allowed(void **state) {
    (void)state;
    sched *scheduler = open_all();
    tandem_error err = {0};
    sched_job job = job_of(THROUGHPUT | BACKGROUND, ANE);
    assert_int_equal(offer(scheduler, &job, START, &err), TANDEM_PERMISSION);
    assert_string_equal(err.message, "lane ane: its class is latency, the request may use "
                                     "throughput, background");
    tandem_error_clear(&err);
    job = job_of(LATENCY | THROUGHPUT | BACKGROUND, REF);
    assert_int_equal(offer(scheduler, &job, START, &err), TANDEM_PERMISSION);
    assert_non_null(strstr(err.message, "lane ref: its class is none"));
    job = job_of(THROUGHPUT, METAL);
    submit(scheduler, &job, START);
    assert_int_equal(job.reason, SCHED_REASON_ASKED);
    sched_job reference = job_of(0, REF);
    submit(scheduler, &reference, START);
    serve(scheduler, METAL, START);
    serve(scheduler, REF, START);
    close_all(scheduler, START + MS);
}

/* Each set of classes, by each lane that asks. */
static void test_allowed_lanes_serve(void **state) {
    (void)state;
    for (uint8_t classes = 2; classes <= 14; classes += 2) {
        sched *scheduler = open_all();
        sched_job job = job_of(classes, SCHED_NO_LANE);
        submit(scheduler, &job, START);
        const bool is_bound = classes != 14;
        assert_int_equal(job.home != SCHED_NO_LANE, is_bound);
        int served = 0;
        for (int32_t lane = 0; lane < LANES; lane++) {
            sched_batch *batch = take(scheduler, lane, START);
            if (batch == NULL) continue;
            assert_true((classes & (1u << scheduler->lanes[lane].options.lane_class)) != 0);
            done(scheduler, batch, START + MS, TANDEM_OK);
            served++;
        }
        assert_int_equal(served, 1);
        assert_ptr_equal(tandem__sched_finished(scheduler), &job);
        if (is_bound) assert_int_equal(job.reason, SCHED_REASON_CLASS);
        close_all(scheduler, START + MS);
    }
}

/* Of two allowed lanes the one that finishes it first, given what waits for each. */
static void test_the_earliest_allowed_lane(void **state) {
    (void)state;
    sched *scheduler = open_all();
    sched_job jobs[6];
    int on[LANES] = {0};
    for (int i = 0; i < 6; i++) {
        jobs[i] = job_of(THROUGHPUT | BACKGROUND, SCHED_NO_LANE);
        submit(scheduler, &jobs[i], START);
        on[jobs[i].home]++;
    }
    assert_int_equal(jobs[0].home, METAL); // 2/3 of the time that cpu takes
    assert_int_equal(on[METAL], 4);
    assert_int_equal(on[CPU], 2);
    close_all(scheduler, START);
}

static void test_no_allowed_lane_serves(void **state) {
    (void)state;
    sched *scheduler = open_policy(SCHED_PREDICT, 1u << CPU | 1u << REF);
    tandem_error err = {0};
    sched_job job = job_of(LATENCY | THROUGHPUT, SCHED_NO_LANE);
    assert_int_equal(offer(scheduler, &job, START, &err), TANDEM_DEVICE);
    assert_non_null(strstr(err.message, "latency, throughput"));
    tandem_error_clear(&err);
    job.lane = ANE;
    assert_int_equal(offer(scheduler, &job, START, &err), TANDEM_DEVICE);
    assert_non_null(strstr(err.message, "lane ane is out of service"));
    assert_non_null(strstr(err.message, "latency, throughput"));
    job.classes = LATENCY | BACKGROUND;
    submit(scheduler, &job, START);
    assert_int_equal(job.home, CPU);
    assert_int_equal(job.reason, SCHED_REASON_FALLBACK);
    close_all(scheduler, START);
}

/* What waits for a lane that goes out. */
static void test_evacuation_keeps_to_the_classes(void **state) {
    (void)state;
    sched *scheduler = open_all();
    sched_job only = job_of(THROUGHPUT, SCHED_NO_LANE);
    sched_job named = job_of(THROUGHPUT | BACKGROUND, METAL);
    sched_job both = job_of(LATENCY | THROUGHPUT, METAL);
    sched_job *const jobs[] = {&only, &named, &both};
    sched_job hangs = job_of(0, METAL);
    submit(scheduler, &hangs, START);
    sched_batch *batch = take(scheduler, METAL, START);
    for (int i = 0; i < 3; i++) submit(scheduler, jobs[i], START);
    (void)tandem__sched_tick(scheduler, START + 600 * MS);
    tandem__sched_check(scheduler);
    done(scheduler, batch, START + 600 * MS, TANDEM_TIMEOUT);
    assert_ptr_equal(tandem__sched_finished(scheduler), &only);
    assert_int_equal(only.status, TANDEM_DEVICE);
    assert_int_equal(named.home, CPU);
    assert_int_equal(named.reason, SCHED_REASON_FALLBACK);
    assert_int_equal(both.home, ANE); // the class order goes round
    close_all(scheduler, START + 600 * MS);
}

/* Units that failed: on the other allowed lane where there is one, else on the same again. */
static void test_retries_keep_to_the_classes(void **state) {
    (void)state;
    static const struct {
        uint8_t classes;
        int32_t first;
        int32_t second;
    } cases[] = {
        {THROUGHPUT | BACKGROUND, METAL, CPU},
        {LATENCY | BACKGROUND, ANE, CPU},
        {BACKGROUND, CPU, CPU},
        {LATENCY, ANE, ANE},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        sched *scheduler = open_all();
        sched_job job = job_of(cases[i].classes, SCHED_NO_LANE);
        submit(scheduler, &job, START);
        sched_batch *batch = take(scheduler, cases[i].first, START);
        assert_non_null(batch);
        done(scheduler, batch, START + MS, TANDEM_DEVICE);
        for (int32_t lane = 0; lane < LANES; lane++) {
            if (lane != cases[i].second) assert_null(take(scheduler, lane, START + MS));
        }
        serve(scheduler, cases[i].second, START + MS);
        assert_ptr_equal(tandem__sched_finished(scheduler), &job);
        assert_int_equal(job.failed_units, 0);
        assert_int_equal(job.reason, SCHED_REASON_RETRY);
        close_all(scheduler, START + 2 * MS);
    }
}

/* It waits for every lane that serves, until one comes back that it may not use. */
static void test_a_lane_comes_back(void **state) {
    (void)state;
    sched *scheduler = open_all();
    put_out(scheduler, ANE, START);
    const uint64_t now_ns = START + 800 * MS;
    sched_job job = job_of(THROUGHPUT | BACKGROUND, SCHED_NO_LANE);
    submit(scheduler, &job, now_ns);
    assert_int_equal(job.home, SCHED_NO_LANE);
    bring_back(scheduler, ANE, now_ns);
    assert_int_equal(job.home, METAL);
    assert_int_equal(job.reason, SCHED_REASON_CLASS);
    assert_null(take(scheduler, ANE, now_ns + 200 * MS));
    serve(scheduler, METAL, now_ns + 200 * MS);
    assert_ptr_equal(tandem__sched_finished(scheduler), &job);
    close_all(scheduler, now_ns + 300 * MS);
}

/* The rules name a class; one that is not allowed is as one that is missing. */
static void test_rules(void **state) {
    (void)state;
    static const struct {
        uint8_t classes;
        int32_t priority;
        int32_t home[2]; /* by rules, by rules-simple */
    } cases[] = {
        {LATENCY, 0, {ANE, ANE}},
        {THROUGHPUT, -10, {METAL, METAL}},
        {BACKGROUND, -10, {CPU, CPU}},
        {LATENCY | BACKGROUND, -10, {ANE, ANE}},
        {LATENCY | BACKGROUND, 0, {CPU, ANE}}, // two texts: throughput's, whose next is background
        {THROUGHPUT | BACKGROUND, 0, {METAL, METAL}},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        for (int p = 0; p < 2; p++) {
            sched *scheduler = open_policy(p == 0 ? SCHED_RULES : SCHED_RULES_SIMPLE, 15);
            sched_job job = job_of(cases[i].classes, SCHED_NO_LANE);
            job.priority = cases[i].priority;
            submit(scheduler, &job, START);
            assert_int_equal(job.home, cases[i].home[p]);
            serve(scheduler, job.home, START);
            close_all(scheduler, START + MS);
        }
    }
}

enum { JOBS = 64, STEPS = 40000, SLOTS = 2 };

/* Random traffic over lanes that fail, hang and come back. */
typedef struct storm {
    sched *scheduler;
    tandem_random random;
    sched_job jobs[JOBS];
    sched_batch *flying[LANES][SLOTS];
    uint64_t now_ns;
    int64_t answered;
    int64_t ended_by_device;
    int64_t refused;
    int64_t bound; /* jobs whose classes left them fewer lanes than served */
} storm;

static uint32_t draw(storm *s, uint32_t below) {
    return (uint32_t)(tandem__random_next(&s->random) % below);
}

static void storm_submit(storm *s) {
    sched_job *job = &s->jobs[draw(s, JOBS)];
    if (job->state != SCHED_JOB_IDLE) return;
    *job = (sched_job){.unit_tokens = unit_tokens,
                       .unit_count = 1 + draw(s, 8),
                       .texts = 1,
                       .priority = (int32_t)draw(s, 3) * 10 - 10,
                       .lane = SCHED_NO_LANE,
                       .classes = (uint8_t)(2 * draw(s, 8)),
                       .tenant = draw(s, 3),
                       .is_fallback_forbidden = draw(s, 4) == 0};
    if (draw(s, 4) == 0) job->lane = (int32_t)draw(s, LANES);
    if (draw(s, 8) == 0) job->deadline_ns = s->now_ns + draw(s, 200) * MS;
    uint64_t retry_ns = 0;
    const tandem_lane_class asked = job->lane == SCHED_NO_LANE
                                        ? TANDEM_CLASS_NONE
                                        : s->scheduler->lanes[job->lane].options.lane_class;
    const tandem_status status =
        tandem__sched_submit(s->scheduler, job, s->now_ns, &retry_ns, NULL);
    const bool is_outside = job->lane != SCHED_NO_LANE && job->classes != 0 &&
                            (asked == TANDEM_CLASS_NONE || (job->classes & (1u << asked)) == 0);
    assert_int_equal(status == TANDEM_PERMISSION, is_outside);
    s->refused += status != TANDEM_OK;
    s->bound += status == TANDEM_OK && job->reason == SCHED_REASON_CLASS;
}

static void storm_take(storm *s) {
    const int32_t lane = (int32_t)draw(s, LANES);
    uint64_t wake_ns = UINT64_MAX;
    int slot = 0;
    while (slot < SLOTS && s->flying[lane][slot] != NULL) slot++;
    if (slot == SLOTS) return;
    sched_batch *batch = tandem__sched_take(s->scheduler, lane, s->now_ns, &wake_ns);
    s->flying[lane][slot] = batch;
    if (batch == NULL) return;
    const tandem_lane_class lane_class = s->scheduler->lanes[lane].options.lane_class;
    for (uint32_t i = 0; i < batch->item_count; i++) {
        const uint8_t classes = batch->items[i].job->classes;
        if (classes == 0) continue;
        assert_true(lane_class != TANDEM_CLASS_NONE && (classes & (1u << lane_class)) != 0);
    }
}

/* One lane in four is bad, another one every 512 steps: it fails and hangs more than it computes.
 */
static void storm_done(storm *s, int step) {
    const int32_t lane = (int32_t)draw(s, LANES);
    const int slot = (int)draw(s, SLOTS);
    sched_batch *batch = s->flying[lane][slot];
    const bool is_bad = lane == (step / 512) % LANES;
    if (batch == NULL || (is_bad && draw(s, 8) != 0)) return;
    const bool fails = draw(s, is_bad ? 2 : 16) == 0;
    s->flying[lane][slot] = NULL;
    tandem__sched_done(s->scheduler, batch, s->now_ns, fails ? TANDEM_DEVICE : TANDEM_OK, NULL);
}

static void storm_collect(storm *s) {
    for (sched_job *job = tandem__sched_finished(s->scheduler); job != NULL;
         job = tandem__sched_finished(s->scheduler)) {
        assert_true(job->status == TANDEM_OK || job->status == TANDEM_DEVICE ||
                    job->status == TANDEM_TIMEOUT || job->status == TANDEM_CANCELLED);
        s->answered += job->status == TANDEM_OK && job->failed_units == 0;
        s->ended_by_device += job->status == TANDEM_DEVICE;
    }
}

static void storm_step(storm *s, int step) {
    s->now_ns += draw(s, 4) * MS;
    const uint32_t what = draw(s, 16);
    if (what < 6)
        storm_submit(s);
    else if (what < 10)
        storm_take(s);
    else if (what < 14)
        storm_done(s, step);
    else if (what == 14)
        (void)tandem__sched_tick(s->scheduler, s->now_ns);
    else if (draw(s, 8) == 0)
        tandem__sched_cancel(s->scheduler, &s->jobs[draw(s, JOBS)], s->now_ns);
    storm_collect(s);
    tandem__sched_check(s->scheduler);
}

/* All lanes well: nothing may be left behind. */
static void storm_end(storm *s) {
    for (int round = 0; round < 20000 && s->scheduler->alive != NULL; round++) {
        s->now_ns += MS;
        (void)tandem__sched_tick(s->scheduler, s->now_ns);
        for (int32_t lane = 0; lane < LANES; lane++) {
            uint64_t wake_ns = UINT64_MAX;
            for (int slot = 0; slot < SLOTS; slot++) {
                sched_batch *batch = s->flying[lane][slot];
                if (batch == NULL)
                    batch = tandem__sched_take(s->scheduler, lane, s->now_ns, &wake_ns);
                s->flying[lane][slot] = NULL;
                if (batch != NULL)
                    tandem__sched_done(s->scheduler, batch, s->now_ns, TANDEM_OK, NULL);
            }
        }
        storm_collect(s);
        tandem__sched_check(s->scheduler);
    }
    assert_null(s->scheduler->alive);
    for (int i = 0; i < JOBS; i++) assert_int_equal(s->jobs[i].state, SCHED_JOB_IDLE);
}

static void test_storm(void **state) {
    (void)state;
    static storm s;
    static const sched_policy policies[] = {SCHED_PREDICT, SCHED_RULES, SCHED_RULES_SIMPLE};
    for (int p = 0; p < 3; p++) {
        memset(&s, 0, sizeof s);
        s.scheduler = open_policy(policies[p], 15);
        for (int i = 0; i < LANES; i++) {
            s.scheduler->lanes[i].slots = SLOTS;
            s.scheduler->lanes[i].options.hang_min_ns = 50 * MS;
        }
        tandem__random_init(&s.random, 20 + (uint64_t)p);
        s.now_ns = START;
        for (int step = 0; step < STEPS; step++) storm_step(&s, step);
        storm_end(&s);
        assert_true(s.answered > 500);
        assert_true(s.ended_by_device > 10);
        if (policies[p] != SCHED_RULES) assert_true(s.bound > 200);
        assert_true(s.scheduler->counters.retried_units > 100);
        uint64_t times_out = 0;
        for (int i = 0; i < LANES; i++) times_out += s.scheduler->lanes[i].times_out;
        assert_true(times_out > 20);
        tandem__sched_close(s.scheduler);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_named_lane_must_be_allowed),
        cmocka_unit_test(test_allowed_lanes_serve),
        cmocka_unit_test(test_the_earliest_allowed_lane),
        cmocka_unit_test(test_no_allowed_lane_serves),
        cmocka_unit_test(test_evacuation_keeps_to_the_classes),
        cmocka_unit_test(test_retries_keep_to_the_classes),
        cmocka_unit_test(test_a_lane_comes_back),
        cmocka_unit_test(test_rules),
        cmocka_unit_test(test_storm),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
