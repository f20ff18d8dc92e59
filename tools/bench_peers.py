#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""tandem beside sentence-transformers and ONNX Runtime, on this machine, in this run.

    make bench-peers [STSB=stsb-en-test.csv]

How the figures are taken (docs/perf/method.md): both sides live in one process and take turns in
short blocks; each block gives one ratio, and what is printed is the median of the ratios with their
quartiles. Between two blocks everybody sleeps, so that no thread that still spins for its next task
takes a core from the other side. ONNX Runtime gets its best: all graph optimisations, the faster of
the plain exported graph and the one fused by its own transformer optimiser, its best batch size,
texts sorted by length; its pooling is not even timed where ids go in.
"""
import argparse
import csv
import json
import os
import pathlib
import subprocess
import sys
import tempfile
import time

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "true")
os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")

import numpy as np
import onnxruntime
import scipy.stats
import torch
from onnxruntime.transformers import optimizer
from sentence_transformers import SentenceTransformer
from tokenizers import Tokenizer
from transformers import BertModel

import transformers.utils.logging

import tandem_ctypes

transformers.utils.logging.disable_progress_bar()
ROOT = pathlib.Path(__file__).resolve().parent.parent
MODEL = "sentence-transformers/all-MiniLM-L6-v2"
INPUTS = ["input_ids", "attention_mask", "token_type_ids"]
SLEEP_S = 0.02  # longer than any engine here spins
MEBI = 1 << 20


# Starts a program and says how long it ran and what it took. A process of its own, because Linux
# counts the memory of whoever starts a program into that program's peak, and this one is large.
LAUNCHER = """
import json, os, sys, time
start = time.perf_counter()
child = os.posix_spawn(sys.argv[1], sys.argv[1:], os.environ,
                       file_actions=[(os.POSIX_SPAWN_OPEN, 1, "/dev/null", os.O_WRONLY, 0)])
