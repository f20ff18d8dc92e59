/* SPDX-License-Identifier: Apache-2.0 */
/* What the reference tokenizer knows about a code point. The tables come from observation
 * (tools/gen_unicode.py), not from one Unicode version: the libraries under the reference do not
 * agree on one. Any thread. */
#ifndef TANDEM_TEXT_UNICODE_H
#define TANDEM_TEXT_UNICODE_H

#include <stddef.h>
#include <stdint.h>

#include "text/unicode_tables.h"

#define TANDEM_CODE_MAX 0x10ffffu

typedef enum tandem_unicode_flag {
    TANDEM_UNICODE_DROP = 1 << 0,   /* clean_text removes it */
    TANDEM_UNICODE_SPACE = 1 << 1,  /* clean_text makes it a space */
    TANDEM_UNICODE_CJK = 1 << 2,    /* handle_chinese_chars puts spaces around it */
    TANDEM_UNICODE_MN = 1 << 3,     /* non-spacing mark: strip_accents removes it */
    TANDEM_UNICODE_PUNCT = 1 << 4,  /* BertPreTokenizer isolates it */
    TANDEM_UNICODE_WHITE = 1 << 5,  /* White_Space: separates words, \s in a regular expression */
    TANDEM_UNICODE_WORD = 1 << 6,   /* may not touch an added token that is a single word */
    TANDEM_UNICODE_LETTER = 1 << 7, /* \p{L} there */
    TANDEM_UNICODE_NUMBER = 1 << 8, /* \p{N} there */
    TANDEM_UNICODE_COMBINING = 1 << 9,     /* StripAccents removes it */
    TANDEM_UNICODE_NUMERIC = 1 << 10,      /* Digits */
    TANDEM_UNICODE_NOT_NFC = 1 << 11,      /* NFC changes it, or it may move or join others */
    TANDEM_UNICODE_NOT_NFKC = 1 << 12,     /* the same of NFKC */
    TANDEM_UNICODE_PATTERN_WORD = 1 << 13, /* \w in a pattern of Split or Replace */
} tandem_unicode_flag;

static inline uint32_t tandem__unicode_index(uint32_t code) {
    const uint32_t block = tandem__unicode_record_block[code >> UNICODE_RECORD_SHIFT];
    const uint32_t low = code & ((1u << UNICODE_RECORD_SHIFT) - 1);
    return tandem__unicode_record[(block << UNICODE_RECORD_SHIFT) | low];
}

static inline uint32_t tandem__unicode_flags(uint32_t code) {
    return tandem__unicode_record_flags[tandem__unicode_index(code)];
}

/* Rank of the canonical combining class among those in use; 0 is a starter. */
static inline uint32_t tandem__unicode_class(uint32_t code) {
    return tandem__unicode_record_class[tandem__unicode_index(code)];
}

/* NULL where the code point maps to itself, else a count and so many code points. Hangul
 * syllables decompose by rule and are not in the table. */
static inline const uint32_t *tandem__unicode_nfd_of(uint32_t code) {
    const uint32_t block = tandem__unicode_nfd_block[code >> UNICODE_NFD_SHIFT];
    const uint32_t low = code & ((1u << UNICODE_NFD_SHIFT) - 1);
    const uint32_t at = tandem__unicode_nfd[(block << UNICODE_NFD_SHIFT) | low];
    return at == 0 ? NULL : tandem__unicode_pool + at;
}

/* As nfd_of, where the compatibility decomposition is another; NULL elsewhere. */
static inline const uint32_t *tandem__unicode_nfkd_of(uint32_t code) {
    const uint32_t block = tandem__unicode_nfkd_block[code >> UNICODE_NFKD_SHIFT];
    const uint32_t low = code & ((1u << UNICODE_NFKD_SHIFT) - 1);
    const uint32_t at = tandem__unicode_nfkd[(block << UNICODE_NFKD_SHIFT) | low];
    return at == 0 ? NULL : tandem__unicode_pool + at;
}

static inline const uint32_t *tandem__unicode_lower_of(uint32_t code) {
    const uint32_t block = tandem__unicode_lower_block[code >> UNICODE_LOWER_SHIFT];
    const uint32_t low = code & ((1u << UNICODE_LOWER_SHIFT) - 1);
    const uint32_t at = tandem__unicode_lower[(block << UNICODE_LOWER_SHIFT) | low];
    return at == 0 ? NULL : tandem__unicode_pool + at;
}

#endif
