/* SPDX-License-Identifier: Apache-2.0 */
/* How a job is handed out without a lock.
 *
 *     cursor   [ job number : 32 | tiles not yet claimed : 32 ]
 *
 * The owner of a job writes `function`, `context`, `count`, then the cursor (release). A thread
 * claims a tile by lowering the cursor by one with compare-and-swap (acquire); only after that does
 * it read the job, which cannot change before `unfinished` is zero, that is before the claimed tile
 * is done. A thread that comes late finds no tile and touches nothing. So jobs need no barrier
 * between them, and a worker that the system holds up delays only the tile it is in.
 *
 * Idle workers and an owner that waits for the last tile spin for SPIN_NS, yield until YIELD_NS,
 * then sleep on a 32-bit word: a futex on Linux, a condition variable elsewhere. A sleeper leaves
 * its processor idle, which lets the system bring the delayed thread there; measured in
 * docs/perf/log.md. The threads of all pools that are awake are counted: while they outnumber the
 * processors nobody spins.
 *
 * Rejected: static shares with a barrier (collapses beside a busy neighbour, same log), and a lock
 * with a condition variable (8-46 us a hand-over). */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE /* syscall */
#endif
#include "base/pool.h"

#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#if defined(__linux__)
#include <linux/futex.h>
#include <sys/syscall.h>
#include <unistd.h>
#endif

#include "base/assert.h"
#include "base/clock.h"
#include "base/cpu.h"
#include "base/fail.h"
#include "base/mem.h"

enum {
    SPIN_NS = 20 * 1000,
    YIELD_NS = 100 * 1000, /* spinning included */
    SPINS_PER_CLOCK = 32,  /* pauses between two looks at the clock */
    THREADS_MAX = 1024,
    LINE = TANDEM_ALIGNMENT,
};

typedef struct pool_worker {
    tandem_pool *pool;
    pthread_t thread;
    int index;
} pool_worker;

struct tandem_pool {
    /* Written for each tile. */
    _Alignas(LINE) _Atomic uint64_t cursor;
    _Alignas(LINE) _Atomic uint32_t unfinished; /* tiles of the job; the owner sleeps on it */
    _Alignas(LINE) _Atomic uint32_t epoch;      /* jobs published; workers sleep on it */
    _Atomic uint32_t sleepers;                  /* workers about to sleep or asleep */
    _Atomic uint32_t owner_sleeps;
    _Atomic bool is_closing;

    /* The job. */
    _Alignas(LINE) tandem_pool_function function;
    void *context;
    int count;

    pthread_mutex_t owner_lock; /* one job at a time */
#if !defined(__linux__)
    pthread_mutex_t sleep_lock;
    pthread_cond_t sleep_changed;
#endif
    int threads;
    int started; /* workers that run, threads - 1 once open */
    int cpu_count;
    pool_worker *workers; /* [threads - 1] */
};

/* Workers that are not asleep and callers inside tandem__pool_run, of all pools. */
static _Atomic int awake_count;

static _Atomic(void (*)(void)) on_start;

/* The pool whose job this thread is in; NULL outside. */
static _Thread_local const tandem_pool *current_pool;

static inline void cpu_pause(void) {
#if defined(__x86_64__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ volatile("isb" ::: "memory"); /* longer than `yield`, which most cores ignore */
#endif
}

#if defined(__linux__)

static void sleep_on(tandem_pool *pool, _Atomic uint32_t *word, uint32_t expected) {
    (void)pool;
    (void)syscall(SYS_futex, (void *)word, FUTEX_WAIT_PRIVATE, expected, NULL, NULL, 0);
}

static void wake(tandem_pool *pool, _Atomic uint32_t *word, int count) {
    (void)pool;
    (void)syscall(SYS_futex, (void *)word, FUTEX_WAKE_PRIVATE, count, NULL, NULL, 0);
}

#else

static void sleep_on(tandem_pool *pool, _Atomic uint32_t *word, uint32_t expected) {
    pthread_mutex_lock(&pool->sleep_lock);
    while (atomic_load(word) == expected)
        pthread_cond_wait(&pool->sleep_changed, &pool->sleep_lock);
    pthread_mutex_unlock(&pool->sleep_lock);
}

