/* SPDX-License-Identifier: Apache-2.0 */
/* Test only: stands in for Apple's <metal_stdlib> where clang reads a kernel in its "C++ for
 * OpenCL" mode, the nearest relation of Metal's language: device, threadgroup, constant and thread
 * are address spaces that it tells apart, so a pointer of the wrong kind does not compile. What a
 * kernel of ours does not use is not here, and what Metal lacks (double, erf) is refused.
 *
 * Whatever takes a whole simdgroup ends in a function of the runtime (msl_device.h), which matches
 * the lanes by source line. A matrix has two elements a lane when MSL_CHECKED, as on the device, so
 * that every access is seen by the checker as its lane's. Otherwise lane 0 holds all 64 and works
 * alone, some 50 times faster: right for a kernel that the checked build found to be convergent. */
#pragma once
#pragma OPENCL EXTENSION cl_khr_fp16 : enable
#pragma OPENCL EXTENSION __cl_clang_non_portable_kernel_param_types : enable
#pragma OPENCL EXTENSION __cl_clang_function_pointers : enable

#define device      __global
#define threadgroup __local
#define constant    __constant
#define thread      __private
#define double metal_has_no_double
#define INFINITY  metal_masks_are_finite
#define HUGE_VALF metal_masks_are_finite

/* Inlined always, so that a finding's address leads to the kernel's line. */
#define MSL_INLINE inline __attribute__((always_inline))

typedef unsigned char uchar;
typedef unsigned short ushort;
typedef unsigned int uint;
typedef unsigned long ulong;
typedef float float2 __attribute__((ext_vector_type(2)));
typedef float float4 __attribute__((ext_vector_type(4)));
typedef float float8 __attribute__((ext_vector_type(8)));
typedef half half4 __attribute__((ext_vector_type(4)));
typedef uint uint2 __attribute__((ext_vector_type(2)));
typedef uint uint3 __attribute__((ext_vector_type(3)));
typedef ulong ulong2 __attribute__((ext_vector_type(2)));

#include "apple/msl/msl_device.h"

extern "C" float exp2f(float);
extern "C" float expf(float);
extern "C" float sqrtf(float);

/* Constructors are no C++ here: a macro that only a parenthesis wakes leaves the type's name. */
namespace msl {
MSL_INLINE float4 make_float4(float x) {
    return (float4)(x);
}
MSL_INLINE float4 make_float4(half4 v) {
    return __builtin_convertvector(v, float4);
}
MSL_INLINE half4 make_half4(half x) {
    return (half4)(x);
}
MSL_INLINE half4 make_half4(float4 v) {
    return __builtin_convertvector(v, half4);
}
MSL_INLINE ulong2 make_ulong2(ulong x, ulong y) {
    return (ulong2)(x, y);
}
} // namespace msl
#define float4(...) (msl::make_float4(__VA_ARGS__))
#define half4(...)  (msl::make_half4(__VA_ARGS__))
#define ulong2(...) (msl::make_ulong2(__VA_ARGS__))

