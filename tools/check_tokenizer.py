#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Compares tandem's tokenizer with the package `tokenizers`: ids, types, tokens, offsets, words,
windows, over many texts and every option. Prints the number of differences; exit status 1 if
there is one.

    python3 tools/check_tokenizer.py --tokenizer MODEL/tokenizer.json [--strings 200000]
        [--texts FILE ...] [--encode-lines build/release/tests/encode_lines] [--seed 1]

Texts: real sentences (--texts: plain text or csv; what the machine has of documentation and
message catalogues), words of every Unicode block, random Unicode of several distributions, all
code points one by one, texts laced with added tokens, very long words, zero bytes.
"""
import argparse
import contextlib
import json
import os
import pathlib
import random
import struct
import subprocess
import sys
import tempfile
import threading

import numpy as np
import tokenizers
from tokenizers import Tokenizer

import bpe_cases
import tokenizer_cases as cases
from tokenizer_cases import PINNED, STRATEGIES

BATCH = 2000  # texts whose encodings are held at once


class Server:
    """encode_lines behind a pipe."""

    def __init__(self, program, tokenizer_json):
        self.file = tempfile.NamedTemporaryFile("w", suffix=".json", encoding="utf-8")
        self.file.write(tokenizer_json)
        self.file.flush()
        self.process = subprocess.Popen([program, self.file.name], stdin=subprocess.PIPE,
                                        stdout=subprocess.PIPE, bufsize=1 << 20)

    def close(self):
        self.process.stdin.close()
        status = self.process.wait()
        self.file.close()
        if status:
            sys.exit(f"encode_lines ended with {status}")

    def read(self, count):
        data = self.process.stdout.read(4 * count)
        if len(data) != 4 * count:
            sys.exit(f"encode_lines died: {self.process.wait()}")
        return np.frombuffer(data, np.int32)

    def answer(self):
        if status := int(self.read(1)[0]):
            return status, self.process.stdout.read(int(self.read(1)[0])).decode()
        count, windows, dropped = map(int, self.read(3))
        ids, types, starts = self.read(count), self.read(count), self.read(windows + 1)
        spans, chars = self.read(2 * count).reshape(-1, 2), self.read(2 * count).reshape(-1, 2)
        words, special = self.read(count), self.read(count)
        tokens = [self.process.stdout.read(int(self.read(1)[0])).decode() for _ in range(count)]
        return 0, (ids, types, starts, spans, chars, words, special, tokens, dropped)

    def encode(self, texts, options):
        """Answers to all texts; a thread feeds the pipe meanwhile."""
        def feed():
            out = self.process.stdin
            for text in texts:
                first, second = text if isinstance(text, tuple) else (text, None)
                a, b = first.encode(), (second or "").encode()
                out.write(struct.pack("=10i", options.get("max_length", 0),
                                      options.get("stride", 0),
                                      STRATEGIES.index(options.get("strategy", "longest_first")),
                                      options.get("direction") == "left", True,
                                      not options.get("special", True), 1, second is not None,
                                      len(a), len(b)) + a + b)
            out.write(struct.pack("=10i", *(10 * [-1])))
            out.flush()
        feeder = threading.Thread(target=feed)
        feeder.start()
        answers = [self.answer() for _ in texts]
        feeder.join()
        return answers


def reference(tokenizer, texts, options):
    """Encodings, or the exception, text by text."""
    if "max_length" in options:
        tokenizer.enable_truncation(options["max_length"], stride=options.get("stride", 0),
                                    strategy=options.get("strategy", "longest_first"),
                                    direction=options.get("direction", "right"))
    else:
        tokenizer.no_truncation()
    special = options.get("special", True)
    with quiet_stderr():  # a panic prints a trace
        return encode_each(tokenizer, texts, special)


@contextlib.contextmanager
def quiet_stderr():
    sys.stderr.flush()
    kept = os.dup(2)
    with open(os.devnull, "w") as nowhere:
        os.dup2(nowhere.fileno(), 2)
    try:
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)


def encode_each(tokenizer, texts, special):
    try:
        return tokenizer.encode_batch(texts, add_special_tokens=special)
    except KeyboardInterrupt:
        raise
    except BaseException:  # a panic is no Exception
        pass
    out = []
    for text in texts:
        pair = text if isinstance(text, tuple) else (text, None)
        try:
            out.append(tokenizer.encode(*pair, add_special_tokens=special))
        except KeyboardInterrupt:
            raise
        except BaseException as error:
            out.append(error)
    return out


def byte_offsets(text):
    """Byte offset of each character, and of the end."""
    if text.isascii():
        return np.arange(len(text) + 1)
    codes = np.frombuffer(text.encode("utf-32-le"), np.uint32)
    widths = 1 + (codes > 0x7F) + (codes > 0x7FF) + (codes > 0xFFFF)
    return np.concatenate([[0], np.cumsum(widths)]).astype(np.int64)


def compare_bytes(window, maps, spans, is_first):
    """Byte offsets must be what the reference's character offsets come to."""
    if len(maps) == 1 and len(window.offsets) > 0:
        expected = maps[0][np.array(window.offsets)]
        expected[np.array(window.special_tokens_mask) == 1] = 0
        return None if np.array_equal(expected, spans) else f"{expected.tolist()} {spans.tolist()}"
    # The reference does not know the sequence of every token of an overflowing window, and with
    # ByteLevel behind a template counts the template's pieces.
    which = window.sequence_ids if is_first else len(window.ids) * [None]
    for at, ((a, b), (x, y)) in enumerate(zip(window.offsets, spans)):
        known = [maps[which[at]]] if which[at] in (0, 1) else maps
        expected = [(m[a], m[b]) for m in known if b < len(m)]
        if (x, y) not in ([(0, 0)] if window.special_tokens_mask[at] else expected):
            return f"{expected} expected from ({a}, {b}), ({x}, {y}) here"
    return None


