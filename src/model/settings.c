/* SPDX-License-Identifier: Apache-2.0 */
/* Lengths, prompts, similarity and matryoshka width. */
#include "model/settings.h"

#include <string.h>

#include "base/fail.h"
#include "base/file.h"
#include "base/log.h"

#define PROMPTS_MAX 1024

/* A length may be written as 1e30, "no limit" in transformers' words. False where `key` is absent
 * or null. */
static tandem_status read_length(const tandem_json *root, const char *key, double *length,
                                 bool *is_given, tandem_error *err) {
    double value = 0.0;
    const tandem_json *node = tandem__json_get(root, key);
    *is_given = node != NULL && node->kind != TANDEM_JSON_NULL;
    if (!*is_given) return TANDEM_OK;
    TANDEM_TRY(tandem__json_read_double(root, key, &value, err));
    if (!(value >= 1.0)) {
        return TANDEM_FAIL(err, FORMAT, "%s: %g, expected a number from 1", key, value);
    }
    *length = value;
    return TANDEM_OK;
}

/* The arguments that sentence-transformers hands on to transformers. Those for the configuration
 * would change the model; those for the tokenizer matter by its length alone. */
static tandem_status read_arguments(const tandem_json *root, double *length, bool *is_given,
                                    tandem_error *err) {
    static const char *const config_keys[] = {"config_kwargs", "config_args"};
    for (size_t i = 0; i < 2; i++) {
        const tandem_json *node = tandem__json_get(root, config_keys[i]);
        if (node == NULL) continue;
        TANDEM_JSON_EACH(item, node) {
            if (tandem__str_is(item->key, "trust_remote_code")) continue;
            return TANDEM_FAIL(err, UNSUPPORTED, "%s: %.*s: %s, expected it in config.json",
                               config_keys[i], TANDEM_STR_ARG(item->key),
                               tandem__json_label(item).text);
        }
    }
    const tandem_json *arguments = tandem__json_get(root, "processor_kwargs");
    if (arguments == NULL) arguments = tandem__json_get(root, "tokenizer_args");
    return read_length(arguments, "model_max_length", length, is_given, err);
}

static tandem_status read_transformer(const tandem_json *root, double *length, bool *is_given,
                                      tandem_source *source, tandem_error *err) {
    TANDEM_TRY(tandem__json_read_bool(root, "do_lower_case", &source->is_lowercased, err));
    TANDEM_TRY(read_arguments(root, length, is_given, err));
    bool has_own = false;
    double own = 0.0;
    TANDEM_TRY(read_length(root, "max_seq_length", &own, &has_own, err));
    if (!*is_given && has_own) {
        *length = own;
        *is_given = true;
    }
    return TANDEM_OK;
}

static tandem_status demand_word(const tandem_json *root, const char *key, const char *wanted,
                                 tandem_error *err) {
    tandem_str word = tandem__str(wanted);
    TANDEM_TRY(tandem__json_read_str(root, key, &word, err));
    if (tandem__str_is(word, wanted)) return TANDEM_OK;
    return TANDEM_FAIL(err, UNSUPPORTED, "%s: \"%.*s\", expected \"%s\"", key, TANDEM_STR_ARG(word),
                       wanted);
}

/* Settings that change which tokens there are: of other kinds of models, and arguments of the
 * tokenizer's call. Padding and truncation are as they are here anyway. */
static tandem_status refuse_processing(const tandem_json *root, tandem_error *err) {
    static const char *const keys[] = {"query_length", "document_length", "query_expansion"};
    for (size_t i = 0; i < sizeof keys / sizeof keys[0]; i++) {
        const tandem_json *node = tandem__json_get(root, keys[i]);
        if (node == NULL || node->kind == TANDEM_JSON_NULL) continue;
        return TANDEM_FAIL(err, UNSUPPORTED, "%s: %s, expected null", keys[i],
                           tandem__json_label(node).text);
    }
    static const char *const modalities[] = {"common", "text"};
    const tandem_json *processing = tandem__json_get(root, "processing_kwargs");
    for (size_t i = 0; i < sizeof modalities / sizeof modalities[0]; i++) {
        const tandem_json *node = tandem__json_get(processing, modalities[i]);
        if (node == NULL) continue;
        TANDEM_JSON_EACH(item, node) {
            if (tandem__str_is(item->key, "padding") || tandem__str_is(item->key, "truncation"))
                continue;
            return TANDEM_FAIL(err, UNSUPPORTED, "processing_kwargs: %s: %.*s: %s, expected none",
                               modalities[i], TANDEM_STR_ARG(item->key),
                               tandem__json_label(item).text);
        }
    }
    return TANDEM_OK;
}

