/* SPDX-License-Identifier: Apache-2.0 */
#include "server/recent.h"

#include <stdbool.h>
#include <stddef.h>

#define STEP_BITS 4 /* log2 of the buckets an octave */
#define STEPS     (1U << STEP_BITS)
#define EMPTYING  UINT64_MAX

static size_t bucket_of(uint64_t us) {
    if (us < STEPS) return (size_t)us;
    const unsigned octave = 63U - (unsigned)__builtin_clzll(us) - STEP_BITS; // us >> octave < 32
    const size_t bucket = (size_t)(octave + 1) * STEPS + (size_t)(us >> octave) - STEPS;
    return bucket < SERVER_RECENT_BUCKETS ? bucket : SERVER_RECENT_BUCKETS - 1;
}

static double middle_us(size_t bucket) {
    if (bucket < STEPS) return (double)bucket + 0.5;
    const size_t octave = bucket / STEPS - 1;
    const uint64_t low = (uint64_t)(STEPS + bucket % STEPS) << octave;
    return (double)low + (double)((uint64_t)1 << octave) / 2;
}

/* Makes the slot that of `epoch`; false while somebody else does. */
static bool take_slot(server_recent_slot *slot, uint64_t epoch) {
    uint64_t held = atomic_load_explicit(&slot->epoch, memory_order_acquire);
    if (held == epoch) return true;
    if (held == EMPTYING || (held > epoch && held != 0)) return false;
    if (!atomic_compare_exchange_strong_explicit(&slot->epoch, &held, EMPTYING,
                                                 memory_order_acq_rel, memory_order_acquire)) {
        return held == epoch;
    }
    for (size_t b = 0; b < SERVER_RECENT_BUCKETS; b++)
        atomic_store_explicit(&slot->counts[b], 0, memory_order_relaxed);
    atomic_store_explicit(&slot->epoch, epoch, memory_order_release);
    return true;
}

void server_recent_add(server_recent *recent, uint64_t now_ns, uint64_t value_ns) {
    const uint64_t turn = now_ns / SERVER_RECENT_SLOT_NS;
    server_recent_slot *slot = &recent->slots[turn % SERVER_RECENT_SLOTS];
    if (!take_slot(slot, turn + 1)) return;
    atomic_fetch_add_explicit(&slot->counts[bucket_of(value_ns / 1000)], 1, memory_order_relaxed);
}

void server_recent_read(const server_recent *recent, uint64_t now_ns, server_recent_sum *sum) {
    const uint64_t epoch = now_ns / SERVER_RECENT_SLOT_NS + 1;
    for (int s = 0; s < SERVER_RECENT_SLOTS; s++) {
        const server_recent_slot *slot = &recent->slots[s];
        const uint64_t held = atomic_load_explicit(&slot->epoch, memory_order_acquire);
        if (held == 0 || held > epoch || epoch - held >= SERVER_RECENT_SLOTS) continue;
        for (size_t b = 0; b < SERVER_RECENT_BUCKETS; b++) {
            const uint32_t count = atomic_load_explicit(&slot->counts[b], memory_order_relaxed);
            sum->counts[b] += count;
            sum->total += count;
        }
    }
}

double server_recent_quantile_ms(const server_recent_sum *sum, double share) {
    if (sum->total == 0) return 0;
    const double wanted = share * (double)sum->total;
    uint64_t seen = 0;
    for (size_t b = 0; b < SERVER_RECENT_BUCKETS; b++) {
        seen += sum->counts[b];
        if (seen > 0 && (double)seen >= wanted) return middle_us(b) / 1000;
    }
    return middle_us(SERVER_RECENT_BUCKETS - 1) / 1000;
}
