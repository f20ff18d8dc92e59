/* SPDX-License-Identifier: Apache-2.0 */
/* The guide's two rules, to the letter; lanes are found by their class.
 *
 *     SmartBackendSelector                          select_backend
 *     urgent and ane queue < 5  → ane               real_time       → ane
 *     batch size > 1            → metal             batch size > 10 → metal
 *     else                      → cpu               else            → "auto": predict
 *
 * A lane that is missing, out or not for the request is replaced by the next of the class order. */
#include "sched/sched_internal.h"

#define RULES_QUEUE_MAX    5
#define RULES_SIMPLE_BATCH 10

/* Requests that wait for a lane or are on it, as ane_queue_size counts them. */
static int64_t queue_size(const sched_lane *lane) {
    int64_t size = lane->running;
    for (int b = 0; b < SCHED_BANDS; b++) size += lane->pinned[b].pieces;
    return size;
}

int32_t tandem__rules_lane(const sched *scheduler, const sched_job *job) {
    const int32_t latency = tandem__class_lane(scheduler, TANDEM_CLASS_LATENCY, job);
    const bool is_urgent = job->priority < 0;
    switch (scheduler->options.policy) {
    case SCHED_RULES:
        if (is_urgent && queue_size(&scheduler->lanes[latency]) < RULES_QUEUE_MAX) return latency;
        return tandem__class_lane(
            scheduler, job->texts > 1 ? TANDEM_CLASS_THROUGHPUT : TANDEM_CLASS_BACKGROUND, job);
    case SCHED_RULES_SIMPLE:
        if (is_urgent) return latency;
        if (job->texts > RULES_SIMPLE_BATCH)
            return tandem__class_lane(scheduler, TANDEM_CLASS_THROUGHPUT, job);
        return SCHED_NO_LANE;
    case SCHED_PREDICT:
        break;
    }
    return SCHED_NO_LANE;
}
