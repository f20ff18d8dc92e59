# SPDX-License-Identifier: Apache-2.0
"""What the black-box tests of the binary share: running it, and judging what it said.

The binary is named by TANDEM_BINARY. Its environment is made here, so that a user's TANDEM_...
variables change no test.
"""
import array
import json
import os
import pathlib
import subprocess
import sys
import tempfile
import unittest

ROOT = pathlib.Path(__file__).resolve().parents[2]
BINARY = os.environ.get("TANDEM_BINARY", str(ROOT / "build/release/tandem"))
TINY = str(ROOT / "tests/golden/models/tiny-bert")
KEPT = ("PATH", "HOME", "HF_HOME", "HF_HUB_CACHE", "XDG_CACHE_HOME", "TMPDIR", "ASAN_OPTIONS",
        "UBSAN_OPTIONS", "TSAN_OPTIONS", "LD_LIBRARY_PATH", "TANDEM_CPU")


class Case(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.TemporaryDirectory()
        self.addCleanup(self.folder.cleanup)

    def path(self, name):
        return os.path.join(self.folder.name, name)

    def write(self, name, data):
        path = self.path(name)
        with open(path, "wb") as f:
            f.write(data if isinstance(data, bytes) else data.encode())
        return path

    def run_binary(self, *args, stdin=b"", env=None, stdout=subprocess.PIPE, timeout=120):
        environment = {k: v for k, v in os.environ.items() if k in KEPT}
        environment.update(env or {})
        data = stdin if isinstance(stdin, bytes) else stdin.encode()
        return subprocess.run([BINARY, *args], input=data, stdout=stdout, stderr=subprocess.PIPE,
                              env=environment, cwd=self.folder.name, timeout=timeout, check=False)

    def done(self, *args, stderr=b"", **kwargs):
        """Output of a run that has to end with 0 and say nothing else."""
        result = self.run_binary(*args, **kwargs)
        self.assertEqual(result.returncode, 0, result.stderr)
        if stderr is not None:
            self.assertEqual(result.stderr, stderr)
        return result.stdout

    def failed(self, *args, code=1, **kwargs):
        """The one line of a run that has to fail, without the program's name."""
        result = self.run_binary(*args, **kwargs)
        self.assertEqual(result.returncode, code, (result.stdout or b"")[-300:] + result.stderr)
        if code == 2:
            self.assertIn(result.stdout, (b"", None))
        text = result.stderr.decode()
        self.assertTrue(text.startswith("tandem: "), text)
        self.assertEqual(text.count("\n"), 1, text)
        return text[len("tandem: "):-1]

    def misused(self, *args, **kwargs):
        return self.failed(*args, code=2, **kwargs)


def rows(out):
    return [json.loads(line) for line in out.splitlines()]


def vectors(out):
    return [row["embedding"] for row in rows(out)]


def floats(data):
    values = array.array("f")
    values.frombytes(data)
    if sys.byteorder != "little":
        values.byteswap()
    return values


def cosine(a, b):
    dot = sum(x * y for x, y in zip(a, b))
    return dot / (sum(x * x for x in a) * sum(y * y for y in b)) ** 0.5


def main():
    unittest.main(verbosity=1)
