/* SPDX-License-Identifier: Apache-2.0 */
/* What an HTTP request asks for, and how one API reads it and writes the answer.
 *
 *     bytes ─ http ─ JSON tree ─ route.read ─ server_ask ─ engine ─ tandem_result ─ route.write ─
 * bytes pure                                               pure
 *
 * An API is data and pure functions: its rows of the route table, a reader that makes a
 * tandem_request of the body, a writer that makes the body of a result, and the form of its errors.
 * None of them knows sockets, threads or engines, so that each is tested with strings alone.
 *
 * Names in this room start with server_ or http_ instead of tandem__: it is linked into the program
 * only. */
#ifndef TANDEM_SERVER_ASK_H
#define TANDEM_SERVER_ASK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/buffer.h"
#include "base/json.h"
#include "base/str.h"
#include "server/catalog.h"
#include "tandem/engine.h"
#include "tandem/status.h"

/* Whose wire format a route speaks: decides the form of errors and what is ignored or refused. */
typedef enum server_api {
    SERVER_API_TEI = 0,
    SERVER_API_OPENAI = 1,
    SERVER_API_COHERE = 2,
    SERVER_API_KSERVE = 3,
    SERVER_API_OWN = 4,
} server_api;

/* A writer stops after about this many bytes and is called again when they are on their way, so
 * that a large answer needs little memory and never holds up its loop. */
#define SERVER_SLICE_BYTES ((size_t)64 << 10)
#define SERVER_ROWS_DONE   SIZE_MAX

typedef struct server_route server_route;

/* One request. Everything that pointers show lives in `arena`, in the route table, or as long as
 * the server. */
typedef struct server_ask {
    tandem_arena *arena;
    const server_route *route;
    const server_catalog *catalog;
    tandem_str path_model; /* {model} of the route's path, percent-decoded; else empty */
    tandem_str query;      /* what follows the path's ?, as it came */
    tandem_str accept;     /* headers as they came; empty without */
    tandem_str content_type;
    tandem_str inference_header_length; /* KServe's Inference-Header-Content-Length */
    const char *id;                     /* of the request, as X-Request-Id says it */
    struct server_tenant *tenant;       /* keys.h: who asks, held for the request; NULL: no keys */

    /* Set by the reader. A field that stays zero means the default. */
    const server_model *model; /* who is to serve: see server_catalog_find */
    tandem_request request;    /* lane, priority, deadline_ms and fallback win over the headers */
    bool has_priority;         /* ... the body named one: 0 is one too */
    bool is_single;            /* one text, not a list of one */
    const char *texts_field;   /* "inputs", "documents": how errors name request.texts[i] */
    void *own;                 /* the route's, from reader to writer */

    /* Set with an error by whoever raises it; else the status and the API decide. */
    const char *field; /* at fault, as "inputs[3]"; NULL = none */
    int http_code;     /* 0 = by the status */

    /* Set by the writer, at row 0. */
    const char *answer_type;     /* Content-Type; NULL = application/json */
    tandem_buffer *more_headers; /* lines "Name: value\r\n" that the answer has besides */
} server_ask;

/* Makes a request of a JSON body (route.read) or of the bytes (route.read_bytes). A field of the
 * wrong type or out of range is TANDEM_INVALID or TANDEM_FORMAT with `ask->field` set and a message
 * that names field, value and what was expected. */
typedef tandem_status server_read_function(server_ask *ask, const tandem_json *body,
                                           tandem_error *err);
typedef tandem_status server_read_bytes_function(server_ask *ask, tandem_str body,
                                                 tandem_error *err);

/* Appends the answer's body from row `*row` (0 at first) until it is whole, then sets
 * SERVER_ROWS_DONE, or until `out` holds SERVER_SLICE_BYTES, then sets the row to go on with. No
 * text of the result has failed: the server has answered with the error if one did. */
typedef tandem_status server_write_function(server_ask *ask, const tandem_result *result,
                                            size_t *row, tandem_buffer *out, tandem_error *err);

/* A route that needs no lane answers at once. `body` is NULL where there was none. */
typedef tandem_status server_answer_function(server_ask *ask, const tandem_json *body,
                                             tandem_buffer *out, tandem_error *err);

struct server_route {
    const char *method; /* "GET", "POST" */
    const char *path;   /* "/v2/models/{model}/infer" */
    server_api api;
    bool is_public;  /* no key is asked for */
    bool can_stream; /* application/x-ndjson in and out: see stream.h */
    bool is_slow;    /* `answer` reads files or /proc: it is called on a worker's thread */
    bool grows;      /* an answer is many times as large as its request */
    server_read_function *read;
    server_read_bytes_function *read_bytes; /* instead of read */
    server_write_function *write;
    server_answer_function *answer; /* instead of the three above */
};

/* The route of a request line's path (without query), `*path_model` set if it has {model}. NULL
 * sets *is_known_path where the path exists with another method. */
const server_route *server_route_find(tandem_str method, tandem_str path, tandem_str *path_model,
                                      bool *is_known_path);

/* The i-th of all routes, NULL after the last. For the tests and OPTIONS. */
const server_route *server_route_at(size_t i);

/* The body of an error in the API's form, and the code that goes with it. `ask->field` and
 * `ask->http_code` are used where they are set. Never fails: without memory the body is short. */
int server_error_write(const server_ask *ask, const tandem_error *err, tandem_buffer *out);

/* The HTTP code of a status where the API has no own rule. */
int server_status_code(tandem_status status);

#endif
