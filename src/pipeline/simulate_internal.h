/* SPDX-License-Identifier: Apache-2.0 */
/* What a simulation is made of: the machine, what befalls it, and the traffic. */
#ifndef TANDEM_PIPELINE_SIMULATE_INTERNAL_H
#define TANDEM_PIPELINE_SIMULATE_INTERNAL_H

#include "backend/sim/sim.h"
#include "base/chance.h"
#include "sched/sched.h"
#include "tandem/simulate.h"

#define SIMULATE_FAULTS_MAX 256
#define SIMULATE_NAME_BYTES 16

typedef struct simulate_lane {
    char name[SIMULATE_NAME_BYTES];
    tandem_lane_class lane_class;
    double base_ns;
    double text_ns;
    double token_ns;
    double jitter;
    int32_t texts_max;
    int32_t slots;
    int32_t slots_max; /* batches in flight that the scaler may go up to */
    int32_t rules_limit;
} simulate_lane;

typedef struct simulate_machine {
    simulate_lane lanes[TANDEM_SIMULATION_LANES];
    int32_t lane_count;
    int32_t text_tokens;
} simulate_machine;

typedef enum simulate_fault_kind {
    SIMULATE_WELL = 0,
    SIMULATE_DEAD = 1,
    SIMULATE_FAIL = 2,
    SIMULATE_NAN = 3,
    SIMULATE_HANG = 4,
    SIMULATE_SLOW = 5,
    SIMULATE_HEAT = 6,
} simulate_fault_kind;

/* A lane from a moment on; ends with a SIMULATE_WELL of its own. */
typedef struct simulate_fault {
    uint64_t at_ns;
    int32_t lane;
    simulate_fault_kind kind;
    double value; /* share, factor or percent */
} simulate_fault;

typedef struct simulate_faults {
    simulate_fault list[SIMULATE_FAULTS_MAX]; /* by time */
    int32_t count;
} simulate_faults;

/* Arrivals of a Poisson process, of two states where it is bursty. */
typedef struct simulate_traffic {
    tandem_random random;
    double rate_per_ns; /* requests, mean */
    bool is_bursty;
    bool is_burst;
    double state_end_ns;
    double now_ns;
} simulate_traffic;

/* `name` is NULL, "guide-mac" or a file. */
tandem_status tandem__simulate_machine(const char *name, simulate_machine *machine,
                                       tandem_error *err) TANDEM_NODISCARD;

/* `path` may be NULL: none. */
tandem_status tandem__simulate_faults(const char *path, const simulate_machine *machine,
                                      simulate_faults *faults, tandem_error *err) TANDEM_NODISCARD;

/* Texts a second of one lane with full batches. */
double tandem__simulate_lane_rate(const simulate_machine *machine, const simulate_lane *lane);

void tandem__simulate_traffic_init(simulate_traffic *traffic, double rate_per_s, bool is_bursty,
                                   uint64_t seed);

/* The next arrival. */
uint64_t tandem__simulate_arrival(simulate_traffic *traffic);

#endif
