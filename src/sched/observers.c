/* SPDX-License-Identifier: Apache-2.0 */
/* See observers.h; docs/internals/scheduler.md has the measurements behind the guards. */
#include "sched/observers.h"

#include <string.h>

#include "sched/sched_internal.h"

#define SECOND_NS ((uint64_t)1000000000)
#define GIB       ((int64_t)1 << 30)

#define MEMORY_CALM_NS     (5 * SECOND_NS)
#define MEMORY_PART        10        /* a tenth of the memory, but no more than ... */
#define MEMORY_RESERVE_MAX (4 * GIB) /* ... this, should be left */
#define MEMORY_LEVELS      4
#define MEMORY_SLACK       1.5 /* times its threshold until a level is left */

#define COOL_PERCENT    95
#define THERMAL_CALM_NS (2 * SECOND_NS)

#define SCALER_LATE_PART   20 /* 1 of 20 over the goal: its p95 is over */
#define SCALER_REQUESTS    20 /* fewer say nothing about a p95 */
#define SCALER_RATE_MIN    200.0
#define SCALER_RATE_CALM   240.0
#define SCALER_QUEUE_MAX   20
#define SCALER_QUEUE_CALM  10
#define SCALER_WORKERS     2
#define SCALER_DOUBLINGS   2
#define SCALER_COOLDOWN_NS (1 * SECOND_NS)
#define SCALER_CALM_NS     (5 * SECOND_NS)

#define READY_PROBES 3 /* schedules missed until a lane's last inference is too old */

/* True once `is_calm` has held for `wait_ns`; the time starts anew after each true. */
static bool calm_for(bool is_calm, uint64_t wait_ns, uint64_t now_ns, uint64_t *since_ns) {
    if (!is_calm) {
        *since_ns = 0;
        return false;
    }
    if (*since_ns == 0) *since_ns = now_ns > 0 ? now_ns : 1;
    if (now_ns - *since_ns < wait_ns) return false;
    *since_ns = now_ns;
    return true;
}

/* The level that this asks for, if its thresholds are multiplied by `slack`. */
static int32_t memory_level(const sched_machine_view *seen, double slack) {
    static const double stall_percent[MEMORY_LEVELS] = {10, 20, 40, 60};
    int32_t by_bytes = 0;
    int32_t by_stall = 0;
    double reserve = 0;
    if (seen->memory_bytes > 0 && seen->memory_available_bytes >= 0) {
        const int64_t part = seen->memory_bytes / MEMORY_PART;
        reserve = slack * (double)(part < MEMORY_RESERVE_MAX ? part : MEMORY_RESERVE_MAX);
        while (by_bytes < MEMORY_LEVELS &&
               (double)seen->memory_available_bytes < reserve / (double)(1 << by_bytes))
            by_bytes++;
    }
    while (by_stall < MEMORY_LEVELS && seen->memory_stall_percent > stall_percent[by_stall] / slack)
        by_stall++;
    /* Others' stalls are not ours to cure where there is plenty. */
    if (by_stall > 1 && (double)seen->memory_available_bytes > 2 * reserve) by_stall = 1;
    return by_bytes > by_stall ? by_bytes : by_stall;
}

sched_memory_action tandem__observe_memory(const sched_machine_view *seen, uint64_t now_ns,
                                           sched_memory_state *state) {
    if (memory_level(seen, 1) > state->level) {
        state->level++;
        state->calm_ns = 0;
    } else if (calm_for(state->level > 0 && memory_level(seen, MEMORY_SLACK) < state->level,
                        MEMORY_CALM_NS, now_ns, &state->calm_ns)) {
        state->level--;
    }
    return (sched_memory_action){.level = state->level,
                                 .cache_scale = state->level == 0   ? 1
                                                : state->level == 1 ? 0.25
                                                                    : 0,
                                 .memory_scale = state->level < 2 ? 1 : 0.25,
                                 .is_one_in_flight = state->level >= 3,
                                 .is_shedding = state->level >= 4};
}

int32_t tandem__observe_thermal(int32_t percent, uint64_t now_ns, sched_thermal_state *state) {
    if (percent < 0 || percent > 100) percent = 100;
    if (percent < SCHED_HEAT_PERCENT) {
        state->is_throttled = true;
        state->calm_ns = 0;
        return percent;
    }
    if (!state->is_throttled) return percent;
    if (calm_for(percent >= COOL_PERCENT, THERMAL_CALM_NS, now_ns, &state->calm_ns)) {
        state->is_throttled = false;
        return percent;
    }
    return SCHED_HEAT_PERCENT - 1;
}

