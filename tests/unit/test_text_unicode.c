/* SPDX-License-Identifier: Apache-2.0 */
/* All 1,112,064 code points, one by one: normalised with every option, and cut into words. The
 * hashes of what the reference makes of them are in tests/golden/tokenizer_unicode.txt
 * (tools/gen_unicode.py). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/utf8.h"
#include "text/byte_level.h"
#include "text/normalizer.h"
#include "text/pretokenizer.h"
#include "text/unicode.h"

#define GOLDEN     "tests/golden/tokenizer_unicode.txt"
#define LINES      (17 * (16 + 2 + 7)) /* a plane: options, pre-tokenizers, normalizers */
#define FNV_START  UINT64_C(0xcbf29ce484222325)
#define FNV_FACTOR UINT64_C(0x100000001b3)

static bool is_surrogate(uint32_t code) {
    return code >= 0xd800 && code <= 0xdfff;
}

static uint64_t fnv(uint64_t hash, const uint8_t *bytes, size_t len) {
    for (size_t i = 0; i < len; i++) hash = (hash ^ bytes[i]) * FNV_FACTOR;
    return hash;
}

static uint64_t hash_normalized(uint32_t plane, tandem_normalizer normalizer) {
    tandem_normalized out = {0};
    tandem_normalizer_scratch scratch = {0};
    uint64_t hash = FNV_START;
    for (uint32_t code = plane << 16; code <= (plane << 16 | 0xffff); code++) {
        if (is_surrogate(code)) continue;
        uint8_t text[4];
        const tandem_view in = {.bytes = text, .len = tandem__utf8_encode(code, text)};
        assert_int_equal(tandem__normalizer_apply(&normalizer, in, true, &out, &scratch, NULL), 0);
        hash = fnv(hash, out.bytes.ptr, out.bytes.count);
        hash = fnv(hash, (const uint8_t *)"\xff", 1);
        /* Whatever came out, it came from the one character. */
        for (size_t i = 0; i < out.bytes.count; i++) {
            assert_int_equal(tandem__view_origin(tandem__normalized_view(&out), i), 0);
        }
    }
    tandem__normalized_deinit(&out);
    tandem__normalizer_scratch_deinit(&scratch);
    return hash;
}

static uint64_t hash_bert(uint32_t plane, const unsigned on[4]) {
    tandem_normalizer_bert config = {on[0] != 0, on[1] != 0, on[2] != 0, on[3] != 0};
    return hash_normalized(plane, (tandem_normalizer){&tandem__normalizer_bert_type, &config});
}

static uint64_t hash_named(uint32_t plane, const char *name) {
    const tandem_json type = {
        .kind = TANDEM_JSON_STRING, .key = TANDEM_STR("type"), .text = tandem__str(name)};
    const tandem_json json = {.kind = TANDEM_JSON_OBJECT, .count = 1, .first = (void *)&type};
    tandem_normalizer normalizer = {0};
    tandem_arena arena;
    tandem__arena_init(&arena, 1 << 16);
    assert_int_equal(tandem__normalizer_read(&normalizer, &json, &arena, NULL), TANDEM_OK);
    const uint64_t hash = hash_normalized(plane, normalizer);
    tandem__arena_deinit(&arena);
    return hash;
}

static uint64_t hash_splits(uint32_t plane) {
    tandem_pretokenizer_part part = {&tandem__pretokenizer_bert_type, NULL};
    const tandem_pretokenizer pretokenizer = {.parts = &part, .count = 1};
    uint64_t hash = FNV_START;
    for (uint32_t code = plane << 16; code <= (plane << 16 | 0xffff); code++) {
        if (is_surrogate(code)) continue;
        uint8_t text[6] = {'a'};
        const size_t n = tandem__utf8_encode(code, text + 1);
        text[1 + n] = 'a';
        tandem_split splits[4];
        size_t at = 0;
        const uint8_t count =
            (uint8_t)tandem__pretokenizer_split(&pretokenizer, text, n + 2, &at, splits, 4);
        assert_int_equal(at, n + 2);
        hash = fnv(hash, &count, 1);
    }
    return hash;
}

/* ByteLevel without rewriting. */
static tandem_pretokenizer bytes_pretokenizer(tandem_arena *arena) {
    const tandem_str text =
        TANDEM_STR("{\"type\":\"ByteLevel\",\"add_prefix_space\":false,\"trim_offsets\":true}");
    const tandem_json *json = NULL;
    tandem_pretokenizer made = {0};
    assert_int_equal(tandem__json_parse(text, arena, &json, NULL), TANDEM_OK);
    assert_int_equal(tandem__pretokenizer_read(&made, json, arena, NULL), TANDEM_OK);
    assert_true(tandem__pretokenizer_ends_in_bytes(&made));
    tandem__pretokenizer_leave_bytes(&made);
    assert_true(tandem__pretokenizer_is_simple(&made));
    return made;
}

