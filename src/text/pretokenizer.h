/* SPDX-License-Identifier: Apache-2.0 */
/* Pre-tokenisers: normalised text to the words that the model sees one by one. A table entry
 * named by the "type" of its JSON object; see normalizer.h for what that means. */
#ifndef TANDEM_TEXT_PRETOKENIZER_H
#define TANDEM_TEXT_PRETOKENIZER_H

#include "base/json.h"

/* A word: half-open range of bytes in normalised text, never empty. */
typedef struct tandem_split {
    uint32_t start;
    uint32_t end;
} tandem_split;

typedef struct tandem_pretokenizer_type {
    const char *name;
    size_t config_bytes;
    tandem_status (*read)(const tandem_json *json, void *config, tandem_error *err);
    /* Writes the next words of bytes[*at .. end) to `splits`, at most `max`, moves *at behind what
     * was read and returns how many; 0 only at the end. So words pass through a small buffer,
     * however long the text. */
    size_t (*split)(const void *config, const uint8_t *bytes, size_t end, size_t *at,
                    tandem_split *splits, size_t max);
} tandem_pretokenizer_type;

typedef struct tandem_pretokenizer {
    const tandem_pretokenizer_type *type; /* NULL: the whole text is one word */
    void *config;
} tandem_pretokenizer;

extern const tandem_pretokenizer_type tandem__pretokenizer_bert_type;

/* NULL for a name that is not known. */
const tandem_pretokenizer_type *tandem__pretokenizer_find(tandem_str name);

size_t tandem__pretokenizer_split(const tandem_pretokenizer *pretokenizer, const uint8_t *bytes,
                                  size_t end, size_t *at, tandem_split *splits, size_t max);

#endif
