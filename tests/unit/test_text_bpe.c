/* SPDX-License-Identifier: Apache-2.0 */
/* BPE: files that are wrong, with the message that names what; merging by looking and by heap come
 * to the same; hostile words take no quadratic time; memory that runs out. What the reference does
 * with every option is in test_text_golden.c. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/buffer.h"
#include "base/clock.h"
#include "base/json.h"
#include "base/mem.h"
#include "tandem/tokenizer.h"
#include "text/bpe_merge.h"

#define LONG_WORD (1 << 20)
#define SECONDS   20 /* for a long word, under a sanitizer on a busy machine; n * n is hours */

/* clang-format off */
static const char whole[] =
    "{\"version\":\"1.0\",\"added_tokens\":[],\"normalizer\":null,"
    "\"pre_tokenizer\":{\"type\":\"ByteLevel\",\"add_prefix_space\":true,\"trim_offsets\":true},"
    "\"post_processor\":{\"type\":\"RobertaProcessing\",\"sep\":[\"b\",2],\"cls\":[\"a\",1],"
        "\"trim_offsets\":true,\"add_prefix_space\":true},"
    "\"model\":{\"type\":\"BPE\",\"dropout\":null,\"unk_token\":\"<u>\","
        "\"continuing_subword_prefix\":null,\"end_of_word_suffix\":null,\"fuse_unk\":false,"
        "\"byte_fallback\":false,\"ignore_merges\":false,"
        "\"vocab\":{\"<u>\":0,\"a\":1,\"b\":2,\"ab\":3,\"abb\":4,\"\\u0120\":5},"
        "\"merges\":[[\"a\",\"b\"],\"ab b\"]}}";

static const struct {
    const char *from;
    const char *to;
    const char *message;
    tandem_status status;
} cases[] = {
    {"\"vocab\":{", "\"words\":{", "t.json: model: vocab: nothing, expected an object",
     TANDEM_FORMAT},
    {"\"a\":1", "\"a\":-1", "t.json: model: vocab: id of \"a\" is -1, expected 0 to 16777215",
     TANDEM_FORMAT},
    {"\"merges\":[", "\"rules\":[", "t.json: model: merges: nothing, expected an array",
     TANDEM_FORMAT},
    {"[\"a\",\"b\"]", "[\"a\",\"b\",\"b\"]",
     "t.json: model: merges[0]: an array of 3, expected two tokens", TANDEM_FORMAT},
    {"[\"a\",\"b\"]", "[\"a\",7]", "t.json: model: merges[0]: an array of 2, expected two tokens",
     TANDEM_FORMAT},
    {"\"ab b\"", "\"ab  b\"", "t.json: model: merges[1]: \"ab  b\", expected two tokens",
     TANDEM_FORMAT},
    {"\"ab b\"", "\"abb\"", "t.json: model: merges[1]: \"abb\", expected two tokens",
     TANDEM_FORMAT},
    {"\"ab b\"", "12", "t.json: model: merges[1]: 12, expected two tokens", TANDEM_FORMAT},
    {"\"ab b\"", "\"ab x\"", "t.json: model: merges[1]: \"x\" is not in the vocabulary",
     TANDEM_FORMAT},
    {"\"ab b\"", "\"b a\"", "t.json: model: merges[1]: \"ba\" is not in the vocabulary",
     TANDEM_FORMAT},
    {"\"continuing_subword_prefix\":null", "\"continuing_subword_prefix\":\"##\"",
     "t.json: model: merges[0]: \"b\", expected continuing_subword_prefix before it",
     TANDEM_FORMAT},
    {"\"end_of_word_suffix\":null", "\"end_of_word_suffix\":7",
     "t.json: model: end_of_word_suffix: 7, expected a string", TANDEM_FORMAT},
    {"\"dropout\":null", "\"dropout\":0.1", "t.json: model: dropout: 0.1, expected null or 0",
     TANDEM_UNSUPPORTED},
    {"\"fuse_unk\":false", "\"fuse_unk\":0", "t.json: model: fuse_unk: 0, expected true or false",
     TANDEM_FORMAT},
    {"\"end_of_word_suffix\":null,\"fuse_unk\":false,\"byte_fallback\":false",
     "\"end_of_word_suffix\":\"</w>\",\"byte_fallback\":true",
     "t.json: model: byte_fallback: true with continuing_subword_prefix or end_of_word_suffix is "
     "not supported", TANDEM_UNSUPPORTED},
    {"\"type\":\"BPE\"", "\"type\":\"BPE2\"",
     "t.json: model: type: \"BPE2\" is not supported, expected BPE, Unigram or WordPiece",
     TANDEM_UNSUPPORTED},
    {"\"cls\":[\"a\",1],\"trim_offsets\":true", "\"cls\":[\"a\",1],\"trim_offsets\":null",
     "t.json: post_processor: trim_offsets: null, expected true or false", TANDEM_FORMAT},
    {"{\"type\":\"RobertaProcessing\"", "{\"type\":\"Sequence\",\"processors\":7,\"x\":\"\"",
     "t.json: post_processor: processors: 7, expected an array of post-processors",
     TANDEM_FORMAT},
    {"{\"type\":\"RobertaProcessing\",\"sep\":[\"b\",2],\"cls\":[\"a\",1]",
     "{\"type\":\"Sequence\",\"processors\":[{\"type\":\"BertProcessing\",\"sep\":[\"b\",2],"
     "\"cls\":[\"a\",1]},{\"type\":\"ByteLevel\"}]",
     "t.json: post_processor: processors[1]: type: \"ByteLevel\" after \"BertProcessing\" is not "
     "supported", TANDEM_UNSUPPORTED},
    {"{\"type\":\"RobertaProcessing\",\"sep\":[\"b\",2],\"cls\":[\"a\",1]",
     "{\"type\":\"Sequence\",\"processors\":[{\"type\":\"ByteLevel\"}]",
     "t.json: post_processor: processors[0]: trim_offsets: nothing, expected true or false",
     TANDEM_FORMAT},
};
/* clang-format on */

