# SPDX-License-Identifier: Apache-2.0
"""What the tests of the Python package share: the small models of tests/golden, opened once."""
import asyncio
import pathlib
import unittest

import tandem

ROOT = pathlib.Path(__file__).resolve().parents[2]
MODELS = ROOT / "tests" / "golden" / "models"
TINY, RERANK, LABELS = (str(MODELS / name) for name in ("tiny-bert", "tiny-rerank", "tiny-labels"))
TEXTS = ["The cat sat on the mat.", "Stocks fell.", "How do I reset my password?", "héllo 世界", ""]


class Case(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.pipeline = tandem.Pipeline(TINY, threads=1, dtype="f32")

    @classmethod
    def tearDownClass(cls):
        cls.pipeline.close()

    def says(self, kind, *words):
        """A block that has to raise `kind`, with these words in its message."""
        case = self

        class Says:
            def __enter__(self):
                return self

            def __exit__(self, found, error, trace):
                case.assertIsNotNone(error, f"nothing raised, expected {kind.__name__}")
                if not isinstance(error, kind):
                    return False
                for word in words:
                    case.assertIn(word, str(error))
                return True

        return Says()


def run(coroutine):
    return asyncio.run(coroutine)
