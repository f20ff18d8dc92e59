/* SPDX-License-Identifier: Apache-2.0 */
/* The whole server at one time, out of its engines and its own statistics: what GET /metrics and
 * GET /lanes both tell. Costs some tens of microseconds a model. */
#ifndef TANDEM_SERVER_OVERVIEW_H
#define TANDEM_SERVER_OVERVIEW_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/process.h"
#include "server/catalog.h"
#include "server/ledger.h"
#include "server/stats_state.h"
#include "tandem/engine.h"
#include "tandem/metrics.h"

/* Of what was answered in the last minute. */
typedef struct server_minute {
    uint64_t count;
    double p50_ms;
    double p95_ms;
    double p99_ms;
} server_minute;

typedef struct server_lane_view {
    tandem_lane_info info;
    tandem_lane_metrics metrics; /* all zero where the lane is not open */
    server_minute minute;
    uint64_t requests; /* that it answered, since the start */
    uint64_t fallbacks;
    double total_s; /* summed over those requests */
} server_lane_view;

typedef struct server_model_view {
    const server_model *model;
    const server_model_stats *stats;
    tandem_metrics metrics; /* targets are those of the last minute, see overview.c */
    server_lane_view lanes[TANDEM_LANES_MAX];
    int lane_count;
    server_minute minute;
    server_minute bands[TANDEM_BANDS];
    uint64_t failed; /* with 500 and over, the last minute */
    bool is_ready;
} server_model_view;

typedef struct server_overview {
    const server_catalog *catalog;
    const server_stats *stats;
    server_model_view *models; /* [catalog->count] */
    tandem_process process;
    tandem_machine machine;
    int64_t uptime_s;
    bool is_draining;
    bool has_ledger;
    char ledger_fault[240]; /* why usage cannot be written; "" = it can */
    server_ledger_state ledger;
} server_overview;

/* Everything in `arena`; TANDEM_MEMORY. Any thread. */
tandem_status server_overview_make(const server_catalog *catalog, tandem_arena *arena,
                                   server_overview *overview, tandem_error *err) TANDEM_NODISCARD;

/* "realtime", "standard", "background"; static. */
const char *server_band_word(int band);

#endif
