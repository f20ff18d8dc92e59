/* SPDX-License-Identifier: Apache-2.0 */
/* How long a lane takes for a batch of so many tokens, as learnt from its completions.
 *
 *     ns │          ·
 *        │       ·          17 knots at 1, 2, 4 … 65536 tokens; straight lines between them, so
 *        │   · ·            that a cost of a + b·tokens is met exactly; never falling
 *        └─────────────
 *
 * Each completion moves all knots by a share of the ratio of what was seen to what was predicted,
 * and the two beside it by a little more: a lane that slows down as a whole (heat, a neighbour) is
 * followed within some ten batches, also at lengths that nobody has sent since, and a wrong shape
 * is put right by traffic of different lengths. */
#ifndef TANDEM_SCHED_SERVICE_H
#define TANDEM_SCHED_SERVICE_H

#include <stdint.h>

#define SERVICE_KNOTS      17
#define SERVICE_TOKENS_MAX 65536

typedef struct service_table {
    double ns[SERVICE_KNOTS]; /* non-decreasing, > 0 */
    double shared;            /* >= 0.5: times this while other lanes are busy too */
    uint64_t seen;            /* completions */
    int64_t largest;          /* tokens of the largest batch seen */
} service_table;

/* base + each * tokens. */
void tandem__service_init(service_table *table, double base_ns, double token_ns);

double tandem__service_ns(const service_table *table, int64_t tokens);

/* A batch took `ns`. */
void tandem__service_learn(service_table *table, int64_t tokens, double ns, int is_shared);

/* The fewest tokens whose rate is within 5% of the lane's best, up to tokens_max and to twice the
 * largest batch seen: what lies further is a guess. */
int64_t tandem__service_knee(const service_table *table, int64_t tokens_max);

#endif
