#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""check_guards.py: what src/apple/messages.h and symbols.h list is used, and used with care.

A message newer than OBJC_SINCE_MIN is sent to an object that may not have it. So each function that
calls such a wrapper must, before the call, ask for that very thing: objc_responds(..., "selector")
for a message to an object, objc_class("Class") for one to a class or to an object of a class that
is itself newer. A function of a framework is found under a name that symbols.h has.
"""
import pathlib
import re
import unittest

ROOT = pathlib.Path(__file__).resolve().parents[2]
TABLES = {"messages.h", "symbols.h"}


def rows_of(text):
    """{wrapper: (owner, since, selector)} of messages.h."""
    text = text.replace("\\\n", " ")
    pattern = r'\b[XV]\d\((\w+), "([+-]\w+)", (\d+),\s*"([^"]+)"'
    return {m[1]: (m[2], int(m[3]), m[4]) for m in re.finditer(pattern, text)}


def functions_of(text):
    """(name, body) of each function of a C file laid out by clang-format."""
    for match in re.finditer(r"^[a-z][^\n;]*?\b(\w+)\([^;{}]*\)\s*\{\n(.*?)^\}", text, re.M | re.S):
        yield match.group(1), match.group(2)


def unguarded(text, newer):
    """Messages for each call of a wrapper of `newer` that nothing before it asks for."""
    for function, body in functions_of(text):
        for wrapper, (owner, _, selector) in newer.items():
            call = re.search(rf"\b{wrapper}\(", body)
            if call is None:
                continue
            before = body[:call.start()]
            asked = [rf'objc_responds\([^;]*"{re.escape(selector)}"']
            if owner[1:] not in OLDER:
                asked.append(rf'objc_class\("{owner[1:]}"\)')
            if not any(re.search(pattern, before) for pattern in asked):
                yield f"{function} calls {wrapper} ({owner} {selector}) without asking for it"


# Owners that are there on the oldest macOS too, so that only the object itself can be asked.
OLDER = {"MTLDevice", "MTLBuffer", "MTLLibrary", "MTLCommandQueue", "MTLCommandBuffer",
             "MTLCommandEncoder", "MTLComputeCommandEncoder", "MTLComputePipelineState",
             "MTLCompileOptions", "NSProcessInfo"}


def sources():
    for path in sorted((ROOT / "src").rglob("*.[ch]")):
        if path.name not in TABLES:
            yield path, path.read_text(encoding="utf-8")


class Guards(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        text = (ROOT / "src/apple/messages.h").read_text(encoding="utf-8")
        cls.rows = rows_of(text)
        cls.oldest = int(re.search(r"#define OBJC_SINCE_MIN (\d+)", text).group(1))
        cls.newer = {k: v for k, v in cls.rows.items() if v[1] > cls.oldest}
        cls.listed = len(re.findall(r"\b[XV]\d\(\w+,", text))

    def test_every_row_is_read(self):
        self.assertEqual(len(self.rows), self.listed)
        self.assertGreater(len(self.rows), 50)

    def test_newer_messages_are_asked_for(self):
        for path, text in sources():
            self.assertEqual(list(unguarded(text, self.newer)), [], path)

    def test_names_of_functions_are_in_the_table(self):
        table = (ROOT / "src/apple/symbols.h").read_text(encoding="utf-8")
        for path, text in sources():
            for name in re.findall(r'(?:tandem__objc_symbol|\bfind)\([^;]*?"(\w+)"', text):
                self.assertIn(f"F({name},", table, path)

    def test_every_row_is_used(self):
        text = "".join(text for _, text in sources())
        symbols = (ROOT / "src/apple/symbols.h").read_text(encoding="utf-8")
        tests = "".join(p.read_text(encoding="utf-8") for p in (ROOT / "tests/apple").glob("*.c"))
        uses = ([rf"\b{wrapper}\(" for wrapper in self.rows] +
                [rf"\b{name}_function\b" for name in re.findall(r"\bF\((\w+), \"", symbols)] +
                [rf"\b{name}\b" for name in re.findall(r"\bC\((\w+), \"", symbols)])
        self.assertEqual([use for use in uses if not re.search(use, text + tests)], [])

    def test_the_rule_finds_faults(self):
        newer = {"mtl_set_math": ("-MTLCompileOptions", 1500, "setMathMode:"),
                 "ml_load_plan": ("+MLComputePlan", 1404, "load:")}
        good = ('static void f(objc_id o) {\n    if (objc_responds(o, "setMathMode:"))\n'
                '        mtl_set_math(o, 0);\n}\n'
                'void g(void) {\n    objc_id c = objc_class("MLComputePlan");\n'
                '    if (c != NULL) ml_load_plan(c);\n}\n')
        self.assertEqual(list(unguarded(good, newer)), [])
        bad = ['void f(objc_id o) {\n    mtl_set_math(o, 0);\n}\n',
               'void f(objc_id o) {\n    if (objc_responds(o, "setMath:"))\n'
               '        mtl_set_math(o, 0);\n}\n',
               'void f(objc_id o) {\n    mtl_set_math(o, 0);\n'
               '    (void)objc_responds(o, "setMathMode:");\n}\n',
               'void f(objc_id o) {\n    if (objc_class("MTLCompileOptions")) '
               'mtl_set_math(o, 0);\n}\n',
               'void f(objc_id c) {\n    ml_load_plan(c);\n}\n']
        for text in bad:
            self.assertEqual(len(list(unguarded(text, newer))), 1, text)


if __name__ == "__main__":
    unittest.main()
