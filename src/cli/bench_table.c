/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/bench_table.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/fail.h"
#include "base/file.h"
#include "base/json.h"
#include "base/json_text.h"
#include "cli/report.h"
#include "tandem/version.h"

#define FILE_BYTES_MAX ((size_t)16 << 20)
#define TREE_BYTES_MAX ((size_t)64 << 20)
#define NAME_CELLS     24
#define RUNS_FEW       3

int32_t cli_bench_threads(const cli_settings *settings, const tandem_machine *machine) {
    const int32_t fast = machine->performance_cores;
    if (settings->threads > 0) return (int32_t)settings->threads;
    return fast > 0 && fast < machine->processors ? fast : machine->processors;
}

static void copy_str(tandem_str from, char *to, size_t size) {
    const size_t len = from.len < size - 1 ? from.len : size - 1;
    memcpy(to, from.ptr, len);
    to[len] = '\0';
}

static tandem_status read_row(const tandem_json *node, cli_bench_earlier_row *row,
                              tandem_error *err) {
    tandem_str name = TANDEM_STR("");
    tandem_str dtype = TANDEM_STR("");
    *row = (cli_bench_earlier_row){.p50_ms = 0.0};
    TANDEM_TRY(tandem__json_read_str(node, "name", &name, err));
    TANDEM_TRY(tandem__json_read_str(node, "dtype", &dtype, err));
    TANDEM_TRY(tandem__json_read_int(node, "tokens", 0, INT32_MAX, &row->tokens, err));
    TANDEM_TRY(tandem__json_read_int(node, "batch", 0, INT32_MAX, &row->batch, err));
    TANDEM_TRY(tandem__json_read_bool(node, "throughput", &row->is_throughput, err));
    TANDEM_TRY(tandem__json_read_double(node, "p50_ms", &row->p50_ms, err));
    copy_str(name, row->name, sizeof row->name);
    copy_str(dtype, row->dtype, sizeof row->dtype);
    return TANDEM_OK;
}

static tandem_status read_earlier(const tandem_json *root, cli_bench_earlier *earlier,
                                  tandem_error *err) {
    const tandem_json *rows = tandem__json_get(root, "rows");
    if (rows == NULL || rows->kind != TANDEM_JSON_ARRAY) {
        return TANDEM_FAIL(err, FORMAT, "no array \"rows\": not what bench --json wrote");
    }
    tandem_str processor = TANDEM_STR("");
    tandem_str model = TANDEM_STR("");
    TANDEM_TRY(
        tandem__json_read_str(tandem__json_get(root, "machine"), "processor", &processor, err));
    TANDEM_TRY(tandem__json_read_str(tandem__json_get(root, "model"), "name", &model, err));
    copy_str(processor, earlier->processor, sizeof earlier->processor);
    copy_str(model, earlier->model, sizeof earlier->model);
    TANDEM_JSON_EACH(node, rows) {
        if (earlier->row_count == CLI_BENCH_ROWS_MAX) break;
        TANDEM_TRY(read_row(node, &earlier->rows[earlier->row_count], err));
        earlier->row_count++;
    }
    earlier->is_loaded = true;
    return TANDEM_OK;
}

tandem_status cli_bench_earlier_load(const char *path, cli_bench_earlier *earlier,
                                     tandem_error *err) {
    tandem_buffer file;
    tandem_arena arena;
    const tandem_json *root = NULL;
    *earlier = (cli_bench_earlier){.row_count = 0};
    tandem__buffer_init(&file, FILE_BYTES_MAX);
    tandem__arena_init(&arena, TREE_BYTES_MAX);
    tandem_status status = tandem__file_read(path, &file, err);
    if (status == TANDEM_OK) {
        status = tandem__json_parse((tandem_str){file.ptr, file.len}, &arena, &root, err);
        if (status == TANDEM_OK) status = read_earlier(root, earlier, err);
        if (status != TANDEM_OK) {
            char prefix[TANDEM_PATH_MAX];
            (void)snprintf(prefix, sizeof prefix, "%s", path);
            status = tandem__fail_prefix(err, status, prefix);
        }
    }
    tandem__arena_deinit(&arena);
    tandem__buffer_deinit(&file);
    return status;
}

