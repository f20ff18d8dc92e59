#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Compares tandem with the package `tokenizers`, part by part: normalizers, pre-tokenizers,
patterns and decoders. The first three are alone in a tokenizer whose ids are bytes. Exit status 1
if anything differs.

    python3 tools/check_parts.py [--kind normalizers pretokenizers patterns decoders]
        [--strings 200000] [--encode-lines build/release/tests/encode_lines]
        [--tandem build/release/tandem] [--seed 1] [--only NAME]
"""
import argparse
import json
import pathlib
import random
import subprocess
import sys
import tempfile

import tokenizers
from tokenizers import Tokenizer

import check_tokenizer as check
import part_cases
import tokenizer_cases as cases
from part_cases import KINDS


def check_decoders(tandem, strings, rng, only):
    """Decoded texts of the program; returns strings and differences."""
    chosen = [v for v in part_cases.decoders() if only in v[0]]
    count = differences = 0
    for name, decoder in chosen:
        text = part_cases.decoding(decoder)
        tokenizer = Tokenizer.from_str(text)
        for skip in (False, True):
            lists = [part_cases.random_ids(rng) for _ in range(strings // len(chosen) // 2 + 1)]
            with check.quiet_stderr():
                wants = [part_cases.decoded(tokenizer, ids, skip) for ids in lists]
            with tempfile.TemporaryDirectory() as folder:
                pathlib.Path(folder, "tokenizer.json").write_text(text, "utf-8")
                pathlib.Path(folder, "config.json").write_text("{}")
                out = subprocess.run(
                    [tandem, "tokenize", "--decode", "-m", folder] + ["--skip-special"] * skip,
                    input="".join(json.dumps(ids) + "\n" for ids in lists).encode(),
                    stdout=subprocess.PIPE, check=True).stdout
            rows = out.decode().split("\n")[:-1]
            assert len(rows) == len(lists)
            for ids, want, row in zip(lists, wants, rows):
                got = json.loads(row)["text"]
                count += 1
                if want is not None and want != got:
                    differences += 1
                    if differences <= 20:
                        tokens = [tokenizer.id_to_token(i) for i in ids]
                        print(f"[{name}, skip {skip}] {tokens}\n    {want!a}\n    {got!a}")
    return count, differences


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    kinds = KINDS + ["decoders"]
    parser.add_argument("--kind", nargs="*", default=kinds, choices=kinds)
    parser.add_argument("--strings", type=int, default=200_000, help="of each kind, at least")
    parser.add_argument("--encode-lines", default="build/release/tests/encode_lines")
    parser.add_argument("--tandem", default="build/release/tandem")
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
        if kind == "decoders":
            strings, differs = check_decoders(args.tandem, args.strings, rng, args.only)
            differences += differs
            print(f"decoders: {strings} strings, {differs} differences", flush=True)
            continue
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
