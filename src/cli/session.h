/* SPDX-License-Identifier: Apache-2.0 */
/* What commands that compute have in common: an engine opened as the options say, a request made of
 * them, and the words on stderr about texts that were cut and lanes that were replaced. */
#ifndef TANDEM_CLI_SESSION_H
#define TANDEM_CLI_SESSION_H

#include "cli/cli.h"
#include "cli/input.h"
#include "tandem/engine.h"

typedef struct cli_session {
    const cli_settings *settings;
    tandem_engine *engine;
    tandem_result result; /* of the last cli_session_embed */
    uint64_t cut_count;   /* texts that lost tokens */
    uint64_t text_count;
    uint64_t token_count;
    uint64_t infer_ns;
    bool is_lane_said;
} cli_session;

tandem_status cli_session_open(cli_session *session, const cli_settings *settings,
                               tandem_error *err) TANDEM_NODISCARD;

/* Vectors of the input's chunk, in session->result. A text that fails is an error that names its
 * line. */
tandem_status cli_session_embed(cli_session *session, const cli_input *input,
                                tandem_error *err) TANDEM_NODISCARD;

/* Says on stderr that text `i` of the chunk was cut, `*count` texts before it, and how to keep it
 * whole; the first few one by one. Nothing with --quiet. */
void cli_cut_say(const cli_input *input, size_t i, const tandem_text_result *cut, const char *hint,
                 uint64_t *count);

/* How many texts more were cut, where not all were said. */
void cli_cuts_end(const cli_settings *settings, uint64_t count);

/* The last words: how many texts more were cut; with -v what was done. */
void cli_session_report(const cli_session *session);

void cli_session_close(cli_session *session);

#endif
