#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Pulls from a fake Hub with every fault it knows; the cache as it must be left each time.

    test_pull.py HUB_CALL [unittest arguments]
"""
import json
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
import unittest

from fake_hub import FakeHub, Fault, etag

OK, INVALID, UNSUPPORTED, NOT_FOUND = 0, 1, 2, 3
FORMAT, IO, PERMISSION, CAPACITY, TIMEOUT, CANCELLED = 10, 11, 12, 20, 21, 22

PROGRAM = ""
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
    def setUp(self):
        self.hub = FakeHub()
        self.addCleanup(self.hub.close)
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="tandem-hub-"))
        self.addCleanup(shutil.rmtree, self.folder)
        self.home = self.folder / "home"
        self.cache = self.home / "hub"
        self.env = {"PATH": os.environ["PATH"], "HOME": str(self.folder), "no_proxy": "*",
                    "HF_HOME": str(self.home), "HF_ENDPOINT": self.hub.endpoint}
        self.repo = self.hub.add("o/m", FILES)
        self.commit = self.repo.revisions["main"]

    def start(self, verb, name="o/m", revision="-", **options):
        options.setdefault("pause_ms", 10)
        options.setdefault("timeout_ms", 5000)
        args = [PROGRAM, verb, name or "-", revision]
        args += [f"{key}={value}" for key, value in options.items()]
        return subprocess.Popen(args, env=self.env, text=True, stdout=subprocess.PIPE,
                                stderr=subprocess.PIPE)

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


class Good(HubCase):
    def test_layout(self):
        call = self.good("pull")
        self.assert_whole()
        self.assertEqual(call.get("folder"), str(self.snapshot()))
        self.assertEqual(call.get("commit"), self.commit)
        self.assertEqual(call.number("bytes"), sum(len(FILES[p]) for p in NEEDED))
        self.assertEqual(call.number("files"), len(NEEDED))
        self.assertEqual(call.number("total"), call.number("bytes"))
        self.assertEqual((self.repo_folder / "refs/main").read_text(), self.commit)
        link = self.snapshot() / "1_Pooling/config.json"
        self.assertEqual(os.readlink(link), "../../../blobs/" + etag(FILES["1_Pooling/config.json"]))
        self.assertEqual(os.readlink(self.snapshot() / "model.safetensors"),
                         "../../blobs/" + etag(WEIGHTS))
        self.assertTrue((self.cache / "CACHEDIR.TAG").read_text().startswith("Signature: 8a477f59"))
        self.assertEqual({r.query for r in self.hub.requests if "/api/" in r.path}, {"blobs=true"})
        self.assertTrue(self.hub.requests[0].headers["User-Agent"].startswith("tandem/"))

    def test_again_fetches_nothing(self):
        self.good("pull")
        self.hub.requests.clear()
        call = self.good("pull")
        self.assertEqual(call.number("bytes_fetched"), 0)
        self.assertEqual(call.number("files_fetched"), 0)
        self.assertEqual(len(self.hub.requests), 1)

    def test_new_commit_fetches_what_changed(self):
        self.good("pull")
        files = FILES | {"config.json": b'{"model_type": "mpnet"}'}
        new = self.repo.commit(files)
        call = self.good("pull")
        self.assertEqual(call.number("files_fetched"), 1)
        self.assert_whole(new, files)
        self.assert_whole()  # the old one too
        self.assertEqual((self.repo_folder / "refs/main").read_text(), new)

    def test_revisions(self):
        old = self.commit
        self.repo.revisions["refs/pr/1"] = self.repo.revisions["v1"] = old
        new = self.repo.commit(FILES | {"config.json": b"{}"})
        self.assertEqual(self.good("pull", "o/m", "v1").get("commit"), old)
        self.assertEqual(self.good("pull", "o/m@refs/pr/1").get("commit"), old)
        self.assertEqual(self.good("pull", "o/m", old).get("commit"), old)
        self.assertEqual(self.good("pull", "o/m@v1", "main").get("commit"), new)
        refs = {str(p.relative_to(self.repo_folder / "refs"))
                for p in (self.repo_folder / "refs").rglob("*") if p.is_file()}
        self.assertEqual(refs, {"v1", "refs/pr/1", "main"})

    def test_owner_and_moved_name(self):
        self.hub.add("sentence-transformers/x", FILES)
        folder = self.good("pull", "x").get("folder")
        self.assertIn("models--sentence-transformers--x", folder)
        self.hub.moved["old/name"] = "o/m"
        self.assertIn("models--old--name", self.good("pull", "old/name").get("folder"))

    def test_vocab_only_without_tokenizer(self):
        files = {p: FILES[p] for p in ("config.json", "vocab.txt", "model.safetensors")}
        self.hub.add("o/n", files)
        self.assertEqual(self.good("pull", "o/n").number("files"), 3)

    def test_shards(self):
        index = {"weight_map": {f"w{i}": f"model-0000{i % 2 + 1}-of-00002.safetensors"
                                for i in range(9)}}
        files = {"config.json": b"{}", "model.safetensors.index.json": json.dumps(index).encode(),
                 "model-00001-of-00002.safetensors": b"a" * 5000,
                 "model-00002-of-00002.safetensors": b"b" * 5000,
                 "model-00003-of-00002.safetensors": b"c" * 5000}
        repo = self.hub.add("o/n", files)
        self.assertEqual(self.good("pull", "o/n").number("files"), 4)
        del files["model-00002-of-00002.safetensors"]
        repo.commit(files)
        self.bad(FORMAT, "o/n|model-00002-of-00002.safetensors is missing", "o/n")
        for evil in ("../../../evil.safetensors", "/evil.safetensors", "x.bin", 7):
            files["model.safetensors.index.json"] = json.dumps({"weight_map": {"w": evil}}).encode()
            repo.commit(files)
            self.bad(FORMAT, "weight_map|expected a .safetensors file", "o/n")

    def test_transformer_in_a_folder(self):
        modules = json.dumps([{"path": "0_Transformer"}, {"path": "1_Pooling"}]).encode()
        files = {"modules.json": modules, "0_Transformer/config.json": b"{}",
                 "0_Transformer/tokenizer.json": b"{}", "0_Transformer/model.safetensors": WEIGHTS,
                 "1_Pooling/config.json": b"{}", "other/config.json": b"{}"}
        self.hub.add("o/n", files)
        self.assertEqual(self.good("pull", "o/n").number("files"), 5)

    def test_without_hashes_in_the_list(self):
        self.hub.says_blobs = False
        self.hub.weak_etags = True
        self.good("pull")
        self.assert_whole()
        heads = [r for r in self.hub.requests if r.method == "HEAD"]
        self.assertEqual(len(heads), len(NEEDED))
        self.assertFalse([r for r in heads if r.is_storage])

    def test_environment(self):
        cases = [({"HF_HUB_CACHE": "{}/a"}, "a"), ({"HUGGINGFACE_HUB_CACHE": "{}/b"}, "b"),
                 ({"HF_HOME": "", "XDG_CACHE_HOME": "{}/c"}, "c/huggingface/hub"),
                 ({"HF_HOME": ""}, ".cache/huggingface/hub")]
        base = dict(self.env)
        for change, folder in cases:
            self.env = base | {k: v.format(self.folder) for k, v in change.items()}
            self.assertIn(f"{self.folder}/{folder}/models--o--m/", self.good("pull").get("folder"))

    def test_offline(self):
        self.bad(NOT_FOUND, "offline|o/m|is not in the cache", offline=1)
        self.env["HF_HUB_OFFLINE"] = "YES"
        self.bad(NOT_FOUND, "offline")
        self.assertEqual(self.hub.requests, [])
        del self.env["HF_HUB_OFFLINE"]
        self.good("pull")
        self.hub.requests.clear()
        self.assertEqual(self.good("pull", offline=1).get("folder"), str(self.snapshot()))
        self.blob("model.safetensors").unlink()
        self.bad(NOT_FOUND, "offline|not whole|no model.safetensors", offline=1)
        self.assertEqual(self.hub.requests, [])


class People(HubCase):
    def test_no_such_model(self):
        self.bad(NOT_FOUND, "o/none|none of this name|HF_TOKEN", "o/none")
        self.bad(NOT_FOUND, "o/none|no model of this name", "o/none", token="hf_good")
        self.assertFalse(self.cache.exists())

    def test_no_such_revision(self):
        self.bad(NOT_FOUND, "o/m|no revision \"v9\"", "o/m", "v9")

    def test_private(self):
        self.repo.private = True
        self.bad(NOT_FOUND, "o/m|if it is private|HF_TOKEN")
        self.bad(PERMISSION, "o/m|401|no access", token="hf_wrong")
        self.good("pull", token="hf_good")
        self.assert_whole()

    def test_gated(self):
        self.repo.gated = True
        self.bad(PERMISSION, f"gated|{self.hub.endpoint}/o/m|HF_TOKEN")
        self.hub.accepted = False
        self.bad(PERMISSION, "gated|has no access", token="hf_good")

    def test_token_sources(self):
        self.repo.private = True
        self.home.mkdir(parents=True)
        (self.home / "token").write_text("hf_good\n")
        self.good("pull")
        (self.home / "token").unlink()
        self.env["HF_TOKEN"] = " hf_good "
        self.good("pull")
        self.bad(NOT_FOUND, "private", token="")
        self.env["HF_HUB_DISABLE_IMPLICIT_TOKEN"] = "1"
        self.bad(NOT_FOUND, "private")
        del self.env["HF_HUB_DISABLE_IMPLICIT_TOKEN"], self.env["HF_TOKEN"]
        self.env["HF_TOKEN_PATH"] = str(self.folder / "elsewhere")
        (self.folder / "elsewhere").write_text("hf_good")
        self.good("pull")

    def test_token_stays_with_the_hub(self):
        self.good("pull", token="hf_good")
        for request in self.hub.requests:
            self.assertEqual("Authorization" in request.headers, not request.is_storage)
        self.assertTrue([r for r in self.hub.requests if r.is_storage])

    def test_token_that_is_none(self):
        self.bad(INVALID, "token|white space", token="hf_a\r\nX-Evil: 1")
        self.assertEqual(self.hub.requests, [])


class Faults(HubCase):
    def fault(self, *args, **what):
        self.hub.faults.append(Fault(*args, **what))

    def test_cut_goes_on(self):
        self.fault("model.safetensors", cut=50_000, times=3)
        call = self.good("pull")
        self.assert_whole()
        self.assertEqual(call.number("bytes_fetched"), call.number("bytes"))
        ranges = [r.headers.get("Range") for r in self.hub.requests
                  if r.is_storage and r.path.endswith("/model.safetensors") and "Dense" not in r.path]
        self.assertEqual(ranges, [None, "bytes=50000-", "bytes=100000-", "bytes=150000-"])

    def test_cut_without_progress_gives_up(self):
        self.fault("model.safetensors", cut=0, times=99)
        self.bad(IO, "o/m", retries=3)
        tries = [r for r in self.hub.requests
                 if r.is_storage and r.path.endswith("/model.safetensors") and "Dense" not in r.path]
        self.assertEqual(len(tries), 4)
        self.assertEqual(self.pulled(), {})

    def test_progress_gives_back_the_retries(self):
        self.fault("model.safetensors", cut=20_000, times=9)
        self.good("pull", retries=1)
        self.assert_whole()

    def test_wrong_length(self):
        self.fault("model.safetensors", short=1000, times=1)
        self.good("pull")
        self.assert_whole()

    def test_wrong_length_for_good(self):
        self.fault("model.safetensors", content=WEIGHTS[:-1], times=99)
        self.bad(IO, "o/m|model.safetensors|199999 bytes came, expected 200000", retries=2)
        shutil.rmtree(self.cache)
        self.fault("tokenizer_config.json", content=b"{} and more", times=99)
        self.bad(FORMAT, "o/m|tokenizer_config.json|longer than the 2 bytes")
        self.assertEqual(self.pulled(), {})

    def test_wrong_hash(self):
        self.fault("model.safetensors", content=b"x" + WEIGHTS[1:], times=1)
        self.good("pull")
        self.assert_whole()

    def test_wrong_hash_for_good(self):
        self.fault("model.safetensors", content=b"x" + WEIGHTS[1:], times=99)
        self.bad(FORMAT, "o/m|model.safetensors|has hash|nothing of it was kept")
        self.assertEqual(self.leftovers(), [])
        shutil.rmtree(self.cache)
        self.fault("config.json", content=b'{"model_type": "BERT"}', times=99)
        self.bad(FORMAT, "o/m|config.json|has hash")
        self.assertEqual(self.leftovers(), [])
        self.assertEqual(self.pulled(), {})
        self.assertFalse((self.repo_folder / "refs").exists())

    def test_damaged_part_starts_over(self):
        part = pathlib.Path(str(self.blob("model.safetensors")) + ".incomplete")
        for content in (b"y" * 1000, b"y" * len(WEIGHTS), b"y" * (len(WEIGHTS) + 1)):
            shutil.rmtree(self.repo_folder, ignore_errors=True)
            part.parent.mkdir(parents=True)
            part.write_bytes(content)
            self.good("pull")
            self.assert_whole()

    def test_range_ignored(self):
        self.fault("model.safetensors", cut=50_000, times=1)
        self.fault("model.safetensors", no_range=True, times=1)
        self.good("pull")
        self.assert_whole()

    def test_range_of_something_else(self):
        self.fault("model.safetensors", cut=50_000, times=1)
        self.fault("model.safetensors", bad_range=True, times=1)
        self.bad(FORMAT, "asked for bytes from 50000, got those from 50001")
        self.good("pull")
        self.assert_whole()

    def test_chunked(self):
        for path in ("", "model.safetensors", "config.json"):
            self.fault(path, chunked=True)
        self.good("pull")
        self.assert_whole()

    def test_503_then_good(self):
        for path in ("", "model.safetensors", "redirect:model.safetensors", "config.json"):
            self.fault(path, code=503, times=2)
        call = self.good("pull")
        self.assert_whole()
        self.assertIn("waiting: 503, again in", call.stderr)

    def test_503_for_good(self):
        self.fault("", code=503, times=99)
        self.bad(IO, "o/m|answers 503", retries=2)
        self.assertEqual(len(self.hub.requests), 3)
        self.bad(IO, "o/m|answers 503", retries=-1)
        self.assertEqual(len(self.hub.requests), 4)

    def test_429_waits_as_asked(self):
        self.fault("model.safetensors", code=429, headers={"Retry-After": "1"})
        began = time.monotonic()
        call = self.good("pull")
        self.assertGreaterEqual(time.monotonic() - began, 1)
        self.assertIn("waiting: 429, again in 1.0 s", call.stderr)
        self.assert_whole()

    def test_429_for_too_long(self):
        self.fault("", code=429, headers={"Retry-After": "3600"})
        self.bad(IO, "429|asks to wait 3600 s")

    def test_listed_but_missing(self):
        self.fault("config.json", code=404, headers={"X-Error-Code": "EntryNotFound"}, times=9)
        self.bad(NOT_FOUND, "o/m|lists config.json, but does not have it")

    def test_endless_refusal(self):
        self.fault("", code=404, body=b"x" * 1_000_000)
        self.bad(FORMAT, "404|endless")

    def test_stall(self):
        self.fault("model.safetensors", stall=3, times=1)
        self.good("pull", timeout_ms=1000)
        self.assert_whole()

    def test_stall_for_good(self):
        self.fault("", stall=3, times=9)
        self.bad(TIMEOUT, "nothing came for 1 s", timeout_ms=1000, retries=-1)

    def test_slow_is_no_fault(self):
        self.fault("tokenizer.json", trickle=0.4)
        call = self.good("pull", timeout_ms=1000)
        self.assertGreater(call.number("ticks"), 5)

    def test_nobody_there(self):
        port = self.hub.main.server_port
        self.hub.main.shutdown()
        self.hub.main.server_close()
        began = time.monotonic()
        self.bad(IO, f"http://127.0.0.1:{port}")
        self.assertLess(time.monotonic() - began, 3)

    def test_redirects(self):
        there = f"{self.hub.storage_url}/{self.commit}/model.safetensors"
        for code in (301, 302, 303, 307, 308):
            shutil.rmtree(self.cache, ignore_errors=True)
            self.fault("redirect:model.safetensors", location=there, redirect=code)
            self.good("pull")
        for evil in ("ftp://127.0.0.1/x", "file:///etc/passwd", "http://a@127.0.0.1/", "http://"):
            shutil.rmtree(self.cache)
            self.hub.faults.clear()
            self.fault("redirect:model.safetensors", location=evil)
            self.bad(FORMAT, "address that is none")
        self.hub.faults.clear()
        shutil.rmtree(self.cache)
        self.fault("config.json", location="/o/m/resolve/main/config.json", times=99)
        self.bad(FORMAT, "more than 8 redirects")

    def test_no_etag(self):
        self.hub.says_blobs = False
        self.fault("config.json", no_etag=True, on="HEAD", times=9)
        self.bad(FORMAT, "config.json|ETag|nothing to check it against")

    def test_bad_lists(self):
        for body in (b"", b"[]", b"{", b"\xff", b'{"sha": 3}', b'{"sha": "abc", "siblings": []}',
                     json.dumps(snapshot_of([]) | {"siblings": {}}).encode(),
                     json.dumps(snapshot_of(["a", "a"])).encode(),
                     b"[" * 100_000):
            self.hub.faults.clear()
            self.fault("", content=body or b" ")
            self.bad(FORMAT, "o/m|list of files")

    def test_hostile_names(self):
        for name in ("../evil", "/evil", "a/../../evil", "a//b", "./a", "a\\..\\evil", "c:evil",
                     "a\nb", "", "x" * 300, "/".join("abcdefghijk")):
            self.hub.edit = lambda answer, name=name: answer | {
                "siblings": answer["siblings"] + [{"rfilename": name}]}
            self.bad(FORMAT, "list of files|file name|expected one inside the model")
        self.hub.edit = lambda answer: answer | {"sha": "../../evil"}
        self.bad(FORMAT, "expected a commit")
        self.hub.edit = lambda answer: answer | {"siblings": [
            {"rfilename": "config.json", "blobId": "../../../evil", "size": 2}]}
        self.bad(FORMAT, "expected SHA-1 or SHA-256")
        modules = json.dumps([{"path": "../../../.."}]).encode()
        self.hub.edit = lambda answer: answer
        self.hub.add("o/n", FILES | {"modules.json": modules})
        self.bad(FORMAT, "modules.json|expected a folder inside", "o/n")
        self.assertFalse([p for p in self.folder.rglob("*evil*")])

    def test_hostile_sizes(self):
        self.hub.edit = lambda answer: answer | {"siblings": [
            s | ({"size": 10**16, "lfs": None} if s["rfilename"] == "config.json" else {})
            for s in answer["siblings"]]}
        self.bad(CAPACITY, "config.json is 10.0 PB|limit of 100.0 GB")
        self.bad(CAPACITY, "needs 10.0 PB|are free in", bytes_max=2 * 10**16)
        self.hub.edit = lambda answer: answer
        self.bad(CAPACITY, "model.safetensors|limit of 150.0 kB", bytes_max=150_000)

    def test_cancel(self):
        self.fault("model.safetensors", trickle=0.01)
        self.bad(CANCELLED, "o/m|cancelled|goes on from there", cancel_at=50_000)
        part = pathlib.Path(str(self.blob("model.safetensors")) + ".incomplete")
        kept = part.stat().st_size
        self.assertGreater(kept, 10_000)
        call = self.good("pull")
        self.assertEqual(call.number("bytes_fetched"),
                         len(WEIGHTS) - kept + len(FILES["2_Dense/model.safetensors"]))
        self.assert_whole()

    def test_killed(self):
        self.fault("model.safetensors", trickle=0.02, times=1)
        part = pathlib.Path(str(self.blob("model.safetensors")) + ".incomplete")
        process = self.start("pull")
        while process.poll() is None and (not part.exists() or part.stat().st_size < 20_000):
            time.sleep(0.01)
        process.send_signal(signal.SIGKILL)
        process.communicate()
        self.assertEqual(self.pulled(), {})
        call = self.good("pull")
        self.assertLessEqual(call.number("bytes_fetched"),
                             len(WEIGHTS) - 20_000 + len(FILES["2_Dense/model.safetensors"]))
        self.assert_whole()

    def test_two_at_once(self):
        self.fault("model.safetensors", trickle=0.005)
        processes = [self.start("pull") for _ in range(4)]
        calls = [Call(p) for p in processes]
        self.assertEqual([c.status for c in calls], [OK] * 4, [c.message for c in calls])
        self.assertEqual(self.hub.served["model.safetensors"], 1)
        self.assertEqual(sum(c.number("bytes_fetched") for c in calls), calls[0].number("bytes"))
        self.assert_whole()

    def test_lock_file_removed_meanwhile(self):
        """As Python's filelock may: the waiter must not hold a lock that no one else sees."""
        self.fault("model.safetensors", trickle=0.005)
        first = self.start("pull")
        lock = self.cache / ".locks/models--o--m" / (etag(WEIGHTS) + ".lock")
        while not lock.exists() and first.poll() is None:
            time.sleep(0.01)
        second = self.start("pull")
        time.sleep(0.1)
        lock.unlink()
        self.assertEqual([Call(first).status, Call(second).status], [OK, OK])
        self.assert_whole()

    def test_no_permission(self):
        if os.geteuid() == 0:  # root may write anywhere but where a file stands in the way
            self.home.mkdir(parents=True)
            (self.home / "hub").write_text("a file")
            self.bad(NOT_FOUND, "a part of the path is no directory")
            return
        self.home.mkdir(parents=True)
        self.home.chmod(0o500)
        self.addCleanup(self.home.chmod, 0o700)
        self.bad(PERMISSION, "permission denied")


