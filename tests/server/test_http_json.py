# SPDX-License-Identifier: Apache-2.0
"""Bodies that are wrong: every API answers with its own 4xx, which names the field."""
import json
import unittest

from server_case import BERT, GOLDEN, LABELS, RERANK, SPLADE, ServerCase
from wire import Wire, post

TEXTS = GOLDEN["tiny"]["texts"]
UNIT = GOLDEN["tiny"]["unit"]


def of_tei(body):
    assert set(body) == {"error", "error_type"}, body
    assert body["error_type"] in ("Unhealthy", "Backend", "Overloaded", "Validation", "Tokenizer",
                                  "Empty"), body
    return body["error"]


def of_openai(body):
    assert set(body) == {"error"}, body
    assert set(body["error"]) == {"message", "type", "param", "code"}, body
    return f"{body['error']['message']} {body['error']['param']}"


def of_cohere(body):
    assert set(body) == {"message", "id"} and body["id"], body
    return body["message"]


def of_kserve(body):
    assert set(body) == {"error"} and isinstance(body["error"], str), body
    return body["error"]


# A good body for each route, and how its API tells errors.
TENSOR = {"name": "text", "shape": [1], "datatype": "BYTES", "data": ["x"]}
GOOD = {
    "/embed": (of_tei, {"inputs": "x"}),
    "/": (of_tei, {"inputs": "x"}),
    "/embed_all": (of_tei, {"inputs": "x"}),
    "/embed_sparse": (of_tei, {"inputs": "x"}),
    "/predict": (of_tei, {"inputs": "x"}),
    "/rerank": (of_tei, {"query": "x", "texts": ["y"]}),
    "/similarity": (of_tei, {"inputs": {"source_sentence": "x", "sentences": ["y"]}}),
    "/tokenize": (of_tei, {"inputs": "x"}),
    "/decode": (of_tei, {"ids": [5, 6]}),
    "/v1/embeddings": (of_openai, {"model": "tiny-bert", "input": "x"}),
    "/v1/rerank": (of_cohere, {"model": "tiny-rerank", "query": "x", "documents": ["y"]}),
    "/v2/rerank": (of_cohere, {"model": "tiny-rerank", "query": "x", "documents": ["y"]}),
    "/v2/models/tiny-bert/infer": (of_kserve, {"inputs": [TENSOR]}),
}
MALFORMED = [
    b"{", b"[1", b"{'inputs': 1}", b'{"inputs": NaN}', b'{"inputs": Infinity}',
    b'{"inputs": "x",}', b'{"inputs": "x"} x', b'{"inputs": "x"}{}', b'{"inputs" "x"}',
    b'{"inputs": 01}', b'{"inputs": 1.}', b'{"inputs": +1}', b'{"inputs": .5}', b"nul",
    b"\xff\xfe{\0}\0", b'{"inputs": "\xff"}', b'{"inputs": "\xc0\xaf"}',
    b'{"inputs": "\xed\xa0\x80"}', b'{"inputs": "\xf5\x80\x80\x80"}', b'{"inputs": "\x01"}',
    b'{"inputs": "line\nbreak"}', b'{"inputs": "\\x"}', b'{"inputs": "\\u12"}',
    b"/* comment */ {}", b"{" * 1000, b"[" * 100000, b'{"a":' * 100000,
    b'{"inputs": "x", "more": ' + b"[" * 5000 + b"]" * 5000 + b"}", b"\0" * 100, b" " * 10000]
