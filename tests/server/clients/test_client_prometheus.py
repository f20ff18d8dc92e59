# SPDX-License-Identifier: Apache-2.0
"""prometheus_client's parser over GET /metrics: Text Embeddings Inference's names and ours."""
import math
import pathlib
import sys
import unittest

from prometheus_client.parser import text_string_to_metric_families

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))
from server_case import GOLDEN, ServerCase

TEXTS = GOLDEN["minilm"]["texts"]
COUNTERS = """te_request_count te_request_success te_request_failure te_embed_count te_embed_success
te_predict_count te_predict_success""".split()
HISTOGRAMS = """te_request_duration te_request_tokenization_duration te_request_queue_duration
te_request_inference_duration te_embed_duration te_embed_tokenization_duration
te_embed_queue_duration te_embed_inference_duration te_predict_duration
te_predict_tokenization_duration te_predict_queue_duration te_predict_inference_duration
te_request_input_length te_batch_next_size te_batch_next_tokens""".split()


class Prometheus(ServerCase):
    def metrics(self):
        answer = self.ask("GET", "/metrics")
        self.assertEqual(answer.code, 200)
        self.assertTrue(answer.headers["Content-Type"].startswith("text/plain"))
        families = list(text_string_to_metric_families(answer.body.decode()))
        names = {(family.name, family.type) for family in families}
        self.assertEqual(len(names), len(families))
        return {family.name: family for family in sorted(families, key=lambda f: f.type)}

    def value(self, families, name, **labels):
        """The sum of the samples of that name that have these labels. The parser gives counters
        the ending that OpenMetrics wants."""
        return sum(sample.value for family in families.values() for sample in family.samples
                   if sample.name in (name, name + "_total") and
                   labels.items() <= sample.labels.items())

    def embed(self, inputs, code=200):
        answer = self.ask("POST", "/embed", {"inputs": inputs})
        self.assertEqual(answer.code, code, answer.body)

    def test_names_and_types(self):
        self.embed(TEXTS)
        self.assertEqual(self.ask("POST", "/predict", {"inputs": "a"}).code, 200)
        self.embed([], 400)
        families = self.metrics()
        for name in COUNTERS:
            self.assertEqual(families[name].type, "counter", name)
        for name in HISTOGRAMS:
            self.assertEqual(families[name].type, "histogram", name)
        self.assertEqual(families["te_queue_size"].type, "gauge")
        ours = [name for name in families if name.startswith("tandem_")]
        self.assertGreater(len(ours), 10)
        for family in families.values():
            self.assertTrue(family.documentation, family.name)
            self.assertNotEqual(family.type, "unknown", family.name)

    def test_histograms_add_up(self):
        self.embed(TEXTS)
        for family in self.metrics().values():
            if family.type != "histogram":
                continue
            rows = {}
            for sample in family.samples:
                labels = dict(sample.labels)
                bound = labels.pop("le", None)
                row = rows.setdefault(tuple(sorted(labels.items())), {"buckets": []})
                if bound is None:
                    row[sample.name.removeprefix(family.name)] = sample.value
                else:
                    row["buckets"].append((float(bound), sample.value))
            for row in rows.values():
                bounds, counts = zip(*row["buckets"])
                self.assertEqual(list(bounds), sorted(set(bounds)), family.name)
                self.assertEqual(list(counts), sorted(counts), family.name)
                self.assertEqual(bounds[-1], math.inf)
                self.assertEqual(counts[-1], row["_count"], family.name)
                self.assertGreaterEqual(row["_sum"], 0)

    def test_counters_count(self):
        before = self.metrics()
        self.embed(TEXTS[0])
        self.embed(TEXTS)
        self.embed([], 400)
        after = self.metrics()

        def grown(name, **labels):
            return self.value(after, name, **labels) - self.value(before, name, **labels)
        self.assertEqual(grown("te_request_count", method="single"), 1)
        self.assertEqual(grown("te_request_count", method="batch"), 2)
        self.assertEqual(grown("te_request_success", method="batch"), 1)
        self.assertEqual(grown("te_embed_success"), 1 + len(TEXTS))
        self.assertEqual(grown("te_request_failure"), 1)
        self.assertEqual(grown("te_request_duration_count"), 2)

    def test_other_routes_count_too(self):
        before = self.metrics()
        answer = self.ask("POST", "/v1/embeddings", {"model": "tiny-bert", "input": "x y"})
        self.assertEqual(answer.code, 200)
        after = self.metrics()
        self.assertEqual(self.value(after, "te_request_success") -
                         self.value(before, "te_request_success"), 1)


if __name__ == "__main__":
    unittest.main()
