/* SPDX-License-Identifier: Apache-2.0 */
#include "text/vocab.h"

#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/fail.h"
#include "text/piece_trie.h"

#define PROBES_MAX 4096 /* slots in a row; more is a file made to be slow */

tandem_status tandem__vocab_init(tandem_vocab *vocab, tandem_arena *arena, tandem_vocab_room room,
                                 tandem_error *err) {
    if (room.words > TANDEM_VOCAB_WORDS_MAX || room.text_bytes > (size_t)1 << 30) {
        return TANDEM_FAIL(err, CAPACITY, "%zu words of %zu bytes, limit %d words of 1 GiB",
                           room.words, room.text_bytes, TANDEM_VOCAB_WORDS_MAX);
    }
    const size_t keys = room.words + room.insides;
    uint32_t bits = 4;
    while (((size_t)1 << bits) < keys + keys / 2) bits++;
    *vocab = (tandem_vocab){.bits = bits, .id_max = -1, .empty_id = -1};
    vocab->words_max = (uint32_t)room.words;
    vocab->text_max = (uint32_t)(room.text_bytes + room.words);
    if (!room.has_trie) {
        vocab->slots = tandem__arena_array(arena, (size_t)1 << bits, sizeof *vocab->slots);
    }
    vocab->words = tandem__arena_array(arena, room.words, sizeof *vocab->words);
    vocab->text = tandem__arena_alloc(arena, vocab->text_max);
    const bool has_index = room.has_trie || vocab->slots != NULL;
    if (!has_index || vocab->words == NULL || vocab->text == NULL) {
        return TANDEM_FAIL(err, MEMORY, "no memory for a vocabulary of %zu words", room.words);
    }
    return TANDEM_OK;
}

uint64_t tandem__vocab_hash_long(const uint8_t *bytes, size_t len) {
    uint64_t hash = len;
    size_t at = 0;
    for (; len - at >= 8; at += 8) {
        uint64_t part;
        memcpy(&part, bytes + at, 8);
        hash = (hash ^ part) * UINT64_C(0x9e3779b97f4a7c15);
        hash ^= hash >> 29;
    }
    for (; at < len; at++) hash = (hash ^ bytes[at]) * UINT64_C(0x9e3779b97f4a7c15);
    return hash ^ (hash >> 32);
}

/* `offset` and `len` name bytes of the text pool. */
static tandem_status insert(tandem_vocab *vocab, uint32_t offset, uint32_t len, uint32_t kind,
                            int32_t id, tandem_error *err) {
    uint8_t padded[TANDEM_VOCAB_INLINE] = {0};
    const uint8_t *bytes = (const uint8_t *)vocab->text + offset;
    if (len <= TANDEM_VOCAB_INLINE) {
        memcpy(padded, bytes, len);
        bytes = padded;
    }
    const tandem_vocab_key key = tandem__vocab_key(bytes, len, kind);
    const uint64_t mask = ((uint64_t)1 << vocab->bits) - 1;
    TANDEM_ASSERT(vocab->slots_used < mask);
    uint64_t at = tandem__vocab_hash(key);
    for (int probes = 0;; probes++, at++) {
        tandem_vocab_slot *const slot = &vocab->slots[at & mask];
        if (slot->size == 0) {
            *slot = (tandem_vocab_slot){key.low, key.high, key.size, id, offset, 0};
            vocab->slots_used++;
            vocab->distinct_count += kind == TANDEM_VOCAB_KIND_WORD;
            return TANDEM_OK;
        }
        if (slot->size == key.size && slot->low == key.low && slot->high == key.high &&
            (len <= TANDEM_VOCAB_INLINE || memcmp(vocab->text + slot->offset, bytes, len) == 0)) {
            slot->id = id;
            vocab->replaced_count++;
            return TANDEM_OK;
        }
        if (probes == PROBES_MAX) {
            return TANDEM_FAIL(err, FORMAT, "\"%.*s\": hashes like %d other words",
                               len < 40 ? (int)len : 40, vocab->text + offset, PROBES_MAX);
        }
    }
}

