/* SPDX-License-Identifier: Apache-2.0 */
/* Every message, function and enumerator of src/apple against what the headers of macOS declare
 * (signatures.tsv, which tools/apple_signatures.py writes): owner, class or instance, selector, the
 * type of the result and of each argument, and the macOS that introduced it. The types are those
 * that the compiler sees, by _Generic, so that neither side can be typed in from the other. */
#include "apple/symbols.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/number.h"

#define TABLE     "tests/apple/signatures.tsv"
#define LINES_MAX 512
#define FIELDS    7
#define TYPES_MAX 16
#define TEXT_MAX  256

/* clang-format off */
#define ENCODING(T) _Generic((T *)0, \
    void *: "v", objc_id *: "@", objc_sel *: ":", objc_block **: "@?", \
    objc_uint *: "Q", objc_int *: "q", unsigned long long *: "Q", long long *: "q", \
    unsigned *: "I", int *: "i", float *: "f", double *: "d", bool *: "B", signed char *: "B", \
    objc_size *: "{MTLSize=QQQ}", objc_version *: "{NSOperatingSystemVersion=qqq}", \
    const char **: "^c", void **: "^v", const void **: "^v", float **: "^f", \
    const float **: "^f", int **: "^i", unsigned **: "^I", objc_uint **: "^Q", objc_id **: "^@", \
    const objc_id **: "^@")

/* The types behind the first argument of the list, each as its encoding. */
#define COUNT(...) COUNT_(__VA_ARGS__, 16, 15, 14, 13, 12, 11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1, 0)
#define COUNT_(a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p, count, ...) count
#define TYPES(...) TYPES_(COUNT(__VA_ARGS__), __VA_ARGS__)
#define TYPES_(count, ...) TYPES__(count, __VA_ARGS__)
#define TYPES__(count, ...) TYPES_##count(__VA_ARGS__)
#define TYPES_1(s)
#define TYPES_2(s, a) ENCODING(a),
#define TYPES_3(s, a, ...) ENCODING(a), TYPES_2(s, __VA_ARGS__)
#define TYPES_4(s, a, ...) ENCODING(a), TYPES_3(s, __VA_ARGS__)
#define TYPES_5(s, a, ...) ENCODING(a), TYPES_4(s, __VA_ARGS__)
#define TYPES_6(s, a, ...) ENCODING(a), TYPES_5(s, __VA_ARGS__)
#define TYPES_7(s, a, ...) ENCODING(a), TYPES_6(s, __VA_ARGS__)
#define TYPES_8(s, a, ...) ENCODING(a), TYPES_7(s, __VA_ARGS__)
#define TYPES_9(s, a, ...) ENCODING(a), TYPES_8(s, __VA_ARGS__)
#define TYPES_10(s, a, ...) ENCODING(a), TYPES_9(s, __VA_ARGS__)
#define TYPES_11(s, a, ...) ENCODING(a), TYPES_10(s, __VA_ARGS__)
#define TYPES_12(s, a, ...) ENCODING(a), TYPES_11(s, __VA_ARGS__)
#define TYPES_13(s, a, ...) ENCODING(a), TYPES_12(s, __VA_ARGS__)
#define TYPES_14(s, a, ...) ENCODING(a), TYPES_13(s, __VA_ARGS__)
#define TYPES_15(s, a, ...) ENCODING(a), TYPES_14(s, __VA_ARGS__)
#define TYPES_16(s, a, ...) ENCODING(a), TYPES_15(s, __VA_ARGS__)

#define FIRST(...) FIRST_(__VA_ARGS__, )
#define FIRST_(first, ...) first
#define ROW_X(name, owner, since, ...) {owner, FIRST(__VA_ARGS__), since, {TYPES(__VA_ARGS__)}},
#define ROW_V(name, owner, since, ...) \
    {owner, FIRST(__VA_ARGS__), since, {"v", TYPES(__VA_ARGS__)}},
#define ROW_F(name, library, since, ...) {NULL, #name, since, {TYPES(, __VA_ARGS__)}},

/* owner NULL: a function. types[0] is the result's. */
typedef struct row {
    const char *owner; /* its first byte is + or - */
    const char *name;  /* selector */
    int since;
    const char *types[TYPES_MAX];
} row;

