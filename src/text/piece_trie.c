/* SPDX-License-Identifier: Apache-2.0 */
#include "text/piece_trie.h"

#include <stdlib.h>

#include "base/fail.h"
#include "base/mem.h"

#define HEAD_BYTES 8

/* A word to sort: most of 250,000 differ in their first bytes, which are at hand as a number. */
typedef struct piece_key {
    uint64_t head; /* bytes 0-7, the first one on top, zeros after the end */
    const char *text;
    uint32_t len;
    int32_t id;
} piece_key;

typedef struct builder {
    piece_key *keys; /* [count], sorted */
    size_t count;
    tandem_piece_trie *trie;
    size_t nodes_count; /* so far */
    tandem_error *err;
} builder;

static uint64_t head_of(const char *text, uint32_t len) {
    uint64_t head = 0;
    const uint32_t count = len < HEAD_BYTES ? len : HEAD_BYTES;
    for (uint32_t i = 0; i < count; i++) head |= (uint64_t)(uint8_t)text[i] << (56 - 8 * i);
    return head;
}

/* The byte at `depth`, which the word has. */
static uint8_t byte_at(const piece_key *key, uint32_t depth) {
    if (depth < HEAD_BYTES) return (uint8_t)(key->head >> (56 - 8 * depth));
    return (uint8_t)key->text[depth];
}

static int compare_keys(const void *a, const void *b) {
    const piece_key *const x = a;
    const piece_key *const y = b;
    const uint32_t len = x->len < y->len ? x->len : y->len;
    const int order = len == 0 ? 0 : memcmp(x->text, y->text, len);
    if (order != 0) return order;
    return x->len < y->len ? -1 : x->len > y->len;
}

/* By the byte `shift` bits up in the head, stable; false if they are all alike and stay. */
static bool sort_pass(const piece_key *from, piece_key *to, size_t count, unsigned shift) {
    size_t place[257] = {0};
    for (size_t i = 0; i < count; i++) place[(from[i].head >> shift & 0xff) + 1]++;
    for (size_t i = 1; i <= 256; i++) {
        if (place[i] == count) return false;
    }
    for (size_t i = 1; i <= 256; i++) place[i] += place[i - 1];
    for (size_t i = 0; i < count; i++) to[place[from[i].head >> shift & 0xff]++] = from[i];
    return true;
}

/* By heads, last byte first; then those of one head by all of their bytes. The sorted keys are in
 * b->keys; the other array is returned. */
static piece_key *sort_keys(builder *b, piece_key *spare) {
    for (unsigned shift = 0; shift < 8 * HEAD_BYTES; shift += 8) {
        if (!sort_pass(b->keys, spare, b->count, shift)) continue;
        piece_key *const sorted = spare;
        spare = b->keys;
        b->keys = sorted;
    }
    for (size_t low = 0, high = 0; low < b->count; low = high) {
        while (high < b->count && b->keys[high].head == b->keys[low].head) high++;
        if (high - low > 1) qsort(b->keys + low, high - low, sizeof *b->keys, compare_keys);
    }
    return spare;
}

static uint32_t common_bytes(const piece_key *a, const piece_key *b) {
    const uint32_t len = a->len < b->len ? a->len : b->len;
    const uint64_t differing = a->head ^ b->head;
    uint32_t same = HEAD_BYTES;
    if (differing != 0) same = (uint32_t)__builtin_clzll(differing) / 8;
    if (same >= len) return len;
    while (differing == 0 && same < len && a->text[same] == b->text[same]) same++;
    return same;
}

