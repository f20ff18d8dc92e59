# SPDX-License-Identifier: Apache-2.0
"""What the tests of the Hub share: a model to pull, a fake Hub, a cache folder, and hub_call."""
import json
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile
import unittest

from fake_hub import FakeHub, etag

OK, INVALID, UNSUPPORTED, NOT_FOUND = 0, 1, 2, 3
FORMAT, IO, PERMISSION, CAPACITY, TIMEOUT, CANCELLED, MEMORY = 10, 11, 12, 20, 21, 22, 30

WEIGHTS = bytes(i * 31 & 255 for i in range(200_000))
FILES = {
    "config.json": b'{"model_type": "bert"}',
    "tokenizer.json": b'{"version": "1.0"}' + b" " * 3000,
    "tokenizer_config.json": b"{}",
    "special_tokens_map.json": b"{}\n",
    "vocab.txt": b"[PAD]\n",
    "modules.json": json.dumps([{"idx": 0, "name": "0", "path": "", "type": "x.Transformer"},
                                {"idx": 1, "name": "1", "path": "1_Pooling", "type": "x.Pooling"},
                                {"idx": 2, "name": "2", "path": "2_Dense", "type": "x.Dense"}],
                               ).encode(),
    "sentence_bert_config.json": b'{"max_seq_length": 256}',
    "config_sentence_transformers.json": b"{ }",
    "1_Pooling/config.json": b'{"pooling_mode_mean_tokens": true}',
    "2_Dense/config.json": b'{"in_features": 4}',
    "2_Dense/model.safetensors": b"dense" * 1000,
    "model.safetensors": WEIGHTS,
    "README.md": b"# read me",
    "pytorch_model.bin": b"pickle" * 1000,
    "tf_model.h5": b"h5" * 2000,
    "flax_model.msgpack": b"flax" * 2000,
    "onnx/model.onnx": b"onnx" * 2000,
    "openvino/openvino_model.xml": b"xml" * 2000,
    ".gitattributes": b"*.bin filter=lfs\n",
}
NEEDED = {p for p in FILES if p.endswith((".json", ".safetensors"))}


def snapshot_of(files, commit="0" * 40):
    return {"id": "o/m", "sha": commit, "siblings": [{"rfilename": f} for f in files]}


class Call:
    """One run of hub_call, its lines by their first word."""
    def __init__(self, process):
        out, self.stderr = process.communicate(timeout=60)
        self.code = process.returncode
        self.lines = {}
        for line in out.splitlines():
            key, _, value = line.partition(" ")
            self.lines.setdefault(key, []).append(value)
        self.status = int(self.get("status", -1))
        self.message = self.get("message", "")

    def get(self, key, default=None):
        return self.lines.get(key, [default])[0]

    def number(self, key):
        return int(self.get(key))


class HubCase(unittest.TestCase):
    program = ""  # hub_call
    is_https = False

    def setUp(self):
        self.hub = FakeHub(self.is_https)
        self.addCleanup(self.hub.close)
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="tandem-hub-"))
        self.addCleanup(shutil.rmtree, self.folder)
        self.home = self.folder / "home"
        self.cache = self.home / "hub"
        self.env = {"PATH": os.environ["PATH"], "HOME": str(self.folder), "no_proxy": "*",
                    "HF_HOME": str(self.home), "HF_ENDPOINT": self.hub.endpoint}
        self.repo = self.hub.add("o/m", FILES)
        self.commit = self.repo.revisions["main"]

    def start(self, verb, name="o/m", revision="-", preexec=None, **options):
        options.setdefault("pause_ms", 10)
        options.setdefault("timeout_ms", 5000)
        args = [self.program, verb, name or "-", revision]
        args += [f"{key}={value}" for key, value in options.items()]
        return subprocess.Popen(args, env=self.env, text=True, stdout=subprocess.PIPE,
                                stderr=subprocess.PIPE, preexec_fn=preexec)

    def call(self, verb, *args, **options):
        call = Call(self.start(verb, *args, **options))
        self.assertEqual(call.code, 0, call.stderr)
        self.assertNotIn("mismatch", call.lines)
        return call

    def good(self, verb, *args, **options):
        call = self.call(verb, *args, **options)
        self.assertEqual(call.status, OK, call.message)
        return call

    def bad(self, status, words, *args, verb="pull", **options):
        call = self.call(verb, *args, **options)
        self.assertEqual(call.status, status, call.message)
        for word in words.split("|"):
            self.assertIn(word, call.message)
        return call

    @property
    def repo_folder(self):
        return self.cache / "models--o--m"

    def snapshot(self, commit=None):
        return self.repo_folder / "snapshots" / (commit or self.commit)

    def pulled(self, commit=None):
        """The files of a snapshot, {} if there is none."""
        root = self.snapshot(commit)
        return {str(p.relative_to(root)): p.read_bytes() for p in root.rglob("*") if not p.is_dir()}

    def blob(self, path):
        return self.repo_folder / "blobs" / etag(FILES[path])

    def assert_whole(self, commit=None, files=None):
        files = files or FILES
        self.assertEqual(self.pulled(commit), {p: files[p] for p in NEEDED})
        self.assertEqual(self.leftovers(), [])

    def leftovers(self):
        """What is neither a blob with its hash, a link, a ref, a lock nor the tag."""
        odd = []
        for path in self.folder.rglob("*"):
            parts = path.relative_to(self.folder).parts
            if path.is_dir() or path.is_symlink() or ".locks" in parts or "refs" in parts:
                continue
            if path.name == "CACHEDIR.TAG":
                continue
            content = path.read_bytes()
            if parts[-2] != "blobs" or path.name != etag(content):
                odd.append(str(path))
        return odd


def main():
    """argv: HUB_CALL, then unittest's own."""
    HubCase.program = sys.argv.pop(1)
    unittest.main()
