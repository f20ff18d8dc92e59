#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""`make deb`: the packages build from the tree, and the program in them runs."""
import pathlib
import subprocess
import tempfile
import unittest

ROOT = pathlib.Path(__file__).resolve().parents[2]


def out(*command):
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout


class Deb(unittest.TestCase):
    def test_packages(self):
        made = [pathlib.Path(p) for p in out(str(ROOT / "tools/deb.sh")).split()]
        names = {p.name.split("_")[0]: ROOT / p for p in made}
        self.assertLessEqual({"tandem", "libtandem0", "libtandem-dev"}, set(names))
        with tempfile.TemporaryDirectory() as folder:
            for name in ("tandem", "libtandem0", "libtandem-dev"):
                out("dpkg-deb", "-x", str(names[name]), folder)
            self.assertRegex(out(f"{folder}/usr/bin/tandem", "version"), r"^tandem [0-9.]+\n")
            for path in ("lib/systemd/system/tandem.service", "etc/tandem/tandem.yaml",
                         "usr/share/man/man1/tandem.1.gz", "usr/include/tandem/tandem.h"):
                self.assertTrue((pathlib.Path(folder) / path).exists(), path)
            self.assertTrue(list(pathlib.Path(folder).glob("usr/lib/*/libtandem.so.0")))
        self.assertIn("/etc/tandem/tandem.yaml",
                      out("dpkg-deb", "-I", str(names["tandem"]), "conffiles"))


if __name__ == "__main__":
    unittest.main()
