/* SPDX-License-Identifier: Apache-2.0 */
/* The real scheduler over simulated lanes in virtual time: what a machine would answer, before it
 * is bought. A day of traffic takes seconds; the same options and seed give the same report.
 *
 *     tandem_simulation_options options = {.load = 0.8, .realtime = 0.2, .requests = 100000};
 *     tandem_simulation_report report;
 *     if (tandem_simulate(&options, &report, &err)) ...
 *
 * Any thread; each call is a simulation of its own. */
#ifndef TANDEM_SIMULATE_H
#define TANDEM_SIMULATE_H

#include <stdbool.h>
#include <stdint.h>

#include "tandem/status.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct tandem_simulation_options {
    /* "guide-mac" (NULL as well: ane 2.7 ms a text, metal 4.7, cpu 11.4), or a JSON file:
     * {"text_tokens":32,"lanes":[{"name":"ane","class":"latency","base_ms":0,"text_ms":2.7,
     * "token_ms":0,"texts_max":1,"slots":1,"jitter":0,"rules_limit":1}]} */
    const char *machine;
    const char *policy; /* "predict" (NULL as well), "rules", "rules-simple" */
    const char *faults; /* NULL, or a JSON file: [{"at_ms":500,"lane":"ane","fault":"dead",
                         * "for_ms":2000}]; dead, fail (share), nan (share), hang, slow (factor),
                         * heat (percent) */
    double load;        /* texts offered, as a share of the lanes' joint capacity; > 0 */
    double realtime;    /* share of the texts that are realtime, one a request */
    double background;  /* ... background */
    int32_t batch;      /* texts of a request that is not realtime; 0 = 1 */
    int64_t requests;   /* to offer; 0 = 100000 */
    uint64_t seed;
    double deadline_ms;       /* of realtime requests; 0 = none */
    double cancelled;         /* share of the requests that are cancelled at some time */
    double mistaken;          /* the lanes' tables are wrong by this factor at the start; 0 = 1 */
    double warmup_ms;         /* answers before this are not measured */
    double tokens_max;        /* bound on waiting tokens; 0 = the engine's */
    double background_age_ms; /* most that background work may wait; 0 = the engine's */
    bool is_bursty;  /* two-state Poisson: 3x for 100 ms, 0.5x for 400 ms, exponential stays */
    bool is_checked; /* every invariant asserted at every event: slow */
    const bool *lanes_out; /* [lanes] NULL, or lanes that the machine lacks */
} tandem_simulation_options;

#define TANDEM_SIMULATION_LANES 8

typedef struct tandem_simulation_lane {
    char name[16];
    double utilisation; /* busy time over time over slots */
    int64_t texts;
    int64_t batches;
    int64_t times_out;
} tandem_simulation_lane;

typedef struct tandem_simulation_report {
    double load;
    double capacity_per_s; /* texts, of all lanes together */
    double offered_per_s;  /* texts */
    double answered_per_s;
    double seconds; /* virtual */
    double realtime_p50_ms;
    double realtime_p95_ms;
    double realtime_max_ms;
    double standard_p95_ms;
    double standard_max_ms;
    double background_p95_ms;
    double background_max_ms;
    double all_p95_ms;
    double first_quarter_p95_ms; /* of all, by arrival: a load that is sustained has them alike */
    double last_quarter_p95_ms;
    int64_t offered; /* requests */
    int64_t answered;
    int64_t refused; /* with a time to retry */
    int64_t expired; /* deadline */
    int64_t cancelled;
    int64_t dropped;   /* no lane was left to compute it */
    int64_t failed;    /* texts that no lane could compute */
    int64_t lost;      /* requests that never ended: must be 0 */
    int64_t doubled;   /* that ended twice: must be 0 */
    int64_t queue_max; /* most waiting requests */
    int32_t lane_count;
    tandem_simulation_lane lanes[TANDEM_SIMULATION_LANES];
} tandem_simulation_report;

/* TANDEM_INVALID names an option out of range, TANDEM_FORMAT a field of a file. */
TANDEM_API tandem_status tandem_simulate(const tandem_simulation_options *options,
                                         tandem_simulation_report *report,
                                         tandem_error *err) TANDEM_NODISCARD;

#ifdef __cplusplus
}
#endif
#endif
