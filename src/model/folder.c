/* SPDX-License-Identifier: Apache-2.0 */
#include "model/folder.h"

#include <stdio.h>
#include <string.h>

#include "base/fail.h"
#include "base/file.h"

#define DOCUMENT_BYTES_MAX ((size_t)16 << 20)

static const tandem_document *find_document(const tandem_folder *folder, const char *path) {
    const char *name = path + strlen(folder->path) + 1;
    for (size_t i = 0; i < folder->document_count; i++) {
        if (strcmp(folder->documents[i].name, name) == 0) return &folder->documents[i];
    }
    return NULL;
}

tandem_status tandem__folder_path(const tandem_folder *folder, const char *inner, const char *name,
                                  char *out, tandem_error *err) {
    const int need = snprintf(out, TANDEM_PATH_MAX, "%s/%s%s%s", folder->path, inner,
                              inner[0] == '\0' ? "" : "/", name);
    if (need < 0 || need >= TANDEM_PATH_MAX) {
        return TANDEM_FAIL(err, CAPACITY, "%s/%s: path is longer than %d bytes", folder->path,
                           inner, TANDEM_PATH_MAX - 1);
    }
    return TANDEM_OK;
}

tandem_status tandem__folder_blame(const tandem_folder *folder, const char *inner, const char *name,
                                   tandem_status status, tandem_error *err) {
    char path[TANDEM_PATH_MAX];
    if (tandem__folder_path(folder, inner, name, path, NULL) != TANDEM_OK) return status;
    return tandem__fail_prefix(err, status, path);
}

/* The document's bytes in the scratch arena; text->ptr is NULL where there is none. */
static tandem_status read_text(const tandem_folder *folder, const char *path, tandem_str *text,
                               tandem_error *err) {
    *text = (tandem_str){NULL, 0};
    if (folder->documents != NULL) {
        const tandem_document *document = find_document(folder, path);
        if (document != NULL) *text = document->bytes;
        return TANDEM_OK;
    }
    tandem_buffer buffer;
    tandem__buffer_init(&buffer, DOCUMENT_BYTES_MAX);
    tandem_error problem = {.status = TANDEM_OK};
    tandem_status status = tandem__file_read(path, &buffer, &problem);
    if (status == TANDEM_OK) {
        text->ptr = tandem__arena_copy(folder->scratch, buffer.ptr, buffer.len);
        text->len = buffer.len;
        if (text->ptr == NULL) status = TANDEM_FAIL(&problem, MEMORY, "%s: no memory for it", path);
    }
    tandem__buffer_deinit(&buffer);
    if (status == TANDEM_NOT_FOUND) return TANDEM_OK;
    if (status != TANDEM_OK && err != NULL && err->status == TANDEM_OK) *err = problem;
    return status;
}

tandem_status tandem__folder_json(const tandem_folder *folder, const char *inner, const char *name,
                                  tandem_json_kind kind, const tandem_json **root,
                                  tandem_error *err) {
    char path[TANDEM_PATH_MAX];
    TANDEM_TRY(tandem__folder_path(folder, inner, name, path, err));
    *root = NULL;
    tandem_str text;
    TANDEM_TRY(read_text(folder, path, &text, err));
    if (text.ptr == NULL) return TANDEM_OK;
    const tandem_json *tree = NULL;
    const tandem_status status = tandem__json_parse(text, folder->scratch, &tree, err);
    if (status != TANDEM_OK) return tandem__fail_prefix(err, status, path);
    if (tree->kind != kind) {
        return TANDEM_FAIL(err, FORMAT, "%s: %s, expected an %s", path,
                           tandem__json_label(tree).text,
                           kind == TANDEM_JSON_OBJECT ? "object" : "array");
    }
    *root = tree;
    return TANDEM_OK;
}

tandem_status tandem__folder_weights(const tandem_folder *folder, const char *inner,
                                     tandem_weights **weights, tandem_error *err) {
    char path[TANDEM_PATH_MAX];
    if (folder->documents == NULL) {
        if (inner[0] == '\0') return tandem__weights_open(folder->path, weights, err);
        TANDEM_TRY(tandem__path_join(folder->path, inner, path, err));
        return tandem__weights_open(path, weights, err);
    }
    TANDEM_TRY(tandem__folder_path(folder, inner, "model.safetensors", path, err));
    const tandem_document *document = find_document(folder, path);
    if (document == NULL) return TANDEM_FAIL(err, NOT_FOUND, "%s: no such document", path);
    return tandem__weights_open_memory(document->bytes.ptr, document->bytes.len, path, weights,
                                       err);
}
