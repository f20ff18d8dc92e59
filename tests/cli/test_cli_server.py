#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""serve, key and usage as commands: their settings, what wins over what, and the ledger's table."""
import hashlib
import http.client
import json
import os
import pathlib
import re
import signal
import sqlite3
import subprocess
import sys

from cli_case import BINARY, KEPT, ROOT, TINY, Case, main

REFUSED = {
    "--max-concurrent-requests=512": "--max-queue-tokens",
    "--max-batch-requests=4": "--max-batch-tokens",
    "--tokenization-workers=2": "leave it out",
    "--pooling=mean": "leave it out",
    "--dense-path=2_Dense": "leave it out",
    "--revision=main": "tandem model pull",
    "--hf-token=x": "HF_TOKEN",
    "--hf-api-token=x": "HF_TOKEN",
    "--huggingface-hub-cache=x": "HF_HUB_CACHE",
    "--disable-spans": "leave it out",
    "--otlp-endpoint=x": "/metrics",
    "--otlp-service-name=x": "leave it out",
    "--prometheus-port=9000": "/metrics",
}


class Serving:
    """`tandem serve` on a port of the system's choice, until the block ends."""

    def __init__(self, case, *args, env=None):
        environment = {k: v for k, v in os.environ.items() if k in KEPT}
        environment.update(env or {})
        self.process = subprocess.Popen([BINARY, "serve", *args], stderr=subprocess.PIPE,
                                        env=environment, cwd=case.folder.name)
        self.lines = []
        for line in self.process.stderr:
            self.lines.append(line.decode())
            found = re.search(r"listening on http://(\S+):(\d+)", self.lines[-1])
            if found:
                self.host, self.port = found[1], int(found[2])
                return
        case.fail(f"no server: {self.lines}")

    def __enter__(self):
        return self

    def ask(self, method, path, body=None, headers=None):
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        connection.request(method, path, None if body is None else json.dumps(body),
                           {"Content-Type": "application/json", **(headers or {})})
        answer = connection.getresponse()
        text = answer.read()
        connection.close()
        return answer.status, json.loads(text) if text.startswith((b"{", b"[")) else text

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        rest = self.process.stderr.read().decode()
        self.process.wait(timeout=60)
        self.process.stderr.close()
        return rest

    def __exit__(self, *_):
        if self.process.poll() is None:
            self.stop()


class Keys(Case):
    def test_new(self):
        text = self.done("key", "new", "--tenant", "acme", "--tier", "gold").decode()
        key = text.splitlines()[0]
        self.assertRegex(key, r"^tdm_[0-9A-Za-z]{43}$")
        digest = hashlib.sha256(key.encode()).hexdigest()
        self.assertEqual(text, f"{key}\n\ntenants:\n  - name: acme\n    tier: gold\n    keys:\n"
                               f"      - sha256:{digest}\n")
        self.assertNotIn(key, self.done("key", "new", "--tenant", "acme").decode())

    def test_json(self):
        row = json.loads(self.done("key", "new", "-t", "a", "--tier", "b", "--json"))
        self.assertEqual(row["hash"], "sha256:" + hashlib.sha256(row["key"].encode()).hexdigest())
        self.assertEqual((row["tenant"], row["tier"]), ("a", "b"))

    def test_hash(self):
        digest = hashlib.sha256(b"mine").hexdigest()
        self.assertEqual(self.done("key", "hash", stdin="mine\n").decode(), f"sha256:{digest}\n")
        self.assertIn("empty", self.failed("key", "hash", stdin="\n"))
        self.assertIn("4096", self.failed("key", "hash", stdin="x" * 5000))

    def test_misuse(self):
        self.assertIn("new or hash", self.misused("key", "old"))
        self.assertIn("--tenant", self.misused("key", "new"))
        self.assertIn("--tenant", self.misused("key", "new", "--tenant", "a b"))
        self.assertIn("--tier", self.misused("key", "new", "--tenant", "a", "--tier", "x: y"))


