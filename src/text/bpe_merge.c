/* SPDX-License-Identifier: Apache-2.0 */
/* The reference keeps a heap of pairs and tells a stale entry from a living one by the id that the
 * pair there would make now. Where every word has an id of its own a stale entry never passes: the
 * pair would have to make the same text and so be the same pair. Then looking for the lowest rank
 * gives what the heap gives. Where ids are shared the heap decides, whatever the length. */
#include "text/bpe_merge.h"

#include <string.h>

#include "base/assert.h"
#include "base/fail.h"

#define PROBES_MAX 4096 /* slots in a row; more is a file made to be slow */
#define NOWHERE    UINT32_MAX

/* A symbol among its living neighbours. */
typedef struct node {
    tandem_bpe_symbol symbol;
    uint32_t left;
    uint32_t right;
    bool is_gone;
} node;

/* Entries are rank << 32 | place, the smallest on top. */
typedef struct heap {
    uint64_t *items;
    size_t count;
} heap;

tandem_status tandem__bpe_merges_init(tandem_bpe_merges *merges, size_t count, tandem_arena *arena,
                                      tandem_error *err) {
    if (count > TANDEM_BPE_MERGES_MAX) {
        return TANDEM_FAIL(err, CAPACITY, "%zu merges, limit %d", count, TANDEM_BPE_MERGES_MAX);
    }
    *merges = (tandem_bpe_merges){.bits = 4};
    while (((size_t)1 << merges->bits) < count + count / 2) merges->bits++;
    const size_t slots = (size_t)1 << merges->bits;
    merges->slots = tandem__arena_array(arena, slots, sizeof *merges->slots);
    merges->filter = tandem__arena_array(arena, slots / 16, sizeof *merges->filter);
    merges->made = tandem__arena_array(arena, count, sizeof *merges->made);
    if (merges->slots == NULL || merges->filter == NULL || merges->made == NULL) {
        return TANDEM_FAIL(err, MEMORY, "no memory for %zu merges", count);
    }
    for (size_t i = 0; i < slots; i++) {
        merges->slots[i] = (tandem_bpe_slot){UINT64_MAX, TANDEM_BPE_NO_MERGE};
    }
    return TANDEM_OK;
}

tandem_status tandem__bpe_merges_add(tandem_bpe_merges *merges, int32_t left, int32_t right,
                                     int32_t made, tandem_error *err) {
    const uint64_t pair = (uint64_t)(uint32_t)left << 32 | (uint32_t)right;
    const uint64_t mask = ((uint64_t)1 << merges->bits) - 1;
    const uint64_t hash = tandem__bpe_hash(pair);
    const uint64_t bit = hash >> (62 - merges->bits);
    uint64_t at = hash >> (64 - merges->bits);
    TANDEM_ASSERT(merges->count < mask);
    for (int probes = 0;; probes++, at++) {
        tandem_bpe_slot *const slot = &merges->slots[at & mask];
        if (slot->pair == pair || slot->merge == TANDEM_BPE_NO_MERGE) {
            *slot = (tandem_bpe_slot){pair, (uint64_t)merges->count << 32 | (uint32_t)made};
            merges->filter[bit >> 6] |= (uint64_t)1 << (bit & 63);
            merges->made[merges->count++] = made;
            return TANDEM_OK;
        }
        if (probes == PROBES_MAX) {
            return TANDEM_FAIL(err, FORMAT, "hashes like %d other merges", PROBES_MAX);
        }
    }
}

uint32_t tandem__bpe_merge_short(const tandem_bpe_merges *merges, tandem_bpe_symbol *symbols,
                                 uint64_t *found, uint32_t count) {
    TANDEM_DCHECK(count <= TANDEM_BPE_SHORT_MAX);
    while (count > 1) {
        uint32_t best = 0;
        uint64_t lowest = found[0];
        for (uint32_t i = 1; i + 1 < count; i++) {
            /* The same rank twice is the same merge, so that the first of several stays. */
            best = found[i] < lowest ? i : best;
            lowest = found[i] < lowest ? found[i] : lowest;
        }
        if (lowest == TANDEM_BPE_NO_MERGE) break;
        const int32_t made = (int32_t)(uint32_t)lowest;
        symbols[best].id = made;
        count--;
        for (uint32_t i = best + 1; i < count; i++) {
            symbols[i] = symbols[i + 1];
            found[i - 1] = found[i];
        }
        symbols[count] = symbols[count + 1];
        if (best > 0) found[best - 1] = tandem__bpe_find(merges, symbols[best - 1].id, made);
        if (best + 1 < count) found[best] = tandem__bpe_find(merges, made, symbols[best + 1].id);
    }
    return count;
}

