/* SPDX-License-Identifier: Apache-2.0 */
/* Who is let in. Bounds are of waiting tokens, not requests: a book weighs more than a word. One
 * request that is over a bound by itself is let in when nothing else waits, so that every request
 * can be served at some time.
 *
 * The bound on waiting time (queue_ns_max) is one of tokens as well: what drains in that time. Who
 * is refused for it gets a place in a line that moves as fast as the queue drains, and is known
 * again by what the request is:
 *
 *     0 ─────────── half ─────────── limit      tokens that wait
 *       anybody           who was told to come back, once somebody was
 *
 * Without the line everybody would be told the same moment, and at three times the load two of
 * three would come in vain. The half keeps the lanes at work where nobody comes back. */
#include "base/fail.h"
#include "sched/sched_internal.h"

#define MS             ((uint64_t)1000000)
#define DRAIN_PART_NS  ((uint64_t)50 * MS) /* one sample of the drain rate */
#define DRAIN_KEEP     0.8
#define DRAIN_STALE_NS ((uint64_t)5000 * MS) /* an older rate says nothing any more */
#define RETRY_MIN_NS   ((uint64_t)1 * MS)
#define RETRY_MAX_NS   ((uint64_t)60000 * MS)
#define EARLY_NS       ((uint64_t)2 * MS)    /* before its time that a caller counts as back */
#define GRACE_NS       ((uint64_t)2000 * MS) /* ... and after: HTTP tells whole seconds */
#define TAKE_LATE      1.25                  /* batches end later than predicted, a little */
#define NEW_SHARE      0.5                   /* of the limit for others while some are expected */
#define LINE_SAMPLES   512                   /* promises that the share of the kept ones is of */

/* Something waits that had nothing before it: no lane's idle time may count as draining. */
void tandem__sched_backlog_begins(sched *scheduler) {
    scheduler->admission.part_ns = 0;
}

/* Tokens left the queue for good. A sample goes from a completion to a later one, through which
 * something waited; else it would be the rate of what was asked for. */
void tandem__sched_drained(sched *scheduler, int64_t tokens, uint64_t now_ns) {
    sched_admission *seen = &scheduler->admission;
    if (scheduler->waiting_jobs == 0 || seen->part_ns == 0) {
        seen->part_ns = scheduler->waiting_jobs == 0 ? 0 : now_ns;
        seen->part_tokens = 0;
        return;
    }
    seen->part_tokens += tokens;
    const uint64_t since = now_ns - seen->part_ns;
    if (since < DRAIN_PART_NS) return;
    const double rate = (double)seen->part_tokens / (double)since;
    const bool is_known =
        seen->drain_tokens_per_ns > 0 && now_ns - seen->measured_ns < DRAIN_STALE_NS;
    const double keep = is_known ? DRAIN_KEEP : 0;
    seen->drain_tokens_per_ns = keep * seen->drain_tokens_per_ns + (1 - keep) * rate;
    seen->measured_ns = now_ns;
    seen->part_tokens = 0;
    seen->part_ns = now_ns;
}

static double lane_rate(const sched *scheduler, const sched_lane *lane) {
    if (!tandem__lane_serves(lane)) return 0;
    const int64_t knee = tandem__service_knee(&lane->service, lane->options.tokens_max);
    return (double)knee / tandem__lane_ns(scheduler, lane, knee);
}

/* What all lanes together do in a nanosecond, by their tables. */
static double joint_rate(const sched *scheduler) {
    double rate = 0;
    for (int i = 0; i < scheduler->lane_count; i++)
        rate += lane_rate(scheduler, &scheduler->lanes[i]);
    return rate;
}

/* ... as measured lately, else by their tables. */
static double drain_rate(const sched *scheduler, uint64_t now_ns) {
    const sched_admission *seen = &scheduler->admission;
    if (seen->drain_tokens_per_ns > 0 && now_ns - seen->measured_ns < DRAIN_STALE_NS)
        return seen->drain_tokens_per_ns;
    return joint_rate(scheduler);
}

static uint64_t within_retry(double ns) {
    if (!(ns < (double)RETRY_MAX_NS)) return RETRY_MAX_NS;
    return ns < (double)RETRY_MIN_NS ? RETRY_MIN_NS : (uint64_t)ns;
}

