#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""rerank, classify, embed --sparse and --all-tokens, on the committed tiny models."""
import json
import math
import os
import pathlib
import shutil

from cli_case import ROOT, TINY, Case, cosine, floats, main, rows, vectors

MODELS = ROOT / "tests/golden/models"
SPLADE, RERANK, LABELS = (str(MODELS / f"tiny-{name}") for name in ("splade", "rerank", "labels"))
VOCAB = 200


def texts():
    data = (ROOT / "tests/golden/tiny-bert/texts.txt").read_text(encoding="utf-8")
    return [line for line in data.split("\n")[:-1] if "\t" not in line]


def expected(name):
    return floats((ROOT / f"tests/golden/heads/{name}.f32").read_bytes())


class Rerank(Case):
    def run_rows(self, *args, **kwargs):
        return rows(self.done("rerank", "--format", "jsonl", *args, **kwargs))

    def test_scores_are_those_of_sentence_transformers(self):
        all_texts = texts()
        for name, options in (("rerank", []), ("rerank_raw", ["--raw-scores"])):
            out = self.run_rows("-m", RERANK, "--dtype", "f32", *options, "--", all_texts[0],
                                *all_texts, stderr=None)
            self.assertEqual(sorted(row["index"] for row in out), list(range(len(all_texts))))
            for row in out:
                self.assertAlmostEqual(row["score"], expected(name)[row["index"]], delta=1e-5)
                self.assertEqual(row["text"], all_texts[row["index"]])
            scores = [row["score"] for row in out]
            self.assertEqual(scores, sorted(scores, reverse=True))

    def test_documents_from_everywhere(self):
        docs = texts()[:5]
        by_args = self.run_rows("-m", RERANK, "--", "q", *docs)
        lines = "".join(doc + "\n" for doc in docs)
        self.assertEqual(self.run_rows("-m", RERANK, "q", stdin=lines), by_args)
        self.assertEqual(self.run_rows("-m", RERANK, "q", "-f", self.write("d", lines)), by_args)
        jsonl = "".join(json.dumps({"body": doc}) + "\n" for doc in docs)
        self.assertEqual(self.run_rows("-m", RERANK, "q", "--input-format", "jsonl", "--field",
                                       "body", stdin=jsonl), by_args)

    def test_top_and_table(self):
        out = self.run_rows("-m", RERANK, "q", "a", "b", "c")
        table = self.done("rerank", "-m", RERANK, "--top-n", "2", "q", "a", "b", "c").decode()
        lines = [line.split("\t") for line in table.splitlines()]
        self.assertEqual([(int(i), t) for _, i, t in lines],
                         [(row["index"], row["text"]) for row in out[:2]])
        for line, row in zip(lines, out):
            self.assertAlmostEqual(float(line[0]), row["score"], delta=6e-5)

    def test_equal_scores_keep_their_order_over_chunks(self):
        out = self.run_rows("-m", RERANK, "q", stdin="same text\n" * 700)
        self.assertEqual([row["index"] for row in out], list(range(700)))
        self.assertEqual(len({row["score"] for row in out}), 1)

    def test_embedder_says_so(self):
        note = (f"tandem: model {TINY} is no cross-encoder: scores are the cosines of its "
                "vectors\n").encode()
        out = self.run_rows("-m", TINY, "the cat", "hello", "the cat", stderr=note)
        self.assertEqual([row["index"] for row in out], [1, 0])
        self.assertAlmostEqual(out[0]["score"], 1.0, places=5)
        a, b = vectors(self.done("embed", "-m", TINY, "the cat", "hello"))
        self.assertAlmostEqual(out[1]["score"], cosine(a, b), places=5)
        self.assertEqual(self.run_rows("-q", "-m", TINY, "the cat", "hello", "the cat"), out)

    def test_sparse_embedder(self):
        result = self.run_binary("rerank", "-m", SPLADE, "--format", "jsonl", "the cat", "one two",
                                 "the cat")
        self.assertIn(b"the dot products of its sparse vectors", result.stderr)
        a, b = [{e["index"]: e["value"] for e in row["sparse"]} for row in
                rows(self.done("embed", "--sparse", "-m", SPLADE, "the cat", "one two"))]
        found = {row["index"]: row["score"] for row in rows(result.stdout)}
        dot = sum(value * b.get(index, 0.0) for index, value in a.items())
        self.assertAlmostEqual(found[0], dot, delta=1e-4 * dot)
        self.assertAlmostEqual(found[1], sum(v * v for v in a.values()), delta=1e-4 * dot)

    def test_nothing_to_rank(self):
        self.assertEqual(self.done("rerank", "-m", RERANK, "q", stdin=""), b"")

    def test_wrong_model(self):
        line = self.failed("rerank", "-m", LABELS, "q", "a")
        self.assertEqual(line, f"model {LABELS} has 3 labels, where rerank needs one score a "
                               "pair: tandem classify is for it")

    def test_wrong_usage(self):
        self.assertIn("expected at least 1", self.misused("rerank"))
        self.assertIn("--file", self.misused("rerank", "q", "a", "-f", "x"))
        self.assertIn("one of table|jsonl", self.misused("rerank", "q", "--format", "npy"))

    def test_long_pairs(self):
        result = self.run_binary("rerank", "-m", RERANK, "q", "a", "cat " * 100)
        self.assertRegex(result.stderr, rb"^tandem: text 3: cut to 64 tokens, 40 dropped")
        self.assertNotIn(b"split", result.stderr)
        line = self.failed("rerank", "-m", RERANK, "--long", "error", "q", "cat " * 100)
        self.assertIn("text 2: 104 tokens, limit 64", line)


