#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Keys, tiers and the ledger over HTTP: who is let in, what a tier's bounds do, keys that change
while the server runs, and usage that survives a kill and a disk that takes no more.

The lane is the CPU, whose class is background.
"""
import hashlib
import json
import os
import pathlib
import resource
import signal
import socket
import sqlite3
import subprocess
import sys
import tempfile
import time
import unittest

from server_case import BERT, BINARY, Server, ServerCase
from wire import Wire, post

CONFIG = """
tiers:
  gold:
    price: {{background: 2}}
  slow:
    tokens_per_second: 100
    burst_tokens: 100
  latency:
    lane_classes: [latency]
  modest:
    lane_classes: [background]
    priority: background
  one:
    concurrency: 1
  boss:
    admin: true
tenants:
  - {{name: acme, tier: gold, keys: [{acme}, {acme_next}]}}
  - {{name: slow, tier: slow, keys: [{slow}]}}
  - {{name: latency, tier: latency, keys: [{latency}]}}
  - {{name: modest, tier: modest, keys: [{modest}]}}
  - {{name: single, tier: one, keys: [{single}]}}
  - {{name: payer, tier: gold, keys: [{payer}]}}
  - {{name: boss, tier: boss, keys: [{boss}]}}
"""


class Hashes(dict):
    def __missing__(self, key):
        return "sha256:" + hashlib.sha256(key.encode()).hexdigest()


def bearer(key):
    return {"Authorization": f"Bearer {key}"}


def eventually(probe, seconds=15):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        found = probe()
        if found:
            return found
        time.sleep(0.02)
    raise AssertionError("it never came")


class Files:
    """A folder with the server's file and its ledger."""

    def __init__(self):
        self.folder = tempfile.TemporaryDirectory()
        self.remove = self.folder.cleanup
        self.config = os.path.join(self.folder.name, "tandem.yaml")
        self.ledger = os.path.join(self.folder.name, "usage.db")
        self.write(CONFIG.format_map(Hashes()))

    def write(self, text):
        pathlib.Path(self.config).write_text(text, encoding="utf-8")

    def options(self):
        return ("--lane", "cpu", "--dtype", "f32", "--config", self.config, "--ledger",
                self.ledger)

    def sum(self, column, where="1"):
        with sqlite3.connect(self.ledger) as base:
            return base.execute(f"SELECT coalesce(sum({column}), 0) FROM bill WHERE {where}"
                                ).fetchone()[0]