typedef struct scaler_window {
    double texts_per_s;
    uint64_t requests;
    uint64_t over_5ms;
    uint64_t over_10ms;
    int64_t waiting_min;
    bool is_full; /* a second has been seen */
} scaler_window;

/* Puts the sample into the ring; what lies between it and the oldest one there. */
static scaler_window scaler_look(const sched_scaler_sample *sample, sched_scaler_state *state) {
    state->samples[state->count++ % SCALER_SAMPLES] = *sample;
    scaler_window window = {.waiting_min = sample->waiting};
    if (state->count < SCALER_SAMPLES) return window;
    const sched_scaler_sample *first = &state->samples[state->count % SCALER_SAMPLES];
    for (int i = 0; i < SCALER_SAMPLES; i++) {
        if (state->samples[i].waiting < window.waiting_min)
            window.waiting_min = state->samples[i].waiting;
    }
    const uint64_t ns = sample->at_ns - first->at_ns;
    window.is_full = ns > 0;
    window.texts_per_s = ns > 0 ? (double)(sample->texts - first->texts) / (double)ns * 1e9 : 0;
    window.requests = sample->requests - first->requests;
    window.over_5ms = sample->over_5ms - first->over_5ms;
    window.over_10ms = sample->over_10ms - first->over_10ms;
    return window;
}

/* The guide's chain: one thing at a time. By the rules a branch that is taken ends it, even where
 * nothing is left to add; else a branch that could do nothing is passed over. */
static bool scale_up(const sched_scaler_seen *seen, const scaler_window *window,
                     sched_scaler_state *state) {
    const bool may_share = seen->is_by_rules || !seen->is_realtime_about;
    if (window->requests >= SCALER_REQUESTS &&
        window->over_10ms * SCALER_LATE_PART > window->requests) {
        const int32_t left = seen->workers_max - state->workers;
        state->workers += left < SCALER_WORKERS ? left : SCALER_WORKERS;
        if (left > 0 || seen->is_by_rules) return true;
    }
    if (window->texts_per_s < SCALER_RATE_MIN && window->waiting_min > 0 && may_share) {
        const bool is_more = state->doublings < SCALER_DOUBLINGS;
        if (is_more) state->doublings++;
        if (is_more || seen->is_by_rules) return true;
    }
    if (seen->sample.waiting <= SCALER_QUEUE_MAX || !may_share || state->is_open) return false;
    state->is_open = true;
    return true;
}

static void scale_down(const sched_scaler_seen *seen, const scaler_window *window,
                       sched_scaler_state *state) {
    const uint64_t now_ns = seen->sample.at_ns;
    const bool is_kept = seen->is_realtime_about && !seen->is_by_rules;
    if (is_kept) {
        state->doublings = 0;
        state->is_open = false;
    }
    if (calm_for(state->workers > 0 && window->over_5ms * SCALER_LATE_PART <= window->requests,
                 SCALER_CALM_NS, now_ns, &state->calm_workers_ns))
        state->workers -= state->workers < SCALER_WORKERS ? state->workers : SCALER_WORKERS;
    if (calm_for(state->doublings > 0 &&
                     (window->texts_per_s > SCALER_RATE_CALM || window->waiting_min == 0),
                 SCALER_CALM_NS, now_ns, &state->calm_batches_ns))
        state->doublings--;
    if (calm_for(state->is_open && seen->sample.waiting <= SCALER_QUEUE_CALM, SCALER_CALM_NS,
                 now_ns, &state->calm_open_ns))
        state->is_open = false;
}

sched_scaler_action tandem__observe_scaler(const sched_scaler_seen *seen,
                                           sched_scaler_state *state) {
    const uint64_t now_ns = seen->sample.at_ns;
    const scaler_window window = scaler_look(&seen->sample, state);
    if (state->workers > seen->workers_max) state->workers = seen->workers_max;
    if (window.is_full) {
        scale_down(seen, &window, state);
        const bool may_act = state->acted_ns == 0 || now_ns - state->acted_ns >= SCALER_COOLDOWN_NS;
        if (may_act && scale_up(seen, &window, state)) state->acted_ns = now_ns;
    }
    return (sched_scaler_action){.workers = state->workers,
                                 .batch_scale = (double)(1 << state->doublings),
                                 .is_everything_open = state->is_open};
}

