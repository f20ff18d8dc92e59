/* SPDX-License-Identifier: Apache-2.0 */
/* An engine whose lanes ane, metal and cpu are simulated, in real time, over the tiny model. */
#ifndef TANDEM_TESTS_SUPPORT_SIM_LANES_H
#define TANDEM_TESTS_SUPPORT_SIM_LANES_H

#include "backend/sim/sim.h"
#include "tandem/tandem.h"

#define SIM_LANES 3

/* Microseconds a text on ane, metal, cpu; negative = the machine lacks the lane. Lanes are well
 * when an engine opens, unless sim_engine_broken said otherwise. */
tandem_engine *sim_engine_open(const double text_us[SIM_LANES],
                               const tandem_engine_options *options);

/* The lane cannot be opened; -1 = all can. */
void sim_engine_broken(int lane);

/* The longest text that lane ane takes in engines opened from now on; 0 = any. */
void sim_engine_longest(int32_t tokens);

/* Of the engine opened last: what is wrong with a lane from now on. */
void sim_engine_fault(int lane, const tandem_sim_fault *fault);

#endif
