/* SPDX-License-Identifier: Apache-2.0 */
/* Rotary angles come in two spellings: flat keys in the models' own files (rope_theta,
 * rotary_emb_base, global_rope_theta), and since transformers 5 the object rope_parameters. */
#include "model/family_refine.h"

#include <math.h>
#include <string.h>

#include "base/fail.h"

#define MPNET_DISTANCE_MAX 128 /* fixed in transformers' MPNet */

tandem_status tandem__refine_roberta(const tandem_json *root, tandem_plan *plan,
                                     tandem_config *config, tandem_error *err) {
    int64_t padding = 1;
    (void)config;
    TANDEM_TRY(tandem__json_read_int(root, "pad_token_id", 0, plan->vocab - 1, &padding, err));
    plan->position_offset = (int32_t)padding + 1;
    if (plan->position_offset >= plan->positions_max) {
        return TANDEM_FAIL(err, FORMAT,
                           "pad_token_id: %d, expected less than "
                           "max_position_embeddings - 1, which is %d",
                           (int)padding, plan->positions_max - 1);
    }
    plan->positions_max -= plan->position_offset;
    return TANDEM_OK;
}

tandem_status tandem__refine_mpnet(const tandem_json *root, tandem_plan *plan,
                                   tandem_config *config, tandem_error *err) {
    int64_t buckets = 32;
    TANDEM_TRY(
        tandem__json_read_int(root, "relative_attention_num_buckets", 4, 256, &buckets, err));
    config->dims[TANDEM_DIM_BUCKETS] = buckets;
    plan->relative_distance_max = MPNET_DISTANCE_MAX;
    plan->position_offset = 2; /* its padding index is 1 whatever pad_token_id says */
    if (plan->positions_max <= plan->position_offset) {
        return TANDEM_FAIL(err, FORMAT, "max_position_embeddings: %d, expected over %d",
                           plan->positions_max, plan->position_offset);
    }
    plan->positions_max -= plan->position_offset;
    return TANDEM_OK;
}

static tandem_status read_theta(const tandem_json *root, const char *key, float *theta,
                                tandem_error *err) {
    double value = (double)*theta;
    TANDEM_TRY(tandem__json_read_double(root, key, &value, err));
    if (!(value > 1.0 && value < 1e12)) {
        return TANDEM_FAIL(err, FORMAT, "%s: %g, expected a number over 1", key, value);
    }
    *theta = (float)value;
    return TANDEM_OK;
}

/* The kind of an object that stretches the angles: "" where it is absent or says "default". */
static tandem_status read_rope_kind(const tandem_json *node, tandem_str *kind, tandem_error *err) {
    *kind = TANDEM_STR("");
    TANDEM_TRY(tandem__json_read_str(node, "type", kind, err));
    TANDEM_TRY(tandem__json_read_str(node, "rope_type", kind, err));
    if (tandem__str_is(*kind, "default")) *kind = TANDEM_STR("");
    return TANDEM_OK;
}

static tandem_status refuse_rope_kind(const char *key, tandem_str kind, const char *expected,
                                      tandem_error *err) {
    return TANDEM_FAIL(err, UNSUPPORTED, "%s: rope_type: \"%.*s\", expected %s", key,
                       TANDEM_STR_ARG(kind), expected);
}

static tandem_status read_rope_object(const tandem_json *root, const char *key, float *theta,
                                      tandem_error *err) {
    const tandem_json *node = tandem__json_get(root, key);
    tandem_str kind;
    TANDEM_TRY(read_rope_kind(node, &kind, err));
    if (kind.len > 0) return refuse_rope_kind(key, kind, "default", err);
    double part = 1.0;
    TANDEM_TRY(tandem__json_read_double(node, "partial_rotary_factor", &part, err));
    if (part != 1.0) {
        return TANDEM_FAIL(err, UNSUPPORTED, "%s: partial_rotary_factor: %g, expected 1", key,
                           part);
    }
    return read_theta(node, "rope_theta", theta, err);
}

/* A flag that changes the computation and has to be as the family's models have it. */
static tandem_status demand_bool(const tandem_json *root, const char *key, bool wanted,
                                 tandem_error *err) {
    bool value = wanted;
    TANDEM_TRY(tandem__json_read_bool(root, key, &value, err));
    if (value == wanted) return TANDEM_OK;
    return TANDEM_FAIL(err, UNSUPPORTED, "%s: %s, expected %s", key, value ? "true" : "false",
                       wanted ? "true" : "false");
}

static tandem_status demand_even(const tandem_plan *plan, const tandem_family *family,
                                 tandem_error *err) {
    if (plan->head_dim % 2 == 0) return TANDEM_OK;
    return TANDEM_FAIL(err, FORMAT, "%s: %d over %d heads gives %d, expected an even number",
                       family->keys.hidden.key, plan->hidden, plan->heads, plan->head_dim);
}

