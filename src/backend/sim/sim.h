/* SPDX-License-Identifier: Apache-2.0 */
/* A lane without a device: it answers after the time that its description says, and fails as it is
 * told. Behind the same interface as every other lane, so that the scheduler and the engine are
 * tested with lanes that die, hang, slow down and lie. It is in no table of backends: nothing but
 * tests and simulations opens it.
 *
 * Time is what `clock` says. A virtual clock does not move by itself: then the driver asks when a
 * ticket will be done (tandem__sim_done_ns) and goes there. With a real clock, wait sleeps. */
#ifndef TANDEM_BACKEND_SIM_SIM_H
#define TANDEM_BACKEND_SIM_SIM_H

#include "backend/backend.h"

typedef uint64_t tandem_sim_clock(void *context);

/* A batch of B sequences, T tokens takes base + B * text + T * token, times (1 + jitter * n) for a
 * normal n (cut at 3, never under half), times `slow`. */
typedef struct tandem_sim_options {
    const char *name;
    tandem_lane_class lane_class;
    double base_ns;
    double text_ns;
    double token_ns;
    double jitter;
    int32_t tokens_max;
    int32_t sequences_max;
    int32_t in_flight_max;
    const int32_t *buckets; /* as in tandem_capabilities; a longer sequence fails the batch */
    int32_t bucket_count;
    int32_t width; /* floats of a result */
    uint64_t seed;
    tandem_sim_clock *clock;
    void *clock_context;
} tandem_sim_options;

/* What is wrong with it; all zero (and slow 1) is well. */
typedef struct tandem_sim_fault {
    double slow;       /* times its service time; 0 = 1 */
    double fail_share; /* of batches that fail with TANDEM_DEVICE, at once where it is 1 */
    double nan_share;  /* of sequences that come back as NaN */
    bool is_hung;      /* batches handed in from now on are never done */
} tandem_sim_fault;

extern const tandem_backend tandem__backend_sim; /* open is not for it: use tandem__sim_open */

tandem_status tandem__sim_open(const tandem_sim_options *options, tandem_lane **lane,
                               tandem_error *err) TANDEM_NODISCARD;

/* Holds for batches handed in from now on. */
void tandem__sim_fault(tandem_lane *lane, const tandem_sim_fault *fault);

/* When the ticket's batch will be done; UINT64_MAX = never. */
uint64_t tandem__sim_done_ns(const tandem_lane *lane, tandem_ticket ticket);

#endif
