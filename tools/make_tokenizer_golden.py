#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Writes tests/golden/tokenizer.jsonl and tokenizer_bpe.jsonl: small tokenizers with every option,
and what the pinned reference makes of texts with them.

    python3 tools/make_tokenizer_golden.py [--check]

A line is either {"name", "tokenizer": the tokenizer.json as a string}, or a case of the tokenizer
before it: {"text", "pair", options as in tandem_encode_options, "windows"}, or "error": true in
place of windows. A window has ids, types, words (-1 for none), spans (start and end in bytes,
start and end in characters) and, where they are not the vocabulary's, tokens.
"""
import argparse
import json
import pathlib
import random
import sys

import tokenizers
from tokenizers import Tokenizer

import bpe_cases
import check_tokenizer as check
import tokenizer_cases as cases

GOLDEN = pathlib.Path(__file__).resolve().parent.parent / "tests/golden"
SEED = 7
WORDS = ("the of and new york in to can not isn don t s mask A é École naïve strasse straße σας "
         "мир привет שלום سلام नमस्ते สวัสดี 안녕 中 文 字 日本 ab abc ki k x y zz ? ! . , ' [ ] ( ) - \" "
         "$ playing embedding").split()


def base_tokenizer():
    letters = "abcdefghijklmnopqrstuvwxyz0123456789éàαβγжшक가あ\u0301\u0307"
    pieces = ["ing", "ed", "s", "er", "ddings", "bed", "be", "em", "play", "un", "##"]
    vocab = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *WORDS, *pieces, *letters,
             *(f"##{c}" for c in letters), *(f"##{p}" for p in pieces)]
    vocab = {w: i for i, w in enumerate(dict.fromkeys(vocab))}
    cls, sep = vocab["[CLS]"], vocab["[SEP]"]

    def special(name, kind):
        return {"SpecialToken": {"id": name, "type_id": kind}}

    def sequence(name, kind):
        return {"Sequence": {"id": name, "type_id": kind}}
    one = [special("[CLS]", 0), sequence("A", 0), special("[SEP]", 0)]
    return json.dumps(dict(
        version="1.0", truncation=None, padding=None,
        added_tokens=[cases.added(t, special=True) | dict(id=i)
                      for t, i in vocab.items() if t.startswith("[") and len(t) > 1],
        normalizer=dict(type="BertNormalizer", clean_text=True, handle_chinese_chars=True,
                        strip_accents=None, lowercase=True),
        pre_tokenizer=dict(type="BertPreTokenizer"),
        post_processor=dict(
            type="TemplateProcessing", single=one,
            pair=[*one, sequence("B", 1), special("[SEP]", 1)],
            special_tokens={"[CLS]": dict(id="[CLS]", ids=[cls], tokens=["[CLS]"]),
                            "[SEP]": dict(id="[SEP]", ids=[sep], tokens=["[SEP]"])}),
        decoder=dict(type="WordPiece", prefix="##", cleanup=True),
        model=dict(type="WordPiece", unk_token="[UNK]", continuing_subword_prefix="##",
                   max_input_chars_per_word=30, vocab=vocab)))


def unigram_tokenizer():
    """As XLM-R's files are, with a few hundred pieces and a small table of replacements."""
    letters = "abcdefghijklmnopqrstuvwxyzABCDE0123456789éàβγжш가中文字日.,!?'-"
    pieces = ["\u2581", *letters, *(f"\u2581{w}" for w in WORDS), *WORDS, "ing", "ed", "er",
              "e\u0301", "\u2581\u2581", "un", "wx", "\u2581play", "ddings", "bed", "em",
              "\u0301", "\u200d"]
    vocab = [["<s>", 0.0], ["<pad>", 0.0], ["</s>", 0.0], ["<unk>", 0.0]]
    vocab += [[p, -2.0 - (7 * i % 31) / 8 - 1 / len(p)]
              for i, p in enumerate(dict.fromkeys(pieces))]
    vocab.append(["<mask>", 0.0])
    table = {"\t": " ", "\n": " ", "\r": " ", "\x01": "", "\x7f": "", "\u200b": "", "\u00ad": "",
             "\u3000": " ", "\u00a0": " ", "\u2122": "TM", "\u2460": "1", "\ufb01": "fi",
             "\u00bd": "1\u20442", "e\u0301": "é", "\u0065\u0301\u0316": "ê", "\u212b": "å",
             "\uff21": "A", "\u0344": "\u0308\u0301", "\u0130": "i\u0307", "x\u0301": "",
             "\u0915\u093c": "\u0958", "\u1100": "ga", "\U0001d160": "note", "\u2025": ".."}

    def special(token):
        return {"SpecialToken": {"id": token, "type_id": 0}}
    one = [special("<s>"), {"Sequence": {"id": "A", "type_id": 0}}, special("</s>")]
    return json.dumps(dict(
        version="1.0", truncation=None, padding=None,
        added_tokens=[cases.added(t, special=True, lstrip=t == "<mask>") | dict(id=i)
                      for i, (t, _) in enumerate(vocab) if t.startswith("<")],
        normalizer=dict(type="Precompiled", precompiled_charsmap=cases.charsmap(table)),
        pre_tokenizer=dict(type="Metaspace", replacement="\u2581", prepend_scheme="always",
                           split=True),
        post_processor=dict(
            type="TemplateProcessing", single=one,
            pair=[*one, special("</s>"), {"Sequence": {"id": "B", "type_id": 0}},
                  special("</s>")],
            special_tokens={t: dict(id=t, ids=[i], tokens=[t])
                            for i, t in ((0, "<s>"), (2, "</s>"))}),
        decoder=None, model=dict(type="Unigram", unk_id=3, byte_fallback=False, vocab=vocab)))


