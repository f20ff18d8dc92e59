/* SPDX-License-Identifier: Apache-2.0 */
/* A request that is streamed, cut into its texts while it arrives: either lines, each a JSON value,
 * or one JSON object whose "inputs" is a list. What is cut off is read as JSON by the caller; here
 * only brackets, quotes and commas are looked at. */
#ifndef TANDEM_SERVER_PIECES_H
#define TANDEM_SERVER_PIECES_H

#include <stdbool.h>
#include <stddef.h>

#include "base/buffer.h"
#include "base/str.h"
#include "tandem/status.h"

typedef enum server_pieces_part {
    SERVER_PIECES_OPEN = 0,  /* before the object */
    SERVER_PIECES_KEY = 1,   /* before a member, or the end of an empty object */
    SERVER_PIECES_ITEM = 2,  /* before an item of "inputs" or its end */
    SERVER_PIECES_NEXT = 3,  /* behind an item */
    SERVER_PIECES_AFTER = 4, /* behind a member */
    SERVER_PIECES_END = 5,   /* behind the object */
} server_pieces_part;

typedef struct server_pieces {
    tandem_buffer bytes; /* received; used up to `at` */
    size_t at;
    size_t seen;           /* bytes of the value or line there in which no end was found */
    size_t seen_depth;     /* ... brackets open behind them */
    bool is_seen_text;     /* ... within a string */
    tandem_buffer options; /* members before "inputs", as `"key":value,"key":value` */
    bool is_lines;
    bool is_whole;   /* no more bytes will come */
    bool has_item;   /* "inputs" has begun to have items */
    bool has_inputs; /* ... has ended, or was one text */
    server_pieces_part part;
} server_pieces;

void server_pieces_init(server_pieces *pieces, bool is_lines, size_t bytes_max);
void server_pieces_deinit(server_pieces *pieces);

/* Bytes that wait. */
size_t server_pieces_waiting(const server_pieces *pieces);

tandem_status server_pieces_push(server_pieces *pieces, tandem_str bytes,
                                 tandem_error *err) TANDEM_NODISCARD;

/* The next text's JSON, borrowed until the next call of any of these; empty where more bytes are
 * needed or, once is_whole, nothing is left. TANDEM_FORMAT where the structure is broken, or a
 * member follows "inputs"; TANDEM_CAPACITY for a piece over SERVER_PIECE_BYTES_MAX. */
#define SERVER_PIECE_BYTES_MAX ((size_t)256 << 10)
tandem_status server_pieces_next(server_pieces *pieces, tandem_str *piece,
                                 tandem_error *err) TANDEM_NODISCARD;

#endif
