/* SPDX-License-Identifier: Apache-2.0 */
/* GET /lanes: what a person wants to know of a running server, in one document that the page at
 * GET / draws every second. Numbers have their unit in their name; what is not known is null or not
 * there. */
#include <inttypes.h>
#include <stdbool.h>
#include <stddef.h>
#include <string.h>
#include <time.h>

#include "base/fail.h"
#include "base/json_text.h"
#include "server/decisions.h"
#include "server/metrics.h"
#include "server/overview.h"
#include "server/stats_state.h"

/* A value inside an object or a list: the comma before it, and its key. */
typedef struct lanes_text {
    tandem_buffer *out;
    tandem_error *err;
    tandem_status status; /* the first failure stays */
    bool is_first;        /* ... in its container */
} lanes_text;

static void push(lanes_text *text, const char *bytes) {
    if (text->status != TANDEM_OK) return;
    text->status = tandem__buffer_push(text->out, bytes, strlen(bytes), text->err);
}

static void push_key(lanes_text *text, const char *key) {
    if (!text->is_first) push(text, ",");
    text->is_first = false;
    if (key == NULL) return;
    push(text, "\"");
    push(text, key);
    push(text, "\":");
}

/* `bracket` is "{" or "["; closed by close_with. */
static void open_with(lanes_text *text, const char *key, const char *bracket) {
    push_key(text, key);
    push(text, bracket);
    text->is_first = true;
}

static void close_with(lanes_text *text, const char *bracket) {
    push(text, bracket);
    text->is_first = false;
}

static void add_text(lanes_text *text, const char *key, const char *value) {
    push_key(text, key);
    if (text->status != TANDEM_OK) return;
    text->status =
        tandem__json_text_string(text->out, tandem__str(value == NULL ? "" : value), text->err);
}

static void add_count(lanes_text *text, const char *key, int64_t value) {
    push_key(text, key);
    if (text->status != TANDEM_OK) return;
    text->status = tandem__buffer_printf(text->out, text->err, "%" PRId64, value);
}

static void add_number(lanes_text *text, const char *key, double value) {
    push_key(text, key);
    if (text->status != TANDEM_OK) return;
    text->status = tandem__buffer_printf(text->out, text->err, "%.6g", value);
}

static void add_bool(lanes_text *text, const char *key, bool value) {
    push_key(text, key);
    push(text, value ? "true" : "false");
}

static void add_minute(lanes_text *text, const server_minute *minute) {
    add_count(text, "answered", (int64_t)minute->count);
    add_number(text, "p50_ms", minute->p50_ms);
    add_number(text, "p95_ms", minute->p95_ms);
    add_number(text, "p99_ms", minute->p99_ms);
}

/* "up", "out", "closed"; "absent" of a lane that this machine has not. */
static const char *lane_state(const server_lane_view *lane) {
    if (!lane->info.is_available) return "absent";
    return lane->info.is_open && lane->metrics.state != NULL ? lane->metrics.state : "closed";
}

static void add_lane(lanes_text *text, const server_lane_view *lane) {
    const tandem_lane_metrics *metrics = &lane->metrics;
    open_with(text, NULL, "{");
    add_text(text, "name", lane->info.name);
    add_text(text, "class", lane->info.lane_class);
    add_text(text, "device", lane->info.device);
    add_text(text, "dtype", lane->info.dtype);
    add_bool(text, "available", lane->info.is_available);
    add_text(text, "reason", lane->info.reason);
    add_text(text, "state", lane_state(lane));
    if (lane->info.is_open) {
        add_number(text, "utilisation", metrics->utilisation);
        add_count(text, "in_flight", metrics->in_flight);
        add_count(text, "in_flight_max", metrics->in_flight_max);
        add_number(text, "busy_ms", metrics->busy_ms);
        add_count(text, "batches", (int64_t)metrics->batches);
        add_count(text, "texts", (int64_t)metrics->texts);
        add_count(text, "tokens", (int64_t)metrics->tokens);
        add_number(text, "batch_mean", metrics->mean_batch);
        add_count(text, "failed_batches", (int64_t)metrics->failed_batches);
        add_count(text, "outages", (int64_t)metrics->times_out);
        add_count(text, "requests", (int64_t)lane->requests);
        add_count(text, "fallbacks", (int64_t)lane->fallbacks);
        add_minute(text, &lane->minute);
    }
    close_with(text, "}");
}

