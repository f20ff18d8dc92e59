/* SPDX-License-Identifier: Apache-2.0 */
/* JSON documents: the tree, the typed reads, the limits and what is refused. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/json.h"
#include "base/mem.h"

#define ARENA_BYTES ((size_t)1 << 20)

typedef struct fixture {
    tandem_arena arena;
} fixture;

static int set_up(void **state) {
    static fixture self;
    tandem__arena_init(&self.arena, ARENA_BYTES);
    *state = &self;
    return 0;
}

static int tear_down(void **state) {
    tandem__arena_deinit(&((fixture *)*state)->arena);
    return 0;
}

static const tandem_json *parse(void **state, const char *text) {
    const tandem_json *root = NULL;
    tandem_error err = {0};
    tandem_arena *arena = &((fixture *)*state)->arena;
    if (tandem__json_parse(tandem__str(text), arena, &root, &err)) fail_msg("%s", err.message);
    return root;
}

static void refuse(void **state, tandem_str text, const char *message) {
    const tandem_json *root = NULL;
    tandem_error err = {0};
    tandem_arena *arena = &((fixture *)*state)->arena;
    assert_int_equal(tandem__json_parse(text, arena, &root, &err), TANDEM_FORMAT);
    if (strstr(err.message, message) == NULL) fail_msg("\"%s\" lacks \"%s\"", err.message, message);
    assert_null(strchr(err.message, '\n'));
    assert_null(root);
}

static void builds_the_tree(void **state) {
    const tandem_json *root = parse(
        state, "{\"a\": [1, -2.5e3, true, false, null, \"x\\u00e9\\n\"], \"b\": {\"c\": {}}}");
    assert_int_equal(root->kind, TANDEM_JSON_OBJECT);
    assert_int_equal(root->count, 2);
    const tandem_json *a = tandem__json_get(root, "a");
    assert_int_equal(a->kind, TANDEM_JSON_ARRAY);
    assert_int_equal(a->count, 6);
    static const tandem_json_kind kinds[] = {TANDEM_JSON_NUMBER, TANDEM_JSON_NUMBER,
                                             TANDEM_JSON_BOOL,   TANDEM_JSON_BOOL,
                                             TANDEM_JSON_NULL,   TANDEM_JSON_STRING};
    size_t at = 0;
    TANDEM_JSON_EACH(item, a) {
        assert_int_equal(item->kind, kinds[at]);
        if (at == 1) assert_true(tandem__str_is(item->text, "-2.5e3"));
        if (at == 2) assert_int_equal(item->count, 1);
        if (at == 3) assert_int_equal(item->count, 0);
        if (at == 5) assert_true(tandem__str_is(item->text, "x\xc3\xa9\n"));
        at++;
    }
    assert_int_equal(at, 6);
    const tandem_json *c = tandem__json_get(tandem__json_get(root, "b"), "c");
    assert_int_equal(c->kind, TANDEM_JSON_OBJECT);
    assert_int_equal(c->count, 0);
    assert_null(c->first);
    assert_null(tandem__json_get(root, "d"));
    assert_null(tandem__json_get(a, "a"));
    assert_null(tandem__json_get(NULL, "a"));
}

static void last_of_repeated_keys_counts(void **state) {
    const tandem_json *root = parse(state, "{\"a\":1,\"a\":2}");
    int64_t value = 0;
    assert_int_equal(tandem__json_read_int(root, "a", 0, 9, &value, NULL), TANDEM_OK);
    assert_int_equal(value, 2);
}

static void zero_bytes_inside_strings(void **state) {
    const tandem_json *root = parse(state, "\"a\\u0000b\"");
    assert_int_equal(root->text.len, 3);
    assert_memory_equal(root->text.ptr, "a\0b", 3);
}

static void strings_point_into_the_text(void **state) {
    const char *text = "[\"plain\",\"esc\\taped\"]";
    const tandem_json *root = parse(state, text);
    assert_ptr_equal(root->first->text.ptr, text + 2);
    assert_true(root->first->next->text.ptr < text ||
                root->first->next->text.ptr >= text + strlen(text));
}

static void refuses_what_is_no_json(void **state) {
    refuse(state, TANDEM_STR(""), "not valid JSON at line 1, byte 1: premature EOF");
    refuse(state, TANDEM_STR("  \n "), "not valid JSON");
    refuse(state, TANDEM_STR("{"), "not valid JSON");
    refuse(state, TANDEM_STR("{\"a\":1,}"), "not valid JSON at line 1");
    refuse(state, TANDEM_STR("[1 2]"), "not valid JSON at line 1");
    refuse(state, TANDEM_STR("{\n\"a\": tru\n}"), "at line 2");
    refuse(state, TANDEM_STR("1 2"), "not valid JSON");
    refuse(state, TANDEM_STR("NaN"), "not valid JSON");
    refuse(state, TANDEM_STR("\"a\nb\""), "not valid JSON");
    refuse(state, TANDEM_STR("\"\\x\""), "not valid JSON");
    refuse(state, TANDEM_STR("[\n\n\"\xff\"]"), "at line 3, byte 2: byte is not UTF-8");
    refuse(state, TANDEM_STR("\"\xed\xa0\x80\""), "byte is not UTF-8");
    refuse(state, TANDEM_STR("[\"ab\\uDC00\"]"), "at line 1, byte 5: half of a surrogate pair");
    refuse(state, TANDEM_STR("\"\\ud83d\\u0041\""), "half of a surrogate pair");
    refuse(state, TANDEM_STR("\"\\ud83d"), "half of a surrogate pair");
    const tandem_json *pair = parse(state, "\"\\ud83d\\ude00 \\\\ud800\"");
    assert_true(tandem__str_is(pair->text, "\xf0\x9f\x98\x80 \\ud800"));
}

static void refuses_deep_nesting(void **state) {
    char text[2 * TANDEM_JSON_DEPTH_MAX + 3];
    memset(text, '[', TANDEM_JSON_DEPTH_MAX);
    memset(text + TANDEM_JSON_DEPTH_MAX, ']', TANDEM_JSON_DEPTH_MAX);
    text[2 * TANDEM_JSON_DEPTH_MAX] = '\0';
    assert_int_equal(parse(state, text)->kind, TANDEM_JSON_ARRAY);
    memset(text, '[', TANDEM_JSON_DEPTH_MAX + 1);
    refuse(state, tandem__str(text), "nested deeper than 64 levels");
}

static void bounds_the_tree(void **state) {
    (void)state;
    static char text[200001] = "[";
    for (size_t i = 1; i + 2 < sizeof text; i += 2) memcpy(text + i, "1,", 2);
    memcpy(text + sizeof text - 3, "1]", 3);
    tandem_arena arena;
    tandem__arena_init(&arena, (size_t)256 << 10);
    const tandem_json *root = NULL;
    tandem_error err = {0};
    assert_int_equal(tandem__json_parse(tandem__str(text), &arena, &root, &err), TANDEM_CAPACITY);
    assert_non_null(strstr(err.message, "over 262144 bytes"));
    tandem__arena_deinit(&arena);
}

static void reads_integers(void **state) {
    const tandem_json *root = parse(
        state, "{\"i\":7,\"f\":7.0,\"e\":1e1,\"s\":\"7\",\"n\":null,\"m\":-9223372036854775808,"
               "\"big\":9223372036854775808}");
    int64_t value = 42;
    tandem_error err = {0};
    assert_int_equal(tandem__json_read_int(root, "i", 0, 7, &value, &err), TANDEM_OK);
    assert_int_equal(value, 7);
    assert_int_equal(tandem__json_read_int(root, "m", INT64_MIN, 0, &value, &err), TANDEM_OK);
    assert_true(value == INT64_MIN);
    value = 42;
    assert_int_equal(tandem__json_read_int(root, "n", 0, 7, &value, &err), TANDEM_OK);
    assert_int_equal(tandem__json_read_int(root, "none", 0, 7, &value, &err), TANDEM_OK);
    static const char *const bad[] = {"f", "e", "s", "big"};
    for (size_t i = 0; i < 4; i++) {
        tandem_error_clear(&err);
        assert_int_equal(tandem__json_read_int(root, bad[i], 0, 9, &value, &err), TANDEM_FORMAT);
    }
    tandem_error_clear(&err);
    assert_int_equal(tandem__json_read_int(root, "i", 8, 9, &value, &err), TANDEM_FORMAT);
    assert_string_equal(err.message, "i: 7, expected an integer from 8 to 9");
    assert_int_equal(value, 42);
}

static void reads_other_types(void **state) {
    const tandem_json *root = parse(
        state, "{\"d\":1.5,\"t\":true,\"s\":\"x\",\"huge\":1e999,\"n\":null,\"a\":[1],\"o\":{}}");
    double number = 0.0;
    bool flag = false;
    tandem_str text = TANDEM_STR("default");
    tandem_error err = {0};
    assert_int_equal(tandem__json_read_double(root, "d", &number, &err), TANDEM_OK);
    assert_true(number == 1.5);
    assert_int_equal(tandem__json_read_bool(root, "t", &flag, &err), TANDEM_OK);
    assert_true(flag);
    assert_int_equal(tandem__json_read_str(root, "n", &text, &err), TANDEM_OK);
    assert_true(tandem__str_is(text, "default"));
    assert_int_equal(tandem__json_read_str(root, "s", &text, &err), TANDEM_OK);
    assert_true(tandem__str_is(text, "x"));
    assert_int_equal(tandem__json_read_double(root, "huge", &number, &err), TANDEM_FORMAT);
    assert_string_equal(err.message, "huge: 1e999, expected a finite number");
    tandem_error_clear(&err);
    assert_int_equal(tandem__json_read_bool(root, "a", &flag, &err), TANDEM_FORMAT);
    assert_string_equal(err.message, "a: an array of 1, expected true or false");
    tandem_error_clear(&err);
    assert_int_equal(tandem__json_read_str(root, "o", &text, &err), TANDEM_FORMAT);
    assert_string_equal(err.message, "o: an object of 0, expected a string");
    assert_string_equal(tandem__json_label(NULL).text, "nothing");
    assert_string_equal(tandem__json_label(tandem__json_get(root, "n")).text, "null");
    assert_string_equal(tandem__json_label(tandem__json_get(root, "t")).text, "true");
}

/* Every allocation of a parse fails once: an error each time, and AddressSanitizer finds no leak.
 */
