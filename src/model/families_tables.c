/* SPDX-License-Identifier: Apache-2.0 */
/* The table of families. A stranger who adds one reads docs/models/README.md first.
 *
 * Names are those of the files on the Hub, which transformers' save_pretrained writes as well. What
 * old checkpoints call otherwise (LayerNorm.gamma) and the prefix of models with a head are known
 * to bind.c for all families alike. */
#include "model/family.h"
#include "model/family_refine.h"

/* clang-format off */
#define PLAN(member)  (uint16_t)offsetof(tandem_plan, member)
#define LAYER(member) (uint16_t)offsetof(tandem_plan_layer, member)
#define BIND(name, kind, slot, rows, cols, part, parts, flags)                                     \
    {name, slot, TANDEM_BINDING_##kind, TANDEM_DIM_##rows, TANDEM_DIM_##cols, part, parts, flags}
#define TABLE(name, slot, rows, cols)  BIND(name, TABLE, slot, rows, cols, 0, 1, 0)
#define LINEAR(name, slot, rows, cols) BIND(name, LINEAR, slot, rows, cols, 0, 1, 0)
#define NORM(name, slot)               BIND(name, NORM, slot, ONE, HIDDEN, 0, 1, 0)
#define END                            BIND(NULL, TABLE, 0, ONE, ONE, 0, 1, 0)
/* The bias is as the file has it. */
#define LINEAR_MAY(name, slot, rows, cols)                                                         \
    BIND(name, LINEAR, slot, rows, cols, 0, 1, TANDEM_BINDING_MAY_BIAS)
#define NORM_MAY(name, slot) BIND(name, NORM, slot, ONE, HIDDEN, 0, 1, TANDEM_BINDING_MAY_BIAS)
/* Part k of n matrices stacked in one tensor. */
#define PART(name, slot, rows, cols, k, n)     BIND(name, LINEAR, slot, rows, cols, k, n, 0)
#define PART_MAY(name, slot, rows, cols, k, n)                                                     \
    BIND(name, LINEAR, slot, rows, cols, k, n, TANDEM_BINDING_MAY_BIAS)
#define PART_BARE(name, slot, rows, cols, k, n)                                                    \
    BIND(name, LINEAR, slot, rows, cols, k, n, TANDEM_BINDING_NO_BIAS)

/* BERT, and by other prefixes and heads RoBERTa and XLM-RoBERTa */
static const tandem_binding bert_tensors[] = {
    TABLE("embeddings.word_embeddings",       PLAN(word),          VOCAB,     HIDDEN),
    TABLE("embeddings.position_embeddings",   PLAN(position_rows), POSITIONS, HIDDEN),
    TABLE("embeddings.token_type_embeddings", PLAN(type_rows),     TYPES,     HIDDEN),
    NORM("embeddings.LayerNorm",              PLAN(embedding_norm)),
    END,
};
static const tandem_binding bert_layer[] = {
    LINEAR("encoder.layer.#.attention.self.query",     LAYER(query),  ATTENTION, HIDDEN),
    LINEAR("encoder.layer.#.attention.self.key",       LAYER(key),    ATTENTION, HIDDEN),
    LINEAR("encoder.layer.#.attention.self.value",     LAYER(value),  ATTENTION, HIDDEN),
    LINEAR("encoder.layer.#.attention.output.dense",   LAYER(output), HIDDEN,    ATTENTION),
    NORM("encoder.layer.#.attention.output.LayerNorm", LAYER(attention_norm)),
    LINEAR("encoder.layer.#.intermediate.dense",       LAYER(up),     FFN,       HIDDEN),
    LINEAR("encoder.layer.#.output.dense",             LAYER(down),   HIDDEN,    FFN),
    NORM("encoder.layer.#.output.LayerNorm",           LAYER(ffn_norm)),
    END,
};
static const tandem_binding pooler_head[] = {
    LINEAR("pooler.dense", PLAN(head_dense), HIDDEN, HIDDEN),
    LINEAR("classifier",   PLAN(classifier), LABELS, HIDDEN),
    END,
};
static const tandem_binding roberta_head[] = {
    LINEAR("classifier.dense",    PLAN(head_dense), HIDDEN, HIDDEN),
    LINEAR("classifier.out_proj", PLAN(classifier), LABELS, HIDDEN),
    END,
};

/* Masked-language-model heads, E wide between. */
#define LM_DENSE(name) LINEAR(name, PLAN(lm_dense), EMBEDDING, HIDDEN)
#define LM_NORM(name)  BIND(name, NORM, PLAN(lm_norm), ONE, EMBEDDING, 0, 1, 0)
static const tandem_binding bert_lm[] = {
    LM_DENSE("cls.predictions.transform.dense"),
    LM_NORM("cls.predictions.transform.LayerNorm"),
    END,
};
static const tandem_binding roberta_lm[] = {
    LM_DENSE("lm_head.dense"),
    LM_NORM("lm_head.layer_norm"),
    END,
};
static const tandem_binding distilbert_lm[] = {
    LM_DENSE("vocab_transform"),
    LM_NORM("vocab_layer_norm"),
    END,
};
static const tandem_binding gte_lm[] = {
    LM_DENSE("lm_head.dense"),
    LM_NORM("lm_head.norm"),
    END,
};
static const tandem_binding nomic_lm[] = {
    LM_DENSE("cls.predictions.transform.dense"),
    LM_NORM("cls.predictions.transform.layer_norm"),
    END,
};
static const tandem_binding modernbert_lm[] = {
    LINEAR_MAY("head.dense", PLAN(lm_dense), HIDDEN, HIDDEN),
    NORM_MAY("head.norm",    PLAN(lm_norm)),
    END,
};
static const tandem_binding electra_lm[] = {
    LM_DENSE("generator_predictions.dense"),
    LM_NORM("generator_predictions.LayerNorm"),
    END,
};

static const tandem_binding distilbert_tensors[] = {
    TABLE("embeddings.word_embeddings",     PLAN(word),          VOCAB,     HIDDEN),
    TABLE("embeddings.position_embeddings", PLAN(position_rows), POSITIONS, HIDDEN),
    NORM("embeddings.LayerNorm",            PLAN(embedding_norm)),
    END,
};
static const tandem_binding distilbert_layer[] = {
    LINEAR("transformer.layer.#.attention.q_lin",    LAYER(query),  ATTENTION, HIDDEN),
    LINEAR("transformer.layer.#.attention.k_lin",    LAYER(key),    ATTENTION, HIDDEN),
    LINEAR("transformer.layer.#.attention.v_lin",    LAYER(value),  ATTENTION, HIDDEN),
    LINEAR("transformer.layer.#.attention.out_lin",  LAYER(output), HIDDEN,    ATTENTION),
    NORM("transformer.layer.#.sa_layer_norm",        LAYER(attention_norm)),
    LINEAR("transformer.layer.#.ffn.lin1",           LAYER(up),     FFN,       HIDDEN),
    LINEAR("transformer.layer.#.ffn.lin2",           LAYER(down),   HIDDEN,    FFN),
    NORM("transformer.layer.#.output_layer_norm",    LAYER(ffn_norm)),
    END,
};
static const tandem_binding distilbert_head[] = {
    LINEAR("pre_classifier", PLAN(head_dense), HIDDEN, HIDDEN),
    LINEAR("classifier",     PLAN(classifier), LABELS, HIDDEN),
    END,
};

static const tandem_binding mpnet_tensors[] = {
    TABLE("embeddings.word_embeddings",      PLAN(word),          VOCAB,     HIDDEN),
    TABLE("embeddings.position_embeddings",  PLAN(position_rows), POSITIONS, HIDDEN),
    NORM("embeddings.LayerNorm",             PLAN(embedding_norm)),
    TABLE("encoder.relative_attention_bias", PLAN(relative_bias), BUCKETS,   HEADS),
    END,
};
static const tandem_binding mpnet_layer[] = {
    LINEAR("encoder.layer.#.attention.attn.q",   LAYER(query),  ATTENTION, HIDDEN),
    LINEAR("encoder.layer.#.attention.attn.k",   LAYER(key),    ATTENTION, HIDDEN),
    LINEAR("encoder.layer.#.attention.attn.v",   LAYER(value),  ATTENTION, HIDDEN),
    LINEAR("encoder.layer.#.attention.attn.o",   LAYER(output), HIDDEN,    ATTENTION),
    NORM("encoder.layer.#.attention.LayerNorm",  LAYER(attention_norm)),
    LINEAR("encoder.layer.#.intermediate.dense", LAYER(up),     FFN,       HIDDEN),
    LINEAR("encoder.layer.#.output.dense",       LAYER(down),   HIDDEN,    FFN),
    NORM("encoder.layer.#.output.LayerNorm",     LAYER(ffn_norm)),
    END,
};

static const tandem_binding nomic_tensors[] = {
    TABLE("embeddings.word_embeddings",       PLAN(word),      VOCAB, HIDDEN),
    TABLE("embeddings.token_type_embeddings", PLAN(type_rows), TYPES, HIDDEN),
    NORM("emb_ln",                            PLAN(embedding_norm)),
    END,
};
static const tandem_binding nomic_layer[] = {
    PART_MAY("encoder.layers.#.attn.Wqkv",       LAYER(query),  ATTENTION, HIDDEN, 0, 3),
    PART_MAY("encoder.layers.#.attn.Wqkv",       LAYER(key),    ATTENTION, HIDDEN, 1, 3),
    PART_MAY("encoder.layers.#.attn.Wqkv",       LAYER(value),  ATTENTION, HIDDEN, 2, 3),
    LINEAR_MAY("encoder.layers.#.attn.out_proj", LAYER(output), HIDDEN,    ATTENTION),
    NORM("encoder.layers.#.norm1",               LAYER(attention_norm)),
    LINEAR_MAY("encoder.layers.#.mlp.fc11",      LAYER(up),     FFN,       HIDDEN),
    LINEAR_MAY("encoder.layers.#.mlp.fc12",      LAYER(gate),   FFN,       HIDDEN),
    LINEAR_MAY("encoder.layers.#.mlp.fc2",       LAYER(down),   HIDDEN,    FFN),
    NORM("encoder.layers.#.norm2",               LAYER(ffn_norm)),
    END,
};

static const tandem_binding gte_tensors[] = {
    TABLE("embeddings.word_embeddings",       PLAN(word),      VOCAB, HIDDEN),
    TABLE("embeddings.token_type_embeddings", PLAN(type_rows), TYPES, HIDDEN),
    NORM("embeddings.LayerNorm",              PLAN(embedding_norm)),
    END,
};
static const tandem_binding gte_layer[] = {
    PART("encoder.layer.#.attention.qkv_proj",   LAYER(query),  ATTENTION, HIDDEN, 0, 3),
    PART("encoder.layer.#.attention.qkv_proj",   LAYER(key),    ATTENTION, HIDDEN, 1, 3),
    PART("encoder.layer.#.attention.qkv_proj",   LAYER(value),  ATTENTION, HIDDEN, 2, 3),
    LINEAR("encoder.layer.#.attention.o_proj",   LAYER(output), HIDDEN,    ATTENTION),
    NORM("encoder.layer.#.attn_ln",              LAYER(attention_norm)),
    PART_BARE("encoder.layer.#.mlp.up_gate_proj", LAYER(up),    FFN,       HIDDEN, 0, 2),
    PART_BARE("encoder.layer.#.mlp.up_gate_proj", LAYER(gate),  FFN,       HIDDEN, 1, 2),
    LINEAR("encoder.layer.#.mlp.down_proj",      LAYER(down),   HIDDEN,    FFN),
    NORM("encoder.layer.#.mlp_ln",               LAYER(ffn_norm)),
    END,
};

static const tandem_binding modernbert_tensors[] = {
    TABLE("embeddings.tok_embeddings", PLAN(word), VOCAB, HIDDEN),
    NORM_MAY("embeddings.norm",        PLAN(embedding_norm)),
    NORM_MAY("final_norm",             PLAN(final_norm)),
    END,
};
static const tandem_binding modernbert_layer[] = {
    BIND("layers.#.attn_norm", NORM, LAYER(attention_norm), ONE, HIDDEN, 0, 1,
         TANDEM_BINDING_MAY_BIAS | TANDEM_BINDING_NOT_FIRST),
    PART_MAY("layers.#.attn.Wqkv", LAYER(query),  ATTENTION, HIDDEN, 0, 3),
    PART_MAY("layers.#.attn.Wqkv", LAYER(key),    ATTENTION, HIDDEN, 1, 3),
    PART_MAY("layers.#.attn.Wqkv", LAYER(value),  ATTENTION, HIDDEN, 2, 3),
    LINEAR_MAY("layers.#.attn.Wo", LAYER(output), HIDDEN,    ATTENTION),
    NORM_MAY("layers.#.mlp_norm",  LAYER(ffn_norm)),
    PART_MAY("layers.#.mlp.Wi",    LAYER(gate),   FFN,       HIDDEN, 0, 2),
    PART_MAY("layers.#.mlp.Wi",    LAYER(up),     FFN,       HIDDEN, 1, 2),
    LINEAR_MAY("layers.#.mlp.Wo",  LAYER(down),   HIDDEN,    FFN),
    END,
};
static const tandem_binding modernbert_head[] = {
    LINEAR_MAY("head.dense", PLAN(head_dense), HIDDEN, HIDDEN),
    NORM_MAY("head.norm",    PLAN(head_norm)),
    LINEAR("classifier",     PLAN(classifier), LABELS, HIDDEN),
    END,
};

/* BERT over embeddings of another width, which a projection makes H wide. */
static const tandem_binding electra_tensors[] = {
    TABLE("embeddings.word_embeddings",       PLAN(word),          VOCAB,     EMBEDDING),
    TABLE("embeddings.position_embeddings",   PLAN(position_rows), POSITIONS, EMBEDDING),
    TABLE("embeddings.token_type_embeddings", PLAN(type_rows),     TYPES,     EMBEDDING),
    BIND("embeddings.LayerNorm", NORM, PLAN(embedding_norm), ONE, EMBEDDING, 0, 1, 0),
    BIND("embeddings_project", LINEAR, PLAN(embedding_projection), HIDDEN, EMBEDDING, 0, 1,
         TANDEM_BINDING_WIDENING),
    END,
};

/* The keys that BERT, RoBERTa, MPNet and GTE share. */
#define BERT_KEYS(vocab_size, type_count)                                                          \
    {.hidden = {"hidden_size", NULL, 768},                                                         \
     .layers = {"num_hidden_layers", NULL, 12},                                                    \
     .heads = {"num_attention_heads", NULL, 12},                                                   \
     .ffn = {"intermediate_size", NULL, 3072},                                                     \
     .vocab = {"vocab_size", NULL, vocab_size},                                                    \
     .positions = {"max_position_embeddings", NULL, 512},                                          \
     .types = {"type_vocab_size", NULL, type_count},                                               \
     .activation = "hidden_act",                                                                   \
     .activation_fallback = "gelu",                                                                \
     .norm_eps = "layer_norm_eps",                                                                 \
     .norm_eps_fallback = 1e-12}

const tandem_family tandem__families[] = {
    {
        .name = "bert",
        .model_types = {"bert"},
        .class_prefixes = {"Bert"},
        .prefixes = {"bert."},
        .keys = BERT_KEYS(30522, 2),
        .position = TANDEM_POSITION_ABSOLUTE,
        .tensors = bert_tensors,
        .layer = bert_layer,
        .head = pooler_head,
        .head_activation = TANDEM_ACTIVATION_TANH,
        .lm_head = {bert_lm, "cls.predictions.decoder", "cls.predictions", false,
                    TANDEM_ACTIVATION_NONE},
    },
    {
        .name = "distilbert",
        .model_types = {"distilbert"},
        .class_prefixes = {"DistilBert"},
        .prefixes = {"distilbert."},
        .keys = {.hidden = {"dim", "hidden_size", 768},
                 .layers = {"n_layers", "num_hidden_layers", 6},
                 .heads = {"n_heads", "num_attention_heads", 12},
                 .ffn = {"hidden_dim", NULL, 3072},
                 .vocab = {"vocab_size", NULL, 30522},
                 .positions = {"max_position_embeddings", NULL, 512},
                 .activation = "activation",
                 .activation_fallback = "gelu",
                 .norm_eps_fallback = 1e-12},
        .position = TANDEM_POSITION_ABSOLUTE,
        .tensors = distilbert_tensors,
        .layer = distilbert_layer,
        .head = distilbert_head,
        .head_activation = TANDEM_ACTIVATION_RELU,
        .lm_head = {distilbert_lm, "vocab_projector", NULL, false, TANDEM_ACTIVATION_NONE},
    },
    {
        .name = "roberta",
        .model_types = {"roberta", "xlm-roberta", "camembert"},
        .class_prefixes = {"Roberta", "XLMRoberta", "Camembert"},
        .prefixes = {"roberta."},
        .keys = BERT_KEYS(50265, 2),
        .position = TANDEM_POSITION_ABSOLUTE,
        .tensors = bert_tensors,
        .layer = bert_layer,
        .head = roberta_head,
        .head_activation = TANDEM_ACTIVATION_TANH,
        .lm_head = {roberta_lm, "lm_head.decoder", "lm_head", false,
                    TANDEM_ACTIVATION_GELU_ERF},
        .refine = tandem__refine_roberta,
    },
    {
        .name = "mpnet",
        .model_types = {"mpnet"},
        .class_prefixes = {"MPNet"},
        .prefixes = {"mpnet."},
        .keys = {.hidden = {"hidden_size", NULL, 768},
                 .layers = {"num_hidden_layers", NULL, 12},
                 .heads = {"num_attention_heads", NULL, 12},
                 .ffn = {"intermediate_size", NULL, 3072},
                 .vocab = {"vocab_size", NULL, 30527},
                 .positions = {"max_position_embeddings", NULL, 512},
                 .activation = "hidden_act",
                 .activation_fallback = "gelu",
                 .norm_eps = "layer_norm_eps",
                 .norm_eps_fallback = 1e-12},
        .position = TANDEM_POSITION_RELATIVE,
        .tensors = mpnet_tensors,
        .layer = mpnet_layer,
        .head = roberta_head,
        .head_activation = TANDEM_ACTIVATION_TANH,
        .lm_head = {roberta_lm, "lm_head.decoder", "lm_head", false,
                    TANDEM_ACTIVATION_GELU_ERF},
        .refine = tandem__refine_mpnet,
    },
    {
        .name = "nomic_bert",
        .model_types = {"nomic_bert"},
        .class_prefixes = {"NomicBert"},
        .prefixes = {"nomic_bert.", "bert."},
        .keys = {.hidden = {"hidden_size", "n_embd", 768},
                 .layers = {"num_hidden_layers", "n_layer", 12},
                 .heads = {"num_attention_heads", "n_head", 12},
                 .ffn = {"intermediate_size", "n_inner", 3072},
                 .vocab = {"vocab_size", NULL, 30528},
                 .positions = {"max_position_embeddings", "n_positions", 2048},
                 .types = {"type_vocab_size", NULL, 2},
                 .activation = "hidden_act",
                 .activation_fallback = "silu",
                 .norm_eps = "layer_norm_eps",
                 .norm_eps_other = "layer_norm_epsilon",
                 .norm_eps_fallback = 1e-12},
        .position = TANDEM_POSITION_ROPE,
        .tensors = nomic_tensors,
        .layer = nomic_layer,
        .head = pooler_head,
        .head_activation = TANDEM_ACTIVATION_TANH,
        .lm_head = {nomic_lm, "cls.predictions.decoder", "cls.predictions", false,
                    TANDEM_ACTIVATION_NONE},
        .refine = tandem__refine_nomic,
    },
    {
        .name = "gte",
        .model_types = {"new", "gte"},
        .class_prefixes = {"New", "Gte"},
        .prefixes = {"new.", "gte."},
        .keys = BERT_KEYS(30528, 2),
        .position = TANDEM_POSITION_ROPE,
        .tensors = gte_tensors,
        .layer = gte_layer,
        .head = pooler_head,
        .head_activation = TANDEM_ACTIVATION_TANH,
        .lm_head = {gte_lm, "lm_head.decoder", NULL, false, TANDEM_ACTIVATION_GELU_ERF},
        .refine = tandem__refine_gte,
    },
    {
        .name = "modernbert",
        .model_types = {"modernbert"},
        .class_prefixes = {"ModernBert"},
        .prefixes = {"model."},
        .keys = {.hidden = {"hidden_size", NULL, 768},
                 .layers = {"num_hidden_layers", NULL, 22},
                 .heads = {"num_attention_heads", NULL, 12},
                 .ffn = {"intermediate_size", NULL, 1152},
                 .vocab = {"vocab_size", NULL, 50368},
                 .positions = {"max_position_embeddings", NULL, 8192},
                 .activation = "hidden_activation",
                 .activation_fallback = "gelu",
                 .norm_eps = "norm_eps",
                 .norm_eps_fallback = 1e-5},
        .position = TANDEM_POSITION_ROPE,
        .is_norm_first = true,
        .tensors = modernbert_tensors,
        .layer = modernbert_layer,
        .head = modernbert_head,
        .head_activation = TANDEM_ACTIVATION_GELU_ERF,
        .lm_head = {modernbert_lm, "decoder", NULL, true, TANDEM_ACTIVATION_GELU_ERF},
        .refine = tandem__refine_modernbert,
    },
    {
        .name = "electra",
        .model_types = {"electra"},
        .class_prefixes = {"Electra"},
        .prefixes = {"electra."},
        .keys = {.hidden = {"hidden_size", NULL, 256},
                 .layers = {"num_hidden_layers", NULL, 12},
                 .heads = {"num_attention_heads", NULL, 4},
                 .ffn = {"intermediate_size", NULL, 1024},
                 .vocab = {"vocab_size", NULL, 30522},
                 .positions = {"max_position_embeddings", NULL, 512},
                 .types = {"type_vocab_size", NULL, 2},
                 .embedding = {"embedding_size", NULL, 128},
                 .activation = "hidden_act",
                 .activation_fallback = "gelu",
                 .norm_eps = "layer_norm_eps",
                 .norm_eps_fallback = 1e-12},
        .position = TANDEM_POSITION_ABSOLUTE,
        .tensors = electra_tensors,
        .layer = bert_layer,
        .head = roberta_head,
        .head_activation = TANDEM_ACTIVATION_GELU_ERF,
        .lm_head = {electra_lm, "generator_lm_head", NULL, false, TANDEM_ACTIVATION_GELU_ERF},
    },
    {.name = NULL},
};
/* clang-format on */
