/* SPDX-License-Identifier: Apache-2.0 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE /* strtod_l */
#endif
#include "base/number.h"

#include <locale.h>
#include <math.h>
#include <pthread.h>
#include <stdlib.h>
#ifdef __APPLE__
#include <xlocale.h>
#endif

#define NUMBER_CHARS_MAX 400 /* 309 digits of DBL_MAX and a generous fraction */

static locale_t c_locale;
static pthread_once_t c_locale_once = PTHREAD_ONCE_INIT;

static void make_c_locale(void) {
    c_locale = newlocale(LC_ALL_MASK, "C", (locale_t)0);
}

bool tandem__number_parse_int(tandem_str text, int64_t *value) {
    const bool is_negative = text.len > 0 && text.ptr[0] == '-';
    const size_t start = is_negative ? 1 : 0;
    if (text.len == start) return false;
    uint64_t magnitude = 0;
    const uint64_t limit = (uint64_t)INT64_MAX + (is_negative ? 1 : 0);
    for (size_t i = start; i < text.len; i++) {
        const unsigned digit = (unsigned)text.ptr[i] - '0';
        if (digit > 9 || magnitude > (limit - digit) / 10) return false;
        magnitude = magnitude * 10 + digit;
    }
    *value = is_negative ? (int64_t)(0 - magnitude) : (int64_t)magnitude;
    return true;
}

bool tandem__number_parse_double(tandem_str text, double *value) {
    if (text.len == 0 || text.len >= NUMBER_CHARS_MAX) return false;
    for (size_t i = 0; i < text.len; i++) {
        const char c = text.ptr[i];
        const bool is_digit = c >= '0' && c <= '9';
        if (!is_digit && c != '-' && c != '+' && c != '.' && c != 'e' && c != 'E') return false;
    }
    (void)pthread_once(&c_locale_once, make_c_locale);
    if (c_locale == (locale_t)0) return false;
    char copy[NUMBER_CHARS_MAX];
    memcpy(copy, text.ptr, text.len);
    copy[text.len] = '\0';
    char *end = NULL;
    const double parsed = strtod_l(copy, &end, c_locale);
    if (end != copy + text.len || !isfinite(parsed)) return false;
    *value = parsed;
    return true;
}
