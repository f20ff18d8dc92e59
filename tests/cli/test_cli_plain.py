#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The binary where no model is needed: usage, help, environment, doctor, version, completion."""
import json
import os
import re
import shutil
import subprocess

from cli_case import BINARY, ROOT, TINY, Case, main

COMMANDS = ["embed", "similarity", "rerank", "classify", "tokenize", "serve", "usage", "key",
            "bench", "simulate", "doctor", "selftest", "version", "help"]

# What the documented interface names, by command: a name that is missing here breaks scripts.
COMMON = ["--offline", "-q", "-v", "-h", "--help"]
MODEL = ["-m", "--model", "--lane", "--dtype", "--threads", "--max-length"]
INPUT = ["-f", "--file", "--input-format", "--field", "--strict"]
OPTIONS = {
    "embed": MODEL + INPUT + ["-o", "--output", "--format", "--dimensions", "--no-normalize",
                              "--prompt", "--long", "--order", "--sparse", "--all-tokens"],
    "similarity": MODEL + INPUT + ["--json"],
    "rerank": MODEL + INPUT + ["--top-n", "--raw-scores", "--format", "--long"],
    "classify": MODEL + INPUT + ["--top", "--raw-scores", "--pairs", "--format", "--long"],
    "tokenize": INPUT + ["-m", "--model", "--max-length", "--decode", "--skip-special"],
    "bench": MODEL + ["--shape", "--tokens", "--batch", "--seconds", "--json", "--report",
                      "--compare", "--mix"],
    "simulate": ["--machine", "--policy", "--load", "--realtime", "--background", "--batch",
                 "--bursty", "--faults", "--requests", "--seed", "--warmup-ms", "--json"],
    "serve": ["-m", "--model", "-c", "--config", "--host", "--port", "--uds-path", "--open",
              "--api-key", "--keys-file", "--ledger", "--cors-allow-origin", "--log-format",
              "--http-threads", "--max-connections", "--payload-limit",
              "--max-client-batch-size", "--max-queue-tokens", "--max-tenant-tokens",
              "--idle-timeout", "--drain-timeout", "--lane", "--dtype", "--policy", "--threads",
              "--max-length", "--max-batch-tokens", "--cache", "--auto-truncate",
              "--default-prompt-name", "--default-prompt", "--served-model-name"],
    "usage": ["-l", "--ledger", "-c", "--config", "--by", "-t", "--tenant", "--since", "--until",
              "--json"],
    "key": ["-t", "--tenant", "--tier", "--json"],
    "doctor": ["--json", "--explain"],
    "selftest": MODEL + ["--report"],
    "version": [],
    "help": [],
}


