#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""`tandem model` from outside, with a fake Hub: test_model_command.py TANDEM"""
import json
import os
import pty
import select
import subprocess
import threading

from fake_hub import Fault
from hub_case import WEIGHTS, NEEDED, HubCase, main


class Command(HubCase):
    def tandem(self, *args, code=0, stdin=subprocess.DEVNULL):
        run = subprocess.run([self.program, "model", *args], env=self.env, text=True, stdin=stdin,
                             capture_output=True, timeout=60, check=False)
        self.assertEqual(run.returncode, code, run.stdout + run.stderr)
        return run

    def says(self, words, *args, code=1):
        run = self.tandem(*args, code=code)
        self.assertEqual(run.stderr.count("\n"), 1, run.stderr)
        for word in words.split("|"):
            self.assertIn(word, run.stderr)
        return run

    def test_usage(self):
        self.says("pull, list, info, verify or remove", "fetch", code=2)
        for action in ("pull", "info", "remove"):
            self.says(action + " needs the name", action, code=2)
        self.says("--revision needs the name", "list", "--revision", "v1", code=2)
        self.says("arguments, expected at least 1", code=2)
        self.says("unexpected argument", "pull", "a/b", "c/d", code=2)

    def test_pull(self):
        run = self.tandem("pull", "o/m")
        self.assertEqual(run.stdout, f"{self.snapshot()}\n")
        self.assertEqual(run.stderr, "")
        self.assert_whole()
        self.assertIn(f"{len(NEEDED)} files, ", self.tandem("pull", "-v", "o/m").stderr)
        self.says("o/m|no revision \"v9\"", "pull", "o/m", "--revision", "v9")
        self.says("offline|o/x", "pull", "o/x", "--offline")
        self.says("none of this name", "pull", "o/none")

    def test_list_and_info(self):
        self.assertEqual(self.tandem("list").stdout, "")
        self.tandem("pull", "o/m")
        run = self.tandem("list")
        self.assertEqual(run.stdout.split()[:2], ["o/m", "main"])
        self.assertIn("1 in ", run.stderr)
        row = json.loads(self.tandem("list", "--json").stdout)
        self.assertEqual((row["name"], row["commit"], row["refs"], row["missing"]),
                         ("o/m", self.commit, "main", ""))
        self.assertEqual(row["file_count"], len(NEEDED))
        row = json.loads(self.tandem("info", "o/m@main", "--json").stdout)
        self.assertEqual({f["name"] for f in row["files"]}, NEEDED)
        self.assertEqual(row["folder"], str(self.snapshot()))
        text = self.tandem("info", "o/m").stdout
        self.assertIn(f"commit  {self.commit}\n", text)
        self.assertIn("state   whole\n", text)
        self.says("o/x is not in the cache", "info", "o/x")
        self.blob("model.safetensors").unlink()
        self.assertIn("not whole: no model.safetensors", self.tandem("list").stdout)

    def test_verify(self):
        self.tandem("pull", "o/m")
        self.assertEqual(self.tandem("verify").stdout.count("  good\n"), len(NEEDED))
        self.blob("model.safetensors").write_bytes(b"!" + WEIGHTS[1:])
        run = self.says("model.safetensors|has changed", "verify", "o/m")
        self.assertIn("model.safetensors  damaged\n", run.stdout)
        rows = json.loads(self.tandem("verify", "--json", code=1).stdout)
        self.assertEqual({f["name"] for f in rows["files"] if f["state"] == "damaged"},
                         {"model.safetensors"})

    def test_remove(self):
        self.tandem("pull", "o/m")
        self.says("nobody to ask|--yes", "remove", "o/m")
        self.assert_whole()
        self.assertIn("o/m: removed, ", self.tandem("remove", "o/m", "--yes").stderr)
        self.assertFalse(self.repo_folder.exists())
        self.says("is not in the cache", "remove", "o/m", "--yes")

    def on_terminal(self, *args, answer=b""):
        """Exit status and all that a terminal shows."""
        control, terminal = pty.openpty()
        process = subprocess.Popen([self.program, "model", *args], env=self.env, stdin=terminal,
                                   stdout=terminal, stderr=terminal)
        os.close(terminal)
        killer = threading.Timer(60, process.kill)
        killer.start()
        os.write(control, answer)
        seen = b""
        while True:
            try:
                select.select([control], [], [], 60)
                piece = os.read(control, 65536)
            except OSError:  # Linux's word for the end
                break
            if not piece:
                break
            seen += piece
        killer.cancel()
        os.close(control)
        return process.wait(), seen.decode()

    def test_asks_before_removing(self):
        self.tandem("pull", "o/m")
        code, seen = self.on_terminal("remove", "o/m", answer=b"n\n")
        self.assertEqual(code, 1)
        self.assertIn("Remove? [y/N]", seen)
        self.assert_whole()
        self.assertEqual(self.on_terminal("remove", "o/m", answer=b"y\n")[0], 0)
        self.assertFalse(self.repo_folder.exists())

    def test_progress_after_a_second(self):
        self.hub.faults.append(Fault("model.safetensors", trickle=0.01))
        code, seen = self.on_terminal("pull", "o/m")
        self.assertEqual(code, 0)
        self.assertIn("model.safetensors  ", seen)
        self.assertIn("kB/s  [#", seen)
        self.assertRegex(seen, r"\d+%  0:0\d left")
        self.assertTrue(seen.endswith(f"\r\x1b[K{self.snapshot()}\r\n"), repr(seen[-300:]))


if __name__ == "__main__":
    main()
