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
#define UNICODE_NFKD_SHIFT 7
#define UNICODE_CATEGORY_NAMES \
    "Cn Cc Cf Co Cs Ll Lm Lo Lt Lu Mc Me Mn Nd Nl No Pc Pd Pe Pf Pi Po Ps Sc Sk Sm So " \
    "Zl Zp Zs "
#define UNICODE_SCRIPT_NAMES \
    "Arabic Armenian Bengali Bopomofo Cherokee Common Cyrillic Devanagari Ethiopic " \
    "Georgian Greek Gujarati Gurmukhi Han Hangul Hebrew Hiragana Inherited Kannada " \
    "Katakana Khmer Lao Latin Malayalam Mongolian Myanmar Oriya Sinhala Syriac Tamil " \
    "Telugu Thaana Thai Tibetan "
#define UNICODE_CLASS_COUNT 55
extern const uint8_t tandem__unicode_record_block[8704];
extern const uint8_t tandem__unicode_record[31104];
extern const uint16_t tandem__unicode_record_flags[92];
extern const uint8_t tandem__unicode_record_class[92];
extern const uint8_t tandem__unicode_nfd_block[4352];
extern const uint16_t tandem__unicode_nfd[8960];
extern const uint8_t tandem__unicode_lower_block[4352];
extern const uint16_t tandem__unicode_lower[6400];
extern const uint8_t tandem__unicode_nfkd_block[8704];
extern const uint16_t tandem__unicode_nfkd[8320];
extern const uint32_t tandem__unicode_pool[13055];
extern const uint32_t tandem__unicode_pair[2820];
extern const uint32_t tandem__unicode_category[4099];
extern const uint32_t tandem__unicode_script[1089];
/* clang-format on */

#endif
