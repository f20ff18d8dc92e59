/* SPDX-License-Identifier: Apache-2.0 */
/* Powers of ten for float_text.c alone; the table is written by tools/make_float_table.py. */
#ifndef TANDEM_BASE_FLOAT_TEXT_TABLES_H
#define TANDEM_BASE_FLOAT_TEXT_TABLES_H

#include <stdint.h>

#define TANDEM_FLOAT_POWER_MIN   (-31)
#define TANDEM_FLOAT_POWER_MAX   45
#define TANDEM_FLOAT_POWER_COUNT (TANDEM_FLOAT_POWER_MAX - TANDEM_FLOAT_POWER_MIN + 1)

/* [TANDEM_FLOAT_POWER_COUNT] entry i: 10^(i + MIN) / 2^(floor(log2 of it) - 63), rounded up. */
extern const uint64_t tandem__float_powers[TANDEM_FLOAT_POWER_COUNT];

#endif
