/* SPDX-License-Identifier: Apache-2.0 */
/* The merges of a BPE model, and words put together by them.
 *
 *     slot, 16 bytes, four to a cache line
 *     [ left id | right id ][ rank | id of both as one ]        open addressing, at most 2/3 full
 *
 * Most neighbours that are looked up have no merge, so that a filter of four bits a slot, which
 * stays in the caches where the slots do not, answers first.
 *
 * Of all neighbours in a word the pair of the lowest rank becomes one symbol, the leftmost of
 * several, until no pair is left. Short words look at every pair for that; long ones keep a heap,
 * so that a word of n symbols takes n log n steps. Read-only once built; any thread. */
#ifndef TANDEM_TEXT_BPE_MERGE_H
#define TANDEM_TEXT_BPE_MERGE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/arena.h"
#include "text/array.h"

#define TANDEM_BPE_MERGES_MAX (1 << 24)
#define TANDEM_BPE_SHORT_MAX  48u /* symbols of a word that needs no heap */
#define TANDEM_BPE_NO_MERGE   UINT64_MAX

typedef struct tandem_bpe_slot {
    uint64_t pair;
    uint64_t merge; /* TANDEM_BPE_NO_MERGE: free */
} tandem_bpe_slot;
_Static_assert(sizeof(tandem_bpe_slot) == 16, "four slots to a cache line");

typedef struct tandem_bpe_merges {
    tandem_bpe_slot *slots; /* [1 << bits] */
    uint64_t *filter;       /* [1 << bits >> 4]: bits of the hashes in use */
    uint32_t bits;
    uint32_t count;   /* merges so far, which is the next rank */
    int32_t *made;    /* [count] by rank: the id of both as one */
    bool needs_heaps; /* different words share an id: always keep a heap, see bpe_merge.c */
} tandem_bpe_merges;

/* A part of a word: from byte `start` to the start of the next one. */
typedef struct tandem_bpe_symbol {
    int32_t id;
    uint32_t start;
} tandem_bpe_symbol;

/* Room for `count` merges in the arena. */
tandem_status tandem__bpe_merges_init(tandem_bpe_merges *merges, size_t count, tandem_arena *arena,
                                      tandem_error *err) TANDEM_NODISCARD;

/* The next rank is that of `left` and `right`; a later rank of the same pair wins. */
tandem_status tandem__bpe_merges_add(tandem_bpe_merges *merges, int32_t left, int32_t right,
                                     int32_t made, tandem_error *err) TANDEM_NODISCARD;

/* Its top bits are the slot, so that two more are part of the place in the filter. */
static inline uint64_t tandem__bpe_hash(uint64_t pair) {
    return pair * UINT64_C(0x9e3779b97f4a7c15);
}

/* What becomes of two neighbours: rank << 32 | id of both as one, or TANDEM_BPE_NO_MERGE. */
static inline uint64_t tandem__bpe_find(const tandem_bpe_merges *merges, int32_t left,
                                        int32_t right) {
    const uint64_t pair = (uint64_t)(uint32_t)left << 32 | (uint32_t)right;
    const uint64_t hash = tandem__bpe_hash(pair);
    const uint64_t bit = hash >> (62 - merges->bits);
    if ((merges->filter[bit >> 6] >> (bit & 63) & 1) == 0) return TANDEM_BPE_NO_MERGE;
    const uint64_t mask = ((uint64_t)1 << merges->bits) - 1;
    for (uint64_t at = hash >> (64 - merges->bits);; at++) {
        const tandem_bpe_slot *const slot = &merges->slots[at & mask];
        if (slot->pair == pair || slot->merge == TANDEM_BPE_NO_MERGE) return slot->merge;
    }
}

/* Merges `count` symbols, at most TANDEM_BPE_SHORT_MAX, after which comes one more that has the
 * word's length as its start; so it does for the result. `found` has room for as many, and holds
 * what becomes of each symbol and the next. Returns how many are left. */
uint32_t tandem__bpe_merge_short(const tandem_bpe_merges *merges, tandem_bpe_symbol *symbols,
                                 uint64_t *found, uint32_t count);

/* The same for any number, and nothing found yet; `scratch` is the call's own. */
tandem_status tandem__bpe_merge(const tandem_bpe_merges *merges, tandem_bpe_symbol *symbols,
                                uint32_t *count, tandem_array *scratch,
                                tandem_error *err) TANDEM_NODISCARD;

#endif