static void wake(tandem_pool *pool, _Atomic uint32_t *word, int count) {
    (void)word; /* one condition for both words: everyone looks */
    (void)count;
    pthread_mutex_lock(&pool->sleep_lock);
    pthread_cond_broadcast(&pool->sleep_changed);
    pthread_mutex_unlock(&pool->sleep_lock);
}

#endif

typedef bool (*pool_condition)(tandem_pool *pool);

static bool has_work(tandem_pool *pool) {
    return (uint32_t)atomic_load_explicit(&pool->cursor, memory_order_relaxed) != 0 ||
           atomic_load_explicit(&pool->is_closing, memory_order_relaxed);
}

static bool is_finished(tandem_pool *pool) {
    return atomic_load_explicit(&pool->unfinished, memory_order_acquire) == 0;
}

static bool may_spin(const tandem_pool *pool) {
    return atomic_load_explicit(&awake_count, memory_order_relaxed) <= pool->cpu_count;
}

/* True as soon as the condition holds; false after about YIELD_NS of waiting. */
static bool wait_awake(tandem_pool *pool, pool_condition holds) {
    if (holds(pool)) return true;
    bool is_met = false;
    const uint64_t start = tandem__clock_ns();
    for (uint64_t waited = 0; waited < YIELD_NS && !is_met;) {
        if (waited < SPIN_NS && may_spin(pool)) {
            for (int i = 0; i < SPINS_PER_CLOCK && !is_met; i++) {
                cpu_pause();
                is_met = holds(pool);
            }
        } else {
            (void)sched_yield();
            is_met = holds(pool);
        }
        waited = tandem__clock_ns() - start;
    }
    return is_met;
}

/* Claims and runs tiles until none is left. */
static void work(tandem_pool *pool, int worker) {
    uint32_t done = 0;
    const tandem_pool *outer = current_pool;
    current_pool = pool;
    uint64_t cursor = atomic_load_explicit(&pool->cursor, memory_order_relaxed);
    while ((uint32_t)cursor != 0) {
        if (!atomic_compare_exchange_weak_explicit(&pool->cursor, &cursor, cursor - 1,
                                                   memory_order_acquire, memory_order_relaxed)) {
            continue;
        }
        pool->function(pool->context, pool->count - (int)(uint32_t)cursor, worker);
        done++;
        cursor = atomic_load_explicit(&pool->cursor, memory_order_relaxed);
    }
    current_pool = outer;
    if (done == 0) return;
    /* Sequentially consistent, as is the owner's pair in wait_for_tiles: one of the two sees the
     * other's write. */
    if (atomic_fetch_sub(&pool->unfinished, done) == done && atomic_load(&pool->owner_sleeps))
        wake(pool, &pool->unfinished, 1);
}

static void wait_for_tiles(tandem_pool *pool) {
    if (wait_awake(pool, is_finished)) return;
    atomic_store(&pool->owner_sleeps, 1);
    uint32_t left = atomic_load(&pool->unfinished);
    while (left != 0) {
        sleep_on(pool, &pool->unfinished, left);
        left = atomic_load(&pool->unfinished);
    }
    atomic_store(&pool->owner_sleeps, 0);
}

static void *worker_main(void *argument) {
    const pool_worker *self = argument;
    tandem_pool *pool = self->pool;
    void (*started)(void) = atomic_load(&on_start);
    if (started != NULL) started();
    atomic_fetch_add_explicit(&awake_count, 1, memory_order_relaxed);
    while (!atomic_load_explicit(&pool->is_closing, memory_order_relaxed)) {
        work(pool, self->index);
        if (wait_awake(pool, has_work)) continue;
        atomic_fetch_sub_explicit(&awake_count, 1, memory_order_relaxed);
        atomic_fetch_add(&pool->sleepers, 1);
        const uint32_t epoch = atomic_load(&pool->epoch);
        if (!has_work(pool)) sleep_on(pool, &pool->epoch, epoch);
        atomic_fetch_sub(&pool->sleepers, 1);
        atomic_fetch_add_explicit(&awake_count, 1, memory_order_relaxed);
    }
    atomic_fetch_sub_explicit(&awake_count, 1, memory_order_relaxed);
    return NULL;
}

static void wake_workers(tandem_pool *pool, int count) {
    atomic_fetch_add(&pool->epoch, 1);
    if (atomic_load(&pool->sleepers) != 0) wake(pool, &pool->epoch, count);
}

