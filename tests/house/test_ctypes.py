#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The structures that the benchmarks' ctypes know are those of the headers."""
import pathlib
import sys
import types
import unittest

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tools"))

try:
    import numpy  # noqa: F401
except ImportError:
    sys.modules["numpy"] = types.ModuleType("numpy")  # the layout does without it

import tandem_ctypes  # noqa: E402


class Layout(unittest.TestCase):
    def test_is_that_of_the_headers(self):
        tandem_ctypes.check_layout(ROOT / "include")

    def test_a_missing_field_is_seen(self):
        fields = tandem_ctypes.tandem_engine_options._fields_[:-1]
        short = type("tandem_engine_options", (tandem_ctypes.ctypes.Structure,),
                     {"_fields_": fields})
        whole = tandem_ctypes.STRUCTURES
        tandem_ctypes.STRUCTURES = [short]
        try:
            with self.assertRaises(RuntimeError):
                tandem_ctypes.check_layout(ROOT / "include")
        finally:
            tandem_ctypes.STRUCTURES = whole


if __name__ == "__main__":
    unittest.main()
