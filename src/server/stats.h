/* SPDX-License-Identifier: Apache-2.0 */
/* What the server's requests did: counters, histograms and gauges that GET /metrics and GET /lanes
 * are made of.
 *
 *     loop:  server_sample sample = {.route = route, .http_code = 200, ...};
 *            server_sample_of_result(&sample, result);
 *            server_stats_add(stats, &sample);           // once a request, when its last byte is
 * out server_stats_change(stats, SERVER_GAUGE_CONNECTIONS, -1);
 *
 * Everything is a relaxed atomic addition: no lock, no heap, some 400 ns a request. A reader sees
 * each number at some time, not all of them at one. What the engines count themselves (batches,
 * waiting work, why a lane was chosen) is asked of them and not counted twice here. */
#ifndef TANDEM_SERVER_STATS_H
#define TANDEM_SERVER_STATS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "server/ask.h"
#include "server/catalog.h"
#include "tandem/engine.h"
#include "tandem/status.h"

/* Why a request did not get what it asked for. The words of the first eight are those of Text
 * Embeddings Inference. */
/* clang-format off */
#define SERVER_FAULT_MAP(X)                                                                        \
    X(NONE,           0,  "")                                                                      \
    X(VALIDATION,     1,  "validation")     /* wrong in itself */                                  \
    X(BATCH_SIZE,     2,  "batch_size")     /* more texts or bytes than a request may have */      \
    X(MODEL_TYPE,     3,  "model_type")     /* the model is for something else */                  \
    X(TOKENIZATION,   4,  "tokenization")                                                          \
    X(OVERLOADED,     5,  "overloaded")     /* too much waits */                                   \
    X(INFERENCE,      6,  "inference")      /* a lane or the server failed */                      \
    X(DROPPED,        7,  "dropped")        /* its client left */                                  \
    X(MISSING_VALUES, 8,  "missing_values") /* not a number came out */                            \
    X(DEADLINE,       9,  "deadline")       /* could not be met or was not */                      \
    X(UNAVAILABLE,    10, "unavailable")    /* no lane may take it, or the server stops */         \
    X(RATE,           11, "rate")           /* over what its tenant's tier allows */               \
    X(KEY,            12, "key")            /* no key, or one that may not */                      \
    X(NOT_FOUND,      13, "not_found")      /* no such path, method or model */
/* clang-format on */

typedef enum server_fault {
#define SERVER_FAULT_ENUM(name, value, word) SERVER_FAULT_##name = value,
    SERVER_FAULT_MAP(SERVER_FAULT_ENUM)
#undef SERVER_FAULT_ENUM
} server_fault;

#define SERVER_FAULTS 14

/* "validation" and so on; static. */
const char *server_fault_word(server_fault fault);

/* The fault that a status and the code of the answer amount to. For 429 the caller says itself
 * whether it was its tenant's rate (SERVER_FAULT_RATE) or the server's load. */
server_fault server_fault_of(tandem_status status, int http_code);

#define SERVER_LENGTHS 21

/* One request that has ended. What stays zero was not there. */
typedef struct server_sample {
    const server_route *route; /* NULL: no route has that path and method */
    const server_model *model; /* NULL: it came to no model */
    int http_code;
    server_fault fault;
    tandem_task task;
    int32_t priority; /* as asked for */
    const char *lane; /* that served; static, as in tandem_result */
    char reason[120]; /* why that lane */
    uint64_t texts;
    uint64_t characters;
    uint64_t tokens;
    uint64_t truncated; /* texts that lost tokens */
    uint64_t cached;    /* sequences that needed no lane */
    bool is_single;     /* the body gave one text, not a list */
    bool is_fallback;   /* another lane than the one asked for */
    uint64_t tokenize_ns;
    uint64_t queue_ns;
    uint64_t infer_ns;
    uint64_t total_ns; /* from the request's first byte to the answer's last */
    uint64_t bytes_in; /* of the bodies */
    uint64_t bytes_out;
    uint32_t lengths[SERVER_LENGTHS]; /* texts of at most 2^i tokens; the last: of more */
} server_sample;

/* Puts in what a result says: lane, reason, texts, tokens, lengths, truncated, cached and times.
 * For a stream, call it for each result: counts and times add up. Nothing of the result is kept. */
void server_sample_of_result(server_sample *sample, const tandem_result *result);

/* What is so now. */
typedef enum server_gauge {
    SERVER_GAUGE_CONNECTIONS = 0, /* open */
    SERVER_GAUGE_REQUESTS = 1,    /* being read, computed or answered */
    SERVER_GAUGE_STREAMS = 2,     /* ... of them streams */
} server_gauge;

#define SERVER_GAUGES 3

/* What has happened, besides the ends of requests. */
typedef enum server_event {
    SERVER_EVENT_ACCEPTED = 0,    /* connections */
    SERVER_EVENT_TURNED_AWAY = 1, /* ... at the limit of connections */
    SERVER_EVENT_TIMED_OUT = 2,   /* ... closed because they were idle or too slow */
    SERVER_EVENT_LEFT = 3,        /* clients that left while their request was under way */
} server_event;

#define SERVER_EVENTS 4

typedef struct server_stats server_stats;

/* TANDEM_MEMORY. */
tandem_status server_stats_create(server_stats **stats, tandem_error *err) TANDEM_NODISCARD;

/* NULL is allowed. */
void server_stats_destroy(server_stats *stats);

/* The three below: any thread. */
void server_stats_add(server_stats *stats, const server_sample *sample);
void server_stats_change(server_stats *stats, server_gauge gauge, int64_t by);
void server_stats_count(server_stats *stats, server_event event);

#endif
