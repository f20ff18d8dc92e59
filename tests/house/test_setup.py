#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""tools/setup.sh says what is missing and installs nothing when it is only asked to check."""
import os
import pathlib
import subprocess
import tempfile
import unittest

SETUP = pathlib.Path(__file__).resolve().parents[2] / "tools" / "setup.sh"


class Setup(unittest.TestCase):
    def check(self, hidden, *options, fakes=(), **env):
        """Runs with a PATH that has every program of this machine but the hidden ones, and the
        fakes, pairs of a name and its script."""
        with tempfile.TemporaryDirectory() as folder:
            for place in reversed(os.environ["PATH"].split(":")):
                for name in os.listdir(place) if os.path.isdir(place) else []:
                    link = pathlib.Path(folder, name)
                    link.unlink(missing_ok=True)
                    if name not in hidden:
                        link.symlink_to(os.path.join(place, name))
            for name, script in fakes:
                fake = pathlib.Path(folder, name)
                fake.unlink(missing_ok=True)
                fake.write_text("#!/bin/sh\n" + script)
                fake.chmod(0o755)
            return subprocess.run([str(SETUP), *options], capture_output=True, text=True,
                                  check=False, env={**os.environ, "PATH": folder, **env})

    def test_all_is_there(self):
        done = self.check(set(), "--check", "build")
        self.assertEqual((done.returncode, done.stdout, done.stderr), (0, "", ""))

    def test_something_is_missing(self):
        done = self.check({"cmake", "ninja"}, "--check", "build")
        self.assertEqual(done.returncode, 1)
        self.assertIn("missing: CMake 3.25 or newer, Ninja. Run: tools/setup.sh build", done.stderr)

    def test_nothing_to_install_with(self):
        done = self.check({"ninja", "apt-get", "brew"}, "build")
        self.assertEqual(done.returncode, 1)
        self.assertIn("Ninja", done.stderr)

    def test_without_root(self):
        """apt's packages need it, what is unpacked into the user's cache does not."""
        if not os.path.exists("/usr/bin/apt-get"):
            self.skipTest("a system without apt")
        fakes = [("id", "echo 1000\n"), ("apt-get", "exit 1\n")]
        done = self.check({"ninja", "sudo"}, "build", fakes=fakes)
        self.assertEqual(done.returncode, 1)
        self.assertIn("needs root to install: apt-get install ninja-build", done.stderr)
        self.assertEqual(self.check(set(), "--check", "test").returncode, 0)
        with tempfile.TemporaryDirectory() as cache:
            done = self.check({"sudo"}, "test", fakes=fakes, XDG_CACHE_HOME=cache)
        self.assertEqual(done.returncode, 1)
        self.assertIn("tools/arm.sh failed", done.stderr)

    def test_unknown_profile(self):
        self.assertEqual(self.check(set(), "everything").returncode, 2)


if __name__ == "__main__":
    unittest.main()
