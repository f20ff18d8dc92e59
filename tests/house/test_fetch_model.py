#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""tools/fetch_model.sh against a Hub of our own on this machine: whole, cut off, damaged, gone.

The files served are those of the real cache, which `make test` fills first. PyPI is switched off,
so a Hub that fails has to end in an error.
"""
import http.server
import os
import pathlib
import re
import shutil
import subprocess
import tempfile
import threading
import unittest

ROOT = pathlib.Path(__file__).resolve().parents[2]
FETCH = ROOT / "tools" / "fetch_model.sh"
COMMIT = "c9745ed1d9f207416be6d2e6f8de32d1f16199bf"
WEIGHTS = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"


class Hub(http.server.BaseHTTPRequestHandler):
    """GET /<org>/<name>/resolve/<commit>/<file>, with ranges, as the Hub answers."""
    folder = None
    damage = None  # a file to change a byte of
    log = []

    def do_GET(self):
        name = self.path.split(f"/resolve/{COMMIT}/")[1]
        body = (self.folder / name).read_bytes()
        if name == self.damage:
            body = body[:-1] + bytes([body[-1] ^ 1])
        wanted = re.match(r"bytes=(\d+)-", self.headers.get("Range", ""))
        start = int(wanted.group(1)) if wanted else 0
        self.log.append((name, start))
        self.send_response(206 if wanted else 200)
        if wanted:
            self.send_header("Content-Range", f"bytes {start}-{len(body) - 1}/{len(body)}")
        self.send_header("Content-Length", str(len(body) - start))
        self.end_headers()
        self.wfile.write(body[start:])

    def log_message(self, *_):
        pass


class FetchModel(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        done = subprocess.run([str(FETCH)], capture_output=True, text=True, check=True)
        Hub.folder = pathlib.Path(done.stdout.strip())
        cls.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Hub)
        threading.Thread(target=cls.server.serve_forever, daemon=True).start()

    @classmethod
    def tearDownClass(cls):
        cls.server.shutdown()
        cls.server.server_close()

    def setUp(self):
        Hub.damage = None
        Hub.log.clear()
        self.cache = pathlib.Path(tempfile.mkdtemp())
        self.addCleanup(shutil.rmtree, self.cache)
        self.repo = self.cache / "models--sentence-transformers--all-MiniLM-L6-v2"

    def fetch(self, *options, endpoint=None):
        endpoint = endpoint or f"http://127.0.0.1:{self.server.server_port}"
        hidden = {"HF_TOKEN", "HF_HUB_OFFLINE", "PIP_FIND_LINKS"}
        kept = {k: v for k, v in os.environ.items() if k not in hidden}
        return subprocess.run([str(FETCH), *options], capture_output=True, text=True, check=False,
                              env={**kept, "HF_HUB_CACHE": str(self.cache), "PIP_NO_INDEX": "1",
                                   "HF_ENDPOINT": endpoint, "no_proxy": "127.0.0.1"})

    def test_layout(self):
        done = self.fetch()
        self.assertEqual(done.returncode, 0, done.stderr)
        snapshot = self.repo / "snapshots" / COMMIT
        self.assertEqual(done.stdout, f"{snapshot}\n")
        self.assertEqual((self.repo / "refs" / "main").read_text(), COMMIT)
        self.assertEqual(os.readlink(snapshot / "model.safetensors"), f"../../blobs/{WEIGHTS}")
        pooling = snapshot / "1_Pooling" / "config.json"
        self.assertTrue(os.readlink(pooling).startswith("../../../blobs/"))
        self.assertEqual(pooling.read_bytes(), (Hub.folder / "1_Pooling/config.json").read_bytes())
        self.assertEqual(list(self.repo.glob("blobs/*.incomplete")), [])
        self.assertEqual(self.fetch("--verify").returncode, 0)

        Hub.log.clear()  # again, and nothing may be asked for
        self.assertEqual(self.fetch().returncode, 0)
        self.assertEqual(Hub.log, [])

        blob = self.repo / "blobs" / WEIGHTS  # a byte that changed on disk is found on request
        with blob.open("r+b") as file:
            file.seek(1 << 20)
            file.write(b"tandem")
        self.assertEqual(self.fetch("--verify").returncode, 1)

    def test_goes_on_where_it_stopped(self):
        blobs = self.repo / "blobs"
        blobs.mkdir(parents=True)
        part = (Hub.folder / "model.safetensors").read_bytes()[:1 << 20]
        (blobs / f"{WEIGHTS}.incomplete").write_bytes(part)
        done = self.fetch()
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertIn(("model.safetensors", 1 << 20), Hub.log)
        self.assertEqual(self.fetch("--verify").returncode, 0)

    def test_damage_is_refused(self):
        Hub.damage = "tokenizer.json"
        done = self.fetch()
        self.assertEqual(done.returncode, 1)
        self.assertRegex(done.stderr, r"tokenizer\.json: SHA-256 \w{64}, expected be50c362")
        self.assertFalse((self.repo / "snapshots" / COMMIT / "tokenizer.json").exists())
        self.assertFalse((self.repo / "refs" / "main").exists())
        Hub.damage = None  # what was right stays, what was wrong comes anew
        self.assertEqual(self.fetch().returncode, 0)

    def test_nowhere_to_get_it(self):
        done = self.fetch(endpoint="http://127.0.0.1:1")
        self.assertEqual(done.returncode, 1)
        self.assertIn("neither http://127.0.0.1:1 nor PyPI", done.stderr)
        self.assertFalse((self.repo / "refs" / "main").exists())

    def test_newer_commit_stays_current(self):
        newer = self.repo / "snapshots" / ("f" * 40)
        newer.mkdir(parents=True)
        (newer / "model.safetensors").write_bytes(b"")
        (self.repo / "refs").mkdir()
        (self.repo / "refs" / "main").write_text("f" * 40)
        self.assertEqual(self.fetch().returncode, 0)
        self.assertEqual((self.repo / "refs" / "main").read_text(), "f" * 40)


if __name__ == "__main__":
    unittest.main()
