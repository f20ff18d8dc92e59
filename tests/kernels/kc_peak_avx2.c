/* SPDX-License-Identifier: Apache-2.0 */
#include "kernels/vec16/vec16_avx2.h"

#include "kc_peak.h"

/* Enough chains to hide the latency, few enough to stay in registers; the empty asm keeps each. */
enum { CHAINS = 12 };

double kc_peak_avx2(long rounds) {
    __m256 chain[CHAINS];
    V16_UNROLL
    for (int i = 0; i < CHAINS; i++) chain[i] = _mm256_set1_ps((float)i);
    const __m256 factor = _mm256_set1_ps(0.999f);
    const __m256 term = _mm256_set1_ps(0.001f);
    for (long r = 0; r < rounds; r++) {
        V16_UNROLL
        for (int i = 0; i < CHAINS; i++) {
            chain[i] = _mm256_fmadd_ps(chain[i], factor, term);
            __asm__ volatile("" : "+x"(chain[i]));
        }
    }
    return 2.0 * 8 * CHAINS * (double)rounds;
}
