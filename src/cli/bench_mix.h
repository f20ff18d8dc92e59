/* SPDX-License-Identifier: Apache-2.0 */
/* A traffic file and its replay.
 *
 *     bench_mix_file.c    reads the file
 *     bench_mix_replay.c  plays it to an engine
 *     bench_mix.c         plays it on each lane, and on all together, and says what came of it
 *
 * A line of the file is a request: AT_MS TOKENS [PRIORITY [DEADLINE_MS]], with # comments and blank
 * lines between. AT_MS counts from the start and never falls. The replay is open-loop: a request is
 * handed in at its time whether or not earlier ones are answered, and its latency counts from then,
 * so that a lane that falls behind cannot hide it. */
#ifndef TANDEM_CLI_BENCH_MIX_H
#define TANDEM_CLI_BENCH_MIX_H

#include <pthread.h>

#include "base/buffer.h"
#include "cli/session.h"
#include "tandem/engine.h"
#include "tandem/metrics.h"

typedef struct cli_mix_request {
    double at_ms;
    int32_t tokens;
    int32_t priority;   /* lower first: realtime -10, standard 0, background 10 */
    double deadline_ms; /* from at_ms; 0 = none */
} cli_mix_request;

typedef struct cli_mix {
    const char *path;
    const cli_mix_request *requests; /* [count], by rising at_ms */
    size_t count;
    int64_t tokens;     /* of all */
    int32_t tokens_max; /* of one */
    tandem_buffer memory;
} cli_mix;

/* Reads `path`. A request may have 1 to `positions` tokens. Errors name the
 * line. End it with cli_mix_deinit, also after a failure. */
tandem_status cli_mix_load(const char *path, int32_t positions, cli_mix *mix,
                           tandem_error *err) TANDEM_NODISCARD;
void cli_mix_deinit(cli_mix *mix);

struct cli_replay;

/* How one request ended. */
typedef struct cli_mix_answer {
    struct cli_replay *replay;
    uint64_t due_ns;
    double latency_ms;
    tandem_status status;
    bool is_taken; /* not refused at once */
} cli_mix_answer;

typedef struct cli_replay {
    const cli_mix *mix;
    tandem_engine *engine;
    const char *lane;        /* NULL: the engine decides */
    const int32_t *ids;      /* [mix->tokens_max] */
    cli_mix_answer *answers; /* [mix->count] */
    const char *dtype;       /* that the lane computed in */
    uint64_t start_ns;
    uint64_t end_ns; /* last answer */
    tandem_metrics before;
    tandem_metrics after;
    pthread_mutex_t mutex; /* of what follows, of end_ns and the answers */
    pthread_cond_t done;
    size_t left;
    tandem_error failure; /* of the first request that was not answered */
} cli_replay;

/* Plays the file once, after a request that warms the lane. Fails only where that one does;
 * requests that are refused, late or failed are told by their answers. */
tandem_status cli_mix_replay(cli_replay *replay, tandem_error *err) TANDEM_NODISCARD;

/* The whole command: loads settings->mix, replays it on the lane that was asked for or on each,
 * appends a table and one JSON object. `session` is opened and left to the caller to close. */
tandem_status cli_bench_mix(cli_session *session, const cli_settings *settings, tandem_buffer *text,
                            tandem_buffer *json, tandem_error *err) TANDEM_NODISCARD;

#endif
