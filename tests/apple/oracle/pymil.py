# SPDX-License-Identifier: Apache-2.0
"""A package as Apple's coremltools reads it: types inferred, and evaluated with numpy.

Arithmetic is in f32 and each result is rounded to f16, as the interpreter in C does; the two share
nothing but that rule. An operation that is not here is an error.
"""
import contextlib
import io
import math

import numpy as np

with contextlib.redirect_stderr(io.StringIO()):  # it says what it lacks off a Mac
    import coremltools
    from coremltools.converters.mil.frontend.milproto.load import load as load_program


def read(path):
    """The function `main` of a package, each operation's types inferred and compared with the
    declared ones, and its specification. Raises what coremltools raises."""
    model = coremltools.models.MLModel(str(path), skip_model_load=True)
    spec = model.get_spec()
    program = load_program(spec, spec.specificationVersion, model.weights_dir)
    return program.functions["main"], spec


def compare_types(function, spec):
    """(operations, differences) between what coremltools infers and what the package declares."""
    declared = {}
    block = spec.mlProgram.functions["main"].block_specializations[
        spec.mlProgram.functions["main"].opset]
    for operation in block.operations:
        for output in operation.outputs:
            tensor = output.type.tensorType
            declared[output.name] = (tensor.dataType,
                                     tuple(d.constant.size for d in tensor.dimensions))
    kinds = {"fp16": 10, "fp32": 11, "int32": 23, "bool": 1, "str": 2}
    differences = []
    count = 0
    for operation in function.operations:
        if operation.op_type == "const":
            continue
        count += 1
        for output in operation.outputs:
            name = coremltools.converters.mil.mil.types.builtin_to_string(output.dtype)
            inferred = (kinds[name], tuple(output.shape))
            if declared[output.name] != inferred:
                differences.append(f"{output.name}: declared {declared[output.name]}, "
                                   f"inferred {inferred}")
    return count, differences


def wide(x):
    return np.asarray(x, np.float32)


def conv(x, weight, bias, **_):
    out = np.einsum("oi,nihs->nohs", wide(weight)[:, :, 0, 0], wide(x), optimize=True)
    return out if bias is None else out + wide(bias).reshape(1, -1, 1, 1)


def softmax(x, axis):
    x = wide(x)
    x = np.exp(x - x.max(axis=axis, keepdims=True))
    return x / x.sum(axis=axis, keepdims=True)


def layer_norm(x, axes, gamma, beta, epsilon):
    x = wide(x)
    axes = tuple(int(a) % x.ndim for a in axes)
    mean = x.mean(axes, keepdims=True, dtype=np.float64)
    variance = ((x - mean) ** 2).mean(axes, keepdims=True)
    out = (x - mean) / np.sqrt(variance + float(epsilon))
    shape = [n if i in axes else 1 for i, n in enumerate(x.shape)]
    if gamma is not None:
        out = out * wide(gamma).reshape(shape)
    return out if beta is None else out + wide(beta).reshape(shape)


ERF = np.vectorize(math.erf, otypes=[np.float32])


def gelu(x, mode):
    x = wide(x)
    if mode == "EXACT":
        return x / 2 * (1 + ERF(x / math.sqrt(2)))
    assert mode == "TANH_APPROXIMATION", mode
    return x / 2 * (1 + np.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x ** 3)))


def slice_by_size(x, begin, size):
    return x[tuple(slice(b, b + n if n >= 0 else None) for b, n in zip(begin, size))]


def slice_by_index(x, begin, end, stride, begin_mask, end_mask, squeeze_mask):
    assert squeeze_mask is None or not any(squeeze_mask)
    pick = []
    for i, (first, last) in enumerate(zip(begin, end)):
        pick.append(slice(None if begin_mask is not None and begin_mask[i] else first,
                          None if end_mask is not None and end_mask[i] else last,
                          None if stride is None else stride[i]))
    return x[tuple(pick)]


def split(x, num_splits, split_sizes, axis):
    if split_sizes is not None:
        return np.split(x, np.cumsum(split_sizes)[:-1], axis)
    return np.split(x, num_splits, axis)


OPERATIONS = {
    "conv": lambda o: conv(o("x"), o("weight"), o("bias")),
    "softmax": lambda o: softmax(o("x"), int(o("axis"))),
    "layer_norm": lambda o: layer_norm(*map(o, ("x", "axes", "gamma", "beta", "epsilon"))),
    "gelu": lambda o: gelu(o("x"), o("mode")),
    "einsum": lambda o: np.einsum(str(o("equation")), *map(wide, o("values")), optimize=True),
    "concat": lambda o: np.concatenate(o("values"), axis=int(o("axis"))),
    "transpose": lambda o: np.transpose(o("x"), o("perm")),
    "reshape": lambda o: np.reshape(o("x"), o("shape")),
    "expand_dims": lambda o: np.expand_dims(o("x"), tuple(o("axes"))),
    "squeeze": lambda o: np.squeeze(o("x"), tuple(o("axes"))),
    "slice_by_size": lambda o: slice_by_size(o("x"), o("begin"), o("size")),
    "slice_by_index": lambda o: slice_by_index(*map(o, (
        "x", "begin", "end", "stride", "begin_mask", "end_mask", "squeeze_mask"))),
    "split": lambda o: split(o("x"), o("num_splits"), o("split_sizes"), int(o("axis"))),
    "matmul": lambda o: np.matmul(
        np.swapaxes(wide(o("x")), -1, -2) if o("transpose_x") else wide(o("x")),
        np.swapaxes(wide(o("y")), -1, -2) if o("transpose_y") else wide(o("y"))),
    "linear": lambda o: wide(o("x")) @ wide(o("weight")).T + (
        0 if o("bias") is None else wide(o("bias"))),
    "add": lambda o: wide(o("x")) + wide(o("y")),
    "sub": lambda o: wide(o("x")) - wide(o("y")),
    "mul": lambda o: wide(o("x")) * wide(o("y")),
    "real_div": lambda o: wide(o("x")) / wide(o("y")),
    "relu": lambda o: np.maximum(o("x"), 0),
    "tanh": lambda o: np.tanh(wide(o("x"))),
    "sigmoid": lambda o: 1 / (1 + np.exp(-wide(o("x")))),
    "silu": lambda o: wide(o("x")) / (1 + np.exp(-wide(o("x")))),
    "reduce_mean": lambda o: wide(o("x")).mean(tuple(o("axes")), keepdims=bool(o("keep_dims"))),
    "identity": lambda o: o("x"),
}


def evaluate(function, inputs):
    """The function's first output, of `inputs` {name: f16 array}."""
    known = dict(inputs)
    last = {}
    for index, operation in enumerate(function.operations):
        for values in operation.inputs.values():
            for value in values if isinstance(values, (list, tuple)) else [values]:
                last[getattr(value, "name", None)] = index

    def value_of(variable):
        return known[variable.name] if variable.name in known else variable.val

    for index, operation in enumerate(function.operations):
        if operation.op_type == "const":
            continue

        def argument(name, operation=operation):
            value = operation.inputs.get(name)
            if isinstance(value, (list, tuple)):
                return [value_of(v) for v in value]
            return None if value is None else value_of(value)

        results = OPERATIONS[operation.op_type](argument)
        if operation.op_type != "split":
            results = [results]
        for output, result in zip(operation.outputs, results):
            result = np.asarray(result).astype(np.float16)
            assert result.shape == tuple(output.shape), (output.name, result.shape)
            assert np.isfinite(result).all(), output.name
            known[output.name] = result
        for name in [n for n in known if last.get(n) == index]:
            del known[name]
    return known[function.outputs[0].name]
