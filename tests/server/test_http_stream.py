# SPDX-License-Identifier: Apache-2.0
"""application/x-ndjson on POST /embed: lines out as texts are done, while more texts come."""
import json
import os
import pathlib
import threading
import time
import unittest

from server_case import BERT, GOLDEN, IS_SANITIZED, MINILM, ServerCase
from test_http_ours import await_true, counter
from wire import Wire, chunk, post, request

TEXTS = GOLDEN["tiny"]["texts"]
UNIT = GOLDEN["tiny"]["unit"]
LINES_OUT = "Accept: application/x-ndjson"
LINES_IN = "Content-Type: application/x-ndjson"
CHUNKED = "Transfer-Encoding: chunked"
LAST = b"0\r\n\r\n"


def rows_of(body):
    assert body.endswith(b"\n"), body[-80:]
    return [json.loads(line) for line in body.splitlines()]


def rss_mb(server):
    status = pathlib.Path(f"/proc/{server.process.pid}/status").read_text()
    return int(status.split("VmRSS:")[1].split()[0]) // 1024


class Rows:
    """The lines of an answer as they come."""

    def __init__(self, wire):
        self.wire = wire
        self.rest = b""

    def next(self):
        while b"\n" not in self.rest:
            part = self.wire.chunk()
            if not part:
                assert not self.rest, self.rest
                return None
            self.rest += part
        line, self.rest = self.rest.split(b"\n", 1)
        return json.loads(line)


