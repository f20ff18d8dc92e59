#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""tools/clients.txt has every client that tools/pin_clients.sh asks for, each by version and hash;
tools/client_env.sh needs Python 3.11, and no network once the environment is there."""
import os
import pathlib
import re
import subprocess
import sys
import tempfile
import unittest

TOOLS = pathlib.Path(__file__).resolve().parents[2] / "tools"


def run(*words, **env):
    return subprocess.run([str(TOOLS / "client_env.sh"), *words], capture_output=True, text=True,
                          check=False, env={**os.environ, **env})


class ClientEnv(unittest.TestCase):
    def test_list(self):
        text = "".join(line for line in (TOOLS / "clients.txt").read_text().splitlines(True)
                       if not line.startswith("#"))
        entry = r"([A-Za-z0-9_.]+)==[0-9][^ ]* \\\n(?:    --hash=sha256:[0-9a-f]{64}(?: \\)?\n)+"
        names = {name.lower().replace("_", "-") for name in re.findall(entry, text)}
        self.assertEqual(re.sub(entry, "", text), "")
        asked = re.search(r"clients=\((.*?)\)", (TOOLS / "pin_clients.sh").read_text(), re.S)
        for name in asked.group(1).split():
            name = name.strip("'").split("[")[0].replace("_", "-")
            self.assertIn(name, names)

    def test_no_python(self):
        with tempfile.TemporaryDirectory() as folder:
            for name in ("bash", "dirname"):
                os.symlink(f"/bin/{name}" if os.path.exists(f"/bin/{name}") else
                           f"/usr/bin/{name}", os.path.join(folder, name))
            fake = pathlib.Path(folder, "python3")
            fake.write_text("#!/bin/sh\nexit 1\n")
            fake.chmod(0o755)
            script = (TOOLS / "client_env.sh").read_text().replace("/usr/bin/python3", "")
            done = subprocess.run(["bash", "-c", script, str(TOOLS / "client_env.sh")],
                                  capture_output=True, text=True, check=False,
                                  env={"PATH": folder, "HOME": folder})
        self.assertEqual(done.returncode, 1)
        self.assertIn("no Python 3.11 with pip: run tools/setup.sh test", done.stderr)

    def test_nothing_is_left_of_an_installation_that_failed(self):
        with tempfile.TemporaryDirectory() as folder:
            done = run(XDG_CACHE_HOME=folder, PIP_INDEX_URL="http://127.0.0.1:9/", PIP_RETRIES="0",
                       PIP_NO_CACHE_DIR="1")
            self.assertNotEqual(done.returncode, 0)
            self.assertEqual(os.listdir(os.path.join(folder, "tandem")), [])

    def test_made_once(self):
        with tempfile.TemporaryDirectory() as folder:
            place = pathlib.Path(self.place(folder))
            (place / "bin").mkdir(parents=True)
            (place / "bin/python").symlink_to(sys.executable)
            done = run(folder, "-c", "import os; print(os.environ['TANDEM_BINARY'])",
                       XDG_CACHE_HOME=folder, PIP_INDEX_URL="http://127.0.0.1:9/",
                       TANDEM_BINARY="")
            self.assertEqual((done.stdout, done.stderr), (folder + "/tandem\n", ""))

    def place(self, cache):
        """Where the environment would be: what a failing installation says."""
        done = run(XDG_CACHE_HOME=cache, PIP_INDEX_URL="http://127.0.0.1:9/", PIP_RETRIES="0",
                   PIP_NO_CACHE_DIR="1")
        return re.search(r"into (\S+)", done.stderr).group(1)


if __name__ == "__main__":
    unittest.main()
