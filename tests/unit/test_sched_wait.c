/* SPDX-License-Identifier: Apache-2.0 */
/* The bound on waiting time: what is refused, and whether who comes back when he was told to is let
 * in. Arrivals at three times what two lanes can do, in virtual time. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "base/chance.h"
#include "sched/sched.h"

#define MS    ((uint64_t)1000000)
#define START ((uint64_t)1000000 * MS)

enum { LANES = 2, TOKENS_MAX = 64, JOBS = 4096, CALLERS = 1 << 17 };

static const double token_ns[LANES] = {50000, 150000}; /* 26.7 tokens a millisecond together */
static int32_t unit_tokens[TOKENS_MAX + 1];

static sched *open_sched(uint64_t queue_ns_max) {
    sched_options options = {
        .lane_count = LANES, .probe_every_ns = UINT64_MAX, .queue_ns_max = queue_ns_max};
    static const tandem_lane_class classes[] = {TANDEM_CLASS_THROUGHPUT, TANDEM_CLASS_BACKGROUND};
    for (int i = 0; i < LANES; i++) {
        options.lanes[i] = (sched_lane_options){.name = i == 0 ? "metal" : "cpu",
                                                .lane_class = classes[i],
                                                .tokens_max = 512,
                                                .sequences_max = 64,
                                                .slots = 1,
                                                .slots_max = 1,
                                                .rules_limit = 8,
                                                .hang_min_ns = 60000 * MS,
                                                .is_available = true};
        tandem__service_init(&options.lanes[i].service, 1000, token_ns[i]);
        options.lanes[i].service.largest = 512;
    }
    sched *scheduler = NULL;
    tandem_error err = {0};
    if (tandem__sched_open(&options, &scheduler, &err) != TANDEM_OK) fail_msg("%s", err.message);
    return scheduler;
}

static sched_job job_of(int32_t tokens, int32_t priority) {
    return (sched_job){.unit_tokens = &unit_tokens[tokens],
                       .unit_count = 1,
                       .texts = 1,
                       .priority = priority,
                       .lane = SCHED_NO_LANE};
}

static tandem_status offer(sched *scheduler, sched_job *job, uint64_t now_ns, uint64_t *retry_ns,
                           tandem_error *err) {
    return tandem__sched_submit(scheduler, job, now_ns, retry_ns, err);
}

static void close_all(sched *scheduler, uint64_t now_ns) {
    while (scheduler->alive != NULL) tandem__sched_cancel(scheduler, scheduler->alive, now_ns);
    tandem__sched_close(scheduler);
}

/* A waiting token weighs 37.5 us: 100 ms are 2666 of them. Better bands are ahead, worse are not.
 */
static void test_bands(void **state) {
    (void)state;
    static sched_job jobs[200];
    sched *scheduler = open_sched(100 * MS);
    uint64_t retry_ns = 0;
    int let_in[3] = {0};
    int count = 0;
    for (int b = 2; b >= 0; b--) { // background, standard, realtime
        for (;;) {
            jobs[count] = job_of(64, b * 10 - 10);
            if (offer(scheduler, &jobs[count], START, &retry_ns, NULL) != TANDEM_OK) break;
            let_in[b]++;
            count++;
        }
        assert_true(retry_ns >= MS && retry_ns < 4 * MS);
    }
    for (int b = 0; b < 3; b++) assert_true(let_in[b] >= 39 && let_in[b] <= 41);
    tandem_error err = {0};
    sched_job last = job_of(64, 0); // realtime and standard work are ahead of it
    assert_int_equal(offer(scheduler, &last, START, &retry_ns, &err), TANDEM_CAPACITY);
    assert_non_null(strstr(err.message, "waiting time: "));
    assert_true(retry_ns > 95 * MS && retry_ns < 115 * MS);
    tandem__sched_check(scheduler);
    close_all(scheduler, START);
}

/* One that is over the bound by itself, where nothing waits and where something does. */
static void test_alone(void **state) {
    (void)state;
    static int32_t many[64];
    for (int i = 0; i < 64; i++) many[i] = 64;
    sched *scheduler = open_sched(5 * MS);
    sched_job jobs[2];
    uint64_t retry_ns = 0;
    for (int i = 0; i < 2; i++) {
        jobs[i] = job_of(1, 0);
        jobs[i].unit_tokens = many;
        jobs[i].unit_count = 64;
    }
    assert_int_equal(offer(scheduler, &jobs[0], START, &retry_ns, NULL), TANDEM_OK);
    assert_int_equal(retry_ns, 0);
    assert_int_equal(offer(scheduler, &jobs[1], START, &retry_ns, NULL), TANDEM_CAPACITY);
    assert_true(retry_ns > 145 * MS && retry_ns < 165 * MS); // when nothing of the first waits
    close_all(scheduler, START);
}