static void survives_failing_allocations(void **state) {
    (void)state;
    static const char text[] = "{\"a\\n\":[1,{\"b\":\"c\\u00e9\"}],\"d\":[[[[[[[[1]]]]]]]]}";
    for (uint64_t at = 1; at < 100; at++) {
        tandem_arena arena;
        tandem__arena_init(&arena, ARENA_BYTES);
        const tandem_json *root = NULL;
        tandem_error err = {0};
        tandem__mem_fail_at(at);
        const tandem_status status = tandem__json_parse(TANDEM_STR(text), &arena, &root, &err);
        tandem__mem_fail_at(0);
        tandem__arena_deinit(&arena);
        if (status == TANDEM_OK) {
            assert_true(at > 4);
            return;
        }
        assert_true(status == TANDEM_MEMORY || status == TANDEM_CAPACITY);
        assert_true(err.message[0] != '\0');
    }
    fail_msg("over 100 allocations");
}

/* Containers that stay text. */

static const tandem_json_large large = {"model", {"vocab", "merges", NULL}};

static const tandem_json *parse_large(void **state, const char *text) {
    const tandem_json *root = NULL;
    tandem_error err = {0};
    tandem_arena *arena = &((fixture *)*state)->arena;
    if (tandem__json_parse_large(tandem__str(text), &large, arena, &root, &err)) {
        fail_msg("%s", err.message);
    }
    return root;
}

