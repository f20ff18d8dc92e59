#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The program without server and downloads: what it lacks it lists, and says so in one line."""
from cli_case import TINY, Case, main

SERVER = b"this build of tandem lacks the server (TANDEM_SERVER=OFF)"
HUB = b"this build of tandem lacks downloading (TANDEM_HUB=OFF)"


class Absent(Case):
    def test_the_servers_commands(self):
        text = self.done("help").decode()
        for command, args in (("serve", ["--port", "0", "-m", TINY]), ("usage", ["--json"]),
                              ("key", ["--tenant", "a"]), ("serve", ["--help"]), ("key", [])):
            self.assertRegex(text, rf"\n  {command} .*\(not in this build\)\n")
            result = self.run_binary(command, *args)
            self.assertEqual((result.returncode, result.stdout, result.stderr),
                             (1, b"", b"tandem: " + command.encode() + b": " + SERVER + b"\n"))

    def test_pull(self):
        result = self.run_binary("model", "pull", "a/b", env={"HF_HUB_CACHE": self.path("hub")})
        self.assertEqual((result.returncode, result.stdout), (1, b""))
        self.assertEqual(result.stderr.count(b"\n"), 1)
        self.assertIn(HUB, result.stderr)

    def test_what_is_there(self):
        self.assertEqual(self.done("model", "list", "-q", env={"HF_HUB_CACHE": self.path("hub")}),
                         b"")
        self.assertEqual(len(self.done("embed", "-q", "-m", TINY, "a text").splitlines()), 1)
        self.assertIn(b"serve", self.done("help", "--man"))


if __name__ == "__main__":
    main()
