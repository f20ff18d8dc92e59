# SPDX-License-Identifier: Apache-2.0
"""Vectors compared with vectors: search, answers, documents that resemble each other. Every pair is
compared; nothing is approximated."""
from __future__ import annotations

import asyncio
import dataclasses
from typing import Iterator, Mapping, Sequence

import numpy as np

from ..errors import InvalidError, InvalidTypeError
from ..pipeline import Match, Pipeline, best, similarity
from ..requests import check_int, check_texts
from . import context

BLOCK_ROWS = 256


class Corpus:
    """Texts with their vectors [n, H]."""

    def __init__(self, texts: Sequence[str], vectors: np.ndarray):
        if not isinstance(vectors, np.ndarray) or vectors.ndim != 2 or len(vectors) != len(texts):
            raise InvalidError(f"vectors: {getattr(vectors, 'shape', type(vectors).__name__)}, "
                               f"expected [{len(texts)}, H]: one row a text")
        self.texts = list(texts)
        self.vectors = vectors

    @classmethod
    async def embed(cls, texts: Sequence[str], pipeline: Pipeline | None = None) -> "Corpus":
        texts = check_texts(texts, "texts")
        return cls(texts, await (pipeline or context.pipeline()).infer(
            texts, priority="background"))

    def __len__(self) -> int:
        return len(self.texts)


def find_similar(query_embedding: np.ndarray, corpus: Corpus | np.ndarray) -> list[Match]:
    """The rows of a corpus, or of an array [n, H], by their cosine with the query, best first."""
    if isinstance(corpus, np.ndarray) and corpus.ndim == 2:
        vectors, texts = corpus, None
    elif isinstance(corpus, Corpus):
        vectors, texts = corpus.vectors, corpus.texts
    else:
        raise InvalidTypeError(f"corpus: {type(corpus).__name__}, expected a Corpus (from texts: "
                               "await Corpus.embed(texts)) or an array [n, H]")
    if query_embedding.shape != vectors.shape[1:]:
        raise InvalidError(f"query_embedding: shape {list(query_embedding.shape)}, expected "
                           f"[{vectors.shape[1]}]")
    scores = similarity(query_embedding, vectors)
    return [Match(int(i), float(scores[i]), texts[i] if texts else None)
            for i in best(scores, len(scores))]


def chunk_documents(documents: Sequence[str], batch_size: int = 32) -> Iterator[list[str]]:
    """The documents in order, `batch_size` at a time; the last part may be shorter."""
    check_int("batch_size", batch_size, 1)
    documents = check_texts(documents, "documents")
    for first in range(0, len(documents), batch_size):
        yield documents[first:first + batch_size]


@dataclasses.dataclass(frozen=True)
class Processed:
    """A document of a batch: the other one that is most like it, None where it is alone."""
    index: int
    nearest: int | None
    similarity: float


def _process_block(unit: np.ndarray, first: int) -> list[Processed]:
    scores = unit[first:first + BLOCK_ROWS] @ unit.T
    rows = np.arange(len(scores))
    scores[rows, first + rows] = -np.inf  # itself
    nearest = scores.argmax(axis=1)
    return [Processed(first + int(i), int(nearest[i]), float(scores[i, nearest[i]])) for i in rows]


async def process_embeddings_batch(embeddings: np.ndarray) -> list[Processed]:
    """For each vector of [n, H] the most similar other one: what finding duplicates and linking
    related documents start from. Blocks of rows are compared in parallel on the loop's threads."""
    if not isinstance(embeddings, np.ndarray) or embeddings.ndim != 2:
        raise InvalidTypeError(f"embeddings: {type(embeddings).__name__}, expected [n, H]")
    if len(embeddings) == 1:
        return [Processed(0, None, 0.0)]
    lengths = np.linalg.norm(embeddings, axis=1, keepdims=True)
    unit = embeddings / np.where(lengths > 0, lengths, 1)
    loop = asyncio.get_running_loop()
    blocks = await asyncio.gather(*(loop.run_in_executor(None, _process_block, unit, first)
                                    for first in range(0, len(unit), BLOCK_ROWS)))
    return [one for block in blocks for one in block]


class Answers:
    """Answers to choose from: texts, or {question: answer}, where the message is compared with the
    questions. Blocks while they are embedded."""

    def __init__(self, answers: Sequence[str] | Mapping[str, str],
                 pipeline: Pipeline | None = None):
        keys = check_texts(list(answers), "answers")
        self.texts = check_texts(list(answers.values()), "answers") \
            if isinstance(answers, Mapping) else keys
        self.vectors = (pipeline or context.pipeline()).infer_sync(keys, priority="background")

    def best(self, embedding: np.ndarray) -> Match:
        scores = similarity(embedding, self.vectors)
        place = int(scores.argmax())
        return Match(place, float(scores[place]), self.texts[place])

    def text(self, embedding: np.ndarray) -> str:
        return self.texts[self.best(embedding).index]


def generate_response(embedding: np.ndarray, answers: Answers | None = None) -> str:
    """The best of the given answers for the vector of a message. An encoder writes no text: the
    answers come from `answers`, or from `use(answers=...)`."""
    if answers is None:
        if context.answers() is None:
            raise InvalidError("answers: none were given: tandem.guide.use(answers=[...]) says "
                               "what to choose from")
        answers = context.made("answers", lambda: Answers(context.answers()))
    return answers.text(embedding)