/* Work that is for one lane is measured by what waits there, at that lane's rate. */
static void test_bound_to_a_lane(void **state) {
    (void)state;
    static sched_job jobs[100];
    sched *scheduler = open_sched(100 * MS);
    uint64_t retry_ns = 0;
    int count = 0;
    for (;; count++) {
        jobs[count] = job_of(64, 0);
        jobs[count].lane = 1;
        if (offer(scheduler, &jobs[count], START, &retry_ns, NULL) != TANDEM_OK) break;
    }
    assert_int_equal(count, 10); // of 64 tokens at 150 us
    jobs[count] = job_of(64, 0);
    assert_int_equal(offer(scheduler, &jobs[count], START, &retry_ns, NULL), TANDEM_OK);
    close_all(scheduler, START);
}

/* A caller and what became of him. */
typedef struct caller {
    uint64_t at_ns; /* when he comes (again) */
    int32_t tokens;
    int32_t visits;
} caller;

typedef struct traffic {
    sched *scheduler;
    tandem_random random;
    caller callers[CALLERS];
    uint32_t heap[CALLERS]; /* of callers by at_ns */
    uint32_t waiting;       /* in the heap */
    uint32_t count;
    sched_job jobs[JOBS];
    sched_job *free_jobs[JOBS];
    int32_t free_count;
    sched_batch *flying[LANES];
    uint64_t done_ns[LANES];
    uint64_t now_ns;
    double return_share; /* of the refused who come back */
    double late_ns;      /* at most, after their time */
    int64_t returned;    /* who came back */
    int64_t welcomed;    /* ... and were let in then */
    int64_t tokens_done;
    uint64_t wait_max_ns;
} traffic;

static bool is_earlier(const traffic *t, uint32_t a, uint32_t b) {
    return t->callers[t->heap[a]].at_ns < t->callers[t->heap[b]].at_ns;
}

static void swap(traffic *t, uint32_t a, uint32_t b) {
    const uint32_t kept = t->heap[a];
    t->heap[a] = t->heap[b];
    t->heap[b] = kept;
}

static void heap_push(traffic *t, uint32_t who) {
    uint32_t at = t->waiting++;
    t->heap[at] = who;
    for (; at > 0 && is_earlier(t, at, (at - 1) / 2); at = (at - 1) / 2) swap(t, at, (at - 1) / 2);
}

static uint32_t heap_pop(traffic *t) {
    const uint32_t first = t->heap[0];
    t->heap[0] = t->heap[--t->waiting];
    for (uint32_t at = 0;;) {
        uint32_t least = at;
        for (uint32_t child = 2 * at + 1; child <= 2 * at + 2 && child < t->waiting; child++) {
            if (is_earlier(t, child, least)) least = child;
        }
        if (least == at) return first;
        swap(t, at, least);
        at = least;
    }
}

static void come(traffic *t, uint32_t index) {
    caller *who = &t->callers[index];
    assert_true(t->free_count > 0);
    sched_job *job = t->free_jobs[--t->free_count];
    *job = job_of(who->tokens, 0);
    job->identity = (index + 1) * 0x9e3779b97f4a7c15u;
    uint64_t retry_ns = 0;
    const tandem_status status = offer(t->scheduler, job, t->now_ns, &retry_ns, NULL);
    t->returned += who->visits > 0;
    t->welcomed += who->visits > 0 && status == TANDEM_OK;
    who->visits++;
    if (status == TANDEM_OK) return;
    assert_int_equal(status, TANDEM_CAPACITY);
    t->free_jobs[t->free_count++] = job;
    if (tandem__random_unit(&t->random) >= t->return_share) return;
    who->at_ns = t->now_ns + retry_ns + (uint64_t)(t->late_ns * tandem__random_unit(&t->random));
    heap_push(t, index);
}

static void lanes_go_on(traffic *t) {
    for (int32_t i = 0; i < LANES; i++) {
        if (t->flying[i] != NULL && t->done_ns[i] <= t->now_ns) {
            t->tokens_done += t->flying[i]->tokens;
            tandem__sched_done(t->scheduler, t->flying[i], t->now_ns, TANDEM_OK, NULL);
            t->flying[i] = NULL;
        }
        uint64_t wake_ns = UINT64_MAX;
        if (t->flying[i] == NULL)
            t->flying[i] = tandem__sched_take(t->scheduler, i, t->now_ns, &wake_ns);
        else
            continue;
        if (t->flying[i] != NULL)
            t->done_ns[i] = t->now_ns + 1000 + (uint64_t)(token_ns[i] * t->flying[i]->tokens);
    }
    for (sched_job *job = tandem__sched_finished(t->scheduler); job != NULL;
         job = tandem__sched_finished(t->scheduler)) {
        if (job->started_ns - job->submitted_ns > t->wait_max_ns)
            t->wait_max_ns = job->started_ns - job->submitted_ns;
        t->free_jobs[t->free_count++] = job;
    }
}

