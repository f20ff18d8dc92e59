/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of the HTTP layer share. */
#ifndef TANDEM_SERVER_HTTP_INTERNAL_H
#define TANDEM_SERVER_HTTP_INTERNAL_H

#include <event2/event_struct.h>
#include <sys/socket.h>

#include "base/buffer.h"
#include "base/signal_fd.h"
#include "server/http.h"
#include "server/http_chunks.h"

#define HTTP_SCRATCH_BYTES ((size_t)64 << 10)
#define HTTP_ARENA_BYTES   ((size_t)256 << 20) /* most that one exchange may hold */
#define HTTP_ARENA_KEEP    ((size_t)1 << 20)   /* ... and keep for the next */
#define HTTP_OUT_BYTES_MAX ((size_t)1 << 30)
#define HTTP_DISCARD_MAX                                                                           \
    ((int64_t)1 << 20) /* of a body that nobody wants, to keep a connection                        \
                        */
#define HTTP_LINGER_NS   ((uint64_t)2000000000)
#define HTTP_WATCHES_MAX 4
#define HTTP_SPARE_MAX   64 /* exchanges kept for the next requests */

#ifndef MSG_NOSIGNAL /* where the socket has an option SO_NOSIGPIPE instead */
#define MSG_NOSIGNAL 0
#endif

typedef enum http_state {
    HTTP_STATE_HEAD = 0, /* between requests, or in a head */
    HTTP_STATE_BODY = 1, /* the body comes */
    HTTP_STATE_WAIT = 2, /* the body is whole, the answer is not */
    HTTP_STATE_LINGER =
        3, /* all is said; reads until the client closes, so that it gets the answer */
    HTTP_STATE_DEAD = 4, /* to be freed */
} http_state;

struct http_conn {
    http_loop *loop;
    http_conn *previous;
    http_conn *next;
    struct event read_event;
    struct event write_event;
    struct event leave_event; /* the client left while nothing is read */
    int fd;
    http_state state;
    tandem_buffer in; /* received and not used yet; no memory at rest */
    size_t seen;      /* of `in`, without the end of a head */
    tandem_buffer out;
    size_t out_done;
    http_exchange *exchange;
    uint64_t began_ns;   /* first byte of the request; 0 = none yet */
    uint64_t expires_ns; /* cut then; UINT64_MAX = never */
    int64_t body_left;   /* by Content-Length */
    int64_t discarded;
    http_chunks chunks;
    bool is_chunked;
    bool is_keep_alive;
    bool is_discarding; /* answered before the body was whole */
    bool is_paused;     /* by the handler */
    bool is_reading;    /* read_event is set */
    bool is_watched;    /* leave_event is set */
    bool is_writing;    /* write_event is set */
    bool is_refused;    /* the exchange's head was wrong: the handler does not know it */
    bool is_processing; /* its bytes are being worked on further up the stack */
    bool is_flushing;
    int32_t depth; /* functions up the stack that still look at it */
};

typedef struct http_post {
    void (*run)(void *context);
    void *context;
    struct http_post *next;
} http_post;

struct http_loop {
    http_server *server;
    struct event_base *base;
    struct event *post_event;
    struct event *sweep_event;
    struct event *watches[HTTP_WATCHES_MAX];
    struct {
        void (*ready)(void *context);
        void *context;
    } watched[HTTP_WATCHES_MAX];
    int32_t watch_count;
    tandem_signal_fd signal;
    pthread_mutex_t mutex; /* posts */
    http_post *posts;
    http_post **posts_end;
    pthread_t thread;
    bool is_started;
    bool is_stopped;    /* its thread's own */
    bool tells_leaving; /* libevent's EV_CLOSED works here */
    http_conn *conns;
    http_exchange *spare;
    int32_t spare_count;
    void *own;
    char date[40]; /* "Date: ...\r\n" of this second */
    int64_t date_s;
    char *scratch; /* [HTTP_SCRATCH_BYTES] */
};

struct http_server {
    http_options options;
    http_handler handler;
    http_loop loops[HTTP_LOOPS_MAX];
    int32_t loop_count;
    int listeners[HTTP_LISTENERS_MAX];
    struct event *accepts[HTTP_LISTENERS_MAX];
    int32_t listener_count;
    int port;
    bool has_path;     /* the local socket's file is ours to remove */
    int32_t next_loop; /* of the listener's thread */
    _Atomic int64_t connections;
    _Atomic int64_t busy;
    atomic_bool is_draining;
};

static inline void http_tell(const http_server *server, http_event event) {
    server->handler.event(server->handler.context, event);
}

/* http_conn.c. Takes the socket over, which counts in server->connections already. */
void http_conn_open(http_loop *loop, int fd);
void http_conn_close(http_conn *conn); /* cuts it; frees it unless it is being worked on */
void http_conn_flush(http_conn *conn);
void http_conn_sweep(http_loop *loop, uint64_t now_ns);
void http_conn_resume(http_conn *conn); /* after is_paused changed */

/* http_loop.c: an exchange with an empty arena; NULL when out of memory. */
http_exchange *http_exchange_get(http_loop *loop);

/* http_listen.c */
tandem_status http_listen_open(http_server *server, tandem_error *err) TANDEM_NODISCARD;
tandem_status http_listen_start(http_server *server, tandem_error *err) TANDEM_NODISCARD;
void http_listen_stop(http_server *server); /* on the first loop's thread, or after it */

#endif