def bpe_tokenizer():
    """As RoBERTa's files are, with the bytes and some words."""
    specials = ["<s>", "<pad>", "</s>", "<unk>", "<mask>"]
    short = ("the of and can not École naïve мир שלום नम 文 字 日本 ab abc playing embedding ing ed "
             "'s 'll 123 é").split()
    tokens, merges = bpe_cases.small_model(
        [*short, *(f" {w}" for w in short[::2]), "  ", "\n\n", "\u0301"])
    vocab = bpe_cases.numbered([*specials, *tokens])
    return json.dumps(dict(
        version="1.0", truncation=None, padding=None,
        added_tokens=[cases.added(t, special=True, lstrip=t == "<mask>") | dict(id=vocab[t])
                      for t in specials],
        normalizer=None,
        pre_tokenizer=dict(type="ByteLevel", add_prefix_space=False, trim_offsets=True,
                           use_regex=True),
        post_processor=dict(type="RobertaProcessing", sep=["</s>", 2], cls=["<s>", 0],
                            trim_offsets=True, add_prefix_space=False),
        decoder=dict(type="ByteLevel", add_prefix_space=True, trim_offsets=True, use_regex=True),
        model=dict(type="BPE", dropout=None, unk_token=None, continuing_subword_prefix="",
                   end_of_word_suffix="", fuse_unk=False, byte_fallback=False,
                   ignore_merges=False, vocab=vocab, merges=merges)),
        ensure_ascii=False, separators=(",", ":"))


def spans(text, pair, window, is_first):
    """[byte start, byte end, char start, char end] of each token, None if not knowable."""
    maps = [check.byte_offsets(t) for t in (text, pair) if t is not None]
    out = []
    for at, (a, b) in enumerate(window.offsets):
        if window.special_tokens_mask[at]:
            out.append([0, 0, 0, 0])
            continue
        which = 0 if len(maps) == 1 else window.sequence_ids[at] if is_first else None
        if which not in (0, 1):  # ByteLevel behind a template counts the template's pieces
            out.append([-1, -1, a, b])
        else:
            out.append([int(maps[which][a]), int(maps[which][b]), a, b])
    return out


def window_row(tokenizer, text, pair, window, is_first):
    row = dict(ids=window.ids, types=window.type_ids,
               words=[-1 if w is None else w for w in window.word_ids],
               spans=sum(spans(text, pair, window, is_first), []))
    if window.tokens != [tokenizer.id_to_token(i) for i in window.ids]:
        row["tokens"] = window.tokens
    return row


def case(tokenizer, text, pair, options):
    row = dict(text=text)
    if pair is not None:
        row["pair"] = pair
    row |= {k: v for k, v in options.items() if v not in (0, False)}
    texts = [text if pair is None else (text, pair)]
    want = check.reference(tokenizer, texts, options)[0]
    if isinstance(want, BaseException):
        return row | dict(error=True)
    return row | dict(windows=[window_row(tokenizer, text, pair, w, i == 0)
                               for i, w in enumerate([want, *want.overflowing])])


def rows():
    rng = random.Random(SEED)
    yield from rows_of(base_tokenizer(), rng, "")
    yield from rows_of(unigram_tokenizer(), random.Random(SEED), "Unigram, ")


def bpe_rows():
    """Without the few cases of very many windows, which are half of all bytes."""
    for row in rows_of(bpe_tokenizer(), random.Random(SEED), "BPE, ", 12):
        if "tokenizer" in row or len(json.dumps(row)) < 4000:
            yield row


def rows_of(base, rng, prefix, share=24):
    words = cases.vocab_words(json.loads(base))
    fixed = [t for t in cases.fixed_texts() if len(t) <= 120]
    for index, (name, text) in enumerate(cases.variants(base)):
        if bpe_cases.UNNAMED in name:
            continue
        yield dict(name=prefix + name, tokenizer=text)
        tokenizer = Tokenizer.from_str(text)
        texts = fixed if index == 0 else []
        texts = texts + [t for t in (cases.random_text(rng, words) for _ in range(400))
                         if len(t) < 40][:200 if index == 0 else share]
        for sample in texts:
            yield case(tokenizer, sample, None, {})
        for _ in range(60 if index == 0 else 6):
            pair = rng.choice(texts) if rng.random() < 0.5 else None
            options = cases.option_sets(rng, tokenizer.num_special_tokens_to_add(pair is not None))
            yield case(tokenizer, rng.choice(texts), pair, options)


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="compare, write nothing")
    args = parser.parse_args()
    if tokenizers.__version__ != cases.PINNED:
        sys.exit(f"tokenizers is {tokenizers.__version__}, the file is for {cases.PINNED}")
    stale = False
    for name, make in (("tokenizer.jsonl", rows), ("tokenizer_bpe.jsonl", bpe_rows)):
        path = GOLDEN / name
        text = "".join(json.dumps(row, ensure_ascii=False, separators=(",", ":")) + "\n"
                       for row in make())
        stale |= not path.exists() or path.read_text("utf-8") != text
        if not args.check:
            path.write_text(text, "utf-8")
            print(f"{name}: {text.count(chr(10))} lines, {len(text.encode())} bytes")
    if args.check:
        sys.exit(stale)


if __name__ == "__main__":
    main()
