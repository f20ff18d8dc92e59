# SPDX-License-Identifier: Apache-2.0
"""Tokenizers for each normalizer, pre-tokenizer, pattern and decoder alone, on a model that shows
every byte; and texts that suit them. For check_parts.py and make_tokenizer_golden.py."""
import json
import unicodedata

import tokenizer_cases as cases

GPT2 = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"
CL100K = (r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}|"
          r" ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+")
QWEN2 = (r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|"
         r"\s*[\r\n]+|\s+(?!\S)|\s+")
O200K = (r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+"
         r"(?i:'s|'t|'re|'ve|'m|'ll|'d)?|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+"
         r"[\p{Ll}\p{Lm}\p{Lo}\p{M}]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?|\p{N}{1,3}|"
         r" ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+")
TIKTOKEN = (r"'(?i:[sdmt]|ll|ve|re)|[^\r\n\p{L}\p{N}]?+\p{L}++|\p{N}{1,3}+| ?[^\s\p{L}\p{N}]++"
            r"[\r\n]*+|\s++$|\s*[\r\n]|\s+(?!\S)|\s")
BLOOM = r" ?[^(\s|[.,!?…。，、।۔،])]+"
CLIP = r"'s|'t|'re|'ve|'m|'ll|'d|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+"
REAL = dict(gpt2=GPT2, cl100k=CL100K, qwen2=QWEN2, o200k=O200K, tiktoken=TIKTOKEN, bloom=BLOOM,
            clip=CLIP, digits=r"\d{1,3}(?=(?:\d{3})*\b)", thousands=r"(?=(\d{3})+(?!\d))",
            han=r"[一-龥぀-ゟ゠-ヿ]+", deepseek=r"\s?[!-/:-~！-／：-～‘-‟　-。]+",
            newlines=r"[\r\n]", letters=r"\s?\p{L}+", spaces=r"\s+$", number=r"\p{N}{1,3}")
SMALL = [
    "a", "ab|a|b", "a*", "a+?b", "(a|ab)(c|bcd)?", "[a-c]{2}", "[a-c]{2,}", "[a-c]{,2}",
    "(?:ab){1,3}", "(?:ab){1,3}?c", "a{2}?b", "a{1,3}+", "(?:a|b)+?c", "^a", "a$", "^", "$",
    "\\Aa", "a\\z", "a\\Z", "\\ba", "a\\b", "\\B", "(?<=a)b", "(?<![ab])b", "a(?=b)", "a(?!b)",
    "(?=a+b)a", "(?!a*b)[a-c]", "(?=(?:a|b)+c)[ab]", ".", "(?m:.)", "a.b", "\\s+", "\\S+",
    "\\w+", "\\W+", "\\d+", "\\D+", "\\h+", "\\H", "\\p{L}+", "\\P{L}+", "\\p{^L}+",
    "[^\\P{L}a]+", "\\p{Lu}\\p{Ll}*", "[\\p{M}\\p{Sk}]+", "\\p{Han}+|\\p{Hangul}+|\\p{Latin}+",
    "\\p{Common}+", "\\p{letter}\\p{Mark}*", "[[a-c]d[^\\s\\w]]+", "[\\w&&[^\\d_]]+", "[^a&&b]+",
    "[a-z&&b-y&&[^k]]+", "(?i)abc|K", "(?i:[a-k])+", "(?i:[^a-k])+", "a(?i)b|c", "(?i:'s|'d)",
    "a++", "a*+b", "[ab]?+b", "\\x{41}\\u00e9|\\n|\\t", "é+", "中文?", "\U0001f600|\U0001f601",
    "[é-ü]+", "[\U0001f300-\U0001faff]", "(?<word>a)(b)", "(?#no)a", "(?:)", "", "a|", "|a",
    "(a*)*b", "(a+)+b", "(?:a?)+", "(a|b|)c", "(?:(?:a|b)(?:c|d))+", "\\.|\\-|\\[|\\]", "]|}",
    "[-a]", "[a-]", "[\\-\\]]", "[\\s\\S]", "[^\\s]", "(?:a|a)*b", "(?:a+a+)+b",
    "(?:a{1,2}){2,3}", "\\s+(?!\\S)|\\s", "[\\r\\n]+", "(?:\\p{L}\\p{M}*)+",
    "(?:a(?=b)|b(?!c))+", "x*?", "x??a", "a{0,2}?b", "(?:ab?){2,}",
]
BEHAVIORS = ["Removed", "Isolated", "MergedWithPrevious", "MergedWithNext", "Contiguous"]
FORMS = ["NFC", "NFD", "NFKC", "NFKD", "StripAccents", "Nmt", "ByteLevel"]


def shown(**parts):
    """A tokenizer whose ids are the bytes of the text."""
    vocab = [["<unk>", 0.0]] + [[f"<0x{i:02X}>", -1.0] for i in range(256)]
    return json.dumps(dict(version="1.0", truncation=None, padding=None, added_tokens=[],
                           normalizer=None, pre_tokenizer=None, post_processor=None, decoder=None,
                           model=dict(type="Unigram", unk_id=0, byte_fallback=True, vocab=vocab))
                      | parts)


