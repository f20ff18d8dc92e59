/* SPDX-License-Identifier: Apache-2.0 */
#include "base/histogram.h"

#define STEP_BITS 7 /* log2 of HISTOGRAM_STEPS */

static size_t bucket_of(uint64_t value) {
    if (value < HISTOGRAM_STEPS) return (size_t)value;
    int octave = 63 - __builtin_clzll(value) - STEP_BITS; // value >> octave is in [128, 256)
    if (octave >= HISTOGRAM_OCTAVES - 1) return HISTOGRAM_BUCKETS - 1;
    return (size_t)(octave + 1) * HISTOGRAM_STEPS + (size_t)(value >> octave) - HISTOGRAM_STEPS;
}

static uint64_t middle_of(size_t bucket) {
    if (bucket < HISTOGRAM_STEPS) return bucket;
    const size_t octave = bucket / HISTOGRAM_STEPS - 1;
    const uint64_t low = (uint64_t)(HISTOGRAM_STEPS + bucket % HISTOGRAM_STEPS) << octave;
    return low + (((uint64_t)1 << octave) >> 1);
}

size_t tandem__histogram_power(uint64_t value, size_t most) {
    if (value <= 1) return 0;
    const size_t power = 64U - (size_t)__builtin_clzll(value - 1);
    return power < most ? power : most;
}

void tandem__histogram_add(tandem_histogram *histogram, uint64_t value) {
    atomic_fetch_add_explicit(&histogram->counts[bucket_of(value)], 1, memory_order_relaxed);
    atomic_fetch_add_explicit(&histogram->total, 1, memory_order_relaxed);
    atomic_fetch_add_explicit(&histogram->sum, value, memory_order_relaxed);
    uint64_t max = atomic_load_explicit(&histogram->max, memory_order_relaxed);
    while (value > max &&
           !atomic_compare_exchange_weak_explicit(&histogram->max, &max, value,
                                                  memory_order_relaxed, memory_order_relaxed)) {
    }
}

uint64_t tandem__histogram_quantile(const tandem_histogram *histogram, double share) {
    uint64_t total = 0;
    for (size_t b = 0; b < HISTOGRAM_BUCKETS; b++)
        total += atomic_load_explicit(&histogram->counts[b], memory_order_relaxed);
    if (total == 0) return 0;
    const uint64_t max = atomic_load_explicit(&histogram->max, memory_order_relaxed);
    const double wanted = share * (double)total;
    uint64_t seen = 0;
    for (size_t b = 0; b < HISTOGRAM_BUCKETS; b++) {
        seen += atomic_load_explicit(&histogram->counts[b], memory_order_relaxed);
        if ((double)seen < wanted || seen == 0) continue;
        if (seen == total && share >= 1) return max;
        const uint64_t middle = middle_of(b);
        return middle < max ? middle : max;
    }
    return max;
}
