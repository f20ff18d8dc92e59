/* SPDX-License-Identifier: Apache-2.0 */
/* Files: mapping, reading with a ceiling, atomic writing, temporary files, and their errors. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/cpu.h"
#include "base/dtype.h"
#include "base/file.h"
#include "support/temp_folder.h"

static char folder[256];
static char path[TANDEM_PATH_MAX];

static int set_up(void **state) {
    (void)state;
    folder_make(folder);
    return tandem__path_join(folder, "file", path, NULL) != TANDEM_OK;
}

static int tear_down(void **state) {
    (void)state;
    folder_remove(folder);
    return 0;
}

static void maps_and_releases(void **state) {
    (void)state;
    static unsigned char bytes[100000];
    for (size_t i = 0; i < sizeof bytes; i++) bytes[i] = (unsigned char)(i * 31 >> 3);
    folder_write(folder, "file", bytes, sizeof bytes);
    tandem_map map;
    assert_int_equal(tandem__file_map(path, &map, NULL), TANDEM_OK);
    assert_int_equal(map.len, sizeof bytes);
    assert_memory_equal(map.bytes, bytes, sizeof bytes);
    static const size_t spans[][2] = {{0, 100000}, {1, 5},        {4097, 90000},
                                      {99999, 1},  {5, SIZE_MAX}, {100000, 1}};
    for (size_t i = 0; i < sizeof spans / sizeof spans[0]; i++) {
        tandem__file_release(&map, spans[i][0], spans[i][1]);
        assert_memory_equal(map.bytes, bytes, sizeof bytes);
    }
    tandem__file_unmap(&map);
    assert_null(map.bytes);
    tandem__file_unmap(&map);
}

static void empty_files_have_no_bytes(void **state) {
    (void)state;
    folder_write_text(folder, "file", "");
    tandem_map map = {(const uint8_t *)"x", 1};
    assert_int_equal(tandem__file_map(path, &map, NULL), TANDEM_OK);
    assert_null(map.bytes);
    assert_int_equal(map.len, 0);
    tandem__file_release(&map, 0, 10);
    tandem__file_unmap(&map);
}

static void errors_name_the_path(void **state) {
    (void)state;
    tandem_map map;
    tandem_error err = {0};
    char expected[TANDEM_PATH_MAX + 64];
    assert_int_equal(tandem__file_map(path, &map, &err), TANDEM_NOT_FOUND);
    (void)snprintf(expected, sizeof expected, "%s: no such file or directory", path);
    assert_string_equal(err.message, expected);
    tandem_error_clear(&err);
    assert_int_equal(tandem__file_map(folder, &map, &err), TANDEM_INVALID);
    assert_non_null(strstr(err.message, "is a directory, expected a regular file"));
    tandem_error_clear(&err);
    assert_int_equal(tandem__file_map("/dev/null", &map, &err), TANDEM_INVALID);
    assert_non_null(strstr(err.message, "is a device, pipe or socket"));
    char pipe_path[TANDEM_PATH_MAX];
    tandem_error_clear(&err);
    assert_int_equal(tandem__path_join(folder, "pipe", pipe_path, NULL), TANDEM_OK);
    assert_int_equal(mkfifo(pipe_path, 0600), 0);
    assert_int_equal(tandem__file_map(pipe_path, &map, &err), TANDEM_INVALID); /* and at once */
    assert_int_equal(unlink(pipe_path), 0);
    tandem_error_clear(&err);
    folder_write_text(folder, "file", "x");
    char below[TANDEM_PATH_MAX];
    assert_int_equal(tandem__path_join(path, "below", below, NULL), TANDEM_OK);
    assert_int_equal(tandem__file_map(below, &map, &err), TANDEM_NOT_FOUND);
    assert_non_null(strstr(err.message, "no directory"));
}

static void reads_up_to_the_ceiling(void **state) {
    (void)state;
    folder_write_text(folder, "file", "0123456789");
    tandem_buffer buffer;
    tandem__buffer_init(&buffer, 64);
    assert_int_equal(tandem__buffer_push(&buffer, "> ", 2, NULL), TANDEM_OK);
    assert_int_equal(tandem__file_read(path, &buffer, NULL), TANDEM_OK);
    assert_int_equal(buffer.len, 12);
    assert_memory_equal(buffer.ptr, "> 0123456789", 12);
    tandem__buffer_deinit(&buffer);
    tandem__buffer_init(&buffer, 8);
    tandem_error err = {0};
    assert_int_equal(tandem__file_read(path, &buffer, &err), TANDEM_CAPACITY);
    assert_non_null(strstr(err.message, "10 bytes, limit 7"));
    tandem__buffer_deinit(&buffer);
}

static void writes_replace_whole(void **state) {
    (void)state;
    folder_write_text(folder, "file", "old and long");
    assert_int_equal(tandem__file_write(path, "new", 3, NULL), TANDEM_OK);
    tandem_map map;
    assert_int_equal(tandem__file_map(path, &map, NULL), TANDEM_OK);
    assert_int_equal(map.len, 3);
    assert_memory_equal(map.bytes, "new", 3);
    tandem__file_unmap(&map);
    tandem_error err = {0};
    assert_int_equal(tandem__file_write("/no/such/folder/x", "x", 1, &err), TANDEM_NOT_FOUND);
    char below[TANDEM_PATH_MAX];
    assert_int_equal(tandem__path_join(folder, "directory", below, NULL), TANDEM_OK);
    assert_int_equal(mkdir(below, 0700), 0);
    assert_true(tandem__file_is_directory(below));
    assert_false(tandem__file_is_directory(path));
    assert_true(tandem__file_exists(path));
    tandem_error_clear(&err);
    assert_int_not_equal(tandem__file_write(below, "x", 1, &err), TANDEM_OK); /* is a directory */
    char part[TANDEM_PATH_MAX + 32];
    (void)snprintf(part, sizeof part, "%s.%ld.part", below, (long)getpid());
    assert_false(tandem__file_exists(part));
}

