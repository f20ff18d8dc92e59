/* SPDX-License-Identifier: Apache-2.0 */
#include "text/byte_level.h"

#include "base/utf8.h"

bool tandem__byte_level_decode(tandem_str text, uint8_t *out, size_t *len) {
    const uint8_t *const bytes = (const uint8_t *)text.ptr;
    size_t count = 0;
    for (size_t at = 0; at < text.len;) {
        uint32_t code = bytes[at];
        const size_t step = code < 0x80 ? 1 : tandem__utf8_decode(bytes + at, text.len - at, &code);
        const int byte = step == 0 ? -1 : tandem__char_byte(code);
        if (byte < 0) return false;
        out[count++] = (uint8_t)byte;
        at += step;
    }
    *len = count;
    return true;
}