static uint64_t time_to_drain(const sched *scheduler, int64_t tokens, uint64_t now_ns) {
    const double rate = drain_rate(scheduler, now_ns);
    return within_retry(rate > 0 ? (double)tokens / rate : (double)RETRY_MAX_NS);
}

/* *retry_ns is set. */
static tandem_status refuse(sched *scheduler, const uint64_t *retry_ns, tandem_error *err,
                            const char *what, int64_t waiting, int64_t limit) {
    scheduler->counters.refused_capacity++;
    return TANDEM_FAIL(err, CAPACITY, "%s: %lld tokens wait, limit %lld, try again in %.3f s", what,
                       (long long)waiting, (long long)limit, (double)*retry_ns / 1e9);
}

/* Background work is not taken in where it could not be done within half of its age limit, at the
 * joint rate of the lanes: the other half is for what realtime work takes. */
static tandem_status admit_background(sched *scheduler, int64_t tokens, uint64_t now_ns,
                                      uint64_t *retry_ns, tandem_error *err) {
    const double rate = joint_rate(scheduler);
    *retry_ns = time_to_drain(scheduler, tokens, now_ns);
    int64_t waiting = scheduler->shared[SCHED_BACKGROUND].tokens;
    for (int i = 0; i < scheduler->lane_count; i++)
        waiting += scheduler->lanes[i].pinned[SCHED_BACKGROUND].tokens;
    const double limit = rate * (double)scheduler->options.background_age_ns / 4;
    if (scheduler->is_shedding)
        return refuse(scheduler, retry_ns, err, "memory is short, background work", waiting, 0);
    if (waiting > 0 && (double)(waiting + tokens) > limit)
        return refuse(scheduler, retry_ns, err, "background work", waiting, (int64_t)limit);
    return TANDEM_OK;
}

/* What waits in the bands up to the job's: everywhere, or for one lane alone. */
static int64_t tokens_ahead(const sched *scheduler, const sched_job *job, int32_t lane) {
    int64_t tokens = 0;
    for (int b = 0; b <= (int)tandem__sched_band(job->priority); b++) {
        if (lane == SCHED_NO_LANE) tokens += scheduler->shared[b].tokens;
        for (int i = 0; i < scheduler->lane_count; i++) {
            if (lane == SCHED_NO_LANE || i == lane) tokens += scheduler->lanes[i].pinned[b].tokens;
        }
    }
    return tokens;
}

static sched_promise *promises_of(const sched_admission *line, const sched_job *job) {
    const uint64_t sets = SCHED_PROMISES / SCHED_PROMISE_WAYS;
    return &line->promises[(job->identity & (sets - 1)) * SCHED_PROMISE_WAYS];
}

/* Whether this request was told to come back about now. Its promise is used up then. */
static bool is_expected(sched_admission *line, const sched_job *job, uint64_t now_ns) {
    sched_promise *promise = promises_of(line, job);
    for (int w = 0; w < SCHED_PROMISE_WAYS && job->identity != 0; w++, promise++) {
        if (promise->identity != job->identity) continue;
        if (now_ns + EARLY_NS < promise->at_ns || now_ns > promise->at_ns + GRACE_NS) continue;
        promise->identity = 0;
        line->kept++;
        return true;
    }
    return false;
}

/* In a free place, in one whose time is over, or instead of the one that is furthest off. */
static void promise_again(sched_admission *line, const sched_job *job, uint64_t at_ns,
                          uint64_t now_ns) {
    if (job->identity == 0) return;
    sched_promise *places = promises_of(line, job);
    sched_promise *place = places;
    for (int w = 0; w < SCHED_PROMISE_WAYS; w++) {
        if (places[w].identity != 0 && places[w].at_ns + GRACE_NS < now_ns) {
            places[w].identity = 0;
            line->missed++;
        }
        if (place->identity == 0) continue;
        if (places[w].identity == 0 || places[w].at_ns > place->at_ns) place = &places[w];
    }
    *place = (sched_promise){.identity = job->identity, .at_ns = at_ns};
    if (line->kept + line->missed < LINE_SAMPLES) return;
    line->kept /= 2;
    line->missed /= 2;
}

/* The end of the line, for a request that would fit after `fit_ns`. A place is as long as the
 * request takes, times the share of those who do come back. */