static void assert_same_node(const tandem_json *a, const tandem_json *b) {
    assert_int_equal(a->kind, b->kind);
    assert_int_equal(a->count, b->count);
    assert_true(tandem__str_equal(a->key, b->key));
    if (a->kind == TANDEM_JSON_STRING || a->kind == TANDEM_JSON_NUMBER) {
        assert_true(tandem__str_equal(a->text, b->text));
    }
}

/* The walk over text meets what the tree holds: items, and their first children. */
static void text_is_walked_as_the_tree_is(void **state) {
    static const char *const values[] = {
        "[]",
        "{}",
        " [ ] ",
        "[1]",
        "[[\"a\",-1.5e+3],[\"\\u00e9\\\\\\\"\",2],[\"\",0E0]]",
        "{\"a\":0,\"\\n\":1,\"b\\\\\":2,\"\":3 , \"c\" : 4}",
        "[true,false,null,\"x\",-0.5,[],{},[1,2,3],[1,2,3,4,5],{\"k\":[1,{\"m\":[]}],\"n\":null}]",
        "[[[[\"\\t\",{\"\\r\":\"]\"}]],\"\\b\"],\"\\f\",\"}\"]",
        "\n[\n  [\n\t\"a b\",\r\n 1 ] , \"#\" \n]\n",
        "{\"a\":{\"b\":{\"c\":[1,2]},\"\\u0000d\":\"\\ud83d\\ude00\"},\"e\":[\"[{\"]}",
    };
    for (size_t i = 0; i < sizeof values / sizeof values[0]; i++) {
        char text[400];
        (void)snprintf(text, sizeof text,
                       "{\"a\":[{}],\"model\":{\"vocab\"\n:\t%s,\"z\":1},\"m\":2}", values[i]);
        const tandem_json *tree = tandem__json_get(parse(state, text), "model");
        const tandem_json *model = tandem__json_get(parse_large(state, text), "model");
        assert_int_equal(model->count, 2);
        assert_int_equal(tandem__json_get(model, "z")->kind, TANDEM_JSON_NUMBER);
        const tandem_json *vocab = tandem__json_get(model, "vocab");
        assert_null(vocab->first);
        const tandem_json *wanted = tandem__json_get(tree, "vocab");
        assert_same_node(vocab, wanted);
        wanted = wanted->first;
        TANDEM_JSON_EACH(item, vocab) {
            assert_same_node(item, wanted);
            const tandem_json *child = item->first;
            const tandem_json *wanted_child = wanted->first;
            for (int c = 0; c < TANDEM_JSON_CHILDREN_MAX && wanted_child != NULL; c++) {
                assert_same_node(child, wanted_child);
                child = child->next;
                wanted_child = wanted_child->next;
            }
            assert_null(child);
            wanted = wanted->next;
        }
        assert_null(wanted);
    }
}

