/* SPDX-License-Identifier: Apache-2.0 */
#include "server/http_chunks.h"

#include "base/number.h"

#define DIGITS_MAX 15
#define SPARE_MAX  ((uint32_t)8 << 10) /* bytes of extensions and trailers of one body */

/* A byte of a chunk's first line. False: it cannot stand there. */
static bool step_size(http_chunks *chunks, char c) {
    const int digit = tandem__hex_digit(c);
    if (digit >= 0 && chunks->digits < DIGITS_MAX) {
        chunks->left = chunks->left * 16 + (uint64_t)digit;
        chunks->digits++;
        return true;
    }
    if (chunks->digits == 0 || digit >= 0) return false;
    if (c == '\r')
        chunks->part = HTTP_CHUNK_SIZE_LF;
    else if (c == ';' || c == ' ' || c == '\t')
        chunks->part = HTTP_CHUNK_EXTENSION;
    else
        return false;
    return true;
}

static bool expect(http_chunks *chunks, char c, char wanted, http_chunk_part next) {
    chunks->part = next;
    return c == wanted;
}

/* A byte that is not data. */
static bool step(http_chunks *chunks, char c) {
    switch (chunks->part) {
    case HTTP_CHUNK_SIZE:
        return step_size(chunks, c);
    case HTTP_CHUNK_EXTENSION:
        if (c == '\r') chunks->part = HTTP_CHUNK_SIZE_LF;
        return c != '\n' && ++chunks->spare <= SPARE_MAX;
    case HTTP_CHUNK_SIZE_LF:
        return expect(chunks, c, '\n', chunks->left == 0 ? HTTP_CHUNK_TRAILER : HTTP_CHUNK_DATA);
    case HTTP_CHUNK_DATA_CR:
        return expect(chunks, c, '\r', HTTP_CHUNK_DATA_LF);
    case HTTP_CHUNK_DATA_LF:
        chunks->digits = 0;
        return expect(chunks, c, '\n', HTTP_CHUNK_SIZE);
    case HTTP_CHUNK_TRAILER:
        chunks->part = c == '\r' ? HTTP_CHUNK_LAST_LF : HTTP_CHUNK_TRAILER_LINE;
        return c != '\n' && ++chunks->spare <= SPARE_MAX;
    case HTTP_CHUNK_TRAILER_LINE:
        if (c == '\r') chunks->part = HTTP_CHUNK_TRAILER_LF;
        return c != '\n' && ++chunks->spare <= SPARE_MAX;
    case HTTP_CHUNK_TRAILER_LF:
        return expect(chunks, c, '\n', HTTP_CHUNK_TRAILER);
    case HTTP_CHUNK_LAST_LF:
        return expect(chunks, c, '\n', HTTP_CHUNK_END);
    case HTTP_CHUNK_DATA:
    case HTTP_CHUNK_END:
        break;
    }
    return false;
}

http_chunk_got http_chunks_next(http_chunks *chunks, tandem_str bytes, size_t *taken,
                                tandem_str *data) {
    size_t at = 0;
    while (at < bytes.len && chunks->part != HTTP_CHUNK_END) {
        if (chunks->part == HTTP_CHUNK_DATA) {
            size_t len = bytes.len - at;
            if (len > chunks->left) len = (size_t)chunks->left;
            *data = (tandem_str){bytes.ptr + at, len};
            chunks->left -= len;
            if (chunks->left == 0) chunks->part = HTTP_CHUNK_DATA_CR;
            *taken = at + len;
            return HTTP_CHUNK_GOT;
        }
        if (!step(chunks, bytes.ptr[at])) return HTTP_CHUNK_WRONG;
        at++;
    }
    *taken = at;
    return chunks->part == HTTP_CHUNK_END ? HTTP_CHUNK_DONE : HTTP_CHUNK_MORE;
}
