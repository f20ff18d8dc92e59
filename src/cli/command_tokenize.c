/* SPDX-License-Identifier: Apache-2.0 */
/* Texts to token ids, and back with --decode. Needs the model's tokenizer.json alone, no weights.
 */
#include <stdio.h>
#include <string.h>

#include "base/fail.h"
#include "base/file.h"
#include "base/json_text.h"
#include "cli/cli.h"
#include "cli/ids.h"
#include "cli/input.h"
#include "cli/session.h"
#include "cli/sink.h"
#include "tandem/engine.h"
#include "tandem/tokenizer.h"

#define AT(field)     offsetof(cli_settings, field)
#define IDS_BYTES_MAX ((size_t)1 << 34)
#define CHUNK_TEXTS   ((size_t)1024)
#define CHUNK_BYTES   ((size_t)4 << 20)

/* clang-format off */
static const cli_option output_options[] = {
    {CLI_SWITCH, AT(is_decoding), "decode", 'd', false, NULL, NULL, 0, 0,
     "turn token ids into texts: numbers, a JSON list or a row with ids on a line"},
    {CLI_SWITCH, AT(skip_special), "skip-special", 0, false, NULL, NULL, 0, 0,
     "leave out special tokens such as [CLS]"},
};
/* clang-format on */

static const cli_group output_group = CLI_GROUP("Output", output_options);

typedef struct tokenize_job {
    const cli_settings *settings;
    tandem_tokenizer *tokenizer;
    tandem_encoding encoding;
    cli_input input;
    cli_sink sink;
    uint64_t cut_count;
    tandem_buffer ids;  /* of the line at hand; --decode */
    tandem_buffer text; /* decoded */
} tokenize_job;

