/* SPDX-License-Identifier: Apache-2.0 */
/* The reference counts in characters of the token and moves the span by as many characters of the
 * text, whatever they are, but no end over the other. Bytes follow the characters. */
#include "text/trim.h"

#include "base/utf8.h"
#include "text/unicode.h"

#define BYTE_SPACE 0x120u /* the space in the alphabet of byte_level.h */

static bool is_space(uint32_t code) {
    return code == BYTE_SPACE || (tandem__unicode_flags(code) & TANDEM_UNICODE_WHITE) != 0;
}

static size_t char_start(const uint8_t *bytes, size_t end) {
    size_t at = end - 1;
    while (at > 0 && (bytes[at] & 0xc0) == 0x80) at--;
    return at;
}

tandem_trim tandem__trim_of(tandem_str token) {
    const uint8_t *const bytes = (const uint8_t *)token.ptr;
    tandem_trim trim = {0, 0};
    uint32_t code = 0;
    for (size_t at = 0; at < token.len; trim.before++) {
        const size_t step = tandem__utf8_decode(bytes + at, token.len - at, &code);
        if (step == 0 || !is_space(code)) break;
        at += step;
    }
    for (size_t end = token.len; end > 0; trim.after++) {
        const size_t at = char_start(bytes, end);
        if (tandem__utf8_decode(bytes + at, end - at, &code) == 0 || !is_space(code)) break;
        end = at;
    }
    return trim;
}

static int32_t forward(const uint8_t *text, int32_t at, uint32_t chars) {
    for (; chars > 0; chars--) {
        at++;
        while ((text[at] & 0xc0) == 0x80) at++;
    }
    return at;
}

static int32_t backward(const uint8_t *text, int32_t at, uint32_t chars) {
    for (; chars > 0; chars--) at = (int32_t)char_start(text, (size_t)at);
    return at;
}

static void trim_start(const uint8_t *text, uint32_t count, tandem_span *bytes,
                       tandem_span *chars) {
    const uint32_t room = (uint32_t)(chars->end - chars->start);
    if (count >= room) {
        chars->start = chars->end;
        bytes->start = bytes->end;
        return;
    }
    chars->start += (int32_t)count;
    bytes->start = forward(text, bytes->start, count);
}

/* A span that ends before as many characters as the token has spaces stays. */
static void trim_end(const uint8_t *text, uint32_t count, tandem_span *bytes, tandem_span *chars) {
    if ((uint32_t)chars->end < count) return;
    const uint32_t room = (uint32_t)(chars->end - chars->start);
    if (count >= room) {
        chars->end = chars->start;
        bytes->end = bytes->start;
        return;
    }
    chars->end -= (int32_t)count;
    bytes->end = backward(text, bytes->end, count);
}

void tandem__trim_apply(const tandem_trim_window *window, bool keeps_first) {
    for (size_t i = 0; i < window->count; i++) {
        const tandem_trim trim = window->trims[i];
        if ((trim.before | trim.after) == 0) continue;
        tandem_span *const bytes = &window->bytes[i];
        tandem_span *const chars = &window->chars[i];
        const bool is_first = i == 0 || chars->start == 0;
        if (trim.before > 0 && !(is_first && keeps_first && trim.before == 1)) {
            trim_start(window->text, trim.before, bytes, chars);
        }
        if (trim.after > 0) trim_end(window->text, trim.after, bytes, chars);
    }
}
