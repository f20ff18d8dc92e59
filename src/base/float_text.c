/* SPDX-License-Identifier: Apache-2.0 */
/* After Raffaello Giulietti, "The Schubfach way to render doubles" (2021), for float32.
 *
 * A float v = c * 2^q owns the interval of reals that round to it. Let 10^k be the largest power
 * of ten that is no longer than that interval: then one or two multiples of 10^k lie inside, and
 * at most one of 10^(k+1), which is a digit shorter and so preferred. v and both ends are scaled by
 * 10^-k with one 64x32-bit product each; the scaled value keeps two fraction bits and a sticky
 * bit, which is enough to compare exactly (the paper proves it). No loops but for digits, no big
 * integers. Rejected: trying %.1g to %.9g with strtof, which is exact too but 30 times slower and
 * bound to the locale. */
#include "base/float_text.h"

#include <math.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include "base/assert.h"
#include "base/float_text_tables.h"

#define MANTISSA_BITS  23
#define EXPONENT_BIAS  (127 + MANTISSA_BITS)
#define MANTISSA_LIMIT (1u << MANTISSA_BITS)
#define FIXED_EXP_MIN  (-4) /* as Python's repr: 0.0001, but 1e-05 */
#define FIXED_EXP_MAX  16   /* 1000000000000000.0, but 1e+16 */

typedef struct decimal {
    uint32_t digits; /* no more than 9, value = digits * 10^exponent */
    int exponent;
} decimal;

/* floor(log10(2^e)), floor(log10(3/4 * 2^e)) and floor(log2(10^e)) for |e| < 1000: products with
 * log10(2) = 1262611 / 2^22, log10(4/3) = 524031 / 2^22 and log2(10) = 1741647 / 2^19. */
static int floor_log10_pow2(int e) {
    return (e * 1262611) >> 22;
}

static int floor_log10_three_quarters_pow2(int e) {
    return (e * 1262611 - 524031) >> 22;
}

static int floor_log2_pow10(int e) {
    return (e * 1741647) >> 19;
}

/* The top 32 bits of the 96-bit product, made odd if what is below them is not (almost) zero. */
static uint32_t multiply_to_odd(uint64_t power, uint32_t factor) {
    const uint64_t low = (power & 0xffffffffu) * factor;
    const uint64_t high = (power >> 32) * factor + (low >> 32);
    const uint32_t fraction = (uint32_t)high;
    return (uint32_t)(high >> 32) | (fraction > 1);
}

static decimal shortest(uint32_t mantissa, uint32_t biased) {
    const uint32_t c = biased == 0 ? mantissa : mantissa | MANTISSA_LIMIT;
    const int q = (biased == 0 ? 1 : (int)biased) - EXPONENT_BIAS;
    /* At a power of two the neighbour below is half as far away. */
    const bool is_lower_closer = mantissa == 0 && biased > 1;
    const uint32_t open = c & 1; /* an odd float does not own the ends of its interval */
    const int k = is_lower_closer ? floor_log10_three_quarters_pow2(q) : floor_log10_pow2(q);
    TANDEM_ASSERT(-k >= TANDEM_FLOAT_POWER_MIN && -k <= TANDEM_FLOAT_POWER_MAX);
    const uint64_t power = tandem__float_powers[-k - TANDEM_FLOAT_POWER_MIN];
    const int shift = q + floor_log2_pow10(-k) + 1;
    /* Everything is in quarters from here. */
    const uint32_t value = multiply_to_odd(power, (4 * c) << shift);
    const uint32_t lower =
        multiply_to_odd(power, (4 * c - 2 + (is_lower_closer ? 1 : 0)) << shift) + open;
    const uint32_t upper = multiply_to_odd(power, (4 * c + 2) << shift) - open;

    const uint32_t s = value / 4;
    if (s >= 10) {
        const uint32_t tens = s / 10;
        const bool is_down_inside = lower <= 40 * tens;
        const bool is_up_inside = 40 * tens + 40 <= upper;
        if (is_down_inside != is_up_inside) {
            return (decimal){tens + (is_up_inside ? 1 : 0), k + 1};
        }
    }
    const bool is_down_inside = lower <= 4 * s;
    const bool is_up_inside = 4 * s + 4 <= upper;
    if (is_down_inside != is_up_inside) return (decimal){s + (is_up_inside ? 1 : 0), k};
    const uint32_t middle = 4 * s + 2;
    const bool is_rounded_up = value > middle || (value == middle && (s & 1) != 0);
    return (decimal){s + (is_rounded_up ? 1 : 0), k};
}

/* Decimal digits of `value`, most significant first; returns their number. */
static int write_digits(uint32_t value, char *out) {
    char reversed[10];
    int count = 0;
    do {
        reversed[count++] = (char)('0' + value % 10);
        value /= 10;
    } while (value != 0);
    for (int i = 0; i < count; i++) out[i] = reversed[count - 1 - i];
    return count;
}

static size_t write_exponent(int exponent, char *out) {
    const unsigned magnitude = (unsigned)(exponent < 0 ? -exponent : exponent);
    TANDEM_ASSERT(magnitude < 100);
    out[0] = 'e';
    out[1] = exponent < 0 ? '-' : '+';
    out[2] = (char)('0' + magnitude / 10);
    out[3] = (char)('0' + magnitude % 10);
    return 4;
}

/* `digits` of `count` with the point after the first `point` of them, which may lie outside. */
static size_t write_decimal(const char *digits, int count, int point, char *out) {
    char *at = out;
    if (point > FIXED_EXP_MAX || point <= FIXED_EXP_MIN) {
        *at++ = digits[0];
        if (count > 1) {
            *at++ = '.';
            memcpy(at, digits + 1, (size_t)count - 1);
            at += count - 1;
        }
        at += write_exponent(point - 1, at);
    } else if (point <= 0) {
        memcpy(at, "0.000", 5);
        at += 2 - point;
        memcpy(at, digits, (size_t)count);
        at += count;
    } else if (point >= count) {
        memcpy(at, digits, (size_t)count);
        memset(at + count, '0', (size_t)(point - count));
        at += point;
        memcpy(at, ".0", 2);
        at += 2;
    } else {
        memcpy(at, digits, (size_t)point);
        at[point] = '.';
        memcpy(at + point + 1, digits + point, (size_t)(count - point));
        at += count + 1;
    }
    return (size_t)(at - out);
}

size_t tandem__float_text(float value, char *out) {
    TANDEM_ASSERT(isfinite(value));
    uint32_t bits = 0;
    memcpy(&bits, &value, sizeof bits);
    size_t sign = 0;
    if (bits >> 31 != 0) out[sign++] = '-';
    const uint32_t magnitude = bits & 0x7fffffffu;
    if (magnitude == 0) {
        memcpy(out + sign, "0.0", 3);
        return sign + 3;
    }
    decimal d = shortest(magnitude & (MANTISSA_LIMIT - 1), magnitude >> MANTISSA_BITS);
    while (d.digits % 10 == 0) {
        d.digits /= 10;
        d.exponent++;
    }
    char digits[10];
    const int count = write_digits(d.digits, digits);
    return sign + write_decimal(digits, count, count + d.exponent, out + sign);
}
