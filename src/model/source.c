/* SPDX-License-Identifier: Apache-2.0 */
/* Opening a model: find the folder, read every document, then bind the weights. Documents come
 * first, so that what is not supported is named before a byte of weights is read. */
#include "model/source.h"

#include <stdio.h>
#include <string.h>

#include "base/assert.h"
#include "base/fail.h"
#include "base/mem.h"
#include "model/locate.h"

#define SOURCE_BYTES_MAX  ((size_t)64 << 20)
#define SCRATCH_BYTES_MAX ((size_t)256 << 20)
#define MODULE_NORM_EPS   1e-5f /* torch.nn.LayerNorm's own */

static void release_pages(void *context, const void *data, size_t bytes) {
    const struct tandem_source_memory *self = context;
    for (int32_t i = 0; i < self->weights_count; i++) {
        tandem__weights_release(self->weights[i], data, bytes);
    }
}

static void describe_data(void *context, const void *data, char *text, size_t size) {
    const struct tandem_source_memory *self = context;
    if (size > 0) text[0] = '\0';
    for (int32_t i = 0; i < self->weights_count; i++) {
        const tandem_tensor *tensor = tandem__weights_owner(self->weights[i], data);
        if (tensor == NULL) continue;
        (void)snprintf(text, size, "%s: %.*s", tensor->path, TANDEM_STR_ARG(tensor->name));
        return;
    }
}

static const char *copy_text(tandem_arena *arena, const char *text, tandem_error *err) {
    const char *copy = tandem__arena_copy(arena, text, strlen(text));
    if (copy == NULL) (void)TANDEM_FAIL(err, MEMORY, "no memory for the model's name");
    return copy;
}

tandem_status tandem__source_create(const char *name, struct tandem_source_memory **self,
                                    tandem_error *err) {
    struct tandem_source_memory *memory = tandem__mem_calloc(1, sizeof *memory);
    if (memory == NULL) return TANDEM_FAIL(err, MEMORY, "%s: no memory to open it", name);
    tandem__arena_init(&memory->arena, SOURCE_BYTES_MAX);
    memory->source = (tandem_source){.plan = &memory->plan,
                                     .folder = "",
                                     .tokenizer_path = "",
                                     .revision = "",
                                     .default_prompt = -1,
                                     .similarity = "cosine",
                                     .memory = memory};
    memory->source.name = copy_text(&memory->arena, name, err);
    if (memory->source.name == NULL) {
        tandem__source_close(&memory->source);
        return TANDEM_MEMORY;
    }
    *self = memory;
    return TANDEM_OK;
}

void tandem__source_close(tandem_source *source) {
    if (source == NULL) return;
    struct tandem_source_memory *memory = source->memory;
    for (int32_t i = 0; i < memory->weights_count; i++) {
        tandem__weights_close(memory->weights[i]);
    }
    tandem__file_unmap(&memory->generated);
    tandem__arena_deinit(&memory->arena);
    tandem__mem_free(memory);
}

/* The widths of the modules after the pooling have to fit each other. */
static tandem_status chain_dense(const tandem_folder *folder, const tandem_modules *modules,
                                 tandem_plan *plan, tandem_error *err) {
    plan->dimensions = plan->hidden * (1 + modules->joined_count);
    for (int32_t i = 0; i < modules->dense_count; i++) {
        const tandem_dense_module *dense = &modules->dense[i];
        if (dense->kind == TANDEM_DENSE_UNIT) continue;
        const char *field = dense->kind == TANDEM_DENSE_NORM ? "dimension" : "in_features";
        if (dense->in_features != plan->dimensions) {
            return tandem__folder_blame(folder, dense->inner, "config.json",
                                        TANDEM_FAIL(err, FORMAT, "%s: %d, expected %d", field,
                                                    dense->in_features, plan->dimensions),
                                        err);
        }
        plan->dimensions = dense->out_features;
    }
    return TANDEM_OK;
}

