#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Wrong arguments: an exception that names the argument, its value and what was expected, before
anything is queued. Both ways in judge alike."""
import asyncio
import unittest

import numpy as np

import tandem
from python_case import TINY, Case, run

VALUE, TYPE = tandem.InvalidError, tandem.InvalidTypeError
# (arguments of infer, exception, words of its message)
CASES = [
    ({"text": None}, TYPE, ["text", "None"]),
    ({"text": 5}, TYPE, ["text", "int 5"]),
    ({"text": b"bytes"}, TYPE, ["text", "bytes", "expected str"]),
    ({"text": []}, VALUE, ["empty list", "at least one"]),
    ({"text": ["a", None]}, TYPE, ["text[1]", "None"]),
    ({"text": ["a", 3.5, "b"]}, TYPE, ["text[1]", "float 3.5"]),
    ({"text": ["a", ["b"]]}, TYPE, ["text[1]", "list"]),
    ({"text": (t for t in "ab")}, TYPE, ["generator", "list"]),
    ({"text": {"a": 1}}, TYPE, ["dict"]),
    ({"text": "\ud800"}, VALUE, ["surrogate", "character 0"]),
    ({"text": ["a", "b\udfff"]}, VALUE, ["text[1]", "character 1"]),
    ({"text": "a", "backend": "tpu"}, VALUE, ["backend", "'tpu'", "auto", "ane", "metal", "cpu"]),
    ({"text": "a", "backend": None}, TYPE, ["backend", "None", "auto"]),
    ({"text": "a", "backend": ["cpu"]}, TYPE, ["backend", "auto"]),
    ({"text": "a", "priority": "hot"}, VALUE, ["priority", "'hot'", "urgent", "background"]),
    ({"text": "a", "priority": None}, TYPE, ["priority", "None", "standard"]),
    ({"text": "a", "priority": True}, TYPE, ["priority", "True"]),
    ({"text": "a", "priority": 1 << 40}, VALUE, ["priority", str(1 << 40)]),
    ({"text": "a", "max_length": 0}, VALUE, ["max_length", "0"]),
    ({"text": "a", "max_length": -3}, VALUE, ["max_length", "-3"]),
    ({"text": "a", "max_length": "long"}, TYPE, ["max_length", "'long'"]),
    ({"text": "a", "max_length": 2.5}, TYPE, ["max_length", "2.5"]),
    ({"text": "a", "deadline_ms": 0}, VALUE, ["deadline_ms", "0", "past"]),
    ({"text": "a", "deadline_ms": -5}, VALUE, ["deadline_ms", "-5", "past"]),
    ({"text": "a", "deadline_ms": float("nan")}, VALUE, ["deadline_ms", "nan"]),
    ({"text": "a", "deadline_ms": "soon"}, TYPE, ["deadline_ms", "'soon'"]),
    ({"text": "a", "model_size": "tiny"}, VALUE, ["model_size", "'tiny'", "small", "large"]),
    ({"text": "a", "model_size": 3}, TYPE, ["model_size", "int 3"]),
    ({"text": "a", "model_size": "large"}, tandem.NotFoundError, ["no large model", "is small"]),
    ({"text": "a", "long": "wrap"}, VALUE, ["long", "'wrap'", "truncate", "split"]),
    ({"text": "a", "fallback": "none"}, TYPE, ["fallback", "'none'"]),
    ({"text": "a", "tenant": 7}, TYPE, ["tenant", "int 7"]),
    ({"text": "a", "prompt": 7}, TYPE, ["prompt", "int 7"]),
    ({"text": "a", "prompt": "no such prompt"}, tandem.Error, ["no such prompt"]),
    ({"text": "a", "dimensions": 1 << 20}, tandem.Error, ["dimensions", str(1 << 20)]),
    ({"text": "a", "deadline_ms": 1e-6}, tandem.DeadlineError, ["deadline"]),
]


class BadInput(Case):
    def test_infer(self):
        async def wait(arguments):
            return await self.pipeline.infer(**arguments)
        for arguments, kind, words in CASES:
            for name, call in (("sync", lambda a: self.pipeline.infer_sync(**a)),
                               ("await", lambda a: run(wait(a)))):
                with self.subTest(name, **{k: str(v) for k, v in arguments.items()}):
                    with self.says(kind, *words):
                        call(arguments)

    def test_kinds(self):
        with self.assertRaises(ValueError):
            self.pipeline.infer_sync([])
        with self.assertRaises(TypeError):
            self.pipeline.infer_sync(None)
        with self.assertRaises(TimeoutError) as raised:
            self.pipeline.infer_sync("a", deadline_ms=1e-6)
        self.assertEqual(raised.exception.status, 21)

    def test_stream(self):
        async def read(texts, **options):
            return [i async for i, _ in self.pipeline.stream(texts, **options)]
        for texts, options, kind, word in (
                ("a text", {}, TYPE, "str"), (None, {}, TYPE, "NoneType"),
                (["a", 3], {}, TYPE, "texts[1]"), (["a"], {"window": 0}, VALUE, "window"),
                (["a"], {"backend": "tpu"}, VALUE, "'tpu'")):
            with self.says(kind, word):
                run(read(texts, **options))
        self.assertEqual(run(read([])), [])
        long = "many words " * 100
        with self.assertRaises(tandem.CapacityError) as raised:
            run(read(["a", "b", long, "c"], long="error", max_length=16))
        self.assertEqual(raised.exception.index, 2)

    def test_search_and_rerank(self):
        vectors = self.pipeline.infer_sync(["a", "b"])
        for arguments, kind, word in (
                (("a", [[1.0]]), TYPE, "list"), (("a", vectors[0]), TYPE, "ndarray"),
                ((vectors[0][:3], vectors), VALUE, "shape [3]"), ((None, vectors), TYPE, "None")):
            with self.says(kind, word):
                run(self.pipeline.search(*arguments))
        with self.says(VALUE, "top_n"):
            run(self.pipeline.search("a", vectors, top_n=0))
        with self.says(TYPE, "documents[0]"):
            run(self.pipeline.rerank("a", [None]))
        with self.says(VALUE, "empty list"):
            run(self.pipeline.rerank("a", []))

    def test_capacity_says_when_to_retry(self):
        async def main():
            with tandem.Pipeline(TINY, threads=1, queue_tokens_max=4000) as pipeline:
                tasks = [asyncio.create_task(pipeline.infer("word " * 100, backend="ref"))
                         for _ in range(200)]
                return await asyncio.gather(*tasks, return_exceptions=True)
        found = run(main())
        refused = [one for one in found if isinstance(one, tandem.CapacityError)]
        self.assertTrue(refused)
        self.assertTrue(all(0 < one.retry_after <= 60 for one in refused))
        self.assertTrue(all(isinstance(one, (np.ndarray, tandem.CapacityError)) for one in found))


class BadPipelines(Case):
    def test_open(self):
        for arguments, kind, words in (
                ({"model": "/no/such/folder"}, tandem.NotFoundError, ["/no/such/folder"]),
                ({"model": 5}, TYPE, ["model", "int 5"]),
                ({"model": TINY, "lane": "tpu"}, tandem.Error, ["tpu"]),
                ({"model": TINY, "lane": None}, TYPE, ["lane", "None"]),
                ({"model": TINY, "dtype": "f13"}, tandem.Error, ["f13"]),
                ({"model": TINY, "policy": "guess"}, tandem.Error, ["guess"]),
                ({"model": TINY, "threads": -1}, VALUE, ["threads", "-1"]),
                ({"model": TINY, "threads": "two"}, TYPE, ["threads", "'two'"]),
                ({"model": TINY, "max_length": 1 << 20}, tandem.Error, ["max_length"]),
                ({"model": TINY, "models": [TINY]}, VALUE, ["exclude"]),
                ({"models": []}, VALUE, ["empty list"]),
                ({"models": TINY}, TYPE, ["models", "str"]),
                ({"models": [TINY, None]}, TYPE, ["None"]),
                ({"models": [TINY, "/no/such"]}, tandem.NotFoundError, ["/no/such"])):
            with self.subTest(**{k: str(v) for k, v in arguments.items()}):
                with self.says(kind, *words):
                    tandem.Pipeline(**arguments).close()


if __name__ == "__main__":
    unittest.main()
