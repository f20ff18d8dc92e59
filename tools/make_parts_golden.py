#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Writes tests/golden/tokenizer_parts.jsonl: normalizers, pre-tokenizers and patterns, each alone,
and what the pinned reference makes of texts with them; rows as make_tokenizer_golden.py has them.
And tokenizer_decode.jsonl: decoders, and rows of "ids", "skip" and the "text" they are.

    python3 tools/make_parts_golden.py [--check]
"""
import argparse
import json
import pathlib
import random
import sys

import tokenizers
from tokenizers import Tokenizer

import check_tokenizer as check
import part_cases
import tokenizer_cases as cases
from make_tokenizer_golden import case

GOLDEN = pathlib.Path(__file__).resolve().parent.parent / "tests/golden"
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


def decode_rows():
    rng = random.Random(SEED)
    for name, decoder in part_cases.decoders():
        text = part_cases.decoding(decoder)
        yield dict(name=name, tokenizer=text)
        tokenizer = Tokenizer.from_str(text)
        for _ in range(4 * TEXTS):
            ids, skip = part_cases.random_ids(rng), rng.random() < 0.5
            with check.quiet_stderr():
                want = part_cases.decoded(tokenizer, ids, skip)
            if want is not None:
                yield dict(ids=ids, skip=skip, text=want)


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="compare, write nothing")
    args = parser.parse_args()
    if tokenizers.__version__ != cases.PINNED:
        sys.exit(f"tokenizers is {tokenizers.__version__}, the file is for {cases.PINNED}")
    stale = False
    for name, make in (("tokenizer_parts.jsonl", rows), ("tokenizer_decode.jsonl", decode_rows)):
        path = GOLDEN / name
        text = "".join(json.dumps(row, ensure_ascii=False, separators=(",", ":")) + "\n"
                       for row in make())
        stale |= not path.exists() or path.read_text("utf-8") != text
        if not args.check:
            path.write_text(text, "utf-8")
            print(f"{name}: {text.count(chr(10))} lines, {len(text.encode())} bytes")
    sys.exit(args.check and stale)


if __name__ == "__main__":
    main()
