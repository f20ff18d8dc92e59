#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""check_interpreter.py [NAME]: our interpreter on a package that coremltools wrote, with every
operation that both the interpreter and pymil.py know; run by tools/coreml_env.sh

The package is read, its numbers must be those that numpy gets, and no operation may be left out.
"""
import contextlib
import io
import pathlib
import subprocess
import sys
import tempfile

import numpy as np

import check_packages
import pymil
from pymil import coremltools

H, S, HEADS, F = 64, 32, 4, 96
D = H // HEADS
ULPS = 2  # of f16 at the largest element, after 60 operations that round on their own


def build(mb, f):
    """The program; `f` gives f16 arrays of pseudo-random numbers."""
    types = coremltools.converters.mil.mil.types
    specs = [mb.TensorSpec((1, H, 1, S), types.fp16), mb.TensorSpec((1, S, 1, 1), types.fp16)]

    def conv(x, outputs, inputs):
        return mb.conv(x=x, weight=f(outputs, inputs, 1, 1, scale=inputs ** -0.5),
                       bias=f(outputs, scale=0.1))

    def attention(x, mask):
        query = mb.split(x=conv(x, H, H), num_splits=HEADS, axis=1)
        keys = mb.transpose(x=conv(x, H, H), perm=[0, 3, 2, 1])
        value = conv(x, H, H)
        heads = []
        for i in range(HEADS):
            key = mb.slice_by_index(x=keys, begin=[0, 0, 0, i * D], end=[1, S, 1, i * D + D],
                                    begin_mask=[True, True, True, False],
                                    end_mask=[False, True, True, False])
            part = mb.slice_by_size(x=value, begin=[0, i * D, 0, 0], size=[1, D, 1, -1])
            scores = mb.einsum(values=(key, query[i]), equation="bkhc,bchq->bkhq")
            scores = mb.add(x=mb.mul(x=scores, y=np.float16(D ** -0.5)), y=mask)
            heads.append(mb.einsum(values=(part, mb.softmax(x=scores, axis=1)),
                                   equation="bchk,bkhq->bchq"))
        return mb.concat(values=heads, axis=1)

    def norm(x):
        return mb.layer_norm(x=x, axes=[1], gamma=f(H) + np.float16(1), beta=f(H),
                             epsilon=np.float16(1e-5))

    def tail(x):
        """What an encoder in that layout does not need."""
        x = mb.reshape(x=mb.transpose(x=x, perm=[0, 3, 2, 1]), shape=[1, S, -1])
        x = mb.linear(x=x, weight=f(48, H, scale=0.1), bias=f(48))
        x = mb.layer_norm(x=x, axes=[-1], epsilon=np.float16(1e-5))
        x = mb.mul(x=mb.matmul(x=x, y=x, transpose_y=True), y=np.float16(0.1))
        x = mb.sub(x=x, y=mb.reduce_mean(x=x, axes=[2], keep_dims=True))
        x = mb.real_div(x=x, y=mb.add(x=mb.sigmoid(x=x), y=np.float16(1)))
        a, b = mb.split(x=x, split_sizes=[10, S - 10], axis=-1)
        x = mb.concat(values=(mb.tanh(x=b), mb.relu(x=a)), axis=-1)
        x = mb.squeeze(x=mb.expand_dims(x=x, axes=[0, 2]), axes=[2])
        return mb.silu(x=mb.gelu(x=x, mode="TANH_APPROXIMATION"), name="out")

    @mb.program(input_specs=specs, opset_version=coremltools.target.iOS17)
    def program(hidden, mask):
        x = norm(mb.add(x=conv(attention(hidden, mask), H, H), y=hidden))
        x = mb.add(x=conv(mb.gelu(x=conv(x, F, H), mode="EXACT"), H, F), y=x)
        return tail(x)

    return program


def main():
    random = np.random.default_rng(7)

    def f(*shape, scale=1.0):
        return (random.standard_normal(shape) * scale).astype(np.float16)

    with tempfile.TemporaryDirectory() as name, contextlib.redirect_stderr(io.StringIO()):
        folder = pathlib.Path(name)
        package = folder / "all.mlpackage"
        model = coremltools.convert(
            build(coremltools.converters.mil.Builder, f), convert_to="mlprogram",
            minimum_deployment_target=coremltools.target.macOS14,
            compute_precision=coremltools.precision.FLOAT16, skip_model_load=True)
        model.save(str(package))
        function, _ = pymil.read(package)
        inputs = check_packages.inputs_of(f(S - 3, H).astype(np.float32), S)
        expected = pymil.evaluate(function, inputs).astype(np.float32)
        with open(folder / "in", "wb") as file:
            file.write(inputs["hidden"].tobytes() + inputs["mask"].tobytes())
        done = subprocess.run([check_packages.PREDICT, package, folder / "in", folder / "out"],
                              capture_output=True, check=False)
        if done.returncode != 0:
            sys.exit(done.stderr.decode())
        got = np.fromfile(folder / "out", np.float16).astype(np.float32).reshape(expected.shape)
    used = {o.op_type for o in function.operations} - {"const"}
    left = sorted(set(pymil.OPERATIONS) - used - {"identity"})
    apart = float(np.abs(got - expected).max() / np.spacing(np.float16(np.abs(expected).max())))
    print(f"{len(used)} kinds of operations, {apart:.1f} ulps apart, left out: {left}")
    sys.exit(1 if left or not apart <= ULPS else 0)


if __name__ == "__main__":
    main()
