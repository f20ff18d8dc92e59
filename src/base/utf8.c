/* SPDX-License-Identifier: Apache-2.0 */
#include "base/utf8.h"

#include <string.h>

/* Length that a lead byte announces and the range its second byte may have (table 3-7); 0 for a
 * byte that starts nothing. */
static size_t lead_length(uint8_t lead, uint8_t *low, uint8_t *high) {
    *low = 0x80;
    *high = 0xbf;
    if (lead < 0x80) return 1;
    if (lead >= 0xc2 && lead <= 0xdf) return 2;
    if (lead >= 0xe0 && lead <= 0xef) {
        if (lead == 0xe0) *low = 0xa0;
        if (lead == 0xed) *high = 0x9f;
        return 3;
    }
    if (lead >= 0xf0 && lead <= 0xf4) {
        if (lead == 0xf0) *low = 0x90;
        if (lead == 0xf4) *high = 0x8f;
        return 4;
    }
    return 0;
}

/* Bytes of the longest well-formed start of a character at `bytes`; `whole` says if it is all. */
static size_t maximal_part(const uint8_t *bytes, size_t len, bool *whole) {
    uint8_t low = 0;
    uint8_t high = 0;
    *whole = false;
    if (len == 0) return 0;
    const size_t need = lead_length(bytes[0], &low, &high);
    if (need == 0) return 1;
    for (size_t i = 1; i < need; i++) {
        if (i >= len || bytes[i] < low || bytes[i] > high) return i;
        low = 0x80;
        high = 0xbf;
    }
    *whole = true;
    return need;
}

size_t tandem__utf8_decode(const uint8_t *bytes, size_t len, uint32_t *code) {
    bool whole = false;
    const size_t n = maximal_part(bytes, len, &whole);
    if (!whole) return 0;
    switch (n) {
    case 1:
        *code = bytes[0];
        break;
    case 2:
        *code = ((uint32_t)(bytes[0] & 0x1f) << 6) | (bytes[1] & 0x3f);
        break;
    case 3:
        *code = ((uint32_t)(bytes[0] & 0x0f) << 12) | ((uint32_t)(bytes[1] & 0x3f) << 6) |
                (bytes[2] & 0x3f);
        break;
    default:
        *code = ((uint32_t)(bytes[0] & 0x07) << 18) | ((uint32_t)(bytes[1] & 0x3f) << 12) |
                ((uint32_t)(bytes[2] & 0x3f) << 6) | (bytes[3] & 0x3f);
        break;
    }
    return n;
}

size_t tandem__utf8_encode(uint32_t code, uint8_t *out) {
    if (code < 0x80) {
        out[0] = (uint8_t)code;
        return 1;
    }
    if (code < 0x800) {
        out[0] = (uint8_t)(0xc0 | (code >> 6));
        out[1] = (uint8_t)(0x80 | (code & 0x3f));
        return 2;
    }
    if (code < 0x10000) {
        out[0] = (uint8_t)(0xe0 | (code >> 12));
        out[1] = (uint8_t)(0x80 | ((code >> 6) & 0x3f));
        out[2] = (uint8_t)(0x80 | (code & 0x3f));
        return 3;
    }
    out[0] = (uint8_t)(0xf0 | (code >> 18));
    out[1] = (uint8_t)(0x80 | ((code >> 12) & 0x3f));
    out[2] = (uint8_t)(0x80 | ((code >> 6) & 0x3f));
    out[3] = (uint8_t)(0x80 | (code & 0x3f));
    return 4;
}

size_t tandem__utf8_valid_prefix(const uint8_t *bytes, size_t len) {
    size_t at = 0;
    while (at < len) {
        while (len - at >= 8) { /* eight ASCII bytes at a time */
            uint64_t word;
            memcpy(&word, bytes + at, 8);
            if ((word & 0x8080808080808080u) != 0) break;
            at += 8;
        }
        if (at >= len) break;
        bool whole = false;
        const size_t n = maximal_part(bytes + at, len - at, &whole);
        if (!whole) return at;
        at += n;
    }
    return len;
}

size_t tandem__utf8_count(const uint8_t *bytes, size_t len) {
    size_t count = 0;
    for (size_t i = 0; i < len; i++) count += (bytes[i] & 0xc0) != 0x80;
    return count;
}

size_t tandem__utf8_replace(const uint8_t *bytes, size_t len, uint8_t *out) {
    size_t written = 0;
    size_t at = 0;
    while (at < len) {
        bool whole = false;
        const size_t n = maximal_part(bytes + at, len - at, &whole);
        if (whole) {
            memcpy(out + written, bytes + at, n);
            written += n;
        } else {
            memcpy(out + written, "\xef\xbf\xbd", 3);
            written += 3;
        }
        at += n;
    }
    return written;
}