class Tenants(ServerCase):
    models = (BERT,)

    @classmethod
    def setUpClass(cls):
        cls.files = Files()
        cls.addClassCleanup(cls.files.remove)
        cls.options = cls.files.options()
        super().setUpClass()

    def embed(self, key, inputs="What a day!", headers=None):
        return self.ask("POST", "/embed", {"inputs": inputs}, {**bearer(key), **(headers or {})})

    def test_keys(self):
        for headers in ({}, bearer("nobody"), {"Authorization": "Basic acme"}, {"api-key": ""},
                        {"Authorization": "Bearer " + Hashes()["acme"]}):
            answer = self.ask("POST", "/embed", {"inputs": "x"}, headers)
            self.assertEqual(answer.code, 401, headers)
            self.assertEqual(answer.headers["WWW-Authenticate"], "Bearer")
        for headers in (bearer("acme"), bearer("acme_next"), {"x-api-key": "acme"},
                        {"api-key": "acme"}, {"authorization": "bearer acme"}):
            self.assertEqual(self.ask("POST", "/embed", {"inputs": "x"}, headers).code, 200)
        for path in ("/health", "/ready", "/metrics", "/openapi.json"):
            self.assertEqual(self.ask("GET", path).code, 200, path)

    def test_rate(self):
        """A bucket of 100 tokens and 100 more a second; 'x y ' is a quarter token a byte."""
        text = "x y " * 40
        with Wire(self.server.port) as wire: # all at once: a slow machine would fill the bucket
            wire.send(*[post("/embed", {"inputs": text}, "Authorization: Bearer slow")] * 6)
            self.assertIn(429, [wire.answer().code for _ in range(6)])
        refused = self.embed("slow", text)
        self.assertEqual(refused.code, 429)
        self.assertIn("tier slow", refused.body.decode())
        wait_s = int(refused.headers["retry-after-ms"]) / 1000
        self.assertLess(wait_s, 3)
        self.assertGreaterEqual(int(refused.headers["Retry-After"]), wait_s)
        time.sleep(wait_s)
        self.assertEqual(self.embed("slow", text).code, 200)  # it was true
        self.assertEqual(self.embed("acme", text).code, 200)  # and nobody else's affair

    def test_lane_classes(self):
        answer = self.embed("latency")
        self.assertEqual(answer.code, 503, answer.body)  # no lane may take it
        self.assertEqual(self.embed("modest").code, 200)
        answer = self.embed("modest", headers={"X-Tandem-Lane": "ref"})
        self.assertEqual(answer.code, 403, answer.body)

    def usage(self, key, query=""):
        answer = self.ask("GET", "/usage" + query, headers=bearer(key))
        return answer.code, answer.json()

    def test_usage(self):
        texts = [f"usage {i} of it" for i in range(5)]
        self.assertEqual(self.embed("payer", texts).code, 200)
        self.assertEqual(self.embed("payer", texts).code, 200)  # known now
        eventually(lambda: self.files.sum("requests", "tenant = 'payer'") == 2)
        paid = self.files.sum("tokens", "tenant = 'payer' AND outcome = 'answered'")
        self.assertGreaterEqual(paid, 5 * 4)
        code, own = self.usage("payer")
        self.assertEqual(code, 200)
        self.assertEqual(len(own["rows"]), 1)
        self.assertEqual(own["total"], {k: v for k, v in own["rows"][0].items() if k != "tenant"})
        self.assertEqual(own["rows"][0], {
            "tenant": "payer", "requests": 2, "answered": 1, "cached": 1, "refused": 0,
            "cancelled": 0, "failed": 0, "texts": 10, "tokens": 2 * paid, "cached_texts": 5,
            "amount": round(paid * 2e-6, 6)})  # what was known is free
        self.assertEqual(self.usage("payer", "?tenant=slow")[0], 403)
        code, every = self.usage("boss", "?by=tenant,lane")
        self.assertIn("payer", [row["tenant"] for row in every["rows"]])
        self.assertEqual(self.usage("boss", "?by=week")[0], 422)
        self.assertEqual(self.ask("GET", "/usage").code, 401)
        printed = json.loads(subprocess.run(
            [BINARY, "usage", "--ledger", self.files.ledger, "--json", "--tenant", "payer"],
            check=True, stdout=subprocess.PIPE).stdout)
        self.assertEqual(printed, own)

    def leave(self, key, texts):
        """Sends a request and is gone."""
        body = json.dumps({"inputs": ["many words " * 200] * texts}).encode()
        head = (f"POST /embed HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {key}\r\n"
                f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n")
        with socket.create_connection(("127.0.0.1", self.server.port)) as connection:
            connection.sendall(head.encode() + body)

    def test_cancelled_work_is_entered(self):
        def is_entered():
            self.leave("modest", 500)
            return self.files.sum("requests", "tenant = 'modest' AND outcome = 'cancelled'")
        eventually(is_entered)

    def test_places_come_back(self):
        """The tier's one place is free again, wherever the request was when its client left."""
        for texts in (1, 10, 100, 10, 500, 20, 300, 15):
            self.leave("single", texts)
        eventually(lambda: self.embed("single").code == 200)

    def test_refusals_are_entered(self):
        before = self.files.sum("requests", "tenant = 'slow' AND outcome = 'refused'")
        while self.embed("slow", "x y " * 40).code != 429:
            pass
        eventually(lambda: self.files.sum("requests", "tenant = 'slow' AND outcome = 'refused'") >
                   before)


class Changes(unittest.TestCase):
    def setUp(self):
        self.files = Files()
        self.addCleanup(self.files.remove)
        self.server = Server(*self.files.options(), models=(BERT,))
        self.addCleanup(self.server.kill)

    def code(self, key, inputs="x"):
        return self.server.ask("POST", "/embed", {"inputs": inputs}, bearer(key)).code

    def test_new_keys(self):
        text = CONFIG.format_map(Hashes())
        self.files.write(text.replace(Hashes()["acme"], Hashes()["fresh"]))
        eventually(lambda: self.code("fresh") == 200)  # seen within a second
        self.assertEqual(self.code("acme"), 401)
        self.assertEqual(self.code("acme_next"), 200)
        self.files.write(text.replace("name: acme", "nmae: acme"))
        self.server.process.send_signal(signal.SIGHUP)
        fault = eventually(lambda: self.server.ask("GET", "/ready").json().get("keys"))
        self.assertIn("no such setting in tenants, the nearest is name", fault)
        self.assertEqual(self.server.ask("GET", "/ready").code, 200)
        self.assertEqual(self.code("fresh"), 200)  # the old ones stay
        self.files.write(text)
        eventually(lambda: self.code("acme") == 200)
        self.assertNotIn("keys", self.server.ask("GET", "/ready").json())
        self.assertEqual(self.server.stop(), "")

    def test_kill(self):
        for i in range(200):
            self.assertEqual(self.code("acme", f"text {i}"), 200)
        eventually(lambda: self.files.sum("requests") == 200)
        self.server.kill()
        self.assertEqual(self.files.sum("requests"), 200)
        again = Server(*self.files.options(), models=(BERT,))
        self.addCleanup(again.kill)
        again.ask("POST", "/embed", {"inputs": "x"}, bearer("acme"))
        self.assertEqual(again.stop(), "")  # writes what is left
        self.assertEqual(self.files.sum("requests"), 201)

    @unittest.skipIf(sys.platform == "darwin", "limits of other processes are Linux'")
    def test_full_disk(self):
        pid = self.server.process.pid
        before = resource.prlimit(pid, resource.RLIMIT_FSIZE)
        resource.prlimit(pid, resource.RLIMIT_FSIZE, (64, before[1]))
        for i in range(300):
            self.assertEqual(self.code("acme", f"text {i}"), 200)
        fault = eventually(lambda: self.server.ask("GET", "/ready").json().get("ledger"))
        self.assertIn(self.files.ledger, fault)
        self.assertEqual(self.server.ask("GET", "/ready").code, 200)
        resource.prlimit(pid, resource.RLIMIT_FSIZE, before)
        eventually(lambda: "ledger" not in self.server.ask("GET", "/ready").json())
        self.assertEqual(self.server.stop(), "")  # what came after the first fault too
        self.assertEqual(self.files.sum("requests"), 300)  # none lost, none twice

    def test_locked_ledger(self):
        base = sqlite3.connect(self.files.ledger, isolation_level=None)
        base.execute("BEGIN IMMEDIATE")
        self.assertEqual(self.code("acme"), 200)
        fault = eventually(lambda: self.server.ask("GET", "/ready").json().get("ledger"))
        self.assertIn("locked by another process", fault)
        self.assertIn("tandem_ledger_", self.server.ask("GET", "/metrics").body.decode())
        base.execute("ROLLBACK")
        base.close()
        eventually(lambda: "ledger" not in self.server.ask("GET", "/ready").json())
        self.assertEqual(self.files.sum("requests"), 1)


if __name__ == "__main__":
    unittest.main()
