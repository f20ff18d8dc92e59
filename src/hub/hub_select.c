/* SPDX-License-Identifier: Apache-2.0 */
#include "hub/hub_select.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/fail.h"
#include "base/json.h"
#include "hub/hub_layout.h"

#define MODULES_MAX 32
#define WEIGHTS     "model.safetensors"
#define INDEX       "model.safetensors.index.json"

/* In the model's own folder and in each module's. sentence_bert_config.json has had other names;
 * sentence-transformers still reads them. */
static const char *const small_files[] = {
    "config.json",
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "config_sentence_transformers.json",
    "sentence_bert_config.json",
    "sentence_roberta_config.json",
    "sentence_distilbert_config.json",
    "sentence_camembert_config.json",
    "sentence_albert_config.json",
    "sentence_xlm-roberta_config.json",
    "sentence_xlnet_config.json",
};

/* What a folder without safetensors may hold instead, for the message. */
static const char *const other_weights[] = {"pytorch_model.bin", "pytorch_model.bin.index.json",
                                            "tf_model.h5",       "flax_model.msgpack",
                                            "onnx/model.onnx",   "openvino/openvino_model.xml"};

typedef struct picker {
    const tandem_hub_tree *tree;
    tandem_arena *arena;
    tandem_hub_selection *selection;
    const char *folders[MODULES_MAX]; /* "" or "1_Pooling", the first is the transformer's */
    size_t folder_count;
    bool *is_picked; /* [tree->count] */
    tandem_error *err;
} picker;

static int by_name(const void *key, const void *element) {
    return strcmp(key, *(const char *const *)element);
}

/* Its place in the tree, or `count`. */
static size_t find(const tandem_hub_tree *tree, const char *path) {
    const char *const *at =
        tree->count == 0 ? NULL
                         : bsearch(path, tree->paths, tree->count, sizeof *tree->paths, by_name);
    return at == NULL ? tree->count : (size_t)(at - tree->paths);
}

static bool has(const tandem_hub_tree *tree, const char *path) {
    return find(tree, path) < tree->count;
}

static tandem_status fail_memory(const picker *p) {
    return TANDEM_FAIL(p->err, CAPACITY, "the list of files needs over %zu bytes",
                       p->arena->bytes_max);
}

/* "folder/name", or "name" where the folder is "". */
static tandem_status in_folder(const picker *p, const char *folder, tandem_str name,
                               const char **path) {
    char joined[TANDEM_HUB_FILE_MAX];
    const int need = snprintf(joined, sizeof joined, "%s%s%.*s", folder,
                              folder[0] == '\0' ? "" : "/", (int)name.len, name.ptr);
    if (need < 0 || (size_t)need >= sizeof joined) {
        return TANDEM_FAIL(p->err, FORMAT, "%.100s/%.*s: name is longer than %d bytes", folder,
                           TANDEM_STR_ARG(name), TANDEM_HUB_FILE_MAX - 1);
    }
    *path = tandem__arena_copy(p->arena, joined, (size_t)need);
    return *path == NULL ? fail_memory(p) : TANDEM_OK;
}

/* `path` is in the tree. */
static void pick(picker *p, const char *path) {
    const size_t at = find(p->tree, path);
    TANDEM_ASSERT(at < p->tree->count);
    if (p->is_picked[at]) return;
    p->is_picked[at] = true;
    p->selection->paths[p->selection->count++] = p->tree->paths[at];
}

static tandem_status parse(const picker *p, const char *path, const tandem_json **root) {
    tandem_str text;
    TANDEM_TRY(p->tree->read(p->tree->context, path, &text, p->err));
    const tandem_status status = tandem__json_parse(text, p->arena, root, p->err);
    return status == TANDEM_OK ? status : tandem__fail_prefix(p->err, status, path);
}

static tandem_status add_folder(picker *p, const tandem_json *module) {
    tandem_str path = TANDEM_STR("");
    const tandem_status status = tandem__json_read_str(module, "path", &path, p->err);
    if (status != TANDEM_OK) return tandem__fail_prefix(p->err, status, "modules.json");
    while (path.len > 0 && path.ptr[path.len - 1] == '/') path.len--;
    if (path.len > 0 && !tandem__hub_path_is_safe(path.ptr, path.len)) {
        return TANDEM_FAIL(p->err, FORMAT,
                           "modules.json: path \"%.*s\", expected a folder inside the model",
                           TANDEM_STR_ARG(path));
    }
    const char *folder = tandem__arena_copy(p->arena, path.ptr, path.len);
    if (folder == NULL) return fail_memory(p);
    for (size_t i = 0; i < p->folder_count; i++) {
        if (strcmp(p->folders[i], folder) == 0) return TANDEM_OK;
    }
    if (p->folder_count == MODULES_MAX) {
        return TANDEM_FAIL(p->err, FORMAT, "modules.json: more than %d modules", MODULES_MAX);
    }
    p->folders[p->folder_count++] = folder;
    return TANDEM_OK;
}

static tandem_status find_folders(picker *p) {
    if (!has(p->tree, "modules.json")) {
        p->folders[p->folder_count++] = "";
        return TANDEM_OK;
    }
    pick(p, "modules.json");
    const tandem_json *root = NULL;
    TANDEM_TRY(parse(p, "modules.json", &root));
    if (root->kind != TANDEM_JSON_ARRAY || root->count == 0) {
        const tandem_json_label label = tandem__json_label(root);
        return TANDEM_FAIL(p->err, FORMAT, "modules.json: %s, expected a list of modules",
                           label.text);
    }
    TANDEM_JSON_EACH(module, root) {
        TANDEM_TRY(add_folder(p, module));
    }
    return TANDEM_OK;
}

