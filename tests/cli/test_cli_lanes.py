#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What the binary says of lanes: bench, its replay of a traffic file, doctor --explain."""
import json
import os
import re

from cli_case import ROOT, TINY, Case, main

HIDDEN = 32  # of the tiny model


class Explain(Case):
    def explain(self, *args, **kwargs):
        out = self.done("doctor", "-m", TINY, "--explain", "--json", *args, **kwargs)
        return json.loads(out)["explain"]

    def test_plan(self):
        plan = self.explain()["plan"]
        self.assertEqual((plan["hidden"], plan["activation"], plan["positions"], plan["pooling"]),
                         (HIDDEN, "gelu", "absolute", "mean"))

    def test_lanes(self):
        lanes = {lane["name"]: lane for lane in self.explain()["lanes"]}
        for lane in lanes.values():
            self.assertGreater(lane["weights_bytes"], 0)
            self.assertGreater(lane["workspace_bytes"], 0)
            self.assertTrue(all(s["op"] and s["where"] and s["how"] for s in lane["steps"]))
        self.assertEqual((lanes["cpu"]["dtype"], lanes["ref"]["dtype"]), ("f16", "f32"))

    def test_kernels_are_those_of_the_instruction_set(self):
        names = {}
        for isa in ("c", "native"):
            lanes = {n["name"]: n for n in self.explain(env={"TANDEM_CPU": isa})["lanes"]}
            how = " ".join(step["how"] for step in lanes["cpu"]["steps"])
            self.assertNotIn("unlisted", how)
            names[isa] = re.findall(r"tandem_(\w+?)__(\w+)", how)
        self.assertEqual({isa for _, isa in names["c"]}, {"c"})
        ops = {name.split("_")[0] for name, _ in names["c"]}
        self.assertEqual(ops, {"activation", "attention", "convert", "embed", "gemm", "layernorm"})
        native = self.done("doctor", "--json", env={"TANDEM_CPU": "native"})
        newest = json.loads(native)["machine"]["kernels"]
        self.assertEqual({isa for _, isa in names["native"]}, {newest})

    def test_text(self):
        text = self.done("doctor", "-m", TINY, "--explain").decode()
        self.assertRegex(text, r"(?m)^lane cpu +f16, weights .*, workspace ")
        self.assertRegex(text, r"(?m)^  attention  +\d+ threads? +tandem_attention_f32__")

    def test_no_model(self):
        self.assertIn("nobody/nothing", self.failed("doctor", "-m", "nobody/nothing", "--explain"))


