/* SPDX-License-Identifier: Apache-2.0 */
/* Numbers from text, without the locale. The whole text must be the number. Any thread. */
#ifndef TANDEM_BASE_NUMBER_H
#define TANDEM_BASE_NUMBER_H

#include <stdbool.h>
#include <stdint.h>

#include "base/str.h"

/* Decimal integer with an optional minus sign that fits 64 bits. */
bool tandem__number_parse_int(tandem_str text, int64_t *value);

/* 0 to 15 of a hexadecimal digit of either case, else -1. */
static inline int tandem__hex_digit(char c) {
    if (c >= '0' && c <= '9') return c - '0';
    if (c >= 'a' && c <= 'f') return c - 'a' + 10;
    if (c >= 'A' && c <= 'F') return c - 'A' + 10;
    return -1;
}

/* JSON's number syntax; finite only. */
bool tandem__number_parse_double(tandem_str text, double *value);

#endif