static void temporary_files_show_what_is_written(void **state) {
    (void)state;
    int fd = -1;
    tandem_map map;
    assert_int_equal(tandem__file_temporary(100000, &fd, &map, NULL), TANDEM_OK);
    assert_int_equal(map.len, 100000);
    assert_int_equal(map.bytes[99999], 0);
    assert_int_equal(pwrite(fd, "abc", 3, 50000), 3);
    assert_int_equal(close(fd), 0);
    assert_memory_equal(map.bytes + 50000, "abc", 3);
    tandem__file_release(&map, 0, 100000);
    assert_memory_equal(map.bytes + 50000, "abc", 3);
    tandem__file_unmap(&map);
    const char *old = getenv("TMPDIR");
    char saved[TANDEM_PATH_MAX];
    (void)snprintf(saved, sizeof saved, "%s", old == NULL ? "" : old);
    assert_int_equal(setenv("TMPDIR", "/no/such/folder", 1), 0);
    tandem_error err = {0};
    assert_int_equal(tandem__file_temporary(10, &fd, &map, &err), TANDEM_NOT_FOUND);
    assert_non_null(strstr(err.message, "/no/such/folder"));
    assert_int_equal(setenv("TMPDIR", saved, 1), 0);
}

static void joins_paths(void **state) {
    (void)state;
    char out[TANDEM_PATH_MAX];
    assert_int_equal(tandem__path_join("a", "b", out, NULL), TANDEM_OK);
    assert_string_equal(out, "a/b");
    assert_int_equal(tandem__path_join("a/", "b", out, NULL), TANDEM_OK);
    assert_string_equal(out, "a/b");
    static char long_name[TANDEM_PATH_MAX];
    memset(long_name, 'x', sizeof long_name - 1);
    assert_int_equal(tandem__path_join("a", long_name, out, NULL), TANDEM_CAPACITY);
    long_name[TANDEM_PATH_MAX - 3] = '\0';
    assert_int_equal(tandem__path_join("a", long_name, out, NULL), TANDEM_OK);
    assert_int_equal(strlen(out), TANDEM_PATH_MAX - 1);
}

static void masks_name_a_ladder(void **state) {
    (void)state;
    uint32_t mask = 7;
    assert_true(tandem__cpu_mask_from_name("c", &mask));
    assert_int_equal(mask, 0);
    assert_true(tandem__cpu_mask_from_name("native", &mask));
    assert_true(mask == UINT32_MAX);
    assert_true(tandem__cpu_mask_from_name("avx2", &mask));
    assert_int_equal(mask, TANDEM_CPU_AVX2);
    assert_true(tandem__cpu_mask_from_name("avx512", &mask));
    assert_int_equal(mask, TANDEM_CPU_AVX2 | TANDEM_CPU_AVXVNNI | TANDEM_CPU_AVX512);
    assert_true(tandem__cpu_mask_from_name("dotprod", &mask));
    assert_int_equal(mask, TANDEM_CPU_NEON | TANDEM_CPU_FP16 | TANDEM_CPU_DOTPROD);
    mask = 7;
    assert_false(tandem__cpu_mask_from_name("", &mask));
    assert_false(tandem__cpu_mask_from_name("AVX2", &mask));
    assert_int_equal(mask, 7);
    const uint32_t all = tandem__cpu_flags();
    tandem__cpu_set_mask(TANDEM_CPU_AVX2 | TANDEM_CPU_NEON);
    assert_int_equal(tandem__cpu_flags(), all & (TANDEM_CPU_AVX2 | TANDEM_CPU_NEON));
    tandem__cpu_set_mask(0);
    assert_int_equal(tandem__cpu_flags(), 0);
    tandem__cpu_set_mask(UINT32_MAX);
    assert_true((tandem__cpu_flags() & all) == all);
    assert_true(tandem__cpu_count() >= 1);
    assert_true(strlen(tandem__cpu_name()) > 0);
}

static void dtypes_have_words_and_sizes(void **state) {
    (void)state;
    static const char *const words[] = {"f32", "f16", "bf16", "i8", "fp8", "auto"};
    static const size_t sizes[] = {4, 2, 2, 1, 1};
    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++) {
        tandem_dtype dtype = TANDEM_DTYPE_I64;
        assert_true(tandem__dtype_from_word(words[i], &dtype));
        assert_string_equal(tandem__dtype_word(dtype), words[i]);
        if (i < 5) assert_int_equal(tandem__dtype_bytes(dtype), sizes[i]);
    }
    tandem_dtype dtype = TANDEM_DTYPE_I64;
    assert_false(tandem__dtype_from_word("F32", &dtype));
    assert_int_equal(dtype, TANDEM_DTYPE_I64);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(maps_and_releases),
        TEST(empty_files_have_no_bytes),
        TEST(errors_name_the_path),
        TEST(reads_up_to_the_ceiling),
        TEST(writes_replace_whole),
        TEST(temporary_files_show_what_is_written),
        cmocka_unit_test(joins_paths),
        cmocka_unit_test(masks_name_a_ladder),
        cmocka_unit_test(dtypes_have_words_and_sizes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
