/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base64.h"

#include "base/fail.h"

static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

tandem_status tandem__base64_push(tandem_buffer *out, const void *bytes, size_t len,
                                  tandem_error *err) {
    if (len > SIZE_MAX / 2) return TANDEM_FAIL(err, CAPACITY, "%zu bytes as base64", len);
    TANDEM_TRY(tandem__buffer_reserve(out, (len + 2) / 3 * 4, err));
    const uint8_t *from = bytes;
    char *to = out->ptr + out->len;
    size_t i = 0;
    for (; i + 3 <= len; i += 3) {
        const uint32_t word = (uint32_t)from[i] << 16 | (uint32_t)from[i + 1] << 8 | from[i + 2];
        *to++ = digits[word >> 18];
        *to++ = digits[word >> 12 & 63];
        *to++ = digits[word >> 6 & 63];
        *to++ = digits[word & 63];
    }
    if (i < len) {
        const bool has_two = i + 1 < len;
        const uint32_t word = (uint32_t)from[i] << 16 | (has_two ? (uint32_t)from[i + 1] << 8 : 0);
        *to++ = digits[word >> 18];
        *to++ = digits[word >> 12 & 63];
        *to++ = has_two ? digits[word >> 6 & 63] : '=';
        *to++ = '=';
    }
    out->len = (size_t)(to - out->ptr);
    return TANDEM_OK;
}
