/* SPDX-License-Identifier: Apache-2.0 */
/* Regular expressions alone: what is refused and how, matches that tell engines apart, and
 * hostile patterns, whose time must stay in proportion to the text. What the reference makes of
 * patterns is in test_text_golden. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include "base/mem.h"
#include "text/regex.h"

#define ARENA_BYTES ((size_t)64 << 20)
#define LONG_BYTES  ((size_t)100 << 10)
#ifdef NDEBUG
#define SECONDS_MAX 3.0 /* 0.65 where nobody else computes */
#else
#define SECONDS_MAX 30.0 /* sanitizers, no optimisation */
#endif

static const struct {
    const char *pattern;
    const char *message;
    tandem_status status;
} refused[] = {
    {"ab(?>c)", "this group is not supported, at byte 2: \"(?>c)\"", TANDEM_UNSUPPORTED},
    {"\\p{Klingon}", "\\p with this name is not supported, at byte 2: \"{Klingon}\"",
     TANDEM_UNSUPPORTED},
    {"\\pL", "\\p without a name in braces is not supported, at byte 2: \"L\"", TANDEM_UNSUPPORTED},
    {"(a)\\1", "this escape is not supported, at byte 4: \"1\"", TANDEM_UNSUPPORTED},
    {"\\R", "this escape is not supported, at byte 1: \"R\"", TANDEM_UNSUPPORTED},
    {"a{", "{ as a character is not supported, at byte 1: \"{\"", TANDEM_UNSUPPORTED},
    {"a{1001}", "a repeat of over 1000 times is not supported, at byte 1: ", TANDEM_UNSUPPORTED},
    {"[[:alpha:]]", "[: :] is not supported, at byte 1: \"[:alpha:]]\"", TANDEM_UNSUPPORTED},
    {"(?:ab)++", "a possessive repeat of more than one character is not supported, at byte 6: ",
     TANDEM_UNSUPPORTED},
    {"(?:a?b?)*", "a repeat without bound of what can match nothing is not supported, at byte 8: ",
     TANDEM_UNSUPPORTED},
    {"(?<=ab)c",
     "a look behind of more than one character is not supported, at byte 0: ", TANDEM_UNSUPPORTED},
    {"(?i)\xc3\xa9",
     "a character beyond ASCII without case is not supported, at byte 6: ", TANDEM_UNSUPPORTED},
    {"(?i:loss)",
     "a pair of letters like ss without case is not supported, at byte 7: ", TANDEM_UNSUPPORTED},
    {"(?:^)+", "a repeat of a place is not supported, at byte 5: \"+\"", TANDEM_UNSUPPORTED},
    {"(a", "an open ( is no pattern, at byte 0: \"(a\"", TANDEM_FORMAT},
    {"a)", "a ) too many is no pattern, at byte 1: \")\"", TANDEM_FORMAT},
    {"[a", "an open [ is no pattern, at byte 0: \"[a\"", TANDEM_FORMAT},
    {"[b-a]", "an empty range is no pattern, at byte 1: \"b-a]\"", TANDEM_FORMAT},
    {"[a-\\d]", "this escape is not supported, at byte 4: \"d]\"", TANDEM_UNSUPPORTED},
    {"*a", "a repeat of nothing is no pattern, at byte 0: \"*a\"", TANDEM_FORMAT},
    {"a\\", "the end after \\ is no pattern, at byte 2: \"\"", TANDEM_FORMAT},
    {"\\x{110000}", "a character is no pattern, at byte 2: ", TANDEM_FORMAT},
    {"\\u12", "\\u is no pattern, at byte 2: \"12\"", TANDEM_FORMAT},
    {"(?:a{1000}){1000}", "pattern of over 4096 steps", TANDEM_CAPACITY},
    {"(?:){1000}{1000}", "pattern of over 100000 copies of its parts", TANDEM_CAPACITY},
};

static void test_refused(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof refused / sizeof refused[0]; i++) {
        tandem_arena arena;
        const tandem_regex *regex = NULL;
        tandem_error err = {0};
        tandem__arena_init(&arena, ARENA_BYTES);
        const tandem_status status =
            tandem__regex_compile(tandem__str(refused[i].pattern), &arena, &regex, &err);
        if (status != refused[i].status ||
            strncmp(err.message, refused[i].message, strlen(refused[i].message)) != 0) {
            fail_msg("%s: %s", refused[i].pattern, err.message);
        }
        assert_null(regex);
        tandem__arena_deinit(&arena);
    }
}

static void test_deep_is_refused(void **state) {
    (void)state;
    static const char *const openers[] = {"(", "[", "(?=", "a{2}"};
    for (size_t i = 0; i < sizeof openers / sizeof openers[0]; i++) {
        char pattern[1 << 14];
        const size_t len = strlen(openers[i]);
        for (size_t at = 0; at < sizeof pattern; at++) pattern[at] = openers[i][at % len];
        tandem_arena arena;
        const tandem_regex *regex = NULL;
        tandem__arena_init(&arena, ARENA_BYTES);
        assert_int_not_equal(
            tandem__regex_compile((tandem_str){pattern, sizeof pattern}, &arena, &regex, NULL),
            TANDEM_OK);
        tandem__arena_deinit(&arena);
    }
}