_, status, usage = os.wait4(child, 0)
print(json.dumps([status, time.perf_counter() - start, usage.ru_maxrss]))
"""


has_goals = True  # they are of all-MiniLM-L6-v2


def row(what, value, goal=""):
    print(f"| {what} | {value} | {goal if goal and has_goals else ''} |", flush=True)


def spread(values, digits=3):
    low, middle, high = np.percentile(values, [25, 50, 75])
    return f"{middle:.{digits}f} ({low:.{digits}f} to {high:.{digits}f})"


# The peers.

class OnnxRuntime:
    """The BERT of the folder in fp32, exported from the same weights."""

    def __init__(self, folder, work, threads):
        plain, fused = work / "plain.onnx", work / "fused.onnx"
        model = BertModel.from_pretrained(folder, add_pooling_layer=False,
                                          attn_implementation="eager").eval()
        self._export(model, plain)
        config = model.config
        optimizer.optimize_model(str(plain), model_type="bert",
                                 num_heads=config.num_attention_heads,
                                 hidden_size=config.hidden_size).save_model_to_file(str(fused))
        self.hidden = config.hidden_size
        pooling = json.loads((folder / "1_Pooling" / "config.json").read_text())
        self.is_cls = pooling.get("pooling_mode_cls_token", False)
        self.sessions = [self._session(path, threads) for path in (plain, fused)]
        self.session = self.sessions[0]
        self.tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
        self.tokenizer.enable_truncation(256)
        self.tokenizer.enable_padding()

    @staticmethod
    def _export(model, path):
        example = torch.ones(2, 16, dtype=torch.long)
        axes = {name: {0: "batch", 1: "tokens"} for name in INPUTS + ["states"]}
        wrapper = OnlyStates(model)
        torch.onnx.export(wrapper, (example, example, example), str(path), dynamo=False,
                          opset_version=17, input_names=INPUTS, output_names=["states"],
                          dynamic_axes=axes)

    @staticmethod
    def _session(path, threads):
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_ALL
        return onnxruntime.InferenceSession(str(path), options,
                                            providers=["CPUExecutionProvider"])

    def choose_session(self, ids):
        """Takes the graph that is faster on this input."""
        feed = self.feed(ids)
        for session in self.sessions:
            session.run(None, feed)
        times = [min(timed(lambda s=s: s.run(None, feed)) for _ in range(15))
                 for s in self.sessions]
        self.session = self.sessions[int(np.argmin(times))]

    @staticmethod
    def feed(ids):
        ids = np.asarray(ids, dtype=np.int64).reshape(1, -1)
        return dict(zip(INPUTS, [ids, np.ones_like(ids), np.zeros_like(ids)]))

    def embed(self, texts, batch):
        order = sorted(range(len(texts)), key=lambda i: len(texts[i]))
        vectors = np.empty((len(texts), self.hidden), dtype=np.float32)
        for start in range(0, len(order), batch):
            part = order[start:start + batch]
            rows = self.tokenizer.encode_batch([texts[i] for i in part])
            mask = np.array([r.attention_mask for r in rows], dtype=np.int64)
            ids = np.array([r.ids for r in rows], dtype=np.int64)
            states, = self.session.run(None, dict(zip(INPUTS, [ids, mask, np.zeros_like(ids)])))
            pooled = (states[:, 0] if self.is_cls else
                      (states * mask[:, :, None]).sum(1) / mask.sum(1, keepdims=True))
            vectors[part] = pooled / np.linalg.norm(pooled, axis=1, keepdims=True)
        return vectors


class OnlyStates(torch.nn.Module):
    def __init__(self, model):
        super().__init__()
        self.model = model

    def forward(self, ids, mask, types):
        return self.model(input_ids=ids, attention_mask=mask,
                          token_type_ids=types).last_hidden_state


# Timing.

def timed(function):
    start = time.perf_counter()
    function()
    return time.perf_counter() - start


def settle():
    time.sleep(SLEEP_S)


def paired(sides, blocks, repeat):
    """Interleaved blocks: {name: seconds of one call in each block}. The order turns from block to
    block; a block is one call to warm the caches and the median of `repeat` more."""
    times = {name: [] for name in sides}
    names = list(sides)
    for block in range(blocks):
        for name in names if block % 2 == 0 else reversed(names):
            settle()
            if repeat > 1:
                sides[name]()
            times[name].append(float(np.median([timed(sides[name]) for _ in range(repeat)])))
    return {name: np.array(values) for name, values in times.items()}


# The rows of the table.

def read_sts(path):
    with open(path, newline="", encoding="utf-8") as file:
        rows = [(a, b, float(score)) for a, b, score in csv.reader(file)]
    return [r[0] for r in rows] + [r[1] for r in rows], np.array([r[2] for r in rows])


def spearman(vectors, scores):
    half = len(scores)
    return scipy.stats.spearmanr(cosines(vectors[:half], vectors[half:]), scores).statistic


def cosines(a, b):
    a, b = a.astype(np.float64), b.astype(np.float64)
    return (a * b).sum(1) / np.linalg.norm(a, axis=1) / np.linalg.norm(b, axis=1)


def quality(engines, reference, texts, scores):
    expected = reference.encode(texts, batch_size=32, normalize_embeddings=True)
    row("Spearman, sentence-transformers fp32", f"{spearman(expected, scores):.5f}", "0.82032")
    for dtype, engine in engines.items():
        vectors = engine.embed(texts)
        cosine = cosines(vectors, expected)
        worst = np.abs(vectors - expected).max()
        exact = dtype == "f32"
        row(f"{dtype}: cosine with it, least", f"{cosine.min():.8f}", "0.999999" if exact else "")
        row(f"{dtype}: cosine with it, mean", f"{cosine.mean():.8f}", "" if exact else "0.99999")
        row(f"{dtype}: largest difference", f"{worst:.1e}", "2e-5" if exact else "")
        row(f"{dtype}: Spearman", f"{spearman(vectors, scores):.5f}", "0.82032" if exact else "")


def latency(engines, onnx, blocks):
    generator = np.random.default_rng(1)
    for tokens, goals in ((128, {"f16": 0.9, "f32": 1.0}), (16, {"f16": 0.7, "f32": None})):
        ids = generator.integers(1000, 28000, tokens)
        ids[0], ids[-1] = 101, 102
        onnx.choose_session(ids)
        feed = onnx.feed(ids)
        sides = {"onnx": lambda f=feed: onnx.session.run(None, f)}
        for dtype, engine in engines.items():
            request = engine.prepare_ids([ids])
            sides[dtype] = lambda e=engine, r=request: e.run(r)
        times = paired(sides, blocks, 15 if tokens > 64 else 40)
        row(f"b1 s{tokens}, ONNX Runtime fp32, ms", spread(times["onnx"] * 1e3))
        for dtype in engines:
            row(f"b1 s{tokens}, {dtype}, ms", spread(times[dtype] * 1e3))
            row(f"b1 s{tokens}, {dtype}: its time over ONNX Runtime's",
                spread(times[dtype] / times["onnx"]), goals[dtype] and f"at most {goals[dtype]}")


def throughput(engines, reference, onnx, texts, blocks):
    """Text in, vectors out. A block is a quarter of the texts, drawn anew."""
    generator = np.random.default_rng(2)
    batch_sizes = [4, 8, 16, 32, 64]
    onnx.choose_session([101] + [2000] * 14 + [102])
    sample = texts[:256]
    trial = {batch: min(timed(lambda b=batch: onnx.embed(sample, b)) for _ in range(3))
             for batch in batch_sizes}
    batch = min(trial, key=trial.get)
    names = list(engines) + ["onnx", "st"]
    times = {name: [] for name in names}
    for block in range(blocks):
        drawn = [texts[i] for i in generator.permutation(len(texts))[:len(texts) // 4]]
        sides = {"onnx": lambda: onnx.embed(drawn, batch),
                 "st": lambda: reference.encode(drawn, batch_size=32, normalize_embeddings=True)}
        for dtype, engine in engines.items():
            sides[dtype] = lambda e=engine: e.run(e.prepare_texts(drawn))
        for name in names if block % 2 == 0 else reversed(names):
            settle()
            times[name].append(timed(sides[name]) / len(drawn))
    times = {name: np.array(values) for name, values in times.items()}
    row("texts/s, sentence-transformers fp32, batch 32", spread(1 / times["st"], 0))
    row(f"texts/s, ONNX Runtime fp32, sorted, batch {batch} (its best of {batch_sizes})",
        spread(1 / times["onnx"], 0))
    for dtype in engines:
        row(f"texts/s, {dtype}", spread(1 / times[dtype], 0))
        row(f"{dtype}: times sentence-transformers", spread(times["st"] / times[dtype], 2),
            "at least 2")
        row(f"{dtype}: times ONNX Runtime", spread(times["onnx"] / times[dtype], 2),
            "at least 1.25")


def process(command, text=""):
    """(seconds, peak resident bytes) of a program from its start to its end."""
    run = subprocess.run([sys.executable, "-S", "-c", LAUNCHER, *command], input=text, text=True,
                         stdout=subprocess.PIPE, check=True)
    status, seconds, peak = json.loads(run.stdout)
    if status:
        raise RuntimeError(f"{command} failed")
    return seconds, peak * (1 if sys.platform == "darwin" else 1024)


def start_and_memory(binary, folder, weights, texts, threads):
    for dtype, bytes_each in (("f16", 2), ("f32", 4)):
        base = [str(binary), "embed", "-m", str(folder), "--dtype", dtype, "--threads",
                str(threads)]
        process(base + ["Hello, world."])
        starts = np.array([process(base + ["Hello, world."])[0] for _ in range(20)])
        row(f"{dtype}: start of the program to its end with one vector, ms",
            spread(starts * 1e3, 1), "at most 100")
        peak = max(process(base + ["-f", "-"], "\n".join(texts) + "\n")[1] for _ in range(3))
        limit = weights * bytes_each / MEBI + 64
        row(f"{dtype}: peak resident memory, {len(texts)} texts, MB", f"{peak / MEBI:.1f}",
            f"at most {limit:.0f}")
    script = ("import os; os.environ['HF_HUB_DISABLE_PROGRESS_BARS'] = '1';"
              "from transformers.utils import logging; logging.disable_progress_bar();"
              "from sentence_transformers import SentenceTransformer as S;"
              f"S({str(folder)!r}, device='cpu').encode(['Hello, world.'])")
    seconds, peak = min(process([sys.executable, "-c", script]) for _ in range(3))
    row("the same with sentence-transformers: start, ms; peak memory, MB",
        f"{seconds * 1e3:.0f}; {peak / MEBI:.0f}")


def main():
    global has_goals
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--folder", type=pathlib.Path, required=True,
                        help="the model's folder: all-MiniLM-L6-v2, or another BERT")
    parser.add_argument("--build", type=pathlib.Path, default=ROOT / "build" / "release")
    parser.add_argument("--stsb", type=pathlib.Path, help="stsb-en-test.csv")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--blocks", type=int, default=24)
    parser.add_argument("--only", default="quality,latency,throughput,start")
    args = parser.parse_args()

    torch.set_num_threads(args.threads)
    tandem_ctypes.check_layout(ROOT / "include")
    library = next(args.build.glob("libtandem.so"), None) or args.build / "libtandem.dylib"
    parts = args.only.split(",")
    config = json.loads((args.folder / "config.json").read_text())
    has_goals = (config["hidden_size"], config["num_hidden_layers"]) == (384, 6)
    if args.stsb:
        texts, scores = read_sts(args.stsb)
    else:
        sentences = (ROOT / "tests/golden/minilm/texts.txt").read_text().splitlines()
        texts, scores = [s for s in sentences if 0 < len(s) < 120] * 80, None
        print("No STSB=stsb-en-test.csv: no quality rows, and a few short sentences over and over.")

    print(f"\n{onnxruntime.get_device()}, {args.threads} threads, {args.blocks} blocks; ONNX "
          f"Runtime {onnxruntime.__version__}, torch {torch.__version__}\n")
    print("| what | median (quartiles) | goal |\n|---|---|---|")
    engines = {dtype: tandem_ctypes.Engine(library, args.folder, dtype, args.threads)
               for dtype in ("f16", "f32")}
    reference = SentenceTransformer(str(args.folder), device="cpu")
    if "quality" in parts and scores is not None:
        quality(engines, reference, texts, scores)
    with tempfile.TemporaryDirectory() as work:
        onnx = OnnxRuntime(args.folder, pathlib.Path(work), args.threads)
        if "latency" in parts:
            latency(engines, onnx, args.blocks)
        if "throughput" in parts:
            throughput(engines, reference, onnx, texts, args.blocks)
    for engine in engines.values():
        engine.close()
    if "start" in parts:
        weights = sum(parameter.numel() for parameter in reference.parameters())
        start_and_memory(args.build / "tandem", args.folder, weights, texts, args.threads)


if __name__ == "__main__":
    main()
