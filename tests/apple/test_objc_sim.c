/* SPDX-License-Identifier: Apache-2.0 */
/* The stand-in for the Objective-C runtime finds what it says it finds: each kind of misuse is done
 * here on purpose and counted. */
#include "objc_sim.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

static void start(int version) {
    const objc_sim_options options = {.version = version, .is_counting = true};
    tandem_error err = {0};
    void *library = NULL;
    objc_sim_start(&options);
    assert_int_equal(tandem__objc_open("Foundation", &library, &err), TANDEM_OK);
    assert_non_null(library);
}

static void expect_misuse(const char *text) {
    assert_int_equal(objc_sim_misuses(), 1);
    if (strstr(objc_sim_first_misuse(), text) == NULL)
        fail_msg("\"%s\" says nothing of \"%s\"", objc_sim_first_misuse(), text);
}

static objc_id allocate(void) {
    return ns_init(ns_alloc(objc_class("NSObject")));
}

static void test_right_use(void **state) {
    (void)state;
    start(1400);
    void *pool = tandem__objc.pool_push();
    objc_id text = objc_text("a text");
    assert_string_equal(ns_utf8(text), "a text");
    objc_id url = ns_file_url(objc_class("NSURL"), objc_text("/a/path"));
    assert_string_equal(ns_utf8(ns_url_path(url)), "/a/path");
    const objc_id items[] = {text, ns_number(objc_class("NSNumber"), 7)};
    objc_id array = ns_array(objc_class("NSArray"), items, 2);
    assert_int_equal(ns_array_count(array), 2);
    assert_int_equal(objc_sim_integer(ns_array_at(array, 1)), 7);
    assert_int_equal(objc_sim_count(array), 2);
    assert_ptr_equal(objc_sim_at(array, 0), text);
    objc_id dictionary = ns_dictionary(objc_class("NSDictionary"), items + 1, items, 1);
    assert_ptr_equal(objc_sim_get(dictionary, "a text"), items[1]);
    assert_null(objc_sim_get(dictionary, "another"));
    assert_int_equal(objc_sim_entries(dictionary), 1);
    assert_string_equal(objc_sim_key(dictionary, 0), "a text");
    objc_id object = allocate();
    assert_ptr_equal(ns_retain(object), object);
    ns_release(object);
    ns_release(object);
    assert_null(ns_retain(NULL));
    assert_int_equal(objc_sim_live("NSObject"), 0);
    assert_true(objc_sim_live(NULL) > 0);
    tandem__objc.pool_pop(pool);
    assert_int_equal(objc_sim_live(NULL), 0);
    assert_int_equal(objc_sim_misuses(), 0);
    assert_int_equal(objc_sim_stop(), 0);
}

/* What a framework's stand-in makes of Foundation's classes. */
static void test_made_by_stand_ins(void **state) {
    (void)state;
    start(1400);
    void *pool = tandem__objc.pool_push();
    objc_id items[] = {objc_sim_string("one"), objc_sim_error(5, "no such device")};
    assert_string_equal(objc_sim_text(items[0]), "one");
    assert_int_equal(ns_error_code(items[1]), 5);
    tandem_error err = {0};
    assert_int_equal(tandem__objc_fail(&err, "Metal", items[1]), TANDEM_DEVICE);
    assert_string_equal(err.message, "Metal: no such device");
    assert_ptr_equal(ns_array_at(objc_sim_array(items, 2), 1), items[1]);
    tandem__objc.pool_pop(pool);
    assert_int_equal(objc_sim_stop(), 0);
}

static void test_version(void **state) {
    (void)state;
    start(1404);
    void *pool = tandem__objc.pool_push();
    objc_id process = ns_process_info(objc_class("NSProcessInfo"));
    assert_true(ns_is_version(process, (objc_version){14, 4, 0}));
    assert_false(ns_is_version(process, (objc_version){15, 0, 0}));
    objc_sim_set_thermal_state(2);
    assert_int_equal(ns_thermal_state(process), 2);
    assert_true(objc_responds(process, "thermalState"));
    assert_false(objc_responds(process, "setMathMode:"));
    tandem__objc.pool_pop(pool);
    assert_int_equal(objc_sim_stop(), 0);
    start(1004); /* older than numberWithInteger: */
    pool = tandem__objc.pool_push();
    assert_null(ns_number(objc_class("NSNumber"), 1));
    expect_misuse("this macOS is 1004, the message came with 1005");
    tandem__objc.pool_pop(pool);
    assert_int_equal(objc_sim_stop(), 1);
}

