# SPDX-License-Identifier: Apache-2.0
"""BPE tokenizers that the tokenizer is tried with: of one byte-level tokenizer.json every option,
and models over characters made from its merges. For tokenizer_cases.py."""
import itertools
import json


UNNAMED = "shared ids"  # variants of such a name have ids, but no tokens that could be compared


def alphabet():
    """The character of each byte, as GPT-2 has it."""
    shown = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    hidden = [b for b in range(256) if b not in shown]
    return {b: chr(b) for b in shown} | {b: chr(0x100 + i) for i, b in enumerate(hidden)}


CHARS = alphabet()
BYTES = {c: b for b, c in CHARS.items()}


def to_alphabet(text):
    return "".join(CHARS[b] for b in text.encode())


def to_text(token):
    """What a byte-level token stands for, None where that is no whole text."""
    try:
        return bytes(BYTES[c] for c in token).decode()
    except (KeyError, UnicodeDecodeError):
        return None


def words_of(whole):
    """Texts to make texts of."""
    texts = [to_text(token) for token in whole["model"]["vocab"]]
    return [t for t in texts if t] + [t["content"] for t in whole["added_tokens"]] * 3


def pairs_of(merges):
    return [tuple(m.split(" ")) if isinstance(m, str) else tuple(m) for m in merges]


def small_model(words):
    """A byte-level model that knows `words`, some cut from their left and some from their
    right, so that not every token is what its own text merges to."""
    merges = {}
    for index, word in enumerate(words):
        parts = list(to_alphabet(word))
        while len(parts) > 1:
            at = 0 if index % 3 else len(parts) - 2
            merges.setdefault((parts[at], parts[at + 1]))
            parts[at:at + 2] = ["".join(parts[at:at + 2])]
    tokens = [*CHARS.values(), *(a + b for a, b in merges)]
    return list(dict.fromkeys(tokens)), [list(pair) for pair in merges]


def over_chars(model, mark="\u2581"):
    """The vocabulary and merges over characters, with `mark` for the space."""
    def text(token):
        found = to_text(token)
        return None if found is None else found.replace(" ", mark)
    vocab = dict.fromkeys(t for t in map(text, model["vocab"]) if t)
    vocab |= dict.fromkeys(c for t in list(vocab) for c in t)
    merges = [(text(a), text(b)) for a, b in pairs_of(model["merges"])]
    merges = [(a, b) for a, b in merges if a and b and a + b in vocab]
    return list(vocab), merges


def numbered(tokens):
    return {t: i for i, t in enumerate(dict.fromkeys(tokens))}


def with_affixes(tokens, merges, prefix, suffix):
    """Each token in its four roles: first or not, last or not."""
    heads, tails = ("", prefix) if prefix else ("",), ("", suffix) if suffix else ("",)
    vocab = [h + t + s for t in tokens for h in heads for s in tails]
    pairs = [(h + a, prefix + b + s) for a, b in merges for h in heads for s in tails]
    return numbered(vocab), pairs


def variants(base, added):
    """(name, tokenizer.json) of every option; the first is the file itself."""
    yield "as it is", base
    whole = json.loads(base)

    def changed(**parts):
        return json.dumps(whole | parts, ensure_ascii=False, separators=(",", ":"))

    def byte_level(space=False, cuts=True):
        return dict(type="ByteLevel", add_prefix_space=space, trim_offsets=True, use_regex=cuts)
    yield from pretokenizers(changed, byte_level)
    yield from processors(whole, changed, byte_level)
    yield from byte_models(whole, changed, byte_level)
    yield from char_models(whole, changed, added)
    for left, right, normalized in itertools.product((False, True), repeat=3):
        tokens = [added(c, lstrip=left, rstrip=right, normalized=normalized)
                  for c in ("[mask", "the", " ab", "brandnew", "É", "new york", "中", "  ")]
        yield f"added left {left} right {right} normalized {normalized}", changed(
            added_tokens=whole["added_tokens"] + tokens,
            pre_tokenizer=byte_level(space=right), post_processor=dict(byte_level(space=left)))


