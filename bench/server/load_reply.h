/* SPDX-License-Identifier: Apache-2.0 */
/* Finds the end of an HTTP/1.1 answer by its framing (Content-Length or chunks), and nothing more:
 * the body is counted, or shown to whoever asks for it, but never read as JSON. */
#ifndef TANDEM_BENCH_LOAD_REPLY_H
#define TANDEM_BENCH_LOAD_REPLY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define LOAD_HEAD_MAX 4096 /* bytes of an answer's head */

typedef void load_body_function(void *context, const char *bytes, size_t len);

typedef enum load_phase {
    LOAD_HEAD = 0,
    LOAD_LENGTH = 1,     /* `left` bytes of body to come */
    LOAD_CHUNK_SIZE = 2, /* hex digits of a chunk's size, in `left` so far */
    LOAD_CHUNK_LINE = 3, /* the rest of that line */
    LOAD_CHUNK_DATA = 4, /* `left` bytes, then the line's end */
    LOAD_CHUNK_END = 5,
    LOAD_TRAILER = 6,       /* lines up to an empty one */
    LOAD_TRAILER_START = 7, /* ... at the start of a line */
    LOAD_UNTIL_CLOSE = 8,   /* neither length nor chunks */
    LOAD_DONE = 9,
    LOAD_BAD = 10,
} load_phase;

/* Starts as all zero; `body` and `context` stay over load_reply_reset. */
typedef struct load_reply {
    load_phase phase;
    int code;
    bool is_last;          /* the server closes after it */
    int64_t retry_after_s; /* -1 = not said */
    uint64_t left;
    uint64_t body_bytes;
    size_t head_len;
    load_body_function *body; /* NULL: only counted */
    void *context;
    char head[LOAD_HEAD_MAX];
} load_reply;

void load_reply_reset(load_reply *reply);

/* Takes bytes up to the end of the answer; returns how many. Then phase is LOAD_DONE, or LOAD_BAD,
 * or all were taken. */
size_t load_reply_feed(load_reply *reply, const char *bytes, size_t len);

#endif
