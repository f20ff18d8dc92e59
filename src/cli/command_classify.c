/* SPDX-License-Identifier: Apache-2.0 */
/* The labels of texts, or of pairs of texts, by a sequence classifier. */
#include <inttypes.h>
#include <string.h>

#include "base/fail.h"
#include "base/json_text.h"
#include "cli/cli.h"
#include "cli/input.h"
#include "cli/output.h"
#include "cli/session.h"
#include "cli/sink.h"

#define AT(field)       offsetof(cli_settings, field)
#define CHUNK_TEXTS     ((size_t)256)
#define CHUNK_BYTES     ((size_t)4 << 20)
#define PAIRS_BYTES_MAX ((size_t)1 << 30)

/* clang-format off */
static const cli_option options[] = {
    {CLI_INT, AT(top), "top", 0, false, "N", "0", 0, INT32_MAX,
     "print the N best labels of a text alone; 0 prints all"},
    {CLI_SWITCH, AT(is_raw), "raw-scores", 0, false, NULL, NULL, 0, 0,
     "logits instead of scores"},
    {CLI_SWITCH, AT(is_paired), "pairs", 0, false, NULL, NULL, 0, 0,
     "each text is two, with a tab between them"},
    {CLI_WORD, AT(format), "format", 0, false, "table|jsonl", "table", 0, 0,
     "a line a label: score, index, label, text; or a JSON object a text"},
    {CLI_WORD, AT(long_texts), "long", 0, false, "truncate|error", "truncate", 0, 0,
     "a text over --max-length is cut, or refused"},
};
/* clang-format on */

static const cli_group classify_group = CLI_GROUP("Output", options);

typedef struct classify_job {
    const cli_settings *settings;
    cli_input input;
    cli_session session;
    cli_sink sink;
    tandem_model_info info;
    tandem_buffer first;  /* tandem_text, with --pairs */
    tandem_buffer second; /* tandem_text */
    uint64_t rows;
} classify_job;

/* The two texts of each of the chunk, borrowed from it. */
static tandem_status split_pairs(classify_job *job, tandem_request *request, tandem_error *err) {
    job->first.len = 0;
    job->second.len = 0;
    for (size_t i = 0; i < job->input.count; i++) {
        const tandem_text text = job->input.texts[i];
        const char *tab = text.len == 0 ? NULL : memchr(text.ptr, '\t', text.len);
        if (tab == NULL) {
            return cli_input_fail(&job->input, i, TANDEM_FORMAT,
                                  "no tab, --pairs expects one between two texts", err);
        }
        const size_t len = (size_t)(tab - text.ptr);
        const tandem_text first = {text.ptr, len};
        const tandem_text second = {tab + 1, text.len - len - 1};
        TANDEM_TRY(tandem__buffer_push(&job->first, &first, sizeof first, err));
        TANDEM_TRY(tandem__buffer_push(&job->second, &second, sizeof second, err));
    }
    request->texts = (const void *)job->first.ptr;
    request->pairs = (const void *)job->second.ptr;
    return TANDEM_OK;
}

/* The label that comes after `after` (-1: the first) from the best score down; equal ones in their
 * own order. Labels are few: no sorting. */
static int32_t next_label(const float *scores, int32_t count, int32_t after) {
    int32_t best = -1;
    for (int32_t i = 0; i < count; i++) {
        const bool is_later =
            after < 0 || scores[i] < scores[after] || (scores[i] == scores[after] && i > after);
        if (is_later && (best < 0 || scores[i] > scores[best])) best = i;
    }
    return best;
}

static tandem_status write_label(classify_job *job, size_t i, int32_t label, bool is_first,
                                 tandem_error *err) {
    tandem_buffer *out = &job->sink.pending;
    const char *name = job->info.label_names[label];
    const float score = job->session.result.vectors[i * (size_t)job->info.labels + (size_t)label];
    if (strcmp(job->settings->format, "jsonl") != 0) {
        TANDEM_TRY(
            tandem__buffer_printf(out, err, "%8.4f\t%" PRIu64 "\t", (double)score, job->rows));
        TANDEM_TRY(cli_output_plain(out, (tandem_text){name, strlen(name)}, err));
        TANDEM_TRY(tandem__buffer_push(out, "\t", 1, err));
        return cli_output_line(out, job->input.texts[i], err);
    }
    TANDEM_TRY(tandem__buffer_printf(out, err, "%s{\"label\":", is_first ? "" : ","));
    TANDEM_TRY(tandem__json_text_string(out, tandem__str(name), err));
    TANDEM_TRY(tandem__buffer_push(out, ",\"score\":", 9, err));
    TANDEM_TRY(cli_output_number(out, score, err));
    return tandem__buffer_push(out, "}", 1, err);
}

