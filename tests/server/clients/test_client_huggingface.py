# SPDX-License-Identifier: Apache-2.0
"""huggingface_hub's InferenceClient against POST / and the routes of Text Embeddings Inference."""
import asyncio
import pathlib
import sys
import unittest

from huggingface_hub import AsyncInferenceClient, InferenceClient
from huggingface_hub.errors import HfHubHTTPError

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))
from server_case import GOLDEN, LABELS, ServerCase

FOUND = GOLDEN["minilm"]
TINY = GOLDEN["tiny"]
TEXTS = FOUND["texts"]


class Embedder(ServerCase):
    def client(self, path=""):
        return InferenceClient(model=self.url + path, token="unused")

    def test_feature_extraction(self):
        for path in ("", "/embed"):
            client = self.client(path)
            got = client.feature_extraction(TEXTS[0])
            self.assertEqual(got.shape, (1, 384))
            self.assert_near(got.tolist(), FOUND["unit"][:1])
            self.assert_near(client.feature_extraction(TEXTS).tolist(), FOUND["unit"])

    def test_options(self):
        client = self.client()
        got = client.feature_extraction(TEXTS, normalize=False, truncate=True,
                                        truncation_direction="right")
        self.assert_near(got.tolist(), FOUND["plain"])
        got = client.feature_extraction(TEXTS, dimensions=64, normalize=True)
        self.assert_near(got.tolist(), FOUND["unit_64"])

    def test_token_states(self):
        got = self.client("/embed_all").feature_extraction(TEXTS[0])
        self.assertEqual(got.shape, (1, len(FOUND["ids"][0]), 384))

    def test_sentence_similarity(self):
        for path in ("/similarity", ""):
            got = self.client(path).sentence_similarity(TEXTS[0], TEXTS[1:])
            self.assert_near(got, FOUND["similarity"])

    def test_async(self):
        async def run():
            client = AsyncInferenceClient(model=self.url, token="unused")
            return await asyncio.gather(*map(client.feature_extraction, TEXTS))
        got = [row.tolist()[0] for row in asyncio.run(run())]
        self.assert_near(got, FOUND["unit"])

    def refused(self, code, kind, call, *words):
        with self.assertRaises(HfHubHTTPError) as caught:
            call()
        response = caught.exception.response
        self.assertEqual(response.status_code, code)
        body = response.json()
        self.assertEqual(body["error_type"], kind)
        for word in words:
            self.assertIn(word, body["error"])

    def test_errors(self):
        client = self.client()
        self.refused(422, "Validation", lambda: client.feature_extraction(TEXTS, dimensions=999),
                     "999")
        self.refused(422, "Validation",
                     lambda: client.feature_extraction(TEXTS, prompt_name="no-such"), "no-such")
        self.refused(422, "Validation", lambda: client.sentence_similarity(TEXTS[0], [1]),
                     "sentences[0]")
        self.refused(400, "Empty", lambda: client.feature_extraction([]))
        with self.assertRaises(HfHubHTTPError) as caught:
            self.client("/nowhere").feature_extraction(TEXTS)
        self.assertEqual(caught.exception.response.status_code, 404)


class Classifier(ServerCase):
    """The only model decides what POST / does."""

    models = (LABELS,)

    def test_text_classification(self):
        for path in ("", "/predict"):
            client = InferenceClient(model=self.url + path, token="unused")
            for text, expected in zip(TINY["texts"], TINY["classes"]):
                got = client.text_classification(text)
                self.assertEqual([item.label for item in got],
                                 sorted(expected, key=lambda label: -expected[label]))
                self.assert_near([item.score for item in got],
                                 sorted(expected.values(), reverse=True))

    def test_top_k(self):
        client = InferenceClient(model=self.url, token="unused")
        got = client.text_classification(TINY["texts"][0], top_k=1)
        self.assertEqual([item.label for item in got], ["perhaps"])
        got = client.text_classification(TINY["texts"][0], function_to_apply="none")
        self.assert_near([item.score for item in got],
                         sorted(TINY["classes_raw"][0].values(), reverse=True))

    def test_no_embedder(self):
        with self.assertRaises(HfHubHTTPError) as caught:
            InferenceClient(model=self.url + "/embed", token="x").feature_extraction("x")
        self.assertEqual(caught.exception.response.status_code, 424)


if __name__ == "__main__":
    unittest.main()
