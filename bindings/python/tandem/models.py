# SPDX-License-Identifier: Apache-2.0
"""The models of a pipeline, which of them a request is for, and opening them when first needed.

Which class of size and which task a model is of is read from its folder (the headers of its
weights, the architecture's name), so that choosing opens nothing."""
from __future__ import annotations

import json
import pathlib
import threading

from .engine import Engine, count_parameters, locate, size_of
from .errors import CancelledError, InvalidError, InvalidTypeError, NotFoundError
from .requests import check_text

# What a task likes best comes first, by a model's labels.
_LIKED = {
    "embed": lambda labels: labels > 0,
    "rerank": lambda labels: {1: 0, 0: 1}.get(labels, 2),
    "classify": lambda labels: {1: 1, 0: 2}.get(labels, 0)}
DEFAULT = "sentence-transformers/all-MiniLM-L6-v2"


class Place:
    """A model that is opened at most once, by whichever thread needs it first; the others wait for
    that one. Requests for other models do not."""

    def __init__(self, name: str, options: dict):
        self.name = name
        self.engine: Engine | None = None
        self._options = options
        self._lock = threading.Lock()
        self._is_closed = False
        self._folder: str | None = None
        self._size: str | None = None

    @property
    def folder(self) -> str:
        if self._folder is None:
            self._folder = locate(self.name)
        return self._folder

    @property
    def size(self) -> str:
        if self._size is None:
            self._size = size_of(count_parameters(self.folder))
        return self._size

    @property
    def labels(self) -> int:
        """Labels of a sequence classifier, 0 for any other model; 1 is a cross-encoder."""
        config = json.loads(pathlib.Path(self.folder, "config.json").read_text(encoding="utf-8"))
        if not any("SequenceClassification" in name for name in config.get("architectures") or []):
            return 0
        return len(config.get("id2label") or ()) or config.get("num_labels", 2)

    def open(self) -> Engine:
        engine = self.engine
        if engine is not None:
            return engine
        with self._lock:
            if self._is_closed:
                raise CancelledError(f"model {self.name}: the pipeline is closed")
            if self.engine is None:
                self.engine = Engine({**self._options, "model": self.name})
            return self.engine

    def close(self) -> Engine | None:
        with self._lock:
            self._is_closed = True
            return self.engine


class Shelf:
    def __init__(self, model: str | None, models, options: dict):
        if model is not None and models is not None:
            raise InvalidError("model and models exclude each other")
        if models is not None and (isinstance(models, str) or not hasattr(models, "__iter__")):
            raise InvalidTypeError(f"models: {type(models).__name__}, expected a list of str")
        names = [DEFAULT if model is None else model] if models is None else list(models)
        if not names:
            raise InvalidError("models: an empty list, expected at least one")
        for name in names:
            check_text(name, "model")
        self.said: set[str] = set()
        self.places = [Place(name, options) for name in names]
        self._chosen: dict[tuple, Place] = {}
        if models is not None:
            for place in self.places:
                place.folder  # one that is not there is said now

    def choose(self, task: str, size: str | None) -> Place:
        found = self._chosen.get((task, size))
        if found is None:
            found = self._chosen[task, size] = self._choose(task, size)
        return found

    def _choose(self, task: str, size: str | None) -> Place:
        places = self.places
        if size is not None:
            places = [place for place in places if place.size == size]
            if not places:
                have = ", ".join(f"{place.name} is {place.size}" for place in self.places)
                raise NotFoundError(f"model_size: no {size} model is loaded: {have}")
        if len(places) > 1:
            places = sorted(places, key=lambda place: _LIKED[task](place.labels))  # stable
        return places[0]

    def any_open(self) -> Engine | None:
        return next((place.engine for place in self.places if place.engine is not None), None)

    def close(self) -> list[Engine]:
        """The engines, of which no new one will be opened."""
        closed = [place.close() for place in self.places]
        return [engine for engine in closed if engine is not None]
