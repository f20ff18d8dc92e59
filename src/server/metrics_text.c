/* SPDX-License-Identifier: Apache-2.0 */
/* GET /metrics. A family is a line of one of the tables below: name, type, help and the number that
 * it shows of a model or of a lane of a model. Times are seconds and sizes bytes, as Prometheus
 * wants it; percentages are those of the guide. */
#include <math.h>
#include <stddef.h>
#include <stdio.h>

#include "base/fail.h"
#include "server/metrics.h"
#include "server/overview.h"
#include "server/prometheus.h"
#include "server/stats_state.h"

/* clang-format off */
#define MODEL_FAMILIES(X)                                                                          \
    X(texts_total, "counter", "Texts that were answered.", server_read(&view->stats->texts))       \
    X(characters_total, "counter", "Characters of those texts.",                                   \
      server_read(&view->stats->characters))                                                       \
    X(tokens_total, "counter", "Tokens of those texts.", server_read(&view->stats->tokens))        \
    X(truncated_texts_total, "counter", "Texts that were longer than the model takes and cut.",    \
      server_read(&view->stats->truncated))                                                        \
    X(cached_texts_total, "counter", "Texts whose vectors were known.",                            \
      server_read(&view->stats->cached))                                                           \
    X(cache_answers_total, "counter", "Requests that needed no lane.", view->metrics.cached)       \
    X(submitted_total, "counter", "Requests that the engine took in or refused.",                  \
      view->metrics.submitted)                                                                     \
    X(finished_total, "counter", "Requests that ended, however they did.", view->metrics.finished) \
    X(refused_total, "counter", "Requests that were refused because too much waited.",             \
      view->metrics.refused)                                                                       \
    X(cancelled_total, "counter", "Requests that were cancelled.", view->metrics.cancelled)        \
    X(failed_total, "counter", "Requests with a text that no lane could compute.",                 \
      view->metrics.failed)                                                                        \
    X(retried_texts_total, "counter", "Texts that went to a lane again after a failed batch.",     \
      view->metrics.retried_texts)                                                                 \
    X(hung_batches_total, "counter", "Batches that a lane did not finish.",                        \
      view->metrics.hung_batches)                                                                  \
    X(waiting_requests, "gauge", "Requests that wait.", view->metrics.waiting)                     \
    X(waiting_tokens, "gauge", "Tokens that wait.", view->metrics.waiting_tokens)                  \
    X(waiting_requests_p95, "gauge",                                                               \
      "95th percentile of the requests that a request found waiting.", view->metrics.waiting_p95)  \
    X(texts_per_second, "gauge", "Texts that lanes computed, the last 10 s.",                      \
      view->metrics.texts_per_s)                                                                   \
    X(speed_percent, "gauge", "Speed that heat and power allow; 100 is not throttled.",            \
      view->metrics.speed_percent)                                                                 \
    X(memory_level, "gauge",                                                                       \
      "0 enough, 1 smaller cache, 2 smaller batches, 3 one in flight, 4 background refused.",      \
      view->metrics.memory_level)                                                                  \
    X(batch_scale, "gauge", "Times the usual batches, to keep up.", view->metrics.batch_scale)     \
    X(lanes_shared, "gauge", "1 while latency lanes take any work.",                               \
      view->metrics.is_everything_open)                                                            \
    X(ready, "gauge", "1 if a lane has computed something within the last half minute.",           \
      view->is_ready)

