# SPDX-License-Identifier: Apache-2.0
"""Texts, tokenizers and options that the tokenizer is tried with; for check_tokenizer.py and
make_tokenizer_golden.py."""
import base64
import csv
import gettext
import glob
import itertools
import json
import pathlib
import struct
import unicodedata

import tokenizers

import bpe_cases

PINNED = "0.23.3"
STRATEGIES = ["longest_first", "only_first", "only_second"]


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
    """Sentences of the files, and what the machine has of catalogues and documentation."""
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


def charsmap(pairs):
    """SentencePiece's blob for {text: replacement}, in base64: a double-array trie and a pool."""
    root, pool = {}, b""
    for key, value in pairs.items():
        node = root
        for byte in key.encode():
            node = node.setdefault(byte, {})
        node[None] = len(pool)
        pool += value.encode() + b"\0"
    units, bases, work = {0: 0}, set(), [(0, root)]
    while work:
        at, node = work.pop()
        labels = [label or 0 for label in node]
        base = 1
        while base in bases or any(base ^ label in units for label in labels):
            base += 1
        bases.add(base)
        units[at] |= (at ^ base) << 10 | (None in node) << 8
        for label, child in node.items():
            units[base ^ (label or 0)] = 1 << 31 | child if label is None else label
            if label is not None:
                work.append((base ^ label, child))
    array = [units.get(i, 0) for i in range((max(units) | 0xFF) + 1)]
    blob = struct.pack(f"<I{len(array)}I", 4 * len(array), *array) + pool
    return base64.b64encode(blob).decode()


def variants(base):
    """(name, tokenizer.json) of every option; the first is the file itself."""
    kind = json.loads(base)["model"]["type"]
    if kind == "BPE":
        yield from bpe_cases.variants(base, added)
    else:
        yield from unigram_variants(base) if kind == "Unigram" else wordpiece_variants(base)


def vocab_words(whole):
    """The words of a tokenizer.json, to make texts of."""
    vocab = whole["model"]["vocab"]
    if whole["model"]["type"] == "BPE":
        return bpe_cases.words_of(whole)
    if isinstance(vocab, dict):
        return [w.removeprefix("##") for w in vocab]
    return [piece for piece, _ in vocab if piece] + [
        t["content"] for t in whole["added_tokens"]] * 3


def unigram_variants(base):
    yield "as it is", base
    whole = json.loads(base)

    def changed(**parts):
        return json.dumps(whole | parts)

    def sequence(*parts):
        return dict(type="Sequence", normalizers=list(parts))

    def metaspace(scheme, split, replacement="\u2581"):
        return dict(type="Metaspace", replacement=replacement, prepend_scheme=scheme, split=split)
    first = whole["normalizer"]

    def replace(content, **pattern):
        return dict(type="Replace", pattern=pattern, content=content)
    strips = [dict(type="Strip", strip_left=a, strip_right=b) for a in (False, True)
              for b in (False, True)]
    normalizers = {
        "none": None, "empty sequence": sequence(),
        "two spaces": sequence(first, replace(" ", Regex=" {2,}")),
        "two spaces to mark": sequence(first, strips[1], replace("\u2581", Regex=" {2,}")),
        "white space": sequence(replace(" ", Regex="\\s+"), first),
        "three white": replace("é", Regex="\\s{3,}"),
        "text": sequence(replace("X\u0301yz", String="ab"), replace("", String=" "), first),
        "dashes": sequence(replace("-", String="--"), replace("", String="e"),
                           dict(type="Lowercase")),
        "lower": sequence(dict(type="Lowercase"), first), "lower alone": dict(type="Lowercase"),
        "prepend": sequence(dict(type="Prepend", prepend="\u2581é"), first),
        "after prepend": sequence(first, dict(type="Prepend", prepend="\u2581"),
                                  replace("\u2581", String=" ")),
        "strip and bert": sequence(strips[3], dict(
            type="BertNormalizer", clean_text=True, handle_chinese_chars=True, strip_accents=None,
            lowercase=True), first)}
    normalizers |= {f"strip {i}": sequence(strip, first, strip) for i, strip in enumerate(strips)}
    for name, normalizer in normalizers.items():
        yield f"normalizer {name}", changed(normalizer=normalizer)
    white = dict(type="WhitespaceSplit")
    for scheme in ("always", "first", "never"):
        for split in (True, False):
            yield f"metaspace {scheme} split {split}", changed(
                pre_tokenizer=metaspace(scheme, split))
        yield f"metaspace {scheme} raw", changed(pre_tokenizer=metaspace(scheme, True),
                                                 normalizer=None)
        yield f"white, metaspace {scheme}", changed(pre_tokenizer=dict(
            type="Sequence", pretokenizers=[white, metaspace(scheme, True)]))
    yield "metaspace e", changed(pre_tokenizer=metaspace("first", True, "e"))
    yield "metaspace twice", changed(pre_tokenizer=dict(type="Sequence", pretokenizers=[
        metaspace("never", True), dict(type="BertPreTokenizer"), metaspace("always", True, "é"),
        metaspace("first", False)]))
    yield "white alone", changed(pre_tokenizer=white)
    yield "whitespace", changed(pre_tokenizer=dict(type="Whitespace"))
    yield "no pre-tokenizer", changed(pre_tokenizer=None)
    model = whole["model"]
    count = len(model["vocab"])
    every = model["vocab"] + [[f"<0x{i:02X}>", -9.0 - i / 100] for i in range(256)]
    yield "bytes", changed(model=model | dict(byte_fallback=True, vocab=every))
    yield "some bytes", changed(model=model | dict(byte_fallback=True, vocab=every[:count + 0xd0]))
    yield "no unknown", changed(model=model | dict(unk_id=None))
    yield "flat scores", changed(model=model | dict(vocab=[[w, -1.0] for w, _ in model["vocab"]]))
    yield "high scores", changed(model=model | dict(
        vocab=[[w, 40.0 + len(w) % 3] for w, _ in model["vocab"]]))
    for left, right, normalized in itertools.product((False, True), repeat=3):
        tokens = [added(c, lstrip=left, rstrip=right, normalized=normalized)
                  for c in ("[mask", "the", "ab", "\u2581the", "brandnew", "É", "new york", "中")]
        yield f"added left {left} right {right} normalized {normalized}", \
            changed(added_tokens=whole["added_tokens"] + tokens)
        yield f"added first left {left} right {right} normalized {normalized}", changed(
            added_tokens=whole["added_tokens"] + tokens, pre_tokenizer=metaspace("first", True))


def wordpiece_variants(base):
    yield "as it is", base

    def changed(**parts):
        return json.dumps(json.loads(base) | parts)
    whole = json.loads(base)
    cls, sep = (whole["model"]["vocab"][t] for t in ("[CLS]", "[SEP]"))
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
        type="BertProcessing", sep=["[SEP]", sep], cls=["[CLS]", cls]))
    yield "RobertaProcessing", changed(post_processor=dict(
        type="RobertaProcessing", sep=["[SEP]", sep], cls=["[CLS]", cls], trim_offsets=False,
        add_prefix_space=False))
    special_tokens = {"X": dict(id="X", ids=[cls, 7, 8], tokens=["a", "b", "c"]),
                      "[SEP]": dict(id="[SEP]", ids=[sep], tokens=["[SEP]"])}
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
    template = json.loads(json.dumps(whole["post_processor"]).replace(f"[{cls}]", "[2]")
                          .replace(f"[{sep}]", "[3]"))
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
