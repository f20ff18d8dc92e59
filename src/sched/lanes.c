/* SPDX-License-Identifier: Apache-2.0 */
/* Lanes at work: what goes into a batch, what comes of it, and lanes that fail.
 *
 *            3 failed batches in a row, or a hung one
 *     UP ──────────────────────────────────────────────► OUT ─ probe after 100 ms, 200 ms … 5 s
 *      ▲                2 probes passed                    │
 *      └───────────────────────────────────────────────────┘
 *
 * Units of a batch that failed are tried again, each run alone and on another lane where there is
 * one; a run that fails again is halved until the unit at fault is found. A unit has failed when no
 * lane is left that it may use and has not been on. */
#include <math.h>
#include <string.h>

#include "base/assert.h"
#include "base/histogram.h"
#include "sched/sched_internal.h"

#define MS ((uint64_t)1000000)

#define FAILURES_MAX      3
#define PROBES_NEEDED     2
#define PROBE_WAIT_MIN_NS (100 * MS)
#define PROBE_WAIT_MAX_NS (5000 * MS)
#define HANG_FACTOR       20
#define EXPIRE_STEP_NS    (1 * MS)

/* Takes waiting units into the batch. */
static void batch_add(sched *scheduler, sched_batch *batch, sched_queue *queue, sched_piece *piece,
                      uint32_t units, int64_t tokens, uint64_t now_ns) {
    sched_job *job = piece->job;
    TANDEM_ASSERT(batch->item_count < SCHED_UNITS_MAX);
    batch->items[batch->item_count++] = (sched_item){
        .job = job, .first = piece->first, .count = units, .failed_on = piece->failed_on};
    batch->units += units;
    batch->tokens += (int32_t)tokens;
    tandem__queue_shrink(queue, piece, units, tokens);
    job->waiting_units -= units;
    job->waiting_tokens -= tokens;
    job->flying_units += units;
    scheduler->waiting_tokens -= tokens;
    scheduler->tenant_tokens[job->tenant] -= tokens;
    if (job->waiting_units == 0) scheduler->waiting_jobs--;
    if (job->started_ns == 0) job->started_ns = now_ns;
    job->served_lane = batch->lane;
    if (piece->count > 0 || piece == &job->piece) return;
    sched_piece **link = &job->retry_pieces;
    while (*link != piece) link = &(*link)->next_of_job;
    *link = piece->next_of_job;
    tandem__piece_free(scheduler, piece);
}

/* What one batch may hold. */
typedef struct batch_bounds {
    int64_t tokens_wanted; /* full enough */
    int64_t tokens_max;
    uint32_t units_max;
    bool is_by_gain; /* realtime: only units that gain more than they cost the others */
} batch_bounds;

/* The largest power-of-two batch that the lane is predicted to finish within `ns`. */
static int64_t tokens_within(const sched *scheduler, const sched_lane *lane, uint64_t ns) {
    int64_t tokens = 1;
    while (tokens < lane->options.tokens_max &&
           tandem__lane_ns(scheduler, lane, 2 * tokens) <= (double)ns)
        tokens *= 2;
    return tokens;
}

static batch_bounds bounds_of(const sched *scheduler, const sched_lane *lane,
                              const sched_choice *choice, uint64_t now_ns) {
    const uint32_t own_max = choice->piece->job->batch_units_max;
    batch_bounds bounds = {.tokens_max = lane->options.tokens_max,
                           .units_max = (uint32_t)lane->options.sequences_max};
    if (bounds.units_max > SCHED_UNITS_MAX) bounds.units_max = SCHED_UNITS_MAX;
    if (own_max > 0 && own_max < bounds.units_max) bounds.units_max = own_max;
    bounds.tokens_max = (int64_t)((double)bounds.tokens_max * scheduler->memory_scale);
    if (scheduler->options.policy == SCHED_RULES) {
        const uint32_t limit = (uint32_t)lane->options.rules_limit;
        if (limit < bounds.units_max) bounds.units_max = limit;
        bounds.tokens_wanted = bounds.tokens_max;
        return bounds;
    }
    const int64_t knee = tandem__service_knee(&lane->service, lane->options.tokens_max);
    bounds.tokens_wanted = (int64_t)((double)knee * scheduler->batch_scale);
    if (bounds.tokens_wanted < lane->options.batch_tokens)
        bounds.tokens_wanted = lane->options.batch_tokens;
    bounds.is_by_gain = choice->band == SCHED_REALTIME;
    if (now_ns - scheduler->realtime_seen_ns < SCHED_REALTIME_MEMORY_NS &&
        scheduler->realtime_seen_ns > 0) {
        const int64_t within = tokens_within(scheduler, lane, scheduler->options.batch_ns);
        if (within < bounds.tokens_wanted) bounds.tokens_wanted = within;
    }
    if (bounds.tokens_wanted > bounds.tokens_max) bounds.tokens_wanted = bounds.tokens_max;
    return bounds;
}

