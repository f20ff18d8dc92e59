# SPDX-License-Identifier: Apache-2.0
"""What stands behind the guide's functions: a pipeline, answers, labelled examples."""
from __future__ import annotations

import threading
from typing import Mapping, Sequence

from ..pipeline import Pipeline

_lock = threading.RLock()
_pipeline: Pipeline | None = None
_answers: Sequence[str] | Mapping[str, str] | None = None
_intents: Mapping[str, Sequence[str]] | None = None
_made: dict = {}  # what was computed from them


def use(pipeline: Pipeline | None = None, *,
        answers: Sequence[str] | Mapping[str, str] | None = None,
        intents: Mapping[str, Sequence[str]] | None = None) -> None:
    """Sets what is given and keeps the rest.

    answers  what generate_response chooses from: texts, or {question: answer}
    intents  what classify_intent learns from: {label: example sentences}; default SUPPORT_EXAMPLES
    """
    global _pipeline, _answers, _intents
    with _lock:
        _pipeline = _pipeline if pipeline is None else pipeline
        _answers = _answers if answers is None else answers
        _intents = _intents if intents is None else intents
        _made.clear()


def pipeline() -> Pipeline:
    """The pipeline in use; opens one with the default model if none was given."""
    global _pipeline
    with _lock:
        if _pipeline is None:
            _pipeline = Pipeline()
        return _pipeline


def answers():
    return _answers


def intents():
    return _intents


def made(name: str, make):
    """`make()`, once until `use` changes something."""
    with _lock:
        if name not in _made:
            _made[name] = make()
        return _made[name]
