/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of the scheduler share. */
#ifndef TANDEM_SCHED_SCHED_INTERNAL_H
#define TANDEM_SCHED_SCHED_INTERNAL_H

#include "sched/classes.h"
#include "sched/sched.h"

/* Of its full speed: below it a machine throttles, as the guide has it. */
#define SCHED_HEAT_PERCENT 90

/* What a policy lets a lane start with. */
typedef struct sched_choice {
    sched_piece *piece; /* NULL: nothing now */
    sched_queue *queue; /* that holds it */
    sched_reason reason;
    sched_band band;
} sched_choice;

static inline sched_band tandem__sched_band(int32_t priority) {
    if (priority < 0) return SCHED_REALTIME;
    return priority == 0 ? SCHED_STANDARD : SCHED_BACKGROUND;
}

/* A lane that may be given work, if it has a slot free. */
static inline bool tandem__lane_serves(const sched_lane *lane) {
    return lane->state == SCHED_LANE_UP;
}

/* Tokens of units [first, first + count) of a job. */
int64_t tandem__job_tokens(const sched_job *job, uint32_t first, uint32_t count);

/* Whether another lane computes now. */
bool tandem__lane_is_shared(const sched *scheduler, const sched_lane *lane);

/* What the lane should take for a batch of `tokens`, with what it shares the machine with. */
double tandem__lane_ns(const sched *scheduler, const sched_lane *lane, int64_t tokens);

/* predict.c: what `lane` should start with now. Lowers *wake_ns. */
sched_choice tandem__predict_choose(sched *scheduler, int32_t lane, uint64_t now_ns,
                                    uint64_t *wake_ns);

/* predict.c: when work of `tokens` handed in now would be done at the earliest. */
uint64_t tandem__predict_finish(const sched *scheduler, const sched_job *job, uint64_t now_ns);

/* predict.c: from now until the next batch leaves the queue of that lane, or the shared ones. */
double tandem__predict_take_ns(const sched *scheduler, int32_t home, uint64_t now_ns);

/* rules.c: the lane that the selected rule names for a job, SCHED_NO_LANE for "auto". */
int32_t tandem__rules_lane(const sched *scheduler, const sched_job *job);

/* classes.c: whether the lane is one of the job's classes and takes its longest unit. */
bool tandem__lane_takes(const sched_lane *lane, const sched_job *job);

/* The lane of a class that serves, else the next of the class order, among those that take the job
 * (NULL = any job); SCHED_NO_LANE if none. */
int32_t tandem__class_lane(const sched *scheduler, tandem_lane_class wanted, const sched_job *job);

/* Whether some lane that serves does not take the job. */
bool tandem__class_binds(const sched *scheduler, const sched_job *job);

/* Why a job that is bound is where it is. */
sched_reason tandem__bound_reason(const sched_job *job);

/* The lane that takes the job, is none of the bits `failed_on` and is predicted to finish it first;
 * SCHED_NO_LANE if none. */
int32_t tandem__class_home(const sched *scheduler, const sched_job *job, uint8_t failed_on,
                           uint64_t now_ns);

/* A lane serves that did not: jobs in the shared queues that are no longer for all of them
 * go to one of theirs, or end as TANDEM_DEVICE where none serves. */
void tandem__classes_settle(sched *scheduler, uint64_t now_ns);

/* admission.c */
tandem_status tandem__sched_admit(sched *scheduler, const sched_job *job, uint64_t now_ns,
                                  uint64_t *retry_ns, tandem_error *err) TANDEM_NODISCARD;
void tandem__sched_backlog_begins(sched *scheduler);
void tandem__sched_drained(sched *scheduler, int64_t tokens, uint64_t now_ns);

/* sched.c: job bookkeeping. */
void tandem__piece_queue_up(sched *scheduler, sched_piece *piece);
void tandem__piece_move(sched *scheduler, sched_piece *piece, int32_t home);
void tandem__job_units_done(sched *scheduler, sched_job *job, uint32_t units, uint64_t now_ns);
void tandem__job_fail_units(sched_job *job, uint32_t first, uint32_t count, tandem_status status);
void tandem__job_end(sched *scheduler, sched_job *job, tandem_status status, uint64_t now_ns);
sched_piece *tandem__piece_new(sched *scheduler);
void tandem__piece_free(sched *scheduler, sched_piece *piece);

#endif
