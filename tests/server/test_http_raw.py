# SPDX-License-Identifier: Apache-2.0
"""HTTP/1.1 as the wire has it: framing, its oddities, what is refused, connections."""
import json
import socket
import time
import unittest

from server_case import BERT, GOLDEN, ServerCase
from wire import Wire, chunk, post, request

TEXTS = GOLDEN["tiny"]["texts"]
UNIT = GOLDEN["tiny"]["unit"]
EMBED = post("/embed", {"inputs": TEXTS})
HEALTH = request("GET", "/health")


class RawCase(ServerCase):
    models = (BERT,)

    def wire(self, **fields):
        wire = Wire(self.server.port, **fields)
        self.addCleanup(wire.close)
        return wire

    def assert_embeds(self, wire):
        """The connection goes on."""
        answer = wire.ask(EMBED)
        self.assertEqual(answer.code, 200, answer.body)
        self.assert_near(answer.json(), UNIT)

    def assert_refused(self, data, *codes):
        """Refused with one of these codes, and the connection ends, since nobody knows where the
        next request would begin."""
        wire = self.wire()
        answer = wire.ask(data)
        self.assertIn(answer.code, codes, (data[:200], answer.body))
        self.assertTrue(wire.is_closed(), data[:200])
        return answer


class Framing(RawCase):
    def test_byte_by_byte(self):
        wire = self.wire()
        data = post("/embed", {"inputs": TEXTS[:1]})
        for i in range(len(data)):
            wire.send(data[i:i + 1])
        self.assert_near(wire.answer().json(), UNIT[:1])
        self.assert_embeds(wire)

    def test_pipelined(self):
        wire = self.wire()
        wire.send(EMBED, HEALTH, request("GET", "/nowhere"), post("/embed", {"inputs": TEXTS[0]}),
                  post("/embed", b"{"), EMBED)
        self.assertEqual([wire.answer().code for _ in range(3)], [200, 200, 404])
        self.assert_near(wire.answer().json(), UNIT[:1])
        self.assertEqual(wire.answer().code, 400)
        self.assert_near(wire.answer().json(), UNIT)

    def test_many_pipelined(self):
        wire = self.wire()
        wire.send(HEALTH * 500, EMBED)
        self.assertEqual({wire.answer().code for _ in range(500)}, {200})
        self.assert_near(wire.answer().json(), UNIT)

    def test_kept_until_close_is_asked_for(self):
        wire = self.wire()
        for _ in range(20):
            self.assert_embeds(wire)
        answer = wire.ask(request("GET", "/health", b"", "Connection: close"))
        self.assertEqual(answer.headers["connection"], "close")
        self.assertTrue(wire.is_closed())

    def test_http_1_0(self):
        wire = self.wire()
        answer = wire.ask(request("GET", "/health", version="HTTP/1.0", host=None))
        self.assertEqual(answer.code, 200)
        self.assertTrue(wire.is_closed())
        wire = self.wire()
        data = post("/embed", {"inputs": TEXTS}, "Connection: keep-alive", version="HTTP/1.0")
        for _ in range(2):
            answer = wire.ask(data)
            self.assert_near(answer.json(), UNIT)
            self.assertNotIn("transfer-encoding", answer.headers)

    def test_chunks(self):
        head = request("POST", "/embed", b"", "Transfer-Encoding: chunked")
        body = json.dumps({"inputs": TEXTS}).encode()
        end = b"0\r\n\r\n"
        for chunks in (chunk(body) + end,
                       b"".join(chunk(body[i:i + 1]) for i in range(len(body))) + end,
                       chunk(body[:7]) + chunk(body[7:]) + b"000\r\n\r\n",
                       b"%X;name=value;other=\"quoted\"\r\n%s\r\n" % (len(body), body) + end,
                       b"%x ;a\r\n%s\r\n" % (len(body), body) + end,
                       chunk(body) + b"0;last\r\nTrailer: value\r\nSecond: one\r\n\r\n"):
            wire = self.wire()
            answer = wire.ask(head, chunks)
            self.assertEqual(answer.code, 200, (chunks[:80], answer.body))
            self.assert_near(answer.json(), UNIT)
            self.assert_embeds(wire)

    def test_chunks_that_are_none(self):
        head = request("POST", "/embed", b"", "Transfer-Encoding: chunked")
        for chunks in (b"x\r\n", b"-1\r\n\r\n", b"\r\n", b"0x5\r\n", b"+5\r\n", b" 5\r\nabcde\r\n",
                       b"5\nabcde\n0\n\n", b"5\r\nabcdefg\r\n", b"5\r\nabcde0\r\n\r\n",
                       b"ffffffffffffffffffffff\r\n", b"7fffffffffffffff1\r\n",
                       b"5;" + b"x" * 100000 + b"\r\n",
                       b"0\r\n" + b"Trailer: x\r\n" * 10000 + b"\r\n"):
            self.assert_refused(head + chunks, 400, 413, 431)

    def test_length_and_chunks_disagree(self):
        body = chunk(b"{}") + b"0\r\n\r\n"
        for lines in (["Content-Length: 5", "Transfer-Encoding: chunked"],
                      ["Content-Length: 5", "Content-Length: 6"],
                      ["Content-Length: 5, 6"], ["Content-Length: -1"], ["Content-Length: +5"],
                      ["Content-Length: 0x5"], ["Content-Length: 5 5"], ["Content-Length:"],
                      ["Content-Length: 99999999999999999999999"],
                      ["Transfer-Encoding: chunked", "Transfer-Encoding: chunked"],
                      ["Transfer-Encoding: chunked, chunked"]):
            self.assert_refused(request("POST", "/embed", b"", *lines) + body, 400, 413, 501)
        for coding in ("gzip, chunked", "identity", "xchunked", "chunked, gzip"):
            self.assert_refused(request("POST", "/embed", b"", "Transfer-Encoding: " + coding)
                                + body, 400, 501)
        self.assert_refused(request("POST", "/embed", b"", "Transfer-Encoding: chunked",
                                    version="HTTP/1.0") + body, 400)

    def test_the_same_length_twice(self):
        body = json.dumps({"inputs": TEXTS}).encode()
        length = f"Content-Length: {len(body)}"
        answer = self.wire().ask(request("POST", "/embed", b"", length, length) + body)
        self.assertIn(answer.code, (200, 400))

    def test_expect(self):
        wire = self.wire()
        body = json.dumps({"inputs": TEXTS}).encode()
        wire.send(request("POST", "/embed", b"", f"Content-Length: {len(body)}",
                          "Expect: 100-continue"))
        self.assertEqual(wire.answer().code, 100)
        self.assert_near(wire.ask(body).json(), UNIT)
        self.assert_embeds(wire)
        # What is refused by its head is refused before the body is sent.
        for line, code in ((f"Content-Length: {10 ** 12}", 413), ("Content-Length: 5", 404)):
            wire = self.wire()
            target = "/embed" if code == 413 else "/nowhere"
            wire.send(request("POST", target, b"", line, "Expect: 100-continue"))
            self.assertEqual(wire.answer().code, code)
        self.assert_refused(request("POST", "/embed", b"", "Content-Length: 2", "Expect: magic"),
                            417)


