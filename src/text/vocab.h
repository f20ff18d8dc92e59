/* SPDX-License-Identifier: Apache-2.0 */
/* Words and their ids: an open-addressing hash table made for short keys.
 *
 *     slot, 32 bytes, two to a cache line
 *     [ first 16 bytes of the key, zero-padded ][ length | kind ][ id ][ offset ][ free ]
 *
 * Nearly every word of a vocabulary fits into 16 bytes, so that a look-up is one hash of two
 * 64-bit numbers, one cache line and one comparison; longer keys keep a hash in place of the bytes
 * and are compared with the text pool. Keys have a kind, so that the words of a model and the
 * pieces inside of words share one table. A later entry of the same key replaces the id of an
 * earlier one. Read-only once built; any thread.
 *
 * A model whose words are in a trie anyway does without the table (16 MB for 250,000 words): words
 * are then found in the trie. */
#ifndef TANDEM_TEXT_VOCAB_H
#define TANDEM_TEXT_VOCAB_H

#include <stdbool.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/str.h"
#include "tandem/status.h"

#define TANDEM_TOKEN_ID_MAX      ((1 << 24) - 1)
#define TANDEM_VOCAB_WORDS_MAX   (1 << 24)
#define TANDEM_VOCAB_INLINE      16 /* bytes of a key inside its slot */
#define TANDEM_VOCAB_KIND_WORD   0u
#define TANDEM_VOCAB_KIND_INSIDE 0x80000000u

typedef struct tandem_vocab_slot {
    uint64_t low;  /* bytes 0-7 of the key, or the hash of a long one */
    uint64_t high; /* bytes 8-15 */
    uint32_t size; /* bytes of the key, with the kind in the top bit; 0 = free */
    int32_t id;
    uint32_t offset; /* of the key in the text pool */
    uint32_t unused;
} tandem_vocab_slot;
_Static_assert(sizeof(tandem_vocab_slot) == 32, "two slots to a cache line");

typedef struct tandem_vocab_word {
    int32_t id;
    uint32_t offset; /* in the text pool, NUL-terminated there */
    uint32_t len;
} tandem_vocab_word;

struct tandem_piece_trie;

typedef struct tandem_vocab {
    tandem_vocab_slot *slots;             /* [1 << bits], or NULL */
    const struct tandem_piece_trie *trie; /* in their place; NULL until the model has built it */
    uint32_t bits;
    uint32_t slots_used;
    tandem_vocab_word *words; /* [words_count], by ascending id once sealed */
    uint32_t words_count;
    uint32_t words_max;
    uint32_t distinct_count; /* different words */
    uint32_t replaced_count; /* words that came again */
    int32_t empty_id;        /* of the word without bytes, which has no slot; -1 */
    char *text;
    uint32_t text_len;
    uint32_t text_max;
    int32_t id_max; /* -1 when empty */
} tandem_vocab;

/* Room for `words` words of `text_bytes` bytes in all, and for `insides` keys of kind INSIDE.
 * Memory is the arena's. */
typedef struct tandem_vocab_room {
    size_t words;
    size_t text_bytes;
    size_t insides;
    bool has_trie; /* no slots; each word comes once, or the trie refuses it */
} tandem_vocab_room;
tandem_status tandem__vocab_init(tandem_vocab *vocab, tandem_arena *arena, tandem_vocab_room room,
                                 tandem_error *err) TANDEM_NODISCARD;

/* Adds a word, which may be empty; a later id of the same word wins. */
tandem_status tandem__vocab_add(tandem_vocab *vocab, tandem_str word, int32_t id,
                                tandem_error *err) TANDEM_NODISCARD;

/* Adds what follows byte `skip` of the word added last as a key of kind INSIDE. */
tandem_status tandem__vocab_add_inside(tandem_vocab *vocab, uint32_t skip,
                                       tandem_error *err) TANDEM_NODISCARD;

/* Sorts the words by id; the last of several with one id counts. */
void tandem__vocab_seal(tandem_vocab *vocab);

/* The word of an id, or NULL. The vocabulary is sealed. */
const tandem_vocab_word *tandem__vocab_word(const tandem_vocab *vocab, int32_t id);

/* The id of a word, -1 if absent. */
int32_t tandem__vocab_find(const tandem_vocab *vocab, tandem_str word);

/* With slots only: has the word's slot fetched, for a look-up some work later. */
void tandem__vocab_fetch(const tandem_vocab *vocab, tandem_str word);

typedef struct tandem_vocab_key {
    uint64_t low;
    uint64_t high;
    uint32_t size;
} tandem_vocab_key;

/* The slot's hash for a long key. */
uint64_t tandem__vocab_hash_long(const uint8_t *bytes, size_t len);

/* The key of `len` bytes, len > 0; TANDEM_VOCAB_INLINE bytes are readable at `bytes`. */
static inline tandem_vocab_key tandem__vocab_key(const uint8_t *bytes, size_t len, uint32_t kind) {
    /* Byte i of the window that starts at 16 - len is kept while i < len. */
    static const uint8_t keep[2 * TANDEM_VOCAB_INLINE] = {
        255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255,
    };
    tandem_vocab_key key = {.size = (uint32_t)len | kind};
    if (len > TANDEM_VOCAB_INLINE) {
        key.low = tandem__vocab_hash_long(bytes, len);
        return key;
    }
    uint64_t mask[2];
    memcpy(mask, keep + TANDEM_VOCAB_INLINE - len, sizeof mask);
    memcpy(&key.low, bytes, 8);
    memcpy(&key.high, bytes + 8, 8);
    key.low &= mask[0];
    key.high &= mask[1];
    return key;
}

static inline uint64_t tandem__vocab_hash(tandem_vocab_key key) {
    uint64_t hash = (key.low ^ ((uint64_t)key.size << 24)) * UINT64_C(0x9e3779b97f4a7c15);
    hash ^= hash >> 32;
    hash = (hash ^ key.high) * UINT64_C(0xd6e8feb86659fd93);
    return hash ^ (hash >> 32);
}

/* The same by key. */
static inline void tandem__vocab_prefetch(const tandem_vocab *vocab, tandem_vocab_key key) {
    const uint64_t mask = ((uint64_t)1 << vocab->bits) - 1;
    __builtin_prefetch(&vocab->slots[tandem__vocab_hash(key) & mask]);
}

/* With slots only: the id of a key whose bytes (for long ones) are at `bytes`; -1 if absent. */
static inline int32_t tandem__vocab_find_key(const tandem_vocab *vocab, tandem_vocab_key key,
                                             const uint8_t *bytes) {
    const uint64_t mask = ((uint64_t)1 << vocab->bits) - 1;
    for (uint64_t at = tandem__vocab_hash(key);; at++) {
        const tandem_vocab_slot *const slot = &vocab->slots[at & mask];
        if (slot->size == 0) return -1;
        if (slot->size != key.size || slot->low != key.low || slot->high != key.high) continue;
        const uint32_t len = key.size & ~TANDEM_VOCAB_KIND_INSIDE;
        if (len <= TANDEM_VOCAB_INLINE || memcmp(vocab->text + slot->offset, bytes, len) == 0) {
            return slot->id;
        }
    }
}

#endif
