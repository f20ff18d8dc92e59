#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The package as a user meets it, on the committed small models."""
import asyncio
import gc
import importlib.metadata
import os
import threading
import time
import unittest
import weakref

import numpy as np

import tandem
from python_case import LABELS, RERANK, TEXTS, TINY, Case, run
from tandem import results


def tasks_of_process():
    """Threads, those of the library included."""
    return len(os.listdir("/proc/self/task")) if os.path.isdir("/proc/self/task") else 0


class Vectors(Case):
    def test_shapes(self):
        hidden = self.pipeline.model.dimensions
        one = self.pipeline.infer_sync(TEXTS[0])
        self.assertEqual((one.shape, one.dtype), ((hidden,), np.float32))
        many = self.pipeline.infer_sync(TEXTS)
        self.assertEqual(many.shape, (len(TEXTS), hidden))
        self.assertEqual(self.pipeline.infer_sync([TEXTS[0]]).shape, (1, hidden))
        np.testing.assert_array_equal(many[0], one)

    def test_await_gives_the_same_bits(self):
        async def main():
            return await self.pipeline.infer(TEXTS), await self.pipeline.infer(TEXTS[3])
        many, one = run(main())
        np.testing.assert_array_equal(many, self.pipeline.infer_sync(TEXTS))
        np.testing.assert_array_equal(one, many[3])

    def test_details(self):
        found = self.pipeline.infer_sync(TEXTS, backend="cpu", details=True)
        self.assertEqual((found.lane, found.dtype, found.truncated), ("cpu", "f32", 0))
        self.assertEqual(found.reason, "asked for")
        self.assertEqual(found.errors, {})
        self.assertGreater(found.infer_ms, 0)
        self.assertGreaterEqual(found.tokens, 2 * len(TEXTS))

    def test_a_lane_that_is_missing_is_replaced_and_said(self):
        missing = [name for name, lane in self.pipeline.available_backends.items()
                   if not lane["available"]]
        self.assertTrue(missing)
        for name in missing:
            self.assertTrue(self.pipeline.available_backends[name]["reason"])
            found = self.pipeline.infer_sync("a", backend=name, details=True)
            self.assertNotEqual(found.lane, name)
            self.assertIn(name, found.reason)
            with self.says(tandem.Error, name):
                self.pipeline.infer_sync("a", backend=name, fallback=False)

    def test_large_results_are_not_copied(self):
        rows = results.KEEP_BYTES // (4 * self.pipeline.model.dimensions) + 1
        texts = [f"text {i}" for i in range(rows)]
        many = self.pipeline.infer_sync(texts)

        async def main():
            return await self.pipeline.infer(texts)
        for found in (many, run(main())):
            self.assertFalse(found.flags.owndata)
            self.assertTrue(found.flags.writeable)
        # A part of it keeps the memory, and it goes with the last part.
        part = many[3:5]
        held = weakref.ref(many.base)
        expected = many[3:5].copy()
        del many, found
        gc.collect()
        self.assertIsNotNone(held())
        np.testing.assert_array_equal(part, expected)
        del part
        gc.collect()
        self.assertIsNone(held())

    def test_arrays_outlive_the_pipeline(self):
        pipeline = tandem.Pipeline(TINY, threads=1, dtype="f32")
        texts = [f"text {i}" for i in range(400)]
        found = pipeline.infer_sync(texts)
        pipeline.close()
        del pipeline
        gc.collect()
        np.testing.assert_array_equal(found, self.pipeline.infer_sync(texts))

    def test_a_list_in_parts_is_the_list(self):
        texts = [f"text {i} " + "word " * (i % 7) for i in range(5000)]

        async def main():
            return await self.pipeline.infer(texts, details=True)
        found = run(main())
        sync = self.pipeline.infer_sync(texts, details=True)
        self.assertEqual(found.vectors.shape[0], len(texts))
        self.assertEqual(found.tokens, sync.tokens)
        np.testing.assert_array_equal(found.vectors, sync.vectors)
        for i in (0, 4095, 4096, 4999):
            np.testing.assert_array_equal(found.vectors[i], self.pipeline.infer_sync(texts[i]))

    def test_a_list_in_parts_waits_for_its_turn(self):
        """A part finds the bound on waiting tokens reached by the one before it."""
        texts = [f"text {i}" for i in range(9000)]
        with tandem.Pipeline(TINY, threads=1, dtype="f32", queue_tokens_max=1000) as pipeline:
            found = run(pipeline.infer(texts))
            np.testing.assert_array_equal(found, pipeline.infer_sync(texts))
        self.assertEqual(len(found), 9000)
        for wait in (lambda: run(self.pipeline.infer(texts, backend="ref", deadline_ms=20)),
                     lambda: self.pipeline.infer_sync(texts, backend="ref", deadline_ms=20)):
            start = time.monotonic()
            with self.assertRaises(tandem.DeadlineError):
                wait()
            self.assertLess(time.monotonic() - start, 1)

    def test_version(self):
        self.assertEqual(importlib.metadata.version("tandem-encoders"), tandem.__version__)

    def test_max_length(self):
        long = "word " * 300
        positions = self.pipeline.model.positions_max
        cut = self.pipeline.infer_sync(long, max_length=8, details=True)
        self.assertEqual((cut.tokens, cut.truncated), (8, 1))
        whole = self.pipeline.infer_sync(long, max_length=positions + 1, details=True)
        self.assertEqual(whole.truncated, 0)
        self.assertGreater(whole.tokens, 300)
        split = self.pipeline.infer_sync(long, max_length=positions, long="split")
        np.testing.assert_array_equal(whole.vectors, split)
        with self.says(tandem.CapacityError, "text 1"):
            self.pipeline.infer_sync(["a", long], max_length=8, long="error")
        found = self.pipeline.infer_sync(["a", long], max_length=8, long="error", details=True)
        self.assertEqual(list(found.errors), [1])
        self.assertFalse(found.vectors[1].any())

    def test_metrics(self):
        with tandem.Pipeline(TINY, threads=1) as pipeline:
            for _ in range(20):
                pipeline.infer_sync("a", priority="urgent")
            run(pipeline.infer(["a", "b"], backend="cpu"))
            found = pipeline.metrics()
            self.assertTrue(pipeline.is_ready)
            pipeline.set_speed_limit(70)
            until = time.monotonic() + 10
            while pipeline.metrics()["speed_percent"] != 70 and time.monotonic() < until:
                time.sleep(0.01)
            self.assertEqual(pipeline.metrics()["speed_percent"], 70)
            with self.says(tandem.InvalidError, "percent", "0"):
                pipeline.set_speed_limit(0)
        self.assertEqual((found["submitted"], found["finished"], found["failed"]), (21, 21, 0))
        self.assertEqual(found["texts"], 22)
        self.assertEqual(found["bands"]["realtime"]["total"]["count"], 20)
        self.assertEqual(found["lanes"]["cpu"]["texts"], 22)
        self.assertEqual(sum(found["reasons"].values()), 21)
        self.assertTrue(found["targets"]["latency_p95_ms"]["is_measured"])

    def test_cache(self):
        with tandem.Pipeline(TINY, threads=1, dtype="f32", cache_bytes=1 << 20) as pipeline:
            found = [pipeline.infer_sync(TEXTS, details=True) for _ in range(2)]
        self.assertEqual([one.cached for one in found], [0, len(TEXTS)])
        np.testing.assert_array_equal(found[0].vectors, found[1].vectors)

    def test_priorities(self):
        for priority in ("real_time", "realtime", "urgent", "standard", "background", -10, 3):
            self.assertEqual(self.pipeline.infer_sync("a", priority=priority).ndim, 1)


