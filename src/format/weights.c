/* SPDX-License-Identifier: Apache-2.0 */
/* The tensors of one file or of many shards, as one directory sorted by name.
 *
 * Shards are opened eagerly: mapping a file costs microseconds, and a missing or damaged shard is
 * found at once instead of in the middle of packing. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/fail.h"
#include "base/file.h"
#include "base/json.h"
#include "base/mem.h"
#include "format/safetensors_internal.h"

#define DIRECTORY_BYTES_MAX ((size_t)1 << 28)
#define INDEX_BYTES_MAX     ((size_t)64 << 20)
#define SHARDS_MAX          1000

typedef struct weights_file {
    const char *path;
    tandem_map map;
    bool is_borrowed; /* memory of the caller's: not ours to unmap */
    tandem_tensor *tensors;
    size_t count;
} weights_file;

struct tandem_weights {
    tandem_arena arena;
    const char *path;
    weights_file *files;
    size_t file_count;
    tandem_tensor *tensors; /* [count], by name */
    size_t count;
};

static int compare_names(tandem_str a, tandem_str b) {
    const size_t len = a.len < b.len ? a.len : b.len;
    const int order = len == 0 ? 0 : memcmp(a.ptr, b.ptr, len);
    if (order != 0) return order;
    return (a.len > b.len) - (a.len < b.len);
}

static int compare_tensors(const void *a, const void *b) {
    return compare_names(((const tandem_tensor *)a)->name, ((const tandem_tensor *)b)->name);
}

static tandem_status weights_create(const char *path, size_t files_max, tandem_weights **weights,
                                    tandem_error *err) {
    tandem_weights *self = tandem__mem_calloc(1, sizeof *self);
    if (self == NULL) return TANDEM_FAIL(err, MEMORY, "%s: no memory for its directory", path);
    tandem__arena_init(&self->arena, DIRECTORY_BYTES_MAX);
    self->path = tandem__arena_copy(&self->arena, path, strlen(path));
    self->files = tandem__arena_array(&self->arena, files_max, sizeof *self->files);
    if (self->path == NULL || self->files == NULL) {
        tandem__weights_close(self);
        return TANDEM_FAIL(err, MEMORY, "%s: no memory for its directory", path);
    }
    *weights = self;
    return TANDEM_OK;
}

void tandem__weights_close(tandem_weights *weights) {
    if (weights == NULL) return;
    for (size_t i = 0; i < weights->file_count; i++) {
        if (!weights->files[i].is_borrowed) tandem__file_unmap(&weights->files[i].map);
    }
    tandem__arena_deinit(&weights->arena);
    tandem__mem_free(weights);
}

/* Takes over `map`, also on failure. */
static tandem_status add_file(tandem_weights *self, const char *path, tandem_map map,
                              bool is_borrowed, tandem_error *err) {
    weights_file *file = &self->files[self->file_count];
    self->file_count++;
    *file = (weights_file){.map = map, .is_borrowed = is_borrowed};
    file->path = tandem__arena_copy(&self->arena, path, strlen(path));
    if (file->path == NULL) return TANDEM_FAIL(err, MEMORY, "%s: no memory for its name", path);
    const tandem_status status = tandem__safetensors_parse(
        map.bytes, map.len, file->path, &self->arena, &file->tensors, &file->count, err);
    return tandem__fail_prefix(err, status, path);
}

static tandem_status build_directory(tandem_weights *self, tandem_error *err) {
    size_t count = 0;
    for (size_t i = 0; i < self->file_count; i++) count += self->files[i].count;
    tandem_tensor *all = tandem__arena_array(&self->arena, count, sizeof *all);
    if (all == NULL) {
        return TANDEM_FAIL(err, MEMORY, "%s: no memory for %zu tensors", self->path, count);
    }
    size_t used = 0;
    for (size_t i = 0; i < self->file_count; i++) {
        if (self->files[i].count == 0) continue;
        memcpy(all + used, self->files[i].tensors, self->files[i].count * sizeof *all);
        used += self->files[i].count;
    }
    if (count > 0) qsort(all, count, sizeof *all, compare_tensors);
    for (size_t i = 1; i < count; i++) {
        if (compare_names(all[i - 1].name, all[i].name) != 0) continue;
        if (all[i - 1].path == all[i].path) {
            return TANDEM_FAIL(err, FORMAT, "%s: %.*s: the name is used twice", all[i].path,
                               TANDEM_STR_ARG(all[i].name));
        }
        return TANDEM_FAIL(err, FORMAT, "%s: %.*s: is also in %s", all[i].path,
                           TANDEM_STR_ARG(all[i].name), all[i - 1].path);
    }
    self->tensors = all;
    self->count = count;
    return TANDEM_OK;
}

