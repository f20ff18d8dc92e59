#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""tools/check_docs.py finds code that does not compile, other output, links to nowhere."""
import importlib.util
import pathlib
import tempfile
import unittest

TOOL = pathlib.Path(__file__).resolve().parents[2] / "tools" / "check_docs.py"
spec = importlib.util.spec_from_file_location("check_docs", TOOL)
check_docs = importlib.util.module_from_spec(spec)
spec.loader.exec_module(check_docs)


class CheckDocs(unittest.TestCase):
    def faults(self, text):
        with tempfile.TemporaryDirectory() as folder:
            page = pathlib.Path(folder, "page.md")
            page.write_text(text)
            return list(check_docs.check(page, folder))

    def test_c(self):
        self.assertEqual(self.faults("```c\nputs(tandem_version());\n```\n"), [])
        self.assertEqual(len(self.faults("```c\nputs(tandem_no_such_thing());\n```\n")), 1)
        whole = "#include \"base/str.h\"\nextern tandem_str x;\n"
        self.assertEqual(self.faults(f"```c\n{whole}```\n"), [])

    def test_console(self):
        self.assertEqual(self.faults("```console\n$ echo a; echo b\na\nb\n```\n"), [])
        self.assertEqual(len(self.faults("```console\n$ echo a\nb\n```\n")), 1)
        self.assertEqual(len(self.faults("```console\n$ echo a\n```\n")), 1)
        self.assertEqual(len(self.faults("```console\n$ false\n```\n")), 1)

    def test_console_numbers(self):
        self.assertEqual(self.faults("```console\n$ echo x 0.5001 y\nx 0.5000 y\n```\n"), [])
        self.assertEqual(len(self.faults("```console\n$ echo x 0.51\nx 0.50\n```\n")), 1)
        self.assertEqual(self.faults("```console\n$ echo one two three\none ... three\n```\n"), [])

    def test_links(self):
        self.assertEqual(self.faults("[a](page.md) [b](https://example.org) [c](page.md#x)\n"), [])
        self.assertEqual(len(self.faults("[a](gone.md)\n")), 1)


if __name__ == "__main__":
    unittest.main()
