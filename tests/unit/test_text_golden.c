/* SPDX-License-Identifier: Apache-2.0 */
/* What the reference tokenizer makes of texts, with every option of tokenizer.json and every kind
 * of truncation: ids, types, words, offsets and tokens of tests/golden/tokenizer*.jsonl
 * (tools/make_tokenizer_golden.py, tools/make_parts_golden.py). */
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

#define CASES_MIN 1200 /* of a file */

typedef struct runner {
    tandem_tokenizer *tokenizer;
    tandem_encoding encoding;
    const char *path;
    tandem_str name; /* of the tokenizer; in the file */
    int line;
    int cases;
    int differences;
} runner;

static void differ(runner *r, const char *what, int32_t at, int64_t want, int64_t got) {
    if (r->differences++ < 10) {
        print_error("%s:%d [%.*s] %s[%d]: %lld expected, %lld here\n", r->path, r->line,
                    TANDEM_STR_ARG(r->name), what, at, (long long)want, (long long)got);
    }
}

static int64_t number(const tandem_json *node) {
    int64_t value = INT64_MIN;
    assert_true(tandem__json_to_int(node, &value));
    return value;
}

static void compare_ints(runner *r, const tandem_json *window, const char *what, const int32_t *got,
                         int32_t count) {
    const tandem_json *const want = tandem__json_get(window, what);
    assert_non_null(want);
    if (want->count != (uint32_t)count) {
        differ(r, what, -1, want->count, count);
        return;
    }
    int32_t at = 0;
    TANDEM_JSON_EACH(item, want) {
        if (number(item) != got[at]) differ(r, what, at, number(item), got[at]);
        at++;
    }
}

static void compare_spans(runner *r, const tandem_json *window, int32_t start, int32_t count) {
    const tandem_json *item = tandem__json_get(window, "spans")->first;
    for (int32_t i = start; i < start + count; i++) {
        const tandem_encoding *const e = &r->encoding;
        const int32_t got[4] = {e->bytes[i].start, e->bytes[i].end, e->chars[i].start,
                                e->chars[i].end};
        for (int k = 0; k < 4 && item != NULL; k++, item = item->next) {
            const bool is_known = k >= 2 || number(item) >= 0;
            if (is_known && number(item) != got[k]) differ(r, "spans", i, number(item), got[k]);
        }
    }
}

static void compare_tokens(runner *r, const tandem_json *window, int32_t start, int32_t count) {
    const tandem_json *const tokens = tandem__json_get(window, "tokens");
    const tandem_json *token = tokens == NULL ? NULL : tokens->first;
    for (int32_t i = start; i < start + count; i++) {
        tandem_str got = {0};
        got.ptr = tandem_encoding_token(&r->encoding, r->tokenizer, i, &got.len);
        tandem_str want = {0};
        want.ptr = tandem_tokenizer_token(r->tokenizer, r->encoding.ids[i], &want.len);
        if (tokens != NULL) {
            want = token->text;
            token = token->next;
        }
        if (!tandem__str_equal(got, want)) {
            differ(r, "tokens", i, (int64_t)want.len, (int64_t)got.len);
        }
    }
}

static void compare_windows(runner *r, const tandem_json *windows) {
    const tandem_encoding *const e = &r->encoding;
    if (windows->count != (uint32_t)e->windows) {
        differ(r, "windows", -1, windows->count, e->windows);
        return;
    }
    int32_t w = 0;
    TANDEM_JSON_EACH(window, windows) {
        const int32_t start = e->starts[w];
        const int32_t count = e->starts[w + 1] - start;
        compare_ints(r, window, "ids", e->ids + start, count);
        compare_ints(r, window, "types", e->types + start, count);
        compare_ints(r, window, "words", e->words + start, count);
        compare_spans(r, window, start, count);
        compare_tokens(r, window, start, count);
        w++;
    }
}

/* Ids alone come out the same as with offsets. */
static void compare_ids_only(runner *r, const tandem_json *row, tandem_encode_options options) {
    const tandem_json *const text = tandem__json_get(row, "text");
    const tandem_json *const pair = tandem__json_get(row, "pair");
    tandem_encoding e = {0};
    options.want = TANDEM_WANT_IDS;
    assert_int_equal(tandem_tokenizer_encode(r->tokenizer, text->text.ptr, text->text.len,
                                             pair == NULL ? NULL : pair->text.ptr,
                                             pair == NULL ? 0 : pair->text.len, &options, &e, NULL),
                     TANDEM_OK);
    assert_null(e.bytes);
    assert_int_equal(e.count, r->encoding.count);
    assert_memory_equal(e.ids, r->encoding.ids, (size_t)e.count * sizeof(int32_t));
    assert_memory_equal(e.types, r->encoding.types, (size_t)e.count * sizeof(int32_t));
    tandem_encoding_deinit(&e);
}

