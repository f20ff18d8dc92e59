#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Makes folders of models at their real hyperparameters, with random weights, without a network.

    tools/make_real_shapes.py --out FOLDER --tokenizer tokenizer.json [MODEL...]

Run it in the virtual environment of tools/peers.txt. Each folder has what the model's folder on the
Hub has: config.json (in the Hub's spelling), model.safetensors in f32, the modules and prompts of
sentence-transformers. Where transformers reads another spelling than the Hub's, the folder
`reference` inside has it beside links to the same weights. tools/compare_models.py takes it from
there.

Weights are drawn so that an error in any of them shows: matrices and tables with standard
deviation 1/sqrt(K), biases not zero, norm gains not one. The tokenizer is that of --tokenizer in
all folders (any of BERT's kind that has no more words than the smallest model here, 30,522, such as
all-MiniLM-L6-v2's); where the model's own is of another kind, it stands in for it.
"""
import argparse
import json
import os
import pathlib
import shutil

import torch
import transformers

SEED = 20240607
TYPES = "sentence_transformers.models."
BERT = dict(vocab_size=30522, type_vocab_size=2, max_position_embeddings=512)
SMALL = dict(hidden_size=384, num_attention_heads=12, intermediate_size=1536)
XLMR = dict(vocab_size=250002, max_position_embeddings=514, type_vocab_size=1, pad_token_id=1,
            bos_token_id=0, eos_token_id=2, layer_norm_eps=1e-5)
ONE_LABEL = dict(id2label={0: "LABEL_0"}, label2id={"LABEL_0": 0})

# What the models' own code on the Hub calls the same things.
NOMIC_HUB = dict(
    model_type="nomic_bert", architectures=["NomicBertModel"], activation_function="swiglu",
    n_embd=768, n_head=12, n_inner=3072, n_layer=12, n_positions=8192, vocab_size=30528,
    type_vocab_size=2, layer_norm_epsilon=1e-12, rotary_emb_base=1000, rotary_emb_fraction=1.0,
    rotary_emb_interleaved=False, rotary_emb_scale_base=None, rotary_scaling_factor=None,
    max_trained_positions=2048, prenorm=False, parallel_block=False, use_rms_norm=False,
    causal=False, qkv_proj_bias=False, mlp_fc1_bias=False, mlp_fc2_bias=False)
GTE_HUB = dict(
    model_type="new", architectures=["NewModel"], hidden_act="gelu", hidden_size=768,
    num_hidden_layers=12, num_attention_heads=12, intermediate_size=3072, vocab_size=30528,
    type_vocab_size=0, max_position_embeddings=8192, layer_norm_eps=1e-12,
    layer_norm_type="layer_norm", position_embedding_type="rope", rope_theta=500000,
    rope_scaling={"factor": 2.0, "type": "ntk"}, logn_attention_scale=False, pack_qkv=True)


def ntk(theta, factor, head_dim):
    """(base, scale): frequencies scale * base^(-2i/D) of NTK scaling by a fixed factor."""
    return theta * factor, factor ** (-2.0 / head_dim)


# name: (class, configuration, other). Of `other`: pooling, normalize, max_length, prompts; splade;
# score: what a cross-encoder's logits go through; hub: config.json as on the Hub; rope: frequencies
# that transformers has no word for.
MODELS = {
    "bge-small-en-v1.5": ("BertModel", transformers.BertConfig(**BERT, **SMALL),
                          dict(pooling="cls", normalize=True, max_length=512)),
    "bge-base-en-v1.5": ("BertModel", transformers.BertConfig(**BERT),
                         dict(pooling="cls", normalize=True, max_length=512)),
    "bge-reranker-base": ("XLMRobertaForSequenceClassification",
                          transformers.XLMRobertaConfig(**XLMR, **ONE_LABEL), {}),
    "multilingual-e5-small": ("BertModel", transformers.BertConfig(
        vocab_size=250037, max_position_embeddings=512, type_vocab_size=2, pad_token_id=0, **SMALL),
        dict(pooling="mean", normalize=True, max_length=512)),
    "nomic-embed-text-v1.5": ("NomicBertModel", transformers.NomicBertConfig(
        max_position_embeddings=8192), dict(
            pooling="mean", max_length=8192, hub=NOMIC_HUB,
            prompts={"search_query": "search_query: ", "search_document": "search_document: "})),
    "gte-base-en-v1.5": ("GteModel", transformers.GteConfig(
        vocab_size=30528, type_vocab_size=0, pad_token_id=0,
        rope_parameters={"rope_type": "default", "rope_theta": 500000.0}), dict(
            pooling="cls", max_length=8192, hub=GTE_HUB,
            rope=ntk(500000.0, 2.0, 64))),
    "modernbert-base": ("ModernBertModel", transformers.ModernBertConfig(
        vocab_size=50368, hidden_size=768, num_hidden_layers=22, num_attention_heads=12,
        intermediate_size=1152, max_position_embeddings=8192, local_attention=128),
        dict(pooling="mean", max_length=8192)),
    "distilbert-base-sst-2": ("DistilBertForSequenceClassification", transformers.DistilBertConfig(
        vocab_size=30522, id2label={0: "NEGATIVE", 1: "POSITIVE"},
        label2id={"NEGATIVE": 0, "POSITIVE": 1}), dict(score="Softmax")),
    "stsb-roberta-base": ("RobertaForSequenceClassification", transformers.RobertaConfig(
        vocab_size=50265, max_position_embeddings=514, type_vocab_size=1, pad_token_id=1,
        bos_token_id=0, eos_token_id=2, layer_norm_eps=1e-5, **ONE_LABEL), {}),
    "ms-marco-electra-base": ("ElectraForSequenceClassification", transformers.ElectraConfig(
        **BERT, embedding_size=768, hidden_size=768, num_attention_heads=12,
        intermediate_size=3072, **ONE_LABEL), dict(score="Identity")),
    "mpnet-base": ("MPNetModel", transformers.MPNetConfig(
        vocab_size=30527, max_position_embeddings=514, layer_norm_eps=1e-5),
        dict(pooling="mean", normalize=True, max_length=384)),
    "splade-cocondenser-ensembledistil": ("BertForMaskedLM", transformers.BertConfig(**BERT),
                                          dict(splade=True)),
}


def draw(model):
    """Draws every parameter, in the order of their names."""
    generator = torch.Generator().manual_seed(SEED)
    with torch.no_grad():
        for name, parameter in sorted(model.named_parameters()):
            if parameter.dim() == 2:
                parameter.normal_(0.0, parameter.shape[1] ** -0.5, generator=generator)
                continue
            parameter.uniform_(-0.2, 0.2, generator=generator)
            is_norm = "norm" in name.lower() or "emb_ln" in name
            if is_norm and name.endswith("weight"):
                parameter.add_(1.0)


def write_json(path, value):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value, indent=2) + "\n")


def write_modules(folder, hidden, other):
    """What sentence-transformers adds around the model."""
    names = [("", "Transformer")]
    if "pooling" in other:
        names.append(("1_Pooling", "Pooling"))
        write_json(folder / "1_Pooling" / "config.json",
                   {"word_embedding_dimension": hidden,
                    "pooling_mode_cls_token": other["pooling"] == "cls",
                    "pooling_mode_mean_tokens": other["pooling"] == "mean"})
    if other.get("normalize"):
        names.append(("2_Normalize", "Normalize"))
    modules = [{"idx": i, "name": str(i), "path": path, "type": TYPES + kind}
               for i, (path, kind) in enumerate(names)]
    if other.get("splade"):
        prefix = "sentence_transformers.sparse_encoder.models."
        modules = [{"idx": 0, "name": "0", "path": "", "type": prefix + "MLMTransformer"},
                   {"idx": 1, "name": "1", "path": "1_SpladePooling",
                    "type": prefix + "SpladePooling"}]
        write_json(folder / "1_SpladePooling" / "config.json",
                   {"pooling_strategy": "max", "activation_function": "relu",
                    "word_embedding_dimension": 30522})
        write_json(folder / "config_sentence_transformers.json",
                   {"model_type": "SparseEncoder", "prompts": {"query": "", "document": ""},
                    "default_prompt_name": None, "similarity_fn_name": "dot"})
    elif "prompts" in other:
        write_json(folder / "config_sentence_transformers.json", {"prompts": other["prompts"]})
    write_json(folder / "modules.json", modules)
    write_json(folder / "sentence_bert_config.json",
               {"max_seq_length": other.get("max_length", 512), "do_lower_case": False})


def write_tokenizer(folder, source, length, config):
    """BERT's, with the types and the template of the model's kind."""
    tokenizer = json.loads(source.read_text())
    vocab = tokenizer["model"]["vocab"]
    if config.model_type in ("roberta", "xlm-roberta", "mpnet"):
        tokenizer["post_processor"] = {
            "type": "RobertaProcessing", "cls": ["[CLS]", vocab["[CLS]"]],
            "sep": ["[SEP]", vocab["[SEP]"]], "trim_offsets": False, "add_prefix_space": False}
    write_json(folder / "tokenizer.json", tokenizer)
    names = ["input_ids", "attention_mask"]
    if getattr(config, "type_vocab_size", 0) > 1:
        names.insert(1, "token_type_ids")
    write_json(folder / "tokenizer_config.json",
               {"tokenizer_class": "PreTrainedTokenizerFast", "cls_token": "[CLS]",
                "sep_token": "[SEP]", "pad_token": "[PAD]", "unk_token": "[UNK]",
                "mask_token": "[MASK]", "model_max_length": length, "model_input_names": names})


def split_hub(folder, hub, other):
    """config.json as the Hub has it; transformers' own goes to `reference`, with the same files."""
    reference = folder / "reference"
    for path in [p for p in folder.rglob("*") if p.is_file()]:
        target = reference / path.relative_to(folder)
        target.parent.mkdir(parents=True, exist_ok=True)
        os.link(path, target)
    (folder / "config.json").unlink()
    write_json(folder / "config.json", hub)
    if "rope" in other:
        base, scale = other["rope"]
        write_json(reference / "rope.json", {"base": base, "scale": scale})


def make(name, out, tokenizer):
    kind, config, other = MODELS[name]
    folder = out / name
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    if "score" in other:
        module = {"Identity": "linear.Identity", "Sigmoid": "activation.Sigmoid",
                  "Softmax": "activation.Softmax"}[other["score"]]
        config.sentence_transformers = {"activation_fn": f"torch.nn.modules.{module}",
                                        "version": "4.1.0"}
    model = getattr(transformers, kind)(config).eval()
    draw(model)
    model.save_pretrained(folder)
    if "pooling" in other or other.get("splade"):
        write_modules(folder, config.hidden_size, other)
    write_tokenizer(folder, tokenizer, other.get("max_length", 512), config)
    if "hub" in other:
        split_hub(folder, other["hub"], other)
    count = sum(p.numel() for p in model.parameters())
    print(f"{folder}: {kind}, {count / 1e6:.0f}M parameters", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--out", type=pathlib.Path, required=True)
    parser.add_argument("--tokenizer", type=pathlib.Path, required=True,
                        help="tokenizer.json with BERT's vocabulary")
    parser.add_argument("models", nargs="*", default=list(MODELS), metavar="MODEL",
                        help=", ".join(MODELS))
    arguments = parser.parse_args()
    for name in arguments.models:
        if name not in MODELS:
            parser.error(f"{name}: not a model that is known, expected one of {', '.join(MODELS)}")
        make(name, arguments.out, arguments.tokenizer)


if __name__ == "__main__":
    main()