tandem_status tandem__bind_module(tandem_supply supply, const tandem_dense_module *module,
                                  tandem_plan_dense *dense, int64_t *parameters,
                                  tandem_error *err) {
    const int64_t in = module->in_features;
    const int64_t out = module->out_features;
    *dense = (tandem_plan_dense){.kind = module->kind,
                                 .activation = module->activation,
                                 .has_residual = module->has_residual,
                                 .norm_eps = MODULE_NORM_EPS};
    switch (module->kind) {
    case TANDEM_DENSE_UNIT:
        return TANDEM_OK;
    case TANDEM_DENSE_NORM:
        return tandem__bind_norm(supply, "norm", in, &dense->norm, parameters, err);
    case TANDEM_DENSE_LINEAR:
        break;
    }
    TANDEM_TRY(tandem__bind_linear(supply, "linear", out, in, module->has_bias, &dense->linear,
                                   parameters, err));
    if (!module->has_residual || in == out) return TANDEM_OK;
    return tandem__bind_linear(supply, "residual", out, in, false, &dense->residual, parameters,
                               err);
}

tandem_status tandem__source_read(struct tandem_source_memory *self, const tandem_folder *folder,
                                  tandem_config *config, tandem_modules *modules,
                                  tandem_error *err) {
    tandem_plan *plan = &self->plan;
    TANDEM_TRY(tandem__modules_read(folder, modules, err));
    const tandem_json *root = NULL;
    TANDEM_TRY(
        tandem__folder_json(folder, modules->inner, "config.json", TANDEM_JSON_OBJECT, &root, err));
    if (root == NULL) {
        return tandem__folder_blame(folder, modules->inner, "config.json",
                                    TANDEM_FAIL(err, NOT_FOUND,
                                                "no such file, expected the "
                                                "model's configuration"),
                                    err);
    }
    tandem_status status = tandem__config_read(root, &self->arena, plan, config, err);
    TANDEM_TRY(tandem__folder_blame(folder, modules->inner, "config.json", status, err));
    TANDEM_TRY(chain_dense(folder, modules, plan, err));
    plan->pooling = modules->pooling;
    plan->joined_count = modules->joined_count;
    memcpy(plan->joined, modules->joined, sizeof plan->joined);
    plan->splade = modules->splade;
    if (plan->pooling == TANDEM_POOLING_SPLADE) {
        plan->dimensions = plan->vocab;
        config->lm_head = TANDEM_NEED_MUST;
    } else if (modules->is_listed) {
        config->lm_head = TANDEM_NEED_NONE; /* another module takes the states */
    }
    plan->is_normalized = modules->is_normalized;
    if (plan->labels > 0) {
        status = tandem__score_from_name(modules->score_name, &config->score, err);
        TANDEM_TRY(
            tandem__folder_blame(folder, "", "config_sentence_transformers.json", status, err));
    }
    self->source.labels = config->labels;
    self->source.score = config->score;
    return tandem__settings_read(folder, modules, plan, &self->arena, &self->source, err);
}

static tandem_status open_weights(struct tandem_source_memory *self, const tandem_folder *folder,
                                  const char *inner, tandem_supply_files *files,
                                  tandem_error *err) {
    TANDEM_ASSERT(self->weights_count < 1 + TANDEM_DENSE_MAX);
    tandem_weights **weights = &self->weights[self->weights_count];
    TANDEM_TRY(tandem__folder_weights(folder, inner, weights, err));
    self->weights_count++;
    files->weights = *weights;
    return TANDEM_OK;
}

