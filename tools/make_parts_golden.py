#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Writes tests/golden/tokenizer_parts.jsonl: normalizers, pre-tokenizers and patterns, each alone,
and what the pinned reference makes of texts with them; rows as make_tokenizer_golden.py has them.

    python3 tools/make_parts_golden.py [--check]
"""
import argparse
import json
import pathlib
import random
import sys

import tokenizers
from tokenizers import Tokenizer

import part_cases
import tokenizer_cases as cases
from make_tokenizer_golden import case

PATH = pathlib.Path(__file__).resolve().parent.parent / "tests/golden/tokenizer_parts.jsonl"
SEED = 7
TEXTS = 8  # of each part


def rows():
    rng = random.Random(SEED)
    for kind in part_cases.KINDS:
        for name, text in part_cases.variants(kind):
            if kind != "normalizers":
                text = part_cases.words_only(text)
            yield dict(name=name, tokenizer=text)
            tokenizer = Tokenizer.from_str(text)
            for _ in range(TEXTS):
                row = case(tokenizer, part_cases.text(rng, part_cases.WORDS)[:30], None, {})
                if "error" not in row:  # where the reference's engine gives up
                    yield row


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="compare, write nothing")
    args = parser.parse_args()
    if tokenizers.__version__ != cases.PINNED:
        sys.exit(f"tokenizers is {tokenizers.__version__}, the file is for {cases.PINNED}")
    text = "".join(json.dumps(row, ensure_ascii=False, separators=(",", ":")) + "\n"
                   for row in rows())
    if args.check:
        sys.exit(PATH.read_text("utf-8") != text)
    PATH.write_text(text, "utf-8")
    print(f"{text.count(chr(10))} lines, {len(text.encode())} bytes")


if __name__ == "__main__":
    main()