/* Counts the matches of `pattern` in `text`; the last one is at *start. */
static size_t count_matches(const char *pattern, tandem_str text, size_t *start, size_t *end) {
    tandem_arena arena;
    const tandem_regex *regex = NULL;
    tandem_error err = {0};
    tandem_regex_scratch scratch = {0};
    tandem_regex_search search;
    size_t count = 0;
    bool found = true;
    tandem__arena_init(&arena, ARENA_BYTES);
    if (tandem__regex_compile(tandem__str(pattern), &arena, &regex, &err) != TANDEM_OK) {
        fail_msg("%s: %s", pattern, err.message);
    }
    assert_int_equal(
        tandem__regex_begin(&search, regex, &scratch, (const uint8_t *)text.ptr, text.len, &err),
        TANDEM_OK);
    while (found) {
        assert_int_equal(tandem__regex_next(&search, &found, &err), TANDEM_OK);
        if (!found) break;
        count++;
        *start = search.start;
        *end = search.end;
    }
    tandem__regex_scratch_deinit(&scratch);
    tandem__arena_deinit(&arena);
    return count;
}

static void test_first_choice_wins(void **state) {
    (void)state;
    static const struct {
        const char *pattern;
        const char *text;
        size_t count, start, end; /* of the last match */
    } cases[] = {
        {"a|ab", "xab", 1, 1, 2},
        {"ab|a", "xab", 1, 1, 3},
        {"a+?", "aaa", 3, 2, 3},
        {"a*", "baa", 2, 1, 3},
        {"(a|ab)(c|bcd)", "abcd", 1, 0, 4},
        {"a++a", "aaa", 0, 0, 0},
        {"\\s+(?!\\S)", "a   b", 1, 1, 3},
        {"^", "a\n", 1, 0, 0},
        {"$", "a\n", 2, 2, 2},
        {"a{2}?b", "ab", 1, 1, 2},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        size_t start = 0;
        size_t end = 0;
        const size_t count =
            count_matches(cases[i].pattern, tandem__str(cases[i].text), &start, &end);
        if (count != cases[i].count || start != cases[i].start || end != cases[i].end) {
            fail_msg("%s on \"%s\": %zu matches, the last %zu to %zu", cases[i].pattern,
                     cases[i].text, count, start, end);
        }
    }
}

/* Patterns that take others exponential or quadratic time on a long run of one letter. */
static void test_hostile(void **state) {
    (void)state;
    static const struct {
        const char *pattern;
        char letter;
        bool matches_each; /* letter alone, else nothing */
    } cases[] = {
        {"(a*)*b", 'a', false},        {"(a|a)*b", 'a', false},
        {"(x+x+)+y", 'x', false},      {"(a+)+$b", 'a', false},
        {"(?:a|aa)+b", 'a', false},    {"(?:a{1,2}){2,30}b", 'a', false},
        {"a+b|a", 'a', true},          {"(?:aa)+b|a", 'a', true},
        {"(?=a*b)a", 'a', false},      {"(?!a*b)a", 'a', true},
        {"(?!(?:a|a)*b)a", 'a', true}, {"a(?=(?:a+)+b)|a", 'a', true},
        {"a++b|a", 'a', true},         {"a*?b|a", 'a', true},
        {".*.*.*b", 'a', false},       {"(?:a?){30}a{30}b", 'a', false},
        {"a{1,1000}b|a", 'a', true},   {"(?:(?:a+)+(?:a+)+)+b|a", 'a', true},
    };
    char *const text = tandem__mem_calloc(LONG_BYTES, 1);
    assert_non_null(text);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        size_t start = 0;
        size_t end = 0;
        struct timespec before;
        struct timespec after;
        memset(text, cases[i].letter, LONG_BYTES);
        assert_int_equal(clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &before), 0);
        const size_t count =
            count_matches(cases[i].pattern, (tandem_str){text, LONG_BYTES}, &start, &end);
        assert_int_equal(clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &after), 0);
        const double seconds = (double)(after.tv_sec - before.tv_sec) +
                               (double)(after.tv_nsec - before.tv_nsec) * 1e-9;
        print_message("%s: %.3f s\n", cases[i].pattern, seconds);
        assert_int_equal(count, cases[i].matches_each ? LONG_BYTES : 0);
        if (seconds > SECONDS_MAX) fail_msg("%s: %.1f s", cases[i].pattern, seconds);
    }
    tandem__mem_free(text);
}

/* The careful search finds what the quick one finds: the same text behind a run that uses up the
 * budget. */
static void test_careful_agrees(void **state) {
    (void)state;
    static const char tail[] = "y1 ab,  cab x\xc3\xa9 12345 abcab\n\na";
    static const char *const patterns[] = {
        "(x+x+)+y|\\s+(?!\\S)|\\p{L}+?b|[^x]",
        "(x+x+)+y|(?:ab|a|b)+(?=,)|[^x ]{1,3}",
        "(x+x+)+y|[^\\Wx]++|\\s*[\\r\\n]+|\\b,|\\s+",
        "(x+x+)+y|(?!ab)[abc]{1,3}?|\\d{2,3}",
    };
    enum { RUN = 3000 };
    char text[RUN + sizeof tail];
    memset(text, 'x', RUN);
    memcpy(text + RUN, tail, sizeof tail);
    text[RUN - 1] = '-';
    for (size_t i = 0; i < sizeof patterns / sizeof patterns[0]; i++) {
        size_t starts[2] = {0};
        size_t ends[2] = {0};
        const size_t slow = count_matches(patterns[i], (tandem_str){text, RUN + sizeof tail - 1},
                                          &starts[0], &ends[0]);
        const size_t quick = count_matches(patterns[i], (tandem_str){text + RUN - 1, sizeof tail},
                                           &starts[1], &ends[1]);
        assert_int_equal(slow, quick);
        assert_true(quick > 5);
        assert_int_equal(starts[0], starts[1] + RUN - 1);
        assert_int_equal(ends[0], ends[1] + RUN - 1);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_refused),           cmocka_unit_test(test_deep_is_refused),
        cmocka_unit_test(test_first_choice_wins), cmocka_unit_test(test_hostile),
        cmocka_unit_test(test_careful_agrees),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
