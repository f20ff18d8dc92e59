/* SPDX-License-Identifier: Apache-2.0 */
/* Extended grapheme clusters (UAX #29), as far as the reference's library knows Unicode. The
 * classes come from observation (tools/gen_graphemes.py). Any thread. */
#ifndef TANDEM_TEXT_GRAPHEME_H
#define TANDEM_TEXT_GRAPHEME_H

#include <stddef.h>
#include <stdint.h>

#define TANDEM_GRAPHEME_SHIFT 7 /* code points in a block, as a power of two */

extern const uint8_t tandem__grapheme_block[0x110000 >> TANDEM_GRAPHEME_SHIFT];
extern const uint8_t tandem__grapheme_class[]; /* two to a byte, the even one low */

/* Bytes of the cluster that starts `bytes`, which are valid UTF-8; len > 0. */
size_t tandem__grapheme_len(const uint8_t *bytes, size_t len);

#endif
