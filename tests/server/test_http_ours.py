# SPDX-License-Identifier: Apache-2.0
"""What the server adds to every API: names and traces of requests, lanes, deadlines, overload,
leaving clients, readiness and a clean end."""
import json
import pathlib
import re
import signal
import socket
import subprocess
import tempfile
import threading
import time
import unittest

from server_case import BERT, BINARY, GOLDEN, MINILM, RERANK, START_S, Server, ServerCase
from wire import Wire, post, request

TEXTS = GOLDEN["tiny"]["texts"]
UNIT = GOLDEN["tiny"]["unit"]
TRACE = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
LONG = "the cat sat on the mat " * 40


def slow_work(server, seconds):
    """Long texts, unlike all others, that take the server about so long."""
    slow_work.calls += 1
    texts = [f"{slow_work.calls} {i} {LONG}" for i in range(1000)]
    fastest = seconds # of three: a busy machine stops any one of them
    for i in range(0, 12, 4):
        start = time.monotonic()
        server.ask("POST", "/embed", {"inputs": texts[len(texts) - 12 + i:][:4]})
        fastest = min(fastest, time.monotonic() - start)
    return texts[:max(4, int(4 * seconds / fastest))]


slow_work.calls = 0


def counter(server, name, **labels):
    """The sum of a counter's samples with these labels."""
    total = 0.0
    for line in server.ask("GET", "/metrics").body.decode().splitlines():
        found = re.fullmatch(r"(\w+)(?:\{(.*)\})? (\S+)", line)
        if found and found.group(1) == name and all(
                f'{key}="{value}"' in (found.group(2) or "") for key, value in labels.items()):
            total += float(found.group(3))
    return total


def await_true(probe, seconds=START_S):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if probe():
            return True
        time.sleep(0.02)
    return False


