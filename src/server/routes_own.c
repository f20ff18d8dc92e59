/* SPDX-License-Identifier: Apache-2.0 */
#include "server/routes_own.h"

#include <string.h>

#include "base/fail.h"
#include "base/json_text.h"
#include "server/answers.h"
#include "server/inputs.h"
#include <server_openapi_document.h>

/* One item more of a list that `count` counts. */
static tandem_status push_item(tandem_buffer *out, size_t *count, const char *text,
                               tandem_error *err) {
    if (*count > 0) TANDEM_TRY(server_push(out, ",", err));
    (*count)++;
    return server_push_string(out, text, err);
}

/* A schema's enum may not be empty. */
static tandem_status end_list(tandem_buffer *out, size_t count, tandem_error *err) {
    return server_push(out, count == 0 ? "\"there is none\"]" : "]", err);
}

static tandem_status write_models(const server_catalog *catalog, server_need need,
                                  server_need other, tandem_buffer *out, tandem_error *err) {
    size_t count = 0;
    TANDEM_TRY(server_push(out, "[", err));
    for (size_t i = 0; i < catalog->count; i++) {
        const server_model *model = &catalog->models[i];
        if (!server_model_serves(model, need) && !server_model_serves(model, other)) continue;
        TANDEM_TRY(push_item(out, &count, model->name, err));
        for (int32_t a = 0; a < model->alias_count; a++)
            TANDEM_TRY(push_item(out, &count, model->aliases[a], err));
    }
    return end_list(out, count, err);
}

/* Those of the model that serves where none is named, and null. */
static tandem_status write_prompts(const server_catalog *catalog, tandem_buffer *out,
                                   tandem_error *err) {
    TANDEM_TRY(server_push(out, "[null", err));
    for (size_t i = 0; i < catalog->count; i++) {
        const tandem_model_info *info = &catalog->models[i].info;
        if (!server_model_serves(&catalog->models[i], SERVER_NEED_EMBED)) continue;
        for (int32_t p = 0; p < info->prompt_count; p++) {
            TANDEM_TRY(server_push(out, ",", err));
            TANDEM_TRY(server_push_string(out, info->prompt_names[p], err));
        }
        break;
    }
    return server_push(out, "]", err);
}

static tandem_status write_lanes(const server_catalog *catalog, tandem_buffer *out,
                                 tandem_error *err) {
    tandem_lane_info lanes[TANDEM_LANES_MAX];
    const tandem_engine *engine = catalog->count > 0 ? catalog->models[0].engine : NULL;
    const int found = tandem_lanes(engine, lanes);
    TANDEM_TRY(server_push(out, "[\"auto\"", err));
    for (int i = 0; i < found; i++) {
        if (!lanes[i].is_available) continue;
        TANDEM_TRY(server_push(out, ",", err));
        TANDEM_TRY(server_push_string(out, lanes[i].name, err));
    }
    return server_push(out, "]", err);
}

/* What every embedder can give, and every vocabulary has. */
static int64_t least_dimensions(const server_catalog *catalog) {
    int64_t least = INT32_MAX;
    for (size_t i = 0; i < catalog->count; i++) {
        const tandem_model_info *info = &catalog->models[i].info;
        if (server_model_serves(&catalog->models[i], SERVER_NEED_EMBED) && info->dimensions < least)
            least = info->dimensions;
    }
    return least;
}

static int64_t least_id_max(const server_catalog *catalog) {
    int64_t least = INT32_MAX;
    for (size_t i = 0; i < catalog->count; i++) {
        if (catalog->models[i].info.vocab - 1 < least) least = catalog->models[i].info.vocab - 1;
    }
    return least;
}

/* The body of POST /, which is that of the first model's task. */
static const char *task_schema(const server_catalog *catalog) {
    const server_model *first = &catalog->models[0];
    if (server_model_serves(first, SERVER_NEED_CLASSIFY))
        return "#/components/schemas/PredictRequest";
    return server_model_serves(first, SERVER_NEED_EMBED)
               ? "#/components/schemas/EmbedRequest"
               : "#/components/schemas/EmbedSparseRequest";
}

static tandem_status write_value(const server_catalog *catalog, tandem_str name, tandem_buffer *out,
                                 tandem_error *err) {
    static const struct {
        const char *name;
        server_need need;
    } tasks[] = {
        {"any_models", SERVER_NEED_ANY},           {"embed_models", SERVER_NEED_EMBED},
        {"sparse_models", SERVER_NEED_SPARSE},     {"rerank_models", SERVER_NEED_RERANK},
        {"classify_models", SERVER_NEED_CLASSIFY},
    };
    for (size_t i = 0; i < sizeof tasks / sizeof *tasks; i++) {
        if (tandem__str_is(name, tasks[i].name))
            return write_models(catalog, tasks[i].need, tasks[i].need, out, err);
    }
    if (tandem__str_is(name, "infer_models"))
        return write_models(catalog, SERVER_NEED_EMBED, SERVER_NEED_CLASSIFY, out, err);
    const int64_t texts = catalog->limits.batch_texts > 0 ? catalog->limits.batch_texts : INT32_MAX;
    if (tandem__str_is(name, "prompts")) return write_prompts(catalog, out, err);
    if (tandem__str_is(name, "lanes")) return write_lanes(catalog, out, err);
    if (tandem__str_is(name, "version")) return server_push_string(out, catalog->version, err);
    if (tandem__str_is(name, "task")) return server_push_string(out, task_schema(catalog), err);
    if (tandem__str_is(name, "dimensions"))
        return server_push_int(out, least_dimensions(catalog), err);
    if (tandem__str_is(name, "id_max")) return server_push_int(out, least_id_max(catalog), err);
    if (tandem__str_is(name, "texts_max")) return server_push_int(out, texts, err);
    if (tandem__str_is(name, "texts_max_less_one")) return server_push_int(out, texts - 1, err);
    if (tandem__str_is(name, "items_max"))
        return server_push_int(out, texts < SERVER_ITEMS_MAX ? texts : SERVER_ITEMS_MAX, err);
    return TANDEM_FAIL(err, UNSUPPORTED, "openapi.json: nothing stands for @%.*s",
                       TANDEM_STR_ARG(name));
}

tandem_status server_openapi_answer(server_ask *ask, const tandem_json *body, tandem_buffer *out,
                                    tandem_error *err) {
    (void)body;
    const char *at = server_openapi_document;
    for (const char *mark = strstr(at, "\"@"); mark != NULL; mark = strstr(at, "\"@")) {
        const char *name = mark + 2;
        const char *end = strchr(name, '"');
        if (end == NULL) break;
        TANDEM_TRY(tandem__buffer_push(out, at, (size_t)(mark - at), err));
        TANDEM_TRY(write_value(ask->catalog, (tandem_str){name, (size_t)(end - name)}, out, err));
        at = end + 1;
    }
    return server_push(out, at, err);
}
