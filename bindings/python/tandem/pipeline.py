# SPDX-License-Identifier: Apache-2.0
"""The pipeline: texts in, numpy arrays out, on whichever processor answers first."""
from __future__ import annotations

import asyncio
import collections
import dataclasses
import functools
import logging
import time
from typing import (TYPE_CHECKING, AsyncIterable, AsyncIterator, Iterable, Literal, Sequence,
                    TypedDict, overload)

import numpy as np

from ._native import ffi, lib
from .completions import (FLOATS, SUBMIT_CHARACTERS, Form, Pending, answer, drain_all,
                          of_running_loop, say_fallback)
from .engine import Engine, Model, lanes_of
from .errors import (CapacityError, Error, InvalidError, InvalidTypeError, UnsupportedError,
                     make_error)
from .measured import read_metrics
from .models import Shelf
from .requests import (Ask, Prepared, check, check_int, check_text, check_texts, encode,
                       parts_of)
from .results import Result, copy_vectors, is_large, join, keep_vectors

if TYPE_CHECKING:
    from typing_extensions import Unpack

_logger = logging.getLogger("tandem")
FORMS_MAX = 256  # combinations of options that are kept ready
# Above this many products a search leaves the event loop's thread.
SEARCH_PRODUCTS = 1 << 20


@dataclasses.dataclass(frozen=True)
class Match:
    """A row of a search or a document of a ranking: its place in what was given, and its score."""
    index: int
    score: float
    text: str | None = None


@dataclasses.dataclass(frozen=True)
class Label:
    """A classifier's label and how well it fits."""
    label: str
    score: float


class Options(TypedDict, total=False):
    """The options of a request; Pipeline.infer says what each is."""
    max_length: int | None
    priority: str | int
    model_size: str | None
    deadline_ms: float | None
    tenant: str | None
    long: str
    fallback: bool
    dimensions: int | None
    prompt: str | None


