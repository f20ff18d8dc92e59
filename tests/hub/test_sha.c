/* SPDX-License-Identifier: Apache-2.0 */
/* SHA-1 and SHA-256 against the standard's examples and against values of Python's hashlib at
 * lengths around the block's and the padding's edges, whole and in pieces. */
#include "base/sha.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static void hash(tandem_sha_kind kind, const void *bytes, size_t len, size_t step, char *hex) {
    tandem_sha sha;
    tandem__sha_init(&sha, kind);
    for (size_t at = 0; at < len; at += step) {
        tandem__sha_update(&sha, (const char *)bytes + at, len - at < step ? len - at : step);
    }
    tandem__sha_finish(&sha, hex);
}

/* FIPS 180-4's examples, and a blob from the Git book. */
static void test_examples(void **state) {
    (void)state;
    char hex[TANDEM_SHA_HEX_MAX];
    hash(TANDEM_SHA_1, "abc", 3, 3, hex);
    assert_string_equal(hex, "a9993e364706816aba3e25717850c26c9cd0d89d");
    hash(TANDEM_SHA_256, "abc", 3, 3, hex);
    assert_string_equal(hex, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    static char million[1000000];
    memset(million, 'a', sizeof million);
    hash(TANDEM_SHA_1, million, sizeof million, 977, hex);
    assert_string_equal(hex, "34aa973cd4c4daa4f61eeb2bdbad27316534016f");
    hash(TANDEM_SHA_256, million, sizeof million, 977, hex);
    assert_string_equal(hex, "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0");
    hash(TANDEM_SHA_1, "blob 16\0what is up, doc?", 24, 24, hex);
    assert_string_equal(hex, "bd9dbf5aae1a3862dd1526723246b20206e5fc37");
}

static void test_lengths(void **state) {
    (void)state;
    static const struct {
        size_t len;
        const char *sha1;
        const char *sha256;
    } cases[] = {
        {0, "da39a3ee5e6b4b0d3255bfef95601890afd80709",
         "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"},
        {1, "5ba93c9db0cff93f52b521d7420e43f6eda2784f",
         "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d"},
        {55, "aecd1643c9903b9bae8cb94f53c50f8a4e18605b",
         "576a1bf8d4478657e6dc4af9398544765c2a92cde28478b019235cfed315fc09"},
        {56, "f5d65c621c02cc8e785159feff8088e3072da1bc",
         "9b20501dfd1d99161c257950f3444f3e49230c351c5c8e0943ef369f85f5205d"},
        {63, "4952f0fe097e4d6410ae9eab4855aa836caf3bff",
         "30b345906b493f06f69444b6521113511c242f30e29840462950035043682f1e"},
        {64, "1e17ae1fc093e5daca033553c97a5192ca164486",
         "d8bc63b4fc1156e5e7d95a418b9bf54cd3174bedbc2db40f74895349b229b3c0"},
        {65, "ac44f5dbe3e9b5d2733fc9537fcad715c3c20bc3",
         "1ee23b0fbcaecc1aff4a9e8f1645f35ab2c8e13609cd73b68df8b5e3f63ce073"},
        {119, "b4a4e69060d0b1e7e8ebbf7041a4211c63438b57",
         "7a6589821178918ca8d9edaba5abfc1e9b2669564f4469b66885379c1530b2c8"},
        {120, "b651390c2996406336a3f6647e4b590c18cdd6f8",
         "655250427d56b1b0eeb8497d21428704273458a01772d6881b65c0abac0f8a98"},
        {1000, "38f3aa587f4aa04965a359f9151092759b3a4c2a",
         "89f4ff56a25dd1db06a4ce6033603775d705fb96f30f8693733fef602a1ca532"},
    };
    uint8_t bytes[1000];
    for (size_t i = 0; i < sizeof bytes; i++) bytes[i] = (uint8_t)(i * 7);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        static const size_t steps[] = {1, 3, 63, 64, 65, 1000};
        for (size_t j = 0; j < sizeof steps / sizeof steps[0]; j++) {
            char hex[TANDEM_SHA_HEX_MAX];
            hash(TANDEM_SHA_1, bytes, cases[i].len, steps[j], hex);
            assert_string_equal(hex, cases[i].sha1);
            hash(TANDEM_SHA_256, bytes, cases[i].len, steps[j], hex);
            assert_string_equal(hex, cases[i].sha256);
        }
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_examples),
        cmocka_unit_test(test_lengths),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
