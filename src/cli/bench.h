/* SPDX-License-Identifier: Apache-2.0 */
/* The parts of `tandem bench`.
 *
 *     command_bench.c    options, tables, JSON, comparison with an earlier run
 *     bench_mix.c        a replay of a traffic file instead (bench_mix.h)
 *     bench_measure.c    lanes and baseline in turn, so that heat and neighbours hit both
 *     bench_baseline.c   chooses the baseline: bench_peer.c, else bench_blas.c
 *     bench_peer.c       PyTorch or ONNX Runtime in a child process, by bench_peer.py
 *     bench_blas.c       the matrix products alone, by a BLAS library found at run time */
#ifndef TANDEM_CLI_BENCH_H
#define TANDEM_CLI_BENCH_H

#include <stdbool.h>
#include <stdint.h>

#include "tandem/engine.h"

#define CLI_BENCH_RUNS_MAX 4096
#define CLI_BENCH_ROWS_MAX (2 * (TANDEM_LANES_MAX + 1))

/* A model's sizes, for a baseline. */
typedef struct cli_bench_sizes {
    int32_t hidden;
    int32_t layers;
    int32_t heads;
    int32_t ffn;
    int32_t vocab;
    int32_t positions;
    int32_t threads;
} cli_bench_sizes;

/* One forward pass of `batch` texts of `tokens` each; its wall time. */
typedef struct cli_baseline cli_baseline;
typedef tandem_status (*cli_baseline_run)(cli_baseline *baseline, int32_t tokens, int32_t batch,
                                          uint64_t *ns, tandem_error *err);

struct cli_baseline {
    char name[80];        /* "PyTorch 2.9.0 f32" */
    char note[120];       /* what is not comparable, or "" */
    char reason[240];     /* why there is none, where run == NULL */
    cli_baseline_run run; /* NULL = none */
    void (*close)(cli_baseline *baseline);
    struct cli_bench_peer *peer;
    struct cli_bench_blas *blas;
};

/* Starts the child, which imports its packages while the caller opens its engine. `which` is the
 * word of --baseline, `python` the interpreter. Never fails: without a child the baseline is
 * looked for elsewhere by cli_baseline_settle. */
void cli_baseline_start(cli_baseline *baseline, const char *which, const char *python);

/* Tells the child the sizes and waits for it; takes the BLAS library if it has nothing. Afterwards
 * run is set, or reason says what could be installed. */
void cli_baseline_settle(cli_baseline *baseline, const char *which, const cli_bench_sizes *sizes);

void cli_baseline_close(cli_baseline *baseline);

/* The two kinds; TANDEM_NOT_FOUND where the machine lacks it. */
tandem_status cli_bench_peer_start(cli_baseline *baseline, const char *which, const char *python,
                                   tandem_error *err);
tandem_status cli_bench_peer_wait(cli_baseline *baseline, const cli_bench_sizes *sizes,
                                  tandem_error *err);
tandem_status cli_bench_blas_open(cli_baseline *baseline, const cli_bench_sizes *sizes,
                                  tandem_error *err);

typedef enum cli_row_kind {
    CLI_ROW_LANE = 0,
    CLI_ROW_MISSING = 1,
    CLI_ROW_BASELINE = 2,
} cli_row_kind;

typedef struct cli_bench_row {
    cli_row_kind kind;
    char name[80];
    const char *dtype;
    int32_t tokens;
    int32_t batch;
    bool is_throughput;
    int32_t runs;
    double p50_ms;
    double p95_ms;
    double p99_ms;
    double ratio; /* the baseline's time over this one's, median of pairs; 0 = no baseline */
    char reason[240];
} cli_bench_row;

typedef struct cli_bench_plan {
    tandem_engine *engine;
    const char *lane; /* "auto" = each that is available, but for the reference */
    cli_baseline *baseline;
    int32_t vocab;
    int32_t tokens;
    int32_t batch; /* batch * tokens is an int32_t too */
    bool is_throughput;
    double seconds; /* of the whole table */
} cli_bench_plan;

/* Runs a table's rows in turn; appends them to `rows` (CLI_BENCH_ROWS_MAX) and counts them. */
tandem_status cli_bench_measure(const cli_bench_plan *plan, cli_bench_row *rows, int *row_count,
                                tandem_error *err) TANDEM_NODISCARD;

#endif
