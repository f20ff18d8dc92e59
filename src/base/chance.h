/* SPDX-License-Identifier: Apache-2.0 */
/* Pseudo-random numbers that a seed replays on every machine: xoshiro256** (Blackman, Vigna 2018),
 * seeded by SplitMix64. For simulations and tests, not for secrets. One thread at a time. */
#ifndef TANDEM_BASE_CHANCE_H
#define TANDEM_BASE_CHANCE_H

#include <stdint.h>

typedef struct tandem_random {
    uint64_t state[4];
} tandem_random;

void tandem__random_init(tandem_random *random, uint64_t seed);
uint64_t tandem__random_next(tandem_random *random);

/* In [0, 1). */
double tandem__random_unit(tandem_random *random);

/* Exponential with this mean; standard normal. */
double tandem__random_exponential(tandem_random *random, double mean);
double tandem__random_normal(tandem_random *random);

#endif