static tandem_status open_tokenizer(tokenize_job *job, tandem_error *err) {
    char folder[TANDEM_PATH_MAX];
    char path[TANDEM_PATH_MAX];
    TANDEM_TRY(tandem_model_locate(job->settings->model, folder, sizeof folder, err));
    TANDEM_TRY(tandem__path_join(folder, "tokenizer.json", path, err));
    TANDEM_TRY(tandem_tokenizer_open(path, &job->tokenizer, err));
    if (!job->settings->is_decoding) return TANDEM_OK;
    /* A decoder that cannot be used is the model's fault and no line's. */
    size_t len = 0;
    return tandem_tokenizer_decode(job->tokenizer, NULL, 0, false, NULL, 0, &len, err);
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
        .skip_special = job->settings->skip_special,
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

/* Every id must be one of the vocabulary: the library would pass over it. */
static tandem_status check_ids(const tokenize_job *job, const int32_t *ids, size_t count,
                               tandem_error *err) {
    for (size_t i = 0; i < count; i++) {
        if (tandem_tokenizer_token(job->tokenizer, ids[i], NULL) != NULL) continue;
        return TANDEM_FAIL(err, INVALID, "no token has the id %d, the vocabulary ends at %d",
                           ids[i], tandem_tokenizer_vocab_size(job->tokenizer) - 1);
    }
    return TANDEM_OK;
}

/* Ids in job->ids to a text in job->text. */
static tandem_status decode_ids(tokenize_job *job, tandem_error *err) {
    const int32_t *const ids = (const void *)job->ids.ptr;
    const size_t count = job->ids.len / sizeof *ids;
    const bool skips = job->settings->skip_special;
    size_t len = 0;
    TANDEM_TRY(check_ids(job, ids, count, err));
    TANDEM_TRY(tandem_tokenizer_decode(job->tokenizer, ids, count, skips, job->text.ptr,
                                       job->text.capacity, &len, err));
    if (len >= job->text.capacity) {
        job->text.len = 0;
        TANDEM_TRY(tandem__buffer_reserve(&job->text, len + 1, err));
        TANDEM_TRY(tandem_tokenizer_decode(job->tokenizer, ids, count, skips, job->text.ptr,
                                           job->text.capacity, &len, err));
    }
    job->text.len = len;
    return TANDEM_OK;
}

static tandem_status decode_line(tokenize_job *job, size_t i, tandem_error *err) {
    const tandem_text line = job->input.texts[i];
    const char *const field = job->settings->field;
    tandem_error cause = {0};
    tandem_status status =
        cli_ids_parse((tandem_str){line.ptr, line.len}, strcmp(field, "text") == 0 ? "ids" : field,
                      &job->ids, &cause);
    if (status == TANDEM_OK) status = decode_ids(job, &cause);
    if (status != TANDEM_OK) return cli_input_fail(&job->input, i, status, cause.message, err);
    tandem_buffer *out = &job->sink.pending;
    TANDEM_TRY(tandem__buffer_push(out, "{\"text\":", 8, err));
    TANDEM_TRY(tandem__json_text_string(out, (tandem_str){job->text.ptr, job->text.len}, err));
    TANDEM_TRY(tandem__buffer_push(out, "}\n", 2, err));
    return cli_sink_settle(&job->sink, err);
}

static tandem_status tokenize(tokenize_job *job, tandem_error *err) {
    TANDEM_TRY(cli_input_open(&job->input, job->settings, 0, err));
    TANDEM_TRY(open_tokenizer(job, err));
    TANDEM_TRY(cli_sink_open(NULL, &job->sink, err));
    for (;;) {
        TANDEM_TRY(cli_input_next(&job->input, CHUNK_TEXTS, CHUNK_BYTES, err));
        if (job->input.count == 0) break;
        for (size_t i = 0; i < job->input.count; i++) {
            TANDEM_TRY(job->settings->is_decoding ? decode_line(job, i, err)
                                                  : tokenize_text(job, i, err));
        }
        TANDEM_TRY(cli_sink_flush(&job->sink, err));
    }
    return cli_sink_commit(&job->sink, err);
}

static cli_exit run(const cli_settings *settings) {
    if (cli_input_is_ambiguous(settings, 0)) {
        return cli_usage(&cli_command_tokenize, "texts are given as arguments and with --file");
    }
    cli_settings own = *settings;
    if (own.is_decoding) own.input_format = "lines"; /* a line says itself what it is */
    tokenize_job job = {.settings = &own};
    tandem__buffer_init(&job.ids, IDS_BYTES_MAX);
    tandem__buffer_init(&job.text, IDS_BYTES_MAX);
    tandem_error err = {0};
    const tandem_status status = tokenize(&job, &err);
    if (status == TANDEM_OK) cli_cuts_end(settings, job.cut_count);
    cli_sink_close(&job.sink);
    tandem_encoding_deinit(&job.encoding);
    tandem_tokenizer_close(job.tokenizer);
    cli_input_close(&job.input);
    tandem__buffer_deinit(&job.ids);
    tandem__buffer_deinit(&job.text);
    return status == TANDEM_OK ? CLI_DONE : cli_fail(&err);
}

const cli_command cli_command_tokenize = {
    .name = "tokenize",
    .usage = "[OPTION]... [TEXT]...",
    .summary = "Turn texts into token ids, or ids into texts",
    .details = "A jsonl row a text, special tokens included: ids, tokens, offsets (in\n"
               "characters) and byte_offsets. Input is as in embed. Nothing is cut without\n"
               "--max-length.\n"
               "\n"
               "With --decode each line, or argument, is the ids of a text: numbers between\n"
               "spaces or commas, a JSON list, or an object whose member ids (or the one that\n"
               "--field names) is such a list, as this command writes it. A row is then\n"
               "{\"text\":...}.\n",
    .example = "  tandem tokenize 'Hello, world'\n"
               "  tandem tokenize --decode --skip-special '101 7592 102'\n",
    .args_max = INT32_MAX,
    .groups = {&output_group, &cli_group_input, &cli_group_tokenizer, &cli_group_common},
    .run = run,
};
