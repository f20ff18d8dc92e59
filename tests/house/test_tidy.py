#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Each rule of tools/tidy fails on a bad sample, and a good tree passes all of them."""
import pathlib
import subprocess
import sys
import tempfile
import unittest

TIDY = pathlib.Path(__file__).resolve().parents[2] / "tools" / "tidy"
SPDX = "/* SPDX-License-Identifier: Apache-2.0 */\n"
CLANG_FORMAT = "BasedOnStyle: LLVM\nIndentWidth: 4\nColumnLimit: 100\n" \
               "AllowShortFunctionsOnASingleLine: Inline\n"
LAYERS = "base:\ntext: tandem/tokenizer.h\nmodel: format/\nformat:\n"

GOOD = {
    ".clang-format": CLANG_FORMAT,
    "tools/layers.txt": LAYERS,
    "include/tandem/status.h": SPDX + "#define TANDEM_API\n",
    "include/tandem/tokenizer.h": SPDX + '#include "tandem/status.h"\n\nint tandem_open(void);\n',
    "src/base/mem.h": SPDX + "void *tandem__take(unsigned long size);\n",
    "src/base/mem.c": SPDX + '#include "base/mem.h"\n\n#include <stdlib.h>\n\n'
                             "void *tandem__take(unsigned long size) {\n"
                             "    return malloc(size);\n}\n",
    "src/text/open.c": SPDX + '#include "base/mem.h"\n#include "tandem/tokenizer.h"\n\n'
                              "/* Not a call: malloc(1). */\n"
                              "int tandem_open(void) {\n    return tandem__take(1) != 0;\n}\n",
}


def run(files, *options):
    """tools/tidy's (exit status, output) on a tree made of GOOD and `files`."""
    with tempfile.TemporaryDirectory() as folder:
        for path, text in {**GOOD, **files}.items():
            target = pathlib.Path(folder, path)
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text(text)
        done = subprocess.run([sys.executable, str(TIDY), "--root", folder, *options],
                              capture_output=True, text=True, check=False)
        return done.returncode, done.stdout + done.stderr


def body(lines):
    return "".join(f"    x += {n};\n" for n in range(lines))


