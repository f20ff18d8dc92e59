# SPDX-License-Identifier: Apache-2.0
"""The client `openai` against POST /v1/embeddings and GET /v1/models."""
import array
import asyncio
import base64
import pathlib
import sys
import unittest

import openai

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))
from server_case import BERT, GOLDEN, MINILM, ServerCase

FOUND = GOLDEN["minilm"]
TEXTS = FOUND["texts"]


class OpenAI(ServerCase):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.client = openai.OpenAI(base_url=cls.url + "/v1", api_key="unused", max_retries=0)

    @classmethod
    def tearDownClass(cls):
        cls.client.close()
        super().tearDownClass()

    def create(self, **fields):
        return self.client.embeddings.create(**{"model": MINILM, "input": TEXTS, **fields})

    def vectors(self, answer):
        self.assertEqual(answer.object, "list")
        self.assertEqual([item.index for item in answer.data], list(range(len(answer.data))))
        self.assertEqual({item.object for item in answer.data}, {"embedding"})
        return [item.embedding for item in answer.data]

    def test_without_a_format_the_client_asks_for_base64(self):
        answer = self.create()
        self.assert_near(self.vectors(answer), FOUND["unit"])
        self.assertEqual(answer.model, MINILM)
        tokens = sum(map(len, FOUND["ids"]))
        self.assertEqual((answer.usage.prompt_tokens, answer.usage.total_tokens), (tokens, tokens))

    def test_float(self):
        self.assert_near(self.vectors(self.create(encoding_format="float")), FOUND["unit"])

    def test_base64_as_it_comes(self):
        answer = self.create(encoding_format="base64")
        self.assertIsInstance(answer.data[0].embedding, str)
        for item, expected in zip(answer.data, FOUND["unit"]):
            self.assert_near(array.array("f", base64.b64decode(item.embedding)), expected)

    def test_one_text(self):
        self.assert_near(self.vectors(self.create(input=TEXTS[1])), FOUND["unit"][1:2])

    def test_token_ids(self):
        # With the special tokens, as the model gets them.
        self.assert_near(self.vectors(self.create(input=FOUND["ids"])), FOUND["unit"])
        self.assert_near(self.vectors(self.create(input=FOUND["ids"][0])), FOUND["unit"][:1])

    def test_dimensions(self):
        self.assert_near(self.vectors(self.create(dimensions=64)), FOUND["unit_64"])

    def test_another_model(self):
        found = GOLDEN["tiny"]
        answer = self.create(model="tiny-bert", input=found["texts"], user="one")
        self.assert_near(self.vectors(answer), found["unit"])
        self.assertIn("tiny-bert", answer.model)

    def test_async(self):
        async def run():
            async with openai.AsyncOpenAI(base_url=self.url + "/v1", api_key="unused",
                                          max_retries=0) as client:
                return await asyncio.gather(*(
                    client.embeddings.create(model=MINILM, input=text) for text in TEXTS * 4))
        for answer, expected in zip(asyncio.run(run()), FOUND["unit"] * 4):
            self.assert_near(answer.data[0].embedding, expected)

    def test_headers_of_the_answer(self):
        raw = self.client.embeddings.with_raw_response.create(
            model=MINILM, input=TEXTS[0], extra_headers={"X-Request-Id": "asked-for-this"})
        self.assertEqual(raw.headers["x-request-id"], "asked-for-this")
        self.assertEqual(raw.headers["x-tandem-lane"], "cpu")
        self.assertEqual(raw.parse()._request_id, "asked-for-this")

    def test_fields_of_ours(self):
        answer = self.create(extra_body={"lane": "cpu", "priority": "realtime",
                                         "deadline_ms": 60000, "fallback": "none"})
        self.assert_near(self.vectors(answer), FOUND["unit"])

    def test_models(self):
        listed = {model.id: model for model in self.client.models.list()}
        self.assertIn(MINILM, listed)
        self.assertEqual(len(listed), len(self.models))
        for name in (MINILM, "tiny-rerank"):
            model = self.client.models.retrieve(name)
            self.assertEqual(model.object, "model")
            self.assertGreater(model.created, 0)
            self.assertIn(model.id, listed)
        with self.assertRaises(openai.NotFoundError) as caught:
            self.client.models.retrieve("no/such")
        self.assertIn("no/such", str(caught.exception))

    def refused(self, kind, param, *words, **fields):
        with self.assertRaises(kind) as caught:
            self.create(**fields)
        error = caught.exception
        self.assertEqual((error.type, error.param), ("invalid_request_error", param))
        for word in words:
            self.assertIn(word, error.message)

    def test_unknown_model(self):
        self.refused(openai.NotFoundError, "model", "no-such", model="no-such")

    def test_model_for_something_else(self):
        self.refused(openai.BadRequestError, "model", "tiny-rerank", model="tiny-rerank")

    def test_wrong_fields(self):
        bad = openai.BadRequestError
        self.refused(bad, "input", input=[])
        self.refused(bad, "input", input="")
        self.refused(bad, "input", input=["x"] * 2049)
        self.refused(bad, "input[1]", input=["x", ""])
        self.refused(bad, "input[0]", "99999999", input=[99999999])
        self.refused(bad, "dimensions", "385", "384", dimensions=385)
        self.refused(bad, "dimensions", "0", dimensions=0)
        self.refused(bad, "encoding_format", "hex", encoding_format="hex")

    def test_a_deadline_that_cannot_be_met(self):
        with self.assertRaises(openai.InternalServerError) as caught:
            self.create(input=["one two three " * 60] * 50, extra_body={"deadline_ms": 1})
        self.assertEqual(caught.exception.status_code, 504)

    def test_no_route(self):
        with self.assertRaises(openai.NotFoundError):
            self.client.chat.completions.create(model=MINILM, messages=[
                {"role": "user", "content": "x"}])


