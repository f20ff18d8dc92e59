/* SPDX-License-Identifier: Apache-2.0 */
/* Pre-tokenisers: normalised text to the words that the model sees one by one. A table entry
 * named by the "type" of its JSON object; see normalizer.h for what that means. */
#ifndef TANDEM_TEXT_PRETOKENIZER_H
#define TANDEM_TEXT_PRETOKENIZER_H

#include "base/json.h"
#include "text/array.h"
#include "text/normalized.h"
#include "text/regex.h"

/* A word: half-open range of bytes in normalised text, never empty. */
typedef struct tandem_split {
    uint32_t start;
    uint32_t end;
} tandem_split;

typedef struct tandem_pretokenizer_type {
    const char *name;
    size_t config_bytes;
    tandem_status (*read)(const tandem_json *json, tandem_arena *arena, void *config,
                          tandem_error *err);
    /* Writes the next words of bytes[*at .. end) to `splits`, at most `max`, moves *at behind what
     * was read and returns how many; 0 only at the end. So words pass through a small buffer,
     * however long the text. */
    size_t (*split)(const void *config, const uint8_t *bytes, size_t end, size_t *at,
                    tandem_split *splits, size_t max);
    /* Or, of a type that must see the whole: appends the words of the bytes `word` to `splits`. */
    tandem_status (*cut)(const void *config, const uint8_t *bytes, tandem_split word,
                         tandem_regex_scratch *scratch, tandem_array *splits, tandem_error *err);
    /* Or, of a type that changes text: appends what becomes of the bytes `word` of `in` to `out`
     * and its words to `splits`. Exactly one of the three is there. */
    tandem_status (*rewrite)(const void *config, tandem_view in, tandem_split word,
                             tandem_normalized *out, tandem_array *splits, tandem_error *err);
} tandem_pretokenizer_type;

typedef struct tandem_pretokenizer_part {
    const tandem_pretokenizer_type *type;
    void *config;
} tandem_pretokenizer_part;

/* One part after the other; none: the whole text is one word. */
typedef struct tandem_pretokenizer {
    tandem_pretokenizer_part *parts;
    size_t count;
    bool is_whole;      /* some part sees all of a text at once */
    bool needs_origins; /* some part asks where a word starts */
} tandem_pretokenizer;

typedef struct tandem_pretokenizer_scratch {
    tandem_normalized texts[2];
    tandem_array splits[2]; /* tandem_split */
    tandem_regex_scratch regex;
    bool wants_origins; /* set by the caller */
} tandem_pretokenizer_scratch;

/* Words and where they lie; borrowed from a scratch or what went in. */
typedef struct tandem_pretokenized {
    tandem_view text;
    const tandem_split *splits;
    size_t count;
} tandem_pretokenized;

extern const tandem_pretokenizer_type tandem__pretokenizer_bert_type;
extern const tandem_pretokenizer_type tandem__pretokenizer_byte_level_type;
extern const tandem_pretokenizer_type tandem__pretokenizer_delimiter_type;
extern const tandem_pretokenizer_type tandem__pretokenizer_digits_type;
extern const tandem_pretokenizer_type tandem__pretokenizer_metaspace_type;
extern const tandem_pretokenizer_type tandem__pretokenizer_punctuation_type;
extern const tandem_pretokenizer_type tandem__pretokenizer_split_type;
extern const tandem_pretokenizer_type tandem__pretokenizer_whitespace_type;
extern const tandem_pretokenizer_type tandem__pretokenizer_whitespace_split_type;

/* Whether a Metaspace marks the first word of a text only. */
bool tandem__metaspace_needs_origins(const void *config);

/* The visible character, and whether one is put before a text. */
tandem_str tandem__metaspace_mark(const void *config, bool *prepends);

/* For tandem__pretokenizer_leave_bytes. */
void tandem__byte_level_leave_bytes(tandem_pretokenizer_part *part);

/* Reads a part, or a Sequence of them; absent or null leaves `pretokenizer` empty. */
tandem_status tandem__pretokenizer_read(tandem_pretokenizer *pretokenizer, const tandem_json *json,
                                        tandem_arena *arena, tandem_error *err) TANDEM_NODISCARD;

/* Whether words come in the alphabet of byte_level.h, which the last part writes. */
bool tandem__pretokenizer_ends_in_bytes(const tandem_pretokenizer *pretokenizer);

/* Of such a one: words come as the bytes that the alphabet stands for, not rewritten. */
void tandem__pretokenizer_leave_bytes(tandem_pretokenizer *pretokenizer);

/* True where tandem__pretokenizer_split will do: at most one part, which goes word by word. */
static inline bool tandem__pretokenizer_is_simple(const tandem_pretokenizer *pretokenizer) {
    return pretokenizer->count == 0 || (pretokenizer->count == 1 && !pretokenizer->is_whole);
}

size_t tandem__pretokenizer_split(const tandem_pretokenizer *pretokenizer, const uint8_t *bytes,
                                  size_t end, size_t *at, tandem_split *splits, size_t max);

/* All parts over the bytes `range` of `in`. */
tandem_status tandem__pretokenizer_run(const tandem_pretokenizer *pretokenizer, tandem_view in,
                                       tandem_split range, tandem_pretokenizer_scratch *scratch,
                                       tandem_pretokenized *words,
                                       tandem_error *err) TANDEM_NODISCARD;

/* Appends a word unless it is empty. */
tandem_status tandem__splits_push(tandem_array *splits, size_t start, size_t end,
                                  tandem_error *err) TANDEM_NODISCARD;

void tandem__pretokenizer_scratch_deinit(tandem_pretokenizer_scratch *scratch);

#endif