/* The root and one node for each byte that a word does not share with the one before. */
static tandem_status allocate(builder *b, tandem_arena *arena) {
    size_t count = 1;
    for (size_t i = 0; i < b->count; i++) {
        const piece_key *const key = &b->keys[i];
        const uint32_t shared = i == 0 ? 0 : common_bytes(key - 1, key);
        if (i > 0 && shared == key->len && key[-1].len == shared) {
            return TANDEM_FAIL(b->err, UNSUPPORTED, "\"%.*s\" comes twice, expected it once",
                               key->len < 100 ? (int)key->len : 100, key->text);
        }
        count += key->len - shared;
    }
    b->trie->nodes = tandem__arena_array(arena, count + 1, sizeof *b->trie->nodes);
    b->trie->labels = tandem__arena_alloc(arena, count);
    if (b->trie->nodes == NULL || b->trie->labels == NULL) {
        return TANDEM_FAIL(b->err, MEMORY, "no memory for a trie of %zu nodes", count);
    }
    return TANDEM_OK;
}

/* Until its children are made, a node keeps the range of its keys: from `first` to `id`. */
static void add_node(builder *b, uint32_t low, uint32_t high, uint8_t label) {
    b->trie->nodes[b->nodes_count] = (tandem_trie_node){low, (int32_t)high};
    b->trie->labels[b->nodes_count++] = label;
}

/* Takes the key that ends at node `at`, whose keys share `depth` bytes, and adds its children. */
static void grow(builder *b, size_t at, uint32_t depth) {
    tandem_trie_node *const node = &b->trie->nodes[at];
    uint32_t low = node->first;
    const uint32_t end = (uint32_t)node->id;
    *node = (tandem_trie_node){(uint32_t)b->nodes_count, -1};
    if (low < end && b->keys[low].len == depth) node->id = b->keys[low++].id;
    while (low < end) {
        const uint8_t byte = byte_at(&b->keys[low], depth);
        uint32_t high = low + 1;
        while (high < end && byte_at(&b->keys[high], depth) == byte) high++;
        add_node(b, low, high, byte);
        low = high;
    }
}

/* Level by level: the nodes of one are neighbours. */
static void build(builder *b) {
    add_node(b, 0, (uint32_t)b->count, 0);
    size_t at = 0;
    for (uint32_t depth = 0; at < b->nodes_count; depth++) {
        const size_t level_end = b->nodes_count;
        for (; at < level_end; at++) grow(b, at, depth);
    }
    tandem_piece_trie *const trie = b->trie;
    trie->nodes[b->nodes_count] = (tandem_trie_node){(uint32_t)b->nodes_count, -1};
    for (int i = 0; i < 256; i++) trie->roots[i] = TANDEM_TRIE_NONE;
    for (uint32_t i = trie->nodes[0].first; i < trie->nodes[1].first; i++) {
        trie->roots[trie->labels[i]] = i;
    }
}

tandem_status tandem__piece_trie_init(tandem_piece_trie *trie, const char *text,
                                      const tandem_vocab_word *words, size_t count,
                                      tandem_arena *arena, tandem_error *err) {
    builder b = {.count = count, .trie = trie, .err = err};
    b.keys = tandem__mem_calloc(count + 1, sizeof *b.keys);
    piece_key *spare = tandem__mem_calloc(count + 1, sizeof *spare);
    tandem_status status = TANDEM_OK;
    if (b.keys == NULL || spare == NULL) {
        status = TANDEM_FAIL(err, MEMORY, "no memory for %zu pieces", count);
    } else {
        for (size_t i = 0; i < count; i++) {
            const char *const at = text + words[i].offset;
            b.keys[i] = (piece_key){head_of(at, words[i].len), at, words[i].len, words[i].id};
        }
        spare = sort_keys(&b, spare);
        status = allocate(&b, arena);
        if (status == TANDEM_OK) build(&b);
    }
    tandem__mem_free(b.keys);
    tandem__mem_free(spare);
    return status;
}

int32_t tandem__piece_trie_find(const tandem_piece_trie *trie, tandem_str word) {
    if (word.len == 0) return trie->nodes[0].id;
    uint32_t node = trie->roots[(uint8_t)word.ptr[0]];
    for (size_t i = 1; i < word.len && node != TANDEM_TRIE_NONE; i++) {
        node = tandem__piece_trie_child(trie, node, (uint8_t)word.ptr[i]);
    }
    return node == TANDEM_TRIE_NONE ? -1 : trie->nodes[node].id;
}