sched_health_action tandem__observe_health(const sched_health_seen *seen) {
    sched_health_action action = {.probe_lanes = 0};
    const bool is_probing = seen->probe_every_ns != UINT64_MAX;
    for (int i = 0; i < seen->lane_count; i++) {
        const sched_health_lane *lane = &seen->lanes[i];
        uint64_t due_ns = lane->probe_at_ns;
        if (due_ns == 0) due_ns = is_probing ? lane->last_done_ns + seen->probe_every_ns : 0;
        const bool is_new = lane->is_up && lane->last_well_ns == 0 && is_probing;
        const bool is_due = due_ns > 0 && due_ns <= seen->now_ns;
        if (lane->is_idle && (is_new || is_due)) action.probe_lanes |= 1u << i;
        if (!lane->is_up || lane->last_well_ns == 0) continue;
        if (!is_probing || seen->now_ns - lane->last_well_ns < READY_PROBES * seen->probe_every_ns)
            action.is_ready = true;
    }
    return action;
}

static sched_health_seen look_at_lanes(const sched *scheduler, uint64_t now_ns) {
    sched_health_seen seen = {.lane_count = scheduler->lane_count,
                              .probe_every_ns = scheduler->options.probe_every_ns,
                              .now_ns = now_ns};
    for (int i = 0; i < scheduler->lane_count; i++) {
        const sched_lane *lane = &scheduler->lanes[i];
        seen.lanes[i] =
            (sched_health_lane){.is_up = lane->state == SCHED_LANE_UP,
                                .is_idle = lane->state != SCHED_LANE_MISSING && lane->running == 0,
                                .last_done_ns = lane->last_done_ns,
                                .last_well_ns = lane->last_well_ns,
                                .probe_at_ns = lane->probe_at_ns};
    }
    return seen;
}

bool tandem__sched_is_ready(const sched *scheduler, uint64_t now_ns) {
    const sched_health_seen seen = look_at_lanes(scheduler, now_ns);
    return tandem__observe_health(&seen).is_ready;
}

/* Under predict the latency that counts is realtime work's: other work may wait by design. */
static sched_scaler_seen look_at_load(const sched *scheduler, uint64_t now_ns) {
    const bool is_by_rules = scheduler->options.policy != SCHED_PREDICT;
    sched_scaler_seen seen = {.sample = {.at_ns = now_ns, .waiting = scheduler->waiting_jobs},
                              .is_by_rules = is_by_rules,
                              .is_realtime_about =
                                  scheduler->realtime_seen_ns > 0 &&
                                  now_ns - scheduler->realtime_seen_ns < SCHED_REALTIME_MEMORY_NS};
    for (int b = 0; b < SCHED_BANDS; b++) {
        const sched_answered *answered = &scheduler->answered[b];
        seen.sample.texts += answered->texts;
        if (b != SCHED_REALTIME && !is_by_rules) continue;
        seen.sample.requests += answered->requests;
        seen.sample.over_5ms += answered->over_5ms;
        seen.sample.over_10ms += answered->over_10ms;
    }
    for (int i = 0; i < scheduler->lane_count; i++) {
        const sched_lane *lane = &scheduler->lanes[i];
        if (lane->options.lane_class != TANDEM_CLASS_LATENCY) continue;
        const int32_t more = lane->options.slots_max - lane->options.slots;
        if (more > seen.workers_max) seen.workers_max = more;
    }
    return seen;
}

uint32_t tandem__observe(sched_observers *observers, sched *scheduler,
                         const sched_machine_view *machine, uint64_t now_ns) {
    const sched_memory_action memory = tandem__observe_memory(machine, now_ns, &observers->memory);
    const sched_scaler_seen load = look_at_load(scheduler, now_ns);
    const sched_scaler_action scale = tandem__observe_scaler(&load, &observers->scaler);
    const sched_health_seen lanes = look_at_lanes(scheduler, now_ns);
    const sched_health_action health = tandem__observe_health(&lanes);
    scheduler->speed_percent =
        tandem__observe_thermal(machine->speed_percent, now_ns, &observers->thermal);
    scheduler->memory_scale = memory.memory_scale;
    scheduler->is_shedding = memory.is_shedding;
    scheduler->batch_scale = scale.batch_scale;
    scheduler->is_everything_open = scale.is_everything_open;
    for (int i = 0; i < scheduler->lane_count; i++) {
        sched_lane *lane = &scheduler->lanes[i];
        int32_t slots = lane->options.slots;
        if (lane->options.lane_class == TANDEM_CLASS_LATENCY) slots += scale.workers;
        if (slots > lane->options.slots_max) slots = lane->options.slots_max;
        lane->slots = memory.is_one_in_flight ? 1 : slots;
    }
    for (int i = 0; i < scheduler->lane_count; i++) {
        sched_lane *lane = &scheduler->lanes[i];
        if ((health.probe_lanes & (1u << i)) != 0 && lane->probe_at_ns == 0)
            lane->probe_at_ns = now_ns;
    }
    observers->memory_level = memory.level;
    observers->cache_scale = memory.cache_scale;
    return health.probe_lanes;
}
