#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The binary on the tiny model of the golden files and on all-MiniLM-L6-v2 from the Hub's cache."""
import array
import json
import os
import pathlib
import pty
import random
import signal
import stat
import struct
import subprocess
import sys
import time

from cli_case import BINARY, ROOT, TINY, Case, cosine, floats, main, rows, vectors

GOLDEN = ROOT / "tests/golden"
HIDDEN = 32  # of the tiny model


def to_f32(values):
    """The same numbers after a trip through float32."""
    return array.array("f", values).tolist()


def golden_lines(path):
    return (GOLDEN / path).read_text(encoding="utf-8").removesuffix("\n").split("\n")


class Tiny(Case):
    def embed(self, *args, **kwargs):
        return self.done("embed", "-m", TINY, *args, **kwargs)


class Input(Tiny):
    def test_sources_agree(self):
        texts = ["the cat sat on the mat", "", "Hello, World!"]
        expected = self.embed(*texts)
        data = "\n".join(texts)
        path = self.write("texts.txt", data)
        self.assertEqual(self.embed("-f", path), expected)
        self.assertEqual(self.embed(stdin=data), expected)
        self.assertEqual(self.embed(stdin=data + "\n"), expected)
        self.assertEqual(self.embed("-", stdin=data), expected)
        self.assertEqual(self.embed("-f", "-", stdin=data), expected)
        self.assertEqual(self.embed(stdin=data.replace("\n", "\r\n")), expected)
        self.assertEqual(self.embed(stdin=b"\xef\xbb\xbf" + data.encode()), expected)
        body = "\n".join(json.dumps({"id": 1, "body": t}) for t in texts)
        self.assertEqual(self.embed("--input-format", "jsonl", "--field", "body", stdin=body),
                         expected)

    def test_counts(self):
        for data, count in ((b"", 0), (b"\n", 1), (b"a", 1), (b"a\n", 1), (b"a\n\n", 2),
                            (b"\n\n\n", 3), (b"a\rb\n", 1), (b"\0\n\0", 2)):
            self.assertEqual(len(rows(self.embed(stdin=data))), count, data)

    def test_arguments_after_dashes(self):
        self.assertEqual(self.embed("--", "-f", "--help"), self.embed(stdin="-f\n--help\n"))
        self.assertEqual(self.embed("cat", "-q", "mat"), self.embed("cat", "mat"))

    def test_jsonl_errors(self):
        def bad(data, *args):
            return self.failed("embed", "-m", TINY, "--input-format", "jsonl", *args, stdin=data)

        good = '{"text": "a"}\n'
        self.assertIn("line 3: not a JSON object", bad(good + "\n" + "{text}\n"))
        self.assertIn('line 2: no field "text"', bad(good + '{"body": "a"}\n'))
        self.assertIn('line 1: no field "body"', bad(good, "--field", "body"))
        self.assertIn('line 2: field "text" is 3, expected a string', bad(good + '{"text": 3}'))
        self.assertIn("line 1: is ", bad("[1]\n"))
        self.assertRegex(bad(good + "{'text': 1}\n"), "^line 2: not a JSON object: byte [0-9]+: ")
        self.assertIn("line 2", bad(good + good.strip() + good))

    def test_rows_before_a_bad_one_are_written(self):
        result = self.run_binary("embed", "-m", TINY, "--input-format", "jsonl",
                                 stdin='{"text":"a"}\n{"text":"b"}\nnonsense\n{"text":"c"}\n')
        self.assertEqual(result.returncode, 1)
        self.assertEqual(result.stdout, self.embed("a", "b"))

    def test_invalid_utf8(self):
        for data in (b"caf\xe9", b"\xff\xfe", b"\xe2\x82", b"a\xed\xa0\x80b", b"\xf5\x80\x80\x80",
                     b"\xc0\xafx"):
            replaced = data.decode("utf-8", "replace")
            self.assertEqual(self.embed(stdin=data), self.embed(stdin=replaced), data)
            line = self.failed("embed", "-m", TINY, "--strict", stdin=b"good\n" + data)
            self.assertIn("line 2: byte ", line)
            self.assertIn("is not UTF-8", line)
        row = b'{"text": "caf\xe9"}'
        self.assertEqual(self.embed("--input-format", "jsonl", stdin=row), self.embed("caf\ufffd"))

    def test_long_lines(self):
        data = "\n".join(["cat " * 300000, "mat"]) + "\n"
        out = self.run_binary("embed", "-m", TINY, stdin=data)
        self.assertEqual(out.returncode, 0, out.stderr)
        self.assertEqual(len(rows(out.stdout)), 2)
        self.assertIn(b"line 1: cut to ", out.stderr)

    def test_many_lines_stream(self):
        rng = random.Random(1)
        words = ["cat", "mat", "sat", "the"]
        texts = [" ".join(rng.choice(words) for _ in range(rng.randrange(9))) for _ in range(3000)]
        out = rows(self.embed(stdin="\n".join(texts) + "\n"))
        self.assertEqual([row["index"] for row in out], list(range(3000)))
        for i in rng.sample(range(3000), 5):  # a chunk's neighbours change no bit
            self.assertEqual(out[i]["embedding"], vectors(self.embed(texts[i]))[0], texts[i])

    def test_slow_producer(self):
        process = subprocess.Popen([BINARY, "embed", "-m", TINY], stdin=subprocess.PIPE,
                                   stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        try:
            process.stdin.write(b"cat\n")
            process.stdin.flush()
            first = process.stdout.readline()  # comes although the input is not at its end
            self.assertEqual(json.loads(first)["index"], 0)
            out, err = process.communicate(b"mat")
            self.assertEqual((json.loads(out)["index"], err), (1, b""))
        finally:
            process.kill()
            process.communicate()

    def test_environment_twins(self):
        env = {"TANDEM_MODEL": TINY, "TANDEM_FORMAT": "csv", "TANDEM_DIMENSIONS": "3"}
        out = self.done("embed", "cat", env=env)
        self.assertEqual(out, self.embed("--format", "csv", "--dimensions", "3", "cat"))
        out = self.done("embed", "cat", "--format", "jsonl", env=env)
        self.assertEqual(len(vectors(out)[0]), 3)


class Terminal(Tiny):
    """Standard error on a terminal: words that come and go, and only when there is time to."""

    def run_on_terminal(self, feed, *args):
        parent, child = pty.openpty()
        process = subprocess.Popen([BINARY, "embed", "-m", TINY, *args], stdin=subprocess.PIPE,
                                   stdout=subprocess.DEVNULL, stderr=child)
        os.close(child)
        for data, wait in feed:
            process.stdin.write(data)
            process.stdin.flush()
            time.sleep(wait)
        process.stdin.close()
        self.assertEqual(process.wait(60), 0)
        seen = b""
        try:
            while chunk := os.read(parent, 4096):
                seen += chunk
        except OSError:  # what Linux says when the other end is closed
            pass
        os.close(parent)
        return seen

    def test_progress(self):
        slow = [(b"cat\n", 0.7), (b"mat\n", 0.7), (b"sat\n", 0.2), (b"the\n", 0.0)]
        seen = self.run_on_terminal(slow)
        self.assertRegex(seen, rb"3 texts, \d+/s")
        self.assertTrue(seen.endswith(b"\r\x1b[K"), seen)  # nothing is left on the line
        self.assertEqual(self.run_on_terminal(slow, "-q"), b"")
        self.assertEqual(self.run_on_terminal([(b"cat\n", 0.0)]), b"")

    def test_binary_is_not_for_a_terminal(self):
        parent, child = pty.openpty()
        line = self.misused("embed", "-m", TINY, "--format", "npy", "a", stdout=child)
        os.close(child)
        os.close(parent)
        self.assertIn("binary", line)


class Output(Tiny):
    TEXTS = ["the cat sat on the mat", "", "Hello, World!", "a"]

    def test_jsonl(self):
        out = self.embed(*self.TEXTS)
        self.assertTrue(out.startswith(b'{"index":0,"embedding":['))
        for i, row in enumerate(rows(out)):
            self.assertEqual(list(row), ["index", "embedding"])
            self.assertEqual(row["index"], i)
            self.assertEqual(len(row["embedding"]), HIDDEN)
            self.assertAlmostEqual(sum(x * x for x in row["embedding"]), 1.0, places=5)

    def test_formats_hold_the_same_numbers(self):
        expected = [to_f32(v) for v in vectors(self.embed(*self.TEXTS))]
        flat = [x for v in expected for x in v]
        array_rows = json.loads(self.embed(*self.TEXTS, "--format", "json"))
        self.assertEqual([to_f32(row["embedding"]) for row in array_rows], expected)
        csv = self.embed(*self.TEXTS, "--format", "csv").decode()
        self.assertEqual([to_f32(map(float, line.split(","))) for line in csv.splitlines()],
                         expected)
        self.assertEqual(floats(self.embed(*self.TEXTS, "--format", "f32")).tolist(), flat)
        header, data = self.split_npy(self.embed(*self.TEXTS, "--format", "npy"))
        self.assertEqual(header["shape"], (4, HIDDEN))
        self.assertEqual(floats(data).tolist(), flat)

    def test_shortest_decimals(self):
        text = self.embed(*self.TEXTS, "--format", "csv").decode().replace("\n", ",")
        for word in filter(None, text.split(",")):
            digits = word.lower().split("e")[0].replace("-", "").replace(".", "").strip("0")
            self.assertLessEqual(len(digits), 9, word)
            if len(digits) > 1:
                shorter = f"{float(word):.{len(digits) - 2}e}"
                self.assertNotEqual(to_f32([float(shorter)]), to_f32([float(word)]), word)

    def split_npy(self, data):
        self.assertEqual(data[:8], b"\x93NUMPY\x01\x00")
        length = struct.unpack("<H", data[8:10])[0]
        self.assertEqual((10 + length) % 64, 0)
        text = data[10:10 + length].decode()
        self.assertTrue(text.endswith("\n"))
        header = eval(text, {"__builtins__": {}})  # a literal, as NumPy's own reader takes it
        self.assertEqual(header["descr"], "<f4")
        self.assertIs(header["fortran_order"], False)
        return header, data[10 + length:]

    def test_npy_everywhere(self):
        """A pipe, a redirected file, an appended one, -o, and arguments: the same bytes."""
        data = "\n".join(self.TEXTS)
        expected = self.embed(*self.TEXTS, "--format", "npy")
        self.assertEqual(self.embed("--format", "npy", stdin=data), expected)
        self.embed("-o", "out.npy", stdin=data)
        for mode in ("wb", "ab"):
            with open(self.path("redirected"), mode) as f:
                f.write(b"before")
                f.flush()
                self.run_binary("embed", "-m", TINY, "--format", "npy", stdin=data, stdout=f)
        with open(self.path("out.npy"), "rb") as f:
            self.assertEqual(f.read(), expected)
        with open(self.path("redirected"), "rb") as f:
            self.assertEqual(f.read(), (b"before" + expected) * 2)

    def test_no_texts(self):
        self.assertEqual(self.embed(stdin=b""), b"")
        self.assertEqual(json.loads(self.embed("--format", "json", stdin=b"")), [])
        header, data = self.split_npy(self.embed("--format", "npy", stdin=b""))
        self.assertEqual((header["shape"], data), ((0, HIDDEN), b""))

    def test_file_appears_whole(self):
        path = self.write("out.jsonl", "old")
        os.chmod(path, 0o640)
        self.failed("embed", "-m", TINY, "-o", path, "--input-format", "jsonl",
                    stdin='{"text":"a"}\nbad\n')
        with open(path, encoding="utf-8") as f:
            self.assertEqual(f.read(), "old")
        self.assertEqual(os.listdir(self.folder.name), ["out.jsonl"])
        self.assertEqual(self.embed("-o", path, "a"), b"")
        with open(path, "rb") as f:
            self.assertEqual(f.read(), self.embed("a"))
        self.assertEqual(stat.S_IMODE(os.stat(path).st_mode), 0o640)
        self.assertEqual(os.listdir(self.folder.name), ["out.jsonl"])

    def test_output_follows_links_and_devices(self):
        target = self.write("target", "old")
        os.symlink(target, self.path("link"))
        self.embed("-o", self.path("link"), "a")
        self.assertTrue(os.path.islink(self.path("link")))
        with open(target, "rb") as f:
            self.assertEqual(f.read(), self.embed("a"))
        self.assertEqual(self.embed("-o", "/dev/null", "a"), b"")
        self.assertEqual(self.embed("-o", "-", "a"), self.embed("a"))

    def test_output_errors(self):
        self.assertIn("nowhere/x", self.failed("embed", "-m", TINY, "a", "-o", "nowhere/x"))
        self.assertIn("is a directory", self.failed("embed", "-m", TINY, "a", "-o", "."))

    def test_full_disk(self):
        if not os.path.exists("/dev/full"):  # Linux alone has it
            return
        for kind in ("jsonl", "json", "npy", "f32", "csv"):
            with open("/dev/full", "wb") as full:
                line = self.failed("embed", "-m", TINY, "a", "--format", kind, stdout=full)
            self.assertIn("standard output: cannot write: No space", line)

    def test_file_over_the_limit(self):
        """What a full disk does to --output: an error, and nothing is left."""
        limit = [sys.executable, "-c",
                 "import os, resource as r, sys; r.setrlimit(r.RLIMIT_FSIZE, (4096, 4096));"
                 "os.execv(sys.argv[1], sys.argv[1:])"]
        result = subprocess.run([*limit, BINARY, "embed", "-m", TINY, "-o", self.path("out")],
                                input=b"cat\n" * 100, capture_output=True, check=False)
        self.assertEqual(result.returncode, 1)
        self.assertRegex(result.stderr.decode(), r"^tandem: .*out: cannot write: File too large")
        self.assertEqual(os.listdir(self.folder.name), [])

    def test_reader_gone(self):
        path = self.write("texts", b"cat\n" * 20000)
        process = subprocess.Popen([BINARY, "embed", "-m", TINY, "-f", path],
                                   stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        try:
            process.stdout.readline()
            process.stdout.close()
            self.assertEqual(process.stderr.read(), b"")
            self.assertEqual(process.wait(60), 0)
        finally:
            process.kill()
            process.wait()
            process.stderr.close()

    def test_interrupted(self):
        """A signal leaves no unfinished file."""
        process = subprocess.Popen([BINARY, "embed", "-m", TINY, "-o", self.path("out")],
                                   stdin=subprocess.PIPE, stderr=subprocess.PIPE)
        try:
            process.stdin.write(b"cat\n")
            process.stdin.flush()
            limit = time.monotonic() + 30
            while not os.listdir(self.folder.name) and time.monotonic() < limit:
                time.sleep(0.01)
            self.assertNotEqual(os.listdir(self.folder.name), [])
            process.send_signal(signal.SIGINT)
            self.assertEqual(process.wait(30), -signal.SIGINT)
            self.assertEqual(os.listdir(self.folder.name), [])
        finally:
            process.kill()
            process.communicate()

    def test_dimensions(self):
        whole = vectors(self.embed("the cat sat on the mat"))[0]
        part = vectors(self.embed("--dimensions", "5", "the cat sat on the mat"))[0]
        length = sum(x * x for x in whole[:5]) ** 0.5
        for a, b in zip(part, whole[:5]):
            self.assertAlmostEqual(a, b / length, places=6)
        self.assertIn("33", self.failed("embed", "-m", TINY, "--dimensions", "33", "a"))

    def test_no_normalize(self):
        raw = vectors(self.embed("--no-normalize", "Hello, World!"))[0]
        unit = vectors(self.embed("Hello, World!"))[0]
        self.assertGreater(abs(sum(x * x for x in raw) - 1.0), 1e-3)
        self.assertAlmostEqual(cosine(raw, unit), 1.0, places=6)

    def test_order_done(self):
        out = rows(self.embed("--order", "done", *self.TEXTS))
        out.sort(key=lambda row: row["index"])
        self.assertEqual([r["embedding"] for r in out], vectors(self.embed(*self.TEXTS)))


class Long(Tiny):
    TEXT = "cat " * 100

    def test_truncate(self):
        result = self.run_binary("embed", "-m", TINY, "mat", self.TEXT)
        self.assertEqual(result.returncode, 0)
        self.assertRegex(result.stderr.decode(), r"^tandem: text 2: cut to \d+ tokens, \d+ dropped")
        self.assertEqual(result.stderr.count(b"\n"), 1)
        self.assertEqual(self.embed("-q", "mat", self.TEXT), result.stdout)

    def test_many_cuts_are_counted(self):
        result = self.run_binary("embed", "-m", TINY, stdin=(self.TEXT + "\n") * 40)
        lines = result.stderr.decode().splitlines()
        self.assertEqual(len(lines), 6)
        self.assertIn("line 5: cut", lines[4])
        self.assertIn("35 more texts were cut, 40 in all", lines[5])

    def test_split(self):
        whole = vectors(self.embed("--long", "split", self.TEXT))[0]
        cut = vectors(self.embed("-q", self.TEXT))[0]
        self.assertEqual(len(whole), HIDDEN)
        self.assertNotEqual(whole, cut)

    def test_error(self):
        path = self.write("in", "mat\n" + self.TEXT + "\n")
        line = self.failed("embed", "-m", TINY, "--long", "error", "-f", path)
        self.assertEqual(line, f"{path}: line 2: 102 tokens, limit 48")
        data = "mat\n" * 100 + self.TEXT
        line = self.failed("embed", "-m", TINY, "--long", "error", stdin=data)
        self.assertEqual(line, "line 101: 102 tokens, limit 48")
        line = self.failed("similarity", "-m", TINY, "--long", "error", "a", "b", self.TEXT)
        self.assertEqual(line, "text 3: 102 tokens, limit 48")
        self.embed("--long", "error", "mat")

    def test_max_length(self):
        short = self.embed("-q", "--max-length", "5", self.TEXT)
        self.assertEqual(short, self.embed("cat cat cat"))
        self.assertIn("64", self.failed("embed", "-m", TINY, "--max-length", "1000", "a"))

    def test_prompt(self):
        self.assertIn("nosuch", self.failed("embed", "-m", TINY, "--prompt", "nosuch", "a"))


class Lanes(Tiny):
    def test_missing_lane_is_replaced_and_said(self):
        expected = self.embed("cat")
        lanes = {lane["name"]: lane for lane in json.loads(self.done("doctor", "--json"))["lanes"]}
        missing = [n for n in ("ane", "metal", "cuda") if not lanes.get(n, {}).get("available")]
        for name in missing:
            result = self.run_binary("embed", "-m", TINY, "--lane", name, "cat")
            self.assertEqual((result.returncode, result.stdout), (0, expected))
            self.assertIn(f"instead of {name}", result.stderr.decode())

    def test_reference_lane(self):
        ours = vectors(self.embed("--dtype", "f32", "the cat sat"))[0]
        reference = vectors(self.embed("--lane", "ref", "--dtype", "f32", "the cat sat"))[0]
        self.assertGreater(cosine(ours, reference), 0.999999)

    def test_verbose(self):
        result = self.run_binary("embed", "-m", TINY, "-v", "cat", "mat")
        self.assertRegex(result.stderr.decode(), r"lane \w+, \w+: 2 texts, \d+ tokens in ")

    def test_golden(self):
        texts = golden_lines("tiny-bert/texts.txt")
        expected = floats((GOLDEN / "tiny-bert/mean.f32").read_bytes())
        self.assertEqual(len(expected), len(texts) * HIDDEN)
        single = [i for i, t in enumerate(texts) if "\t" not in t]
        data = "".join(texts[i] + "\n" for i in single)
        for dtype, gate in (("f32", 0.999999), ("f16", 0.9999)):
            out = vectors(self.embed("-q", "--max-length", "48", "--dtype", dtype, stdin=data))
            self.assertEqual(len(out), len(single))
            for i, vector in zip(single, out):
                row = expected[i * HIDDEN:(i + 1) * HIDDEN]
                self.assertGreater(cosine(vector, row), gate, texts[i])

    def test_selftest(self):
        text = self.done("selftest", "-m", TINY, "--dtype", "f32").decode()
        self.assertRegex(text, r"(?m)^cpu .* passed$")
        report = json.loads(self.done("selftest", "-m", TINY, "--json"))
        self.assertTrue(report["tests"] and all(t["passed"] for t in report["tests"]))
        self.done("selftest", "-m", TINY, "--report", stderr=None)
        with open(self.path("tandem-selftest.md"), encoding="utf-8") as f:
            report = f.read()
        for word in ("passed", "processor  ", "system     ", "## What runs where", "lane ref ",
                     "  metal  missing", '{"model":'):
            self.assertIn(word, report)
        result = self.run_binary("selftest", "-m", TINY, "--report", "named.md")
        self.assertTrue(os.path.exists(self.path("named.md")), result.stderr)
        line = self.failed("selftest", "-m", "no/such", "--report", "failed.md", "-q")
        with open(self.path("failed.md"), encoding="utf-8") as f:
            self.assertIn("## Error\n\n```\n" + line, f.read())


class Tokenize(Tiny):
    def test_rows(self):
        for row in rows(self.done("tokenize", "-m", TINY, "the cat", "")):
            self.assertEqual(list(row), ["ids", "tokens", "offsets", "byte_offsets"])
            self.assertEqual(len({len(v) for v in row.values()}), 1)
            self.assertEqual((row["tokens"][0], row["tokens"][-1]), ("[CLS]", "[SEP]"))

    def test_cuts_are_said(self):
        args = ["tokenize", "-m", TINY, "--max-length", "5"]
        result = self.run_binary(*args, "cat", "cat " * 20)
        self.assertEqual([len(r["ids"]) for r in rows(result.stdout)], [3, 5])
        self.assertRegex(result.stderr, rb"^tandem: text 2: cut to 5 tokens, 17 dropped")
        self.assertEqual(result.stderr.count(b"\n"), 1)
        many = self.run_binary(*args, stdin="cat " * 20 + ("\n" + "cat " * 20) * 9)
        self.assertEqual(many.stderr.count(b"\n"), 6)
        self.assertIn(b"5 more texts were cut, 10 in all", many.stderr)
        self.done(*args, "-q", "cat " * 20)

    def test_added_token_has_its_white_space(self):
        # As the package `tokenizers` prints it: [MASK] of BERT takes the spaces before it.
        with open(os.path.join(TINY, "tokenizer.json"), encoding="utf-8") as f:
            tokenizer = json.load(f)
        token = next(t for t in tokenizer["added_tokens"] if t["content"] == "[MASK]")
        token["lstrip"] = True
        os.mkdir(self.path("strip"))
        self.write("strip/tokenizer.json", json.dumps(tokenizer))
        with open(os.path.join(TINY, "config.json"), "rb") as f:
            self.write("strip/config.json", f.read())
        row = rows(self.done("tokenize", "-m", self.path("strip"), "cat  [MASK]"))[0]
        self.assertEqual(row["tokens"][-2], "  [MASK]")

    def test_offsets(self):
        text = "naïve cat 漢 Hello"
        row = rows(self.done("tokenize", "-m", TINY, text))[0]
        for (a, b), (c, d) in zip(row["offsets"], row["byte_offsets"]):
            self.assertEqual(text[a:b].encode(), text.encode()[c:d])

    def test_golden_ids(self):
        texts = golden_lines("tiny-bert/texts.txt")
        ids = golden_lines("tiny-bert/ids.txt")
        self.assertEqual(len(texts), len(ids))
        single = [i for i, t in enumerate(texts) if "\t" not in t]
        data = "".join(texts[i] + "\n" for i in single)
        out = rows(self.done("tokenize", "-q", "-m", TINY, "--max-length", "48", stdin=data))
        self.assertEqual(len(out), len(single))
        for i, row in zip(single, out):
            self.assertEqual(" ".join(map(str, row["ids"])), ids[i], texts[i])

    def test_decode(self):
        text = "the cat sat on the mat."
        ids = rows(self.done("tokenize", "-m", TINY, text))[0]["ids"]
        decode = ["tokenize", "--decode", "-m", TINY]
        listed = " ".join(map(str, ids))
        for given in (listed, listed.replace(" ", ", "), json.dumps(ids), json.dumps({"ids": ids})):
            whole = rows(self.done(*decode, given))
            self.assertEqual([list(row) for row in whole], [["text"]])
            self.assertTrue(whole[0]["text"].startswith("[CLS] "), whole)
            self.assertTrue(whole[0]["text"].endswith(" [SEP]"), whole)
            bare = rows(self.done(*decode, "--skip-special", given))[0]["text"]
            self.assertEqual(f"[CLS] {bare} [SEP]", whole[0]["text"])
        plain = rows(self.done("tokenize", "--skip-special", "-m", TINY, text))[0]["ids"]
        self.assertEqual(plain, ids[1:-1])
        out = self.done("tokenize", "-m", TINY, text, "", text)
        again = rows(self.done(*decode, "--skip-special", stdin=out))
        self.assertEqual([row["text"] for row in again], [bare, "", bare])
        named = json.dumps({"x": ids})
        self.assertEqual(rows(self.done(*decode, "--field", "x", "-d", named)), whole)

    def test_decode_refuses(self):
        decode = ["tokenize", "-d", "-m", TINY]
        for line, message in (("1 two 3", 'line 2: "two" is no token id'),
                              ("1 -1", "line 2: -1 is no token id"),
                              ("[1, 2.5]", "line 2: 2.5 is no token id"),
                              ("[1, [2]]", "is no token id"),
                              ("[1, 2", "line 2: not valid JSON: byte"),
                              ('{"id": [1]}', 'line 2: no field "ids"'),
                              ('{"ids": 1}', 'line 2: field "ids" is 1, expected a list'),
                              ("99999999", "line 2: no token has the id 99999999, the vocabulary"),
                              ("99999999999999999999", "is no token id")):
            self.assertIn(message, self.failed(*decode, stdin=f"1 2\n{line}\n"), line)
        self.assertIn("text 1: ", self.failed(*decode, "x"))

    def test_decoder_that_cannot_be_used(self):
        tokenizer = json.loads((pathlib.Path(TINY) / "tokenizer.json").read_text())
        tokenizer["decoder"] = {"type": "CTC"}
        path = self.write("tokenizer.json", json.dumps(tokenizer))
        model = os.path.dirname(path)
        self.done("tokenize", "-m", model, "the cat")
        said = self.failed("tokenize", "-d", "-m", model, "1 2")
        self.assertTrue(said.startswith(f'{path}: decoder: type: "CTC" is not supported'), said)

    def test_needs_no_weights(self):
        os.mkdir(self.path("bare"))
        for name in ("tokenizer.json", "config.json"):
            with open(os.path.join(TINY, name), "rb") as f:
                self.write("bare/" + name, f.read())
        self.assertEqual(self.done("tokenize", "-m", self.path("bare"), "cat"),
                         self.done("tokenize", "-m", TINY, "cat"))


class MiniLM(Case):
    """The default model, which the test set-up puts into the Hub's cache."""

    def test_golden(self):
        texts = golden_lines("minilm/texts.txt")
        expected = floats((GOLDEN / "minilm/mean.f32").read_bytes())
        self.assertEqual(len(expected), len(texts) * 384)
        single = [i for i, t in enumerate(texts) if "\t" not in t]
        data = "".join(texts[i] + "\n" for i in single)
        out = vectors(self.done("embed", "-q", "--dtype", "f32", stdin=data))
        self.assertEqual(len(out), len(single))
        for i, vector in zip(single, out):
            row = expected[i * 384:(i + 1) * 384]
            self.assertGreaterEqual(cosine(vector, row), 0.999999, texts[i])
            self.assertLessEqual(max(abs(a - b) for a, b in zip(vector, row)), 2e-5, texts[i])

    def test_similarity(self):
        text = self.done("similarity", "A cat sleeps", "A kitten naps", "Stocks fell").decode()
        near, far = [line.split("\t") for line in text.splitlines()]
        self.assertEqual((near[1], far[1]), ("A kitten naps", "Stocks fell"))
        self.assertGreater(float(near[0]), float(far[0]) + 0.3)
        cut = self.run_binary("similarity", "--max-length", "8", "a", "b", "word " * 20)
        self.assertRegex(cut.stderr, rb"^tandem: text 3: cut to 8 tokens")
        out = rows(self.done("similarity", "--json", "a", stdin="a\nb\tc\n"))
        self.assertEqual([r["text"] for r in out], ["a", "b\tc"])
        self.assertAlmostEqual(out[0]["similarity"], 1.0, places=6)


if __name__ == "__main__":
    main()
