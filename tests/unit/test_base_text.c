/* SPDX-License-Identifier: Apache-2.0 */
/* UTF-8 and numbers in text, against Python's answers, and over every scalar value. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/fail.h"
#include "base/number.h"
#include "base/utf8.h"

static void every_scalar_value_round_trips(void **state) {
    (void)state;
    for (uint32_t code = 0; code <= 0x10ffff; code++) {
        if (code >= 0xd800 && code <= 0xdfff) continue;
        uint8_t bytes[4];
        const size_t len = tandem__utf8_encode(code, bytes);
        const size_t expected = code < 0x80 ? 1 : code < 0x800 ? 2 : code < 0x10000 ? 3 : 4;
        assert_int_equal(len, expected);
        uint32_t back = 0;
        assert_int_equal(tandem__utf8_decode(bytes, len, &back), len);
        assert_int_equal(back, code);
        assert_int_equal(tandem__utf8_decode(bytes, len - 1, &back), 0);
    }
}

/* Exactly 1,112,064 of all sequences of 1 to 4 bytes are characters; counted over lead and second
 * byte with continuation bytes behind. */
static void no_other_sequence_is_a_character(void **state) {
    (void)state;
    long characters = 0;
    for (unsigned lead = 0; lead < 256; lead++) {
        for (unsigned second = 0; second < 256; second++) {
            const uint8_t bytes[4] = {(uint8_t)lead, (uint8_t)second, 0x80, 0xbf};
            uint32_t code = 0;
            const size_t len = tandem__utf8_decode(bytes, 4, &code);
            if (len == 1 && second == 0) characters++;
            if (len == 2) characters++;
            if (len == 3) characters += 64;
            if (len == 4) characters += 64 * 64;
        }
    }
    assert_int_equal(characters, 0x110000 - 0x800);
}

static void replaces_as_python_does(void **state) {
    (void)state;
    /* bytes.decode("utf-8", "replace").encode() of CPython 3.11 */
    static const struct {
        const char *bytes;
        size_t len;
        const char *expected;
        size_t expected_len;
    } cases[] = {
        {"", 0, "", 0},
        {"abc", 3, "abc", 3},
        {"\xc3\xa9", 2, "\xc3\xa9", 2},
        {"\xff", 1, "\xef\xbf\xbd", 3},
        {"a\xff(", 3, "a\xef\xbf\xbd(", 5},
        {"\xc3", 1, "\xef\xbf\xbd", 3},
        {"\xc3(", 2, "\xef\xbf\xbd(", 4},
        {"\xe2\x82", 2, "\xef\xbf\xbd", 3},
        {"\xe2\x82\xac", 3, "\xe2\x82\xac", 3},
        {"\xe2(\xa1", 3, "\xef\xbf\xbd(\xef\xbf\xbd", 7},
        {"\xed\xa0\x80", 3, "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd", 9},
        {"\xf0\x9f\x98", 3, "\xef\xbf\xbd", 3},
        {"\xf0\x9f\x98\x80", 4, "\xf0\x9f\x98\x80", 4},
        {"\xf4\x90\x80\x80", 4, "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd", 12},
        {"\xc0\x80", 2, "\xef\xbf\xbd\xef\xbf\xbd", 6},
        {"\xe0\x80\x80", 3, "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd", 9},
        {"\xf0\x80\x80\x80", 4, "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd", 12},
        {"\x80\x80", 2, "\xef\xbf\xbd\xef\xbf\xbd", 6},
        {"\xf0\x9f\xff", 3, "\xef\xbf\xbd\xef\xbf\xbd", 6},
        {"\xf8\x88\x80\x80\x80", 5, "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd",
         15},
        {"\xe1\x80\xe2\xf0\x91\x92\xf1\xbf(", 9,
         "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd(", 13},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        uint8_t out[64];
        const uint8_t *bytes = (const uint8_t *)cases[i].bytes;
        assert_true(3 * cases[i].len <= sizeof out);
        const size_t len = tandem__utf8_replace(bytes, cases[i].len, out);
        assert_int_equal(len, cases[i].expected_len);
        assert_memory_equal(out, cases[i].expected, len);
        assert_int_equal(tandem__utf8_valid_prefix(out, len), len);
        const bool is_valid = len == cases[i].len && memcmp(out, bytes, len) == 0;
        const size_t prefix = tandem__utf8_valid_prefix(bytes, cases[i].len);
        assert_int_equal(prefix == cases[i].len, is_valid);
    }
}

