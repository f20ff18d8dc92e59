/* SPDX-License-Identifier: Apache-2.0 */
/* Which lanes of an engine serve, and whom a request gets. */
#ifndef TANDEM_PIPELINE_ENGINE_LANES_H
#define TANDEM_PIPELINE_ENGINE_LANES_H

#include "pipeline/pipeline_internal.h"

/* The lane that is named, or the one that takes its place; else every lane that may serve. */
tandem_status tandem__engine_open_lanes(tandem_engine *engine, const char *name,
                                        tandem_error *err) TANDEM_NODISCARD;

/* Sets engine->dtype where it is left open; TANDEM_UNSUPPORTED where the lane lacks it. */
tandem_status tandem__engine_settle_dtype(tandem_engine *engine, const char *lane,
                                          tandem_error *err) TANDEM_NODISCARD;

/* Whether the machine has the lane and nothing went wrong with it, and why not. */
bool tandem__lane_is_usable(const engine_lane *lane);
const char *tandem__lane_reason(const engine_lane *lane);

/* Closes a lane that was opened and takes it out. Before requests. */
void tandem__lane_lost(tandem_engine *engine, engine_lane *lane, const tandem_error *why);

/* The lane that serves `name` ("auto", NULL or a backend's), opened if need be. `reason` of 120
 * bytes is filled. TANDEM_INVALID for an unknown name, TANDEM_DEVICE where it is missing and
 * `fallback` forbids another. */
tandem_status tandem__engine_lane(tandem_engine *engine, const char *name, tandem_fallback fallback,
                                  engine_lane **lane, char *reason,
                                  tandem_error *err) TANDEM_NODISCARD;

/* Sets job->lane and job->home; `reason` stays empty where the scheduler decides. */
tandem_status tandem__engine_route(tandem_engine *engine, const tandem_request *request,
                                   pipeline_job *job, char *reason,
                                   tandem_error *err) TANDEM_NODISCARD;

#endif
