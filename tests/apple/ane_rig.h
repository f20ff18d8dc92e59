/* SPDX-License-Identifier: Apache-2.0 */
/* What the tests of the lane `ane` share: a cache folder of their own, a small model, and the lane
 * on the stand-in for Core ML. Failures fail the running test. */
#ifndef TANDEM_TESTS_APPLE_ANE_RIG_H
#define TANDEM_TESTS_APPLE_ANE_RIG_H

#include "apple/coreml_sim.h"
#include "backend/coreml/ane_lane.h"
#include "backend/random_plan.h"

/* Set-up and tear-down of a test: XDG_CACHE_HOME is an empty folder, rig_cache. */
extern char rig_cache[256];
int rig_cache_make(void **state);
int rig_cache_remove(void **state);

/* A BERT of two layers, H 64, F 80, 100 positions. */
extern const random_shape rig_shape;

tandem_status rig_try_open(const tandem_plan *plan, int tokens, int in_flight, tandem_lane **lane,
                           tandem_error *err);

/* With two tickets. */
tandem_lane *rig_open(const tandem_plan *plan, int tokens);

tandem_ticket rig_submit(tandem_lane *lane, const tandem_batch *batch, tandem_output output,
                         float *out);

/* Submits and waits. */
void rig_run(tandem_lane *lane, const tandem_batch *batch, tandem_output output, float *out);

#endif
