#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""tandem against transformers and sentence-transformers on the same folders.

    tools/compare_models.py [--lane cpu] [--longest N] [--texts FILE | --stsb FILE] MODEL...

By ids: random tokens in sequences of many lengths up to the model's limit, all in one request;
every token's state, the pooled or sparse vector, and a classifier's logits, against transformers
computed in double (in single over 512 tokens). By texts, where it can: against
sentence-transformers in single, with prompts, pairs and scores. Prints a line a model and data
type; exit status 1 if one misses its bar: f32: least cosine 0.999999, logits and scores within
1e-5 of the reference's, sparse weights within 2e-5; f16: mean cosine 0.99999; Spearman within 1e-4.

A model is a folder (of tools/make_real_shapes.py, or any other) or a name that is in the Hub's
cache. A folder that holds a folder `reference` is read from there by the reference; rope.json in
it overrides the rotary frequencies.
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
from huggingface_hub import snapshot_download
from sentence_transformers import CrossEncoder, SentenceTransformer, SparseEncoder

import bench_peers
import tandem_ctypes

transformers.utils.logging.disable_progress_bar()
ROOT = pathlib.Path(__file__).resolve().parent.parent
LENGTHS = [1, 2, 3, 7, 16, 17, 31, 64, 100, 128, 200, 256, 333, 384, 511, 512, 1024, 2048]
DOUBLE_MAX = 512  # tokens; longer sequences would take too long, and much memory
EMBED, EMBED_ALL, CLASSIFY, SPARSE = 0, 1, 2, 3
F32_COSINE_MIN, F32_SCORE_MAX, F32_WEIGHT_MAX, F16_COSINE_MEAN = 0.999999, 1e-5, 2e-5, 0.99999
SPEARMAN_MAX = 1e-4  # difference from the reference's


def read_json(path):
    return json.loads(path.read_text()) if path.exists() else {}