static tandem_encode_options read_options(const tandem_json *row) {
    tandem_encode_options options = {.keep_overflow = true, .want = TANDEM_WANT_OFFSETS};
    int64_t max_length = 0;
    int64_t stride = 0;
    tandem_str strategy = TANDEM_STR("longest_first");
    tandem_str direction = TANDEM_STR("right");
    bool is_special = tandem__json_get(row, "max_length") == NULL;
    assert_int_equal(tandem__json_read_int(row, "max_length", 1, 1000, &max_length, NULL), 0);
    assert_int_equal(tandem__json_read_int(row, "stride", 0, 1000, &stride, NULL), 0);
    assert_int_equal(tandem__json_read_str(row, "strategy", &strategy, NULL), 0);
    assert_int_equal(tandem__json_read_str(row, "direction", &direction, NULL), 0);
    assert_int_equal(tandem__json_read_bool(row, "special", &is_special, NULL), 0);
    options.max_length = (int32_t)max_length;
    options.stride = (int32_t)stride;
    options.skip_special = !is_special;
    options.truncate_left = tandem__str_is(direction, "left");
    if (tandem__str_is(strategy, "only_first")) options.truncation = TANDEM_TRUNCATION_ONLY_FIRST;
    if (tandem__str_is(strategy, "only_second")) options.truncation = TANDEM_TRUNCATION_ONLY_SECOND;
    return options;
}

static void run_case(runner *r, const tandem_json *row) {
    const tandem_json *const text = tandem__json_get(row, "text");
    const tandem_json *const pair = tandem__json_get(row, "pair");
    const tandem_json *const windows = tandem__json_get(row, "windows");
    const tandem_encode_options options = read_options(row);
    tandem_error err = {0};
    const tandem_status status = tandem_tokenizer_encode(
        r->tokenizer, text->text.ptr, text->text.len, pair == NULL ? NULL : pair->text.ptr,
        pair == NULL ? 0 : pair->text.len, &options, &r->encoding, &err);
    r->cases++;
    if ((status == TANDEM_OK) != (windows != NULL)) {
        differ(r, "status", -1, windows == NULL, status);
    } else if (windows != NULL) {
        compare_windows(r, windows);
        compare_ids_only(r, row, options);
    }
}

static void open_tokenizer(runner *r, const tandem_json *row) {
    const tandem_json *const json = tandem__json_get(row, "tokenizer");
    tandem_error err = {0};
    tandem_tokenizer_close(r->tokenizer);
    r->tokenizer = NULL;
    r->name = tandem__json_get(row, "name")->text;
    if (tandem_tokenizer_open_memory(json->text.ptr, json->text.len, "golden", &r->tokenizer,
                                     &err) != TANDEM_OK) {
        fail_msg("%s", err.message);
    }
}

static void run_file(const char *path) {
    tandem_map file = {0};
    tandem_error err = {0};
    if (tandem__file_map(path, &file, &err) != TANDEM_OK) fail_msg("%s", err.message);
    runner r = {.path = path};
    const char *const end = (const char *)file.bytes + file.len;
    for (const char *line = (const char *)file.bytes; line < end;) {
        const char *const newline = memchr(line, '\n', (size_t)(end - line));
        assert_non_null(newline);
        tandem_arena arena;
        const tandem_json *row = NULL;
        tandem__arena_init(&arena, 1 << 24);
        r.line++;
        const tandem_str text = {line, (size_t)(newline - line)};
        if (tandem__json_parse(text, &arena, &row, &err) != TANDEM_OK) fail_msg("%s", err.message);
        if (tandem__json_get(row, "tokenizer") != NULL)
            open_tokenizer(&r, row);
        else
            run_case(&r, row);
        tandem__arena_deinit(&arena);
        line = newline + 1;
    }
    tandem_tokenizer_close(r.tokenizer);
    tandem_encoding_deinit(&r.encoding);
    tandem__file_unmap(&file);
    assert_true(r.cases >= CASES_MIN);
    assert_int_equal(r.differences, 0);
}

static void test_wordpiece_and_unigram(void **state) {
    (void)state;
    run_file("tests/golden/tokenizer.jsonl");
}

static void test_bpe(void **state) {
    (void)state;
    run_file("tests/golden/tokenizer_bpe.jsonl");
}

static void test_parts(void **state) {
    (void)state;
    run_file("tests/golden/tokenizer_parts.jsonl");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_wordpiece_and_unigram),
        cmocka_unit_test(test_bpe),
        cmocka_unit_test(test_parts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