static const cli_bench_earlier_row *find_earlier(const cli_bench_earlier *earlier,
                                                 const cli_bench_row *row) {
    for (int i = 0; i < earlier->row_count; i++) {
        const cli_bench_earlier_row *old = &earlier->rows[i];
        const bool is_same = strcmp(old->name, row->name) == 0 &&
                             strcmp(old->dtype, row->dtype) == 0 && old->tokens == row->tokens &&
                             old->batch == row->batch && old->is_throughput == row->is_throughput;
        if (is_same && old->p50_ms > 0.0) return old;
    }
    return NULL;
}

static tandem_status push_title(const cli_bench_tables *tables, const cli_bench_row *row,
                                tandem_buffer *out, tandem_error *err) {
    const char *title = row->is_throughput ? "Throughput" : "Latency";
    TANDEM_TRY(tandem__buffer_printf(out, err, "%s%s (%s, %d tokens, batch %d):\n",
                                     row->is_throughput ? "\n" : "", title, tables->model.name,
                                     row->tokens, row->batch));
    return TANDEM_OK;
}

static tandem_status push_ratio(const cli_bench_row *row, const char *baseline, tandem_buffer *out,
                                tandem_error *err) {
    if (row->kind == CLI_ROW_BASELINE) return tandem__buffer_printf(out, err, "  (baseline)");
    if (row->ratio <= 0.0) return TANDEM_OK;
    const bool is_faster = row->ratio >= 1.0;
    return tandem__buffer_printf(out, err, "  (%.2fx %s than %s)",
                                 is_faster ? row->ratio : 1.0 / row->ratio,
                                 is_faster ? "faster" : "slower", baseline);
}

static tandem_status push_change(const cli_bench_earlier *earlier, const cli_bench_row *row,
                                 tandem_buffer *out, tandem_error *err) {
    if (!earlier->is_loaded) return TANDEM_OK;
    const cli_bench_earlier_row *old = find_earlier(earlier, row);
    if (old == NULL) return tandem__buffer_printf(out, err, "  [not measured before]");
    const double change = old->p50_ms / row->p50_ms;
    return tandem__buffer_printf(out, err, "  [was %.2f ms, %.2fx %s]", old->p50_ms,
                                 change >= 1.0 ? change : 1.0 / change,
                                 change >= 1.0 ? "faster now" : "slower now");
}

static tandem_status push_figures(const cli_bench_row *row, tandem_buffer *out, tandem_error *err) {
    if (!row->is_throughput) {
        return tandem__buffer_printf(out, err, "%9.2f ms  p95 %.2f  p99 %.2f", row->p50_ms,
                                     row->p95_ms, row->p99_ms);
    }
    const double per_second = (double)row->batch / row->p50_ms * 1e3;
    return tandem__buffer_printf(out, err, "%9.1f texts/s %9.0f tokens/s", per_second,
                                 per_second * (double)row->tokens);
}

static tandem_status push_row(const cli_bench_tables *tables, int i, const char *baseline,
                              const cli_bench_earlier *earlier, tandem_buffer *out,
                              tandem_error *err) {
    const cli_bench_row *row = &tables->rows[i];
    const bool is_last =
        i + 1 == tables->row_count || tables->rows[i + 1].is_throughput != row->is_throughput;
    char label[100];
    (void)snprintf(label, sizeof label, "%s%s%s:", row->name, row->dtype[0] == '\0' ? "" : " ",
                   row->dtype);
    TANDEM_TRY(
        tandem__buffer_printf(out, err, "%s %-*s", is_last ? "└──" : "├──", NAME_CELLS, label));
    if (row->runs == 0) return tandem__buffer_printf(out, err, " %s\n", row->reason);
    TANDEM_TRY(push_figures(row, out, err));
    TANDEM_TRY(push_ratio(row, baseline, out, err));
    TANDEM_TRY(push_change(earlier, row, out, err));
    if (row->kind == CLI_ROW_BASELINE && row->reason[0] != '\0') {
        TANDEM_TRY(tandem__buffer_printf(out, err, " %s", row->reason));
    }
    return tandem__buffer_printf(out, err, "\n");
}

