#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""check_faults.py [NAME]: the judges of packages, judged; run by tools/coreml_env.sh

A package of the lane `ane` is changed in one thing at a time, and each change must be refused, or
must move the result, by one judge at least: `schema` (protoc), `types` (coremltools), `reader` (our
interpreter), `numbers` (its result against the sound package's). Prints which saw what.
"""
import pathlib
import shutil
import struct
import subprocess
import sys
import tempfile

import numpy as np

import check_packages
import pymil
import schema

MODEL = "tests/golden/models/tiny-bert"
BUCKET = 32


class Package:
    """A package's files, for a fault to change."""

    def __init__(self, folder):
        self.folder = folder
        data = folder / "Data/com.apple.CoreML"
        self.spec_path = data / "model.mlmodel"
        self.weights_path = data / "weights/weight.bin"
        self.manifest_path = folder / "Manifest.json"
        self.spec = schema.Model_pb2.Model.FromString(self.spec_path.read_bytes())
        self.weights = bytearray(self.weights_path.read_bytes())
        self.manifest = self.manifest_path.read_text(encoding="utf-8")
        self.tail = b""  # bytes behind the model

    @property
    def function(self):
        return self.spec.mlProgram.functions["main"]

    @property
    def operations(self):
        return self.function.block_specializations[self.function.opset].operations

    def first(self, kind, skip=0):
        return [o for o in self.operations if o.type == kind][skip]

    def constant(self, operation, parameter):
        name = operation.inputs[parameter].arguments[0].name
        return next(o for o in self.operations if o.outputs[0].name == name)

    def write(self):
        for path in (self.spec_path, self.weights_path):
            path.unlink()  # the weights may be another package's too
        self.spec_path.write_bytes(self.spec.SerializeToString() + self.tail)
        self.weights_path.write_bytes(bytes(self.weights))
        self.manifest_path.write_text(self.manifest, encoding="utf-8")


def value_of(constant):
    return constant.attributes["val"]


def set_ints(constant, *numbers):
    value_of(constant).immediateValue.tensor.ints.values[:] = numbers


def poke(package, offset, layout, value):
    struct.pack_into(layout, package.weights, offset, value)


def swap_operations(package):
    found = [i for i, o in enumerate(package.operations) if o.type == "softmax"]
    package.operations[found[0]].inputs["x"].arguments[0].name = package.operations[
        found[1]].outputs[0].name


def rename_weights(package):
    for operation in package.operations:
        blob = operation.attributes["val"].blobFileValue if operation.type == "const" else None
        if blob is not None and blob.fileName:
            blob.fileName = "@model_path/weight.bin"


def conv_weight(package):
    return package.constant(package.first("conv"), "weight")


def transpose_weight(package):
    for value in (conv_weight(package).outputs[0].type, value_of(conv_weight(package)).type):
        dims = [d.constant.size for d in value.tensorType.dimensions]
        value.tensorType.dimensions[0].constant.size = dims[1] * 2
        value.tensorType.dimensions[1].constant.size = dims[0] // 2


def halve_dimension(package, kind):
    package.first(kind).outputs[0].type.tensorType.dimensions[1].constant.size //= 2


# name: what is done to the package
FAULTS = {
    "unknown field of the model": lambda p: setattr(p, "tail", b"\xfa\x3f\x01x"),
    "specification version": lambda p: setattr(p.spec, "specificationVersion", 7),
    "unknown operation": lambda p: setattr(p.first("softmax"), "type", "softmx"),
    "missing parameter": lambda p: p.first("conv").inputs.pop("weight"),
    "unknown parameter": lambda p: p.first("softmax").inputs["axes"].CopyFrom(
        p.first("softmax").inputs["axis"]),
    "softmax over the wrong axis": lambda p: set_ints(p.constant(p.first("softmax"), "axis"), 3),
    "norm over no axis": lambda p: set_ints(p.constant(p.first("layer_norm"), "axes"), 7),
    "transpose twice the same": lambda p: set_ints(
        p.constant(p.first("transpose"), "perm"), 0, 3, 3, 1),
    "slice past the end": lambda p: set_ints(
        p.constant(p.first("slice_by_size"), "begin"), 0, 1 << 20, 0, 0),
    "slice of another head": lambda p: set_ints(
        p.constant(p.first("slice_by_size", 3), "begin"), 0, 0, 0, 0),
    "declared shape": lambda p: halve_dimension(p, "conv"),
    "declared type": lambda p: setattr(
        p.first("add").outputs[0].type.tensorType, "dataType", 11),
    "declared rank": lambda p: setattr(p.first("add").outputs[0].type.tensorType, "rank", 3),
    "shape of a weight": transpose_weight,
    "name made twice": lambda p: setattr(
        p.first("softmax").outputs[0], "name", p.first("conv").outputs[0].name),
    "name that nobody made": lambda p: setattr(
        p.first("softmax").inputs["x"].arguments[0], "name", "nobody"),
    "used before it is made": swap_operations,
    "einsum of another form": lambda p: value_of(p.constant(
        p.first("einsum"), "equation")).immediateValue.tensor.strings.values.__setitem__(
            0, "bkhc,bchq->bqhk"),
    "gelu of another mode": lambda p: value_of(p.constant(
        p.first("gelu"), "mode")).immediateValue.tensor.strings.values.__setitem__(
            0, "SIGMOID_APPROXIMATION"),
    "weights' file name": rename_weights,
    "offset of a blob": lambda p: setattr(
        value_of(conv_weight(p)).blobFileValue, "offset",
        value_of(conv_weight(p)).blobFileValue.offset + 64),
    "offset of another blob": lambda p: setattr(
        value_of(p.constant(p.first("conv", 1), "weight")).blobFileValue, "offset", 64),
    "count of blobs": lambda p: poke(p, 0, "<I", 0),
    "version of weight.bin": lambda p: poke(p, 4, "<I", 1),
    "sentinel of a blob": lambda p: poke(p, 64, "<I", 0xDEADBEEE),
    "type of a blob": lambda p: poke(p, 68, "<I", 2),
    "bytes of a blob": lambda p: poke(p, 72, "<Q", 2),
    "data offset of a blob": lambda p: poke(p, 80, "<Q", 64),
    "weight.bin cut off": lambda p: p.weights.__delitem__(slice(len(p.weights) - 64, None)),
    "description's shape": lambda p: p.spec.description.input[0].type.multiArrayType.shape.
    __setitem__(1, 16),
    "description's type": lambda p: setattr(
        p.spec.description.output[0].type.multiArrayType, "dataType", 65568),
    "description's name": lambda p: setattr(p.spec.description.output[0], "name", "other"),
    "root of the manifest": lambda p: setattr(p, "manifest", p.manifest.replace(
        '"rootModelIdentifier"', '"rootIdentifier"')),
    "path in the manifest": lambda p: setattr(p, "manifest", p.manifest.replace(
        "com.apple.CoreML/model.mlmodel", "com.apple.CoreML/model.mlmode")),
    "program without outputs": lambda p: p.function.block_specializations[
        p.function.opset].outputs.__delitem__(0),
    "operation set": lambda p: setattr(p.function, "opset", "CoreML8"),
}


def refused(function, *arguments):
    try:
        function(*arguments)
    except (Exception, SystemExit):  # whatever it raises, it saw the fault
        return True
    return False


def infer(package):
    function, spec = pymil.read(package)
    assert not pymil.compare_types(function, spec)[1]


def interpret(package, inputs, folder):
    return check_packages.interpret(package, inputs, folder).astype(np.float32)


def judges_of(package, folder, sound):
    """The judges that see that something is wrong."""
    inputs, expected = sound
    seen = []
    if refused(check_packages.check_schema, package, folder / "schema"):
        seen.append("schema")
    if refused(infer, package):
        seen.append("types")
    if subprocess.run([check_packages.PREDICT, package], capture_output=True,
                      check=False).returncode != 0:
        seen.append("reader")
    elif refused(interpret, package, inputs, folder):
        seen.append("numbers")
    elif np.abs(interpret(package, inputs, folder) - expected).max() > 0.01:
        seen.append("numbers")
    return seen


def main():
    missed = []
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        schema.write_descriptors(folder / "schema")
        check_packages.run(check_packages.WRITE, MODEL, folder, BUCKET)
        sound = folder / f"s{BUCKET}.mlpackage"
        hidden, _ = check_packages.states_of(MODEL, BUCKET - 3, folder)
        inputs = check_packages.inputs_of(hidden, BUCKET)
        expected = interpret(sound, inputs, folder)
        if judges_of(sound, folder, (inputs, expected)):
            sys.exit("the sound package is refused")
        for fault, plant in FAULTS.items():
            faulty = folder / "faulty.mlpackage"
            shutil.rmtree(faulty, ignore_errors=True)
            shutil.copytree(sound, faulty)
            package = Package(faulty)
            plant(package)
            package.write()
            seen = judges_of(faulty, folder, (inputs, expected))
            print(f"{fault:28} {', '.join(seen) or 'nobody'}")
            if not seen:
                missed.append(fault)
    print(f"{len(FAULTS) - len(missed)} of {len(FAULTS)} faults seen")
    sys.exit(f"not seen: {missed}" if missed else 0)


if __name__ == "__main__":
    main()