/* A further unit makes those in the batch wait longer, and itself start sooner. */
static bool is_gain(const sched *scheduler, const sched_lane *lane, const sched_batch *batch,
                    int32_t tokens) {
    const double without = tandem__lane_ns(scheduler, lane, batch->tokens);
    const double alone = tandem__lane_ns(scheduler, lane, tokens);
    const double with = tandem__lane_ns(scheduler, lane, (int64_t)batch->tokens + tokens);
    return (with - without) * batch->units <= without + alone - with;
}

static bool fits(const sched *scheduler, const sched_lane *lane, const sched_batch *batch,
                 const batch_bounds *bounds, int32_t tokens) {
    if (batch->units == 0) return true;
    if (batch->units >= bounds->units_max) return false;
    if ((int64_t)batch->tokens + tokens > bounds->tokens_max) return false;
    if (bounds->is_by_gain) return is_gain(scheduler, lane, batch, tokens);
    return (int64_t)batch->tokens + tokens <= bounds->tokens_wanted;
}

/* As many units from the piece's front as fit. False: the batch is full. */
static bool fill_from(sched *scheduler, sched_batch *batch, const batch_bounds *bounds,
                      sched_queue *queue, sched_piece *piece, uint64_t now_ns) {
    const sched_lane *lane = &scheduler->lanes[batch->lane];
    const int32_t *unit_tokens = piece->job->unit_tokens + piece->first;
    const uint32_t count = piece->count;
    const uint32_t units_before = batch->units;
    const int32_t tokens_before = batch->tokens;
    uint32_t units = 0;
    while (units < count && fits(scheduler, lane, batch, bounds, unit_tokens[units])) {
        batch->units++;
        batch->tokens += unit_tokens[units];
        units++;
    }
    const int64_t tokens = batch->tokens - tokens_before;
    batch->units = units_before;
    batch->tokens = tokens_before;
    if (units > 0) batch_add(scheduler, batch, queue, piece, units, tokens, now_ns);
    return units == count;
}

static void fill_batch(sched *scheduler, sched_batch *batch, const sched_choice *choice,
                       uint64_t now_ns) {
    const sched_lane *lane = &scheduler->lanes[batch->lane];
    const batch_bounds bounds = bounds_of(scheduler, lane, choice, now_ns);
    const bool is_retry = choice->piece->failed_on != 0;
    sched_piece *piece = choice->piece;
    sched_piece *next = piece->next[0];
    if (piece->job->reason != SCHED_REASON_ASKED && piece->job->reason != SCHED_REASON_FALLBACK)
        piece->job->reason = is_retry ? SCHED_REASON_RETRY : choice->reason;
    bool has_room = fill_from(scheduler, batch, &bounds, choice->queue, piece, now_ns);
    if (is_retry) return; // alone, so that a unit at fault is found
    while (has_room && next != NULL && batch->item_count < SCHED_UNITS_MAX) {
        piece = next;
        next = piece->next[0];
        if (piece->failed_on != 0 || piece->job->kind != batch->kind) continue;
        if (piece->job->reason == SCHED_REASON_NONE) piece->job->reason = choice->reason;
        has_room = fill_from(scheduler, batch, &bounds, choice->queue, piece, now_ns);
    }
}

static sched_batch *free_slot(sched_lane *lane) {
    for (int i = 0; i < SCHED_SLOTS_MAX; i++) {
        if (lane->batches[i].state == SCHED_SLOT_FREE) return &lane->batches[i];
    }
    return NULL;
}

