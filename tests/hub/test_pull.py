#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What a pull fetches and leaves, and what it says to people: test_pull.py HUB_CALL"""
import json
import os

from fake_hub import etag
from hub_case import (INVALID, UNSUPPORTED, NOT_FOUND, FORMAT, PERMISSION, WEIGHTS, FILES, NEEDED,
                      HubCase, main)


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
        self.assertEqual(os.readlink(link),
                         "../../../blobs/" + etag(FILES["1_Pooling/config.json"]))
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
        many = json.dumps([{"path": str(i)} for i in range(99)]).encode()
        for text in (b"{}", b"[]", b"[", b'[{"path": 3}]', many):
            self.hub.add("o/n", FILES | {"modules.json": text})
            self.bad(FORMAT, "modules.json", "o/n")

    def test_bad_names(self):
        for name in ("a/b/c", "../x", "a b", "@v", "a--b/c"):
            self.bad(INVALID, "expected a name", name)
        self.bad(INVALID, "expected a branch", "o/m", "../x")
        self.env["HF_ENDPOINT"] = "ftp://x"
        self.bad(INVALID, "HF_ENDPOINT|ftp://x")
        self.assertEqual(self.hub.requests, [])


if __name__ == "__main__":
    main()
