# SPDX-License-Identifier: Apache-2.0
"""Arguments of Python as a tandem_request. All that can be wrong with them is said here, before
anything is queued: which argument, its value, what was expected."""
from __future__ import annotations

import dataclasses
from itertools import accumulate

from ._native import ffi, lib
from .errors import InvalidError, InvalidTypeError

PRIORITIES = {
    "real_time": lib.TANDEM_PRIORITY_REALTIME, "realtime": lib.TANDEM_PRIORITY_REALTIME,
    "urgent": lib.TANDEM_PRIORITY_REALTIME, "standard": lib.TANDEM_PRIORITY_STANDARD,
    "background": lib.TANDEM_PRIORITY_BACKGROUND}
MODEL_SIZES = ("small", "medium", "large")
LONG = ("auto", "truncate", "split", "error")
# A longer list goes to the engine in parts, so that it cannot fill the bound on waiting tokens by
# itself; a part's characters are at most about as many tokens.
PART_TEXTS = 4096
PART_CHARACTERS = 1 << 18
_INT32_MAX = (1 << 31) - 1
_lanes: dict[str, object] = {}
_words: dict[str, object] = {}


def c_word(word: str):
    """A C string that lives as long as the process: for the few words that requests share."""
    found = _words.get(word)
    if found is None:
        if len(_words) > 4096:
            _words.clear()
        found = _words[word] = ffi.new("char[]", word.encode())
    return found


def backend_names() -> list[str]:
    """"auto" and every lane that tandem knows of, whether or not this machine has it."""
    if not _lanes:
        infos = ffi.new("tandem_lane_info[]", lib.TANDEM_LANES_MAX)
        _lanes["auto"] = ffi.NULL
        for i in range(lib.tandem_lanes(ffi.NULL, infos)):
            name = ffi.string(infos[i].name).decode()
            _lanes[name] = c_word(name)
    return list(_lanes)