class Classify(Case):
    def test_scores_are_those_of_transformers(self):
        out = rows(self.done("classify", "-m", LABELS, "--dtype", "f32", "--format", "jsonl",
                             "--", *texts()))
        names = ["no", "perhaps", "yes"]
        self.assertEqual([row["index"] for row in out], list(range(len(texts()))))
        for row in out:
            scores = [label["score"] for label in row["labels"]]
            self.assertEqual(scores, sorted(scores, reverse=True))
            self.assertAlmostEqual(sum(scores), 1.0, places=5)
            for label in row["labels"]:
                at = row["index"] * 3 + names.index(label["label"])
                self.assertAlmostEqual(label["score"], expected("labels")[at], delta=1e-5)

    def test_top_raw_and_table(self):
        out = rows(self.done("classify", "-m", LABELS, "--format", "jsonl", "the cat"))[0]["labels"]
        raw = rows(self.done("classify", "-m", LABELS, "--format", "jsonl", "--raw-scores",
                             "the cat"))[0]["labels"]
        self.assertEqual([x["label"] for x in raw], [x["label"] for x in out])
        self.assertAlmostEqual(raw[0]["score"] - raw[2]["score"],
                               math.log(out[0]["score"] / out[2]["score"]), places=4)
        table = self.done("classify", "-m", LABELS, "--top", "1", "the\tcat", "x").decode()
        lines = [line.split("\t") for line in table.splitlines()]
        self.assertEqual([line[1] for line in lines], ["0", "1"])
        self.assertEqual(lines[0][2:], [out[0]["label"], "the cat"])

    def test_labels_of_control_characters_stay_on_their_line(self):
        model = self.path("model")
        shutil.copytree(LABELS, model)
        config = json.loads((pathlib.Path(LABELS) / "config.json").read_text())
        config["id2label"] = {"0": "a\n\tb\x1b", "1": "c", "2": "d"}
        (pathlib.Path(model) / "config.json").write_text(json.dumps(config))
        lines = self.done("classify", "-m", model, "x").decode().splitlines()
        self.assertEqual(sorted(line.split("\t")[2] for line in lines), ["a  b ", "c", "d"])

    def test_pairs(self):
        out = rows(self.done("classify", "-m", RERANK, "--dtype", "f32", "--pairs", "--format",
                             "jsonl", stdin="".join(f"{texts()[0]}\t{t}\n" for t in texts()),
                             stderr=None))
        for row in out:
            self.assertEqual([label["label"] for label in row["labels"]], ["LABEL_0"])
            self.assertAlmostEqual(row["labels"][0]["score"], expected("rerank")[row["index"]],
                                   delta=1e-5)
        line = self.failed("classify", "-m", LABELS, "--pairs", stdin="a\tb\nc\n")
        self.assertEqual(line, "line 2: no tab, --pairs expects one between two texts")

    def test_wrong_model(self):
        self.assertEqual(self.failed("classify", "-m", TINY, "x"),
                         f"model {TINY} is no sequence classifier: tandem embed and tandem "
                         "similarity are for it")
        self.assertIn("tandem embed --sparse", self.failed("classify", "-m", SPLADE, "x"))


