#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The guide's code: every file of examples/guide runs with the default model and says what it has
to, and the functions that the guide leaves undefined do what their names say."""
import os
import re
import subprocess
import sys
import time
import types
import unittest

import numpy as np

import tandem
from python_case import ROOT, TINY, run
from tandem import guide

EXAMPLES = ROOT / "examples" / "guide"
# What standard output has to have, as patterns.
SAYS = {
    "multi_backend.py": [r"\(384,\), float32", r"cpu: available", r"asked for ane, served by \w+"],
    "workload_distribution.py": [r"real_time, 1 texts: ane", r"standard, 20 texts: metal",
                                 r"background, 1 texts: auto"],
    "chat.py": [r"login: You can set a new password", r"come yet: The tracking link"],
    "document_batches.py": [r"100 documents, vectors of 384"],
    "backend_selector.py": [r"5 requests, urgent, 1 texts: ane", r"3 requests, urgent, .*: cpu",
                            r"standard, 3 texts: metal", r"left in the queues: 0"],
    "batch_optimizer.py": [r"urgent: \[\(384,\), \(384,\)\]", r"batches: \[\(3, 384\), \(2, 384\)",
                           r"\[\(384,\), \(3, 384\), \(384,\), \(2, 384\), \(384,\)\]"],
    "memory_optimizer.py": [r"ane: 5 texts, 1 at", r"metal: 67 texts, 32", r"cpu: 19 texts, 8"],
    "support_chatbot.py": [r"log in .*: account access", r"card .*: billing",
                           r"app .*: technical problem", r"shoes .*: return", r"right in \d+%"],
    "document_pipeline.py": [r"document 0: most like document 2",
                             r"document 2: most like document 0"],
    "realtime_search.py": [r"cats eat\n +0\.\d+  Cats are small predators",
                           r"login\n +0\.\d+  Reset your password"],
    "metrics.py": [r"latency_p95 +< 5ms +[\d.]+ +(pass|FAIL)",
                   r"throughput +> 300 req/sec +[\d.]+ +(pass|FAIL)",
                   r"error_rate +< 0.1% +0\.0 +pass",
                   r"the engine's own: latency_p95_ms [\d.]+, limit 5: (met|missed)"],
    "auto_scaling.py": [r"at first: 1 worker", r"200 served, p95 [\d.]+ ms",
                        r"a queue of 30: .*cpu"],
    "ane_unavailable.py": [r"served by \w+: "],
    "memory_pressure.py": [r"4 GB: max_length 256, 256 tokens computed, cut",
                           r"12 GB: max_length 512, 512 tokens computed, cut", r"GB: .*\n.*\n.*GB"],
    "thermal_throttling.py": [r"speed limit \d+ %: 50 vectors", r"speed limit 70 %: 50 vectors"]}


class Examples(unittest.TestCase):
    def test_each_is_run(self):
        self.assertEqual(set(SAYS), {path.name for path in EXAMPLES.glob("*.py")})
        self.assertEqual(len(SAYS), 15)  # snippets of the guide

    def test_run(self):
        lanes = tandem.Pipeline().available_backends
        for name, patterns in SAYS.items():
            with self.subTest(name):
                done = subprocess.run([sys.executable, "-B", str(EXAMPLES / name)], text=True,
                                      capture_output=True, check=False, timeout=120,
                                      env=dict(os.environ, PYTHONWARNINGS="error"))
                self.assertEqual(done.returncode, 0, done.stderr)
                for pattern in patterns:
                    self.assertRegex(done.stdout, pattern)
                self.judge_notes((EXAMPLES / name).read_text(), done.stderr, lanes)

    def judge_notes(self, source, said, lanes):
        """A lane that is asked for and is not there: the one that serves is named, with why."""
        asked = set(re.findall(r'backend="(\w+)"', source))
        for lane in asked & set(lanes):
            pattern = rf"lane \w+ serves instead of {lane}: .*{re.escape(lanes[lane]['reason'])}"
            if not lanes[lane]["available"] and "available_backends" not in source:
                self.assertRegex(said, pattern)


class Functions(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.pipeline = tandem.Pipeline()
        guide.use(cls.pipeline)

    @classmethod
    def tearDownClass(cls):
        cls.pipeline.close()

    def embed(self, text):
        return self.pipeline.infer_sync(text)

    def test_intents(self):
        classifier = guide.IntentClassifier.train(guide.SUPPORT_EXAMPLES)
        # Chance is 1/6; sentences that were not trained on.
        self.assertGreater(classifier.accuracy, 0.8)
        self.assertLess(classifier.accuracy, 1)
        found = guide.classify_intent(self.embed("my password is not accepted"))
        self.assertEqual((found.label, found.accuracy), ("account access", classifier.accuracy))
        self.assertEqual(guide.classify_intent(self.embed("end my membership")).label,
                         "cancellation")
        self.assertTrue(0 < found.probability < 1)

    def test_intents_of_the_caller(self):
        examples = {"animal": ["cats", "a dog", "the horse", "birds"],
                    "food": ["bread", "an apple", "the soup", "cheese"]}
        classifier = guide.IntentClassifier.train(examples, self.pipeline)
        self.assertEqual(guide.classify_intent(self.embed("a cow"), classifier).label, "animal")
        self.assertEqual(guide.classify_intent(self.embed("pizza"), classifier).label, "food")
        # Labels that mean nothing cannot be told apart, and the accuracy says so.
        words = ["cats", "bread", "a dog", "an apple", "the horse", "the soup", "birds", "cheese"]
        mixed = guide.IntentClassifier.train({"a": words[:4], "b": words[4:]}, self.pipeline)
        self.assertLess(mixed.accuracy, classifier.accuracy)
        with self.assertRaises(tandem.InvalidError):
            guide.IntentClassifier.train({"one": ["a", "b"]})
        with self.assertRaises(tandem.InvalidError):
            classifier.classify(np.zeros(3))

    def test_find_similar_is_exact(self):
        random = np.random.default_rng(7)
        vectors = random.standard_normal((2000, 32)).astype(np.float32)
        query = random.standard_normal(32).astype(np.float32)
        expected = vectors @ query / np.linalg.norm(vectors, axis=1) / np.linalg.norm(query)
        found = guide.find_similar(query, vectors)
        self.assertEqual([match.index for match in found], list(np.argsort(-expected)))
        np.testing.assert_allclose([m.score for m in found], np.sort(expected)[::-1], atol=1e-6)
        corpus = guide.Corpus(["first", "second"], np.eye(2, dtype=np.float32))
        self.assertEqual(guide.find_similar(np.float32([0.1, 1]), corpus)[0].text, "second")
        for bad in (["first", "second"], None, query):
            with self.assertRaises(tandem.InvalidTypeError):
                guide.find_similar(query, bad)

    def test_chunks(self):
        documents = [str(i) for i in range(70)]
        chunks = list(guide.chunk_documents(documents))
        self.assertEqual([len(chunk) for chunk in chunks], [32, 32, 6])
        self.assertEqual(sum(chunks, []), documents)
        with self.assertRaises(tandem.InvalidError):
            list(guide.chunk_documents(documents, batch_size=0))

    def test_process_embeddings(self):
        random = np.random.default_rng(8)
        vectors = random.standard_normal((700, 16)).astype(np.float32)
        vectors[650] = 2 * vectors[3]
        unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
        scores = unit @ unit.T
        np.fill_diagonal(scores, -np.inf)
        found = run(guide.process_embeddings_batch(vectors))
        self.assertEqual([one.index for one in found], list(range(700)))
        self.assertEqual([one.nearest for one in found], list(scores.argmax(axis=1)))
        self.assertEqual((found[3].nearest, found[650].nearest), (650, 3))
        self.assertEqual(run(guide.process_embeddings_batch(vectors[:1]))[0].nearest, None)

    def test_responses(self):
        texts = ["Cats eat mice.", "Trains run on rails."]
        answers = guide.Answers(texts, self.pipeline)
        for message, place in (("what do cats eat", 0), ("how do trains move", 1)):
            self.assertEqual(guide.generate_response(self.embed(message), answers), texts[place])
        guide.use(answers={"hello": "Good day.", "bye": "Farewell."})
        self.assertEqual(guide.generate_response(self.embed("goodbye")), "Farewell.")

    def test_lengths(self):
        self.assertEqual([guide.adjust_sequence_length(gb) for gb in (1, 7.9, 8, 15.9, 16, 64)],
                         [256, 256, 512, 512, 1024, 1024])
        self.assertIn(guide.adjust_sequence_length(), (256, 512, 1024))

    def test_thermal_state(self):
        known = tandem.machine().speed_limit_percent
        with tandem.Pipeline(TINY, threads=1) as pipeline:
            pipeline.infer_sync("a")
            self.assertEqual(guide.get_thermal_state(pipeline), 100 if known is None else known)
            pipeline.set_speed_limit(80)
            until = time.monotonic() + 10
            while guide.get_thermal_state(pipeline) != 80 and time.monotonic() < until:
                time.sleep(0.01)
            self.assertEqual(guide.get_thermal_state(pipeline), 80)

    def test_rules(self):
        self.assertEqual([guide.select_backend("any", size, priority) for size, priority in (
            (1, "real_time"), (50, "real_time"), (11, "standard"), (10, "standard"))],
            ["ane", "ane", "metal", "auto"])
        selector = guide.SmartBackendSelector(self.pipeline)
        urgent, batch, one = (guide.Request("a", "urgent"), guide.Request(["a", "b"]),
                              guide.Request("a"))
        self.assertEqual([selector.select_backend(r) for r in (urgent, batch, one)],
                         ["ane", "metal", "cpu"])
        selector.ane_queue_size = 5
        self.assertEqual(selector.select_backend(urgent), "cpu")

    def test_requests_of_both_ways(self):
        texts = [f"text {i}" for i in range(20)]
        expected = self.pipeline.infer_sync(texts)
        for function in (guide.process_with_ane, guide.distribute_across_backends):
            np.testing.assert_array_equal(np.stack(run(function(texts))), expected)
        with self.assertRaises(tandem.InvalidTypeError):
            run(guide.process_with_ane([None]))

    def test_scaler(self):
        scaler = guide.AutoScaler(self.pipeline)
        texts = [f"text {i}" for i in range(60)]
        requests = [guide.Request(t, "urgent" if i % 3 else "standard")
                    for i, t in enumerate(texts)]
        np.testing.assert_array_equal(np.stack(run(scaler.run(requests))),
                                      self.pipeline.infer_sync(texts))
        quiet = {"latency_p95": 1, "throughput": 900, "queue_depth": 0}
        for change, expected in (({}, (1, 4, False)), ({"latency_p95": 11}, (3, 4, False)),
                                 ({"throughput": 100}, (3, 8, False)),
                                 ({"queue_depth": 21}, (3, 8, True))):
            run(scaler.scale_decision({**quiet, **change}))
            self.assertEqual((scaler.ane_workers, scaler.metal_batch, bool(scaler.backends)),
                             expected)
        for _ in range(20):
            run(scaler.scale_decision({**quiet, "latency_p95": 11}))
        self.assertEqual(scaler.ane_workers, scaler.WORKERS_MAX)

    def test_metrics(self):
        monitor = guide.Monitor(self.pipeline)
        self.assertEqual(monitor.metrics()["error_rate"], 0)

        async def main():
            for _ in range(9):
                await monitor.infer("a")
            with self.assertRaises(tandem.InvalidError):
                await monitor.infer("a", backend="tpu")
        run(main())
        measured = monitor.metrics()
        self.assertAlmostEqual(measured["error_rate"], 10)
        self.assertGreater(measured["throughput"], 0)
        self.assertTrue(all(0 < share <= 100.1
                            for share in measured["backend_utilization"].values()))
        checks = guide.check_targets({"a": "< 5ms", "b": {"c": "> 3"}, "d": "< 1%"},
                                     {"a": 5, "b": {"c": 4}})
        self.assertEqual([(check.name, check.passed) for check in checks],
                         [("a", False), ("b.c", True), ("d", None)])

    def test_the_optimizer_loses_nothing(self):
        async def fail(*_, **__):
            raise tandem.DeviceError("broken")
        requests = [guide.Request("a", "urgent"), guide.Request(["b", "c"]), guide.Request("d"),
                    guide.Request(["e", "f"], "urgent")]
        optimizer = guide.BatchOptimizer(self.pipeline)
        found = run(optimizer.optimize_batching(requests))
        for request, vectors in zip(requests, found):
            np.testing.assert_array_equal(vectors, self.pipeline.infer_sync(request.text))
        optimizer.process_metal_batch = types.MethodType(fail, optimizer)
        found = run(optimizer.optimize_batching(requests))
        self.assertIsInstance(found[1], tandem.DeviceError)
        self.assertEqual(found[0].shape, found[2].shape)


if __name__ == "__main__":
    unittest.main()
