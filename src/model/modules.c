/* SPDX-License-Identifier: Apache-2.0 */
/* modules.json: which modules follow the transformer, and each one's own config.json.
 *
 * A module is known by the last part of its class ("sentence_transformers.models.Pooling" and
 * "sentence_transformers.sentence_transformer.modules.pooling.Pooling" are one class over the
 * years). Classes from elsewhere are Python code of the model's author, which only Python can run.
 * Order matters: one transformer, one pooling, then Dense, LayerNorm and Normalize as they come;
 * or, of a sparse encoder, a masked language model and a SpladePooling. */
#include <stdio.h>
#include <string.h>

#include "base/fail.h"
#include "base/log.h"
#include "model/settings.h"

#define FEATURES_MAX 65536

/* The tests of sentence-transformers' _validate_relative_path, and a length. */
static bool is_inside(tandem_str path) {
    if (path.len >= TANDEM_INNER_MAX) return false;
    if (path.len > 0 && (path.ptr[0] == '/' || path.ptr[0] == '\\')) return false;
    size_t start = 0;
    for (size_t i = 0; i <= path.len; i++) {
        const char c = i < path.len ? path.ptr[i] : '/';
        if (c == '\0' || c == ':') return false;
        if (c != '/' && c != '\\') continue;
        if (i - start == 2 && memcmp(path.ptr + start, "..", 2) == 0) return false;
        start = i + 1;
    }
    return true;
}

static tandem_status pooling_from_word(tandem_str word, tandem_pooling *pooling,
                                       tandem_error *err) {
    static const struct {
        const char *word;
        tandem_pooling pooling;
    } words[] = {
        {"mean", TANDEM_POOLING_MEAN},
        {"cls", TANDEM_POOLING_CLS},
        {"max", TANDEM_POOLING_MAX},
        {"lasttoken", TANDEM_POOLING_LAST},
        {"weightedmean", TANDEM_POOLING_WEIGHTED_MEAN},
        {"mean_sqrt_len_tokens", TANDEM_POOLING_MEAN_SQRT},
    };
    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++) {
        if (!tandem__str_is(word, words[i].word)) continue;
        *pooling = words[i].pooling;
        return TANDEM_OK;
    }
    return TANDEM_FAIL(err, FORMAT,
                       "pooling_mode: \"%.*s\", expected mean, cls, max, lasttoken, "
                       "weightedmean or mean_sqrt_len_tokens",
                       TANDEM_STR_ARG(word));
}

/* The first pooling, or one whose vector follows those before it. */
static tandem_status join_pooling(tandem_pooling pooling, bool is_first, tandem_modules *modules,
                                  tandem_error *err) {
    if (is_first) {
        modules->pooling = pooling;
        return TANDEM_OK;
    }
    if (modules->joined_count == TANDEM_POOLINGS_MAX - 1)
        return TANDEM_FAIL(err, CAPACITY, "pooling_mode: over %d modes", TANDEM_POOLINGS_MAX);
    modules->joined[modules->joined_count] = pooling;
    modules->joined_count++;
    return TANDEM_OK;
}

/* Since release 5: a word, or a list of words. */
static tandem_status read_pooling_mode(const tandem_json *mode, tandem_modules *modules,
                                       tandem_error *err) {
    const bool is_list = mode->kind == TANDEM_JSON_ARRAY;
    const tandem_json *first = is_list ? mode->first : mode;
    if (first == NULL) return TANDEM_FAIL(err, FORMAT, "pooling_mode: nothing, expected a word");
    for (const tandem_json *word = first; word != NULL; word = is_list ? word->next : NULL) {
        tandem_pooling pooling = TANDEM_POOLING_NONE;
        if (word->kind != TANDEM_JSON_STRING) {
            return TANDEM_FAIL(err, FORMAT, "pooling_mode: %s, expected a word",
                               tandem__json_label(word).text);
        }
        TANDEM_TRY(pooling_from_word(word->text, &pooling, err));
        TANDEM_TRY(join_pooling(pooling, word == first, modules, err));
    }
    return TANDEM_OK;
}

