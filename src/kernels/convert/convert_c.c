/* SPDX-License-Identifier: Apache-2.0 */
/* Number formats in integer arithmetic: right on any processor and in any rounding mode. The
 * vector kernels use the hardware's own conversions, which agree to the bit. */
#include <string.h>

#include "kernels/convert/convert.h"

static uint32_t float_bits(float value) {
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    return bits;
}

static float bits_float(uint32_t bits) {
    float value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

float tandem_convert_f16_value(uint16_t half) {
    const uint32_t sign = (uint32_t)(half & 0x8000u) << 16;
    const uint32_t exponent = (half >> 10) & 0x1fu;
    const uint32_t fraction = half & 0x3ffu;
    if (exponent == 0x1f) return bits_float(sign | 0x7f800000u | (fraction << 13));
    if (exponent != 0) return bits_float(sign | ((exponent + 112u) << 23) | (fraction << 13));
    const float magnitude = (float)fraction * 0x1p-24f; /* zero and denormals: exact */
    return bits_float(sign | float_bits(magnitude));
}

uint16_t tandem_convert_value_f16(float value) {
    const uint32_t bits = float_bits(value);
    const uint32_t sign = (bits >> 16) & 0x8000u;
    const uint32_t magnitude = bits & 0x7fffffffu;
    uint32_t half;
    if (magnitude > 0x7f800000u) {
        half = 0x7e00u | ((magnitude >> 13) & 0x3ffu); /* NaN, made quiet */
    } else if (magnitude >= 0x477ff000u) {
        half = 0x7c00u; /* 65520 and more, infinity */
    } else if (magnitude >= 0x38800000u) {
        const uint32_t odd = (magnitude >> 13) & 1u; /* a normal half: ties to even */
        half = (magnitude - 0x38000000u + 0xfffu + odd) >> 13;
    } else if (magnitude > 0x33000000u) {
        /* A denormal half is a multiple of 2^-24: shift the 24-bit fraction down, round. */
        const uint32_t shift = 126u - (magnitude >> 23); /* 14 to 24 */
        const uint32_t fraction = (magnitude & 0x7fffffu) | 0x800000u;
        const uint32_t kept = fraction >> shift;
        const uint32_t rest = fraction & ((1u << shift) - 1u);
        const uint32_t tie = 1u << (shift - 1u);
        half = kept + ((rest > tie || (rest == tie && (kept & 1u))) ? 1u : 0u);
    } else {
        half = 0; /* up to 2^-25, the tie going to even */
    }
    return (uint16_t)(sign | half);
}

float tandem_convert_bf16_value(uint16_t bits) {
    return bits_float((uint32_t)bits << 16);
}

uint16_t tandem_convert_value_bf16(float value) {
    const uint32_t bits = float_bits(value);
    if ((bits & 0x7fffffffu) > 0x7f800000u) return (uint16_t)((bits >> 16) | 0x40u);
    return (uint16_t)((bits + 0x7fffu + ((bits >> 16) & 1u)) >> 16);
}

void tandem_convert_f16_f32__c(void *dst, const void *src, size_t n) {
    for (size_t i = 0; i < n; i++) {
        uint16_t half;
        memcpy(&half, (const char *)src + 2 * i, 2);
        const float value = tandem_convert_f16_value(half);
        memcpy((char *)dst + 4 * i, &value, 4);
    }
}

void tandem_convert_f32_f16__c(void *dst, const void *src, size_t n) {
    for (size_t i = 0; i < n; i++) {
        float value;
        memcpy(&value, (const char *)src + 4 * i, 4);
        const uint16_t half = tandem_convert_value_f16(value);
        memcpy((char *)dst + 2 * i, &half, 2);
    }
}

void tandem_convert_bf16_f32__c(void *dst, const void *src, size_t n) {
    for (size_t i = 0; i < n; i++) {
        uint16_t bits;
        memcpy(&bits, (const char *)src + 2 * i, 2);
        const float value = tandem_convert_bf16_value(bits);
        memcpy((char *)dst + 4 * i, &value, 4);
    }
}

void tandem_convert_f32_bf16__c(void *dst, const void *src, size_t n) {
    for (size_t i = 0; i < n; i++) {
        float value;
        memcpy(&value, (const char *)src + 4 * i, 4);
        const uint16_t bits = tandem_convert_value_bf16(value);
        memcpy((char *)dst + 2 * i, &bits, 2);
    }
}
