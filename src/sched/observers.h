/* SPDX-License-Identifier: Apache-2.0 */
/* Four observers that read what is measured and turn bounded knobs of the scheduler:
 *
 *     memory    available, cgroup's limit, PSI  → cache, batch size, batches in flight, shedding
 *     thermal   speed in percent                → speed_percent: below 90 load is spread
 *     scaler    p95, texts a second, queue      → latency slots, batch_scale, is_everything_open
 *     health    when each lane last computed    → probes, readiness
 *
 * Each is a pure function (observation, state) → action: the state is its only memory, the time is
 * part of the observation. tandem__observe gathers the observations from a scheduler, calls all
 * four and applies their actions; the engine's watch thread calls it in real time, the simulation
 * in virtual time. Up is quick, down is slow: a knob goes back only after its cause has been gone
 * for seconds, so that none swings. */
#ifndef TANDEM_SCHED_OBSERVERS_H
#define TANDEM_SCHED_OBSERVERS_H

#include "sched/sched.h"

#define OBSERVE_EVERY_NS ((uint64_t)100000000)

/* What the machine says; each -1 where it does not. */
typedef struct sched_machine_view {
    int64_t memory_bytes;           /* all, or the control group's limit */
    int64_t memory_available_bytes; /* ... that can be had without swapping */
    double memory_stall_percent;    /* of the last 10 s that some task waited for memory */
    int32_t speed_percent;          /* 100 = not throttled, < 90 = throttled */
} sched_machine_view;

typedef struct sched_memory_state {
    int32_t level;
    uint64_t calm_ns; /* since when a lower level would do; 0 = it would not */
} sched_memory_state;

typedef struct sched_memory_action {
    int32_t level;       /* 0 enough, 1 smaller cache, 2 smaller batches as well, 3 one in flight
                            as well, 4 background work shed as well */
    double cache_scale;  /* of the cache's bytes: 1, 1/4, 0 */
    double memory_scale; /* of a batch's tokens: 1, 1/4 */
    bool is_one_in_flight;
    bool is_shedding;
} sched_memory_action;

sched_memory_action tandem__observe_memory(const sched_machine_view *seen, uint64_t now_ns,
                                           sched_memory_state *state);

typedef struct sched_thermal_state {
    bool is_throttled;
    uint64_t calm_ns;
} sched_thermal_state;

/* The percent that the scheduler should reckon with. */
int32_t tandem__observe_thermal(int32_t percent, uint64_t now_ns, sched_thermal_state *state);

#define SCALER_SAMPLES 11 /* a second of observations every 100 ms */

/* Sums since the scheduler was opened, so that any two make a window. */
typedef struct sched_scaler_sample {
    uint64_t at_ns;
    uint64_t texts;    /* answered */
    uint64_t requests; /* answered, of those whose latency counts */
    uint64_t over_5ms; /* ... of these */
    uint64_t over_10ms;
    int64_t waiting; /* requests, now */
} sched_scaler_sample;

typedef struct sched_scaler_seen {
    sched_scaler_sample sample;
    bool is_by_rules;       /* the guide's thresholds to the letter */
    bool is_realtime_about; /* some came in the last seconds */
    int32_t workers_max;    /* batches in flight that could be added to the latency class */
} sched_scaler_seen;

typedef struct sched_scaler_state {
    sched_scaler_sample samples[SCALER_SAMPLES]; /* a ring */
    uint32_t count;                              /* ever put there */
    int32_t workers;                             /* added */
    int32_t doublings;                           /* of batches */
    bool is_open;
    uint64_t acted_ns;
    uint64_t calm_workers_ns;
    uint64_t calm_batches_ns;
    uint64_t calm_open_ns;
} sched_scaler_state;

typedef struct sched_scaler_action {
    int32_t workers;    /* to add to the latency class */
    double batch_scale; /* 1, 2, 4 */
    bool is_everything_open;
} sched_scaler_action;

sched_scaler_action tandem__observe_scaler(const sched_scaler_seen *seen,
                                           sched_scaler_state *state);

typedef struct sched_health_lane {
    bool is_up;
    bool is_idle;
    uint64_t last_done_ns; /* any batch or probe */
    uint64_t last_well_ns; /* a good one; 0 = never */
    uint64_t probe_at_ns;  /* 0 = by the schedule */
} sched_health_lane;

typedef struct sched_health_seen {
    sched_health_lane lanes[SCHED_LANES_MAX];
    int32_t lane_count;
    uint64_t probe_every_ns; /* UINT64_MAX = never */
    uint64_t now_ns;
} sched_health_seen;

typedef struct sched_health_action {
    uint32_t probe_lanes; /* bits: should be asked for a batch, they will probe */
    bool is_ready;        /* a lane has computed something lately */
} sched_health_action;

/* Without a state: the lanes' times are all it needs. */
sched_health_action tandem__observe_health(const sched_health_seen *seen);

typedef struct sched_observers {
    sched_memory_state memory;
    sched_thermal_state thermal;
    sched_scaler_state scaler;
    int32_t memory_level; /* what was decided last */
    double cache_scale;   /* ... for the engine, whose cache it is */
} sched_observers;

/* tandem__observe_health's answer alone. */
bool tandem__sched_is_ready(const sched *scheduler, uint64_t now_ns);

/* Runs all four and turns the knobs. Returns the lanes that should be asked, as bits. */
uint32_t tandem__observe(sched_observers *observers, sched *scheduler,
                         const sched_machine_view *machine, uint64_t now_ns);

#endif