static void batch_start(sched *scheduler, sched_batch *batch, uint64_t now_ns) {
    sched_lane *lane = &scheduler->lanes[batch->lane];
    const double ns = tandem__lane_ns(scheduler, lane, batch->tokens > 0 ? batch->tokens : 1);
    batch->state = SCHED_SLOT_RUNNING;
    batch->started_ns = now_ns;
    batch->expected_ns = now_ns + (uint64_t)ns;
    const uint64_t patience = (uint64_t)(HANG_FACTOR * ns);
    const uint64_t least = lane->options.hang_min_ns;
    batch->give_up_ns = now_ns + (patience > least ? patience : least);
    batch->is_shared = tandem__lane_is_shared(scheduler, lane);
    if (scheduler->speed_percent < SCHED_HEAT_PERCENT) lane->heat_units += batch->units;
    lane->running++;
}

static sched_batch *take_probe(sched *scheduler, int32_t index, uint64_t now_ns,
                               uint64_t *wake_ns) {
    sched_lane *lane = &scheduler->lanes[index];
    uint64_t at_ns = lane->probe_at_ns;
    if (lane->state == SCHED_LANE_UP && at_ns == 0) {
        if (scheduler->options.probe_every_ns == UINT64_MAX) return NULL;
        if (lane->options.lane_class == TANDEM_CLASS_NONE) return NULL; // idle by its nature
        at_ns = lane->last_done_ns + scheduler->options.probe_every_ns;
    }
    if (now_ns < at_ns) {
        if (at_ns < *wake_ns) *wake_ns = at_ns;
        return NULL;
    }
    sched_batch *batch = free_slot(lane);
    *batch = (sched_batch){.lane = index};
    batch_start(scheduler, batch, now_ns);
    return batch;
}

sched_batch *tandem__sched_take_work(sched *scheduler, int32_t index, uint64_t now_ns,
                                     uint64_t *wake_ns) {
    sched_lane *lane = &scheduler->lanes[index];
    if (lane->state != SCHED_LANE_UP || lane->running + lane->hung >= lane->slots) return NULL;
    const sched_choice choice = tandem__predict_choose(scheduler, index, now_ns, wake_ns);
    if (choice.piece == NULL) return NULL;
    sched_batch *batch = free_slot(lane);
    batch->item_count = 0;
    batch->units = 0;
    batch->tokens = 0;
    batch->lane = index;
    batch->kind = choice.piece->job->kind;
    batch->is_realtime = choice.band == SCHED_REALTIME;
    lane->was_aged = choice.reason == SCHED_REASON_AGED;
    fill_batch(scheduler, batch, &choice, now_ns);
    TANDEM_ASSERT(batch->units > 0);
    batch_start(scheduler, batch, now_ns);
    return batch;
}

sched_batch *tandem__sched_take(sched *scheduler, int32_t index, uint64_t now_ns,
                                uint64_t *wake_ns) {
    const sched_lane *lane = &scheduler->lanes[index];
    sched_batch *batch = tandem__sched_take_work(scheduler, index, now_ns, wake_ns);
    if (batch != NULL || lane->state == SCHED_LANE_MISSING) return batch;
    if (lane->running > 0 || lane->hung >= lane->slots) return NULL;
    return take_probe(scheduler, index, now_ns, wake_ns);
}

void tandem__sched_started(sched_batch *batch, uint64_t now_ns) {
    const uint64_t waited_ns = now_ns - batch->started_ns;
    batch->started_ns = now_ns;
    batch->expected_ns += waited_ns;
    batch->give_up_ns += waited_ns;
}

/* The units wait again. Without memory for one more piece they have failed. */
static void requeue(sched *scheduler, const sched_item *item, int32_t lane, uint64_t now_ns) {
    sched_job *job = item->job;
    sched_piece *piece = tandem__piece_new(scheduler);
    if (piece == NULL) {
        tandem__job_fail_units(job, item->first, item->count, TANDEM_DEVICE);
        tandem__job_units_done(scheduler, job, item->count, now_ns);
        return;
    }
    if (job->waiting_units == 0) scheduler->waiting_jobs++;
    piece->job = job;
    piece->first = item->first;
    piece->count = item->count;
    piece->failed_on = item->failed_on;
    piece->home = job->home;
    if (job->lane == SCHED_NO_LANE && tandem__class_binds(scheduler, job)) {
        piece->home = tandem__class_home(scheduler, job, item->failed_on, now_ns);
        if (piece->home == SCHED_NO_LANE) piece->home = lane;
    }
    piece->sequence = job->piece.sequence;
    piece->next_of_job = job->retry_pieces;
    job->retry_pieces = piece;
    job->flying_units -= item->count;
    job->retries++;
    scheduler->counters.retried_units += item->count;
    tandem__piece_queue_up(scheduler, piece);
}

