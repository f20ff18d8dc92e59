#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Makes tests/golden/families and tests/golden/lm from transformers: a tiny classifier and a tiny
masked language model of each family of models.

    tools/make_family_golden.py [--out tests/golden] [families/NAME...] [lm/NAME...]

Run it in the virtual environment of tools/peers.txt. The files are committed: this is needed only
when a family is added. tests/golden/README.md says what it writes.

Weights are drawn so that an error in any of them shows: matrices with standard deviation
1/sqrt(K), biases not zero, norm gains not one. Values are computed in double from the weights as
they are in the file, and rounded once.
"""
import argparse
import copy
import json
import pathlib

import numpy as np
import torch
import transformers

SIZES = dict(vocab_size=120, hidden_size=32, num_hidden_layers=2, num_attention_heads=4,
             intermediate_size=48)
LABELS = {0: "no", 1: "perhaps", 2: "yes"}
LENGTHS = [1, 2, 3, 5, 8, 9, 13, 21, 34, 40]

# family: (configuration, dtype of the file)
FAMILIES = {
    "distilbert": (transformers.DistilBertConfig(
        vocab_size=120, dim=32, n_layers=2, n_heads=4, hidden_dim=48, max_position_embeddings=40),
        torch.float16),
    "roberta": (transformers.RobertaConfig(
        **SIZES, max_position_embeddings=42, type_vocab_size=1, pad_token_id=1,
        hidden_act="gelu_new"), torch.float32),
    "mpnet": (transformers.MPNetConfig(**SIZES, max_position_embeddings=42), torch.float16),
    "nomic_bert": (transformers.NomicBertConfig(**SIZES, max_position_embeddings=40),
                   torch.float16),
    "gte": (transformers.GteConfig(
        **SIZES, max_position_embeddings=40, type_vocab_size=2, layer_norm_eps=1e-6),
        torch.bfloat16),
    "modernbert": (transformers.ModernBertConfig(
        vocab_size=120, hidden_size=32, num_hidden_layers=4, num_attention_heads=4,
        intermediate_size=48, max_position_embeddings=40, local_attention=8, pad_token_id=0,
        bos_token_id=1, eos_token_id=2, cls_token_id=1, sep_token_id=2,
        classifier_pooling="mean"), torch.float16),
    "electra": (transformers.ElectraConfig(
        **SIZES, embedding_size=16, max_position_embeddings=40), torch.float16),
}

# The same with the head of a masked language model; one of them with a decoder of its own.
LM_FAMILIES = {name: config for name, (config, _) in FAMILIES.items()}
LM_FAMILIES["bert"] = transformers.BertConfig(**SIZES, max_position_embeddings=40)
LM_FAMILIES["camembert"] = transformers.CamembertConfig(
    **SIZES, max_position_embeddings=42, type_vocab_size=1, pad_token_id=1)
UNTIED = {"distilbert"}


def draw(model, dtype, generator):
    """Redraws every parameter and rounds it to the file's dtype."""
    with torch.no_grad():
        for name, parameter in sorted(model.named_parameters()):
            if parameter.dim() == 2:
                value = torch.randn(parameter.shape, generator=generator)
                value = value / np.sqrt(parameter.shape[1])
            else:
                value = torch.rand(parameter.shape, generator=generator) * 0.4 - 0.2
                if "norm" in name.lower() and name.endswith("weight") or "emb_ln.weight" in name:
                    value = value + 1.0
            parameter.copy_(value.to(dtype).to(parameter.dtype))


