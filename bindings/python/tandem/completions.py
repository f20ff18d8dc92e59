# SPDX-License-Identifier: Apache-2.0
"""Calls that do not block, told about by a descriptor that the event loop watches: no thread waits
for an answer, however many are under way. One completion queue an event loop, shared by all
pipelines that it uses.

A call belongs to the loop that submitted it. Its future is settled and the call closed on that
loop's thread alone, so that cancelling, which happens there too, never meets a call that is gone.
Only the submit of a large request runs on another thread; its call is cancelled from the loop
once that thread has it."""
from __future__ import annotations

import asyncio
import itertools
import logging
import threading
import weakref

import numpy as np

from ._native import ffi, lib
from .errors import make_error, text_of
from .requests import Prepared
from .results import copy_vectors, describe, errors_of, is_large, keep_vectors, new_result

# Tokenizing goes at about 100 MB/s on the caller's thread, so this many characters hold the loop
# for some 0.1 ms; a longer request is submitted from a thread of the loop's executor.
SUBMIT_CHARACTERS = 8192
FLOATS = ffi.typeof("float[]")
_logger = logging.getLogger("tandem")


class Form:
    """Requests for one text with the same options to the same engine: what is the same of them,
    made once."""
    __slots__ = ("engine", "ask", "dimensions", "free")

    def __init__(self, engine, ask):
        self.engine = engine
        self.ask = ask
        self.dimensions = ask.dimensions or engine.model.dimensions
        self.free: list = []  # of Slot

    def take(self) -> "Slot":
        """One that nobody uses; `free.append` gives it back."""
        try:
            return self.free.pop()
        except IndexError:
            return Slot(self)


class Slot:
    __slots__ = ("prepared", "request", "result", "err")

    def __init__(self, form: Form):
        self.prepared = Prepared(None, None, form.ask, form.engine.model.positions_max)
        self.request = self.prepared.request
        self.result = new_result()
        self.err = ffi.new("tandem_error *")


class Pending:
    """A call under way. dimensions: of the one vector that is all the caller wants, else 0."""
    __slots__ = ("future", "engine", "call", "lane", "is_single", "is_detailed", "dimensions")

    def __init__(self, future, engine, lane, is_single, is_detailed, dimensions=0):
        self.future = future
        self.engine = engine
        self.call = None
        self.lane = lane  # asked for; NULL for auto
        self.is_single = is_single
        self.is_detailed = is_detailed
        self.dimensions = dimensions


_said: set[tuple[str, str]] = set()


def say_fallback(lane, result) -> None:
    """Once a process for each lane that is asked for and does not serve."""
    pair = (text_of(lane), text_of(result.lane))
    if pair[0] != pair[1] and pair not in _said:
        _said.add(pair)
        _logger.warning("lane %s serves instead of %s: %s", pair[1], pair[0],
                        text_of(result.reason))


def answer(result, err, lane, is_single: bool, is_detailed: bool, vectors):
    """What the caller asked for of a result whose call did not fail as a whole."""
    if lane:
        say_fallback(lane, result)
    errors = errors_of(result, err) if result.failed else {}
    if errors and not is_detailed:
        raise errors[result.first_failed]
    if is_single:
        if errors:
            raise errors[0]
        vectors = vectors[0]
    return describe(result, vectors, errors) if is_detailed else vectors


