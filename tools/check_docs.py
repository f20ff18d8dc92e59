#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""tools/check_docs.py BUILD [FILE.md...]: the code in the documents is real code.

    ```c         compiled against include/ and src/ with warnings as errors; a block that includes
                 nothing is taken as the inside of a function after <tandem/tandem.h>
    ```console   run: each "$ command" must succeed and print the lines that follow it. Numbers may
                 differ by 0.002 (another processor rounds otherwise), "..." stands for anything
    ```sh        not run: commands that install, need the network or take long

Also: every relative link of a document leads to a file.
"""
import os
import pathlib
import re
import shlex
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent
TOLERANCE = 0.002
BLOCK = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\[[^\]]*\]\(([^)#\s]+)(?:#[^)]*)?\)")
NUMBER = re.compile(r"-?\d+\.\d+")
FLAGS = ["-std=c11", "-D_POSIX_C_SOURCE=200809L", "-Wall", "-Wextra", "-Werror",
         "-Wno-unused-variable", "-Wno-unused-parameter", "-Wno-unused-function", "-fsyntax-only"]


def compile_c(code):
    """The compiler's complaint, or None."""
    if "#include" not in code:
        code = ("#include <stdio.h>\n#include <tandem/tandem.h>\n"
                f"int example(void);\nint example(void) {{\n{code}\nreturn 0;\n}}\n")
    run = subprocess.run(["cc", *FLAGS, f"-I{ROOT}/include", f"-I{ROOT}/src", "-x", "c", "-"],
                         input=code, capture_output=True, text=True, check=False)
    return run.stderr if run.returncode else None


def same_line(expected, actual):
    """Equal but for numbers within the tolerance and "..." for anything."""
    pattern = ".*".join(NUMBER.sub("\0", part) for part in expected.split("..."))
    pattern = re.escape(pattern).replace(re.escape(".*"), ".*")
    match = re.fullmatch(pattern.replace(re.escape("\0"), r"(-?\d+\.\d+)"), actual)
    if not match:
        return False
    numbers = [float(n) for n in NUMBER.findall(expected)]
    return all(abs(float(a) - n) <= TOLERANCE for a, n in zip(match.groups(), numbers))


def run_console(code, build):
    """What went wrong, or None. Lines before the first "$" are not allowed."""
    commands = []
    for line in code.splitlines():
        if line.startswith("$ "):
            commands.append((line[2:], []))
        elif commands and commands[-1][0].endswith("\\"):
            commands[-1] = (commands[-1][0] + "\n" + line, commands[-1][1])
        else:
            commands[-1][1].append(line)
    path = f"{build}:{os.environ['PATH']}"
    for command, expected in commands:
        run = subprocess.run(["bash", "-c", command], cwd=ROOT, capture_output=True, text=True,
                             check=False, env={**os.environ, "PATH": path})
        actual = run.stdout.splitlines()
        if run.returncode:
            return f"$ {command}\nexit status {run.returncode}\n{run.stderr}"
        if len(actual) != len(expected) or not all(map(same_line, expected, actual)):
            return "\n".join([f"$ {command}", "expected:", *expected, "printed:", *actual])
    return None


def check(path, build):
    """(line, complaint) of each block and link at fault."""
    text = path.read_text(encoding="utf-8")
    for match in BLOCK.finditer(text):
        kind, code = match.groups()
        fault = None
        if kind == "c":
            fault = compile_c(code)
        elif kind == "console":
            fault = run_console(code, build)
        if fault:
            yield text.count("\n", 0, match.start()) + 1, fault
    for match in LINK.finditer(BLOCK.sub("", text)):
        target = match.group(1)
        if "://" not in target and not (path.parent / target).exists():
            yield "link", f"{target} does not exist"


def main():
    if len(sys.argv) < 2:
        sys.exit(f"usage: {shlex.quote(sys.argv[0])} BUILD [FILE.md...]")
    build = pathlib.Path(sys.argv[1]).resolve()
    files = [pathlib.Path(name).resolve() for name in sys.argv[2:]]
    files = files or sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"),
                             *ROOT.glob("tests/**/*.md"), *ROOT.glob("bench/**/*.md")])
    faults = 0
    for path in files:
        for line, fault in check(path, build):
            print(f"{path.relative_to(ROOT)}:{line}: {fault.rstrip()}")
            faults += 1
    print(f"{len(files)} documents, {faults} faults")
    sys.exit(1 if faults else 0)


if __name__ == "__main__":
    main()