def inputs(model, generator):
    types_max = getattr(model.config, "type_vocab_size", 0) or 0
    for length in LENGTHS:
        ids = torch.randint(3, model.config.vocab_size, (length,), generator=generator)
        types = torch.zeros(length, dtype=torch.long)
        if types_max > 1:
            types[length // 2:] = 1
        yield ids, types


def run(model, ids, types):
    arguments = dict(input_ids=ids[None], attention_mask=torch.ones_like(ids)[None])
    if (getattr(model.config, "type_vocab_size", 0) or 0) > 1:
        arguments["token_type_ids"] = types[None]
    base = getattr(model, model.base_model_prefix)
    with torch.no_grad():
        states = base(**arguments).last_hidden_state[0]
        logits = model(**arguments).logits[0]
    return states.numpy(), logits.numpy()


def words(values):
    return " ".join(str(int(value)) for value in values)


def write_config(folder):
    path = folder / "config.json"
    config = json.loads(path.read_text())
    config.pop("transformers_version", None)
    path.write_text(json.dumps(config, indent=2) + "\n")


def sparse(logits):
    """SPLADE's vector as it is most often, and with everything that it may have instead."""
    value = np.log1p(np.maximum(logits, 0.0))
    return value.max(axis=0), np.log1p(value).sum(axis=0)


def make_lm(name, out):
    config = copy.deepcopy(LM_FAMILIES[name])
    config.tie_word_embeddings = name not in UNTIED
    config._attn_implementation = "eager"
    generator = torch.Generator().manual_seed(20240608)
    model = transformers.AutoModelForMaskedLM.from_config(config).eval()
    draw(model, torch.float16, generator)
    folder = out / name
    folder.mkdir(parents=True, exist_ok=True)
    model.to(torch.float16).save_pretrained(folder)
    model = transformers.AutoModelForMaskedLM.from_pretrained(
        folder, attn_implementation="eager", dtype=torch.float64).eval()
    ids_lines, types_lines, rows = [], [], []
    for ids, types in inputs(model, generator):
        _, logits = run(model, ids, types)
        ids_lines.append(words(ids))
        types_lines.append(words(types))
        rows.append(sparse(logits))
    (folder / "ids.txt").write_text("\n".join(ids_lines) + "\n")
    (folder / "types.txt").write_text("\n".join(types_lines) + "\n")
    np.stack([row[0] for row in rows]).astype("<f4").tofile(folder / "max.f32")
    np.stack([row[1] for row in rows]).astype("<f4").tofile(folder / "sum.f32")
    write_config(folder)
    print("lm", name, len(rows), "texts")


def make(name, out):
    config, dtype = copy.deepcopy(FAMILIES[name])
    config.id2label = LABELS
    config.label2id = {label: number for number, label in LABELS.items()}
    config._attn_implementation = "eager"
    generator = torch.Generator().manual_seed(20240607)
    model = transformers.AutoModelForSequenceClassification.from_config(config).eval()
    draw(model, dtype, generator)
    folder = out / name
    folder.mkdir(parents=True, exist_ok=True)
    model.to(dtype).save_pretrained(folder)
    model = transformers.AutoModelForSequenceClassification.from_pretrained(
        folder, attn_implementation="eager", dtype=torch.float64).eval()
    ids_lines, types_lines, all_states, all_logits = [], [], [], []
    for ids, types in inputs(model, generator):
        states, logits = run(model, ids, types)
        ids_lines.append(words(ids))
        types_lines.append(words(types))
        all_states.append(states)
        all_logits.append(logits)
    (folder / "ids.txt").write_text("\n".join(ids_lines) + "\n")
    (folder / "types.txt").write_text("\n".join(types_lines) + "\n")
    np.concatenate(all_states).astype("<f4").tofile(folder / "last.f32")
    np.stack(all_logits).astype("<f4").tofile(folder / "logits.f32")
    write_config(folder)
    print(name, len(all_states), "texts")


def main():
    known = [f"families/{name}" for name in sorted(FAMILIES)]
    known += [f"lm/{name}" for name in sorted(LM_FAMILIES)]
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--out", type=pathlib.Path, default=pathlib.Path("tests/golden"))
    parser.add_argument("models", nargs="*", default=known)
    arguments = parser.parse_args()
    for model in arguments.models:
        kind, name = model.split("/")
        (make_lm if kind == "lm" else make)(name, arguments.out / kind)


if __name__ == "__main__":
    main()