static void counts_characters(void **state) {
    (void)state;
    const uint8_t text[] = "a\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80";
    assert_int_equal(tandem__utf8_count(text, sizeof text - 1), 4);
    assert_int_equal(tandem__utf8_count(text, 0), 0);
    assert_int_equal(tandem__utf8_valid_prefix(text, sizeof text - 2), 6);
}

static void integers(void **state) {
    (void)state;
    static const struct {
        const char *text;
        int64_t value;
    } good[] = {{"0", 0},
                {"-0", 0},
                {"007", 7},
                {"9223372036854775807", INT64_MAX},
                {"-9223372036854775808", INT64_MIN}};
    static const char *const bad[] = {"",   "-",   "+1",  " 1",
                                      "1 ", "1.0", "0x1", "9223372036854775808",
                                      "a",  "--1", "1e3", "-9223372036854775809"};
    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++) {
        int64_t value = 42;
        assert_true(tandem__number_parse_int(tandem__str(good[i].text), &value));
        assert_true(value == good[i].value);
    }
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        int64_t value = 42;
        assert_false(tandem__number_parse_int(tandem__str(bad[i]), &value));
        assert_int_equal(value, 42);
    }
}

static void doubles(void **state) {
    (void)state;
    double value = 0.0;
    assert_true(tandem__number_parse_double(TANDEM_STR("1e-12"), &value));
    assert_true(value == 1e-12);
    assert_true(tandem__number_parse_double(TANDEM_STR("-0.1"), &value));
    assert_true(value == -0.1);
    assert_true(tandem__number_parse_double(TANDEM_STR("4.9406564584124654e-324"), &value));
    assert_true(value > 0.0);
    static const char *const bad[] = {"", "x", "1e999", "inf", "nan", "0x1p3", "1,5", "1.5 ", "."};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        value = 42.0;
        assert_false(tandem__number_parse_double(tandem__str(bad[i]), &value));
        assert_true(value == 42.0);
    }
    char digits[600];
    memset(digits, '1', sizeof digits);
    assert_false(tandem__number_parse_double((tandem_str){digits, sizeof digits}, &value));
}

/* Messages quote what files hold: they stay one printable line of UTF-8. */
static void messages_stay_printable(void **state) {
    (void)state;
    tandem_error err = {0};
    assert_int_equal(TANDEM_FAIL(&err, FORMAT, "a\nb\x1b[31m\xff\xc2\x85 \xc3\xa9"), TANDEM_FORMAT);
    assert_string_equal(err.message, "a?b?[31m??? \xc3\xa9");
    assert_int_equal(err.status, TANDEM_FORMAT);
    assert_int_equal(TANDEM_FAIL(&err, IO, "second"), TANDEM_IO);
    assert_int_equal(err.status, TANDEM_FORMAT); /* the first wins */
    assert_int_equal(tandem__fail_prefix(&err, TANDEM_FORMAT, "file"), TANDEM_FORMAT);
    assert_ptr_equal(strstr(err.message, "file: a?b"), err.message);
    tandem_error_clear(&err);
    assert_int_equal(tandem__fail_prefix(&err, TANDEM_OK, "file"), TANDEM_OK);
    assert_string_equal(err.message, "");
    assert_int_equal(TANDEM_FAIL(NULL, IO, "nobody asks"), TANDEM_IO);
    assert_string_equal(tandem_status_text(TANDEM_FORMAT), "malformed file or input");
    assert_string_equal(tandem_status_text((tandem_status)99), "unknown status");
}

/* A message that is cut does not end inside a character. */
static void long_messages_are_cut(void **state) {
    (void)state;
    char text[2000];
    for (size_t i = 0; i + 2 < sizeof text; i += 2) memcpy(text + i, "\xc3\xa9", 2);
    text[sizeof text - 2] = '\0';
    for (int before = 0; before < 2; before++) {
        tandem_error err = {0};
        (void)TANDEM_FAIL(&err, FORMAT, "%.*s%s", before, "x", text);
        const size_t len = strlen(err.message);
        assert_int_equal(len, sizeof err.message - 1);
        assert_int_equal(tandem__utf8_valid_prefix((const uint8_t *)err.message, len), len);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_scalar_value_round_trips),
        cmocka_unit_test(no_other_sequence_is_a_character),
        cmocka_unit_test(replaces_as_python_does),
        cmocka_unit_test(counts_characters),
        cmocka_unit_test(integers),
        cmocka_unit_test(doubles),
        cmocka_unit_test(messages_stay_printable),
        cmocka_unit_test(long_messages_are_cut),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
