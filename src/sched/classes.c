/* SPDX-License-Identifier: Apache-2.0 */
/* Which lanes a request may use: those of the classes that it names, if it does, and those that
 * take a text as long as its longest (lanes of fixed shapes have a longest one).
 *
 * A job that every lane that serves may take waits in the shared queues as any other. Another
 * is bound to the lane of its own that is predicted to finish it first, and waits
 * in the queue of that lane: so whatever waits in a shared queue is for every lane that asks, and
 * the policies need not look. When a lane comes back, tandem__classes_settle restores that. The
 * alternative, a look at the classes of every shared piece, would leave a lane idle behind pieces
 * that are not for it. */
#include <stdio.h>

#include "base/fail.h"
#include "sched/sched_internal.h"

static const char *const class_words[] = {"none", "latency", "throughput", "background"};

bool tandem__class_allows(uint8_t classes, tandem_lane_class lane_class) {
    if (classes == 0) return true;
    return lane_class != TANDEM_CLASS_NONE && (classes & (1u << lane_class)) != 0;
}

const char *tandem__class_words(uint8_t classes, char text[SCHED_CLASS_BYTES]) {
    size_t at = 0;
    text[0] = 0;
    for (int c = TANDEM_CLASS_LATENCY; c <= TANDEM_CLASS_BACKGROUND; c++) {
        if (!tandem__class_allows(classes, (tandem_lane_class)c)) continue;
        const int wrote = snprintf(text + at, SCHED_CLASS_BYTES - at, "%s%s", at == 0 ? "" : ", ",
                                   class_words[c]);
        at += wrote > 0 ? (size_t)wrote : 0;
    }
    return text;
}

tandem_status tandem__class_check(const char *lane, tandem_lane_class lane_class, uint8_t classes,
                                  tandem_error *err) {
    if (tandem__class_allows(classes, lane_class)) return TANDEM_OK;
    char words[SCHED_CLASS_BYTES];
    return TANDEM_FAIL(err, PERMISSION, "lane %s: its class is %s, the request may use %s", lane,
                       class_words[lane_class], tandem__class_words(classes, words));
}

bool tandem__lane_takes(const sched_lane *lane, const sched_job *job) {
    const int32_t most = lane->options.unit_tokens_max;
    return tandem__class_allows(job->classes, lane->options.lane_class) &&
           (most == 0 || job->longest <= most);
}

int32_t tandem__class_lane(const sched *scheduler, tandem_lane_class wanted, const sched_job *job) {
    static const tandem_lane_class order[] = {TANDEM_CLASS_LATENCY, TANDEM_CLASS_THROUGHPUT,
                                              TANDEM_CLASS_BACKGROUND};
    const int count = (int)(sizeof order / sizeof order[0]);
    const int start = wanted >= TANDEM_CLASS_LATENCY ? (int)wanted - 1 : 0;
    for (int c = 0; c < count; c++) {
        const tandem_lane_class lane_class = order[(start + c) % count];
        for (int i = 0; i < scheduler->lane_count; i++) {
            const sched_lane *lane = &scheduler->lanes[i];
            if (lane->options.lane_class != lane_class || !tandem__lane_serves(lane)) continue;
            if (job == NULL || tandem__lane_takes(lane, job)) return i;
        }
    }
    return SCHED_NO_LANE;
}

bool tandem__class_binds(const sched *scheduler, const sched_job *job) {
    for (int i = 0; i < scheduler->lane_count; i++) {
        const sched_lane *lane = &scheduler->lanes[i];
        if (lane->options.lane_class == TANDEM_CLASS_NONE || !tandem__lane_serves(lane)) continue;
        if (!tandem__lane_takes(lane, job)) return true;
    }
    return false;
}

int32_t tandem__class_home(const sched *scheduler, const sched_job *job, uint8_t failed_on,
                           uint64_t now_ns) {
    sched_job tried = {
        .unit_tokens = job->unit_tokens, .unit_count = job->unit_count, .priority = job->priority};
    int32_t best = SCHED_NO_LANE;
    uint64_t best_ns = UINT64_MAX;
    for (int32_t i = 0; i < scheduler->lane_count; i++) {
        const sched_lane *lane = &scheduler->lanes[i];
        if (lane->options.lane_class == TANDEM_CLASS_NONE || !tandem__lane_serves(lane)) continue;
        if ((failed_on & 1u << i) != 0 || !tandem__lane_takes(lane, job)) continue;
        tried.home = i;
        const uint64_t finish_ns = tandem__predict_finish(scheduler, &tried, now_ns);
        if (finish_ns >= best_ns) continue;
        best = i;
        best_ns = finish_ns;
    }
    return best;
}

sched_reason tandem__bound_reason(const sched_job *job) {
    return job->classes != 0 ? SCHED_REASON_CLASS : SCHED_REASON_LENGTH;
}

/* A job that waits in the shared queue, to a lane of its own. */
static void settle_job(sched *scheduler, sched_job *job, uint64_t now_ns) {
    const int32_t to = tandem__class_home(scheduler, job, 0, now_ns);
    if (to == SCHED_NO_LANE) {
        tandem__job_end(scheduler, job, TANDEM_DEVICE, now_ns);
        return;
    }
    job->home = to;
    if (job->reason == SCHED_REASON_NONE) job->reason = tandem__bound_reason(job);
    if (job->piece.is_queued && job->piece.home == SCHED_NO_LANE)
        tandem__piece_move(scheduler, &job->piece, to);
    for (sched_piece *piece = job->retry_pieces; piece != NULL; piece = piece->next_of_job) {
        if (piece->home == SCHED_NO_LANE) tandem__piece_move(scheduler, piece, to);
    }
}

static bool waits_shared(const sched_job *job) {
    if (job->piece.is_queued && job->piece.home == SCHED_NO_LANE) return true;
    for (const sched_piece *piece = job->retry_pieces; piece != NULL; piece = piece->next_of_job) {
        if (piece->home == SCHED_NO_LANE) return true;
    }
    return false;
}

void tandem__classes_settle(sched *scheduler, uint64_t now_ns) {
    sched_job *next = NULL;
    for (sched_job *job = scheduler->alive; job != NULL; job = next) {
        next = job->next_alive;
        if (tandem__class_binds(scheduler, job) && waits_shared(job))
            settle_job(scheduler, job, now_ns);
    }
}
