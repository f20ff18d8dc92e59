#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""test_metrics_text.py METRICS_PRINT: GET /metrics by the grammar of Prometheus' text format 0.0.4,
written down here anew; Text Embeddings Inference's names and types; GET /lanes as JSON."""
import json
import math
import pathlib
import re
import subprocess
import sys
import unittest

ROOT = pathlib.Path(__file__).resolve().parents[2]  # the models lie in the tree
NAME = r"[a-zA-Z_:][a-zA-Z0-9_:]*"
LABEL = re.compile(r'([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\\n]|\\[\\"n])*)"')
SAMPLE = re.compile(r"(" + NAME + r")(?:\{((?:" + LABEL.pattern + r",?)*)\})? (\S+)$")
SUFFIXES = {"histogram": ["_bucket", "_sum", "_count"], "summary": ["", "_sum", "_count"],
            "counter": [""], "gauge": [""]}
STAGES = ["", "_tokenization", "_queue", "_inference"]
TEI = {
    "te_request_count": "counter", "te_request_success": "counter", "te_request_failure": "counter",
    "te_embed_count": "counter", "te_embed_success": "counter", "te_predict_count": "counter",
    "te_predict_success": "counter", "te_request_input_length": "histogram",
    "te_batch_next_size": "histogram", "te_batch_next_tokens": "histogram",
    "te_queue_size": "gauge",
    **{f"te_{what}{stage}_duration": "histogram"
       for what in ["request", "embed", "predict"] for stage in STAGES}}


def answer(what):
    return subprocess.run([sys.argv[1], what], capture_output=True, check=True,
                          cwd=ROOT).stdout.decode()


def unescape(value):
    return re.sub(r"\\(.)", lambda m: {"n": "\n"}.get(m.group(1), m.group(1)), value)


def parse(text):
    """{family: (type, {(sample's name, labels as a frozenset): value})}; fails on what is no text
    format, on a family that comes twice or in pieces, and on a sample that does."""
    assert text.endswith("\n")
    families, family = {}, None
    for line in text.splitlines():
        comment = re.match(r"# (HELP|TYPE) (" + NAME + r") (.*)$", line)
        if comment and comment.group(1) == "HELP":
            assert comment.group(2) not in families, f"{line}: the family comes twice"
            assert len(comment.group(3)) > 5, line
            family = comment.group(2)
            families[family] = (None, {})
        elif comment:
            assert comment.group(2) == family and families[family] == (None, {}), line
            families[family] = (comment.group(3), {})
        else:
            match = SAMPLE.match(line)
            assert match, f"no sample: {line!r}"
            kind, samples = families[family]
            name, labels, value = match.group(1), match.group(2) or "", float(match.groups()[-1])
            assert name.startswith(family) and name[len(family):] in SUFFIXES[kind], line
            pairs = [(key, unescape(text)) for key, text in LABEL.findall(labels)]
            assert len({key for key, _ in pairs}) == len(pairs), f"a label twice: {line}"
            key = (name, frozenset(pairs))
            assert key not in samples, f"a sample twice: {line}"
            samples[key] = value
    return families


