/* SPDX-License-Identifier: Apache-2.0 */
/* Who asks, what it may, and what is entered when it is over. */
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/fail.h"
#include "base/log.h"
#include "server/inputs.h"
#include "server/keys.h"
#include "server/ledger.h"
#include "server/server_internal.h"

#define CLIENT_LEFT     499 /* nginx's code for it */
#define BYTES_PER_TOKEN 4   /* of English, roughly: puts right at the end what it gets wrong */

static tandem_str credential_of(const http_head *head) {
    static const char *const names[] = {"Authorization", "x-api-key", "api-key"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        const tandem_str value = http_head_get(head, names[i]);
        if (value.len > 0) return value;
    }
    return (tandem_str){NULL, 0};
}

bool server_work_identify(server_work *work) {
    server_keys *keys = work->loop->server->catalog.keys;
    if (keys == NULL || work->ask.route->is_public) return true;
    const tandem_str credential = credential_of(&work->exchange->head);
    if (credential.len > 0) work->ask.tenant = server_keys_find(keys, credential);
    if (work->ask.tenant != NULL) return true;
    (void)TANDEM_FAIL(&work->err, PERMISSION, "%s",
                      credential.len > 0 ? "the API key is not known here"
                                         : "an API key is needed: Authorization: Bearer KEY");
    work->ask.http_code = 401;
    return false;
}

static int64_t estimate_of(const tandem_request *request) {
    int64_t bytes = 0;
    if (request->id_offsets != NULL) return request->id_offsets[request->count];
    for (size_t i = 0; i < request->count; i++) {
        bytes += (int64_t)request->texts[i].len;
        if (request->pairs != NULL) bytes += (int64_t)request->pairs[i].len;
    }
    return bytes / BYTES_PER_TOKEN + (int64_t)request->count;
}

tandem_status server_work_admit(server_work *work, uint64_t *retry_ns, tandem_error *err) {
    server_ask *ask = &work->ask;
    tandem_request *request = &ask->request;
    if (ask->tenant == NULL) return TANDEM_OK;
    request->tenant = server_tenant_name(ask->tenant);
    if (!server_tenant_bound(ask->tenant, &request->priority, &request->lane_classes)) {
        ask->http_code = 403;
        return TANDEM_FAIL(err, PERMISSION, "tenant %s may not use the lanes that it asks for",
                           request->tenant);
    }
    const int64_t estimate = estimate_of(request);
    const uint64_t now_ns = tandem__clock_ns();
    const tandem_status status =
        work->is_admitted ? server_tenant_admit_more(ask->tenant, estimate, now_ns, retry_ns, err)
                          : server_tenant_admit(ask->tenant, estimate, now_ns, retry_ns, err);
    if (status != TANDEM_OK) {
        work->is_over_rate = true;
        return status;
    }
    work->is_admitted = true;
    work->is_over_rate = false; // a stream's text that had to wait has its turn
    work->estimate += estimate;
    return TANDEM_OK;
}

static server_outcome outcome_of(const server_work *work, bool is_gone) {
    const int code = work->exchange->code;
    if (is_gone) return SERVER_OUTCOME_CANCELLED;
    if (code < 400 && work->sample.texts > 0 && work->sample.cached >= work->sample.texts)
        return SERVER_OUTCOME_CACHED;
    if (code < 400) return SERVER_OUTCOME_ANSWERED;
    return code == 429 || code == 503 || code == 504 ? SERVER_OUTCOME_REFUSED
                                                     : SERVER_OUTCOME_FAILED;
}

static server_lane_class class_of(const server_model *model, const char *lane) {
    for (int i = 0; model != NULL && lane != NULL && i < model->lane_count; i++) {
        if (strcmp(model->lanes[i].name, lane) == 0)
            return server_lane_class_of(model->lanes[i].lane_class);
    }
    return SERVER_CLASS_NONE;
}

