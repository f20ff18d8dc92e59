/* SPDX-License-Identifier: Apache-2.0 */
/* The table of families. A stranger who adds one reads docs/models/README.md first.
 *
 * Names are those that transformers writes with save_pretrained. What old checkpoints call
 * otherwise (LayerNorm.gamma, a prefix or none) is known to bind.c for all families alike. */
#include "model/family.h"

#include <stdio.h>
#include <string.h>

#include "base/fail.h"

/* clang-format off */
#define PLAN(member)  (uint16_t)offsetof(tandem_plan, member)
#define LAYER(member) (uint16_t)offsetof(tandem_plan_layer, member)
#define BIND(name, kind, slot, rows, cols)                                                         \
    {name, slot, TANDEM_BINDING_##kind, TANDEM_DIM_##rows, TANDEM_DIM_##cols}
#define TABLE(name, slot, rows, cols)  BIND(name, TABLE, slot, rows, cols)
#define LINEAR(name, slot, rows, cols) BIND(name, LINEAR, slot, rows, cols)
#define NORM(name, slot)               BIND(name, NORM, slot, ONE, HIDDEN)
#define END                            BIND(NULL, TABLE, 0, ONE, ONE)

static const tandem_binding bert_tensors[] = {
    TABLE("embeddings.word_embeddings",       PLAN(word),          VOCAB,     HIDDEN),
    TABLE("embeddings.position_embeddings",   PLAN(position_rows), POSITIONS, HIDDEN),
    TABLE("embeddings.token_type_embeddings", PLAN(type_rows),     TYPES,     HIDDEN),
    NORM("embeddings.LayerNorm",              PLAN(embedding_norm)),
    END,
};

static const tandem_binding bert_layer[] = {
    LINEAR("encoder.layer.#.attention.self.query",   LAYER(query),  ATTENTION, HIDDEN),
    LINEAR("encoder.layer.#.attention.self.key",     LAYER(key),    ATTENTION, HIDDEN),
    LINEAR("encoder.layer.#.attention.self.value",   LAYER(value),  ATTENTION, HIDDEN),
    LINEAR("encoder.layer.#.attention.output.dense", LAYER(output), HIDDEN,    ATTENTION),
    NORM("encoder.layer.#.attention.output.LayerNorm", LAYER(attention_norm)),
    LINEAR("encoder.layer.#.intermediate.dense",     LAYER(up),     FFN,       HIDDEN),
    LINEAR("encoder.layer.#.output.dense",           LAYER(down),   HIDDEN,    FFN),
    NORM("encoder.layer.#.output.LayerNorm",         LAYER(ffn_norm)),
    END,
};

static const tandem_binding bert_head[] = {
    LINEAR("pooler.dense", PLAN(head_dense), HIDDEN, HIDDEN),
    LINEAR("classifier",   PLAN(classifier), LABELS, HIDDEN),
    END,
};
/* clang-format on */

static const tandem_family families[] = {
    {
        .name = "bert",
        .model_types = {"bert"},
        .class_prefix = "Bert",
        .prefix = "bert.",
        .keys = {.hidden = {"hidden_size", 768},
                 .layers = {"num_hidden_layers", 12},
                 .heads = {"num_attention_heads", 12},
                 .ffn = {"intermediate_size", 3072},
                 .vocab = {"vocab_size", 30522},
                 .positions = {"max_position_embeddings", 512},
                 .types = {"type_vocab_size", 2},
                 .activation = "hidden_act",
                 .activation_fallback = "gelu",
                 .norm_eps = "layer_norm_eps",
                 .norm_eps_fallback = 1e-12},
        .position = TANDEM_POSITION_ABSOLUTE,
        .tensors = bert_tensors,
        .layer = bert_layer,
        .head = bert_head,
        .head_activation = TANDEM_ACTIVATION_TANH,
    },
};
#define FAMILY_COUNT (sizeof families / sizeof families[0])

static tandem_status fail_unknown(const char *key, const char *value, tandem_error *err) {
    char known[200] = "";
    size_t used = 0;
    for (size_t i = 0; i < FAMILY_COUNT; i++) {
        for (size_t k = 0; k < TANDEM_FAMILY_TYPES_MAX; k++) {
            const char *type = families[i].model_types[k];
            if (type == NULL) break;
            const int put =
                snprintf(known + used, sizeof known - used, "%s%s", used == 0 ? "" : ", ", type);
            if (put < 0 || (size_t)put >= sizeof known - used) break;
            used += (size_t)put;
        }
    }
    return TANDEM_FAIL(err, UNSUPPORTED, "%s: %s is not a known architecture, expected one of %s",
                       key, value, known);
}

static const tandem_family *find_type(tandem_str type) {
    for (size_t i = 0; i < FAMILY_COUNT; i++) {
        for (size_t k = 0; k < TANDEM_FAMILY_TYPES_MAX; k++) {
            const char *known = families[i].model_types[k];
            if (known == NULL) break;
            if (tandem__str_is(type, known)) return &families[i];
        }
    }
    return NULL;
}

tandem_status tandem__family_find(const tandem_json *config, const tandem_family **family,
                                  tandem_error *err) {
    const tandem_json *type = tandem__json_get(config, "model_type");
    if (type != NULL && type->kind != TANDEM_JSON_NULL) {
        const tandem_family *found =
            type->kind == TANDEM_JSON_STRING ? find_type(type->text) : NULL;
        if (found == NULL) return fail_unknown("model_type", tandem__json_label(type).text, err);
        *family = found;
        return TANDEM_OK;
    }
    /* Checkpoints from before 2020 have the class alone. */
    const tandem_json *classes = tandem__json_get(config, "architectures");
    if (classes == NULL || classes->kind != TANDEM_JSON_ARRAY || classes->count == 0) {
        return fail_unknown("model_type", "nothing", err);
    }
    const tandem_str name = classes->first->text;
    for (size_t i = 0; i < FAMILY_COUNT; i++) {
        if (classes->first->kind != TANDEM_JSON_STRING) break;
        if (!tandem__str_starts(name, families[i].class_prefix)) continue;
        const size_t len = strlen(families[i].class_prefix);
        const bool is_whole =
            tandem__str_starts((tandem_str){name.ptr + len, name.len - len}, "Model") ||
            tandem__str_starts((tandem_str){name.ptr + len, name.len - len}, "For");
        if (!is_whole) continue;
        *family = &families[i];
        return TANDEM_OK;
    }
    return fail_unknown("architectures", tandem__json_label(classes->first).text, err);
}
