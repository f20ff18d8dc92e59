/* SPDX-License-Identifier: Apache-2.0 */
/* The heap's test hooks, arenas and buffers: alignment, ceilings, failure without change. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/arena.h"
#include "base/buffer.h"
#include "base/mem.h"

static void counts_and_fails_on_demand(void **state) {
    (void)state;
    const uint64_t before = tandem__mem_count();
    void *a = tandem__mem_calloc(3, 5);
    assert_non_null(a);
    for (size_t i = 0; i < 15; i++) assert_int_equal(((char *)a)[i], 0);
    assert_int_equal(tandem__mem_count(), before + 1);
    tandem__mem_fail_at(2);
    void *b = tandem__mem_realloc(NULL, 8);
    assert_non_null(b);
    assert_null(tandem__mem_realloc(b, 16)); /* the second from now, b stays */
    memset(b, 1, 8);
    void *c = tandem__mem_alloc_aligned(64); /* once only */
    assert_non_null(c);
    tandem__mem_fail_at(1);
    assert_null(tandem__mem_alloc_aligned(64));
    tandem__mem_fail_at(1);
    assert_null(tandem__mem_calloc(1, 1));
    tandem__mem_fail_at(0);
    assert_int_equal(tandem__mem_count(), before + 3);
    assert_null(tandem__mem_alloc_aligned(SIZE_MAX - 10));
    tandem__mem_free(a);
    tandem__mem_free(b);
    tandem__mem_free_aligned(c, 64);
    tandem__mem_free(NULL);
}

static void aligned_blocks_are_aligned(void **state) {
    (void)state;
    static const size_t sizes[] = {1, 63, 64, 65, 4096, (size_t)2 << 20, ((size_t)2 << 20) + 1};
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        unsigned char *block = tandem__mem_alloc_aligned(sizes[i]);
        assert_non_null(block);
        const uintptr_t alignment = sizes[i] >= (size_t)2 << 20 ? (uintptr_t)2 << 20 : 64;
        assert_int_equal((uintptr_t)block % alignment, 0);
        block[0] = 1;
        block[sizes[i] - 1] = 1;
        tandem__mem_free_aligned(block, sizes[i]);
    }
}

/* 64 GB of addresses, of which three pages are memory. */
static void sparse_blocks_are_zero(void **state) {
    (void)state;
    const size_t size = (size_t)64 << 30;
    unsigned char *block = tandem__mem_alloc_sparse(size);
    if (block == NULL) { /* a system that promises no more than it has */
        block = tandem__mem_alloc_sparse((size_t)64 << 20);
        assert_non_null(block);
        tandem__mem_free_sparse(block, (size_t)64 << 20);
    } else {
        for (size_t at = 0; at < size; at += size / 2 - 1) {
            assert_int_equal(block[at], 0);
            block[at] = 1;
        }
        tandem__mem_free_sparse(block, size);
    }
    tandem__mem_fail_at(1);
    assert_null(tandem__mem_alloc_sparse(4096));
    tandem__mem_free_sparse(NULL, 4096);
}

static void arena_objects_are_zero_and_apart(void **state) {
    (void)state;
    tandem_arena arena;
    tandem__arena_init(&arena, (size_t)1 << 22);
    unsigned char *objects[300];
    for (size_t i = 0; i < 300; i++) {
        objects[i] = tandem__arena_alloc(&arena, i * 7);
        assert_non_null(objects[i]);
        assert_int_equal((uintptr_t)objects[i] % (i * 7 >= 64 ? 64 : 16), 0);
        for (size_t k = 0; k < i * 7; k++) assert_int_equal(objects[i][k], 0);
        if (i > 0) memset(objects[i], (int)(i & 0xff), i * 7);
    }
    for (size_t i = 1; i < 300; i++) {
        assert_int_equal(objects[i][0], i & 0xff);
        assert_int_equal(objects[i][i * 7 - 1], i & 0xff);
    }
    const char *copy = tandem__arena_copy(&arena, "abc\0d", 5);
    assert_memory_equal(copy, "abc\0d", 6);
    assert_true(arena.bytes_used <= arena.bytes_max);
    tandem__arena_deinit(&arena);
    assert_int_equal(arena.bytes_used, 0);
}

static void arena_keeps_its_bound(void **state) {
    (void)state;
    tandem_arena arena;
    tandem__arena_init(&arena, 100000);
    assert_null(tandem__arena_alloc(&arena, 100001));
    assert_null(tandem__arena_alloc(&arena, SIZE_MAX));
    assert_null(tandem__arena_array(&arena, SIZE_MAX / 2, 4));
    assert_null(tandem__arena_copy(&arena, "", SIZE_MAX));
    size_t total = 0;
    while (tandem__arena_alloc(&arena, 1000) != NULL) total += 1000;
    assert_true(total >= 60000 && total <= 100000);
    assert_true(arena.bytes_used <= 100000);
    tandem__arena_deinit(&arena);
    tandem__mem_fail_at(1);
    assert_null(tandem__arena_alloc(&arena, 8));
    tandem__mem_fail_at(0);
    assert_non_null(tandem__arena_alloc(&arena, 8));
    tandem__arena_deinit(&arena);
}

static void buffer_grows_to_its_ceiling(void **state) {
    (void)state;
    tandem_buffer buffer;
    tandem__buffer_init(&buffer, 1000);
    tandem_error err = {0};
    for (int i = 0; i < 100; i++) {
        assert_int_equal(tandem__buffer_push(&buffer, "0123456789", 10, &err), TANDEM_OK);
    }
    assert_int_equal(buffer.len, 1000);
    assert_memory_equal(buffer.ptr + 990, "0123456789", 10);
    assert_int_equal(tandem__buffer_push(&buffer, "x", 1, &err), TANDEM_CAPACITY);
    assert_non_null(strstr(err.message, "limit 1000"));
    assert_int_equal(buffer.len, 1000);
    assert_int_equal(tandem__buffer_push(&buffer, NULL, 0, NULL), TANDEM_OK);
    tandem__buffer_deinit(&buffer);
    assert_null(buffer.ptr);
}

static void buffer_failure_changes_nothing(void **state) {
    (void)state;
    tandem_buffer buffer;
    tandem__buffer_init(&buffer, 100000);
    assert_int_equal(tandem__buffer_push(&buffer, "abc", 3, NULL), TANDEM_OK);
    tandem__mem_fail_at(1);
    assert_int_equal(tandem__buffer_reserve(&buffer, 5000, NULL), TANDEM_MEMORY);
    tandem__mem_fail_at(0);
    assert_int_equal(buffer.len, 3);
    assert_memory_equal(buffer.ptr, "abc", 3);
    assert_int_equal(tandem__buffer_printf(&buffer, NULL, "%d-%s", 42, "x"), TANDEM_OK);
    assert_int_equal(buffer.len, 7);
    assert_memory_equal(buffer.ptr, "abc42-x", 7);
    assert_int_equal(tandem__buffer_printf(&buffer, NULL, "%100000d", 1), TANDEM_CAPACITY);
    assert_int_equal(buffer.len, 7);
    tandem__buffer_deinit(&buffer);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(counts_and_fails_on_demand),
        cmocka_unit_test(aligned_blocks_are_aligned),
        cmocka_unit_test(sparse_blocks_are_zero),
        cmocka_unit_test(arena_objects_are_zero_and_apart),
        cmocka_unit_test(arena_keeps_its_bound),
        cmocka_unit_test(buffer_grows_to_its_ceiling),
        cmocka_unit_test(buffer_failure_changes_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
