/* SPDX-License-Identifier: Apache-2.0 */
/* A request through a route without a server: JSON text in, the tandem_request or the error out;
 * a result in, the answer's bytes out. The catalog has a model for each task, none with an engine.
 */
#ifndef TANDEM_TESTS_ROUTE_CASE_H
#define TANDEM_TESTS_ROUTE_CASE_H

#include "server/ask.h"

typedef struct route_case {
    tandem_arena arena;
    server_ask ask;
    tandem_buffer out;     /* the answer's body or the error's, ends with NUL */
    tandem_buffer headers; /* ... its more_headers */
    int code;              /* of the error; 200 */
    int slices;            /* that the writer made */
} route_case;

/* Embedder "org/embedder" of 4 dimensions, 100 token ids and 8 tokens, "org/sparse", reranker
 * "org/reranker", classifier "org/classifier" with labels a, b, c; in this order. At most 4 texts a
 * request. To be changed by a test that wants to. */
extern server_catalog route_catalog;

void route_begin(route_case *c);
void route_end(route_case *c);

/* Finds the route and reads `body` with it (an `answer` route answers). False if it was refused. */
bool route_ask(route_case *c, const char *method, const char *path, tandem_str body);

/* The answer to the request that was read. */
void route_write(route_case *c, const tandem_result *result);

/* In one: the answer, or the error. Asserts the code and the body. */
void route_expect(const char *method, const char *path, const char *body, int code,
                  const char *expected);

/* ... that reads without an error, then answers `result` with `expected`. */
void route_expect_result(const char *path, const char *body, const tandem_result *result,
                         const char *expected);

#endif