class Stream(ServerCase):
    models = (BERT,)

    def setUp(self):
        self.wire = Wire(self.server.port)
        self.addCleanup(self.wire.close)

    def check(self, rows, vectors=None):
        """Every index once, each with its vector."""
        vectors = UNIT if vectors is None else vectors
        found = {row["index"]: row["embedding"] for row in rows}
        self.assertEqual(sorted(found), list(range(len(vectors))))
        self.assertEqual(len(rows), len(vectors))
        for index, vector in enumerate(vectors):
            self.assert_near(found[index], vector)

    def lines(self, *rows, options=()):
        """The answer to a body of these lines."""
        body = b"".join(row if isinstance(row, bytes) else json.dumps(row).encode() + b"\n"
                        for row in rows)
        return self.wire.ask(request("POST", "/embed", body, LINES_IN, *options))

    def test_a_list(self):
        answer = self.wire.ask(post("/embed", {"inputs": TEXTS}, LINES_OUT))
        self.assertEqual(answer.code, 200)
        self.assertEqual(answer.headers["content-type"], "application/x-ndjson")
        self.assertEqual(answer.headers["x-tandem-lane"], "cpu")
        self.check(rows_of(answer.body))
        self.check([{"index": i, "embedding": row} for i, row in enumerate(
            self.wire.ask(post("/embed", {"inputs": TEXTS})).json())])

    def test_many_that_fail_at_once(self):
        # More lines than are sent in one go, made without the engine.
        answer = self.lines(*[b"nonsense\n"] * 20000)
        self.assertEqual([row["index"] for row in rows_of(answer.body)], list(range(20000)))

    def test_one_text_and_none(self):
        answer = self.wire.ask(post("/embed", {"inputs": TEXTS[0]}, LINES_OUT))
        self.check(rows_of(answer.body), UNIT[:1])
        answer = self.wire.ask(post("/embed", {"inputs": []}, LINES_OUT))
        self.assertIn((answer.code, answer.body), ((200, b""), (400, answer.body)))

    def test_lines(self):
        self.check(rows_of(self.lines(*TEXTS).body))
        self.check(rows_of(self.lines(*({"inputs": text} for text in TEXTS)).body))
        # Empty lines, CR LF, no end of the last line, what is written in more than ASCII.
        answer = self.lines(b"\n\r\n", *(json.dumps(text).encode() + b"\r\n" for text in TEXTS[:3]),
                            b"   \n", json.dumps(TEXTS[3]).encode())
        self.check(rows_of(answer.body))

    def test_options(self):
        self.check(rows_of(self.wire.ask(
            post("/embed", {"normalize": True, "lane": "cpu", "priority": "background",
                            "inputs": TEXTS}, LINES_OUT)).body))
        rows = rows_of(self.lines({"inputs": TEXTS[0], "dimensions": 8}, TEXTS[0]).body)
        lengths = {row["index"]: len(row["embedding"]) for row in rows}
        self.assertEqual(lengths, {0: 8, 1: 32})
        self.check(rows_of(self.lines(*TEXTS, options=("X-Tandem-Priority: realtime",)).body))

    def test_options_after_the_texts(self):
        # They came too late for texts that are on their way: an error, not half an answer.
        for inputs in (TEXTS, TEXTS[0]):
            answer = self.wire.ask(post("/embed", {"inputs": inputs, "normalize": False},
                                        LINES_OUT))
            errors = [row["error"] for row in rows_of(answer.body) if "error" in row]
            self.assertEqual(len(errors), 1)
            self.assertIn("before \"inputs\"", errors[0])

    def test_errors_of_a_line(self):
        rows = rows_of(self.lines(TEXTS[0], {"inputs": 7}, {"inputs": TEXTS[1], "dimensions": 99},
                                  b'"\xff"\n', 12, b"{broken\n", TEXTS[2]).body)
        by_index = {row["index"]: row for row in rows}
        self.assertEqual(sorted(by_index), list(range(7)))
        for index, text in ((0, 0), (6, 2)):
            self.assert_near(by_index[index]["embedding"], UNIT[text])
        for index in (1, 2, 3, 5):
            self.assertTrue(by_index[index]["error"])
            self.assertEqual(by_index[index]["error_type"], "Validation")
        self.assertIn("inputs", by_index[1]["error"])
        self.assertIn("dimensions", by_index[2]["error"])
        self.assert_goes_on()

    def test_errors_of_many_lines(self):
        """More than the server holds back for a client: each line once nevertheless."""
        count = 20000
        rows = rows_of(self.lines(*[b"x\n"] * count).body)
        self.assertEqual(sorted(row["index"] for row in rows), list(range(count)))

    def test_a_long_text_byte_by_byte(self):
        """Costs the server what its bytes cost, not their square."""
        text = b'"' + b"a b" * 80000 + b'"'
        for front, end, content in ((b"", b"\n", LINES_IN),
                                    (b'{"inputs": [', b"]}", "Content-Type: application/json")):
            wire = Wire(self.server.port)
            self.addCleanup(wire.close)
            before = self.cpu_s()
            wire.send(request("POST", "/embed", b"", LINES_OUT, content, CHUNKED),
                      chunk(front) if front else b"",
                      *(b"1\r\n%c\r\n" % byte for byte in text), chunk(end), LAST)
            self.assertEqual(len(rows_of(wire.answer().body)), 1)
            self.assertLess(self.cpu_s() - before, 4)

    def cpu_s(self):
        stat = pathlib.Path(f"/proc/{self.server.process.pid}/stat").read_text(encoding="ascii")
        return sum(map(int, stat.rsplit(") ", 1)[1].split()[11:13])) / os.sysconf("SC_CLK_TCK")

    def assert_goes_on(self):
        self.assert_near(self.wire.ask(post("/embed", {"inputs": TEXTS})).json(), UNIT)

    def test_truncation_is_told(self):
        rows = rows_of(self.lines("cat " * 200, {"inputs": "cat " * 200, "truncate": False}).body)
        by_index = {row["index"]: row for row in rows}
        self.assertTrue(by_index[0]["truncated"])
        self.assertIn("error", by_index[1])

    def test_broken_structure(self):
        for body in (b"", b"{", b"[", b'{"inputs": ["a"', b'{"inputs": ["a", ]}',
                     b'{"inputs": "a"',
                     b'{"inputs": ["a"] "b"}', b'{"inputs": ["a"]}}', b'{"other": 1}', b"null",
                     b"{}",
                     b'{"inputs": "a", "inputs": "b"}',
                     b'{"inputs": ["a" "b"]}', b'{"inputs": {"a": ["b"]}}', b'{"inputs": ["a]}'):
            with Wire(self.server.port) as wire:
                answer = wire.ask(post("/embed", body, LINES_OUT) if body else
                                  request("POST", "/embed", b"", LINES_OUT))
            if answer.code == 200:
                self.assertTrue(any("error" in row for row in rows_of(answer.body)), body)
            else:
                self.assertIn(answer.code, (400, 422), body)

    def test_both_ways_at_once(self):
        """Each vector comes before the next text is sent."""
        self.wire.send(request("POST", "/embed", b"", LINES_IN, CHUNKED))
        rows = None
        for index, text in enumerate(TEXTS * 5):
            self.wire.send(chunk(json.dumps(text).encode() + b"\n"))
            if rows is None:
                self.assertEqual(self.wire.head()[0], 200)
                rows = Rows(self.wire)
            row = rows.next()
            self.assertEqual(row["index"], index)
            self.assert_near(row["embedding"], UNIT[index % len(UNIT)])
        self.wire.send(LAST)
        self.assertIsNone(rows.next())

    def test_a_list_both_ways_at_once(self):
        self.wire.send(request("POST", "/embed", b"", LINES_OUT, CHUNKED,
                               "Content-Type: application/json"), chunk(b'{"inputs": ['))
        rows = None
        for index, text in enumerate(TEXTS):
            comma = b"," if index else b""
            self.wire.send(chunk(comma + json.dumps(text).encode()))
            if index == 0:
                self.wire.send(chunk(b" "))
                self.assertEqual(self.wire.head()[0], 200)
                rows = Rows(self.wire)
            self.assertEqual(rows.next()["index"], index)
        self.wire.send(chunk(b"]}"), LAST)
        self.assertIsNone(rows.next())

    def test_cut_anywhere(self):
        body = "\n".join(json.dumps(text, ensure_ascii=False) for text in TEXTS).encode()
        for size in (1, 2, 3, 7, 64):
            with Wire(self.server.port) as wire: # an answer before the body's end closes
                wire.send(request("POST", "/embed", b"", LINES_IN, CHUNKED))
                for start in range(0, len(body), size):
                    wire.send(chunk(body[start:start + size]))
                self.check(rows_of(wire.ask(LAST).body))

    def test_more_than_a_batch(self):
        """Limits of one request do not hold for a stream; all is sent before anything is read."""
        count = 1000 if IS_SANITIZED else 5000
        texts = [f"{TEXTS[i % 4]} {i}" for i in range(count)]
        expected = self.wire.ask(post("/embed", {"inputs": texts[-4:]})).json()
        sender = threading.Thread(target=self.wire.send, args=(
            request("POST", "/embed", b"", LINES_IN, CHUNKED),
            *(chunk(json.dumps(text).encode() + b"\n") for text in texts), LAST))
        before = rss_mb(self.server)
        sender.start()
        answer = self.wire.answer()
        sender.join()
        if not IS_SANITIZED:
            self.assertLess(rss_mb(self.server) - before, 64)
        rows = rows_of(answer.body)
        self.assertEqual(sorted(row["index"] for row in rows), list(range(count)))
        by_index = {row["index"]: row["embedding"] for row in rows}
        for i in range(4):
            self.assert_near(by_index[count - 4 + i], expected[i])

    def test_huge_piece(self):
        answer = self.lines(b'"' + b"x" * (1 << 20) + b'"\n', TEXTS[0])
        if answer.code == 200:
            self.assertIn("error", {key for row in rows_of(answer.body) for key in row})
        else:
            self.assertIn(answer.code, (400, 413))

    def test_clients_that_leave_midway(self):
        before = counter(self.server, "te_request_failure", err="dropped")
        for leave in (Wire.close, Wire.reset):
            for count in (0, 1, 1000):
                wire = Wire(self.server.port)
                wire.send(request("POST", "/embed", b"", LINES_IN, CHUNKED))
                for i in range(count):
                    wire.send(chunk(json.dumps(f"text {i}").encode() + b"\n"))
                if count == 1:
                    self.assertEqual(wire.head()[0], 200)
                leave(wire)
        self.assertTrue(await_true(lambda: counter(
            self.server, "te_request_failure", err="dropped") >= before + 6))
        self.assert_goes_on()

    def test_streams_beside_each_other(self):
        answers = []

        def ask():
            with Wire(self.server.port) as wire:
                answers.append(wire.ask(post("/embed", {"inputs": TEXTS * 50}, LINES_OUT)))
        threads = [threading.Thread(target=ask) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        for answer in answers:
            self.check(rows_of(answer.body), UNIT * 50)


class Memory(ServerCase):
    """A client that takes nothing: the server stops reading, and its memory stays."""

    models = (MINILM,)
    options = ("--threads", "1")

    def test_bounded(self):
        wire = Wire(self.server.port, timeout=1)
        self.addCleanup(wire.close)
        wire.send(request("POST", "/embed", b"", LINES_IN, CHUNKED))
        before = rss_mb(self.server)
        piece = b"".join(json.dumps(f"{i} " + "word " * 200).encode() + b"\n" for i in range(100))
        sent = 0
        try:
            while sent < (256 << 20):
                wire.send(chunk(piece))
                sent += len(piece)
        except TimeoutError:
            pass
        self.assertLess(sent, 256 << 20)
        time.sleep(0.2)
        self.assertLess(rss_mb(self.server) - before, 384 if IS_SANITIZED else 96)
        self.assertEqual(self.ask("GET", "/health").code, 200)


if __name__ == "__main__":
    unittest.main()
