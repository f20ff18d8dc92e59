/* SPDX-License-Identifier: Apache-2.0 */
/* A few clients share the requests in order: each takes the next one, sleeps until it is due and
 * asks the engine, which answers one at a time. A request that finds no client free waits, and its
 * latency says so. */
#include "cli/bench_mix.h"

#include <inttypes.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/clock.h"
#include "base/fail.h"
#include "base/json_text.h"
#include "base/mem.h"
#include "cli/report.h"
#include "tandem/version.h"

#define CLIENTS    8
#define NS_PER_MS  1e6
#define NAME_CELLS 24

typedef struct replay {
    const cli_mix *mix;
    tandem_engine *engine;
    const char *lane;
    const char *dtype;  /* that the lane computed in */
    int32_t *ids;       /* [mix->tokens_max] */
    double *latency_ms; /* [mix->count] */
    double *sorted;     /* [mix->count] scratch */
    uint64_t start_ns;
    _Atomic size_t next; /* first request that no client has taken */
    pthread_mutex_t mutex;
    tandem_error failure; /* of the first client that failed */
} replay;

/* Which requests a row counts. */
static const struct {
    const char *word;
    int32_t min;
    int32_t max;
} classes[] = {
    {"all", INT32_MIN, INT32_MAX},
    {"realtime", INT32_MIN, -1},
    {"standard", 0, 0},
    {"background", 1, INT32_MAX},
};
#define CLASS_COUNT (sizeof classes / sizeof *classes)

static void sleep_until(uint64_t due_ns) {
    for (uint64_t now = tandem__clock_ns(); now < due_ns; now = tandem__clock_ns()) {
        const uint64_t left = due_ns - now;
        const struct timespec pause = {.tv_sec = (time_t)(left / 1000000000u),
                                       .tv_nsec = (long)(left % 1000000000u)};
        (void)nanosleep(&pause, NULL);
    }
}

static tandem_status ask(replay *r, int32_t tokens, tandem_result *result, tandem_error *err) {
    const int32_t offsets[2] = {0, tokens};
    const tandem_request request = {
        .count = 1,
        .ids = r->ids,
        .id_offsets = offsets,
        .lane = r->lane,
        .fallback = TANDEM_FALLBACK_NONE,
    };
    return tandem_engine_infer(r->engine, &request, result, err);
}

static void *serve_client(void *context) {
    replay *r = context;
    tandem_result result = {0};
    tandem_error err = {0};
    for (;;) {
        const size_t i = atomic_fetch_add_explicit(&r->next, 1, memory_order_relaxed);
        if (i >= r->mix->count) break;
        const uint64_t due_ns = r->start_ns + (uint64_t)(r->mix->requests[i].at_ms * NS_PER_MS);
        sleep_until(due_ns);
        if (ask(r, r->mix->requests[i].tokens, &result, &err) != TANDEM_OK) {
            (void)pthread_mutex_lock(&r->mutex);
            if (r->failure.status == TANDEM_OK) r->failure = err;
            (void)pthread_mutex_unlock(&r->mutex);
            atomic_store_explicit(&r->next, r->mix->count, memory_order_relaxed);
            break;
        }
        r->latency_ms[i] = (double)(tandem__clock_ns() - due_ns) / NS_PER_MS;
    }
    tandem_result_deinit(&result);
    return NULL;
}

/* Opens the lane and warms it by its longest request. */
static tandem_status warm(replay *r, tandem_error *err) {
    tandem_result result = {0};
    const tandem_status status = ask(r, r->mix->tokens_max, &result, err);
    if (status == TANDEM_OK) r->dtype = result.dtype;
    tandem_result_deinit(&result);
    return status;
}

