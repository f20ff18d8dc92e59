#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What is in the cache: list, verify, remove: test_disk.py HUB_CALL"""
import time

from fake_hub import Fault
from hub_case import (OK, INVALID, NOT_FOUND, FORMAT, IO, CAPACITY, WEIGHTS, FILES, NEEDED,
                      HubCase, Call, main)


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
        while not ((self.cache / ".locks/models--o--m/pull.lock").exists()
                   and any(self.repo_folder.glob("blobs/*"))):
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
    main()