/* A SpladePooling needs logits of the vocabulary, everything else hidden states. */
static tandem_status check_task(const tandem_json *root, const tandem_modules *modules,
                                tandem_error *err) {
    const bool is_splade = modules->pooling == TANDEM_POOLING_SPLADE;
    tandem_str task =
        modules->is_masked_lm ? TANDEM_STR("fill-mask") : TANDEM_STR("feature-extraction");
    TANDEM_TRY(tandem__json_read_str(root, "transformer_task", &task, err));
    const bool is_known = is_splade ? tandem__str_is(task, "fill-mask")
                                    : tandem__str_is(task, "feature-extraction") ||
                                          tandem__str_is(task, "sequence-classification");
    if (!is_known) {
        return TANDEM_FAIL(err, UNSUPPORTED, "transformer_task: \"%.*s\", expected %s",
                           TANDEM_STR_ARG(task),
                           is_splade ? "fill-mask before a SpladePooling"
                                     : "feature-extraction or sequence-classification");
    }
    const bool is_classifier = tandem__str_is(task, "sequence-classification");
    TANDEM_TRY(demand_word(root, "module_output_name",
                           is_classifier ? "scores" : "token_embeddings", err));
    const tandem_json *text = tandem__json_get(tandem__json_get(root, "modality_config"), "text");
    TANDEM_TRY(demand_word(text, "method", "forward", err));
    return demand_word(text, "method_output_name",
                       is_classifier || is_splade ? "logits" : "last_hidden_state", err);
}

/* The first of these that exists is the transformer's; the others are of releases before 1. */
static tandem_status find_transformer(const tandem_folder *folder, const char *inner,
                                      const tandem_json **root, const char **name,
                                      tandem_error *err) {
    static const char *const names[] = {
        "sentence_bert_config.json",       "sentence_roberta_config.json",
        "sentence_distilbert_config.json", "sentence_camembert_config.json",
        "sentence_albert_config.json",     "sentence_xlm-roberta_config.json",
        "sentence_xlnet_config.json",
    };
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        *name = names[i];
        TANDEM_TRY(tandem__folder_json(folder, inner, names[i], TANDEM_JSON_OBJECT, root, err));
        if (*root != NULL && (*root)->count > 0) return TANDEM_OK;
    }
    *root = NULL;
    return TANDEM_OK;
}

static tandem_status read_max_length(const tandem_folder *folder, const tandem_modules *modules,
                                     const tandem_plan *plan, tandem_source *source,
                                     tandem_error *err) {
    double length = plan->positions_max;
    bool is_given = false;
    if (modules->is_listed) {
        const tandem_json *root = NULL;
        const char *name = NULL;
        TANDEM_TRY(find_transformer(folder, modules->inner, &root, &name, err));
        tandem_status status = read_transformer(root, &length, &is_given, source, err);
        if (name == NULL) name = "sentence_bert_config.json";
        if (status == TANDEM_OK) status = check_task(root, modules, err);
        if (status == TANDEM_OK) status = refuse_processing(root, err);
        TANDEM_TRY(tandem__folder_blame(folder, modules->inner, name, status, err));
    }
    if (!is_given) {
        const tandem_json *root = NULL;
        const char *name = "tokenizer_config.json";
        TANDEM_TRY(
            tandem__folder_json(folder, modules->inner, name, TANDEM_JSON_OBJECT, &root, err));
        const tandem_status status = read_length(root, "model_max_length", &length, &is_given, err);
        TANDEM_TRY(tandem__folder_blame(folder, modules->inner, name, status, err));
    }
    if (length > plan->positions_max) {
        if (is_given && length < 1e9) {
            tandem__log(TANDEM_LOG_INFO, "%s: length %.0f is cut to the model's %d positions",
                        folder->path, length, plan->positions_max);
        }
        length = plan->positions_max;
    }
    source->max_length = (int32_t)length;
    return TANDEM_OK;
}

static tandem_status set_prompt(tandem_prompt *prompts, int32_t *count, tandem_str name,
                                tandem_str text, tandem_arena *arena, tandem_error *err) {
    int32_t at = 0;
    while (at < *count && !tandem__str_is(name, prompts[at].name)) at++;
    char *name_copy = tandem__arena_copy(arena, name.ptr, name.len);
    char *text_copy = tandem__arena_copy(arena, text.ptr, text.len);
    if (name_copy == NULL || text_copy == NULL) {
        return TANDEM_FAIL(err, MEMORY, "no memory for prompts");
    }
    prompts[at] = (tandem_prompt){.name = name_copy, .text = text_copy};
    if (at == *count) (*count)++;
    return TANDEM_OK;
}

/* "query" and "document" always exist, empty unless the model says another, as in
 * sentence-transformers. */
