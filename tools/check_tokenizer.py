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
import csv
import gettext
import glob
import itertools
import json
import os
import pathlib
import random
import struct
import subprocess
import sys
import tempfile
import threading
import unicodedata

import numpy as np
import tokenizers
from tokenizers import Tokenizer

PINNED = "0.23.3"
STRATEGIES = ["longest_first", "only_first", "only_second"]


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
    widths = [len(c.encode()) for c in text]
    return np.concatenate([[0], np.cumsum(widths)]).astype(np.int64)


def compare(text, want, answer):
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
        if window.tokens != tokens[part]:
            return f"window {i} tokens: {window.tokens} in the reference, {tokens[part]} here"
        if [tuple(o) for o in chars[part]] != window.offsets:
            return f"window {i} chars: {window.offsets} in the reference, {chars[part].tolist()}"
        if [-1 if w is None else w for w in window.word_ids] != words[part].tolist():
            return f"window {i} words: {window.word_ids} in the reference, {words[part].tolist()}"
        # The reference does not know the sequence of every token of an overflowing window.
        which = window.sequence_ids if i == 0 else len(window.ids) * [None]
        for at, ((a, b), (x, y)) in enumerate(zip(window.offsets, spans[part])):
            if window.special_tokens_mask[at]:
                expected = [(0, 0)]
            else:
                known = maps if which[at] is None else [maps[which[at]]]
                expected = [(m[a], m[b]) for m in known if b < len(m)]
            if (x, y) not in expected:
                return f"window {i} bytes: {expected} expected from ({a}, {b}), ({x}, {y}) here"
    return None


# Texts.

BLOCKS = [(0x0000, 0x7F), (0x80, 0xFF), (0x100, 0x17F), (0x180, 0x24F), (0x300, 0x36F),
          (0x370, 0x3FF), (0x400, 0x52F), (0x530, 0x58F), (0x590, 0x5FF), (0x600, 0x6FF),
          (0x700, 0x74F), (0x900, 0x97F), (0x980, 0x9FF), (0xA00, 0xA7F), (0xB80, 0xBFF),
          (0xC00, 0xC7F), (0xD00, 0xD7F), (0xE00, 0xE7F), (0xE80, 0xEFF), (0xF00, 0xFFF),
          (0x1000, 0x109F), (0x10A0, 0x10FF), (0x1100, 0x11FF), (0x1200, 0x137F),
          (0x13A0, 0x13FF), (0x1780, 0x17FF), (0x1800, 0x18AF), (0x1AB0, 0x1AFF),
          (0x1DC0, 0x1DFF), (0x1E00, 0x1EFF), (0x1F00, 0x1FFF), (0x2000, 0x206F),
          (0x2070, 0x20FF), (0x2100, 0x22FF), (0x2460, 0x24FF), (0x2C00, 0x2CFF),
          (0x2E00, 0x2E7F), (0x3000, 0x30FF), (0x3100, 0x318F), (0x3400, 0x4DBF),
          (0x4E00, 0x9FFF), (0xA640, 0xA69F), (0xAC00, 0xD7A3), (0xE000, 0xE0FF),
          (0xF900, 0xFAFF), (0xFB00, 0xFBFF), (0xFE00, 0xFE7F), (0xFF00, 0xFFFF),
          (0x10400, 0x1044F), (0x11000, 0x110FF), (0x11A00, 0x11AFF), (0x16B00, 0x16B8F),
          (0x1D100, 0x1D1FF), (0x1D400, 0x1D7FF), (0x1E900, 0x1E95F), (0x1F300, 0x1FAFF),
          (0x20000, 0x2A6DF), (0x2F800, 0x2FA1F), (0x30000, 0x3134F), (0xE0000, 0xE01EF),
          (0xF0000, 0xF00FF), (0x10FF00, 0x10FFFF)]