/* Whether a unit that failed alone is tried again: once in any case, then on each lane that it has
 * not been on and could go to. The bits of failed_on only grow, so there is an end. */
static bool is_tried_again(const sched *scheduler, const sched_item *item, int32_t lane,
                           uint64_t now_ns) {
    const sched_job *job = item->job;
    const uint8_t failed_on = item->failed_on | (uint8_t)(1u << lane);
    if (item->failed_on == 0) return true;
    if (item->failed_on == failed_on) return false;
    const bool is_bound = job->home != SCHED_NO_LANE && !tandem__class_binds(scheduler, job);
    if (job->lane != SCHED_NO_LANE || is_bound) return (failed_on & 1u << job->home) == 0;
    return tandem__class_home(scheduler, job, failed_on, now_ns) != SCHED_NO_LANE;
}

static void item_failed(sched *scheduler, const sched_item *item, int32_t lane,
                        tandem_status status, uint64_t now_ns) {
    sched_item run = *item;
    run.failed_on |= (uint8_t)(1u << lane);
    if (item->count > 1 && item->failed_on != 0) {
        run.failed_on = (uint8_t)(1u << lane); // of a half nothing else is known
        run.count = item->count / 2;
        requeue(scheduler, &run, lane, now_ns);
        run.first += run.count;
        run.count = item->count - run.count;
        requeue(scheduler, &run, lane, now_ns);
    } else if (is_tried_again(scheduler, item, lane, now_ns)) {
        requeue(scheduler, &run, lane, now_ns);
    } else {
        tandem__job_fail_units(item->job, item->first, item->count, status);
        tandem__job_units_done(scheduler, item->job, item->count, now_ns);
    }
}

/* Units whose result is not finite, one by one: the others are done. */
static uint32_t item_marked(sched *scheduler, const sched_item *item, const bool *failed,
                            int32_t lane, uint64_t now_ns) {
    const bool is_again = is_tried_again(scheduler, item, lane, now_ns);
    uint32_t bad = 0;
    for (uint32_t u = 0; u < item->count; u++) {
        if (!failed[u]) continue;
        bad++;
        const sched_item unit = {.job = item->job,
                                 .first = item->first + u,
                                 .count = 1,
                                 .failed_on = item->failed_on | (uint8_t)(1u << lane)};
        if (is_again)
            requeue(scheduler, &unit, lane, now_ns);
        else
            tandem__job_fail_units(item->job, unit.first, 1, TANDEM_NUMERIC);
    }
    const uint32_t over = is_again ? item->count - bad : item->count;
    if (over > 0) tandem__job_units_done(scheduler, item->job, over, now_ns);
    return bad;
}

/* What waits for a lane that is out goes to another that may serve it, or ends where none of its
 * classes serves. While nothing serves at all it stays: probes decide. */
static void evacuate(sched *scheduler, int32_t from, uint64_t now_ns) {
    const tandem_lane_class lane_class = scheduler->lanes[from].options.lane_class;
    if (tandem__class_lane(scheduler, lane_class, NULL) == SCHED_NO_LANE) return;
    for (int b = 0; b < SCHED_BANDS; b++) {
        sched_queue *queue = &scheduler->lanes[from].pinned[b];
        while (queue->oldest != NULL) {
            sched_piece *piece = queue->oldest;
            sched_job *job = piece->job;
            const int32_t to = tandem__class_lane(scheduler, lane_class, job);
            if (to == SCHED_NO_LANE || (job->is_fallback_forbidden && job->lane != SCHED_NO_LANE)) {
                tandem__job_end(scheduler, job, TANDEM_DEVICE, now_ns);
                continue;
            }
            if (job->reason == SCHED_REASON_ASKED) job->reason = SCHED_REASON_FALLBACK;
            job->home = to;
            tandem__piece_move(scheduler, piece, to);
        }
    }
}

