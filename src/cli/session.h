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
    tandem_result result; /* of the last request */
    const char *cut_hint; /* how to keep a text whole; NULL = by --long split */
    uint64_t cut_count;   /* texts that lost tokens */
    uint64_t text_count;
    uint64_t token_count;
    uint64_t infer_ns;
    bool is_lane_said;
} cli_session;

tandem_status cli_session_open(cli_session *session, const cli_settings *settings,
                               tandem_error *err) TANDEM_NODISCARD;

/* What a command asks of a model. */
typedef enum cli_need {
    CLI_NEED_EMBEDDING = 0,
    CLI_NEED_SPARSE = 1,
    CLI_NEED_CLASSIFIER = 2,
    CLI_NEED_RELEVANCE = 3, /* a classifier of one label, or embeddings of any kind */
} cli_need;

/* TANDEM_UNSUPPORTED that names the model, what it has, and the command that is for it. */
tandem_status cli_session_demand(const cli_session *session, cli_need need,
                                 tandem_error *err) TANDEM_NODISCARD;

/* The request that the settings make of the input's chunk; a command changes it to its task. */
tandem_request cli_session_request(const cli_session *session, const cli_input *input);

/* The request's result in session->result. A text that fails is an error that names its line in
 * `input`. */
tandem_status cli_session_infer(cli_session *session, const cli_input *input,
                                const tandem_request *request, tandem_error *err) TANDEM_NODISCARD;

/* Both: vectors of the input's chunk. */
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
