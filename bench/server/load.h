/* SPDX-License-Identifier: Apache-2.0 */
/* What the modes of http_load share: options, requests as bytes ready to send, the report. */
#ifndef TANDEM_BENCH_LOAD_H
#define TANDEM_BENCH_LOAD_H

#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buffer.h"
#include "base/histogram.h"
#include "base/str.h"

#define LOAD_HEADERS_MAX     8
#define LOAD_CONNECTIONS_MAX 20000

typedef struct load_options {
    const char *mode;  /* "closed", "open", "idle", "loris", "trickle", "stream" */
    const char *host;  /* IPv4 address */
    const char *route; /* "embed", "openai", "openai-base64", "infinity" */
    const char *texts; /* file of lines */
    const char *model; /* for routes that name one */
    const char *form;  /* stream: "ndjson" or "json" */
    const char *headers[LOAD_HEADERS_MAX]; /* "Name: value" */
    int64_t header_count;
    int64_t port;
    int64_t connections;
    int64_t batch;    /* texts of a request */
    int64_t requests; /* stream: texts; closed: stop after so many answers, 0 = by time */
    double seconds;
    double warmup_s;
    double rate;       /* open: requests/s; stream: texts/s, 0 = as fast as they are taken */
    double interval_s; /* loris, trickle: between two bytes of a connection */
    int64_t seed;
} load_options;

/* One request a line (or a group of lines): head and body, ready to send. */
typedef struct load_requests {
    tandem_buffer bytes;
    size_t *offsets; /* [count + 1] */
    size_t count;
} load_requests;

/* Ends the program with a line on stderr. */
_Noreturn void load_die(const char *what, const char *detail);

/* The file's lines, `*count` of them; empty lines are left out. */
tandem_str *load_texts_read(const char *path, size_t *count);

/* The head of a POST to the route; `length` < 0 means chunked. */
void load_head_push(tandem_buffer *out, const load_options *options, int64_t length);
void load_requests_make(load_requests *requests, const load_options *options);

/* A connected socket that does not block, without Nagle's delay; -1 if the server refuses. */
int load_connect(const load_options *options);

/* Processor seconds of this process so far. */
double load_processor_s(void);

/* "name":{"count":..,"per_s":..,"p50_ms":..,...} of latencies. */
void load_class_print(const char *name, const tandem_histogram *latency, double seconds);

int load_loop_run(const load_options *options);   /* closed, open */
int load_hold_run(const load_options *options);   /* idle, loris, trickle */
int load_stream_run(const load_options *options); /* stream */

#endif
