/* SPDX-License-Identifier: Apache-2.0 */
#include "base/chance.h"

#include <math.h>

static uint64_t rotate(uint64_t x, int k) {
    return (x << k) | (x >> (64 - k));
}

void tandem__random_init(tandem_random *random, uint64_t seed) {
    for (int i = 0; i < 4; i++) {
        seed += 0x9e3779b97f4a7c15u;
        uint64_t z = seed;
        z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
        z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
        random->state[i] = z ^ (z >> 31);
    }
}

uint64_t tandem__random_next(tandem_random *random) {
    uint64_t *s = random->state;
    const uint64_t result = rotate(s[1] * 5, 7) * 9;
    const uint64_t t = s[1] << 17;
    s[2] ^= s[0];
    s[3] ^= s[1];
    s[1] ^= s[2];
    s[0] ^= s[3];
    s[2] ^= t;
    s[3] = rotate(s[3], 45);
    return result;
}

double tandem__random_unit(tandem_random *random) {
    return (double)(tandem__random_next(random) >> 11) * 0x1.0p-53;
}

double tandem__random_exponential(tandem_random *random, double mean) {
    return -mean * log(1 - tandem__random_unit(random));
}

/* Box and Muller 1958; the second number is not kept, so that a draw is one state. */
double tandem__random_normal(tandem_random *random) {
    const double u = 1 - tandem__random_unit(random);
    const double v = tandem__random_unit(random);
    return sqrt(-2 * log(u)) * cos(6.283185307179586 * v);
}