class Pipeline:
    """Models of this machine, opened, on every lane it has.

        pipeline = tandem.Pipeline()                       # all-MiniLM-L6-v2
        vector = await pipeline.infer("Hello, world")      # float32 [H]
        vectors = await pipeline.infer(["one", "two"], backend="metal", priority="background")
        pipeline.close()

    model       a Hub name or a folder; opened here, so that what is wrong with it is said here
    models      instead: several, each opened when first asked for, on another thread than the
                event loop's. `model_size` says which of them a request is for, otherwise the first
                that is made for the task
    lane        "auto" or the lane to open: "cpu", "ref", ...
    dtype       "f16" (default), "f32", ...: the arithmetic
    threads     compute threads; 0 = the processors this process may use
    max_length  tokens; 0 = the model's own
    policy      "predict" (default), "rules", "rules-simple": how requests find lanes
    cache_bytes memory for vectors of texts that come again; 0 = none
    batch_tokens, queue_tokens_max, tenant_tokens_max: see tandem/engine.h

    Any thread and any event loop may use one pipeline at the same time. `with` and `async with`
    close it.
    """

    def __init__(self, model: str | None = None, *, models: Sequence[str] | None = None,
                 lane: str = "auto", dtype: str | None = None, threads: int = 0,
                 max_length: int = 0, policy: str | None = None, batch_tokens: int = 0,
                 queue_tokens_max: int = 0, tenant_tokens_max: int = 0, cache_bytes: int = 0):
        self._shelf = Shelf(model, models, {
            "lane": check_text(lane, "lane"),
            "dtype": None if dtype is None else check_text(dtype, "dtype"),
            "policy": None if policy is None else check_text(policy, "policy"),
            "threads": check_int("threads", threads, 0),
            "max_length": check_int("max_length", max_length, 0),
            "cache_bytes": check_int("cache_bytes", cache_bytes, 0, 1 << 62),
            "batch_tokens": check_int("batch_tokens", batch_tokens, 0),
            "queue_tokens_max": check_int("queue_tokens_max", queue_tokens_max, 0, 1 << 62),
            "tenant_tokens_max": check_int("tenant_tokens_max", tenant_tokens_max, 0, 1 << 62)})
        self._forms: dict[tuple, Form] = {}
        if models is None:
            self._shelf.choose("embed", None).open()

    # Embeddings.

    @overload
    async def infer(self, text: str | Sequence[str], backend: str = ..., *,
                    details: Literal[False] = ..., **options: Unpack[Options]) -> np.ndarray: ...

    @overload
    async def infer(self, text: str | Sequence[str], backend: str = ..., *,
                    details: Literal[True], **options: Unpack[Options]) -> Result: ...

    async def infer(self, text: str | Sequence[str], backend: str = "auto", *,
                    max_length: int | None = None, priority: str | int = "standard",
                    model_size: str | None = None, deadline_ms: float | None = None,
                    tenant: str | None = None, long: str = "auto", fallback: bool = True,
                    dimensions: int | None = None, prompt: str | None = None,
                    details: bool = False) -> np.ndarray | Result:
        """The vector [H] of a text, or the vectors [n, H] of a list; float32.

        backend      "auto", "ane", "metal", "cuda", "cpu", "ref". One that this machine lacks is
                     replaced by the next of its class; that is logged, and `details` says it.
                     With fallback=False it is an error
        max_length   tokens that a text is cut to; default: the model's own. More than the model
                     has positions for (1024, where MiniLM has 512): longer texts are read whole,
                     in windows that overlap, averaged by their tokens
        long         "truncate", "split" or "error" for texts over max_length; "auto" truncates but
                     for the case above
        priority     "realtime" ("real_time", "urgent"), "standard", "background", or an int,
                     lower first
        model_size   "small" (under 200M parameters), "medium" (under 600M), "large"
        deadline_ms  from now; what cannot meet it is refused at once with DeadlineError
        tenant       whose bound on waiting work it counts against
        dimensions   keep the first of each vector (matryoshka)
        prompt       name of one of the model's prompts
        details      a Result instead: vectors, lane, reason, times; a text that fails alone is in
                     `errors` then, and raises otherwise

        Cancelling the task cancels the work. No thread waits for the answer. A long list is
        tokenized on a thread of the loop's executor; one over some 4,000 texts goes to the engine
        in parts, and its answer is put together by one copy."""
        key = (backend, priority, max_length, deadline_ms, tenant, long, fallback, dimensions,
               prompt, model_size)
        form = self._find_form(key)
        if form is None:
            ask = check(*key)
            if not isinstance(text, str):
                check_texts(text)
            form = self._keep_form(key, ask, await self._engine("embed", model_size))
        if not isinstance(text, str):
            texts = check_texts(text)
            return await self._run(form.engine, texts, None, form.ask, details,
                                   lib.TANDEM_TASK_EMBED)
        return await self._wait_text(form, text, details)

    @overload
    def infer_sync(self, text: str | Sequence[str], backend: str = ..., *,
                   details: Literal[False] = ..., **options: Unpack[Options]) -> np.ndarray: ...

    @overload
    def infer_sync(self, text: str | Sequence[str], backend: str = ..., *,
                   details: Literal[True], **options: Unpack[Options]) -> Result: ...

    def infer_sync(self, text: str | Sequence[str], backend: str = "auto", *,
                   max_length: int | None = None, priority: str | int = "standard",
                   model_size: str | None = None, deadline_ms: float | None = None,
                   tenant: str | None = None, long: str = "auto", fallback: bool = True,
                   dimensions: int | None = None, prompt: str | None = None,
                   details: bool = False) -> np.ndarray | Result:
        """As `infer`, blocking: on an idle lane the calling thread computes itself."""
        key = (backend, priority, max_length, deadline_ms, tenant, long, fallback, dimensions,
               prompt, model_size)
        form = self._find_form(key)
        if form is None:
            ask = check(*key)
            form = self._keep_form(key, ask, self._shelf.choose("embed", model_size).open())
        if isinstance(text, str):
            return self._block_text(form, text, details)
        texts = check_texts(text)
        parts = parts_of(texts)
        if len(parts) == 1:
            return self._block(form, texts, details)
        return _whole(self._block_parts(form, [texts[part] for part in parts]), details)

    async def stream(self, texts: Iterable[str] | AsyncIterable[str], backend: str = "auto", *,
                     window: int = 256, **options) -> AsyncIterator[tuple[int, np.ndarray]]:
        """(index, vector) of each text as soon as it is done, in whatever order that is. Takes the
        options of `infer` but for details, and texts from any iterable, asynchronous or not, at
        most `window` of them ahead. Leaving the loop early cancels what is under way."""
        if isinstance(texts, (str, bytes)) or not (hasattr(texts, "__iter__") or
                                                   hasattr(texts, "__aiter__")):
            raise InvalidTypeError(f"texts: {type(texts).__name__}, expected an iterable of str")
        check_int("window", window, 1)
        ask = check(backend, **options)
        form = Form(await self._engine("embed", ask.model_size), ask)
        done: asyncio.Queue = asyncio.Queue()
        under_way: dict[int, asyncio.Task] = {}
        source, index, is_over = _iterate(texts), 0, False
        try:
            while under_way or not is_over:
                while not is_over and len(under_way) < window:
                    try:
                        text = await source.__anext__()
                    except StopAsyncIteration:
                        is_over = True
                        break
                    text = check_text(text, f"texts[{index}]")
                    task = asyncio.ensure_future(self._wait_text(form, text, False))
                    under_way[index] = task
                    task.add_done_callback(functools.partial(_put, done, index))
                    index += 1
                if not under_way:
                    break
                i = await done.get()
                try:
                    vector = under_way.pop(i).result()
                except Error as error:
                    error.index = i
                    raise
                yield i, vector
        finally:
            for task in under_way.values():
                task.cancel()
            await asyncio.gather(*under_way.values(), return_exceptions=True)

    # Relevance and labels.

    async def rerank(self, query: str, documents: Sequence[str], *, top_n: int | None = None,
                     **options) -> list[Match]:
        """The documents by their relevance to the query, best first. The model is a cross-encoder;
        with an embedder the score is the similarity of the vectors, which is weaker, and that is
        logged. Options as `infer`."""
        check_text(query, "query")
        documents = check_texts(documents, "documents")
        if top_n is not None:
            check_int("top_n", top_n, 1)
        ask = check(**options)
        engine = await self._engine("rerank", ask.model_size)
        if len(engine.model.labels) == 1:
            result = await self._run(engine, [query] * len(documents), documents, ask, False,
                                     lib.TANDEM_TASK_CLASSIFY)
            scores = result[:, 0]
        else:
            scores = await self._similarities(engine, query, documents, ask)
        order = np.argsort(-scores, kind="stable")[:top_n]
        return [Match(int(i), float(scores[i]), documents[i]) for i in order]

    async def _similarities(self, engine: Engine, query, documents, ask: Ask) -> np.ndarray:
        model = engine.model
        if len(model.labels) > 1 or not model.has_embedding:
            raise UnsupportedError(f"model {model.name} has {len(model.labels)} labels, where "
                                   "rerank needs one score a pair, or an embedder")
        if model.name not in self._shelf.said:
            self._shelf.said.add(model.name)
            _logger.warning("model %s is no cross-encoder: scores are similarities of its vectors",
                            model.name)
        one, many = await asyncio.gather(
            self._run(engine, [query], None, dataclasses.replace(ask, prompt_name="query"), False,
                      lib.TANDEM_TASK_EMBED),
            self._run(engine, documents, None, dataclasses.replace(ask, prompt_name="document"),
                      False, lib.TANDEM_TASK_EMBED))
        return similarity(one[0], many, model)

    async def classify(self, text: str | Sequence[str], **options) -> list:
        """The labels of a text, best first, as a list of Label; of a list of texts, a list of
        those. The model is a sequence classifier. Options as `infer`."""
        is_single = isinstance(text, str)
        texts = [text] if is_single else check_texts(text)
        ask = check(**options)
        engine = await self._engine("classify", ask.model_size)
        names = engine.model.labels
        if not names:
            raise UnsupportedError(f"model {engine.model.name} is no sequence classifier")
        scores = await self._run(engine, texts, None, ask, False, lib.TANDEM_TASK_CLASSIFY)
        ranked = [[Label(names[i], float(row[i])) for i in np.argsort(-row, kind="stable")]
                  for row in scores]
        return ranked[0] if is_single else ranked

    async def search(self, query: str | np.ndarray, vectors: np.ndarray, *, top_n: int = 10,
                     **options) -> list[Match]:
        """The rows of `vectors` [n, H] nearest to a query, a text or a vector [H], best first:
        every row is compared. Cosine, or the dot product where the model is made for that."""
        check_int("top_n", top_n, 1)
        if not isinstance(vectors, np.ndarray) or vectors.ndim != 2:
            raise InvalidTypeError(f"vectors: {type(vectors).__name__}, expected an array [n, H]")
        ask = check(**options)
        engine = await self._engine("embed", ask.model_size)
        if isinstance(query, str):
            query = await self.infer(query, **options)
        if not isinstance(query, np.ndarray):
            raise InvalidTypeError(f"query: {type(query).__name__}, expected str or an array [H]")
        if query.shape != vectors.shape[1:]:
            raise InvalidError(f"query: shape {list(query.shape)}, expected "
                               f"[{vectors.shape[1]}] as the rows of vectors")
        if vectors.size < SEARCH_PRODUCTS:
            scores = similarity(query, vectors, engine.model)
        else:
            scores = await asyncio.get_running_loop().run_in_executor(
                None, similarity, query, vectors, engine.model)
        return [Match(int(i), float(scores[i])) for i in best(scores, top_n)]

    # The machine and the models.

    @property
    def available_backends(self) -> dict[str, dict]:
        """{name: {"available": bool, "reason": why not}} of every lane that tandem knows of."""
        engine = self._shelf.any_open()
        if engine is not None:
            return engine.lanes()
        infos = ffi.new("tandem_lane_info[]", lib.TANDEM_LANES_MAX)
        return lanes_of(infos, lib.tandem_lanes(ffi.NULL, infos))

    @property
    def model(self) -> Model:
        """The model that `infer` uses when nothing else is said. Opens it if need be."""
        return self._shelf.choose("embed", None).open().model

    def metrics(self) -> dict:
        """What the engine of `model` measured since it was opened: counts of requests, times by
        priority, lanes, reasons, the guide's targets with what was measured. The names are those
        of include/tandem/metrics.h; an open engine takes some microseconds for it."""
        return read_metrics(self._shelf.choose("embed", None).open())

    @property
    def is_ready(self) -> bool:
        """A lane has computed something within the last half minute, a request or a probe. The
        first question starts the probes."""
        engine = self._shelf.choose("embed", None).open()
        engine.enter()
        try:
            return bool(lib.tandem_engine_is_ready(engine.handle))
        finally:
            engine.leave()

    def set_speed_limit(self, percent: int | None) -> None:
        """Tells how fast the machine may run, in percent, for those who know more about its heat
        than the engine, which looks at it within a second; None gives that back to the engine.
        Cooling down is believed after a while only."""
        limit = 0 if percent is None else check_int("percent", percent, 1, 100)
        engine = self._shelf.choose("embed", None).open()
        engine.enter()
        try:
            lib.tandem_engine_set_speed_limit(engine.handle, limit)
        finally:
            engine.leave()

    def close(self, timeout_ms: float = 1000) -> bool:
        """Waits for what is under way, at most that long, and cancels what is left: those who wait
        for it get CancelledError. Returns False if something was cancelled. Again: nothing."""
        self._forms.clear()
        finished = all([engine.drain(timeout_ms) for engine in self._shelf.close()])
        drain_all()
        return finished

    async def aclose(self, timeout_ms: float = 1000) -> bool:
        """`close`, without blocking the event loop."""
        finished = await asyncio.get_running_loop().run_in_executor(None, self.close, timeout_ms)
        drain_all()
        return finished

    def __enter__(self) -> "Pipeline":
        return self

    def __exit__(self, *_) -> None:
        self.close()

    async def __aenter__(self) -> "Pipeline":
        return self

    async def __aexit__(self, *_) -> None:
        await self.aclose()

    # Calls.

    async def _engine(self, task: str, model_size: str | None) -> Engine:
        place = self._shelf.choose(task, model_size)
        if place.engine is not None:
            return place.engine
        return await asyncio.get_running_loop().run_in_executor(None, place.open)

    async def _wait(self, engine, prepared, ask, is_single, is_detailed, characters):
        """One call, until its future is settled."""
        return await _settled(*await self._hand_in(engine, prepared, ask, is_single, is_detailed,
                                                   characters))

    async def _hand_in(self, engine, prepared, ask, is_single, is_detailed, characters):
        loop, completions = of_running_loop()
        pending = Pending(loop.create_future(), engine, ask.lane, is_single, is_detailed)
        if characters <= SUBMIT_CHARACTERS:
            tag = completions.submit(engine, prepared, pending)
        else:
            submitted = loop.run_in_executor(None, completions.submit, engine, prepared, pending)
            try:
                tag = await asyncio.shield(submitted)
            except asyncio.CancelledError:
                pending.future.cancel()
                submitted.add_done_callback(
                    lambda made: made.exception() or completions.cancel(made.result()))
                raise
        return completions, pending, tag

    async def _run(self, engine, texts, pairs, ask, is_detailed, task):
        """A list, in one call or in parts of which two are under way."""
        parts = parts_of(texts if pairs is None else pairs)
        if len(parts) == 1:
            return await self._part(engine, texts, pairs, ask, is_detailed, task)
        done: list[Result] = []
        rest, turn = _Deadline(ask), asyncio.Lock()
        running: collections.deque = collections.deque()
        try:
            for part in parts:
                if len(running) == 2:
                    done.append(await running[0])
                    running.popleft()
                running.append(asyncio.ensure_future(self._patient_part(
                    engine, texts[part], pairs and pairs[part], rest.of(ask), task, turn,
                    part.start > 0)))
            while running:
                done.append(await running[0])
                running.popleft()
        finally:
            for one in running:
                one.cancel()
            await asyncio.gather(*running, return_exceptions=True)
        return _whole(join(done), is_detailed)

    async def _part(self, engine, texts, pairs, ask, is_detailed, task, turn=None):
        """With a turn, parts of a list are handed in one after another, as they were begun."""
        def prepare():
            prepared = Prepared(texts, pairs, ask, engine.model.positions_max)
            prepared.request.task = task
            return prepared

        characters = sum(map(len, texts)) + (sum(map(len, pairs)) if pairs else 0)
        async with turn or asyncio.Lock():
            if characters > SUBMIT_CHARACTERS:
                prepared = await asyncio.get_running_loop().run_in_executor(None, prepare)
            else:
                prepared = prepare()
            call = await self._hand_in(engine, prepared, ask, False, is_detailed, characters)
        return await _settled(*call)

    async def _patient_part(self, engine, texts, pairs, ask, task, turn, is_begun) -> Result:
        """A list that has been begun is not given up because others fill the queue."""
        while True:
            try:
                return await self._part(engine, texts, pairs, ask, True, task, turn)
            except CapacityError as error:
                if not is_begun:
                    raise
                await asyncio.sleep(_pause(error))

    # One text with options that came before: the way that has to be short.

    def _find_form(self, key: tuple) -> Form | None:
        """The form of checked options; True does not pass for 1, nor 2.0 for 2."""
        try:
            return self._forms.get((key, *map(type, key)))
        except TypeError:  # something that cannot be a key is none; check will say what it is
            return None

    def _keep_form(self, key: tuple, ask: Ask, engine: Engine) -> Form:
        if len(self._forms) >= FORMS_MAX:
            self._forms.clear()
        form = self._forms[(key, *map(type, key))] = Form(engine, ask)
        return form

    def _block_text(self, form: Form, text: str, is_detailed: bool):
        data = encode(text, "text")
        vector = np.empty(form.dimensions, np.float32)
        engine, slot, lane = form.engine, form.take(), form.ask.lane
        result, err = slot.result, slot.err
        engine.enter()
        try:
            status = lib.shim_infer(engine.handle, slot.request, data, len(data),
                                    ffi.from_buffer(FLOATS, vector), form.dimensions, result, err)
        finally:
            engine.leave()
        if status > 0:
            raise make_error(status, err, retry_ns=result.retry_ns)
        if status < 0 or is_detailed:
            vector = answer(result, err, lane, True, is_detailed, copy_vectors(result))
        elif lane:
            say_fallback(lane, result)
        form.free.append(slot)
        return vector

    async def _wait_text(self, form: Form, text: str, is_detailed: bool):
        if len(text) > SUBMIT_CHARACTERS:
            prepared = Prepared([text], None, form.ask, form.engine.model.positions_max)
            return await self._wait(form.engine, prepared, form.ask, True, is_detailed, len(text))
        data = encode(text, "text")
        loop, completions = of_running_loop()
        pending = Pending(loop.create_future(), form.engine, form.ask.lane, True, is_detailed,
                          0 if is_detailed else form.dimensions)
        return await _settled(completions, pending, completions.submit_text(form, data, pending))

    def _block_parts(self, form: Form, parts: list[list[str]]) -> Result:
        rest = _Deadline(form.ask)
        done: list[Result] = []
        while len(done) < len(parts):
            part = Form(form.engine, rest.of(form.ask)) if form.ask.deadline_ms else form
            try:
                done.append(self._block(part, parts[len(done)], True))
            except CapacityError as error:
                if not done:
                    raise
                time.sleep(_pause(error))
        return join(done)

    def _block(self, form: Form, texts: list[str], is_detailed: bool):
        engine, ask = form.engine, form.ask
        prepared = Prepared(texts, None, ask, engine.model.positions_max)
        slot = form.take()
        result, err = slot.result, slot.err
        lib.tandem_error_clear(err)
        engine.infer(prepared.request, result, err)
        if is_large(result):  # which keeps the slot's result: the slot is not given back
            return answer(result, err, ask.lane, False, is_detailed, keep_vectors(result))
        made = answer(result, err, ask.lane, False, is_detailed, copy_vectors(result))
        form.free.append(slot)
        return made


