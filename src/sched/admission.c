/* SPDX-License-Identifier: Apache-2.0 */
/* Who is let in. Bounds are of waiting tokens, not requests: a book weighs more than a word. One
 * request that is over a bound by itself is let in when nothing else waits, so that every request
 * can be served at some time. */
#include "base/fail.h"
#include "sched/sched_internal.h"

#define MS            ((uint64_t)1000000)
#define DRAIN_PART_NS ((uint64_t)50 * MS) /* one sample of the drain rate */
#define DRAIN_KEEP    0.8
#define RETRY_MIN_NS  ((uint64_t)1 * MS)
#define RETRY_MAX_NS  ((uint64_t)60000 * MS)

/* Tokens left the queue for good. */
void tandem__sched_drained(sched *scheduler, int64_t tokens, uint64_t now_ns) {
    if (scheduler->drain_at_ns == 0) scheduler->drain_at_ns = now_ns; // the clock began before
    scheduler->drain_tokens += tokens;
    const uint64_t since = now_ns - scheduler->drain_at_ns;
    if (since < DRAIN_PART_NS) return;
    const double rate = (double)scheduler->drain_tokens / (double)since;
    const double keep = scheduler->drain_tokens_per_ns > 0 ? DRAIN_KEEP : 0;
    scheduler->drain_tokens_per_ns = keep * scheduler->drain_tokens_per_ns + (1 - keep) * rate;
    scheduler->drain_tokens = 0;
    scheduler->drain_at_ns = now_ns;
}

/* What all lanes together do in a nanosecond, by their tables. */
static double joint_rate(const sched *scheduler) {
    double rate = 0;
    for (int i = 0; i < scheduler->lane_count; i++) {
        const sched_lane *lane = &scheduler->lanes[i];
        if (!tandem__lane_serves(lane)) continue;
        const int64_t knee = tandem__service_knee(&lane->service, lane->options.tokens_max);
        rate += (double)knee / tandem__lane_ns(scheduler, lane, knee);
    }
    return rate;
}

static uint64_t time_to_drain(const sched *scheduler, int64_t tokens) {
    double rate = scheduler->drain_tokens_per_ns;
    if (rate <= 0) rate = joint_rate(scheduler);
    const double ns = rate > 0 ? (double)tokens / rate : (double)RETRY_MAX_NS;
    if (ns >= (double)RETRY_MAX_NS) return RETRY_MAX_NS;
    return ns < (double)RETRY_MIN_NS ? RETRY_MIN_NS : (uint64_t)ns;
}

static tandem_status refuse(sched *scheduler, int64_t over, uint64_t *retry_ns, tandem_error *err,
                            const char *what, int64_t waiting, int64_t limit) {
    *retry_ns = time_to_drain(scheduler, over);
    scheduler->counters.refused_capacity++;
    return TANDEM_FAIL(err, CAPACITY, "%s: %lld tokens wait, limit %lld, try again in %.3f s", what,
                       (long long)waiting, (long long)limit, (double)*retry_ns / 1e9);
}

/* Background work is not taken in where it could not be done within half of its age limit, at the
 * joint rate of the lanes: the other half is for what realtime work takes. */
static tandem_status admit_background(sched *scheduler, int64_t tokens, uint64_t *retry_ns,
                                      tandem_error *err) {
    const double rate = joint_rate(scheduler);
    int64_t waiting = scheduler->shared[SCHED_BACKGROUND].tokens;
    for (int i = 0; i < scheduler->lane_count; i++)
        waiting += scheduler->lanes[i].pinned[SCHED_BACKGROUND].tokens;
    const double limit = rate * (double)scheduler->options.background_age_ns / 4;
    if (scheduler->is_shedding)
        return refuse(scheduler, tokens, retry_ns, err, "memory is short, background work", waiting,
                      0);
    if (waiting > 0 && (double)(waiting + tokens) > limit)
        return refuse(scheduler, tokens, retry_ns, err, "background work", waiting, (int64_t)limit);
    return TANDEM_OK;
}

tandem_status tandem__sched_admit(sched *scheduler, const sched_job *job, uint64_t now_ns,
                                  uint64_t *retry_ns, tandem_error *err) {
    const int64_t tokens = tandem__job_tokens(job, 0, job->unit_count);
    const int64_t waiting = scheduler->waiting_tokens;
    const int64_t limit = scheduler->options.tokens_max;
    if (waiting > 0 && waiting + tokens > limit)
        return refuse(scheduler, waiting + tokens - limit, retry_ns, err, "queue", waiting, limit);
    const int64_t own = scheduler->tenant_tokens[job->tenant];
    const int64_t own_limit = scheduler->options.tenant_tokens_max;
    if (own > 0 && own + tokens > own_limit)
        return refuse(scheduler, own + tokens - own_limit, retry_ns, err, "tenant", own, own_limit);
    if (job->priority > 0) TANDEM_TRY(admit_background(scheduler, tokens, retry_ns, err));
    if (job->deadline_ns == 0) return TANDEM_OK;
    const uint64_t finish_ns = tandem__predict_finish(scheduler, job, now_ns);
    if (job->deadline_ns > now_ns && finish_ns <= job->deadline_ns) return TANDEM_OK;
    scheduler->counters.refused_deadline++;
    return TANDEM_FAIL(err, TIMEOUT, "deadline in %.3f ms, the earliest finish is in %.3f ms",
                       job->deadline_ns > now_ns ? (double)(job->deadline_ns - now_ns) / 1e6 : 0.0,
                       (double)(finish_ns - now_ns) / 1e6);
}
