# SPDX-License-Identifier: Apache-2.0
"""What the routes answer, beside sentence-transformers' values, where no client of tests/server/
clients asks for it."""
import base64
import array
import unittest

from server_case import ALL, GOLDEN, MINILM, ServerCase, ranked

FOUND = GOLDEN["minilm"]
TINY = GOLDEN["tiny"]
TEXTS = TINY["texts"]


class Values(ServerCase):
    def good(self, path, body, **headers):
        answer = self.ask("POST", path, body, headers)
        self.assertEqual(answer.code, 200, answer.body)
        return answer.json()

    def test_embed(self):
        self.assert_near(self.good("/embed", {"inputs": FOUND["texts"]}), FOUND["unit"])
        self.assert_near(self.good("/", {"inputs": FOUND["texts"]}), FOUND["unit"])
        self.assert_near(self.good("/embed", {"inputs": FOUND["ids"]}), FOUND["unit"])
        self.assert_near(self.good("/embed", {"inputs": FOUND["texts"], "normalize": False}),
                         FOUND["plain"])
        self.assert_near(self.good("/embed", {"inputs": FOUND["texts"], "dimensions": 64}),
                         FOUND["unit_64"])

    def test_embed_of_another_model(self):
        self.assert_near(self.good("/embed", {"inputs": TEXTS, "model": "tiny-bert"}),
                         TINY["unit"])
        self.assert_near(self.good("/embed", {"inputs": TEXTS, "model": "tiny-modules"}),
                         TINY["modules"])
        self.assert_near(self.good("/embed", {"inputs": TEXTS, "model": "tiny-modules",
                                              "prompt_name": "count"}), TINY["modules_prompt"])

    def test_embed_all(self):
        self.assert_near(self.good("/embed_all", {"inputs": TEXTS, "model": "tiny-bert"}),
                         TINY["tokens"], limit=1e-4) # these are no unit vectors

    def test_embed_sparse(self):
        got = self.good("/embed_sparse", {"inputs": TEXTS})
        for row, expected in zip(got, TINY["sparse"]):
            row = {item["index"]: item["value"] for item in row}
            expected = dict(map(tuple, expected))
            for index in row.keys() | expected.keys():
                self.assertAlmostEqual(row.get(index, 0), expected.get(index, 0), delta=2e-5)

    def test_predict(self):
        for raw, expected in ((False, TINY["classes"]), (True, TINY["classes_raw"])):
            got = self.good("/predict", {"inputs": [[text] for text in TEXTS],
                                         "raw_scores": raw})
            for row, labels in zip(got, expected):
                self.assertEqual([item["label"] for item in row],
                                 sorted(labels, key=lambda label: -labels[label]))
                for item in row:
                    self.assertAlmostEqual(item["score"], labels[item["label"]], delta=2e-5)
        single = self.good("/predict", {"inputs": TEXTS[0]})
        self.assertEqual(single[0]["label"], "perhaps")

    def test_rerank(self):
        for raw, scores in ((False, TINY["rerank"]), (True, TINY["rerank_raw"])):
            got = self.good("/rerank", {"query": TEXTS[0], "texts": TEXTS, "raw_scores": raw,
                                        "return_text": True})
            self.assertEqual([item["index"] for item in got], [i for i, _ in ranked(scores)])
            self.assert_near([item["score"] for item in got], [s for _, s in ranked(scores)])
            self.assertEqual([item["text"] for item in got], [TEXTS[i] for i, _ in ranked(scores)])

    def test_jina_rerank(self):
        got = self.good("/v1/rerank", {"model": "tiny-rerank", "query": TEXTS[0], "top_n": 2,
                                       "documents": [{"text": text} for text in TEXTS],
                                       "return_documents": True})
        best = ranked(TINY["rerank"])[:2]
        self.assertEqual([item["index"] for item in got["results"]], [i for i, _ in best])
        self.assertEqual(got["results"][0]["document"]["text"], TEXTS[best[0][0]])
        self.assertGreater(got["usage"]["total_tokens"], 0)
        self.assertTrue(got["model"].endswith("tiny-rerank"))

    def test_similarity(self):
        got = self.good("/similarity", {"inputs": {"source_sentence": FOUND["texts"][0],
                                                   "sentences": FOUND["texts"][1:]}})
        self.assert_near(got, FOUND["similarity"])

    def test_tokenize_and_decode(self):
        got = self.good("/tokenize", {"inputs": FOUND["texts"]})
        self.assertEqual([[token["id"] for token in row] for row in got], FOUND["ids"])
        first = got[0]
        self.assertEqual([token["special"] for token in first], [True] + [False] * 5 + [True])
        self.assertEqual((first[1]["text"], first[1]["start"], first[1]["stop"]), ("The", 0, 3))
        got = self.good("/tokenize", {"inputs": "The cat", "add_special_tokens": False})
        self.assertEqual([token["id"] for token in got[0]], FOUND["ids"][0][1:3])
        got = self.good("/decode", {"ids": FOUND["ids"][:2]})
        self.assertEqual(got, ["the cat sits outside.", "a man is playing guitar."])
        got = self.good("/decode", {"ids": FOUND["ids"][0], "skip_special_tokens": False})
        self.assertEqual(got, ["[CLS] the cat sits outside. [SEP]"])

    def test_old_path_of_openai(self):
        for path in ("/embeddings", "/v1/embeddings"):
            got = self.good(path, {"model": MINILM, "input": FOUND["texts"],
                                   "encoding_format": "base64"})
            for item, expected in zip(got["data"], FOUND["unit"]):
                self.assert_near(array.array("f", base64.b64decode(item["embedding"])), expected)

    def test_info(self):
        info = self.ask("GET", "/info").json()
        self.assertEqual(info["model_id"], MINILM)
        self.assertEqual(info["model_type"]["embedding"]["pooling"], "mean")
        self.assertEqual(info["max_input_length"], 256)
        for name in ("model_dtype", "max_concurrent_requests", "max_batch_tokens",
                     "max_client_batch_size", "auto_truncate", "version"):
            self.assertIn(name, info)
        for path in ("/health", "/ping", "/ready"):
            self.assertEqual(self.ask("GET", path).code, 200, path)

    def test_lanes(self):
        lanes = self.ask("GET", "/lanes").json()
        self.assertIn("cpu", str(lanes))
        self.assertEqual(str(lanes).count("tiny-labels") > 0, len(ALL) > 1)

    def test_page(self):
        answer = self.ask("GET", "/", headers={"Accept": "text/html"})
        self.assertEqual(answer.code, 200)
        self.assertTrue(answer.headers["Content-Type"].startswith("text/html"))


if __name__ == "__main__":
    unittest.main()
