/* SPDX-License-Identifier: Apache-2.0 */
/* A pool of threads that work through numbered tiles.
 *
 * A job is `count` tiles and a function. Tiles are claimed one at a time from an atomic counter,
 * by the calling thread too, so a thread that a neighbour slows down takes fewer of them and no
 * result depends on who took which. Between jobs a worker spins for at most 20 us, then yields,
 * then sleeps on a futex; never more spinners than processors that the process may use.
 *
 * One job runs at a time: a second caller waits for the first. */
#ifndef TANDEM_BASE_POOL_H
#define TANDEM_BASE_POOL_H

#include "tandem/status.h"

typedef struct tandem_pool tandem_pool;

/* `tile` is 0 to count - 1; `worker` is 0 to threads - 1, distinct for threads that run at the
 * same time (to index scratch memory). */
typedef void (*tandem_pool_function)(void *context, int tile, int worker);

/* Called by each worker of the pools that are opened from now on, before its first job: for what a
 * system wants to know of a thread. NULL: nothing. */
void tandem__pool_on_start(void (*started)(void));

/* `threads` counts the caller: 1 starts no thread. 0 = tandem__cpu_count(). */
tandem_status tandem__pool_open(int threads, tandem_pool **pool,
                                tandem_error *err) TANDEM_NODISCARD;

/* NULL is allowed. No job may be under way. */
void tandem__pool_close(tandem_pool *pool);

int tandem__pool_threads(const tandem_pool *pool);

/* Runs the job and returns when every tile is done. Any thread, but not from inside a job. A NULL
 * pool runs all tiles on the caller, as worker 0. */
void tandem__pool_run(tandem_pool *pool, int count, tandem_pool_function function, void *context);

#endif
