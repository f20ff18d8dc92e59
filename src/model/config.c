/* SPDX-License-Identifier: Apache-2.0 */
#include "model/config.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/fail.h"
#include "model/family_refine.h"

#define HIDDEN_MAX    65536
#define FFN_MAX       1048576
#define VOCAB_MAX     16777216
#define POSITIONS_MAX 1048576
#define TYPES_MAX     1024

static tandem_status read_size(const tandem_json *root, tandem_config_int key, int64_t min,
                               int64_t max, int32_t *value, tandem_error *err) {
    int64_t number = key.fallback;
    if (key.other != NULL) {
        TANDEM_TRY(tandem__json_read_int(root, key.other, min, max, &number, err));
    }
    if (key.key != NULL) {
        TANDEM_TRY(tandem__json_read_int(root, key.key, min, max, &number, err));
    }
    *value = (int32_t)number;
    return TANDEM_OK;
}

static tandem_status read_sizes(const tandem_json *root, const tandem_config_keys *keys,
                                tandem_plan *plan, tandem_error *err) {
    TANDEM_TRY(read_size(root, keys->hidden, 1, HIDDEN_MAX, &plan->hidden, err));
    TANDEM_TRY(read_size(root, keys->layers, 1, TANDEM_LAYERS_MAX, &plan->layer_count, err));
    TANDEM_TRY(read_size(root, keys->heads, 1, plan->hidden, &plan->heads, err));
    TANDEM_TRY(read_size(root, keys->ffn, 1, FFN_MAX, &plan->ffn, err));
    TANDEM_TRY(read_size(root, keys->vocab, 1, VOCAB_MAX, &plan->vocab, err));
    TANDEM_TRY(read_size(root, keys->positions, 1, POSITIONS_MAX, &plan->positions_max, err));
    TANDEM_TRY(read_size(root, keys->types, 0, TYPES_MAX, &plan->types, err));
    if (plan->hidden % plan->heads != 0) {
        return TANDEM_FAIL(err, FORMAT, "%s: %d, expected a multiple of %s, which is %d",
                           keys->hidden.key, plan->hidden, keys->heads.key, plan->heads);
    }
    plan->head_dim = plan->hidden / plan->heads;
    plan->attention_scale = (float)(1.0 / sqrt((double)plan->head_dim));
    return TANDEM_OK;
}

static tandem_status read_norm_eps(const tandem_json *root, const tandem_config_keys *keys,
                                   tandem_plan *plan, tandem_error *err) {
    double eps = keys->norm_eps_fallback;
    if (keys->norm_eps_other != NULL) {
        TANDEM_TRY(tandem__json_read_double(root, keys->norm_eps_other, &eps, err));
    }
    if (keys->norm_eps != NULL) {
        TANDEM_TRY(tandem__json_read_double(root, keys->norm_eps, &eps, err));
    }
    if (!(eps >= 0.0 && eps < 1.0)) {
        return TANDEM_FAIL(err, FORMAT, "%s: %g, expected a number from 0 to 1", keys->norm_eps,
                           eps);
    }
    plan->norm_eps = (float)eps;
    return TANDEM_OK;
}

tandem_status tandem__activation_from_word(const char *key, tandem_str word,
                                           tandem_activation *activation, tandem_error *err) {
    static const struct {
        const char *word;
        tandem_activation activation;
    } words[] = {
        {"gelu", TANDEM_ACTIVATION_GELU_ERF},
        {"gelu_python", TANDEM_ACTIVATION_GELU_ERF},
        {"gelu_new", TANDEM_ACTIVATION_GELU_TANH},
        {"gelu_fast", TANDEM_ACTIVATION_GELU_TANH},
        {"gelu_pytorch_tanh", TANDEM_ACTIVATION_GELU_TANH},
        {"relu", TANDEM_ACTIVATION_RELU},
        {"silu", TANDEM_ACTIVATION_SILU},
        {"swish", TANDEM_ACTIVATION_SILU},
    };
    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++) {
        if (!tandem__str_is(word, words[i].word)) continue;
        *activation = words[i].activation;
        return TANDEM_OK;
    }
    return TANDEM_FAIL(err, UNSUPPORTED,
                       "%s: \"%.*s\", expected gelu, gelu_new, gelu_fast, gelu_pytorch_tanh, relu "
                       "or silu",
                       key, TANDEM_STR_ARG(word));
}

static tandem_status read_activation(const tandem_json *root, const tandem_config_keys *keys,
                                     tandem_activation *activation, tandem_error *err) {
    tandem_str word = tandem__str(keys->activation_fallback);
    TANDEM_TRY(tandem__json_read_str(root, keys->activation, &word, err));
    return tandem__activation_from_word(keys->activation, word, activation, err);
}