static tandem_status pick_small(picker *p, const char *folder) {
    bool has_tokenizer = false;
    for (size_t i = 0; i < sizeof small_files / sizeof small_files[0]; i++) {
        const char *path = NULL;
        TANDEM_TRY(in_folder(p, folder, tandem__str(small_files[i]), &path));
        if (!has(p->tree, path)) continue;
        pick(p, path);
        if (strcmp(small_files[i], "tokenizer.json") == 0) has_tokenizer = true;
    }
    const char *vocab = NULL;
    TANDEM_TRY(in_folder(p, folder, TANDEM_STR("vocab.txt"), &vocab));
    if (!has_tokenizer && has(p->tree, vocab)) pick(p, vocab);
    return TANDEM_OK;
}

static tandem_status pick_shards(picker *p, const char *folder, const char *index) {
    const tandem_json *root = NULL;
    TANDEM_TRY(parse(p, index, &root));
    const tandem_json *map = tandem__json_get(root, "weight_map");
    if (map == NULL || map->kind != TANDEM_JSON_OBJECT || map->count == 0) {
        return TANDEM_FAIL(p->err, FORMAT, "%s: no weight_map, expected names of files", index);
    }
    tandem_str last = TANDEM_STR("");
    TANDEM_JSON_EACH(member, map) {
        if (member->kind == TANDEM_JSON_STRING && tandem__str_equal(member->text, last)) continue;
        last = member->text;
        const bool is_name =
            member->kind == TANDEM_JSON_STRING && tandem__hub_path_is_safe(last.ptr, last.len) &&
            memchr(last.ptr, '/', last.len) == NULL && tandem__str_ends(last, ".safetensors");
        if (!is_name) {
            const tandem_json_label label = tandem__json_label(member);
            return TANDEM_FAIL(p->err, FORMAT,
                               "%s: weight_map: %s, expected a .safetensors file beside it", index,
                               label.text);
        }
        const char *path = NULL;
        TANDEM_TRY(in_folder(p, folder, last, &path));
        if (!has(p->tree, path)) {
            return TANDEM_FAIL(p->err, FORMAT, "%s is missing, which %s names", path, index);
        }
        pick(p, path);
    }
    return TANDEM_OK;
}

static tandem_status fail_weights(const picker *p, const char *weights, const char *folder) {
    for (size_t i = 0; i < sizeof other_weights / sizeof other_weights[0]; i++) {
        const char *path = NULL;
        TANDEM_TRY(in_folder(p, folder, tandem__str(other_weights[i]), &path));
        if (!has(p->tree, path)) continue;
        return TANDEM_FAIL(p->err, UNSUPPORTED,
                           "no %s, only %s%s: ask its authors for safetensors, or convert it with "
                           "transformers' save_pretrained",
                           weights, path, i < 2 ? ", a pickle, which can run any code" : "");
    }
    return TANDEM_FAIL(p->err, UNSUPPORTED, "no %s: no model that tandem can run", weights);
}

/* The first folder must have weights; another only if it has some that tandem cannot read. */
static tandem_status pick_weights(picker *p, const char *folder, bool is_needed) {
    const char *single = NULL;
    const char *index = NULL;
    const char *pickle = NULL;
    TANDEM_TRY(in_folder(p, folder, TANDEM_STR(WEIGHTS), &single));
    TANDEM_TRY(in_folder(p, folder, TANDEM_STR(INDEX), &index));
    TANDEM_TRY(in_folder(p, folder, tandem__str(other_weights[0]), &pickle));
    if (has(p->tree, single)) {
        pick(p, single);
        return TANDEM_OK;
    }
    if (has(p->tree, index)) {
        pick(p, index);
        return pick_shards(p, folder, index);
    }
    return is_needed || has(p->tree, pickle) ? fail_weights(p, single, folder) : TANDEM_OK;
}

tandem_status tandem__hub_select(const tandem_hub_tree *tree, tandem_arena *arena,
                                 tandem_hub_selection *selection, tandem_error *err) {
    picker p = {.tree = tree, .arena = arena, .selection = selection, .err = err};
    /* Nothing is picked twice and everything picked is in the tree. */
    *selection = (tandem_hub_selection){
        .paths = tandem__arena_array(arena, tree->count + 1, sizeof *selection->paths)};
    p.is_picked = tandem__arena_array(arena, tree->count + 1, sizeof *p.is_picked);
    if (selection->paths == NULL || p.is_picked == NULL) return fail_memory(&p);
    TANDEM_TRY(find_folders(&p));
    TANDEM_TRY(pick_small(&p, ""));
    for (size_t i = 0; i < p.folder_count; i++) TANDEM_TRY(pick_small(&p, p.folders[i]));
    const char *config = NULL;
    TANDEM_TRY(in_folder(&p, p.folders[0], TANDEM_STR("config.json"), &config));
    for (size_t i = 0; i < p.folder_count; i++) {
        TANDEM_TRY(pick_weights(&p, p.folders[i], i == 0));
    }
    if (!has(tree, config)) {
        return TANDEM_FAIL(err, UNSUPPORTED, "no %s: no model that tandem can run", config);
    }
    return TANDEM_OK;
}