def compare(text, want, answer, has_tokens):
    """None, or what differs."""
    status, got = answer
    if isinstance(want, BaseException):
        return None if status else f"reference fails ({want}), tandem does not"
    if status:
        return f"tandem fails: {got}"
    ids, types, starts, spans, chars, words, special, tokens, _ = got
    windows = [want, *want.overflowing]
    if len(windows) != len(starts) - 1:
        return f"windows: {len(windows)} in the reference, {len(starts) - 1} in tandem"
    maps = [byte_offsets(t) for t in (text if isinstance(text, tuple) else (text,))]
    for i, window in enumerate(windows):
        part = slice(starts[i], starts[i + 1])
        pairs = [("ids", window.ids, ids), ("types", window.type_ids, types),
                 ("special", window.special_tokens_mask, special)]
        for name, theirs, ours in pairs:
            if not np.array_equal(theirs, ours[part]):
                return f"window {i} {name}: {theirs} in the reference, {ours[part].tolist()} here"
        if has_tokens and window.tokens != tokens[part]:
            return f"window {i} tokens: {window.tokens} in the reference, {tokens[part]} here"
        if not np.array_equal(np.array(window.offsets).reshape(-1, 2), chars[part]):
            return f"window {i} chars: {window.offsets} in the reference, {chars[part].tolist()}"
        if [-1 if w is None else w for w in window.word_ids] != words[part].tolist():
            return f"window {i} words: {window.word_ids} in the reference, {words[part].tolist()}"
        if (wrong := compare_bytes(window, maps, spans[part], i == 0)) is not None:
            return f"window {i} bytes: {wrong}"
    return None


def run(server, tokenizer, texts, options, report, has_tokens=True):
    for at in range(0, len(texts), BATCH):
        part = texts[at:at + BATCH]
        wants = reference(tokenizer, part, options)
        for text, want, answer in zip(part, wants, server.encode(part, options)):
            if (difference := compare(text, want, answer, has_tokens)) is not None:
                report(text, options, difference)


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tokenizer", required=True, help="tokenizer.json of any model")
    parser.add_argument("--strings", type=int, default=200_000, help="at least so many")
    parser.add_argument("--texts", nargs="*", default=[], help="files of real text")
    parser.add_argument("--encode-lines", default="build/release/tests/encode_lines")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--only", default="", help="variants whose name holds this")
    args = parser.parse_args()
    if tokenizers.__version__ != PINNED:
        sys.exit(f"tokenizers is {tokenizers.__version__}, the check is for {PINNED}")
    rng = random.Random(args.seed)
    base = json.loads(pathlib.Path(args.tokenizer).read_text("utf-8"))
    words = cases.vocab_words(base)
    is_unigram = base["model"]["type"] == "Unigram"
    base = json.dumps(base | dict(truncation=None, padding=None))
    real = cases.real_texts(args.texts)
    fixed = list(cases.fixed_texts())
    codes = [chr(c) for c in range(0x110000) if not 0xD800 <= c < 0xE000]
    everything = [" ".join(f"a{c}b {c}" for c in codes[at:at + 8])
                  for at in range(0, len(codes), 8)]
    chosen = [v for v in cases.variants(base) if args.only in v[0]]
    strings = differences = 0

    def report(text, options, difference):
        nonlocal differences
        differences += 1
        if differences <= 20:
            shown = ascii(text) if len(str(text)) < 300 else f"{ascii(text)[:300]}..."
            print(f"[{name}] {options} {shown}\n    {difference[:2000]}")

    for index, (name, text) in enumerate(chosen):
        before = differences
        tokenizer = Tokenizer.from_str(text)
        server = Server(args.encode_lines, text)
        share = max(200, args.strings // len(chosen))
        if index == 0:
            share = max(share, args.strings // 5)
        randoms = [cases.random_text(rng, words) for _ in range(share // 2)]
        reals = rng.sample(real, min(share // 4, len(real)))
        # The reference takes quadratic time for tokens that strip white space, and long for
        # long words.
        is_slow = "left" in name or "mixed" in name or (is_unigram and index > 0)
        longest = 2000 if is_slow else None
        texts = [t[:longest] for t in fixed] + randoms + reals
        if index == 0:
            texts += everything
        has_tokens = bpe_cases.UNNAMED not in name
        run(server, tokenizer, texts, {}, report, has_tokens)
        pairs = [(rng.choice(randoms), rng.choice(reals)) if rng.random() < 0.5 else
                 (rng.choice(randoms), rng.choice(randoms)) for _ in range(share // 8)]
        run(server, tokenizer, pairs, dict(special=index % 2 == 0), report, has_tokens)
        count = len(texts) + len(pairs)
        for _ in range(max(4, share // 800)):
            some = [rng.choice(randoms + pairs) for _ in range(100)]
            singles = [t for t in some if not isinstance(t, tuple)]
            doubles = [t for t in some if isinstance(t, tuple)]
            for part, is_pair in ((singles, False), (doubles, True)):
                options = cases.option_sets(rng, tokenizer.num_special_tokens_to_add(is_pair))
                run(server, tokenizer, part, options, report, has_tokens)
            count += len(some)
        server.close()
        strings += count
        print(f"{name}: {count} strings, {differences - before} differences", flush=True)
    print(f"{strings} strings, {differences} differences")
    sys.exit(differences > 0)


if __name__ == "__main__":
    main()