/* Fields that change the computation in ways that no plan says. */
static tandem_status refuse_unknown(const tandem_json *root, tandem_error *err) {
    static const char *const flags[] = {"is_decoder", "add_cross_attention", "is_encoder_decoder"};
    for (size_t i = 0; i < sizeof flags / sizeof flags[0]; i++) {
        bool is_set = false;
        TANDEM_TRY(tandem__json_read_bool(root, flags[i], &is_set, err));
        if (is_set) {
            return TANDEM_FAIL(err, UNSUPPORTED, "%s: true, expected false: tandem runs encoders",
                               flags[i]);
        }
    }
    const tandem_json *quantized = tandem__json_get(root, "quantization_config");
    if (quantized != NULL && quantized->kind != TANDEM_JSON_NULL) {
        return TANDEM_FAIL(err, UNSUPPORTED,
                           "quantization_config: %s, expected weights in f32, "
                           "f16 or bf16",
                           tandem__json_label(quantized).text);
    }
    const tandem_json *pruned = tandem__json_get(root, "pruned_heads");
    if (pruned != NULL && pruned->count != 0) {
        return TANDEM_FAIL(err, UNSUPPORTED, "pruned_heads: %s, expected none",
                           tandem__json_label(pruned).text);
    }
    return TANDEM_OK;
}

static tandem_status read_position(const tandem_json *root, const tandem_family *family,
                                   tandem_plan *plan, tandem_error *err) {
    plan->position = family->position;
    if (family->position != TANDEM_POSITION_ABSOLUTE) return TANDEM_OK;
    tandem_str type = TANDEM_STR("absolute");
    TANDEM_TRY(tandem__json_read_str(root, "position_embedding_type", &type, err));
    if (tandem__str_is(type, "absolute")) return TANDEM_OK;
    return TANDEM_FAIL(err, UNSUPPORTED, "position_embedding_type: \"%.*s\", expected \"absolute\"",
                       TANDEM_STR_ARG(type));
}

/* Whether the first of "architectures" ends with `task`. */
static bool names_task(const tandem_json *root, const char *task) {
    const tandem_json *classes = tandem__json_get(root, "architectures");
    if (classes == NULL || classes->kind != TANDEM_JSON_ARRAY || classes->count == 0) return false;
    return classes->first->kind == TANDEM_JSON_STRING &&
           tandem__str_ends(classes->first->text, task);
}

/* As transformers: num_labels wins, else as many as id2label names, else 2. */
static tandem_status read_label_count(const tandem_json *root, int32_t *count,
                                      const tandem_json **names, tandem_error *err) {
    const tandem_json *map = tandem__json_get(root, "id2label");
    const bool has_map = map != NULL && map->kind == TANDEM_JSON_OBJECT && map->count > 0;
    if (has_map && map->count > TANDEM_LABELS_MAX) {
        return TANDEM_FAIL(err, CAPACITY, "id2label: %u labels, limit %d", map->count,
                           TANDEM_LABELS_MAX);
    }
    int64_t number = has_map ? (int64_t)map->count : 2;
    TANDEM_TRY(tandem__json_read_int(root, "num_labels", 1, TANDEM_LABELS_MAX, &number, err));
    *count = (int32_t)number;
    *names = has_map && (int64_t)map->count == number ? map : NULL;
    return TANDEM_OK;
}

static tandem_status read_labels(const tandem_json *root, tandem_arena *arena, tandem_plan *plan,
                                 tandem_config *config, tandem_error *err) {
    const tandem_json *names = NULL;
    TANDEM_TRY(read_label_count(root, &plan->labels, &names, err));
    const char **labels = tandem__arena_array(arena, (size_t)plan->labels, sizeof *labels);
    if (labels == NULL) return TANDEM_FAIL(err, MEMORY, "no memory for %d labels", plan->labels);
    if (names != NULL) {
        TANDEM_JSON_EACH(item, names) {
            int64_t index = -1;
            const tandem_json key = {.kind = TANDEM_JSON_NUMBER, .text = item->key};
            if (!tandem__json_to_int(&key, &index) || index < 0 || index >= plan->labels ||
                item->kind != TANDEM_JSON_STRING) {
                return TANDEM_FAIL(err, FORMAT,
                                   "id2label: \"%.*s\": %s, expected a number from 0 "
                                   "to %d with a name",
                                   TANDEM_STR_ARG(item->key), tandem__json_label(item).text,
                                   plan->labels - 1);
            }
            labels[index] = tandem__arena_copy(arena, item->text.ptr, item->text.len);
            if (labels[index] == NULL) return TANDEM_FAIL(err, MEMORY, "no memory for labels");
        }
    }
    for (int32_t i = 0; i < plan->labels; i++) {
        if (labels[i] != NULL) continue;
        char text[24];
        const int len = snprintf(text, sizeof text, "LABEL_%d", i);
        labels[i] = tandem__arena_copy(arena, text, (size_t)len);
        if (labels[i] == NULL) return TANDEM_FAIL(err, MEMORY, "no memory for labels");
    }
    config->labels = labels;
    return TANDEM_OK;
}

