/* SPDX-License-Identifier: Apache-2.0 */
/* Jobs: their way into the queues, out of them and to the list of finished ones. */
#include "sched/sched.h"

#include <string.h>

#include "base/assert.h"
#include "base/fail.h"
#include "base/mem.h"
#include "sched/sched_internal.h"

#define MS ((uint64_t)1000000)

#define DEFAULT_TOKENS_MAX        ((int64_t)1 << 20)
#define DEFAULT_STANDARD_BOUND_NS (35 * MS)
#define DEFAULT_STANDARD_AGE_NS   (30000 * MS)
#define DEFAULT_BACKGROUND_AGE_NS (60000 * MS)
#define DEFAULT_BATCH_NS          (25 * MS)
#define DEFAULT_PROBE_EVERY_NS    (10000 * MS)
#define PIECES_MAX                ((size_t)SCHED_LANES_MAX * SCHED_SLOTS_MAX * SCHED_UNITS_MAX)

static tandem_status check_lane(const sched_lane_options *lane, int index, tandem_error *err) {
    if (lane->slots < 1 || lane->slots > lane->slots_max || lane->slots_max > SCHED_SLOTS_MAX)
        return TANDEM_FAIL(err, INVALID, "lane %d: %d of %d batches in flight, expected 1 to %d",
                           index, lane->slots, lane->slots_max, SCHED_SLOTS_MAX);
    if (lane->tokens_max < 1 || lane->sequences_max < 1 || lane->rules_limit < 1)
        return TANDEM_FAIL(err, INVALID,
                           "lane %d: batches of %d tokens, %d sequences (%d by the rules), "
                           "expected at least 1",
                           index, lane->tokens_max, lane->sequences_max, lane->rules_limit);
    return TANDEM_OK;
}

static void set_defaults(sched_options *options) {
    if (options->tokens_max == 0) options->tokens_max = DEFAULT_TOKENS_MAX;
    if (options->tenant_tokens_max == 0) options->tenant_tokens_max = options->tokens_max;
    if (options->standard_bound_ns == 0) options->standard_bound_ns = DEFAULT_STANDARD_BOUND_NS;
    if (options->standard_age_ns == 0) options->standard_age_ns = DEFAULT_STANDARD_AGE_NS;
    if (options->background_age_ns == 0) options->background_age_ns = DEFAULT_BACKGROUND_AGE_NS;
    if (options->batch_ns == 0) options->batch_ns = DEFAULT_BATCH_NS;
    if (options->probe_every_ns == 0) options->probe_every_ns = DEFAULT_PROBE_EVERY_NS;
}

tandem_status tandem__sched_open(const sched_options *options, sched **scheduler,
                                 tandem_error *err) {
    if (options->lane_count < 1 || options->lane_count > SCHED_LANES_MAX)
        return TANDEM_FAIL(err, INVALID, "%d lanes, expected 1 to %d", options->lane_count,
                           SCHED_LANES_MAX);
    if (options->tokens_max < 0 || options->tenant_tokens_max < 0)
        return TANDEM_FAIL(err, INVALID, "bounds of waiting tokens: negative");
    for (int i = 0; i < options->lane_count; i++)
        TANDEM_TRY(check_lane(&options->lanes[i], i, err));
    sched *made = tandem__mem_calloc(1, sizeof *made);
    if (made == NULL) return TANDEM_FAIL(err, MEMORY, "no memory for a scheduler");
    const size_t slots = (size_t)options->lane_count * SCHED_SLOTS_MAX;
    made->batches = tandem__mem_calloc(slots, sizeof *made->batches);
    made->pieces = tandem__mem_calloc(PIECES_MAX, sizeof *made->pieces);
    if (options->queue_ns_max > 0)
        made->admission.promises = tandem__mem_calloc(SCHED_PROMISES, sizeof(sched_promise));
    if (made->batches == NULL || made->pieces == NULL ||
        (options->queue_ns_max > 0 && made->admission.promises == NULL)) {
        tandem__sched_close(made);
        return TANDEM_FAIL(err, MEMORY, "no memory for a scheduler");
    }
    made->options = *options;
    set_defaults(&made->options);
    made->lane_count = options->lane_count;
    for (int i = 0; i < made->lane_count; i++) {
        sched_lane *lane = &made->lanes[i];
        lane->options = options->lanes[i];
        lane->service = lane->options.service;
        lane->slots = lane->options.slots;
        lane->state = lane->options.is_available ? SCHED_LANE_UP : SCHED_LANE_MISSING;
        lane->batches = made->batches + (size_t)i * SCHED_SLOTS_MAX;
    }
    made->speed_percent = 100;
    made->batch_scale = 1;
    made->memory_scale = 1;
    *scheduler = made;
    return TANDEM_OK;
}

