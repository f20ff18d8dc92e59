# SPDX-License-Identifier: Apache-2.0
"""tritonclient.http against the Open Inference Protocol: binary tensors, which are its default, and
JSON ones."""
import pathlib
import sys
import unittest

import numpy as np
import tritonclient.http as triton
from tritonclient.utils import InferenceServerException

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))
from server_case import GOLDEN, MINILM, ServerCase

FOUND = GOLDEN["minilm"]
TINY = GOLDEN["tiny"]


class Triton(ServerCase):
    def setUp(self):
        self.client = triton.InferenceServerClient(self.url.removeprefix("http://"),
                                                   concurrency=4)
        self.addCleanup(self.client.close)

    def texts(self, values, name="text", binary=True):
        array = np.array([value.encode() for value in values], dtype=object)
        tensor = triton.InferInput(name, [len(values)], "BYTES")
        tensor.set_data_from_numpy(array, binary_data=binary)
        return tensor

    def outputs(self, name="embedding", binary=True):
        return [triton.InferRequestedOutput(name, binary_data=binary)]

    def test_health_and_metadata(self):
        self.assertTrue(self.client.is_server_live())
        self.assertTrue(self.client.is_server_ready())
        self.assertTrue(self.client.is_model_ready("all-MiniLM-L6-v2"))
        self.assertTrue(self.client.is_model_ready("all-MiniLM-L6-v2", "1"))
        self.assertFalse(self.client.is_model_ready("no-such"))
        server = self.client.get_server_metadata()
        self.assertEqual(server["name"], "tandem")
        self.assertTrue(server["version"])
        self.assertIn("binary_tensor_data", server["extensions"])
        model = self.client.get_model_metadata("all-MiniLM-L6-v2")
        self.assertEqual(model["name"], MINILM)
        self.assertIn({"name": "text", "datatype": "BYTES", "shape": [-1]}, model["inputs"])
        self.assertIn({"name": "embedding", "datatype": "FP32", "shape": [-1, 384]},
                      model["outputs"])

    def test_config_and_repository(self):
        config = self.client.get_model_config("tiny-rerank")
        self.assertIn("tiny-rerank", config["name"])
        self.assertIn("max_batch_size", config)
        names = [model["name"] for model in self.client.get_model_repository_index()]
        self.assertEqual(len(names), len(self.models))
        self.assertIn(MINILM, names)
        stats = self.client.get_inference_statistics("tiny-bert")["model_stats"]
        self.assertEqual(len(stats), 1)

    def test_every_way_to_send_and_receive(self):
        for is_sent_binary in (True, False):
            for outputs in (None, self.outputs(binary=True), self.outputs(binary=False)):
                texts = self.texts(FOUND["texts"], binary=is_sent_binary)
                answer = self.client.infer("all-MiniLM-L6-v2", [texts], outputs=outputs,
                                           request_id="seven", model_version="1")
                got = answer.as_numpy("embedding")
                self.assertEqual((got.dtype, got.shape), (np.float32, (4, 384)))
                self.assert_near(got.tolist(), FOUND["unit"])
                said = answer.get_response()
                self.assertEqual((said["id"], said["model_name"]), ("seven", MINILM))
                self.assertIsNone(answer.as_numpy("no-such"))

    def test_name_with_a_slash(self):
        answer = self.client.infer(MINILM, [self.texts(FOUND["texts"][:1])])
        self.assert_near(answer.as_numpy("embedding").tolist(), FOUND["unit"][:1])

    def test_async(self):
        asked = [self.client.async_infer("all-MiniLM-L6-v2", [self.texts([text])])
                 for text in FOUND["texts"]]
        for one, expected in zip(asked, FOUND["unit"]):
            self.assert_near(one.get_result().as_numpy("embedding").tolist(), [expected])

    def test_priority_and_timeout(self):
        answer = self.client.infer("tiny-bert", [self.texts(TINY["texts"])], priority=1,
                                   timeout=60_000_000, parameters={"lane": "cpu"})
        self.assert_near(answer.as_numpy("embedding").tolist(), TINY["unit"])
        with self.assertRaises(InferenceServerException) as caught:
            self.client.infer("all-MiniLM-L6-v2", [self.texts(["one two three " * 60] * 50)],
                              timeout=1000)
        self.assertIn(caught.exception.status(), ("503", "504"))

    def test_the_bodies_that_the_client_makes(self):
        body, size = triton.InferenceServerClient.generate_request_body(
            [self.texts(TINY["texts"])], outputs=self.outputs())
        answer = self.ask("POST", "/v2/models/tiny-bert/infer", body, {
            "Inference-Header-Content-Length": str(size),
            "Content-Type": "application/octet-stream"})
        self.assertEqual(answer.code, 200, answer.body)
        result = triton.InferenceServerClient.parse_response_body(
            answer.body, header_length=int(answer.headers["Inference-Header-Content-Length"]))
        self.assert_near(result.as_numpy("embedding").tolist(), TINY["unit"])

    def refused(self, code, *words, model="all-MiniLM-L6-v2", inputs=None, **fields):
        with self.assertRaises(InferenceServerException) as caught:
            self.client.infer(model, [self.texts(["x"])] if inputs is None else inputs, **fields)
        self.assertEqual(caught.exception.status(), str(code))
        for word in words:
            self.assertIn(word, caught.exception.message())

    def test_errors(self):
        self.refused(404, "no-such", model="no-such")
        self.refused(404, "7", model_version="7")
        self.refused(400, "no-such", inputs=[self.texts(["x"], name="no-such")])
        self.refused(400, "no-such", outputs=self.outputs("no-such"))
        wrong = triton.InferInput("text", [1], "FP32")
        wrong.set_data_from_numpy(np.zeros(1, dtype=np.float32))
        self.refused(400, "FP32", inputs=[wrong])
        with self.assertRaises(InferenceServerException) as caught:
            self.client.get_model_metadata("no-such")
        self.assertEqual(caught.exception.status(), "404")

    def test_broken_binary_tensors(self):
        body, size = triton.InferenceServerClient.generate_request_body(
            [self.texts(["a text", "another"])])
        for data, length in ((body[:-1], size), (body + b"x", size), (body, size + 1),
                             (body, size - 1), (body, 10 ** 30), (body, -1), (body, "x"),
                             (body[:size] + b"\xff" * (len(body) - size), size)):
            answer = self.ask("POST", "/v2/models/tiny-bert/infer", data,
                              {"Inference-Header-Content-Length": str(length)})
            self.assertEqual(answer.code, 400, (data, length))
            self.assertTrue(answer.json()["error"])


if __name__ == "__main__":
    unittest.main()