class Bench(Case):
    ARGS = ["bench", "-m", TINY, "--tokens", "16", "--seconds", "0.03", "--baseline", "none"]

    def test_json(self):
        out = json.loads(self.done(*self.ARGS, "--json"))
        self.assertIn("lane", [row["kind"] for row in out["rows"]])
        for row in out["rows"]:
            if row["runs"] == 0:
                self.assertTrue(row["note"], row)
                continue
            self.assertLessEqual(row["p50_ms"], row["p95_ms"])
            self.assertLessEqual(row["p95_ms"], row["p99_ms"])
            self.assertGreater(row["texts_per_s"], 0)
        self.assertEqual({row["throughput"] for row in out["rows"]}, {False, True})

    def test_compare_and_report(self):
        path = self.write("before.json", self.done(*self.ARGS, "--batch", "2", "--json"))
        text = self.done(*self.ARGS, "--batch", "2", "--compare", path, "--report", "r.md",
                         stderr=None).decode()
        self.assertRegex(text, r"cpu .* \[was .* ms, .*x (faster|slower) now\]")
        self.assertIn("└──", text)
        with open(self.path("r.md"), encoding="utf-8") as f:
            report = f.read()
        for word in ('"rows":', "processor  ", "  cuda   missing", "Throughput (",
                     "## What runs where"):
            self.assertIn(word, report)
        self.assertNotIn("bert-base", report)  # the model that was named is what is wanted
        self.done(*self.ARGS, "--report", "quiet.md", "-q")
        self.assertTrue(os.path.exists(self.path("quiet.md")))
        bad = self.write("bad.json", "[]")
        self.assertIn("bad.json", self.failed(*self.ARGS, "--compare", bad))

    def test_report_without_the_model(self):
        result = self.run_binary("bench", "--report", "-q", env={"HF_HUB_CACHE": self.path("none")})
        self.assertEqual(result.returncode, 1)
        with open(self.path("tandem-bench.md"), encoding="utf-8") as f:
            report = f.read()
        self.assertRegex(report, r"Latency \(bert-base, 128 tokens, batch 1\)")
        self.assertRegex(report, r"cpu f16: .* ms  p95")
        self.assertIn("query, key, value 2304 x 768", report)
        self.assertIn("## Error", report)

    def test_too_many_tokens(self):
        self.assertIn("at most 64", self.failed(*self.ARGS, "--tokens", "65"))

    def test_too_many_tokens_at_once(self):
        with open(os.path.join(TINY, "config.json"), encoding="utf-8") as f:
            config = json.load(f)
        config["max_position_embeddings"] = 1 << 17
        os.mkdir(self.path("wide"))
        self.write("wide/config.json", json.dumps(config))
        line = self.failed("bench", "--shape", self.path("wide"), "--baseline", "blas",
                           "--tokens", str(1 << 17), "--batch", str(1 << 14))
        self.assertIn("--batch: 16384 texts of 131072 tokens, at most 2147483647", line)

    def test_mix(self):
        path = self.write("mix", "# two at once\n0 5 urgent\n0 60 background # long\n\n12.5 7\n"
                          "30 3 -4\r\n")
        out = json.loads(self.done("bench", "-m", TINY, "--mix", path, "--json"))
        self.assertEqual((out["mix"]["requests"], out["mix"]["tokens"]), (4, 75))
        counts = {r["priority"]: r["requests"] for r in out["rows"] if r["name"] == "cpu"}
        self.assertEqual(counts, {"all": 4, "realtime": 2, "standard": 1, "background": 1})
        for row in out["rows"]:
            self.assertLessEqual(0, row["p50_ms"])
            self.assertLessEqual(row["p50_ms"], row["p95_ms"])
            self.assertLessEqual(row["p99_ms"], row["max_ms"])
            self.assertLess(row["texts_per_s"], 4 / 0.030)  # open-loop: no faster than the file
        text = self.done("bench", "-m", TINY, "--mix", path, "--report", "-q").decode()
        self.assertRegex(text, r"cpu f16 realtime: .* p99 .* texts/s")
        with open(self.path("tandem-bench.md"), encoding="utf-8") as f:
            self.assertIn("Replay of", f.read())

    def test_mix_targets(self):
        path = self.write("mix", "".join(f"{i} 20 {p}\n" for i in range(0, 300, 3)
                                         for p in ("realtime", "background")))
        out = json.loads(self.done("bench", "-m", TINY, "--mix", path, "--json"))
        targets = {t["name"]: t for t in out["targets"]}
        self.assertEqual(list(targets), ["latency_p95_ms", "throughput_per_s", "utilisation_cpu",
                                         "error_percent", "queue_depth"])
        limits = {"latency_p95_ms": 5, "throughput_per_s": 300, "utilisation_cpu": 70,
                  "error_percent": 0.1, "queue_depth": 10}
        for name, target in targets.items():
            self.assertEqual((target["lane"], target["limit"], target["measured"]),
                             ("cpu", limits[name], True))
            over = target["value"] > target["limit"]
            self.assertEqual(target["met"], over if target["minimum"] else not over, target)
        self.assertTrue(targets["error_percent"]["met"])
        realtime = [r for r in out["rows"] if r["priority"] == "realtime"]
        self.assertAlmostEqual(targets["latency_p95_ms"]["value"], realtime[0]["p95_ms"], 3)
        text = self.done("bench", "-m", TINY, "--mix", path).decode()
        self.assertRegex(text, r"(?m)^    latency_p95_ms +[\d.e-]+  < 5 +(pass|fail)$")

    def test_mix_deadlines(self):
        lines = "0 60\n" * 50 + "0 60 background 0.001\n" * 5
        path = self.write("mix", lines)
        out = json.loads(self.done("bench", "-m", TINY, "--mix", path, "--json"))
        rows_of = {r["priority"]: r for r in out["rows"]}
        self.assertEqual((rows_of["all"]["requests"], rows_of["all"]["refused"]), (55, 5))
        self.assertEqual(rows_of["standard"]["refused"], 0)

    def test_bad_mixes(self):
        def bad(data, *args):
            path = self.write("mix", data)
            return self.failed("bench", "-m", TINY, "--mix", path, *args).removeprefix(path + ": ")

        good = "# comment\n0 5\n"
        self.assertIn("no request", bad("# nothing\n"))
        self.assertIn('line 3: TOKENS: "65", expected a whole number from 1 to the model\'s 64',
                      bad(good + "1 65\n"))
        self.assertIn("line 4: expected AT_MS TOKENS", bad(good + "1 5\n7"))
        self.assertIn("line 3: expected AT_MS TOKENS", bad(good + "1 2 standard 4 5\n"))
        self.assertIn('line 4: AT_MS: "9", expected a number from 10 to', bad(good + "10 1\n9 1"))
        self.assertIn('line 3: AT_MS: "nan"', bad(good + "nan 1\n"))
        self.assertIn('line 3: priority: "soon", expected realtime', bad(good + "1 1 soon\n"))
        for deadline in ("0", "-1", "soon", "1e9"):
            self.assertIn(f'line 3: DEADLINE_MS: "{deadline}", expected a number over 0',
                          bad(good + f"1 1 standard {deadline}\n"))
        self.assertIn("nothing.txt: no such file",
                      self.failed("bench", "-m", TINY, "--mix", "nothing.txt"))
        self.assertIn("--compare", self.misused("bench", "--mix", "a", "--compare", "b"))

    def test_example_mix_is_well_formed(self):
        lines = (ROOT / "bench/mixes/chat.txt").read_text(encoding="utf-8").splitlines()
        rows_of = [line.split() for line in lines if line and not line.startswith("#")]
        self.assertGreater(len(rows_of), 100)
        self.assertEqual({p for _, _, p in rows_of}, {"realtime", "standard", "background"})
        times = [float(at) for at, _, _ in rows_of]
        self.assertEqual(times, sorted(times))
        self.assertLessEqual(max(int(n) for _, n, _ in rows_of), 256)

    def test_few_runs_are_said(self):
        self.assertNotIn(b"So few", self.done(*self.ARGS))
        once = self.done(*self.ARGS, "--seconds", "0.000001")
        self.assertIn(b"Medians of 1 run,", once)
        self.assertIn(b"So few are a rough idea", once)

    def test_missing_lanes_say_why(self):
        text = self.done(*self.ARGS).decode()
        lanes = json.loads(self.done("doctor", "--json"))["lanes"]
        for lane in lanes:
            if not lane["available"]:
                self.assertRegex(text, rf"── {lane['name']}: +{re.escape(lane['reason'])}")

    def test_a_python_without_packages_is_no_failure(self):
        text = self.done(*self.ARGS, "--baseline", "torch", "--python", "/nonexistent/python3")
        self.assertIn(b"/nonexistent/python3", text)


if __name__ == "__main__":
    main()
