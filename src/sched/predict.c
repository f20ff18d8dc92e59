/* SPDX-License-Identifier: Apache-2.0 */
/* The default policy: every piece of work where it is predicted to finish first, and latency lanes
 * kept free for realtime work as long as other work keeps its bound.
 *
 * Nothing is bound early. When a lane asks, the policy plays the next moments through: work in its
 * order, each to the lane that would finish it first given what the lanes before it got. What falls
 * to the asking lane, it starts; what falls to another is left, although that lane is still busy:
 *
 *     metal  ████████▌ next at 3 ms        realtime text: metal 3 + 4.7, cpu 11.4 → left to metal
 *     cpu    asks now                      the second one: metal 3 + 9.4, cpu 11.4 → cpu takes it
 *
 * A latency lane takes standard work only if what waits would keep the other lanes busy for longer
 * than standard_bound_ns: up to there a free latency lane is worth more to the realtime text that
 * comes next. The bound is what makes that stable: past it no lane idles. */
#include <math.h>

#include "sched/sched_internal.h"

#define LOOK_AHEAD      64    /* assignments played through */
#define OVERDUE_PART    0.125 /* of its prediction that a late batch is given at least */
#define HELP_THROUGHPUT 20    /* background_age / this: throughput lanes help with background */
#define HELP_LATENCY    10    /* ... latency lanes */

/* What a lane looks like to work that comes now. */
typedef struct lane_view {
    double free_ns; /* from now until it can start something */
    int32_t slots;
    bool serves;
    bool is_idle;
} lane_view;

bool tandem__lane_is_shared(const sched *scheduler, const sched_lane *lane) {
    for (int i = 0; i < scheduler->lane_count; i++) {
        if (&scheduler->lanes[i] != lane && scheduler->lanes[i].running > 0) return true;
    }
    return false;
}

double tandem__lane_ns(const sched *scheduler, const sched_lane *lane, int64_t tokens) {
    const bool is_shared = tandem__lane_is_shared(scheduler, lane);
    return tandem__service_ns(&lane->service, tokens) * (is_shared ? lane->service.shared : 1.0);
}

/* From now until the lane's first slot is free. A batch that is late is expected to stay as late
 * again, so that waiting for it loses its attraction. */
static double lane_free_ns(const sched_lane *lane, uint64_t now_ns) {
    if (lane->running + lane->hung < lane->slots) return 0;
    double first = HUGE_VAL;
    for (int i = 0; i < SCHED_SLOTS_MAX; i++) {
        const sched_batch *batch = &lane->batches[i];
        if (batch->state != SCHED_SLOT_RUNNING) continue;
        const double late = (double)now_ns - (double)batch->expected_ns;
        const double least = OVERDUE_PART * (double)(batch->expected_ns - batch->started_ns);
        const double left = late < 0 ? -late : late > least ? late : least;
        if (left < first) first = left;
    }
    return first;
}

/* How long the lane works on its pinned pieces of a band that come before `than`. */
static double pinned_ns(const sched *scheduler, const sched_lane *lane, sched_band band,
                        const sched_piece *than) {
    const sched_queue *queue = &lane->pinned[band];
    if (queue->units == 0) return 0;
    if (than != NULL && tandem__piece_before(than, queue->head[0])) return 0;
    const int64_t each = queue->tokens / queue->units;
    return tandem__lane_ns(scheduler, lane, each > 0 ? each : 1) * (double)queue->units /
           (double)lane->slots;
}

static void view_lanes(const sched *scheduler, uint64_t now_ns, sched_band band,
                       const sched_piece *first, lane_view views[SCHED_LANES_MAX]) {
    for (int i = 0; i < scheduler->lane_count; i++) {
        const sched_lane *lane = &scheduler->lanes[i];
        lane_view *view = &views[i];
        view->is_idle = tandem__lane_serves(lane) && lane->running + lane->hung < lane->slots;
        view->serves = tandem__lane_serves(lane) && (view->is_idle || lane->running > 0);
        view->slots = lane->slots;
        view->free_ns = view->serves ? lane_free_ns(lane, now_ns) : HUGE_VAL;
        for (int b = 0; b <= (int)band && view->serves; b++) {
            const double ahead =
                pinned_ns(scheduler, lane, (sched_band)b, b == (int)band ? first : NULL);
            if (ahead > 0) view->is_idle = false;
            view->free_ns += ahead;
        }
    }
}

