/* SPDX-License-Identifier: Apache-2.0 */
#include "server/server_config.h"

#include <stdio.h>
#include <string.h>

#include "base/assert.h"
#include "base/fail.h"
#include "base/file.h"

#define ARENA_BYTES_MAX ((size_t)64 << 20) /* twenty thousand keys need some eight */

/* What stands in the words' place is for help where the kind is no WORD. */
static const server_field settings[SERVER_SETTINGS] = {
#define SERVER_SETTING_ROW(type, name, flag, kind, fallback, min, max, words, help)                \
    {#name, SERVER_FIELD_##kind, offsetof(server_config, name), (min), (max), (words)},
    SERVER_SETTING_MAP(SERVER_SETTING_ROW)
#undef SERVER_SETTING_ROW
};

void server_config_init(server_config *config) {
    static const char *const fallbacks[SERVER_SETTINGS] = {
#define SERVER_SETTING_FALLBACK(type, name, flag, kind, fallback, ...) fallback,
        SERVER_SETTING_MAP(SERVER_SETTING_FALLBACK)
#undef SERVER_SETTING_FALLBACK
    };
    *config = (server_config){.model_count = 0};
    tandem__arena_init(&config->arena, ARENA_BYTES_MAX);
    for (int i = 0; i < SERVER_SETTINGS; i++) {
        if (fallbacks[i] == NULL) continue;
        const tandem_status status =
            server_field_set(&settings[i], config, fallbacks[i], "", NULL, NULL);
        TANDEM_ASSERT(status == TANDEM_OK);
    }
}

void server_config_deinit(server_config *config) {
    tandem__arena_deinit(&config->arena);
}

tandem_status server_config_set(server_config *config, server_setting_id id, const char *value,
                                const char *source, tandem_error *err) {
    return server_field_set(&settings[id], config, value, source, &config->arena, err);
}

static tandem_status read_aliases(server_file *file, void *object, const server_yaml *node,
                                  tandem_error *err) {
    server_model_config *model = object;
    if (node->kind != SERVER_YAML_LIST || node->count > SERVER_ALIASES_MAX)
        return server_file_expected(file, node, "models.aliases", "a list of at most 8 names", err);
    for (const server_yaml *item = node->first; item != NULL; item = item->next) {
        if (item->kind != SERVER_YAML_SCALAR || item->text == NULL || item->text[0] == '\0')
            return server_file_expected(file, item, "models.aliases", "a name", err);
        model->aliases[model->alias_count++] = item->text;
    }
    return TANDEM_OK;
}

/* A shell completes a folder's name with a slash, which is no part of it. */
static tandem_status cut_slashes(server_config *config, server_model_config *model,
                                 const char *source, tandem_error *err) {
    size_t len = strlen(model->name);
    while (len > 1 && model->name[len - 1] == '/') len--;
    model->name = tandem__arena_copy(&config->arena, model->name, len);
    return model->name != NULL ? TANDEM_OK : TANDEM_FAIL(err, MEMORY, "%s: no memory", source);
}

static tandem_status add_model(server_config *config, server_model_config *model,
                               const char *source, tandem_error *err) {
    TANDEM_TRY(cut_slashes(config, model, source, err));
    if (config->model_count == SERVER_MODELS_MAX) {
        return TANDEM_FAIL(err, CAPACITY, "%s: more than %d models", source, SERVER_MODELS_MAX);
    }
    for (size_t i = 0; i < config->model_count; i++) {
        if (strcmp(config->models[i].name, model->name) != 0) continue;
        return TANDEM_FAIL(err, INVALID, "%s: model %s is given twice", source, model->name);
    }
    config->models[config->model_count++] = *model;
    return TANDEM_OK;
}

tandem_status server_config_add_model(server_config *config, const char *name, tandem_error *err) {
    if (name[0] == '\0') return TANDEM_FAIL(err, INVALID, "--model: empty, expected a name");
    server_model_config model = {.name = name};
    return add_model(config, &model, "--model", err);
}

/* A model may be its name alone. */
static tandem_status read_model(server_file *file, server_config *config, const server_yaml *node,
                                tandem_error *err) {
    static const server_field fields[] = {
        {"name", SERVER_FIELD_TEXT, offsetof(server_model_config, name), 0, 0, NULL},
        {"served_name", SERVER_FIELD_TEXT, offsetof(server_model_config, served_name), 0, 0, NULL},
    };
    static const server_part parts[] = {{"aliases", read_aliases}};
    static const server_shape shape = {fields, SERVER_FIELD_COUNT(fields), parts,
                                       SERVER_FIELD_COUNT(parts)};
    server_model_config model = {.name = NULL};
    if (node->kind == SERVER_YAML_SCALAR)
        model.name = node->text;
    else
        TANDEM_TRY(server_file_read(file, node, "models", &model, &shape, err));
    if (model.name == NULL || model.name[0] == '\0')
        return server_file_expected(file, node, "models", "a name or a map with a name", err);
    char source[200];
    (void)snprintf(source, sizeof source, "%.120s:%u: models", file->name, node->line);
    return add_model(config, &model, source, err);
}

static tandem_status read_models(server_file *file, void *object, const server_yaml *node,
                                 tandem_error *err) {
    if (node->kind != SERVER_YAML_LIST)
        return server_file_expected(file, node, "models", "a list of models", err);
    for (const server_yaml *item = node->first; item != NULL; item = item->next)
        TANDEM_TRY(read_model(file, object, item, err));
    return TANDEM_OK;
}

static tandem_status keep_tiers(server_file *file, void *object, const server_yaml *node,
                                tandem_error *err) {
    (void)object;
    (void)err;
    file->tiers = node;
    return TANDEM_OK;
}

static tandem_status keep_tenants(server_file *file, void *object, const server_yaml *node,
                                  tandem_error *err) {
    (void)object;
    (void)err;
    file->tenants = node;
    return TANDEM_OK;
}

static tandem_status parse(server_config *config, tandem_str text, const char *name,
                           const server_shape *shape, tandem_error *err) {
    server_file file = {.name = name, .arena = &config->arena};
    const server_yaml *root = NULL;
    TANDEM_TRY(server_yaml_parse(text, name, &config->arena, &root, err));
    TANDEM_TRY(server_file_read(&file, root, "", config, shape, err));
    if (file.tiers == NULL && file.tenants == NULL) return TANDEM_OK;
    if (config->tenants_path != NULL) {
        return TANDEM_FAIL(err, FORMAT,
                           "%s: has tiers and tenants, as %s has, expected one of them", name,
                           config->tenants_path);
    }
    config->tenants_path = tandem__arena_copy(&config->arena, name, strlen(name));
    if (config->tenants_path == NULL) return TANDEM_FAIL(err, MEMORY, "%s: no memory", name);
    return server_tenants_read(&file, file.tiers, file.tenants, &config->tenants, err);
}

static const server_part parts[] = {
    {"tiers", keep_tiers},
    {"tenants", keep_tenants},
    {"models", read_models},
};

tandem_status server_config_parse(server_config *config, tandem_str text, const char *name,
                                  tandem_error *err) {
    static const server_shape shape = {settings, SERVER_SETTINGS, parts, SERVER_FIELD_COUNT(parts)};
    return parse(config, text, name, &shape, err);
}

static tandem_status read_file(server_config *config, const char *path, const server_shape *shape,
                               tandem_error *err) {
    tandem_buffer bytes;
    tandem__buffer_init(&bytes, SERVER_YAML_BYTES_MAX + 1);
    tandem_status status = tandem__file_read(path, &bytes, err);
    if (status == TANDEM_OK)
        status = parse(config, (tandem_str){bytes.ptr, bytes.len}, path, shape, err);
    tandem__buffer_deinit(&bytes);
    return status;
}

tandem_status server_config_read(server_config *config, const char *path, tandem_error *err) {
    static const server_shape shape = {settings, SERVER_SETTINGS, parts, SERVER_FIELD_COUNT(parts)};
    return read_file(config, path, &shape, err);
}

tandem_status server_config_read_keys(server_config *config, tandem_error *err) {
    static const server_shape shape = {NULL, 0, parts, 2}; /* tiers and tenants alone */
    if (config->keys_file == NULL) return TANDEM_OK;
    return read_file(config, config->keys_file, &shape, err);
}

bool server_config_has_keys(const server_config *config) {
    return config->tenants_path != NULL || config->api_key != NULL;
}
