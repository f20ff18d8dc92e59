/* SPDX-License-Identifier: Apache-2.0 */
/* The tokenizer's public face: what comes out for the golden texts, what it promises about memory,
 * threads and errors. What the reference does with every option is in test_text_golden.c. */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/file.h"
#include "base/json.h"
#include "base/mem.h"
#include "tandem/tokenizer.h"

#define TINY_BERT "tests/golden/models/tiny-bert/tokenizer.json"
#define LINES     12 /* of texts.txt */

static tandem_tokenizer *open_tiny(void) {
    tandem_tokenizer *tokenizer = NULL;
    tandem_error err = {0};
    const tandem_status status = tandem_tokenizer_open(TINY_BERT, &tokenizer, &err);
    if (status != TANDEM_OK) fail_msg("%s", err.message);
    return tokenizer;
}

static void encode(const tandem_tokenizer *tokenizer, const char *text, const char *pair,
                   const tandem_encode_options *options, tandem_encoding *encoding) {
    tandem_error err = {0};
    const tandem_status status =
        tandem_tokenizer_encode(tokenizer, text, strlen(text), pair,
                                pair == NULL ? 0 : strlen(pair), options, encoding, &err);
    if (status != TANDEM_OK) fail_msg("%s", err.message);
}

static tandem_buffer read_file(const char *path) {
    tandem_buffer file;
    tandem_error err = {0};
    tandem__buffer_init(&file, 1 << 20);
    if (tandem__file_read(path, &file, &err) != TANDEM_OK) fail_msg("%s", err.message);
    assert_int_equal(tandem__buffer_push(&file, "", 1, &err), TANDEM_OK);
    return file;
}

/* Each line of ids.txt and types.txt is what the line of texts.txt has. */
static void test_golden_ids(void **state) {
    (void)state;
    tandem_tokenizer *const tokenizer = open_tiny();
    tandem_buffer texts = read_file("tests/golden/tiny-bert/texts.txt");
    tandem_buffer ids = read_file("tests/golden/tiny-bert/ids.txt");
    tandem_buffer types = read_file("tests/golden/tiny-bert/types.txt");
    const tandem_encode_options options = {.max_length = 48};
    tandem_encoding e = {0};
    char *text = texts.ptr;
    char *id = ids.ptr;
    char *type = types.ptr;
    int lines = 0;
    for (char *end = strchr(text, '\n'); end != NULL; end = strchr(text, '\n'), lines++) {
        *end = '\0';
        char *const tab = strchr(text, '\t');
        if (tab != NULL) *tab = '\0';
        encode(tokenizer, text, tab == NULL ? NULL : tab + 1, &options, &e);
        for (int32_t i = 0; i < e.count; i++) {
            assert_int_equal(strtol(id, &id, 10), e.ids[i]);
            assert_int_equal(strtol(type, &type, 10), e.types[i]);
        }
        assert_int_equal(*id++, '\n');
        assert_int_equal(*type++, '\n');
        text = end + 1;
    }
    assert_int_equal(lines, LINES);
    tandem_encoding_deinit(&e);
    tandem__buffer_deinit(&texts);
    tandem__buffer_deinit(&ids);
    tandem__buffer_deinit(&types);
    tandem_tokenizer_close(tokenizer);
}

static void test_offsets(void **state) {
    (void)state;
    tandem_tokenizer *const tokenizer = open_tiny();
    const tandem_encode_options options = {.want = TANDEM_WANT_OFFSETS};
    tandem_encoding e = {0};
    encode(tokenizer, "\xc3\x89 the [MASK]", NULL, &options, &e); /* É */
    assert_int_equal(e.windows, 1);
    assert_int_equal(e.starts[1], e.count);
    assert_int_equal(e.special[0], 1);
    assert_int_equal(e.words[0], -1);
    assert_int_equal(e.bytes[1].start, 0);
    assert_int_equal(e.bytes[1].end, 2);
    assert_int_equal(e.chars[1].end, 1);
    assert_int_equal(e.words[1], 0);
    assert_int_equal(e.bytes[2].start, 3);
    assert_int_equal(e.chars[2].start, 2);
    const int32_t mask = e.count - 2;
    assert_int_equal(e.ids[mask], tandem_tokenizer_id(tokenizer, "[MASK]", 6));
    assert_string_equal(tandem_encoding_token(&e, tokenizer, mask, NULL), "[MASK]");
    assert_int_equal(e.special[mask], 0);
    tandem_encoding_deinit(&e);
    tandem_tokenizer_close(tokenizer);
}

static void test_steady_work_allocates_nothing(void **state) {
    (void)state;
    tandem_tokenizer *const tokenizer = open_tiny();
    static const char *const texts[] = {"the cat sat on the mat", "",
                                        "\xc3\x89t\xc3\xa9 a\xcc\x81\xcc\x96", "[MASK] the   [CLS]",
                                        "unaffable, isn't it? \xe4\xb8\xad\xe6\x96\x87"};
    tandem_encoding e = {0};
    uint64_t before = 0;
    for (int round = 0; round < 20; round++) {
        if (round == 2) before = tandem__mem_count();
        const tandem_encode_options options = {.max_length = 5,
                                               .stride = 1,
                                               .keep_overflow = true,
                                               .want = round % 2 ? TANDEM_WANT_OFFSETS
                                                                 : TANDEM_WANT_IDS};
        for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
            encode(tokenizer, texts[i], NULL, &options, &e);
        }
    }
    assert_int_equal(tandem__mem_count(), before);
    tandem_encoding_deinit(&e);
    tandem_tokenizer_close(tokenizer);
}

