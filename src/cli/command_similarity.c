/* SPDX-License-Identifier: Apache-2.0 */
/* Cosine of the first text with each of the others. */
#include <string.h>

#include "base/fail.h"
#include "base/json_text.h"
#include "base/mem.h"
#include "cli/cli.h"
#include "cli/input.h"
#include "cli/output.h"
#include "cli/session.h"
#include "cli/sink.h"
#include "cli/vectors.h"

#define AT(field)        offsetof(cli_settings, field)
#define CHUNK_TEXTS      ((size_t)512)
#define CHUNK_BYTES      ((size_t)4 << 20)
#define DIMENSIONS_LIMIT (1 << 20)

/* clang-format off */
static const cli_option options[] = {
    {CLI_SWITCH, AT(is_json), "json", 0, false, NULL, NULL, 0, 0,
     "a JSON object a line: index, similarity, text"},
    {CLI_INT, AT(dimensions), "dimensions", 0, false, "N", "0", 0, DIMENSIONS_LIMIT,
     "keep the first N of a vector; 0 is the model's own number"},
    {CLI_TEXT, AT(prompt), "prompt", 0, false, "NAME", NULL, 0, 0,
     "the model's prompt of that name goes before each text"},
    {CLI_WORD, AT(long_texts), "long", 0, false, "truncate|split|error", "truncate", 0, 0,
     "a text over --max-length is cut, computed in windows and averaged, or refused"},
};
/* clang-format on */

static const cli_group similarity_group = CLI_GROUP("Output", options);

typedef struct similarity_job {
    const cli_settings *settings;
    cli_input first; /* A alone */
    cli_input input; /* the others */
    cli_session session;
    cli_sink sink;
    float *query; /* [dimensions] of A */
    uint64_t rows;
} similarity_job;

static tandem_status write_row(similarity_job *job, tandem_text text, double value,
                               tandem_error *err) {
    tandem_buffer *out = &job->sink.pending;
    if (job->settings->is_json) {
        TANDEM_TRY(tandem__buffer_printf(
            out, err, "{\"index\":%llu,\"similarity\":", (unsigned long long)job->rows));
        TANDEM_TRY(cli_output_number(out, (float)value, err));
        TANDEM_TRY(tandem__buffer_push(out, ",\"text\":", 8, err));
        TANDEM_TRY(tandem__json_text_string(out, (tandem_str){text.ptr, text.len}, err));
        TANDEM_TRY(tandem__buffer_push(out, "}\n", 2, err));
    } else {
        TANDEM_TRY(tandem__buffer_printf(out, err, "%7.4f\t", value));
        TANDEM_TRY(cli_output_line(out, text, err));
    }
    job->rows++;
    return cli_sink_settle(&job->sink, err);
}

static tandem_status embed_query(similarity_job *job, tandem_error *err) {
    TANDEM_TRY(cli_input_next(&job->first, 1, SIZE_MAX, err));
    TANDEM_TRY(cli_session_embed(&job->session, &job->first, err));
    const size_t n = (size_t)job->session.result.dimensions;
    job->query = tandem__mem_calloc(n, sizeof *job->query);
    if (job->query == NULL) return TANDEM_FAIL(err, MEMORY, "no memory for a vector of %zu", n);
    memcpy(job->query, job->session.result.vectors, n * sizeof *job->query);
    return TANDEM_OK;
}

static tandem_status compare(similarity_job *job, const cli_settings *first_settings,
                             tandem_error *err) {
    TANDEM_TRY(cli_input_open(&job->first, first_settings, 0, err));
    TANDEM_TRY(cli_input_open(&job->input, job->settings, 1, err));
    TANDEM_TRY(cli_session_open(&job->session, job->settings, err));
    TANDEM_TRY(cli_session_demand(&job->session, CLI_NEED_EMBEDDING, err));
    TANDEM_TRY(cli_sink_open(NULL, &job->sink, err));
    TANDEM_TRY(embed_query(job, err));
    for (;;) {
        TANDEM_TRY(cli_input_next(&job->input, CHUNK_TEXTS, CHUNK_BYTES, err));
        if (job->input.count == 0) break;
        TANDEM_TRY(cli_session_embed(&job->session, &job->input, err));
        const tandem_result *result = &job->session.result;
        for (size_t i = 0; i < result->count; i++) {
            const float *row = result->vectors + i * (size_t)result->dimensions;
            TANDEM_TRY(write_row(job, job->input.texts[i],
                                 cli_cosine(job->query, row, result->dimensions), err));
        }
        TANDEM_TRY(cli_sink_flush(&job->sink, err));
    }
    return cli_sink_commit(&job->sink, err);
}

static cli_exit run(const cli_settings *settings) {
    if (cli_input_is_ambiguous(settings, 1)) {
        return cli_usage(&cli_command_similarity, "texts are given as arguments and with --file");
    }
    /* A alone, as an input of one argument. */
    cli_settings first_settings = *settings;
    first_settings.arg_count = 1;
    first_settings.file = NULL;
    similarity_job job = {.settings = settings};
    tandem_error err = {0};
    const tandem_status status = compare(&job, &first_settings, &err);
    if (status == TANDEM_OK) cli_session_report(&job.session);
    tandem__mem_free(job.query);
    cli_sink_close(&job.sink);
    cli_session_close(&job.session);
    cli_input_close(&job.input);
    cli_input_close(&job.first);
    return status == TANDEM_OK ? CLI_DONE : cli_fail(&err);
}

const cli_command cli_command_similarity = {
    .name = "similarity",
    .usage = "[OPTION]... A [B]...",
    .summary = "Say how close the meaning of texts is to the first one",
    .details = "Prints the cosine of A with each B and, after a tab, B. Without a B, the texts\n"
               "are the lines of --file or of standard input.\n",
    .example = "  tandem similarity 'A cat sleeps' 'A kitten naps' 'Stocks fell'\n",
    .args_min = 1,
    .args_max = INT32_MAX,
    .groups = {&cli_group_input, &similarity_group, &cli_group_model, &cli_group_common},
    .run = run,
};
