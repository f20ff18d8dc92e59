#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Writes src/text/grapheme_tables.c: the grapheme cluster class of every code point.

    python3 tools/gen_graphemes.py

What joins which neighbour is observed: a Precompiled normaliser of the pinned reference, with a
table that maps "a" to X and the lead byte of everything else to Y, replaces a short cluster as a
whole. What observation does not tell apart (Extend from SpacingMark, Hangul, regional indicators)
comes from the package `regex`, kept only where the reference acts accordingly.
"""
import pathlib
import struct
import sys

import regex
import tokenizers
from tokenizers import normalizers

from tokenizer_cases import PINNED

PATH = pathlib.Path(__file__).resolve().parent.parent / "src/text/grapheme_tables.c"
CODES = [c for c in range(0x110000) if not 0xD800 <= c < 0xE000]
SHIFT = 7
# In the order of grapheme_class in src/text/grapheme.c.
CLASSES = ("OTHER CONTROL EXTEND SPACING LINKER ZWJ PREPEND RI L V T LV LVT PICTOGRAPH CONSONANT "
           "PLAIN").split()


def probe():
    """Text to what the reference makes of it, with the table above."""
    units = [0] * 0x200
    units[0] = 0x100 << 10
    for byte in [ord("a"), *range(0xC2, 0xF5)]:
        at = 0x100 ^ byte
        units[at] = 0x100 << 10 | 1 << 8 | byte
        units[at ^ 0x100] = 0 if byte == ord("a") else 2
    blob = struct.pack(f"<I{len(units)}I", 4 * len(units), *units) + b"X\0Y\0"
    return normalizers.Precompiled(blob).normalize_str


def having(pattern):
    match = regex.compile(pattern).match
    return {c for c in CODES if match(chr(c))}


def classes(normalize):
    known = {k: having(rf"\p{{GCB={k}}}") for k in
             ("CR", "LF", "CN", "ZWJ", "RI", "SM", "L", "V", "T", "LV", "LVT")}
    pictographs = having(r"\p{Extended_Pictographic}")
    consonants, linkers, extends = (having(rf"\p{{InCB={k}}}")
                                    for k in ("Consonant", "Linker", "Extend"))
    for code in CODES:
        c = chr(code)
        if normalize("a" + c) == "X":
            yield code, ("ZWJ" if code in known["ZWJ"] else "SPACING" if code in known["SM"] else
                         "LINKER" if code in linkers else
                         "EXTEND" if code in extends else "PLAIN")
        elif code > 0x7F and normalize(c + "a") == "Y":
            yield code, "PREPEND"
        elif code in known["CR"] | known["LF"] | known["CN"]:
            yield code, "CONTROL"
        elif kinds := [k for k in ("RI", "L", "V", "T", "LV", "LVT") if code in known[k]]:
            yield code, kinds[0]
        elif code in pictographs and normalize(c + "\u200d\u00a9\u0301") == "YYYY":
            yield code, "PICTOGRAPH"
        elif code in consonants and (code > 0xFFFF or
                                     normalize(c + "\u094d" + c + "\u0301") == "YYYY"):
            yield code, "CONSONANT"


def rows(values, per_line):
    return ["    " + "".join(f"{v}," for v in values[at:at + per_line])
            for at in range(0, len(values), per_line)]


def main():
    if tokenizers.__version__ != PINNED:
        sys.exit(f"tokenizers is {tokenizers.__version__}, the tables are for {PINNED}")
    table = [0] * 0x110000
    for code, name in classes(probe()):
        table[code] = CLASSES.index(name)
    blocks, index = {}, []
    for at in range(0, len(table), 1 << SHIFT):
        block = tuple(table[at:at + (1 << SHIFT)])
        index.append(blocks.setdefault(block, len(blocks)))
    packed = [b[i] | b[i + 1] << 4 for b in blocks for i in range(0, 1 << SHIFT, 2)]
    lines = ["/* SPDX-License-Identifier: Apache-2.0 */",
             "/* Grapheme cluster classes, by tools/gen_graphemes.py; see grapheme.h. */",
             '#include "text/grapheme.h"', "", "/* clang-format off */",
             f"const uint8_t tandem__grapheme_block[{len(index)}] = {{", *rows(index, 24), "};",
             f"const uint8_t tandem__grapheme_class[{len(packed)}] = {{", *rows(packed, 32), "};",
             "/* clang-format on */", ""]
    PATH.write_text("\n".join(lines), "utf-8")


if __name__ == "__main__":
    main()
