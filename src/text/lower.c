/* SPDX-License-Identifier: Apache-2.0 */
#include "text/lower.h"

#include "base/fail.h"
#include "base/utf8.h"
#include "text/unicode.h"

#define CAPITAL_SIGMA 0x03a3u
#define SMALL_SIGMA   0x03c3u
#define FINAL_SIGMA   0x03c2u

static bool is_letter(uint32_t code) {
    const bool is_digit = code >= '0' && code <= '9';
    return (tandem__unicode_flags(code) & TANDEM_UNICODE_WORD) != 0 && !is_digit && code != '_';
}

static bool is_mark(uint32_t code) {
    return (tandem__unicode_flags(code) & TANDEM_UNICODE_MN) != 0;
}

/* Whether the next character of `text` from `at` on that is no mark is a letter. */
static bool letter_follows(tandem_str text, size_t at) {
    const uint8_t *bytes = (const uint8_t *)text.ptr;
    while (at < text.len) {
        uint32_t code = 0;
        const size_t step = tandem__utf8_decode(bytes + at, text.len - at, &code);
        if (step == 0) return false;
        if (!is_mark(code)) return is_letter(code);
        at += step;
    }
    return false;
}

static tandem_status put(tandem_buffer *out, uint32_t code, tandem_error *err) {
    uint8_t bytes[4];
    return tandem__buffer_push(out, bytes, tandem__utf8_encode(code, bytes), err);
}

tandem_status tandem__text_lower(tandem_str text, tandem_buffer *out, tandem_error *err) {
    const uint8_t *bytes = (const uint8_t *)text.ptr;
    bool is_after_letter = false;
    for (size_t at = 0; at < text.len;) {
        uint32_t code = 0;
        const size_t step = tandem__utf8_decode(bytes + at, text.len - at, &code);
        if (step == 0) {
            TANDEM_TRY(tandem__buffer_push(out, bytes + at, 1, err));
            at++;
            continue;
        }
        at += step;
        const uint32_t *lower = tandem__unicode_lower_of(code);
        if (code == CAPITAL_SIGMA) {
            const bool is_final = is_after_letter && !letter_follows(text, at);
            TANDEM_TRY(put(out, is_final ? FINAL_SIGMA : SMALL_SIGMA, err));
        } else if (lower == NULL) {
            TANDEM_TRY(put(out, code, err));
        } else {
            for (uint32_t i = 1; i <= lower[0]; i++) TANDEM_TRY(put(out, lower[i], err));
        }
        if (!is_mark(code)) is_after_letter = is_letter(code);
    }
    return TANDEM_OK;
}