MARKS = [c for c in range(0x110000) if unicodedata.combining(chr(c))]
ODD = [0, 1, 9, 10, 11, 12, 13, 0x1C, 0x1F, 0x20, 0x7F, 0x85, 0xA0, 0xAD, 0x130, 0x131, 0x17F,
       0x1E9E, 0x212A, 0x2126, 0x212B, 0x200B, 0x200D, 0x2028, 0x2029, 0x202F, 0x3000, 0x303F,
       0xFEFF, 0xFFFD, 0xFFFE, 0xFFFF, 0x344, 0xF73, 0xF75, 0xF81, 0x302E, 0x302F, 0x1D165,
       0x1D16D, 0x390, 0x3B0, 0x1F82, 0xFB2C, 0x1D160, 0xFA6C, 0xAC01, 0x1100, 0x1161, 0x11A8]
SPECIALS = ["[CLS]", "[SEP]", "[MASK]", "[UNK]", "[PAD]", "[mask]", "[MASK", "MASK]", "[[MASK]]"]


def real_texts(paths):
    texts = []
    for path in paths:
        if path.endswith(".csv"):
            with open(path, encoding="utf-8", newline="") as file:
                texts += [cell for row in csv.reader(file) for cell in row]
        else:
            texts += pathlib.Path(path).read_text("utf-8", "replace").splitlines()
    catalogues = sorted(glob.glob("/usr/share/**/*.mo", recursive=True))
    for path in catalogues[::len(catalogues) // 500 + 1]:
        try:
            with open(path, "rb") as file:
                texts += map(str, gettext.GNUTranslations(file)._catalog.values())
        except Exception:  # a catalogue that gettext cannot read is no text for us
            pass
    root = pathlib.Path(tokenizers.__file__).parent.parent
    for path in sorted(root.glob("**/*.py"))[:1500] + sorted(root.glob("**/*.md"))[:50]:
        texts += path.read_text("utf-8", "replace").splitlines()
    return [t for t in dict.fromkeys(texts) if t.strip()]


def char(code):
    return chr(code) if not 0xD800 <= code < 0xE000 else "\uFFFD"


def random_text(rng, words):
    """One text of a random distribution."""
    kind = rng.randrange(10)
    length = rng.choice((1, 2, 3, 8, 20, 60, 150))
    if kind == 0:  # uniform over the code space
        return "".join(char(rng.randrange(0x110000)) for _ in range(length))
    if kind == 1:  # words of one block
        low, high = rng.choice(BLOCKS)
        return "".join(" " if rng.random() < 0.2 else char(rng.randint(low, high))
                       for _ in range(length))
    if kind == 2:  # blocks mixed
        return "".join(char(rng.randint(*rng.choice(BLOCKS))) for _ in range(length))
    if kind == 3:  # marks on letters, and alone
        return "".join(chr(rng.choice(MARKS)) if rng.random() < 0.7 else
                       char(rng.randint(*rng.choice(BLOCKS[:12]))) for _ in range(length))
    if kind == 4:  # odd ones among ASCII
        return "".join(chr(rng.choice(ODD)) if rng.random() < 0.3 else chr(rng.randrange(128))
                       for _ in range(length))
    if kind == 5:  # ASCII
        return "".join(chr(rng.randrange(128)) for _ in range(length))
    if kind == 6:  # pieces of the vocabulary in a row
        return "".join(rng.choice(words) for _ in range(min(length, 20)))
    if kind == 7:  # laced with added tokens
        return "".join(rng.choice((rng.choice(SPECIALS), " ", "  ", "a", "\u3000", "the", "é",
                                   "\u0301", "中", rng.choice(words))) for _ in range(length))
    if kind == 8:  # random case and accents
        text = " ".join(rng.choice(words) for _ in range(min(length, 20)))
        return unicodedata.normalize(rng.choice(("NFC", "NFD", "NFKC")), "".join(
            c.upper() if rng.random() < 0.3 else c + "\u0301" if rng.random() < 0.1 else c
            for c in text))
    return " ".join(char(rng.randint(0xAC00, 0xD7A3)) * rng.randrange(1, 4) for _ in range(length))


def fixed_texts():
    yield from ("", " ", "\0", "\0\0a\0b", "\u0301", "\u0301\u0316\u0301", "a\u0301\u0316b", "İ",
                "İİx", "ǅ", "ﬁ", "ß", "ẞ", "Σς", "\u1D160\u0316", "가각힣", "\uAC01\u0301",
                "中文字 abc中", "don't [MASK] me", "[CLS][SEP]", "[MASK][MASK]", "x" * 99, "x" * 100,
                "x" * 101, "é" * 100, "é" * 101, "a" * 1_000_000, "\u0301" * 100_000, "中" * 100_000,
                "ab " * 300_000, "\0" * 100_000, "[MASK]" * 20_000, " " * 100_000,
                "".join(chr(c) for c in MARKS), "a" + "\u0301\u0316" * 50_000)
    for c in ODD:
        yield chr(c)
        yield f"a{chr(c)}b"
        yield f" {chr(c)} "


# Tokenizers.

def added(content, **flags):
    token = dict(id=0, content=content, single_word=False, lstrip=False, rstrip=False,
                 normalized=False, special=False)
    return token | flags


def variants(base):
    """(name, tokenizer.json) of every option; the first is the file itself."""
    yield "as it is", base

    def changed(**parts):
        return json.dumps(json.loads(base) | parts)
    whole = json.loads(base)
    for clean, cjk, lower in itertools.product((True, False), repeat=3):
        for strip in (None, True, False):
            normalizer = dict(type="BertNormalizer", clean_text=clean, handle_chinese_chars=cjk,
                              strip_accents=strip, lowercase=lower)
            yield f"clean {clean} cjk {cjk} strip {strip} lower {lower}", \
                changed(normalizer=normalizer)
    yield "no normalizer", changed(normalizer=None)
    yield "no pre-tokenizer", changed(pre_tokenizer=None)
    yield "no post-processor", changed(post_processor=None)
    yield "BertProcessing", changed(post_processor=dict(
        type="BertProcessing", sep=["[SEP]", 102], cls=["[CLS]", 101]))
    yield "RobertaProcessing", changed(post_processor=dict(
        type="RobertaProcessing", sep=["[SEP]", 102], cls=["[CLS]", 101], trim_offsets=False,
        add_prefix_space=False))
    special_tokens = {"X": dict(id="X", ids=[101, 7, 8], tokens=["a", "b", "c"]),
                      "[SEP]": dict(id="[SEP]", ids=[102], tokens=["[SEP]"])}
    yield "odd template", changed(post_processor=dict(
        type="TemplateProcessing", special_tokens=special_tokens,
        single=[dict(SpecialToken=dict(id="X", type_id=3)), dict(Sequence=dict(id="A", type_id=2)),
                dict(SpecialToken=dict(id="[SEP]", type_id=1))],
        pair=[dict(Sequence=dict(id="B", type_id=4)), dict(SpecialToken=dict(id="X", type_id=0)),
              dict(Sequence=dict(id="A", type_id=7)), dict(Sequence=dict(id="B", type_id=5))]))
    flags = list(itertools.product((False, True), repeat=4))
    for single, left, right, normalized in flags:
        tokens = [added(c, single_word=single, lstrip=left, rstrip=right, normalized=normalized)
                  for c in ("[MASK]", "the", "[mask", "ab", "abc", "É", "中", "  ", "\u0301x",
                            "brandnew", "İ", "new york")]
        yield f"added single {single} left {left} right {right} normalized {normalized}", \
            changed(added_tokens=whole["added_tokens"] + tokens)
    mixed = [added(c, single_word=s, lstrip=a, rstrip=b, normalized=n) for c, (s, a, b, n) in zip(
        ("[A]", "[AB]", "A", "zz", "Zzz", "of", "and the", "é!", "!", "?!", " ?", "x y", "\u3000",
         "k", "ki", "[MASK"), flags)]
    yield "added mixed", changed(added_tokens=whole["added_tokens"] + mixed)
    for limit in (0, 1, 5):
        yield f"max_input_chars_per_word {limit}", changed(
            model=whole["model"] | dict(max_input_chars_per_word=limit))
    words = whole["model"]["vocab"]
    for prefix in ("", "@@"):
        vocab = {w.replace("##", prefix): i for w, i in words.items()}
        yield f"prefix {prefix!r}", changed(
            model=whole["model"] | dict(continuing_subword_prefix=prefix, vocab=vocab))
    few = {w: i for i, w in enumerate(
        ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *"abcdefgh", *(f"##{c}" for c in "abcdefgh"),
         "aa", "##aa", "ab" * 40, "##" + "ba" * 40, "##" + "a" * 17, "a" * 16, "中", "##中", "中文",
         "##\u0301", "É", "é", "e\u0301", "\0", "##\0", "a\0", "##\u0307", "i"])}
    template = json.loads(json.dumps(whole["post_processor"]).replace("101", "2")
                          .replace("102", "3"))
    few_added = [added(w, special=True) | dict(id=few[w]) for w in few if w.startswith("[")]
    for clean in (True, False):
        yield f"few words, clean {clean}", changed(
            model=whole["model"] | dict(vocab=few, max_input_chars_per_word=1000),
            post_processor=template, added_tokens=few_added,
            normalizer=dict(type="BertNormalizer", clean_text=clean, handle_chinese_chars=True,
                            strip_accents=clean, lowercase=True))
    gaps = {w: 3 * i for w, i in few.items() if w not in ("[CLS]", "[SEP]")}
    yield "ids with gaps", changed(
        model=whole["model"] | dict(vocab=gaps), post_processor=None,
        added_tokens=[added("new1"), added("a"), added("new2", special=True), added("new1")])


