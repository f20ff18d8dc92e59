#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The Python of the documents is real code: the blocks of a page run one after another in one
coroutine, with the default model."""
import ast
import asyncio
import re
import subprocess
import sys
import unittest

from python_case import ROOT

BLOCK = re.compile(r"^```python\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def blocks(page):
    text = (ROOT / page).read_text(encoding="utf-8")
    return [("\n" * text.count("\n", 0, match.start(1))) + match.group(1)
            for match in BLOCK.finditer(text)]


class Documents(unittest.TestCase):
    def test_page(self):
        found = blocks("docs/python.md")
        self.assertGreater(len(found), 4)

        async def main():
            names = {}
            for code in found:
                compiled = compile(code, "docs/python.md", "exec",
                                   flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
                result = eval(compiled, names)  # the project's own documents
                if asyncio.iscoroutine(result):
                    await result
        asyncio.run(main())

    def test_readme(self):
        found = blocks("README.md")
        self.assertEqual(len(found), 1)
        done = subprocess.run([sys.executable, "-c", found[0]], capture_output=True, text=True,
                              check=False)
        self.assertEqual((done.returncode, done.stdout), (0, "(384,) (2, 384)\n"), done.stderr)


if __name__ == "__main__":
    unittest.main()
