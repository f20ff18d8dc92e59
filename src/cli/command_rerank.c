/* SPDX-License-Identifier: Apache-2.0 */
/* Documents by their relevance to a query.
 *
 * A cross-encoder reads the query and a document together and gives a score. With an embedder the
 * score is the similarity of the two vectors, which is weaker, so stderr says it. The documents and
 * their scores are kept until the end, since the best may come last. */
#include <inttypes.h>
#include <stdlib.h>
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

#define AT(field)      offsetof(cli_settings, field)
#define CHUNK_TEXTS    ((size_t)256)
#define CHUNK_BYTES    ((size_t)4 << 20)
#define KEPT_BYTES_MAX ((size_t)1 << 36)
#define TOP_MAX        INT32_MAX

/* clang-format off */
static const cli_option options[] = {
    {CLI_INT, AT(top), "top-n", 0, false, "N", "0", 0, TOP_MAX,
     "print the N best alone; 0 prints all"},
    {CLI_SWITCH, AT(is_raw), "raw-scores", 0, false, NULL, NULL, 0, 0,
     "a cross-encoder's logits instead of scores"},
    {CLI_WORD, AT(format), "format", 0, false, "table|jsonl", "table", 0, 0,
     "score, index and text, or a JSON object a line"},
    {CLI_WORD, AT(long_texts), "long", 0, false, "truncate|error", "truncate", 0, 0,
     "a pair over --max-length is cut, or refused"},
};
/* clang-format on */

static const cli_group rerank_group = CLI_GROUP("Output", options);

typedef enum rerank_kind {
    RERANK_PAIRS = 0,
    RERANK_COSINE = 1,
    RERANK_DOT = 2,
    RERANK_SPARSE = 3,
} rerank_kind;

/* A document and its place in `bytes`. */
typedef struct rerank_row {
    float score;
    uint64_t index;
    size_t start;
    size_t len;
} rerank_row;

typedef struct rerank_job {
    const cli_settings *settings;
    cli_input query;
    cli_input input; /* the documents */
    cli_session session;
    cli_sink sink;
    rerank_kind kind;
    float *vector;       /* [dimensions] of the query, unless by pairs */
    tandem_buffer pairs; /* tandem_text: the query as often as a chunk has documents */
    tandem_buffer rows;  /* rerank_row */
    tandem_buffer bytes; /* of the documents */
} rerank_job;

static void settle_kind(rerank_job *job) {
    tandem_model_info info;
    tandem_engine_model(job->session.engine, &info);
    job->session.cut_hint = "a larger --max-length may keep more";
    job->kind = RERANK_PAIRS;
    if (info.labels == 1) return;
    const bool is_dot = strcmp(info.similarity, "dot") == 0;
    job->kind = !info.has_embedding ? RERANK_SPARSE : is_dot ? RERANK_DOT : RERANK_COSINE;
    if (job->settings->is_quiet) return;
    cli_note("model %s is no cross-encoder: scores are the %s of its %s", info.name,
             job->kind == RERANK_COSINE ? "cosines" : "dot products",
             job->kind == RERANK_SPARSE ? "sparse vectors" : "vectors");
}

/* The request for a chunk of one side, by vectors. Models that know the two sides have a prompt for
 * each; those that do not have empty ones. */
static tandem_status infer_side(rerank_job *job, const cli_input *input, const char *prompt,
                                tandem_error *err) {
    tandem_request request = cli_session_request(&job->session, input);
    request.prompt_name = prompt;
    if (job->kind == RERANK_SPARSE) request.task = TANDEM_TASK_EMBED_SPARSE;
    return cli_session_infer(&job->session, input, &request, err);
}

