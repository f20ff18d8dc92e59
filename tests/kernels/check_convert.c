/* SPDX-License-Identifier: Apache-2.0 */
/* Number formats. f16 -> f32 and bf16 -> f32 over all 65,536 inputs against arithmetic on the
 * fields; the way back over every f16 and bf16 value, every midpoint between neighbours and its
 * neighbours, and random bits, against a search for the nearest. */
#include <math.h>
#include <string.h>

#include "base/cpu.h"
#include "kernelcheck.h"

static double field_value(uint32_t bits, int exponent_bits, int fraction_bits) {
    const uint32_t exponent = (bits >> fraction_bits) & ((1u << exponent_bits) - 1u);
    const uint32_t fraction = bits & ((1u << fraction_bits) - 1u);
    const int bias = (1 << (exponent_bits - 1)) - 1;
    const double sign = bits >> (exponent_bits + fraction_bits) ? -1.0 : 1.0;
    if (exponent == (1u << exponent_bits) - 1u) {
        return fraction != 0 ? (double)NAN : sign * (double)INFINITY;
    }
    const double whole = exponent == 0 ? 0.0 : 1.0;
    const int power = (exponent == 0 ? 1 : (int)exponent) - bias;
    return sign * ldexp(whole + ldexp((double)fraction, -fraction_bits), power);
}

static double small_value(uint16_t bits, bool is_f16) {
    return is_f16 ? field_value(bits, 5, 10) : field_value(bits, 8, 7);
}

/* Nearest by search over the monotone positive half, ties to even. */
static uint16_t nearest_bits(float value, bool is_f16) {
    const uint16_t infinity = is_f16 ? 0x7c00 : 0x7f80;
    const uint16_t sign = signbit(value) ? 0x8000 : 0;
    const double magnitude = fabs((double)value);
    uint16_t low = 0;
    uint16_t high = infinity;
    while (high - low > 1) {
        const uint16_t middle = (uint16_t)((low + high) / 2);
        if (small_value(middle, is_f16) <= magnitude)
            low = middle;
        else
            high = middle;
    }
    /* Infinity counts as the value the next exponent would have. */
    const double below = small_value(low, is_f16);
    const double above =
        high == infinity ? (is_f16 ? 65536.0 : 0x1p128) : small_value(high, is_f16);
    const double middle = below + (above - below) / 2.0;
    const bool is_up = magnitude > middle || (magnitude == middle && (low & 1u));
    return (uint16_t)(sign | (is_up ? high : low));
}

static void check_widening(tandem_convert_function *convert, bool is_f16) {
    enum { CHUNK = 1024 };
    for (int start = 0; start < 65536; start += CHUNK) {
        uint16_t *src = kc_buffer(KC_SOURCE, CHUNK * 2);
        float *dst = kc_buffer(KC_OUT, CHUNK * 4);
        for (int i = 0; i < CHUNK; i++) src[i] = (uint16_t)(start + i);
        convert(dst, src, CHUNK);
        for (int i = 0; i < CHUNK; i++) {
            if (!kc_close("widened", start + i, dst[i], small_value(src[i], is_f16), 0.0)) return;
            if (!isnan(dst[i]) && (signbit(dst[i]) != 0) != (src[i] >> 15 != 0)) {
                kc_fail("sign of %#x", src[i]);
            }
        }
    }
}

static bool narrow_one(float value, uint16_t got, bool is_f16) {
    if (isnan(value)) {
        if (isnan(small_value(got, is_f16))) return true;
        kc_fail("NaN became %#x", got);
        return false;
    }
    const uint16_t want = nearest_bits(value, is_f16);
    if (got == want) return true;
    kc_fail("%.9g (%a) became %#x, expected %#x", (double)value, (double)value, got, want);
    return false;
}

static void narrow_many(tandem_convert_function *convert, bool is_f16, const float *values,
                        size_t n) {
    float *src = kc_buffer(KC_SOURCE, n * 4);
    uint16_t *dst = kc_buffer(KC_OUT, n * 2);
    memcpy(src, values, n * 4);
    convert(dst, src, n);
    kc_count();
    for (size_t i = 0; i < n; i++) {
        if (!narrow_one(src[i], dst[i], is_f16)) return;
    }
}