static tandem_status try_open(const char *json, size_t len, tandem_tokenizer **tokenizer,
                              tandem_error *err) {
    *tokenizer = NULL;
    tandem_error_clear(err);
    const tandem_status status = tandem_tokenizer_open_memory(json, len, "t.json", tokenizer, err);
    assert_true((status == TANDEM_OK) == (*tokenizer != NULL));
    assert_true((status == TANDEM_OK) == (err->message[0] == '\0'));
    return status;
}

static void test_messages(void **state) {
    (void)state;
    tandem_error err = {0};
    tandem_tokenizer *tokenizer = NULL;
    if (try_open(whole, sizeof whole - 1, &tokenizer, &err) != 0) fail_msg("%s", err.message);
    tandem_tokenizer_close(tokenizer);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        const char *const at = strstr(whole, cases[i].from);
        assert_non_null(at);
        tandem_buffer json;
        tandem__buffer_init(&json, 1 << 16);
        assert_int_equal(tandem__buffer_printf(&json, &err, "%.*s%s%s", (int)(at - whole), whole,
                                               cases[i].to, at + strlen(cases[i].from)),
                         TANDEM_OK);
        const tandem_status status = try_open(json.ptr, json.len, &tokenizer, &err);
        if (strncmp(err.message, cases[i].message, strlen(cases[i].message)) != 0) {
            fail_msg("case %zu: \"%s\", expected \"%s\"", i, err.message, cases[i].message);
        }
        assert_int_equal(status, cases[i].status);
        tandem__buffer_deinit(&json);
    }
}

static void test_every_cut_and_flip(void **state) {
    (void)state;
    tandem_error err = {0};
    tandem_tokenizer *tokenizer = NULL;
    tandem_encoding e = {0};
    char json[sizeof whole];
    for (size_t len = 0; len < sizeof whole - 1; len++) {
        assert_int_equal(try_open(whole, len, &tokenizer, &err), TANDEM_FORMAT);
    }
    const tandem_encode_options options = {.want = TANDEM_WANT_OFFSETS};
    for (size_t bit = 0; bit < 8 * (sizeof whole - 1); bit += 3) {
        memcpy(json, whole, sizeof whole);
        json[bit / 8] = (char)(json[bit / 8] ^ (1 << (bit % 8)));
        if (try_open(json, sizeof whole - 1, &tokenizer, &err) != TANDEM_OK) continue;
        const tandem_status status =
            tandem_tokenizer_encode(tokenizer, "ab abb x", 8, "b", 1, &options, &e, &err);
        assert_true(status == TANDEM_OK || err.message[0] != '\0');
        tandem_tokenizer_close(tokenizer);
    }
    tandem_encoding_deinit(&e);
}

/* Merges of 12 symbols at random, of words at random: the heap and the search agree, and what is
 * left tiles the word. */
