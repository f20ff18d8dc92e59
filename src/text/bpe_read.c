/* SPDX-License-Identifier: Apache-2.0 */
/* The BPE model of a tokenizer.json: vocabulary, merges, and the table of words that are one
 * token. Work is the size of the file, and short words merged once each. */
#include <stdio.h>
#include <string.h>

#include "base/assert.h"
#include "base/fail.h"
#include "base/mem.h"
#include "text/bpe_model.h"
#include "text/byte_level.h"

static tandem_status read_vocab(tandem_bpe *model, const tandem_json *json, tandem_arena *arena,
                                tandem_error *err) {
    if (json == NULL || json->kind != TANDEM_JSON_OBJECT) {
        const tandem_json_label label = tandem__json_label(json);
        return TANDEM_FAIL(err, FORMAT, "vocab: %s, expected an object", label.text);
    }
    tandem_vocab_room room = {.words = json->count};
    TANDEM_JSON_EACH(word, json) room.text_bytes += word->key.len;
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
    }
    tandem__vocab_seal(&model->vocab);
    model->has_twins = model->vocab.words_count < model->vocab.distinct_count;
    return TANDEM_OK;
}

/* A merge: "a b" or ["a", "b"]. */
static bool read_pair(const tandem_json *json, tandem_str pair[2]) {
    if (json->kind == TANDEM_JSON_ARRAY) {
        if (json->count != 2 || json->first->kind != TANDEM_JSON_STRING ||
            json->first->next->kind != TANDEM_JSON_STRING) {
            return false;
        }
        pair[0] = json->first->text;
        pair[1] = json->first->next->text;
        return true;
    }
    if (json->kind != TANDEM_JSON_STRING || json->text.len == 0) return false;
    const tandem_str text = json->text;
    const char *const space = memchr(text.ptr, ' ', text.len);
    if (space == NULL) return false;
    const size_t left = (size_t)(space - text.ptr);
    pair[0] = (tandem_str){text.ptr, left};
    pair[1] = (tandem_str){space + 1, text.len - left - 1};
    return pair[1].len == 0 || memchr(pair[1].ptr, ' ', pair[1].len) == NULL;
}

static tandem_status fail_absent(tandem_str token, tandem_error *err) {
    return TANDEM_FAIL(err, FORMAT, "\"%.*s\" is not in the vocabulary", TANDEM_STR_ARG(token));
}

static tandem_status read_merge(tandem_bpe *model, const tandem_json *json, tandem_array *joined,
                                tandem_error *err) {
    tandem_str pair[2];
    if (!read_pair(json, pair)) {
        const tandem_json_label label = tandem__json_label(json);
        return TANDEM_FAIL(err, FORMAT, "%s, expected two tokens", label.text);
    }
    const size_t skip = model->prefix.len;
    if (pair[1].len < skip) {
        return TANDEM_FAIL(err, FORMAT, "\"%.*s\", expected continuing_subword_prefix before it",
                           TANDEM_STR_ARG(pair[1]));
    }
    const tandem_str right = {pair[1].ptr + skip, pair[1].len - skip};
    joined->count = 0;
    TANDEM_TRY(tandem__array_reserve(joined, pair[0].len + right.len + 1, 1, err));
    char *const text = joined->ptr;
    if (pair[0].len > 0) memcpy(text, pair[0].ptr, pair[0].len);
    if (right.len > 0) memcpy(text + pair[0].len, right.ptr, right.len);
    const tandem_str texts[3] = {pair[0], pair[1], {text, pair[0].len + right.len}};
    for (int i = 0; i < 3; i++) tandem__vocab_fetch(&model->vocab, texts[i]);
    int32_t ids[3];
    for (int i = 0; i < 3; i++) {
        ids[i] = tandem__vocab_find(&model->vocab, texts[i]);
        if (ids[i] < 0) return fail_absent(texts[i], err);
    }
    return tandem__bpe_merges_add(&model->merges, ids[0], ids[1], ids[2], err);
}

