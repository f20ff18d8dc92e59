/* SPDX-License-Identifier: Apache-2.0 */
/* A package is written in a folder beside its place, named after this process, and renamed when it
 * is whole. It is not synced: after a crash the cache's own check (ane_cache.c) finds what is
 * missing and builds it again. */
#include "backend/coreml/package.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fail.h"
#include "base/file.h"

#define DATA_FOLDER   "Data/com.apple.CoreML"
#define MODEL_FILE    DATA_FOLDER "/model.mlmodel"
#define WEIGHT_FOLDER DATA_FOLDER "/weights"
#define WEIGHT_FILE   WEIGHT_FOLDER "/weight.bin"

/* Ids only have to differ within a manifest. */
#define MODEL_ID   "7e6bf3f0-0d0c-4c1e-9b51-5f5e3b6a0001"
#define WEIGHTS_ID "7e6bf3f0-0d0c-4c1e-9b51-5f5e3b6a0002"

static const char manifest[] = "{\n"
                               "    \"fileFormatVersion\": \"1.0.0\",\n"
                               "    \"itemInfoEntries\": {\n"
                               "        \"" MODEL_ID "\": {\n"
                               "            \"author\": \"com.apple.CoreML\",\n"
                               "            \"description\": \"CoreML Model Specification\",\n"
                               "            \"name\": \"model.mlmodel\",\n"
                               "            \"path\": \"com.apple.CoreML/model.mlmodel\"\n"
                               "        },\n"
                               "        \"" WEIGHTS_ID "\": {\n"
                               "            \"author\": \"com.apple.CoreML\",\n"
                               "            \"description\": \"CoreML Model Weights\",\n"
                               "            \"name\": \"weights\",\n"
                               "            \"path\": \"com.apple.CoreML/weights\"\n"
                               "        }\n"
                               "    },\n"
                               "    \"rootModelIdentifier\": \"" MODEL_ID "\"\n"
                               "}\n";

typedef struct file_sink {
    FILE *file;
    const char *path;
} file_sink;

static tandem_status write_file(void *context, const void *bytes, size_t len, tandem_error *err) {
    const file_sink *sink = context;
    if (fwrite(bytes, 1, len, sink->file) == len) return TANDEM_OK;
    return tandem__fail_errno(err, sink->path, "cannot write");
}

tandem_status tandem__package_weights(const mil_weights *weights, const char *path,
                                      tandem_error *err) {
    file_sink sink = {.file = fopen(path, "wb"), .path = path};
    if (sink.file == NULL) return tandem__fail_errno(err, path, "cannot create");
    tandem_status status = tandem__mil_weights_write(weights, write_file, &sink, err);
    if (fclose(sink.file) != 0 && status == TANDEM_OK)
        status = tandem__fail_errno(err, path, "cannot write");
    if (status != TANDEM_OK) (void)unlink(path);
    return status;
}

static tandem_status remove_entries(const char *path, tandem_error *err) {
    DIR *folder = opendir(path);
    if (folder == NULL) return tandem__fail_errno(err, path, "cannot open");
    tandem_status status = TANDEM_OK;
    for (const struct dirent *at = readdir(folder); at != NULL && status == TANDEM_OK;
         at = readdir(folder)) {
        char inside[TANDEM_PATH_MAX];
        if (strcmp(at->d_name, ".") == 0 || strcmp(at->d_name, "..") == 0) continue;
        status = tandem__path_join(path, at->d_name, inside, err);
        if (status == TANDEM_OK) status = tandem__package_remove(inside, err);
    }
    (void)closedir(folder);
    return status;
}

tandem_status tandem__package_remove(const char *path, tandem_error *err) {
    struct stat info;
    if (lstat(path, &info) != 0) return TANDEM_OK;
    if (!S_ISDIR(info.st_mode)) {
        if (unlink(path) != 0) return tandem__fail_errno(err, path, "cannot remove");
        return TANDEM_OK;
    }
    TANDEM_TRY(remove_entries(path, err));
    if (rmdir(path) != 0) return tandem__fail_errno(err, path, "cannot remove");
    return TANDEM_OK;
}