class Settings(Case):
    def test_precedence(self):
        config = self.write("t.yaml", f"models: [{TINY}]\nport: 0\nmax_client_batch_size: 5\n"
                                      "payload_limit: 1MB\nauto_truncate: false\n")
        env = {"TANDEM_MAX_CLIENT_BATCH_SIZE": "6", "TANDEM_PAYLOAD_LIMIT": "2MB"}
        with Serving(self, "-c", config, "--payload-limit", "3MB", env=env) as server:
            self.assertEqual(server.ask("POST", "/embed", {"inputs": ["x"] * 6})[0], 200)
            self.assertEqual(server.ask("POST", "/embed", {"inputs": ["x"] * 7})[0], 422)
            long = {"inputs": "word " * 1000}  # the file over the default: it is not cut
            self.assertNotEqual(server.ask("POST", "/embed", long)[0], 200)
            self.assertEqual(server.ask("POST", "/embed", {**long, "truncate": True})[0], 200)
            self.assertNotEqual(server.ask("POST", "/embed", {"inputs": "x" * 2_500_000})[0], 413)
            self.assertEqual(server.ask("POST", "/embed", {"inputs": "x" * 3_500_000})[0], 413)

    def test_names_of_tei(self):
        with Serving(self, "--model-id", TINY, "--hostname", "127.0.0.1", "--port", "0",
                     "--dtype", "float32", "--max-batch-tokens", "512", "--json-output",
                     "--served-model-name", "mine", "--auto-truncate", "--payload-limit",
                     "2000000", "--max-client-batch-size", "32", "--cors-allow-origin", "*",
                     "--cache", "0") as server:
            line = json.loads(server.lines[-1])
            self.assertEqual(line["level"], "info")
            self.assertRegex(line["time"], r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$")
            ask = {"model": "mine", "input": "What a day!"}
            status, answer = server.ask("POST", "/v1/embeddings", ask)
            self.assertEqual((status, answer["model"]), (200, "mine"))
            info = server.ask("GET", "/info")[1]
            self.assertEqual((info["model_id"], info["served_model_name"]), ("tiny-bert", "mine"))
            self.assertEqual(server.ask("POST", "/embed", {"inputs": ["x"] * 33})[0], 422)

    def test_log(self):
        """-vv has a line a request; a folder with a slash is called by its last part; a lane that
        this machine lacks is said."""
        lane = "cuda" if sys.platform == "darwin" else "ane"
        with Serving(self, "-vv", "-m", TINY + "/", "--lane", lane, "--port", "0") as server:
            self.assertEqual(server.ask("GET", "/v1/models")[1]["data"][0]["id"], "tiny-bert")
            self.assertEqual(server.ask("POST", "/embed", {"inputs": 5})[0], 422)
            rest = server.stop()
        self.assertIn("model tiny-bert on cpu, f16, texts of up to 48 tokens", rest)
        self.assertIn(f"warning: model tiny-bert: lane cpu serves instead of {lane}: ", rest)
        self.assertRegex(rest, r"debug: request method=POST path=/embed status=422 id=\S+ "
                               r".* error=inputs: 5, expected")
        self.assertRegex(rest, r"info: SIGTERM: ending, [01] requests under way")

    def test_json_log(self):
        with Serving(self, "-vv", "-m", TINY, "--port", "0", "--log-format", "json") as server:
            server.ask("POST", '/embed?a="', {"inputs": "What a day!"})
            server.ask("POST", '/no"\\', {"inputs": "x"})
            rows = [json.loads(line) for line in server.stop().splitlines()]
        good, bad = (row for row in rows if row["message"] == "request")
        self.assertEqual((good["method"], good["path"], good["status"], good["lane"],
                          good["texts"]), ("POST", "/embed", 200, "cpu", 1))
        self.assertGreaterEqual(good["total_ms"], good["infer_ms"])
        self.assertNotIn("error", good)
        self.assertEqual((bad["path"], bad["status"]), ('/no"\\', 404))
        self.assertIn("there is nothing at", bad["error"])

    def test_default_prompts(self):
        model = str(ROOT / "tests/golden/models/tiny-modules")
        plain, query = (json.loads(self.done("embed", "-m", model, "--dtype", "f32", *words, "day"))
                        ["embedding"] for words in ([], ["--prompt", "count"]))
        self.assertNotEqual(plain, query)
        with Serving(self, "-m", model, "--port", "0", "--dtype", "f32",
                     "--default-prompt-name", "count") as server:
            self.assertEqual(server.ask("POST", "/embed", {"inputs": "day"}), (200, [query]))
            other = {"inputs": "day", "prompt_name": "document"}  # a request's own wins
            self.assertNotEqual(server.ask("POST", "/embed", other)[1], [query])
        text = json.loads((pathlib.Path(model) / "config_sentence_transformers.json").read_text(
            encoding="utf-8"))["prompts"]["count"]
        with Serving(self, "-m", model, "--port", "0", "--dtype", "f32",
                     "--default-prompt", text) as server:
            self.assertEqual(server.ask("POST", "/embed", {"inputs": "day"}), (200, [query]))

    def test_refused_names_of_tei(self):
        for option, words in REFUSED.items():
            self.assertIn(words, self.misused("serve", option), option)

    def test_mistakes(self):
        for args, words in [
                (["--port", "http"], "--port: \"http\", expected a whole number from 0 to 65535"),
                (["--cache", "lots"], "--cache: \"lots\", expected a size"),
                (["--api-key", ""], "--api-key: empty, expected a key"),
                (["--auto-truncate=maybe"], "expected true or false"),
                (["--lane", "gpu"], "expected one of auto|ane|metal|cuda|cpu|ref")]:
            self.assertIn(words, self.misused("serve", *args))
        self.assertIn("TANDEM_PORT: \"x\"", self.misused("serve", env={"TANDEM_PORT": "x"}))
        path = self.write("bad.yaml", "host: 127.0.0.1\nprot: 1\n")
        self.assertEqual(self.failed("serve", "--config", path),
                         f"{path}:2: prot: no such setting, the nearest is port")
        self.assertIn("no such file", self.failed("serve", "--config", self.path("none")))
        self.assertIn("has no prompt \"none\"", self.failed("serve", "-m", TINY, "--port", "0",
                                                            "--default-prompt-name", "none"))
        self.assertIn("--open", self.failed("serve", "--host", "0.0.0.0", "-m", TINY))

    def test_example(self):
        """What packaging/ shows as an example is read, tenants and all."""
        text = (ROOT / "packaging/tandem.yaml").read_text(encoding="utf-8")
        every = re.sub(r"(?m)^#(?=[a-z_]+:|  )", "", text)
        self.assertNotEqual(every, text)
        for name, content in (("plain.yaml", text), ("every.yaml", every)):
            path = self.write(name, content)
            says = self.failed("serve", "-c", path, "-m", self.path("none"),
                               "--ledger", self.path("usage.db"))
            self.assertIn(self.path("none"), says, content)  # it came as far as its models


class Usage(Case):
    def setUp(self):
        super().setUp()
        self.ledger = self.path("usage.db")
        with Serving(self, "-m", TINY, "--port", "0", "--ledger", self.ledger):
            pass
        base = sqlite3.connect(self.ledger)
        base.executemany("INSERT INTO usage VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)", [
            ("2026-11-21", "acme", "org/m", "cpu", "background", "answered", 2000000, 3, 30,
             1500000, 1),
            ("2026-11-22", "acme", "org/m", "", "none", "refused", 0, 7, 7, 0, 0),
            ("2026-11-22", "b", "org/n", "cuda", "throughput", "cached", 9, 2, 2, 0, 2)])
        base.commit()
        base.close()

    def test_table(self):
        text = self.done("usage", "--ledger", self.ledger, "--by", "day,tenant").decode()
        lines = text.splitlines()
        self.assertEqual({len(line) for line in lines}, {len(lines[0])})
        self.assertEqual([line.replace("cached texts", "cached-texts").split() for line in lines], [
            ["day", "tenant", "requests", "answered", "cached", "refused", "cancelled", "failed",
             "texts", "cached-texts", "tokens", "amount"],
            ["2026-11-21", "acme", "3", "3", "0", "0", "0", "0", "30", "1", "1500000", "3.000000"],
            ["2026-11-22", "acme", "7", "0", "0", "7", "0", "0", "7", "0", "0", "0.000000"],
            ["2026-11-22", "b", "2", "0", "2", "0", "0", "0", "2", "2", "0", "0.000000"],
            ["total", "12", "3", "2", "7", "0", "0", "39", "3", "1500000", "3.000000"]])

    def test_ways_to_name_it(self):
        plain = self.done("usage", "--ledger", self.ledger)
        self.assertEqual(self.done("usage", env={"TANDEM_LEDGER": self.ledger}), plain)
        config = self.write("t.yaml", f"ledger: {self.ledger}\n")
        self.assertEqual(self.done("usage", "--config", config), plain)
        os.makedirs(self.path("state/tandem"))
        os.rename(self.ledger, self.path("state/tandem/usage.db"))
        self.assertEqual(self.done("usage", env={"XDG_STATE_HOME": self.path("state")}), plain)
        self.assertEqual(plain.splitlines()[1].split()[:2], [b"acme", b"10"])

    def test_json(self):
        row = json.loads(self.done("usage", "--ledger", self.ledger, "--json", "--by", "lane",
                                   "--tenant", "acme", "--since", "2026-11-22", "--until",
                                   "2026-11-22"))
        self.assertEqual(row["by"], ["lane"])
        self.assertEqual(row["rows"][0]["refused"], 7)
        self.assertEqual(row["total"]["requests"], 7)

    def test_mistakes(self):
        self.assertIn("no ledger at", self.failed("usage", "--ledger", self.path("none")))
        self.assertIn("expected a day", self.failed("usage", "--ledger", self.ledger, "--since",
                                                    "yesterday"))
        self.assertIn("expected day, tenant", self.failed("usage", "--ledger", self.ledger,
                                                          "--by", "week"))
        text = self.write("text", "no database at all, but text of some length" * 20)
        self.assertIn("not a ledger", self.failed("usage", "--ledger", text))


if __name__ == "__main__":
    main()