static tandem_status open_single(const char *path, tandem_map map, bool is_borrowed,
                                 tandem_weights **weights, tandem_error *err) {
    tandem_weights *self = NULL;
    tandem_status status = weights_create(path, 1, &self, err);
    if (status != TANDEM_OK) {
        if (!is_borrowed) tandem__file_unmap(&map);
        return status;
    }
    status = add_file(self, path, map, is_borrowed, err);
    if (status == TANDEM_OK) status = build_directory(self, err);
    if (status != TANDEM_OK) {
        tandem__weights_close(self);
        return status;
    }
    *weights = self;
    return TANDEM_OK;
}

/* A shard lies beside its index: a name that leads elsewhere is refused. */
static bool is_plain_name(tandem_str name) {
    if (name.len == 0 || name.len > 255 || name.ptr[0] == '.') return false;
    for (size_t i = 0; i < name.len; i++) {
        const char c = name.ptr[i];
        if (c == '/' || c == '\\' || c == ':' || c == '\0') return false;
    }
    return true;
}

/* The distinct shard names of a weight map, in order of first use. */
static tandem_status list_shards(const tandem_json *map, tandem_str *shards, size_t *count,
                                 tandem_error *err) {
    size_t used = 0;
    TANDEM_JSON_EACH(item, map) {
        if (item->kind != TANDEM_JSON_STRING || !is_plain_name(item->text)) {
            return TANDEM_FAIL(err, FORMAT,
                               "weight_map: %.*s: %s, expected the name of a file beside the index",
                               TANDEM_STR_ARG(item->key), tandem__json_label(item).text);
        }
        size_t i = used; /* neighbours share a shard: search backwards */
        while (i > 0 && !tandem__str_equal(shards[i - 1], item->text)) i--;
        if (i > 0) continue;
        if (used == SHARDS_MAX) {
            return TANDEM_FAIL(err, CAPACITY, "weight_map: over %d shards", SHARDS_MAX);
        }
        shards[used] = item->text;
        used++;
    }
    *count = used;
    return TANDEM_OK;
}

static tandem_status check_map(const tandem_weights *self, const tandem_json *map,
                               tandem_arena *arena, tandem_error *err) {
    TANDEM_JSON_EACH(item, map) {
        const char *name = tandem__arena_copy(arena, item->key.ptr, item->key.len);
        if (name == NULL) return TANDEM_FAIL(err, MEMORY, "no memory for its names");
        const tandem_tensor *tensor = tandem__weights_find(self, name);
        if (tensor == NULL) {
            return TANDEM_FAIL(err, FORMAT, "weight_map: %.*s: not in %.*s",
                               TANDEM_STR_ARG(item->key), TANDEM_STR_ARG(item->text));
        }
        const char *slash = strrchr(tensor->path, '/');
        if (!tandem__str_is(item->text, slash == NULL ? tensor->path : slash + 1)) {
            return TANDEM_FAIL(err, FORMAT, "weight_map: %.*s: in %s, expected %.*s",
                               TANDEM_STR_ARG(item->key), tensor->path, TANDEM_STR_ARG(item->text));
        }
    }
    return TANDEM_OK;
}

/* `text` is the index's; messages do not hold its name. */
static tandem_status open_shards(const char *folder, tandem_weights *self, tandem_str text,
                                 tandem_arena *scratch, tandem_error *err) {
    const tandem_json *root = NULL;
    tandem_status status = tandem__json_parse(text, scratch, &root, err);
    if (status != TANDEM_OK) return tandem__fail_prefix(err, status, self->path);
    const tandem_json *map = tandem__json_get(root, "weight_map");
    if (map == NULL || map->kind != TANDEM_JSON_OBJECT || map->count == 0) {
        return TANDEM_FAIL(err, FORMAT, "%s: weight_map: %s, expected an object of tensor names",
                           self->path, tandem__json_label(map).text);
    }
    tandem_str *shards = tandem__arena_array(scratch, SHARDS_MAX, sizeof *shards);
    if (shards == NULL) return TANDEM_FAIL(err, MEMORY, "%s: no memory", self->path);
    size_t count = 0;
    status = list_shards(map, shards, &count, err);
    if (status != TANDEM_OK) return tandem__fail_prefix(err, status, self->path);
    for (size_t i = 0; i < count; i++) {
        char name[256];
        char path[TANDEM_PATH_MAX];
        (void)snprintf(name, sizeof name, "%.*s", (int)shards[i].len, shards[i].ptr);
        TANDEM_TRY(tandem__path_join(folder, name, path, err));
        tandem_map file;
        TANDEM_TRY(tandem__file_map(path, &file, err));
        TANDEM_TRY(add_file(self, path, file, false, err));
    }
    TANDEM_TRY(build_directory(self, err));
    status = check_map(self, map, scratch, err);
    return tandem__fail_prefix(err, status, self->path);
}

