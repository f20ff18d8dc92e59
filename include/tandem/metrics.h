/* SPDX-License-Identifier: Apache-2.0 */
/* What an engine measures of itself, beside the targets of the guide that it grew out of; whether
 * it is ready; and how hot it takes the machine to be.
 *
 *     tandem_metrics metrics;
 *     tandem_engine_metrics(engine, &metrics);
 *     for (int i = 0; i < metrics.target_count; i++)
 *         printf("%s %g, limit %g: %s\n", metrics.targets[i].name, metrics.targets[i].value,
 *                metrics.targets[i].limit, metrics.targets[i].is_met ? "pass" : "fail");
 *
 * Blocking calls and those that do not block are counted alike. Any thread. */
#ifndef TANDEM_METRICS_H
#define TANDEM_METRICS_H

#include "tandem/engine.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Bands of priority. */
typedef enum tandem_band {
    TANDEM_BAND_REALTIME = 0,   /* priority < 0 */
    TANDEM_BAND_STANDARD = 1,   /* 0 */
    TANDEM_BAND_BACKGROUND = 2, /* > 0 */
} tandem_band;

#define TANDEM_BANDS 3

/* Of the requests that were answered since the engine opened, within 0.8%. */
typedef struct tandem_quantiles {
    uint64_t count;
    double mean_ms;
    double p50_ms;
    double p95_ms;
    double p99_ms;
    double max_ms;
} tandem_quantiles;

typedef struct tandem_band_metrics {
    tandem_quantiles tokenize;
    tandem_quantiles queue; /* from the scheduler's door until a lane starts with it */
    tandem_quantiles infer; /* until its last text is computed */
    tandem_quantiles total; /* from the call until then */
} tandem_band_metrics;

#define TANDEM_BATCH_SIZES 22

typedef struct tandem_lane_metrics {
    const char *name;
    const char *lane_class; /* "latency", "throughput", "background", "none" */
    const char *state;      /* "up", "out" (failed, being probed), "closed" */
    double utilisation;     /* of its batches in flight, the last 10 s, 0 to 1 */
    double busy_ms;         /* since the engine opened, summed over batches in flight */
    uint64_t batches;
    uint64_t texts; /* sequences: windows of long texts count one by one */
    uint64_t tokens;
    double mean_batch;       /* texts */
    uint64_t failed_batches; /* or hung */
    uint64_t times_out;      /* that it went out of service */
    int32_t in_flight;       /* batches, now */
    int32_t in_flight_max;   /* ... that may be */
    /* Of `batches`, those of at most 2^i texts (tokens) and over 2^(i-1); the last: all larger. */
    uint64_t batch_texts[TANDEM_BATCH_SIZES];
    uint64_t batch_tokens[TANDEM_BATCH_SIZES];
} tandem_lane_metrics;

/* One figure that the guide wants tracked, and its limit. */
typedef struct tandem_target {
    char name[32]; /* "latency_p95_ms", "utilisation_cpu" and so on */
    double value;
    double limit;
    bool is_minimum;  /* the value should be over the limit; else under it */
    bool is_measured; /* there was something to measure; else neither met nor missed */
    bool is_met;
} tandem_target;

#define TANDEM_TARGETS_MAX (4 + TANDEM_LANES_MAX)

typedef struct tandem_reason_metrics {
    const char *text; /* as in tandem_result; static */
    uint64_t requests;
} tandem_reason_metrics;

#define TANDEM_REASONS_MAX 16

typedef struct tandem_metrics {
    /* Requests since the engine opened. submitted = finished + those waiting or on a lane. */
    uint64_t submitted;
    uint64_t finished; /* however they ended */
    uint64_t refused;  /* over a bound: never taken in */
    uint64_t late;     /* refused because their deadline could not be met */
    uint64_t expired;  /* deadline passed while they waited */
    uint64_t cancelled;
    uint64_t failed; /* at least one text could not be computed */
    uint64_t texts;  /* of the requests that were answered */
    uint64_t cached; /* answered without a lane: every vector was known */
    uint64_t retried_texts;
    uint64_t hung_batches;

    int64_t waiting; /* requests, now */
    int64_t waiting_tokens;
    double waiting_p95; /* requests that a request found waiting when it came */
    double texts_per_s; /* that lanes computed, the last 10 s */

    tandem_band_metrics bands[TANDEM_BANDS];
    tandem_lane_metrics lanes[TANDEM_LANES_MAX];
    int32_t lane_count;
    tandem_reason_metrics reasons[TANDEM_REASONS_MAX]; /* why requests went where they went */
    int32_t reason_count;

    /* latency_p95_ms < 5 (of realtime requests, of all where there were none), throughput_per_s >
     * 300, utilisation_<lane> < 80, 90 or 70 percent by its class, error_percent < 0.1,
     * queue_depth < 10 (95th percentile). */
    tandem_target targets[TANDEM_TARGETS_MAX];
    int32_t target_count;

    int32_t speed_percent;   /* 100 = not throttled */
    int32_t memory_level;    /* 0 enough, 1 smaller cache, 2 smaller batches, 3 one in flight, 4
                                background    refused */
    double batch_scale;      /* the scaler's: 1, 2 or 4 times the batches */
    bool is_everything_open; /* ... latency lanes take any work */
    bool is_ready;
} tandem_metrics;

/* A snapshot. Takes the scheduler's lock for some microseconds. */
TANDEM_API void tandem_engine_metrics(tandem_engine *engine, tandem_metrics *metrics);

/* Sets is_met from the other fields, after a caller has put its own value in. */
TANDEM_API void tandem_target_judge(tandem_target *target);

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