class Names(ServerCase):
    models = (BERT, RERANK)

    def setUp(self):
        self.wire = Wire(self.server.port)
        self.addCleanup(self.wire.close)

    def embed(self, *lines, target="/embed", body=None):
        return self.wire.ask(post(target, {"inputs": TEXTS} if body is None else body, *lines))

    def test_request_ids(self):
        self.assertEqual(self.embed("X-Request-Id: abc-1").headers["x-request-id"], "abc-1")
        made = {self.embed().headers["x-request-id"] for _ in range(20)}
        self.assertEqual(len(made), 20)
        for bad in ("a b", "x" * 1000, "\"", "", "a\tb", "ä"):
            got = self.embed("X-Request-Id: " + bad).headers["x-request-id"]
            self.assertRegex(got, r"^[0-9a-f-]{36}$")
        # Errors have one too, and so has what needs no lane.
        for data in (post("/embed", b"{", "X-Request-Id: e"), request("GET", "/no", b"",
                     "X-Request-Id: e"), request("GET", "/health", b"", "X-Request-Id: e")):
            self.assertEqual(self.wire.ask(data).headers["x-request-id"], "e")
        answer = self.embed("X-Request-Id: mine", target="/v2/rerank",
                            body={"query": "a", "documents": ["b"]})
        self.assertEqual(answer.json()["id"], "mine")

    def test_where_a_model_lies_is_not_told(self):
        self.assertEqual(self.ask("POST", "/embed", {"inputs": "a", "model": BERT}).code, 200)
        for path in ("/openapi.json", "/v1/models", "/info", "/lanes", "/metrics", "/v2"):
            self.assertNotIn(BERT.encode(), self.ask("GET", path).body, path)

    def test_traces(self):
        got = self.embed("traceparent: " + TRACE).headers["traceparent"]
        self.assertRegex(got, r"^00-[0-9a-f]{32}-[0-9a-f]{16}-01$")
        self.assertEqual(got.split("-")[1], TRACE.split("-")[1])
        self.assertNotEqual(got.split("-")[2], TRACE.split("-")[2])
        unsampled = self.embed("traceparent: " + TRACE[:-1] + "0").headers["traceparent"]
        self.assertTrue(unsampled.endswith("-00"))
        later = self.embed("traceparent: 01" + TRACE[2:] + "-more").headers["traceparent"]
        self.assertEqual(later.split("-")[1], TRACE.split("-")[1])
        zero = "0" * 32
        for bad in ("", "x", TRACE + "-more", TRACE.upper(), "ff" + TRACE[2:], TRACE[:-1],
                    TRACE.replace("4bf92f3577b34da6a3ce929d0e0e4736", zero),
                    TRACE.replace("00f067aa0ba902b7", zero[:16]), TRACE.replace("-", "_")):
            got = self.embed("traceparent: " + bad).headers["traceparent"]
            self.assertRegex(got, r"^00-[0-9a-f]{32}-[0-9a-f]{16}-0[01]$")
            self.assertNotEqual(got.split("-")[1], zero)
            self.assertNotEqual(got.split("-")[1], TRACE.split("-")[1])

    def test_what_an_answer_says(self):
        headers = self.embed().headers
        self.assertEqual(headers["x-tandem-lane"], "cpu")
        self.assertTrue(headers["x-tandem-reason"])
        times = dict(part.strip().split(";dur=") for part in headers["server-timing"].split(","))
        self.assertEqual(set(times) & {"tokenize", "queue", "infer"},
                         {"tokenize", "queue", "infer"})
        for value in times.values():
            self.assertGreaterEqual(float(value), 0)
        self.assertEqual(headers["content-type"], "application/json")
        self.assertIn("date", headers)
        for name in ("x-compute-type", "x-compute-tokens", "x-total-time", "x-queue-time"):
            self.assertIn(name, headers)
        for target, body in (("/v1/embeddings", {"model": "tiny-bert", "input": "a"}),
                             ("/v2/rerank", {"query": "a", "documents": ["b"]}),
                             ("/v2/models/tiny-bert/infer", {"inputs": [
                                 {"name": "text", "shape": [1], "datatype": "BYTES",
                                  "data": ["a"]}]})):
            headers = self.embed(target=target, body=body).headers
            self.assertEqual(headers["x-tandem-lane"], "cpu", target)
            self.assertIn("infer", headers["server-timing"], target)

    def test_cut_texts_are_counted(self):
        long = "word " * 200
        infer = {"name": "text", "shape": [2], "datatype": "BYTES", "data": [long, "a"]}
        for target, body, cut in (
                ("/embed", {"inputs": [long, "a", long]}, "2"), ("/embed", {"inputs": "a"}, None),
                ("/embed", {"inputs": [[5] * 200, [5]]}, "1"),
                ("/embed_all", {"inputs": long}, "1"),
                ("/v1/embeddings", {"model": "tiny-bert", "input": [long, "a"]}, "1"),
                ("/v2/rerank", {"query": "a", "documents": [long, "b"]}, "1"),
                ("/v2/models/tiny-bert/infer", {"inputs": [infer]}, "1")):
            for _ in range(2):  # computed and cached
                answer = self.embed(target=target, body=body)
                self.assertEqual(answer.code, 200, (target, answer.body))
                self.assertEqual(answer.headers.get("x-tandem-truncated"), cut, (target, body))

    def test_lane_and_priority(self):
        for line in ("X-Tandem-Lane: cpu", "X-Tandem-Lane: auto", "X-Tandem-Priority: realtime",
                     "X-Tandem-Priority: real_time", "X-Tandem-Priority: urgent",
                     "X-Tandem-Priority: background", "X-Tandem-Priority: -10",
                     "X-Tandem-Priority: 10", "X-Tandem-Priority: 7",
                     "X-Tandem-Deadline-Ms: 60000", "X-Tandem-Deadline-Ms: 60000.5",
                     "X-Tandem-Fallback: none"):
            answer = self.embed(line)
            self.assertEqual(answer.code, 200, (line, answer.body))
            self.assert_near(answer.json(), UNIT)
        for line in ("X-Tandem-Lane: warp", "X-Tandem-Priority: soon", "X-Tandem-Priority: 1.5",
                     "X-Tandem-Deadline-Ms: soon", "X-Tandem-Deadline-Ms: -1",
                     "X-Tandem-Deadline-Ms: nan", "X-Tandem-Deadline-Ms: inf",
                     "X-Tandem-Fallback: perhaps"):
            answer = self.embed(line)
            self.assertIn(answer.code, (400, 404, 422), (line, answer.body))
            self.assertIn(line.split(": ")[1].encode(), answer.body)
            self.assertIn(line.split("-")[2][:4].lower().encode(), answer.body.lower())

    def test_a_lane_that_is_not_here(self):
        # Another one takes the work unless the caller forbids it.
        answer = self.embed("X-Tandem-Lane: ane")
        self.assertEqual((answer.code, answer.headers["x-tandem-lane"]), (200, "cpu"))
        self.assertIn("ane", answer.headers["x-tandem-reason"])
        for lines, body in ((("X-Tandem-Lane: ane", "X-Tandem-Fallback: none"), None),
                            ((), {"inputs": TEXTS, "lane": "ane", "fallback": "none"})):
            answer = self.embed(*lines, body=body)
            self.assertEqual(answer.code, 503, answer.body)
            self.assertIn(b"ane", answer.body)

    def test_fields_win_over_headers(self):
        body = {"inputs": TEXTS, "lane": "cpu", "priority": "realtime"}
        answer = self.embed("X-Tandem-Lane: warp", "X-Tandem-Priority: soon", body=body)
        self.assertIn(answer.code, (200, 400, 404, 422))

    def test_lanes_and_usage(self):
        self.assertIn("cpu", json.dumps(self.wire.ask(request("GET", "/lanes")).json()))
        self.assertIn(self.wire.ask(request("GET", "/usage")).code, (200, 404, 503))


