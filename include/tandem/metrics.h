/* SPDX-License-Identifier: Apache-2.0 */
/* What an engine observes: whether it is ready, and how hot the machine is.
 *
 * Any thread. */
#ifndef TANDEM_METRICS_H
#define TANDEM_METRICS_H

#include "tandem/engine.h"

#ifdef __cplusplus
extern "C" {
#endif

/* True if a lane has computed something within the last half minute, a request or a probe of one
 * token: the first question starts a thread that probes lanes which are idle, so that an engine
 * without traffic is ready some milliseconds later. False while the engine drains. */
TANDEM_API bool tandem_engine_is_ready(tandem_engine *engine);

/* Tells the engine how fast the machine may run, in percent: 100 is not throttled, below 90 it is
 * (the load is then spread over the lanes by their rates). For callers that know more than the
 * engine, which asks the processor's frequency limit and the system's thermal zones itself; 0 or
 * anything else out of range gives it back to those. The environment's TANDEM_SPEED_LIMIT does the
 * same from the start. */
TANDEM_API void tandem_engine_set_speed_limit(tandem_engine *engine, int32_t percent);

#ifdef __cplusplus
}
#endif
#endif