static tandem_status bind_files(struct tandem_source_memory *self, const tandem_folder *folder,
                                const tandem_config *config, const tandem_modules *modules,
                                tandem_error *err) {
    tandem_plan *plan = &self->plan;
    tandem_supply_files files = {.prefixes = config->family->prefixes};
    const tandem_supply supply = tandem__supply_from_files(&files);
    TANDEM_TRY(open_weights(self, folder, modules->inner, &files, err));
    const size_t layer_count = (size_t)plan->layer_count;
    tandem_plan_layer *layers = tandem__arena_array(&self->arena, layer_count, sizeof *layers);
    const size_t dense_count = (size_t)modules->dense_count;
    tandem_plan_dense *dense = tandem__arena_array(&self->arena, dense_count, sizeof *dense);
    if (layers == NULL || dense == NULL) {
        return TANDEM_FAIL(err, MEMORY, "%s: no memory for its plan", folder->path);
    }
    TANDEM_TRY(tandem__bind_plan(config, supply, layers, plan, err));
    static const char *const no_prefixes[TANDEM_FAMILY_PREFIXES_MAX] = {NULL};
    files.prefixes = no_prefixes;
    for (size_t i = 0; i < dense_count; i++) {
        const tandem_dense_module *module = &modules->dense[i];
        if (module->kind != TANDEM_DENSE_UNIT)
            TANDEM_TRY(open_weights(self, folder, module->inner, &files, err));
        TANDEM_TRY(tandem__bind_module(supply, module, &dense[i], &plan->parameters, err));
    }
    plan->dense = dense;
    plan->dense_count = modules->dense_count;
    plan->release = release_pages;
    plan->describe = describe_data;
    plan->release_context = self;
    return TANDEM_OK;
}

static tandem_status open_folder(struct tandem_source_memory *self, tandem_folder *folder,
                                 tandem_error *err) {
    tandem_arena scratch;
    tandem__arena_init(&scratch, SCRATCH_BYTES_MAX);
    folder->scratch = &scratch;
    tandem_config config;
    tandem_modules modules;
    tandem_status status = tandem__source_read(self, folder, &config, &modules, err);
    if (status == TANDEM_OK) status = bind_files(self, folder, &config, &modules, err);
    char path[TANDEM_PATH_MAX] = "";
    if (status == TANDEM_OK) {
        status = tandem__folder_path(folder, modules.inner, "tokenizer.json", path, err);
    }
    if (status == TANDEM_OK) {
        self->source.tokenizer_path = copy_text(&self->arena, path, err);
        self->source.folder = copy_text(&self->arena, folder->path, err);
        const bool has_both = self->source.tokenizer_path != NULL && self->source.folder != NULL;
        if (!has_both) status = TANDEM_MEMORY;
    }
    tandem__arena_deinit(&scratch);
    return status;
}

/* The commit of ".../snapshots/<commit>", the Hub's cache; else "". */
static const char *revision_of(const char *path) {
    static const char parent[] = "/snapshots";
    const char *slash = strrchr(path, '/');
    const size_t len = sizeof parent - 1;
    const bool is_snapshot =
        slash != NULL && (size_t)(slash - path) >= len && memcmp(slash - len, parent, len) == 0;
    return is_snapshot ? slash + 1 : "";
}

tandem_status tandem__source_open(const char *name, tandem_source **source, tandem_error *err) {
    char path[TANDEM_PATH_MAX];
    TANDEM_TRY(tandem__model_locate(name, path, err));
    struct tandem_source_memory *self = NULL;
    TANDEM_TRY(tandem__source_create(name, &self, err));
    tandem_folder folder = {.path = path};
    tandem_status status = open_folder(self, &folder, err);
    if (status == TANDEM_OK) {
        self->source.revision = copy_text(&self->arena, revision_of(path), err);
        if (self->source.revision == NULL) status = TANDEM_MEMORY;
    }
    if (status != TANDEM_OK) {
        tandem__source_close(&self->source);
        return status;
    }
    *source = &self->source;
    return TANDEM_OK;
}

tandem_status tandem__source_open_memory(const tandem_document *documents, size_t count,
                                         tandem_source **source, tandem_error *err) {
    struct tandem_source_memory *self = NULL;
    TANDEM_TRY(tandem__source_create("memory", &self, err));
    tandem_folder folder = {.path = "memory", .documents = documents, .document_count = count};
    const tandem_status status = open_folder(self, &folder, err);
    if (status != TANDEM_OK) {
        tandem__source_close(&self->source);
        return status;
    }
    *source = &self->source;
    return TANDEM_OK;
}