class Overload(ServerCase):
    """One thread and a short queue."""

    models = (MINILM,)
    options = ("--threads", "1", "--max-queue-tokens", "2000")

    def test_deadlines(self):
        for lines, more in ((("X-Tandem-Deadline-Ms: 1",), {}), ((), {"deadline_ms": 1})):
            with Wire(self.server.port) as wire:
                answer = wire.ask(post("/embed", {"inputs": slow_work(self.server, 0.5), **more},
                                       *lines))
            self.assertEqual(answer.code, 504, answer.body)
            self.assertEqual(answer.json()["error_type"], "Overloaded")

    def flood(self, path, body_of):
        answers = []
        together = threading.Barrier(16)

        def ask(i):
            with Wire(self.server.port, timeout=120) as wire:
                body = body_of([f"{i} {j} {LONG}" for j in range(4)])
                together.wait(60)
                answers.append(wire.ask(post(path, body, "X-Tandem-Priority: background")))
        threads = [threading.Thread(target=ask, args=(i,)) for i in range(16)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self.assertEqual(len(answers), 16)
        refused = [answer for answer in answers if answer.code != 200]
        self.assertIn(len(refused), range(1, 16))
        for answer in refused:
            self.assertGreaterEqual(int(answer.headers["retry-after"]), 1)
        return refused

    def test_too_much_at_once(self):
        for answer in self.flood("/embed", lambda texts: {"inputs": texts}):
            self.assertEqual(answer.code, 429)
            self.assertEqual(answer.json()["error_type"], "Overloaded")

    def test_too_much_at_once_as_triton_says_it(self):
        before = counter(self.server, "te_request_failure", err="overloaded")
        refused = self.flood("/v2/models/all-MiniLM-L6-v2/infer", lambda texts: {"inputs": [
            {"name": "text", "shape": [4], "datatype": "BYTES", "data": texts}]})
        self.assertEqual({answer.code for answer in refused}, {503})
        after = counter(self.server, "te_request_failure", err="overloaded")
        self.assertEqual(after - before, len(refused))

    def test_clients_that_leave_are_dropped(self):
        before = counter(self.server, "te_request_failure", err="dropped")
        for leave in (Wire.close, Wire.reset):
            wire = Wire(self.server.port)
            wire.send(post("/embed", {"inputs": slow_work(self.server, 1)}))
            time.sleep(0.1)
            leave(wire)
        self.assertTrue(await_true(lambda: counter(
            self.server, "te_request_failure", err="dropped") >= before + 2))
        # Their work is gone too: the next caller does not wait for it.
        with Wire(self.server.port) as wire:
            answer = wire.ask(post("/embed", {"inputs": "after them"},
                                   "X-Tandem-Priority: realtime"))
        self.assertEqual(answer.code, 200)


class End(unittest.TestCase):
    """SIGTERM: what is under way is answered, nothing new is taken."""

    def test_drain(self):
        server = Server("--threads", "1", models=(MINILM,))
        self.addCleanup(server.kill)
        busy = Wire(server.port, timeout=120)
        self.addCleanup(busy.close)
        idle = Wire(server.port)
        self.addCleanup(idle.close)
        idle.ask(request("GET", "/health"))
        texts = slow_work(server, 1)
        busy.send(post("/embed", {"inputs": texts}))
        time.sleep(0.2)
        server.process.send_signal(signal.SIGTERM)
        self.assertTrue(idle.is_closed())
        answer = busy.answer()
        self.assertEqual(answer.code, 200)
        self.assertEqual(len(answer.json()), len(texts))
        self.assertEqual(answer.headers["connection"], "close")
        self.assertTrue(busy.is_closed())
        self.assertEqual(server.stop(), "")
        with self.assertRaises(ConnectionRefusedError):
            Wire(server.port)

    def test_a_drain_has_an_end(self):
        server = Server("--threads", "1", "--drain-timeout", "1", models=(MINILM,))
        self.addCleanup(server.kill)
        with Wire(server.port) as slow:
            slow.send(post("/embed", {"inputs": "x" * 100})[:-5]) # never whole
            time.sleep(0.1)
            start = time.monotonic()
            self.assertEqual(server.stop(), "")
            self.assertLess(time.monotonic() - start, 15)

    def test_both_signals(self):
        for number in (signal.SIGTERM, signal.SIGINT):
            server = Server(models=(BERT,))
            self.addCleanup(server.kill)
            server.process.send_signal(number)
            self.assertEqual(server.stop(), "")

    def test_a_path_that_is_taken(self):
        with tempfile.TemporaryDirectory() as folder:
            path = pathlib.Path(folder, "notes")
            words = [BINARY, "serve", "--port", "0", "--model", BERT, "--uds-path", str(path)]
            path.write_text("mine", encoding="utf-8")
            self.assertEqual(subprocess.run(words, stderr=subprocess.DEVNULL).returncode, 1)
            self.assertEqual(path.read_text(encoding="utf-8"), "mine")
            path.unlink()
            server = Server("--uds-path", str(path))
            self.assertEqual(subprocess.run(words, stderr=subprocess.DEVNULL).returncode, 1)
            with socket.socket(socket.AF_UNIX) as client:
                client.connect(str(path))
                client.sendall(b"GET /health HTTP/1.0\r\n\r\n")
                self.assertTrue(client.recv(99).startswith(b"HTTP/1.1 200 OK"))
            self.assertEqual(server.stop(), "")
            self.assertFalse(path.exists())

    def test_ready_means_inference(self):
        # Server() waits for /ready; the first request must find a model that has run.
        server = Server(models=(MINILM,))
        self.addCleanup(server.kill)
        answer = server.ask("GET", "/ready")
        self.assertEqual(answer.code, 200)
        self.assertEqual(server.ask("GET", "/v2/health/ready").code, 200)
        self.assertEqual(server.stop(), "")


if __name__ == "__main__":
    unittest.main()
