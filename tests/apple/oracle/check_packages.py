#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""check_packages.py MODEL... [--numbers N,...] [--report FILE]; run by tools/coreml_env.sh

The Core ML packages that the lane `ane` builds of a model, judged from outside:

  protoc   decodes model.mlmodel by the published schema, and no field is unknown to it
  types    coremltools reads the package and infers each operation's type, as declared; every bucket
  numbers  numpy evaluates the program as coremltools read it, and our own interpreter the package:
           each within COSINE_LEAST of the lane `ref` for every token, at the buckets of --numbers

A MODEL is a folder, or a word of the Hub's cache. TANDEM_BINARY names the build's `tandem`.
"""
import argparse
import json
import math
import os
import pathlib
import re
import subprocess
import sys
import tempfile

import numpy as np

import pymil
import schema

ROOT = pathlib.Path(__file__).resolve().parents[3]
BUILD = pathlib.Path(os.environ["TANDEM_BINARY"]).parent
WRITE = BUILD / "tests/apple/write_packages"
PREDICT = BUILD / "tests/apple/oracle/mil_predict"
DUMP = BUILD / "tests/apple/oracle/dump_states"
IDS = ROOT / "tests/golden/minilm/ids.txt"
COSINE_LEAST = 0.9995
PADDING = 3  # positions at the end of a bucket that are masked
MASKED = -1e4


def run(*words, **options):
    done = subprocess.run([str(w) for w in words], capture_output=True, check=False, **options)
    if done.returncode != 0:
        sys.exit(f"{pathlib.Path(words[0]).name}: {done.stderr.decode().strip()}")
    return done.stdout


def check_schema(package, descriptors):
    """Raises SystemExit where protoc cannot decode or finds a field that the schema lacks."""
    model = (package / "Data/com.apple.CoreML/model.mlmodel").read_bytes()
    text = run("protoc", f"--descriptor_set_in={descriptors}",
               "--decode=CoreML.Specification.Model", input=model).decode("utf-8", "replace")
    unknown = re.findall(r"^\s*\d+[:\s].*", text, re.M)
    if unknown:
        sys.exit(f"{package.name}: fields that the schema lacks: {unknown[:3]}")


def states_of(model, tokens, folder):
    """(after the embeddings, at the end) by `ref`, each f32 [tokens, H]."""
    run(DUMP, model, tokens, IDS, folder / "states")
    both = np.fromfile(folder / "states", np.float32)
    return both.reshape(2, tokens, -1)


def inputs_of(hidden, bucket):
    """The package's inputs: f16 (1, H, 1, S), zeros in the padding, and its mask (1, S, 1, 1)."""
    tokens, width = hidden.shape
    padded = np.zeros((bucket, width), np.float16)
    padded[:tokens] = hidden
    mask = np.zeros((1, bucket, 1, 1), np.float16)
    mask[0, tokens:] = MASKED
    return {"hidden": np.ascontiguousarray(padded.T).reshape(1, width, 1, bucket), "mask": mask}


def cosine(out, expected):
    """The least cosine over the tokens of out (1, H, 1, S) and expected [T, H]."""
    got = out.astype(np.float64)[0, :, 0, :].T[:len(expected)]
    want = expected.astype(np.float64)
    dots = (got * want).sum(1) / np.linalg.norm(got, axis=1) / np.linalg.norm(want, axis=1)
    return math.floor(float(dots.min()) * 1e5) / 1e5  # no digits that differ by machine


def interpret(package, inputs, folder):
    with open(folder / "in", "wb") as file:
        for name in ("hidden", "mask"):
            file.write(inputs[name].tobytes())
    run(PREDICT, package, folder / "in", folder / "out")
    return np.fromfile(folder / "out", np.float16).reshape(inputs["hidden"].shape)


def check_numbers(model, package, function, bucket, folder):
    hidden, expected = states_of(model, bucket - PADDING, folder)
    inputs = inputs_of(hidden, bucket)
    by_numpy = pymil.evaluate(function, inputs)
    by_interpreter = interpret(package, inputs, folder)
    return {"numpy": cosine(by_numpy, expected), "interpreter": cosine(by_interpreter, expected)}


def check_model(model, numbers, descriptors, folder):
    """One dictionary a bucket; exits at the first that is wrong."""
    run(WRITE, model, folder / "packages")
    rows = []
    found = (folder / "packages").glob("s*.mlpackage")
    for package in sorted(found, key=lambda p: int(re.sub(r"\D", "", p.stem))):
        bucket = int(package.stem[1:])
        check_schema(package, descriptors)
        function, spec = pymil.read(package)
        operations, differences = pymil.compare_types(function, spec)
        if differences:
            sys.exit(f"{package.name}: {differences[:3]}")
        run(PREDICT, package)
        row = {"bucket": bucket, "operations": operations}
        if bucket in numbers:
            row.update(check_numbers(model, package, function, bucket, folder))
        rows.append(row)
        print(pathlib.Path(model).name, row, flush=True)
        if min(row.get("numpy", 1), row.get("interpreter", 1)) < COSINE_LEAST:
            sys.exit(f"{package.name}: cosine below {COSINE_LEAST}")
    if not numbers & {row["bucket"] for row in rows}:
        sys.exit(f"{model}: no bucket of {sorted(numbers)}")
    return rows


def write_report(path, report):
    """JSON with a line a bucket."""
    models = ",\n".join(f' "{name}": [\n  ' + ",\n  ".join(json.dumps(r) for r in rows) + "]"
                        for name, rows in report.items())
    head = {"coremltools": pymil.coremltools.__version__, "cosine_least": COSINE_LEAST}
    text = json.dumps(head)[:-1] + ', "models": {\n' + models + "}}\n"
    json.loads(text)
    pathlib.Path(path).write_text(text, encoding="utf-8")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("models", nargs="+", metavar="MODEL[=N,...]")
    parser.add_argument("--report")
    args = parser.parse_args()
    report = {}
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        descriptors = schema.write_descriptors(folder / "schema")
        for word in args.models:
            model, _, numbers = word.partition("=")
            buckets = {int(n) for n in numbers.split(",")} if numbers else {32}
            part = folder / str(len(report))
            part.mkdir()
            report[pathlib.Path(model).name] = check_model(model, buckets, descriptors, part)
    if args.report:
        write_report(args.report, report)


if __name__ == "__main__":
    main()