NO_OBJECTS = [b"null", b"true", b"1", b'"text"', b"[]", b'["inputs"]']
WRONG = {
    "/embed": [
        ({}, "inputs"), ({"inputs": None}, "inputs"), ({"inputs": 1}, "inputs"),
        ({"inputs": {}}, "inputs"), ({"inputs": ["a", 1]}, "inputs[1]"),
        ({"inputs": [1, "a"]}, "inputs[1]"), ({"inputs": [["a"]]}, "inputs[0]"),
        ({"inputs": [[1.5]]}, "1.5"), ({"inputs": [[-1]]}, "-1"), ({"inputs": [[10 ** 9]]}, "10"),
        ({"inputs": [[]]}, "inputs"), ({"inputs": [10 ** 40]}, "inputs"),
        ({"inputs": "x", "normalize": 1}, "normalize"),
        ({"inputs": "x", "truncate": "yes"}, "truncate"),
        ({"inputs": "x", "truncation_direction": "Up"}, "truncation_direction"),
        ({"inputs": "x", "prompt_name": 7}, "prompt_name"),
        ({"inputs": "x", "prompt_name": "none-such"}, "none-such"),
        *(({"inputs": "x", "dimensions": value}, "dimensions")
          for value in ("7", -1, 0, 1.5, True, 33, 10 ** 30, [])),
        ({"inputs": "x", "model": "no-such"}, "no-such"),
        ({"inputs": "x", "model": 7}, "model"),
        ({"inputs": "x", "lane": 7}, "lane"), ({"inputs": "x", "lane": "warp"}, "warp"),
        ({"inputs": "x", "priority": "soon"}, "priority"),
        ({"inputs": "x", "priority": [1]}, "priority"),
        ({"inputs": "x", "deadline_ms": -1}, "deadline_ms"),
        ({"inputs": "x", "deadline_ms": "1"}, "deadline_ms"),
        ({"inputs": "x", "fallback": "perhaps"}, "fallback")],
    "/predict": [({}, "inputs"), ({"inputs": ["a", "b", "c"]}, "inputs"),
                 ({"inputs": [["a", "b", "c"]]}, "inputs"), ({"inputs": [[1]]}, "inputs"),
                 ({"inputs": "x", "raw_scores": 1}, "raw_scores")],
    "/rerank": [({"texts": ["a"]}, "query"), ({"query": "a"}, "texts"),
                ({"query": 1, "texts": ["a"]}, "query"), ({"query": "a", "texts": "b"}, "texts"),
                ({"query": "a", "texts": ["b", None]}, "texts[1]"),
                ({"query": "a", "texts": ["b"], "return_text": 1}, "return_text")],
    "/similarity": [({}, "inputs"), ({"inputs": "x"}, "inputs"),
                    ({"inputs": {"sentences": ["a"]}}, "source_sentence"),
                    ({"inputs": {"source_sentence": "a"}}, "sentences"),
                    ({"inputs": {"source_sentence": "a", "sentences": [1]}}, "sentences[0]")],
    "/tokenize": [({}, "inputs"), ({"inputs": [1]}, "inputs"),
                  ({"inputs": "x", "add_special_tokens": 1}, "add_special_tokens")],
    "/decode": [({}, "ids"), ({"ids": "x"}, "ids"), ({"ids": [-1]}, "ids"),
                ({"ids": [1.5]}, "ids"), ({"ids": [10 ** 12]}, "ids"),
                ({"ids": [1], "skip_special_tokens": "x"}, "skip_special_tokens")],
    "/v1/embeddings": [({"model": "tiny-bert"}, "input"), ({"input": "x"}, "model"),
                       ({"model": 7, "input": "x"}, "model"),
                       ({"model": "no-such", "input": "x"}, "no-such"),
                       ({"model": "tiny-bert", "input": {}}, "input"),
                       ({"model": "tiny-bert", "input": ["a", 1]}, "input[1]"),
                       ({"model": "tiny-bert", "input": "x", "encoding_format": "hex"},
                        "encoding_format"),
                       ({"model": "tiny-bert", "input": "x", "encoding_format": 1},
                        "encoding_format"),
                       ({"model": "tiny-bert", "input": "x", "dimensions": 33}, "dimensions"),
                       ({"model": "tiny-bert", "input": "x", "lane": "warp"}, "warp")],
    "/v1/rerank": [({"query": "x"}, "documents"), ({"documents": ["x"]}, "query"),
                   ({"query": "x", "documents": [{}]}, "documents[0]"),
                   ({"query": "x", "documents": [{"text": 1}]}, "documents[0]"),
                   ({"query": "x", "documents": ["a"], "return_documents": 1},
                    "return_documents")],
    "/v2/rerank": [({"query": "x"}, "documents"), ({"query": "x", "documents": {}}, "documents"),
                   ({"query": "x", "documents": ["a", 1]}, "documents[1]"),
                   ({"query": "x", "documents": ["a"], "top_n": "1"}, "top_n"),
                   ({"query": "x", "documents": ["a"], "top_n": -1}, "top_n"),
                   ({"query": "x", "documents": ["a"], "priority": 1.5}, "priority"),
                   ({"query": "x", "documents": ["a"], "model": "no-such"}, "no-such")],
    "/v2/models/tiny-bert/infer": [
        ({}, "inputs"), ({"inputs": []}, "inputs"), ({"inputs": [1]}, "inputs[0]"),
        ({"inputs": [{**TENSOR, "name": "other"}]}, "other"),
        ({"inputs": [{**TENSOR, "datatype": "FP32"}]}, "FP32"),
        ({"inputs": [{**TENSOR, "shape": [2]}]}, "shape"),
        ({"inputs": [{**TENSOR, "shape": [-1]}]}, "shape"),
        ({"inputs": [{**TENSOR, "shape": [10 ** 18, 10 ** 18]}]}, "shape"),
        ({"inputs": [{**TENSOR, "data": [1]}]}, "data"),
        ({"inputs": [{**TENSOR, "data": "x"}]}, "data"),
        ({"inputs": [TENSOR], "outputs": [{"name": "other"}]}, "other"),
        ({"inputs": [TENSOR], "id": 7}, "id"),
        ({"inputs": [TENSOR], "parameters": {"priority": -1}}, "priority"),
        ({"inputs": [TENSOR], "parameters": {"timeout": "soon"}}, "timeout")],
}


