/* SPDX-License-Identifier: Apache-2.0 */
#include "base/json_text.h"

#include <math.h>

#include "base/fail.h"
#include "base/float_text.h"

#define ESCAPE_BYTES_MAX 6 /* \u001f */

static size_t escape(unsigned char c, char *out) {
    static const char hex[] = "0123456789abcdef";
    static const char shorts[] = "btn\0fr"; /* \b \t \n (no \v) \f \r are 8 to 13 */
    out[0] = '\\';
    if (c == '"' || c == '\\') {
        out[1] = (char)c;
        return 2;
    }
    if (c >= 8 && c <= 13 && c != 11) {
        out[1] = shorts[c - 8];
        return 2;
    }
    memcpy(out + 1, "u00", 3);
    out[4] = hex[c >> 4];
    out[5] = hex[c & 15];
    return ESCAPE_BYTES_MAX;
}

tandem_status tandem__json_text_string(tandem_buffer *out, tandem_str text, tandem_error *err) {
    TANDEM_TRY(tandem__buffer_push(out, "\"", 1, err));
    size_t done = 0;
    for (size_t i = 0; i < text.len; i++) {
        const unsigned char c = (unsigned char)text.ptr[i];
        if (c >= 0x20 && c != '"' && c != '\\') continue;
        char escaped[ESCAPE_BYTES_MAX];
        TANDEM_TRY(tandem__buffer_push(out, text.ptr + done, i - done, err));
        TANDEM_TRY(tandem__buffer_push(out, escaped, escape(c, escaped), err));
        done = i + 1;
    }
    TANDEM_TRY(tandem__buffer_push(out, text.ptr + done, text.len - done, err));
    return tandem__buffer_push(out, "\"", 1, err);
}

tandem_status tandem__json_text_join(tandem_buffer *out, const float *values, size_t count,
                                     char separator, tandem_error *err) {
    if (count > (SIZE_MAX - 1) / (TANDEM_FLOAT_TEXT_MAX + 1)) {
        return TANDEM_FAIL(err, CAPACITY, "%zu values do not fit in memory as text", count);
    }
    TANDEM_TRY(tandem__buffer_reserve(out, count * (TANDEM_FLOAT_TEXT_MAX + 1) + 1, err));
    char *at = out->ptr + out->len;
    for (size_t i = 0; i < count; i++) {
        if (!isfinite(values[i])) {
            return TANDEM_FAIL(err, NUMERIC, "value %zu is %s, expected a finite number", i,
                               isnan(values[i]) ? "NaN" : "infinite");
        }
        if (i > 0) *at++ = separator;
        at += tandem__float_text(values[i], at);
    }
    out->len = (size_t)(at - out->ptr);
    return TANDEM_OK;
}

tandem_status tandem__json_text_floats(tandem_buffer *out, const float *values, size_t count,
                                       tandem_error *err) {
    TANDEM_TRY(tandem__buffer_push(out, "[", 1, err));
    TANDEM_TRY(tandem__json_text_join(out, values, count, ',', err));
    return tandem__buffer_push(out, "]", 1, err);
}