/* Whether some lane beside those of the bits serves work that names none. */
static bool has_other_lane(const sched *scheduler, uint8_t failed_on) {
    for (int i = 0; i < scheduler->lane_count; i++) {
        const sched_lane *lane = &scheduler->lanes[i];
        if (lane->options.lane_class == TANDEM_CLASS_NONE) continue;
        if ((failed_on & 1u << i) == 0 && tandem__lane_serves(lane)) return true;
    }
    return false;
}

static bool may_serve(const sched *scheduler, const sched_piece *piece, int32_t lane) {
    return (piece->failed_on & 1u << lane) == 0 || !has_other_lane(scheduler, piece->failed_on);
}

/* The queue's first piece that the lane may take. */
static sched_piece *first_for(const sched *scheduler, const sched_queue *queue, int32_t lane) {
    sched_piece *piece = queue->head[0];
    for (int i = 0; i < LOOK_AHEAD && piece != NULL; i++, piece = piece->next[0]) {
        if (may_serve(scheduler, piece, lane)) return piece;
    }
    return NULL;
}

/* The queue's first piece that the lane may take and none of the set: its retry is for one beside
 * them. */
static sched_piece *first_stranded(const sched *scheduler, const sched_queue *queue, int32_t lane,
                                   uint32_t lanes) {
    sched_piece *piece = queue->head[0];
    for (int i = 0; i < LOOK_AHEAD && piece != NULL; i++, piece = piece->next[0]) {
        if (piece->failed_on == 0 || (lanes & ~(uint32_t)piece->failed_on) != 0) continue;
        if (may_serve(scheduler, piece, lane)) return piece;
    }
    return NULL;
}

/* How many units, from `unit` of the piece on, a lane would take at once, and their tokens. */
static uint32_t chunk_units(const sched_lane *lane, const sched_piece *piece, uint32_t unit,
                            int64_t *tokens) {
    const int64_t knee = tandem__service_knee(&lane->service, lane->options.tokens_max);
    const int32_t *unit_tokens = piece->job->unit_tokens + piece->first;
    uint32_t count = 1;
    *tokens = unit_tokens[unit];
    while (unit + count < piece->count && *tokens + unit_tokens[unit + count] <= knee) {
        *tokens += unit_tokens[unit + count];
        count++;
    }
    return count;
}

/* The lane that finishes the piece's next units first, SCHED_NO_LANE if none may; the units it
 * would take and how long they take. */
static int32_t first_to_finish(const sched *scheduler, const lane_view *views, uint32_t lanes,
                               const sched_piece *piece, uint32_t unit, uint32_t *units,
                               double *service_ns) {
    int32_t best = SCHED_NO_LANE;
    double best_ns = HUGE_VAL;
    for (int i = 0; i < scheduler->lane_count; i++) {
        if (!views[i].serves || (lanes & (1u << i)) == 0) continue;
        if (!may_serve(scheduler, piece, i)) continue;
        int64_t tokens;
        const uint32_t count = chunk_units(&scheduler->lanes[i], piece, unit, &tokens);
        const double ns = tandem__lane_ns(scheduler, &scheduler->lanes[i], tokens);
        const double end_ns = views[i].free_ns + ns / count;
        if (end_ns >= best_ns) continue;
        best = i;
        best_ns = end_ns;
        *units = count;
        *service_ns = ns;
    }
    return best;
}

/* The first piece of the queue that falls to `lane` now when every piece goes to the one of
 * `lanes` that finishes it first. */
