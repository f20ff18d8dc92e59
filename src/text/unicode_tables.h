/* SPDX-License-Identifier: Apache-2.0 */
/* Made by tools/gen_unicode.py from the behaviour of tokenizers 0.23.3. Read them by
 * unicode.h. */
#ifndef TANDEM_TEXT_UNICODE_TABLES_H
#define TANDEM_TEXT_UNICODE_TABLES_H

#include <stdint.h>

/* clang-format off */
#define UNICODE_RECORD_SHIFT 7
#define UNICODE_NFD_SHIFT 8
#define UNICODE_LOWER_SHIFT 8
#define UNICODE_CLASS_COUNT 55
extern const uint8_t tandem__unicode_record_block[8704];
extern const uint8_t tandem__unicode_record[29056];
extern const uint16_t tandem__unicode_record_flags[72];
extern const uint8_t tandem__unicode_record_class[72];
extern const uint8_t tandem__unicode_nfd_block[4352];
extern const uint16_t tandem__unicode_nfd[8960];
extern const uint8_t tandem__unicode_lower_block[4352];
extern const uint16_t tandem__unicode_lower[6400];
extern const uint32_t tandem__unicode_pool[8168];
/* clang-format on */

#endif
