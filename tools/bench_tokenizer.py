#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Tokenizer speed beside the package `tokenizers`, one thread each, in turns in one run.

    python3 tools/bench_tokenizer.py --tokenizer MODEL/tokenizer.json --texts stsb-en-test.csv
        [--blocks 20] [--bench build/release/tests/tokenizer_bench] [--json]

A block is encode_batch_fast of at least 10,000 texts on one side and a call of the C API for each
of the same texts on the other. Printed: MB/s of input, and the median of the paired ratios.
"""
import os

os.environ["TOKENIZERS_PARALLELISM"] = "false"
os.environ["RAYON_NUM_THREADS"] = "1"

import argparse  # noqa: E402
import csv  # noqa: E402
import json  # noqa: E402
import pathlib  # noqa: E402
import statistics  # noqa: E402
import struct  # noqa: E402
import subprocess  # noqa: E402
import tempfile  # noqa: E402
import time  # noqa: E402

from tokenizers import Tokenizer  # noqa: E402


def read_sentences(path):
    if path.endswith(".csv"):
        with open(path, encoding="utf-8", newline="") as file:
            return [cell for row in csv.reader(file) for cell in row if len(cell) > 8]
    return [t for t in pathlib.Path(path).read_text("utf-8").splitlines() if t]


def repeat_to(texts, count):
    return (texts * (count // len(texts) + 1))[:max(count, len(texts))]


def documents(sentences, size):
    """The sentences joined to texts of `size` characters."""
    whole = " ".join(sentences)
    return [whole[at:at + size] for at in range(0, len(whole) - size + 1, size)]


class Bench:
    def __init__(self, program, tokenizer, texts):
        self.file = tempfile.NamedTemporaryFile()
        for text in texts:
            data = text.encode()
            self.file.write(struct.pack("=i", len(data)) + data)
        self.file.flush()
        self.process = subprocess.Popen([program, tokenizer, self.file.name], text=True,
                                        stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self.open_ms = int(self.process.stdout.readline()) / 1e6

    def run(self, what):
        self.process.stdin.write(what + "\n")
        self.process.stdin.flush()
        ns, tokens = map(int, self.process.stdout.readline().split())
        return ns / 1e9, tokens

    def close(self):
        self.process.stdin.close()
        self.process.wait()
        self.file.close()


def measure(tokenizer, bench, texts, what, blocks):
    def peer():
        encode = tokenizer.encode_batch_fast if what == "ids" else tokenizer.encode_batch
        start = time.perf_counter()
        tokens = encode(texts)
        seconds = time.perf_counter() - start
        return seconds, sum(map(len, tokens))
    assert peer()[1] == bench.run(what)[1], "the two sides count different tokens"
    theirs, ours = [], []
    for _ in range(blocks):
        theirs.append(peer()[0])
        ours.append(bench.run(what)[0])
    return theirs, ours


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tokenizer", required=True)
    parser.add_argument("--texts", required=True, help="csv or a text a line")
    parser.add_argument("--bench", default="build/release/tests/tokenizer_bench")
    parser.add_argument("--blocks", type=int, default=20)
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    tokenizer = Tokenizer.from_file(args.tokenizer)
    tokenizer.no_padding()
    tokenizer.no_truncation()
    sentences = read_sentences(args.texts)
    sets = [("sentences", repeat_to(sentences, 10_000), "ids"),
            ("sentences, offsets", repeat_to(sentences, 10_000), "offsets"),
            ("10,000 characters each", documents(repeat_to(sentences, 10_000), 10_000), "ids")]
    for name, texts, what in sets:
        bench = Bench(args.bench, args.tokenizer, texts)
        theirs, ours = measure(tokenizer, bench, texts, what, args.blocks)
        bench.close()
        megabytes = sum(len(t.encode()) for t in texts) / 1e6
        row = dict(texts=name, count=len(texts), megabytes=round(megabytes, 3),
                   tandem_mb_per_s=round(megabytes / statistics.median(ours), 1),
                   tokenizers_mb_per_s=round(megabytes / statistics.median(theirs), 2),
                   ratio=round(statistics.median(t / o for t, o in zip(theirs, ours)), 2),
                   open_ms=round(bench.open_ms, 2), blocks=args.blocks)
        if args.json:
            print(json.dumps(row), flush=True)
        else:
            print("{texts}: {count} texts, {megabytes} MB; tandem {tandem_mb_per_s} MB/s, "
                  "tokenizers {tokenizers_mb_per_s} MB/s, ratio {ratio} (median of {blocks} "
                  "blocks); open {open_ms} ms".format(**row), flush=True)


if __name__ == "__main__":
    main()
