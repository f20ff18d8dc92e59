#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Makes tiny models of sentence-transformers with every kind of head and module, and what it
computes with them: tests/golden/models/tiny-{splade,rerank,labels,modules} and tests/golden/heads.

    tools/make_head_golden.py [--golden tests/golden]

Run it in the virtual environment of tools/peers.txt, after tools/make_golden.py: tokenizer and
texts are tiny-bert's. The files are committed: this is needed only when a head or module is added.
"""
import argparse
import json
import pathlib
import shutil
import tempfile

import numpy as np
import torch
import transformers
from sentence_transformers import CrossEncoder, SentenceTransformer, SparseEncoder
from sentence_transformers.base.modules import Dense, Normalize, Transformer
from sentence_transformers.sentence_transformer.modules import LayerNorm, Pooling
from sentence_transformers.sparse_encoder.modules import SpladePooling

SIZES = dict(vocab_size=200, hidden_size=32, num_hidden_layers=2, num_attention_heads=4,
             intermediate_size=48, max_position_embeddings=64, type_vocab_size=2)
LABELS = {0: "no", 1: "perhaps", 2: "yes"}
PROMPTS = {"count": "one two three: "}
F32 = {"dtype": torch.float32}
TOKENIZER = ["tokenizer.json", "tokenizer_config.json"]


def draw(model, seed):
    """Weights in which an error shows, as in make_family_golden.py, and exact in f16."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, parameter in sorted(model.named_parameters()):
            if parameter.dim() == 2:
                value = torch.randn(parameter.shape, generator=generator)
                value = value / np.sqrt(parameter.shape[1])
            else:
                value = torch.rand(parameter.shape, generator=generator) * 0.4 - 0.2
                if "norm" in name.lower() and name.endswith("weight"):
                    value = value + 1.0
            parameter.copy_(value.half().to(parameter.dtype))


def save_plain(kind, folder, golden, seed, **config):
    """A folder as transformers saves it, with the tokenizer of tiny-bert."""
    settings = transformers.BertConfig(**SIZES, **config)
    model = getattr(transformers, kind).from_config(settings)
    draw(model, seed)
    shutil.rmtree(folder, ignore_errors=True)
    model.half().save_pretrained(folder)
    for name in TOKENIZER:
        shutil.copyfile(golden / "models/tiny-bert" / name, folder / name)
    clean(folder)


def clean(folder):
    """Leaves out what no test reads, and versions, which change."""
    for path in folder.rglob("*"):
        if path.name in ("README.md", "special_tokens_map.json", "vocab.txt"):
            path.unlink()
        elif path.suffix == ".json" and path.name != "tokenizer.json":
            value = json.loads(path.read_text())
            if isinstance(value, dict):
                value.pop("transformers_version", None)
                value.pop("__version__", None)
            path.write_text(json.dumps(value, indent=2) + "\n")


def save_modules(model, folder, golden):
    """As sentence-transformers saves it. Its tokenizer.json carries padding and truncation of its
    own; the original says the same to tandem, and to the reader."""
    shutil.rmtree(folder, ignore_errors=True)
    model.half().save(str(folder), create_model_card=False)
    for name in TOKENIZER:
        shutil.copyfile(golden / "models/tiny-bert" / name, folder / name)
    clean(folder)


def write(path, values):
    path.parent.mkdir(parents=True, exist_ok=True)
    np.ascontiguousarray(values, dtype="<f4").tofile(path)


def make_splade(golden, texts):
    folder = golden / "models/tiny-splade"
    with tempfile.TemporaryDirectory() as plain:
        plain = pathlib.Path(plain)
        save_plain("AutoModelForMaskedLM", plain, golden, 1)
        save_modules(SparseEncoder(modules=[
            Transformer(str(plain), transformer_task="fill-mask", model_kwargs=F32,
                        max_seq_length=48),
            SpladePooling("max")], device="cpu"), folder, golden)
    model = SparseEncoder(str(folder), model_kwargs=F32, device="cpu")
    write(golden / "heads/splade.f32",
          model.encode(texts, convert_to_sparse_tensor=False).numpy())


def make_rerank(golden, texts):
    folder = golden / "models/tiny-rerank"
    with tempfile.TemporaryDirectory() as plain:
        plain = pathlib.Path(plain)
        save_plain("AutoModelForSequenceClassification", plain, golden, 2, num_labels=1)
        save_modules(CrossEncoder(str(plain), model_kwargs=F32, device="cpu", max_length=48),
                     folder, golden)
    model = CrossEncoder(str(folder), model_kwargs=F32, device="cpu")
    pairs = [(texts[0], text) for text in texts]
    write(golden / "heads/rerank.f32", model.predict(pairs))
    write(golden / "heads/rerank_raw.f32", model.predict(pairs, activation_fn=torch.nn.Identity()))


def make_labels(golden, texts):
    folder = golden / "models/tiny-labels"
    save_plain("AutoModelForSequenceClassification", folder, golden, 3, id2label=LABELS,
               label2id={v: k for k, v in LABELS.items()})
    pipe = transformers.pipeline("text-classification", str(folder), dtype=torch.float32,
                                 device="cpu")
    order = {label: i for i, label in LABELS.items()}
    rows = np.zeros((len(texts), len(LABELS)))
    for i, answer in enumerate(pipe(texts, top_k=None)):
        for item in answer:
            rows[i, order[item["label"]]] = item["score"]
    write(golden / "heads/labels.f32", rows)


def make_modules(golden, texts):
    folder = golden / "models/tiny-modules"
    with tempfile.TemporaryDirectory() as plain:
        plain = pathlib.Path(plain)
        save_plain("AutoModel", plain, golden, 4)
        width = 3 * SIZES["hidden_size"]
        modules = [
            Transformer(str(plain), model_kwargs=F32, max_seq_length=48),
            Pooling(SIZES["hidden_size"], ("max", "cls", "weightedmean"), include_prompt=False),
            LayerNorm(width),
            Normalize(),
            Dense(width, 40, activation_function=torch.nn.Sigmoid(), use_residual=True),
            Dense(40, 40, bias=False, activation_function=torch.nn.LeakyReLU(),
                  use_residual=True),
            Dense(40, 24, activation_function=torch.nn.Softplus()),
            Normalize()]
        for index, module in enumerate(modules[2:]):
            draw(module, 40 + index)
        save_modules(SentenceTransformer(modules=modules, device="cpu", prompts=PROMPTS), folder,
                     golden)
    model = SentenceTransformer(str(folder), model_kwargs=F32, device="cpu").float()
    write(golden / "heads/modules.f32", model.encode(texts))
    write(golden / "heads/modules_prompt.f32", model.encode(texts, prompt_name="count"))


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--golden", type=pathlib.Path, default=pathlib.Path("tests/golden"))
    parser.add_argument("models", nargs="*", default=["splade", "rerank", "labels", "modules"])
    arguments = parser.parse_args()
    lines = (arguments.golden / "tiny-bert/texts.txt").read_text().split("\n")
    texts = [line for line in lines[:-1] if "\t" not in line]
    for name in arguments.models:
        globals()["make_" + name](arguments.golden, texts)
        print(name, len(texts), "texts")


if __name__ == "__main__":
    main()