static tandem_status run_replay(replay *r, double *took_ms, tandem_error *err) {
    pthread_t threads[CLIENTS];
    int started = 0;
    TANDEM_TRY(warm(r, err));
    atomic_store_explicit(&r->next, 0, memory_order_relaxed);
    r->start_ns = tandem__clock_ns();
    while (started < CLIENTS && pthread_create(&threads[started], NULL, serve_client, r) == 0)
        started++;
    for (int i = 0; i < started; i++) (void)pthread_join(threads[i], NULL);
    *took_ms = (double)(tandem__clock_ns() - r->start_ns) / NS_PER_MS;
    if (started == 0) return TANDEM_FAIL(err, MEMORY, "--mix: no thread for a client");
    if (r->failure.status == TANDEM_OK) return TANDEM_OK;
    return tandem__fail(err, r->failure.status, __FILE__, __LINE__, "%s", r->failure.message);
}

static int compare_doubles(const void *a, const void *b) {
    const double x = *(const double *)a;
    const double y = *(const double *)b;
    return (x > y) - (x < y);
}

/* Of r->sorted, by nearest rank. */
static double percentile(const replay *r, size_t count, double share) {
    const size_t rank = (size_t)(share * (double)count + 0.9999999);
    return r->sorted[rank < 1 ? 0 : rank > count ? count - 1 : rank - 1];
}

/* The row of one class of requests on one lane; nothing where the file has none, or no other. */
static tandem_status push_row(replay *r, size_t class, double took_ms, tandem_buffer *text,
                              tandem_buffer *json, tandem_error *err) {
    size_t count = 0;
    int64_t tokens = 0;
    for (size_t i = 0; i < r->mix->count; i++) {
        const cli_mix_request *request = &r->mix->requests[i];
        if (request->priority < classes[class].min || request->priority > classes[class].max)
            continue;
        r->sorted[count++] = r->latency_ms[i];
        tokens += request->tokens;
    }
    if (count == 0 || (class > 0 && count == r->mix->count)) return TANDEM_OK;
    qsort(r->sorted, count, sizeof *r->sorted, compare_doubles);
    const double p50 = percentile(r, count, 0.50);
    const double p95 = percentile(r, count, 0.95);
    const double p99 = percentile(r, count, 0.99);
    const double most = r->sorted[count - 1];
    const double texts_per_s = (double)count / took_ms * 1e3;
    const double tokens_per_s = (double)tokens / took_ms * 1e3;
    char label[80];
    (void)snprintf(label, sizeof label, "%s %s%s%s:", r->lane, r->dtype, class > 0 ? " " : "",
                   class > 0 ? classes[class].word : "");
    TANDEM_TRY(tandem__buffer_printf(
        text, err, "  %-*s%9.2f ms  p95 %.2f  p99 %.2f  max %.2f  %9.1f texts/s %9.0f tokens/s\n",
        NAME_CELLS, label, p50, p95, p99, most, texts_per_s, tokens_per_s));
    const char last = json->ptr[json->len - 1];
    return tandem__buffer_printf(
        json, err,
        "%s{\"name\":\"%s\",\"dtype\":\"%s\",\"priority\":\"%s\",\"requests\":%zu,"
        "\"p50_ms\":%.4f,\"p95_ms\":%.4f,\"p99_ms\":%.4f,\"max_ms\":%.4f,"
        "\"texts_per_s\":%.2f,\"tokens_per_s\":%.1f}",
        last == '[' ? "" : ",", r->lane, r->dtype, classes[class].word, count, p50, p95, p99, most,
        texts_per_s, tokens_per_s);
}

static tandem_status push_lane(replay *r, const tandem_lane_info *lane, const char *wanted,
                               tandem_buffer *text, tandem_buffer *json, tandem_error *err) {
    const bool is_auto = strcmp(wanted, "auto") == 0;
    if (is_auto ? strcmp(lane->lane_class, "none") == 0 : strcmp(lane->name, wanted) != 0)
        return TANDEM_OK;
    if (!lane->is_available && !is_auto) {
        return TANDEM_FAIL(err, DEVICE, "lane %s is not available: %s", lane->name, lane->reason);
    }
    if (!lane->is_available) {
        return tandem__buffer_printf(text, err, "  %s:%*s %s\n", lane->name,
                                     NAME_CELLS - 1 - (int)strlen(lane->name), "", lane->reason);
    }
    double took_ms = 0.0;
    r->lane = lane->name;
    TANDEM_TRY(run_replay(r, &took_ms, err));
    for (size_t class = 0; class < CLASS_COUNT; class ++)
        TANDEM_TRY(push_row(r, class, took_ms, text, json, err));
    return TANDEM_OK;
}