class Completions:
    def __init__(self):
        err, queue = ffi.new("tandem_error *"), ffi.new("tandem_queue **")
        status = lib.tandem_queue_open(queue, err)
        if status:
            raise make_error(status, err)
        self.queue = queue[0]
        self.fd = lib.tandem_queue_fd(self.queue)
        self._pending: dict[int, Pending] = {}
        self._tags = itertools.count(1)
        self._done = ffi.new("shim_done *")
        self._retry = ffi.new("uint64_t *")
        self._err = err
        self.is_orphan = False  # the loop is closed: nobody awaits

    def submit(self, engine, prepared, pending: Pending) -> int:
        """Hands a request in, on any thread; the tag is for cancel."""
        call, retry = ffi.new("tandem_call **"), ffi.new("uint64_t *")
        err = ffi.new("tandem_error *")
        tag = next(self._tags)
        engine.enter()
        self._pending[tag] = pending
        status = lib.tandem_queue_submit(self.queue, engine.handle, prepared.request,
                                         ffi.cast("void *", tag), call, retry, err)
        if status:
            del self._pending[tag]
            engine.leave()
            raise make_error(status, err, retry_ns=retry[0])
        pending.call = call[0]
        return tag

    def submit_text(self, form: Form, data: bytes, pending: Pending) -> int:
        """One text, on the loop's thread."""
        engine, tag, err = form.engine, next(self._tags), self._err
        engine.enter()
        self._pending[tag] = pending
        slot = form.take()
        call = lib.shim_submit(self.queue, engine.handle, slot.request, data, len(data), tag,
                               self._retry, err)
        form.free.append(slot)
        if not call:
            del self._pending[tag]
            engine.leave()
            raise make_error(err.status, err, retry_ns=self._retry[0])
        pending.call = call
        return tag

    def cancel(self, tag: int) -> None:
        """On the loop's thread. Nothing happens to a call that is done."""
        pending = self._pending.get(tag)
        if pending is not None:
            lib.tandem_call_cancel(pending.call)

    def drain(self) -> None:
        """Settles the futures of all calls that are done. On the loop's thread, or on any once the
        loop is closed."""
        done, err = self._done, self._err
        while lib.shim_next(self.queue, done, err):
            pending = self._pending.pop(done.tag)
            try:
                if not self.is_orphan and not pending.future.done():
                    self._settle(pending, done, err)
            finally:
                lib.tandem_call_close(done.call)
                pending.engine.leave()

    def _settle(self, pending: Pending, done, err) -> None:
        future, result = pending.future, done.result
        if done.is_plain and result.dimensions == pending.dimensions:
            vector = np.empty(pending.dimensions, np.float32)
            lib.shim_copy(result, ffi.from_buffer(FLOATS, vector))
            if pending.lane:
                say_fallback(pending.lane, result)
            future.set_result(vector)
            return
        try:
            if done.status:
                raise make_error(done.status, err)
            if is_large(result):
                result = new_result()
                lib.tandem_call_take(done.call, result, ffi.NULL)
                vectors = keep_vectors(result)
            else:
                vectors = copy_vectors(result)
            future.set_result(answer(result, err, pending.lane, pending.is_single,
                                     pending.is_detailed, vectors))
        except Exception as error:
            future.set_exception(error)

    @property
    def count(self) -> int:
        return len(self._pending)

    def close(self) -> None:
        """When nothing is under way any more."""
        queue, self.queue = self.queue, ffi.NULL
        lib.tandem_queue_close(queue)


_by_loop: weakref.WeakKeyDictionary = weakref.WeakKeyDictionary()
_orphans: list[Completions] = []  # of loops that are gone; calls may still be under way
_lock = threading.Lock()


_last: tuple = (lambda: None, None)  # (reference to a loop, its completions)


def of_running_loop() -> tuple[asyncio.AbstractEventLoop, Completions]:
    global _last
    loop = asyncio.get_running_loop()
    last, found = _last
    if last() is loop:
        return loop, found
    found = _by_loop.get(loop)
    if found is None:
        found = Completions()
        loop.add_reader(found.fd, found.drain)
        _by_loop[loop] = found
        weakref.finalize(loop, _retire, found)
        _sweep()
    _last = weakref.ref(loop), found
    return loop, found


def _retire(completions: Completions) -> None:
    completions.is_orphan = True
    _orphans.append(completions)


def _sweep() -> None:
    """Reads what nobody reads any more: queues of loops that are closed or gone."""
    with _lock:
        for loop, completions in list(_by_loop.items()):
            if loop.is_closed():
                completions.is_orphan = True
                completions.drain()
        for completions in list(_orphans):
            completions.drain()
            if completions.count == 0:
                _orphans.remove(completions)
                completions.close()


def drain_all() -> None:
    """Reads for this thread's loop as well, when nothing else of it may come to run."""
    _sweep()
    try:
        loop = asyncio.get_running_loop()
    except RuntimeError:
        return
    if loop in _by_loop:
        _by_loop[loop].drain()