tandem_status cli_bench_tables_text(const cli_bench_tables *tables,
                                    const cli_bench_earlier *earlier, tandem_buffer *out,
                                    tandem_error *err) {
    const char *baseline = "";
    int32_t runs = 0;
    for (int i = 0; i < tables->row_count; i++) {
        if (tables->rows[i].kind == CLI_ROW_BASELINE) baseline = tables->rows[i].name;
        if (!tables->rows[i].is_throughput && tables->rows[i].runs > runs) {
            runs = tables->rows[i].runs;
        }
    }
    for (int i = 0; i < tables->row_count; i++) {
        const cli_bench_row *row = &tables->rows[i];
        if (i == 0 || row->is_throughput != tables->rows[i - 1].is_throughput) {
            TANDEM_TRY(push_title(tables, row, out, err));
        }
        TANDEM_TRY(push_row(tables, i, baseline, earlier, out, err));
    }
    TANDEM_TRY(tandem__buffer_printf(out, err, "\nMedians of %d run%s, %d threads on %s (%s).\n",
                                     runs, runs == 1 ? "" : "s", tables->threads,
                                     tables->machine.processor, tables->machine.kernels));
    if (runs < RUNS_FEW) {
        TANDEM_TRY(tandem__buffer_printf(
            out, err, "So few are a rough idea: --seconds 10 gives steadier figures.\n"));
    }
    if (!earlier->is_loaded) return TANDEM_OK;
    if (strcmp(earlier->processor, tables->machine.processor) != 0) {
        TANDEM_TRY(tandem__buffer_printf(out, err, "Compared with another machine: %s.\n",
                                         earlier->processor));
    }
    if (strcmp(earlier->model, tables->model.name) != 0) {
        TANDEM_TRY(
            tandem__buffer_printf(out, err, "Compared with another model: %s.\n", earlier->model));
    }
    return TANDEM_OK;
}

static tandem_status push_json_row(const cli_bench_row *row, tandem_buffer *out,
                                   tandem_error *err) {
    static const char *const kinds[] = {"lane", "missing", "baseline"};
    TANDEM_TRY(tandem__buffer_printf(out, err, "{\"kind\":\"%s\",\"name\":", kinds[row->kind]));
    TANDEM_TRY(tandem__json_text_string(out, tandem__str(row->name), err));
    TANDEM_TRY(tandem__buffer_printf(
        out, err, ",\"dtype\":\"%s\",\"tokens\":%d,\"batch\":%d,\"throughput\":%s,\"runs\":%d",
        row->dtype, row->tokens, row->batch, row->is_throughput ? "true" : "false", row->runs));
    if (row->runs > 0) {
        const double per_second = (double)row->batch / row->p50_ms * 1e3;
        TANDEM_TRY(tandem__buffer_printf(
            out, err,
            ",\"p50_ms\":%.4f,\"p95_ms\":%.4f,\"p99_ms\":%.4f,\"texts_per_s\":%.2f,"
            "\"tokens_per_s\":%.1f",
            row->p50_ms, row->p95_ms, row->p99_ms, per_second, per_second * (double)row->tokens));
    }
    if (row->ratio > 0.0) {
        TANDEM_TRY(tandem__buffer_printf(out, err, ",\"ratio\":%.4f", row->ratio));
    }
    TANDEM_TRY(tandem__buffer_printf(out, err, ",\"note\":"));
    TANDEM_TRY(tandem__json_text_string(out, tandem__str(row->reason), err));
    return tandem__buffer_push(out, "}", 1, err);
}

tandem_status cli_bench_tables_json(const cli_bench_tables *tables, tandem_buffer *out,
                                    tandem_error *err) {
    const tandem_model_info *model = &tables->model;
    TANDEM_TRY(tandem__buffer_printf(out, err,
                                     "{\"version\":\"%s\",\"model\":{\"name\":", tandem_version()));
    TANDEM_TRY(tandem__json_text_string(out, tandem__str(model->name), err));
    TANDEM_TRY(tandem__buffer_printf(out, err,
                                     ",\"hidden\":%d,\"layers\":%d,\"heads\":%d,\"ffn\":%d,"
                                     "\"parameters\":%" PRId64 "},\"threads\":%d,",
                                     model->hidden, model->layers, model->heads, model->ffn,
                                     model->parameters, tables->threads));
    TANDEM_TRY(cli_report_machine(out, &tables->machine, err));
    TANDEM_TRY(tandem__buffer_printf(out, err, ","));
    TANDEM_TRY(cli_report_lanes(out, tables->lanes, tables->lane_count, err));
    TANDEM_TRY(tandem__buffer_printf(out, err, ",\"rows\":["));
    for (int i = 0; i < tables->row_count; i++) {
        if (i > 0) TANDEM_TRY(tandem__buffer_push(out, ",", 1, err));
        TANDEM_TRY(push_json_row(&tables->rows[i], out, err));
    }
    return tandem__buffer_printf(out, err, "]}\n");
}