def pretokenizers(changed, byte_level):
    def sequence(*parts):
        return dict(type="Sequence", pretokenizers=list(parts))
    white, words = dict(type="WhitespaceSplit"), dict(type="Whitespace")
    meta = dict(type="Metaspace", replacement="\u2581", prepend_scheme="always", split=True)
    for space, cuts in itertools.product((False, True), repeat=2):
        part = byte_level(space, cuts)
        yield f"space {space} cuts {cuts}", changed(pre_tokenizer=part)
        yield f"white, space {space} cuts {cuts}", changed(pre_tokenizer=sequence(white, part))
        yield f"metaspace, space {space} cuts {cuts}", changed(pre_tokenizer=sequence(meta, part))
        yield f"space {space} cuts {cuts}, words", changed(pre_tokenizer=sequence(part, words))
        yield f"twice space {space} cuts {cuts}", changed(
            pre_tokenizer=sequence(part, byte_level(True)))
    yield "white alone", changed(pre_tokenizer=white)
    yield "no pre-tokenizer", changed(pre_tokenizer=None)
    yield "bert normalizer", changed(pre_tokenizer=byte_level(True), normalizer=dict(
        type="BertNormalizer", clean_text=True, handle_chinese_chars=True, strip_accents=None,
        lowercase=True))


def processors(whole, changed, byte_level):
    one, two = list(whole["model"]["vocab"].items())[:2]

    def roberta(trims, space):
        return dict(type="RobertaProcessing", sep=list(two), cls=list(one), trim_offsets=trims,
                    add_prefix_space=space)

    def level(trims, space):
        return dict(type="ByteLevel", add_prefix_space=space, trim_offsets=trims, use_regex=True)

    def piece(name, kind):
        key = "Sequence" if name in "AB" else "SpecialToken"
        return {key: dict(id=name, type_id=kind)}

    def steps(*parts):
        return dict(type="Sequence", processors=list(parts))
    template = dict(
        type="TemplateProcessing", single=[piece("[X]", 0), piece("A", 0)],
        pair=[piece("A", 0), piece("[X]", 1), piece("B", 1)],
        special_tokens={"[X]": dict(id="[X]", ids=[one[1]], tokens=[one[0]])})
    bert = dict(type="BertProcessing", sep=list(two), cls=list(one))
    for trims, space in itertools.product((False, True), repeat=2):
        before = byte_level(space)
        for name, part in dict(
                Roberta=roberta(trims, space), ByteLevel=level(trims, space),
                level_template=steps(level(trims, space), template),
                template_level=steps(template, level(trims, space))).items():
            yield f"{name} trims {trims} space {space}", changed(
                post_processor=part, pre_tokenizer=before)
    yield "level, bert", changed(post_processor=steps(level(True, False), bert))
    yield "level, level, Roberta", changed(pre_tokenizer=byte_level(True), post_processor=steps(
        level(True, False), level(True, True), roberta(True, False)))
    yield "no steps", changed(post_processor=steps())
    yield "no post-processor", changed(post_processor=None)


