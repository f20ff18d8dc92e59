/* SPDX-License-Identifier: Apache-2.0 */
#include "server/catalog.h"

#include <string.h>

#include "base/fail.h"

bool server_model_serves(const server_model *model, server_need need) {
    switch (need) {
    case SERVER_NEED_ANY:
        return true;
    case SERVER_NEED_EMBED:
        return model->info.has_embedding && model->info.labels == 0;
    case SERVER_NEED_SPARSE:
        return model->info.has_sparse;
    case SERVER_NEED_RERANK:
        return model->info.labels == 1;
    case SERVER_NEED_CLASSIFY:
        return model->info.labels > 0;
    }
    return false;
}

static const char *need_word(server_need need) {
    switch (need) {
    case SERVER_NEED_ANY:
        break;
    case SERVER_NEED_EMBED:
        return "embeddings";
    case SERVER_NEED_SPARSE:
        return "sparse embeddings";
    case SERVER_NEED_RERANK:
        return "reranking";
    case SERVER_NEED_CLASSIFY:
        return "classification";
    }
    return "any task";
}

static const char *model_word(const server_model *model) {
    static const server_need needs[] = {SERVER_NEED_EMBED, SERVER_NEED_SPARSE, SERVER_NEED_RERANK,
                                        SERVER_NEED_CLASSIFY};
    for (size_t i = 0; i < sizeof needs / sizeof *needs; i++) {
        if (server_model_serves(model, needs[i])) return need_word(needs[i]);
    }
    return "no task";
}

/* What follows the last slash. */
static tandem_str last_part(const char *name) {
    const char *slash = strrchr(name, '/');
    return tandem__str(slash == NULL ? name : slash + 1);
}

static bool is_called(const server_model *model, tandem_str name) {
    if (tandem__str_is(name, model->name) || tandem__str_equal(name, last_part(model->name)))
        return true;
    if (model->folder != NULL && tandem__str_is(name, model->folder)) return true;
    for (int32_t i = 0; i < model->alias_count; i++) {
        if (tandem__str_is(name, model->aliases[i])) return true;
    }
    return false;
}

/* The names there are, in `out` of `size` bytes, for a message. */
static void list_names(const server_catalog *catalog, char *out, size_t size) {
    size_t len = 0;
    out[0] = '\0';
    for (size_t i = 0; i < catalog->count; i++) {
        const char *name = catalog->models[i].name;
        const size_t more = strlen(name) + 2;
        if (len + more >= size) return;
        if (i > 0) {
            memcpy(out + len, ", ", 2);
            len += 2;
        }
        memcpy(out + len, name, more - 1);
        len += more - 2;
    }
}

static tandem_status fail_need(const server_catalog *catalog, const server_model *model,
                               server_need need, tandem_error *err) {
    if (model != NULL) {
        return TANDEM_FAIL(err, UNSUPPORTED, "model %s is for %s, this request needs one for %s",
                           model->name, model_word(model), need_word(need));
    }
    char names[240];
    list_names(catalog, names, sizeof names);
    return TANDEM_FAIL(err, UNSUPPORTED, "this server has no model for %s; its models: %s",
                       need_word(need), names);
}

tandem_status server_catalog_find(const server_catalog *catalog, tandem_str name, server_need need,
                                  const server_model **model, tandem_error *err) {
    // A request without a name: the first model that was made for the task goes before a reranker,
    // which has a label too.
    for (size_t i = 0; i < catalog->count && name.len == 0 && need == SERVER_NEED_CLASSIFY; i++) {
        if (catalog->models[i].info.labels <= 1) continue;
        *model = &catalog->models[i];
        return TANDEM_OK;
    }
    const server_model *other = NULL;      // has the name, not the task
    for (int pass = 0; pass < 2; pass++) { // a size word only where no model is called that
        for (size_t i = 0; i < catalog->count; i++) {
            const server_model *at = &catalog->models[i];
            const bool is_it =
                name.len == 0 || (pass == 0 ? is_called(at, name) : tandem__str_is(name, at->size));
            if (!is_it) continue;
            if (server_model_serves(at, need)) {
                *model = at;
                return TANDEM_OK;
            }
            if (other == NULL && name.len > 0) other = at;
        }
    }
    if (name.len == 0 || other != NULL) return fail_need(catalog, other, need, err);
    char names[240];
    list_names(catalog, names, sizeof names);
    return TANDEM_FAIL(err, NOT_FOUND, "no model is called \"%.*s\"; there are: %s",
                       TANDEM_STR_ARG(name), names);
}