/* New callers at `load` times what the lanes do for `ns`, beside those who come back. */
static void run_traffic(traffic *t, double load, uint64_t ns) {
    const double rate = 1 / token_ns[0] + 1 / token_ns[1];
    const double every_ns = (TOKENS_MAX + 1) / 2.0 / rate / load;
    const uint64_t end_ns = t->now_ns + ns;
    uint64_t next_ns = t->now_ns;
    for (;;) {
        uint64_t at_ns = next_ns;
        for (int i = 0; i < LANES; i++) {
            if (t->flying[i] != NULL && t->done_ns[i] < at_ns) at_ns = t->done_ns[i];
        }
        if (t->waiting > 0 && t->callers[t->heap[0]].at_ns < at_ns)
            at_ns = t->callers[t->heap[0]].at_ns;
        if (at_ns >= end_ns) break;
        if (at_ns > t->now_ns) t->now_ns = at_ns;
        while (t->waiting > 0 && t->callers[t->heap[0]].at_ns <= t->now_ns) come(t, heap_pop(t));
        if (next_ns <= t->now_ns) {
            assert_true(t->count < CALLERS);
            t->callers[t->count].tokens =
                1 + (int32_t)(tandem__random_unit(&t->random) * TOKENS_MAX);
            come(t, t->count++);
            next_ns += (uint64_t)tandem__random_exponential(&t->random, every_ns) + 1;
        }
        lanes_go_on(t);
    }
    t->now_ns = end_ns;
}

static traffic the_traffic;

static traffic *traffic_open(uint64_t queue_ns_max, double return_share, double late_ns) {
    traffic *t = &the_traffic;
    memset(t, 0, sizeof *t);
    t->scheduler = open_sched(queue_ns_max);
    tandem__random_init(&t->random, 7);
    for (int i = 0; i < JOBS; i++) t->free_jobs[t->free_count++] = &t->jobs[i];
    t->now_ns = START;
    t->return_share = return_share;
    t->late_ns = late_ns;
    return t;
}

static double goodput(const traffic *t, uint64_t ns) {
    return (double)t->tokens_done / ((1 / token_ns[0] + 1 / token_ns[1]) * (double)ns);
}

static void test_who_comes_back_is_let_in(void **state) {
    (void)state;
    static const struct {
        double return_share;
        double late_ms;
        uint64_t queue_ms;
    } cases[] = {{1, 0, 100}, {1, 50, 100},     {0.3, 5, 100}, {0.05, 5, 100},
                 {1, 5, 500}, {0.3, 1000, 500}, {0, 0, 100}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        const uint64_t ns = 8000 * MS;
        traffic *t = traffic_open(cases[i].queue_ms * MS, cases[i].return_share,
                                  cases[i].late_ms * (double)MS);
        run_traffic(t, 3, ns);
        assert_true(goodput(t, ns) >= 0.97);
        assert_true(cases[i].return_share <= 0 || t->returned > 100);
        assert_true(2 * t->welcomed >= t->returned);
        assert_true(t->wait_max_ns < (cases[i].queue_ms + cases[i].queue_ms / 5 + 20) * MS);
        tandem__sched_check(t->scheduler);
        close_all(t->scheduler, t->now_ns);
    }
}

/* Hours of little work, whose rate is what was asked for, not what the lanes can do. */
static void test_a_quiet_time_says_nothing(void **state) {
    (void)state;
    traffic *t = traffic_open(100 * MS, 0, 0);
    run_traffic(t, 3, 2000 * MS);
    const double busy = t->scheduler->admission.drain_tokens_per_ns;
    const double able = 1 / token_ns[0] + 1 / token_ns[1];
    assert_true(busy > 0.95 * able && busy < 1.05 * able);
    run_traffic(t, 0.05, 60000 * MS);
    int let_in = 0;
    for (int i = 0; i < 30; i++) { // 30 x 64 tokens are 72 ms
        sched_job *job = t->free_jobs[--t->free_count];
        *job = job_of(64, 0);
        uint64_t retry_ns = 0;
        let_in += offer(t->scheduler, job, t->now_ns, &retry_ns, NULL) == TANDEM_OK;
    }
    assert_int_equal(let_in, 30);
    close_all(t->scheduler, t->now_ns);
}

int main(void) {
    for (int i = 0; i <= TOKENS_MAX; i++) unit_tokens[i] = i;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_bands),
        cmocka_unit_test(test_alone),
        cmocka_unit_test(test_bound_to_a_lane),
        cmocka_unit_test(test_who_comes_back_is_let_in),
        cmocka_unit_test(test_a_quiet_time_says_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
