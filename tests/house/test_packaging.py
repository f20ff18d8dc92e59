#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What packaging/ holds, against the tree and the binary: unit, Dockerfile, Debian's files.

There is no Docker here: the Dockerfile's instructions are read, its files looked for, its variables
compared with the server's settings, and its health check is run against a server. `deb` is the test
that builds the packages (long); here their lists are compared with what `cmake --install` installs.
"""
import glob
import json
import os
import pathlib
import re
import shlex
import subprocess
import sys
import tempfile
import time
import unittest

ROOT = pathlib.Path(__file__).resolve().parents[2]
PACKAGING = ROOT / "packaging"
BINARY = os.environ.get("TANDEM_BINARY", str(ROOT / "build/release/tandem"))
TINY = str(ROOT / "tests/golden/models/tiny-bert")
EXPOSURE_MAX = 20  # tenths, as systemd-analyze counts it: it was 12 when the unit was written


def run(*command, **kwargs):
    return subprocess.run(command, capture_output=True, text=True, check=False, **kwargs)


@unittest.skipIf(sys.platform == "darwin", "no systemd there")
class Unit(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.TemporaryDirectory()
        self.addCleanup(self.folder.cleanup)
        self.path = os.path.join(self.folder.name, "tandem.service")
        text = (PACKAGING / "tandem.service").read_text(encoding="utf-8")
        text = text.replace("/usr/bin/tandem", BINARY)
        # The manual page is not installed here.
        text = re.sub(r"(?m)^Documentation=.*\n", "", text)
        pathlib.Path(self.path).write_text(text, encoding="utf-8")

    def test_is_a_unit(self):
        result = run("systemd-analyze", "verify", "--man=no", self.path)
        self.assertEqual((result.returncode, result.stdout + result.stderr), (0, ""))

    def test_is_hardened(self):
        result = run("systemd-analyze", "security", "--offline=true", "--no-pager",
                     f"--threshold={EXPOSURE_MAX}", self.path)
        self.assertEqual(result.returncode, 0, result.stdout[-2000:] + result.stderr)
        self.assertIn("Overall exposure level", result.stdout)

    def test_names_what_is_packaged(self):
        text = (PACKAGING / "tandem.service").read_text(encoding="utf-8")
        self.assertIn("--config /etc/tandem/tandem.yaml", text)
        installed = (PACKAGING / "debian/tandem.install").read_text(encoding="utf-8")
        self.assertIn("packaging/tandem.yaml etc/tandem", installed)


class Dockerfile(unittest.TestCase):
    def setUp(self):
        text = (PACKAGING / "Dockerfile").read_text(encoding="utf-8")
        text = re.sub(r"(?m)^\s*#.*\n", "", text).replace("\\\n", " ")
        self.stages = []
        for line in filter(None, map(str.strip, text.splitlines())):
            word, rest = line.split(None, 1)
            if word == "FROM":
                self.stages.append([])
            self.stages[-1].append((word, rest))

    def all(self, word, stage=-1):
        return [rest for name, rest in self.stages[stage] if name == word]

    def test_instructions(self):
        known = {"FROM", "WORKDIR", "COPY", "RUN", "USER", "ENV", "VOLUME", "EXPOSE", "STOPSIGNAL",
                 "HEALTHCHECK", "ENTRYPOINT", "CMD"}
        self.assertEqual(len(self.stages), 2)
        for stage in self.stages:
            self.assertLessEqual({word for word, _ in stage}, known)
            self.assertRegex(stage[0][1], r"^debian:12-slim")
        for word in ("ENTRYPOINT", "CMD", "VOLUME"):
            self.assertIsInstance(json.loads(self.all(word)[0]), list)

    def test_final_stage(self):
        self.assertNotIn(self.all("USER")[-1], ("root", "0"))
        for command in self.all("RUN"):
            if "apt-get install" in command:
                self.assertIn("--no-install-recommends", command)
                self.assertIn("rm -rf /var/lib/apt/lists/*", command)
            result = run("sh", "-n", "-c", command)
            self.assertEqual(result.returncode, 0, result.stderr)

    def test_files_are_there(self):
        for stage in range(len(self.stages)):
            for rest in self.all("COPY", stage):
                sources = shlex.split(rest)[:-1]
                built = [s for s in sources if s.startswith("--from=")]
                for source in sources[len(built):]:
                    path = source.replace("/src/", "") if built else source
                    if source.startswith("/install/"):
                        self.assertEqual(source, "/install/usr/bin/tandem")
                    else:
                        self.assertTrue((ROOT / path).exists(), source)

    def test_variables_are_settings(self):
        options = run(BINARY, "serve", "--help").stdout
        for rest in self.all("ENV"):
            for name in re.findall(r"(TANDEM_\w+)=", rest):
                option = "--" + name[len("TANDEM_"):].lower().replace("_", "-")
                self.assertIn(f"{option} ", options)

    @unittest.skipIf(sys.platform == "darwin", "another loader")
    def test_binary_stands_alone(self):
        """The image has the C library and libcurl, which is loaded only to fetch."""
        result = run("ldd", BINARY)
        names = {line.split()[0].rsplit("/", 1)[-1] for line in result.stdout.splitlines()}
        allowed = {"libc.so.6", "libm.so.6", "ld-linux-x86-64.so.2", "ld-linux-aarch64.so.1",
                   "linux-vdso.so.1"}
        self.assertLessEqual(names, allowed, result.stdout)

    def test_health_check(self):
        rest = self.all("HEALTHCHECK")[0]
        command = json.loads(rest[rest.index("CMD") + 3:])
        self.assertNotEqual(run(*command, env={**os.environ, "TANDEM_PORT": "1"}).returncode, 0)
        with subprocess.Popen([BINARY, "serve", "-m", TINY, "--port", "0"],
                              stderr=subprocess.PIPE, text=True) as server:
            try:
                port = re.search(r"listening on http://\S+:(\d+)", server.stderr.readline())[1]
                env = {**os.environ, "TANDEM_PORT": port}
                until = time.monotonic() + 20
                while run(*command, env=env).returncode != 0:
                    self.assertLess(time.monotonic(), until, "never healthy")
                    time.sleep(0.1)
            finally:
                server.terminate()


class Debian(unittest.TestCase):
    def test_version(self):
        project = re.search(r"project\(tandem VERSION ([0-9.]+)",
                            (ROOT / "CMakeLists.txt").read_text(encoding="utf-8"))[1]
        changelog = (PACKAGING / "debian/changelog").read_text(encoding="utf-8")
        self.assertTrue(changelog.startswith(f"tandem ({project}) "))

    def test_needs_are_those_of_the_build(self):
        setup = (ROOT / "tools/setup.sh").read_text(encoding="utf-8")
        control = (PACKAGING / "debian/control").read_text(encoding="utf-8")
        depends = re.search(r"(?s)Build-Depends:(.*?)\n\S", control)[1]
        for package in re.findall(r"\|(lib\w+-dev|libcurl4-openssl-dev|cmake|ninja-build)\|",
                                  re.search(r"(?s)needs_build='(.*?)'", setup)[1]):
            if package != "libcmocka-dev":  # of the tests
                self.assertIn(package, depends)

    def test_lists_are_what_is_installed(self):
        build = pathlib.Path(BINARY).parent
        with tempfile.TemporaryDirectory() as folder:
            result = run("cmake", "--install", str(build), "--prefix", "/usr",
                         env={**os.environ, "DESTDIR": folder})
            self.assertEqual(result.returncode, 0, result.stderr)
            left = {str(path.relative_to(folder)) for path in pathlib.Path(folder).rglob("*")
                    if not path.is_dir()}
            for name in sorted(PACKAGING.glob("debian/*.install")):
                for line in name.read_text(encoding="utf-8").splitlines():
                    source = line.split()[0]
                    if source.startswith("packaging/"):
                        self.assertTrue((ROOT / source).exists(), source)
                        continue
                    # Here libraries are in usr/lib itself, there in usr/lib/<triplet>.
                    pattern = os.path.join(folder, source.replace("lib/*/", "lib/"))
                    found = glob.glob(pattern)
                    self.assertTrue(found, f"{name.name}: {source}")
                    for path in found:
                        path = os.path.relpath(path, folder)
                        left -= {p for p in left if p == path or p.startswith(path + "/")}
            self.assertEqual(left, set(), "in no package")


if __name__ == "__main__":
    unittest.main()
