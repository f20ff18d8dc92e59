# SPDX-License-Identifier: Apache-2.0
"""What the black-box tests of the server share: a running `tandem serve`, requests to it, and the
values that sentence-transformers gives (tests/golden/server.json).

The program is named by TANDEM_BINARY. Its environment is made here, so that a user's TANDEM_...
variables change no test.
"""
import http.client
import json
import math
import os
import pathlib
import re
import signal
import subprocess
import tempfile
import time
import unittest

ROOT = pathlib.Path(__file__).resolve().parents[2]
BINARY = os.environ.get("TANDEM_BINARY", str(ROOT / "build/release/tandem"))
MINILM = "sentence-transformers/all-MiniLM-L6-v2"
MODELS = ROOT / "tests/golden/models"
BERT, RERANK, LABELS, SPLADE, MODULES = (
    str(MODELS / f"tiny-{name}") for name in ("bert", "rerank", "labels", "splade", "modules"))
ALL = (MINILM, BERT, RERANK, LABELS, SPLADE, MODULES)
KEPT = ("PATH", "HOME", "HF_HOME", "HF_HUB_CACHE", "XDG_CACHE_HOME", "TMPDIR", "ASAN_OPTIONS",
        "UBSAN_OPTIONS", "TSAN_OPTIONS", "LD_LIBRARY_PATH", "TANDEM_CPU")
GOLDEN = json.loads((ROOT / "tests/golden/server.json").read_text(encoding="utf-8"))
IS_SANITIZED = any(name in pathlib.Path(BINARY).read_bytes()
                   for name in (b"__asan_init", b"__tsan_init"))
SANITIZER = re.compile("ERROR: .*Sanitizer|WARNING: ThreadSanitizer|runtime error:")
START_S = 60  # a sanitizer's start on a busy machine
STOP_S = 30


class Server:
    """`tandem serve` on a port of the system's choice, ready when this returns."""

    def __init__(self, *options, models=(BERT,), env=None):
        words = [BINARY, "serve", "--port", "0"]
        for model in models:
            words += ["--model", model]
        environment = {k: v for k, v in os.environ.items() if k in KEPT}
        environment.update({"HF_HUB_OFFLINE": "1", **(env or {})})
        self.log = tempfile.NamedTemporaryFile(prefix="tandem_serve_", suffix=".log")
        self.process = subprocess.Popen([*words, *options], stdin=subprocess.DEVNULL,
                                        stdout=self.log, stderr=self.log, env=environment)
        try:
            self.port = self._await_port()
            self.url = f"http://127.0.0.1:{self.port}"
            self._await_ready()
        except BaseException:
            self.kill()
            raise

    def said(self):
        with open(self.log.name, encoding="utf-8", errors="replace") as f:
            return f.read()

    def _await(self, what, probe):
        end = time.monotonic() + START_S
        while time.monotonic() < end:
            found = probe()
            if found:
                return found
            if self.process.poll() is not None:
                raise AssertionError(
                    f"tandem serve ended with {self.process.returncode}: {self.said()}")
            time.sleep(0.01)
        raise AssertionError(f"no {what} after {START_S} s: {self.said()}")

    def _await_port(self):
        found = self._await("address", lambda: re.search(r"127\.0\.0\.1:(\d+)", self.said()))
        return int(found.group(1))

    def _await_ready(self):
        def probe():
            try: # public: no key is asked for
                return self.ask("GET", "/ready").code == 200
            except OSError:
                return False
        self._await("readiness", probe)

    def ask(self, method, path, body=None, headers=None, timeout=60):
        """One request on a connection of its own. A body that is no bytes is sent as JSON."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=timeout)
        try:
            return send(connection, method, path, body, headers)
        finally:
            connection.close()

    def kill(self):
        self.process.kill()
        self.process.wait()

    def stop(self):
        """SIGTERM. What is wrong with the end, empty if nothing."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        try:
            code = self.process.wait(STOP_S)
        except subprocess.TimeoutExpired:
            self.kill()
            return f"no end {STOP_S} s after SIGTERM: {self.said()}"
        said = self.said()
        self.log.close()
        if code != 0 or SANITIZER.search(said):
            return f"ended with {code}: {said}"
        return ""


class Answer:
    def __init__(self, response):
        self.code = response.status
        self.headers = response.headers
        self.body = response.read()

    def json(self):
        return json.loads(self.body)


def send(connection, method, path, body=None, headers=None):
    headers = dict(headers or {})
    if body is not None and not isinstance(body, bytes):
        body = json.dumps(body).encode()
        headers.setdefault("Content-Type", "application/json")
    connection.request(method, path, body, headers)
    return Answer(connection.getresponse())


class ServerCase(unittest.TestCase):
    """One server for the tests of a class, which has to end cleanly after them."""

    models = ALL
    options = ("--dtype", "f32")
    env = None
    maxDiff = 2000

    @classmethod
    def setUpClass(cls):
        cls.server = Server(*cls.options, models=cls.models, env=cls.env)
        cls.url = cls.server.url

    @classmethod
    def tearDownClass(cls):
        wrong = cls.server.stop()
        if wrong:
            raise AssertionError(wrong)

    def ask(self, *args, **kwargs):
        return self.server.ask(*args, **kwargs)

    def assert_near(self, got, expected, limit=2e-5):
        """Numbers, or lists of them however deep, no farther apart than the gate of f32."""
        if isinstance(expected, (list, tuple)):
            self.assertEqual(len(got), len(expected))
            for one, other in zip(got, expected):
                self.assert_near(one, other, limit)
        else:
            self.assertLessEqual(abs(float(got) - expected), limit)

    def assert_close(self, got, expected, limit=0.9999):
        """Vectors of at least this cosine: the gate of f16."""
        self.assertEqual(len(got), len(expected))
        for one, other in zip(got, expected):
            self.assertGreaterEqual(cosine(one, other), limit)


def cosine(a, b):
    assert len(a) == len(b)
    return (sum(x * y for x, y in zip(a, b)) /
            math.sqrt(sum(x * x for x in a) * sum(y * y for y in b)))


def ranked(scores):
    """[(index, score)], the best first."""
    return sorted(enumerate(scores), key=lambda pair: -pair[1])
