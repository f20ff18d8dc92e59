/* SPDX-License-Identifier: Apache-2.0 */
/* BPE: a word is spelled in characters, and neighbours merge as bpe_merge.h says.
 *
 * Words that end up as one token, which are most, are known beforehand: a table has them with the
 * id, so that they cost one look-up, as in WordPiece. For byte-level tokenizers the table and the
 * spelling work on bytes; the alphabet of byte_level.h, which the vocabulary is written in, is
 * never made. That takes a vocabulary with all bytes that UTF-8 has; others get their words in the
 * alphabet. Keeping the words of a text was the alternative; it would need memory a thread and is
 * no faster than a table for the words that matter.
 *
 * The spelling follows the reference where characters are unknown: `unk_token` waits until a known
 * one comes, also while bytes stand for others, and a character that nothing stands for is left
 * out, which moves the spans of those after it. */
#include "base/fail.h"
#include "text/bpe_model.h"

#define WORDS_AHEAD 8 /* look-ups under way; their table is larger than the near caches */

/* The word at hand, spelled. */
typedef struct speller {
    tandem_bpe_symbol *symbols;
    uint32_t count;
    uint32_t at;      /* bytes in symbols */
    uint32_t unknown; /* bytes that wait as unknown */
} speller;

static void add(speller *s, int32_t id, uint32_t len) {
    s->symbols[s->count++] = (tandem_bpe_symbol){id, s->at};
    s->at += len;
}

static int32_t find_text(const tandem_vocab *vocab, const uint8_t *bytes, size_t len) {
    const tandem_vocab_key key = tandem__vocab_key(bytes, len, TANDEM_VOCAB_KIND_WORD);
    return tandem__vocab_find_key(vocab, key, bytes);
}

static int32_t find_with_affixes(const tandem_bpe *model, const uint8_t *text, uint32_t len,
                                 bool is_first, bool is_last) {
    uint8_t full[2 * TANDEM_BPE_AFFIX_MAX + 4 + TANDEM_VOCAB_INLINE] = {0};
    const size_t before = is_first ? 0 : model->prefix.len;
    const size_t after = is_last ? model->suffix.len : 0;
    if (before > 0) memcpy(full, model->prefix.ptr, before);
    memcpy(full + before, text, len);
    if (after > 0) memcpy(full + before + len, model->suffix.ptr, after);
    return find_text(&model->vocab, full, before + len + after);
}

static bool spell_in_bytes(const tandem_bpe *model, const uint8_t *text, uint32_t len, speller *s) {
    if (!model->falls_back) return false;
    for (uint32_t i = 0; i < len; i++) {
        if (model->fallbacks[text[i]] < 0) return false;
    }
    for (uint32_t i = 0; i < len; i++) add(s, model->fallbacks[text[i]], 1);
    return true;
}

/* False where a character would be unknown, but the vocabulary lacks unk_token. */
static bool spell_unknown(const tandem_bpe *model, uint32_t len, speller *s) {
    if (model->unk_token.ptr == NULL) return true;
    if (model->unk_id < 0) return false;
    if (s->unknown > 0 && !model->fuses_unknown) {
        add(s, model->unk_id, s->unknown);
        s->unknown = 0;
    }
    s->unknown += len;
    return true;
}

static bool spell_chars(const tandem_bpe *model, const uint8_t *text, uint32_t len, speller *s) {
    const bool has_affixes = model->prefix.len + model->suffix.len > 0;
    for (uint32_t at = 0; at < len;) {
        const uint8_t lead = text[at];
        const uint32_t step = lead < 0x80 ? 1 : lead < 0xe0 ? 2 : lead < 0xf0 ? 3 : 4;
        int32_t id = -1;
        if (has_affixes) {
            id = find_with_affixes(model, text + at, step, at == 0, at + step == len);
        } else if (step == 1) {
            id = model->singles[lead];
        } else {
            id = find_text(&model->vocab, text + at, step);
        }
        if (id >= 0) {
            if (s->unknown > 0) add(s, model->unk_id, s->unknown);
            s->unknown = 0;
            add(s, id, step);
        } else if (!spell_in_bytes(model, text + at, step, s)) {
            if (!spell_unknown(model, step, s)) return false;
        }
        at += step;
    }
    if (s->unknown > 0) add(s, model->unk_id, s->unknown);
    return true;
}

/* Fills `symbols`, which has room for `len` and the end. False as spell_unknown. */
static bool spell(const tandem_bpe *model, const uint8_t *text, uint32_t len,
                  tandem_bpe_symbol *symbols, uint32_t *count) {
    speller s = {.symbols = symbols};
    if (model->takes_bytes) {
        for (uint32_t i = 0; i < len; i++) add(&s, model->singles[text[i]], 1);
    } else if (!spell_chars(model, text, len, &s)) {
        return false;
    }
    symbols[s.count].start = s.at;
    *count = s.count;
    return true;
}

