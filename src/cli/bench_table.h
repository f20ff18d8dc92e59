/* SPDX-License-Identifier: Apache-2.0 */
/* What `tandem bench` prints, and an earlier run to compare with. */
#ifndef TANDEM_CLI_BENCH_TABLE_H
#define TANDEM_CLI_BENCH_TABLE_H

#include "base/buffer.h"
#include "cli/bench.h"
#include "cli/cli.h"

typedef struct cli_bench_tables {
    tandem_machine machine;
    tandem_model_info model; /* borrowed from the engine */
    int32_t threads;
    tandem_lane_info lanes[TANDEM_LANES_MAX];
    int lane_count;
    cli_bench_row rows[CLI_BENCH_ROWS_MAX]; /* latency first, then throughput */
    int row_count;
} cli_bench_tables;

/* Of the compute pool: as many as were asked for, else one for each fast core. */
int32_t cli_bench_threads(const cli_settings *settings, const tandem_machine *machine);

typedef struct cli_bench_earlier_row {
    char name[80];
    char dtype[8];
    int64_t tokens;
    int64_t batch;
    bool is_throughput;
    double p50_ms;
} cli_bench_earlier_row;

typedef struct cli_bench_earlier {
    bool is_loaded;
    char processor[96];
    char model[200];
    cli_bench_earlier_row rows[CLI_BENCH_ROWS_MAX];
    int row_count;
} cli_bench_earlier;

/* Reads a file that --json wrote; TANDEM_FORMAT where it is none. */
tandem_status cli_bench_earlier_load(const char *path, cli_bench_earlier *earlier,
                                     tandem_error *err) TANDEM_NODISCARD;

tandem_status cli_bench_tables_text(const cli_bench_tables *tables,
                                    const cli_bench_earlier *earlier, tandem_buffer *out,
                                    tandem_error *err) TANDEM_NODISCARD;

tandem_status cli_bench_tables_json(const cli_bench_tables *tables, tandem_buffer *out,
                                    tandem_error *err) TANDEM_NODISCARD;

#endif
