#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Compares tandem with the package `tokenizers`, part by part: normalizers, pre-tokenizers and
patterns. Each is alone in a tokenizer whose ids are bytes. Exit status 1 if anything differs.

    python3 tools/check_parts.py [--kind normalizers pretokenizers patterns] [--strings 200000]
        [--encode-lines build/release/tests/encode_lines] [--seed 1] [--only NAME]
"""
import argparse
import random
import sys

import tokenizers
from tokenizers import Tokenizer

import check_tokenizer as check
import part_cases
import tokenizer_cases as cases
from part_cases import KINDS


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kind", nargs="*", default=KINDS, choices=KINDS)
    parser.add_argument("--strings", type=int, default=200_000, help="of each kind, at least")
    parser.add_argument("--encode-lines", default="build/release/tests/encode_lines")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--only", default="", help="parts whose name holds this")
    args = parser.parse_args()
    if tokenizers.__version__ != cases.PINNED:
        sys.exit(f"tokenizers is {tokenizers.__version__}, the check is for {cases.PINNED}")
    rng = random.Random(args.seed)
    differences = 0

    def report(text, options, difference):
        nonlocal differences
        if "retry-limit-in-match over" in difference:  # where the reference gives up
            return
        differences += 1
        if differences <= 20:
            print(f"[{name}] {ascii(text)[:300]}\n    {difference[:600]}")

    for kind in args.kind:
        strings, before = 0, differences
        chosen = [v for v in part_cases.variants(kind) if args.only in v[0]]
        fixed = [t[:2000] for t in cases.fixed_texts()]
        for name, text in chosen:
            tokenizer = Tokenizer.from_str(text)
            server = check.Server(args.encode_lines, text)
            share = max(200, args.strings // len(chosen))
            texts = fixed + [part_cases.text(rng, part_cases.WORDS) for _ in range(share)]
            at = differences
            check.run(server, tokenizer, texts, {}, report)
            server.close()
            strings += len(texts)
            if differences > at:
                print(f"{name}: {differences - at} differences", flush=True)
        print(f"{kind}: {strings} strings, {differences - before} differences", flush=True)
    sys.exit(differences > 0)


if __name__ == "__main__":
    main()
