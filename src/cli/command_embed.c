/* SPDX-License-Identifier: Apache-2.0 */
/* Texts to vectors. Works chunk by chunk, so that memory does not grow with the input; a chunk's
 * size follows the time that the last one took. How texts are cut into chunks changes no bit of
 * their vectors. */
#include <inttypes.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fail.h"
#include "cli/cli.h"
#include "cli/input.h"
#include "cli/output.h"
#include "cli/progress.h"
#include "cli/session.h"

#define AT(field)        offsetof(cli_settings, field)
#define CHUNK_TEXTS_MIN  ((size_t)32)
#define CHUNK_TEXTS_MAX  ((size_t)4096)
#define CHUNK_BYTES      ((size_t)4 << 20)
#define CHUNK_SHORT_NS   ((uint64_t)150000000)
#define CHUNK_LONG_NS    ((uint64_t)600000000)
#define DIMENSIONS_LIMIT (1 << 20)
#define CHUNK_TOKENS_MAX ((size_t)32)  /* texts, each of token vectors */
#define CHUNK_SPARSE_MAX ((size_t)256) /* texts, each of up to a vocabulary of entries */

/* clang-format off */
static const cli_option options[] = {
    {CLI_PATH, AT(output), "output", 'o', false, "FILE", NULL, 0, 0,
     "write to FILE, which appears when it is whole"},
    {CLI_WORD, AT(format), "format", 0, false, "jsonl|json|npy|f32|csv", NULL, 0, 0,
     "form of the vectors; without it the ending of --output counts, else jsonl"},
    {CLI_INT, AT(dimensions), "dimensions", 0, false, "N", "0", 0, DIMENSIONS_LIMIT,
     "keep the first N of a vector; 0 is the model's own number"},
    {CLI_SWITCH, AT(skip_normalize), "no-normalize", 0, false, NULL, NULL, 0, 0,
     "leave vectors as the pooling gives them"},
    {CLI_SWITCH, AT(is_sparse), "sparse", 0, false, NULL, NULL, 0, 0,
     "weights of words (SPLADE), by a masked language model; jsonl or json"},
    {CLI_SWITCH, AT(is_all_tokens), "all-tokens", 0, false, NULL, NULL, 0, 0,
     "a vector a token instead of one a text; jsonl or json"},
    {CLI_WORD, AT(order), "order", 0, false, "input|done", "input", 0, 0,
     "rows in the order of the input, or written as soon as they are done"},
};

static const cli_option text_options[] = {
    {CLI_TEXT, AT(prompt), "prompt", 0, false, "NAME", NULL, 0, 0,
     "the model's prompt of that name goes before each text"},
    {CLI_WORD, AT(long_texts), "long", 0, false, "truncate|split|error", "truncate", 0, 0,
     "a text over --max-length is cut, computed in windows and averaged, or refused"},
};
/* clang-format on */

static const cli_group output_group = CLI_GROUP("Output", options);
static const cli_group text_group = CLI_GROUP("Texts", text_options);

typedef struct embed_job {
    const cli_settings *settings;
    cli_input input;
    cli_session session;
    cli_sink sink;
    cli_output output;
    cli_progress progress;
    size_t chunk_texts;
    bool is_first;
} embed_job;

static void adapt_chunk(embed_job *job, uint64_t took_ns) {
    const bool is_full = job->input.count == job->chunk_texts;
    const cli_settings *settings = job->settings;
    const size_t most = settings->is_all_tokens ? CHUNK_TOKENS_MAX
                        : settings->is_sparse   ? CHUNK_SPARSE_MAX
                                                : CHUNK_TEXTS_MAX;
    if (took_ns < CHUNK_SHORT_NS && is_full && job->chunk_texts < most) {
        job->chunk_texts *= 2;
    } else if (took_ns > CHUNK_LONG_NS && job->chunk_texts > CHUNK_TEXTS_MIN) {
        job->chunk_texts /= 2;
    }
}

/* The output is opened when the first vectors are there: a model or an input that is not to be had
 * leaves no trace, and the vectors say how long they are. */
static tandem_status write_chunk(embed_job *job, tandem_error *err) {
    const tandem_result *result = &job->session.result;
    if (job->is_first) {
        job->is_first = false;
        TANDEM_TRY(cli_sink_open(job->settings->output, &job->sink, err));
        TANDEM_TRY(cli_output_open(&job->output, &job->sink, cli_output_format(job->settings),
                                   result->dimensions, cli_input_count(&job->input), err));
    }
    const tandem_tokenizer *tokenizer = tandem_engine_tokenizer(job->session.engine);
    if (job->settings->is_sparse)
        TANDEM_TRY(cli_output_sparse(&job->output, result, tokenizer, err));
    else if (job->settings->is_all_tokens)
        TANDEM_TRY(cli_output_tokens(&job->output, result, tokenizer, err));
    else
        TANDEM_TRY(cli_output_rows(&job->output, result->vectors, result->count, err));
    return cli_sink_flush(&job->sink, err);
}

static tandem_status compute(embed_job *job, tandem_error *err) {
    tandem_request request = cli_session_request(&job->session, &job->input);
    if (job->settings->is_sparse) request.task = TANDEM_TASK_EMBED_SPARSE;
    if (job->settings->is_all_tokens) request.task = TANDEM_TASK_EMBED_ALL;
    return cli_session_infer(&job->session, &job->input, &request, err);
}

