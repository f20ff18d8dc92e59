/* SPDX-License-Identifier: Apache-2.0 */
/* Lower case as Python's str.lower; expected values are Python 3.11's. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "text/lower.h"

static void test_as_python(void **state) {
    (void)state;
    static const struct {
        const char *text;
        const char *lower;
    } cases[] = {
        {"Hello WORLD 42_", "hello world 42_"},
        {"\xc3\x89T\xc3\x89 STRASSE \xc3\x9f", "\xc3\xa9t\xc3\xa9 strasse \xc3\x9f"},
        {"\xc4\xb0", "i\xcc\x87"}, /* I with a dot: two characters */
        {"\xce\x9f\xce\x94\xce\x9f\xce\xa3", "\xce\xbf\xce\xb4\xce\xbf\xcf\x82"}, /* final sigma */
        {"\xce\xa3\xce\x91", "\xcf\x83\xce\xb1"},
        {"\xce\xa3", "\xcf\x83"},
        {"\xce\x91\xce\xa3.", "\xce\xb1\xcf\x82."},
        {"A\xff"
         "B",
         "a\xff"
         "b"},
        {"", ""},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        tandem_buffer out;
        tandem__buffer_init(&out, 1024);
        tandem_error err = {0};
        assert_int_equal(tandem__text_lower(tandem__str(cases[i].text), &out, &err), TANDEM_OK);
        const tandem_str got = {out.ptr, out.len};
        if (!tandem__str_is(got, cases[i].lower))
            fail_msg("case %d: %.*s", (int)i, TANDEM_STR_ARG(got));
        tandem__buffer_deinit(&out);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_as_python)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