def option_sets(rng, special_count):
    """Truncation of every kind."""
    room = special_count + rng.choice((0, 1, 2, 3, 5, 8, 16, 40))
    options = dict(max_length=max(1, room), strategy=rng.choice(STRATEGIES),
                   direction=rng.choice(("left", "right")), special=rng.random() < 0.8)
    options["stride"] = rng.randrange(0, max(1, options["max_length"] - special_count))
    return options


def run(server, tokenizer, texts, options, report):
    wants = reference(tokenizer, texts, options)
    for text, want, answer in zip(texts, wants, server.encode(texts, options)):
        if (difference := compare(text, want, answer)) is not None:
            report(text, options, difference)


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tokenizer", required=True, help="tokenizer.json of a BERT model")
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
    words = [w.removeprefix("##") for w in base["model"]["vocab"]]
    base = json.dumps(base | dict(truncation=None, padding=None))
    real = real_texts(args.texts)
    fixed = list(fixed_texts())
    everything = [f"a{chr(c)}b {chr(c)}" for c in range(0x110000) if not 0xD800 <= c < 0xE000]
    every = list(variants(base))
    strings = differences = 0

    def report(text, options, difference):
        nonlocal differences
        differences += 1
        if differences <= 20:
            shown = ascii(text) if len(str(text)) < 300 else f"{ascii(text)[:300]}..."
            print(f"[{name}] {options} {shown}\n    {difference[:2000]}")

    chosen = [v for v in every if args.only in v[0]]
    for index, (name, text) in enumerate(chosen):
        before = differences
        tokenizer = Tokenizer.from_str(text)
        server = Server(args.encode_lines, text)
        share = max(200, args.strings // len(chosen))
        if index == 0:
            share = max(share, args.strings // 5)
        randoms = [random_text(rng, words) for _ in range(share // 2)]
        reals = rng.sample(real, min(share // 4, len(real)))
        texts = fixed + randoms + reals
        if index == 0:
            texts += everything
        run(server, tokenizer, texts, {}, report)
        pairs = [(rng.choice(randoms), rng.choice(reals)) if rng.random() < 0.5 else
                 (rng.choice(randoms), rng.choice(randoms)) for _ in range(share // 8)]
        run(server, tokenizer, pairs, dict(special=index % 2 == 0), report)
        count = len(texts) + len(pairs)
        for _ in range(max(4, share // 800)):
            some = [rng.choice(randoms + pairs) for _ in range(100)]
            singles = [t for t in some if not isinstance(t, tuple)]
            doubles = [t for t in some if isinstance(t, tuple)]
            for part, is_pair in ((singles, False), (doubles, True)):
                options = option_sets(rng, tokenizer.num_special_tokens_to_add(is_pair))
                run(server, tokenizer, part, options, report)
            count += len(some)
        server.close()
        strings += count
        print(f"{name}: {count} strings, {differences - before} differences", flush=True)
    print(f"{strings} strings, {differences} differences")
    sys.exit(differences > 0)


if __name__ == "__main__":
    main()
