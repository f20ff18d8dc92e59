/* SPDX-License-Identifier: Apache-2.0 */
/* BertPreTokenizer: white space separates and goes, each punctuation mark is a word. */
#include "base/utf8.h"
#include "text/pretokenizer.h"
#include "text/unicode.h"

typedef enum char_class {
    CLASS_WORD = 0,
    CLASS_WHITE = 1,
    CLASS_PUNCT = 2,
    CLASS_MULTI = 3, /* not ASCII: look it up */
} char_class;

/* clang-format off */
#define W CLASS_WHITE
#define P CLASS_PUNCT
#define M CLASS_MULTI
#define M16 M,M,M,M,M,M,M,M,M,M,M,M,M,M,M,M
static const uint8_t classes[256] = {
    0,0,0,0,0,0,0,0,0,W,W,W,W,W,0,0, 0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,
    W,P,P,P,P,P,P,P,P,P,P,P,P,P,P,P, 0,0,0,0,0,0,0,0,0,0,P,P,P,P,P,P,
    P,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0, 0,0,0,0,0,0,0,0,0,0,0,P,P,P,P,P,
    P,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0, 0,0,0,0,0,0,0,0,0,0,0,P,P,P,P,0,
    M16, M16, M16, M16, M16, M16, M16, M16,
};
#undef W
#undef P
#undef M
#undef M16
/* clang-format on */

static char_class class_of(const uint8_t *bytes, size_t left, size_t *step) {
    uint32_t code = 0;
    *step = tandem__utf8_decode(bytes, left, &code);
    const uint32_t flags = tandem__unicode_flags(code);
    if (flags & TANDEM_UNICODE_WHITE) return CLASS_WHITE;
    return flags & TANDEM_UNICODE_PUNCT ? CLASS_PUNCT : CLASS_WORD;
}

static size_t bert_split(const void *config, const uint8_t *bytes, size_t end, size_t *at,
                         tandem_split *splits, size_t max) {
    (void)config;
    size_t count = 0;
    size_t i = *at;
    size_t start = i;
    while (i < end && count + 2 <= max) { /* a mark may end a word and be one */
        size_t step = 1;
        char_class class = classes[bytes[i]];
        if (class == CLASS_MULTI) class = class_of(bytes + i, end - i, &step);
        if (class != CLASS_WORD) {
            if (start < i) splits[count++] = (tandem_split){(uint32_t)start, (uint32_t)i};
            start = i + step;
            if (class == CLASS_PUNCT) {
                splits[count++] = (tandem_split){(uint32_t)i, (uint32_t)start};
            }
        }
        i += step;
    }
    if (i == end && start < end) { /* room is left: where the loop stops for it, start is i */
        splits[count++] = (tandem_split){(uint32_t)start, (uint32_t)end};
        start = end;
    }
    *at = start;
    return count;
}

static tandem_status bert_read(const tandem_json *json, tandem_arena *arena, void *config,
                               tandem_error *err) {
    (void)json;
    (void)arena;
    (void)config;
    (void)err;
    return TANDEM_OK;
}

const tandem_pretokenizer_type tandem__pretokenizer_bert_type = {
    .name = "BertPreTokenizer",
    .config_bytes = 0,
    .read = bert_read,
    .split = bert_split,
};