void tandem__sched_close(sched *scheduler) {
    if (scheduler == NULL) return;
    TANDEM_ASSERT(scheduler->alive == NULL);
    tandem__mem_free(scheduler->batches);
    tandem__mem_free(scheduler->pieces);
    tandem__mem_free(scheduler->admission.promises);
    tandem__mem_free(scheduler);
}

int64_t tandem__job_tokens(const sched_job *job, uint32_t first, uint32_t count) {
    int64_t tokens = 0;
    for (uint32_t u = first; u < first + count; u++) tokens += job->unit_tokens[u];
    return tokens;
}

sched_piece *tandem__piece_new(sched *scheduler) {
    sched_piece *piece = scheduler->free_pieces;
    if (piece == NULL && scheduler->pieces_used == PIECES_MAX) return NULL;
    if (piece == NULL)
        piece = &scheduler->pieces[scheduler->pieces_used++];
    else
        scheduler->free_pieces = piece->next_of_job;
    *piece = (sched_piece){.home = SCHED_NO_LANE};
    return piece;
}

void tandem__piece_free(sched *scheduler, sched_piece *piece) {
    piece->next_of_job = scheduler->free_pieces;
    scheduler->free_pieces = piece;
}

static sched_queue *piece_queue(sched *scheduler, const sched_piece *piece) {
    const sched_band band = tandem__sched_band(piece->priority);
    if (piece->home == SCHED_NO_LANE) return &scheduler->shared[band];
    return &scheduler->lanes[piece->home].pinned[band];
}

/* A piece that waits, to another queue. */
void tandem__piece_move(sched *scheduler, sched_piece *piece, int32_t home) {
    tandem__queue_remove(piece_queue(scheduler, piece), piece);
    piece->home = home;
    tandem__queue_push(piece_queue(scheduler, piece), piece);
}

/* The piece's job, run of units, home and failed_on are set. */
void tandem__piece_queue_up(sched *scheduler, sched_piece *piece) {
    sched_job *job = piece->job;
    piece->tokens = tandem__job_tokens(job, piece->first, piece->count);
    piece->priority = job->priority;
    piece->due_ns = job->deadline_ns > 0 ? job->deadline_ns : UINT64_MAX;
    piece->arrived_ns = job->submitted_ns;
    if (piece->sequence == 0) piece->sequence = ++scheduler->sequence;
    piece->level = tandem__queue_level(piece->sequence);
    tandem__queue_push(piece_queue(scheduler, piece), piece);
    job->waiting_units += piece->count;
    job->waiting_tokens += piece->tokens;
    scheduler->waiting_tokens += piece->tokens;
    scheduler->tenant_tokens[job->tenant] += piece->tokens;
}

static int32_t longest_of(const sched_job *job) {
    int32_t longest = 0;
    for (uint32_t u = 0; u < job->unit_count; u++) {
        if (job->unit_tokens[u] > longest) longest = job->unit_tokens[u];
    }
    return longest;
}

/* Lanes of the job's classes serve, but none takes its longest unit; or none serves. */
static tandem_status fail_unserved(const sched *scheduler, const sched_job *job,
                                   tandem_error *err) {
    sched_job shorter = *job;
    char words[SCHED_CLASS_BYTES];
    shorter.longest = 1;
    if (tandem__class_lane(scheduler, TANDEM_CLASS_LATENCY, &shorter) != SCHED_NO_LANE)
        return TANDEM_FAIL(err, UNSUPPORTED, "no lane that serves takes a text of %d tokens",
                           job->longest);
    if (job->classes == 0) return TANDEM_FAIL(err, DEVICE, "every lane is out of service");
    return TANDEM_FAIL(err, DEVICE, "no lane serves of the classes that the request may use: %s",
                       tandem__class_words(job->classes, words));
}