class Unsupported(HubCase):
    def test_no_safetensors(self):
        base = {"config.json": b"{}", "tokenizer.json": b"{}"}
        for file, words in (("pytorch_model.bin", "only pytorch_model.bin, a pickle"),
                            ("tf_model.h5", "only tf_model.h5"),
                            ("onnx/model.onnx", "only onnx/model.onnx"),
                            ("README.md", "no model that tandem can run")):
            self.hub.add("o/n", base | {file: b"x" * 3000})
            self.bad(UNSUPPORTED, f"model o/n: no model.safetensors|{words}", "o/n")
        self.assertEqual(self.hub.served.total(), 0)

    def test_pickle_in_a_module(self):
        files = dict(FILES)
        files["2_Dense/pytorch_model.bin"] = files.pop("2_Dense/model.safetensors")
        self.hub.add("o/n", files)
        self.bad(UNSUPPORTED, "no 2_Dense/model.safetensors, only 2_Dense/pytorch_model.bin", "o/n")

    def test_no_config(self):
        self.hub.add("o/n", {"model.safetensors": WEIGHTS})
        self.bad(UNSUPPORTED, "no config.json", "o/n")

    def test_bad_modules(self):
        for text in (b"{}", b"[]", b"[", b'[{"path": 3}]', json.dumps([{"path": str(i)} for i in range(99)]).encode()):
            self.hub.add("o/n", FILES | {"modules.json": text})
            self.bad(FORMAT, "modules.json", "o/n")

    def test_bad_names(self):
        for name in ("a/b/c", "../x", "a b", "@v", "a--b/c"):
            self.bad(INVALID, "expected a name", name)
        self.bad(INVALID, "expected a branch", "o/m", "../x")
        self.env["HF_ENDPOINT"] = "ftp://x"
        self.bad(INVALID, "HF_ENDPOINT|ftp://x")
        self.assertEqual(self.hub.requests, [])


