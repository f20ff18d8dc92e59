/* SPDX-License-Identifier: Apache-2.0 */
/* The observers in real time: their thread, and what the system says of the machine. */
#ifndef TANDEM_PIPELINE_WATCH_H
#define TANDEM_PIPELINE_WATCH_H

#include <pthread.h>
#include <stdbool.h>

#include "base/pool.h"
#include "sched/observers.h"
#include "tandem/engine.h"

/* Everything with the dispatch mutex. */
typedef struct pipeline_watch {
    sched_observers observers;
    int32_t speed_percent; /* that was set, or -1: the machine's own */
    double cache_scale;    /* that the cache was told last */
    bool is_started;
    pthread_t thread;
    pthread_cond_t wake;
} pipeline_watch;

/* Open is false when out of memory. Start with the dispatch mutex. Close without it, when
 * is_closing is set: the thread has ended after that; `wake` is left to the engine. */
bool tandem__watch_open(pipeline_watch *watch) TANDEM_NODISCARD;
void tandem__watch_start(tandem_engine *engine);
void tandem__watch_close(pipeline_watch *watch);

/* machine.c: what the observers need to know, from the system. */
void tandem__machine_look(sched_machine_view *view);

/* Compute threads of an engine: `threads` of them, or where it is 0 as many as there are fast cores
 * to be had. */
tandem_status tandem__machine_pool(int threads, tandem_pool **pool,
                                   tandem_error *err) TANDEM_NODISCARD;

#endif
