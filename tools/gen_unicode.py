#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Writes src/text/unicode_tables.c and tests/golden/tokenizer_unicode.txt.

The reference tokenizer takes its character properties from several libraries whose Unicode
versions differ from each other, so the tables are not made from one version of the Unicode
database but from what the pinned reference does with each of the 1,112,064 code points.

    python3 tools/gen_unicode.py [--check]

Needs the package `tokenizers` of the version below; --check only compares with what is there.
"""
import argparse
import itertools
import pathlib
import sys
import textwrap
import unicodedata

import tokenizers
from tokenizers import AddedToken, Regex, Tokenizer, models, normalizers, pre_tokenizers

PINNED = "0.23.3"
ROOT = pathlib.Path(__file__).resolve().parent.parent
ALL = [c for c in range(0x110000) if not 0xD800 <= c < 0xE000]
CHUNK = 4096

# Bits of a record; unicode.h has the same names.
(DROP, SPACE, CJK, MN, PUNCT, WHITE, WORD, LETTER, NUMBER, COMBINING, NUMERIC, NOT_NFC, NOT_NFKC,
 PATTERN_WORD) = (1 << i for i in range(14))

# General categories in the order of their numbers, and the scripts that patterns may name.
CATEGORIES = ("Cn Cc Cf Co Cs Ll Lm Lo Lt Lu Mc Me Mn Nd Nl No Pc Pd Pe Pf Pi Po Ps Sc Sk Sm So Zl "
              "Zp Zs").split()
SCRIPTS = ("Arabic Armenian Bengali Bopomofo Cherokee Common Cyrillic Devanagari Ethiopic Georgian "
           "Greek Gujarati Gurmukhi Han Hangul Hebrew Hiragana Inherited Kannada Katakana Khmer Lao "
           "Latin Malayalam Mongolian Myanmar Oriya Sinhala Syriac Tamil Telugu Thaana Thai "
           "Tibetan").split()
FORMS = "NFC NFD NFKC NFKD Nmt ByteLevel StripAccents".split()


def bert(clean=False, cjk=False, strip=False, lower=False):
    return normalizers.BertNormalizer(
        clean_text=clean, handle_chinese_chars=cjk, strip_accents=strip, lowercase=lower)


def added_token_matches(flag, make_text):
    """Code points c for which the added token in make_text(c) is found, and where it starts."""
    tokenizer = Tokenizer(models.WordLevel({"?": 0}, unk_token="?"))
    tokenizer.add_tokens([AddedToken("<t>", normalized=False, **flag)])
    token_id = tokenizer.token_to_id("<t>")
    found = {}
    for at in range(0, len(ALL), CHUNK):
        part = ALL[at:at + CHUNK]
        for code, enc in zip(part, tokenizer.encode_batch([make_text(chr(c)) for c in part])):
            spans = [o for i, o in zip(enc.ids, enc.offsets) if i == token_id]
            if spans:
                found[code] = spans[0]
    return found


def combining_classes(nfd):
    """Rank of each code point's combining class (0 = starter), seen from how pairs are sorted."""
    low, high = "\u0334", "\u0345"  # classes 1 and 240, the outermost ones

    def moves(c):
        return nfd(high + c) != high + c or nfd(c + low) != c + low

    by_class = {}
    for code in ALL:
        c = chr(code)
        if unicodedata.combining(c) and nfd(c) == c and moves(c):
            by_class.setdefault(unicodedata.combining(c), c)
    marks = [by_class[k] for k in sorted(by_class)]
    assert by_class[1] and by_class[240] and min(by_class) == 1 and max(by_class) == 240
    for one, two in itertools.pairwise(marks):
        assert nfd(two + one) == one + two and nfd(one + two) == one + two, (one, two)
    ranks = {}
    for code in ALL:
        c = chr(code)
        if nfd(c) != c:
            continue
        if not moves(c):
            continue
        below = sum(nfd(c + m) != c + m for m in marks)  # marks that move before c
        same = below < len(marks) and nfd(marks[below] + c) == marks[below] + c
        assert same, f"U+{code:04X} has a class of its own"
        ranks[code] = below + 1
    return ranks, len(marks)


def matched(pattern):
    """Code points that a regular expression of one character matches."""
    drop = normalizers.Replace(tokenizers.Regex(pattern), "").normalize_str
    found = set(ALL)
    for at in range(0, len(ALL), CHUNK):
        found.difference_update(map(ord, drop("".join(map(chr, ALL[at:at + CHUNK])))))
    return found


