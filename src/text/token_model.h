/* SPDX-License-Identifier: Apache-2.0 */
/* Models: words to token ids. A table entry named by the "type" of its JSON object; see
 * normalizer.h for what that means. */
#ifndef TANDEM_TEXT_TOKEN_MODEL_H
#define TANDEM_TEXT_TOKEN_MODEL_H

#include "base/json.h"
#include "text/array.h"
#include "text/pretokenizer.h"
#include "text/vocab.h"

/* Tokens of one text, as they come out of the model and the added tokens. The arrays after `ids`
 * have as many items, but only if `wants_spans`. */
typedef struct tandem_tokens {
    tandem_array ids;   /* int32_t */
    tandem_array spans; /* tandem_split: bytes of normalised text, then of the original */
    tandem_array chars; /* tandem_split: characters of the original; filled last */
    tandem_array words; /* int32_t */
    tandem_array
        texts; /* int32_t: where the token's own text is, see encoding.h; -1: the model's */
    tandem_array trims;   /* tandem_trim; only where offsets are trimmed */
    const uint8_t *text;  /* borrowed for the call */
    tandem_array lattice; /* the model's own work on one word */
    tandem_array merging;
    bool wants_spans;
    int32_t word; /* number of the next word */
} tandem_tokens;

static inline tandem_status tandem__tokens_reserve(tandem_tokens *tokens, size_t more,
                                                   tandem_error *err) {
    tandem_status status = tandem__array_reserve(&tokens->ids, more, sizeof(int32_t), err);
    if (!tokens->wants_spans) return status;
    if (status == TANDEM_OK) {
        status = tandem__array_reserve(&tokens->spans, more, sizeof(tandem_split), err);
    }
    if (status == TANDEM_OK) {
        status = tandem__array_reserve(&tokens->words, more, sizeof(int32_t), err);
    }
    if (status == TANDEM_OK) {
        status = tandem__array_reserve(&tokens->texts, more, sizeof(int32_t), err);
    }
    return status;
}

/* The room is there. */
static inline void tandem__tokens_push(tandem_tokens *tokens, int32_t id, tandem_split span) {
    const size_t at = tokens->ids.count++;
    ((int32_t *)tokens->ids.ptr)[at] = id;
    if (!tokens->wants_spans) return;
    ((tandem_split *)tokens->spans.ptr)[at] = span;
    ((int32_t *)tokens->words.ptr)[at] = tokens->word;
    ((int32_t *)tokens->texts.ptr)[at] = -1;
    tokens->spans.count = tokens->words.count = tokens->texts.count = at + 1;
}

/* The token pushed last has the text of its span, which the caller is to keep. */
#define TANDEM_TOKEN_TEXT_SPAN INT32_MIN
static inline void tandem__tokens_keep_text(tandem_tokens *tokens) {
    if (!tokens->wants_spans) return;
    ((int32_t *)tokens->texts.ptr)[tokens->texts.count - 1] = TANDEM_TOKEN_TEXT_SPAN;
}

typedef struct tandem_model_type {
    const char *name;
    size_t config_bytes;
    tandem_status (*read)(const tandem_json *json, tandem_arena *arena, void *config,
                          tandem_error *err);
    /* NULL, or called after `read`: `*in_bytes` says whether words come in the alphabet of
     * byte_level.h, and is left on where the model takes the bytes themselves. */
    tandem_status (*prepare)(void *config, bool *in_bytes, tandem_arena *arena, tandem_error *err);
    /* Appends the tokens of words that lie in `bytes`, which has TANDEM_TEXT_PADDING more. */
    tandem_status (*tokenize)(const void *config, const uint8_t *bytes, const tandem_split *splits,
                              size_t count, tandem_tokens *tokens, tandem_error *err);
    const tandem_vocab *(*vocab)(const void *config);
} tandem_model_type;

typedef struct tandem_model_part {
    const tandem_model_type *type;
    void *config;
} tandem_model_part;

extern const tandem_model_type tandem__model_bpe_type;
extern const tandem_model_type tandem__model_wordpiece_type;
extern const tandem_model_type tandem__model_unigram_type;

/* NULL for a name that is not known. */
const tandem_model_type *tandem__model_type_find(tandem_str name);

#endif