static tandem_status embed_query(rerank_job *job, tandem_error *err) {
    TANDEM_TRY(infer_side(job, &job->query, "query", err));
    const tandem_result *result = &job->session.result;
    const size_t n = (size_t)result->dimensions;
    job->vector = tandem__mem_calloc(n, sizeof *job->vector);
    if (job->vector == NULL) return TANDEM_FAIL(err, MEMORY, "no memory for a vector of %zu", n);
    if (job->kind != RERANK_SPARSE) {
        memcpy(job->vector, result->vectors, n * sizeof *job->vector);
        return TANDEM_OK;
    }
    for (int64_t k = result->sparse_offsets[0]; k < result->sparse_offsets[1]; k++)
        job->vector[result->sparse_ids[k]] = result->sparse_weights[k];
    return TANDEM_OK;
}

static tandem_status infer_pairs(rerank_job *job, tandem_error *err) {
    job->pairs.len = 0;
    for (size_t i = 0; i < job->input.count; i++)
        TANDEM_TRY(
            tandem__buffer_push(&job->pairs, job->query.texts, sizeof *job->query.texts, err));
    tandem_request request = cli_session_request(&job->session, &job->input);
    request.task = TANDEM_TASK_CLASSIFY;
    request.raw_scores = job->settings->is_raw;
    request.pairs = request.texts;
    request.texts = (const void *)job->pairs.ptr;
    return cli_session_infer(&job->session, &job->input, &request, err);
}

static double score_of(const rerank_job *job, size_t i) {
    const tandem_result *result = &job->session.result;
    const int32_t n = result->dimensions;
    if (job->kind == RERANK_SPARSE) {
        const int64_t first = result->sparse_offsets[i];
        const size_t count = (size_t)(result->sparse_offsets[i + 1] - first);
        return cli_dot_sparse(job->vector, result->sparse_ids + first,
                              result->sparse_weights + first, count);
    }
    const float *row = result->vectors + i * (size_t)n;
    if (job->kind == RERANK_PAIRS) return (double)row[0];
    return job->kind == RERANK_DOT ? cli_dot(job->vector, row, n) : cli_cosine(job->vector, row, n);
}

static tandem_status keep_chunk(rerank_job *job, tandem_error *err) {
    for (size_t i = 0; i < job->input.count; i++) {
        const tandem_text text = job->input.texts[i];
        const rerank_row row = {.score = (float)score_of(job, i),
                                .index = job->rows.len / sizeof row,
                                .start = job->bytes.len,
                                .len = text.len};
        TANDEM_TRY(tandem__buffer_push(&job->rows, &row, sizeof row, err));
        TANDEM_TRY(tandem__buffer_push(&job->bytes, text.ptr, text.len, err));
    }
    return TANDEM_OK;
}

/* Best first; equal ones in the order of the input. */
static int compare_rows(const void *left, const void *right) {
    const rerank_row *a = left;
    const rerank_row *b = right;
    if (a->score != b->score) return a->score > b->score ? -1 : 1;
    return a->index < b->index ? -1 : a->index > b->index;
}

static tandem_status write_row(rerank_job *job, const rerank_row *row, tandem_error *err) {
    tandem_buffer *out = &job->sink.pending;
    const char *bytes = job->bytes.ptr == NULL ? "" : job->bytes.ptr + row->start;
    const tandem_text text = {bytes, row->len};
    if (strcmp(job->settings->format, "jsonl") == 0) {
        TANDEM_TRY(
            tandem__buffer_printf(out, err, "{\"index\":%" PRIu64 ",\"score\":", row->index));
        TANDEM_TRY(cli_output_number(out, row->score, err));
        TANDEM_TRY(tandem__buffer_push(out, ",\"text\":", 8, err));
        TANDEM_TRY(tandem__json_text_string(out, (tandem_str){text.ptr, text.len}, err));
        TANDEM_TRY(tandem__buffer_push(out, "}\n", 2, err));
    } else {
        TANDEM_TRY(tandem__buffer_printf(out, err, "%8.4f\t%" PRIu64 "\t", (double)row->score,
                                         row->index));
        TANDEM_TRY(cli_output_line(out, text, err));
    }
    return cli_sink_settle(&job->sink, err);
}

