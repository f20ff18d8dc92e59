/* SPDX-License-Identifier: Apache-2.0 */
/* Latency and throughput of each lane beside a baseline of the same run. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/fail.h"
#include "cli/bench.h"
#include "cli/bench_mix.h"
#include "cli/bench_report.h"
#include "cli/bench_table.h"
#include "cli/cli.h"
#include "cli/report.h"
#include "cli/session.h"

#define AT(field)          offsetof(cli_settings, field)
#define TEXT_BYTES         ((size_t)1 << 20)
#define REPORT_FILE        "tandem-bench.md"
#define TOKENS_LIMIT       (1 << 17)
#define BATCH_LIMIT        (1 << 14)
#define SECONDS_LIMIT      3600
#define BATCH_LARGE        32 /* of the throughput table, where a batch of it fits the time */
#define BATCH_SECONDS      0.3
#define LATENCY_SECONDS    0.7 /* without --seconds: start and both tables end within 4 s */
#define THROUGHPUT_SECONDS 0.7

/* clang-format off */
static const cli_option options[] = {
    {CLI_TEXT, AT(shape), "shape", 0, false, "NAME|DIR", NULL, 0, 0,
     "random weights of a shape (minilm, bert-base, bert-large; or a folder's config.json)"},
    {CLI_INT, AT(tokens), "tokens", 0, false, "N", "128", 1, TOKENS_LIMIT,
     "length of a text"},
    {CLI_INT, AT(batch), "batch", 0, false, "N", "0", 0, BATCH_LIMIT,
     "texts at once; 0 is 1 for latency and a large one for throughput"},
    {CLI_REAL, AT(seconds), "seconds", 0, false, "N", "0", 0, SECONDS_LIMIT,
     "time for each table; 0 is about one"},
    {CLI_WORD, AT(baseline), "baseline", 0, false, "auto|torch|onnx|blas|none", "auto", 0, 0,
     "what to compare with: the first of these that is installed"},
    {CLI_PATH, AT(python), "python", 0, false, "FILE", "python3", 0, 0,
     "the interpreter that has PyTorch or ONNX Runtime"},
    {CLI_PATH, AT(mix), "mix", 0, false, "FILE", NULL, 0, 0,
     "replay a traffic file instead: lines AT_MS TOKENS [PRIORITY [DEADLINE_MS]]"},
    {CLI_SWITCH, AT(is_json), "json", 0, false, NULL, NULL, 0, 0,
     "one JSON object instead of the tables"},
    {CLI_MAYBE, AT(report), "report", 0, false, "FILE", NULL, 0, 0,
     "also write a file to attach to a report (" REPORT_FILE " without a name)"},
    {CLI_PATH, AT(compare), "compare", 0, false, "FILE", NULL, 0, 0,
     "say what changed since FILE, an earlier --json"},
};
/* clang-format on */

static const cli_group bench_group = CLI_GROUP("Benchmark", options);

typedef struct bench_job {
    const cli_settings *settings;
    cli_session session;
    cli_baseline baseline;
    cli_bench_tables tables;
    tandem_buffer text;
    tandem_buffer json;
} bench_job;

static cli_bench_sizes sizes_of(const bench_job *job) {
    const tandem_model_info *model = &job->tables.model;
    return (cli_bench_sizes){
        .hidden = model->hidden,
        .layers = model->layers,
        .heads = model->heads,
        .ffn = model->ffn,
        .vocab = model->vocab,
        .positions = model->positions_max,
        .threads = job->tables.threads,
    };
}

/* The largest batch up to BATCH_LARGE that the slowest row can do in a part of its time. */
static int32_t large_batch(const bench_job *job) {
    double slowest_ms = 0.0;
    for (int i = 0; i < job->tables.row_count; i++) {
        if (job->tables.rows[i].p50_ms > slowest_ms) slowest_ms = job->tables.rows[i].p50_ms;
    }
    const double seconds =
        job->settings->seconds > 0.0 ? job->settings->seconds * BATCH_SECONDS : BATCH_SECONDS;
    int32_t batch = BATCH_LARGE;
    while (batch > 2 && (double)batch * slowest_ms > seconds * 1e3) batch /= 2;
    return batch;
}

static tandem_status measure_table(bench_job *job, bool is_throughput, int32_t batch,
                                   tandem_error *err) {
    const double fast = is_throughput ? THROUGHPUT_SECONDS : LATENCY_SECONDS;
    const cli_bench_plan plan = {
        .engine = job->session.engine,
        .lane = job->settings->lane,
        .baseline = &job->baseline,
        .vocab = job->tables.model.vocab,
        .tokens = (int32_t)job->settings->tokens,
        .batch = batch,
        .is_throughput = is_throughput,
        .seconds = job->settings->seconds > 0.0 ? job->settings->seconds : fast,
    };
    return cli_bench_measure(&plan, job->tables.rows, &job->tables.row_count, err);
}