class Sparse(Case):
    def test_values_are_those_of_sentence_transformers(self):
        out = rows(self.done("embed", "--sparse", "-m", SPLADE, "--dtype", "f32", "--", *texts()))
        for i, row in enumerate(out):
            self.assertEqual(row["index"], i)
            ids = [entry["index"] for entry in row["sparse"]]
            self.assertEqual(ids, sorted(set(ids)))
            dense = [0.0] * VOCAB
            for entry in row["sparse"]:
                self.assertGreater(entry["value"], 0.0)
                dense[entry["index"]] = entry["value"]
            for got, want in zip(dense, expected("splade")[i * VOCAB:(i + 1) * VOCAB]):
                self.assertAlmostEqual(got, want, delta=1e-5)

    def test_tokens_are_the_vocabulary(self):
        with open(os.path.join(SPLADE, "tokenizer.json"), encoding="utf-8") as f:
            vocabulary = json.load(f)["model"]["vocab"]
        words = {index: token for token, index in vocabulary.items()}
        row = rows(self.done("embed", "--sparse", "-m", SPLADE, "x"))[0]["sparse"]
        for entry in row:  # the model has a row more than the tokenizer has words
            self.assertEqual(entry["token"], words.get(entry["index"]))

    def test_json_is_one_array(self):
        lines = rows(self.done("embed", "--sparse", "-m", SPLADE, "a", "b"))
        self.assertEqual(json.loads(self.done("embed", "--sparse", "-m", SPLADE, "--format",
                                              "json", "a", "b")), lines)

    def test_many_texts_are_those_alone(self):
        out = rows(self.done("embed", "--sparse", "-m", SPLADE, stdin="the cat\n" * 300 + "sat\n"))
        self.assertEqual(len(out), 301)
        alone = rows(self.done("embed", "--sparse", "-m", SPLADE, "the cat"))[0]["sparse"]
        self.assertTrue(all(row["sparse"] == alone for row in out[:300]))

    def test_masked_language_model_has_both(self):
        folder = self.path("lm")
        os.mkdir(folder)
        for name in ("config.json", "model.safetensors", "tokenizer.json"):
            os.symlink(os.path.join(SPLADE, name), os.path.join(folder, name))
        sparse = rows(self.done("embed", "--sparse", "-m", folder, "x"))
        self.assertEqual(sparse, rows(self.done("embed", "--sparse", "-m", SPLADE, "x")))
        self.assertEqual(len(vectors(self.done("embed", "-m", folder, "x"))[0]), 32)

    def test_wrong_model(self):
        self.assertIn("which --sparse needs: tandem embed",
                      self.failed("embed", "--sparse", "-m", TINY, "x"))
        line = self.failed("embed", "-m", SPLADE, "x")
        self.assertIn("no embeddings but sparse ones: tandem embed --sparse", line)
        self.assertIn("sparse ones", self.failed("similarity", "-m", SPLADE, "a", "b"))

    def test_doctor(self):
        expected = ((SPLADE, ("splade", 0, False, True)), (RERANK, ("mean", 1, True, False)),
                    (LABELS, ("mean", 3, True, False)), (TINY, ("mean", 0, True, False)),
                    (str(MODELS / "tiny-modules"), ("max+cls+weightedmean", 0, True, False)))
        for model, words in expected:
            out = json.loads(self.done("doctor", "-m", model, "--explain", "--json"))
            plan = out["explain"]["plan"]
            self.assertEqual(tuple(plan[k] for k in ("pooling", "labels", "embedding", "sparse")),
                             words)
        text = self.done("doctor", "-m", LABELS, "--explain").decode()
        self.assertIn("3 labels, score softmax", text)

    def test_selftest(self):
        self.assertIn(b"cpu", self.done("selftest", "-m", SPLADE, stderr=None))

    def test_wrong_usage(self):
        for args in (["--all-tokens"], ["--format", "npy"], ["-o", "x.csv"], ["--dimensions", "8"],
                     ["--long", "split"]):
            self.assertIn("try 'tandem embed --help'",
                          self.misused("embed", "--sparse", "-m", SPLADE, *args, "x"))


