/* SPDX-License-Identifier: Apache-2.0 */
/* One safetensors file: what is listed, and every way in which a file can be wrong. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "format/safetensors.h"

#define FILE_BYTES_MAX 4096

typedef struct blob {
    unsigned char bytes[FILE_BYTES_MAX];
    size_t len;
} blob;

/* A file of this header and `data_len` bytes 0, 1, 2, ... */
static blob make_file(const char *header, size_t data_len) {
    blob file = {.len = 8 + strlen(header) + data_len};
    assert_true(file.len <= FILE_BYTES_MAX);
    const uint64_t length = strlen(header);
    for (int i = 0; i < 8; i++) file.bytes[i] = (unsigned char)(length >> (8 * i) & 0xff);
    memcpy(file.bytes + 8, header, strlen(header));
    for (size_t i = 0; i < data_len; i++) file.bytes[8 + length + i] = (unsigned char)i;
    return file;
}

static tandem_weights *open_blob(const blob *file) {
    tandem_weights *weights = NULL;
    tandem_error err = {0};
    if (tandem__weights_open_memory(file->bytes, file->len, "x", &weights, &err) != TANDEM_OK) {
        fail_msg("%s", err.message);
    }
    return weights;
}

/* Opens `len` bytes, which must fail as TANDEM_FORMAT with a one-line message that holds `text`. */
static void refuse_bytes(const void *bytes, size_t len, const char *text) {
    tandem_weights *weights = NULL;
    tandem_error err = {0};
    const tandem_status status = tandem__weights_open_memory(bytes, len, "x.bin", &weights, &err);
    if (status != TANDEM_FORMAT || weights != NULL) fail_msg("status %d, %s", status, text);
    if (strstr(err.message, text) == NULL) fail_msg("\"%s\" lacks \"%s\"", err.message, text);
    assert_ptr_equal(strstr(err.message, "x.bin: "), err.message);
    assert_null(strchr(err.message, '\n'));
}

static void refuse(const char *header, size_t data_len, const char *text) {
    const blob file = make_file(header, data_len);
    refuse_bytes(file.bytes, file.len, text);
}

static void lists_tensors_by_name(void **state) {
    (void)state;
    const blob file =
        make_file("{\"__metadata__\":{\"format\":\"pt\"},"
                  "\"b\":{\"dtype\":\"F16\",\"shape\":[3],\"data_offsets\":[8,14]},"
                  "\"a\":{\"dtype\":\"F32\",\"shape\":[1,2],\"data_offsets\":[0,8]},"
                  "\"aa\":{\"dtype\":\"BF16\",\"shape\":[],\"data_offsets\":[14,16]},"
                  "\"none\":{\"dtype\":\"I64\",\"shape\":[0,7],\"data_offsets\":[16,16]}}   ",
                  16);
    tandem_weights *weights = open_blob(&file);
    assert_int_equal(tandem__weights_count(weights), 4);
    static const char *const names[] = {"a", "aa", "b", "none"};
    static const tandem_dtype dtypes[] = {TANDEM_DTYPE_F32, TANDEM_DTYPE_BF16, TANDEM_DTYPE_F16,
                                          TANDEM_DTYPE_I64};
    static const size_t bytes[] = {8, 2, 6, 0};
    static const int ranks[] = {2, 0, 1, 2};
    for (size_t i = 0; i < 4; i++) {
        const tandem_tensor *tensor = tandem__weights_at(weights, i);
        assert_ptr_equal(tandem__weights_find(weights, names[i]), tensor);
        assert_true(tandem__str_is(tensor->name, names[i]));
        assert_int_equal(tensor->dtype, dtypes[i]);
        assert_int_equal(tensor->bytes, bytes[i]);
        assert_int_equal(tensor->rank, ranks[i]);
        assert_string_equal(tensor->path, "x");
    }
    const tandem_tensor *b = tandem__weights_find(weights, "b");
    assert_int_equal(b->shape[0], 3);
    assert_int_equal(((const unsigned char *)b->data)[0], 8);
    assert_null(tandem__weights_find(weights, "ab"));
    assert_null(tandem__weights_find(weights, ""));
    assert_null(tandem__weights_find(weights, "nonee"));
    tandem__weights_release(weights, b->data, b->bytes);
    tandem__weights_release(weights, &file, 1);
    tandem__weights_close(weights);
    tandem__weights_close(NULL);
}