tandem_status tandem__vocab_add(tandem_vocab *vocab, tandem_str word, int32_t id,
                                tandem_error *err) {
    TANDEM_ASSERT(id >= 0 && id <= TANDEM_TOKEN_ID_MAX);
    TANDEM_ASSERT(vocab->words_count < vocab->words_max);
    TANDEM_ASSERT(word.len < vocab->text_max - vocab->text_len);
    const uint32_t offset = vocab->text_len;
    const uint32_t len = (uint32_t)word.len;
    if (len > 0) memcpy(vocab->text + offset, word.ptr, len);
    vocab->text_len += len + 1;
    vocab->words[vocab->words_count++] = (tandem_vocab_word){id, offset, len};
    if (id > vocab->id_max) vocab->id_max = id;
    if (len == 0) {
        vocab->distinct_count += vocab->empty_id < 0;
        vocab->replaced_count += vocab->empty_id >= 0;
        vocab->empty_id = id;
        return TANDEM_OK;
    }
    if (vocab->slots != NULL) return insert(vocab, offset, len, TANDEM_VOCAB_KIND_WORD, id, err);
    vocab->distinct_count++;
    return TANDEM_OK;
}

tandem_status tandem__vocab_add_inside(tandem_vocab *vocab, uint32_t skip, tandem_error *err) {
    TANDEM_ASSERT(vocab->words_count > 0);
    TANDEM_ASSERT(vocab->slots != NULL);
    const tandem_vocab_word *const word = &vocab->words[vocab->words_count - 1];
    TANDEM_ASSERT(skip < word->len);
    return insert(vocab, word->offset + skip, word->len - skip, TANDEM_VOCAB_KIND_INSIDE, word->id,
                  err);
}

/* By id, then by place in the file, which the text pool keeps. */
static int compare_words(const void *a, const void *b) {
    const tandem_vocab_word *const x = a;
    const tandem_vocab_word *const y = b;
    if (x->id != y->id) return x->id < y->id ? -1 : 1;
    return x->offset < y->offset ? -1 : x->offset > y->offset;
}

void tandem__vocab_seal(tandem_vocab *vocab) {
    bool is_ascending = true;
    for (uint32_t i = 1; i < vocab->words_count && is_ascending; i++) {
        is_ascending = vocab->words[i - 1].id < vocab->words[i].id;
    }
    if (is_ascending && vocab->replaced_count == 0) return;
    qsort(vocab->words, vocab->words_count, sizeof *vocab->words, compare_words);
    uint32_t kept = 0;
    for (uint32_t i = 0; i < vocab->words_count; i++) {
        const tandem_vocab_word word = vocab->words[i];
        const tandem_str text = {vocab->text + word.offset, word.len};
        if (tandem__vocab_find(vocab, text) != word.id) continue; /* came again with another id */
        if (kept > 0 && vocab->words[kept - 1].id == word.id) kept--;
        vocab->words[kept++] = word;
    }
    vocab->words_count = kept;
    vocab->id_max = kept == 0 ? -1 : vocab->words[kept - 1].id;
}

const tandem_vocab_word *tandem__vocab_word(const tandem_vocab *vocab, int32_t id) {
    const uint32_t here = (uint32_t)id; /* where ids have no gaps */
    if (here < vocab->words_count && vocab->words[here].id == id) return &vocab->words[here];
    uint32_t low = 0;
    uint32_t high = vocab->words_count;
    while (low < high) {
        const uint32_t middle = low + (high - low) / 2;
        if (vocab->words[middle].id < id)
            low = middle + 1;
        else
            high = middle;
    }
    return low < vocab->words_count && vocab->words[low].id == id ? &vocab->words[low] : NULL;
}

/* The key of a word that may lie before bytes which must not be read. */
static tandem_vocab_key key_of(tandem_str word) {
    uint8_t padded[TANDEM_VOCAB_INLINE] = {0};
    const uint8_t *bytes = (const uint8_t *)word.ptr;
    if (word.len <= TANDEM_VOCAB_INLINE) {
        memcpy(padded, bytes, word.len);
        bytes = padded;
    }
    return tandem__vocab_key(bytes, word.len, TANDEM_VOCAB_KIND_WORD);
}

void tandem__vocab_fetch(const tandem_vocab *vocab, tandem_str word) {
    TANDEM_ASSERT(vocab->slots != NULL);
    if (word.len > 0) tandem__vocab_prefetch(vocab, key_of(word));
}

int32_t tandem__vocab_find(const tandem_vocab *vocab, tandem_str word) {
    if (word.len == 0) return vocab->empty_id;
    if (vocab->trie != NULL) return tandem__piece_trie_find(vocab->trie, word);
    TANDEM_ASSERT(vocab->slots != NULL);
    if (word.len >= TANDEM_VOCAB_KIND_INSIDE) return -1;
    return tandem__vocab_find_key(vocab, key_of(word), (const uint8_t *)word.ptr);
}