void tandem__pool_run(tandem_pool *pool, int count, tandem_pool_function function, void *context) {
    TANDEM_ASSERT(count >= 0);
    TANDEM_ASSERT(pool == NULL || current_pool != pool);
    if (pool == NULL) {
        for (int tile = 0; tile < count; tile++) function(context, tile, 0);
        return;
    }
    if (count == 0) return;
    pthread_mutex_lock(&pool->owner_lock);
    pool->function = function;
    pool->context = context;
    pool->count = count;
    atomic_store_explicit(&pool->unfinished, (uint32_t)count, memory_order_relaxed);
    const uint64_t job = (atomic_load_explicit(&pool->cursor, memory_order_relaxed) >> 32) + 1;
    atomic_store(&pool->cursor, job << 32 | (uint32_t)count);
    atomic_fetch_add_explicit(&awake_count, 1, memory_order_relaxed);
    if (count > 1 && pool->threads > 1) wake_workers(pool, count - 1);
    work(pool, 0);
    wait_for_tiles(pool);
    atomic_fetch_sub_explicit(&awake_count, 1, memory_order_relaxed);
    pthread_mutex_unlock(&pool->owner_lock);
}

int tandem__pool_threads(const tandem_pool *pool) {
    return pool == NULL ? 1 : pool->threads;
}

/* Workers take no signals: those belong to the program's own threads. */
static int start_workers(tandem_pool *pool) {
    sigset_t all;
    sigset_t before;
    (void)sigfillset(&all);
    (void)pthread_sigmask(SIG_SETMASK, &all, &before);
    int error = 0;
    while (error == 0 && pool->started < pool->threads - 1) {
        pool_worker *worker = &pool->workers[pool->started];
        worker->pool = pool;
        worker->index = pool->started + 1;
        error = pthread_create(&worker->thread, NULL, worker_main, worker);
        if (error == 0) pool->started++;
    }
    (void)pthread_sigmask(SIG_SETMASK, &before, NULL);
    return error;
}

void tandem__pool_on_start(void (*started)(void)) {
    atomic_store(&on_start, started);
}

tandem_status tandem__pool_open(int threads, tandem_pool **out, tandem_error *err) {
    if (threads < 0 || threads > THREADS_MAX) {
        return TANDEM_FAIL(err, INVALID, "%d compute threads, expected 0 to %d", threads,
                           (int)THREADS_MAX);
    }
    tandem_pool *pool = tandem__mem_alloc_aligned(sizeof *pool);
    if (pool == NULL) return TANDEM_FAIL(err, MEMORY, "no memory for a thread pool");
    memset(pool, 0, sizeof *pool);
    pool->cpu_count = tandem__cpu_count();
    pool->threads = threads > 0 ? threads : pool->cpu_count;
    (void)pthread_mutex_init(&pool->owner_lock, NULL);
#if !defined(__linux__)
    (void)pthread_mutex_init(&pool->sleep_lock, NULL);
    (void)pthread_cond_init(&pool->sleep_changed, NULL);
#endif
    tandem_status status = TANDEM_OK;
    if (pool->threads > 1) {
        pool->workers = tandem__mem_calloc((size_t)pool->threads - 1, sizeof *pool->workers);
        if (pool->workers == NULL) {
            status = TANDEM_FAIL(err, MEMORY, "no memory for %d threads", pool->threads);
            goto fail;
        }
        const int error = start_workers(pool);
        if (error != 0) {
            status = TANDEM_FAIL(err, MEMORY, "cannot start thread %d of %d: %s", pool->started + 2,
                                 pool->threads, strerror(error));
            goto fail;
        }
    }
    *out = pool;
    return TANDEM_OK;
fail:
    tandem__pool_close(pool);
    return status;
}

void tandem__pool_close(tandem_pool *pool) {
    if (pool == NULL) return;
    TANDEM_ASSERT(current_pool != pool);
    atomic_store(&pool->is_closing, true);
    wake_workers(pool, pool->threads);
    for (int i = 0; i < pool->started; i++) (void)pthread_join(pool->workers[i].thread, NULL);
#if !defined(__linux__)
    (void)pthread_cond_destroy(&pool->sleep_changed);
    (void)pthread_mutex_destroy(&pool->sleep_lock);
#endif
    (void)pthread_mutex_destroy(&pool->owner_lock);
    tandem__mem_free(pool->workers);
    tandem__mem_free_aligned(pool, sizeof *pool);
}
