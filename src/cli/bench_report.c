/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/bench_report.h"

#include <string.h>

#include "base/fail.h"
#include "cli/bench_table.h"
#include "cli/doctor_explain.h"

#define SHAPE   "bert-base"
#define TOKENS  128
#define SECONDS 1.0

static tandem_status measure(const cli_settings *settings, tandem_engine *engine,
                             cli_bench_tables *tables, tandem_error *err) {
    cli_baseline none = {.name = "baseline", .reason = "not asked for"};
    *tables = (cli_bench_tables){.row_count = 0};
    tandem_machine_describe(&tables->machine);
    tandem_engine_model(engine, &tables->model);
    tables->lane_count = tandem_lanes(engine, tables->lanes);
    tables->threads = cli_bench_threads(settings, &tables->machine);
    const cli_bench_plan plan = {.engine = engine,
                                 .lane = settings->lane,
                                 .baseline = &none,
                                 .vocab = tables->model.vocab,
                                 .tokens = TOKENS,
                                 .batch = 1,
                                 .seconds = SECONDS};
    return cli_bench_measure(&plan, tables->rows, &tables->row_count, err);
}

static tandem_status push_all(const cli_settings *settings, tandem_engine *engine,
                              tandem_buffer *text, tandem_buffer *json, tandem_error *err) {
    static cli_bench_tables tables; /* too large for a small stack */
    const cli_bench_earlier earlier = {.is_loaded = false};
    tandem_error why = {0};
    if (measure(settings, engine, &tables, &why) != TANDEM_OK)
        return tandem__buffer_printf(text, err, "\n%s: %s\n", SHAPE, why.message);
    TANDEM_TRY(tandem__buffer_printf(text, err, "\n"));
    TANDEM_TRY(cli_bench_tables_text(&tables, &earlier, text, err));
    TANDEM_TRY(tandem__buffer_printf(text, err, "\n"));
    TANDEM_TRY(cli_explain_engine(engine, false, text, err));
    return cli_bench_tables_json(&tables, json, err);
}

tandem_status cli_bench_report_add(const cli_settings *settings, tandem_buffer *text,
                                   tandem_buffer *json, tandem_error *err) {
    const bool is_default = settings->shape == NULL && settings->mix == NULL &&
                            strcmp(settings->model, CLI_DEFAULT_MODEL) == 0;
    if (!is_default) return TANDEM_OK;
    const tandem_engine_options options = {.shape = SHAPE,
                                           .lane = settings->lane,
                                           .dtype = settings->dtype,
                                           .threads = (int32_t)settings->threads};
    tandem_engine *engine = NULL;
    tandem_error why = {0};
    if (tandem_engine_open(&options, &engine, &why) != TANDEM_OK)
        return tandem__buffer_printf(text, err, "\n%s: %s\n", SHAPE, why.message);
    const tandem_status status = push_all(settings, engine, text, json, err);
    tandem_engine_close(engine);
    return status;
}