static void test_heap_and_search_agree(void **state) {
    (void)state;
    uint32_t seed = 12345;
    tandem_array scratch = {0};
    int merged = 0;
    for (int round = 0; round < 2000; round++) {
        tandem_arena arena;
        tandem_bpe_merges merges;
        tandem__arena_init(&arena, 1 << 20);
        assert_int_equal(tandem__bpe_merges_init(&merges, 40, &arena, NULL), TANDEM_OK);
        for (int32_t i = 0; i < 40; i++) {
            seed = seed * 1664525u + 1013904223u;
            const int32_t left = (int32_t)(seed >> 16) % (12 + i / 2);
            const int32_t right = (int32_t)(seed >> 8 & 0xff) % (12 + i / 2);
            assert_int_equal(tandem__bpe_merges_add(&merges, left, right, 12 + i, NULL), TANDEM_OK);
        }
        tandem_bpe_symbol one[TANDEM_BPE_SHORT_MAX + 1];
        tandem_bpe_symbol two[TANDEM_BPE_SHORT_MAX + 1];
        uint32_t count = 1 + (seed >> 4) % TANDEM_BPE_SHORT_MAX;
        const uint32_t before = count;
        for (uint32_t i = 0; i <= count; i++) {
            seed = seed * 1664525u + 1013904223u;
            one[i] = (tandem_bpe_symbol){(int32_t)(seed >> 20) % 12, 2 * i};
        }
        memcpy(two, one, sizeof one);
        uint32_t other = count;
        assert_int_equal(tandem__bpe_merge(&merges, one, &count, &scratch, NULL), TANDEM_OK);
        merges.needs_heaps = true;
        assert_int_equal(tandem__bpe_merge(&merges, two, &other, &scratch, NULL), TANDEM_OK);
        assert_int_equal(count, other);
        assert_int_equal(one[0].start, 0);
        assert_int_equal(one[count].start, 2 * before);
        for (uint32_t i = 0; i <= count; i++) {
            assert_int_equal(one[i].start, two[i].start);
            assert_true(i == count || one[i].id == two[i].id);
            assert_true(i == 0 || one[i].start > one[i - 1].start);
        }
        for (uint32_t i = 0; i + 1 < count; i++) {
            assert_true(tandem__bpe_find(&merges, one[i].id, one[i + 1].id) == TANDEM_BPE_NO_MERGE);
        }
        merged += count < before;
        tandem__arena_deinit(&arena);
    }
    assert_in_range(merged, 1000, 2000);
    tandem__array_deinit(&scratch);
}

/* a, aa, aaaa, ... up to 2^9, no pre-tokeniser: a word of a megabyte. */
static void test_long_words(void **state) {
    (void)state;
    tandem_error err = {0};
    tandem_tokenizer *tokenizer = NULL;
    tandem_encoding e = {0};
    tandem_buffer json;
    tandem__buffer_init(&json, 1 << 16);
    char run[513];
    memset(run, 'a', sizeof run);
    assert_int_equal(tandem__buffer_printf(&json, &err, "{\"model\":{\"type\":\"BPE\",\"vocab\":{"),
                     TANDEM_OK);
    for (int i = 0; i < 10; i++) {
        assert_int_equal(
            tandem__buffer_printf(&json, &err, "%s\"%.*s\":%d", i ? "," : "", 1 << i, run, i), 0);
    }
    assert_int_equal(tandem__buffer_printf(&json, &err, "},\"merges\":["), TANDEM_OK);
    for (int i = 0; i < 9; i++) {
        assert_int_equal(tandem__buffer_printf(&json, &err, "%s\"%.*s %.*s\"", i ? "," : "", 1 << i,
                                               run, 1 << i, run),
                         TANDEM_OK);
    }
    assert_int_equal(tandem__buffer_printf(&json, &err, "]}}"), TANDEM_OK);
    if (try_open(json.ptr, json.len, &tokenizer, &err) != 0) fail_msg("%s", err.message);
    char *const text = tandem__mem_calloc(LONG_WORD, 1);
    assert_non_null(text);
    memset(text, 'a', LONG_WORD);
    const uint64_t start = tandem__clock_ns();
    assert_int_equal(tandem_tokenizer_encode(tokenizer, text, LONG_WORD, NULL, 0, NULL, &e, &err),
                     TANDEM_OK);
    assert_int_equal(e.count, LONG_WORD / 512);
    for (int32_t i = 0; i < e.count; i++) assert_int_equal(e.ids[i], 9);
    /* Of 47 the greedy pairs leave 32 + 8 + 4 + 2 + 1, by search; so does the heap of 513. */
    static const int32_t want[] = {5, 3, 2, 1, 0};
    assert_int_equal(tandem_tokenizer_encode(tokenizer, text, 47, NULL, 0, NULL, &e, &err), 0);
    assert_int_equal(e.count, 5);
    assert_memory_equal(e.ids, want, sizeof want);
    assert_int_equal(tandem_tokenizer_encode(tokenizer, text, 513, NULL, 0, NULL, &e, &err), 0);
    assert_int_equal(e.count, 2);
    assert_true(tandem__clock_ns() - start < (uint64_t)SECONDS * 1000000000u);
    tandem__mem_free(text);
    tandem_encoding_deinit(&e);
    tandem_tokenizer_close(tokenizer);
    tandem__buffer_deinit(&json);
}