/* Before: one flag a mode, joined in this order. None set means mean. */
static tandem_status read_pooling_flags(const tandem_json *root, tandem_modules *modules,
                                        tandem_error *err) {
    static const struct {
        const char *key;
        tandem_pooling pooling;
    } flags[] = {
        {"pooling_mode_cls_token", TANDEM_POOLING_CLS},
        {"pooling_mode_max_tokens", TANDEM_POOLING_MAX},
        {"pooling_mode_mean_tokens", TANDEM_POOLING_MEAN},
        {"pooling_mode_mean_sqrt_len_tokens", TANDEM_POOLING_MEAN_SQRT},
        {"pooling_mode_weightedmean_tokens", TANDEM_POOLING_WEIGHTED_MEAN},
        {"pooling_mode_lasttoken", TANDEM_POOLING_LAST},
    };
    bool is_first = true;
    modules->pooling = TANDEM_POOLING_MEAN;
    for (size_t i = 0; i < sizeof flags / sizeof flags[0]; i++) {
        bool is_set = false;
        TANDEM_TRY(tandem__json_read_bool(root, flags[i].key, &is_set, err));
        if (!is_set) continue;
        TANDEM_TRY(join_pooling(flags[i].pooling, is_first, modules, err));
        is_first = false;
    }
    return TANDEM_OK;
}

static tandem_status read_pooling(const tandem_json *root, tandem_modules *modules,
                                  tandem_error *err) {
    const tandem_json *mode = tandem__json_get(root, "pooling_mode");
    if (mode != NULL)
        TANDEM_TRY(read_pooling_mode(mode, modules, err));
    else
        TANDEM_TRY(read_pooling_flags(root, modules, err));
    modules->is_prompt_pooled = true;
    return tandem__json_read_bool(root, "include_prompt", &modules->is_prompt_pooled, err);
}

static tandem_status read_dense_activation(const tandem_json *root, tandem_activation *activation,
                                           tandem_error *err) {
    static const struct {
        const char *name;
        tandem_activation activation;
    } names[] = {
        {"torch.nn.modules.activation.Tanh", TANDEM_ACTIVATION_TANH},
        {"torch.nn.modules.linear.Identity", TANDEM_ACTIVATION_NONE},
        {"torch.nn.modules.activation.GELU", TANDEM_ACTIVATION_GELU_ERF},
        {"torch.nn.modules.activation.ReLU", TANDEM_ACTIVATION_RELU},
        {"torch.nn.modules.activation.SiLU", TANDEM_ACTIVATION_SILU},
        {"torch.nn.modules.activation.Sigmoid", TANDEM_ACTIVATION_SIGMOID},
        {"torch.nn.modules.activation.LeakyReLU", TANDEM_ACTIVATION_LEAKY_RELU},
        {"torch.nn.modules.activation.ELU", TANDEM_ACTIVATION_ELU},
        {"torch.nn.modules.activation.SELU", TANDEM_ACTIVATION_SELU},
        {"torch.nn.modules.activation.Mish", TANDEM_ACTIVATION_MISH},
        {"torch.nn.modules.activation.Softplus", TANDEM_ACTIVATION_SOFTPLUS},
    };
    tandem_str name = tandem__str(names[0].name);
    TANDEM_TRY(tandem__json_read_str(root, "activation_function", &name, err));
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        if (!tandem__str_is(name, names[i].name)) continue;
        *activation = names[i].activation;
        return TANDEM_OK;
    }
    return TANDEM_FAIL(err, UNSUPPORTED,
                       "activation_function: \"%.*s\", expected Tanh, Identity, GELU, ReLU, "
                       "SiLU, Sigmoid, LeakyReLU, ELU, SELU, Mish or Softplus of torch.nn.modules",
                       TANDEM_STR_ARG(name));
}

/* Only the pooled vector can be what a module reads and writes. */
static tandem_status check_feature(const tandem_json *root, const char *key, tandem_error *err) {
    tandem_str name = TANDEM_STR("sentence_embedding");
    TANDEM_TRY(tandem__json_read_str(root, key, &name, err));
    if (tandem__str_is(name, "sentence_embedding")) return TANDEM_OK;
    return TANDEM_FAIL(err, UNSUPPORTED, "%s: \"%.*s\", expected \"sentence_embedding\"", key,
                       TANDEM_STR_ARG(name));
}