static sched_piece *play_through(sched *scheduler, const sched_queue *queue, int32_t lane,
                                 uint32_t lanes, lane_view *views, uint64_t now_ns,
                                 uint64_t *wake_ns) {
    int left = LOOK_AHEAD;
    for (sched_piece *piece = queue->head[0]; piece != NULL; piece = piece->next[0]) {
        for (uint32_t unit = 0; unit < piece->count;) {
            uint32_t units = 1;
            double service_ns = 0;
            const int32_t best =
                first_to_finish(scheduler, views, lanes, piece, unit, &units, &service_ns);
            if (best == SCHED_NO_LANE) break;
            if (best == lane && views[best].is_idle) return piece;
            views[best].free_ns += service_ns / views[best].slots;
            views[best].is_idle = false;
            if (--left == 0) return NULL;
            unit += units;
        }
    }
    /* Left to a busy lane: look again when that should have been free. */
    for (int i = 0; i < scheduler->lane_count; i++) {
        const sched_lane *other = &scheduler->lanes[i];
        if (i == lane || other->running == 0 || queue->pieces == 0) continue;
        const uint64_t at_ns = now_ns + (uint64_t)lane_free_ns(other, now_ns) + 100000;
        if (at_ns < *wake_ns) *wake_ns = at_ns;
    }
    return NULL;
}

static uint32_t lanes_of(const sched *scheduler, bool with_latency) {
    uint32_t lanes = 0;
    for (int i = 0; i < scheduler->lane_count; i++) {
        const sched_lane *lane = &scheduler->lanes[i];
        if (!tandem__lane_serves(lane)) continue;
        if (lane->options.lane_class == TANDEM_CLASS_NONE) continue;
        if (with_latency || lane->options.lane_class != TANDEM_CLASS_LATENCY) lanes |= 1u << i;
    }
    return lanes;
}

/* How long the lanes of a set would work on what waits in the queue. */
static double backlog_ns(const sched *scheduler, const sched_queue *queue, uint32_t lanes) {
    if (queue->units == 0) return 0;
    const int64_t each = queue->tokens / queue->units > 0 ? queue->tokens / queue->units : 1;
    double rate = 0; /* units a nanosecond */
    for (int i = 0; i < scheduler->lane_count; i++) {
        if ((lanes & (1u << i)) == 0) continue;
        const sched_lane *lane = &scheduler->lanes[i];
        const int64_t knee = tandem__service_knee(&lane->service, lane->options.tokens_max);
        const int64_t units = knee > each ? knee / each : 1;
        rate += (double)units / tandem__lane_ns(scheduler, lane, units * each) * lane->slots;
    }
    return rate > 0 ? (double)queue->units / rate : HUGE_VAL;
}

/* Under heat the idle lane that is furthest behind its share goes first; realtime work keeps to
 * the earliest finish, which knows by then what the heat costs each lane. */
static bool is_behind_in_heat(const sched *scheduler, int32_t lane, const sched_piece *piece) {
    const int32_t tokens = piece->job->unit_tokens[piece->first];
    double own = 0;
    double least = HUGE_VAL;
    for (int i = 0; i < scheduler->lane_count; i++) {
        const sched_lane *other = &scheduler->lanes[i];
        if (!tandem__lane_serves(other) || other->options.lane_class == TANDEM_CLASS_NONE) continue;
        if (!may_serve(scheduler, piece, i)) continue;
        if (other->running + other->hung >= other->slots) continue;
        const double share = (double)(other->heat_units + 1) *
                             tandem__service_ns(&other->service, tokens) / other->slots;
        if (share < least) least = share;
        if (i == lane) own = share;
    }
    return own <= least;
}

static sched_choice choose_heat(sched *scheduler, int32_t lane, sched_band band) {
    sched_queue *queue = &scheduler->shared[band];
    sched_choice choice = {.queue = queue, .reason = SCHED_REASON_SPREAD, .band = band};
    sched_piece *piece = queue->head[0];
    if (piece == NULL || !may_serve(scheduler, piece, lane)) return choice;
    if (is_behind_in_heat(scheduler, lane, piece)) choice.piece = piece;
    return choice;
}

static sched_choice choose_realtime(sched *scheduler, int32_t lane, lane_view *views,
                                    uint64_t now_ns, uint64_t *wake_ns) {
    sched_queue *queue = &scheduler->shared[SCHED_REALTIME];
    const uint32_t lanes = lanes_of(scheduler, true);
    return (sched_choice){
        .piece = play_through(scheduler, queue, lane, lanes, views, now_ns, wake_ns),
        .queue = queue,
        .reason = (lanes & (lanes - 1)) == 0 ? SCHED_REASON_ONLY : SCHED_REASON_EARLIEST,
        .band = SCHED_REALTIME};
}

