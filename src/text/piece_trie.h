/* SPDX-License-Identifier: Apache-2.0 */
/* A trie of pieces that finds all pieces a text starts with in one walk.
 *
 *     node      0 (root)      1 2 3 ...      the children of a node are neighbours
 *     label     -             ▁ a b ...      their bytes lie together, so that finding one among
 *                                            many is a memchr
 *
 * Built breadth first from sorted words. Nine bytes a node, one node a distinct prefix. Read-only
 * once built; any thread. */
#ifndef TANDEM_TEXT_PIECE_TRIE_H
#define TANDEM_TEXT_PIECE_TRIE_H

#include <stdint.h>
#include <string.h>

#include "base/arena.h"
#include "base/str.h"
#include "tandem/status.h"
#include "text/vocab.h"

#define TANDEM_TRIE_NONE UINT32_MAX

typedef struct tandem_trie_node {
    uint32_t first; /* its children: first .. first of the next node */
    int32_t id;     /* of the piece that ends here; -1 */
} tandem_trie_node;

typedef struct tandem_piece_trie {
    tandem_trie_node *nodes; /* one more than there are, which ends the children of the last */
    uint8_t *labels;
    uint32_t roots[256]; /* children of the root by byte, or TANDEM_TRIE_NONE */
} tandem_piece_trie;

/* From `count` words in the pool `text`. TANDEM_UNSUPPORTED where two are equal. */
tandem_status tandem__piece_trie_init(tandem_piece_trie *trie, const char *text,
                                      const tandem_vocab_word *words, size_t count,
                                      tandem_arena *arena, tandem_error *err) TANDEM_NODISCARD;

/* The id of a whole word, -1 if absent. */
int32_t tandem__piece_trie_find(const tandem_piece_trie *trie, tandem_str word);

/* The child of `node` (not the root) under `byte`, or TANDEM_TRIE_NONE. */
static inline uint32_t tandem__piece_trie_child(const tandem_piece_trie *trie, uint32_t node,
                                                uint8_t byte) {
    const uint32_t first = trie->nodes[node].first;
    const uint32_t count = trie->nodes[node + 1].first - first;
    const uint8_t *const labels = trie->labels + first;
    if (count > 8) {
        const uint8_t *const found = memchr(labels, byte, count);
        return found == NULL ? TANDEM_TRIE_NONE : first + (uint32_t)(found - labels);
    }
    for (uint32_t i = 0; i < count; i++) {
        if (labels[i] == byte) return first + i;
    }
    return TANDEM_TRIE_NONE;
}

#endif