def _show(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."


def check_text(value: object, name: str) -> str:
    if type(value) is str or isinstance(value, str):
        return value
    raise InvalidTypeError(f"{name}: {type(value).__name__} {_show(value)}, expected str")


def check_texts(value: object, name: str = "text") -> list[str]:
    """A list of strings, as a list of its own."""
    if not isinstance(value, (list, tuple)):
        raise InvalidTypeError(f"{name}: {type(value).__name__} {_show(value)}, expected str or a "
                               "list of str")
    if not value:
        raise InvalidError(f"{name}: an empty list, expected at least one text")
    for i, one in enumerate(value):
        if type(one) is not str:
            check_text(one, f"{name}[{i}]")
    return list(value)


def encode(text: str, name: str) -> bytes:
    try:
        return text.encode()
    except UnicodeEncodeError as error:
        raise InvalidError(f"{name}: a lone surrogate at character {error.start}, expected text "
                           "that UTF-8 can say") from None


def _bad_word(name: str, value: object, allowed) -> InvalidError:
    kind = InvalidError if isinstance(value, str) else InvalidTypeError
    shown = _show(value) if isinstance(value, str) else f"{type(value).__name__} {_show(value)}"
    return kind(f"{name}: {shown}, expected one of {', '.join(allowed)}")


def check_word(name: str, value: object, allowed) -> str:
    if not isinstance(value, str) or value not in allowed:
        raise _bad_word(name, value, allowed)
    return value


def check_int(name: str, value: object, least: int, most: int = _INT32_MAX) -> int:
    if isinstance(value, bool) or not isinstance(value, int):
        raise InvalidTypeError(f"{name}: {type(value).__name__} {_show(value)}, expected int")
    if not least <= value <= most:
        raise InvalidError(f"{name}: {value}, expected {least} to {most}")
    return value


def check_priority(value: object) -> int:
    if type(value) is int:
        return check_int("priority", value, -_INT32_MAX - 1)
    found = PRIORITIES.get(value) if isinstance(value, str) else None
    if found is None:
        raise _bad_word("priority", value, [*PRIORITIES, "an int, lower first"])
    return found


def check_deadline(value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise InvalidTypeError(f"deadline_ms: {type(value).__name__} {_show(value)}, expected a "
                               "number of milliseconds from now")
    if not 0 < value < float("inf"):
        raise InvalidError(f"deadline_ms: {value}, expected over 0: it is in the past otherwise")
    return float(value)


@dataclasses.dataclass
class Ask:
    """The checked options of a request; every field has its C value."""
    lane: object
    priority: int
    max_length: int | None
    deadline_ms: float
    tenant: str | None
    long: str
    is_fallback: bool
    dimensions: int
    prompt_name: str | None
    model_size: str | None


def check(backend="auto", priority="standard", max_length=None, deadline_ms=None, tenant=None,
          long="auto", fallback=True, dimensions=None, prompt=None, model_size=None) -> Ask:
    """See Pipeline.infer."""
    lane = _lanes.get(backend) if type(backend) is str else None
    if lane is None:
        if check_word("backend", backend, backend_names()):
            lane = _lanes[backend]
    if max_length is not None:
        check_int("max_length", max_length, 1)
    if model_size is not None:
        check_word("model_size", model_size, MODEL_SIZES)
    if long not in LONG:
        raise _bad_word("long", long, LONG)
    if not isinstance(fallback, bool):
        raise InvalidTypeError(f"fallback: {_show(fallback)}, expected True or False")
    return Ask(
        lane=lane,
        priority=0 if priority == "standard" else check_priority(priority),
        max_length=max_length,
        deadline_ms=0.0 if deadline_ms is None else check_deadline(deadline_ms),
        tenant=None if tenant is None else check_text(tenant, "tenant"),
        long=long, is_fallback=fallback,
        dimensions=0 if dimensions is None else check_int("dimensions", dimensions, 1),
        prompt_name=None if prompt is None else check_text(prompt, "prompt"),
        model_size=model_size)


class Prepared:
    """A tandem_request and all that it points to. The engine reads it until submit returns. Without
    texts it is a form for one text, which the call puts in."""
    __slots__ = ("request", "kept")

    def __init__(self, texts, pairs, ask: Ask, positions: int):
        request = self.request = ffi.new("tandem_request *")
        self.kept: list = []
        if texts is not None:
            request.texts, request.count = self._place(texts, "text"), len(texts)
            if pairs is not None:
                request.pairs = self._place(pairs, "pair")
        self._set(request, ask, positions)

    def _place(self, texts: list[str], name: str):
        try:
            rows = list(map(str.encode, texts))
        except UnicodeEncodeError:
            rows = [encode(text, f"{name}[{i}]") for i, text in enumerate(texts)]
        data = b"".join(rows)
        lengths = ffi.new("int64_t[]", list(map(len, rows)))
        placed = ffi.new("tandem_text[]", len(rows))
        chars = ffi.from_buffer("char[]", data)
        lib.shim_place_texts(placed, chars, lengths, len(rows))
        self.kept += (data, placed)
        return placed

    def _set(self, request, ask: Ask, positions: int) -> None:
        if ask.lane:
            request.lane = ask.lane
        if ask.priority:
            request.priority = ask.priority
        if ask.deadline_ms:
            request.deadline_ms = ask.deadline_ms
        if ask.max_length is not None:
            # Over the model's positions there is one way to read a text whole: in windows.
            request.max_length = min(ask.max_length, positions)
            request.split_long = ask.long == "auto" and ask.max_length > positions
        if ask.long != "auto":
            request.split_long = ask.long == "split"
            request.refuse_long = ask.long == "error"
        if not ask.is_fallback:
            request.fallback = lib.TANDEM_FALLBACK_NONE
        if ask.dimensions:
            request.dimensions = ask.dimensions
        if ask.tenant:
            request.tenant = tenant = ffi.new("char[]", encode(ask.tenant, "tenant"))
            self.kept.append(tenant)
        if ask.prompt_name is not None:
            request.prompt_name = c_word(ask.prompt_name)


def parts_of(texts: list[str]) -> list[slice]:
    """Places to cut a list at, see PART_TEXTS; one slice for a list of usual size."""
    ends = list(accumulate(map(len, texts)))
    if len(texts) <= PART_TEXTS and ends[-1] <= PART_CHARACTERS:
        return [slice(0, len(texts))]
    cuts, first, before = [], 0, 0
    for i, end in enumerate(ends):
        if i > first and (i - first == PART_TEXTS or end - before > PART_CHARACTERS):
            cuts.append(slice(first, i))
            first, before = i, ends[i - 1]
    return [*cuts, slice(first, len(texts))]
