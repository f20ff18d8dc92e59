/* SPDX-License-Identifier: Apache-2.0 */
/* Sixteen f32 lanes as one zmm register. See vec16_math.h for what the ops' bodies rely on; the
 * same names in vec16_avx2.h compute the same bits.
 *
 * Instruction costs on Zen 5 (full-width units): fma, add, mul 2 a cycle, latency 4, 3, 3; load 2
 * a cycle, with broadcast or f32 -> f32 no extra; vcvtph2ps 1 a cycle; shuffles 2 a cycle; divide
 * one per 8 cycles or so. */
#ifndef TANDEM_KERNELS_VEC16_AVX512_H
#define TANDEM_KERNELS_VEC16_AVX512_H

#include <immintrin.h>
#include <stdint.h>
#include <string.h>

/* Without optimisation gcc's intrinsics with an immediate are macros, whose own mask constants
 * -Wconversion then sees. */
#ifdef __GNUC__
#pragma GCC diagnostic ignored "-Wsign-conversion"
#endif

#define V16_INLINE static inline __attribute__((always_inline))
#include "kernels/vec16/vec16_unroll.h"

typedef __m512 v16;

V16_INLINE __mmask16 v16_mask(int n) {
    return (__mmask16)((1u << n) - 1u);
}

V16_INLINE v16 v16_zero(void) {
    return _mm512_setzero_ps();
}
V16_INLINE v16 v16_set(float x) {
    return _mm512_set1_ps(x);
}
V16_INLINE v16 v16_load(const void *p) {
    return _mm512_loadu_ps(p);
}
V16_INLINE void v16_store(void *p, v16 a) {
    _mm512_storeu_ps(p, a);
}
/* Into L2. Any address is harmless. */
V16_INLINE void v16_prefetch(const void *p) {
    _mm_prefetch(p, _MM_HINT_T1);
}
/* The first n of 16, 0 <= n <= 16; absent lanes are 0 and their memory is not touched. */
V16_INLINE v16 v16_load_part(const float *p, int n) {
    return _mm512_maskz_loadu_ps(v16_mask(n), p);
}
V16_INLINE void v16_store_part(float *p, v16 a, int n) {
    _mm512_mask_storeu_ps(p, v16_mask(n), a);
}
V16_INLINE v16 v16_load_f16(const void *p) {
    return _mm512_cvtph_ps(_mm256_loadu_si256(p));
}
V16_INLINE void v16_store_f16(void *p, v16 a) {
    _mm256_storeu_si256(p, _mm512_cvtps_ph(a, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC));
}
V16_INLINE v16 v16_load_bf16(const void *p) {
    const __m512i wide = _mm512_cvtepu16_epi32(_mm256_loadu_si256(p));
    return _mm512_castsi512_ps(_mm512_slli_epi32(wide, 16));
}
V16_INLINE void v16_store_bf16(void *p, v16 a) {
    const __m512i bits = _mm512_castps_si512(a);
    const __m512i odd = _mm512_and_si512(_mm512_srli_epi32(bits, 16), _mm512_set1_epi32(1));
    const __m512i rounded =
        _mm512_add_epi32(bits, _mm512_add_epi32(odd, _mm512_set1_epi32(0x7fff)));
    const __m512i quiet = _mm512_or_si512(bits, _mm512_set1_epi32(0x400000));
    const __mmask16 is_nan = _mm512_cmp_ps_mask(a, a, _CMP_UNORD_Q);
    const __m512i kept = _mm512_mask_mov_epi32(rounded, is_nan, quiet);
    _mm256_storeu_si256(p, _mm512_cvtepi32_epi16(_mm512_srli_epi32(kept, 16)));
}

/* Lanes of whole numbers 0 to 255. */
V16_INLINE void v16_store_u8(void *p, v16 a) {
    _mm_storeu_si128(p, _mm512_cvtepi32_epi8(_mm512_cvtps_epi32(a)));
}
/* sums - zero · columns, exact in 32 bits, to f32. */
V16_INLINE v16 v16_whole(const int32_t *sums, const int32_t *columns, int32_t zero) {
    const __m512i offset = _mm512_mullo_epi32(_mm512_loadu_si512(columns), _mm512_set1_epi32(zero));
    return _mm512_cvtepi32_ps(_mm512_sub_epi32(_mm512_loadu_si512(sums), offset));
}