static const row messages[] = {OBJC_MESSAGES(ROW_X, ROW_X, ROW_X, ROW_X, ROW_X, ROW_X,
                                             ROW_V, ROW_V, ROW_V, ROW_V)};
static const row functions[] = {OBJC_FUNCTIONS(ROW_F)};

#define ROW_C(name, there, value) {there, name},
static const struct {
    const char *name;
    int value;
} constants[] = {OBJC_CONSTANTS(ROW_C)};
/* clang-format on */

#define COUNT_OF(array) (sizeof(array) / sizeof *(array))

/* The table's lines, split at tabs; fields that a line does not have are "". */
static char text[65536];
static const char *lines[LINES_MAX][FIELDS];
static int line_count;

static int read_table(void **state) {
    (void)state;
    FILE *file = fopen(TABLE, "rb");
    assert_non_null(file);
    const size_t size = fread(text, 1, sizeof text - 1, file);
    assert_true(size > 0 && size < sizeof text - 1);
    assert_int_equal(fclose(file), 0);
    for (char *at = text; *at != '\0';) {
        char *end = strchr(at, '\n');
        assert_non_null(end);
        *end = '\0';
        assert_true(line_count < LINES_MAX);
        for (int i = 0; i < FIELDS; i++) {
            char *tab = strchr(at, '\t');
            lines[line_count][i] = at;
            if (tab != NULL) *tab = '\0';
            at = tab == NULL ? end : tab + 1;
        }
        if (lines[line_count][0][0] != '#') line_count++;
        at = end + 1;
    }
    return 0;
}

/* The first line from `from` on of this kind whose fields 1, 2, ... are these; -1: none. */
static int find_line(int from, const char *kind, const char *a, const char *b, const char *c) {
    for (int i = from; i < line_count; i++)
        if (strcmp(lines[i][0], kind) == 0 && strcmp(lines[i][1], a) == 0 &&
            (b == NULL || strcmp(lines[i][2], b) == 0) &&
            (c == NULL || strcmp(lines[i][3], c) == 0))
            return i;
    return -1;
}

/* The line of a message that `owner` declares or inherits. */
static int find_message(const char *owner, const char *sign, const char *selector) {
    int found = find_line(0, "message", owner, sign, selector);
    for (int i = 0; found < 0; i++) {
        i = find_line(i, "parent", owner, NULL, NULL);
        if (i < 0) break;
        found = find_message(lines[i][2], sign, selector);
    }
    return found;
}

/* What is wrong with a row; "" if nothing is. */
static const char *judge(const row *r, char why[TEXT_MAX]) {
    char types[TEXT_MAX / 4] = "";
    size_t len = 0;
    const bool is_message = r->owner != NULL;
    const char sign[2] = {is_message ? r->owner[0] : '\0'};
    const int line = is_message ? find_message(r->owner + 1, sign, r->name)
                                : find_line(0, "function", r->name, NULL, NULL);
    why[0] = '\0';
    if (line < 0) {
        (void)snprintf(why, TEXT_MAX, "%s %s: no header declares it", is_message ? r->owner : "",
                       r->name);
        return why;
    }
    for (int i = 0; i < TYPES_MAX && r->types[i] != NULL; i++) {
        const bool is_nothing = i > 0 && strcmp(r->types[i], "v") == 0; /* f(void) */
        len += (size_t)snprintf(types + len, sizeof types - len, "%s%s",
                                is_nothing ? "" : r->types[i], is_message && i == 0 ? "@:" : "");
    }
    const char *const *declared = lines[line] + (is_message ? 4 : 2);
    int64_t since = 0;
    assert_true(tandem__number_parse_int(tandem__str(declared[1]), &since));
    if (strcmp(types, declared[0]) != 0)
        (void)snprintf(why, TEXT_MAX, "%s: types %s, declared as %s", r->name, types, declared[0]);
    else if (since != r->since)
        (void)snprintf(why, TEXT_MAX, "%s: since %d, declared as since %d", r->name, r->since,
                       (int)since);
    return why;
}

static void test_messages(void **state) {
    (void)state;
    char why[TEXT_MAX];
    assert_int_equal(COUNT_OF(messages), OBJC_MESSAGE_COUNT);
    for (size_t i = 0; i < COUNT_OF(messages); i++)
        assert_string_equal(judge(&messages[i], why), "");
}

