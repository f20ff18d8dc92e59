/* SPDX-License-Identifier: Apache-2.0 */
/* A sum over the last ten seconds: bins of one second, the oldest dropped as time goes on. And the
 * sizes of batches since the start. */
#ifndef TANDEM_SCHED_WINDOW_H
#define TANDEM_SCHED_WINDOW_H

#include <stdint.h>

#define WINDOW_BINS   10
#define WINDOW_BIN_NS ((uint64_t)1000000000)

typedef struct sched_window {
    uint64_t sums[WINDOW_BINS];
    uint64_t newest; /* number of the newest bin since time 0 */
} sched_window;

void tandem__window_add(sched_window *window, uint64_t at_ns, uint64_t amount);

/* Every nanosecond of [from_ns, to_ns) where it falls. */
void tandem__window_add_span(sched_window *window, uint64_t from_ns, uint64_t to_ns);

/* When the oldest bin that counts at `now_ns` began. */
uint64_t tandem__window_start_ns(uint64_t now_ns);

/* The sum from there until now. */
uint64_t tandem__window_sum(const sched_window *window, uint64_t now_ns);

#define SCHED_BATCH_SIZES 22

/* Batches by their size in powers of two: see tandem__histogram_power. */
typedef struct sched_sizes {
    uint64_t units[SCHED_BATCH_SIZES];
    uint64_t tokens[SCHED_BATCH_SIZES];
} sched_sizes;

#endif