static void add_target(lanes_text *text, const tandem_target *target) {
    open_with(text, NULL, "{");
    add_text(text, "name", target->name);
    add_number(text, "value", target->value);
    add_number(text, "limit", target->limit);
    add_bool(text, "is_minimum", target->is_minimum);
    add_text(text, "state",
             !target->is_measured ? "not measured"
             : target->is_met     ? "met"
                                  : "missed");
    close_with(text, "}");
}

static void add_engine(lanes_text *text, const server_model_view *view) {
    const tandem_metrics *metrics = &view->metrics;
    add_bool(text, "ready", view->is_ready);
    add_count(text, "waiting", metrics->waiting);
    add_count(text, "waiting_tokens", metrics->waiting_tokens);
    add_number(text, "texts_per_s", metrics->texts_per_s);
    add_count(text, "texts", (int64_t)server_read(&view->stats->texts));
    add_count(text, "tokens", (int64_t)server_read(&view->stats->tokens));
    add_count(text, "truncated", (int64_t)server_read(&view->stats->truncated));
    add_count(text, "cached", (int64_t)server_read(&view->stats->cached));
    add_count(text, "refused", (int64_t)metrics->refused);
    add_count(text, "deadline_misses", (int64_t)(metrics->late + metrics->expired));
    add_count(text, "cancelled", (int64_t)metrics->cancelled);
    add_count(text, "speed_percent", metrics->speed_percent);
    add_count(text, "memory_level", metrics->memory_level);
    add_number(text, "batch_scale", metrics->batch_scale);
    open_with(text, "minute", "{");
    add_minute(text, &view->minute);
    add_count(text, "failed", (int64_t)view->failed);
    close_with(text, "}");
}

static void add_lists(lanes_text *text, const server_model_view *view) {
    const tandem_metrics *metrics = &view->metrics;
    open_with(text, "priorities", "[");
    for (int b = 0; b < TANDEM_BANDS; b++) {
        open_with(text, NULL, "{");
        add_text(text, "name", server_band_word(b));
        add_count(text, "requests", (int64_t)server_read(&view->stats->requests[b]));
        add_number(text, "queue_p95_ms", metrics->bands[b].queue.p95_ms);
        add_minute(text, &view->bands[b]);
        close_with(text, "}");
    }
    close_with(text, "]");
    open_with(text, "targets", "[");
    for (int t = 0; t < metrics->target_count; t++) add_target(text, &metrics->targets[t]);
    close_with(text, "]");
    open_with(text, "reasons", "[");
    for (int r = 0; r < metrics->reason_count; r++) {
        open_with(text, NULL, "{");
        add_text(text, "reason", metrics->reasons[r].text);
        add_count(text, "requests", (int64_t)metrics->reasons[r].requests);
        close_with(text, "}");
    }
    close_with(text, "]");
    open_with(text, "lanes", "[");
    for (int l = 0; l < view->lane_count; l++) add_lane(text, &view->lanes[l]);
    close_with(text, "]");
}

static void add_model(lanes_text *text, const server_model_view *view) {
    const server_model *model = view->model;
    open_with(text, NULL, "{");
    add_text(text, "name", model->name);
    add_text(text, "size", model->size);
    add_text(text, "dtype", model->dtype);
    add_count(text, "dimensions", model->info.dimensions);
    add_count(text, "max_length", model->info.max_length);
    add_bool(text, "embeds", model->info.has_embedding && model->info.labels == 0);
    add_count(text, "labels", model->info.labels);
    add_engine(text, view);
    add_lists(text, view);
    close_with(text, "}");
}