static void loops_can_be_left(void **state) {
    static const char text[] = "{\"model\":{\"vocab\":[1,2,3,4],\"tree\":[1,2,3,4]}}";
    const tandem_json *model = tandem__json_get(parse_large(state, text), "model");
    static const char *const keys[] = {"vocab", "tree"};
    for (size_t k = 0; k < 2; k++) {
        const tandem_json *list = tandem__json_get(model, keys[k]);
        int turns = 0;
        int counted = 0;
        TANDEM_JSON_EACH(item, list) {
            turns++;
            if (tandem__str_is(item->text, "2")) continue;
            if (tandem__str_is(item->text, "4")) break;
            counted++;
        }
        assert_int_equal(turns, 4);
        assert_int_equal(counted, 2);
        int pairs = 0;
        TANDEM_JSON_EACH(a, list) {
            TANDEM_JSON_EACH(b, list) pairs += a->text.ptr <= b->text.ptr;
        }
        assert_int_equal(pairs, 10);
    }
    assert_null(tandem__json_get(tandem__json_get(model, "vocab"), "x"));
}

/* Only root.model.vocab and root.model.merges; a name with an escape is read as usual. */
static void only_named_containers_stay_text(void **state) {
    const tandem_json *root =
        parse_large(state, "{\"vocab\":[1],\"other\":{\"vocab\":[1]},\"model\":{\"words\":[1],"
                           "\"voc\\u0061b\":[1],\"inner\":{\"vocab\":[1]},\"merges\":[1]}}");
    const tandem_json *model = tandem__json_get(root, "model");
    assert_non_null(tandem__json_get(root, "vocab")->first);
    assert_non_null(tandem__json_get(tandem__json_get(root, "other"), "vocab")->first);
    assert_non_null(tandem__json_get(model, "words")->first);
    assert_non_null(tandem__json_get(model, "vocab")->first);
    assert_non_null(tandem__json_get(tandem__json_get(model, "inner"), "vocab")->first);
    assert_null(tandem__json_get(model, "merges")->first);
    assert_non_null(parse_large(state, "[[{\"vocab\":[1]}]]"));
    const tandem_json *scalar = parse_large(state, "{\"model\":{\"vocab\":1,\"merges\":\"a\"}}");
    assert_true(
        tandem__str_is(tandem__json_get(tandem__json_get(scalar, "model"), "merges")->text, "a"));
}

/* Whatever the parser takes for white space, the walk passes over. */
static void large_passes_white_space(void **state) {
    for (char c = 1; c <= ' '; c++) {
        char text[64];
        tandem_arena arena;
        const tandem_json *root = NULL;
        (void)snprintf(text, sizeof text, "{\"model\":{\"vocab\":[%c[%c\"a\"%c,1%c]]}}", c, c, c,
                       c);
        tandem__arena_init(&arena, ARENA_BYTES);
        if (tandem__json_parse_large(tandem__str(text), &large, &arena, &root, NULL) == TANDEM_OK) {
            uint32_t count = 0;
            TANDEM_JSON_EACH(item, tandem__json_get(tandem__json_get(root, "model"), "vocab"))
            count += item->count;
            assert_int_equal(count, 2);
        }
        tandem__arena_deinit(&arena);
    }
    (void)state;
}

