#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""tandem simulate: what it prints, what it refuses, and that a seed replays."""
import json

from cli_case import Case, main, rows

KEYS = ["policy", "load", "offered_per_s", "answered_per_s", "realtime_p95_ms", "realtime_max_ms",
        "standard_p95_ms", "background_max_ms", "all_p95_ms", "refused", "lost", "doubled"]
SMALL = ["simulate", "--requests", "5000"]


class Simulate(Case):
    def test_json(self):
        args = SMALL + ["--load", "0.1,0.8", "--background", "0.2", "--json"]
        out = rows(self.done(*args))
        self.assertEqual([row["load"] for row in out], [0.1, 0.8])
        for row in out:
            self.assertEqual(list(row)[:len(KEYS)], KEYS)
            self.assertEqual((row["policy"], row["lost"], row["doubled"]), ("predict", 0, 0))
            self.assertAlmostEqual(row["offered_per_s"] / row["capacity_per_s"], row["load"],
                                   delta=0.1 * row["load"])
            self.assertGreaterEqual(row["realtime_max_ms"], row["realtime_p95_ms"])
            self.assertEqual(row["answered"] + row["refused"], row["requests"])
            self.assertEqual([lane["name"] for lane in row["lanes"]], ["ane", "metal", "cpu"])
        self.assertAlmostEqual(out[0]["capacity_per_s"], 670.9, delta=0.2)
        self.assertLess(out[0]["realtime_p95_ms"], out[1]["realtime_p95_ms"])
        self.assertGreater(out[1]["background_max_ms"], 11.4)
        self.assertEqual(self.done(*args), self.done(*args))
        self.assertNotEqual(self.done(*args), self.done(*args, "--seed", "2"))

    def test_table(self):
        text = self.done(*SMALL, "--load", "0.4,0.8", "--policy", "rules", "--bursty").decode()
        self.assertIn("guide-mac, policy rules, 5000 requests, bursty arrivals", text)
        self.assertRegex(text, r"(?m)^ +0\.4 .* ane \d+% metal \d+% cpu \d+%$")
        for line in text.splitlines():
            self.assertLessEqual(len(line), 120)

    def test_policies_differ(self):
        found = {}
        for policy in ("predict", "rules", "rules-simple"):
            args = SMALL + ["--load", "0.6", "--bursty", "--policy", policy, "--json"]
            (found[policy],) = rows(self.done(*args))
        self.assertLess(found["predict"]["all_p95_ms"], found["rules"]["all_p95_ms"])
        self.assertLess(found["predict"]["realtime_p95_ms"], found["rules"]["realtime_p95_ms"])

    def test_machine(self):
        machine = {"text_tokens": 10, "lanes": [
            {"name": "one", "class": "latency", "text_ms": 1, "texts_max": 1},
            {"name": "two \"q\"", "class": "throughput", "base_ms": 1, "token_ms": 0.1,
             "texts_max": 4, "slots": 2}]}
        path = self.write("machine.json", json.dumps(machine))
        (row,) = rows(self.done(*SMALL, "--machine", path, "--load", "0.5", "--json"))
        self.assertAlmostEqual(row["capacity_per_s"], 1000 + 2 * 4 / 0.005, delta=0.1)
        self.assertEqual([lane["name"] for lane in row["lanes"]], ["one", "two \"q\""])

    def test_faults(self):
        faults = [{"at_ms": 2000, "for_ms": 3000, "lane": "ane", "fault": "dead"},
                  {"at_ms": 7000, "for_ms": 1000, "lane": "metal", "fault": "hang"}]
        path = self.write("faults.json", json.dumps(faults))
        (row,) = rows(self.done(*SMALL, "--load", "0.4", "--faults", path, "--json"))
        self.assertEqual([lane["times_out"] for lane in row["lanes"]], [1, 1, 0])
        self.assertEqual((row["answered"], row["lost"], row["doubled"]), (5000, 0, 0))

    def test_batch_and_all_realtime(self):
        (row,) = rows(self.done(*SMALL, "--load", "0.5", "--batch", "8", "--json"))
        self.assertGreater(sum(lane["texts"] for lane in row["lanes"]), 2.5 * row["requests"])
        (row,) = rows(self.done(*SMALL, "--load", "0.5", "--realtime", "1", "--json"))
        self.assertEqual((row["standard_p95_ms"], row["background_max_ms"]), (0, 0))

    def test_misused(self):
        for loads in ("", "0", "-1", "0.4,", "x", "0.4;0.8", "101", "nan", ",".join(["1"] * 65)):
            self.assertIn("--load: ", self.misused("simulate", "--load=" + loads))
        self.assertIn("expected one of predict|rules|rules-simple",
                      self.misused("simulate", "--policy", "best"))
        self.assertIn("--realtime 0.9 and --background 0.2",
                      self.misused("simulate", "--realtime", "0.9", "--background", "0.2"))
        for option, value in (("--realtime", "1.5"), ("--realtime", "nan"), ("--background", "-1"),
                              ("--batch", "0"), ("--batch", "1025"), ("--requests", "0"),
                              ("--seed", "-1"), ("--seed", "x"), ("--warmup-ms", "-1")):
            self.assertIn(f'{option}: "{value}"', self.misused("simulate", option, value))
        self.assertIn('unexpected argument "x"', self.misused("simulate", "x"))
        self.assertIn('TANDEM_SEED: "x"', self.misused("simulate", env={"TANDEM_SEED": "x"}))

    def test_bad_files(self):
        self.assertIn("nothing.json: no such file",
                      self.failed("simulate", "--machine", "nothing.json"))
        self.assertIn("nothing.json: no such file",
                      self.failed("simulate", "--faults", "nothing.json"))

        def refused(option, data):
            path = self.write("x.json", data if isinstance(data, str) else json.dumps(data))
            return self.failed("simulate", option, path)

        lane = {"name": "a", "class": "latency", "text_ms": 1}
        self.assertIn("x.json: ", refused("--machine", "{"))
        self.assertIn("expected a list of 1 to 8", refused("--machine", {"lanes": []}))
        self.assertIn("expected a list of 1 to 8", refused("--machine", {"lanes": [lane] * 9}))
        for change, words in (({"class": "fast"}, "expected latency, throughput or background"),
                              ({"name": ""}, "expected 1 to 15 bytes"),
                              ({"text_ms": 0}, "takes no time"), ({"text_ms": -1}, "text_ms: -1"),
                              ({"slots": 17}, "slots"), ({"jitter": 2}, "jitter: 2"),
                              ({"texts_max": 0}, "texts_max")):
            self.assertIn(words, refused("--machine", {"lanes": [{**lane, **change}]}))
        fault = {"at_ms": 1, "lane": "ane", "fault": "dead"}
        self.assertIn("expected a list of faults", refused("--faults", {}))
        for change, words in (({"lane": "gpu"}, "none of that name"),
                              ({"fault": "bored"}, "expected dead, fail, nan"),
                              ({"at_ms": -1}, "at_ms: -1"),
                              ({"fault": "fail", "share": 2}, "share: 2")):
            self.assertIn(words, refused("--faults", [{**fault, **change}]))
        self.assertIn("over 128 faults", refused("--faults", [fault] * 256))


if __name__ == "__main__":
    main()
