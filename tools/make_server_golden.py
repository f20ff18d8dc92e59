#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Makes tests/golden/server.json: what sentence-transformers gives in f32 (for the classifier
transformers' pipeline) for the texts that the tests of the server send, from all-MiniLM-L6-v2 and
from the tiny models of tests/golden/models.

    tools/make_server_golden.py MINILM_FOLDER [--golden tests/golden]

Run it in the virtual environment of tools/peers.txt. The file is committed: this is needed only
when a test sends another text.
"""
import argparse
import json
import pathlib

import torch
import transformers
from sentence_transformers import CrossEncoder, SentenceTransformer, SparseEncoder

TEXTS = ["The cat sits outside.", "A man is playing guitar.", "naïve café — “quoted” … and €42.50",
         "東京は日本の首都です。"]
TINY_TEXTS = ["the cat sat on the mat", "Hello, World!", "one two three four five six seven",
              "don't stop, believing... (really) 42%"]
F32 = {"model_kwargs": {"dtype": torch.float32}, "device": "cpu"}


def rows(values):
    """Seven digits and more: an f32 differs by less than half a unit of its last place."""
    if isinstance(values, (list, tuple)):
        return [rows(value) for value in values]
    if hasattr(values, "tolist"):
        return rows(values.tolist())
    return float(f"{values:.8g}")


def classes(pipe, function):
    return [{item["label"]: rows(item["score"]) for item in answer}
            for answer in pipe(TINY_TEXTS, top_k=None, function_to_apply=function)]


def of_minilm(folder):
    model = SentenceTransformer(str(folder), **F32)
    plain = SentenceTransformer(modules=[model[0], model[1]], device="cpu")
    unit = model.encode(TEXTS)
    return {
        "texts": TEXTS,
        "ids": model.tokenizer(TEXTS)["input_ids"],
        "unit": rows(unit),
        "plain": rows(plain.encode(TEXTS)),
        "unit_64": rows(model.encode(TEXTS, truncate_dim=64, normalize_embeddings=True)),
        "similarity": rows(model.similarity(unit[:1], unit[1:])[0])}


def of_tiny(models):
    bert = SentenceTransformer(str(models / "tiny-bert"), **F32)
    modules = SentenceTransformer(str(models / "tiny-modules"), **F32).float()
    rerank = CrossEncoder(str(models / "tiny-rerank"), **F32)
    labels = transformers.pipeline("text-classification", str(models / "tiny-labels"),
                                   dtype=torch.float32, device="cpu")
    splade = SparseEncoder(str(models / "tiny-splade"), **F32)
    pairs = [(TINY_TEXTS[0], text) for text in TINY_TEXTS]
    sparse = splade.encode(TINY_TEXTS, convert_to_sparse_tensor=False)
    return {
        "texts": TINY_TEXTS,
        "ids": bert.tokenizer(TINY_TEXTS)["input_ids"],
        "tokens": rows(bert.encode(TINY_TEXTS, output_value="token_embeddings")),
        "unit": rows(bert.encode(TINY_TEXTS, normalize_embeddings=True)),
        "modules": rows(modules.encode(TINY_TEXTS)),
        "modules_prompt": rows(modules.encode(TINY_TEXTS, prompt_name="count")),
        "rerank": rows(rerank.predict(pairs)),
        "rerank_raw": rows(rerank.predict(pairs, activation_fn=torch.nn.Identity())),
        "classes": classes(labels, "softmax"),
        "classes_raw": classes(labels, "none"),
        "sparse": [[[i, rows(row[i])] for i in row.nonzero().flatten().tolist()]
                   for row in sparse]}


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n", maxsplit=1)[0])
    parser.add_argument("minilm", type=pathlib.Path)
    parser.add_argument("--golden", type=pathlib.Path, default=pathlib.Path("tests/golden"))
    args = parser.parse_args()
    golden = {"minilm": of_minilm(args.minilm), "tiny": of_tiny(args.golden / "models")}
    parts = []
    for name, values in golden.items():
        fields = ",\n".join(f"  {json.dumps(key)}: {json.dumps(value, ensure_ascii=False)}"
                            for key, value in values.items())
        parts.append(f"{json.dumps(name)}: {{\n{fields}\n}}")
    (args.golden / "server.json").write_text("{" + ",\n".join(parts) + "}\n", encoding="utf-8")


if __name__ == "__main__":
    main()
