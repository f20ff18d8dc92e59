/* SPDX-License-Identifier: Apache-2.0 */
/* The observers in real time: one thread that looks at the machine and the scheduler every 100 ms
 * while there is work, every second while there is none, and turns the knobs.
 *
 * It starts with the first call that does not block, with the first question for readiness, or when
 * a lane has failed. A program that embeds a file by blocking calls has no such thread: nothing
 * waits there that could be put in another order. Files of /proc and /sys are read without the
 * mutex, twice a second at most: some 50 us. */
#include <math.h>
#include <stdlib.h>

#include "apple/system.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/number.h"
#include "base/str.h"
#include "pipeline/pipeline_internal.h"
#include "tandem/metrics.h"

#define IDLE_EVERY_NS    ((uint64_t)1000000000)
#define MACHINE_EVERY_NS ((uint64_t)500000000)

/* When memory gets short the cache goes first. */
static void limit_cache(tandem_engine *engine) {
    pipeline_watch *self = &engine->dispatch.watch;
    const double scale = self->observers.cache_scale;
    if (engine->cache == NULL || fabs(scale - self->cache_scale) < 0.01) return;
    self->cache_scale = scale;
    tandem__cache_limit(engine->cache, (size_t)(scale * (double)engine->cache_bytes));
}

static void *watch(void *context) {
    tandem_engine *engine = context;
    pipeline_dispatch *dispatch = &engine->dispatch;
    pipeline_watch *self = &dispatch->watch;
    sched_machine_view machine;
    tandem__system_thread(SYSTEM_THREAD_OBSERVER);
    tandem__machine_look(&machine);
    uint64_t looked_ns = tandem__clock_ns();
    (void)pthread_mutex_lock(&dispatch->mutex);
    while (!dispatch->is_closing) {
        const uint64_t now_ns = tandem__clock_ns();
        sched_machine_view seen = machine;
        if (self->speed_percent >= 0) seen.speed_percent = self->speed_percent;
        const uint32_t lanes =
            tandem__observe(&self->observers, dispatch->scheduler, &seen, now_ns);
        for (int32_t i = 0; i < engine->lane_count; i++) {
            if ((lanes & (1u << i)) != 0) tandem__dispatch_wake_lane(engine, i);
        }
        limit_cache(engine);
        const bool is_idle = dispatch->scheduler->alive == NULL;
        tandem__cond_wait(&self->wake, &dispatch->mutex,
                          now_ns + (is_idle ? IDLE_EVERY_NS : OBSERVE_EVERY_NS));
        if (dispatch->is_closing || tandem__clock_ns() - looked_ns < MACHINE_EVERY_NS) continue;
        (void)pthread_mutex_unlock(&dispatch->mutex);
        tandem__machine_look(&machine);
        looked_ns = tandem__clock_ns();
        (void)pthread_mutex_lock(&dispatch->mutex);
    }
    (void)pthread_mutex_unlock(&dispatch->mutex);
    return NULL;
}

bool tandem__watch_open(pipeline_watch *self) {
    self->speed_percent = -1;
    self->cache_scale = 1;
    const char *limit = getenv("TANDEM_SPEED_LIMIT");
    int64_t percent = 0;
    if (limit != NULL && tandem__number_parse_int(tandem__str(limit), &percent) && percent > 0 &&
        percent <= 100)
        self->speed_percent = (int32_t)percent;
    else if (limit != NULL && limit[0] != '\0')
        tandem__log(TANDEM_LOG_WARN, "TANDEM_SPEED_LIMIT=%s: expected 1 to 100; ignored", limit);
    return tandem__cond_init(&self->wake);
}

/* Without memory for a thread there are no observers; the next call tries again. */
void tandem__watch_start(tandem_engine *engine) {
    pipeline_watch *self = &engine->dispatch.watch;
    if (self->is_started || engine->dispatch.is_closing) return;
    self->is_started = pthread_create(&self->thread, NULL, watch, engine) == 0;
}

void tandem__watch_close(pipeline_watch *self) {
    if (self->is_started) (void)pthread_join(self->thread, NULL);
}

bool tandem_engine_is_ready(tandem_engine *engine) {
    pipeline_dispatch *dispatch = &engine->dispatch;
    (void)pthread_mutex_lock(&dispatch->mutex);
    tandem__watch_start(engine);
    const bool is_ready =
        !dispatch->is_refusing && tandem__sched_is_ready(dispatch->scheduler, tandem__clock_ns());
    (void)pthread_mutex_unlock(&dispatch->mutex);
    return is_ready;
}

void tandem_engine_set_speed_limit(tandem_engine *engine, int32_t percent) {
    pipeline_dispatch *dispatch = &engine->dispatch;
    (void)pthread_mutex_lock(&dispatch->mutex);
    dispatch->watch.speed_percent = percent > 0 && percent <= 100 ? percent : -1;
    tandem__watch_start(engine);
    (void)pthread_cond_signal(&dispatch->watch.wake);
    (void)pthread_mutex_unlock(&dispatch->mutex);
}