def observe():
    nfd = normalizers.NFD().normalize_str
    lower = normalizers.Lowercase().normalize_str
    clean = bert(clean=True).normalize_str
    cjk = bert(cjk=True).normalize_str
    strip = bert(strip=True).normalize_str
    split = pre_tokenizers.BertPreTokenizer().pre_tokenize_str
    flags = dict.fromkeys(ALL, 0)
    decomposed = {}
    lowered = {}
    for code in ALL:
        c = chr(code)
        cleaned = clean(c)
        assert cleaned in ("", " ", c)
        if cleaned == "":
            flags[code] |= DROP
        elif cleaned == " ":
            flags[code] |= SPACE
        spaced = cjk(c)
        assert spaced in (c, f" {c} ")
        if spaced != c:
            flags[code] |= CJK
        if nfd(c) != c:
            decomposed[code] = nfd(c)
        else:
            assert strip(c) in ("", c)
            if strip(c) == "":
                flags[code] |= MN
        if lower(c) != c:
            lowered[code] = lower(c)
        pieces = [p for p, _ in split(f"a{c}a")]
        assert pieces in (["a", c, "a"], ["a", "a"], [f"a{c}a"]), (code, pieces)
        if len(pieces) == 3:
            flags[code] |= PUNCT
        elif len(pieces) == 2:
            flags[code] |= WHITE
    for code, text in decomposed.items():
        kept = "".join(d for d in text if not flags[ord(d)] & MN)
        assert strip(chr(code)) == kept, f"U+{code:04X}"
    words = added_token_matches({"single_word": True}, lambda c: f"{c}<t>")
    for code in ALL:
        if code not in words:
            flags[code] |= WORD
    after = added_token_matches({"single_word": True}, lambda c: f"<t>{c}")
    assert words.keys() == after.keys()
    spaces = added_token_matches({"lstrip": True}, lambda c: f"x{c}<t>")
    for code in ALL:
        assert (spaces[code][0] == 1) == bool(flags[code] & WHITE), f"U+{code:04X}"
    for pattern, flag in ((r"\p{L}", LETTER), (r"\p{N}", NUMBER)):
        for code in matched(pattern):
            flags[code] |= flag
    assert matched(r"\s") == {code for code in ALL if flags[code] & WHITE}
    return flags, decomposed, lowered


def matched(pattern):
    """Code points that a regular expression of one character matches."""
    keep = normalizers.Replace(Regex(f"(?:(?!{pattern})(?m:.))+"), "").normalize_str
    return {ord(c) for c in keep("".join(map(chr, ALL)))}


def ranges(names, unknown):
    """(first, number of its name) of each run of code points that have one name."""
    numbers = dict.fromkeys(ALL, unknown)
    for number, name in enumerate(names):
        if name in ("Cn", "Cs"):
            continue
        for code in matched(f"\\p{{{name}}}"):
            assert numbers[code] == unknown, f"U+{code:04X}"
            numbers[code] = number
    for code in range(0xD800, 0xE000):
        numbers[code] = names.index("Cs") if "Cs" in names else unknown
    return [(code, numbers[code]) for code in range(0x110000)
            if code == 0 or numbers[code] != numbers[code - 1]]


def observe_forms(flags, decomposed, ranks):
    """Compatibility decompositions, pairs that compose, and flags of other parts."""
    nfc, nfkc = normalizers.NFC().normalize_str, normalizers.NFKC().normalize_str
    nfd, nfkd = normalizers.NFD().normalize_str, normalizers.NFKD().normalize_str
    strip = normalizers.StripAccents().normalize_str
    digits = pre_tokenizers.Digits(individual_digits=True).pre_tokenize_str
    punctuation = pre_tokenizers.Punctuation().pre_tokenize_str
    white = matched("\\s")
    word = matched("\\w")
    assert word - matched("[\\w]") == {0xB2, 0xB3, 0xB9, 0xBC, 0xBD, 0xBE}  # see regex_set.c
    compatible = {c: nfkd(chr(c)) for c in ALL if nfkd(chr(c)) != nfd(chr(c))}
    pairs = {}
    for code in ALL:
        parts = unicodedata.decomposition(chr(code)).split()
        if len(parts) == 2 and not parts[0].startswith("<"):
            pair = "".join(chr(int(p, 16)) for p in parts)
            if nfc(pair) == chr(code) and nfd(chr(code)) == nfd(pair):
                pairs[pair] = code
    seconds = {ord(p[1]) for p in pairs} | set(range(0x1161, 0x1176)) | set(range(0x11A8, 0x11C3))
    for code in ALL:
        c = chr(code)
        assert strip(c) in ("", c)
        flags[code] |= COMBINING * (strip(c) == "")
        flags[code] |= NUMERIC * (len(digits(f"a{c}a")) == 3)
        assert (len(punctuation(f"a{c}a")) == 3) == bool(flags[code] & PUNCT), f"U+{code:04X}"
        assert (code in white) == bool(flags[code] & WHITE), f"U+{code:04X}"
        flags[code] |= PATTERN_WORD * (code in word)
        moves = code in seconds or ranks.get(code, 0) != 0
        flags[code] |= NOT_NFC * (moves or nfc(c) != c) | NOT_NFKC * (moves or nfkc(c) != c)
        if code not in decomposed and 0 == ranks.get(code, 0):
            assert moves or nfc(c) == c
    return compatible, sorted((ord(a), ord(b), c) for (a, b), c in pairs.items())


