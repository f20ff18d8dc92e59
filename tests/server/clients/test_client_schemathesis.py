# SPDX-License-Identifier: Apache-2.0
"""schemathesis over GET /openapi.json: requests that fit the document and requests that do not, to
every route. No 5xx, and no answer that the document does not allow."""
import os
import pathlib
import subprocess
import sys
import tempfile
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))
from server_case import BERT, LABELS, RERANK, SPLADE, ServerCase

CHECKS = ("not_a_server_error", "status_code_conformance", "content_type_conformance",
          "response_headers_conformance", "response_schema_conformance",
          "positive_data_acceptance", "negative_data_rejection")
EXAMPLES = os.environ.get("SCHEMATHESIS_EXAMPLES", "12")  # an operation
LIMIT_S = 240


class Schemathesis(ServerCase):
    models = (BERT, RERANK, LABELS, SPLADE)

    @classmethod
    def setUpClass(cls):
        folder = tempfile.TemporaryDirectory()
        cls.addClassCleanup(folder.cleanup)
        cls.options = ("--dtype", "f32", "--ledger", os.path.join(folder.name, "usage.db"))
        super().setUpClass()

    def test_paths(self):
        document = self.ask("GET", "/openapi.json").json()
        self.assertTrue(document["openapi"].startswith("3."))
        for path in ("/embed", "/v1/embeddings", "/v2/rerank", "/v2/models/{model}/infer"):
            self.assertIn(path, document["paths"])

    def test_document(self):
        with tempfile.TemporaryDirectory() as folder:
            done = subprocess.run(
                [sys.executable, "-m", "schemathesis.cli", "run", self.url + "/openapi.json",
                 "--checks", ",".join(CHECKS), "--max-examples", EXAMPLES, "--seed", "1",
                 "--generation-deterministic", "--no-color",
                 "--phases", "examples,coverage,fuzzing", "--no-shrink",
                 "--continue-on-failure", "--suppress-health-check", "all"],
                cwd=folder, capture_output=True, text=True, timeout=LIMIT_S, check=False,
                env={**os.environ, "PYTHONUTF8": "1"})
        self.assertEqual(done.returncode, 0, done.stdout[-12000:] + done.stderr[-2000:])


if __name__ == "__main__":
    unittest.main()
