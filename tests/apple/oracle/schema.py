# SPDX-License-Identifier: Apache-2.0
"""Core ML's published schema as protoc takes it: coremltools carries it compiled, one descriptor a
file, and a set of them is what `protoc --descriptor_set_in` reads."""
import pathlib

from google.protobuf import descriptor_pb2

from pymil import coremltools

Model_pb2 = coremltools.proto.Model_pb2


def write_descriptors(path):
    """Writes the set to `path`, each file after those that it imports; returns `path`."""
    found = descriptor_pb2.FileDescriptorSet()
    seen = set()

    def add(file):
        if file.name in seen:
            return
        seen.add(file.name)
        for needed in file.dependencies:
            add(needed)
        file.CopyToProto(found.file.add())

    add(Model_pb2.DESCRIPTOR)
    pathlib.Path(path).write_bytes(found.SerializeToString())
    return path
