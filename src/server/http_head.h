/* SPDX-License-Identifier: Apache-2.0 */
/* The head of an HTTP/1.x request (RFC 9110, RFC 9112), strictly: what two readers could
 * understand differently is refused, because a proxy in front may be the other reader. */
#ifndef TANDEM_SERVER_HTTP_HEAD_H
#define TANDEM_SERVER_HTTP_HEAD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/str.h"

#define HTTP_HEAD_BYTES_MAX ((size_t)16 << 10)
#define HTTP_FIELDS_MAX     64

typedef struct http_field {
    tandem_str name;
    tandem_str value; /* without white space around it */
} http_field;

/* Texts point into the bytes that were parsed. */
typedef struct http_head {
    tandem_str method;
    tandem_str path; /* of the target, still percent-encoded; "*" for OPTIONS * */
    tandem_str query;
    int minor;              /* of the version: 0 or 1 */
    int64_t content_length; /* -1 = none */
    bool is_chunked;
    bool is_keep_alive;
    bool wants_continue; /* Expect: 100-continue */
    http_field fields[HTTP_FIELDS_MAX];
    size_t field_count;
} http_head;

/* Offset behind the empty line that ends a head, 0 if it is not there yet. `from` is what an
 * earlier call with fewer bytes has looked at. */
size_t http_head_end(const char *bytes, size_t len, size_t from);

/* Parses the head in bytes [0, len), where http_head_end said len. Returns 0, or the HTTP status
 * to refuse it with and a sentence in *why. */
int http_head_parse(const char *bytes, size_t len, http_head *head, const char **why);

/* The value of the first field of that name (any case), empty if there is none. */
tandem_str http_head_get(const http_head *head, const char *name);

/* Whether a comma-separated list has the word (any case), parameters behind ';' aside. */
bool http_list_has(tandem_str list, const char *word);

#endif