def two_stage(values, shift):
    size = 1 << shift
    blocks, stage1 = {}, []
    for at in range(0, 0x110000, size):
        block = tuple(values[at:at + size])
        stage1.append(blocks.setdefault(block, len(blocks)))
    return stage1, [v for block in blocks for v in block]


def smallest(values, width):
    """The shift with the fewest bytes."""
    def bytes_of(shift):
        one, two = two_stage(values, shift)
        return len(one) * (1 if max(one) < 256 else 2) + len(two) * width
    return min(range(4, 10), key=bytes_of)


def c_array(kind, name, values, per_line=16):
    lines = [f"const {kind} {name}[{len(values)}] = {{"]
    for at in range(0, len(values), per_line):
        lines.append("    " + ", ".join(str(v) for v in values[at:at + per_line]) + ",")
    return "\n".join(lines + ["};"]) + "\n"


def width_of(values):
    top = max(values)
    return ("uint8_t", 1) if top < 256 else ("uint16_t", 2) if top < 65536 else ("uint32_t", 4)


def tables(flags, decomposed, compatible, pairs, lowered, ranks, class_count):
    out = []
    total = 0
    defines = []

    def add(name, values):
        nonlocal total
        kind, width = width_of(values)
        out.append((kind, f"tandem__unicode_{name}", values))
        total += width * len(values)

    def staged(name, values):
        kind, width = width_of(values)
        shift = smallest(values, width)
        one, two = two_stage(values, shift)
        add(f"{name}_block", one)
        add(name, two)
        defines.append((f"UNICODE_{name.upper()}_SHIFT", shift))

    every = [flags.get(c, 0) for c in range(0x110000)]
    records = sorted({(flags.get(c, 0), ranks.get(c, 0)) for c in range(0x110000)} | {(0, 0)})
    index = {r: i for i, r in enumerate(records)}
    staged("record", [index[(every[c], ranks.get(c, 0))] for c in range(0x110000)])
    add("record_flags", [f for f, _ in records])
    add("record_class", [r for _, r in records])
    pool = [0]  # index 0: nothing; else count, code points
    known = {}

    def keep(text):
        if text not in known:
            known[text] = len(pool)
            pool.append(len(text))
            pool.extend(map(ord, text))
        return known[text]

    hangul = range(0xAC00, 0xD7A4)
    for code in hangul:  # by rule, not by table
        s = code - 0xAC00
        parts = [0x1100 + s // 588, 0x1161 + s % 588 // 28] + ([0x11A7 + s % 28] if s % 28 else [])
        assert decomposed[code] == "".join(map(chr, parts))
    staged("nfd", [keep(decomposed[c]) if c in decomposed and c not in hangul else 0
                   for c in range(0x110000)])
    staged("lower", [keep(lowered[c]) if c in lowered else 0 for c in range(0x110000)])
    staged("nfkd", [keep(compatible[c]) if c in compatible else 0 for c in range(0x110000)])
    add("pool", pool)
    add("pair", [code for pair in pairs for code in pair])
    add("category", [first << 5 | number for first, number in ranges(CATEGORIES, 0)])
    add("script", [first << 8 | number for first, number in ranges(SCRIPTS, 255)])
    for name, names in (("CATEGORY", CATEGORIES), ("SCRIPT", SCRIPTS)):
        lines = textwrap.wrap(" ".join(names), 80)
        quoted = " \\\n    ".join(f'"{line} "' for line in lines)
        defines.append((f"UNICODE_{name}_NAMES", f"\\\n    {quoted}"))
    growth = max(len(bert(cjk=k, strip=s, lower=True).normalize_str(chr(c)).encode()) /
                 len(chr(c).encode())
                 for k in (False, True) for s in (False, True) for c in ALL if c > 0x7F)
    assert growth <= 3, growth
    defines.append(("UNICODE_CLASS_COUNT", class_count + 1))
    return out, defines, total


def write_c(path, out, defines, total):
    text = [
        "/* SPDX-License-Identifier: Apache-2.0 */",
        f"/* Made by tools/gen_unicode.py from the behaviour of tokenizers {PINNED}; {total} bytes. "
        "*/",
        '#include "text/unicode_tables.h"', "", "/* clang-format off */"]
    for kind, name, values in out:
        text.append(c_array(kind, name, values))
    header = [
        "/* SPDX-License-Identifier: Apache-2.0 */",
        f"/* Made by tools/gen_unicode.py from the behaviour of tokenizers {PINNED}. Read them by",
        " * unicode.h. */",
        "#ifndef TANDEM_TEXT_UNICODE_TABLES_H", "#define TANDEM_TEXT_UNICODE_TABLES_H", "",
        "#include <stdint.h>", "", "/* clang-format off */"]
    header += [f"#define {name} {value}" for name, value in defines]
    header += [f"extern const {kind} {name}[{len(values)}];" for kind, name, values in out]
    header += ["/* clang-format on */", "", "#endif"]
    return {path: "\n".join(text), path.with_suffix(".h"): "\n".join(header) + "\n"}


def fnv(state, data):
    for byte in data:
        state = ((state ^ byte) * 0x100000001B3) & 0xFFFFFFFFFFFFFFFF
    return state


def golden():
    """A line a plane and option set: FNV-1a 64 of all normalised code points, each followed by
    0xFF; then of what BertPreTokenizer and ByteLevel make of texts with each, and of other
    normalizers."""
    lines = ["# plane clean cjk strip lower hash, then: plane split hash, plane bytes hash, "
             "plane normalizer hash; tools/gen_unicode.py"]
    cut = pre_tokenizers.ByteLevel(add_prefix_space=False).pre_tokenize_str
    planes = [[c for c in range(p << 16, (p + 1) << 16) if not 0xD800 <= c < 0xE000]
              for p in range(17)]
    for plane, codes in enumerate(planes):
        for options in itertools.product((0, 1), repeat=4):
            normalize = bert(*map(bool, options)).normalize_str
            data = b"".join(normalize(chr(c)).encode() + b"\xff" for c in codes)
            names = " ".join(map(str, options))
            lines.append(f"{plane} {names} {fnv(0xCBF29CE484222325, data):016x}")
        split = pre_tokenizers.BertPreTokenizer().pre_tokenize_str
        data = bytes(len(split(f"a{chr(c)}a")) for c in codes)
        lines.append(f"{plane} split {fnv(0xCBF29CE484222325, data):016x}")
        data = b"".join(bytes(len(piece) for piece, _ in cut(f"a{c}1{c}!{c} {c}")) + b"\xff"
                        for c in map(chr, codes))
        lines.append(f"{plane} bytes {fnv(0xCBF29CE484222325, data):016x}")
        for name in FORMS:
            normalize = getattr(normalizers, name)().normalize_str
            data = b"".join(normalize(chr(c)).encode() + b"\xff" for c in codes)
            lines.append(f"{plane} {name} {fnv(0xCBF29CE484222325, data):016x}")
    return "\n".join(lines) + "\n"


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="compare, write nothing")
    args = parser.parse_args()
    if tokenizers.__version__ != PINNED:
        sys.exit(f"tokenizers is {tokenizers.__version__}, the tables are pinned to {PINNED}")
    flags, decomposed, lowered = observe()
    ranks, class_count = combining_classes(normalizers.NFD().normalize_str)
    compatible, pairs = observe_forms(flags, decomposed, ranks)
    out, defines, total = tables(flags, decomposed, compatible, pairs, lowered, ranks, class_count)
    files = write_c(ROOT / "src/text/unicode_tables.c", out, defines, total)
    files[ROOT / "tests/golden/tokenizer_unicode.txt"] = golden()
    stale = [p for p, text in files.items() if not p.exists() or p.read_text() != text]
    if args.check:
        sys.exit(f"stale: {', '.join(map(str, stale))}" if stale else 0)
    for path in stale:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(files[path])
    print(f"{total} bytes of tables, {len(decomposed)} decompositions, {len(compatible)} of "
          f"compatibility, {len(pairs)} pairs, {len(lowered)} lower-case mappings, {len(ranks)} "
          f"marks in {class_count} classes")


if __name__ == "__main__":
    main()