static tandem_status try_large(const char *text, size_t arena_bytes, tandem_error *err) {
    tandem_arena arena;
    tandem__arena_init(&arena, arena_bytes);
    const tandem_json *root = NULL;
    const tandem_status status =
        tandem__json_parse_large(tandem__str(text), &large, &arena, &root, err);
    tandem__arena_deinit(&arena);
    return status;
}

static void text_is_checked_as_the_tree_is(void **state) {
    (void)state;
    static const char *const bad[] = {"[1,]",       "[1 2]",     "[tru]",     "{\"a\"}",
                                      "{\"a\":1,}", "[\"\\x\"]", "[01]",      "[}",
                                      "{1:2}",      "[[1]",      "[\"a\nb\"]"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        char text[100];
        tandem_error err = {0};
        (void)snprintf(text, sizeof text, "{\"model\":{\"vocab\":%s}}", bad[i]);
        assert_int_equal(try_large(text, ARENA_BYTES, &err), TANDEM_FORMAT);
        assert_non_null(strstr(err.message, "not valid JSON at line "));
    }
    char deep[200] = "{\"model\":{\"vocab\":";
    for (int extra = 0; extra < 2; extra++) {
        const size_t start = strlen("{\"model\":{\"vocab\":");
        const size_t levels = (size_t)(TANDEM_JSON_DEPTH_MAX - 2 + extra);
        memset(deep + start, '[', levels);
        memset(deep + start + levels, ']', levels);
        memcpy(deep + start + 2 * levels, "}}", 3);
        tandem_error err = {0};
        assert_int_equal(try_large(deep, ARENA_BYTES, &err), extra ? TANDEM_FORMAT : TANDEM_OK);
        if (extra) assert_non_null(strstr(err.message, "nested deeper than 64 levels"));
    }
}

/* 20,000 pieces take next to no memory; strings with escapes are kept, within the bound. */
static void text_takes_no_memory(void **state) {
    (void)state;
    static char text[400000];
    for (int escapes = 0; escapes < 2; escapes++) {
        size_t at = (size_t)snprintf(text, sizeof text, "{\"model\":{\"vocab\":[0");
        for (int i = 0; i < 20000; i++) {
            at += (size_t)snprintf(text + at, sizeof text - at,
                                   escapes ? ",[\"\\n\",1]" : ",[\"a\",1.5]");
        }
        (void)snprintf(text + at, sizeof text - at, "]}}");
        tandem_error err = {0};
        assert_int_equal(try_large(text, (size_t)128 << 10, &err),
                         escapes ? TANDEM_CAPACITY : TANDEM_OK);
    }
}

static void large_survives_failing_allocations(void **state) {
    (void)state;
    static char text[300000];
    size_t at = (size_t)snprintf(text, sizeof text, "{\"model\":{\"vocab\":[0");
    for (int i = 0; i < 20000; i++) {
        at += (size_t)snprintf(text + at, sizeof text - at, ",[\"\\n\",1]");
    }
    (void)snprintf(text + at, sizeof text - at, "]}}");
    for (uint64_t fail_at = 1; fail_at < 100; fail_at++) {
        tandem_error err = {0};
        tandem__mem_fail_at(fail_at);
        const tandem_status status = try_large(text, (size_t)64 << 20, &err);
        tandem__mem_fail_at(0);
        if (status == TANDEM_OK) {
            assert_true(fail_at > 8);
            return;
        }
        assert_true(status == TANDEM_MEMORY || status == TANDEM_CAPACITY);
    }
    fail_msg("over 100 allocations");
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(builds_the_tree),
        TEST(last_of_repeated_keys_counts),
        TEST(zero_bytes_inside_strings),
        TEST(strings_point_into_the_text),
        TEST(refuses_what_is_no_json),
        TEST(refuses_deep_nesting),
        TEST(bounds_the_tree),
        TEST(reads_integers),
        TEST(reads_other_types),
        TEST(survives_failing_allocations),
        TEST(text_is_walked_as_the_tree_is),
        TEST(loops_can_be_left),
        TEST(only_named_containers_stay_text),
        TEST(text_is_checked_as_the_tree_is),
        TEST(text_takes_no_memory),
        TEST(large_passes_white_space),
        TEST(large_survives_failing_allocations),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
