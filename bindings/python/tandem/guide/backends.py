# SPDX-License-Identifier: Apache-2.0
"""The guide's rules for choosing backends, run for real. `backend="auto"` does better than any of
them: it knows what waits where and how long each lane takes."""
from __future__ import annotations

import asyncio
import collections
import dataclasses
from typing import Sequence, cast

import numpy as np

from ..errors import InvalidTypeError
from ..machine import machine
from ..pipeline import Pipeline
from ..requests import check_texts
from ..results import Result
from . import context


@dataclasses.dataclass
class Request:
    """What the guide's classes are given. text: one text or a list of them."""
    text: str | list[str]
    priority: str = "standard"

    @property
    def batch_size(self) -> int:
        return 1 if isinstance(self.text, str) else len(self.text)


def as_request(request: Request | str | Sequence[str]) -> Request:
    if isinstance(request, str):
        return Request(request)
    if isinstance(request, (list, tuple)):
        return Request(check_texts(request))
    if hasattr(request, "text") and hasattr(request, "priority"):
        return cast(Request, request)
    raise InvalidTypeError(f"request: {type(request).__name__}, expected a text, a list of texts "
                           "or a Request")


def get_thermal_state(pipeline: Pipeline | None = None) -> int:
    """The speed limit in percent as the engine takes it to be, by the processor's frequency limit,
    the thermal zones, or Pipeline.set_speed_limit: 100 = not throttled, under 90 = throttled."""
    return (pipeline or context.pipeline()).metrics()["speed_percent"]


def adjust_sequence_length(available_memory_gb: float | None = None) -> int:
    """The guide's lengths for less than 8, less than 16 and more GiB; without a number, of what is
    free now."""
    if available_memory_gb is None:
        free = machine().memory_available_bytes
        available_memory_gb = float("inf") if free is None else free / (1 << 30)
    if available_memory_gb < 8:
        return 256
    return 512 if available_memory_gb < 16 else 1024


def select_backend(request_type: str, batch_size: int, priority: str) -> str:
    """The guide's rule; `request_type` plays no part in it."""
    if priority == "real_time":
        return "ane"
    return "metal" if batch_size > 10 else "auto"


async def process_with_ane(requests: Sequence, pipeline: Pipeline | None = None) -> list:
    """Each request on the latency lane, all under way at once; vectors in order."""
    engine = pipeline or context.pipeline()
    return await asyncio.gather(*(engine.infer(as_request(request).text, backend="ane",
                                               priority="realtime") for request in requests))


async def distribute_across_backends(requests: Sequence, pipeline: Pipeline | None = None,
                                     details: bool = False) -> list[np.ndarray] | list[Result]:
    """Each request on the first lane that is free: one at a time on every lane that this machine
    has, so that each gets a share by its speed and none of them works without a pause in between.
    Vectors in order."""
    engine = pipeline or context.pipeline()
    lanes = [name for name, lane in engine.available_backends.items()
             if lane["available"] and name != "ref"]
    waiting = collections.deque(enumerate(map(as_request, requests)))
    found: list = [None] * len(waiting)

    async def work(lane: str) -> None:
        while waiting:
            place, request = waiting.popleft()
            result = await engine.infer(request.text, backend=lane, priority=request.priority,
                                        details=True)
            found[place] = result if details else result.vectors
    await asyncio.gather(*(work(lane) for lane in lanes))
    return found


class SmartBackendSelector:
    """The guide's selector with its queue counted: `infer` sends a request where select_backend
    says."""

    def __init__(self, pipeline: Pipeline | None = None):
        self.ane_queue_size = 0
        self.metal_queue_size = 0
        self._pipeline = pipeline or context.pipeline()

    def select_backend(self, request: Request) -> str:
        if request.priority == "urgent" and self.ane_queue_size < 5:
            return "ane"
        return "metal" if request.batch_size > 1 else "cpu"

    async def infer(self, request: Request, **options):
        request = as_request(request)
        backend = self.select_backend(request)
        self._count(backend, 1)
        try:
            return await self._pipeline.infer(request.text, backend=backend,
                                              priority=request.priority, **options)
        finally:
            self._count(backend, -1)

    def _count(self, backend: str, by: int) -> None:
        if backend == "ane":
            self.ane_queue_size += by
        elif backend == "metal":
            self.metal_queue_size += by


class BatchOptimizer:
    """The guide's grouping. Where the guide's own code drops a request that is neither urgent nor a
    batch, and computes one twice that is both, this one computes each once."""

    def __init__(self, pipeline: Pipeline | None = None):
        self._pipeline = pipeline or context.pipeline()

    async def optimize_batching(self, requests: Sequence[Request]) -> list:
        """The vectors of each request, in order; an exception in the place of one that failed."""
        requests = [as_request(request) for request in requests]
        groups: dict[str, list[int]] = {"ane": [], "metal": [], "rest": []}
        for place, request in enumerate(requests):
            kind = "ane" if request.priority == "urgent" else \
                "metal" if request.batch_size > 1 else "rest"
            groups[kind].append(place)
        process = {"ane": self.process_ane_batch, "metal": self.process_metal_batch,
                   "rest": self.process_rest}
        answers = await asyncio.gather(
            *(process[kind]([requests[place] for place in places])
              for kind, places in groups.items()), return_exceptions=True)
        found: list = [None] * len(requests)
        for places, answer in zip(groups.values(), answers):
            for i, place in enumerate(places):
                found[place] = answer if isinstance(answer, BaseException) else answer[i]
        return found

    async def process_ane_batch(self, requests: Sequence[Request]) -> list:
        """One by one, as the guide's latency lane takes them; all under way at once."""
        return await asyncio.gather(*(self._pipeline.infer(
            request.text, backend="ane", priority="urgent") for request in requests))

    async def process_metal_batch(self, requests: Sequence[Request]) -> list:
        """All texts of all requests in one list; the vectors of each request."""
        texts, ends = [], []
        for request in requests:
            texts += [request.text] if isinstance(request.text, str) else request.text
            ends.append(len(texts))
        if not texts:
            return []
        vectors = await self._pipeline.infer(texts, backend="metal")
        parts = np.split(vectors, ends[:-1])
        return [part[0] if isinstance(request.text, str) else part
                for part, request in zip(parts, requests)]

    async def process_rest(self, requests: Sequence[Request]) -> list:
        return await asyncio.gather(*(self._pipeline.infer(
            request.text, priority=request.priority) for request in requests))


class MemoryOptimizer:
    """The guide's limits, kept: lists are cut to what a backend takes at a time, and texts to the
    length that free memory allows."""

    def __init__(self, pipeline: Pipeline | None = None):
        self.max_sequence_length = 512
        self.batch_size_limits = {"ane": 1, "metal": 32, "cpu": 8}
        self._pipeline = pipeline or context.pipeline()

    def max_length(self) -> int:
        return min(self.max_sequence_length, adjust_sequence_length())

    async def infer(self, texts: Sequence[str], backend: str = "metal") -> np.ndarray:
        """[n, H]; one part of the list is under way at a time."""
        texts, limit = check_texts(texts), self.batch_size_limits[backend]
        return np.concatenate([
            await self._pipeline.infer(texts[first:first + limit], backend=backend,
                                       max_length=self.max_length())
            for first in range(0, len(texts), limit)])
