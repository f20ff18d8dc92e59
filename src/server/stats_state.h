/* SPDX-License-Identifier: Apache-2.0 */
/* How the server's statistics are kept, for what writes them out: metrics_text.c, metrics_tei.c and
 * overview.c. Everybody else uses stats.h. */
#ifndef TANDEM_SERVER_STATS_STATE_H
#define TANDEM_SERVER_STATS_STATE_H

#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

#include "server/recent.h"
#include "server/stats.h"
#include "tandem/metrics.h"

#define SERVER_BUCKETS_MAX 40

/* Upper bounds of a histogram's buckets, in the unit that is shown and in that which is counted. */
typedef struct server_bounds {
    int count;
    double scale; /* shown = counted * scale */
    double shown[SERVER_BUCKETS_MAX];
    uint64_t counted[SERVER_BUCKETS_MAX];
} server_bounds;

typedef struct server_histogram {
    _Atomic uint64_t counts[SERVER_BUCKETS_MAX + 1]; /* the last: over every bound */
    _Atomic uint64_t sum;
} server_histogram;

/* The sets of bounds there are. */
typedef struct server_bounds_set {
    server_bounds tei;     /* times: 1e-5 * 1.5^n seconds, n = 1 to 35 */
    server_bounds time;    /* times, with a bound at the guide's 5 ms */
    server_bounds lengths; /* tokens: powers of two */
} server_bounds_set;

/* The four times of Text Embeddings Inference. */
typedef enum server_stage {
    SERVER_STAGE_TOTAL = 0,
    SERVER_STAGE_TOKENIZE = 1,
    SERVER_STAGE_QUEUE = 2,
    SERVER_STAGE_INFER = 3,
} server_stage;

#define SERVER_STAGES 4

/* What te_request_*, te_embed_* and te_predict_* count. */
typedef struct server_tei_stats {
    _Atomic uint64_t count[2]; /* [is_single] */
    _Atomic uint64_t success[2];
    server_histogram stages[SERVER_STAGES];
} server_tei_stats;

#define SERVER_CODES_MAX 32

typedef struct server_route_stats {
    _Atomic(const server_route *) route;      /* NULL: the place is free */
    _Atomic uint64_t codes[SERVER_CODES_MAX]; /* by server_code_at */
    server_histogram total;
} server_route_stats;

typedef struct server_lane_stats {
    _Atomic uint64_t requests;
    _Atomic uint64_t fallbacks; /* that asked for another lane */
    _Atomic uint64_t total_ns;
    server_recent recent; /* total times */
} server_lane_stats;

typedef struct server_model_stats {
    _Atomic uint64_t requests[TANDEM_BANDS];
    _Atomic uint64_t texts;
    _Atomic uint64_t characters;
    _Atomic uint64_t tokens;
    _Atomic uint64_t truncated;
    _Atomic uint64_t cached;
    server_histogram total[TANDEM_BANDS];
    server_histogram queue[TANDEM_BANDS];
    server_recent recent[TANDEM_BANDS]; /* total times of what was answered */
    server_recent failed;               /* ... with 500 and over */
    server_lane_stats lanes[TANDEM_LANES_MAX];
} server_model_stats;

#define SERVER_ROUTES_MAX 96

struct server_stats {
    server_bounds_set bounds;
    int64_t started_s; /* Unix time */
    _Atomic int64_t gauges[SERVER_GAUGES];
    _Atomic uint64_t events[SERVER_EVENTS];
    _Atomic uint64_t faults[SERVER_FAULTS];
    _Atomic uint64_t tei_faults[SERVER_FAULTS]; /* of requests for a model alone */
    _Atomic uint64_t bytes_in;
    _Atomic uint64_t bytes_out;
    server_tei_stats tei_requests;
    server_tei_stats tei_embed; /* a text each */
    server_tei_stats tei_predict;
    server_histogram lengths;
    server_route_stats routes[SERVER_ROUTES_MAX];  /* [0]: no route */
    _Atomic(const char *) lanes[TANDEM_LANES_MAX]; /* names, in the order they came up */
    server_model_stats models[SERVER_MODELS_MAX];
    struct server_decisions *decisions; /* decisions.h: the last ones */
};

/* The i-th code of server_route_stats.codes: 200 and so on, 0 after the last. Codes that have no
 * place of their own count as 599. */
int server_code_at(size_t i);

/* The place of a lane in `models[].lanes`, -1 where it has served nothing. */
int server_stats_lane(const server_stats *stats, const char *name);

static inline uint64_t server_read(const _Atomic uint64_t *counter) {
    return atomic_load_explicit(counter, memory_order_relaxed);
}

#endif
