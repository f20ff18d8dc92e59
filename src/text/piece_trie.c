/* SPDX-License-Identifier: Apache-2.0 */
#include "text/piece_trie.h"

#include "base/fail.h"
#include "base/mem.h"
#include "text/array.h"

#define SMALL_RANGE 24 /* keys that are sorted by insertion */

typedef struct key_range {
    uint32_t low;
    uint32_t high;
    uint32_t depth; /* bytes that all its keys share */
} key_range;

typedef struct builder {
    tandem_trie_key *keys;
    tandem_trie_key *spare; /* as many, to sort with */
    tandem_array nodes;     /* tandem_trie_node */
    tandem_array ranges;    /* key_range of each node */
    tandem_array labels;    /* uint8_t */
    tandem_error *err;
} builder;

static uint8_t byte_at(const tandem_trie_key *key, uint32_t depth) {
    return (uint8_t)key->text.ptr[depth];
}

/* Sorts keys[low .. high) by the byte at `depth`, which all have. */
static void sort_by_byte(builder *b, uint32_t low, uint32_t high, uint32_t depth) {
    tandem_trie_key *const keys = b->keys;
    if (high - low <= SMALL_RANGE) {
        for (uint32_t i = low + 1; i < high; i++) {
            const tandem_trie_key key = keys[i];
            const uint8_t byte = byte_at(&key, depth);
            uint32_t at = i;
            for (; at > low && byte_at(&keys[at - 1], depth) > byte; at--) keys[at] = keys[at - 1];
            keys[at] = key;
        }
        return;
    }
    uint32_t place[257] = {0};
    for (uint32_t i = low; i < high; i++) place[byte_at(&keys[i], depth) + 1]++;
    for (uint32_t i = 1; i <= 256; i++) place[i] += place[i - 1];
    for (uint32_t i = low; i < high; i++) b->spare[place[byte_at(&keys[i], depth)]++] = keys[i];
    memcpy(keys + low, b->spare, (high - low) * sizeof *keys);
}

static tandem_status add_node(builder *b, key_range range, uint8_t label) {
    TANDEM_TRY(tandem__array_reserve(&b->nodes, 2, sizeof(tandem_trie_node), b->err));
    TANDEM_TRY(tandem__array_reserve(&b->ranges, 1, sizeof range, b->err));
    TANDEM_TRY(tandem__array_reserve(&b->labels, 1, 1, b->err));
    ((tandem_trie_node *)b->nodes.ptr)[b->nodes.count++] = (tandem_trie_node){0, -1};
    ((key_range *)b->ranges.ptr)[b->ranges.count++] = range;
    ((uint8_t *)b->labels.ptr)[b->labels.count++] = label;
    return TANDEM_OK;
}

/* Takes the key that ends at node `at` and adds the node's children. */
static tandem_status grow(builder *b, size_t at) {
    key_range range = ((const key_range *)b->ranges.ptr)[at];
    tandem_trie_node *const node = (tandem_trie_node *)b->nodes.ptr + at;
    node->first = (uint32_t)b->nodes.count;
    for (uint32_t i = range.low; i < range.high; i++) {
        if (b->keys[i].text.len != range.depth) continue;
        if (node->id >= 0) {
            return TANDEM_FAIL(b->err, UNSUPPORTED, "\"%.*s\" comes twice, expected it once",
                               TANDEM_STR_ARG(b->keys[i].text));
        }
        node->id = b->keys[i].id;
        const tandem_trie_key ended = b->keys[i];
        b->keys[i] = b->keys[range.low];
        b->keys[range.low++] = ended;
    }
    sort_by_byte(b, range.low, range.high, range.depth);
    while (range.low < range.high) {
        const uint8_t byte = byte_at(&b->keys[range.low], range.depth);
        key_range child = {range.low, range.low + 1, range.depth + 1};
        while (child.high < range.high && byte_at(&b->keys[child.high], range.depth) == byte) {
            child.high++;
        }
        TANDEM_TRY(add_node(b, child, byte));
        range.low = child.high;
    }
    return TANDEM_OK;
}

static tandem_status build(builder *b, uint32_t count) {
    TANDEM_TRY(add_node(b, (key_range){0, count, 0}, 0));
    for (size_t at = 0; at < b->nodes.count; at++) TANDEM_TRY(grow(b, at));
    ((tandem_trie_node *)b->nodes.ptr)[b->nodes.count] =
        (tandem_trie_node){(uint32_t)b->nodes.count, -1};
    return TANDEM_OK;
}

static tandem_status keep(const builder *b, tandem_piece_trie *trie, tandem_arena *arena) {
    const size_t count = b->nodes.count;
    trie->nodes = tandem__arena_array(arena, count + 1, sizeof *trie->nodes);
    trie->labels = tandem__arena_alloc(arena, count);
    if (trie->nodes == NULL || trie->labels == NULL) {
        return TANDEM_FAIL(b->err, MEMORY, "no memory for a trie of %zu nodes", count);
    }
    memcpy(trie->nodes, b->nodes.ptr, (count + 1) * sizeof *trie->nodes);
    memcpy(trie->labels, b->labels.ptr, count);
    for (int i = 0; i < 256; i++) trie->roots[i] = TANDEM_TRIE_NONE;
    for (uint32_t i = trie->nodes[0].first; i < trie->nodes[1].first; i++) {
        trie->roots[trie->labels[i]] = i;
    }
    return TANDEM_OK;
}

tandem_status tandem__piece_trie_init(tandem_piece_trie *trie, tandem_trie_key *keys, size_t count,
                                      tandem_arena *arena, tandem_error *err) {
    builder b = {.keys = keys, .err = err};
    b.spare = tandem__mem_calloc(count + 1, sizeof *b.spare);
    tandem_status status = TANDEM_OK;
    if (b.spare == NULL) status = TANDEM_FAIL(err, MEMORY, "no memory for %zu pieces", count);
    if (status == TANDEM_OK) status = build(&b, (uint32_t)count);
    if (status == TANDEM_OK) status = keep(&b, trie, arena);
    tandem__mem_free(b.spare);
    tandem__array_deinit(&b.nodes);
    tandem__array_deinit(&b.ranges);
    tandem__array_deinit(&b.labels);
    return status;
}
