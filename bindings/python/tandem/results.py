# SPDX-License-Identifier: Apache-2.0
"""What a request gives back, and how the library's memory becomes numpy's.

A small result is copied once into memory of numpy's own, so that one vector that is kept does not
keep the memory of a whole request. From KEEP_BYTES on nothing is copied: the array lies in the
library's result, which is freed when the last array that looks at it is."""
from __future__ import annotations

import dataclasses

import numpy as np

from ._native import ffi, lib
from .errors import Error, make_error, text_of

KEEP_BYTES = 1 << 16
_F32 = np.dtype(np.float32)


@dataclasses.dataclass
class Result:
    """Vectors and how they came to be; `infer(..., details=True)` returns one.

    vectors     [H] for one text, [n, H] for a list; float32
    lane        that served, and dtype: its arithmetic
    reason      why that lane
    tokens      computed, special ones included
    truncated   texts that lost tokens to max_length
    cached      sequences whose vectors were known
    errors      {index: Error} of the texts that failed alone; their vectors are zero
    ..._ms      wall time of each stage
    """
    vectors: np.ndarray
    lane: str
    dtype: str
    reason: str
    tokens: int
    truncated: int
    cached: int
    errors: dict[int, Error]
    tokenize_ms: float
    queue_ms: float
    infer_ms: float


class _Kept:
    """What numpy looks through at a C result: the array's base keeps this, and this keeps that."""
    __slots__ = ("__array_interface__", "result", "__weakref__")
    __array_interface__: dict
    result: object


def new_result():
    """An empty tandem_result that is freed with the last look at it."""
    return ffi.gc(ffi.new("tandem_result *"), lib.tandem_result_deinit)


def copy_vectors(result) -> np.ndarray:
    """[rows, dimensions] in memory of its own: one memcpy."""
    vectors = np.empty((result.rows, result.dimensions), _F32)
    if vectors.nbytes:
        ffi.memmove(ffi.from_buffer(vectors), result.vectors, vectors.nbytes)
    return vectors


def keep_vectors(result) -> np.ndarray:
    """[rows, dimensions] in the memory of `result`, which has to come from new_result."""
    kept = _Kept()
    kept.result = result
    kept.__array_interface__ = {
        "version": 3, "shape": (result.rows, result.dimensions), "typestr": _F32.str,
        "data": (int(ffi.cast("uintptr_t", result.vectors)), False)}
    return np.asarray(kept)


def is_large(result) -> bool:
    return result.rows * result.dimensions * 4 >= KEEP_BYTES


def errors_of(result, err) -> dict[int, Error]:
    """The texts that failed. The record is about the first of them; the others have the text of
    their status."""
    found: dict[int, Error] = {}
    for i in range(result.count if result.failed else 0):
        status = result.texts[i].status
        if status != lib.TANDEM_OK:
            record = err if i == result.first_failed else ffi.new("tandem_error *")
            found[i] = make_error(status, record, index=i)
    return found


def describe(result, vectors: np.ndarray, errors: dict[int, Error]) -> Result:
    return Result(
        vectors=vectors, lane=text_of(result.lane), dtype=text_of(result.dtype),
        reason=text_of(result.reason), tokens=result.tokens, truncated=result.truncated,
        cached=result.cached,
        errors=errors, tokenize_ms=result.tokenize_ns / 1e6, queue_ms=result.queue_ns / 1e6,
        infer_ms=result.infer_ns / 1e6)


def join(parts: list[Result]) -> Result:
    """The parts of one list, in order, as one."""
    if len(parts) == 1:
        return parts[0]
    errors: dict[int, Error] = {}
    first = 0
    for part in parts:
        for index, error in part.errors.items():
            error.index = first + index
            error.args = (str(error).replace(f"text {index}:", f"text {first + index}:", 1),)
            errors[first + index] = error
        first += len(part.vectors)
    lanes = list(dict.fromkeys(part.lane for part in parts))
    return Result(
        vectors=np.concatenate([part.vectors for part in parts]), lane=",".join(lanes),
        dtype=parts[-1].dtype, reason=parts[-1].reason, tokens=sum(p.tokens for p in parts),
        truncated=sum(p.truncated for p in parts), cached=sum(p.cached for p in parts),
        errors=errors,
        tokenize_ms=sum(p.tokenize_ms for p in parts), queue_ms=sum(p.queue_ms for p in parts),
        infer_ms=sum(p.infer_ms for p in parts))
