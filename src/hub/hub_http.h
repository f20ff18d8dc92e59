/* SPDX-License-Identifier: Apache-2.0 */
/* Requests to the Hub: one connection, redirects, what its headers say, and when to try again.
 *
 * Redirects are followed here and not by libcurl, because three things depend on each hop: the
 * token goes to the endpoint's own scheme, host and port alone; https never becomes http; and the
 * Hub says a large file's hash and size in the headers of the redirect, not of the storage that it
 * points to. */
#ifndef TANDEM_HUB_HTTP_H
#define TANDEM_HUB_HTTP_H

#include "base/buffer.h"
#include "base/sha.h"
#include "hub/hub_settings.h"

typedef struct tandem_hub_reply {
    long code;            /* 200, ...; 0 = no answer came */
    int64_t length;       /* Content-Length; -1 = not said, here and below */
    int64_t range_start;  /* of Content-Range */
    int64_t linked_bytes; /* X-Linked-Size: of the file behind a redirect */
    int64_t retry_after_s;
    char etag[2 * TANDEM_SHA_HEX_MAX];        /* without quotes and W/ */
    char linked_etag[2 * TANDEM_SHA_HEX_MAX]; /* X-Linked-Etag, likewise */
    char commit[72];                          /* X-Repo-Commit */
    char error_code[48];                      /* X-Error-Code: "GatedRepo", "RepoNotFound", ... */
    bool is_transient;                        /* the same request may do better later */
    bool has_token;                           /* one was sent */
} tandem_hub_reply;

/* Takes the body of a 200 or 206, as it comes; `reply` has its headers. An error ends it. */
typedef tandem_status (*tandem_hub_sink)(void *context, const tandem_hub_reply *reply,
                                         const char *bytes, size_t len, tandem_error *err);

typedef struct tandem_hub_request {
    const char *url;
    bool is_head;
    int64_t offset; /* bytes to leave out */
    tandem_hub_sink sink;
    void *context;
} tandem_hub_request;

typedef struct tandem_hub_http tandem_hub_http;

/* `settings` and `watch` are borrowed until close. */
tandem_status tandem__hub_http_open(const tandem_hub_settings *settings, tandem_hub_watch *watch,
                                    tandem_hub_http **http, tandem_error *err) TANDEM_NODISCARD;
void tandem__hub_http_close(tandem_hub_http *http); /* NULL is allowed */

/* One request with its redirects. TANDEM_OK: an answer came whole, whatever its code. A HEAD stops
 * at a redirect that leaves the endpoint. */
tandem_status tandem__hub_http_send(tandem_hub_http *http, const tandem_hub_request *request,
                                    tandem_hub_reply *reply, tandem_error *err) TANDEM_NODISCARD;

/* Appends `text` to a NUL-terminated `url` of TANDEM_HUB_URL_MAX bytes, percent-encoded; slashes
 * stay if `keeps_slashes`. */
tandem_status tandem__hub_url_add(char *url, const char *text, bool keeps_slashes,
                                  tandem_error *err) TANDEM_NODISCARD;

/* The tries of one thing: how many are left, and the pause before the next. */
typedef struct tandem_hub_retry {
    int32_t left;
    int64_t pause_ms;
} tandem_hub_retry;

tandem_hub_retry tandem__hub_retry_start(const tandem_hub_settings *settings);

/* After a failure `failed` (whose error is in `err`): waits, empties `err` and returns TANDEM_OK if
 * it is to be tried again, else returns `failed`. */
tandem_status tandem__hub_retry_wait(tandem_hub_retry *retry, tandem_hub_watch *watch,
                                     const tandem_hub_reply *reply, tandem_status failed,
                                     tandem_error *err) TANDEM_NODISCARD;

/* The error that an answer which is neither 200 nor 206 stands for. `what` is a file's name, or
 * NULL for the model itself. */
tandem_status tandem__hub_refusal(const tandem_hub_settings *settings, const tandem_hub_name *name,
                                  const char *what, const tandem_hub_reply *reply,
                                  tandem_error *err);

#endif
