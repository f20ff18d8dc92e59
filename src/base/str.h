/* SPDX-License-Identifier: Apache-2.0 */
/* A borrowed run of bytes. Not NUL-terminated; NUL bytes inside are ordinary. */
#ifndef TANDEM_BASE_STR_H
#define TANDEM_BASE_STR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

typedef struct tandem_str {
    const char *ptr;
    size_t len; /* bytes */
} tandem_str;

#define TANDEM_STR(literal) ((tandem_str){(literal), sizeof(literal) - 1})
/* For printf's "%.*s"; long strings are cut at 120 bytes, which is what a message can use. */
#define TANDEM_STR_ARG(s) ((int)((s).len < 120 ? (s).len : 120)), (s).ptr

static inline tandem_str tandem__str(const char *text) {
    return (tandem_str){text, strlen(text)};
}

static inline bool tandem__str_equal(tandem_str a, tandem_str b) {
    return a.len == b.len && (a.len == 0 || memcmp(a.ptr, b.ptr, a.len) == 0);
}

static inline bool tandem__str_is(tandem_str a, const char *text) {
    return tandem__str_equal(a, tandem__str(text));
}

static inline bool tandem__str_ends(tandem_str a, const char *suffix) {
    const size_t len = strlen(suffix);
    return a.len >= len && memcmp(a.ptr + a.len - len, suffix, len) == 0;
}

static inline bool tandem__str_starts(tandem_str a, const char *prefix) {
    const size_t len = strlen(prefix);
    return a.len >= len && memcmp(a.ptr, prefix, len) == 0;
}

/* Whether `value` is one of "a|b|c". */
static inline bool tandem__str_is_one_of(const char *words, const char *value) {
    const size_t len = strlen(value);
    for (const char *at = words; at != NULL; at = strchr(at, '|')) {
        if (*at == '|') at++;
        const size_t word = strcspn(at, "|");
        if (word == len && memcmp(at, value, len) == 0) return true;
    }
    return false;
}

#endif
