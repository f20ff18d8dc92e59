/* SPDX-License-Identifier: Apache-2.0 */
/* See load_reply.h. A head that comes in one piece, as nearly all do, is still copied: it is short,
 * and the code has one path. Chunks are a state machine over bytes, except their data. */
#include "load_reply.h"

#include <string.h>
#include <strings.h>

void load_reply_reset(load_reply *reply) {
    reply->phase = LOAD_HEAD;
    reply->code = 0;
    reply->is_last = false;
    reply->retry_after_s = -1;
    reply->left = 0;
    reply->body_bytes = 0;
    reply->head_len = 0;
}

static uint64_t decimal(const char *at, const char *end) {
    uint64_t value = 0;
    while (at < end && *at == ' ') at++;
    for (; at < end && *at >= '0' && *at <= '9'; at++) value = value * 10 + (uint64_t)(*at - '0');
    return value;
}

static bool is_field(const char *line, const char *end, const char *name) {
    const size_t len = strlen(name);
    return (size_t)(end - line) > len && strncasecmp(line, name, len) == 0;
}

/* The head is whole, `end` is after its empty line. */
static void read_head(load_reply *reply, const char *end) {
    const char *line = reply->head;
    if (end - line < 13 || memcmp(line, "HTTP/1.1 ", 9) != 0) {
        reply->phase = LOAD_BAD;
        return;
    }
    reply->code = (int)decimal(line + 9, line + 12);
    bool has_length = false;
    bool is_chunked = false;
    while (line < end) {
        const char *next = memchr(line, '\n', (size_t)(end - line));
        if (is_field(line, end, "Content-Length:")) {
            has_length = true;
            reply->left = decimal(line + 15, end);
        } else if (is_field(line, end, "Transfer-Encoding: chunked")) {
            is_chunked = true;
        } else if (is_field(line, end, "Connection: close")) {
            reply->is_last = true;
        } else if (is_field(line, end, "Retry-After:")) {
            reply->retry_after_s = (int64_t)decimal(line + 12, end);
        }
        line = next != NULL ? next + 1 : end;
    }
    if (reply->code == 100) {
        load_reply_reset(reply);
    } else if (is_chunked) {
        reply->left = 0;
        reply->phase = LOAD_CHUNK_SIZE;
    } else if (has_length || reply->code == 204) {
        reply->phase = reply->left > 0 ? LOAD_LENGTH : LOAD_DONE;
    } else {
        reply->is_last = true;
        reply->phase = LOAD_UNTIL_CLOSE;
    }
}

static size_t feed_head(load_reply *reply, const char *bytes, size_t len) {
    const size_t room = LOAD_HEAD_MAX - reply->head_len;
    const size_t old = reply->head_len;
    const size_t more = len < room ? len : room;
    memcpy(reply->head + old, bytes, more);
    reply->head_len += more;
    const size_t from = old > 3 ? old - 3 : 0;
    const char *end = memmem(reply->head + from, reply->head_len - from, "\r\n\r\n", 4);
    if (end == NULL) {
        if (reply->head_len == LOAD_HEAD_MAX) reply->phase = LOAD_BAD;
        return more;
    }
    const size_t used = (size_t)(end + 4 - reply->head) - old;
    read_head(reply, end + 4);
    return used;
}

static size_t feed_data(load_reply *reply, const char *bytes, size_t len) {
    const size_t used = len < reply->left ? len : (size_t)reply->left;
    reply->left -= used;
    reply->body_bytes += used;
    if (reply->body != NULL) reply->body(reply->context, bytes, used);
    if (reply->left == 0) reply->phase = reply->phase == LOAD_LENGTH ? LOAD_DONE : LOAD_CHUNK_END;
    return used;
}

static void feed_framing(load_reply *reply, char c) {
    switch (reply->phase) {
    case LOAD_CHUNK_SIZE:
        if (c >= '0' && c <= '9') {
            reply->left = reply->left * 16 + (uint64_t)(c - '0');
        } else if ((c | 32) >= 'a' && (c | 32) <= 'f') {
            reply->left = reply->left * 16 + (uint64_t)((c | 32) - 'a' + 10);
        } else if (c == ';' || c == '\r') {
            reply->phase = LOAD_CHUNK_LINE;
        } else {
            reply->phase = LOAD_BAD;
        }
        break;
    case LOAD_CHUNK_LINE:
        if (c == '\n') reply->phase = reply->left > 0 ? LOAD_CHUNK_DATA : LOAD_TRAILER_START;
        break;
    case LOAD_CHUNK_END:
        if (c == '\n') reply->phase = LOAD_CHUNK_SIZE;
        break;
    case LOAD_TRAILER:
        if (c == '\n') reply->phase = LOAD_TRAILER_START;
        break;
    case LOAD_TRAILER_START:
        if (c == '\n') reply->phase = LOAD_DONE;
        if (c != '\n' && c != '\r') reply->phase = LOAD_TRAILER;
        break;
    case LOAD_HEAD:
    case LOAD_LENGTH:
    case LOAD_CHUNK_DATA:
    case LOAD_UNTIL_CLOSE:
    case LOAD_DONE:
    case LOAD_BAD:
        break;
    }
}

size_t load_reply_feed(load_reply *reply, const char *bytes, size_t len) {
    size_t used = 0;
    while (used < len && reply->phase != LOAD_DONE && reply->phase != LOAD_BAD) {
        if (reply->phase == LOAD_HEAD) {
            used += feed_head(reply, bytes + used, len - used);
        } else if (reply->phase == LOAD_LENGTH || reply->phase == LOAD_CHUNK_DATA) {
            used += feed_data(reply, bytes + used, len - used);
        } else if (reply->phase == LOAD_UNTIL_CLOSE) {
            reply->body_bytes += len - used;
            used = len;
        } else {
            feed_framing(reply, bytes[used++]);
        }
    }
    return used;
}