static tandem_status read_dense(const tandem_json *root, tandem_dense_module *dense,
                                tandem_error *err) {
    int64_t in = 0;
    int64_t out = 0;
    TANDEM_TRY(tandem__json_read_int(root, "in_features", 1, FEATURES_MAX, &in, err));
    TANDEM_TRY(tandem__json_read_int(root, "out_features", 1, FEATURES_MAX, &out, err));
    if (in == 0 || out == 0) {
        return TANDEM_FAIL(err, FORMAT, "%s: nothing, expected an integer from 1 to %d",
                           in == 0 ? "in_features" : "out_features", FEATURES_MAX);
    }
    dense->in_features = (int32_t)in;
    dense->out_features = (int32_t)out;
    dense->has_bias = true;
    TANDEM_TRY(tandem__json_read_bool(root, "bias", &dense->has_bias, err));
    TANDEM_TRY(read_dense_activation(root, &dense->activation, err));
    TANDEM_TRY(tandem__json_read_bool(root, "use_residual", &dense->has_residual, err));
    TANDEM_TRY(check_feature(root, "module_input_name", err));
    return check_feature(root, "module_output_name", err);
}

/* LayerNorm's width stands in both places of a Dense's. */
static tandem_status read_norm(const tandem_json *root, tandem_dense_module *norm,
                               tandem_error *err) {
    int64_t width = 0;
    TANDEM_TRY(tandem__json_read_int(root, "dimension", 1, FEATURES_MAX, &width, err));
    if (width == 0) {
        return TANDEM_FAIL(err, FORMAT, "dimension: nothing, expected an integer from 1 to %d",
                           FEATURES_MAX);
    }
    norm->in_features = (int32_t)width;
    norm->out_features = (int32_t)width;
    return TANDEM_OK;
}

/* A Normalize at the very end is the model's own; one before another module is a step. */
static tandem_status add_step(tandem_modules *modules, tandem_dense_kind kind, const char *inner,
                              tandem_dense_module **step, tandem_error *err) {
    const bool is_normalized = modules->is_normalized;
    if (modules->dense_count + (is_normalized ? 1 : 0) >= TANDEM_DENSE_MAX)
        return TANDEM_FAIL(err, CAPACITY, "over %d modules after the pooling", TANDEM_DENSE_MAX);
    if (is_normalized) {
        modules->dense[modules->dense_count].kind = TANDEM_DENSE_UNIT;
        modules->dense_count++;
        modules->is_normalized = false;
    }
    *step = &modules->dense[modules->dense_count];
    modules->dense_count++;
    (*step)->kind = kind;
    memcpy((*step)->inner, inner, TANDEM_INNER_MAX);
    return TANDEM_OK;
}

static tandem_status add_dense(const tandem_folder *folder, tandem_dense_kind kind,
                               const char *inner, tandem_modules *modules, tandem_error *err) {
    tandem_dense_module *step = NULL;
    TANDEM_TRY(add_step(modules, kind, inner, &step, err));
    const tandem_json *root = NULL;
    TANDEM_TRY(tandem__folder_json(folder, inner, "config.json", TANDEM_JSON_OBJECT, &root, err));
    const tandem_status status =
        kind == TANDEM_DENSE_NORM ? read_norm(root, step, err) : read_dense(root, step, err);
    return tandem__folder_blame(folder, inner, "config.json", status, err);
}

static tandem_status fail_splade(const char *key, tandem_str word, const char *expected,
                                 tandem_error *err) {
    return TANDEM_FAIL(err, UNSUPPORTED, "%s: \"%.*s\", expected %s", key, TANDEM_STR_ARG(word),
                       expected);
}

static tandem_status read_splade(const tandem_json *root, tandem_splade *splade,
                                 tandem_error *err) {
    tandem_str strategy = TANDEM_STR("max");
    tandem_str function = TANDEM_STR("relu");
    TANDEM_TRY(tandem__json_read_str(root, "pooling_strategy", &strategy, err));
    TANDEM_TRY(tandem__json_read_str(root, "activation_function", &function, err));
    splade->is_sum = tandem__str_is(strategy, "sum");
    splade->is_log_twice = tandem__str_is(function, "log1p_relu");
    if (!splade->is_sum && !tandem__str_is(strategy, "max"))
        return fail_splade("pooling_strategy", strategy, "max or sum", err);
    if (!splade->is_log_twice && !tandem__str_is(function, "relu"))
        return fail_splade("activation_function", function, "relu or log1p_relu", err);
    return TANDEM_OK;
}

