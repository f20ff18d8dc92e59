#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Peak resident memory of a model: its weights in the lane's type and little more. A folder with
weights on disk, and a shape whose weights are made up. With --folder and --shape it measures real
ones and prints a line each:

    python3 tests/cli/test_memory.py --folder MODEL ... --shape NAME ...
"""
import argparse
import array
import json
import os
import pathlib
import random
import shutil
import struct
import subprocess
import sys
import tempfile

from cli_case import BINARY, ROOT

TINY = ROOT / "tests/golden/models/tiny-bert"
MB = 1 << 20
SLACK = 40 * MB  # of a model of 100 MB, and less than it: pages of the file that stay would show
HIDDEN, LAYERS, FFN, VOCAB, POSITIONS = 640, 5, 2560, 4000, 128


def tensors(vocab):
    """Names and shapes of a BERT."""
    yield "embeddings.word_embeddings.weight", (vocab, HIDDEN)
    yield "embeddings.position_embeddings.weight", (POSITIONS, HIDDEN)
    yield "embeddings.token_type_embeddings.weight", (2, HIDDEN)
    names = ["embeddings.LayerNorm"]
    for i in range(LAYERS):
        layer = f"encoder.layer.{i}"
        shapes = dict.fromkeys(("attention.self.query", "attention.self.key",
                                "attention.self.value", "attention.output.dense"),
                               (HIDDEN, HIDDEN))
        shapes |= {"intermediate.dense": (FFN, HIDDEN), "output.dense": (HIDDEN, FFN)}
        for name, shape in shapes.items():
            yield f"{layer}.{name}.weight", shape
            yield f"{layer}.{name}.bias", shape[:1]
        names += [f"{layer}.attention.output.LayerNorm", f"{layer}.output.LayerNorm"]
    for name in names:
        yield f"{name}.weight", (HIDDEN,)
        yield f"{name}.bias", (HIDDEN,)


def make_folder(folder):
    config = dict(model_type="bert", hidden_size=HIDDEN, num_hidden_layers=LAYERS,
                  num_attention_heads=10, intermediate_size=FFN, vocab_size=VOCAB,
                  max_position_embeddings=POSITIONS)
    pathlib.Path(folder, "config.json").write_text(json.dumps(config))
    shutil.copy(TINY / "tokenizer.json", folder)
    header, end, sizes = {}, 0, []
    for name, shape in tensors(VOCAB):
        count = shape[0] * (shape[1] if len(shape) == 2 else 1)
        header[name] = dict(dtype="F32", shape=shape, data_offsets=[end, end + 4 * count])
        end += 4 * count
        sizes.append(count)
    text = json.dumps(header).encode()
    rng = random.Random(1)
    block = array.array("f", (rng.uniform(-0.06, 0.06) for _ in range(1 << 16))).tobytes()
    with open(os.path.join(folder, "model.safetensors"), "wb") as file:
        file.write(struct.pack("<Q", len(text)) + text)
        for count in sizes:
            for at in range(0, 4 * count, len(block)):
                file.write(block[:4 * count - at])


def measure(option, name, dtype, slack):
    """Opens the model and runs it; whether its peak is within the weights and `slack`."""
    args = [BINARY, "bench", option, name, "--dtype", dtype, "--lane", "cpu", "--tokens", "64",
            "--batch", "1", "--seconds", "0.1", "--baseline", "none", "--json"]
    with subprocess.Popen(args, stdout=subprocess.PIPE) as run:
        out = run.stdout.read()
        _, status, usage = os.wait4(run.pid, 0)
        run.returncode = status
    if status:
        sys.exit(f"{args}: status {status}")
    weights = json.loads(out)["model"]["parameters"] * (2 if dtype == "f16" else 4)
    peak = usage.ru_maxrss * (1 if sys.platform == "darwin" else 1024)
    print(f"{option} {name} {dtype}: {peak / MB:.1f} MB, weights {weights / MB:.1f} MB, "
          f"{(peak - weights) / MB:+.1f} of {slack / MB:.0f} MB", flush=True)
    return peak <= weights + slack


def measure_all(folders, shapes, slack):
    models = [("-m", f) for f in folders] + [("--shape", s) for s in shapes]
    fits = [measure(*model, dtype, slack) for model in models for dtype in ("f16", "f32")]
    sys.exit(0 if all(fits) else "a peak is over its limit")


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", nargs="*", default=[])
    parser.add_argument("--shape", nargs="*", default=[])
    args = parser.parse_args()
    if args.folder or args.shape:
        measure_all(args.folder, args.shape, 128 * MB)
    with tempfile.TemporaryDirectory() as folder:
        make_folder(folder)
        measure_all([folder], [folder], SLACK)


if __name__ == "__main__":
    main()