namespace metal {
MSL_INLINE float exp(float x) {
    return expf(x);
}
MSL_INLINE float exp2(float x) {
    return exp2f(x);
}
MSL_INLINE float rsqrt(float x) {
    return 1.0f / sqrtf(x);
}
MSL_INLINE float fabs(float x) {
    return __builtin_fabsf(x);
}
MSL_INLINE float fma(float a, float b, float c) {
    return __builtin_fmaf(a, b, c);
}
MSL_INLINE float max(float a, float b) {
    return a > b ? a : b;
}
MSL_INLINE float min(float a, float b) {
    return a < b ? a : b;
}
MSL_INLINE int max(int a, int b) {
    return a > b ? a : b;
}
MSL_INLINE int min(int a, int b) {
    return a < b ? a : b;
}
MSL_INLINE int clamp(int x, int low, int high) {
    return min(max(x, low), high);
}
MSL_INLINE float dot(float4 a, float4 b) {
    return a.x * b.x + a.y * b.y + a.z * b.z + a.w * b.w;
}

enum class mem_flags { mem_none = 0, mem_device = 1, mem_threadgroup = 2 };
MSL_INLINE void threadgroup_barrier(mem_flags flags, int line = __builtin_LINE()) {
    msl__barrier(MSL_THREADGROUP_BARRIER, (int)flags, line);
}
MSL_INLINE void simdgroup_barrier(mem_flags flags, int line = __builtin_LINE()) {
    msl__barrier(MSL_SIMDGROUP_BARRIER, (int)flags, line);
}
MSL_INLINE float simd_sum(float x, int line = __builtin_LINE()) {
    return msl__simd(MSL_SUM, x, 0, line);
}
MSL_INLINE float simd_max(float x, int line = __builtin_LINE()) {
    return msl__simd(MSL_MAX, x, 0, line);
}
MSL_INLINE float simd_shuffle_xor(float x, ushort mask, int line = __builtin_LINE()) {
    return msl__simd(MSL_SHUFFLE_XOR, x, mask, line);
}

template <typename T, int COLS, int ROWS> struct simdgroup_matrix;
#ifdef MSL_CHECKED
/* Lane l has row (l / 4 & 4) + l / 2 % 4 and two columns from (l / 4 & 2) * 2 + l % 2 * 2 on, as
 * the sources of MLX give it for Apple's processors; no kernel may depend on it. */
template <typename T> struct simdgroup_matrix<T, 8, 8> {
    T e[2];
    MSL_INLINE static uint row() { return (msl__lane() / 4 & 4) + msl__lane() / 2 % 4; }
    MSL_INLINE static uint col() { return (msl__lane() / 4 & 2) * 2 + msl__lane() % 2 * 2; }
};
template <typename T, int COLS, int ROWS>
MSL_INLINE simdgroup_matrix<T, COLS, ROWS> make_filled_simdgroup_matrix(T x) {
    simdgroup_matrix<T, COLS, ROWS> m;
    m.e[0] = m.e[1] = x;
    return m;
}
#define MSL_LOAD_STORE(SPACE)                                                                      \
    template <typename T>                                                                          \
    MSL_INLINE void simdgroup_load(thread simdgroup_matrix<T, 8, 8> &m, SPACE const T *from,       \
                                   ulong apart = 8, ulong2 origin = ulong2(0, 0),                  \
                                   bool is_transposed = false, int line = __builtin_LINE()) {      \
        msl__uniform((ulong)from, apart, line);                                                    \
        from += origin.y * apart + origin.x;                                                       \
        for (uint i = 0; i < 2; i++) {                                                             \
            const uint row = m.row(), col = m.col() + i;                                           \
            m.e[i] = from[is_transposed ? col * apart + row : row * apart + col];                  \
        }                                                                                          \
    }                                                                                              \
    template <typename T>                                                                          \
    MSL_INLINE void simdgroup_store(simdgroup_matrix<T, 8, 8> m, SPACE T *to, ulong apart = 8,     \
                                    ulong2 origin = ulong2(0, 0), bool is_transposed = false,      \
                                    int line = __builtin_LINE()) {                                 \
        msl__uniform((ulong)to, apart, line);                                                      \
        to += origin.y * apart + origin.x;                                                         \
        for (uint i = 0; i < 2; i++) {                                                             \
            const uint row = m.row(), col = m.col() + i;                                           \
            to[is_transposed ? col * apart + row : row * apart + col] = m.e[i];                    \
        }                                                                                          \
    }
template <typename D, typename A, typename B, typename C>
MSL_INLINE void simdgroup_multiply_accumulate(thread simdgroup_matrix<D, 8, 8> &d,
                                              thread simdgroup_matrix<A, 8, 8> &a,
                                              thread simdgroup_matrix<B, 8, 8> &b,
                                              thread simdgroup_matrix<C, 8, 8> &c,
                                              int line = __builtin_LINE()) {
    float in[6] = {(float)a.e[0], (float)a.e[1], (float)b.e[0],
                   (float)b.e[1], (float)c.e[0], (float)c.e[1]};
    float out[2];
    msl__multiply(in, out, line);
    for (uint i = 0; i < 2; i++) d.e[i] = (D)out[i];
}
#else
template <typename T> struct simdgroup_matrix<T, 8, 8> { float8 rows[8]; /* values of T */ };
template <typename T, int COLS, int ROWS>
MSL_INLINE simdgroup_matrix<T, COLS, ROWS> make_filled_simdgroup_matrix(T x) {
    simdgroup_matrix<T, COLS, ROWS> m;
    if (msl__lane() == 0) {
        for (uint i = 0; i < 8; i++) m.rows[i] = (float8)((float)x);
    }
    return m;
}
#define MSL_LOAD_STORE(SPACE)                                                                      \
    template <typename T>                                                                          \
    MSL_INLINE void simdgroup_load(thread simdgroup_matrix<T, 8, 8> &m, SPACE const T *from,       \
                                   ulong apart = 8, ulong2 origin = ulong2(0, 0),                  \
                                   bool is_transposed = false) {                                   \
        if (msl__lane() != 0) return;                                                              \
        from += origin.y * apart + origin.x;                                                       \
        for (uint i = 0; i < 8; i++) {                                                             \
            for (uint j = 0; j < 8; j++) {                                                         \
                m.rows[i][j] = (float)from[is_transposed ? j * apart + i : i * apart + j];         \
            }                                                                                      \
        }                                                                                          \
    }                                                                                              \
    template <typename T>                                                                          \
    MSL_INLINE void simdgroup_store(thread const simdgroup_matrix<T, 8, 8> &m, SPACE T *to,        \
                                    ulong apart = 8, ulong2 origin = ulong2(0, 0),                 \
                                    bool is_transposed = false) {                                  \
        if (msl__lane() != 0) return;                                                              \
        to += origin.y * apart + origin.x;                                                         \
        for (uint i = 0; i < 8; i++) {                                                             \
            for (uint j = 0; j < 8; j++) {                                                         \
                to[is_transposed ? j * apart + i : i * apart + j] = (T)m.rows[i][j];               \
            }                                                                                      \
        }                                                                                          \
    }
template <typename D, typename A, typename B, typename C>
MSL_INLINE void simdgroup_multiply_accumulate(thread simdgroup_matrix<D, 8, 8> &d,
                                              thread simdgroup_matrix<A, 8, 8> &a,
                                              thread simdgroup_matrix<B, 8, 8> &b,
                                              thread simdgroup_matrix<C, 8, 8> &c) {
    if (msl__lane() != 0) return;
    float8 rows[8];
    for (uint i = 0; i < 8; i++) {
        rows[i] = c.rows[i];
        for (uint k = 0; k < 8; k++) rows[i] += a.rows[i][k] * b.rows[k];
    }
    for (uint i = 0; i < 8; i++) {
        for (uint j = 0; j < 8; j++) d.rows[i][j] = (float)(D)rows[i][j];
    }
}
#endif
MSL_LOAD_STORE(device)
MSL_LOAD_STORE(threadgroup)
template <typename D, typename A, typename B>
MSL_INLINE void simdgroup_multiply(thread simdgroup_matrix<D, 8, 8> &d,
                                   thread simdgroup_matrix<A, 8, 8> &a,
                                   thread simdgroup_matrix<B, 8, 8> &b) {
    simdgroup_matrix<D, 8, 8> zero = make_filled_simdgroup_matrix<D, 8, 8>((D)0);
    simdgroup_multiply_accumulate(d, a, b, zero);
}

typedef simdgroup_matrix<float, 8, 8> simdgroup_float8x8;
typedef simdgroup_matrix<half, 8, 8> simdgroup_half8x8;
} // namespace metal
