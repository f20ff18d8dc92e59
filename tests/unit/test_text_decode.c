/* SPDX-License-Identifier: Apache-2.0 */
/* What the reference makes of ids with every decoder (tests/golden/tokenizer_decode.jsonl, by
 * tools/make_parts_golden.py); how much of a text goes into a small buffer; decoders that are
 * refused, which encoding must not mind. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/file.h"
#include "base/json.h"
#include "tandem/tokenizer.h"

#define GOLDEN    "tests/golden/tokenizer_decode.jsonl"
#define CASES_MIN 500
#define IDS_MAX   64
#define TEXT_MAX  4096

#define PARTS                                                                                      \
    "\"version\":\"1.0\",\"model\":{\"type\":\"WordPiece\",\"unk_token\":\"a\","                   \
    "\"continuing_subword_prefix\":\"##\",\"max_input_chars_per_word\":9,"                         \
    "\"vocab\":{\"a\":0,\"\xe4\xb8\xad\":1,\"##b\":2}}"

static tandem_tokenizer *open_text(tandem_str json) {
    tandem_tokenizer *tokenizer = NULL;
    tandem_error err = {0};
    if (tandem_tokenizer_open_memory(json.ptr, json.len, "t.json", &tokenizer, &err) != TANDEM_OK) {
        fail_msg("%s", err.message);
    }
    return tokenizer;
}

static void run_case(const tandem_tokenizer *tokenizer, const tandem_json *row, int line) {
    const tandem_json *const list = tandem__json_get(row, "ids");
    const tandem_str want = tandem__json_get(row, "text")->text;
    int32_t ids[IDS_MAX];
    static char text[TEXT_MAX];
    size_t count = 0;
    size_t len = 0;
    tandem_error err = {0};
    assert_true(list->count < IDS_MAX && want.len < TEXT_MAX);
    TANDEM_JSON_EACH(item, list) {
        int64_t id = 0;
        assert_true(tandem__json_to_int(item, &id));
        ids[count++] = (int32_t)id;
    }
    const bool skips = tandem__json_get(row, "skip")->count != 0;
    if (tandem_tokenizer_decode(tokenizer, ids, count, skips, text, TEXT_MAX, &len, &err) !=
        TANDEM_OK) {
        fail_msg("%s:%d: %s", GOLDEN, line, err.message);
    }
    if (len != want.len || memcmp(text, want.ptr, len) != 0 || text[len] != '\0') {
        fail_msg("%s:%d: \"%.*s\" expected, \"%s\" here", GOLDEN, line, TANDEM_STR_ARG(want), text);
    }
}

static void test_golden(void **state) {
    (void)state;
    tandem_map file = {0};
    tandem_error err = {0};
    if (tandem__file_map(GOLDEN, &file, &err) != TANDEM_OK) fail_msg("%s", err.message);
    tandem_tokenizer *tokenizer = NULL;
    const char *const end = (const char *)file.bytes + file.len;
    int line = 0;
    int cases = 0;
    for (const char *at = (const char *)file.bytes; at < end;) {
        const char *const newline = memchr(at, '\n', (size_t)(end - at));
        assert_non_null(newline);
        tandem_arena arena;
        const tandem_json *row = NULL;
        tandem__arena_init(&arena, 1 << 24);
        line++;
        const tandem_str text = {at, (size_t)(newline - at)};
        if (tandem__json_parse(text, &arena, &row, &err) != TANDEM_OK) fail_msg("%s", err.message);
        if (tandem__json_get(row, "tokenizer") != NULL) {
            tandem_tokenizer_close(tokenizer);
            tokenizer = open_text(tandem__json_get(row, "tokenizer")->text);
        } else {
            run_case(tokenizer, row, line);
            cases++;
        }
        tandem__arena_deinit(&arena);
        at = newline + 1;
    }
    tandem_tokenizer_close(tokenizer);
    tandem__file_unmap(&file);
    assert_true(cases >= CASES_MIN);
}

static void test_small_buffer(void **state) {
    (void)state;
    tandem_tokenizer *const tokenizer = open_text(TANDEM_STR("{" PARTS "}"));
    static const int32_t ids[] = {0, 1, 7000, -1, 0}; /* two that no vocabulary has */
    static const char whole[] = "a \xe4\xb8\xad a";
    static const size_t kept[] = {0, 0, 1, 2, 2, 2, 5, 6, 7, 7}; /* bytes, by the size given */
    for (size_t size = 0; size < sizeof kept / sizeof kept[0]; size++) {
        char text[16];
        size_t len = 0;
        memset(text, '#', sizeof text);
        assert_int_equal(tandem_tokenizer_decode(tokenizer, ids, 5, false, text, size, &len, NULL),
                         TANDEM_OK);
        assert_int_equal(len, sizeof whole - 1);
        assert_int_equal(text[size], '#');
        if (size == 0) continue;
        assert_int_equal(strlen(text), kept[size]);
        assert_memory_equal(text, whole, kept[size]);
    }
    size_t len = 1;
    assert_int_equal(tandem_tokenizer_decode(tokenizer, NULL, 0, true, NULL, 0, &len, NULL),
                     TANDEM_OK);
    assert_int_equal(len, 0);
    tandem_tokenizer_close(tokenizer);
}

