/* SPDX-License-Identifier: Apache-2.0 */
#include "server/stats.h"

#include <math.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "base/assert.h"
#include "base/clock.h"
#include "base/fail.h"
#include "base/histogram.h"
#include "base/mem.h"
#include "server/decisions.h"
#include "server/stats_state.h"

/* Of server_route_stats.codes; the last stands for every other. */
static const int codes[] = {200, 202, 204, 304, 400, 401, 403, 404, 405, 406, 408,
                            411, 413, 414, 415, 417, 422, 424, 429, 431, 499, 500,
                            501, 502, 503, 504, 505, 507, 100, 101, 599};

#define CODES (sizeof codes / sizeof *codes)

_Static_assert(CODES <= SERVER_CODES_MAX, "every code has its place");

const char *server_fault_word(server_fault fault) {
    static const char *const words[] = {
#define SERVER_FAULT_WORD(name, value, word) [value] = (word),
        SERVER_FAULT_MAP(SERVER_FAULT_WORD)
#undef SERVER_FAULT_WORD
    };
    return words[fault];
}

static server_fault fault_of_code(int http_code) {
    if (http_code < 400) return SERVER_FAULT_NONE;
    switch (http_code) {
    case 401:
    case 403:
        return SERVER_FAULT_KEY;
    case 404:
    case 405:
        return SERVER_FAULT_NOT_FOUND;
    case 413:
        return SERVER_FAULT_BATCH_SIZE;
    case 429:
        return SERVER_FAULT_OVERLOADED;
    case 499:
        return SERVER_FAULT_DROPPED;
    case 503:
        return SERVER_FAULT_UNAVAILABLE;
    case 504:
        return SERVER_FAULT_DEADLINE;
    default:
        return http_code < 500 ? SERVER_FAULT_VALIDATION : SERVER_FAULT_INFERENCE;
    }
}

server_fault server_fault_of(tandem_status status, int http_code) {
    switch (status) {
    case TANDEM_UNSUPPORTED:
        return http_code == 503 ? SERVER_FAULT_UNAVAILABLE : SERVER_FAULT_MODEL_TYPE;
    case TANDEM_TIMEOUT:
        return SERVER_FAULT_DEADLINE;
    case TANDEM_CANCELLED:
        return http_code == 503 ? SERVER_FAULT_UNAVAILABLE : SERVER_FAULT_DROPPED;
    case TANDEM_NUMERIC:
        return http_code < 500 ? SERVER_FAULT_VALIDATION : SERVER_FAULT_MISSING_VALUES;
    case TANDEM_CAPACITY:
        return http_code == 429 || http_code == 503 ? SERVER_FAULT_OVERLOADED
                                                    : SERVER_FAULT_BATCH_SIZE;
    case TANDEM_OK:
    case TANDEM_INVALID:
    case TANDEM_NOT_FOUND:
    case TANDEM_FORMAT:
    case TANDEM_IO:
    case TANDEM_PERMISSION:
    case TANDEM_MEMORY:
    case TANDEM_DEVICE:
        break;
    }
    return fault_of_code(http_code);
}

_Static_assert(sizeof((server_sample *)0)->reason == sizeof((tandem_result *)0)->reason,
               "a reason fits");

void server_sample_of_result(server_sample *sample, const tandem_result *result) {
    sample->lane = result->lane;
    memcpy(sample->reason, result->reason, sizeof sample->reason);
    if (strncmp(result->reason, "fallback", 8) == 0) sample->is_fallback = true;
    sample->texts += result->count;
    sample->tokens += (uint64_t)result->tokens;
    sample->truncated += result->truncated;
    sample->cached += result->cached;
    sample->tokenize_ns += result->tokenize_ns;
    sample->queue_ns += result->queue_ns;
    sample->infer_ns += result->infer_ns;
    for (size_t i = 0; result->texts != NULL && i < result->count; i++)
        sample->lengths[tandem__histogram_power((uint64_t)result->texts[i].tokens,
                                                SERVER_LENGTHS - 1)]++;
}