tandem_status tandem__refine_nomic(const tandem_json *root, tandem_plan *plan,
                                   tandem_config *config, tandem_error *err) {
    static const char *const off[] = {"prenorm",
                                      "parallel_block",
                                      "use_rms_norm",
                                      "causal",
                                      "rotary_emb_interleaved",
                                      "moe_normalize_expert_weights",
                                      "scale_attn_by_inverse_layer_idx"};
    for (size_t i = 0; i < sizeof off / sizeof off[0]; i++) {
        TANDEM_TRY(demand_bool(root, off[i], false, err));
    }
    TANDEM_TRY(demand_even(plan, config->family, err));
    tandem_str word = TANDEM_STR("swiglu");
    TANDEM_TRY(tandem__json_read_str(root, "activation_function", &word, err));
    if (tandem__str_is(word, "geglu")) {
        plan->activation = TANDEM_ACTIVATION_GELU_ERF;
    } else if (!tandem__str_is(word, "swiglu")) {
        return TANDEM_FAIL(err, UNSUPPORTED,
                           "activation_function: \"%.*s\", expected swiglu or geglu",
                           TANDEM_STR_ARG(word));
    }
    double share = 1.0;
    TANDEM_TRY(tandem__json_read_double(root, "rotary_emb_fraction", &share, err));
    if (share != 1.0) {
        return TANDEM_FAIL(err, UNSUPPORTED, "rotary_emb_fraction: %g, expected 1", share);
    }
    const char *const stretches[] = {"rotary_scaling_factor", "rotary_emb_scale_base"};
    for (size_t i = 0; i < 2; i++) {
        const tandem_json *node = tandem__json_get(root, stretches[i]);
        if (node == NULL || node->kind == TANDEM_JSON_NULL) continue;
        return TANDEM_FAIL(err, UNSUPPORTED, "%s: %s, expected null", stretches[i],
                           tandem__json_label(node).text);
    }
    config->rope_theta = 1000.0f;
    TANDEM_TRY(read_theta(root, "rotary_emb_base", &config->rope_theta, err));
    return read_rope_object(root, "rope_parameters", &config->rope_theta, err);
}

/* NTK scaling by a fixed factor s, as the models' own code has it (after kexue.fm/archives/9706):
 * frequencies (theta s)^(-2i/D) s^(-2/D). */
static tandem_status read_ntk(const tandem_json *root, const tandem_plan *plan,
                              tandem_config *config, tandem_error *err) {
    const tandem_json *node = tandem__json_get(root, "rope_scaling");
    tandem_str kind;
    TANDEM_TRY(read_rope_kind(node, &kind, err));
    if (kind.len == 0) return TANDEM_OK;
    if (!tandem__str_is(kind, "ntk")) {
        return refuse_rope_kind("rope_scaling", kind, "default or ntk", err);
    }
    const tandem_json *mixed = tandem__json_get(node, "mixed_b");
    if (mixed != NULL && mixed->kind != TANDEM_JSON_NULL) {
        return TANDEM_FAIL(err, UNSUPPORTED, "rope_scaling: mixed_b: %s, expected null",
                           tandem__json_label(mixed).text);
    }
    double factor = 0.0;
    TANDEM_TRY(tandem__json_read_double(node, "factor", &factor, err));
    if (!(factor >= 1.0 && factor <= 1e6)) {
        return TANDEM_FAIL(err, FORMAT, "rope_scaling: factor: %g, expected a number from 1",
                           factor);
    }
    config->rope_theta = (float)((double)config->rope_theta * factor);
    config->rope_scale = (float)pow(factor, -2.0 / plan->head_dim);
    return TANDEM_OK;
}

tandem_status tandem__refine_gte(const tandem_json *root, tandem_plan *plan, tandem_config *config,
                                 tandem_error *err) {
    static const struct {
        const char *key;
        const char *word;
    } words[] = {{"position_embedding_type", "rope"}, {"layer_norm_type", "layer_norm"}};
    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++) {
        tandem_str word = tandem__str(words[i].word);
        TANDEM_TRY(tandem__json_read_str(root, words[i].key, &word, err));
        if (tandem__str_is(word, words[i].word)) continue;
        return TANDEM_FAIL(err, UNSUPPORTED, "%s: \"%.*s\", expected \"%s\"", words[i].key,
                           TANDEM_STR_ARG(word), words[i].word);
    }
    TANDEM_TRY(demand_bool(root, "logn_attention_scale", false, err));
    TANDEM_TRY(demand_bool(root, "pack_qkv", true, err));
    TANDEM_TRY(demand_even(plan, config->family, err));
    /* The models' own code and transformers' differ in what an absent base means. */
    tandem_str type = TANDEM_STR("");
    TANDEM_TRY(tandem__json_read_str(root, "model_type", &type, err));
    config->rope_theta = tandem__str_is(type, "gte") ? 160000.0f : 10000.0f;
    TANDEM_TRY(read_theta(root, "rope_theta", &config->rope_theta, err));
    TANDEM_TRY(read_rope_object(root, "rope_parameters", &config->rope_theta, err));
    return read_ntk(root, plan, config, err);
}