#define LANE_FAMILIES(X)                                                                           \
    X(available, "gauge", "1 if this machine has the lane.", lane->info.is_available)              \
    X(up, "gauge", "1 if the lane serves; 0: it failed and is probed, or it is not open.",         \
      is_up(lane))                                                                                 \
    X(utilisation_ratio, "gauge", "Part of the last 10 s that the lane was busy.",                 \
      lane->metrics.utilisation)                                                                   \
    X(busy_seconds_total, "counter", "Seconds of its batches, summed over those in flight.",       \
      lane->metrics.busy_ms / 1e3)                                                                 \
    X(batches_total, "counter", "Batches that it computed.", lane->metrics.batches)                \
    X(texts_total, "counter", "Sequences of those batches.", lane->metrics.texts)                  \
    X(tokens_total, "counter", "Tokens of those batches.", lane->metrics.tokens)                   \
    X(batch_texts_mean, "gauge", "Texts of a batch, on average.", lane->metrics.mean_batch)        \
    X(failed_batches_total, "counter", "Batches that failed or hung.",                             \
      lane->metrics.failed_batches)                                                                \
    X(outages_total, "counter", "Times that it went out of service.", lane->metrics.times_out)     \
    X(batches_in_flight, "gauge", "Batches that it works on.", lane->metrics.in_flight)            \
    X(batches_in_flight_max, "gauge", "Batches that it may work on at a time.",                    \
      lane->metrics.in_flight_max)                                                                 \
    X(fallbacks_total, "counter", "Requests that it served though they asked for another lane.",   \
      lane->fallbacks)                                                                             \
    X(weights_bytes, "gauge", "Memory of the model's weights there.", lane->info.weights_bytes)    \
    X(workspace_bytes, "gauge", "Memory that computing needs there.", lane->info.workspace_bytes)
/* clang-format on */

static bool is_up(const server_lane_view *lane) {
    return lane->info.is_open && lane->metrics.state != NULL && lane->metrics.state[0] == 'u';
}

#define MODEL_READ(name, type, help, value)                                                        \
    static double read_##name(const server_model_view *view) {                                     \
        return (double)(value);                                                                    \
    }
MODEL_FAMILIES(MODEL_READ)
#undef MODEL_READ

#define LANE_READ(name, type, help, value)                                                         \
    static double read_lane_##name(const server_lane_view *lane) {                                 \
        return (double)(value);                                                                    \
    }
LANE_FAMILIES(LANE_READ)
#undef LANE_READ

static const struct {
    const char *name;
    const char *type;
    const char *help;
    double (*read)(const server_model_view *view);
} model_families[] = {
#define MODEL_ROW(name, type, help, value) {"tandem_" #name, type, help, read_##name},
    MODEL_FAMILIES(MODEL_ROW)
#undef MODEL_ROW
};

static const struct {
    const char *name;
    const char *type;
    const char *help;
    double (*read)(const server_lane_view *lane);
} lane_families[] = {
#define LANE_ROW(name, type, help, value) {"tandem_lane_" #name, type, help, read_lane_##name},
    LANE_FAMILIES(LANE_ROW)
#undef LANE_ROW
};

#define COUNT(array) (sizeof(array) / sizeof *(array))

static void write_models(server_prom *prom, const server_overview *overview) {
    for (size_t f = 0; f < COUNT(model_families); f++) {
        server_prom_family(prom, model_families[f].name, model_families[f].type,
                           model_families[f].help);
        for (size_t i = 0; i < overview->catalog->count; i++) {
            const server_model_view *view = &overview->models[i];
            server_prom_value(prom, model_families[f].name,
                              &SERVER_LABELS({"model", view->model->name}),
                              model_families[f].read(view));
        }
    }
}

/* Lanes that this engine could have: the ones that are not there say so by tandem_lane_available
 * and have no other numbers. */
static void write_lanes(server_prom *prom, const server_overview *overview) {
    for (size_t f = 0; f < COUNT(lane_families); f++) {
        server_prom_family(prom, lane_families[f].name, lane_families[f].type,
                           lane_families[f].help);
        for (size_t i = 0; i < overview->catalog->count; i++) {
            const server_model_view *view = &overview->models[i];
            for (int l = 0; l < view->lane_count; l++) {
                const server_lane_view *lane = &view->lanes[l];
                if (f > 0 && !lane->info.is_open) continue;
                server_prom_value(prom, lane_families[f].name,
                                  &SERVER_LABELS({"model", view->model->name},
                                                 {"lane", lane->info.name},
                                                 {"class", lane->info.lane_class}),
                                  lane_families[f].read(lane));
            }
        }
    }
}

