# SPDX-License-Identifier: Apache-2.0
"""The other side of `tandem bench`: a BERT of the same sizes in PyTorch or ONNX Runtime.

Started as `python3 -c THIS wanted`; wanted is auto, torch or onnx. Imports what it needs, reads the
line "hidden layers heads ffn vocab positions threads", says in one line of JSON what it is, then
answers each line "tokens batch" by the nanoseconds of one forward pass, tokens in, normalised
mean-pooled vectors out, in float32.
"""
import json
import math
import struct
import sys
import time


WORDS_MAX = 4096  # of the embedding table, of which a batch touches few rows


def import_torch():
    import torch
    return torch


def torch_peer(torch, hidden, layers, heads, ffn, vocab, positions, threads):
    F = torch.nn.functional
    torch.set_num_threads(threads)

    def tensor(*shape):
        # Values do not change the time; a uniform fill is the fastest that holds no denormals.
        return torch.empty(shape).uniform_(-0.05, 0.05)

    vocab = min(vocab, WORDS_MAX)
    words, places, types = tensor(vocab, hidden), tensor(positions, hidden), tensor(2, hidden)
    gain, shift = torch.ones(hidden), torch.zeros(hidden)
    stack = [
        (tensor(3 * hidden, hidden), tensor(3 * hidden), tensor(hidden, hidden), tensor(hidden),
         tensor(ffn, hidden), tensor(ffn), tensor(hidden, ffn), tensor(hidden))
        for _ in range(layers)
    ]

    def norm(x):
        return F.layer_norm(x, (hidden,), gain, shift, 1e-12)

    def forward(ids):
        batch, tokens = ids.shape
        x = norm(F.embedding(ids, words) + places[:tokens] + types[0])
        for wqkv, bqkv, wo, bo, wi, bi, wd, bd in stack:
            qkv = F.linear(x, wqkv, bqkv).view(batch, tokens, 3, heads, hidden // heads)
            q, k, v = qkv.permute(2, 0, 3, 1, 4)
            a = F.scaled_dot_product_attention(q, k, v)
            a = a.transpose(1, 2).reshape(batch, tokens, hidden)
            x = norm(x + F.linear(a, wo, bo))
            x = norm(x + F.linear(F.gelu(F.linear(x, wi, bi)), wd, bd))
        return F.normalize(x.mean(1), dim=1)

    def run(tokens, batch):
        ids = torch.randint(0, vocab, (batch, tokens))
        with torch.inference_mode():
            start = time.perf_counter_ns()
            forward(ids)
            return time.perf_counter_ns() - start

    return "PyTorch " + torch.__version__.split("+")[0], run


# ONNX Runtime takes a model as a protobuf message. The few messages that are needed are written
# here field by field (numbers from onnx.proto), so that the onnx package need not be installed.
FLOAT, INT64 = 1, 7


def varint(n):
    out = bytearray()
    while n > 127:
        out.append(n & 127 | 128)
        n >>= 7
    return bytes(out + bytes([n]))


def field(number, value):
    if isinstance(value, int):
        return varint(number << 3) + varint(value)
    data = value.encode() if isinstance(value, str) else value
    return varint(number << 3 | 2) + varint(len(data)) + data


def attribute(name, value):
    if isinstance(value, float):
        return field(1, name) + varint(2 << 3 | 5) + struct.pack("<f", value) + field(20, 1)
    if isinstance(value, int):
        return field(1, name) + field(3, value) + field(20, 2)
    return field(1, name) + b"".join(field(8, n) for n in value) + field(20, 7)


def node(op, inputs, output, domain="", **attributes):
    return field(1, b"".join(
        [field(1, i) for i in inputs] + [field(2, output), field(4, op), field(7, domain)] +
        [field(5, attribute(k, v)) for k, v in attributes.items()]))


def value_info(number, name, kind, *dims):
    shape = b"".join(field(1, field(2, d)) for d in dims)
    return field(number, field(1, name) + field(2, field(1, field(1, kind) + field(2, shape))))


def import_onnx():
    import numpy
    import onnxruntime
    return numpy, onnxruntime


def onnx_peer(packages, hidden, layers, heads, ffn, vocab, positions, threads):
    numpy, onnxruntime = packages
    vocab = min(vocab, WORDS_MAX)
    largest = max(vocab, positions, 3 * hidden, ffn) * max(hidden, ffn)
    values = numpy.random.default_rng(1).uniform(-0.05, 0.05, largest).astype("<f4")
    parts = []

    def tensor(name, *dims):
        data = values[:math.prod(dims)].tobytes()
        parts.append(field(5, b"".join(field(1, d) for d in dims) + field(2, FLOAT) +
                           field(8, name) + field(9, data)))
        return name

    def op(kind, *inputs, **attributes):
        name = f"{kind}{len(parts)}"
        contrib = kind in ("Attention", "SkipLayerNormalization", "BiasGelu")
        domain = "com.microsoft" if contrib else ""
        parts.append(node(kind, inputs, name, domain, **attributes))
        return name

    gain, shift = tensor("gain", hidden), tensor("shift", hidden)
    x = op("Gather", tensor("words", vocab, hidden), "ids")
    x = op("Add", x, op("Gather", tensor("places", positions, hidden), "places_at"))
    x = op("LayerNormalization", op("Add", x, tensor("type", hidden)), gain, shift, epsilon=1e-12)
    for i in range(layers):
        # The forms that its own optimiser makes of a BERT.
        a = op("Attention", x, tensor(f"wqkv{i}", hidden, 3 * hidden),
               tensor(f"bqkv{i}", 3 * hidden), num_heads=heads)
        a = op("MatMul", a, tensor(f"wo{i}", hidden, hidden))
        x = op("SkipLayerNormalization", x, a, gain, shift, tensor(f"bo{i}", hidden),
               epsilon=1e-12)
        y = op("BiasGelu", op("MatMul", x, tensor(f"wi{i}", hidden, ffn)), tensor(f"bi{i}", ffn))
        y = op("MatMul", y, tensor(f"wd{i}", ffn, hidden))
        x = op("SkipLayerNormalization", x, y, gain, shift, tensor(f"bd{i}", hidden),
               epsilon=1e-12)
    x = op("LpNormalization", op("ReduceMean", x, axes=[1], keepdims=0), axis=1, p=2)
    graph = b"".join(parts + [
        field(2, "bert"), value_info(11, "ids", INT64, "batch", "tokens"),
        value_info(11, "places_at", INT64, "tokens"), value_info(12, x, FLOAT, "batch", "hidden")])
    model = b"".join([field(1, 8), field(8, field(1, "") + field(2, 17)),
                      field(8, field(1, "com.microsoft") + field(2, 1)), field(7, graph)])
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = 4
    session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])

    def run(tokens, batch):
        feeds = {"ids": numpy.random.randint(0, vocab, (batch, tokens)),
                 "places_at": numpy.arange(tokens)}
        start = time.perf_counter_ns()
        session.run(None, feeds)
        return time.perf_counter_ns() - start

    return "ONNX Runtime " + onnxruntime.__version__, run


def main():
    wanted = sys.argv[1]
    peers = {"torch": (import_torch, torch_peer), "onnx": (import_onnx, onnx_peer)}
    found, why = None, []
    for name, (load, make) in peers.items():
        if found is None and wanted in ("auto", name):
            try:
                found = make, load()
            except Exception as e:  # any way that a package can be broken
                why.append(str(e).splitlines()[0] if str(e) else type(e).__name__)
    sizes = [int(word) for word in sys.stdin.readline().split()]
    if found is None or not sizes:
        print(json.dumps({"none": "; ".join(why)}), flush=True)
        return
    make, package = found
    label, run = make(package, *sizes)
    print(json.dumps({"name": label}), flush=True)
    for line in sys.stdin:
        tokens, batch = line.split()
        print(run(int(tokens), int(batch)), flush=True)


main()