class Help(Case):
    def test_every_option_is_in_help(self):
        for command, options in OPTIONS.items():
            text = self.done(command, "--help").decode()
            words = set(re.findall(r"(?<![\w-])--?[a-z][a-z-]*", text))
            for option in options + COMMON:
                self.assertIn(option, words, f"{command} --help")
            self.assertEqual(text, self.done("help", command).decode())
            self.assertEqual(text, self.done(command, "-h").decode())
            for line in text.splitlines():
                self.assertLessEqual(len(line), 80, f"{command} --help: {line}")
                self.assertEqual(line, line.rstrip(), f"{command} --help")
            self.assertNotIn("\n\n\n", text, f"{command} --help")

    def test_every_option_is_documented(self):
        page = (ROOT / "docs/cli.md").read_text(encoding="utf-8")
        for command in COMMANDS:
            text = self.done(command, "--help").decode()
            for option in re.findall(r"(?m)^ +(?:-., )?(--[a-z-]+)", text):
                self.assertIn(option, page, command)

    def test_program(self):
        text = self.done("--help").decode()
        for command in COMMANDS:
            self.assertRegex(text, rf"(?m)^  {command} ")
        self.assertEqual(text, self.done("help").decode())

    def test_version(self):
        header = (ROOT / "include/tandem/version.h").read_text(encoding="utf-8")
        version = re.search(r'TANDEM_VERSION +"(.*)"', header).group(1)
        for args in (["version"], ["--version"], ["-V"]):
            self.assertEqual(self.done(*args).decode(), f"tandem {version}\n")

    def test_help_wins_over_missing_arguments(self):
        self.assertIn(b"Usage: tandem similarity", self.done("similarity", "--help"))

    def test_manual(self):
        page = self.done("help", "--man").decode()
        self.assertTrue(page.startswith(".TH TANDEM 1"))
        for command, options in OPTIONS.items():
            self.assertIn(f".SS tandem {command}", page)
            for option in options:
                if option.startswith("--"):
                    self.assertIn(option.replace("-", "\\-"), page)
        for line in page.splitlines():  # what starts with a point is a macro that man has
            if line.startswith("."):
                self.assertIn(line.split()[0], (".TH", ".SH", ".SS", ".TP", ".PP", ".nf", ".fi"))

    def test_completion_scripts_parse(self):
        for shell in ("bash", "zsh", "fish"):
            script = self.done("help", "--completion", shell)
            path = self.write(shell, script)
            for command in COMMANDS:
                self.assertIn(command.encode(), script)
            if shutil.which(shell):
                subprocess.run([shell, "-n", path], check=True)

    def complete(self, *words):
        """What bash offers for the last of the words."""
        path = self.write("bash", self.done("help", "--completion", "bash"))
        line = " ".join(f"'{w}'" for w in ("tandem",) + words)
        script = (f". '{path}'; COMP_WORDS=({line}); COMP_CWORD={len(words)}; _tandem; "
                  'printf "%s\\n" "${COMPREPLY[@]}"')
        out = subprocess.run(["bash", "-c", script], capture_output=True, check=True)
        return out.stdout.decode().split()

    def test_bash_completes(self):
        self.assertEqual(self.complete("emb"), ["embed"])
        self.assertEqual(self.complete("embed", "--dime"), ["--dimensions"])
        self.assertEqual(self.complete("embed", "--format", "n"), ["npy"])
        self.assertEqual(self.complete("bench", "--dtype", "bf"), ["bf16"])


class Usage(Case):
    def test_no_command(self):
        self.assertIn("no command", self.misused())

    def test_unknown_command(self):
        self.assertIn("nearest command is embed", self.misused("embde", "x"))
        self.assertIn('unknown option "--frob"', self.misused("--frob"))

    def test_unknown_option(self):
        line = self.misused("embed", "--frmat", "npy", "x")
        self.assertIn("unknown option --frmat, the nearest is --format", line)
        self.assertIn("the nearest is --tokens", self.misused("bench", "--tokns=3"))
        self.assertIn("unknown option -x", self.misused("embed", "-x"))

    def test_no_abbreviations(self):
        self.assertIn("unknown option --form", self.misused("embed", "--form", "npy", "x"))

    def test_values(self):
        self.assertIn('--threads: "x", expected a whole number from 0 to',
                      self.misused("embed", "--threads", "x"))
        self.assertIn('--threads: "-1"', self.misused("embed", "--threads", "-1"))
        self.assertIn('"4 "', self.misused("embed", "--threads=4 "))
        self.assertIn("-o: empty, expected a path", self.misused("embed", "-o", "", "x"))
        self.assertIn("--file: empty, expected a path", self.misused("embed", "--file="))
        huge = "99999999999999999999"
        self.assertIn(huge, self.misused("embed", "--max-length", huge))
        self.assertIn('--seconds: "nan"', self.misused("bench", "--seconds", "nan"))
        self.assertIn("expected one of jsonl|json|npy|f32|csv",
                      self.misused("embed", "--format", "xml", "x"))
        self.assertIn('--lane: "gpu"', self.misused("embed", "--lane", "gpu", "x"))
        self.assertIn("-f needs a value: FILE", self.misused("embed", "-f"))
        self.assertIn("--quiet takes no value", self.misused("embed", "--quiet=1"))

    def test_arguments(self):
        self.assertIn("expected at least 1", self.misused("similarity"))
        self.assertIn('unexpected argument "x"', self.misused("doctor", "x"))
        self.assertIn("as arguments and with --file", self.misused("embed", "-f", "y", "x"))
        self.assertIn("--order done needs",
                      self.misused("embed", "--order", "done", "--format", "npy", "x"))
        self.assertIn("--order done needs",
                      self.misused("embed", "--order", "done", "-o", "x.csv", "x"))

    def test_environment(self):
        self.assertIn('TANDEM_THREADS: "many"',
                      self.misused("embed", "x", env={"TANDEM_THREADS": "many"}))
        self.assertIn('TANDEM_STRICT: "maybe"',
                      self.misused("embed", "x", env={"TANDEM_STRICT": "maybe"}))
        # An empty variable is none; one of another command is ignored; the command line wins.
        self.done("doctor", env={"TANDEM_MODEL": "", "TANDEM_THREADS": "many"})
        out = self.done("doctor", "--json", "-m", "a/b", env={"TANDEM_MODEL": "c/d"})
        self.assertEqual(json.loads(out)["model"]["name"], "a/b")
        out = self.done("doctor", env={"TANDEM_MODEL": "c/d", "TANDEM_JSON": "1"})
        self.assertEqual(json.loads(out)["model"]["name"], "c/d")
        # A bad value hurts neither help nor a command line that overrides it.
        bad = {"TANDEM_JSON": "maybe", "TANDEM_THREADS": "many"}
        self.assertIn(b"Usage: tandem bench", self.done("bench", "--help", env=bad))
        self.assertIn(b"Usage: tandem bench", self.done("bench", "-h", env=bad))
        self.assertIn('TANDEM_JSON: "maybe"', self.misused("doctor", env=bad))
        self.done("doctor", "--json", env=bad)

    def test_lane_words_are_the_lanes(self):
        lanes = [lane["name"] for lane in json.loads(self.done("doctor", "--json"))["lanes"]]
        self.assertIn("--lane " + "|".join(["auto"] + lanes), self.done("embed", "-h").decode())

    def test_missing_model(self):
        self.assertIn("nobody/nothing", self.failed("embed", "-m", "nobody/nothing", "x"))
        self.assertIn("nothing-here", self.failed("embed", "-m", "./nothing-here", "x"))
        self.assertIn("nobody/nothing", self.failed("tokenize", "-m", "nobody/nothing", "x"))

    def test_missing_input(self):
        self.assertIn("nothing.txt: no such file", self.failed("embed", "-f", "nothing.txt"))
        self.assertIn("is a directory", self.failed("embed", "-f", "."))

    def test_short_forms(self):
        for args in (["-m", "x/y"], ["-mx/y"], ["-m=x/y"], ["--model", "x/y"], ["--model=x/y"]):
            out = self.done("doctor", "--json", *args)
            self.assertEqual(json.loads(out)["model"]["name"], "x/y")
        self.assertIn('unexpected argument "-m"', self.misused("doctor", "--", "-m"))