static void write_lane_times(server_prom *prom, const server_overview *overview) {
    static const char name[] = "tandem_lane_request_duration_seconds";
    server_prom_family(prom, name, "summary",
                       "Time of requests by the lane that answered; quantiles of the last minute.");
    for (size_t i = 0; i < overview->catalog->count; i++) {
        const server_model_view *view = &overview->models[i];
        for (int l = 0; l < view->lane_count; l++) {
            const server_lane_view *lane = &view->lanes[l];
            if (lane->requests == 0) continue;
            const char *model = view->model->name;
            const struct {
                const char *share;
                double ms;
            } quantiles[] = {{"0.5", lane->minute.p50_ms},
                             {"0.95", lane->minute.p95_ms},
                             {"0.99", lane->minute.p99_ms}};
            for (size_t q = 0; q < COUNT(quantiles); q++) {
                const double seconds = lane->minute.count > 0 ? quantiles[q].ms / 1e3 : (double)NAN;
                server_prom_value(prom, name,
                                  &SERVER_LABELS({"model", model}, {"lane", lane->info.name},
                                                 {"quantile", quantiles[q].share}),
                                  seconds);
            }
            const server_labels labels = SERVER_LABELS({"model", model}, {"lane", lane->info.name});
            server_prom_value(prom, "tandem_lane_request_duration_seconds_sum", &labels,
                              lane->total_s);
            server_prom_value(prom, "tandem_lane_request_duration_seconds_count", &labels,
                              (double)lane->requests);
        }
    }
}

typedef const server_histogram *band_histogram_function(const server_model_stats *stats, int band);

static const server_histogram *total_of(const server_model_stats *stats, int band) {
    return &stats->total[band];
}

static const server_histogram *queue_of(const server_model_stats *stats, int band) {
    return &stats->queue[band];
}

static void write_band_times(server_prom *prom, const server_overview *overview, const char *name,
                             const char *help, band_histogram_function *histogram) {
    server_prom_family(prom, name, "histogram", help);
    for (size_t i = 0; i < overview->catalog->count; i++) {
        const server_model_view *view = &overview->models[i];
        for (int b = 0; b < TANDEM_BANDS; b++)
            server_prom_histogram(
                prom, name,
                &SERVER_LABELS({"model", view->model->name}, {"priority", server_band_word(b)}),
                histogram(view->stats, b), &overview->stats->bounds.time);
    }
}

static void write_bands(server_prom *prom, const server_overview *overview) {
    server_prom_family(prom, "tandem_requests_total", "counter",
                       "Requests for a model, by priority, however they ended.");
    for (size_t i = 0; i < overview->catalog->count; i++) {
        const server_model_view *view = &overview->models[i];
        for (int b = 0; b < TANDEM_BANDS; b++)
            server_prom_value(
                prom, "tandem_requests_total",
                &SERVER_LABELS({"model", view->model->name}, {"priority", server_band_word(b)}),
                (double)server_read(&view->stats->requests[b]));
    }
    write_band_times(prom, overview, "tandem_request_duration_seconds",
                     "Time of requests that were answered, as the server saw it.", total_of);
    write_band_times(prom, overview, "tandem_queue_duration_seconds",
                     "Time that they waited for a lane.", queue_of);
}

/* Of one model: a number by a word. */
static void write_reasons(server_prom *prom, const server_overview *overview) {
    server_prom_family(prom, "tandem_routing_decisions_total", "counter",
                       "Requests by why they went to the lane that served them.");
    for (size_t i = 0; i < overview->catalog->count; i++) {
        const server_model_view *view = &overview->models[i];
        for (int r = 0; r < view->metrics.reason_count; r++)
            server_prom_value(prom, "tandem_routing_decisions_total",
                              &SERVER_LABELS({"model", view->model->name},
                                             {"reason", view->metrics.reasons[r].text}),
                              (double)view->metrics.reasons[r].requests);
    }
    server_prom_family(prom, "tandem_deadline_misses_total", "counter",
                       "Requests that were refused because their deadline could not be met, or "
                       "whose deadline passed while they waited.");
    for (size_t i = 0; i < overview->catalog->count; i++) {
        const server_model_view *view = &overview->models[i];
        const char *model = view->model->name;
        server_prom_value(prom, "tandem_deadline_misses_total",
                          &SERVER_LABELS({"model", model}, {"how", "refused"}),
                          (double)view->metrics.late);
        server_prom_value(prom, "tandem_deadline_misses_total",
                          &SERVER_LABELS({"model", model}, {"how", "expired"}),
                          (double)view->metrics.expired);
    }
}

