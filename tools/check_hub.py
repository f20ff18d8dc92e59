#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""tools/check_hub.py TANDEM: one cache, tandem and Python's huggingface_hub, both ways.

Needs the package huggingface_hub (any of its last years), so it is no part of `make test`; run it
with the Python of `make bench-peers`. Both sides talk to the fake Hub of tests/hub.
"""
import importlib
import json
import os
import pathlib
import subprocess
import sys
import tempfile
import unittest

ROOT = pathlib.Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tests/hub"))
fake_hub = importlib.import_module("fake_hub")
hub_case = importlib.import_module("hub_case")

NEEDED = sorted(hub_case.NEEDED)
TANDEM = ""
PYTHON = """
import json, os, sys
from huggingface_hub import hf_hub_download, scan_cache_dir, snapshot_download
what, name = sys.argv[1:3]
if what == "find":
    folder = snapshot_download(name, local_files_only=True)
    for path in json.loads(sys.argv[3]):
        assert hf_hub_download(name, path, local_files_only=True) == os.path.join(folder, path)
    print(folder)
elif what == "get":
    print(snapshot_download(name, allow_patterns=json.loads(sys.argv[3]), max_workers=2))
elif what == "scan":
    info = scan_cache_dir()
    assert not info.warnings, info.warnings
    print(json.dumps({r.repo_id: {v.commit_hash: [sorted(v.refs), len(v.files), v.size_on_disk]
                                  for v in r.revisions} for r in info.repos}))
elif what == "delete":
    scan_cache_dir().delete_revisions(name).execute()
"""


class Interop(unittest.TestCase):
    def setUp(self):
        self.hub = fake_hub.FakeHub()
        self.addCleanup(self.hub.close)
        self.folder = tempfile.TemporaryDirectory(prefix="tandem-hub-")
        self.addCleanup(self.folder.cleanup)
        self.env = {"PATH": os.environ["PATH"], "HOME": self.folder.name, "no_proxy": "*",
                    "HF_HOME": self.folder.name, "HF_ENDPOINT": self.hub.endpoint,
                    "HF_HUB_DISABLE_PROGRESS_BARS": "1", "HF_HUB_DISABLE_TELEMETRY": "1"}
        self.repo = self.hub.add("o/m", hub_case.FILES)
        self.commit = self.repo.revisions["main"]

    def start(self, *command):
        return subprocess.Popen(command, env=self.env, text=True, stdout=subprocess.PIPE,
                                stderr=subprocess.PIPE)

    def end(self, process):
        out, err = process.communicate(timeout=120)
        self.assertEqual(process.returncode, 0, err)
        return out.strip()

    def python(self, *args):
        return self.end(self.start(sys.executable, "-c", PYTHON, *args))

    def tandem(self, *args):
        return self.end(self.start(TANDEM, "model", *args))

    def gets(self):
        return [r.path for r in self.hub.requests if r.method == "GET" and "/api/" not in r.path]

    def test_python_reads_what_tandem_wrote(self):
        folder = self.tandem("pull", "o/m")
        self.assertEqual(self.python("find", "o/m", json.dumps(NEEDED)), folder)
        size = sum(len(hub_case.FILES[p]) for p in NEEDED)
        self.assertEqual(json.loads(self.python("scan", "-")),
                         {"o/m": {self.commit: [["main"], len(NEEDED), size]}})
        self.hub.requests.clear()
        self.assertEqual(self.python("get", "o/m", json.dumps(NEEDED)), folder)
        self.assertEqual(self.gets(), [])

    def test_tandem_reads_what_python_wrote(self):
        folder = self.python("get", "o/m", json.dumps(NEEDED))
        self.hub.requests.clear()
        self.assertEqual(self.tandem("pull", "o/m"), folder)
        self.assertEqual(self.gets(), [])
        self.assertEqual(self.tandem("verify", "o/m").count("  good"), len(NEEDED))
        row = json.loads(self.tandem("list", "--json"))
        self.assertEqual((row["commit"], row["refs"], row["missing"]), (self.commit, "main", ""))
        self.tandem("remove", "--yes", "o/m")
        self.assertEqual(json.loads(self.python("scan", "-")), {})

    def test_revisions_and_removal(self):
        self.repo.revisions["v1"] = old = self.commit
        new = self.repo.commit(hub_case.FILES | {"config.json": b"{}"})
        self.tandem("pull", "o/m@v1")
        self.python("get", "o/m", json.dumps(NEEDED))
        found = json.loads(self.python("scan", "-"))["o/m"]
        self.assertEqual({c: v[0] for c, v in found.items()}, {old: ["v1"], new: ["main"]})
        self.python("delete", old)
        self.tandem("verify", "o/m@main")
        self.assertEqual(json.loads(self.tandem("list", "--json"))["commit"], new)
        self.tandem("pull", "o/m@v1")
        self.tandem("remove", "--yes", "o/m@main")
        self.assertEqual(list(json.loads(self.python("scan", "-"))["o/m"]), [old])

    def test_at_the_same_time(self):
        self.hub.faults.append(fake_hub.Fault("model.safetensors", trickle=0.01))
        ours = self.start(TANDEM, "model", "pull", "o/m")
        theirs = self.start(sys.executable, "-c", PYTHON, "get", "o/m", json.dumps(NEEDED))
        self.assertEqual(self.end(ours), self.end(theirs))
        self.assertEqual(self.hub.served["model.safetensors"], 1)
        self.tandem("verify", "o/m")


if __name__ == "__main__":
    TANDEM = os.path.abspath(sys.argv.pop(1))
    unittest.main()
