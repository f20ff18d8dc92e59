/* SPDX-License-Identifier: Apache-2.0 */
#include "kernels/vec16/vec16_neon.h"

#include "kc_peak.h"

/* As kc_peak_avx2.c; four units of four cycles want sixteen chains. */
enum { CHAINS = 24 };

double kc_peak_neon(long rounds) {
    float32x4_t chain[CHAINS];
    V16_UNROLL
    for (int i = 0; i < CHAINS; i++) chain[i] = vdupq_n_f32((float)i);
    const float32x4_t factor = vdupq_n_f32(0.999f);
    const float32x4_t term = vdupq_n_f32(0.001f);
    for (long r = 0; r < rounds; r++) {
        V16_UNROLL
        for (int i = 0; i < CHAINS; i++) {
            chain[i] = vfmaq_f32(chain[i], term, factor);
            __asm__ volatile("" : "+w"(chain[i]));
        }
    }
    return 2.0 * 4 * CHAINS * (double)rounds;
}