static void test_ownership(void **state) {
    (void)state;
    start(1400);
    (void)allocate();
    assert_int_equal(objc_sim_stop(), 1); /* a leak */

    start(1400);
    objc_id object = allocate();
    ns_release(object);
    ns_release(object);
    expect_misuse("-release sent to a freed NSObject");
    assert_int_equal(objc_sim_stop(), 1);

    start(1400);
    void *pool = tandem__objc.pool_push();
    objc_id text = objc_text("owned by the pool");
    ns_release(text);
    expect_misuse("released once too often: a pool owns it");
    tandem__objc.pool_pop(pool);
    assert_int_equal(objc_sim_stop(), 1);

    start(1400);
    pool = tandem__objc.pool_push();
    text = objc_text("gone");
    tandem__objc.pool_pop(pool);
    assert_null(ns_utf8(text));
    expect_misuse("-UTF8String sent to a freed NSString");
    assert_int_equal(objc_sim_stop(), 1);
}

static void test_pools(void **state) {
    (void)state;
    start(1400);
    (void)objc_text("no pool");
    expect_misuse("no pool in place");
    assert_int_equal(objc_sim_stop(), 2); /* and it leaks */

    start(1400);
    void *outer = tandem__objc.pool_push();
    void *inner = tandem__objc.pool_push();
    tandem__objc.pool_pop(outer);
    expect_misuse("not the last one opened");
    tandem__objc.pool_pop(inner);
    assert_int_equal(objc_sim_stop(), 2); /* the outer one is still open */
}

static void test_receivers(void **state) {
    (void)state;
    start(1400);
    objc_id object = allocate();
    assert_null(ns_utf8(object));
    expect_misuse("UTF8String sent to a NSObject: unrecognized selector");
    ns_release(object);
    assert_int_equal(objc_sim_stop(), 1);

    start(1400);
    void *pool = tandem__objc.pool_push();
    assert_null(ns_array(objc_text("an instance"), NULL, 0));
    expect_misuse("arrayWithObjects:count: sent to a NSString: unrecognized selector");
    tandem__objc.pool_pop(pool);
    assert_int_equal(objc_sim_stop(), 1);

    start(1400);
    object = ns_alloc(objc_class("NSObject"));
    (void)ns_retain(object);
    expect_misuse("-retain sent to a NSObject that is not initialised");
    (void)ns_init(object);
    assert_null(ns_init(object));
    assert_int_equal(objc_sim_misuses(), 2);
    ns_release(object);
    assert_int_equal(objc_sim_stop(), 2);
}

/* A class that takes another class's message by name, and nothing else of it. */
static objc_uint count_nothing(objc_id self, objc_sel selector) {
    (void)self;
    (void)selector;
    return 5;
}
static const objc_sim_method lookalike_methods[] = {OBJC_SIM_METHOD(ns_array_count, count_nothing)};
static const objc_sim_class newer_class = {
    .name = "MLNewer", .parent = &objc_sim_nsobject, .since = 1500};
static const objc_sim_class lookalike_class = {.name = "NSArray",
                                               .parent = &objc_sim_nsobject,
                                               .is_protocol = true,
                                               .methods = lookalike_methods,
                                               .method_count = 1};
static int variable;
static const objc_sim_symbol symbols[] = {{.name = "aVariable", .address = &variable}};

static void test_framework(void **state) {
    (void)state;
    const objc_sim_class *const classes[] = {&newer_class, &lookalike_class};
    const objc_sim_framework framework = {.name = "Sample",
                                          .classes = classes,
                                          .class_count = 2,
                                          .symbols = symbols,
                                          .symbol_count = 1};
    const objc_sim_framework *const frameworks[] = {&framework};
    objc_sim_options options = {
        .is_counting = true, .frameworks = frameworks, .framework_count = 1};
    tandem_error err = {0};
    void *library = NULL;
    objc_sim_start(&options);
    assert_int_equal(tandem__objc_open("Sample", &library, &err), TANDEM_OK);
    assert_ptr_equal(tandem__objc_symbol(library, "aVariable"), &variable);
    assert_null(tandem__objc_symbol(library, "another"));
    assert_null(objc_class("MLNewer")); /* came with 1500 */
    objc_id object = objc_sim_new(&lookalike_class);
    assert_int_equal(ns_array_count(object), 5);
    assert_true(objc_sim_is(object, "NSObject", "a test"));
    assert_false(objc_sim_is(object, "MLNewer", "a test"));
    expect_misuse("a test: a NSArray, expected a MLNewer");
    ns_release(object);
    assert_int_equal(objc_sim_stop(), 1);
    options.missing = "Sample";
    objc_sim_start(&options);
    assert_int_equal(tandem__objc_open("Sample", &library, &err), TANDEM_DEVICE);
    assert_int_equal(objc_sim_stop(), 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_right_use), cmocka_unit_test(test_made_by_stand_ins),
        cmocka_unit_test(test_version),   cmocka_unit_test(test_ownership),
        cmocka_unit_test(test_pools),     cmocka_unit_test(test_receivers),
        cmocka_unit_test(test_framework),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