class Heads(RawCase):
    def test_wrong_lines(self):
        for data in (b"\0\r\n\r\n", b"GET\r\n\r\n", b"GET /health\r\n\r\n",
                     b"GET  /health HTTP/1.1\r\nHost: x\r\n\r\n",
                     b"GET /health HTTP/1.1 \r\nHost: x\r\n\r\n",
                     b"GET /health http/1.1\r\nHost: x\r\n\r\n",
                     b"GET /hea lth HTTP/1.1\r\nHost: x\r\n\r\n",
                     b"G<T /health HTTP/1.1\r\nHost: x\r\n\r\n",
                     b"GET health HTTP/1.1\r\nHost: x\r\n\r\n",
                     b"GET /health HTTP/1.1\r\n\r\n", # no Host
                     b"GET /health HTTP/1.1\r\nHost: x\r\nHost: y\r\n\r\n",
                     b"GET /health HTTP/1.1\r\nHost: x\r\nNo colon\r\n\r\n",
                     b"GET /health HTTP/1.1\r\nHost: x\r\n: no name\r\n\r\n",
                     b"GET /health HTTP/1.1\r\nHost: x\r\nA : b\r\n\r\n",
                     b"GET /health HTTP/1.1\r\nHost: x\r\nA: b\r\n folded\r\n\r\n",
                     b"GET /health HTTP/1.1\r\nHost: x\r\nA: b\0c\r\n\r\n",
                     b"GET /health HTTP/1.1\r\nHost: x\r\nA: b\rc: d\r\n\r\n",
                     b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n"): # a TLS hello
            self.assert_refused(data, 400)
        for version in ("HTTP/2.0", "HTTP/3.0", "HTTP/0.9"):
            self.assert_refused(request("GET", "/health", version=version), 505, 400)

    def test_floods(self):
        self.assert_refused(request("GET", "/health", b"", *(f"A{i}: b" for i in range(5000))),
                            431)
        self.assert_refused(request("GET", "/health", b"", "A: " + "b" * 100000), 431)
        self.assert_refused(request("GET", "/" + "x" * 100000), 414, 431)
        self.assert_refused(b"X" * 100000, 400, 431)

    def test_empty_lines_before_a_request(self):
        self.assertEqual(self.wire().ask(b"\r\n\r\n", HEALTH).code, 200)
        wire = self.wire()
        wire.send(b"\r")
        time.sleep(0.1) # so that it is read alone
        self.assertEqual(wire.ask(b"\n", HEALTH).code, 200)

    def test_targets(self):
        for target in ("http://example.org/health", "/health?a=b&c",
                       "HTTP://example.org:80/health?x"):
            self.assertEqual(self.wire().ask(request("GET", target)).code, 200, target)
        for target in ("/health/", "//health", "/Health", "/embed%00", "/%zz", "/health%", "/..",
                       "/../health", "/%2e%2e/health", "/v2/models//infer", "/v1/models/%00"):
            answer = self.wire().ask(request("GET", target))
            self.assertIn(answer.code, (400, 404, 405), target)

    def test_unknown_routes_and_methods(self):
        wire = self.wire()
        self.assertEqual(wire.ask(request("GET", "/nowhere")).code, 404)
        self.assertEqual(wire.ask(post("/v1/nowhere", {})).code, 404)
        for method, target, allowed in (("GET", "/embed", "POST, OPTIONS"),
                                        ("DELETE", "/embed", "POST, OPTIONS"),
                                        ("POST", "/health", "GET, HEAD, OPTIONS"),
                                        ("PUT", "/metrics", "GET, HEAD, OPTIONS")):
            answer = wire.ask(request(method, target))
            self.assertEqual((answer.code, answer.headers["allow"]), (405, allowed), method)
        for method in ("BREW", "TRACE", "X" * 30):
            self.assertIn(wire.ask(request(method, "/health")).code, (405, 501))
        self.assert_embeds(wire)

    def test_head_and_options(self):
        wire = self.wire()
        answer = wire.ask(request("HEAD", "/health"), has_body=False)
        self.assertEqual(answer.code, 200)
        for target, allowed in (("/embed", "POST, OPTIONS"), ("/health", "GET, HEAD, OPTIONS"),
                                ("*", "GET, HEAD, POST, OPTIONS")):
            answer = wire.ask(request("OPTIONS", target))
            self.assertEqual((answer.code, answer.headers["allow"]), (204, allowed))
        answer = wire.ask(request("HEAD", "/nowhere"), has_body=False)
        self.assertEqual(answer.code, 404)
        self.assert_embeds(wire)

    def test_content_types(self):
        body = json.dumps({"inputs": TEXTS}).encode()
        for name in ("application/json", "application/json; charset=utf-8", "APPLICATION/JSON"):
            answer = self.wire().ask(request("POST", "/embed", body, "Content-Type: " + name))
            self.assertEqual(answer.code, 200, name)
        self.assertEqual(self.wire().ask(request("POST", "/embed", body)).code, 200)
        for name in ("text/html", "application/xml", "multipart/form-data; boundary=x"):
            wire = self.wire()
            answer = wire.ask(request("POST", "/embed", body, "Content-Type: " + name))
            self.assertEqual(answer.code, 415, name)
            self.assert_embeds(wire)
        answer = self.wire().ask(request("POST", "/embed", body, "Content-Encoding: gzip"))
        self.assertEqual(answer.code, 415)


class Bodies(RawCase):
    def test_too_large_by_length(self):
        for length in (10 ** 9, 10 ** 15):
            wire = self.wire()
            answer = wire.ask(request("POST", "/embed", b"", f"Content-Length: {length}"))
            self.assertEqual(answer.code, 413)
            self.assertTrue(wire.is_closed())

    def test_too_large_by_chunks(self):
        wire = self.wire()
        wire.send(request("POST", "/embed", b"", "Transfer-Encoding: chunked"))
        piece = chunk(b" " * (1 << 20))
        try:
            for _ in range(400):
                wire.send(piece)
        except (BrokenPipeError, ConnectionResetError):
            pass
        try:
            self.assertEqual(wire.answer().code, 413)
        except ConnectionResetError:
            pass # the answer was lost with what was still on its way
        self.assert_embeds(self.wire())

    def test_slow_body(self):
        wire = self.wire()
        for start in range(0, len(EMBED), 1 + len(EMBED) // 20):
            wire.send(EMBED[start:start + 1 + len(EMBED) // 20])
            time.sleep(0.01)
        self.assert_near(wire.answer().json(), UNIT)

    def test_no_body(self):
        for data in (request("POST", "/embed"), request("POST", "/embed", b"", "Content-Length: 0"),
                     request("POST", "/embed", b"", "Transfer-Encoding: chunked") + b"0\r\n\r\n"):
            wire = self.wire()
            self.assertEqual(wire.ask(data).code, 400)
            self.assert_embeds(wire)

    def test_body_of_a_get(self):
        wire = self.wire()
        answer = wire.ask(request("GET", "/health", b"{\"a\": 1}"))
        self.assertIn(answer.code, (200, 400))
        self.assert_embeds(wire)

    def test_half_closed(self):
        # The client says that it will send no more: an answer that needs no lane comes.
        wire = self.wire()
        wire.send(HEALTH)
        wire.socket.shutdown(socket.SHUT_WR)
        self.assertEqual(wire.answer().code, 200)
        self.assertTrue(wire.is_closed())
        for data in (EMBED[:-5], HEALTH[:-2], b"", EMBED):
            wire = self.wire()
            wire.send(data)
            wire.socket.shutdown(socket.SHUT_WR)
            wire.file.read() # nothing, or an answer; then the end
        self.assert_embeds(self.wire())

    def test_clients_that_leave(self):
        for data in (b"", b"P", EMBED[:30], EMBED[:-1], EMBED, EMBED * 10, HEALTH * 100):
            for leave in (Wire.close, Wire.reset):
                wire = Wire(self.server.port)
                wire.send(data)
                leave(wire)
        self.assert_embeds(self.wire())


if __name__ == "__main__":
    unittest.main()
