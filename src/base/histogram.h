/* SPDX-License-Identifier: Apache-2.0 */
/* Counts of durations in buckets of at most 0.8% width, from 1 ns to 2^40 ns (18 minutes):
 * quantiles of a stream in fixed memory. Linear below 128, then 128 buckets an octave, as
 * HdrHistogram does it. Adding is one relaxed atomic increment: any thread; reading sees each
 * bucket at some time. */
#ifndef TANDEM_BASE_HISTOGRAM_H
#define TANDEM_BASE_HISTOGRAM_H

#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

#define HISTOGRAM_STEPS   128
#define HISTOGRAM_OCTAVES 34
#define HISTOGRAM_BUCKETS (HISTOGRAM_STEPS * HISTOGRAM_OCTAVES)

typedef struct tandem_histogram {
    _Atomic uint64_t counts[HISTOGRAM_BUCKETS];
    _Atomic uint64_t total;
    _Atomic uint64_t sum;
    _Atomic uint64_t max;
} tandem_histogram;

/* The i with 2^(i-1) < value <= 2^i; 0 for 0 and 1; `most` for all that are larger. For counts in
 * powers of two. */
size_t tandem__histogram_power(uint64_t value, size_t most);

void tandem__histogram_add(tandem_histogram *histogram, uint64_t value);

/* The middle of the bucket where `share` in [0, 1] of the values are reached; 0 when empty, the
 * largest value for 1. */
uint64_t tandem__histogram_quantile(const tandem_histogram *histogram, double share);

#endif