/* The guide's five. What was not measured has no tandem_target_met. */
static void write_targets(server_prom *prom, const server_overview *overview) {
    static const char *const names[] = {"tandem_target_value", "tandem_target_limit",
                                        "tandem_target_met"};
    static const char *const helps[] = {"A figure that is to be watched; the name has its unit.",
                                        "Its limit: the least for throughput, else the most.",
                                        "1 if it is within its limit."};
    for (int n = 0; n < 3; n++) {
        server_prom_family(prom, names[n], "gauge", helps[n]);
        for (size_t i = 0; i < overview->catalog->count; i++) {
            const server_model_view *view = &overview->models[i];
            for (int t = 0; t < view->metrics.target_count; t++) {
                const tandem_target *target = &view->metrics.targets[t];
                if (n != 1 && !target->is_measured) continue;
                const double values[] = {target->value, target->limit, target->is_met};
                server_prom_value(
                    prom, names[n],
                    &SERVER_LABELS({"model", view->model->name}, {"target", target->name}),
                    values[n]);
            }
        }
    }
}

/* A family of one number without labels. */
static void write_one(server_prom *prom, const char *name, const char *type, const char *help,
                      double value) {
    server_prom_family(prom, name, type, help);
    server_prom_value(prom, name, NULL, value);
}

static void write_routes(server_prom *prom, const server_stats *stats) {
    server_prom_family(prom, "tandem_http_requests_total", "counter",
                       "Requests by route and status; route \"\" is no route.");
    for (size_t r = 0; r < SERVER_ROUTES_MAX; r++) {
        const server_route *route =
            atomic_load_explicit(&stats->routes[r].route, memory_order_acquire);
        for (size_t c = 0; server_code_at(c) != 0; c++) {
            const uint64_t count = server_read(&stats->routes[r].codes[c]);
            if (count == 0) continue;
            char code[16];
            (void)snprintf(code, sizeof code, "%d", server_code_at(c));
            server_prom_value(prom, "tandem_http_requests_total",
                              &SERVER_LABELS({"route", route == NULL ? "" : route->path},
                                             {"method", route == NULL ? "" : route->method},
                                             {"code", code}),
                              (double)count);
        }
    }
    static const char name[] = "tandem_http_request_duration_seconds";
    server_prom_family(prom, name, "histogram",
                       "Time from a request's first byte to its answer's last.");
    for (size_t r = 1; r < SERVER_ROUTES_MAX; r++) {
        const server_route_stats *at = &stats->routes[r];
        const server_route *route = atomic_load_explicit(&at->route, memory_order_acquire);
        if (route == NULL) break;
        server_prom_histogram(prom, name,
                              &SERVER_LABELS({"route", route->path}, {"method", route->method}),
                              &at->total, &stats->bounds.time);
    }
}

static void write_http(server_prom *prom, const server_overview *overview) {
    const server_stats *stats = overview->stats;
    write_routes(prom, stats);
    server_prom_family(prom, "tandem_errors_total", "counter",
                       "Requests that did not get what they asked for, by why.");
    for (int f = SERVER_FAULT_NONE + 1; f < SERVER_FAULTS; f++)
        server_prom_value(prom, "tandem_errors_total",
                          &SERVER_LABELS({"error", server_fault_word((server_fault)f)}),
                          (double)server_read(&stats->faults[f]));
    write_one(prom, "tandem_http_request_bytes_total", "counter", "Bytes of bodies that came.",
              (double)server_read(&stats->bytes_in));
    write_one(prom, "tandem_http_response_bytes_total", "counter", "Bytes of bodies that went.",
              (double)server_read(&stats->bytes_out));
    static const struct {
        const char *name;
        const char *help;
    } gauges[SERVER_GAUGES] = {
        [SERVER_GAUGE_CONNECTIONS] = {"tandem_http_connections", "Connections that are open."},
        [SERVER_GAUGE_REQUESTS] = {"tandem_http_requests_in_progress",
                                   "Requests that are being read, computed or answered."},
        [SERVER_GAUGE_STREAMS] = {"tandem_http_streams", "Streams under way."},
    };
    for (int g = 0; g < SERVER_GAUGES; g++)
        write_one(prom, gauges[g].name, "gauge", gauges[g].help,
                  (double)atomic_load_explicit(&stats->gauges[g], memory_order_relaxed));
    static const struct {
        const char *name;
        const char *help;
    } events[SERVER_EVENTS] = {
        [SERVER_EVENT_ACCEPTED] = {"tandem_http_connections_accepted_total",
                                   "Connections that came."},
        [SERVER_EVENT_TURNED_AWAY] = {"tandem_http_connections_refused_total",
                                      "Connections that came over the limit and were refused."},
        [SERVER_EVENT_TIMED_OUT] =
            {"tandem_http_connections_timed_out_total",
             "Connections that were closed because they were idle or too slow."},
        [SERVER_EVENT_LEFT] = {"tandem_http_clients_left_total",
                               "Clients that left while their request was under way."},
    };
    for (int e = 0; e < SERVER_EVENTS; e++)
        write_one(prom, events[e].name, "counter", events[e].help,
                  (double)server_read(&stats->events[e]));
    write_one(prom, "tandem_http_connections_max", "gauge", "Connections that may be open.",
              (double)overview->catalog->limits.connections);
}