static tandem_status read_merges(tandem_bpe *model, const tandem_json *json, tandem_arena *arena,
                                 tandem_error *err) {
    if (json == NULL || json->kind != TANDEM_JSON_ARRAY) {
        const tandem_json_label label = tandem__json_label(json);
        return TANDEM_FAIL(err, FORMAT, "merges: %s, expected an array", label.text);
    }
    tandem_array joined = {0};
    tandem_status status = tandem__bpe_merges_init(&model->merges, json->count, arena, err);
    if (status != TANDEM_OK) return tandem__fail_prefix(err, status, "merges");
    model->merges.needs_heaps = model->has_twins;
    size_t index = 0;
    TANDEM_JSON_EACH(item, json) {
        const bool is_comment =
            item->kind == TANDEM_JSON_STRING && tandem__str_starts(item->text, "#version");
        if (!is_comment) status = read_merge(model, item, &joined, err);
        if (status != TANDEM_OK) {
            char place[48];
            snprintf(place, sizeof place, "merges[%zu]", index);
            status = tandem__fail_prefix(err, status, place);
            break;
        }
        index++;
    }
    tandem__array_deinit(&joined);
    return status;
}

static tandem_status read_text(const tandem_json *json, const char *key, tandem_arena *arena,
                               tandem_str *text, tandem_error *err) {
    tandem_str read = {0};
    TANDEM_TRY(tandem__json_read_str(json, key, &read, err));
    if (read.ptr == NULL) return TANDEM_OK;
    text->ptr = tandem__arena_copy(arena, read.ptr, read.len);
    text->len = read.len;
    return text->ptr != NULL ? TANDEM_OK : TANDEM_FAIL(err, MEMORY, "%s: no memory", key);
}

static tandem_status read_affix(const tandem_json *json, const char *key, tandem_arena *arena,
                                tandem_str *text, tandem_error *err) {
    TANDEM_TRY(read_text(json, key, arena, text, err));
    if (text->len <= TANDEM_BPE_AFFIX_MAX) return TANDEM_OK;
    return TANDEM_FAIL(err, CAPACITY, "%s: %zu bytes, limit %d", key, text->len,
                       TANDEM_BPE_AFFIX_MAX);
}

static tandem_status read_settings(tandem_bpe *model, const tandem_json *json, tandem_arena *arena,
                                   tandem_error *err) {
    double dropout = 0;
    TANDEM_TRY(tandem__json_read_double(json, "dropout", &dropout, err));
    if (dropout != 0) {
        const tandem_json_label label = tandem__json_label(tandem__json_get(json, "dropout"));
        return TANDEM_FAIL(err, UNSUPPORTED, "dropout: %s, expected null or 0", label.text);
    }
    TANDEM_TRY(read_text(json, "unk_token", arena, &model->unk_token, err));
    TANDEM_TRY(read_affix(json, "continuing_subword_prefix", arena, &model->prefix, err));
    TANDEM_TRY(read_affix(json, "end_of_word_suffix", arena, &model->suffix, err));
    TANDEM_TRY(tandem__json_read_bool(json, "fuse_unk", &model->fuses_unknown, err));
    TANDEM_TRY(tandem__json_read_bool(json, "byte_fallback", &model->falls_back, err));
    TANDEM_TRY(tandem__json_read_bool(json, "ignore_merges", &model->ignores_merges, err));
    if (model->falls_back && model->prefix.len + model->suffix.len > 0) {
        return TANDEM_FAIL(err, UNSUPPORTED,
                           "byte_fallback: true with continuing_subword_prefix or "
                           "end_of_word_suffix is not supported");
    }
    return TANDEM_OK;
}

tandem_status tandem__bpe_read(const tandem_json *json, tandem_arena *arena, void *config,
                               tandem_error *err) {
    tandem_bpe *const model = config;
    TANDEM_TRY(read_settings(model, json, arena, err));
    TANDEM_TRY(read_vocab(model, tandem__json_get(json, "vocab"), arena, err));
    TANDEM_TRY(read_merges(model, tandem__json_get(json, "merges"), arena, err));
    model->unk_id = tandem__vocab_find(&model->vocab, model->unk_token);
    for (unsigned i = 0; i < 256; i++) {
        char name[16];
        const int len = snprintf(name, sizeof name, "<0x%02X>", i);
        model->fallbacks[i] = tandem__vocab_find(&model->vocab, (tandem_str){name, (size_t)len});
    }
    return TANDEM_OK;
}

/* Bytes that no UTF-8 has. */
static bool is_never(unsigned byte) {
    return byte == 0xc0 || byte == 0xc1 || byte > 0xf4;
}