static void accepts_every_dtype(void **state) {
    (void)state;
    static const struct {
        const char *word;
        int bits;
        tandem_dtype dtype;
    } cases[] = {
        {"BOOL", 8, TANDEM_DTYPE_BOOL},    {"U8", 8, TANDEM_DTYPE_U8},
        {"I8", 8, TANDEM_DTYPE_I8},        {"F8_E5M2", 8, TANDEM_DTYPE_AUTO},
        {"F8_E4M3", 8, TANDEM_DTYPE_FP8},  {"F8_E8M0", 8, TANDEM_DTYPE_AUTO},
        {"I16", 16, TANDEM_DTYPE_AUTO},    {"U16", 16, TANDEM_DTYPE_AUTO},
        {"F16", 16, TANDEM_DTYPE_F16},     {"BF16", 16, TANDEM_DTYPE_BF16},
        {"I32", 32, TANDEM_DTYPE_I32},     {"U32", 32, TANDEM_DTYPE_AUTO},
        {"F32", 32, TANDEM_DTYPE_F32},     {"C64", 64, TANDEM_DTYPE_AUTO},
        {"F64", 64, TANDEM_DTYPE_F64},     {"I64", 64, TANDEM_DTYPE_I64},
        {"U64", 64, TANDEM_DTYPE_AUTO},    {"F4", 4, TANDEM_DTYPE_AUTO},
        {"F6_E2M3", 6, TANDEM_DTYPE_AUTO}, {"F6_E3M2", 6, TANDEM_DTYPE_AUTO},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char header[128];
        (void)snprintf(header, sizeof header,
                       "{\"t\":{\"dtype\":\"%s\",\"shape\":[4],\"data_offsets\":[0,%d]}}",
                       cases[i].word, cases[i].bits / 2);
        const blob file = make_file(header, (size_t)cases[i].bits / 2);
        tandem_weights *weights = open_blob(&file);
        assert_int_equal(tandem__weights_at(weights, 0)->dtype, cases[i].dtype);
        assert_string_equal(tandem__weights_at(weights, 0)->dtype_word, cases[i].word);
        tandem__weights_close(weights);
    }
}

static void accepts_no_tensor_at_all(void **state) {
    (void)state;
    const blob file = make_file("{}", 0);
    tandem_weights *weights = open_blob(&file);
    assert_int_equal(tandem__weights_count(weights), 0);
    assert_null(tandem__weights_find(weights, "a"));
    tandem__weights_close(weights);
}

static void refuses_bad_lengths(void **state) {
    (void)state;
    refuse_bytes("", 0, "0 bytes");
    refuse_bytes("\2\0\0\0\0\0\0", 7, "7 bytes");
    refuse_bytes("\3\0\0\0\0\0\0\0{}", 10, "truncated");
    refuse_bytes("\1\xe1\xf5\5\0\0\0\0{}", 10, "expected at most 100000000");
    refuse_bytes("\xff\xff\xff\xff\xff\xff\xff\xff{}", 10, "no safetensors file");
    refuse_bytes("version https://git-lfs.github.com/spec/v1\n", 43, "git lfs pull");
    refuse_bytes("\0\0\0\0\0\0\0\0", 8, "header: not valid JSON");
}

