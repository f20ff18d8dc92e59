/* SPDX-License-Identifier: Apache-2.0 */
#include "server/decisions.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <string.h>

#include "base/mem.h"

#define WORDS (sizeof(server_decision) / sizeof(uint64_t))

_Static_assert(sizeof(server_decision) % sizeof(uint64_t) == 0, "a decision is whole words");

typedef struct ring_entry {
    _Atomic uint64_t version; /* odd: being written; 0: never was */
    _Atomic uint64_t words[WORDS];
} ring_entry;

struct server_decisions {
    _Atomic uint64_t next;
    ring_entry entries[SERVER_DECISIONS];
};

server_decisions *server_decisions_create(void) {
    return tandem__mem_calloc(1, sizeof(server_decisions));
}

void server_decisions_destroy(server_decisions *decisions) {
    tandem__mem_free(decisions);
}

void server_decisions_add(server_decisions *decisions, const server_decision *decision) {
    const uint64_t place = atomic_fetch_add_explicit(&decisions->next, 1, memory_order_relaxed);
    ring_entry *entry = &decisions->entries[place % SERVER_DECISIONS];
    uint64_t version = atomic_load_explicit(&entry->version, memory_order_relaxed);
    if (version % 2 == 1) return;
    if (!atomic_compare_exchange_strong_explicit(&entry->version, &version, version + 1,
                                                 memory_order_acq_rel, memory_order_relaxed)) {
        return;
    }
    uint64_t words[WORDS];
    memcpy(words, decision, sizeof words);
    for (size_t w = 0; w < WORDS; w++)
        atomic_store_explicit(&entry->words[w], words[w], memory_order_release);
    atomic_store_explicit(&entry->version, version + 2, memory_order_release);
}

static bool read_entry(const ring_entry *entry, server_decision *to) {
    const uint64_t version = atomic_load_explicit(&entry->version, memory_order_acquire);
    if (version == 0 || version % 2 == 1) return false;
    uint64_t words[WORDS];
    for (size_t w = 0; w < WORDS; w++)
        words[w] = atomic_load_explicit(&entry->words[w], memory_order_acquire);
    memcpy(to, words, sizeof words);
    return atomic_load_explicit(&entry->version, memory_order_relaxed) == version;
}

size_t server_decisions_read(const server_decisions *decisions, server_decision *to) {
    const uint64_t next = atomic_load_explicit(&decisions->next, memory_order_relaxed);
    size_t count = 0;
    for (uint64_t back = 1; back <= SERVER_DECISIONS && back <= next; back++) {
        if (read_entry(&decisions->entries[(next - back) % SERVER_DECISIONS], &to[count])) count++;
    }
    return count;
}
