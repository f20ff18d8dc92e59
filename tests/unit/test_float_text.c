/* SPDX-License-Identifier: Apache-2.0 */
/* float32 to text: known renderings; every power of two with its neighbours, and random bit
 * patterns, read back the same, with no shorter decimal that does, and in Python's form. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/float_text.h"

#define RANDOM_COUNT 3000000

static float from_bits(uint32_t bits) {
    float value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

static uint32_t to_bits(float value) {
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    return bits;
}

/* Significant digits of a rendering, without leading and trailing zeros. */
static int significant_digits(const char *text) {
    int count = 0;
    int zeros = 0;
    for (const char *p = text; *p != '\0' && *p != 'e'; p++) {
        if (*p < '0' || *p > '9') continue;
        if (*p == '0') {
            zeros += count > 0;
            continue;
        }
        count += zeros + 1;
        zeros = 0;
    }
    return count == 0 ? 1 : count;
}

static void render(uint32_t bits, char text[TANDEM_FLOAT_TEXT_MAX + 1]) {
    memset(text, '#', TANDEM_FLOAT_TEXT_MAX + 1);
    const size_t len = tandem__float_text(from_bits(bits), text);
    assert_true(len <= TANDEM_FLOAT_TEXT_MAX);
    assert_int_equal(text[TANDEM_FLOAT_TEXT_MAX], '#');
    text[len] = '\0';
}

/* `is_checked_short`: also that one digit fewer, correctly rounded, would not read back. */
static void check(uint32_t bits, int is_checked_short) {
    char text[TANDEM_FLOAT_TEXT_MAX + 1];
    render(bits, text);
    char *end = NULL;
    const float back = strtof(text, &end);
    if (*end != '\0' || to_bits(back) != bits) fail_msg("%08x gave %s", bits, text);
    if (!is_checked_short) return;
    const int digits = significant_digits(text);
    char shorter[40];
    if (digits > 1) {
        (void)snprintf(shorter, sizeof shorter, "%.*e", digits - 2, (double)from_bits(bits));
        if (to_bits(strtof(shorter, NULL)) == bits) fail_msg("%s, but %s does", text, shorter);
    }
    /* Of that length, none is nearer than the printed one. */
    (void)snprintf(shorter, sizeof shorter, "%.*e", digits - 1, (double)from_bits(bits));
    const double value = (double)from_bits(bits);
    const double printed = strtod(text, NULL) - value;
    const double nearest = strtod(shorter, NULL) - value;
    if (to_bits(strtof(shorter, NULL)) == bits) {
        assert_true((printed < 0 ? -printed : printed) <= (nearest < 0 ? -nearest : nearest));
    }
}

static void test_known(void **state) {
    (void)state;
    static const struct {
        float value;
        const char *text;
    } rows[] = {
        {0.0F, "0.0"},
        {-0.0F, "-0.0"},
        {1.0F, "1.0"},
        {-1.5F, "-1.5"},
        {0.1F, "0.1"},
        {0.3F, "0.3"},
        {100.0F, "100.0"},
        {0.001F, "0.001"},
        {0.0001F, "0.0001"},
        {0.00012345678F, "0.00012345678"},
        {0.00001F, "1e-05"},
        {1e-7F, "1e-07"},
        {1.5e-7F, "1.5e-07"},
        {123456.79F, "123456.79"},
        {16777216.0F, "16777216.0"},
        {1e10F, "10000000000.0"},
        {1e15F, "1000000000000000.0"},
        {1e16F, "1e+16"},
        {3.4028235e38F, "3.4028235e+38"},
        {1.1754944e-38F, "1.1754944e-38"},
        {1e-45F, "1e-45"},
        {33554432.0F, "33554432.0"},
        {9007199254740992.0F, "9007199000000000.0"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        char text[TANDEM_FLOAT_TEXT_MAX + 1];
        render(to_bits(rows[i].value), text);
        assert_string_equal(text, rows[i].text);
    }
}

static void test_borders(void **state) {
    (void)state;
    for (uint32_t exponent = 0; exponent < 255; exponent++) {
        for (uint32_t offset = 0; offset < 2000; offset++) {
            check((exponent << 23) + offset, 1);
            check((exponent << 23) + 0x7fffff - offset, 1);
        }
    }
    for (uint32_t bits = 0; bits < 20000; bits++) check(bits | 0x80000000u, 1);
}

static void test_random(void **state) {
    (void)state;
    uint64_t seed = 0x9e3779b97f4a7c15u;
    for (int i = 0; i < RANDOM_COUNT; i++) {
        seed = seed * 6364136223846793005u + 1442695040888963407u;
        const uint32_t bits = (uint32_t)(seed >> 32);
        if ((bits >> 23 & 0xff) == 0xff) continue;
        check(bits, i % 4 == 0);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_known),
        cmocka_unit_test(test_borders),
        cmocka_unit_test(test_random),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