static void check_narrowing(tandem_convert_function *convert, bool is_f16) {
    float values[96];
    for (int bits = 0; bits < 65536; bits += 16) {
        size_t n = 0;
        for (int i = 0; i < 16; i++) {
            const double at = small_value((uint16_t)(bits + i), is_f16);
            const double next = small_value((uint16_t)(bits + i + 1), is_f16);
            const float middle = (float)(at + (next - at) / 2.0); /* exact: one bit more */
            values[n++] = (float)at;
            values[n++] = middle;
            values[n++] = nextafterf(middle, INFINITY);
            values[n++] = nextafterf(middle, -INFINITY);
            const uint32_t random_bits = kc_random();
            memcpy(&values[n++], &random_bits, 4);
            values[n++] = ldexpf((float)kc_random(), kc_random_int(48) - 58);
        }
        narrow_many(convert, is_f16, values, n);
    }
    static const float edges[] = {65504.0f, 65519.996f, 65520.0f, 65536.0f, 1e30f,    0x1p-24f,
                                  0x1p-25f, 0x1.8p-25f, 0x1p-26f, -0.0f,    INFINITY, -INFINITY};
    narrow_many(convert, is_f16, edges, sizeof edges / sizeof edges[0]);
}

/* All lengths to two vectors and a bit, at odd byte addresses, nothing outside written. */
static void check_lengths(tandem_convert_function *convert, size_t src_bytes, size_t dst_bytes) {
    for (size_t n = 0; n <= 67; n++) {
        unsigned char whole[67 * 4];
        unsigned char *src = kc_buffer(KC_SOURCE, n * src_bytes);
        unsigned char *dst = kc_buffer(KC_OUT, n * dst_bytes + 1);
        for (size_t i = 0; i < n * src_bytes; i++) src[i] = (unsigned char)(kc_random() & 0x3f);
        for (size_t i = 0; i < n; i++) {
            convert(whole + i * dst_bytes, src + i * src_bytes, 1);
        }
        unsigned char *odd_src = kc_buffer(KC_A, n * src_bytes + 1);
        memcpy(odd_src, src, n * src_bytes);
        convert(dst, odd_src, n);
        kc_count();
        if (memcmp(dst, whole, n * dst_bytes) != 0) kc_fail("length %zu differs from singles", n);
        if (!kc_untouched(dst + n * dst_bytes, 1)) kc_fail("length %zu wrote past its end", n);
        kc_check_canary(KC_OUT);
        convert(dst + 1, src, n);
        if (memcmp(dst + 1, whole, n * dst_bytes) != 0) kc_fail("length %zu at an odd address", n);
    }
}

typedef enum direction { OP_f16_f32, OP_f32_f16, OP_bf16_f32, OP_f32_bf16 } direction;

void kc_check_convert(const tandem_kernels *kernels) {
    (void)kernels;
    static const struct {
        const char *name;
        tandem_convert_function *run;
        direction op;
        uint32_t flags;
    } list[] = {
#define CONVERT_KERNEL(name, op, flags) {#name, name, OP_##op, flags},
#include "kernels/convert/convert.inc"
#undef CONVERT_KERNEL
    };
    for (size_t i = 0; i < sizeof list / sizeof list[0]; i++) {
        if (!kc_begin(list[i].name, list[i].flags)) continue;
        const bool is_f16 = list[i].op == OP_f16_f32 || list[i].op == OP_f32_f16;
        const bool is_widening = list[i].op == OP_f16_f32 || list[i].op == OP_bf16_f32;
        if (is_widening)
            check_widening(list[i].run, is_f16);
        else
            check_narrowing(list[i].run, is_f16);
        check_lengths(list[i].run, is_widening ? 2 : 4, is_widening ? 4 : 2);
    }
}

void kc_list_convert(void) {
#define CONVERT_KERNEL(name, op, flags) kc_list_kernel(#name, flags);
#include "kernels/convert/convert.inc"
#undef CONVERT_KERNEL
}
