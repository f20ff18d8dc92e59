/* SPDX-License-Identifier: Apache-2.0 */
/* Finding Apple's runtime: where there is none, where a part of it is missing, where it is whole;
 * and that a failure carries the system's own words. */
#include "apple/objc.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

static const char *missing; /* a path or symbol that the loader does not have */

static void *open_some(const char *path) {
    static int library;
    return missing != NULL && strstr(path, missing) != NULL ? NULL : &library;
}

static objc_sel selector_of(const char *name) {
    return (objc_sel)(void *)(uintptr_t)name;
}

static const char *answer(objc_id to, objc_sel selector) {
    (void)to;
    (void)selector;
    return "no such device";
}

static void *symbol_some(void *library, const char *name) {
    static void *found;
    (void)library;
    if (missing != NULL && strcmp(name, missing) == 0) return NULL;
    if (strcmp(name, "objc_msgSend") == 0) *(const char *(**)(objc_id, objc_sel)) & found = answer;
    if (strcmp(name, "sel_registerName") == 0) *(objc_sel(**)(const char *)) & found = selector_of;
    return found == NULL ? &found : found;
}

static const objc_loader some = {.open = open_some, .symbol = symbol_some};

static void expect_failure(const char *without, const char *text) {
    tandem_error err = {0};
    void *library = NULL;
    missing = without;
    tandem__objc_use(&some);
    assert_int_equal(tandem__objc_open("Metal", &library, &err), TANDEM_DEVICE);
    assert_non_null(strstr(err.message, text));
}

static void test_missing_parts(void **state) {
    (void)state;
    expect_failure("libobjc", "needs macOS");
    expect_failure("Foundation", "needs macOS");
    expect_failure("Metal", "this macOS has no framework Metal");
    expect_failure("objc_autoreleasePoolPop", "has no objc_autoreleasePoolPop");
    tandem__objc_use(NULL);
}

static void test_whole_runtime(void **state) {
    (void)state;
    tandem_error err = {0};
    void *library = NULL;
    missing = NULL;
    tandem__objc_use(&some);
    assert_int_equal(tandem__objc_open("Metal", &library, &err), TANDEM_OK);
    assert_non_null(tandem__objc_symbol(library, "MTLCreateSystemDefaultDevice"));
    assert_string_equal((const char *)(void *)tandem__objc.selectors[OBJC_AT_mtl_dispatch],
                        "dispatchThreadgroups:threadsPerThreadgroup:");
    int object = 0;
    assert_int_equal(tandem__objc_fail(&err, "Metal", (objc_id)(void *)&object), TANDEM_DEVICE);
    assert_string_equal(err.message, "Metal: no such device");
    tandem_error other = {0};
    assert_int_equal(tandem__objc_fail(&other, "Metal", NULL), TANDEM_DEVICE);
    assert_string_equal(other.message, "Metal: the system gave no reason");
    tandem__objc_use(NULL);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_missing_parts),
        cmocka_unit_test(test_whole_runtime),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
