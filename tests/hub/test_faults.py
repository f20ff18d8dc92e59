#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Every fault of a network, and hostile answers: test_faults.py HUB_CALL"""
import json
import os
import pathlib
import resource
import shutil
import signal
import time

from fake_hub import CERTIFICATE, Fault, etag
from hub_case import (OK, NOT_FOUND, FORMAT, IO, PERMISSION, CAPACITY, TIMEOUT, CANCELLED, MEMORY,
                      WEIGHTS, FILES, HubCase, Call, snapshot_of, main)


class Faults(HubCase):
    def fault(self, *args, **what):
        self.hub.faults.append(Fault(*args, **what))

    def weight_requests(self):
        path = f"/{self.commit}/model.safetensors"
        return [r for r in self.hub.requests if r.is_storage and r.path == path]

    def test_cut_goes_on(self):
        self.fault("model.safetensors", cut=50_000, times=3)
        call = self.good("pull")
        self.assert_whole()
        self.assertEqual(call.number("bytes_fetched"), call.number("bytes"))
        ranges = [r.headers.get("Range") for r in self.weight_requests()]
        self.assertEqual(ranges, [None, "bytes=50000-", "bytes=100000-", "bytes=150000-"])

    def test_cut_without_progress_gives_up(self):
        self.fault("model.safetensors", cut=0, times=99)
        self.bad(IO, "o/m", retries=3)
        self.assertEqual(len(self.weight_requests()), 4)
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
        self.env["HF_HUB_DOWNLOAD_TIMEOUT"] = "1"
        self.bad(TIMEOUT, "nothing came for 1 s", timeout_ms=0, retries=-1)

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

    def test_commit_of_something_else(self):
        self.hub.edit = lambda answer: answer | {"sha": "a" * 40}
        self.bad(FORMAT, f"answers for commit {'a' * 40}, expected {self.commit}", "o/m",
                 self.commit)

    def test_write_that_fails(self):
        """As on a full disk: what fits is kept, and the next pull goes on."""
        limit = 100_000
        def fewer_bytes():
            signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
            resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
        self.bad(IO, "o/m|cannot write", preexec=fewer_bytes)
        part = pathlib.Path(str(self.blob("model.safetensors")) + ".incomplete")
        self.assertEqual(part.stat().st_size, limit)
        self.assertEqual(self.pulled(), {})
        call = self.good("pull")
        self.assertEqual(call.number("bytes_fetched"),
                         len(WEIGHTS) - limit + len(FILES["2_Dense/model.safetensors"]))
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


class Memory(HubCase):
    """The N-th allocation fails, for every N: an error, a cache that is well formed, no leak."""

    def run_out(self, verb, **options):
        for n in range(1, 200):
            call = self.call(verb, fail_at=n, **options)
            self.assertEqual(self.leftovers(), [])
            if call.status == OK:
                return n
            self.assertIn(call.status, (MEMORY, CAPACITY), call.message)
        return self.fail("it never had enough")

    def test_pull_and_look(self):
        self.assertGreater(self.run_out("pull"), 5)
        self.assert_whole()
        self.assertGreater(self.run_out("list"), 1)
        self.assertGreater(self.run_out("verify"), 1)
        self.run_out("remove")
        self.assertFalse(self.repo_folder.exists())


class Threads(HubCase):
    def test_threads(self):
        self.hub.faults.append(Fault("model.safetensors", trickle=0.002))
        self.good("pull", threads=6)
        self.assert_whole()
        self.assertEqual(self.hub.served["model.safetensors"], 1)


class Https(HubCase):
    is_https = True

    def test_certificate_of_nobody(self):
        self.env.pop("SSL_CERT_FILE", None)
        call = self.bad(IO, "o/m|certificate")
        self.assertEqual(call.number("waits"), 0)
        self.assertEqual(self.hub.requests, [])

    def test_certificate_that_is_trusted(self):
        for variable in ("SSL_CERT_FILE", "CURL_CA_BUNDLE", "REQUESTS_CA_BUNDLE"):
            shutil.rmtree(self.cache, ignore_errors=True)
            base = dict(self.env)
            self.env[variable] = CERTIFICATE
            self.good("pull", token="hf_good")
            self.env = base
            self.assert_whole()
        for request in self.hub.requests:
            self.assertEqual("Authorization" in request.headers, not request.is_storage)

    def test_never_down_to_http(self):
        self.env["SSL_CERT_FILE"] = CERTIFICATE
        self.hub.faults.append(Fault("redirect:model.safetensors", location="http://127.0.0.1:1/"))
        self.bad(FORMAT, "redirects from https to http://127.0.0.1:1/")


if __name__ == "__main__":
    main()