class Doctor(Case):
    def test_json(self):
        found = json.loads(self.done("doctor", "--json"))
        self.assertEqual(set(found), {"version", "machine", "model", "lanes"})
        self.assertGreaterEqual(found["machine"]["processors"], 1)
        self.assertIsInstance(found["machine"]["kernels"], str)
        lanes = {lane["name"]: lane for lane in found["lanes"]}
        self.assertTrue(lanes["ref"]["available"])
        for lane in found["lanes"]:
            self.assertTrue(lane["available"] or lane["reason"], lane)

    def test_text(self):
        text = self.done("doctor").decode()
        for word in ("processor", "memory", "thermal", "models", "lanes"):
            self.assertRegex(text, rf"(?m)^{word}\b")

    def test_model_cache(self):
        hub = self.path("hub")
        out = json.loads(self.done("doctor", "--json", env={"HF_HUB_CACHE": hub}))
        self.assertEqual(out["machine"]["model_cache"], hub)
        self.assertFalse(out["model"]["found"])
        self.assertIn("all-MiniLM-L6-v2", out["model"]["reason"])

    def test_folder(self):
        out = json.loads(self.done("doctor", "--json", "-m", TINY))
        self.assertTrue(out["model"]["found"])


class Streams(Case):
    def test_full_disk(self):
        if not os.path.exists("/dev/full"):  # Linux alone has it
            return
        for args in (["doctor"], ["help"], ["version"], ["doctor", "--json"]):
            with open("/dev/full", "wb") as full:
                line = self.failed(*args, stdout=full)
            self.assertIn("standard output: cannot write", line)

    def test_reader_gone(self):
        read, write = os.pipe()
        os.close(read)
        result = self.run_binary("help", stdout=write)
        os.close(write)
        self.assertEqual((result.returncode, result.stderr), (0, b""))


if __name__ == "__main__":
    assert os.path.exists(BINARY), BINARY
    main()
