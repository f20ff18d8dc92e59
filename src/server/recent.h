/* SPDX-License-Identifier: Apache-2.0 */
/* Durations of the last minute: quantiles that forget, for whoever watches a server that has run
 * for weeks.
 *
 *     slot   0        1        2      ...   6         each ten seconds, by the clock
 *          [epoch][counts of 368 buckets]             16 buckets an octave: 6% wide
 *
 * The first who adds in a new ten seconds empties the slot that is seven turns old; who adds in the
 * same microseconds is not counted. Reading takes the slots of the last minute. Lock-free; any
 * thread. All zero is empty. */
#ifndef TANDEM_SERVER_RECENT_H
#define TANDEM_SERVER_RECENT_H

#include <stdatomic.h>
#include <stdint.h>

#define SERVER_RECENT_SLOTS   7
#define SERVER_RECENT_SLOT_NS ((uint64_t)10000000000)
#define SERVER_RECENT_BUCKETS 368 /* up to 2^26 us, 67 s; what is longer counts as that */
#define SERVER_RECENT_S       60  /* seconds that reading looks back */

typedef struct server_recent_slot {
    _Atomic uint64_t epoch; /* time / SLOT_NS + 1; 0 = never used, UINT64_MAX = being emptied */
    _Atomic uint32_t counts[SERVER_RECENT_BUCKETS];
} server_recent_slot;

typedef struct server_recent {
    server_recent_slot slots[SERVER_RECENT_SLOTS];
} server_recent;

/* What was added in the last minute. */
typedef struct server_recent_sum {
    uint64_t total;
    uint64_t counts[SERVER_RECENT_BUCKETS];
} server_recent_sum;

/* `now_ns` is tandem__clock_ns(). */
void server_recent_add(server_recent *recent, uint64_t now_ns, uint64_t value_ns);

/* Adds the minute before `now_ns` to `sum`, which the caller has emptied. */
void server_recent_read(const server_recent *recent, uint64_t now_ns, server_recent_sum *sum);

/* In milliseconds, within 3%; 0 where nothing was added. `share` in [0, 1]. */
double server_recent_quantile_ms(const server_recent_sum *sum, double share);

#endif
