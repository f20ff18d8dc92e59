/* SPDX-License-Identifier: Apache-2.0 */
#include "sched/window.h"

void tandem__window_add(sched_window *window, uint64_t at_ns, uint64_t amount) {
    const uint64_t bin = at_ns / WINDOW_BIN_NS;
    if (bin + WINDOW_BINS <= window->newest) return; // too long ago
    if (bin > window->newest) {
        const uint64_t steps = bin - window->newest;
        for (uint64_t i = 1; i <= steps && i <= WINDOW_BINS; i++)
            window->sums[(window->newest + i) % WINDOW_BINS] = 0;
        window->newest = bin;
    }
    window->sums[bin % WINDOW_BINS] += amount;
}

void tandem__window_add_span(sched_window *window, uint64_t from_ns, uint64_t to_ns) {
    const uint64_t start_ns = tandem__window_start_ns(to_ns);
    if (from_ns < start_ns) from_ns = start_ns;
    while (from_ns < to_ns) {
        const uint64_t end_ns = (from_ns / WINDOW_BIN_NS + 1) * WINDOW_BIN_NS;
        const uint64_t until_ns = end_ns < to_ns ? end_ns : to_ns;
        tandem__window_add(window, from_ns, until_ns - from_ns);
        from_ns = until_ns;
    }
}

uint64_t tandem__window_start_ns(uint64_t now_ns) {
    const uint64_t bin = now_ns / WINDOW_BIN_NS;
    return bin < WINDOW_BINS ? 0 : (bin - WINDOW_BINS + 1) * WINDOW_BIN_NS;
}

uint64_t tandem__window_sum(const sched_window *window, uint64_t now_ns) {
    const uint64_t bin = now_ns / WINDOW_BIN_NS;
    uint64_t sum = 0;
    for (uint64_t i = 0; i < WINDOW_BINS && i <= window->newest; i++) {
        const uint64_t at = window->newest - i;
        if (at + WINDOW_BINS > bin && at <= bin) sum += window->sums[at % WINDOW_BINS];
    }
    return sum;
}
