/* SPDX-License-Identifier: Apache-2.0 */
/* What a BPE model knows; read by bpe_read.c, used by model_bpe.c. Read-only once prepared. */
#ifndef TANDEM_TEXT_BPE_MODEL_H
#define TANDEM_TEXT_BPE_MODEL_H

#include "text/bpe_merge.h"
#include "text/token_model.h"

#define TANDEM_BPE_AFFIX_MAX 256 /* bytes of continuing_subword_prefix and end_of_word_suffix */
#define TANDEM_BPE_ROOM      256 /* tokens between two checks of the room */

typedef struct tandem_bpe {
    tandem_vocab vocab;
    tandem_bpe_merges merges;
    const tandem_vocab *wholes; /* words that are one token */
    tandem_vocab own_wholes;
    tandem_str unk_token; /* ptr is NULL: none */
    tandem_str prefix;    /* of characters that follow another */
    tandem_str suffix;    /* of the last character */
    int32_t unk_id;       /* -1: the vocabulary lacks it */
    bool fuses_unknown;
    bool falls_back;
    bool ignores_merges;    /* of words that are in the vocabulary */
    bool takes_bytes;       /* words come as bytes, not in the alphabet of byte_level.h */
    bool has_twins;         /* different words share an id */
    uint64_t *byte_pairs;   /* [256][256] with takes_bytes: what becomes of two bytes */
    int32_t singles[256];   /* ids of bytes, or of ASCII characters; -1 */
    int32_t fallbacks[256]; /* ids of <0x00> to <0xFF>; -1 */
} tandem_bpe;

tandem_status tandem__bpe_read(const tandem_json *json, tandem_arena *arena, void *config,
                               tandem_error *err) TANDEM_NODISCARD;

tandem_status tandem__bpe_prepare(void *config, bool *in_bytes, tandem_arena *arena,
                                  tandem_error *err) TANDEM_NODISCARD;

/* The id where all of a word becomes one token, else -1; also for long words.
 * TANDEM_VOCAB_INLINE bytes are readable at `text`. */
int32_t tandem__bpe_whole(const tandem_bpe *model, const uint8_t *text, uint32_t len);

#endif