/* The lengths of the words that ByteLevel finds in "a.1.!. ." where the points are `code`. */
static uint64_t hash_byte_words(uint32_t plane) {
    tandem_arena arena;
    tandem__arena_init(&arena, 1 << 20);
    const tandem_pretokenizer pretokenizer = bytes_pretokenizer(&arena);
    uint64_t hash = FNV_START;
    for (uint32_t code = plane << 16; code <= (plane << 16 | 0xffff); code++) {
        if (is_surrogate(code)) continue;
        uint8_t text[32];
        size_t len = 0;
        for (size_t i = 0; i < 4; i++) {
            text[len++] = (uint8_t) "a1! "[i];
            len += tandem__utf8_encode(code, text + len);
        }
        tandem_split splits[16];
        size_t at = 0;
        const size_t count = tandem__pretokenizer_split(&pretokenizer, text, len, &at, splits, 16);
        assert_int_equal(at, len);
        for (size_t i = 0; i < count; i++) {
            const uint8_t bytes = (uint8_t)(splits[i].end - splits[i].start);
            hash = fnv(hash, &bytes, 1);
        }
        hash = fnv(hash, (const uint8_t *)"\xff", 1);
    }
    tandem__arena_deinit(&arena);
    return hash;
}

/* Each byte has a character of its own and comes back from it. */
static void test_byte_alphabet(void **state) {
    (void)state;
    uint8_t text[2 * 256];
    uint8_t back[2 * 256];
    size_t len = 0;
    for (unsigned i = 0; i < 256; i++) {
        const uint32_t code = tandem__byte_char((uint8_t)i);
        assert_int_equal(tandem__char_byte(code), i);
        len += tandem__utf8_encode(code, text + len);
    }
    size_t count = 0;
    for (uint32_t code = 0; code < 0x1000; code++) count += tandem__char_byte(code) >= 0;
    assert_int_equal(count, 256);
    assert_true(tandem__byte_level_decode((tandem_str){(const char *)text, len}, back, &count));
    assert_int_equal(count, 256);
    for (unsigned i = 0; i < 256; i++) assert_int_equal(back[i], i);
    assert_false(tandem__byte_level_decode(TANDEM_STR("a b"), back, &count));
    assert_int_equal(tandem__byte_char(' '), 0x120);
}

static void test_every_code_point(void **state) {
    (void)state;
    FILE *const file = fopen(GOLDEN, "r");
    assert_non_null(file);
    char line[128];
    int lines = 0;
    while (fgets(line, sizeof line, file) != NULL) {
        unsigned plane = 0;
        unsigned on[4] = {0};
        char name[16] = "";
        unsigned long long want = 0;
        uint64_t got = 0;
        if (sscanf(line, "%u split %llx", &plane, &want) == 2) {
            got = hash_splits(plane);
        } else if (sscanf(line, "%u bytes %llx", &plane, &want) == 2) {
            got = hash_byte_words(plane);
        } else if (sscanf(line, "%u %u %u %u %u %llx", &plane, &on[0], &on[1], &on[2], &on[3],
                          &want) == 6) {
            got = hash_bert(plane, on);
        } else if (sscanf(line, "%u %15[A-Za-z] %llx", &plane, name, &want) == 3) {
            got = hash_named(plane, name);
        } else {
            assert_int_equal(line[0], '#');
            continue;
        }
        if (got != want) fail_msg("not as the reference: %s", line);
        lines++;
    }
    assert_int_equal(fclose(file), 0);
    assert_int_equal(lines, LINES);
}

/* Words come out the same through a buffer of any size. */
static void test_splits_in_parts(void **state) {
    (void)state;
    static const char text[] = "  Don't  stop, a.b\xe2\x80\xa6"
                               "c \xe3\x80\x80!!x ";
    const uint8_t *const bytes = (const uint8_t *)text;
    tandem_pretokenizer_part part = {&tandem__pretokenizer_bert_type, NULL};
    const tandem_pretokenizer pretokenizer = {.parts = &part, .count = 1};
    tandem_split whole[32];
    size_t at = 0;
    const size_t end = sizeof text - 1;
    const size_t count = tandem__pretokenizer_split(&pretokenizer, bytes, end, &at, whole, 32);
    assert_int_equal(count, 13);
    for (size_t max = 2; max < 8; max++) {
        size_t seen = 0;
        at = 0;
        while (at < end) {
            tandem_split some[8];
            const size_t n = tandem__pretokenizer_split(&pretokenizer, bytes, end, &at, some, max);
            assert_in_range(n, 0, max);
            assert_memory_equal(some, whole + seen, n * sizeof some[0]);
            seen += n;
        }
        assert_int_equal(seen, count);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_byte_alphabet),
        cmocka_unit_test(test_every_code_point),
        cmocka_unit_test(test_splits_in_parts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
