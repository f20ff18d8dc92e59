# SPDX-License-Identifier: Apache-2.0
"""LlamaIndex's embeddings for OpenAI against POST /v1/embeddings and for Text Embeddings Inference
against POST /embed."""
import asyncio
import pathlib
import sys
import unittest

import openai
from llama_index.embeddings.openai import OpenAIEmbedding
from llama_index.embeddings.text_embeddings_inference import TextEmbeddingsInference

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))
from server_case import GOLDEN, MINILM, ServerCase

FOUND = GOLDEN["minilm"]
TEXTS = FOUND["texts"]
UNIT = FOUND["unit"]


class LlamaIndex(ServerCase):
    models = (MINILM,)

    def of_openai(self, **fields):
        return OpenAIEmbedding(**{"model_name": MINILM, "api_base": self.url + "/v1",
                                  "api_key": "unused", "max_retries": 1, **fields})

    def of_tei(self, **fields):
        return TextEmbeddingsInference(**{"model_name": MINILM, "base_url": self.url, **fields})

    def test_methods(self):
        for client in (self.of_openai(), self.of_tei()):
            self.assert_near(client.get_text_embedding(TEXTS[1]), UNIT[1])
            self.assert_near(client.get_query_embedding(TEXTS[2]), UNIT[2])
            self.assert_near(client.get_text_embedding_batch(TEXTS), UNIT)
            self.assert_near([client.get_agg_embedding_from_queries(TEXTS[:1])], UNIT[:1])

    def test_async(self):
        async def run(client):
            return (await client.aget_text_embedding(TEXTS[1]),
                    await client.aget_query_embedding(TEXTS[2]),
                    await client.aget_text_embedding_batch(TEXTS))
        for client in (self.of_openai(reuse_client=False), self.of_tei()):
            text, query, batch = asyncio.run(run(client))
            self.assert_near(text, UNIT[1])
            self.assert_near(query, UNIT[2])
            self.assert_near(batch, UNIT)

    def test_dimensions(self):
        self.assert_near(self.of_openai(dimensions=64).get_text_embedding_batch(TEXTS),
                         FOUND["unit_64"])

    def test_errors(self):
        with self.assertRaises(openai.NotFoundError):
            self.of_openai(model_name="no-such").get_text_embedding("x")
        # It looks at no status: the error's object is no list of vectors.
        with self.assertRaises(KeyError):
            self.of_tei(endpoint="/rerank").get_text_embedding("x")


if __name__ == "__main__":
    unittest.main()
