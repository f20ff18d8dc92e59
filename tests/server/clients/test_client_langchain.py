# SPDX-License-Identifier: Apache-2.0
"""langchain-openai's embeddings against POST /v1/embeddings.

With check_embedding_ctx_length, its default, it sends the token ids of OpenAI's own vocabulary,
which mean something else to every other model. The server refuses ids that the model has not."""
import asyncio
import pathlib
import sys
import unittest

import openai
from langchain_openai import OpenAIEmbeddings

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))
from server_case import GOLDEN, MINILM, ServerCase

FOUND = GOLDEN["minilm"]
TEXTS = FOUND["texts"]


class LangChain(ServerCase):
    models = (MINILM,)

    def embeddings(self, **fields):
        return OpenAIEmbeddings(**{"model": MINILM, "base_url": self.url + "/v1",
                                   "api_key": "unused", "check_embedding_ctx_length": False,
                                   "max_retries": 0, **fields})

    def test_documents_and_query(self):
        client = self.embeddings()
        self.assert_near(client.embed_documents(TEXTS), FOUND["unit"])
        self.assert_near(client.embed_documents(TEXTS, chunk_size=1), FOUND["unit"])
        self.assert_near(client.embed_query(TEXTS[2]), FOUND["unit"][2])

    def test_dimensions(self):
        self.assert_near(self.embeddings(dimensions=64).embed_documents(TEXTS), FOUND["unit_64"])

    def test_async(self):
        async def run():
            client = self.embeddings()
            return (await client.aembed_documents(TEXTS), await client.aembed_query(TEXTS[0]))
        documents, query = asyncio.run(run())
        self.assert_near(documents, FOUND["unit"])
        self.assert_near(query, FOUND["unit"][0])

    def test_errors(self):
        with self.assertRaises(openai.NotFoundError):
            self.embeddings(model="no-such").embed_query("x")
        with self.assertRaises(openai.BadRequestError):
            self.embeddings(dimensions=385).embed_documents(TEXTS)

    def test_ids_of_another_vocabulary(self):
        # "Hello world" in cl100k_base, whose ids go to 100,255; the model's end at 30,521.
        client = self.embeddings().client
        with self.assertRaises(openai.BadRequestError) as caught:
            client.create(model=MINILM, input=[[9906, 1917, 96000]])
        self.assertIn("96000", str(caught.exception))


if __name__ == "__main__":
    unittest.main()