static tandem_status open_index(const char *folder, const char *path, tandem_weights **weights,
                                tandem_error *err) {
    tandem_weights *self = NULL;
    tandem_buffer text;
    tandem_arena scratch;
    tandem__buffer_init(&text, INDEX_BYTES_MAX);
    tandem__arena_init(&scratch, DIRECTORY_BYTES_MAX);
    tandem_status status = tandem__file_read(path, &text, err);
    if (status == TANDEM_OK) status = weights_create(path, SHARDS_MAX, &self, err);
    if (status == TANDEM_OK) {
        status = open_shards(folder, self, (tandem_str){text.ptr, text.len}, &scratch, err);
    }
    tandem__arena_deinit(&scratch);
    tandem__buffer_deinit(&text);
    if (status != TANDEM_OK) {
        tandem__weights_close(self);
        return status;
    }
    *weights = self;
    return TANDEM_OK;
}

static tandem_status fail_absent(const char *folder, tandem_error *err) {
    static const char *const pickles[] = {"pytorch_model.bin", "pytorch_model.bin.index.json"};
    for (size_t i = 0; i < sizeof pickles / sizeof pickles[0]; i++) {
        char path[TANDEM_PATH_MAX];
        TANDEM_TRY(tandem__path_join(folder, pickles[i], path, err));
        if (!tandem__file_exists(path)) continue;
        return TANDEM_FAIL(err, UNSUPPORTED,
                           "%s: is a Python pickle, expected model.safetensors: take a revision of "
                           "the model that has it, or load the model in Python and save it again "
                           "with save_pretrained, which writes it",
                           path);
    }
    return TANDEM_FAIL(err, NOT_FOUND, "%s: holds no weights, expected model.safetensors", folder);
}

tandem_status tandem__weights_open(const char *folder, tandem_weights **weights,
                                   tandem_error *err) {
    tandem_map map;
    char path[TANDEM_PATH_MAX];
    if (!tandem__file_is_directory(folder)) {
        TANDEM_TRY(tandem__file_map(folder, &map, err));
        return open_single(folder, map, false, weights, err);
    }
    TANDEM_TRY(tandem__path_join(folder, "model.safetensors", path, err));
    tandem_error probe = {.status = TANDEM_OK};
    const tandem_status status = tandem__file_map(path, &map, &probe);
    if (status == TANDEM_OK) return open_single(path, map, false, weights, err);
    if (status != TANDEM_NOT_FOUND) {
        if (err != NULL && err->status == TANDEM_OK) *err = probe;
        return status;
    }
    TANDEM_TRY(tandem__path_join(folder, "model.safetensors.index.json", path, err));
    if (tandem__file_exists(path)) return open_index(folder, path, weights, err);
    return fail_absent(folder, err);
}

tandem_status tandem__weights_open_memory(const void *bytes, size_t len, const char *name,
                                          tandem_weights **weights, tandem_error *err) {
    return open_single(name, (tandem_map){bytes, len}, true, weights, err);
}

const tandem_tensor *tandem__weights_find(const tandem_weights *weights, const char *name) {
    const tandem_str wanted = tandem__str(name);
    size_t low = 0;
    size_t high = weights->count;
    while (low < high) {
        const size_t middle = low + (high - low) / 2;
        const int order = compare_names(weights->tensors[middle].name, wanted);
        if (order == 0) return &weights->tensors[middle];
        if (order < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return NULL;
}

size_t tandem__weights_count(const tandem_weights *weights) {
    return weights->count;
}

const tandem_tensor *tandem__weights_at(const tandem_weights *weights, size_t index) {
    TANDEM_ASSERT(index < weights->count);
    return &weights->tensors[index];
}

const char *tandem__weights_path(const tandem_weights *weights) {
    return weights->path;
}

const tandem_tensor *tandem__weights_owner(const tandem_weights *weights, const void *data) {
    const uintptr_t at = (uintptr_t)data;
    for (size_t i = 0; i < weights->count; i++) {
        const uintptr_t first = (uintptr_t)weights->tensors[i].data;
        if (at >= first && at - first < weights->tensors[i].bytes) return &weights->tensors[i];
    }
    return NULL;
}

void tandem__weights_release(const tandem_weights *weights, const void *data, size_t bytes) {
    const uintptr_t start = (uintptr_t)data;
    for (size_t i = 0; i < weights->file_count; i++) {
        const weights_file *file = &weights->files[i];
        const uintptr_t first = (uintptr_t)file->map.bytes;
        if (start < first || start - first >= file->map.len) continue;
        if (!file->is_borrowed) tandem__file_release(&file->map, start - first, bytes);
        return;
    }
}
