/* SPDX-License-Identifier: Apache-2.0 */
#include "kernels/vec16/vec16_avx512.h"

#include "kc_peak.h"

/* Enough chains to hide the latency, few enough to stay in registers; the empty asm keeps each. */
enum { CHAINS = 24 };

double kc_peak_avx512(long rounds) {
    __m512 chain[CHAINS];
    V16_UNROLL
    for (int i = 0; i < CHAINS; i++) chain[i] = _mm512_set1_ps((float)i);
    const __m512 factor = _mm512_set1_ps(0.999f);
    const __m512 term = _mm512_set1_ps(0.001f);
    for (long r = 0; r < rounds; r++) {
        V16_UNROLL
        for (int i = 0; i < CHAINS; i++) {
            chain[i] = _mm512_fmadd_ps(chain[i], factor, term);
            __asm__ volatile("" : "+v"(chain[i]));
        }
    }
    return 2.0 * 16 * CHAINS * (double)rounds;
}