/* The lane that the job names, or the next of the class order. */
static tandem_status home_asked(const sched *scheduler, sched_job *job, tandem_error *err) {
    const sched_lane *lane = &scheduler->lanes[job->lane];
    const char *name = lane->options.name;
    TANDEM_TRY(tandem__class_check(name, lane->options.lane_class, job->classes, err));
    const bool is_out = !tandem__lane_serves(lane);
    job->home = job->lane;
    job->reason = SCHED_REASON_ASKED;
    if (!is_out && tandem__lane_takes(lane, job)) return TANDEM_OK;
    if (job->is_fallback_forbidden && is_out)
        return TANDEM_FAIL(err, DEVICE, "lane %s is out of service", name);
    if (job->is_fallback_forbidden)
        return TANDEM_FAIL(err, UNSUPPORTED, "lane %s takes texts of up to %d tokens, one has %d",
                           name, lane->options.unit_tokens_max, job->longest);
    job->home = tandem__class_lane(scheduler, lane->options.lane_class, job);
    job->reason = is_out ? SCHED_REASON_FALLBACK : SCHED_REASON_LENGTH;
    if (job->home != SCHED_NO_LANE) return TANDEM_OK;
    if (!is_out) return fail_unserved(scheduler, job, err);
    if (job->classes == 0)
        return TANDEM_FAIL(err, DEVICE, "lane %s is out of service and no other serves", name);
    char words[SCHED_CLASS_BYTES];
    return TANDEM_FAIL(err, DEVICE,
                       "lane %s is out of service and no other serves of the classes that the "
                       "request may use: %s",
                       name, tandem__class_words(job->classes, words));
}

/* The lane that a rule names or that its classes leave it; SCHED_NO_LANE: late binding. */
static tandem_status home_chosen(const sched *scheduler, sched_job *job, uint64_t now_ns,
                                 tandem_error *err) {
    job->home = SCHED_NO_LANE;
    if (tandem__class_lane(scheduler, TANDEM_CLASS_LATENCY, job) == SCHED_NO_LANE)
        return fail_unserved(scheduler, job, err);
    job->home = tandem__rules_lane(scheduler, job);
    if (job->home != SCHED_NO_LANE) {
        job->reason = SCHED_REASON_RULE;
    } else if (tandem__class_binds(scheduler, job)) {
        job->home = tandem__class_home(scheduler, job, 0, now_ns);
        job->reason = tandem__bound_reason(job);
    }
    return TANDEM_OK;
}

tandem_status tandem__sched_submit(sched *scheduler, sched_job *job, uint64_t now_ns,
                                   uint64_t *retry_ns, tandem_error *err) {
    TANDEM_ASSERT(job->state == SCHED_JOB_IDLE);
    TANDEM_ASSERT(job->unit_count > 0);
    TANDEM_ASSERT(job->tenant < SCHED_TENANTS_MAX);
    TANDEM_ASSERT(job->lane >= SCHED_NO_LANE && job->lane < scheduler->lane_count);
    *retry_ns = 0;
    job->reason = SCHED_REASON_NONE;
    job->served_lane = SCHED_NO_LANE;
    job->longest = longest_of(job);
    if (job->lane != SCHED_NO_LANE)
        TANDEM_TRY(home_asked(scheduler, job, err));
    else
        TANDEM_TRY(home_chosen(scheduler, job, now_ns, err));
    TANDEM_TRY(tandem__sched_admit(scheduler, job, now_ns, retry_ns, err));
    if (scheduler->waiting_jobs == 0) tandem__sched_backlog_begins(scheduler);
    job->status = TANDEM_OK;
    job->failed_units = job->retries = 0;
    job->submitted_ns = now_ns;
    job->started_ns = job->finished_ns = 0;
    job->waiting_units = job->flying_units = 0;
    job->waiting_tokens = 0;
    job->retry_pieces = NULL;
    job->next_finished = job->previous_alive = NULL;
    job->next_alive = scheduler->alive;
    if (scheduler->alive != NULL) scheduler->alive->previous_alive = job;
    scheduler->alive = job;
    scheduler->alive_deadlines += job->deadline_ns > 0;
    job->piece = (sched_piece){.job = job, .count = job->unit_count, .home = job->home};
    job->state = SCHED_JOB_QUEUED;
    tandem__piece_queue_up(scheduler, &job->piece);
    scheduler->waiting_jobs++;
    scheduler->counters.submitted++;
    if (scheduler->first_ns == 0) scheduler->first_ns = now_ns;
    if (job->priority < 0) scheduler->realtime_seen_ns = now_ns;
    return TANDEM_OK;
}