/* Allocations of the JSON parser for TINY_BERT; its library does not survive a failing one. */
static uint64_t count_json_allocations(void) {
    tandem_buffer file = read_file(TINY_BERT);
    tandem_arena arena;
    tandem_error err = {0};
    const tandem_json *root = NULL;
    tandem__arena_init(&arena, 1 << 24);
    const uint64_t before = tandem__mem_count();
    const tandem_str text = {file.ptr, file.len - 1};
    assert_int_equal(tandem__json_parse(text, &arena, &root, &err), TANDEM_OK);
    const uint64_t count = tandem__mem_count() - before;
    tandem__arena_deinit(&arena);
    tandem__buffer_deinit(&file);
    return count;
}

/* Each allocation fails in turn: an error, no leak (ASan), and the next try works. */
static void test_out_of_memory(void **state) {
    (void)state;
    const uint64_t json_count = count_json_allocations();
    static const char text[] = "the \xc3\x89 a\xcc\x81\xe3\x80\xae [MASK] cat";
    const tandem_encode_options options = {.want = TANDEM_WANT_OFFSETS};
    bool is_done = false;
    for (uint64_t n = 1; !is_done; n++) {
        tandem_tokenizer *tokenizer = NULL;
        tandem_encoding e = {0};
        tandem_error err = {0};
        if (n == 2) n += json_count; /* after the first, the parser's come */
        tandem__mem_fail_at(n);
        tandem_status status = tandem_tokenizer_open(TINY_BERT, &tokenizer, &err);
        if (status == TANDEM_OK) {
            status = tandem_tokenizer_encode(tokenizer, text, strlen(text), text, strlen(text),
                                             &options, &e, &err);
        }
        tandem__mem_fail_at(0);
        is_done = status == TANDEM_OK;
        if (!is_done) {
            assert_int_equal(status, TANDEM_MEMORY);
            assert_true(strlen(err.message) > 0);
        }
        if (tokenizer != NULL) {
            encode(tokenizer, text, NULL, &options, &e);
            assert_true(e.count > 4);
        }
        tandem_encoding_deinit(&e);
        tandem_tokenizer_close(tokenizer);
        assert_true(n < 1000);
    }
}

static void test_bad_calls(void **state) {
    (void)state;
    tandem_tokenizer *const tokenizer = open_tiny();
    static const struct {
        const char *text;
        const char *message;
        tandem_encode_options options;
        tandem_status status;
    } cases[] = {
        {"a\xff", "text: byte 0xff at 1, expected UTF-8", {0}, TANDEM_FORMAT},
        {"a", "max_length: -1, expected 0 or more", {.max_length = -1}, TANDEM_INVALID},
        {"a", "truncation: 3, expected 0 to 2", {.truncation = 3}, TANDEM_INVALID},
        {"a", "want: 2, expected 0 to 1", {.want = 2}, TANDEM_INVALID},
        {"a", "stride: -2, expected 0 or more", {.stride = -2}, TANDEM_INVALID},
        {"a",
         "max_length: 1, expected room for 2 special tokens",
         {.max_length = 1},
         TANDEM_CAPACITY},
        {"a a a",
         "stride: 1, expected less than the 1 tokens of a window",
         {.max_length = 3, .stride = 1},
         TANDEM_INVALID},
        {"a a a",
         "truncation: only_second of one text of 3 tokens, expected a pair",
         {.max_length = 3, .truncation = TANDEM_TRUNCATION_ONLY_SECOND},
         TANDEM_INVALID},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        tandem_encoding e = {0};
        tandem_error err = {0};
        assert_int_equal(tandem_tokenizer_encode(tokenizer, cases[i].text, strlen(cases[i].text),
                                                 NULL, 0, &cases[i].options, &e, &err),
                         cases[i].status);
        assert_string_equal(err.message, cases[i].message);
        assert_int_equal(e.count, 0);
        tandem_encoding_deinit(&e);
    }
    tandem_tokenizer_close(tokenizer);
}