async def _settled(completions, pending: Pending, tag: int):
    try:
        return await pending.future
    except asyncio.CancelledError:
        completions.cancel(tag)
        raise


class _Deadline:
    """One for all parts of a list: what is left of it when a part is handed in."""

    def __init__(self, ask: Ask):
        self._until = time.monotonic() + ask.deadline_ms / 1e3

    def of(self, ask: Ask) -> Ask:
        if not ask.deadline_ms:
            return ask
        left_ms = (self._until - time.monotonic()) * 1e3
        return dataclasses.replace(ask, deadline_ms=max(1e-6, left_ms))


def _pause(error: CapacityError) -> float:
    return min(1.0, max(0.001, error.retry_after))


def _whole(result: Result, is_detailed: bool):
    if is_detailed:
        return result
    if result.errors:
        raise next(iter(result.errors.values()))
    return result.vectors


def _put(done: asyncio.Queue, index: int, _: asyncio.Task) -> None:
    done.put_nowait(index)


async def _iterate(texts):
    if hasattr(texts, "__aiter__"):
        async for text in texts:
            yield text
    else:
        for text in texts:
            yield text


def similarity(query: np.ndarray, vectors: np.ndarray, model: Model | None = None) -> np.ndarray:
    """[n] of a query [H] with each row of [n, H]: cosines, or dot products where the model's
    vectors are compared by those."""
    scores = vectors @ query
    if model is None or model.similarity != "dot":
        lengths = np.linalg.norm(vectors, axis=1) * np.linalg.norm(query)
        scores = np.divide(scores, lengths, out=np.zeros_like(scores), where=lengths > 0)
    return scores


def best(scores: np.ndarray, count: int) -> np.ndarray:
    """The places of the `count` largest, largest first; equal ones in their own order."""
    if count < len(scores):
        # Everything that reaches the count-th score, so that equal ones keep their order.
        least = np.partition(scores, len(scores) - count)[len(scores) - count]
        places = np.flatnonzero(scores >= least)
        return places[np.argsort(-scores[places], kind="stable")][:count]
    return np.argsort(-scores, kind="stable")


AppleSiliconLLMPipeline = Pipeline