class Model:
    """What the folder says about itself."""

    def __init__(self, name):
        self.name, self.folder = name.rstrip("/").split("/")[-1], find(name)
        folder = self.folder
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
        self.is_sparse = any(m["type"].endswith("SpladePooling") for m in modules)
        self.has_texts = self.pooling or self.is_classifier or self.is_sparse

    def length_max(self):
        padding = {"roberta", "xlm-roberta", "camembert", "mpnet"}
        own = self.config.max_position_embeddings
        return own - 2 if self.config.model_type in padding else own

    def open_reference(self):
        kind = (transformers.AutoModelForSequenceClassification if self.is_classifier
                else transformers.AutoModelForMaskedLM if self.is_sparse
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


def splade(logits):
    return np.log1p(np.maximum(logits, 0.0)).max(0)


def reference_of_ids(model, rows):
    """{what: one array for all rows}"""
    network = model.open_reference()
    has_head = model.is_classifier or model.is_sparse
    states, vectors, heads = {}, {}, {}
    for i in sorted(range(len(rows)), key=lambda i: len(rows[i])):
        if len(rows[i]) > DOUBLE_MAX:
            network = network.float()
        ids = torch.from_numpy(rows[i].astype(np.int64))[None]
        given = dict(input_ids=ids, attention_mask=torch.ones_like(ids))
        with torch.no_grad():
            base = getattr(network, network.base_model_prefix) if has_head else network
            states[i] = base(**given).last_hidden_state[0].double().numpy()
            logits = network(**given).logits[0].double().numpy() if has_head else None
        vectors[i] = pool(states[i], model) if model.pooling else None
        heads[i] = splade(logits) if model.is_sparse else logits
    every = range(len(rows))
    found = {"tokens": np.concatenate([states[i] for i in every])}
    if model.pooling:
        found["vectors"] = np.stack([vectors[i] for i in every])
    if has_head:
        found["sparse" if model.is_sparse else "logits"] = np.stack([heads[i] for i in every])
    return found


def tandem_of_ids(model, engine, rows):
    found = {"tokens": engine.run(engine.prepare_ids(rows, task=EMBED_ALL)).copy()}
    if model.pooling:
        found["vectors"] = engine.run(engine.prepare_ids(rows)).copy()
    if model.is_classifier:
        request = engine.prepare_ids(rows, task=CLASSIFY, raw_scores=True)
        found["logits"] = engine.run(request).copy()
    if model.is_sparse:
        request = engine.prepare_ids(rows, task=SPARSE)
        found["sparse"] = engine.run_sparse(request, model.config.vocab_size)
    return found


def read_texts(path):
    """Sentences, and some of them joined until they are longer than many models take."""
    lines = [line for line in path.read_text().splitlines() if line.strip()]
    return lines + [" ".join(lines[i:i + n]) for n in (3, 10, 40) for i in range(0, len(lines), n)]


def reference_of_texts(model, texts):
    """{what: one array for all texts}"""
    folder = str(model.reference)
    if model.is_classifier:
        encoder = CrossEncoder(folder, device="cpu")
        pairs = list(zip(texts, reversed(texts)))
        logits = encoder.predict(pairs, batch_size=8, activation_fn=torch.nn.Identity())
        scores = encoder.predict(pairs, batch_size=8)
        return {"logits of pairs": logits.reshape(len(texts), -1),
                "scores of pairs": scores.reshape(len(texts), -1)}
    if model.is_sparse:
        encoder = SparseEncoder(folder, device="cpu")
        return {"sparse of texts": encoder.encode(texts, batch_size=8,
                                                  convert_to_sparse_tensor=False).numpy()}
    encoder = SentenceTransformer(folder, device="cpu")
    model.turn_rope(encoder[0].auto_model)
    names = [name for name, text in encoder.prompts.items() if text]
    found = {"texts": encoder.encode(texts, batch_size=8)}
    return found | {f"prompt {name}": encoder.encode(texts, batch_size=8, prompt_name=name)
                    for name in names}


def tandem_of_texts(model, engine, texts):
    if model.is_classifier:
        pairs = list(reversed(texts))
        requests = {"logits of pairs": dict(raw_scores=True), "scores of pairs": {}}
        return {what: engine.run(engine.prepare_texts(texts, pairs, task=CLASSIFY, **more)).copy()
                for what, more in requests.items()}
    if model.is_sparse:
        request = engine.prepare_texts(texts, task=SPARSE)
        return {"sparse of texts": engine.run_sparse(request, model.config.vocab_size)}
    prompts = read_json(model.folder / "config_sentence_transformers.json").get("prompts", {})
    found = {"texts": engine.embed(texts)}
    for name, text in prompts.items():
        if text:
            request = engine.prepare_texts(texts, prompt_name=name.encode())
            found[f"prompt {name}"] = engine.run(request).copy()
    return found


class Report:
    """The figures of one model and data type: a line."""

    def __init__(self):
        self.cosine_min, self.means, self.notes = 1.0, [], []
        self.score_max = self.weight_max = self.spearman = 0.0

    def add(self, what, got, expected):
        is_score = what.startswith(("logits", "scores"))
        if is_score or what.startswith("sparse"):
            worst = np.abs(got.astype(np.float64) - expected).max()
            if is_score:
                self.score_max = max(worst, self.score_max)
            else:
                self.weight_max = max(worst, self.weight_max)
            self.notes.append(f"{what} {worst:.1e}")
        if not is_score:
            cosine = bench_peers.cosines(got, expected)
            self.cosine_min = min(self.cosine_min, cosine.min())
            self.means.append(cosine.mean())
            self.notes.append(f"{what} {cosine.min():.9f}")

    def add_spearman(self, got, expected, scores):
        ours, theirs = (bench_peers.spearman(vectors, scores) for vectors in (got, expected))
        self.spearman = abs(ours - theirs)
        self.notes.append(f"Spearman {ours:.5f}, the reference's {theirs:.5f}")

    def passes(self, dtype):
        if not self.spearman <= SPEARMAN_MAX:
            return False
        if dtype != "f32":
            return min(self.means) >= F16_COSINE_MEAN
        return (self.cosine_min >= F32_COSINE_MIN and self.score_max <= F32_SCORE_MAX
                and self.weight_max <= F32_WEIGHT_MAX)


def compare(name, arguments, texts, scores):
    """Prints the model's lines; whether all pass."""
    model = Model(name)
    rows = draw_ids(model, arguments.longest)
    expected = reference_of_ids(model, rows)
    gc.collect()
    if model.has_texts:
        expected |= reference_of_texts(model, texts)
    gc.collect()
    names = ("libtandem.so", "libtandem.dylib")
    library = next(path for path in map(arguments.build.joinpath, names) if path.exists())
    is_passed = True
    for dtype in arguments.dtype.split(","):
        engine = tandem_ctypes.Engine(library, model.folder, dtype, arguments.threads,
                                      arguments.lane)
        got = tandem_of_ids(model, engine, rows)
        if model.has_texts:
            got |= tandem_of_texts(model, engine, texts)
        engine.close()
        report = Report()
        for what, values in expected.items():
            report.add(what, got[what], values)
        if scores is not None and "texts" in expected:
            report.add_spearman(got["texts"], expected["texts"], scores)
        passes = report.passes(dtype)
        is_passed = is_passed and passes
        print(f"{'pass' if passes else 'FAIL'}  {model.name:<34} {model.config.model_type:<12} "
              f"{arguments.lane} {dtype}  lengths 1-{max(map(len, rows))}  "
              f"cosine {report.cosine_min:.9f}  "
              f"scores {max(report.score_max, report.weight_max):.1e}  "
              f"({', '.join(report.notes)})", flush=True)
    return is_passed


def find(name):
    if pathlib.Path(name).is_dir():
        return pathlib.Path(name)
    return pathlib.Path(snapshot_download(name, local_files_only=True))


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
    parser.add_argument("--stsb", type=pathlib.Path, help="stsb-en-test.csv: its sentences")
    parser.add_argument("models", nargs="+", metavar="MODEL")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    tandem_ctypes.check_layout(ROOT / "include")
    texts, scores = read_texts(arguments.texts), None
    if arguments.stsb:
        texts, scores = bench_peers.read_sts(arguments.stsb)
    results = [compare(name, arguments, texts, scores) for name in arguments.models]
    sys.exit(0 if all(results) else 1)


if __name__ == "__main__":
    main()
