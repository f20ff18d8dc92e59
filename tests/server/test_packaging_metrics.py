#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""test_packaging_metrics.py METRICS_PRINT: the alert rules and the Grafana dashboard against what
GET /metrics says, and all three against promtool."""
import json
import pathlib
import re
import subprocess
import sys
import tempfile
import unittest

import test_metrics_text

ROOT = test_metrics_text.ROOT
ALERTS = ROOT / "packaging/prometheus-alerts.yml"
BOARD = json.loads((ROOT / "packaging/grafana-dashboard.json").read_text(encoding="utf-8"))
OURS = re.compile(r"\b((?:tandem|te|process)_[a-z0-9_]+)(?:\{([^}]*)\})?")
SCRAPED = {"instance", "job"}  # labels that Prometheus adds


def promtool(*words, stdin=""):
    return subprocess.run([ROOT / "tools/promtool.sh", *map(str, words)], input=stdin, text=True,
                          capture_output=True, check=False)


def expressions():
    """(where, expression) of every alert and every panel."""
    text = ALERTS.read_text(encoding="utf-8")
    for name, said in re.findall(r"- alert: (\w+)\n\s+expr: (.*?)\n\s+(?:for|labels):", text, re.S):
        yield name, re.sub(r"\s+", " ", said.removeprefix(">-"))
    for panel in BOARD["panels"]:
        for target in panel.get("targets", []):
            yield panel["title"], target["expr"]
    for variable in BOARD["templating"]["list"]:
        if variable["type"] == "query":
            yield variable["name"], re.sub(r"^label_values\((.*), \w+\)$", r"\1",
                                           variable["definition"])


class Packaging(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.text = test_metrics_text.answer("metrics")
        cls.labels = {}  # of each sample's name
        for _, samples in test_metrics_text.parse(cls.text).values():
            for name, labels in samples:
                cls.labels.setdefault(name, set()).update(key for key, _ in labels)

    def test_metrics_that_are_named_are_there(self):
        named = set()
        for where, said in expressions():
            for name, selector in OURS.findall(said):
                self.assertIn(name, self.labels, f"{where}: {said}")
                asked = set(re.findall(r"(\w+)\s*(?:=~|!~|!=|=)", selector)) - SCRAPED
                self.assertLessEqual(asked, self.labels[name], f"{where}: {said}")
                named.add(name)
            for group in re.findall(r"\bby \(([^)]*)\)", said):
                known = set.union(*(self.labels[name] for name, _ in OURS.findall(said)))
                self.assertLessEqual(set(re.findall(r"\w+", group)) - SCRAPED, known, said)
        self.assertGreater(len(named), 35)

    def test_documents_name_what_is_there(self):
        said = (ROOT / "docs/metrics.md").read_text(encoding="utf-8")
        documented = {name for name, _ in OURS.findall(said)} - {"tandem_target_"}
        self.assertEqual(documented, set(test_metrics_text.parse(self.text)))

    def test_every_rule_is_there_and_tested(self):
        names = [name for name, _ in expressions() if name.startswith("Tandem")]
        self.assertEqual(len(names), 13)
        tests = (ROOT / "packaging/prometheus-alerts-test.yml").read_text(encoding="utf-8")
        for name in names:
            self.assertRegex(tests, rf"alertname: {name}\n\s+exp_alerts:\n\s+- exp_labels")
            self.assertRegex(tests, rf"alertname: {name}, exp_alerts: \[\]")

    def test_promtool_takes_the_rules(self):
        for words in (("check", "rules", ALERTS),
                      ("test", "rules", ROOT / "packaging/prometheus-alerts-test.yml")):
            done = promtool(*words)
            self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
            self.assertIn("SUCCESS", done.stdout)

    def test_promtool_takes_the_board(self):
        """Its expressions as recording rules, with values for Grafana's variables."""
        rules = []
        for where, said in expressions():
            said = said.replace("$__rate_interval", "5m")
            self.assertEqual(re.findall(r"\$(?!instance|model|job)\w+", said), [], where)
            rules.append({"record": f"board:{len(rules)}", "expr": said})
        with tempfile.TemporaryDirectory() as folder:
            path = pathlib.Path(folder, "board.yml")  # JSON is YAML too
            path.write_text(json.dumps({"groups": [{"name": "board", "rules": rules}]}))
            done = promtool("check", "rules", path)
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        self.assertIn(f"{len(rules)} rules found", done.stdout)

    def test_promtool_takes_the_metrics(self):
        done = promtool("check", "metrics", stdin=self.text)
        self.assertIn(done.returncode, (0, 3), done.stderr)  # 3: it would name something else
        for complaint in (done.stdout + done.stderr).splitlines():
            self.assertTrue(complaint.startswith("te_"), complaint)
        self.assertEqual(promtool("check", "metrics", stdin=self.text + "x{\n").returncode, 1)

    def test_board_is_laid_out(self):
        ids = [panel["id"] for panel in BOARD["panels"]]
        self.assertEqual(len(ids), len(set(ids)))
        places = set()
        for panel in BOARD["panels"]:
            place = panel["gridPos"]
            self.assertLessEqual(place["x"] + place["w"], 24, panel["title"])
            for x in range(place["x"], place["x"] + place["w"]):
                for y in range(place["y"], place["y"] + place["h"]):
                    self.assertNotIn((x, y), places, panel["title"])
                    places.add((x, y))
            if panel["type"] != "row":
                self.assertTrue(panel["targets"], panel["title"])
                self.assertEqual(panel["datasource"]["uid"], "${datasource}")


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1])