def byte_models(whole, changed, byte_level):
    model = whole["model"]
    vocab, merges = model["vocab"], pairs_of(model["merges"])

    def other(**parts):
        return changed(model=model | parts)
    yield "merges as texts", other(merges=["#version: 0.2"] + [" ".join(m) for m in merges])
    yield "no type", changed(model={k: v for k, v in model.items() if k != "type"})
    yield "ignore_merges", other(ignore_merges=True)
    yield "merges backwards", other(merges=merges[::-1])
    yield "ignore_merges, backwards", other(merges=merges[::-1], ignore_merges=True)
    yield "few merges", other(merges=merges[:len(merges) // 3] + merges[:len(merges) // 4])
    yield "empty affixes", other(continuing_subword_prefix="", end_of_word_suffix="", dropout=0.0)
    twins = vocab | {t: i - 1 for t, i in vocab.items() if i % 7 == 6 and len(t) > 1}
    for ignore in (False, True):  # the texts of such tokens, and what they trim, are by chance
        yield f"{UNNAMED}, ignore_merges {ignore}", changed(
            model=model | dict(vocab=twins, ignore_merges=ignore), post_processor=None)
    gone = {CHARS[b] for b in (0x20, 0x61, 0xC3, 0xE4, 0x31)}
    few = {t: i for t, i in vocab.items() if not gone & set(t)}
    kept = [m for m in merges if not gone & set(m[0] + m[1])]
    unk, last = next(t for t in few if len(t) > 1), len(vocab)
    every = few | {f"<0x{i:02X}>": last + i for i in range(256)}
    for fuse in (False, True):
        yield f"bytes gone, fuse {fuse}", other(
            vocab=few, merges=kept, unk_token=unk, fuse_unk=fuse)
    yield "bytes gone, no unknown", other(vocab=few, merges=kept)
    yield "bytes gone, unknown gone", other(vocab=few, merges=kept, unk_token="nowhere")
    yield "bytes gone, fallback", changed(pre_tokenizer=byte_level(True), model=model | dict(
        vocab=every, merges=kept, unk_token=unk, byte_fallback=True))


def char_models(whole, changed, added):
    tokens, merges = over_chars(whole["model"])
    plain, plain_merges = over_chars(whole["model"], " ")
    spelled = [f"<0x{i:02X}>" for i in range(256)]
    white = dict(type="WhitespaceSplit")
    llama = dict(type="Sequence", normalizers=[
        dict(type="Prepend", prepend="\u2581"),
        dict(type="Replace", pattern=dict(String=" "), content="\u2581")])
    meta = dict(type="Metaspace", replacement="\u2581", prepend_scheme="first", split=False)

    def model(vocab, pairs, **parts):
        return dict(dict(type="BPE", dropout=None, unk_token="<unk>", vocab=vocab, merges=pairs,
                         continuing_subword_prefix=None, end_of_word_suffix=None, fuse_unk=False,
                         byte_fallback=False, ignore_merges=False), **parts)

    def other(normalizer, pre_tokenizer, **parts):
        return changed(normalizer=normalizer, pre_tokenizer=pre_tokenizer, model=model(**parts),
                       post_processor=None, added_tokens=[added("<unk>", special=True)])
    full, some = numbered(["<unk>", *spelled, *tokens]), numbered(
        ["<unk>", *spelled[:0xD0], *tokens])
    bare = numbered(["<unk>", *tokens])
    for fuse in (False, True):
        yield f"chars, bytes, fuse {fuse}", other(
            llama, None, vocab=full, pairs=merges, fuse_unk=fuse, byte_fallback=True)
        yield f"chars, some bytes, fuse {fuse}", other(
            None, meta, vocab=some, pairs=merges, fuse_unk=fuse, byte_fallback=True)
        yield f"chars, fuse {fuse}", other(
            llama, None, vocab=bare, pairs=merges, fuse_unk=fuse)
        yield f"chars, no unknown, ignore {fuse}", other(
            llama, meta, vocab=bare, pairs=merges, unk_token=None, ignore_merges=fuse)
    for prefix, suffix in (("@@", None), (None, "</w>"), ("##", "</w>"), ("é", "")):
        vocab, pairs = with_affixes(plain, plain_merges, prefix or "", suffix or "")
        for fuse in (False, True):
            yield f"prefix {prefix} suffix {suffix} fuse {fuse}", other(
                None, white, vocab=vocab | {"<unk>": len(vocab)}, pairs=pairs, fuse_unk=fuse,
                continuing_subword_prefix=prefix, end_of_word_suffix=suffix, ignore_merges=fuse)