/* Cuts a word that is not in the table; `symbols` has room for its bytes and the end. */
static tandem_status cut(const tandem_bpe *model, const uint8_t *text, uint32_t len,
                         tandem_bpe_symbol *symbols, uint32_t *count, tandem_array *scratch,
                         tandem_error *err) {
    if (!spell(model, text, len, symbols, count)) {
        return TANDEM_FAIL(err, FORMAT, "model.unk_token: \"%.*s\" is not in the vocabulary",
                           TANDEM_STR_ARG(model->unk_token));
    }
    if (!model->takes_bytes || len > TANDEM_BPE_SHORT_MAX) {
        return tandem__bpe_merge(&model->merges, symbols, count, scratch, err);
    }
    uint64_t found[TANDEM_BPE_SHORT_MAX];
    for (uint32_t i = 0; i + 1 < len; i++) {
        found[i] = model->byte_pairs[(unsigned)text[i] << 8 | text[i + 1]];
    }
    *count = tandem__bpe_merge_short(&model->merges, symbols, found, len);
    return TANDEM_OK;
}

int32_t tandem__bpe_whole(const tandem_bpe *model, const uint8_t *text, uint32_t len) {
    tandem_bpe_symbol symbols[TANDEM_BPE_SHORT_MAX + 1];
    uint32_t count = 0;
    if (len > TANDEM_BPE_SHORT_MAX) return -1;
    /* So few symbols take no scratch. */
    if (cut(model, text, len, symbols, &count, NULL, NULL) != TANDEM_OK) return -1;
    return count == 1 && symbols[1].start == len ? symbols[0].id : -1;
}

/* A word that is not in the table. The room for its tokens is there. */
static tandem_status put_word(const tandem_bpe *model, const uint8_t *bytes, tandem_split word,
                              tandem_tokens *tokens, tandem_error *err) {
    tandem_bpe_symbol few[TANDEM_BPE_SHORT_MAX + 1];
    tandem_bpe_symbol *symbols = few;
    const uint32_t len = word.end - word.start;
    uint32_t count = 0;
    if (len > TANDEM_BPE_SHORT_MAX) {
        tandem_array *const room = &tokens->lattice;
        room->count = 0;
        TANDEM_TRY(tandem__array_reserve(room, (size_t)len + 1, sizeof *symbols, err));
        symbols = room->ptr;
    }
    TANDEM_TRY(cut(model, bytes + word.start, len, symbols, &count, &tokens->merging, err));
    for (uint32_t i = 0; i < count; i++) {
        const tandem_split span = {word.start + symbols[i].start,
                                   word.start + symbols[i + 1].start};
        tandem__tokens_push(tokens, symbols[i].id, span);
    }
    return TANDEM_OK;
}

/* The key of a word, whose slot is on its way after that. */
static tandem_vocab_key fetch(const tandem_bpe *model, const uint8_t *bytes, tandem_split word) {
    const tandem_vocab_key key =
        tandem__vocab_key(bytes + word.start, word.end - word.start, TANDEM_VOCAB_KIND_WORD);
    tandem__vocab_prefetch(model->wholes, key);
    return key;
}

static tandem_status bpe_tokenize(const void *config, const uint8_t *bytes,
                                  const tandem_split *splits, size_t count, tandem_tokens *tokens,
                                  tandem_error *err) {
    const tandem_bpe *const model = config;
    tandem_vocab_key keys[WORDS_AHEAD]; /* of word i at i % WORDS_AHEAD */
    size_t end = 0;                     /* of the room for tokens */
    for (size_t i = 0; i < count && i < WORDS_AHEAD; i++) keys[i] = fetch(model, bytes, splits[i]);
    for (size_t i = 0; i < count; i++) {
        const tandem_split word = splits[i];
        const tandem_vocab_key key = keys[i % WORDS_AHEAD];
        const size_t len = word.end - word.start;
        if (i + WORDS_AHEAD < count) {
            keys[i % WORDS_AHEAD] = fetch(model, bytes, splits[i + WORDS_AHEAD]);
        }
        if (tokens->ids.count + len > end) {
            const size_t more = len + TANDEM_BPE_ROOM;
            TANDEM_TRY(tandem__tokens_reserve(tokens, more, err));
            end = tokens->ids.count + more;
        }
        const int32_t id = tandem__vocab_find_key(model->wholes, key, bytes + word.start);
        if (id >= 0) {
            tandem__tokens_push(tokens, id, word);
        } else {
            TANDEM_TRY(put_word(model, bytes, word, tokens, err));
        }
        tokens->word++;
    }
    return TANDEM_OK;
}

static const tandem_vocab *bpe_vocab(const void *config) {
    return &((const tandem_bpe *)config)->vocab;
}

const tandem_model_type tandem__model_bpe_type = {
    .name = "BPE",
    .config_bytes = sizeof(tandem_bpe),
    .read = tandem__bpe_read,
    .prepare = tandem__bpe_prepare,
    .tokenize = bpe_tokenize,
    .vocab = bpe_vocab,
};
