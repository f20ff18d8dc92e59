/* SPDX-License-Identifier: Apache-2.0 */
/* Sixteen f32 lanes as four registers of four (NEON, part of every 64-bit Arm): the twin of
 * vec16_avx512.h, bit for bit. Lanes 0-3 are q0, ..., 12-15 are q3.
 *
 * What differs from x86 is made equal here: the maximum of a NaN (fmax gives NaN, x86 the second
 * operand) is a comparison and a choice; a part of a vector is loaded lane by lane, for there are
 * no masks. */
#ifndef TANDEM_KERNELS_VEC16_NEON_H
#define TANDEM_KERNELS_VEC16_NEON_H

#include <arm_neon.h>
#include <stdint.h>
#include <string.h>

#define V16_INLINE static inline __attribute__((always_inline))
#include "kernels/vec16/vec16_unroll.h"

typedef struct v16 {
    float32x4_t q0;
    float32x4_t q1;
    float32x4_t q2;
    float32x4_t q3;
} v16;

/* All four quarters by one expression of the parameter x (and y). */
#define V16_UNARY(name, expression)                                                                \
    V16_INLINE float32x4_t name##_quarter(float32x4_t x) {                                         \
        return expression;                                                                         \
    }                                                                                              \
    V16_INLINE v16 name(v16 a) {                                                                   \
        return (v16){name##_quarter(a.q0), name##_quarter(a.q1), name##_quarter(a.q2),             \
                     name##_quarter(a.q3)};                                                        \
    }
#define V16_BINARY(name, expression)                                                               \
    V16_INLINE float32x4_t name##_quarter(float32x4_t x, float32x4_t y) {                          \
        return expression;                                                                         \
    }                                                                                              \
    V16_INLINE v16 name(v16 a, v16 b) {                                                            \
        return (v16){name##_quarter(a.q0, b.q0), name##_quarter(a.q1, b.q1),                       \
                     name##_quarter(a.q2, b.q2), name##_quarter(a.q3, b.q3)};                      \
    }

V16_INLINE v16 v16_set(float x) {
    const float32x4_t all = vdupq_n_f32(x);
    return (v16){all, all, all, all};
}
V16_INLINE v16 v16_zero(void) {
    return v16_set(0.0f);
}
V16_INLINE v16 v16_load(const void *p) {
    const float *at = p;
    return (v16){vld1q_f32(at), vld1q_f32(at + 4), vld1q_f32(at + 8), vld1q_f32(at + 12)};
}
V16_INLINE void v16_store(void *p, v16 a) {
    float *at = p;
    vst1q_f32(at, a.q0);
    vst1q_f32(at + 4, a.q1);
    vst1q_f32(at + 8, a.q2);
    vst1q_f32(at + 12, a.q3);
}
V16_INLINE void v16_prefetch(const void *p) {
    __builtin_prefetch(p, 0, 2);
}

/* The first n of 4; n may be outside 0 .. 4. */
V16_INLINE float32x4_t v16_load_quarter(const float *p, int n) {
    if (n >= 4) return vld1q_f32(p);
    float32x4_t part = vdupq_n_f32(0.0f);
    if (n > 0) part = vld1q_lane_f32(p, part, 0);
    if (n > 1) part = vld1q_lane_f32(p + 1, part, 1);
    if (n > 2) part = vld1q_lane_f32(p + 2, part, 2);
    return part;
}
V16_INLINE void v16_store_quarter(float *p, float32x4_t a, int n) {
    if (n >= 4) {
        vst1q_f32(p, a);
        return;
    }
    if (n > 0) vst1q_lane_f32(p, a, 0);
    if (n > 1) vst1q_lane_f32(p + 1, a, 1);
    if (n > 2) vst1q_lane_f32(p + 2, a, 2);
}
V16_INLINE v16 v16_load_part(const float *p, int n) {
    if (n >= 16) return v16_load(p);
    return (v16){v16_load_quarter(p, n), v16_load_quarter(p + 4, n - 4),
                 v16_load_quarter(p + 8, n - 8), v16_load_quarter(p + 12, n - 12)};
}
V16_INLINE void v16_store_part(float *p, v16 a, int n) {
    if (n >= 16) {
        v16_store(p, a);
        return;
    }
    v16_store_quarter(p, a.q0, n);
    v16_store_quarter(p + 4, a.q1, n - 4);
    v16_store_quarter(p + 8, a.q2, n - 8);
    v16_store_quarter(p + 12, a.q3, n - 12);
}

/* Four halves at p, which need not be aligned. */
V16_INLINE uint16x4_t v16_halves(const void *p) {
    return vreinterpret_u16_u8(vld1_u8(p));
}
V16_INLINE void v16_store_halves(void *p, uint16x4_t low, uint16x4_t high) {
    vst1q_u8(p, vreinterpretq_u8_u16(vcombine_u16(low, high)));
}
V16_INLINE float32x4_t v16_f16_quarter(const void *p) {
    return vcvt_f32_f16(vreinterpret_f16_u16(v16_halves(p)));
}
V16_INLINE float32x4_t v16_bf16_quarter(const void *p) {
    return vreinterpretq_f32_u32(vshll_n_u16(v16_halves(p), 16));
}
V16_INLINE v16 v16_load_f16(const void *p) {
    const char *at = p;
    return (v16){v16_f16_quarter(at), v16_f16_quarter(at + 8), v16_f16_quarter(at + 16),
                 v16_f16_quarter(at + 24)};
}
V16_INLINE uint16x4_t v16_f16_bits(float32x4_t a) {
    return vreinterpret_u16_f16(vcvt_f16_f32(a));
}
V16_INLINE void v16_store_f16(void *p, v16 a) {
    v16_store_halves(p, v16_f16_bits(a.q0), v16_f16_bits(a.q1));
    v16_store_halves((char *)p + 16, v16_f16_bits(a.q2), v16_f16_bits(a.q3));
}
V16_INLINE v16 v16_load_bf16(const void *p) {
    const char *at = p;
    return (v16){v16_bf16_quarter(at), v16_bf16_quarter(at + 8), v16_bf16_quarter(at + 16),
                 v16_bf16_quarter(at + 24)};
}
V16_INLINE uint16x4_t v16_bf16_bits(float32x4_t a) {
    const uint32x4_t bits = vreinterpretq_u32_f32(a);
    const uint32x4_t odd = vandq_u32(vshrq_n_u32(bits, 16), vdupq_n_u32(1));
    const uint32x4_t rounded = vaddq_u32(bits, vaddq_u32(odd, vdupq_n_u32(0x7fff)));
    const uint32x4_t quiet = vorrq_u32(bits, vdupq_n_u32(0x400000));
    return vshrn_n_u32(vbslq_u32(vceqq_f32(a, a), rounded, quiet), 16);
}
V16_INLINE void v16_store_bf16(void *p, v16 a) {
    v16_store_halves(p, v16_bf16_bits(a.q0), v16_bf16_bits(a.q1));
    v16_store_halves((char *)p + 16, v16_bf16_bits(a.q2), v16_bf16_bits(a.q3));
}

V16_INLINE void v16_store_u8(void *p, v16 a) {
    const uint16x8_t low =
        vcombine_u16(vmovn_u32(vcvtq_u32_f32(a.q0)), vmovn_u32(vcvtq_u32_f32(a.q1)));
    const uint16x8_t high =
        vcombine_u16(vmovn_u32(vcvtq_u32_f32(a.q2)), vmovn_u32(vcvtq_u32_f32(a.q3)));
    vst1q_u8(p, vcombine_u8(vmovn_u16(low), vmovn_u16(high)));
}
V16_INLINE float32x4_t v16_whole_quarter(const int32_t *sums, const int32_t *columns,
                                         int32_t zero) {
    return vcvtq_f32_s32(vmlsq_n_s32(vld1q_s32(sums), vld1q_s32(columns), zero));
}
V16_INLINE v16 v16_whole(const int32_t *sums, const int32_t *columns, int32_t zero) {
    return (v16){v16_whole_quarter(sums, columns, zero),
                 v16_whole_quarter(sums + 4, columns + 4, zero),
                 v16_whole_quarter(sums + 8, columns + 8, zero),
                 v16_whole_quarter(sums + 12, columns + 12, zero)};
}

V16_BINARY(v16_add, vaddq_f32(x, y))
V16_BINARY(v16_sub, vsubq_f32(x, y))
V16_BINARY(v16_mul, vmulq_f32(x, y))
V16_BINARY(v16_div, vdivq_f32(x, y))
V16_BINARY(v16_max, vbslq_f32(vcgtq_f32(x, y), x, y))
V16_BINARY(v16_min, vbslq_f32(vcltq_f32(x, y), x, y))
V16_UNARY(v16_abs, vabsq_f32(x))
V16_UNARY(v16_round, vrndnq_f32(x))

V16_INLINE v16 v16_fma(v16 a, v16 b, v16 c) {
    return (v16){vfmaq_f32(c.q0, a.q0, b.q0), vfmaq_f32(c.q1, a.q1, b.q1),
                 vfmaq_f32(c.q2, a.q2, b.q2), vfmaq_f32(c.q3, a.q3, b.q3)};
}
V16_INLINE v16 v16_fnma(v16 a, v16 b, v16 c) {
    return (v16){vfmsq_f32(c.q0, a.q0, b.q0), vfmsq_f32(c.q1, a.q1, b.q1),
                 vfmsq_f32(c.q2, a.q2, b.q2), vfmsq_f32(c.q3, a.q3, b.q3)};
}

V16_INLINE float32x4_t v16_power_of_two(float32x4_t n) {
    const int32x4_t biased = vaddq_s32(vcvtq_s32_f32(n), vdupq_n_s32(127));
    return vreinterpretq_f32_s32(vshlq_n_s32(biased, 23));
}
V16_BINARY(v16_scale, vmulq_f32(x, v16_power_of_two(y)))

V16_INLINE float32x4_t v16_keep_quarter(float32x4_t a, int n, float fill) {
    const int32x4_t lane = {0, 1, 2, 3};
    return vbslq_f32(vcltq_s32(lane, vdupq_n_s32(n)), a, vdupq_n_f32(fill));
}
V16_INLINE v16 v16_keep(v16 a, int n, float fill) {
    return (v16){v16_keep_quarter(a.q0, n, fill), v16_keep_quarter(a.q1, n - 4, fill),
                 v16_keep_quarter(a.q2, n - 8, fill), v16_keep_quarter(a.q3, n - 12, fill)};
}

V16_INLINE float v16_fold_add(v16 a) {
    const float32x4_t by4 = vaddq_f32(vaddq_f32(a.q0, a.q2), vaddq_f32(a.q1, a.q3));
    const float32x2_t by2 = vadd_f32(vget_low_f32(by4), vget_high_f32(by4));
    return vget_lane_f32(vpadd_f32(by2, by2), 0);
}
V16_INLINE float v16_fold_max(v16 a) {
    return vmaxvq_f32(vmaxq_f32(vmaxq_f32(a.q0, a.q2), vmaxq_f32(a.q1, a.q3)));
}
V16_INLINE int v16_has_nan(v16 a) {
    const uint32x4_t low = vandq_u32(vceqq_f32(a.q0, a.q0), vceqq_f32(a.q1, a.q1));
    const uint32x4_t high = vandq_u32(vceqq_f32(a.q2, a.q2), vceqq_f32(a.q3, a.q3));
    return vminvq_u32(vandq_u32(low, high)) == 0;
}

/* 4x4, in place. */
V16_INLINE void v16_transpose4(float32x4_t *r0, float32x4_t *r1, float32x4_t *r2, float32x4_t *r3) {
    const float64x2_t a = vreinterpretq_f64_f32(vtrn1q_f32(*r0, *r1));
    const float64x2_t b = vreinterpretq_f64_f32(vtrn2q_f32(*r0, *r1));
    const float64x2_t c = vreinterpretq_f64_f32(vtrn1q_f32(*r2, *r3));
    const float64x2_t d = vreinterpretq_f64_f32(vtrn2q_f32(*r2, *r3));
    *r0 = vreinterpretq_f32_f64(vtrn1q_f64(a, c));
    *r1 = vreinterpretq_f32_f64(vtrn1q_f64(b, d));
    *r2 = vreinterpretq_f32_f64(vtrn2q_f64(a, c));
    *r3 = vreinterpretq_f32_f64(vtrn2q_f64(b, d));
}

/* Block (i, j) of 4x4 is transposed and changes places with block (j, i). */
V16_INLINE void v16_transpose(v16 rows[16]) {
    v16 from[16];
    V16_UNROLL
    for (int i = 0; i < 16; i++) from[i] = rows[i];
    V16_UNROLL
    for (int i = 0; i < 16; i += 4) {
        v16 *r = &from[i];
        v16_transpose4(&r[0].q0, &r[1].q0, &r[2].q0, &r[3].q0);
        v16_transpose4(&r[0].q1, &r[1].q1, &r[2].q1, &r[3].q1);
        v16_transpose4(&r[0].q2, &r[1].q2, &r[2].q2, &r[3].q2);
        v16_transpose4(&r[0].q3, &r[1].q3, &r[2].q3, &r[3].q3);
    }
    V16_UNROLL
    for (int i = 0; i < 4; i++) {
        rows[i] = (v16){from[i].q0, from[i + 4].q0, from[i + 8].q0, from[i + 12].q0};
        rows[i + 4] = (v16){from[i].q1, from[i + 4].q1, from[i + 8].q1, from[i + 12].q1};
        rows[i + 8] = (v16){from[i].q2, from[i + 4].q2, from[i + 8].q2, from[i + 12].q2};
        rows[i + 12] = (v16){from[i].q3, from[i + 4].q3, from[i + 8].q3, from[i + 12].q3};
    }
}

#endif
