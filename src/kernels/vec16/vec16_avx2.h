/* SPDX-License-Identifier: Apache-2.0 */
/* Sixteen f32 lanes as two ymm registers (AVX2, FMA, F16C): the twin of vec16_avx512.h, bit for
 * bit. Lanes 0-7 are `lo`, 8-15 are `hi`. */
#ifndef TANDEM_KERNELS_VEC16_AVX2_H
#define TANDEM_KERNELS_VEC16_AVX2_H

#include <immintrin.h>
#include <stdint.h>
#include <string.h>

#define V16_INLINE static inline __attribute__((always_inline))
#include "kernels/vec16/vec16_unroll.h"

typedef struct v16 {
    __m256 lo;
    __m256 hi;
} v16;

/* Both halves by one expression of the parameter x (and y, z). */
#define V16_UNARY(name, expression)                                                                \
    V16_INLINE __m256 name##_half(__m256 x) {                                                      \
        return expression;                                                                         \
    }                                                                                              \
    V16_INLINE v16 name(v16 a) {                                                                   \
        return (v16){name##_half(a.lo), name##_half(a.hi)};                                        \
    }
#define V16_BINARY(name, intrinsic)                                                                \
    V16_INLINE v16 name(v16 a, v16 b) {                                                            \
        return (v16){intrinsic(a.lo, b.lo), intrinsic(a.hi, b.hi)};                                \
    }

/* Lanes first .. first + 7 as a mask: all ones where the lane number is below n. */
V16_INLINE __m256i v16_mask8(int n, int first) {
    const __m256i lane = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
    return _mm256_cmpgt_epi32(_mm256_set1_epi32(n - first), lane);
}

V16_INLINE v16 v16_zero(void) {
    return (v16){_mm256_setzero_ps(), _mm256_setzero_ps()};
}
V16_INLINE v16 v16_set(float x) {
    return (v16){_mm256_set1_ps(x), _mm256_set1_ps(x)};
}
V16_INLINE v16 v16_load(const void *p) {
    const float *at = p;
    return (v16){_mm256_loadu_ps(at), _mm256_loadu_ps(at + 8)};
}
V16_INLINE void v16_store(void *p, v16 a) {
    float *at = p;
    _mm256_storeu_ps(at, a.lo);
    _mm256_storeu_ps(at + 8, a.hi);
}
V16_INLINE void v16_prefetch(const void *p) {
    _mm_prefetch(p, _MM_HINT_T1);
}
V16_INLINE v16 v16_load_part(const float *p, int n) {
    if (n >= 16) return v16_load(p);
    if (n <= 8) return (v16){_mm256_maskload_ps(p, v16_mask8(n, 0)), _mm256_setzero_ps()};
    return (v16){_mm256_loadu_ps(p), _mm256_maskload_ps(p + 8, v16_mask8(n, 8))};
}
V16_INLINE void v16_store_part(float *p, v16 a, int n) {
    if (n >= 16) {
        v16_store(p, a);
    } else if (n <= 8) {
        _mm256_maskstore_ps(p, v16_mask8(n, 0), a.lo);
    } else {
        _mm256_storeu_ps(p, a.lo);
        _mm256_maskstore_ps(p + 8, v16_mask8(n, 8), a.hi);
    }
}
V16_INLINE v16 v16_load_f16(const void *p) {
    const __m128i *halves = p;
    return (v16){_mm256_cvtph_ps(_mm_loadu_si128(halves)),
                 _mm256_cvtph_ps(_mm_loadu_si128(halves + 1))};
}
V16_INLINE void v16_store_f16(void *p, v16 a) {
    __m128i *halves = p;
    _mm_storeu_si128(halves, _mm256_cvtps_ph(a.lo, _MM_FROUND_TO_NEAREST_INT));
    _mm_storeu_si128(halves + 1, _mm256_cvtps_ph(a.hi, _MM_FROUND_TO_NEAREST_INT));
}
V16_INLINE v16 v16_load_bf16(const void *p) {
    const __m128i *halves = p;
    const __m256i lo = _mm256_cvtepu16_epi32(_mm_loadu_si128(halves));
    const __m256i hi = _mm256_cvtepu16_epi32(_mm_loadu_si128(halves + 1));
    return (v16){_mm256_castsi256_ps(_mm256_slli_epi32(lo, 16)),
                 _mm256_castsi256_ps(_mm256_slli_epi32(hi, 16))};
}
V16_INLINE __m256i v16_bf16_bits(__m256 a) { /* in the low half of each lane */
    const __m256i bits = _mm256_castps_si256(a);
    const __m256i odd = _mm256_and_si256(_mm256_srli_epi32(bits, 16), _mm256_set1_epi32(1));
    const __m256i rounded =
        _mm256_add_epi32(bits, _mm256_add_epi32(odd, _mm256_set1_epi32(0x7fff)));
    const __m256i quiet = _mm256_or_si256(bits, _mm256_set1_epi32(0x400000));
    const __m256i is_nan = _mm256_castps_si256(_mm256_cmp_ps(a, a, _CMP_UNORD_Q));
    return _mm256_srli_epi32(_mm256_blendv_epi8(rounded, quiet, is_nan), 16);
}
V16_INLINE void v16_store_bf16(void *p, v16 a) {
    const __m256i packed = _mm256_packus_epi32(v16_bf16_bits(a.lo), v16_bf16_bits(a.hi));
    _mm256_storeu_si256(p, _mm256_permute4x64_epi64(packed, 0xd8));
}

V16_INLINE void v16_store_u8(void *p, v16 a) {
    const __m256i words = _mm256_packus_epi32(_mm256_cvtps_epi32(a.lo), _mm256_cvtps_epi32(a.hi));
    const __m256i in_order = _mm256_permute4x64_epi64(words, 0xd8);
    _mm_storeu_si128(p, _mm_packus_epi16(_mm256_castsi256_si128(in_order),
                                         _mm256_extracti128_si256(in_order, 1)));
}

V16_BINARY(v16_add, _mm256_add_ps)
V16_BINARY(v16_sub, _mm256_sub_ps)
V16_BINARY(v16_mul, _mm256_mul_ps)
V16_BINARY(v16_div, _mm256_div_ps)
V16_BINARY(v16_max, _mm256_max_ps)
V16_BINARY(v16_min, _mm256_min_ps)

V16_INLINE v16 v16_fma(v16 a, v16 b, v16 c) {
    return (v16){_mm256_fmadd_ps(a.lo, b.lo, c.lo), _mm256_fmadd_ps(a.hi, b.hi, c.hi)};
}
V16_INLINE v16 v16_fnma(v16 a, v16 b, v16 c) {
    return (v16){_mm256_fnmadd_ps(a.lo, b.lo, c.lo), _mm256_fnmadd_ps(a.hi, b.hi, c.hi)};
}
V16_UNARY(v16_abs, _mm256_andnot_ps(_mm256_set1_ps(-0.0f), x))
V16_UNARY(v16_round, _mm256_round_ps(x, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC))

V16_INLINE __m256 v16_scale_half(__m256 a, __m256 n) {
    const __m256i biased = _mm256_add_epi32(_mm256_cvtps_epi32(n), _mm256_set1_epi32(127));
    return _mm256_mul_ps(a, _mm256_castsi256_ps(_mm256_slli_epi32(biased, 23)));
}
V16_BINARY(v16_scale, v16_scale_half)

V16_INLINE v16 v16_keep(v16 a, int n, float fill) {
    const __m256 other = _mm256_set1_ps(fill);
    return (v16){_mm256_blendv_ps(other, a.lo, _mm256_castsi256_ps(v16_mask8(n, 0))),
                 _mm256_blendv_ps(other, a.hi, _mm256_castsi256_ps(v16_mask8(n, 8)))};
}

V16_INLINE float v16_fold_add(v16 a) {
    const __m256 by8 = _mm256_add_ps(a.lo, a.hi);
    const __m128 by4 = _mm_add_ps(_mm256_castps256_ps128(by8), _mm256_extractf128_ps(by8, 1));
    const __m128 by2 = _mm_add_ps(by4, _mm_movehl_ps(by4, by4));
    return _mm_cvtss_f32(_mm_add_ss(by2, _mm_movehdup_ps(by2)));
}
V16_INLINE int v16_has_nan(v16 a) {
    return _mm256_movemask_ps(_mm256_cmp_ps(a.lo, a.hi, _CMP_UNORD_Q)) != 0;
}
V16_INLINE float v16_fold_max(v16 a) {
    const __m256 by8 = _mm256_max_ps(a.lo, a.hi);
    const __m128 by4 = _mm_max_ps(_mm256_castps256_ps128(by8), _mm256_extractf128_ps(by8, 1));
    const __m128 by2 = _mm_max_ps(by4, _mm_movehl_ps(by4, by4));
    return _mm_cvtss_f32(_mm_max_ss(by2, _mm_movehdup_ps(by2)));
}

/* 8x8, in place. */
V16_INLINE void v16_transpose8(__m256 r[8]) {
    __m256 t[8];
    for (int i = 0; i < 8; i += 4) {
        const __m256 a = _mm256_unpacklo_ps(r[i], r[i + 1]);
        const __m256 b = _mm256_unpackhi_ps(r[i], r[i + 1]);
        const __m256 c = _mm256_unpacklo_ps(r[i + 2], r[i + 3]);
        const __m256 d = _mm256_unpackhi_ps(r[i + 2], r[i + 3]);
        t[i] = _mm256_shuffle_ps(a, c, 0x44);
        t[i + 1] = _mm256_shuffle_ps(a, c, 0xee);
        t[i + 2] = _mm256_shuffle_ps(b, d, 0x44);
        t[i + 3] = _mm256_shuffle_ps(b, d, 0xee);
    }
    for (int i = 0; i < 4; i++) {
        r[i] = _mm256_permute2f128_ps(t[i], t[i + 4], 0x20);
        r[i + 4] = _mm256_permute2f128_ps(t[i], t[i + 4], 0x31);
    }
}

V16_INLINE void v16_transpose(v16 rows[16]) {
    __m256 quarter[4][8]; /* lo of 0-7, hi of 0-7, lo of 8-15, hi of 8-15 */
    for (int i = 0; i < 8; i++) {
        quarter[0][i] = rows[i].lo;
        quarter[1][i] = rows[i].hi;
        quarter[2][i] = rows[i + 8].lo;
        quarter[3][i] = rows[i + 8].hi;
    }
    for (int i = 0; i < 4; i++) v16_transpose8(quarter[i]);
    for (int i = 0; i < 8; i++) {
        rows[i] = (v16){quarter[0][i], quarter[2][i]};
        rows[i + 8] = (v16){quarter[1][i], quarter[3][i]};
    }
}

#endif
