/* SPDX-License-Identifier: Apache-2.0 */
/* The metal lane on the simulated device: opening, running, comparing with the reference. Failures
 * fail the test. */
#ifndef TANDEM_TESTS_APPLE_METAL_MODELS_H
#define TANDEM_TESTS_APPLE_METAL_MODELS_H

#include "backend/metal/metal_lane.h"
#include "backend/random_plan.h"
#include "metal_sim.h"

/* Small models whose plans have every flag between them. */
#define METAL_SHAPES 11
extern const random_shape metal_shapes[METAL_SHAPES];

tandem_lane *metal_open(const tandem_plan *plan, int tokens_max, int sequences_max,
                        int in_flight_max);

/* [rows, width] of the output; the caller's. */
float *metal_run(tandem_lane *lane, const tandem_plan *plan, const tandem_batch *batch,
                 tandem_output output);

/* Fails unless every row points where the reference's does: cosine of each row at least 0.999, of
 * all on average 0.9999, the bounds of f16 (the lane's own rounding at each of some ten steps a
 * layer is 2^-11). */
void metal_compare(const char *what, const tandem_plan *plan, const tandem_batch *batch,
                   tandem_output output, const float *got);

/* Stops the simulated device; fails on a leak or on misuse. */
void metal_stop(void);

/* A test's teardown: stops the device that a failed test has left running, so that the next one
 * begins on a new one. */
int metal_tear_down(void **state);

#endif
