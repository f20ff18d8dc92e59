#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Makes tests/golden/families from transformers: a tiny classifier of each family of models.

    tools/make_family_golden.py [--out tests/golden/families] [FAMILY...]

Run it in the virtual environment of tools/peers.txt. The files are committed: this is needed only
when a family is added. tests/golden/README.md says what it writes.

Weights are drawn so that an error in any of them shows: matrices with standard deviation
1/sqrt(K), biases not zero, norm gains not one. Values are computed in double from the weights as
they are in the file, and rounded once.
"""
import argparse
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


def make(name, out):
    config, dtype = FAMILIES[name]
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
    config_path = folder / "config.json"
    config = json.loads(config_path.read_text())
    config.pop("transformers_version", None)
    config_path.write_text(json.dumps(config, indent=2) + "\n")
    print(name, len(all_states), "texts")


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--out", type=pathlib.Path, default=pathlib.Path("tests/golden/families"))
    parser.add_argument("families", nargs="*", default=sorted(FAMILIES))
    arguments = parser.parse_args()
    for name in arguments.families:
        make(name, arguments.out)


if __name__ == "__main__":
    main()
