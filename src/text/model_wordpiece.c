/* SPDX-License-Identifier: Apache-2.0 */
/* WordPiece: the longest piece of the vocabulary that starts the word, then the longest that
 * follows, and so on; a word that cannot be cut up to its end is one unknown token.
 *
 * Most words are whole in the vocabulary: one look-up. For the others a table by the first two
 * bytes says which lengths exist at all, so that few keys are tried and a try costs one cache
 * line. A trie was the alternative; it touches a line a byte. Work is bounded by the length of the
 * word times that of the longest piece. */
#include <string.h>

#include "base/fail.h"
#include "base/utf8.h"
#include "text/token_model.h"

#define LENGTHS_BITS 11
#define LENGTHS_LONG 63 /* this bit stands for all lengths from 64 on */

/* For one kind of key: lengths in use, by the first two bytes. */
typedef struct length_table {
    uint64_t by_pair[1 << LENGTHS_BITS]; /* bit n - 1: a piece of n bytes, n >= 2 */
    bool by_byte[256];                   /* a piece of this one byte */
    uint32_t longest;                    /* bytes */
} length_table;

typedef struct wordpiece {
    tandem_vocab vocab;
    length_table word;   /* pieces that may start a word */
    length_table inside; /* pieces that may follow, without their prefix */
    tandem_str unk_token;
    int32_t unk_id;     /* -1: the vocabulary lacks it */
    uint64_t chars_max; /* longer words are unknown */
} wordpiece;

static uint32_t pair_of(const uint8_t *bytes) {
    const uint32_t pair = bytes[0] | (uint32_t)bytes[1] << 8;
    return (pair * 0x9e3779b1u) >> (32 - LENGTHS_BITS);
}

static void lengths_add(length_table *lengths, const uint8_t *bytes, size_t len) {
    if (len == 0) return;
    if (len > lengths->longest) lengths->longest = (uint32_t)len;
    if (len == 1) {
        lengths->by_byte[bytes[0]] = true;
        return;
    }
    const size_t bit = len - 1 < LENGTHS_LONG ? len - 1 : LENGTHS_LONG;
    lengths->by_pair[pair_of(bytes)] |= (uint64_t)1 << bit;
}

static tandem_status require(const tandem_json *json, const char *key, tandem_json_kind kind,
                             const char *expected, const tandem_json **field, tandem_error *err) {
    *field = tandem__json_get(json, key);
    if (*field != NULL && (*field)->kind == kind) return TANDEM_OK;
    const tandem_json_label label = tandem__json_label(*field);
    return TANDEM_FAIL(err, FORMAT, "%s: %s, expected %s", key, label.text, expected);
}

static tandem_status read_vocab(wordpiece *model, const tandem_json *json, tandem_str prefix,
                                tandem_arena *arena, tandem_error *err) {
    tandem_vocab_room room = {.words = json->count};
    TANDEM_JSON_EACH(word, json) {
        room.text_bytes += word->key.len;
        room.insides += word->key.len > prefix.len &&
                        (prefix.len == 0 || memcmp(word->key.ptr, prefix.ptr, prefix.len) == 0);
    }
    TANDEM_TRY(tandem__vocab_init(&model->vocab, arena, room, err));
    TANDEM_JSON_EACH(word, json) {
        int64_t id = 0;
        if (!tandem__json_to_int(word, &id) || id < 0 || id > TANDEM_TOKEN_ID_MAX) {
            const tandem_json_label label = tandem__json_label(word);
            return TANDEM_FAIL(err, FORMAT, "vocab: id of \"%.*s\" is %s, expected 0 to %d",
                               TANDEM_STR_ARG(word->key), label.text, TANDEM_TOKEN_ID_MAX);
        }
        const tandem_status status = tandem__vocab_add(&model->vocab, word->key, (int32_t)id, err);
        if (status != TANDEM_OK) return tandem__fail_prefix(err, status, "vocab");
        const uint8_t *const bytes = (const uint8_t *)word->key.ptr;
        const size_t len = word->key.len;
        lengths_add(&model->word, bytes, len);
        if (len <= prefix.len || memcmp(bytes, prefix.ptr, prefix.len) != 0) continue;
        TANDEM_TRY(tandem__vocab_add_inside(&model->vocab, (uint32_t)prefix.len, err));
        lengths_add(&model->inside, bytes + prefix.len, len - prefix.len);
    }
    tandem__vocab_seal(&model->vocab);
    return TANDEM_OK;
}

static tandem_status wordpiece_read(const tandem_json *json, tandem_arena *arena, void *config,
                                    tandem_error *err) {
    wordpiece *const model = config;
    const tandem_json *unk = NULL;
    const tandem_json *prefix = NULL;
    const tandem_json *chars = NULL;
    const tandem_json *vocab = NULL;
    TANDEM_TRY(require(json, "unk_token", TANDEM_JSON_STRING, "a string", &unk, err));
    TANDEM_TRY(
        require(json, "continuing_subword_prefix", TANDEM_JSON_STRING, "a string", &prefix, err));
    TANDEM_TRY(
        require(json, "max_input_chars_per_word", TANDEM_JSON_NUMBER, "an integer", &chars, err));
    TANDEM_TRY(require(json, "vocab", TANDEM_JSON_OBJECT, "an object", &vocab, err));
    int64_t chars_max = 0;
    if (!tandem__json_to_int(chars, &chars_max) || chars_max < 0) {
        const tandem_json_label label = tandem__json_label(chars);
        return TANDEM_FAIL(err, FORMAT, "max_input_chars_per_word: %s, expected an integer >= 0",
                           label.text);
    }
    model->chars_max = (uint64_t)chars_max;
    TANDEM_TRY(read_vocab(model, vocab, prefix->text, arena, err));
    model->unk_id = tandem__vocab_find(&model->vocab, unk->text);
    model->unk_token.ptr = tandem__arena_copy(arena, unk->text.ptr, unk->text.len);
    model->unk_token.len = unk->text.len;
    if (model->unk_token.ptr == NULL) return TANDEM_FAIL(err, MEMORY, "no memory for unk_token");
    return TANDEM_OK;
}