class Metrics(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.families = parse(answer("metrics"))

    def value(self, name, **labels):
        for kind, samples in self.families.values():
            if (name, frozenset(labels.items())) in samples:
                return samples[(name, frozenset(labels.items()))]
        raise AssertionError(f"no {name} with {labels}")

    def test_tei_names_and_types(self):
        for name, kind in TEI.items():
            self.assertEqual(self.families[name][0], kind, name)
        self.assertEqual({name for name in self.families if name.startswith("te_")}, set(TEI))

    def test_tei_buckets(self):
        bounds = [f"{1e-5 * 1.5 ** n:.10g}" for n in range(1, 36)] + ["inf"]
        for name in TEI:
            if name.endswith("_duration"):
                found = [float(dict(labels)["le"]) for sample, labels in self.families[name][1]
                         if sample.endswith("_bucket")]
                self.assertEqual([f"{bound:.10g}" for bound in sorted(found)], bounds, name)

    def test_tei_sizes(self):
        for name, bounds in [("te_batch_next_size", 13), ("te_batch_next_tokens", 21),
                             ("te_request_input_length", 6)]:  # the model takes 48 tokens
            buckets = sorted((float(dict(labels)["le"]), value) for (sample, labels), value
                             in self.families[name][1].items() if sample.endswith("_bucket"))
            self.assertEqual([bound for bound, _ in buckets],
                             [2 ** i for i in range(bounds)] + [math.inf], name)
        # Texts of 4 and 3 tokens, one, two or more to a batch.
        self.assertEqual(self.value("te_request_input_length_bucket", le="2"), 0)
        self.assertEqual(self.value("te_request_input_length_bucket", le="4"), 120)
        self.assertEqual(self.value("te_batch_next_tokens_bucket", le="2"), 0)
        batches = self.value("te_batch_next_size_count")
        self.assertEqual(self.value("te_batch_next_size_bucket", le="4096"), batches)
        self.assertTrue(60 <= batches <= 240, batches)

    def test_counts(self):
        self.assertEqual(self.value("te_request_count", method="batch"), 61)
        self.assertEqual(self.value("te_request_success", method="batch"), 60)
        self.assertEqual(self.value("te_request_failure", err="overloaded"), 1)
        self.assertEqual(self.value("te_embed_success"), 120)
        self.assertEqual(self.value("te_request_duration_count"), 60)
        self.assertEqual(self.value("te_embed_duration_count"), 120)
        self.assertEqual(self.value("te_request_input_length_sum"), 7 * 60)
        self.assertEqual(self.value("te_batch_next_size_sum"), 2 * 120)
        for band in ["realtime", "standard", "background"]:
            self.assertEqual(self.value("tandem_request_duration_seconds_count",
                                        model="org/model", priority=band), 20)
        self.assertEqual(self.value("tandem_http_requests_total", route="/embed", method="POST",
                                    code="200"), 60)
        self.assertEqual(self.value("tandem_http_requests_total", route="", method="",
                                    code="404"), 1)
        self.assertEqual(self.value("tandem_http_connections"), 5)

    def test_labels_are_escaped(self):
        self.assertEqual(self.value("tandem_texts_total", model='a\\b "c"\nd'), 0)

    def test_histograms_rise_to_their_count(self):
        checked = 0
        for family, (kind, samples) in self.families.items():
            rows = {}
            for (name, labels), value in samples.items():
                if kind == "histogram" and name.endswith("_bucket"):
                    labels = dict(labels)
                    bound = float(labels.pop("le"))
                    rows.setdefault(frozenset(labels.items()), []).append((bound, value))
            for labels, buckets in rows.items():
                buckets.sort()
                counts = [count for _, count in buckets]
                self.assertEqual(counts, sorted(counts), family)
                self.assertEqual(buckets[-1][0], math.inf)
                self.assertEqual(counts[-1], samples[(family + "_count", labels)])
                checked += 1
        self.assertGreater(checked, 20)

    def test_lanes(self):
        one = {"model": "org/model", "class": "throughput"}
        self.assertEqual(self.value("tandem_lane_available", **one, lane="metal"), 1)
        self.assertEqual(self.value("tandem_lane_up", **one, lane="metal"), 1)
        self.assertGreater(self.value("tandem_lane_utilisation_ratio", **one, lane="metal"), 0)
        self.assertEqual(self.value("tandem_lane_available", model="org/model", lane="cpu",
                                    **{"class": "background"}), 0)
        p50, p95 = (self.value("tandem_lane_request_duration_seconds", model="org/model",
                               lane="metal", quantile=q) for q in ("0.5", "0.95"))
        self.assertTrue(0 < p50 <= p95 < 1, (p50, p95))

    def test_targets(self):
        for target, limit in [("latency_p95_ms", 5), ("throughput_per_s", 300),
                              ("utilisation_ane", 80), ("utilisation_metal", 90),
                              ("error_percent", 0.1), ("queue_depth", 10)]:
            self.assertEqual(self.value("tandem_target_limit", model="org/model", target=target),
                             limit)
        value = self.value("tandem_target_value", model="org/model", target="latency_p95_ms")
        met = self.value("tandem_target_met", model="org/model", target="latency_p95_ms")
        self.assertEqual(met, value < 5)


class Lanes(unittest.TestCase):
    def test_document(self):
        said = json.loads(answer("lanes"))
        model = said["models"][0]
        self.assertEqual((said["version"], model["name"]), ("1.2.3", "org/model"))
        self.assertEqual(said["models"][1]["name"], 'a\\b "c"\nd')
        lanes = {lane["name"]: lane for lane in model["lanes"]}
        self.assertEqual(lanes["cpu"]["state"], "absent")
        self.assertNotIn("utilisation", lanes["cpu"])
        self.assertGreater(len(lanes["cpu"]["reason"]), 5)
        self.assertEqual(lanes["ane"]["state"], "up")
        self.assertEqual(sum(lane.get("answered", 0) for lane in lanes.values()), 60)
        self.assertEqual(model["minute"]["answered"], 60)
        self.assertEqual([target["name"] for target in model["targets"]],
                         ["latency_p95_ms", "throughput_per_s", "utilisation_ane",
                          "utilisation_metal", "error_percent", "queue_depth"])
        for target in model["targets"]:
            self.assertIn(target["state"], ["met", "missed", "not measured"])
        self.assertEqual(len(said["recent"]), 16)
        self.assertEqual((said["recent"][0]["code"], said["recent"][0]["reason"]),
                         (429, "overloaded"))
        self.assertIn(said["recent"][1]["lane"], ["ane", "metal"])


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1])