static tandem_status measure(bench_job *job, tandem_error *err) {
    const cli_settings *settings = job->settings;
    const int32_t batch = (int32_t)settings->batch;
    cli_baseline_start(&job->baseline, settings->baseline, settings->python);
    TANDEM_TRY(cli_session_open(&job->session, settings, err));
    tandem_machine_describe(&job->tables.machine);
    tandem_engine_model(job->session.engine, &job->tables.model);
    job->tables.lane_count = tandem_lanes(job->session.engine, job->tables.lanes);
    job->tables.threads = cli_bench_threads(settings, &job->tables.machine);
    if (settings->tokens > job->tables.model.positions_max) {
        return TANDEM_FAIL(err, INVALID, "--tokens: %lld, the model takes at most %d",
                           (long long)settings->tokens, job->tables.model.positions_max);
    }
    if (settings->tokens * settings->batch > INT32_MAX) {
        return TANDEM_FAIL(err, INVALID, "--batch: %lld texts of %lld tokens, at most %d tokens",
                           (long long)settings->batch, (long long)settings->tokens, INT32_MAX);
    }
    const cli_bench_sizes sizes = sizes_of(job);
    cli_baseline_settle(&job->baseline, settings->baseline, &sizes);
    TANDEM_TRY(measure_table(job, false, batch > 0 ? batch : 1, err));
    return measure_table(job, true, batch > 0 ? batch : large_batch(job), err);
}

static tandem_status bench_tables(bench_job *job, tandem_error *err) {
    const cli_settings *settings = job->settings;
    cli_bench_tables *tables = &job->tables;
    cli_bench_earlier earlier = {.is_loaded = false};
    if (settings->compare != NULL) {
        TANDEM_TRY(cli_bench_earlier_load(settings->compare, &earlier, err));
    }
    TANDEM_TRY(measure(job, err));
    TANDEM_TRY(cli_bench_tables_text(tables, &earlier, &job->text, err));
    return cli_bench_tables_json(tables, &job->json, err);
}

static tandem_status bench(bench_job *job, tandem_error *err) {
    const cli_settings *settings = job->settings;
    if (settings->mix != NULL)
        TANDEM_TRY(cli_bench_mix(&job->session, settings, &job->text, &job->json, err));
    else
        TANDEM_TRY(bench_tables(job, err));
    const tandem_buffer *out = settings->is_json ? &job->json : &job->text;
    (void)fwrite(out->ptr, 1, out->len, stdout);
    return TANDEM_OK;
}

/* Also where the benchmark itself has failed: then that is what is to be told. */
static tandem_status write_report(bench_job *job, const tandem_error *failure, tandem_error *err) {
    if (job->settings->report == NULL) return TANDEM_OK;
    TANDEM_TRY(cli_bench_report_add(job->settings, &job->text, &job->json, err));
    const cli_report report = {.fallback = REPORT_FILE,
                               .body = {job->text.ptr, job->text.len},
                               .json = {job->json.ptr, job->json.len},
                               .engine = job->session.engine,
                               .error = failure};
    return cli_report_write(job->settings, &report, err);
}

static cli_exit run(const cli_settings *settings) {
    if (settings->mix != NULL && settings->compare != NULL)
        return cli_usage(&cli_command_bench, "--compare is for the tables, not for --mix");
    static bench_job job; /* too large for a small stack */
    tandem_error err = {0};
    job = (bench_job){.settings = settings};
    tandem__buffer_init(&job.text, TEXT_BYTES);
    tandem__buffer_init(&job.json, TEXT_BYTES);
    const tandem_status status = bench(&job, &err);
    cli_baseline_close(&job.baseline);
    tandem_error report_err = {0};
    const tandem_status written = write_report(&job, &err, &report_err);
    tandem__buffer_deinit(&job.text);
    tandem__buffer_deinit(&job.json);
    cli_session_close(&job.session);
    if (status != TANDEM_OK) return cli_fail(&err);
    return written == TANDEM_OK ? CLI_DONE : cli_fail(&report_err);
}

const cli_command cli_command_bench = {
    .name = "bench",
    .usage = "[OPTION]...",
    .summary = "Measure latency and throughput of each lane",
    .details = "Token ids in, vectors out, beside a baseline in the same run: PyTorch, else ONNX\n"
               "Runtime, else the model's matrix products by the BLAS library of this machine.\n"
               "Lanes and baseline take turns; a ratio is the median over the pairs.\n"
               "--report writes one file with the machine, its lanes, what runs where, these\n"
               "tables and, for the default model, each lane at BERT-base and 128 tokens.\n",
    .example = "  tandem bench --shape bert-base\n"
               "  tandem bench --mix bench/mixes/chat.txt\n"
               "  tandem bench --seconds 5 --json > before.json\n"
               "  tandem bench --seconds 5 --compare before.json\n",
    .groups = {&bench_group, &cli_group_model, &cli_group_common},
    .run = run,
};
