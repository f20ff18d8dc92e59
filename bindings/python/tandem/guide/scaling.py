# SPDX-License-Identifier: Apache-2.0
"""The guide's metrics measured, judged against its targets, and its scaler acting on them."""
from __future__ import annotations

import asyncio
import collections
import dataclasses
import re
import time
from typing import Sequence

import numpy as np

from ..errors import InvalidError
from ..pipeline import Pipeline
from . import context
from .backends import Request, as_request

WINDOW = 4096  # requests that are looked back at


class Monitor:
    """Requests by way of a monitor are measured: the guide's metrics of the last WINDOW of them."""

    def __init__(self, pipeline: Pipeline | None = None):
        self._pipeline = pipeline or context.pipeline()
        self._done: collections.deque = collections.deque(maxlen=WINDOW)  # (start, end, lane, busy)
        self._failed: collections.deque = collections.deque(maxlen=WINDOW)  # one flag a request
        self.queue_depth = 0

    async def infer(self, text, **options):
        start = time.perf_counter()
        self.queue_depth += 1
        try:
            result = await self._pipeline.infer(text, details=True, **options)
        except Exception:
            self._failed.append(True)
            raise
        finally:
            self.queue_depth -= 1
        end = time.perf_counter()
        self._failed.append(False)
        self._done.append((start, end, result.lane, result.infer_ms / 1e3))
        return result

    def metrics(self) -> dict:
        """latency_p95 in ms, throughput in requests/s, backend_utilization and error_rate in
        percent, queue_depth: requests under way now."""
        spans = list(self._done)
        wall = max((end for _, end, _, _ in spans), default=0) - \
            min((start for start, _, _, _ in spans), default=0)
        busy: dict[str, list] = collections.defaultdict(list)
        for _, end, lane, seconds in spans:
            busy[lane].append((end - seconds, end))
        return {
            "latency_p95": float(np.percentile([(end - start) * 1e3 for start, end, _, _ in spans],
                                               95)) if spans else 0.0,
            "throughput": len(spans) / wall if wall > 0 else 0.0,
            "backend_utilization": {lane: 100 * _covered(some) / wall
                                    for lane, some in busy.items()} if wall > 0 else {},
            "error_rate": 100 * sum(self._failed) / len(self._failed) if self._failed else 0.0,
            "queue_depth": self.queue_depth}


def _covered(spans: list[tuple[float, float]]) -> float:
    """Length of the union."""
    total, reached = 0.0, float("-inf")
    for start, end in sorted(spans):
        total += max(0.0, end - max(start, reached))
        reached = max(reached, end)
    return total


@dataclasses.dataclass(frozen=True)
class Check:
    """measured and passed are None where there is nothing to measure: a lane that was not used."""
    name: str
    target: str
    measured: float | None
    passed: bool | None

    def __str__(self) -> str:
        shown = "-" if self.measured is None else f"{self.measured:.1f}"
        verdict = {True: "pass", False: "FAIL", None: "not measured"}[self.passed]
        return f"{self.name:32} {self.target:14} {shown:>10}  {verdict}"


def check_targets(targets: dict, measured: dict, prefix: str = "") -> list[Check]:
    """The guide's dictionary of targets ("< 5ms", "> 300 req/sec") against Monitor.metrics()."""
    checks: list[Check] = []
    for name, target in targets.items():
        value = measured.get(name)
        if isinstance(target, dict):
            checks += check_targets(target, value or {}, f"{prefix}{name}.")
            continue
        found = re.match(r"\s*([<>])\s*([\d.]+)", target)
        if found is None:
            raise InvalidError(f"target {name}: {target!r}, expected < or > and a number")
        sign, limit = found.groups()
        passed = None if value is None else \
            value < float(limit) if sign == "<" else value > float(limit)
        checks.append(Check(prefix + name, target, value, passed))
    return checks


class AutoScaler:
    """The guide's scaler over requests that it serves itself (`run`). What it turns:

    ane_workers   requests under way at once on the latency lane
    metal_batch   texts of others that go to the throughput lane as one list
    backends      lanes that take part beside these two once there is too much of a queue
    """
    WORKERS_MAX = 16
    BATCH_MAX = 32

    def __init__(self, pipeline: Pipeline | None = None):
        self._pipeline = pipeline or context.pipeline()
        self.monitor = Monitor(self._pipeline)
        self.ane_workers = 1
        self.metal_batch = 4
        self.backends: list[str] = []

    async def scale_decision(self, metrics: dict) -> None:
        if metrics["latency_p95"] > 10:
            await self.add_ane_workers(2)
        elif metrics["throughput"] < 200:
            await self.optimize_batching()
        elif metrics["queue_depth"] > 20:
            await self.enable_all_backends()

    async def add_ane_workers(self, count: int) -> None:
        self.ane_workers = min(self.WORKERS_MAX, self.ane_workers + count)

    async def optimize_batching(self) -> None:
        self.metal_batch = min(self.BATCH_MAX, self.metal_batch * 2)

    async def enable_all_backends(self) -> None:
        self.backends = [name for name, lane in self._pipeline.available_backends.items()
                         if lane["available"] and name not in ("ane", "metal", "ref")]

    async def run(self, requests: Sequence[Request | str]) -> list[np.ndarray]:
        """Serves single texts: the urgent ones by the latency lane's workers, the others in lists
        by the throughput lane and the lanes that were enabled. Vectors in order."""
        urgent: collections.deque = collections.deque()
        others: collections.deque = collections.deque()
        for place, request in enumerate(map(as_request, requests)):
            is_urgent = request.priority in ("urgent", "realtime", "real_time")
            (urgent if is_urgent else others).append((place, request.text))
        found: list = [None] * len(requests)

        async def serve(waiting, count, backend, priority):
            while waiting:
                some = [waiting.popleft() for _ in range(min(count, len(waiting)))]
                result = await self.monitor.infer([text for _, text in some], backend=backend,
                                                  priority=priority)
                for (place, _), vector in zip(some, result.vectors):
                    found[place] = vector
        await asyncio.gather(
            *(serve(urgent, 1, "ane", "urgent") for _ in range(self.ane_workers)),
            *(serve(others, self.metal_batch, lane, "standard")
              for lane in ["metal", *self.backends]))
        return found