/* The longest piece that `left` bytes start with; its id, or -1. */
static int32_t find_longest(const wordpiece *model, uint32_t kind, const uint8_t *bytes,
                            size_t left, size_t *len) {
    const length_table *const lengths =
        kind == TANDEM_VOCAB_KIND_WORD ? &model->word : &model->inside;
    if (left >= 2) {
        uint64_t in_use = lengths->by_pair[pair_of(bytes)];
        if (in_use >> LENGTHS_LONG != 0) {
            size_t n = left < lengths->longest ? left : lengths->longest;
            for (; n > LENGTHS_LONG; n--) {
                const tandem_vocab_key key = tandem__vocab_key(bytes, n, kind);
                const int32_t id = tandem__vocab_find_key(&model->vocab, key, bytes);
                *len = n;
                if (id >= 0) return id;
            }
        }
        const size_t most = left < LENGTHS_LONG ? left : LENGTHS_LONG;
        in_use &= ((uint64_t)1 << most) - 1;
        while (in_use != 0) {
            const size_t n = 64 - (size_t)__builtin_clzll(in_use);
            const tandem_vocab_key key = tandem__vocab_key(bytes, n, kind);
            const int32_t id = tandem__vocab_find_key(&model->vocab, key, bytes);
            *len = n;
            if (id >= 0) return id;
            in_use ^= (uint64_t)1 << (n - 1);
        }
    }
    if (!lengths->by_byte[bytes[0]]) return -1;
    *len = 1;
    return tandem__vocab_find_key(&model->vocab, tandem__vocab_key(bytes, 1, kind), bytes);
}

static tandem_status push_unknown(const wordpiece *model, tandem_split word, tandem_tokens *tokens,
                                  tandem_error *err) {
    if (model->unk_id < 0) {
        return TANDEM_FAIL(err, FORMAT,
                           "model.unk_token: \"%.*s\" is needed for a word of %u bytes, expected "
                           "it in the vocabulary",
                           TANDEM_STR_ARG(model->unk_token), word.end - word.start);
    }
    tandem__tokens_push(tokens, model->unk_id, word);
    return TANDEM_OK;
}

/* A word that is not whole in the vocabulary. */
static tandem_status cut(const wordpiece *model, const uint8_t *bytes, tandem_split word,
                         tandem_tokens *tokens, tandem_error *err) {
    const size_t before = tokens->ids.count;
    uint32_t kind = TANDEM_VOCAB_KIND_WORD;
    uint32_t at = word.start;
    while (at < word.end) {
        size_t len = 0;
        const int32_t id = find_longest(model, kind, bytes + at, word.end - at, &len);
        if (id < 0) {
            tokens->ids.count = before;
            return push_unknown(model, word, tokens, err);
        }
        tandem__tokens_push(tokens, id, (tandem_split){at, at + (uint32_t)len});
        at += (uint32_t)len;
        kind = TANDEM_VOCAB_KIND_INSIDE;
    }
    return TANDEM_OK;
}

static tandem_status wordpiece_tokenize(const void *config, const uint8_t *bytes,
                                        const tandem_split *splits, size_t count,
                                        tandem_tokens *tokens, tandem_error *err) {
    const wordpiece *const model = config;
    if (count == 0) return TANDEM_OK;
    TANDEM_TRY(tandem__tokens_reserve(tokens, splits[count - 1].end - splits[0].start, err));
    for (size_t i = 0; i < count; i++) {
        const tandem_split word = splits[i];
        const size_t len = word.end - word.start;
        if (len > model->chars_max &&
            tandem__utf8_count(bytes + word.start, len) > model->chars_max) {
            TANDEM_TRY(push_unknown(model, word, tokens, err));
            tokens->word++;
            continue;
        }
        const tandem_vocab_key key =
            tandem__vocab_key(bytes + word.start, len, TANDEM_VOCAB_KIND_WORD);
        const int32_t id = tandem__vocab_find_key(&model->vocab, key, bytes + word.start);
        if (id >= 0)
            tandem__tokens_push(tokens, id, word);
        else
            TANDEM_TRY(cut(model, bytes, word, tokens, err));
        tokens->word++;
    }
    return TANDEM_OK;
}

static const tandem_vocab *wordpiece_vocab(const void *config) {
    return &((const wordpiece *)config)->vocab;
}

const tandem_model_type tandem__model_wordpiece_type = {
    .name = "WordPiece",
    .config_bytes = sizeof(wordpiece),
    .read = wordpiece_read,
    .tokenize = wordpiece_tokenize,
    .vocab = wordpiece_vocab,
};

const tandem_model_type *tandem__model_type_find(tandem_str name) {
    static const tandem_model_type *const types[] = {
        &tandem__model_bpe_type, &tandem__model_wordpiece_type, &tandem__model_unigram_type};
    for (size_t i = 0; i < sizeof types / sizeof types[0]; i++) {
        if (tandem__str_is(name, types[i]->name)) return types[i];
    }
    return NULL;
}
