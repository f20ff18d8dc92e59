/* SPDX-License-Identifier: Apache-2.0 */
/* From the engine's result to the answer's bytes, and what its head says about how it was made. */
#include <stdio.h>

#include "base/clock.h"
#include "base/fail.h"
#include "server/server_internal.h"

static double ms(uint64_t ns) {
    return (double)ns / 1e6;
}

tandem_status server_work_fields(server_work *work, const char *type) {
    tandem_buffer *fields = &work->fields;
    const tandem_result *result = work->result;
    const uint64_t total_ns = tandem__clock_ns() - work->exchange->started_ns;
    const char *origin = work->loop->server->options.cors_origin;
    TANDEM_TRY(tandem__buffer_printf(
        fields, NULL, "Content-Type: %s\r\nX-Request-Id: %s\r\ntraceparent: %s\r\n",
        type == NULL ? "application/json" : type, work->id, work->trace));
    if (result != NULL) {
        TANDEM_TRY(tandem__buffer_printf(
            fields, NULL,
            "X-Tandem-Lane: %s\r\nX-Tandem-Reason: %s\r\nServer-Timing: tokenize;dur=%.3f, "
            "queue;dur=%.3f, infer;dur=%.3f, total;dur=%.3f\r\n",
            result->lane, result->reason, ms(result->tokenize_ns), ms(result->queue_ns),
            ms(result->infer_ns), ms(total_ns)));
        // A stream says it line by line; lists of token ids are cut and told of by their route.
        if (result->truncated > 0 && work->stream == NULL)
            TANDEM_TRY(tandem__buffer_printf(fields, NULL, "X-Tandem-Truncated: %zu\r\n",
                                             result->truncated));
    } else if (work->ask.route->read != NULL || work->ask.route->read_bytes != NULL) {
        TANDEM_TRY(tandem__buffer_printf(fields, NULL,
                                         "X-Tandem-Lane: none\r\nX-Tandem-Reason: refused\r\n"
                                         "Server-Timing: total;dur=%.3f\r\n",
                                         ms(total_ns)));
    }
    if (origin != NULL)
        TANDEM_TRY(tandem__buffer_printf(
            fields, NULL,
            "Access-Control-Allow-Origin: %s\r\n"
            "Access-Control-Allow-Methods: GET, POST, OPTIONS\r\n"
            "Access-Control-Allow-Headers: authorization, content-type, x-api-key, x-request-id, "
            "traceparent, x-tandem-lane, x-tandem-priority, x-tandem-deadline-ms, "
            "x-tandem-fallback\r\nAccess-Control-Expose-Headers: *\r\nVary: Origin\r\n",
            origin));
    return TANDEM_OK;
}

/* A text of the request failed, and with it the request. */
static void fail_text(server_work *work) {
    const tandem_result *result = work->result;
    server_ask *ask = &work->ask;
    if (ask->field == NULL && ask->texts_field != NULL) {
        char field[64];
        const int len =
            snprintf(field, sizeof field, "%s[%zu]", ask->texts_field, result->first_failed);
        ask->field = tandem__arena_copy(ask->arena, field, (size_t)len);
    }
    if (work->err.status == TANDEM_OK)
        (void)tandem__fail(&work->err, result->texts[result->first_failed].status, __FILE__,
                           __LINE__, "text %zu could not be computed", result->first_failed);
    server_work_fail(work);
}

static tandem_str bytes_of(const tandem_buffer *buffer) {
    return (tandem_str){buffer->ptr, buffer->len};
}

void server_work_answer(server_work *work) {
    server_ask *ask = &work->ask;
    if (work->result->failed > 0) {
        fail_text(work);
        return;
    }
    const tandem_result *result = work->result;
    if (result->vectors != NULL)
        server_work_count(work, result->rows * (size_t)result->dimensions * sizeof(float));
    work->out.len = 0;
    if (ask->route->write(ask, work->result, &work->row, &work->out, &work->err) != TANDEM_OK) {
        server_work_fail(work);
        return;
    }
    if (server_work_fields(work, ask->answer_type) != TANDEM_OK) {
        http_answer_break(work->exchange);
        return;
    }
    const int code = ask->http_code == 0 ? 200 : ask->http_code;
    if (work->row == SERVER_ROWS_DONE) {
        http_answer(work->exchange, code, bytes_of(&work->fields), bytes_of(&work->out));
        return;
    }
    http_answer_begin(work->exchange, code, bytes_of(&work->fields));
    http_answer_push(work->exchange, &work->out);
}

/* Of an answer that is made already, from byte work->row on. */
static void push_made(server_work *work) {
    const size_t from = work->row;
    const size_t left = work->out.len - from;
    const bool is_last = left <= SERVER_SLICE_BYTES;
    const size_t len = is_last ? left : SERVER_SLICE_BYTES;
    work->row = is_last ? SERVER_ROWS_DONE : from + len; // more may be asked for from within
    http_answer_push_bytes(work->exchange, (tandem_str){work->out.ptr + from, len});
    if (is_last) http_answer_end(work->exchange);
}

void server_work_more(server_work *work) {
    http_exchange *exchange = work->exchange;
    if (work->row == SERVER_ROWS_DONE) return;
    if (work->ask.route->write == NULL) {
        push_made(work);
        return;
    }
    work->out.len = 0;
    if (work->ask.route->write(&work->ask, work->result, &work->row, &work->out, &work->err) !=
        TANDEM_OK) {
        http_answer_break(exchange);
        return;
    }
    http_answer_push(exchange, &work->out);
    if (work->row == SERVER_ROWS_DONE) http_answer_end(exchange);
}