static tandem_status write_rows(rerank_job *job, tandem_error *err) {
    rerank_row *rows = (void *)job->rows.ptr;
    size_t count = job->rows.len / sizeof *rows;
    if (count > 1) qsort(rows, count, sizeof *rows, compare_rows);
    if (job->settings->top > 0 && (uint64_t)job->settings->top < count)
        count = (size_t)job->settings->top;
    for (size_t i = 0; i < count; i++) TANDEM_TRY(write_row(job, &rows[i], err));
    return cli_sink_commit(&job->sink, err);
}

static tandem_status rerank(rerank_job *job, const cli_settings *query, tandem_error *err) {
    TANDEM_TRY(cli_input_open(&job->query, query, 0, err));
    TANDEM_TRY(cli_input_open(&job->input, job->settings, 1, err));
    TANDEM_TRY(cli_session_open(&job->session, job->settings, err));
    TANDEM_TRY(cli_session_demand(&job->session, CLI_NEED_RELEVANCE, err));
    TANDEM_TRY(cli_sink_open(NULL, &job->sink, err));
    TANDEM_TRY(cli_input_next(&job->query, 1, SIZE_MAX, err));
    settle_kind(job);
    if (job->kind != RERANK_PAIRS) TANDEM_TRY(embed_query(job, err));
    for (;;) {
        TANDEM_TRY(cli_input_next(&job->input, CHUNK_TEXTS, CHUNK_BYTES, err));
        if (job->input.count == 0) break;
        if (job->kind == RERANK_PAIRS)
            TANDEM_TRY(infer_pairs(job, err));
        else
            TANDEM_TRY(infer_side(job, &job->input, "document", err));
        TANDEM_TRY(keep_chunk(job, err));
    }
    return write_rows(job, err);
}

static cli_exit run(const cli_settings *settings) {
    if (cli_input_is_ambiguous(settings, 1)) {
        return cli_usage(&cli_command_rerank, "documents are given as arguments and with --file");
    }
    /* The query alone, as an input of one argument. */
    cli_settings query = *settings;
    query.arg_count = 1;
    query.file = NULL;
    rerank_job job = {.settings = settings};
    tandem__buffer_init(&job.pairs, KEPT_BYTES_MAX);
    tandem__buffer_init(&job.rows, KEPT_BYTES_MAX);
    tandem__buffer_init(&job.bytes, KEPT_BYTES_MAX);
    tandem_error err = {0};
    const tandem_status status = rerank(&job, &query, &err);
    if (status == TANDEM_OK) cli_session_report(&job.session);
    tandem__mem_free(job.vector);
    tandem__buffer_deinit(&job.pairs);
    tandem__buffer_deinit(&job.rows);
    tandem__buffer_deinit(&job.bytes);
    cli_sink_close(&job.sink);
    cli_session_close(&job.session);
    cli_input_close(&job.input);
    cli_input_close(&job.query);
    return status == TANDEM_OK ? CLI_DONE : cli_fail(&err);
}

const cli_command cli_command_rerank = {
    .name = "rerank",
    .usage = "[OPTION]... QUERY [DOCUMENT]...",
    .summary = "Sort documents by their relevance to a query",
    .details =
        "Prints score, index (from 0, as they were given) and document, best first.\n"
        "Without a DOCUMENT, they are the lines of --file or of standard input.\n"
        "\n"
        "The model is a cross-encoder: a sequence classifier of one label, whose score is\n"
        "what its configuration says, a sigmoid where it says nothing. With an embedder\n"
        "the score is the similarity of the vectors, with the model's prompts \"query\" and\n"
        "\"document\", and standard error says so.\n",
    .example = "  tandem rerank -m cross-encoder/ms-marco-MiniLM-L6-v2 \\\n"
               "    'what do cats eat' 'Cats eat mice.' 'Stocks fell.'\n"
               "  tandem rerank 'what do cats eat' -f passages.txt --top-n 10 --format jsonl\n",
    .args_min = 1,
    .args_max = INT32_MAX,
    .groups = {&cli_group_input, &rerank_group, &cli_group_model, &cli_group_common},
    .run = run,
};