/* As tandem__file_write, but not synced: a disk may take longer over that than over all else. */
static tandem_status write_bytes(const char *path, const void *bytes, size_t len,
                                 tandem_error *err) {
    file_sink sink = {.file = fopen(path, "wb"), .path = path};
    if (sink.file == NULL) return tandem__fail_errno(err, path, "cannot create");
    tandem_status status = write_file(&sink, bytes, len, err);
    if (fclose(sink.file) != 0 && status == TANDEM_OK)
        status = tandem__fail_errno(err, path, "cannot write");
    return status;
}

static tandem_status copy_file(const char *from, const char *to, tandem_error *err) {
    tandem_map map;
    TANDEM_TRY(tandem__file_map(from, &map, err));
    const tandem_status status = write_bytes(to, map.bytes, map.len, err);
    tandem__file_unmap(&map);
    return status;
}

static tandem_status fill_package(const char *folder, const tandem_buffer *model,
                                  const char *weights_path, tandem_error *err) {
    char path[TANDEM_PATH_MAX];
    TANDEM_TRY(tandem__path_join(folder, WEIGHT_FOLDER, path, err));
    TANDEM_TRY(tandem__folder_make(path, err));
    TANDEM_TRY(tandem__path_join(folder, "Manifest.json", path, err));
    TANDEM_TRY(write_bytes(path, manifest, sizeof manifest - 1, err));
    TANDEM_TRY(tandem__path_join(folder, MODEL_FILE, path, err));
    TANDEM_TRY(write_bytes(path, model->ptr, model->len, err));
    TANDEM_TRY(tandem__path_join(folder, WEIGHT_FILE, path, err));
    if (link(weights_path, path) == 0) return TANDEM_OK;
    return copy_file(weights_path, path, err);
}

tandem_status tandem__package_write(const char *path, const tandem_buffer *model,
                                    const char *weights_path, tandem_error *err) {
    char beside[TANDEM_PATH_MAX];
    const int need = snprintf(beside, sizeof beside, "%s.%ld.part", path, (long)getpid());
    if (need < 0 || (size_t)need >= sizeof beside)
        return TANDEM_FAIL(err, CAPACITY, "%s: path is longer than %d bytes", path,
                           TANDEM_PATH_MAX - 1);
    TANDEM_TRY(tandem__package_remove(beside, err));
    tandem_status status = fill_package(beside, model, weights_path, err);
    if (status == TANDEM_OK) status = tandem__package_remove(path, err);
    if (status == TANDEM_OK && rename(beside, path) != 0)
        status = tandem__fail_errno(err, path, "cannot rename");
    if (status != TANDEM_OK) (void)tandem__package_remove(beside, NULL);
    return status;
}

static tandem_status copy_tree(const char *from, const char *to, tandem_error *err) {
    if (!tandem__file_is_directory(from)) return copy_file(from, to, err);
    TANDEM_TRY(tandem__folder_make(to, err));
    DIR *folder = opendir(from);
    if (folder == NULL) return tandem__fail_errno(err, from, "cannot open");
    tandem_status status = TANDEM_OK;
    for (const struct dirent *at = readdir(folder); at != NULL && status == TANDEM_OK;
         at = readdir(folder)) {
        char source[TANDEM_PATH_MAX];
        char target[TANDEM_PATH_MAX];
        if (strcmp(at->d_name, ".") == 0 || strcmp(at->d_name, "..") == 0) continue;
        status = tandem__path_join(from, at->d_name, source, err);
        if (status == TANDEM_OK) status = tandem__path_join(to, at->d_name, target, err);
        if (status == TANDEM_OK) status = copy_tree(source, target, err);
    }
    (void)closedir(folder);
    return status;
}

tandem_status tandem__package_move(const char *from, const char *to, tandem_error *err) {
    if (rename(from, to) == 0) return TANDEM_OK;
    if (errno != EXDEV) return tandem__fail_errno(err, from, "cannot move");
    TANDEM_TRY(copy_tree(from, to, err));
    return tandem__package_remove(from, err);
}
