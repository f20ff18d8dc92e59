/* SPDX-License-Identifier: Apache-2.0 */
/* A body in chunks (RFC 9112, 7.1) as it arrives. Extensions and trailers are read and dropped. */
#ifndef TANDEM_SERVER_HTTP_CHUNKS_H
#define TANDEM_SERVER_HTTP_CHUNKS_H

#include <stddef.h>
#include <stdint.h>

#include "base/str.h"

typedef enum http_chunk_part {
    HTTP_CHUNK_SIZE = 0,      /* hex digits */
    HTTP_CHUNK_EXTENSION = 1, /* from ';' or a blank to the line's CR */
    HTTP_CHUNK_SIZE_LF = 2,
    HTTP_CHUNK_DATA = 3,
    HTTP_CHUNK_DATA_CR = 4,
    HTTP_CHUNK_DATA_LF = 5,
    HTTP_CHUNK_TRAILER = 6, /* at the start of a line */
    HTTP_CHUNK_TRAILER_LINE = 7,
    HTTP_CHUNK_TRAILER_LF = 8, /* of a trailer's line */
    HTTP_CHUNK_LAST_LF = 9,    /* of the empty line */
    HTTP_CHUNK_END = 10,
} http_chunk_part;

/* Starts as all zero. */
typedef struct http_chunks {
    http_chunk_part part;
    uint64_t left;   /* bytes of the chunk to come */
    uint32_t digits; /* of the size, read so far */
    uint32_t spare;  /* bytes of extensions and trailers, bounded */
} http_chunks;

typedef enum http_chunk_got {
    HTTP_CHUNK_MORE = 0, /* all bytes are taken, more are needed */
    HTTP_CHUNK_GOT = 1,  /* *data has some of the body */
    HTTP_CHUNK_DONE = 2, /* the body is whole */
    HTTP_CHUNK_WRONG = 3,
} http_chunk_got;

/* Takes from `bytes` up to the next piece of data; *taken is how many. */
http_chunk_got http_chunks_next(http_chunks *chunks, tandem_str bytes, size_t *taken,
                                tandem_str *data);

#endif