static tandem_status open_model(embed_job *job, tandem_error *err) {
    const cli_settings *settings = job->settings;
    TANDEM_TRY(cli_session_open(&job->session, settings, err));
    if (settings->is_sparse || settings->is_all_tokens)
        job->session.cut_hint = "a larger --max-length may keep more";
    if (settings->is_all_tokens) return TANDEM_OK; /* every model has token vectors */
    return cli_session_demand(&job->session,
                              settings->is_sparse ? CLI_NEED_SPARSE : CLI_NEED_EMBEDDING, err);
}

static void say_progress(embed_job *job) {
    const cli_input *input = &job->input;
    const bool is_args = input->args != NULL;
    cli_progress_update(&job->progress, is_args ? input->line : input->bytes_taken,
                        is_args ? (uint64_t)input->arg_count : input->bytes_total,
                        job->session.text_count);
}

static tandem_status embed(embed_job *job, tandem_error *err) {
    TANDEM_TRY(cli_input_open(&job->input, job->settings, 0, err));
    TANDEM_TRY(open_model(job, err));
    cli_progress_start(&job->progress, job->settings->is_quiet);
    job->chunk_texts = CHUNK_TEXTS_MIN;
    job->is_first = true;
    const bool is_growing = strcmp(job->settings->order, "input") == 0;
    do {
        TANDEM_TRY(cli_input_next(&job->input, job->chunk_texts, CHUNK_BYTES, err));
        if (job->input.count == 0 && !job->is_first) break;
        const uint64_t start_ns = tandem__clock_ns();
        cli_progress_clear(&job->progress);
        TANDEM_TRY(compute(job, err));
        TANDEM_TRY(write_chunk(job, err));
        if (is_growing) adapt_chunk(job, tandem__clock_ns() - start_ns);
        say_progress(job);
    } while (job->input.count > 0);
    TANDEM_TRY(cli_output_finish(&job->output, err));
    return cli_sink_commit(&job->sink, err);
}

/* What token vectors and sparse ones cannot be combined with. */
static cli_exit check_kinds(const cli_settings *settings, cli_format format) {
    const char *name = settings->is_sparse ? "--sparse" : "--all-tokens";
    if (!settings->is_sparse && !settings->is_all_tokens) return CLI_DONE;
    if (settings->is_sparse && settings->is_all_tokens)
        return cli_usage(&cli_command_embed, "--sparse and --all-tokens exclude each other");
    if (format != CLI_FORMAT_JSONL && format != CLI_FORMAT_JSON) {
        return cli_usage(&cli_command_embed,
                         "%s needs --format jsonl or json: its rows differ in length", name);
    }
    if (strcmp(settings->long_texts, "split") == 0)
        return cli_usage(&cli_command_embed, "--long split averages vectors of texts, not %s",
                         name);
    if (settings->is_sparse && settings->dimensions > 0)
        return cli_usage(&cli_command_embed, "--dimensions is for dense vectors, not --sparse");
    return CLI_DONE;
}

static cli_exit run(const cli_settings *settings) {
    if (cli_input_is_ambiguous(settings, 0)) {
        return cli_usage(&cli_command_embed, "texts are given as arguments and with --file");
    }
    const cli_format format = cli_output_format(settings);
    if (strcmp(settings->order, "done") == 0 && format != CLI_FORMAT_JSONL &&
        format != CLI_FORMAT_JSON) {
        return cli_usage(&cli_command_embed, "--order done needs --format jsonl or json, whose "
                                             "rows carry their index");
    }
    const cli_exit kinds = check_kinds(settings, format);
    if (kinds != CLI_DONE) return kinds;
    const bool is_binary = format == CLI_FORMAT_NPY || format == CLI_FORMAT_F32;
    if (is_binary && settings->output == NULL && isatty(STDOUT_FILENO) != 0) {
        return cli_usage(&cli_command_embed,
                         "this format is binary, not for a terminal: --output names a file");
    }
    embed_job job = {.settings = settings};
    tandem_error err = {0};
    const tandem_status status = embed(&job, &err);
    cli_progress_clear(&job.progress);
    if (status == TANDEM_OK) cli_session_report(&job.session);
    cli_output_close(&job.output);
    cli_sink_close(&job.sink);
    cli_session_close(&job.session);
    cli_input_close(&job.input);
    return status == TANDEM_OK ? CLI_DONE : cli_fail(&err);
}

const cli_command cli_command_embed = {
    .name = "embed",
    .usage = "[OPTION]... [TEXT]...",
    .summary = "Turn texts into vectors",
    .details =
        "Texts are the arguments, or the lines of --file or of standard input (also \"-\").\n"
        "An empty line is a text of its own. A line ends with LF or CR LF. jsonl rows are\n"
        "{\"index\":0,\"embedding\":[...]}; npy is float32 [n, d]; csv has a text a line and\n"
        "no header; f32 is the bare numbers.\n"
        "\n"
        "With --sparse a row is {\"index\":0,\"sparse\":[{\"index\":2003,\"token\":\"is\",\n"
        "\"value\":0.7},...]}, the words that weigh over zero by their ids; with\n"
        "--all-tokens {\"index\":0,\"tokens\":[...],\"embeddings\":[[...],...]}, special tokens\n"
        "included.\n"
        "\n"
        "Texts longer than the model's length are cut, and standard error says which.\n",
    .example = "  tandem embed 'Hello, world'\n"
               "  tandem embed -f texts.txt -o vectors.npy\n"
               "  jq -c . rows.json | tandem embed --input-format jsonl --field body\n",
    .args_max = INT32_MAX,
    .groups = {&cli_group_input, &output_group, &text_group, &cli_group_model, &cli_group_common},
    .run = run,
};