V16_INLINE v16 v16_add(v16 a, v16 b) {
    return _mm512_add_ps(a, b);
}
V16_INLINE v16 v16_sub(v16 a, v16 b) {
    return _mm512_sub_ps(a, b);
}
V16_INLINE v16 v16_mul(v16 a, v16 b) {
    return _mm512_mul_ps(a, b);
}
V16_INLINE v16 v16_div(v16 a, v16 b) {
    return _mm512_div_ps(a, b);
}
V16_INLINE v16 v16_fma(v16 a, v16 b, v16 c) { /* a · b + c */
    return _mm512_fmadd_ps(a, b, c);
}
V16_INLINE v16 v16_fnma(v16 a, v16 b, v16 c) { /* c - a · b */
    return _mm512_fnmadd_ps(a, b, c);
}
/* b where either is NaN. */
V16_INLINE v16 v16_max(v16 a, v16 b) {
    return _mm512_max_ps(a, b);
}
V16_INLINE v16 v16_min(v16 a, v16 b) {
    return _mm512_min_ps(a, b);
}
V16_INLINE v16 v16_abs(v16 a) {
    return _mm512_abs_ps(a);
}
/* Replaces lanes n .. 15 of a by fill. */
V16_INLINE v16 v16_keep(v16 a, int n, float fill) {
    return _mm512_mask_mov_ps(_mm512_set1_ps(fill), v16_mask(n), a);
}
/* x rounded to an integer, ties to even. */
V16_INLINE v16 v16_round(v16 x) {
    return _mm512_roundscale_ps(x, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
}
/* a · 2^n for whole n in -125 .. 126 and a in 0.5 .. 2: no overflow, no denormal. */
V16_INLINE v16 v16_scale(v16 a, v16 n) {
    return _mm512_scalef_ps(a, n);
}

V16_INLINE float v16_fold_add(v16 a) {
    const __m256 high = _mm512_extractf32x8_ps(a, 1);
    const __m256 by8 = _mm256_add_ps(_mm512_castps512_ps256(a), high);
    const __m128 by4 = _mm_add_ps(_mm256_castps256_ps128(by8), _mm256_extractf128_ps(by8, 1));
    const __m128 by2 = _mm_add_ps(by4, _mm_movehl_ps(by4, by4));
    return _mm_cvtss_f32(_mm_add_ss(by2, _mm_movehdup_ps(by2)));
}
/* a without NaN. */
V16_INLINE float v16_fold_max(v16 a) {
    return _mm512_reduce_max_ps(a);
}
V16_INLINE int v16_has_nan(v16 a) {
    return _mm512_cmp_ps_mask(a, a, _CMP_UNORD_Q) != 0;
}

/* rows[i] lane j <-> rows[j] lane i. */
V16_INLINE void v16_transpose(v16 rows[16]) {
    __m512 t[16];
    for (int i = 0; i < 16; i += 4) { /* 4x4 blocks inside 128-bit lanes */
        const __m512 a = _mm512_unpacklo_ps(rows[i], rows[i + 1]);
        const __m512 b = _mm512_unpackhi_ps(rows[i], rows[i + 1]);
        const __m512 c = _mm512_unpacklo_ps(rows[i + 2], rows[i + 3]);
        const __m512 d = _mm512_unpackhi_ps(rows[i + 2], rows[i + 3]);
        t[i] = _mm512_shuffle_ps(a, c, 0x44);
        t[i + 1] = _mm512_shuffle_ps(a, c, 0xee);
        t[i + 2] = _mm512_shuffle_ps(b, d, 0x44);
        t[i + 3] = _mm512_shuffle_ps(b, d, 0xee);
    }
    for (int i = 0; i < 4; i++) { /* then the lanes among themselves */
        const __m512 a = _mm512_shuffle_f32x4(t[i], t[i + 4], 0x88);
        const __m512 b = _mm512_shuffle_f32x4(t[i], t[i + 4], 0xdd);
        const __m512 c = _mm512_shuffle_f32x4(t[i + 8], t[i + 12], 0x88);
        const __m512 d = _mm512_shuffle_f32x4(t[i + 8], t[i + 12], 0xdd);
        rows[i] = _mm512_shuffle_f32x4(a, c, 0x88);
        rows[i + 8] = _mm512_shuffle_f32x4(a, c, 0xdd);
        rows[i + 4] = _mm512_shuffle_f32x4(b, d, 0x88);
        rows[i + 12] = _mm512_shuffle_f32x4(b, d, 0xdd);
    }
}

#endif