static void fill_bounds(server_bounds_set *set) {
    static const double times_ms[] = {0.1, 0.2, 0.5, 1,   2,   3,   5,    7.5,  10,   15,    20,
                                      30,  50,  75,  100, 200, 500, 1000, 2000, 5000, 10000, 30000};
    server_bounds *tei = &set->tei;
    tei->scale = 1e-9;
    tei->count = 35;
    double seconds = 1e-5;
    for (int i = 0; i < tei->count; i++) {
        seconds *= 1.5;
        tei->shown[i] = seconds;
        tei->counted[i] = (uint64_t)(seconds * 1e9);
    }
    server_bounds *time = &set->time;
    time->scale = 1e-9;
    time->count = (int)(sizeof times_ms / sizeof *times_ms);
    for (int i = 0; i < time->count; i++) {
        time->shown[i] = times_ms[i] / 1e3;
        time->counted[i] = (uint64_t)llround(times_ms[i] * 1e6);
    }
    server_bounds *lengths = &set->lengths;
    lengths->scale = 1;
    lengths->count = SERVER_LENGTHS - 1;
    for (int i = 0; i < lengths->count; i++) {
        lengths->shown[i] = (double)(1U << i);
        lengths->counted[i] = 1U << i;
    }
}

tandem_status server_stats_create(server_stats **stats, tandem_error *err) {
    server_stats *made = tandem__mem_alloc_sparse(sizeof *made); // most models and lanes are not
    if (made == NULL) return TANDEM_FAIL(err, MEMORY, "no memory for the server's statistics");
    made->decisions = server_decisions_create();
    if (made->decisions == NULL) {
        server_stats_destroy(made);
        return TANDEM_FAIL(err, MEMORY, "no memory for the server's last decisions");
    }
    fill_bounds(&made->bounds);
    made->started_s = (int64_t)time(NULL);
    *stats = made;
    return TANDEM_OK;
}

void server_stats_destroy(server_stats *stats) {
    if (stats == NULL) return;
    server_decisions_destroy(stats->decisions);
    tandem__mem_free_sparse(stats, sizeof *stats);
}

void server_stats_change(server_stats *stats, server_gauge gauge, int64_t by) {
    atomic_fetch_add_explicit(&stats->gauges[gauge], by, memory_order_relaxed);
}

static void add(_Atomic uint64_t *counter, uint64_t by) {
    if (by > 0) atomic_fetch_add_explicit(counter, by, memory_order_relaxed);
}

void server_stats_count(server_stats *stats, server_event event) {
    add(&stats->events[event], 1);
}

/* `times` values at once. */
static void observe(server_histogram *histogram, const server_bounds *bounds, uint64_t value,
                    uint64_t times) {
    int low = 0;
    int high = bounds->count;
    while (low < high) {
        const int middle = (low + high) / 2;
        if (value <= bounds->counted[middle])
            high = middle;
        else
            low = middle + 1;
    }
    add(&histogram->counts[low], times);
    add(&histogram->sum, value * times);
}

int server_code_at(size_t i) {
    return i < CODES ? codes[i] : 0;
}

static size_t place_of_code(int http_code) {
    size_t i = 0;
    while (i < CODES - 1 && codes[i] != http_code) i++;
    return i;
}

/* A route's place, taken the first time. Routes are few and never go away. */
static server_route_stats *find_route(server_stats *stats, const server_route *route) {
    if (route == NULL) return &stats->routes[0];
    for (size_t i = 1; i < SERVER_ROUTES_MAX; i++) {
        server_route_stats *at = &stats->routes[i];
        const server_route *held = atomic_load_explicit(&at->route, memory_order_acquire);
        if (held == route) return at;
        if (held != NULL) continue;
        if (atomic_compare_exchange_strong(&at->route, &held, route) || held == route) return at;
    }
    return &stats->routes[0];
}

int server_stats_lane(const server_stats *stats, const char *name) {
    for (int i = 0; i < TANDEM_LANES_MAX; i++) {
        const char *held = atomic_load_explicit(&stats->lanes[i], memory_order_acquire);
        if (held == NULL) return -1;
        if (held == name || strcmp(held, name) == 0) return i;
    }
    return -1;
}

/* The place of a lane, taken the first time; -1 if there are more than an engine can have. */
static int take_lane(server_stats *stats, const char *name) {
    for (int i = 0; i < TANDEM_LANES_MAX; i++) {
        const char *held = atomic_load_explicit(&stats->lanes[i], memory_order_acquire);
        if (held == NULL && atomic_compare_exchange_strong(&stats->lanes[i], &held, name)) return i;
        if (held == name || strcmp(held, name) == 0) return i;
    }
    return -1;
}