/* Texts of a megabyte that would take hours if a stage were quadratic. */
static void test_long_texts(void **state) {
    (void)state;
    static const char json[] =
        "{\"model\":{\"type\":\"WordPiece\",\"unk_token\":\"?\",\"continuing_subword_prefix\":\"##"
        "\","
        "\"max_input_chars_per_word\":1000000000,\"vocab\":{\"?\":0,\"a\":1,\"##a\":2,\"##ab\":3}},"
        "\"normalizer\":{\"type\":\"BertNormalizer\",\"clean_text\":false,"
        "\"handle_chinese_chars\":true,\"strip_accents\":true,\"lowercase\":true},"
        "\"pre_tokenizer\":{\"type\":\"BertPreTokenizer\"},\"added_tokens\":["
        "{\"id\":9,\"content\":\"  \",\"single_word\":false,\"lstrip\":true,\"rstrip\":true,"
        "\"normalized\":false,\"special\":false}]}";
    static const struct {
        const char *unit;
        int32_t per_unit; /* tokens; -1: one for all */
    } cases[] = {
        {"a", 1},                     /* one word of many pieces */
        {"b", -1},                    /* one unknown word */
        {"\xcc\x81\xcc\x96", 0},      /* marks that are stripped */
        {"\xe3\x80\xae\xcc\x96", -1}, /* U+302E stays and waits for its place */
        {"\xe4\xb8\xad", 1},          /* CJK: a word each */
        {"!", 1},                     /* punctuation */
        {"  ", -1},                   /* an added token that swallows the rest */
        {"\n", 0},
    };
    tandem_tokenizer *tokenizer = NULL;
    tandem_encoding e = {0};
    assert_int_equal(tandem_tokenizer_open_memory(json, sizeof json - 1, "json", &tokenizer, NULL),
                     TANDEM_OK);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        const size_t unit_len = strlen(cases[i].unit);
        const size_t count = ((size_t)1 << 20) / unit_len;
        char *const text = tandem__mem_calloc(count, unit_len);
        assert_non_null(text);
        for (size_t n = 0; n < count; n++) memcpy(text + n * unit_len, cases[i].unit, unit_len);
        const tandem_encode_options options = {.want = TANDEM_WANT_OFFSETS};
        assert_int_equal(
            tandem_tokenizer_encode(tokenizer, text, count * unit_len, NULL, 0, &options, &e, NULL),
            TANDEM_OK);
        const int32_t want = cases[i].per_unit < 0 ? 1 : cases[i].per_unit * (int32_t)count;
        if (cases[i].unit[0] == ' ')
            assert_in_range(e.count, 1, count);
        else
            assert_int_equal(e.count, want);
        tandem__mem_free(text);
    }
    tandem_encoding_deinit(&e);
    tandem_tokenizer_close(tokenizer);
}

/* One tokenizer, many threads, each with its own encoding. */
static void *encode_in_thread(void *argument) {
    const tandem_tokenizer *const tokenizer = argument;
    tandem_encoding e = {0};
    intptr_t tokens = 0;
    for (int i = 0; i < 500; i++) {
        encode(tokenizer, i % 2 ? "the cat \xc3\x89 [MASK]" : "unaffable a\xcc\x81", NULL, NULL,
               &e);
        tokens += e.count;
    }
    tandem_encoding_deinit(&e);
    return (void *)tokens;
}

static void test_threads(void **state) {
    (void)state;
    tandem_tokenizer *const tokenizer = open_tiny();
    pthread_t threads[4];
    void *counts[4] = {NULL};
    for (int i = 0; i < 4; i++) {
        assert_int_equal(pthread_create(&threads[i], NULL, encode_in_thread, tokenizer), 0);
    }
    for (int i = 0; i < 4; i++) assert_int_equal(pthread_join(threads[i], &counts[i]), 0);
    for (int i = 1; i < 4; i++) assert_ptr_equal(counts[i], counts[0]);
    assert_ptr_equal(counts[0], encode_in_thread(tokenizer));
    tandem_tokenizer_close(tokenizer);
}

static void test_vocabulary(void **state) {
    (void)state;
    tandem_tokenizer *const tokenizer = open_tiny();
    const int32_t size = tandem_tokenizer_vocab_size(tokenizer);
    assert_int_equal(size, 200);
    int32_t known = 0;
    for (int32_t id = 0; id < size; id++) {
        size_t len = 0;
        const char *const token = tandem_tokenizer_token(tokenizer, id, &len);
        if (token == NULL) continue;
        known++;
        assert_int_equal(strlen(token), len);
        assert_int_equal(tandem_tokenizer_id(tokenizer, token, len), id);
    }
    assert_int_equal(known, 199); /* the file has one gap */
    assert_null(tandem_tokenizer_token(tokenizer, size, NULL));
    assert_null(tandem_tokenizer_token(tokenizer, -1, NULL));
    assert_int_equal(tandem_tokenizer_id(tokenizer, "no such word", 12), -1);
    assert_int_equal(tandem_tokenizer_id(tokenizer, "", 0), -1);
    assert_int_equal(tandem_tokenizer_special_count(tokenizer, false), 2);
    assert_int_equal(tandem_tokenizer_special_count(tokenizer, true), 3);
    tandem_tokenizer_close(tokenizer);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_golden_ids),
        cmocka_unit_test(test_offsets),
        cmocka_unit_test(test_steady_work_allocates_nothing),
        cmocka_unit_test(test_out_of_memory),
        cmocka_unit_test(test_bad_calls),
        cmocka_unit_test(test_vocabulary),
        cmocka_unit_test(test_long_texts),
        cmocka_unit_test(test_threads),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
