/* SPDX-License-Identifier: Apache-2.0 */
/* The invariants of the scheduler, asserted over everything it holds. */
#include "base/assert.h"
#include "sched/sched_internal.h"

static bool is_allowed(const sched *scheduler, const sched_job *job, int32_t lane) {
    return tandem__lane_takes(&scheduler->lanes[lane], job);
}

/* A lane's own queue holds what the lane may serve, a shared one what every lane may. */
static void check_classes(const sched *scheduler, const sched_piece *piece) {
    const sched_job *job = piece->job;
    if (piece->home != SCHED_NO_LANE)
        TANDEM_ASSERT(is_allowed(scheduler, job, piece->home));
    else
        TANDEM_ASSERT(!tandem__class_binds(scheduler, job));
}

static void check_queue(const sched *scheduler, const sched_queue *queue, sched_band band,
                        int32_t home) {
    int64_t pieces = 0;
    int64_t units = 0;
    int64_t tokens = 0;
    const sched_piece *before = NULL;
    for (const sched_piece *p = queue->head[0]; p != NULL; before = p, p = p->next[0]) {
        TANDEM_ASSERT(p->is_queued);
        TANDEM_ASSERT(p->count > 0);
        TANDEM_ASSERT(p->job->state == SCHED_JOB_QUEUED);
        TANDEM_ASSERT(p->home == home);
        check_classes(scheduler, p);
        TANDEM_ASSERT(tandem__sched_band(p->priority) == band);
        TANDEM_ASSERT(before == NULL || tandem__piece_before(before, p));
        TANDEM_ASSERT(p->tokens == tandem__job_tokens(p->job, p->first, p->count));
        pieces++;
        units += p->count;
        tokens += p->tokens;
    }
    TANDEM_ASSERT(pieces == queue->pieces);
    TANDEM_ASSERT(units == queue->units);
    TANDEM_ASSERT(tokens == queue->tokens);
    const sched_piece *last = NULL;
    for (const sched_piece *p = queue->oldest; p != NULL; last = p, p = p->younger) {
        TANDEM_ASSERT(p->older == last);
        pieces--;
    }
    TANDEM_ASSERT(pieces == 0);
    TANDEM_ASSERT(queue->youngest == last);
}

/* A job's units are waiting, flying, failed or done; the first two are counted where they are. */
static void check_job(const sched *scheduler, const sched_job *job) {
    uint32_t waiting = job->piece.is_queued ? job->piece.count : 0;
    for (const sched_piece *p = job->retry_pieces; p != NULL; p = p->next_of_job) {
        TANDEM_ASSERT(p->job == job);
        TANDEM_ASSERT(p->is_queued);
        waiting += p->count;
    }
    TANDEM_ASSERT(waiting == job->waiting_units);
    uint32_t flying = 0;
    const size_t slots = (size_t)scheduler->lane_count * SCHED_SLOTS_MAX;
    for (size_t i = 0; i < slots; i++) {
        const sched_batch *batch = &scheduler->batches[i];
        if (batch->state != SCHED_SLOT_RUNNING) continue;
        for (uint32_t n = 0; n < batch->item_count; n++) {
            if (batch->items[n].job != job) continue;
            flying += batch->items[n].count;
            TANDEM_ASSERT(is_allowed(scheduler, job, batch->lane));
        }
    }
    TANDEM_ASSERT(flying == job->flying_units);
    TANDEM_ASSERT(waiting + flying > 0);
    TANDEM_ASSERT(waiting + flying + job->failed_units <= job->unit_count);
}

void tandem__sched_check(const sched *scheduler) {
    int64_t tokens = 0;
    for (int b = 0; b < SCHED_BANDS; b++) {
        check_queue(scheduler, &scheduler->shared[b], (sched_band)b, SCHED_NO_LANE);
        tokens += scheduler->shared[b].tokens;
        for (int i = 0; i < scheduler->lane_count; i++) {
            check_queue(scheduler, &scheduler->lanes[i].pinned[b], (sched_band)b, i);
            tokens += scheduler->lanes[i].pinned[b].tokens;
        }
    }
    TANDEM_ASSERT(tokens == scheduler->waiting_tokens);
    int64_t jobs = 0;
    for (const sched_job *job = scheduler->alive; job != NULL; job = job->next_alive) {
        TANDEM_ASSERT(job->state == SCHED_JOB_QUEUED);
        check_job(scheduler, job);
        jobs += job->waiting_units > 0;
    }
    TANDEM_ASSERT(jobs == scheduler->waiting_jobs);
    for (int i = 0; i < scheduler->lane_count; i++) {
        const sched_lane *lane = &scheduler->lanes[i];
        int32_t running = 0;
        int32_t hung = 0;
        for (int s = 0; s < SCHED_SLOTS_MAX; s++) {
            running += lane->batches[s].state == SCHED_SLOT_RUNNING;
            hung += lane->batches[s].state == SCHED_SLOT_HUNG;
        }
        TANDEM_ASSERT(running == lane->running);
        TANDEM_ASSERT(hung == lane->hung);
    }
}
