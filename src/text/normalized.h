/* SPDX-License-Identifier: Apache-2.0 */
/* Text on its way to the model, with the way back to the text that was given.
 *
 *     original    D  o  l  l  a  r  s     É              é is two bytes from one character
 *     bytes       d  o  l  l  a  r  s     e
 *     origins     0  1  2  3  4  5  6  7  8
 *
 * Every byte of normalised text comes from exactly one character of the original, so a byte needs
 * one number: where that character starts. Its end follows from the original's own bytes. While
 * each byte i came from the one-byte character at base + i (ASCII, nothing removed) the numbers
 * are not written at all. One thread at a time. */
#ifndef TANDEM_TEXT_NORMALIZED_H
#define TANDEM_TEXT_NORMALIZED_H

#include <stdbool.h>
#include <stdint.h>

#include "base/str.h"
#include "base/utf8.h"
#include "text/array.h"

#define TANDEM_TEXT_PADDING 16 /* bytes that may be read after the end of normalised text */

/* Borrowed. Byte i came from the character at origins[i]; with origins == NULL the view is a part
 * of the original that starts at byte `base`. */
typedef struct tandem_view {
    const uint8_t *bytes;
    size_t len;
    const uint32_t *origins;
    uint32_t base;
} tandem_view;

typedef struct tandem_normalized {
    tandem_array bytes;   /* uint8_t; TANDEM_TEXT_PADDING more are readable */
    tandem_array origins; /* uint32_t, as many as bytes; unused while is_plain */
    uint32_t base;
    bool is_plain;      /* byte i came from the one-byte character at base + i */
    bool wants_origins; /* else origins and base mean nothing */
} tandem_normalized;

static inline void tandem__normalized_reset(tandem_normalized *text, uint32_t base,
                                            bool wants_origins) {
    text->bytes.count = 0;
    text->origins.count = 0;
    text->base = base;
    text->is_plain = true;
    text->wants_origins = wants_origins;
}

/* Room for `more` bytes, their origins and the padding. */
static inline tandem_status tandem__normalized_reserve(tandem_normalized *text, size_t more,
                                                       tandem_error *err) {
    const tandem_status status =
        tandem__array_reserve(&text->bytes, more + TANDEM_TEXT_PADDING, 1, err);
    if (status != TANDEM_OK || text->is_plain || !text->wants_origins) return status;
    return tandem__array_reserve(&text->origins, more, sizeof(uint32_t), err);
}

/* Writes out the origins so far, so that others can follow, and room for `more`. */
tandem_status tandem__normalized_make_explicit(tandem_normalized *text, size_t more,
                                               tandem_error *err) TANDEM_NODISCARD;

/* Appends a code point that came from the character at `origin`. The room is there, and the
 * origins are explicit if they are wanted. */
static inline void tandem__normalized_put(tandem_normalized *text, uint32_t code, uint32_t origin) {
    uint8_t *const bytes = text->bytes.ptr;
    const size_t n = tandem__utf8_encode(code, bytes + text->bytes.count);
    text->bytes.count += n;
    if (!text->wants_origins) return;
    uint32_t *const origins = text->origins.ptr;
    for (size_t i = 0; i < n; i++) origins[text->origins.count + i] = origin;
    text->origins.count += n;
}

/* Appends bytes [start, end) of `in`; makes the origins explicit. */
tandem_status tandem__normalized_append(tandem_normalized *text, tandem_view in, size_t start,
                                        size_t end, tandem_error *err) TANDEM_NODISCARD;

/* Appends bytes that came from the character at `origin`; makes the origins explicit. */
tandem_status tandem__normalized_insert(tandem_normalized *text, tandem_str bytes, uint32_t origin,
                                        tandem_error *err) TANDEM_NODISCARD;

/* The text so far, until it is changed. */
static inline tandem_view tandem__normalized_view(const tandem_normalized *text) {
    return (tandem_view){.bytes = text->bytes.ptr,
                         .len = text->bytes.count,
                         .origins =
                             text->is_plain || !text->wants_origins ? NULL : text->origins.ptr,
                         .base = text->base};
}

/* Where `text`, not empty, comes next in bytes [at, len); `len` if it does not. */
size_t tandem__bytes_find(const uint8_t *bytes, size_t len, size_t at, tandem_str text);

/* Where the character starts that byte `at` came from. */
static inline uint32_t tandem__view_origin(tandem_view view, size_t at) {
    if (view.origins != NULL) return view.origins[at];
    while ((view.bytes[at] & 0xc0) == 0x80) at--;
    return view.base + (uint32_t)at;
}

void tandem__normalized_deinit(tandem_normalized *text);

#endif