/* What makes scores where no function is named: sigmoid for one label (sentence-transformers'
 * CrossEncoder), for more what problem_type says and else softmax (transformers' pipeline). */
static tandem_status read_problem(const tandem_json *root, int32_t labels, tandem_score *score,
                                  tandem_error *err) {
    tandem_str type = TANDEM_STR("");
    TANDEM_TRY(tandem__json_read_str(root, "problem_type", &type, err));
    *score = TANDEM_SCORE_SOFTMAX;
    if (labels == 1 || tandem__str_is(type, "multi_label_classification"))
        *score = TANDEM_SCORE_SIGMOID;
    else if (tandem__str_is(type, "regression"))
        *score = TANDEM_SCORE_IDENTITY;
    return TANDEM_OK;
}

tandem_status tandem__score_from_name(tandem_str name, tandem_score *score, tandem_error *err) {
    static const struct {
        const char *name;
        tandem_score score;
    } names[] = {
        {"torch.nn.modules.linear.Identity", TANDEM_SCORE_IDENTITY},
        {"torch.nn.modules.activation.Sigmoid", TANDEM_SCORE_SIGMOID},
        {"torch.nn.modules.activation.Softmax", TANDEM_SCORE_SOFTMAX},
    };
    if (!tandem__str_starts(name, "torch.")) return TANDEM_OK; /* none, or not trusted there */
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        if (!tandem__str_is(name, names[i].name)) continue;
        *score = names[i].score;
        return TANDEM_OK;
    }
    return TANDEM_FAIL(err, UNSUPPORTED,
                       "activation_fn: \"%.*s\", expected Identity, Sigmoid or "
                       "Softmax of torch.nn.modules",
                       TANDEM_STR_ARG(name));
}

static tandem_status read_score(const tandem_json *root, int32_t labels, tandem_score *score,
                                tandem_error *err) {
    tandem_str name = TANDEM_STR("");
    const tandem_json *own = tandem__json_get(root, "sentence_transformers");
    TANDEM_TRY(tandem__json_read_str(root, "sbert_ce_default_activation_function", &name, err));
    TANDEM_TRY(tandem__json_read_str(own, "activation_fn", &name, err));
    TANDEM_TRY(read_problem(root, labels, score, err));
    return tandem__score_from_name(name, score, err);
}

static void fill_dims(const tandem_plan *plan, int64_t *dims) {
    dims[TANDEM_DIM_ONE] = 1;
    dims[TANDEM_DIM_HIDDEN] = plan->hidden;
    dims[TANDEM_DIM_ATTENTION] = (int64_t)plan->heads * plan->head_dim;
    dims[TANDEM_DIM_FFN] = plan->ffn;
    dims[TANDEM_DIM_VOCAB] = plan->vocab;
    dims[TANDEM_DIM_POSITIONS] = plan->positions_max;
    dims[TANDEM_DIM_TYPES] = plan->types;
    dims[TANDEM_DIM_LABELS] = plan->labels;
    dims[TANDEM_DIM_EMBEDDING] = plan->hidden;
    dims[TANDEM_DIM_HEADS] = plan->heads;
}

tandem_status tandem__config_read(const tandem_json *root, tandem_arena *arena, tandem_plan *plan,
                                  tandem_config *config, tandem_error *err) {
    const tandem_family *family = NULL;
    TANDEM_TRY(tandem__family_find(root, &family, err));
    *config = (tandem_config){.family = family,
                              .is_classifier = names_task(root, "ForSequenceClassification"),
                              .rope_scale = 1.0f};
    if (names_task(root, "ForMaskedLM")) config->lm_head = TANDEM_NEED_MAY;
    plan->family = family->name;
    plan->is_norm_first = family->is_norm_first;
    plan->head_pooling = TANDEM_POOLING_CLS;
    plan->head_activation = family->head_activation;
    TANDEM_TRY(refuse_unknown(root, err));
    TANDEM_TRY(read_sizes(root, &family->keys, plan, err));
    TANDEM_TRY(read_norm_eps(root, &family->keys, plan, err));
    TANDEM_TRY(read_activation(root, &family->keys, &plan->activation, err));
    TANDEM_TRY(read_position(root, family, plan, err));
    plan->lm_activation = family->lm_head.activation;
    if (config->is_classifier) {
        TANDEM_TRY(read_labels(root, arena, plan, config, err));
        TANDEM_TRY(read_score(root, plan->labels, &config->score, err));
    }
    plan->dimensions = plan->hidden;
    fill_dims(plan, config->dims);
    if (family->keys.embedding.key != NULL) {
        int32_t width = 0;
        TANDEM_TRY(read_size(root, family->keys.embedding, 1, HIDDEN_MAX, &width, err));
        config->dims[TANDEM_DIM_EMBEDDING] = width;
    }
    if (family->refine != NULL) TANDEM_TRY(family->refine(root, plan, config, err));
    if (plan->lm_activation == TANDEM_ACTIVATION_NONE) plan->lm_activation = plan->activation;
    return TANDEM_OK;
}