static void sift_down(heap *h, size_t at) {
    const uint64_t item = h->items[at];
    for (;;) {
        size_t child = 2 * at + 1;
        if (child >= h->count) break;
        if (child + 1 < h->count && h->items[child + 1] < h->items[child]) child++;
        if (h->items[child] >= item) break;
        h->items[at] = h->items[child];
        at = child;
    }
    h->items[at] = item;
}

static void heap_push(heap *h, uint64_t item) {
    size_t at = h->count++;
    for (; at > 0; at = (at - 1) / 2) {
        const uint64_t parent = h->items[(at - 1) / 2];
        if (parent <= item) break;
        h->items[at] = parent;
    }
    h->items[at] = item;
}

static uint64_t heap_pop(heap *h) {
    const uint64_t top = h->items[0];
    h->items[0] = h->items[--h->count];
    if (h->count > 0) sift_down(h, 0);
    return top;
}

static uint64_t entry_of(uint64_t found, uint32_t at) {
    return (found & ~(uint64_t)UINT32_MAX) | at;
}

static uint64_t find_after(const tandem_bpe_merges *merges, const node *nodes, uint32_t at) {
    return tandem__bpe_find(merges, nodes[at].symbol.id, nodes[nodes[at].right].symbol.id);
}

static void push_pair(const tandem_bpe_merges *merges, const node *nodes, uint32_t at, heap *h) {
    const uint64_t found = find_after(merges, nodes, at);
    if (found != TANDEM_BPE_NO_MERGE) heap_push(h, entry_of(found, at));
}

/* Every pop that merges takes one symbol away and pushes two entries at most. */
static void run_heap(const tandem_bpe_merges *merges, node *nodes, heap *h) {
    while (h->count > 0) {
        const uint64_t top = heap_pop(h);
        const uint32_t at = (uint32_t)top;
        node *const left = &nodes[at];
        if (left->is_gone || left->right == NOWHERE) continue;
        const int32_t made = merges->made[top >> 32];
        const uint64_t found = find_after(merges, nodes, at);
        if (found == TANDEM_BPE_NO_MERGE || (uint32_t)found != (uint32_t)made) continue;
        node *const right = &nodes[left->right];
        right->is_gone = true;
        left->symbol.id = made;
        left->right = right->right;
        if (left->right != NOWHERE) nodes[left->right].left = at;
        if (left->left != NOWHERE) push_pair(merges, nodes, left->left, h);
        if (left->right != NOWHERE) push_pair(merges, nodes, at, h);
    }
}

static tandem_status merge_long(const tandem_bpe_merges *merges, tandem_bpe_symbol *symbols,
                                uint32_t *count, tandem_array *scratch, tandem_error *err) {
    const uint32_t n = *count;
    const size_t entries = 2 * (size_t)n;
    const size_t bytes = n * sizeof(node) + entries * sizeof(uint64_t);
    scratch->count = 0;
    TANDEM_TRY(tandem__array_reserve(scratch, bytes, 1, err));
    heap h = {.items = scratch->ptr};
    node *const nodes = (node *)(void *)(h.items + entries);
    for (uint32_t i = 0; i < n; i++) {
        nodes[i] = (node){symbols[i], i == 0 ? NOWHERE : i - 1, i + 1 < n ? i + 1 : NOWHERE, false};
    }
    for (uint32_t i = 0; i + 1 < n; i++) {
        const uint64_t found = find_after(merges, nodes, i);
        if (found != TANDEM_BPE_NO_MERGE) h.items[h.count++] = entry_of(found, i);
    }
    for (size_t i = h.count / 2; i-- > 0;) sift_down(&h, i);
    run_heap(merges, nodes, &h);
    const tandem_bpe_symbol end = symbols[n];
    uint32_t left = 0;
    for (uint32_t i = 0; i != NOWHERE; i = nodes[i].right) symbols[left++] = nodes[i].symbol;
    symbols[left] = end;
    *count = left;
    return TANDEM_OK;
}

tandem_status tandem__bpe_merge(const tandem_bpe_merges *merges, tandem_bpe_symbol *symbols,
                                uint32_t *count, tandem_array *scratch, tandem_error *err) {
    if (*count < 2) return TANDEM_OK;
    if (*count > TANDEM_BPE_SHORT_MAX || merges->needs_heaps) {
        return merge_long(merges, symbols, count, scratch, err);
    }
    uint64_t found[TANDEM_BPE_SHORT_MAX];
    for (uint32_t i = 0; i + 1 < *count; i++) {
        found[i] = tandem__bpe_find(merges, symbols[i].id, symbols[i + 1].id);
    }
    *count = tandem__bpe_merge_short(merges, symbols, found, *count);
    return TANDEM_OK;
}