static tandem_status write_row(classify_job *job, size_t i, tandem_error *err) {
    tandem_buffer *out = &job->sink.pending;
    const bool is_jsonl = strcmp(job->settings->format, "jsonl") == 0;
    const int32_t labels = job->info.labels;
    const int64_t top = job->settings->top;
    const float *scores = job->session.result.vectors + i * (size_t)labels;
    if (is_jsonl)
        TANDEM_TRY(
            tandem__buffer_printf(out, err, "{\"index\":%" PRIu64 ",\"labels\":[", job->rows));
    int32_t label = -1;
    for (int32_t k = 0; k < labels && (top == 0 || k < top); k++) {
        label = next_label(scores, labels, label);
        TANDEM_TRY(write_label(job, i, label, k == 0, err));
    }
    if (is_jsonl) TANDEM_TRY(tandem__buffer_push(out, "]}\n", 3, err));
    job->rows++;
    return cli_sink_settle(&job->sink, err);
}

static tandem_status classify(classify_job *job, tandem_error *err) {
    TANDEM_TRY(cli_input_open(&job->input, job->settings, 0, err));
    TANDEM_TRY(cli_session_open(&job->session, job->settings, err));
    TANDEM_TRY(cli_session_demand(&job->session, CLI_NEED_CLASSIFIER, err));
    job->session.cut_hint = "a larger --max-length may keep more";
    tandem_engine_model(job->session.engine, &job->info);
    TANDEM_TRY(cli_sink_open(NULL, &job->sink, err));
    for (;;) {
        TANDEM_TRY(cli_input_next(&job->input, CHUNK_TEXTS, CHUNK_BYTES, err));
        if (job->input.count == 0) break;
        tandem_request request = cli_session_request(&job->session, &job->input);
        request.task = TANDEM_TASK_CLASSIFY;
        request.raw_scores = job->settings->is_raw;
        if (job->settings->is_paired) TANDEM_TRY(split_pairs(job, &request, err));
        TANDEM_TRY(cli_session_infer(&job->session, &job->input, &request, err));
        for (size_t i = 0; i < job->input.count; i++) TANDEM_TRY(write_row(job, i, err));
        TANDEM_TRY(cli_sink_flush(&job->sink, err));
    }
    return cli_sink_commit(&job->sink, err);
}

static cli_exit run(const cli_settings *settings) {
    if (cli_input_is_ambiguous(settings, 0)) {
        return cli_usage(&cli_command_classify, "texts are given as arguments and with --file");
    }
    classify_job job = {.settings = settings};
    tandem__buffer_init(&job.first, PAIRS_BYTES_MAX);
    tandem__buffer_init(&job.second, PAIRS_BYTES_MAX);
    tandem_error err = {0};
    const tandem_status status = classify(&job, &err);
    if (status == TANDEM_OK) cli_session_report(&job.session);
    tandem__buffer_deinit(&job.first);
    tandem__buffer_deinit(&job.second);
    cli_sink_close(&job.sink);
    cli_session_close(&job.session);
    cli_input_close(&job.input);
    return status == TANDEM_OK ? CLI_DONE : cli_fail(&err);
}

const cli_command cli_command_classify = {
    .name = "classify",
    .usage = "[OPTION]... [TEXT]...",
    .summary = "Say which labels fit a text, and how well",
    .details = "Prints score, index of the text (from 0), label and text, a line a label, best\n"
               "first; as jsonl {\"index\":0,\"labels\":[{\"label\":\"joy\",\"score\":0.9},...]}.\n"
               "\n"
               "The model is a sequence classifier. Scores are what its configuration says: a\n"
               "function that sentence-transformers stored, else sigmoid for one label or for\n"
               "problem_type multi_label_classification, else softmax.\n",
    .example = "  tandem classify -m ./emotions 'What a day!'\n"
               "  tandem classify -m ./nli --pairs --top 1 -f pairs.tsv\n",
    .args_max = INT32_MAX,
    .groups = {&cli_group_input, &classify_group, &cli_group_model, &cli_group_common},
    .run = run,
};
