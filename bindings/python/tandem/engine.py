# SPDX-License-Identifier: Apache-2.0
"""One model on this machine's lanes: a tandem_engine with the count of what is under way in it, so
that closing waits for the last answer to be read. Any thread may call; every C call lets other
Python threads run."""
from __future__ import annotations

import collections
import dataclasses
import json
import pathlib
import struct
import threading

from ._native import ffi, lib
from .errors import CancelledError, NotFoundError, make_error, text_of

SMALL_BELOW = 200_000_000
MEDIUM_BELOW = 600_000_000


@dataclasses.dataclass(frozen=True)
class Model:
    """What a model is. labels: names of a classifier's labels; size: small, medium or large."""
    name: str
    folder: str
    family: str
    similarity: str
    pooling: str
    parameters: int
    dimensions: int
    positions_max: int
    max_length: int
    labels: tuple[str, ...]
    prompts: tuple[str, ...]
    has_embedding: bool

    @property
    def size(self) -> str:
        return size_of(self.parameters)


def size_of(parameters: int) -> str:
    """The guide's classes: small < 200M <= medium < 600M <= large parameters."""
    if parameters < SMALL_BELOW:
        return "small"
    return "medium" if parameters < MEDIUM_BELOW else "large"


def locate(name: str) -> str:
    """The folder of a model's name, as the library finds it; nothing is opened or downloaded."""
    folder, err = ffi.new("char[4096]"), ffi.new("tandem_error *")
    status = lib.tandem_model_locate(name.encode(), folder, 4096, err)
    if status:
        raise make_error(status, err)
    return text_of(folder)


def count_parameters(folder: str) -> int:
    """By the headers of a folder's safetensors files: a class can be told before anything is
    opened."""
    total = 0
    for path in sorted(pathlib.Path(folder).glob("model*.safetensors")):
        with open(path, "rb") as file:
            (length,) = struct.unpack("<Q", file.read(8))
            header = json.loads(file.read(length))
        for name, tensor in header.items():
            if name != "__metadata__" and not name.endswith("position_ids"):
                count = 1
                for side in tensor["shape"]:
                    count *= side
                total += count
    if total == 0:
        raise NotFoundError(f"{folder}: no model*.safetensors, whose size model_size asks for")
    return total


def _words(chars, count: int) -> tuple[str, ...]:
    return tuple(text_of(chars[i]) for i in range(count))


class Engine:
    def __init__(self, options: dict):
        c = ffi.new("tandem_engine_options *")
        kept = []
        for name, value in options.items():
            if isinstance(value, str):
                value = ffi.new("char[]", value.encode())
                kept.append(value)
            if value is not None:
                setattr(c, name, value)
        handle, err = ffi.new("tandem_engine **"), ffi.new("tandem_error *")
        status = lib.tandem_engine_open(c, handle, err)
        if status:
            raise make_error(status, err)
        self.handle = handle[0]
        self.model = self._describe()
        self._lock = threading.Lock()
        self._users: collections.deque = collections.deque()  # its length counts, atomically
        self._is_closing = False

    def _describe(self) -> Model:
        info = ffi.new("tandem_model_info *")
        lib.tandem_engine_model(self.handle, info)
        return Model(
            name=text_of(info.name), folder=text_of(info.folder), family=text_of(info.family),
            similarity=text_of(info.similarity), pooling=text_of(info.pooling),
            parameters=info.parameters, dimensions=info.dimensions,
            positions_max=info.positions_max, max_length=info.max_length,
            labels=_words(info.label_names, info.labels),
            prompts=_words(info.prompt_names, info.prompt_count),
            has_embedding=info.has_embedding)

    def enter(self) -> None:
        """Before a call; `leave` comes after it, with nothing of the engine's in hand."""
        self._users.append(None)
        if self._is_closing:
            self.leave()
            raise CancelledError(f"model {self.model.name}: the pipeline is closed")

    def leave(self) -> None:
        self._users.pop()
        if self._is_closing and not self._users:
            with self._lock:
                handle, self.handle = self.handle, ffi.NULL
            lib.tandem_engine_close(handle)

    def drain(self, timeout_ms: float) -> bool:
        """Refuses what is new, waits for what is under way, cancels what is left then. False if
        something had to be cancelled. The engine goes when its last call has been read."""
        with self._lock:
            if self._is_closing:
                return True
            self._users.append(None)
            self._is_closing = True
        try:
            return not lib.tandem_engine_drain(self.handle, timeout_ms, ffi.NULL)
        finally:
            self.leave()

    def __del__(self):
        # Calls under way hold the engine, so there is none.
        handle = getattr(self, "handle", None)
        if handle:
            lib.tandem_engine_close(handle)

    def infer(self, request, result, err) -> None:
        """Blocks. The texts that failed alone are in the result."""
        self.enter()
        try:
            status = lib.tandem_engine_infer(self.handle, request, result, err)
        finally:
            self.leave()
        if status:
            raise make_error(status, err, retry_ns=result.retry_ns)

    def lanes(self) -> dict[str, dict]:
        infos = ffi.new("tandem_lane_info[]", lib.TANDEM_LANES_MAX)
        self.enter()
        try:
            count = lib.tandem_lanes(self.handle, infos)
        finally:
            self.leave()
        return lanes_of(infos, count)


def lanes_of(infos, count: int) -> dict[str, dict]:
    return {text_of(infos[i].name): {"available": infos[i].is_available,
                                     "reason": text_of(infos[i].reason)} for i in range(count)}


def pull(name: str, revision: str | None = None) -> str:
    """Gets a model from the Hugging Face Hub into its cache and returns the folder. What is there
    already is not fetched again. Blocks."""
    pulled, err = ffi.new("tandem_hub_pulled *"), ffi.new("tandem_error *")
    wanted = ffi.NULL if revision is None else ffi.new("char[]", revision.encode())
    status = lib.tandem_hub_pull(ffi.NULL, name.encode(), wanted, pulled, err)
    if status:
        raise make_error(status, err)
    return text_of(pulled.folder)