static void lane_out(sched *scheduler, int32_t index, uint64_t now_ns) {
    sched_lane *lane = &scheduler->lanes[index];
    if (lane->state != SCHED_LANE_UP) return;
    lane->state = SCHED_LANE_OUT;
    lane->times_out++;
    lane->probes_passed = 0;
    lane->probe_wait_ns = PROBE_WAIT_MIN_NS;
    lane->probe_at_ns = now_ns + PROBE_WAIT_MIN_NS;
    evacuate(scheduler, index, now_ns);
}

static void lane_up(sched *scheduler, int32_t index, uint64_t now_ns) {
    sched_lane *lane = &scheduler->lanes[index];
    if (lane->state != SCHED_LANE_OUT) return;
    lane->state = SCHED_LANE_UP;
    lane->failures = 0;
    lane->probe_at_ns = 0;
    lane->last_done_ns = now_ns;
    tandem__classes_settle(scheduler, now_ns);
}

void tandem__sched_lane_found(sched *scheduler, int32_t index, uint64_t now_ns) {
    sched_lane *lane = &scheduler->lanes[index];
    lane->state = SCHED_LANE_UP;
    lane->last_done_ns = now_ns;
    tandem__classes_settle(scheduler, now_ns);
}

static void probe_done(sched *scheduler, int32_t index, bool is_well, uint64_t now_ns) {
    sched_lane *lane = &scheduler->lanes[index];
    lane->probe_at_ns = 0;
    if (lane->state == SCHED_LANE_UP) {
        if (!is_well) lane_out(scheduler, index, now_ns);
        return;
    }
    if (is_well) {
        lane->probes_passed++;
        lane->probe_at_ns = now_ns + 1;
        if (lane->probes_passed >= PROBES_NEEDED) lane_up(scheduler, index, now_ns);
        return;
    }
    lane->probes_passed = 0;
    lane->probe_wait_ns *= 2;
    if (lane->probe_wait_ns > PROBE_WAIT_MAX_NS) lane->probe_wait_ns = PROBE_WAIT_MAX_NS;
    lane->probe_at_ns = now_ns + lane->probe_wait_ns;
    evacuate(scheduler, index, now_ns); // what stayed for want of another lane
    if (tandem__class_lane(scheduler, TANDEM_CLASS_LATENCY, NULL) != SCHED_NO_LANE) return;
    while (scheduler->alive != NULL) {
        tandem__job_end(scheduler, scheduler->alive, TANDEM_DEVICE, now_ns);
    }
}

/* Units of a batch that was on the lane when it went out came back to its own queues. */
static void leave_lane(sched *scheduler, int32_t index, uint64_t now_ns) {
    if (scheduler->lanes[index].state == SCHED_LANE_OUT) evacuate(scheduler, index, now_ns);
}

/* A batch that the lane refuses, or whose weights or memory are at fault, says nothing about the
 * device: it must not take the lane from everybody. */
static void lane_failed(sched *scheduler, int32_t index, tandem_status status, uint64_t now_ns) {
    sched_lane *lane = &scheduler->lanes[index];
    if (status != TANDEM_DEVICE && status != TANDEM_TIMEOUT && status != TANDEM_IO) return;
    lane->failures++;
    lane->failures_total++;
    if (lane->state == SCHED_LANE_UP && lane->failures >= FAILURES_MAX)
        lane_out(scheduler, index, now_ns);
}

static void slot_free(sched_lane *lane, sched_batch *batch) {
    if (batch->state == SCHED_SLOT_HUNG)
        lane->hung--;
    else
        lane->running--;
    batch->state = SCHED_SLOT_FREE;
}