static void write_process(server_prom *prom, const server_overview *overview) {
    const tandem_process *process = &overview->process;
    server_prom_family(prom, "tandem_build_info", "gauge", "1, with the version as a label.");
    server_prom_value(prom, "tandem_build_info",
                      &SERVER_LABELS({"version", overview->catalog->version}), 1);
    write_one(prom, "process_start_time_seconds", "gauge", "Unix time of the start.",
              (double)overview->stats->started_s);
    if (process->cpu_s >= 0)
        write_one(prom, "process_cpu_seconds_total", "counter", "Processor time of the process.",
                  process->cpu_s);
    if (process->resident_bytes >= 0)
        write_one(prom, "process_resident_memory_bytes", "gauge", "Memory of the process.",
                  (double)process->resident_bytes);
    if (process->open_files >= 0)
        write_one(prom, "process_open_fds", "gauge", "Files and sockets that it has open.",
                  (double)process->open_files);
    write_one(prom, "tandem_draining", "gauge", "1 while the server stops and takes no more work.",
              overview->is_draining);
    if (overview->machine.memory_available_bytes >= 0)
        write_one(prom, "tandem_memory_available_bytes", "gauge",
                  "Memory that the machine or the control group has left.",
                  (double)overview->machine.memory_available_bytes);
}

static void write_ledger(server_prom *prom, const server_overview *overview) {
    const server_ledger_state *ledger = &overview->ledger;
    if (!overview->has_ledger) return;
    write_one(prom, "tandem_ledger_fault", "gauge", "1 while usage cannot be written to its file.",
              overview->ledger_fault[0] != '\0');
    write_one(prom, "tandem_ledger_entered_total", "counter", "Requests that were entered.",
              (double)ledger->entered);
    write_one(prom, "tandem_ledger_written_total", "counter", "Requests that are in the file.",
              (double)ledger->written);
    write_one(prom, "tandem_ledger_merged_total", "counter",
              "Requests whose tenant and model were lost because the file could not be written.",
              (double)ledger->merged);
    write_one(prom, "tandem_ledger_failures_total", "counter", "Writes that failed.",
              (double)ledger->failures);
    write_one(prom, "tandem_ledger_waiting_rows", "gauge", "Sums that wait to be written.",
              (double)ledger->rows);
}

tandem_status server_metrics_answer(server_ask *ask, const tandem_json *body, tandem_buffer *out,
                                    tandem_error *err) {
    (void)body;
    server_overview overview;
    TANDEM_TRY(server_overview_make(ask->catalog, ask->arena, &overview, err));
    ask->answer_type = "text/plain; version=0.0.4; charset=utf-8";
    server_prom prom = {.out = out, .err = err};
    write_process(&prom, &overview);
    write_models(&prom, &overview);
    write_bands(&prom, &overview);
    write_lanes(&prom, &overview);
    write_lane_times(&prom, &overview);
    write_reasons(&prom, &overview);
    write_targets(&prom, &overview);
    write_http(&prom, &overview);
    write_ledger(&prom, &overview);
    server_metrics_tei(&prom, &overview);
    return prom.status;
}