static void add_tei_stages(const server_stats *stats, server_tei_stats *to,
                           const server_sample *sample, uint64_t times) {
    const server_bounds *bounds = &stats->bounds.tei;
    observe(&to->stages[SERVER_STAGE_TOTAL], bounds, sample->total_ns, times);
    observe(&to->stages[SERVER_STAGE_TOKENIZE], bounds, sample->tokenize_ns, times);
    observe(&to->stages[SERVER_STAGE_QUEUE], bounds, sample->queue_ns, times);
    observe(&to->stages[SERVER_STAGE_INFER], bounds, sample->infer_ns, times);
}

/* As Text Embeddings Inference counts: requests one by one, what they embed or classify text by
 * text. */
static void add_tei(server_stats *stats, const server_sample *sample) {
    const bool is_done = sample->fault == SERVER_FAULT_NONE;
    server_tei_stats *each =
        sample->task == TANDEM_TASK_CLASSIFY ? &stats->tei_predict : &stats->tei_embed;
    add(&stats->tei_requests.count[sample->is_single], 1);
    add(&each->count[sample->is_single], sample->texts);
    if (!is_done) {
        add(&stats->tei_faults[sample->fault], 1);
        return;
    }
    add(&stats->tei_requests.success[sample->is_single], 1);
    add(&each->success[sample->is_single], sample->texts);
    add_tei_stages(stats, &stats->tei_requests, sample, 1);
    add_tei_stages(stats, each, sample, sample->texts);
    for (size_t i = 0; i < SERVER_LENGTHS; i++) add(&stats->lengths.counts[i], sample->lengths[i]);
    add(&stats->lengths.sum, sample->tokens);
}

static void add_decision(server_stats *stats, const server_sample *sample) {
    struct timespec now;
    (void)clock_gettime(CLOCK_REALTIME, &now);
    server_decision decision = {.time_ms = (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000,
                                .total_ns = sample->total_ns,
                                .texts = sample->texts,
                                .http_code = sample->http_code,
                                .priority = sample->priority,
                                .model_index = (uint32_t)sample->model->index};
    if (sample->lane != NULL)
        (void)snprintf(decision.lane, sizeof decision.lane, "%s", sample->lane);
    const char *why = sample->reason[0] != '\0' ? sample->reason : server_fault_word(sample->fault);
    (void)snprintf(decision.reason, sizeof decision.reason, "%s", why);
    server_decisions_add(stats->decisions, &decision);
}

static void add_model(server_stats *stats, const server_sample *sample) {
    TANDEM_ASSERT(sample->model->index < SERVER_MODELS_MAX);
    server_model_stats *model = &stats->models[sample->model->index];
    const int band = sample->priority < 0    ? TANDEM_BAND_REALTIME
                     : sample->priority == 0 ? TANDEM_BAND_STANDARD
                                             : TANDEM_BAND_BACKGROUND;
    const uint64_t now_ns = tandem__clock_ns();
    add(&model->requests[band], 1);
    if (sample->http_code >= 500 && sample->fault != SERVER_FAULT_OVERLOADED)
        server_recent_add(&model->failed, now_ns, sample->total_ns);
    if (sample->fault != SERVER_FAULT_NONE) return;
    add(&model->texts, sample->texts);
    add(&model->characters, sample->characters);
    add(&model->tokens, sample->tokens);
    add(&model->truncated, sample->truncated);
    add(&model->cached, sample->cached);
    observe(&model->total[band], &stats->bounds.time, sample->total_ns, 1);
    observe(&model->queue[band], &stats->bounds.time, sample->queue_ns, 1);
    server_recent_add(&model->recent[band], now_ns, sample->total_ns);
    const int place = sample->lane == NULL ? -1 : take_lane(stats, sample->lane);
    if (place < 0) return;
    server_lane_stats *lane = &model->lanes[place];
    add(&lane->requests, 1);
    add(&lane->fallbacks, sample->is_fallback);
    add(&lane->total_ns, sample->total_ns);
    server_recent_add(&lane->recent, now_ns, sample->total_ns);
}

void server_stats_add(server_stats *stats, const server_sample *sample) {
    server_route_stats *route = find_route(stats, sample->route);
    add(&route->codes[place_of_code(sample->http_code)], 1);
    observe(&route->total, &stats->bounds.time, sample->total_ns, 1);
    add(&stats->bytes_in, sample->bytes_in);
    add(&stats->bytes_out, sample->bytes_out);
    if (sample->fault != SERVER_FAULT_NONE) add(&stats->faults[sample->fault], 1);
    if (sample->route == NULL || sample->route->answer != NULL) return; // nothing to infer
    add_tei(stats, sample);
    if (sample->model == NULL) return;
    add_model(stats, sample);
    add_decision(stats, sample);
}
