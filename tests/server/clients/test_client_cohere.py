# SPDX-License-Identifier: Apache-2.0
"""The client `cohere`, both versions of its API, against POST /v2/rerank and /v1/rerank."""
import asyncio
import pathlib
import sys
import unittest

import cohere

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))
from server_case import GOLDEN, RERANK, ServerCase, ranked

FOUND = GOLDEN["tiny"]
QUERY = FOUND["texts"][0]
TEXTS = FOUND["texts"]
RANKED = ranked(FOUND["rerank"])


class Cohere(ServerCase):
    def check(self, answer, expected=None):
        expected = RANKED if expected is None else expected
        self.assertEqual([item.index for item in answer.results], [i for i, _ in expected])
        self.assert_near([item.relevance_score for item in answer.results],
                         [score for _, score in expected])
        self.assertTrue(answer.id)

    def test_v2(self):
        client = cohere.ClientV2(api_key="unused", base_url=self.url)
        answer = client.rerank(model="tiny-rerank", query=QUERY, documents=TEXTS)
        self.check(answer)
        self.assertEqual(answer.meta.api_version.version, "2")
        self.assertEqual(answer.meta.billed_units.search_units, 1)
        answer = client.rerank(model="tiny-rerank", query=QUERY, documents=TEXTS, top_n=2,
                               max_tokens_per_doc=4096, priority=0)
        self.check(answer, RANKED[:2])

    def test_v1(self):
        client = cohere.Client(api_key="unused", base_url=self.url)
        answer = client.rerank(model="tiny-rerank", query=QUERY, documents=TEXTS)
        self.check(answer)
        self.assertEqual(answer.meta.api_version.version, "1")
        answer = client.rerank(model="tiny-rerank", query=QUERY, top_n=3, return_documents=True,
                               documents=[{"text": text} for text in TEXTS])
        self.check(answer, RANKED[:3])
        self.assertEqual([item.document.text for item in answer.results],
                         [TEXTS[i] for i, _ in RANKED[:3]])
        answer = client.rerank(query=QUERY, documents=TEXTS, return_documents=False)
        self.check(answer)
        self.assertIsNone(answer.results[0].document)

    def test_async(self):
        async def run():
            async with cohere.AsyncClientV2(api_key="unused", base_url=self.url) as client:
                return await asyncio.gather(*(
                    client.rerank(model="tiny-rerank", query=QUERY, documents=TEXTS)
                    for _ in range(4)))
        for answer in asyncio.run(run()):
            self.check(answer)

    def refused(self, kind, *words, **fields):
        fields = {"model": "tiny-rerank", "query": QUERY, "documents": TEXTS, **fields}
        for client in (cohere.ClientV2, cohere.Client):
            with self.assertRaises(kind) as caught:
                client(api_key="unused", base_url=self.url).rerank(**fields)
            body = caught.exception.body
            self.assertTrue(body["id"])
            for word in words:
                self.assertIn(word, body["message"])

    def test_errors(self):
        self.refused(cohere.NotFoundError, "no-such", model="no-such")
        bad = cohere.BadRequestError
        self.refused(bad, "tiny-labels", model="tiny-labels")
        self.refused(bad, "documents", documents=[])
        self.refused(bad, "documents[1]", documents=["a", 7])
        self.refused(bad, "query", query=None)
        self.refused(bad, "top_n", top_n=0)


class Keys(ServerCase):
    models = (RERANK,)
    options = ("--dtype", "f32", "--api-key", "k-right")

    def test_keys(self):
        fields = {"model": "tiny-rerank", "query": QUERY, "documents": TEXTS}
        for kind in (cohere.ClientV2, cohere.Client):
            answer = kind(api_key="k-right", base_url=self.url).rerank(**fields)
            self.assertEqual(len(answer.results), len(TEXTS))
            with self.assertRaises(cohere.UnauthorizedError) as caught:
                kind(api_key="k-wrong", base_url=self.url).rerank(**fields)
            self.assertTrue(caught.exception.body["message"])


if __name__ == "__main__":
    unittest.main()
