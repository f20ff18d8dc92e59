/* SPDX-License-Identifier: Apache-2.0 */
#include "server/pieces.h"

#include <string.h>

#include "base/fail.h"

#define OPTIONS_BYTES_MAX ((size_t)16 << 10)

void server_pieces_init(server_pieces *pieces, bool is_lines, size_t bytes_max) {
    *pieces = (server_pieces){.is_lines = is_lines};
    tandem__buffer_init(&pieces->bytes, bytes_max);
    tandem__buffer_init(&pieces->options, OPTIONS_BYTES_MAX);
}

void server_pieces_deinit(server_pieces *pieces) {
    tandem__buffer_deinit(&pieces->bytes);
    tandem__buffer_deinit(&pieces->options);
}

size_t server_pieces_waiting(const server_pieces *pieces) {
    return pieces->bytes.len - pieces->at;
}

tandem_status server_pieces_push(server_pieces *pieces, tandem_str bytes, tandem_error *err) {
    tandem_buffer *all = &pieces->bytes;
    if (pieces->at == all->len) {
        all->len = 0;
        pieces->at = 0;
    } else if (pieces->at > all->len / 2) {
        memmove(all->ptr, all->ptr + pieces->at, all->len - pieces->at);
        all->len -= pieces->at;
        pieces->at = 0;
    }
    return tandem__buffer_push(all, bytes.ptr, bytes.len, err);
}