static uint64_t place_in_line(sched_admission *line, sched_band band, double fit_ns, double own_ns,
                              uint64_t now_ns) {
    uint64_t at_ns = now_ns + within_retry(fit_ns);
    if (line->line_ns[band] > at_ns) at_ns = line->line_ns[band];
    const double share = (line->kept + 1.0) / (line->kept + line->missed + 1.0);
    line->line_ns[band] = at_ns + (uint64_t)(own_ns * share);
    if (line->line_ns[band] > now_ns + RETRY_MAX_NS) line->line_ns[band] = now_ns + RETRY_MAX_NS;
    return at_ns;
}

/* What waits before the job must not take longer than queue_ns_max, itself included. */
static tandem_status admit_wait(sched *scheduler, const sched_job *job, int64_t tokens,
                                uint64_t now_ns, uint64_t *retry_ns, tandem_error *err) {
    sched_admission *line = &scheduler->admission;
    const sched_band band = tandem__sched_band(job->priority);
    int64_t ahead = tokens_ahead(scheduler, job, SCHED_NO_LANE);
    double rate = drain_rate(scheduler, now_ns);
    if (job->home != SCHED_NO_LANE) { // what waits for its lane drains at that lane's rate
        const int64_t own = tokens_ahead(scheduler, job, job->home);
        const double own_rate = lane_rate(scheduler, &scheduler->lanes[job->home]);
        if ((double)own * rate > (double)ahead * own_rate) {
            ahead = own;
            rate = own_rate;
        }
    }
    if (ahead == 0 || rate <= 0) return TANDEM_OK;
    const bool is_back = is_expected(line, job, now_ns);
    const bool is_line = now_ns < line->line_ns[band] + GRACE_NS && line->line_ns[band] > 0;
    const double limit = rate * (double)scheduler->options.queue_ns_max;
    const double bound = is_back || !is_line ? limit : NEW_SHARE * limit;
    if ((double)(ahead + tokens) <= bound) return TANDEM_OK;
    double over = (double)(ahead + tokens) - limit;
    if (over > (double)ahead) over = (double)ahead; // it is let in when nothing waits
    const double own_ns = is_back ? 0 : (double)tokens / rate;
    const double take_ns = TAKE_LATE * tandem__predict_take_ns(scheduler, job->home, now_ns);
    const double fit_ns = over / rate > take_ns ? over / rate : take_ns; // it falls by batches
    const uint64_t at_ns = place_in_line(line, band, fit_ns, own_ns, now_ns);
    promise_again(line, job, at_ns, now_ns);
    *retry_ns = at_ns - now_ns;
    return refuse(scheduler, retry_ns, err, "waiting time", ahead, (int64_t)limit);
}

tandem_status tandem__sched_admit(sched *scheduler, const sched_job *job, uint64_t now_ns,
                                  uint64_t *retry_ns, tandem_error *err) {
    const int64_t tokens = tandem__job_tokens(job, 0, job->unit_count);
    const int64_t waiting = scheduler->waiting_tokens;
    const int64_t limit = scheduler->options.tokens_max;
    if (waiting > 0 && waiting + tokens > limit) {
        *retry_ns = time_to_drain(scheduler, waiting + tokens - limit, now_ns);
        return refuse(scheduler, retry_ns, err, "queue", waiting, limit);
    }
    const int64_t own = scheduler->tenant_tokens[job->tenant];
    const int64_t own_limit = scheduler->options.tenant_tokens_max;
    if (own > 0 && own + tokens > own_limit) {
        *retry_ns = time_to_drain(scheduler, own + tokens - own_limit, now_ns);
        return refuse(scheduler, retry_ns, err, "tenant", own, own_limit);
    }
    if (job->priority > 0) TANDEM_TRY(admit_background(scheduler, tokens, now_ns, retry_ns, err));
    if (scheduler->options.queue_ns_max > 0)
        TANDEM_TRY(admit_wait(scheduler, job, tokens, now_ns, retry_ns, err));
    *retry_ns = 0;
    if (job->deadline_ns == 0) return TANDEM_OK;
    const uint64_t finish_ns = tandem__predict_finish(scheduler, job, now_ns);
    if (job->deadline_ns > now_ns && finish_ns <= job->deadline_ns) return TANDEM_OK;
    scheduler->counters.refused_deadline++;
    return TANDEM_FAIL(err, TIMEOUT, "deadline in %.3f ms, the earliest finish is in %.3f ms",
                       job->deadline_ns > now_ns ? (double)(job->deadline_ns - now_ns) / 1e6 : 0.0,
                       (double)(finish_ns - now_ns) / 1e6);
}