static sched_choice choose_standard(sched *scheduler, int32_t lane, lane_view *views,
                                    uint64_t now_ns, uint64_t *wake_ns) {
    sched_queue *queue = &scheduler->shared[SCHED_STANDARD];
    sched_choice choice = {.queue = queue, .band = SCHED_STANDARD};
    if (queue->pieces == 0) return choice;
    const bool is_latency = scheduler->lanes[lane].options.lane_class == TANDEM_CLASS_LATENCY;
    const uint32_t others = lanes_of(scheduler, false);
    const bool is_open = scheduler->is_everything_open || others == 0;
    if (is_latency && !is_open) {
        if (backlog_ns(scheduler, queue, others) <= (double)scheduler->options.standard_bound_ns) {
            choice.reason = SCHED_REASON_RETRY;
            choice.piece = first_stranded(scheduler, queue, lane, others);
            return choice;
        }
        choice.reason = SCHED_REASON_OVERFLOW;
        choice.piece = first_for(scheduler, queue, lane);
        return choice;
    }
    const uint32_t lanes = is_open ? lanes_of(scheduler, true) : others;
    choice.reason = (lanes & (lanes - 1)) == 0 ? SCHED_REASON_ONLY : SCHED_REASON_EARLIEST;
    choice.piece = play_through(scheduler, queue, lane, lanes, views, now_ns, wake_ns);
    return choice;
}

static sched_choice choose_background(sched *scheduler, int32_t lane) {
    sched_queue *queue = &scheduler->shared[SCHED_BACKGROUND];
    sched_choice choice = {.queue = queue, .band = SCHED_BACKGROUND, .reason = SCHED_REASON_ONLY};
    if (queue->pieces == 0) return choice;
    uint32_t own = 0;
    for (int i = 0; i < scheduler->lane_count; i++) {
        const sched_lane *other = &scheduler->lanes[i];
        if (tandem__lane_serves(other) && other->options.lane_class == TANDEM_CLASS_BACKGROUND)
            own |= 1u << i;
    }
    const tandem_lane_class lane_class = scheduler->lanes[lane].options.lane_class;
    if (lane_class != TANDEM_CLASS_BACKGROUND && own != 0 && !scheduler->is_everything_open) {
        const uint64_t part = lane_class == TANDEM_CLASS_LATENCY ? HELP_LATENCY : HELP_THROUGHPUT;
        const double bound = (double)(scheduler->options.background_age_ns / part);
        if (backlog_ns(scheduler, queue, own) <= bound) {
            choice.piece = first_stranded(scheduler, queue, lane, own);
            return choice;
        }
        choice.reason = SCHED_REASON_OVERFLOW;
    }
    choice.piece = first_for(scheduler, queue, lane);
    return choice;
}

/* Work that has waited for its limit goes before realtime work, but not on latency lanes where
 * there are others, and not twice in a row while realtime work waits: a backlog that is old as a
 * whole must not become a wall. */
static sched_choice choose_aged(sched *scheduler, int32_t lane, uint64_t now_ns,
                                uint64_t *wake_ns) {
    const sched_lane *own = &scheduler->lanes[lane];
    const bool is_kept =
        own->options.lane_class == TANDEM_CLASS_LATENCY && lanes_of(scheduler, false) != 0;
    const bool is_realtime_waiting =
        scheduler->shared[SCHED_REALTIME].pieces > 0 || own->pinned[SCHED_REALTIME].pieces > 0;
    if (is_kept || (own->was_aged && is_realtime_waiting)) return (sched_choice){.piece = NULL};
    for (int b = SCHED_STANDARD; b < SCHED_BANDS; b++) {
        /* Half of the limit is left for the work itself, and for others of its age. */
        const uint64_t age_ns = (b == SCHED_STANDARD ? scheduler->options.standard_age_ns
                                                     : scheduler->options.background_age_ns) /
                                2;
        sched_queue *queues[] = {&scheduler->lanes[lane].pinned[b], &scheduler->shared[b]};
        const int count = own->options.lane_class == TANDEM_CLASS_NONE ? 1 : 2;
        for (int q = 0; q < count; q++) {
            sched_piece *piece = queues[q]->oldest;
            if (piece == NULL || !may_serve(scheduler, piece, lane)) continue;
            if (piece->arrived_ns + age_ns > now_ns) {
                if (piece->arrived_ns + age_ns < *wake_ns) *wake_ns = piece->arrived_ns + age_ns;
                continue;
            }
            return (sched_choice){.piece = piece,
                                  .queue = queues[q],
                                  .reason = SCHED_REASON_AGED,
                                  .band = (sched_band)b};
        }
    }
    return (sched_choice){.piece = NULL};
}