static void enter_usage(const server_work *work, bool is_gone) {
    const server_ask *ask = &work->ask;
    const server_sample *sample = &work->sample;
    const server_lane_class lane_class = class_of(ask->model, sample->lane);
    const server_outcome outcome = outcome_of(work, is_gone);
    // What no lane had to compute costs nothing.
    const bool is_free = ask->tenant == NULL || outcome == SERVER_OUTCOME_CACHED;
    const server_usage usage = {
        .tenant = ask->tenant == NULL ? NULL : server_tenant_name(ask->tenant),
        .model = ask->model == NULL ? NULL : ask->model->name,
        .lane = sample->lane,
        .lane_class = lane_class,
        .outcome = outcome,
        .requests = 1,
        .texts = (int64_t)(sample->texts > 0 ? sample->texts : ask->request.count),
        .tokens = (int64_t)sample->tokens,
        .cached_texts = (int64_t)sample->cached,
        .price = is_free ? 0 : server_tenant_price(ask->tenant, lane_class),
    };
    server_ledger_add(ask->catalog->ledger, &usage);
}

static void fill_sample(server_work *work, bool is_gone) {
    const http_exchange *exchange = work->exchange;
    const server_ask *ask = &work->ask;
    const tandem_request *request = &ask->request;
    server_sample *sample = &work->sample;
    sample->route = work->is_routed ? ask->route : NULL;
    sample->model = ask->model;
    sample->http_code = is_gone ? CLIENT_LEFT : exchange->code;
    sample->fault = is_gone              ? SERVER_FAULT_DROPPED
                    : work->is_over_rate ? SERVER_FAULT_RATE
                                         : server_fault_of(work->err.status, exchange->code);
    sample->task = request->task;
    sample->priority = request->priority;
    sample->is_single = ask->is_single;
    sample->total_ns = tandem__clock_ns() - exchange->started_ns;
    sample->bytes_in = (uint64_t)exchange->body_bytes;
    sample->bytes_out = (uint64_t)exchange->sent_bytes;
    if (work->result == NULL) return;
    server_sample_of_result(sample, work->result);
    sample->is_fallback = request->lane != NULL && strcmp(request->lane, "auto") != 0 &&
                          strcmp(request->lane, work->result->lane) != 0;
    for (size_t i = 0; request->texts != NULL && i < request->count; i++)
        sample->characters += server_characters(request->texts[i]);
}

static double to_ms(uint64_t ns) {
    return (double)(ns / 1000) / 1e3;
}

/* A line a request, with -v twice. */
static void log_request(const server_work *work) {
    const http_exchange *exchange = work->exchange;
    const server_sample *sample = &work->sample;
    const tandem_log_field fields[] = {
        {.name = "method", .text = exchange->head.method},
        {.name = "path", .text = exchange->head.path},
        {.name = "status", .number = sample->http_code},
        {.name = "id", .text = tandem__str(work->id)},
        {.name = "lane", .text = tandem__str(sample->lane == NULL ? "none" : sample->lane)},
        {.name = "texts", .number = (double)sample->texts},
        {.name = "tokens", .number = (double)sample->tokens},
        {.name = "queue_ms", .number = to_ms(sample->queue_ns)},
        {.name = "infer_ms", .number = to_ms(sample->infer_ns)},
        {.name = "total_ms", .number = to_ms(sample->total_ns)},
        {.name = "error", .text = tandem__str(work->err.message)}, // the last: may be left out
    };
    const size_t count = sizeof fields / sizeof *fields;
    tandem__log_fields(TANDEM_LOG_DEBUG, "request", fields,
                       work->err.status == TANDEM_OK ? count - 1 : count);
}

void server_work_account(server_work *work, bool is_gone) {
    server_ask *ask = &work->ask;
    server_stats *stats = ask->catalog->stats;
    server_stats_change(stats, SERVER_GAUGE_REQUESTS, -1);
    if (work->stream != NULL) server_stats_change(stats, SERVER_GAUGE_STREAMS, -1);
    if (is_gone) server_stats_count(stats, SERVER_EVENT_LEFT);
    fill_sample(work, is_gone);
    server_stats_add(stats, &work->sample);
    log_request(work);
    const bool is_inference = ask->route->read != NULL || ask->route->read_bytes != NULL;
    if (ask->catalog->ledger != NULL && is_inference && work->is_routed) enter_usage(work, is_gone);
    if (ask->tenant == NULL) return;
    // Who leaves before the answer gets nothing back: a lane may have done the work.
    const bool is_left = is_gone && (int64_t)work->sample.tokens < work->estimate;
    const int64_t tokens = is_left ? work->estimate : (int64_t)work->sample.tokens;
    if (work->is_admitted)
        server_tenant_settle(ask->tenant, work->estimate, tokens, tandem__clock_ns());
    server_tenant_put(ask->tenant);
    ask->tenant = NULL;
}
