/* SPDX-License-Identifier: Apache-2.0 */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/json.h"
#include "base/json_text.h"

static void check_string(tandem_str text, const char *expected) {
    tandem_buffer out;
    tandem_error err = {0};
    tandem__buffer_init(&out, 1 << 20);
    assert_int_equal(tandem__json_text_string(&out, text, &err), TANDEM_OK);
    assert_true(tandem__str_equal((tandem_str){out.ptr, out.len}, tandem__str(expected)));
    tandem__buffer_deinit(&out);
}

static void test_strings(void **state) {
    (void)state;
    check_string(TANDEM_STR(""), "\"\"");
    check_string(TANDEM_STR("plain"), "\"plain\"");
    check_string(TANDEM_STR("a\"b\\c/d"), "\"a\\\"b\\\\c/d\"");
    check_string(TANDEM_STR("\b\t\n\v\f\r"), "\"\\b\\t\\n\\u000b\\f\\r\"");
    check_string((tandem_str){"\0\x1f\x7f", 3}, "\"\\u0000\\u001f\x7f\"");
    check_string(TANDEM_STR("\xc3\xa9\xf0\x9f\x98\x80"), "\"\xc3\xa9\xf0\x9f\x98\x80\"");
}

/* What is written is read back by base/json, for every byte below 128. */
static void test_round_trip(void **state) {
    (void)state;
    char bytes[127];
    for (int i = 0; i < 127; i++) bytes[i] = (char)(i + 1);
    const tandem_str text = {bytes, sizeof bytes};
    tandem_buffer out;
    tandem_arena arena;
    tandem_error err = {0};
    tandem__buffer_init(&out, 1 << 20);
    tandem__arena_init(&arena, 1 << 20);
    assert_int_equal(tandem__json_text_string(&out, text, &err), TANDEM_OK);
    const tandem_json *root = NULL;
    assert_int_equal(tandem__json_parse((tandem_str){out.ptr, out.len}, &arena, &root, &err),
                     TANDEM_OK);
    assert_true(tandem__str_equal(root->text, text));
    tandem__arena_deinit(&arena);
    tandem__buffer_deinit(&out);
}

static void test_floats(void **state) {
    (void)state;
    tandem_buffer out;
    tandem_error err = {0};
    tandem__buffer_init(&out, 1 << 20);
    const float values[] = {0.1F, -2.0F, 1e-7F};
    assert_int_equal(tandem__json_text_floats(&out, values, 3, &err), TANDEM_OK);
    assert_true(tandem__str_is((tandem_str){out.ptr, out.len}, "[0.1,-2.0,1e-07]"));
    const float bad[] = {1.0F, NAN};
    assert_int_equal(tandem__json_text_floats(&out, bad, 2, &err), TANDEM_NUMERIC);
    assert_string_equal(err.message, "value 1 is NaN, expected a finite number");
    tandem__buffer_deinit(&out);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_strings),
        cmocka_unit_test(test_round_trip),
        cmocka_unit_test(test_floats),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
