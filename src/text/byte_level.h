/* SPDX-License-Identifier: Apache-2.0 */
/* The alphabet of byte-level tokenizers, which has a visible character for each byte: the space is
 * U+0120, the letter a is itself, 0xff is U+00FF. Bytes that Latin-1 shows stand for themselves;
 * the 68 others are numbered from U+0100 on. Any thread. */
#ifndef TANDEM_TEXT_BYTE_LEVEL_H
#define TANDEM_TEXT_BYTE_LEVEL_H

#include <stdbool.h>
#include <stdint.h>

#include "base/str.h"

#define TANDEM_BYTE_CHAR_MAX 0x143u

/* The character of a byte; one or two bytes of UTF-8. */
static inline uint32_t tandem__byte_char(uint8_t byte) {
    if (byte <= 0x20) return 0x100u + byte;
    if (byte < 0x7f) return byte;
    if (byte <= 0xa0) return 0x121u + (byte - 0x7fu);
    return byte == 0xad ? TANDEM_BYTE_CHAR_MAX : byte;
}

/* The byte of a character, -1 for one that is not of the alphabet. */
static inline int tandem__char_byte(uint32_t code) {
    if (code > TANDEM_BYTE_CHAR_MAX) return -1;
    if (code >= 0x100) {
        const uint32_t number = code - 0x100;
        if (number <= 0x20) return (int)number;
        return number == 0x43 ? 0xad : (int)(number - 0x21 + 0x7f);
    }
    return tandem__byte_char((uint8_t)code) == code ? (int)code : -1;
}

/* Writes the bytes that `text` stands for to `out`, which has room for text.len, and their number
 * to `len`. False where a character is not of the alphabet. */
bool tandem__byte_level_decode(tandem_str text, uint8_t *out, size_t *len);

#endif
