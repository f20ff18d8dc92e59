/* SPDX-License-Identifier: Apache-2.0 */
/* UTF-8, strictly as Unicode's table 3-7: no overlong forms, no surrogates, nothing over
 * U+10FFFF. Any thread. */
#ifndef TANDEM_BASE_UTF8_H
#define TANDEM_BASE_UTF8_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Decodes the first character of `len` bytes. Returns its length 1-4, or 0 where the bytes are no
 * character (also for len = 0). */
size_t tandem__utf8_decode(const uint8_t *bytes, size_t len, uint32_t *code);

/* Writes `code` (a valid scalar value) to `out` (room for 4); returns its length. */
size_t tandem__utf8_encode(uint32_t code, uint8_t *out);

/* Offset of the first byte that starts no valid character; `len` if all is well. */
size_t tandem__utf8_valid_prefix(const uint8_t *bytes, size_t len);

/* Number of characters in valid UTF-8. */
size_t tandem__utf8_count(const uint8_t *bytes, size_t len);

/* Copies `len` bytes to `out`, replacing what is not UTF-8 as Python's bytes.decode("utf-8",
 * "replace") does: one U+FFFD for each maximal part of an ill-formed sequence (Unicode 3.9, U+FFFD
 * substitution of maximal subparts). `out` needs room for 3 * len bytes. Returns bytes written. */
size_t tandem__utf8_replace(const uint8_t *bytes, size_t len, uint8_t *out);

#endif
