#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""tandem against transformers and sentence-transformers on the same folders.

    tools/compare_models.py [--lane cpu] [--longest N] [--texts FILE] FOLDER...

By ids: random tokens in sequences of many lengths up to the model's limit, all in one request;
every token's state, the pooled vector, and a classifier's logits, against transformers computed in
double (in single over 512 tokens). By texts, where the folder has a tokenizer: against
sentence-transformers in single, prompts and pairs included. Prints a line a model and data type;
exit status 1 if one misses its bar: f32: least cosine 0.999999, logits within 1e-5 of the
reference's; f16: mean cosine 0.99999.

Folders come from tools/make_real_shapes.py or anywhere else. One that holds a folder `reference` is
read from there by the reference; rope.json in it overrides the rotary frequencies.
"""
import argparse
import gc
import json
import os
import pathlib
import sys

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "true")

import numpy as np
import torch
import transformers
import transformers.utils.logging
from sentence_transformers import CrossEncoder, SentenceTransformer

import tandem_ctypes

transformers.utils.logging.disable_progress_bar()
ROOT = pathlib.Path(__file__).resolve().parent.parent
LENGTHS = [1, 2, 3, 7, 16, 17, 31, 64, 100, 128, 200, 256, 333, 384, 511, 512, 1024, 2048]
DOUBLE_MAX = 512  # tokens; longer sequences would take too long, and much memory
EMBED, EMBED_ALL, CLASSIFY = 0, 1, 2
F32_COSINE_MIN, F32_SCORE_MAX, F16_COSINE_MEAN = 0.999999, 1e-5, 0.99999


def read_json(path):
    return json.loads(path.read_text()) if path.exists() else {}


def cosines(a, b):
    a, b = a.astype(np.float64), b.astype(np.float64)
    return (a * b).sum(1) / np.linalg.norm(a, axis=1) / np.linalg.norm(b, axis=1)


class Model:
    """What the folder says about itself."""

    def __init__(self, folder):
        self.folder = folder
        self.reference = folder / "reference" if (folder / "reference").is_dir() else folder
        self.config = transformers.AutoConfig.from_pretrained(self.reference)
        architecture = (self.config.architectures or [""])[0]
        self.is_classifier = architecture.endswith("ForSequenceClassification")
        pooling = read_json(folder / "1_Pooling" / "config.json")
        self.pooling = next((mode for mode in ("cls", "mean", "max", "lasttoken")
                             for key, is_set in pooling.items()
                             if is_set is True and f"_{mode}_" in key + "_"), None)
        modules = read_json(folder / "modules.json")
        self.is_normalized = any(m["type"].endswith("Normalize") for m in modules)
        self.has_tokenizer = (folder / "tokenizer.json").exists()
        self.has_texts = self.has_tokenizer and (self.pooling or self.is_classifier)

    def length_max(self):
        padding = {"roberta", "xlm-roberta", "camembert", "mpnet"}
        own = self.config.max_position_embeddings
        return own - 2 if self.config.model_type in padding else own

    def open_reference(self):
        kind = (transformers.AutoModelForSequenceClassification if self.is_classifier
                else transformers.AutoModel)
        model = kind.from_pretrained(self.reference, dtype=torch.float64).eval()
        self.turn_rope(model)
        return model

    def turn_rope(self, network):
        """Frequencies that transformers has no word for."""
        rope = read_json(self.reference / "rope.json")
        if not rope:
            return
        half = torch.arange(0, self.config.hidden_size // self.config.num_attention_heads, 2)
        frequencies = rope["scale"] * rope["base"] ** (-half.double() / (2 * len(half)))
        rotary = network.get_submodule("rotary_emb")
        rotary.inv_freq = frequencies.to(rotary.inv_freq.dtype)


def draw_ids(model, longest):
    """Ids that no family takes for padding, in shuffled lengths up to the limit."""
    generator = np.random.default_rng(7)
    limit = min(model.length_max(), max(longest, 2048))
    lengths = sorted({n for n in LENGTHS + [limit] if n <= limit})
    vocab = model.config.vocab_size
    return [generator.integers(5, vocab, n) for n in generator.permutation(lengths)]


def pool(states, model):
    vector = states[0] if model.pooling == "cls" else states.mean(0)
    return vector / np.linalg.norm(vector) if model.is_normalized else vector


def reference_of_ids(model, rows):
    """([T, H] states, [B, H] vectors, [B, labels] logits), None what the model lacks."""
    network = model.open_reference()
    states, vectors, logits = {}, {}, {}
    order = sorted(range(len(rows)), key=lambda i: len(rows[i]))
    for i in order:
        if len(rows[i]) > DOUBLE_MAX:
            network = network.float()
        ids = torch.from_numpy(rows[i].astype(np.int64))[None]
        given = dict(input_ids=ids, attention_mask=torch.ones_like(ids))
        with torch.no_grad():
            base = getattr(network, network.base_model_prefix) if model.is_classifier else network
            states[i] = base(**given).last_hidden_state[0].double().numpy()
            if model.is_classifier:
                logits[i] = network(**given).logits[0].double().numpy()
        vectors[i] = pool(states[i], model) if model.pooling else None
    every = range(len(rows))
    return (np.concatenate([states[i] for i in every]),
            np.stack([vectors[i] for i in every]) if model.pooling else None,
            np.stack([logits[i] for i in every]) if model.is_classifier else None)


def read_texts(path):
    """Sentences, some of them joined until they are longer than most models take."""
    lines = [line for line in path.read_text().splitlines() if line.strip()]
    joined = [" ".join(lines[i:i + n]) for n in (3, 10, 40) for i in range(0, len(lines), n)]
    return (lines + joined)[:160]


def reference_of_texts(model, texts):
    """(vectors or logits) in the order in which tandem_of_texts asks for them."""
    folder = str(model.reference)
    if model.is_classifier:
        encoder = CrossEncoder(folder, device="cpu")
        pairs = list(zip(texts, reversed(texts)))
        scores = encoder.predict(pairs, batch_size=8, activation_fn=torch.nn.Identity())
        return [scores.reshape(len(texts), -1)]
    encoder = SentenceTransformer(folder, device="cpu")
    model.turn_rope(encoder[0].auto_model)
    names = [None] + [name for name, text in encoder.prompts.items() if text]
    return [encoder.encode(texts, batch_size=8, prompt_name=name) for name in names]


def tandem_of_texts(model, engine, texts):
    if model.is_classifier:
        request = engine.prepare_texts(texts, list(reversed(texts)), task=CLASSIFY)
        return [engine.run(request).copy()]
    prompts = read_json(model.folder / "config_sentence_transformers.json").get("prompts", {})
    names = [None] + [name.encode() for name, text in prompts.items() if text]
    return [engine.run(engine.prepare_texts(texts, prompt_name=name)).copy() for name in names]


class Report:
    """The figures of one model and data type: a line."""

    def __init__(self):
        self.cosine_min, self.means, self.score_max, self.notes = 1.0, [], None, []

    def vectors(self, what, got, expected):
        cosine = cosines(got, expected)
        self.cosine_min = min(self.cosine_min, cosine.min())
        self.means.append(cosine.mean())
        self.notes.append(f"{what} {cosine.min():.9f}")

    def scores(self, what, got, expected):
        worst = np.abs(got.astype(np.float64) - expected).max()
        self.score_max = max(worst, self.score_max or 0.0)
        self.notes.append(f"{what} {worst:.1e}")

    def passes(self, dtype):
        if dtype != "f32":
            return min(self.means) >= F16_COSINE_MEAN
        return self.cosine_min >= F32_COSINE_MIN and (self.score_max or 0.0) <= F32_SCORE_MAX


def measure(model, engine, rows, by_ids, texts, by_texts):
    report = Report()
    states, vectors, logits = by_ids
    report.vectors("tokens", engine.run(engine.prepare_ids(rows, task=EMBED_ALL)), states)
    if vectors is not None:
        report.vectors("vectors", engine.run(engine.prepare_ids(rows)), vectors)
    if logits is not None:
        report.scores("logits", engine.run(engine.prepare_ids(rows, task=CLASSIFY)), logits)
    if by_texts is not None:
        for got, expected in zip(tandem_of_texts(model, engine, texts), by_texts, strict=True):
            if model.is_classifier:
                report.scores("pairs of texts", got, expected)
            else:
                report.vectors("texts", got, expected)
    return report


def compare(folder, arguments, texts):
    """Prints the model's lines; whether all pass."""
    model = Model(folder)
    rows = draw_ids(model, arguments.longest)
    by_ids = reference_of_ids(model, rows)
    gc.collect()
    by_texts = reference_of_texts(model, texts) if model.has_texts else None
    gc.collect()
    names = ("libtandem.so", "libtandem.dylib")
    library = next(path for path in map(arguments.build.joinpath, names) if path.exists())
    is_passed = True
    for dtype in arguments.dtype.split(","):
        engine = tandem_ctypes.Engine(library, folder, dtype, arguments.threads, arguments.lane)
        report = measure(model, engine, rows, by_ids, texts, by_texts)
        engine.close()
        passes = report.passes(dtype)
        is_passed = is_passed and passes
        score = "-" if report.score_max is None else f"{report.score_max:.1e}"
        print(f"{'pass' if passes else 'FAIL'}  {folder.name:<34} {model.config.model_type:<12} "
              f"{arguments.lane} {dtype}  lengths 1-{max(map(len, rows))}  "
              f"cosine {report.cosine_min:.9f}  scores {score}  ({', '.join(report.notes)})",
              flush=True)
    return is_passed


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--build", type=pathlib.Path, default=ROOT / "build" / "release")
    parser.add_argument("--lane", default="cpu")
    parser.add_argument("--dtype", default="f32,f16")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--longest", type=int, default=2048,
                        help="most tokens of a sequence, where the model takes as many")
    parser.add_argument("--texts", type=pathlib.Path,
                        default=ROOT / "tests/golden/minilm/texts.txt", help="a text a line")
    parser.add_argument("folders", nargs="+", type=pathlib.Path, metavar="FOLDER")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    tandem_ctypes.check_layout(ROOT / "include")
    texts = read_texts(arguments.texts)
    results = [compare(folder, arguments, texts) for folder in arguments.folders]
    sys.exit(0 if all(results) else 1)


if __name__ == "__main__":
    main()