static tandem_status add_splade(const tandem_folder *folder, const char *inner,
                                tandem_modules *modules, tandem_error *err) {
    modules->pooling = TANDEM_POOLING_SPLADE;
    const tandem_json *root = NULL;
    TANDEM_TRY(tandem__folder_json(folder, inner, "config.json", TANDEM_JSON_OBJECT, &root, err));
    return tandem__folder_blame(folder, inner, "config.json",
                                read_splade(root, &modules->splade, err), err);
}

/* The modules in front of the one that is being added. */
typedef struct module_chain {
    bool has_transformer;
    bool has_pooling;
} module_chain;

/* Whether a module of this class may stand behind those in front of it. */
static tandem_status check_place(tandem_str class, const module_chain *chain,
                                 const tandem_modules *modules, tandem_error *err) {
    if (tandem__str_is(class, "Dropout")) return TANDEM_OK;
    if (tandem__str_ends(class, "Transformer")) {
        if (!chain->has_transformer) return TANDEM_OK;
        return TANDEM_FAIL(err, UNSUPPORTED, "two Transformer modules, expected one");
    }
    if (modules->pooling == TANDEM_POOLING_SPLADE) {
        return TANDEM_FAIL(err, UNSUPPORTED,
                           "a %.*s module after SpladePooling, expected that to be the last",
                           TANDEM_STR_ARG(class));
    }
    if (!chain->has_transformer || chain->has_pooling == tandem__str_ends(class, "Pooling")) {
        return TANDEM_FAIL(err, UNSUPPORTED,
                           "a %.*s module at this place, expected the order "
                           "Transformer, Pooling, then Dense, LayerNorm and Normalize",
                           TANDEM_STR_ARG(class));
    }
    return TANDEM_OK;
}

static tandem_status add_module(const tandem_folder *folder, tandem_str class, const char *inner,
                                module_chain *chain, tandem_modules *modules, tandem_error *err) {
    if (tandem__str_ends(class, "Transformer")) {
        chain->has_transformer = true;
        modules->is_masked_lm = tandem__str_is(class, "MLMTransformer");
        memcpy(modules->inner, inner, TANDEM_INNER_MAX);
        return TANDEM_OK;
    }
    if (tandem__str_is(class, "Dropout")) return TANDEM_OK; /* does nothing at inference */
    if (tandem__str_is(class, "SpladePooling")) {
        chain->has_pooling = true;
        return add_splade(folder, inner, modules, err);
    }
    const tandem_json *root = NULL;
    if (tandem__str_is(class, "Pooling")) {
        chain->has_pooling = true;
        TANDEM_TRY(
            tandem__folder_json(folder, inner, "config.json", TANDEM_JSON_OBJECT, &root, err));
        const tandem_status status =
            root != NULL ? read_pooling(root, modules, err)
                         : TANDEM_FAIL(err, NOT_FOUND, "no such file, a Pooling needs it");
        return tandem__folder_blame(folder, inner, "config.json", status, err);
    }
    if (tandem__str_is(class, "Dense"))
        return add_dense(folder, TANDEM_DENSE_LINEAR, inner, modules, err);
    if (tandem__str_is(class, "LayerNorm"))
        return add_dense(folder, TANDEM_DENSE_NORM, inner, modules, err);
    modules->is_normalized = true;
    TANDEM_TRY(tandem__folder_json(folder, inner, "config.json", TANDEM_JSON_OBJECT, &root, err));
    tandem_status status = check_feature(root, "module_input_name", err);
    if (status == TANDEM_OK) status = check_feature(root, "module_output_name", err);
    return tandem__folder_blame(folder, inner, "config.json", status, err);
}

/* The class's own name, if it is one of those that can be run. */
static tandem_status known_class(tandem_str type, tandem_str *class, tandem_error *err) {
    static const char *const known[] = {"Transformer",   "MLMTransformer", "Pooling",
                                        "SpladePooling", "Dense",          "LayerNorm",
                                        "Normalize",     "Dropout"};
    if (!tandem__str_starts(type, "sentence_transformers.")) {
        return TANDEM_FAIL(err, UNSUPPORTED,
                           "type: \"%.*s\" is code of the model's own, expected "
                           "a module of sentence_transformers",
                           TANDEM_STR_ARG(type));
    }
    size_t dot = type.len;
    while (type.ptr[dot - 1] != '.') dot--;
    *class = (tandem_str){type.ptr + dot, type.len - dot};
    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++) {
        if (tandem__str_is(*class, known[i])) return TANDEM_OK;
    }
    return TANDEM_FAIL(err, UNSUPPORTED,
                       "type: \"%.*s\", expected Transformer, Pooling, Dense, LayerNorm, "
                       "Normalize, Dropout, MLMTransformer or SpladePooling",
                       TANDEM_STR_ARG(type));
}

