/* SPDX-License-Identifier: Apache-2.0 */
/* WhitespaceSplit: white space separates and goes. Whitespace: so it does, and what is left falls
 * into runs of word characters and runs of others, as the pattern \w+|[^\w\s]+ has it. */
#include "text/pretokenizer.h"
#include "text/unicode.h"

typedef enum char_kind {
    KIND_WHITE = 0,
    KIND_WORD = 1,
    KIND_OTHER = 2,
} char_kind;

static char_kind kind_of(uint32_t code, bool knows_words) {
    const uint32_t flags = tandem__unicode_flags(code);
    if (flags & TANDEM_UNICODE_WHITE) return KIND_WHITE;
    return knows_words && (flags & TANDEM_UNICODE_WORD) == 0 ? KIND_OTHER : KIND_WORD;
}

/* Runs of one kind, but for white space. */
static size_t split_runs(const uint8_t *bytes, size_t end, size_t *at, tandem_split *splits,
                         size_t max, bool knows_words) {
    size_t count = 0;
    size_t start = *at; /* of the run at hand */
    size_t i = start;
    char_kind current = KIND_WHITE;
    while (i < end && count < max) {
        uint32_t code = bytes[i];
        const size_t step = code < 0x80 ? 1 : tandem__utf8_decode(bytes + i, end - i, &code);
        const char_kind kind = kind_of(code, knows_words);
        if (kind != current) {
            if (current != KIND_WHITE) {
                splits[count++] = (tandem_split){(uint32_t)start, (uint32_t)i};
            }
            start = i;
            current = kind;
        }
        i += step;
    }
    if (i == end && count < max) {
        if (current != KIND_WHITE) {
            splits[count++] = (tandem_split){(uint32_t)start, (uint32_t)end};
        }
        start = end;
    }
    *at = start;
    return count;
}

static size_t whitespace_split(const void *config, const uint8_t *bytes, size_t end, size_t *at,
                               tandem_split *splits, size_t max) {
    (void)config;
    return split_runs(bytes, end, at, splits, max, false);
}

static size_t whitespace(const void *config, const uint8_t *bytes, size_t end, size_t *at,
                         tandem_split *splits, size_t max) {
    (void)config;
    return split_runs(bytes, end, at, splits, max, true);
}

static tandem_status no_settings(const tandem_json *json, tandem_arena *arena, void *config,
                                 tandem_error *err) {
    (void)json;
    (void)arena;
    (void)config;
    (void)err;
    return TANDEM_OK;
}

const tandem_pretokenizer_type tandem__pretokenizer_whitespace_split_type = {
    .name = "WhitespaceSplit",
    .config_bytes = 0,
    .read = no_settings,
    .split = whitespace_split,
};

const tandem_pretokenizer_type tandem__pretokenizer_whitespace_type = {
    .name = "Whitespace",
    .config_bytes = 0,
    .read = no_settings,
    .split = whitespace,
};
