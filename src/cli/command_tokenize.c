/* SPDX-License-Identifier: Apache-2.0 */
/* Texts to token ids. Needs the model's tokenizer.json alone, no weights. */
#include <stdio.h>
#include <string.h>

#include "base/fail.h"
#include "base/file.h"
#include "base/json_text.h"
#include "cli/cli.h"
#include "cli/input.h"
#include "cli/session.h"
#include "cli/sink.h"
#include "tandem/engine.h"
#include "tandem/tokenizer.h"

#define CHUNK_TEXTS ((size_t)1024)
#define CHUNK_BYTES ((size_t)4 << 20)

typedef struct tokenize_job {
    const cli_settings *settings;
    tandem_tokenizer *tokenizer;
    tandem_encoding encoding;
    cli_input input;
    cli_sink sink;
    uint64_t cut_count;
} tokenize_job;

static tandem_status open_tokenizer(tokenize_job *job, tandem_error *err) {
    char folder[TANDEM_PATH_MAX];
    char path[TANDEM_PATH_MAX];
    TANDEM_TRY(tandem_model_locate(job->settings->model, folder, sizeof folder, err));
    TANDEM_TRY(tandem__path_join(folder, "tokenizer.json", path, err));
    return tandem_tokenizer_open(path, &job->tokenizer, err);
}

static tandem_status push_spans(tandem_buffer *out, const char *name, const tandem_span *spans,
                                int32_t count, tandem_error *err) {
    TANDEM_TRY(tandem__buffer_printf(out, err, ",\"%s\":[", name));
    for (int32_t i = 0; i < count; i++) {
        TANDEM_TRY(tandem__buffer_printf(out, err, "%s[%d,%d]", i == 0 ? "" : ",", spans[i].start,
                                         spans[i].end));
    }
    return tandem__buffer_push(out, "]", 1, err);
}

static tandem_status push_row(tokenize_job *job, tandem_error *err) {
    const tandem_encoding *encoding = &job->encoding;
    tandem_buffer *out = &job->sink.pending;
    TANDEM_TRY(tandem__buffer_push(out, "{\"ids\":[", 8, err));
    for (int32_t i = 0; i < encoding->count; i++) {
        TANDEM_TRY(tandem__buffer_printf(out, err, "%s%d", i == 0 ? "" : ",", encoding->ids[i]));
    }
    TANDEM_TRY(tandem__buffer_push(out, "],\"tokens\":[", 12, err));
    for (int32_t i = 0; i < encoding->count; i++) {
        size_t len = 0;
        const char *token = tandem_encoding_token(encoding, job->tokenizer, i, &len);
        if (i > 0) TANDEM_TRY(tandem__buffer_push(out, ",", 1, err));
        TANDEM_TRY(tandem__json_text_string(
            out, token == NULL ? TANDEM_STR("") : (tandem_str){token, len}, err));
    }
    TANDEM_TRY(tandem__buffer_push(out, "]", 1, err));
    TANDEM_TRY(push_spans(out, "offsets", encoding->chars, encoding->count, err));
    TANDEM_TRY(push_spans(out, "byte_offsets", encoding->bytes, encoding->count, err));
    TANDEM_TRY(tandem__buffer_push(out, "}\n", 2, err));
    return cli_sink_settle(&job->sink, err);
}

static tandem_status tokenize_text(tokenize_job *job, size_t i, tandem_error *err) {
    const tandem_encode_options options = {
        .max_length = (int32_t)job->settings->max_length,
        .want = TANDEM_WANT_OFFSETS,
    };
    const tandem_text text = job->input.texts[i];
    tandem_error cause = {0};
    const tandem_status status = tandem_tokenizer_encode(job->tokenizer, text.ptr, text.len, NULL,
                                                         0, &options, &job->encoding, &cause);
    if (status != TANDEM_OK) return cli_input_fail(&job->input, i, status, cause.message, err);
    if (job->encoding.dropped > 0) {
        const tandem_text_result cut = {.tokens = job->encoding.count,
                                        .dropped = job->encoding.dropped};
        cli_cut_say(&job->input, i, &cut, "without --max-length nothing is", &job->cut_count);
    }
    return push_row(job, err);
}

static tandem_status tokenize(tokenize_job *job, tandem_error *err) {
    TANDEM_TRY(cli_input_open(&job->input, job->settings, 0, err));
    TANDEM_TRY(open_tokenizer(job, err));
    TANDEM_TRY(cli_sink_open(NULL, &job->sink, err));
    for (;;) {
        TANDEM_TRY(cli_input_next(&job->input, CHUNK_TEXTS, CHUNK_BYTES, err));
        if (job->input.count == 0) break;
        for (size_t i = 0; i < job->input.count; i++) TANDEM_TRY(tokenize_text(job, i, err));
        TANDEM_TRY(cli_sink_flush(&job->sink, err));
    }
    return cli_sink_commit(&job->sink, err);
}

static cli_exit run(const cli_settings *settings) {
    if (cli_input_is_ambiguous(settings, 0)) {
        return cli_usage(&cli_command_tokenize, "texts are given as arguments and with --file");
    }
    tokenize_job job = {.settings = settings};
    tandem_error err = {0};
    const tandem_status status = tokenize(&job, &err);
    if (status == TANDEM_OK) cli_cuts_end(settings, job.cut_count);
    cli_sink_close(&job.sink);
    tandem_encoding_deinit(&job.encoding);
    tandem_tokenizer_close(job.tokenizer);
    cli_input_close(&job.input);
    return status == TANDEM_OK ? CLI_DONE : cli_fail(&err);
}

const cli_command cli_command_tokenize = {
    .name = "tokenize",
    .usage = "[OPTION]... [TEXT]...",
    .summary = "Turn texts into token ids",
    .details = "A jsonl row a text, special tokens included: ids, tokens, offsets (in\n"
               "characters) and byte_offsets. Input is as in embed. Nothing is cut without\n"
               "--max-length.\n",
    .example = "  tandem tokenize 'Hello, world'\n",
    .args_max = INT32_MAX,
    .groups = {&cli_group_input, &cli_group_tokenizer, &cli_group_common},
    .run = run,
};