def words_only(text):
    """The same with each word one unknown token: for pre-tokenizers, in less room."""
    model = dict(type="WordPiece", unk_token="?", continuing_subword_prefix="##",
                 max_input_chars_per_word=1, vocab={"?": 0})
    return json.dumps(json.loads(text) | dict(model=model))


def split(pattern, behavior="Isolated", invert=False, kind="Regex"):
    return dict(type="Split", pattern={kind: pattern}, behavior=behavior, invert=invert)


def characters():
    """Each character a word."""
    return split("", kind="String")


def replace(pattern, content):
    return dict(type="Replace", pattern=dict(Regex=pattern), content=content)


def normalizers():
    strips = dict(type="Strip", strip_left=True, strip_right=True)
    for name in FORMS:
        yield name, dict(type=name)
    for names in (["NFD", "StripAccents"], ["NFKD", "StripAccents", "NFC"], ["Nmt", "NFKC"],
                  ["NFC", "ByteLevel"], ["NFKC", "NFD", "NFC"], ["Lowercase", "NFKC"],
                  ["NFD", "Lowercase", "NFC", "StripAccents"]):
        yield "+".join(names), dict(type="Sequence", normalizers=[dict(type=n) for n in names])
    yield "strip, NFC, replace", dict(type="Sequence", normalizers=[
        strips, dict(type="NFC"), replace(r" {2,}|\p{M}+", "é_")])
    yield "replace white", replace(r"\s+", " ")
    yield "replace letters", dict(type="Sequence", normalizers=[
        replace(r"(?<=\p{L})\p{M}+", ""), replace(r"[^\p{L}\s]", "<\u0301>")])


def pretokenizers():
    for name, pattern in REAL.items():
        yield f"split {name}", split(pattern)
        yield f"split {name} removed, inverted", split(pattern, "Removed", True)
    for behavior in BEHAVIORS:
        for invert in (False, True):
            for kind, pattern in (("Regex", r"\p{N}|[,.]"), ("String", "e"), ("String", ""),
                                  ("Regex", r"\s?a*")):
                yield f"{kind} {pattern} {behavior} {invert}", split(pattern, behavior, invert,
                                                                     kind)
        yield f"Punctuation {behavior}", dict(type="Punctuation", behavior=behavior)
    yield "Punctuation", dict(type="Punctuation")
    for individual in (False, True):
        yield f"Digits {individual}", dict(type="Digits", individual_digits=individual)
    for delimiter in "e \u0301中":
        yield f"CharDelimiterSplit {ascii(delimiter)}", dict(type="CharDelimiterSplit",
                                                             delimiter=delimiter)
    for name, parts in (
            ("llama 3", [split(CL100K), dict(type="ByteLevel", add_prefix_space=False,
                                             trim_offsets=True, use_regex=False)]),
            ("digits, bytes", [dict(type="Digits", individual_digits=True),
                               dict(type="ByteLevel", add_prefix_space=True, trim_offsets=True,
                                    use_regex=True)]),
            ("deberta", [dict(type="Metaspace", replacement="\u2581", prepend_scheme="always",
                              split=True), dict(type="Punctuation", behavior="Contiguous")]),
            ("words", [dict(type="WhitespaceSplit"), split("[a-z]+|[A-Z]"),
                       dict(type="Digits", individual_digits=False)])):
        yield name, dict(type="Sequence", pretokenizers=parts)


def patterns():
    for pattern in SMALL:
        yield f"pattern {pattern}", split(pattern)


KINDS = ["normalizers", "pretokenizers", "patterns"]


def variants(kind):
    """(name, tokenizer.json) of each part of a kind."""
    if kind == "normalizers":
        for name, part in normalizers():
            yield name, shown(normalizer=part, pre_tokenizer=characters())
    elif kind == "pretokenizers":
        for name, part in pretokenizers():
            yield name, shown(pre_tokenizer=part)
            if "+" not in name and name in ("llama 3", "words"):
                yield f"NFC, {name}", shown(normalizer=dict(type="NFC"), pre_tokenizer=part)
    else:
        for name, part in patterns():
            yield name, shown(pre_tokenizer=part)


TOKENS = [
    "[CLS]", "[SEP]", "[PAD]", "?", "play", "##ing", "##s", "##", "the", "\u2581the", "\u2581",
    "\u2581\u2581", "a\u2581b\u2581", "<0x41>", "<0xe4>", "<0xB8>", "<0xAD>", "<0x+F>", "<0xG1>",
    "<0x0A>", "<0xé>", "\u0120hello", "\u010a", "\u00c3", "\u00a9", "\u0120\u00e4",
    "\u00b8\u0143", "é", "中", "\u0120 x", "w</w>", "</w>", "</w></w>x", ".", "!", ",", "'",
    "n't", "'s", "'ve", "'re", "'m", "do", "not", "do not", " do not", " .", " ' x", "a  b",
    "\ufffd", "\0", "\u0301", "\U0001f600", " ", "x ", "[MASK]", "Added", "\u2581added",
]