class Overload(ServerCase):
    """More than may wait: the client comes again when Retry-After says so, and gets its vectors."""

    models = (MINILM,)
    options = ("--threads", "1", "--max-queue-tokens", "2000")

    def ask_together(self, max_retries, count):
        async def run():
            async with openai.AsyncOpenAI(base_url=self.url + "/v1", api_key="unused",
                                          max_retries=max_retries) as client:
                return await asyncio.gather(*(client.embeddings.create(
                    model=MINILM, input=[f"{i} {j} " + "word " * 100 for j in range(5)])
                    for i in range(count)), return_exceptions=True)
        return asyncio.run(run())

    def test_refused(self):
        refused = [answer for answer in self.ask_together(0, 12)
                   if isinstance(answer, openai.RateLimitError)]
        self.assertTrue(refused)
        for error in refused:
            self.assertEqual(error.code, "rate_limit_exceeded")
            self.assertGreaterEqual(int(error.response.headers["retry-after"]), 1)

    def test_served_in_the_end(self):
        for answer in self.ask_together(20, 6):
            self.assertNotIsInstance(answer, Exception, answer)
            self.assertEqual(len(answer.data), 5)


class Keys(ServerCase):
    """A server that wants a key, which the client sends as a bearer's token."""

    models = (BERT,)
    options = ("--dtype", "f32", "--api-key", "k-right")

    def test_keys(self):
        found = GOLDEN["tiny"]
        with openai.OpenAI(base_url=self.url + "/v1", api_key="k-right") as client:
            answer = client.embeddings.create(model="tiny-bert", input=found["texts"])
            self.assert_near([item.embedding for item in answer.data], found["unit"])
            self.assertEqual(len(list(client.models.list())), 1)
        for key in ("k-wrong", "k-righ", "k-right2", "zz"):
            with openai.OpenAI(base_url=self.url + "/v1", api_key=key) as client:
                with self.assertRaises(openai.AuthenticationError) as caught:
                    client.embeddings.create(model="tiny-bert", input="x")
            self.assertEqual(caught.exception.code, "invalid_api_key")
            self.assertNotIn(key, caught.exception.message)


class Half(ServerCase):
    """The default: weights and activations in f16."""

    models = (MINILM,)
    options = ()

    def test_vectors(self):
        with openai.OpenAI(base_url=self.url + "/v1", api_key="unused") as client:
            answer = client.embeddings.create(model="all-MiniLM-L6-v2", input=TEXTS)
        self.assert_close([item.embedding for item in answer.data], FOUND["unit"])


if __name__ == "__main__":
    unittest.main()
