/* SPDX-License-Identifier: Apache-2.0 */
/* Normalisers: text to text, before it is cut into words. A normaliser is a table entry named by
 * the "type" of its JSON object. New one? Write normalizer_<name>.c, declare its entry here, list
 * it in normalizer.c.
 *
 * A part's settings live in the tokenizer's arena, are read-only once open and are shared by all
 * threads; what changes while it works is the caller's scratch. */
#ifndef TANDEM_TEXT_NORMALIZER_H
#define TANDEM_TEXT_NORMALIZER_H

#include "base/json.h"
#include "text/marks.h"
#include "text/normalized.h"
#include "text/regex.h"

typedef struct tandem_normalizer_scratch {
    tandem_marks marks;
    tandem_regex_scratch regex;
    tandem_array behind;        /* marks of NFC that did not compose */
    tandem_normalized steps[2]; /* text between the parts of a sequence */
} tandem_normalizer_scratch;

typedef struct tandem_normalizer_type {
    const char *name;
    size_t config_bytes;
    /* Fills zeroed `config` from the part's JSON object; messages start with the field's name. */
    tandem_status (*read)(const tandem_json *json, tandem_arena *arena, void *config,
                          tandem_error *err);
    /* Appends to `out`, which was reset by the caller. */
    tandem_status (*apply)(const void *config, tandem_view in, tandem_normalized *out,
                           tandem_normalizer_scratch *scratch, tandem_error *err);
} tandem_normalizer_type;

typedef struct tandem_normalizer {
    const tandem_normalizer_type *type; /* NULL: text stays as it is */
    void *config;
} tandem_normalizer;

typedef struct tandem_normalizer_bert {
    bool clean_text;
    bool handle_chinese_chars;
    bool strip_accents; /* canonical decomposition, then without non-spacing marks */
    bool lowercase;
} tandem_normalizer_bert;

extern const tandem_normalizer_type tandem__normalizer_bert_type;
extern const tandem_normalizer_type tandem__normalizer_byte_level_type;
extern const tandem_normalizer_type tandem__normalizer_lowercase_type;
extern const tandem_normalizer_type tandem__normalizer_nfc_type;
extern const tandem_normalizer_type tandem__normalizer_nfd_type;
extern const tandem_normalizer_type tandem__normalizer_nfkc_type;
extern const tandem_normalizer_type tandem__normalizer_nfkd_type;
extern const tandem_normalizer_type tandem__normalizer_nmt_type;
extern const tandem_normalizer_type tandem__normalizer_precompiled_type;
extern const tandem_normalizer_type tandem__normalizer_prepend_type;
extern const tandem_normalizer_type tandem__normalizer_replace_type;
extern const tandem_normalizer_type tandem__normalizer_sequence_type;
extern const tandem_normalizer_type tandem__normalizer_strip_accents_type;
extern const tandem_normalizer_type tandem__normalizer_strip_type;

/* Reads a part; absent or null leaves `normalizer` empty. */
tandem_status tandem__normalizer_read(tandem_normalizer *normalizer, const tandem_json *json,
                                      tandem_arena *arena, tandem_error *err) TANDEM_NODISCARD;

/* Applies `normalizer`, or copies. `out` is reset first. */
tandem_status tandem__normalizer_apply(const tandem_normalizer *normalizer, tandem_view in,
                                       bool wants_origins, tandem_normalized *out,
                                       tandem_normalizer_scratch *scratch,
                                       tandem_error *err) TANDEM_NODISCARD;

void tandem__normalizer_scratch_deinit(tandem_normalizer_scratch *scratch);

#endif