/* Fills `singles`; whether every byte has an id. */
static bool find_bytes(tandem_bpe *model) {
    bool has_all = true;
    for (unsigned i = 0; i < 256; i++) {
        uint8_t text[4];
        const size_t len = tandem__utf8_encode(tandem__byte_char((uint8_t)i), text);
        model->singles[i] = tandem__vocab_find(&model->vocab, (tandem_str){(char *)text, len});
        has_all &= model->singles[i] >= 0 || is_never(i);
    }
    return has_all;
}

/* Where words start: a look at a table of 512 KiB, of which few lines are in use, for each pair. */
static tandem_status pair_bytes(tandem_bpe *model, tandem_arena *arena, tandem_error *err) {
    model->byte_pairs = tandem__arena_array(arena, 256 * 256, sizeof *model->byte_pairs);
    if (model->byte_pairs == NULL) return TANDEM_FAIL(err, MEMORY, "no memory for pairs of bytes");
    for (unsigned pair = 0; pair < 256 * 256; pair++) {
        model->byte_pairs[pair] =
            tandem__bpe_find(&model->merges, model->singles[pair >> 8], model->singles[pair & 255]);
    }
    return TANDEM_OK;
}

static void find_ascii(tandem_bpe *model) {
    for (unsigned i = 0; i < 256; i++) {
        const char text = (char)i;
        model->singles[i] =
            i < 0x80 ? tandem__vocab_find(&model->vocab, (tandem_str){&text, 1}) : -1;
    }
}

/* The word that token `text` would be alone, as words come; false for none. */
static bool word_of(const tandem_bpe *model, tandem_str text, uint8_t *word, size_t *len) {
    if (model->takes_bytes) return tandem__byte_level_decode(text, word, len) && *len > 0;
    const tandem_str suffix = model->suffix;
    if (text.len <= suffix.len) return false;
    *len = text.len - suffix.len;
    memcpy(word, text.ptr, *len);
    return suffix.len == 0 || memcmp(text.ptr + *len, suffix.ptr, suffix.len) == 0;
}

static tandem_status add_wholes(tandem_bpe *model, uint8_t *word, tandem_error *err) {
    for (uint32_t i = 0; i < model->vocab.words_count; i++) {
        const tandem_vocab_word *const entry = &model->vocab.words[i];
        const tandem_str text = {model->vocab.text + entry->offset, entry->len};
        size_t len = 0;
        if (!word_of(model, text, word, &len)) continue;
        const tandem_str key = {(const char *)word, len};
        tandem__vocab_fetch(&model->own_wholes, key);
        const int32_t id =
            model->ignores_merges ? entry->id : tandem__bpe_whole(model, word, (uint32_t)len);
        if (id < 0) continue;
        TANDEM_TRY(tandem__vocab_add(&model->own_wholes, key, id, err));
    }
    return TANDEM_OK;
}

static tandem_status make_wholes(tandem_bpe *model, tandem_arena *arena, tandem_error *err) {
    size_t longest = 0;
    tandem_vocab_room room = {0};
    if (!model->has_twins) {
        room.words = model->vocab.words_count;
        for (uint32_t i = 0; i < model->vocab.words_count; i++) {
            const size_t len = model->vocab.words[i].len;
            room.text_bytes += len;
            if (len > longest) longest = len;
        }
    }
    TANDEM_TRY(tandem__vocab_init(&model->own_wholes, arena, room, err));
    if (model->has_twins) return TANDEM_OK;
    uint8_t *const word = tandem__mem_calloc(longest + TANDEM_TEXT_PADDING, 1);
    if (word == NULL) return TANDEM_FAIL(err, MEMORY, "no memory for a word of %zu bytes", longest);
    const tandem_status status = add_wholes(model, word, err);
    tandem__mem_free(word);
    return status;
}

tandem_status tandem__bpe_prepare(void *config, bool *in_bytes, tandem_arena *arena,
                                  tandem_error *err) {
    tandem_bpe *const model = config;
    const bool is_plain = model->prefix.len + model->suffix.len == 0 && !model->has_twins;
    model->takes_bytes = *in_bytes && is_plain && find_bytes(model);
    *in_bytes = model->takes_bytes;
    if (model->takes_bytes)
        TANDEM_TRY(pair_bytes(model, arena, err));
    else
        find_ascii(model);
    model->wholes = &model->own_wholes;
    if (model->ignores_merges && !model->takes_bytes) {
        model->wholes = &model->vocab;
        return TANDEM_OK;
    }
    return make_wholes(model, arena, err);
}