static tandem_status read_prompts(const tandem_json *root, tandem_arena *arena,
                                  tandem_source *source, tandem_error *err) {
    const tandem_json *node = tandem__json_get(root, "prompts");
    const bool is_absent = node == NULL || node->kind == TANDEM_JSON_NULL;
    if (!is_absent && node->kind != TANDEM_JSON_OBJECT) {
        return TANDEM_FAIL(err, FORMAT, "prompts: %s, expected an object of names and texts",
                           tandem__json_label(node).text);
    }
    const uint32_t count_max = is_absent ? 2 : node->count + 2;
    if (count_max > PROMPTS_MAX) {
        return TANDEM_FAIL(err, CAPACITY, "prompts: %u, limit %d", count_max - 2, PROMPTS_MAX - 2);
    }
    tandem_prompt *prompts = tandem__arena_array(arena, count_max, sizeof *prompts);
    if (prompts == NULL) return TANDEM_FAIL(err, MEMORY, "no memory for prompts");
    int32_t count = 0;
    TANDEM_TRY(set_prompt(prompts, &count, TANDEM_STR("query"), TANDEM_STR(""), arena, err));
    TANDEM_TRY(set_prompt(prompts, &count, TANDEM_STR("document"), TANDEM_STR(""), arena, err));
    if (!is_absent) {
        TANDEM_JSON_EACH(item, node) {
            if (item->kind != TANDEM_JSON_STRING && item->kind != TANDEM_JSON_NULL) {
                return TANDEM_FAIL(err, FORMAT, "prompts: %.*s: %s, expected a string",
                                   TANDEM_STR_ARG(item->key), tandem__json_label(item).text);
            }
            const tandem_str text = item->kind == TANDEM_JSON_STRING ? item->text : TANDEM_STR("");
            TANDEM_TRY(set_prompt(prompts, &count, item->key, text, arena, err));
        }
    }
    source->prompts = prompts;
    source->prompt_count = count;
    return TANDEM_OK;
}

static tandem_status read_default_prompt(const tandem_json *root, tandem_source *source,
                                         tandem_error *err) {
    const tandem_json *node = tandem__json_get(root, "default_prompt_name");
    source->default_prompt = -1;
    if (node == NULL || node->kind == TANDEM_JSON_NULL) return TANDEM_OK;
    for (int32_t i = 0; node->kind == TANDEM_JSON_STRING && i < source->prompt_count; i++) {
        if (!tandem__str_is(node->text, source->prompts[i].name)) continue;
        source->default_prompt = i;
        return TANDEM_OK;
    }
    return TANDEM_FAIL(err, FORMAT, "default_prompt_name: %s, expected one of the prompts",
                       tandem__json_label(node).text);
}

/* A function that sentence-transformers does not know for embeddings (such as "maxsim") is passed
 * over there, and its default is used. */
static tandem_status read_similarity(const tandem_json *root, const tandem_plan *plan,
                                     tandem_source *source, tandem_error *err) {
    static const char *const known[] = {"cosine", "dot", "euclidean", "manhattan"};
    source->similarity = known[plan->pooling == TANDEM_POOLING_SPLADE ? 1 : 0];
    tandem_str name = tandem__str(source->similarity);
    TANDEM_TRY(tandem__json_read_str(root, "similarity_fn_name", &name, err));
    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++) {
        if (tandem__str_is(name, known[i])) source->similarity = known[i];
    }
    return TANDEM_OK;
}

static tandem_status read_sentence(const tandem_json *root, const tandem_plan *plan,
                                   tandem_arena *arena, tandem_source *source, tandem_error *err) {
    TANDEM_TRY(read_prompts(root, arena, source, err));
    TANDEM_TRY(read_default_prompt(root, source, err));
    TANDEM_TRY(read_similarity(root, plan, source, err));
    int64_t dim = 0;
    TANDEM_TRY(tandem__json_read_int(root, "truncate_dim", 1, INT32_MAX, &dim, err));
    source->truncate_dim = dim < plan->dimensions ? (int32_t)dim : 0;
    return TANDEM_OK;
}

tandem_status tandem__settings_read(const tandem_folder *folder, const tandem_modules *modules,
                                    const tandem_plan *plan, tandem_arena *arena,
                                    tandem_source *source, tandem_error *err) {
    TANDEM_TRY(read_max_length(folder, modules, plan, source, err));
    const char *name = "config_sentence_transformers.json";
    const tandem_json *root = NULL;
    if (modules->is_listed) {
        TANDEM_TRY(tandem__folder_json(folder, "", name, TANDEM_JSON_OBJECT, &root, err));
    }
    source->is_prompt_pooled = modules->is_prompt_pooled;
    const tandem_status status = read_sentence(root, plan, arena, source, err);
    return tandem__folder_blame(folder, "", name, status, err);
}
