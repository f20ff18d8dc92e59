#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Writes src/base/float_text_tables.c: the powers of ten that float_text.c scales with.

Entry i is 10^(i + POWER_MIN) as a 64-bit integer with its top bit set, rounded up: the smallest
g with g * 2^(floor(log2 10^k) - 63) >= 10^k.
"""
from fractions import Fraction

POWER_MIN, POWER_MAX = -31, 45


def scaled(k):
    value = Fraction(10) ** k
    e = 0
    while Fraction(2) ** (e + 1) <= value:
        e += 1
    while Fraction(2) ** e > value:
        e -= 1
    scaled_value = value * Fraction(2) ** (63 - e)
    g = -(-scaled_value.numerator // scaled_value.denominator)
    assert 1 << 63 <= g < 1 << 64
    return g


def main():
    entries = [f"0x{scaled(k):016x}" for k in range(POWER_MIN, POWER_MAX + 1)]
    print("/* SPDX-License-Identifier: Apache-2.0 */")
    print("/* Written by tools/make_float_table.py: "
          "10^k for k = %d to %d, 64 bits, rounded up. */" % (POWER_MIN, POWER_MAX))
    print('#include "base/float_text_tables.h"\n')
    print("/* clang-format off */")
    print("const uint64_t tandem__float_powers[TANDEM_FLOAT_POWER_COUNT] = {")
    for i in range(0, len(entries), 4):
        print("    " + ", ".join(entries[i:i + 4]) + ",")
    print("};")


if __name__ == "__main__":
    main()
