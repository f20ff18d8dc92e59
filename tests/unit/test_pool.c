/* SPDX-License-Identifier: Apache-2.0 */
/* The thread pool: every tile exactly once, workers apart, many tiny jobs, several callers,
 * nothing allocated by a job, misuse refused. Run under TSan too. */
#include "base/pool.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/mem.h"

enum { TILES_MAX = 1000, THREADS_TRIED = 5 };

typedef struct tally {
    int runs[TILES_MAX];    /* not atomic: a tile that ran twice at once is a race */
    int sums[TILES_MAX];    /* what plain memory of the caller holds */
    _Atomic int active[64]; /* by worker */
    _Atomic int worker_collisions;
    int input;
} tally;

static void count_tile(void *context, int tile, int worker) {
    tally *t = context;
    if (atomic_fetch_add(&t->active[worker], 1) != 0) atomic_fetch_add(&t->worker_collisions, 1);
    t->runs[tile]++;
    t->sums[tile] += t->input + tile;
    atomic_fetch_sub(&t->active[worker], 1);
}

static void test_every_tile_once(void **state) {
    (void)state;
    static const int counts[] = {0, 1, 2, 3, 7, 64, TILES_MAX};
    for (int threads = 1; threads <= THREADS_TRIED; threads++) {
        tandem_pool *pool = NULL;
        tandem_error err = {0};
        assert_int_equal(tandem__pool_open(threads, &pool, &err), TANDEM_OK);
        assert_int_equal(tandem__pool_threads(pool), threads);
        for (size_t i = 0; i < sizeof counts / sizeof counts[0]; i++) {
            tally t = {.input = 7};
            tandem__pool_run(pool, counts[i], count_tile, &t);
            for (int tile = 0; tile < TILES_MAX; tile++) {
                assert_int_equal(t.runs[tile], tile < counts[i] ? 1 : 0);
                assert_int_equal(t.sums[tile], tile < counts[i] ? 7 + tile : 0);
            }
            assert_int_equal(t.worker_collisions, 0);
        }
        tandem__pool_close(pool);
    }
}

/* Jobs back to back, so that workers arrive late and meet the next job; now and then a pause, so
 * that they fall asleep too. */
static void test_many_tiny_jobs(void **state) {
    (void)state;
    enum { JOBS = 20000 };
    for (int threads = 1; threads <= THREADS_TRIED; threads++) {
        tandem_pool *pool = NULL;
        assert_int_equal(tandem__pool_open(threads, &pool, NULL), TANDEM_OK);
        tally t = {.input = 0};
        const uint64_t allocations = tandem__mem_count();
        int expected = 0;
        for (int job = 0; job < JOBS; job++) {
            const int count = 1 + job % 9;
            t.input = job;
            tandem__pool_run(pool, count, count_tile, &t);
            expected += count;
            if (job % 4000 == 3999) (void)usleep(1000);
        }
        int sum = 0;
        for (int tile = 0; tile < TILES_MAX; tile++) sum += t.runs[tile];
        assert_int_equal(sum, expected);
        assert_int_equal(t.worker_collisions, 0);
        assert_int_equal(tandem__mem_count(), allocations);
        tandem__pool_close(pool);
    }
}

typedef struct caller {
    tandem_pool *pool;
    tally counts;
} caller;

static void *call_many_times(void *argument) {
    caller *self = argument;
    for (int job = 0; job < 2000; job++) tandem__pool_run(self->pool, 5, count_tile, &self->counts);
    return NULL;
}

static void test_callers_take_turns(void **state) {
    (void)state;
    enum { CALLERS = 3 };
    static caller callers[CALLERS];
    pthread_t threads[CALLERS];
    tandem_pool *pool = NULL;
    assert_int_equal(tandem__pool_open(3, &pool, NULL), TANDEM_OK);
    for (int i = 0; i < CALLERS; i++) {
        callers[i].pool = pool;
        assert_int_equal(pthread_create(&threads[i], NULL, call_many_times, &callers[i]), 0);
    }
    for (int i = 0; i < CALLERS; i++) assert_int_equal(pthread_join(threads[i], NULL), 0);
    for (int i = 0; i < CALLERS; i++) {
        assert_int_equal(callers[i].counts.worker_collisions, 0);
        for (int tile = 0; tile < 5; tile++) assert_int_equal(callers[i].counts.runs[tile], 2000);
    }
    tandem__pool_close(pool);
}

typedef struct sleepy {
    _Atomic int done;
    _Atomic uint32_t workers; /* a bit for each that took part */
} sleepy;

static void sleep_in_tile(void *context, int tile, int worker) {
    sleepy *s = context;
    (void)tile;
    (void)usleep(2000);
    atomic_fetch_or(&s->workers, 1u << worker);
    atomic_fetch_add(&s->done, 1);
}

/* Tiles far longer than the spinning: caller and workers sleep and are woken. */
static void test_long_tiles(void **state) {
    (void)state;
    tandem_pool *pool = NULL;
    assert_int_equal(tandem__pool_open(4, &pool, NULL), TANDEM_OK);
    sleepy s = {0};
    for (int job = 0; job < 5; job++) tandem__pool_run(pool, 8, sleep_in_tile, &s);
    assert_int_equal(s.done, 40);
    assert_int_equal(s.workers, 0xf);
    tandem__pool_close(pool);
}

static void test_no_pool_runs_on_the_caller(void **state) {
    (void)state;
    tally t = {.input = 1};
    tandem__pool_run(NULL, 10, count_tile, &t);
    for (int tile = 0; tile < 10; tile++) assert_int_equal(t.runs[tile], 1);
    assert_int_equal(tandem__pool_threads(NULL), 1);
    tandem__pool_close(NULL);
}

static void run_again(void *context, int tile, int worker) {
    (void)worker;
    if (tile == 0) tandem__pool_run(context, 1, run_again, context);
}

static void nest(void) {
    tandem_pool *pool = NULL;
    if (tandem__pool_open(2, &pool, NULL) != TANDEM_OK) _exit(0);
    tandem__pool_run(pool, 1, run_again, pool);
}

/* A job that runs a job of its own pool would wait for itself for ever; it aborts instead. */
static void test_nesting_is_refused(void **state) {
    (void)state;
    const pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        (void)freopen("/dev/null", "w", stderr);
        (void)alarm(10);
        nest();
        _exit(0);
    }
    int status = 0;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFSIGNALED(status));
    assert_int_equal(WTERMSIG(status), SIGABRT);
}

static void test_bad_counts_and_memory(void **state) {
    (void)state;
    tandem_pool *pool = NULL;
    tandem_error err = {0};
    assert_int_equal(tandem__pool_open(-1, &pool, &err), TANDEM_INVALID);
    assert_string_equal(err.message, "-1 compute threads, expected 0 to 1024");
    tandem_error_clear(&err);
    assert_int_equal(tandem__pool_open(100000, &pool, &err), TANDEM_INVALID);
    for (uint64_t n = 1; n <= 2; n++) {
        tandem_error_clear(&err);
        tandem__mem_fail_at(n);
        assert_int_equal(tandem__pool_open(3, &pool, &err), TANDEM_MEMORY);
        tandem__mem_fail_at(0);
        assert_null(pool);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_tile_once),
        cmocka_unit_test(test_many_tiny_jobs),
        cmocka_unit_test(test_callers_take_turns),
        cmocka_unit_test(test_long_tiles),
        cmocka_unit_test(test_no_pool_runs_on_the_caller),
        cmocka_unit_test(test_nesting_is_refused),
        cmocka_unit_test(test_bad_counts_and_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