static tandem_status read_entry(const tandem_folder *folder, const tandem_json *entry,
                                module_chain *chain, tandem_modules *modules, tandem_error *err) {
    tandem_str type = TANDEM_STR("");
    tandem_str path = TANDEM_STR("");
    tandem_str class = TANDEM_STR("");
    tandem_status status = TANDEM_OK;
    if (entry->kind != TANDEM_JSON_OBJECT) {
        status = TANDEM_FAIL(err, FORMAT, "%s, expected an object with type and path",
                             tandem__json_label(entry).text);
    }
    if (status == TANDEM_OK) status = tandem__json_read_str(entry, "type", &type, err);
    if (status == TANDEM_OK) status = tandem__json_read_str(entry, "path", &path, err);
    if (status == TANDEM_OK) status = known_class(type, &class, err);
    if (status == TANDEM_OK && !is_inside(path)) {
        status = TANDEM_FAIL(err, FORMAT, "path: \"%.*s\", expected a folder inside the model's",
                             TANDEM_STR_ARG(path));
    }
    if (status == TANDEM_OK) status = check_place(class, chain, modules, err);
    if (status != TANDEM_OK) {
        return tandem__folder_blame(folder, "", "modules.json", status, err);
    }
    char inner[TANDEM_INNER_MAX] = "";
    if (path.len > 0) memcpy(inner, path.ptr, path.len);
    return add_module(folder, class, inner, chain, modules, err);
}

/* Which of sentence-transformers' models saved the folder. A cross-encoder is a transformer alone,
 * whose states are averaged where embeddings are asked of it, as sentence-transformers does. Other
 * kinds keep modules of their own; sentence-transformers gives them the default ones. */
static tandem_status read_kind(const tandem_folder *folder, tandem_modules *modules,
                               bool *has_modules, bool *is_cross, tandem_error *err) {
    const tandem_json *root = NULL;
    const char *name = "config_sentence_transformers.json";
    TANDEM_TRY(tandem__folder_json(folder, "", name, TANDEM_JSON_OBJECT, &root, err));
    tandem_str kind = TANDEM_STR("SentenceTransformer");
    tandem_status status = tandem__json_read_str(root, "model_type", &kind, err);
    *is_cross = tandem__str_is(kind, "CrossEncoder");
    *has_modules = *is_cross || tandem__str_is(kind, "SentenceTransformer") ||
                   tandem__str_is(kind, "SparseEncoder");
    if (status == TANDEM_OK && *is_cross)
        status = tandem__json_read_str(root, "activation_fn", &modules->score_name, err);
    return tandem__folder_blame(folder, "", name, status, err);
}

tandem_status tandem__modules_read(const tandem_folder *folder, tandem_modules *modules,
                                   tandem_error *err) {
    *modules = (tandem_modules){
        .pooling = TANDEM_POOLING_MEAN, .is_prompt_pooled = true, .score_name = TANDEM_STR("")};
    const tandem_json *root = NULL;
    TANDEM_TRY(tandem__folder_json(folder, "", "modules.json", TANDEM_JSON_ARRAY, &root, err));
    if (root == NULL) return TANDEM_OK;
    bool has_modules = false;
    bool is_cross = false;
    TANDEM_TRY(read_kind(folder, modules, &has_modules, &is_cross, err));
    if (!has_modules) return TANDEM_OK;
    modules->is_listed = true;
    modules->pooling = TANDEM_POOLING_NONE;
    module_chain chain = {false, false};
    TANDEM_JSON_EACH(entry, root) {
        TANDEM_TRY(read_entry(folder, entry, &chain, modules, err));
    }
    if (is_cross && !chain.has_pooling) modules->pooling = TANDEM_POOLING_MEAN;
    if (chain.has_transformer) return TANDEM_OK;
    return tandem__folder_blame(
        folder, "", "modules.json",
        TANDEM_FAIL(err, UNSUPPORTED, "no Transformer module, expected one"), err);
}