class Loops(Case):
    def test_a_thousand_at_once_without_threads(self):
        texts = [f"text {i}" for i in range(1000)]

        async def main():
            await self.pipeline.infer(texts[0])
            before = threading.active_count(), tasks_of_process()
            tasks = [asyncio.create_task(self.pipeline.infer(text)) for text in texts]
            await asyncio.sleep(0)
            during = threading.active_count(), tasks_of_process()
            return before, during, await asyncio.gather(*tasks)
        before, during, found = run(main())
        self.assertEqual(before, during)
        np.testing.assert_array_equal(np.stack(found), self.pipeline.infer_sync(texts))

    def test_cancel(self):
        async def main():
            texts = ["many words " * 40] * 2000
            start = time.monotonic()
            task = asyncio.create_task(self.pipeline.infer(texts, backend="ref"))
            await asyncio.sleep(0.1)
            self.assertFalse(task.done())
            task.cancel()
            with self.assertRaises(asyncio.CancelledError):
                await task
            # The lane is free again long before the list would have been computed.
            await self.pipeline.infer("a", backend="ref")
            return time.monotonic() - start
        self.assertLess(run(main()), 2)

    def test_cancel_of_many(self):
        async def main():
            tasks = [asyncio.create_task(self.pipeline.infer(f"text {i}")) for i in range(300)]
            await asyncio.sleep(0.002)
            for task in tasks[::2]:
                task.cancel()
            found = await asyncio.gather(*tasks, return_exceptions=True)
            for i, one in enumerate(found):
                self.assertTrue(isinstance(one, np.ndarray) or
                                (i % 2 == 0 and isinstance(one, asyncio.CancelledError)))
        run(main())

    def test_time_out(self):
        async def main():
            with self.assertRaises(asyncio.TimeoutError):
                await asyncio.wait_for(
                    self.pipeline.infer(["many words " * 40] * 2000, backend="ref"), 0.05)
            self.assertEqual((await self.pipeline.infer("a")).ndim, 1)
        run(main())

    def test_stream(self):
        texts = [f"text {i} " + "word " * (i % 50) for i in range(500)]
        expected = self.pipeline.infer_sync(texts)

        async def numbered():
            for text in texts:
                yield text

        async def main(source, **options):
            seen = {}
            async for i, vector in self.pipeline.stream(source, **options):
                self.assertNotIn(i, seen)
                seen[i] = vector
            return np.stack([seen[i] for i in range(len(seen))])
        np.testing.assert_array_equal(run(main(texts)), expected)
        np.testing.assert_array_equal(run(main(numbered(), window=3)), expected)
        np.testing.assert_array_equal(run(main((t for t in texts), window=1000)), expected)

    def test_stream_left_early(self):
        async def main():
            async for _ in self.pipeline.stream(f"text {i}" for i in range(10000)):
                break
            return await self.pipeline.infer("a")
        self.assertEqual(run(main()).ndim, 1)

    def test_several_loops_and_threads(self):
        expected = self.pipeline.infer_sync(TEXTS)
        wrong = []

        def work():
            for _ in range(20):
                async def main():
                    return await self.pipeline.infer(TEXTS)
                if not np.array_equal(run(main()), expected) or \
                        not np.array_equal(self.pipeline.infer_sync(TEXTS), expected):
                    wrong.append(threading.get_ident())
        threads = [threading.Thread(target=work) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self.assertEqual(wrong, [])

    def test_descriptors_of_loops_go_with_them(self):
        async def main():
            await self.pipeline.infer("a")
        run(main())
        gc.collect()
        before = len(os.listdir("/proc/self/fd"))
        for _ in range(50):
            run(main())
        gc.collect()
        run(main())
        self.assertLessEqual(len(os.listdir("/proc/self/fd")), before + 4)

    def test_other_threads_run_meanwhile(self):
        """A blocking call lets Python's lock go."""
        count = 0
        is_over = threading.Event()

        def tick():
            nonlocal count
            while not is_over.is_set():
                count += 1
                time.sleep(0.001)
        ticker = threading.Thread(target=tick)
        ticker.start()
        start = time.monotonic()
        self.pipeline.infer_sync(["many words " * 40] * 600, backend="ref")
        seconds = time.monotonic() - start
        is_over.set()
        ticker.join()
        self.assertGreater(count, seconds * 1000 / 20)


class Closing(unittest.TestCase):
    def test_close_tells_everybody(self):
        async def main():
            pipeline = tandem.Pipeline(TINY, threads=1)
            texts = ["many words " * 40] * 3000
            tasks = [asyncio.create_task(pipeline.infer(texts, backend="ref")) for _ in range(3)]
            await asyncio.sleep(0.1)
            self.assertFalse(await pipeline.aclose(timeout_ms=50))
            found = await asyncio.gather(*tasks, return_exceptions=True)
            self.assertTrue(all(isinstance(one, tandem.CancelledError) for one in found), found)
            self.assertTrue(await pipeline.aclose())
            with self.assertRaises(tandem.CancelledError):
                await pipeline.infer("a")
        run(main())

    def test_close_without_a_loop(self):
        with tandem.Pipeline(TINY, threads=1) as pipeline:
            pipeline.infer_sync("a")
        with self.assertRaises(tandem.CancelledError):
            pipeline.infer_sync("a")

    def test_a_loop_that_is_left_with_work_under_way(self):
        pipeline = tandem.Pipeline(TINY, threads=1)

        async def main():
            asyncio.ensure_future(pipeline.infer(["many words " * 40] * 3000, backend="ref"))
            await asyncio.sleep(0.05)
        run(main())
        run(main())
        self.assertEqual(pipeline.infer_sync("a").ndim, 1)
        pipeline.close(timeout_ms=10)

    def test_context(self):
        async def main():
            async with tandem.AppleSiliconLLMPipeline(TINY, threads=1) as pipeline:
                return await pipeline.infer("a")
        self.assertEqual(run(main()).ndim, 1)


class Tasks(unittest.TestCase):
    def test_rerank(self):
        documents = ["Cats eat mice.", "Stocks fell.", "The cat sat."]
        with tandem.Pipeline(RERANK, threads=1, dtype="f32") as pipeline:
            found = run(pipeline.rerank("what do cats eat", documents))
            self.assertEqual(sorted(match.index for match in found), [0, 1, 2])
            self.assertEqual([match.text for match in found],
                             [documents[match.index] for match in found])
            scores = [match.score for match in found]
            self.assertEqual(scores, sorted(scores, reverse=True))
            best = run(pipeline.rerank("what do cats eat", documents, top_n=1))
            self.assertEqual(best, found[:1])

    def test_rerank_by_vectors_says_so(self):
        with tandem.Pipeline(TINY, threads=1) as pipeline, \
                self.assertLogs("tandem", "WARNING") as logged:
            found = run(pipeline.rerank("cat", ["dog", "cat", "car"]))
        self.assertEqual((found[0].index, round(found[0].score, 3)), (1, 1.0))
        self.assertIn("no cross-encoder", logged.output[0])

    def test_classify(self):
        with tandem.Pipeline(LABELS, threads=1, dtype="f32") as pipeline:
            found = run(pipeline.classify("What a day!"))
            self.assertEqual({label.label for label in found}, set(pipeline.model.labels))
            scores = [label.score for label in found]
            self.assertEqual(scores, sorted(scores, reverse=True))
            self.assertEqual(run(pipeline.classify(["What a day!", "No."]))[0], found)
            with self.assertRaises(tandem.UnsupportedError):
                run(pipeline.rerank("a", ["b"]))

    def test_search(self):
        with tandem.Pipeline(TINY, threads=1) as pipeline:
            vectors = pipeline.infer_sync([f"text number {i}" for i in range(50)])
            found = run(pipeline.search("text number 7", vectors, top_n=3))
            self.assertEqual((len(found), found[0].index), (3, 7))
            self.assertEqual(run(pipeline.search(vectors[9], vectors, top_n=1))[0].index, 9)
            self.assertEqual(len(run(pipeline.search(vectors[9], vectors, top_n=100))), 50)

    def test_several_models(self):
        with tandem.Pipeline(models=[TINY, LABELS, RERANK], threads=1) as pipeline:
            self.assertEqual(run(pipeline.infer("a", model_size="small")).ndim, 1)
            self.assertTrue(run(pipeline.classify("a")))
            self.assertEqual(len(run(pipeline.rerank("a", ["b", "c"]))), 2)
            with self.assertRaises(tandem.NotFoundError) as raised:
                run(pipeline.infer("a", model_size="large"))
            self.assertIn("small", str(raised.exception))


if __name__ == "__main__":
    unittest.main()