class Tidy(unittest.TestCase):
    def bad(self, rule, files, count=1):
        status, output = run(files)
        self.assertEqual(status, 1, output)
        self.assertEqual(output.count(f"[{rule}]"), count, output)
        self.assertIn(f"{count} broken", output)

    def good(self, files):
        status, output = run(files)
        self.assertEqual(status, 0, output)

    def test_good_tree(self):
        self.good({})

    def test_arrow_to_a_room_above(self):
        self.bad("arrows", {"src/model/plan.h": SPDX,
                            "src/text/up.h": SPDX + '#include "model/plan.h"\n'})

    def test_arrow_that_is_allowed(self):
        self.good({"src/format/file.h": SPDX,
                   "src/model/down.h": SPDX + '#include "format/file.h"\n'})

    def test_arrow_to_a_private_header(self):
        self.bad("arrows", {"src/format/file_internal.h": SPDX,
                            "src/model/in.h": SPDX + '#include "format/file_internal.h"\n'})

    def test_arrow_to_a_public_header_of_another(self):
        self.bad("arrows", {"include/tandem/engine.h": SPDX,
                            "src/text/up.h": SPDX + '#include "tandem/engine.h"\n'})

    def test_arrow_out_of_a_public_header(self):
        self.bad("arrows", {"include/tandem/x.h": SPDX + '#include "base/mem.h"\n'})

    def test_arrow_to_nowhere(self):
        self.bad("arrows", {"src/text/up.h": SPDX + '#include "nothing.h"\n'})

    def test_arrow_to_a_source_file(self):
        self.bad("arrows", {"tests/unit/test_x.c": SPDX + '#include "base/mem.c"\n'})

    def test_room_without_a_row(self):
        self.bad("arrows", {"src/extra/x.h": SPDX})

    def test_long_file(self):
        self.bad("file_length", {"tools/long.sh": "# SPDX-License-Identifier: Apache-2.0\n" * 1001})

    def test_long_header(self):
        self.bad("file_length", {"src/base/long.h": SPDX * 301})

    def test_long_generated_table(self):
        self.good({"src/text/case_tables.c": SPDX * 1001})

    def test_long_function(self):
        text = SPDX + "static int f(int x) {\n" + body(68) + "    return x;\n}\n"
        self.bad("function_length", {"src/text/f.c": text})
        self.good({"src/text/f.c": text.replace("    x += 0;\n", "")})
        self.good({"src/kernels/k.c": text, "tools/layers.txt": LAYERS + "kernels:\n"})

    def test_long_function_with_a_head_of_two_lines(self):
        head = "static int f(int x,\n             int y) {\n"
        text = SPDX + head + body(67) + "    return y;\n}\n"
        status, output = run({"src/text/f.c": text})
        self.assertEqual(status, 1)
        self.assertIn("f has 71 lines", output)

    def test_long_line(self):
        text = "# SPDX-License-Identifier: Apache-2.0\n#" + "x" * 100 + "\n"
        self.bad("line_length", {"tools/x.sh": text})

    def test_banned_calls(self):
        for call in ("sprintf(a, b)", "strcpy(a, b)", "atoi(a)", "strtok(a, b)", "alloca(9)"):
            self.bad("banned_calls", {"tests/x.h": SPDX + f"#define X(a, b) {call}\n"})

    def test_banned_word_in_a_comment(self):
        self.good({"src/text/x.h": SPDX + "/* strcpy(a, b) is not used. */\n"})

    def test_heap_outside_base(self):
        self.bad("heap", {"src/text/x.h": SPDX + "#define X malloc(1)\n"})
        self.good({"src/text/x.h": SPDX + "#define X(a) tandem__free(a)\n"})

    def test_endings(self):
        self.bad("endings", {"src/text/x.h": SPDX + "#define X exit(1)\n"})

    def test_printing(self):
        self.bad("printing", {"src/text/x.h": SPDX + "#define X puts(\"\")\n"})

    def test_debt(self):
        self.bad("debt", {"src/text/x.h": SPDX + "/* TO" + "DO: later */\n"})

    def test_spdx(self):
        self.bad("spdx", {"src/text/x.h": "#define X 1\n"})

    def test_trailing_space(self):
        self.bad("trailing_space", {"README.md": "# x \n"})
        self.bad("trailing_space", {"README.md": "# x"})
        self.bad("trailing_space", {"README.md": "# x\n\n"})

    def test_machine_paths(self):
        self.bad("machine_paths", {"README.md": "see /" + "root/x\n"})
        self.good({"README.md": "see ~/.cache and a/" + "work/x\n"})

    def test_unique_names(self):
        self.bad("unique_names", {"src/text/x.h": SPDX, "src/model/x.h": SPDX})

    def test_single_use(self):
        lonely = SPDX + "int tandem__alone(void) {\n    return 1;\n}\n"
        declared = SPDX + "int tandem__alone(void);\n"
        self.bad("single_use", {"src/text/a.c": lonely, "src/text/a.h": declared})
        user = SPDX + "static int f(void) {\n    return tandem__alone();\n}\n"
        self.good({"src/text/a.c": lonely, "src/text/a.h": declared, "src/text/b.c": user})
        self.good({"src/text/a.c": lonely, "src/text/a.inc": SPDX + "KERNEL(tandem__alone)\n"})

    def test_layout(self):
        self.bad("layout", {"src/text/x.c": SPDX + "static int   f;\n"})

    def test_skip(self):
        status, _ = run({"src/text/x.h": "#define X 1\n"}, "--skip", "spdx")
        self.assertEqual(status, 0)


if __name__ == "__main__":
    unittest.main()