class AllTokens(Case):
    def test_rows(self):
        out = rows(self.done("embed", "--all-tokens", "-m", TINY, "the cat sat", ""))
        self.assertEqual(out[0]["tokens"], ["[CLS]", "the", "cat", "sat", "[SEP]"])
        self.assertEqual(out[1]["tokens"], ["[CLS]", "[SEP]"])
        for row in out:
            self.assertEqual([len(v) for v in row["embeddings"]], [32] * len(row["tokens"]))
        mean = [sum(column) / 5 for column in zip(*out[0]["embeddings"])]
        vector = vectors(self.done("embed", "-m", TINY, "the cat sat"))[0]
        self.assertGreater(cosine(mean, vector), 0.999999)

    def test_cut_and_dimensions(self):
        result = self.run_binary("embed", "--all-tokens", "-m", TINY, "--max-length", "4",
                                 "--dimensions", "3", "the cat sat on")
        row = rows(result.stdout)[0]
        self.assertEqual(row["tokens"], ["[CLS]", "the", "cat", "[SEP]"])
        self.assertEqual([len(v) for v in row["embeddings"]], [3] * 4)
        self.assertIn(b"cut to 4 tokens, 2 dropped (a larger --max-length", result.stderr)

    def test_many_texts(self):
        out = rows(self.done("embed", "--all-tokens", "-m", TINY, stdin="the cat\n" * 200))
        self.assertEqual([row["index"] for row in out], list(range(200)))
        self.assertTrue(all(row["embeddings"] == out[0]["embeddings"] for row in out))

    def test_wrong_usage(self):
        for args in (["--format", "npy"], ["--format", "f32"], ["--format", "csv"]):
            line = self.misused("embed", "--all-tokens", "-m", TINY, *args, "x")
            self.assertIn("--all-tokens needs --format jsonl or json", line)
        self.assertIn("--long split", self.misused("embed", "--all-tokens", "--long", "split", "x"))


class NoTokens(Case):
    """A tokenizer that adds no special tokens makes none of an empty text."""

    def model(self, folder):
        copy = self.path("copy")
        shutil.copytree(folder, copy)
        path = pathlib.Path(copy, "tokenizer.json")
        tokenizer = json.loads(path.read_text())
        tokenizer["post_processor"] = None
        path.write_text(json.dumps(tokenizer))
        return copy

    def test_embed(self):
        model = self.model(TINY)
        rows = [json.loads(row) for row in
                self.done("embed", "-m", model, stdin="\n" * 40 + "one two\n").splitlines()]
        self.assertEqual(len(rows), 41)
        self.assertEqual(set(rows[0]["embedding"]), {0})
        self.assertNotEqual(set(rows[40]["embedding"]), {0})
        tokens = json.loads(self.done("embed", "-m", model, "--all-tokens", ""))
        self.assertEqual(tokens["embeddings"], [])

    def test_classify(self):
        self.assertIn("no tokens", self.failed("classify", "-m", self.model(LABELS), ""))


if __name__ == "__main__":
    main()