void tandem__sched_done(sched *scheduler, sched_batch *batch, uint64_t now_ns, tandem_status status,
                        const bool *failed) {
    sched_lane *lane = &scheduler->lanes[batch->lane];
    TANDEM_ASSERT(batch->state != SCHED_SLOT_FREE);
    const bool was_given_up = batch->state == SCHED_SLOT_HUNG;
    slot_free(lane, batch);
    if (was_given_up) return;
    lane->busy_ns += now_ns - batch->started_ns;
    tandem__window_add_span(&lane->busy, batch->started_ns, now_ns);
    lane->last_done_ns = now_ns;
    if (status == TANDEM_OK) lane->last_well_ns = now_ns;
    if (batch->item_count == 0) {
        probe_done(scheduler, batch->lane, status == TANDEM_OK && (failed == NULL || !failed[0]),
                   now_ns);
        return;
    }
    lane->batches_done++;
    lane->sizes.units[tandem__histogram_power(batch->units, SCHED_BATCH_SIZES - 1)]++;
    lane->sizes.tokens[tandem__histogram_power((uint64_t)batch->tokens, SCHED_BATCH_SIZES - 1)]++;
    uint32_t at = 0;
    uint32_t bad = 0;
    for (uint32_t i = 0; i < batch->item_count; i++) {
        const sched_item *item = &batch->items[i];
        const bool *marks = failed == NULL ? NULL : failed + at;
        at += item->count;
        if (item->job == NULL) continue;
        if (status != TANDEM_OK)
            item_failed(scheduler, item, batch->lane, status, now_ns);
        else if (marks != NULL)
            bad += item_marked(scheduler, item, marks, batch->lane, now_ns);
        else
            tandem__job_units_done(scheduler, item->job, item->count, now_ns);
    }
    TANDEM_ASSERT(at == batch->units);
    leave_lane(scheduler, batch->lane, now_ns);
    if (status != TANDEM_OK) {
        lane_failed(scheduler, batch->lane, status, now_ns);
        return;
    }
    if (bad > 0) lane->probe_at_ns = now_ns; // is it the text or the lane? One token will tell.
    lane->failures = 0;
    lane->units_done += batch->units - bad;
    lane->tokens_done += (uint64_t)batch->tokens;
    tandem__sched_drained(scheduler, batch->tokens, now_ns);
    tandem__service_learn(&lane->service, batch->tokens, (double)(now_ns - batch->started_ns),
                          batch->is_shared);
}

/* The batch is left behind: its units go elsewhere, its slot stays taken until the driver is back.
 */
static void give_up(sched *scheduler, sched_batch *batch, uint64_t now_ns) {
    sched_lane *lane = &scheduler->lanes[batch->lane];
    batch->state = SCHED_SLOT_HUNG;
    lane->running--;
    lane->hung++;
    scheduler->counters.hung_batches++;
    for (uint32_t i = 0; i < batch->item_count; i++) {
        sched_item *item = &batch->items[i];
        if (item->job != NULL) item_failed(scheduler, item, batch->lane, TANDEM_TIMEOUT, now_ns);
        item->job = NULL;
    }
    if (batch->item_count == 0 && lane->state == SCHED_LANE_OUT)
        probe_done(scheduler, batch->lane, false, now_ns);
    leave_lane(scheduler, batch->lane, now_ns);
    lane_out(scheduler, batch->lane, now_ns);
}

static uint64_t expire(sched *scheduler, uint64_t now_ns) {
    uint64_t next_ns = UINT64_MAX;
    sched_job *next = NULL;
    if (scheduler->alive_deadlines == 0) return next_ns;
    for (sched_job *job = scheduler->alive; job != NULL; job = next) {
        next = job->next_alive;
        if (job->deadline_ns == 0) continue;
        if (job->deadline_ns <= now_ns)
            tandem__job_end(scheduler, job, TANDEM_TIMEOUT, now_ns);
        else if (job->deadline_ns < next_ns)
            next_ns = job->deadline_ns;
    }
    return next_ns;
}

uint64_t tandem__sched_tick(sched *scheduler, uint64_t now_ns) {
    uint64_t next_ns = expire(scheduler, now_ns);
    if (next_ns < now_ns + EXPIRE_STEP_NS) next_ns = now_ns + EXPIRE_STEP_NS;
    const size_t slots = (size_t)scheduler->lane_count * SCHED_SLOTS_MAX;
    for (size_t i = 0; i < slots; i++) {
        sched_batch *batch = &scheduler->batches[i];
        if (batch->state != SCHED_SLOT_RUNNING) continue;
        if (batch->give_up_ns <= now_ns)
            give_up(scheduler, batch, now_ns);
        else if (batch->give_up_ns < next_ns)
            next_ns = batch->give_up_ns;
    }
    return next_ns;
}
