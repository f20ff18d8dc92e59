/* SPDX-License-Identifier: Apache-2.0 */
/* Writing answers. */
#include <stdio.h>
#include <time.h>

#include "base/assert.h"
#include "server/http_internal.h"

/* "Too Many Requests" of 429. */
static const char *code_text(int code) {
    static const struct {
        int code;
        const char *text;
    } texts[] = {
        {200, "OK"},
        {204, "No Content"},
        {400, "Bad Request"},
        {401, "Unauthorized"},
        {403, "Forbidden"},
        {404, "Not Found"},
        {405, "Method Not Allowed"},
        {406, "Not Acceptable"},
        {408, "Request Timeout"},
        {413, "Content Too Large"},
        {415, "Unsupported Media Type"},
        {417, "Expectation Failed"},
        {422, "Unprocessable Content"},
        {424, "Failed Dependency"},
        {429, "Too Many Requests"},
        {431, "Request Header Fields Too Large"},
        {499, "Client Closed Request"},
        {500, "Internal Server Error"},
        {501, "Not Implemented"},
        {503, "Service Unavailable"},
        {504, "Gateway Timeout"},
        {505, "HTTP Version Not Supported"},
    };
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        if (texts[i].code == code) return texts[i].text;
    }
    return "Unknown";
}

/* "Date: Sun, 06 Nov 1994 08:49:37 GMT\r\n", made once a second. */
static const char *date_line(http_loop *loop) {
    const int64_t now_s = (int64_t)time(NULL);
    if (now_s != loop->date_s) {
        static const char days[] = "SunMonTueWedThuFriSat";
        static const char months[] = "JanFebMarAprMayJunJulAugSepOctNovDec";
        const time_t now = (time_t)now_s;
        struct tm t;
        if (gmtime_r(&now, &t) == NULL) return "";
        (void)snprintf(loop->date, sizeof loop->date,
                       "Date: %.3s, %02d %.3s %04d %02d:%02d:%02d GMT\r\n", days + 3 * t.tm_wday,
                       t.tm_mday, months + 3 * t.tm_mon, (1900 + t.tm_year) % 10000, t.tm_hour,
                       t.tm_min, t.tm_sec);
        loop->date_s = now_s;
    }
    return loop->date;
}

/* A connection stays open after an answer that came before the end of its request only where the
 * rest is known to be short and to come. */
static void settle_keeping(http_exchange *exchange) {
    http_conn *conn = exchange->conn;
    const bool is_short =
        !conn->is_chunked && conn->body_left <= HTTP_DISCARD_MAX && !exchange->head.wants_continue;
    if (!exchange->is_whole && !is_short) conn->is_keep_alive = false;
    if (atomic_load(&conn->loop->server->is_draining)) conn->is_keep_alive = false;
}

static bool push(http_exchange *exchange, const char *bytes, size_t len) {
    if (tandem__buffer_push(&exchange->conn->out, bytes, len, NULL) == TANDEM_OK) return true;
    http_conn_close(exchange->conn);
    return false;
}

/* `length` < 0: not known. */
static bool push_head(http_exchange *exchange, int code, tandem_str fields, int64_t length) {
    TANDEM_ASSERT(!exchange->is_begun);
    http_conn *conn = exchange->conn;
    exchange->is_begun = true;
    exchange->code = code;
    char line[200];
    int len = snprintf(line, sizeof line, "HTTP/1.1 %d %s\r\n%s", code, code_text(code),
                       date_line(conn->loop));
    if (length >= 0)
        len += snprintf(line + len, sizeof line - (size_t)len, "Content-Length: %lld\r\n",
                        (long long)length);
    else if (exchange->is_chunked)
        len += snprintf(line + len, sizeof line - (size_t)len, "Transfer-Encoding: chunked\r\n");
    if (!conn->is_keep_alive)
        len += snprintf(line + len, sizeof line - (size_t)len, "Connection: close\r\n");
    else if (exchange->head.minor == 0)
        len += snprintf(line + len, sizeof line - (size_t)len, "Connection: keep-alive\r\n");
    TANDEM_ASSERT((size_t)len < sizeof line);
    return push(exchange, line, (size_t)len) && push(exchange, fields.ptr, fields.len) &&
           push(exchange, "\r\n", 2);
}

static bool is_head_only(const http_exchange *exchange) {
    return tandem__str_is(exchange->head.method, "HEAD");
}

void http_answer(http_exchange *exchange, int code, tandem_str fields, tandem_str body) {
    if (exchange->is_ended) return;
    settle_keeping(exchange);
    const bool has_length = code != 204;
    if (!push_head(exchange, code, fields, has_length ? (int64_t)body.len : -1)) return;
    if (!is_head_only(exchange) && body.len > 0 && !push(exchange, body.ptr, body.len)) return;
    exchange->is_answered = true;
    http_conn_flush(exchange->conn);
}

void http_answer_begin(http_exchange *exchange, int code, tandem_str fields) {
    if (exchange->is_ended) return;
    if (atomic_load(&exchange->conn->loop->server->is_draining))
        exchange->conn->is_keep_alive = false;
    exchange->is_chunked = exchange->head.minor == 1;
    if (!exchange->is_chunked) exchange->conn->is_keep_alive = false; // its end is the answer's
    (void)push_head(exchange, code, fields, -1);
}

/* Adds to what is sent next. */
static bool append(http_exchange *exchange, tandem_str bytes) {
    if (is_head_only(exchange)) return true;
    if (!exchange->is_chunked) return push(exchange, bytes.ptr, bytes.len);
    char size[24];
    const int len = snprintf(size, sizeof size, "%zx\r\n", bytes.len);
    return push(exchange, size, (size_t)len) && push(exchange, bytes.ptr, bytes.len) &&
           push(exchange, "\r\n", 2);
}

void http_answer_push_bytes(http_exchange *exchange, tandem_str bytes) {
    if (exchange->is_ended || bytes.len == 0) return;
    if (append(exchange, bytes)) http_conn_flush(exchange->conn);
}

void http_answer_push(http_exchange *exchange, tandem_buffer *bytes) {
    if (exchange->is_ended || bytes->len == 0) return;
    if (!append(exchange, (tandem_str){bytes->ptr, bytes->len})) return;
    bytes->len = 0;
    http_conn_flush(exchange->conn);
}

void http_answer_end(http_exchange *exchange) {
    if (exchange->is_ended) return;
    if (exchange->is_chunked && !is_head_only(exchange) && !push(exchange, "0\r\n\r\n", 5)) return;
    exchange->is_answered = true;
    settle_keeping(exchange);
    http_conn_flush(exchange->conn);
}

size_t http_answer_pending(const http_exchange *exchange) {
    const http_conn *conn = exchange->conn;
    return conn == NULL ? 0 : conn->out.len - conn->out_done;
}

void http_answer_break(http_exchange *exchange) {
    if (!exchange->is_ended) http_conn_close(exchange->conn);
}

void http_body_pause(http_exchange *exchange) {
    if (exchange->is_ended || exchange->conn->is_paused) return;
    exchange->conn->is_paused = true;
    http_conn_resume(exchange->conn);
}

void http_body_resume(http_exchange *exchange) {
    if (exchange->is_ended || !exchange->conn->is_paused) return;
    exchange->conn->is_paused = false;
    http_conn_resume(exchange->conn);
}