static void test_functions(void **state) {
    (void)state;
    char why[TEXT_MAX];
    for (size_t i = 0; i < COUNT_OF(functions); i++)
        assert_string_equal(judge(&functions[i], why), "");
}

static void test_constants(void **state) {
    (void)state;
    for (size_t i = 0; i < COUNT_OF(constants); i++) {
        int64_t value = 0;
        const int line = find_line(0, "constant", constants[i].name, NULL, NULL);
        if (line < 0) fail_msg("%s: no header declares it", constants[i].name);
        assert_true(tandem__number_parse_int(tandem__str(lines[line][2]), &value));
        assert_int_equal(value, constants[i].value);
    }
}

/* No line of the table is left over from a message that is gone. */
static void test_table_is_used(void **state) {
    (void)state;
    int used = 0;
    for (int i = 0; i < line_count; i++) used += strcmp(lines[i][0], "message") == 0;
    for (size_t i = 0; i < COUNT_OF(messages); i++) {
        const char sign[2] = {messages[i].owner[0]};
        const int line = find_message(messages[i].owner + 1, sign, messages[i].name);
        if (line < 0 || lines[line][0][0] == '\0') continue;
        lines[line][0] = "";
        used--;
    }
    assert_int_equal(used, 0);
}

/* The judge itself, on rows with one fault each. */
static void test_faults(void **state) {
    (void)state;
    static const struct {
        const char *expected; /* NULL: no fault */
        row faulty;
    } cases[] = {
        {NULL, {"-MTLDevice", "newBufferWithLength:options:", 1011, {"@", "Q", "Q"}}},
        {"no header", {"-MTLDevice", "newBufferWithLenght:options:", 1011, {"@", "Q", "Q"}}},
        {"no header", {"-MTLDevice", "n       ewBufferWithLength:options:", 1011, {"@", "Q"}}},
        {"no header", {"+MTLDevice", "newBufferWithLength:options:", 1011, {"@", "Q", "Q"}}},
        {"no header", {"-MTLBuffer", "newBufferWithLength:options:", 1011, {"@", "Q", "Q"}}},
        {"no header", {"-MTLCommandEncoder", "setBytes:length:atIndex:", 1011, {"v", "^v", "Q"}}},
        {"types", {"-MTLDevice", "newBufferWithLength:options:", 1011, {"@", "i", "Q"}}},
        {"types", {"-MTLDevice", "newBufferWithLength:options:", 1011, {"@", "Q"}}},
        {"types", {"-MTLDevice", "newBufferWithLength:options:", 1011, {"v", "Q", "Q"}}},
        {"types", {"-MTLDevice", "newBufferWithLength:options:", 1011, {"@", "Q", "Q", "Q"}}},
        {"types", {"-MTLDevice", "supportsFamily:", 1015, {"q", "q"}}},
        {"since", {"-MTLDevice", "supportsFamily:", 1014, {"B", "q"}}},
        {NULL, {NULL, "MTLCreateSystemDefaultDevice", 1011, {"@", "v"}}},
        {"types", {NULL, "MTLCreateSystemDefaultDevice", 1011, {"@", "q"}}},
        {"no header", {NULL, "MTLCreateSystemDevice", 1011, {"@", "v"}}},
    };
    char why[TEXT_MAX];
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        (void)judge(&cases[i].faulty, why);
        if (cases[i].expected == NULL)
            assert_string_equal(why, "");
        else
            assert_non_null(strstr(why, cases[i].expected));
    }
}

/* What a class inherits is found with the class; nothing is found upwards from a parent. */
static void test_inheritance(void **state) {
    (void)state;
    const char *const child[] = {"parent", "MTLComputeCommandEncoder", "MTLCommandEncoder"};
    for (int i = 0; i < 3; i++) lines[line_count][i] = child[i];
    line_count++;
    assert_true(find_message("MTLComputeCommandEncoder", "-", "endEncoding") >= 0);
    assert_int_equal(find_message("MTLCommandEncoder", "-", "setBytes:length:atIndex:"), -1);
    line_count--;
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_messages),    cmocka_unit_test(test_functions),
        cmocka_unit_test(test_constants),   cmocka_unit_test(test_faults),
        cmocka_unit_test(test_inheritance), cmocka_unit_test(test_table_is_used),
    };
    return cmocka_run_group_tests(tests, read_table, NULL);
}