def decoders():
    def replace_text(text, content):
        return dict(type="Replace", pattern=dict(String=text), content=content)
    yield "none", None
    for cleanup in (True, False):
        yield f"WordPiece cleanup {cleanup}", dict(type="WordPiece", prefix="##", cleanup=cleanup)
    yield "WordPiece without prefix", dict(type="WordPiece", prefix="", cleanup=True)
    for scheme in ("always", "first", "never"):
        yield f"Metaspace {scheme}", dict(type="Metaspace", replacement="\u2581",
                                          prepend_scheme=scheme, split=True)
    yield "ByteLevel", dict(type="ByteLevel", add_prefix_space=True, trim_offsets=True,
                            use_regex=True)
    yield "BPEDecoder", dict(type="BPEDecoder", suffix="</w>")
    yield "ByteFallback", dict(type="ByteFallback")
    yield "Fuse", dict(type="Fuse")
    for start, stop in ((1, 0), (0, 1), (2, 2)):
        yield f"Strip {start} {stop}", dict(type="Strip", content="\u2581", start=start, stop=stop)
    yield "Replace text", replace_text("a", "é")
    yield "Replace pattern", replace(r"\s+|[aeiou]{1,2}", "_")
    parts = [replace_text("\u2581", " "), dict(type="ByteFallback"), dict(type="Fuse")]
    yield "llama", dict(type="Sequence", decoders=parts + [dict(type="Strip", content=" ", start=1,
                                                               stop=0)])
    yield "fuse, bytes, metaspace", dict(type="Sequence", decoders=[
        dict(type="ByteFallback"), dict(type="Metaspace", replacement="\u2581",
                                        prepend_scheme="always", split=False)])
    yield "empty sequence", dict(type="Sequence", decoders=[])
    yield "pieces then bytes", dict(type="Sequence", decoders=[
        dict(type="WordPiece", prefix="##", cleanup=True), dict(type="ByteLevel",
             add_prefix_space=False, trim_offsets=False, use_regex=False)])


def decoding(decoder):
    """A tokenizer of TOKENS with a decoder."""
    vocab = {t: i for i, t in enumerate(TOKENS)}
    tokens = [cases.added(t, special=True) | dict(id=vocab[t]) for t in ("[CLS]", "[SEP]", "[PAD]")]
    tokens += [cases.added(t, normalized=True) | dict(id=vocab[t]) for t in ("[MASK]", "Added")]
    tokens += [cases.added("<new>", special=True) | dict(id=len(vocab)),
               cases.added("plain NEW", normalized=True) | dict(id=len(vocab) + 1)]
    return shown(model=dict(type="WordPiece", unk_token="?", continuing_subword_prefix="##",
                            max_input_chars_per_word=9, vocab=vocab),
                 added_tokens=tokens, normalizer=dict(type="Lowercase"), decoder=decoder)


def decoded(tokenizer, ids, skip):
    """What the reference makes of ids; None where it panics."""
    try:
        return tokenizer.decode(ids, skip_special_tokens=skip)
    except KeyboardInterrupt:
        raise
    except BaseException:  # a panic is no Exception
        return None


def random_ids(rng):
    return [rng.randrange(len(TOKENS) + 2) for _ in range(rng.choice((0, 1, 2, 3, 6, 12, 30)))]


LETTERS = ("aaaabbbccdeksKSAB  ''''..,,--[]0123499é\u0301\u0316\n\r\t_ſ\u212aßÉ中文가"
           "\u1100\u1161\u11a8")
WORDS = ["don't", "I'LL", "we've", "12345", "1,234.5", "\u0410\u0431", "\U0001f600",
         "\U0001f468\u200d\U0001f469\u200d\U0001f467", "e\u0301\u0316", "각", "\u1100\u1161\u11a8",
         "ﬁn", "½", "Ⅷ", "\u0958", "\u0344", "a" * 40, "ab" * 20, "  ", "\n\n", " \n", "\u3000",
         "中文"]


def text(rng, words):
    kind = rng.randrange(4)
    if kind == 0:
        return cases.random_text(rng, words)
    if kind == 1:
        return "".join(rng.choice(LETTERS) for _ in range(rng.choice((1, 3, 6, 12, 30))))
    if kind == 2:
        return "".join(rng.choice(WORDS) if rng.random() < 0.6 else rng.choice(LETTERS)
                       for _ in range(rng.choice((2, 5, 12))))
    blocks = [(0x300, 0x36F), (0, 0x5FF), (0x1E00, 0x1FFF), (0xAC00, 0xACFF), (0x1100, 0x11FF),
              (0x900, 0xDFF)]
    made = "".join(cases.char(rng.randint(*rng.choice(blocks)))
                   for _ in range(rng.choice((1, 2, 4, 10))))
    return unicodedata.normalize(rng.choice(("NFC", "NFD")), made) if rng.random() < 0.3 else made