/* The lane's own queue against the shared one: the order decides. */
static sched_choice earlier_of(sched_choice shared, sched_queue *pinned, sched_band band) {
    sched_piece *piece = pinned->head[0];
    if (piece == NULL) return shared;
    if (shared.piece != NULL && tandem__piece_before(shared.piece, piece)) return shared;
    return (sched_choice){
        .piece = piece, .queue = pinned, .reason = piece->job->reason, .band = band};
}

sched_choice tandem__predict_choose(sched *scheduler, int32_t lane, uint64_t now_ns,
                                    uint64_t *wake_ns) {
    sched_choice choice = choose_aged(scheduler, lane, now_ns, wake_ns);
    if (choice.piece != NULL) return choice;
    sched_lane *own = &scheduler->lanes[lane];
    const bool may_share = own->options.lane_class != TANDEM_CLASS_NONE;
    const bool is_hot = scheduler->speed_percent < SCHED_HEAT_PERCENT;
    lane_view views[SCHED_LANES_MAX];
    for (int b = 0; b < SCHED_BANDS; b++) {
        const sched_band band = (sched_band)b;
        choice = (sched_choice){.piece = NULL};
        if (may_share && is_hot && band != SCHED_REALTIME && scheduler->shared[b].pieces > 0) {
            choice = choose_heat(scheduler, lane, band);
        } else if (may_share && scheduler->shared[b].pieces > 0) {
            view_lanes(scheduler, now_ns, band, scheduler->shared[b].head[0], views);
            if (!views[lane].is_idle && own->pinned[b].pieces > 0)
                choice.piece = NULL; // its pinned work comes first
            else if (band == SCHED_REALTIME)
                choice = choose_realtime(scheduler, lane, views, now_ns, wake_ns);
            else if (band == SCHED_STANDARD)
                choice = choose_standard(scheduler, lane, views, now_ns, wake_ns);
            else
                choice = choose_background(scheduler, lane);
        }
        choice = earlier_of(choice, &own->pinned[b], band);
        if (choice.piece != NULL) return choice;
    }
    return choice;
}

double tandem__predict_take_ns(const sched *scheduler, int32_t home, uint64_t now_ns) {
    double first = HUGE_VAL;
    for (int i = 0; i < scheduler->lane_count; i++) {
        const sched_lane *lane = &scheduler->lanes[i];
        const bool is_shared = lane->options.lane_class != TANDEM_CLASS_NONE;
        if (!tandem__lane_serves(lane) || (home == SCHED_NO_LANE ? !is_shared : i != home))
            continue;
        const double ns = lane_free_ns(lane, now_ns);
        if (ns < first) first = ns;
    }
    return first;
}

uint64_t tandem__predict_finish(const sched *scheduler, const sched_job *job, uint64_t now_ns) {
    const sched_band band = tandem__sched_band(job->priority);
    const uint32_t lanes = lanes_of(scheduler, true);
    double best = HUGE_VAL;
    for (int i = 0; i < scheduler->lane_count; i++) {
        const sched_lane *lane = &scheduler->lanes[i];
        if (job->home != SCHED_NO_LANE ? i != job->home : (lanes & (1u << i)) == 0) continue;
        double ns = lane_free_ns(lane, now_ns);
        for (int b = 0; b <= (int)band; b++) {
            ns += pinned_ns(scheduler, lane, (sched_band)b, NULL);
            if (job->home == SCHED_NO_LANE)
                ns += backlog_ns(scheduler, &scheduler->shared[b], lanes);
        }
        int64_t left = tandem__job_tokens(job, 0, job->unit_count);
        const int64_t most = lane->options.tokens_max;
        ns += (double)(left / most) * tandem__lane_ns(scheduler, lane, most);
        if (left % most > 0) ns += tandem__lane_ns(scheduler, lane, left % most);
        if (ns < best) best = ns;
    }
    return best < 1e18 ? now_ns + (uint64_t)best : UINT64_MAX / 2;
}
