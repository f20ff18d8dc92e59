# SPDX-License-Identifier: Apache-2.0
"""The few calls of include/tandem/engine.h that the tools need, by ctypes. The layout
of every structure is compared with what the C compiler says before the library is used."""
import ctypes
import pathlib
import subprocess
import tempfile

import numpy as np

c_text, c_int, c_bool, c_size = ctypes.c_char_p, ctypes.c_int32, ctypes.c_bool, ctypes.c_size_t
c_floats = ctypes.POINTER(ctypes.c_float)
c_ints = ctypes.POINTER(c_int)


class tandem_error(ctypes.Structure):
    _fields_ = [("status", ctypes.c_int), ("line", ctypes.c_int), ("file", c_text),
                ("message", ctypes.c_char * 480)]


class tandem_engine_options(ctypes.Structure):
    _fields_ = [("model", c_text), ("shape", c_text), ("lane", c_text), ("dtype", c_text),
                ("threads", c_int), ("max_length", c_int), ("batch_tokens", c_int),
                ("policy", c_text), ("queue_tokens_max", ctypes.c_int64),
                ("tenant_tokens_max", ctypes.c_int64), ("cache_bytes", ctypes.c_int64),
                ("queue_ms_max", ctypes.c_double)]


class tandem_text(ctypes.Structure):
    _fields_ = [("ptr", c_text), ("len", c_size)]


class tandem_request(ctypes.Structure):
    _fields_ = [("texts", ctypes.POINTER(tandem_text)), ("pairs", ctypes.POINTER(tandem_text)),
                ("count", c_size), ("ids", c_ints), ("id_offsets", c_ints), ("lane", c_text),
                ("prompt_name", c_text), ("prompt", c_text), ("max_length", c_int),
                ("dimensions", c_int), ("priority", c_int), ("deadline_ms", ctypes.c_double),
                ("tenant", c_text), ("task", ctypes.c_int), ("fallback", ctypes.c_int),
                ("scoring", ctypes.c_int), ("raw_scores", c_bool), ("skip_normalize", c_bool),
                ("force_normalize", c_bool), ("refuse_long", c_bool),
                ("split_long", c_bool), ("replace_invalid", c_bool),
                ("truncate_left", c_bool),
                ("lane_classes", ctypes.c_uint32)]


class tandem_result(ctypes.Structure):
    _fields_ = [("vectors", c_floats), ("ids", c_ints),
                ("sparse_offsets", ctypes.POINTER(ctypes.c_int64)), ("sparse_ids", c_ints),
                ("sparse_weights", c_floats), ("texts", ctypes.c_void_p), ("count", c_size),
                ("rows", c_size), ("dimensions", c_int), ("failed", c_size),
                ("first_failed", c_size),
                ("truncated", c_size), ("cached", c_size), ("lane", c_text), ("dtype", c_text),
                ("reason", ctypes.c_char * 120), ("tokenize_ns", ctypes.c_uint64),
                ("queue_ns", ctypes.c_uint64), ("infer_ns", ctypes.c_uint64),
                ("retry_ns", ctypes.c_uint64), ("tokens", ctypes.c_int64),
                ("memory", ctypes.c_void_p)]


STRUCTURES = [tandem_error, tandem_engine_options, tandem_text, tandem_request, tandem_result]


def check_layout(include):
    """Raises if a structure above differs from its C twin in size or in the place of a field."""
    lines, expected = [], []
    for kind in STRUCTURES:
        lines.append(f'printf("%zu\\n", sizeof({kind.__name__}));')
        expected.append(ctypes.sizeof(kind))
        for name, _ in kind._fields_:
            lines.append(f'printf("%zu\\n", offsetof({kind.__name__}, {name}));')
            expected.append(getattr(kind, name).offset)
    source = ("#include <stddef.h>\n#include <stdio.h>\n#include <tandem/tandem.h>\n"
              "int main(void) {\n" + "\n".join(lines) + "\nreturn 0;\n}\n")
    with tempfile.TemporaryDirectory() as folder:
        program = pathlib.Path(folder, "layout")
        subprocess.run(["cc", "-x", "c", "-", "-I", str(include), "-o", str(program)],
                       input=source, text=True, check=True)
        out = subprocess.run([str(program)], capture_output=True, text=True, check=True).stdout
    if [int(line) for line in out.split()] != expected:
        raise RuntimeError("tools/tandem_ctypes.py does not match include/tandem/engine.h")


class Engine:
    """One model on one lane. Calls release Python's lock, as every ctypes call does."""

    def __init__(self, library, model, dtype, threads, lane="cpu"):
        self.c = ctypes.CDLL(str(library))
        self.lane = lane.encode()
        self.c.tandem_engine_close.argtypes = [ctypes.c_void_p]
        self.handle = ctypes.c_void_p()
        self.result = tandem_result()
        self.error = tandem_error()
        options = tandem_engine_options(model=str(model).encode(), dtype=dtype.encode(),
                                        lane=lane.encode(), threads=threads)
        self._check(self.c.tandem_engine_open(ctypes.byref(options), ctypes.byref(self.handle),
                                              ctypes.byref(self.error)))

    def _check(self, status):
        if status:
            raise RuntimeError(self.error.message.decode())

    def _infer(self, request):
        self._check(self.c.tandem_engine_infer(self.handle, ctypes.byref(request),
                                               ctypes.byref(self.result),
                                               ctypes.byref(self.error)))
        if self.result.failed:
            raise RuntimeError(f"{self.result.failed} texts failed: {self.error.message.decode()}")

    @staticmethod
    def _rows(texts):
        encoded = [text.encode() for text in texts]
        return (tandem_text * len(texts))(*[tandem_text(t, len(t)) for t in encoded]), encoded

    def prepare_texts(self, texts, pairs=None, **options):
        """A request made once, so that what is timed is the engine and not ctypes. Options are
        fields of tandem_request."""
        rows, encoded = self._rows(texts)
        request = tandem_request(texts=rows, count=len(texts), lane=self.lane, **options)
        request.keep = [rows, encoded]
        if pairs is not None:
            request.pairs, more = self._rows(pairs)
            request.keep += [request.pairs, more]
        return request

    def prepare_ids(self, rows, **options):
        flat = np.concatenate(rows).astype(np.int32)
        offsets = np.cumsum([0] + [len(row) for row in rows]).astype(np.int32)
        request = tandem_request(ids=flat.ctypes.data_as(c_ints), count=len(rows),
                                 id_offsets=offsets.ctypes.data_as(c_ints), lane=self.lane,
                                 **options)
        request.keep = (flat, offsets)
        return request

    def run(self, request):
        """The vectors [count, H] of a prepared request, in memory that the next run reuses."""
        self._infer(request)
        return np.ctypeslib.as_array(self.result.vectors,
                                     (self.result.rows, self.result.dimensions))

    def run_sparse(self, request, width):
        """Sparse vectors of a prepared request, [count, width] with their zeros."""
        self._infer(request)
        offsets = self.result.sparse_offsets
        vectors = np.zeros((self.result.count, width), dtype=np.float32)
        for row, vector in enumerate(vectors):
            entries = slice(offsets[row], offsets[row + 1])
            vector[self.result.sparse_ids[entries]] = self.result.sparse_weights[entries]
        return vectors

    def embed(self, texts):
        return self.run(self.prepare_texts(texts)).copy()

    def close(self):
        self.c.tandem_result_deinit(ctypes.byref(self.result))
        self.c.tandem_engine_close(self.handle)