static void add_server(lanes_text *text, const server_overview *overview) {
    const server_stats *stats = overview->stats;
    open_with(text, "http", "{");
    add_count(text, "connections",
              atomic_load_explicit(&stats->gauges[SERVER_GAUGE_CONNECTIONS], memory_order_relaxed));
    add_count(text, "connections_max", overview->catalog->limits.connections);
    add_count(text, "requests",
              atomic_load_explicit(&stats->gauges[SERVER_GAUGE_REQUESTS], memory_order_relaxed));
    add_count(text, "streams",
              atomic_load_explicit(&stats->gauges[SERVER_GAUGE_STREAMS], memory_order_relaxed));
    add_count(text, "clients_left", (int64_t)server_read(&stats->events[SERVER_EVENT_LEFT]));
    add_count(text, "bytes_in", (int64_t)server_read(&stats->bytes_in));
    add_count(text, "bytes_out", (int64_t)server_read(&stats->bytes_out));
    close_with(text, "}");
    open_with(text, "errors", "{");
    for (int f = SERVER_FAULT_NONE + 1; f < SERVER_FAULTS; f++) {
        const uint64_t count = server_read(&stats->faults[f]);
        if (count > 0) add_count(text, server_fault_word((server_fault)f), (int64_t)count);
    }
    close_with(text, "}");
    add_bool(text, "draining", overview->is_draining);
    open_with(text, "ledger", "{");
    add_bool(text, "kept", overview->has_ledger);
    add_text(text, "fault", overview->ledger_fault);
    close_with(text, "}");
    open_with(text, "machine", "{");
    add_text(text, "processor", overview->machine.processor);
    add_text(text, "kernels", overview->machine.kernels);
    add_count(text, "processors", overview->machine.processors);
    add_count(text, "memory_bytes", overview->machine.memory_bytes);
    add_count(text, "memory_available_bytes", overview->machine.memory_available_bytes);
    add_count(text, "resident_bytes", overview->process.resident_bytes);
    add_number(text, "cpu_s", overview->process.cpu_s);
    close_with(text, "}");
}

static void add_decisions(lanes_text *text, const server_overview *overview) {
    server_decision decisions[SERVER_DECISIONS];
    const size_t count = server_decisions_read(overview->stats->decisions, decisions);
    open_with(text, "recent", "[");
    for (size_t i = 0; i < count; i++) {
        const server_decision *at = &decisions[i];
        open_with(text, NULL, "{");
        add_count(text, "time_ms", at->time_ms);
        add_text(text, "model", overview->catalog->models[at->model_index].name);
        add_text(text, "lane", at->lane);
        add_text(text, "reason", at->reason);
        add_count(text, "priority", at->priority);
        add_count(text, "texts", (int64_t)at->texts);
        add_count(text, "code", at->http_code);
        add_number(text, "total_ms", (double)at->total_ns / 1e6);
        close_with(text, "}");
    }
    close_with(text, "]");
}

tandem_status server_lanes_answer(server_ask *ask, const tandem_json *body, tandem_buffer *out,
                                  tandem_error *err) {
    (void)body;
    server_overview overview;
    TANDEM_TRY(server_overview_make(ask->catalog, ask->arena, &overview, err));
    struct timespec now;
    (void)clock_gettime(CLOCK_REALTIME, &now);
    lanes_text text = {.out = out, .err = err, .is_first = true};
    open_with(&text, NULL, "{");
    add_text(&text, "version", overview.catalog->version);
    add_count(&text, "time_ms", (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000);
    add_count(&text, "uptime_s", overview.uptime_s);
    add_server(&text, &overview);
    open_with(&text, "models", "[");
    for (size_t i = 0; i < overview.catalog->count; i++) add_model(&text, &overview.models[i]);
    close_with(&text, "]");
    add_decisions(&text, &overview);
    close_with(&text, "}");
    return text.status;
}