static bool is_space(char c) {
    return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

/* Behind the string that begins at `at`, 0 if its end is not there. */
static size_t string_end(tandem_str text, size_t at) {
    for (size_t i = at + 1; i < text.len; i++) {
        if (text.ptr[i] == '\\')
            i++;
        else if (text.ptr[i] == '"')
            return i + 1;
    }
    return 0;
}

/* Behind the value at the front of `text`, 0 if its end is not there: then the next call, with more
 * bytes, goes on where this one stopped, since a client may send a text byte by byte. A number or
 * word ends before what cannot be part of it. */
static size_t value_end(server_pieces *pieces, tandem_str text) {
    size_t depth = pieces->seen_depth;
    bool is_text = pieces->is_seen_text;
    size_t i = pieces->seen;
    size_t end = 0;
    while (i < text.len && end == 0) {
        const char c = text.ptr[i];
        if (is_text && c == '\\' && i + 1 == text.len) break;
        const bool is_first = i == 0;
        i += is_text && c == '\\' ? 2 : 1;
        if (c == '"' && is_text && depth == 0) end = i;
        if (c == '"') is_text = !is_text;
        if (c == '"' || is_text) continue;
        if (c == '[' || c == '{') depth++;
        const bool is_close = c == ']' || c == '}';
        if (depth == 0 && (is_close || c == ',' || is_space(c))) {
            if (is_first) return 0;
            end = i - 1;
        }
        if (is_close && depth > 0 && --depth == 0) end = i;
    }
    pieces->seen = end > 0 ? 0 : i;
    pieces->seen_depth = end > 0 ? 0 : depth;
    pieces->is_seen_text = end == 0 && is_text;
    return end;
}

static tandem_status fail(tandem_error *err, const char *what) {
    return TANDEM_FAIL(err, FORMAT, "not valid JSON: %s", what);
}

/* A whole value at the front of what waits; empty: more is needed. */
static tandem_status take_value(server_pieces *pieces, tandem_str *value, tandem_error *err) {
    const tandem_str rest = {pieces->bytes.ptr + pieces->at, server_pieces_waiting(pieces)};
    const size_t end = value_end(pieces, rest);
    *value = (tandem_str){rest.ptr, end};
    pieces->at += end;
    if (end > SERVER_PIECE_BYTES_MAX || (end == 0 && rest.len > SERVER_PIECE_BYTES_MAX))
        return TANDEM_FAIL(err, CAPACITY, "a text of the stream has over %zu bytes",
                           SERVER_PIECE_BYTES_MAX);
    if (end == 0 && pieces->is_whole) return fail(err, "unexpected end");
    return TANDEM_OK;
}

/* A member: its key, colon and value together, or "inputs" up to the bracket of its list. Nothing
 * is used up before all of it is there. */
static tandem_status take_member(server_pieces *pieces, bool *is_there, tandem_str *piece,
                                 tandem_error *err) {
    const tandem_str rest = {pieces->bytes.ptr + pieces->at, server_pieces_waiting(pieces)};
    const size_t key_end = rest.ptr[0] == '"' ? string_end(rest, 0) : 0;
    if (rest.ptr[0] != '"') return fail(err, "a key was expected");
    *is_there = false;
    size_t at = key_end;
    while (at > 0 && at < rest.len && is_space(rest.ptr[at])) at++;
    const bool has_colon = at > 0 && at < rest.len;
    if (has_colon && rest.ptr[at] != ':') return fail(err, "a colon was expected");
    at++;
    while (has_colon && at < rest.len && is_space(rest.ptr[at])) at++;
    if (!has_colon || at >= rest.len) {
        if (rest.len > OPTIONS_BYTES_MAX)
            return TANDEM_FAIL(err, CAPACITY, "a key of the stream has over %zu bytes",
                               OPTIONS_BYTES_MAX);
        return pieces->is_whole ? fail(err, "unexpected end") : TANDEM_OK;
    }
    const bool is_inputs = tandem__str_is((tandem_str){rest.ptr, key_end}, "\"inputs\"");
    if (is_inputs && rest.ptr[at] == '[') {
        pieces->at += at + 1;
        pieces->part = SERVER_PIECES_ITEM;
        *is_there = true;
        return TANDEM_OK;
    }
    const size_t before = pieces->at;
    pieces->at += at;
    tandem_str value;
    TANDEM_TRY(take_value(pieces, &value, err));
    if (value.len == 0) {
        pieces->at = before;
        return TANDEM_OK;
    }
    *is_there = true;
    pieces->part = SERVER_PIECES_AFTER;
    if (is_inputs) {
        *piece = value; // one text, not a list
        pieces->has_inputs = true;
        return TANDEM_OK;
    }
    tandem_buffer *options = &pieces->options;
    if (options->len > 0) TANDEM_TRY(tandem__buffer_push(options, ",", 1, err));
    TANDEM_TRY(tandem__buffer_push(options, rest.ptr, key_end, err));
    TANDEM_TRY(tandem__buffer_push(options, ":", 1, err));
    return tandem__buffer_push(options, value.ptr, value.len, err);
}

/* What stands between values. `c` is the next character that is no white space. */
static tandem_status take_mark(server_pieces *pieces, char c, tandem_error *err) {
    pieces->at++;
    switch (pieces->part) {
    case SERVER_PIECES_OPEN:
        pieces->part = SERVER_PIECES_KEY;
        return c == '{' ? TANDEM_OK : fail(err, "an object was expected");
    case SERVER_PIECES_NEXT:
        if (c == ',') {
            pieces->part = SERVER_PIECES_ITEM;
            return TANDEM_OK;
        }
        pieces->part = SERVER_PIECES_AFTER;
        pieces->has_inputs = true;
        return c == ']' ? TANDEM_OK : fail(err, "a comma or ] was expected");
    case SERVER_PIECES_AFTER:
        if (c == ',' && pieces->has_inputs)
            return TANDEM_FAIL(err, FORMAT,
                               "in a stream every other field comes before \"inputs\"");
        if (c == '}' && !pieces->has_inputs) return fail(err, "\"inputs\" is missing");
        pieces->part = c == ',' ? SERVER_PIECES_KEY : SERVER_PIECES_END;
        return c == ',' || c == '}' ? TANDEM_OK : fail(err, "a comma or } was expected");
    case SERVER_PIECES_KEY:
    case SERVER_PIECES_ITEM:
    case SERVER_PIECES_END:
        break;
    }
    return fail(err, "something follows the end");
}

static tandem_status next_line(server_pieces *pieces, tandem_str *piece, tandem_error *err) {
    while (server_pieces_waiting(pieces) > 0) {
        const char *line = pieces->bytes.ptr + pieces->at;
        const size_t waiting = server_pieces_waiting(pieces);
        const char *end = memchr(line + pieces->seen, '\n', waiting - pieces->seen);
        size_t len = end == NULL ? waiting : (size_t)(end - line);
        if (len > SERVER_PIECE_BYTES_MAX)
            return TANDEM_FAIL(err, CAPACITY, "a line of the stream has over %zu bytes",
                               SERVER_PIECE_BYTES_MAX);
        pieces->seen = end == NULL ? waiting : 0;
        if (end == NULL && !pieces->is_whole) return TANDEM_OK;
        pieces->seen = 0;
        pieces->at += len + (end != NULL);
        while (len > 0 && is_space(line[len - 1])) len--;
        while (len > 0 && is_space(*line)) {
            line++;
            len--;
        }
        if (len == 0) continue;
        *piece = (tandem_str){line, len};
        return TANDEM_OK;
    }
    return TANDEM_OK;
}

tandem_status server_pieces_next(server_pieces *pieces, tandem_str *piece, tandem_error *err) {
    *piece = (tandem_str){NULL, 0};
    if (pieces->is_lines) return next_line(pieces, piece, err);
    while (piece->len == 0) {
        while (server_pieces_waiting(pieces) > 0 && is_space(pieces->bytes.ptr[pieces->at]))
            pieces->at++;
        if (server_pieces_waiting(pieces) == 0) {
            if (!pieces->is_whole || pieces->part == SERVER_PIECES_END) return TANDEM_OK;
            return fail(err, "unexpected end");
        }
        const char c = pieces->bytes.ptr[pieces->at];
        bool is_there = true;
        if (pieces->part == SERVER_PIECES_KEY && c != '}') {
            TANDEM_TRY(take_member(pieces, &is_there, piece, err));
        } else if (pieces->part == SERVER_PIECES_KEY) {
            pieces->part = SERVER_PIECES_AFTER; // an empty object
        } else if (pieces->part == SERVER_PIECES_ITEM && c == ']' && !pieces->has_item) {
            pieces->part = SERVER_PIECES_NEXT; // an empty list
        } else if (pieces->part == SERVER_PIECES_ITEM) {
            TANDEM_TRY(take_value(pieces, piece, err));
            is_there = piece->len > 0;
            if (!is_there && (c == ',' || c == ']' || c == '}'))
                return fail(err, "a text is missing");
            pieces->has_item = true;
            if (is_there) pieces->part = SERVER_PIECES_NEXT;
        } else {
            TANDEM_TRY(take_mark(pieces, c, err));
        }
        if (!is_there) return TANDEM_OK;
    }
    return TANDEM_OK;
}