/* Takes every waiting piece of the job out of its queue. */
static void drop_waiting(sched *scheduler, sched_job *job) {
    if (job->piece.is_queued)
        tandem__queue_remove(piece_queue(scheduler, &job->piece), &job->piece);
    while (job->retry_pieces != NULL) {
        sched_piece *piece = job->retry_pieces;
        job->retry_pieces = piece->next_of_job;
        if (piece->is_queued) tandem__queue_remove(piece_queue(scheduler, piece), piece);
        tandem__piece_free(scheduler, piece);
    }
    scheduler->waiting_tokens -= job->waiting_tokens;
    scheduler->tenant_tokens[job->tenant] -= job->waiting_tokens;
    if (job->waiting_units > 0) scheduler->waiting_jobs--;
    job->waiting_tokens = 0;
    job->waiting_units = 0;
}

/* No batch in flight writes to the job from here on. */
static void leave_batches(sched *scheduler, sched_job *job) {
    if (job->flying_units == 0) return;
    const size_t slots = (size_t)scheduler->lane_count * SCHED_SLOTS_MAX;
    for (size_t i = 0; i < slots; i++) {
        sched_batch *batch = &scheduler->batches[i];
        if (batch->state != SCHED_SLOT_RUNNING) continue;
        for (uint32_t n = 0; n < batch->item_count; n++) {
            if (batch->items[n].job == job) batch->items[n].job = NULL;
        }
    }
    job->flying_units = 0;
}

static void count_answer(sched *scheduler, const sched_job *job) {
    sched_answered *answered = &scheduler->answered[tandem__sched_band(job->priority)];
    const uint64_t ns = job->finished_ns - job->submitted_ns;
    answered->requests++;
    answered->texts += job->texts;
    answered->over_5ms += ns > 5 * MS;
    answered->over_10ms += ns > 10 * MS;
    tandem__window_add(&scheduler->texts, job->finished_ns, job->texts);
}

void tandem__job_end(sched *scheduler, sched_job *job, tandem_status status, uint64_t now_ns) {
    TANDEM_ASSERT(job->state == SCHED_JOB_QUEUED);
    drop_waiting(scheduler, job);
    leave_batches(scheduler, job);
    job->state = SCHED_JOB_FINISHED;
    job->status = status;
    job->finished_ns = now_ns;
    scheduler->alive_deadlines -= job->deadline_ns > 0;
    if (job->previous_alive != NULL)
        job->previous_alive->next_alive = job->next_alive;
    else
        scheduler->alive = job->next_alive;
    if (job->next_alive != NULL) job->next_alive->previous_alive = job->previous_alive;
    job->next_finished = NULL;
    if (scheduler->finished_tail != NULL)
        scheduler->finished_tail->next_finished = job;
    else
        scheduler->finished_head = job;
    scheduler->finished_tail = job;
    scheduler->counters.finished++;
    if (job->started_ns > 0) scheduler->counters.reasons[job->reason]++;
    if (status == TANDEM_CANCELLED)
        scheduler->counters.cancelled++;
    else if (status == TANDEM_TIMEOUT)
        scheduler->counters.expired++;
    else if (status != TANDEM_OK || job->failed_units > 0)
        scheduler->counters.failed++;
    else
        count_answer(scheduler, job);
}

void tandem__job_units_done(sched *scheduler, sched_job *job, uint32_t units, uint64_t now_ns) {
    TANDEM_ASSERT(job->flying_units >= units);
    job->flying_units -= units;
    if (job->flying_units > 0 || job->waiting_units > 0) return;
    tandem__job_end(scheduler, job, TANDEM_OK, now_ns);
}

void tandem__job_fail_units(sched_job *job, uint32_t first, uint32_t count, tandem_status status) {
    job->failed_units += count;
    if (job->unit_status == NULL) return;
    memset(job->unit_status + first, (int)status, count);
}

void tandem__sched_cancel(sched *scheduler, sched_job *job, uint64_t now_ns) {
    if (job->state != SCHED_JOB_QUEUED) return;
    tandem__job_end(scheduler, job, TANDEM_CANCELLED, now_ns);
}

sched_job *tandem__sched_finished(sched *scheduler) {
    sched_job *job = scheduler->finished_head;
    if (job == NULL) return NULL;
    TANDEM_ASSERT(job->state == SCHED_JOB_FINISHED);
    scheduler->finished_head = job->next_finished;
    if (scheduler->finished_head == NULL) scheduler->finished_tail = NULL;
    job->next_finished = NULL;
    job->state = SCHED_JOB_IDLE;
    return job;
}