static void test_refused_when_asked_for(void **state) {
    (void)state;
    static const struct {
        const char *decoder;
        const char *message;
    } cases[] = {
        {"7", "decoder: type: 7, expected the name of a part"},
        {"{\"type\":\"CTC\"}", "decoder: type: \"CTC\" is not supported, expected BPEDecoder, "},
        {"{\"type\":\"WordPiece\",\"prefix\":\"##\"}",
         "decoder: cleanup: nothing, expected true or false"},
        {"{\"type\":\"WordPiece\",\"cleanup\":true}",
         "decoder: prefix: nothing, expected a string"},
        {"{\"type\":\"BPEDecoder\",\"suffix\":\"\"}", "decoder: suffix: empty, expected a text"},
        {"{\"type\":\"Metaspace\",\"replacement\":\"ab\"}",
         "decoder: replacement: \"ab\", expected one character"},
        {"{\"type\":\"Strip\",\"content\":\"ab\",\"start\":1,\"stop\":0}",
         "decoder: content: \"ab\", expected one character"},
        {"{\"type\":\"Strip\",\"content\":\"a\",\"start\":-1,\"stop\":0}",
         "decoder: start: -1, expected "},
        {"{\"type\":\"Replace\",\"pattern\":{\"Regex\":\"(\"},\"content\":\"\"}",
         "decoder: pattern.Regex: an open ( is no pattern, at byte 0: "},
        {"{\"type\":\"Sequence\"}", "decoder: decoders: nothing, expected an array of at most 64 "},
        {"{\"type\":\"Sequence\",\"decoders\":[{\"type\":\"Fuse\"},{\"type\":\"Sequence\"}]}",
         "decoder: decoders[1]: type: \"Sequence\" is not supported, expected "},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char json[1024];
        const int32_t ids[] = {0};
        size_t len = 0;
        tandem_encoding encoding = {0};
        tandem_error err = {0};
        (void)snprintf(json, sizeof json, "{" PARTS ",\"decoder\":%s}", cases[i].decoder);
        tandem_tokenizer *const tokenizer = open_text(tandem__str(json));
        assert_int_equal(tandem_tokenizer_encode(tokenizer, "a", 1, NULL, 0, NULL, &encoding, NULL),
                         TANDEM_OK);
        assert_int_equal(encoding.count, 1);
        assert_int_not_equal(tandem_tokenizer_decode(tokenizer, ids, 1, false, NULL, 0, &len, &err),
                             TANDEM_OK);
        assert_memory_equal(err.message, "t.json: ", 8);
        const char *const at = err.message + 8;
        if (strncmp(at, cases[i].message, strlen(cases[i].message)) != 0) {
            fail_msg("%s: %s", cases[i].decoder, err.message);
        }
        tandem_encoding_deinit(&encoding);
        tandem_tokenizer_close(tokenizer);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_golden),
        cmocka_unit_test(test_small_buffer),
        cmocka_unit_test(test_refused_when_asked_for),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
