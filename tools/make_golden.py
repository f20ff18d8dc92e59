#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Makes the files of tests/golden from the reference in Python.

    tools/make_golden.py --minilm FOLDER [--out tests/golden]

Run it in the virtual environment of tools/peers.txt (`make bench-peers` makes it in .venv). The
files are committed: this is needed only when a case is added. What it writes, and how a test reads
it, is in tests/golden/README.md.

Everything is computed with weights as they are in the file (f32) and arithmetic in double, then
rounded once to f32, so that an expected value carries no rounding error of the reference's own
order of summation. The same model in fp32, as sentence-transformers runs it, is asserted to agree
to 1e-5 on the unit vectors.
"""
import argparse
import json
import pathlib

import numpy as np
import torch
from safetensors.torch import save_file
from sentence_transformers import SentenceTransformer
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors
from transformers import AutoTokenizer, BertConfig, BertModel

TINY = dict(vocab_size=200, hidden_size=32, num_hidden_layers=2, num_attention_heads=4,
            intermediate_size=64, max_position_embeddings=64, type_vocab_size=2,
            layer_norm_eps=1e-12, hidden_act="gelu", pad_token_id=0)
POOLING = ["cls", "mean", "max", "lasttoken", "weightedmean"]

# A tab separates the two texts of a pair. Only tiny-bert has pairs: an embedder has no use for
# them, but token types must be right before rerankers come.
TINY_TEXTS = [
    "the cat sat on the mat",
    "a",
    "",
    "Hello, World!",
    "unknown \u6f22\u5b57 and caf\u00e9",
    "one two three four five six seven eight nine ten",
    "don't stop, believing... (really) 42%",
    "the the the the the the the the the the the the the the the the the the the the",
    "abcdefghijklmnopqrstuvwxyz zyxwvutsrqponmlkjihgfedcba 0123456789",
    "the cat\tsat on the mat",
    "is it raining?\tno, it is sunny and warm today.",
    "\tonly the second",
]
MINILM_TEXTS = [
    "The cat sits outside.",
    "A man is playing guitar.",
    "The new movie is awesome.",
    "A woman watches TV.",
    "The dog plays in the garden.",
    "The new movie is so great.",
    "",
    "a",
    "Who is Ada Lovelace, and why does it matter?",
    "tandem runs encoder language models on every processor a machine has.",
    "na\u00efve caf\u00e9 \u2014 \u201cquoted\u201d \u2026 and \u20ac42.50 (incl. 19% VAT)",
    "\u6771\u4eac\u306f\u65e5\u672c\u306e\u9996\u90fd\u3067\u3059\u3002",
    "\u041c\u043e\u0441\u043a\u0432\u0430 \u2014 \u0441\u0442\u043e\u043b\u0438\u0446\u0430 "
    "\u0420\u043e\u0441\u0441\u0438\u0438.",
    "\U0001f600\U0001f680 emoji only \U0001f44d\U0001f3fd",
    "pneumonoultramicroscopicsilicovolcanoconiosis antidisestablishmentarianism",
    "SELECT name, COUNT(*) FROM users WHERE age >= 21 GROUP BY name;",
    "https://example.org/path?q=1&r=two#three user.name+tag@example.com",
    "word " * 100,
    "It was the best of times, it was the worst of times, it was the age of wisdom, it was the age "
    "of foolishness, it was the epoch of belief, it was the epoch of incredulity, it was the "
    "season of Light, it was the season of Darkness, it was the spring of hope, it was the winter "
    "of despair.",
    " ".join(f"{n} squared is {n * n}," for n in range(1, 121)),
]


def tiny_vocabulary():
    """200 entries: the five special ones, some words, and every letter and digit with its
    continuation, so that each word of ASCII letters has pieces."""
    words = ("the a cat sat on mat hello world and one two three four five six seven eight nine "
             "ten is it no rain sun warm today only second don stop believ real un know ##ing "
             "##ed ##er ##ly ##s ##known ##ny to of in for with that this be are was as at by "
             "from or an have not you we they he she his her its all can will would there their "
             "what so up out if about who get which go me "
             "when make like time just him know take people into year your good some could")
    signs = list("!\"#$%&'()*+,-./:;<=>?@[]_~")
    vocabulary = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    letters = "abcdefghijklmnopqrstuvwxyz0123456789"
    vocabulary += list(letters) + ["##" + c for c in letters] + signs
    vocabulary += [w for w in words.split() if w not in vocabulary]
    assert len(vocabulary) >= TINY["vocab_size"], len(vocabulary)
    return vocabulary[:TINY["vocab_size"]]


def make_tiny_tokenizer(path):
    vocabulary = {token: index for index, token in enumerate(tiny_vocabulary())}
    tokenizer = Tokenizer(models.WordPiece(vocabulary, unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS]:0 $A:0 [SEP]:0", pair="[CLS]:0 $A:0 [SEP]:0 $B:1 [SEP]:1",
        special_tokens=[("[CLS]", vocabulary["[CLS]"]), ("[SEP]", vocabulary["[SEP]"])])
    tokenizer.add_special_tokens(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"])
    tokenizer.save(str(path))


def make_tiny_model(folder):
    """Random weights that keep every part of the network in play: std 1/sqrt(K) for a matrix of
    depth K, biases away from zero, LayerNorm gains away from one."""
    generator = torch.Generator().manual_seed(20240607)
    model = BertModel(BertConfig(**TINY), add_pooling_layer=False)
    tensors = {}
    for name, value in model.state_dict().items():
        noise = torch.randn(value.shape, generator=generator)
        if name.endswith("LayerNorm.weight"):
            tensors[name] = 1 + 0.2 * noise
        elif name.endswith("bias"):
            tensors[name] = 0.1 * noise
        elif "embeddings" in name:
            tensors[name] = 0.5 * noise
        elif value.dim() == 2:
            tensors[name] = noise / value.shape[1] ** 0.5
        else:
            raise ValueError(name)
    folder.mkdir(parents=True, exist_ok=True)
    save_file({k: v.contiguous() for k, v in tensors.items()}, folder / "model.safetensors",
              metadata={"format": "pt"})
    write_json(folder / "config.json", dict(TINY, architectures=["BertModel"], model_type="bert",
                                            hidden_dropout_prob=0.1,
                                            attention_probs_dropout_prob=0.1,
                                            position_embedding_type="absolute"))
    write_json(folder / "tokenizer_config.json",
               dict(tokenizer_class="BertTokenizer", do_lower_case=True, model_max_length=64,
                    unk_token="[UNK]", sep_token="[SEP]", pad_token="[PAD]", cls_token="[CLS]",
                    mask_token="[MASK]"))
    write_json(folder / "sentence_bert_config.json", dict(max_seq_length=48, do_lower_case=False))
    write_json(folder / "modules.json", [
        dict(idx=0, name="0", path="", type="sentence_transformers.models.Transformer"),
        dict(idx=1, name="1", path="1_Pooling", type="sentence_transformers.models.Pooling"),
        dict(idx=2, name="2", path="2_Normalize", type="sentence_transformers.models.Normalize")])
    write_pooling(folder, "mean")
    make_tiny_tokenizer(folder / "tokenizer.json")


def write_json(path, value):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value, indent=2) + "\n")


def write_pooling(folder, mode):
    keys = dict(cls="cls_token", mean="mean_tokens", max="max_tokens", lasttoken="lasttoken",
                weightedmean="weightedmean_tokens")
    config = dict(word_embedding_dimension=TINY["hidden_size"])
    config.update({"pooling_mode_" + key: name == mode for name, key in keys.items()})
    write_json(folder / "1_Pooling" / "config.json", config)


def write_f32(path, arrays):
    """Concatenates the arrays, row-major, f32 little-endian, no header."""
    path.write_bytes(b"".join(np.ascontiguousarray(a, dtype="<f4").tobytes() for a in arrays))


def write_ids(path, rows):
    path.write_text("".join(" ".join(map(str, row)) + "\n" for row in rows))


def split_pair(line):
    return tuple(line.split("\t")) if "\t" in line else (line, None)


def pool(states, mode):
    """The pooling of sentence-transformers for one text without padding, then L2."""
    if mode == "cls":
        vector = states[0]
    elif mode == "mean":
        vector = states.mean(axis=0)
    elif mode == "max":
        vector = states.max(axis=0)
    elif mode == "lasttoken":
        vector = states[-1]
    else:
        weights = np.arange(1, len(states) + 1, dtype=np.float64)[:, None]
        vector = (states * weights).sum(axis=0) / weights.sum()
    return vector / np.linalg.norm(vector)


def encode(tokenizer, text, pair, max_length):
    args = (text,) if pair is None else (text, pair)
    row = tokenizer(*args, truncation="longest_first", max_length=max_length,
                    return_token_type_ids=True)
    return row["input_ids"], row["token_type_ids"]


def run(model, ids, types):
    with torch.no_grad():
        out = model(input_ids=torch.tensor([ids]), token_type_ids=torch.tensor([types]),
                    attention_mask=torch.ones(1, len(ids), dtype=torch.long),
                    output_hidden_states=True)
    return [state[0].numpy() for state in out.hidden_states]


def make_cases(folder, out, texts, max_length, modes):
    """texts, ids, types, states and pooled vectors of one model into out/; returns the vectors of
    the last mode."""
    tokenizer = AutoTokenizer.from_pretrained(folder)
    model = BertModel.from_pretrained(folder, add_pooling_layer=False).double().eval()
    out.mkdir(parents=True, exist_ok=True)
    (out / "texts.txt").write_text("".join(text + "\n" for text in texts))
    encoded = [encode(tokenizer, *split_pair(text), max_length) for text in texts]
    write_ids(out / "ids.txt", [ids for ids, _ in encoded])
    write_ids(out / "types.txt", [types for _, types in encoded])
    states = [run(model, ids, types) for ids, types in encoded]
    if len(modes) > 1:
        write_f32(out / "states.f32", [state for text in states for state in text])
    for mode in modes:
        vectors = np.stack([pool(text[-1], mode) for text in states])
        write_f32(out / f"{mode}.f32", [vectors])
    return vectors


def check_against_library(folder, out, texts, modes, set_mode):
    """sentence-transformers itself, in fp32, on the texts that are no pairs."""
    for mode in modes:
        set_mode(mode)
        reference = SentenceTransformer(str(folder), device="cpu")
        singles = [i for i, text in enumerate(texts) if "\t" not in text]
        vectors = reference.encode([texts[i] for i in singles], normalize_embeddings=True)
        expected = np.fromfile(out / f"{mode}.f32", dtype="<f4").reshape(len(texts), -1)[singles]
        worst = float(np.abs(vectors - expected).max())
        print(f"{folder.name} {mode}: max abs to sentence-transformers fp32 {worst:.1e}")
        assert worst < 1e-5, (mode, worst)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--minilm", type=pathlib.Path, required=True,
                        help="the folder of all-MiniLM-L6-v2")
    parser.add_argument("--out", type=pathlib.Path, default=pathlib.Path("tests/golden"))
    args = parser.parse_args()
    torch.manual_seed(1)

    tiny = args.out / "models" / "tiny-bert"
    make_tiny_model(tiny)
    make_cases(tiny, args.out / "tiny-bert", TINY_TEXTS, 48, POOLING)
    check_against_library(tiny, args.out / "tiny-bert", TINY_TEXTS, POOLING,
                          lambda mode: write_pooling(tiny, mode))
    write_pooling(tiny, "mean")

    make_cases(args.minilm, args.out / "minilm", MINILM_TEXTS, 256, ["mean"])
    check_against_library(args.minilm, args.out / "minilm", MINILM_TEXTS, ["mean"],
                          lambda mode: None)


if __name__ == "__main__":
    main()