class Json(ServerCase):
    models = (BERT, RERANK, LABELS, SPLADE)

    def setUp(self):
        self.wire = Wire(self.server.port)
        self.addCleanup(self.wire.close)

    def message(self, path, body, codes):
        """What the refusal of a body says; the connection goes on."""
        answer = self.wire.ask(post(path, body))
        self.assertIn(answer.code, codes, (path, str(body)[:200], answer.body[:300]))
        self.assertEqual(answer.headers["content-type"].split(";")[0], "application/json")
        return GOOD[path][0](answer.json())

    def test_good(self):
        for path, (_, body) in GOOD.items():
            answer = self.wire.ask(post(path, body))
            self.assertEqual(answer.code, 200, (path, answer.body))

    def test_malformed(self):
        for path in GOOD:
            for body in MALFORMED:
                self.assertTrue(self.message(path, body, (400,)))
            for body in NO_OBJECTS:
                self.assertTrue(self.message(path, body, (400, 422)))

    def test_wrong_types_and_values(self):
        for path, rows in WRONG.items():
            for body, word in rows:
                said = self.message(path, body, (400, 404, 422))
                self.assertIn(word, said, (path, body))

    def test_duplicate_keys(self):
        for path, key in (("/embed", b"inputs"), ("/v1/embeddings", b"input")):
            said = self.message(path, b'{"model": "tiny-bert", "%s": "x", "%s": "y"}' % (key, key),
                                (400, 422))
            self.assertIn(key.decode(), said)

    def test_lone_surrogates(self):
        # Valid JSON, no text: what a tokenizer would make of it is nobody's guess.
        for text in (b"\\ud800", b"a\\udc00b", b"\\udc00\\ud800", b"\\ud800\\ud800\\udc00"):
            self.message("/embed", b'{"inputs": "%s"}' % text, (400, 422))
        answer = self.wire.ask(post("/embed", b'{"inputs": "\\ud83d\\ude00 \\u0000"}'))
        self.assertEqual(answer.code, 200, answer.body)

    def test_huge_numbers(self):
        for number in (b"1e999", b"-1e999", b"1" * 100000, b"0." + b"0" * 100000 + b"1",
                       b"1e" + b"9" * 1000, b"9223372036854775808", b"-9223372036854775809"):
            for body in (b'{"inputs": "x", "dimensions": %s}', b'{"inputs": [[%s]]}',
                         b'{"inputs": "x", "deadline_ms": %s}'):
                self.message("/embed", body % number, (400, 422))
        answer = self.wire.ask(post("/embed", b'{"inputs": "x", "unknown": 1e-999}'))
        self.assertIn(answer.code, (200, 400))

    def test_integers_with_a_point(self):
        # 8.0 and 8e0 are integers in JSON Schema, which has no other.
        for number in (b"8", b"8.0", b"8e0", b"80e-1"):
            body = b'{"inputs": [[5, 6, %s]], "dimensions": %s, "priority": %s, "deadline_ms": %s}'
            answer = self.wire.ask(post("/embed", body % (number, number, number, b"6e4")))
            self.assertEqual(answer.code, 200, answer.body)
            self.assertEqual(len(answer.json()[0]), 8)

    def test_what_is_unknown_is_ignored(self):
        for path, (_, body) in GOOD.items():
            answer = self.wire.ask(post(path, {**body, "no_such_field": {"a": [1, None]}}))
            self.assertEqual(answer.code, 200, (path, answer.body))

    def test_null_is_the_default(self):
        body = {"inputs": TEXTS, "truncate": None, "normalize": None, "prompt_name": None,
                "dimensions": None, "truncation_direction": None, "model": None, "lane": None,
                "priority": None, "deadline_ms": None, "fallback": None}
        self.assert_near(self.wire.ask(post("/embed", body)).json(), UNIT)
        body = {"model": "tiny-bert", "input": TEXTS, "encoding_format": None, "dimensions": None,
                "user": None}
        answer = self.wire.ask(post("/v1/embeddings", body)).json()
        self.assert_near([item["embedding"] for item in answer["data"]], UNIT)

    def test_large_but_right(self):
        text = "the cat sat " * 20000
        body = json.dumps({"inputs": text, "truncate": True}).encode()
        answer = self.wire.ask(post("/embed", body))
        self.assertEqual(answer.code, 200, answer.body[:300])
        self.message("/embed", {"inputs": text, "truncate": False}, (413, 422))
        self.message("/embed", {"inputs": ["x"] * 200000}, (413, 422))

    def test_large_answers_without_a_lane(self):
        # Over a MiB: read and made on a worker, sent in slices.
        answer = self.wire.ask(post("/tokenize", {"inputs": ["the cat sat " * 6000, "cat"]}))
        self.assertEqual(answer.code, 200)
        rows = answer.json()
        self.assertGreater(len(answer.body), 1 << 20)
        self.assertEqual([len(row) for row in rows], [18002, 3])

    def test_errors_show_little_of_a_large_value(self):
        said = self.message("/embed", {"inputs": "x", "lane": "w" * 100000}, (400, 404, 422))
        self.assertLess(len(said), 1000)

    def test_the_connection_and_the_server_go_on(self):
        self.wire.ask(post("/embed", b"{"))
        self.assert_near(self.wire.ask(post("/embed", {"inputs": TEXTS})).json(), UNIT)


if __name__ == "__main__":
    unittest.main()