/* The reference fails as well, and only when it comes to that. */
static void test_missing_unknown_token(void **state) {
    (void)state;
    static const char json[] = "{\"model\":{\"type\":\"BPE\",\"unk_token\":\"<none>\","
                               "\"vocab\":{\"a\":0},\"merges\":[]}}";
    tandem_tokenizer *tokenizer = NULL;
    tandem_encoding e = {0};
    tandem_error err = {0};
    assert_int_equal(try_open(json, sizeof json - 1, &tokenizer, &err), TANDEM_OK);
    assert_int_equal(tandem_tokenizer_encode(tokenizer, "aa", 2, NULL, 0, NULL, &e, &err), 0);
    assert_int_equal(e.count, 2);
    assert_int_equal(tandem_tokenizer_encode(tokenizer, "ab", 2, NULL, 0, NULL, &e, &err),
                     TANDEM_FORMAT);
    assert_string_equal(err.message, "model.unk_token: \"<none>\" is not in the vocabulary");
    tandem_encoding_deinit(&e);
    tandem_tokenizer_close(tokenizer);
}

/* Allocations of the JSON parser, whose library does not survive a failing one. */
static uint64_t count_json_allocations(void) {
    tandem_arena arena;
    const tandem_json *root = NULL;
    tandem__arena_init(&arena, 1 << 24);
    const uint64_t before = tandem__mem_count();
    assert_int_equal(tandem__json_parse((tandem_str){whole, sizeof whole - 1}, &arena, &root, NULL),
                     TANDEM_OK);
    const uint64_t count = tandem__mem_count() - before;
    tandem__arena_deinit(&arena);
    return count;
}

/* Each allocation of opening and encoding fails once; what opened works after that. */
static void test_memory_that_runs_out(void **state) {
    (void)state;
    const uint64_t json_count = count_json_allocations();
    char text[200];
    memset(text, 'a', sizeof text);
    const tandem_encode_options options = {.want = TANDEM_WANT_OFFSETS};
    bool is_done = false;
    for (uint64_t n = 1; !is_done; n++) {
        tandem_tokenizer *tokenizer = NULL;
        tandem_encoding e = {0};
        tandem_error err = {0};
        if (n == 2) n += json_count; /* after the first, the parser's come */
        tandem__mem_fail_at(n);
        tandem_status status =
            tandem_tokenizer_open_memory(whole, sizeof whole - 1, "t.json", &tokenizer, &err);
        if (status == TANDEM_OK) {
            status = tandem_tokenizer_encode(tokenizer, text, sizeof text, "ab abb", 6, &options,
                                             &e, &err);
        }
        tandem__mem_fail_at(0);
        is_done = status == TANDEM_OK;
        if (!is_done) {
            assert_int_equal(status, TANDEM_MEMORY);
            assert_true(err.message[0] != '\0');
        }
        if (tokenizer != NULL) {
            assert_int_equal(
                tandem_tokenizer_encode(tokenizer, text, sizeof text, NULL, 0, &options, &e, &err),
                TANDEM_OK);
            assert_int_equal(e.count, 200 + 1 + 2);
        }
        tandem_encoding_deinit(&e);
        tandem_tokenizer_close(tokenizer);
        assert_true(n < 1000);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_messages),
        cmocka_unit_test(test_every_cut_and_flip),
        cmocka_unit_test(test_heap_and_search_agree),
        cmocka_unit_test(test_long_words),
        cmocka_unit_test(test_missing_unknown_token),
        cmocka_unit_test(test_memory_that_runs_out),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
