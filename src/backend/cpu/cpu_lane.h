/* SPDX-License-Identifier: Apache-2.0 */
/* The processor's own lane: packed batches, weights packed at open, kernels of src/kernels. */
#ifndef TANDEM_BACKEND_CPU_LANE_H
#define TANDEM_BACKEND_CPU_LANE_H

#include "backend/backend.h"

extern const tandem_backend tandem__backend_cpu;

/* For tests: the clock by which a lane that opens compares the system's sgemm with the kernels.
 * NULL: the real one again. No lane may be opening. */
void tandem__cpu_sgemm_clock(uint64_t (*clock)(void));

#endif
