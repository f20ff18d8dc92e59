/* SPDX-License-Identifier: Apache-2.0 */
/* The server's own state: what the files between HTTP and the engine share.
 *
 *     http ─ work.c ─ reader ─ engine's completion queue ─ work_answer.c ─ http
 *              └──── stream.c: many small calls of one request ────┘
 *
 * Handlers never compute and never block: small requests are read and submitted on their loop's
 * thread, large ones on a worker's, and the loop goes on when the engine's queue says so. */
#ifndef TANDEM_SERVER_SERVER_INTERNAL_H
#define TANDEM_SERVER_SERVER_INTERNAL_H

#include <stdatomic.h>

#include "base/chance.h"
#include "server/ask.h"
#include "server/http.h"
#include "server/server.h"
#include "server/stats.h"
#include "server/workers.h"
#include "tandem/call.h"
#include "tandem/metrics.h"
#include "tandem/models.h"

typedef struct server_state {
    server_options options;
    server_catalog catalog;
    tandem_models *models;
    http_server *http;
    server_workers *workers;
    atomic_bool is_draining;
    _Atomic uint64_t gates_ns[TANDEM_BANDS]; /* until then work of the band is refused unread */
    _Atomic uint64_t again_ns[TANDEM_BANDS]; /* ... and told to come back at this time */
    _Atomic int64_t large_bytes;             /* of large bodies in memory */
    _Atomic int64_t stream_bytes;            /* of texts that wait in streams */
} server_state;

/* Of one loop, touched by its thread alone. */
typedef struct server_loop {
    server_state *server;
    http_loop *http;
    tandem_queue *queue;
    tandem_random random;        /* names of requests; no secrets */
    _Atomic int64_t flights;     /* calls submitted and not seen again */
    struct server_work *dirty;   /* streams that have something to do */
    struct server_work *streams; /* all of them */
} server_loop;

/* The first field of whoever waits for a call: how it goes on, on the loop's thread. */
typedef struct server_flight {
    void (*done)(struct server_flight *flight, tandem_call *call);
} server_flight;

typedef struct server_stream server_stream;

/* One HTTP request. Lives in its exchange's arena, until the exchange has ended, the engine's call
 * is over and no worker has it. */
typedef struct server_work {
    server_flight flight; /* first */
    server_task task;
    server_loop *loop;
    http_exchange *exchange;
    server_ask ask;
    tandem_buffer body;
    tandem_buffer out;
    tandem_buffer fields; /* of the answer's head */
    tandem_call *call;
    const tandem_result *result; /* the call's */
    size_t row;
    tandem_error err;
    tandem_status status; /* of the worker's part */
    uint64_t retry_ns;
    int64_t large_bytes;   /* of a large body so far, then of its answer: while they count */
    server_stream *stream; /* NULL: one call, one answer */
    int32_t busy;          /* functions up the stack that still look at it */
    bool is_working;       /* a worker has it */
    bool is_flying;        /* the call is under way, known to this loop */
    bool is_admitted;      /* counts in its tenant's bucket */
    bool is_over_rate;     /* ... or did not fit there */
    int64_t estimate;      /* tokens that were taken from the bucket */
    bool is_routed;        /* ask.route is of the table, not made up for the error's form */
    bool is_over;          /* ... has ended, perhaps before this loop knew it */
    bool has_call;         /* the call is to be closed */
    bool is_gone;          /* how the exchange ended */
    char id[129];          /* X-Request-Id */
    char trace[56];        /* traceparent */
    server_sample sample;  /* for the statistics */
} server_work;

/* work.c */
http_handler server_handler(server_state *server);

/* Hands work->ask.request to its model's engine, for `flight` to hear of. Any thread. */
tandem_status server_work_submit(server_work *work, server_flight *flight, tandem_call **call,
                                 uint64_t *retry_ns, tandem_error *err) TANDEM_NODISCARD;

/* Fills request options that the body left open from the headers. */
tandem_status server_work_options(server_work *work, tandem_error *err) TANDEM_NODISCARD;

/* Counts memory that the answer holds until the client has taken it, if it is large. */
void server_work_count(server_work *work, size_t bytes);

/* Answers with work->err, in the form of its API. */
void server_work_fail(server_work *work);

/* Around whatever may end the exchange: between enter and leave the work stays; leave gives the
 * exchange back once nothing needs it any more. */
void server_work_enter(server_work *work);
void server_work_leave(server_work *work);

/* work_account.c. Finds the tenant by the request's key. False: work->err says what is wrong. */
bool server_work_identify(server_work *work);
/* Holds the request against its tenant's tier: any thread, before it is submitted; for each text of
 * a stream. */
tandem_status server_work_admit(server_work *work, uint64_t *retry_ns,
                                tandem_error *err) TANDEM_NODISCARD;
/* The end: statistics, ledger, the tenant's bucket. Once a request. */
void server_work_account(server_work *work, bool is_gone);

/* work_route.c: sets ask->route, the nearest where there is none; false if that was answered. */
bool server_work_route(server_work *work);
/* The Allow header of the path, to work->fields; "*" stands for all paths. */
tandem_status server_work_allow(server_work *work) TANDEM_NODISCARD;

/* work_names.c: the request's id and trace, from its headers or new. */
void server_work_name(server_work *work);

/* work_answer.c: the result is there. */
void server_work_answer(server_work *work);
void server_work_more(server_work *work);
/* Appends the lines of the answer's head to work->fields. `type` NULL = JSON. */
tandem_status server_work_fields(server_work *work, const char *type) TANDEM_NODISCARD;

/* stream.c. Everything on the loop's thread. */
void server_streams_flush(server_loop *loop); /* after calls of streams were done */
void server_streams_tick(server_loop *loop);  /* now and then: the engine may have room again */
bool server_stream_wanted(const server_work *work);
void server_stream_open(server_work *work);
void server_stream_body(server_work *work, tandem_str bytes);
void server_stream_whole(server_work *work);
void server_stream_drained(server_work *work);
void server_stream_ended(server_work *work);
void server_stream_close(server_work *work);
bool server_stream_is_flying(const server_work *work);

#endif