class Disk(HubCase):
    def test_list(self):
        self.assertEqual(self.good("list", None).lines.get("snapshot"), None)
        self.bad(NOT_FOUND, "o/m|is not in the cache", verb="list")
        self.good("pull")
        self.repo.revisions["v1"] = self.commit
        self.good("pull", "o/m", "v1")
        new = self.repo.commit(FILES | {"config.json": b"{}"})
        self.good("pull")
        self.hub.add("a/b", FILES)
        self.good("pull", "a/b")
        call = self.good("list", None)
        names = [line.split()[:2] for line in call.lines["snapshot"]]
        self.assertEqual([n for n, _ in names], ["a/b", "o/m", "o/m"])
        self.assertEqual({c for _, c in names[1:]}, {self.commit, new})
        blobs = sum(p.stat().st_size for p in self.cache.glob("*/blobs/*"))
        self.assertEqual(call.number("bytes"), blobs)
        one = self.good("list", "o/m@v1")
        self.assertEqual(one.get("snapshot").split()[:3], ["o/m", self.commit, "[v1]"])
        self.assertEqual(len(one.lines["file"]), len(NEEDED))
        self.assertEqual(len(self.good("list", "o/m").lines["snapshot"]), 2)
        self.bad(NOT_FOUND, "revision v9 is not in the cache", "o/m", "v9", verb="list")

    def test_list_incomplete(self):
        self.good("pull")
        self.blob("model.safetensors").unlink()
        call = self.good("list", None)
        self.assertIn("no model.safetensors", call.get("snapshot"))
        self.assertTrue([f for f in call.lines["file"] if f.endswith(" missing")])

    def test_verify(self):
        self.good("pull")
        call = self.good("verify")
        self.assertEqual({f.split()[3] for f in call.lines["file"]}, {"good"})
        blob = self.blob("model.safetensors")
        blob.write_bytes(WEIGHTS[:-1] + b"?")
        call = self.bad(FORMAT, "model.safetensors|has changed", verb="verify")
        self.assertEqual([f.split()[0] for f in call.lines["file"] if f.endswith("damaged")],
                         ["model.safetensors"])
        blob.unlink()
        self.bad(FORMAT, "model.safetensors|missing", verb="verify")
        self.good("pull")  # fetches what is missing
        self.good("verify")
        blob.write_bytes(b"short")
        self.good("pull")  # and what has another length
        self.good("verify")

    def test_remove_one_of_two(self):
        self.good("pull")
        files = FILES | {"config.json": b"{}", "model.safetensors": WEIGHTS[::-1]}
        new = self.repo.commit(files)
        self.good("pull")
        call = self.good("remove", "o/m", self.commit)
        self.assertEqual(call.number("bytes_freed"), len(WEIGHTS) + len(FILES["config.json"]))
        self.assertFalse(self.snapshot().exists())
        self.assert_whole(new, files)
        self.good("verify")
        self.assertEqual((self.repo_folder / "refs/main").read_text(), new)
        self.good("remove", "o/m", "main")
        self.assertFalse(self.repo_folder.exists())
        self.bad(NOT_FOUND, "is not in the cache", verb="remove")

    def test_remove_all(self):
        self.good("pull")
        self.repo.commit(FILES | {"config.json": b"{}"})
        self.good("pull")
        self.hub.add("a/b", FILES)
        self.good("pull", "a/b")
        self.good("remove")
        left = {p.name for p in self.cache.iterdir()}
        self.assertEqual(left, {".locks", "models--a--b", "CACHEDIR.TAG"})
        self.assertEqual([p.name for p in (self.cache / ".locks").iterdir()], ["models--a--b"])
        self.good("verify", "a/b")

    def test_remove_what_was_cut_off(self):
        self.hub.faults.append(Fault("model.safetensors", cut=1000, times=99))
        self.bad(IO, "o/m", retries=-1)
        self.good("remove")
        self.assertFalse(self.repo_folder.exists())

    def test_remove_stays_inside(self):
        self.good("pull")
        outside = self.folder / "precious"
        outside.mkdir()
        (outside / "file").write_text("keep me")
        (self.snapshot() / "link").symlink_to(outside / "file")
        (self.snapshot() / "folder").symlink_to(outside)
        (self.repo_folder / "blobs" / "x").symlink_to(outside / "file")
        (self.repo_folder / "elsewhere").symlink_to(outside)
        self.good("remove")
        self.assertEqual((outside / "file").read_text(), "keep me")
        self.assertFalse(self.repo_folder.exists())
        (self.cache / "models--o--m").symlink_to(outside)
        (outside / "snapshots" / "abc").mkdir(parents=True)
        self.bad(INVALID, "no folder of the cache's own", verb="remove")
        self.assertTrue((outside / "snapshots/abc").exists())

    def test_remove_while_pulled(self):
        self.hub.faults.append(Fault("model.safetensors", trickle=0.01))
        process = self.start("pull")
        while not (self.cache / ".locks/models--o--m/pull.lock").exists():
            time.sleep(0.01)
        self.bad(CAPACITY, "in use by another process", verb="remove")
        self.assertEqual(Call(process).status, OK)
        self.assert_whole()

    def test_name_without_owner_by_python(self):
        """Python keeps "gpt2" without an owner."""
        self.good("pull")
        self.repo_folder.rename(self.cache / "models--m")
        self.assertIn("m ", self.good("list", None).get("snapshot"))
        self.good("verify", "m")
        self.good("remove", "m")
        self.assertEqual({p.name for p in self.cache.glob("models--*")}, set())


if __name__ == "__main__":
    PROGRAM = sys.argv.pop(1)
    unittest.main()
