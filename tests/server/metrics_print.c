/* SPDX-License-Identifier: Apache-2.0 */
/* metrics_print metrics|lanes|page: what those routes answer after some requests to an engine with
 * simulated lanes, on stdout (before the page its headers), for the tests that parse it. One model
 * has a name that needs escapes. */
#include <stdio.h>
#include <string.h>

#include "base/arena.h"
#include "base/buffer.h"
#include "base/clock.h"
#include "server/ledger.h"
#include "server/metrics.h"
#include "server/stats.h"
#include "support/sim_lanes.h"
#include "support/temp_folder.h"

#define REQUESTS 60

static const server_route embed = {.method = "POST", .path = "/embed"};
static const server_route health = {
    .method = "GET", .path = "/health", .answer = server_metrics_answer};

static bool ask_engine(server_stats *stats, const server_model *model, int i) {
    static const int32_t ids[] = {2, 5, 6, 3, 2, 7, 3};
    static const int32_t offsets[] = {0, 4, 7};
    const tandem_request request = {
        .ids = ids, .id_offsets = offsets, .count = 2, .priority = 10 * (i % 3 - 1)};
    tandem_result result = {0};
    const uint64_t start_ns = tandem__clock_ns();
    if (tandem_engine_infer(model->engine, &request, &result, NULL) != TANDEM_OK) return false;
    server_sample sample = {.route = &embed,
                            .model = model,
                            .http_code = 200,
                            .priority = request.priority,
                            .characters = 20,
                            .bytes_in = 40,
                            .bytes_out = 400,
                            .total_ns = tandem__clock_ns() - start_ns};
    server_sample_of_result(&sample, &result);
    server_stats_add(stats, &sample);
    tandem_result_deinit(&result);
    return true;
}

static bool fill(server_stats *stats, const server_catalog *catalog) {
    for (int i = 0; i < REQUESTS; i++) {
        if (!ask_engine(stats, &catalog->models[0], i)) return false;
    }
    const server_sample samples[] = {
        {.route = &health, .http_code = 200, .total_ns = 30000},
        {.route = NULL, .http_code = 404, .fault = SERVER_FAULT_NOT_FOUND, .total_ns = 20000},
        {.route = &embed,
         .model = &catalog->models[1],
         .http_code = 429,
         .fault = SERVER_FAULT_OVERLOADED,
         .total_ns = 50000},
    };
    for (size_t i = 0; i < sizeof samples / sizeof *samples; i++)
        server_stats_add(stats, &samples[i]);
    for (int i = 0; i < 5; i++) {
        server_stats_count(stats, SERVER_EVENT_ACCEPTED);
        server_stats_change(stats, SERVER_GAUGE_CONNECTIONS, 1);
    }
    server_stats_count(stats, SERVER_EVENT_LEFT);
    return true;
}

static bool print_answer(const char *what, const server_catalog *catalog) {
    server_answer_function *answer = strcmp(what, "metrics") == 0 ? server_metrics_answer
                                     : strcmp(what, "lanes") == 0 ? server_lanes_answer
                                     : strcmp(what, "page") == 0  ? server_dashboard_answer
                                                                  : NULL;
    if (answer == NULL) return false;
    tandem_arena arena;
    tandem_buffer out;
    tandem_buffer headers;
    tandem_error err = {0};
    tandem__arena_init(&arena, (size_t)4 << 20);
    tandem__buffer_init(&out, (size_t)4 << 20);
    tandem__buffer_init(&headers, (size_t)64 << 10);
    server_ask ask = {.arena = &arena, .catalog = catalog, .more_headers = &headers};
    const bool is_ok = answer(&ask, NULL, &out, &err) == TANDEM_OK;
    if (headers.len > 0) (void)fwrite(headers.ptr, 1, headers.len, stdout);
    if (is_ok)
        (void)fwrite(out.ptr, 1, out.len, stdout);
    else
        (void)fprintf(stderr, "%s\n", err.message);
    tandem__buffer_deinit(&headers);
    tandem__buffer_deinit(&out);
    tandem__arena_deinit(&arena);
    return is_ok;
}

int main(int argc, char **argv) {
    char folder[256];
    char file[300];
    server_stats *stats = NULL;
    server_ledger *ledger = NULL;
    folder_make(folder);
    (void)snprintf(file, sizeof file, "%s/usage.sqlite", folder);
    if (argc != 2 || server_ledger_open(file, &ledger, NULL) != TANDEM_OK ||
        server_stats_create(&stats, NULL) != TANDEM_OK)
        return 2;
    tandem_engine *engine = sim_engine_open((double[]){300, 600, -1}, NULL);
    server_catalog catalog = {.models = {{.name = "org/model", .engine = engine, .index = 0},
                                         {.name = "a\\b \"c\"\nd", .engine = engine, .index = 1}},
                              .count = 2,
                              .limits = {.connections = 1000},
                              .version = "1.2.3",
                              .stats = stats,
                              .ledger = ledger};
    for (size_t i = 0; i < catalog.count; i++) tandem_engine_model(engine, &catalog.models[i].info);
    const bool is_ok = fill(stats, &catalog) && print_answer(argv[1], &catalog);
    tandem_engine_close(engine);
    server_ledger_close(ledger);
    server_stats_destroy(stats);
    folder_remove(folder);
    return is_ok ? 0 : 1;
}