/* Which layers are local: a list of words, or every k-th is not. */
static tandem_status read_layer_types(const tandem_json *root, const tandem_plan *plan,
                                      tandem_config *config, tandem_error *err) {
    const tandem_json *list = tandem__json_get(root, "layer_types");
    if (list == NULL || list->kind == TANDEM_JSON_NULL) {
        int64_t every = 3;
        TANDEM_TRY(tandem__json_read_int(root, "global_attn_every_n_layers", 1, TANDEM_LAYERS_MAX,
                                         &every, err));
        for (int32_t i = 0; i < plan->layer_count; i++) config->is_local[i] = i % every != 0;
        return TANDEM_OK;
    }
    if (list->kind != TANDEM_JSON_ARRAY || (int64_t)list->count != plan->layer_count) {
        return TANDEM_FAIL(err, FORMAT, "layer_types: %s, expected an array of %d words",
                           tandem__json_label(list).text, plan->layer_count);
    }
    int32_t index = 0;
    TANDEM_JSON_EACH(item, list) {
        const bool is_word = item->kind == TANDEM_JSON_STRING;
        config->is_local[index] = is_word && tandem__str_is(item->text, "sliding_attention");
        if (!config->is_local[index] &&
            !(is_word && tandem__str_is(item->text, "full_attention"))) {
            return TANDEM_FAIL(err, UNSUPPORTED,
                               "layer_types: %s, expected \"full_attention\" or "
                               "\"sliding_attention\"",
                               tandem__json_label(item).text);
        }
        index++;
    }
    return TANDEM_OK;
}

static tandem_status read_modernbert_head(const tandem_json *root, tandem_plan *plan,
                                          tandem_error *err) {
    tandem_str pooling = TANDEM_STR("cls");
    TANDEM_TRY(tandem__json_read_str(root, "classifier_pooling", &pooling, err));
    const bool is_mean = tandem__str_is(pooling, "mean");
    if (!is_mean && !tandem__str_is(pooling, "cls")) {
        return TANDEM_FAIL(err, UNSUPPORTED,
                           "classifier_pooling: \"%.*s\", expected \"cls\" or \"mean\"",
                           TANDEM_STR_ARG(pooling));
    }
    plan->head_pooling = is_mean ? TANDEM_POOLING_MEAN : TANDEM_POOLING_CLS;
    tandem_str word = TANDEM_STR("gelu");
    TANDEM_TRY(tandem__json_read_str(root, "classifier_activation", &word, err));
    TANDEM_TRY(
        tandem__activation_from_word("classifier_activation", word, &plan->head_activation, err));
    plan->lm_activation = plan->head_activation; /* its masked-language-model head is the same */
    return TANDEM_OK;
}

tandem_status tandem__refine_modernbert(const tandem_json *root, tandem_plan *plan,
                                        tandem_config *config, tandem_error *err) {
    TANDEM_TRY(demand_even(plan, config->family, err));
    int64_t span = 128; /* tokens seen, both sides together */
    TANDEM_TRY(tandem__json_read_int(root, "local_attention", 2, 1 << 20, &span, err));
    config->window = (int32_t)(span / 2);
    TANDEM_TRY(read_layer_types(root, plan, config, err));
    config->rope_theta = 160000.0f;
    config->rope_theta_local = 10000.0f;
    TANDEM_TRY(read_theta(root, "global_rope_theta", &config->rope_theta, err));
    TANDEM_TRY(read_theta(root, "local_rope_theta", &config->rope_theta_local, err));
    const tandem_json *rope = tandem__json_get(root, "rope_parameters");
    TANDEM_TRY(read_rope_object(rope, "full_attention", &config->rope_theta, err));
    TANDEM_TRY(read_rope_object(rope, "sliding_attention", &config->rope_theta_local, err));
    const tandem_json *scaling = tandem__json_get(root, "rope_scaling");
    if (scaling != NULL && scaling->kind != TANDEM_JSON_NULL) {
        return TANDEM_FAIL(err, UNSUPPORTED, "rope_scaling: %s, expected null",
                           tandem__json_label(scaling).text);
    }
    return read_modernbert_head(root, plan, err);
}