static void refuses_bad_headers(void **state) {
    (void)state;
    refuse("{", 0, "not valid JSON");
    refuse("[]", 0, "an array of 0, expected an object");
    refuse("{} {}", 0, "not valid JSON");
    refuse("{\"__metadata__\":1}", 0, "__metadata__: 1");
    refuse("{\"a\":7}", 0, "a: 7, expected an object");
    refuse("{\"a\":{\"shape\":[],\"data_offsets\":[0,0]}}", 0, "dtype: nothing");
    refuse("{\"a\":{\"dtype\":\"F31\",\"shape\":[],\"data_offsets\":[0,4]}}", 4, "dtype: \"F31\"");
    refuse("{\"a\":{\"dtype\":4,\"shape\":[],\"data_offsets\":[0,4]}}", 4, "dtype: 4");
    refuse("{\"a\":{\"dtype\":\"F32\",\"data_offsets\":[0,4]}}", 4, "shape: nothing");
    refuse("{\"a\":{\"dtype\":\"F32\",\"shape\":[-1],\"data_offsets\":[0,4]}}", 4, "shape: -1");
    refuse("{\"a\":{\"dtype\":\"F32\",\"shape\":[1.0],\"data_offsets\":[0,4]}}", 4, "shape: 1.0");
    refuse("{\"a\":{\"dtype\":\"F32\",\"shape\":[9223372036854775808],\"data_offsets\":[0,4]}}", 4,
           "shape: 9223372036854775808");
    refuse("{\"a\":{\"dtype\":\"F32\",\"shape\":[1,1,1,1,1,1,1,1,1],\"data_offsets\":[0,4]}}", 4,
           "at most 8");
    refuse("{\"a\nb\":1}", 0, "header");
}

static void refuses_bad_offsets(void **state) {
    (void)state;
    refuse("{\"a\":{\"dtype\":\"F32\",\"shape\":[1]}}", 4, "data_offsets: nothing");
    refuse("{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0]}}", 4, "data_offsets: an");
    refuse("{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[4,0]}}", 4, "[begin, end]");
    refuse("{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[-4,0]}}", 4, "[begin, end]");
    refuse("{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,\"4\"]}}", 4, "data_off");
    refuse("{\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8]}}", 4, "truncated");
    refuse("{\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,4]}}", 4,
           "4 bytes, expected 8");
    refuse("{\"a\":{\"dtype\":\"F32\",\"shape\":[4294967296,4294967296,2],"
           "\"data_offsets\":[0,0]}}",
           0, "64 bits");
    refuse("{\"a\":{\"dtype\":\"F4\",\"shape\":[3],\"data_offsets\":[0,1]}}", 1, "whole number");
}

static void refuses_overlaps_holes_and_repeats(void **state) {
    (void)state;
    refuse("{\"a\":{\"dtype\":\"U8\",\"shape\":[4],\"data_offsets\":[0,4]},"
           "\"b\":{\"dtype\":\"U8\",\"shape\":[4],\"data_offsets\":[3,7]}}",
           7, "b: starts at byte 3 of the data, expected 4: tensors overlap");
    refuse("{\"a\":{\"dtype\":\"U8\",\"shape\":[4],\"data_offsets\":[0,4]},"
           "\"b\":{\"dtype\":\"U8\",\"shape\":[4],\"data_offsets\":[5,9]}}",
           9, "b: starts at byte 5 of the data, expected 4: tensors leave a hole");
    refuse("{\"a\":{\"dtype\":\"U8\",\"shape\":[4],\"data_offsets\":[0,4]},"
           "\"b\":{\"dtype\":\"U8\",\"shape\":[4],\"data_offsets\":[0,4]}}",
           4, "overlap");
    refuse("{\"a\":{\"dtype\":\"U8\",\"shape\":[4],\"data_offsets\":[0,4]}}", 5,
           "5 bytes of data, but the tensors fill 4");
    refuse("{\"a\":{\"dtype\":\"U8\",\"shape\":[4],\"data_offsets\":[0,4]},"
           "\"a\":{\"dtype\":\"U8\",\"shape\":[4],\"data_offsets\":[4,8]}}",
           8, "a: the name is used twice");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(lists_tensors_by_name),
        cmocka_unit_test(accepts_every_dtype),
        cmocka_unit_test(accepts_no_tensor_at_all),
        cmocka_unit_test(refuses_bad_lengths),
        cmocka_unit_test(refuses_bad_headers),
        cmocka_unit_test(refuses_bad_offsets),
        cmocka_unit_test(refuses_overlaps_holes_and_repeats),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
