/* SPDX-License-Identifier: Apache-2.0 */
/* HTTP/1.1 over TCP and local sockets: connections, requests, answers. Knows nothing of models.
 *
 *     listener ─ hands sockets round ─┬─ loop 0 (thread, libevent) ─ connections ─ exchanges
 *                                     └─ loop 1 ...
 *
 * An exchange is one request and its answer. Everything that happens to a connection happens on the
 * thread of its loop, and so does every callback; http_loop_post brings work from other threads
 * there. Callbacks never block. A connection that waits for its next request holds no buffers.
 *
 * Requests of one connection are served one after the other. An answer may begin before the request
 * is whole, and body and answer then flow at the same time. */
#ifndef TANDEM_SERVER_HTTP_H
#define TANDEM_SERVER_HTTP_H

#include <event2/event.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/buffer.h"
#include "base/str.h"
#include "server/http_head.h"
#include "tandem/status.h"

#define HTTP_LOOPS_MAX     16
#define HTTP_LISTENERS_MAX 8

typedef struct http_server http_server;
typedef struct http_loop http_loop;
typedef struct http_conn http_conn;

/* One request. Made and recycled by this layer; between `head` and http_exchange_release the
 * handler may read it. */
typedef struct http_exchange {
    http_loop *loop;
    http_conn *conn; /* NULL once the exchange has ended */
    http_head head;  /* its texts live in `arena` */
    tandem_arena arena;
    uint64_t started_ns; /* first byte of the request was there */
    void *own;           /* the handler's */
    int code;            /* of the answer; 0 = none yet */
    int64_t body_bytes;  /* received so far */
    int64_t sent_bytes;  /* of the answer, its head included */
    bool is_whole;       /* the body is complete */
    bool is_begun;       /* the answer's head is written */
    bool is_answered;    /* ... and its end */
    bool is_chunked;     /* the answer is sent in chunks */
    bool is_ended;
    struct http_exchange *next_free;
} http_exchange;

typedef enum http_event {
    HTTP_EVENT_OPENED = 0,      /* a connection was taken */
    HTTP_EVENT_CLOSED = 1,      /* ... has ended */
    HTTP_EVENT_TURNED_AWAY = 2, /* one was refused at the limit */
    HTTP_EVENT_TIMED_OUT = 3,   /* ... closed because it rested too long or was too slow */
} http_event;

typedef struct http_handler {
    void *context;
    /* Something happened to a connection. Any loop's thread. */
    void (*event)(void *context, http_event event);
    /* The head is there. May answer at once; what is left of the body is then thrown away. */
    void (*head)(void *context, http_exchange *exchange);
    /* Some of the body, borrowed for the call. Not called once the exchange is answered. */
    void (*body)(http_exchange *exchange, tandem_str bytes);
    /* The body is whole. */
    void (*whole)(http_exchange *exchange);
    /* All that was written is with the system, and the answer is not whole: write more. */
    void (*drained)(http_exchange *exchange);
    /* The last call: the answer is out, or (is_gone) the client left before. The handler ends with
     * http_exchange_release, now or later. */
    void (*ended)(http_exchange *exchange, bool is_gone);
    /* Four times a second, on each loop's thread. May be NULL. */
    void (*tick)(void *context, http_loop *loop);
    /* After each turn of a loop: how long it should rest before the next, so that what comes in
     * the meantime is worked on together; 0 = not at all. May be NULL. */
    uint64_t (*rest_ns)(void *context);
    /* The loop's thread starts, before its first connection. */
    tandem_status (*loop_open)(void *context, http_loop *loop, tandem_error *err);
    void (*loop_close)(void *context, http_loop *loop);
} http_handler;

/* Times and sizes; zero means the default. */
typedef struct http_options {
    const char *host; /* name or address; NULL = 127.0.0.1 */
    const char *port; /* "0": the system chooses */
    const char *path; /* of a local socket besides; NULL = none */
    int32_t loops;    /* threads; default 1 */
    int64_t connections_max;
    double idle_s;  /* a kept connection may rest; default 300 */
    double head_s;  /* from a request's first byte to the end of its head; default 10 */
    double stall_s; /* without a byte of a body, or of an answer taken; default 30 */
} http_options;

/* Opens the sockets, so that an address in use is told now, and starts the threads. */
tandem_status http_server_open(const http_options *options, const http_handler *handler,
                               http_server **server, tandem_error *err) TANDEM_NODISCARD;

/* The TCP port that was bound. */
int http_server_port(const http_server *server);

/* No more connections are taken, those at rest are closed, and each answer from now on closes its
 * own. Any thread. */
void http_server_drain(http_server *server);

/* Exchanges under way. Any thread. */
int64_t http_server_busy(const http_server *server);

/* Ends the threads: from now on no handler is called, but for what http_server_close leaves to do
 * on its caller's thread. Twice is as good as once; NULL is allowed. */
void http_server_stop(http_server *server);

/* Stops, runs what was posted, cuts what is left. NULL is allowed. */
void http_server_close(http_server *server);

/* Runs `run(context)` on the loop's thread. False: no memory. Any thread. */
bool http_loop_post(http_loop *loop, void (*run)(void *context), void *context);

/* The handler's value for a loop, set in loop_open. */
void http_loop_set_own(http_loop *loop, void *own);
void *http_loop_own(const http_loop *loop);

/* Calls `ready(context)` on the loop's thread while `fd` is readable, until the loop closes. */
tandem_status http_loop_watch(http_loop *loop, int fd, void (*ready)(void *context), void *context,
                              tandem_error *err) TANDEM_NODISCARD;

/* Answers as a whole. `fields` are lines "Name: value\r\n"; Content-Length, Connection and Date are
 * added. Exchanges that have ended are left alone, here and below. */
void http_answer(http_exchange *exchange, int code, tandem_str fields, tandem_str body);

/* Begins an answer of unknown length; http_answer_end ends it. False: out of memory, the connection
 * is cut. */
void http_answer_begin(http_exchange *exchange, int code, tandem_str fields);
/* Empties `bytes` before anything is sent: callbacks may fill it again from within. */
void http_answer_push(http_exchange *exchange, tandem_buffer *bytes);
void http_answer_push_bytes(http_exchange *exchange, tandem_str bytes);
void http_answer_end(http_exchange *exchange);

/* Bytes of the answer that the client has not taken: not yet with the system. */
size_t http_answer_pending(const http_exchange *exchange);

/* Cuts the connection: an answer that has begun cannot be made good. */
void http_answer_break(http_exchange *exchange);

/* Stops and goes on reading the body. A client that leaves is noticed either way. */
void http_body_pause(http_exchange *exchange);
void http_body_resume(http_exchange *exchange);

/* Gives the exchange back, after `ended`. */
void http_exchange_release(http_exchange *exchange);

#endif
