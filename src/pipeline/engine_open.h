/* SPDX-License-Identifier: Apache-2.0 */
/* An engine over given backends instead of the machine's, for tests with simulated lanes, and with
 * what several engines share. */
#ifndef TANDEM_PIPELINE_ENGINE_OPEN_H
#define TANDEM_PIPELINE_ENGINE_OPEN_H

#include "backend/backend.h"
#include "pipeline/share.h"
#include "tandem/engine.h"

/* As tandem_engine_open. `backends` are [count], at most TANDEM_LANES_MAX, borrowed until the
 * engine closes. */
tandem_status tandem__engine_open_with(const tandem_engine_options *options,
                                       const tandem_backend *const *backends, int count,
                                       pipeline_share *share, tandem_engine **engine,
                                       tandem_error *err) TANDEM_NODISCARD;

#endif
