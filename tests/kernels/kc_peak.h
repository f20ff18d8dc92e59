/* SPDX-License-Identifier: Apache-2.0 */
/* What the processor can do at most: multiply-adds a nanosecond from registers alone. */
#ifndef TANDEM_TESTS_KC_PEAK_H
#define TANDEM_TESTS_KC_PEAK_H

/* Runs `rounds` rounds and returns the floating-point operations done (a multiply-add is two). */
double kc_peak_avx2(long rounds);
double kc_peak_avx512(long rounds);
double kc_peak_neon(long rounds);

#endif
