/* SPDX-License-Identifier: Apache-2.0 */
/* A traffic file and its replay.
 *
 *     bench_mix_file.c   reads the file
 *     bench_mix.c        replays it on each lane and says what came of it
 *
 * A line of the file is a request: AT_MS TOKENS [PRIORITY], with # comments and blank lines
 * between. AT_MS counts from the start and never falls. The replay is open-loop: a request is due
 * at its time whether or not earlier ones are answered, and its latency counts from then, so that
 * a lane that falls behind cannot hide it. */
#ifndef TANDEM_CLI_BENCH_MIX_H
#define TANDEM_CLI_BENCH_MIX_H

#include "base/buffer.h"
#include "cli/session.h"
#include "tandem/engine.h"

typedef struct cli_mix_request {
    double at_ms;
    int32_t tokens;
    int32_t priority; /* lower first: realtime -10, standard 0, background 10 */
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

/* The whole command: loads settings->mix, replays it on the lane that was asked for or on each,
 * appends a table and one JSON object. `session` is opened and left to the caller to close. */
tandem_status cli_bench_mix(cli_session *session, const cli_settings *settings, tandem_buffer *text,
                            tandem_buffer *json, tandem_error *err) TANDEM_NODISCARD;

#endif