static tandem_status push_head(const replay *r, const tandem_model_info *model, tandem_buffer *text,
                               tandem_buffer *json, tandem_error *err) {
    const cli_mix *mix = r->mix;
    const double span_ms = mix->requests[mix->count - 1].at_ms;
    tandem_machine machine;
    tandem_lane_info lanes[TANDEM_LANES_MAX];
    tandem_machine_describe(&machine);
    const int count = tandem_lanes(NULL, lanes);
    TANDEM_TRY(tandem__buffer_printf(
        text, err, "Replay of %s (%s, %zu requests of %" PRId64 " tokens over %.1f s):\n",
        mix->path, model->name, mix->count, mix->tokens, span_ms * 1e-3));
    TANDEM_TRY(tandem__buffer_printf(json, err,
                                     "{\"version\":\"%s\",\"model\":{\"name\":", tandem_version()));
    TANDEM_TRY(tandem__json_text_string(json, tandem__str(model->name), err));
    TANDEM_TRY(tandem__buffer_printf(json, err, "},\"mix\":{\"file\":"));
    TANDEM_TRY(tandem__json_text_string(json, tandem__str(mix->path), err));
    TANDEM_TRY(tandem__buffer_printf(
        json, err, ",\"requests\":%zu,\"tokens\":%" PRId64 ",\"span_ms\":%.3f,\"clients\":%d},",
        mix->count, mix->tokens, span_ms, CLIENTS));
    TANDEM_TRY(cli_report_machine(json, &machine, err));
    TANDEM_TRY(tandem__buffer_printf(json, err, ","));
    TANDEM_TRY(cli_report_lanes(json, lanes, count, err));
    return tandem__buffer_printf(json, err, ",\"rows\":[");
}

static tandem_status replay_all(replay *r, const tandem_model_info *model, const char *wanted,
                                tandem_buffer *text, tandem_buffer *json, tandem_error *err) {
    r->ids = tandem__mem_calloc((size_t)r->mix->tokens_max, sizeof *r->ids);
    r->latency_ms = tandem__mem_calloc(r->mix->count, sizeof *r->latency_ms);
    r->sorted = tandem__mem_calloc(r->mix->count, sizeof *r->sorted);
    if (r->ids == NULL || r->latency_ms == NULL || r->sorted == NULL)
        return TANDEM_FAIL(err, MEMORY, "--mix: no memory for %zu requests", r->mix->count);
    uint32_t state = 12345;
    for (int32_t i = 0; i < r->mix->tokens_max; i++) {
        state = state * 1664525u + 1013904223u;
        r->ids[i] = (int32_t)((uint64_t)state * (uint64_t)model->vocab >> 32);
    }
    TANDEM_TRY(push_head(r, model, text, json, err));
    tandem_lane_info lanes[TANDEM_LANES_MAX];
    const int count = tandem_lanes(r->engine, lanes);
    for (int i = 0; i < count; i++) TANDEM_TRY(push_lane(r, &lanes[i], wanted, text, json, err));
    return tandem__buffer_printf(json, err, "]}\n");
}

tandem_status cli_bench_mix(cli_session *session, const cli_settings *settings, tandem_buffer *text,
                            tandem_buffer *json, tandem_error *err) {
    tandem_model_info model;
    cli_mix mix;
    TANDEM_TRY(cli_session_open(session, settings, err));
    tandem_engine_model(session->engine, &model);
    tandem_status status = cli_mix_load(settings->mix, model.positions_max, &mix, err);
    if (status == TANDEM_OK) {
        replay r = {.mix = &mix, .engine = session->engine, .mutex = PTHREAD_MUTEX_INITIALIZER};
        status = replay_all(&r, &model, settings->lane, text, json, err);
        tandem__mem_free(r.ids);
        tandem__mem_free(r.latency_ms);
        tandem__mem_free(r.sorted);
    }
    cli_mix_deinit(&mix);
    return status;
}
