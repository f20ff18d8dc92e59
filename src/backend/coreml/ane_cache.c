/* SPDX-License-Identifier: Apache-2.0 */
/* Compiled models on disk, by what they were compiled from and by:
 *
 *     <cache>/tandem/ane/<SHA-256 of the packages and the system's build>/
 *         s32.mlmodelc/ ...       as Core ML made them
 *         files                   a line a file: bytes, hash, path
 *
 * <cache> is XDG_CACHE_HOME, else ~/Library/Caches. A folder is made beside its place and renamed,
 * so that one that is there was whole once; `files` says whether it still is. The hash is of a
 * file's ends alone, half a megabyte each: whole weights would be read at every start.
 *
 * The models differ in their programs and have the same weights, which are kept once: equal files
 * of two models are links to one.
 *
 * What nobody has used for KEPT_S is removed when something new is made: an update of the system
 * leaves all that was there before it behind.
 *
 * Rejected: keeping the packages, which Core ML would compile at every start (seconds). */
#include <dirent.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "backend/coreml/ane_internal.h"
#include "backend/coreml/ane_packages.h"
#include "backend/coreml/package.h"
#include "base/fail.h"
#include "base/mem.h"

#define LIST_FILE      "files"
#define LIST_BYTES_MAX (1 << 20)
#define END_BYTES      (512 << 10)
#define SHARED_BYTES   (16 << 10)       /* smaller files are not worth a look */
#define KEPT_S         (60 * 24 * 3600) /* two months */

static tandem_status cache_folder(char *folder, tandem_error *err) {
    char caches[TANDEM_PATH_MAX];
    const char *base = getenv("XDG_CACHE_HOME");
    if (base == NULL || base[0] == '\0') {
        base = getenv("HOME");
        if (base == NULL || base[0] == '\0')
            return TANDEM_FAIL(err, NOT_FOUND,
                               "no folder for compiled models: set XDG_CACHE_HOME or HOME");
        TANDEM_TRY(tandem__path_join(base, "Library/Caches", caches, err));
        base = caches;
    }
    return tandem__path_join(base, "tandem/ane", folder, err);
}

static tandem_status hash_file(const char *path, size_t *bytes, char hex[TANDEM_SHA_HEX_MAX],
                               tandem_error *err) {
    tandem_map map;
    tandem_sha sha;
    TANDEM_TRY(tandem__file_map(path, &map, err));
    const size_t head = map.len < END_BYTES ? map.len : END_BYTES;
    const size_t tail = map.len - head < END_BYTES ? map.len - head : END_BYTES;
    tandem__sha_init(&sha, TANDEM_SHA_256);
    if (head > 0) tandem__sha_update(&sha, map.bytes, head);
    if (tail > 0) tandem__sha_update(&sha, map.bytes + map.len - tail, tail);
    tandem__sha_finish(&sha, hex);
    *bytes = map.len;
    tandem__file_unmap(&map);
    return TANDEM_OK;
}

static int compare_names(const void *a, const void *b) {
    return strcmp((const char *)a, (const char *)b);
}

enum { ENTRIES_MAX = 256, ENTRY_NAME = 128 };

/* The names in a folder, sorted, but "." and "..". */
static tandem_status list_folder(const char *path, char (*names)[ENTRY_NAME], int *count,
                                 tandem_error *err) {
    DIR *folder = opendir(path);
    if (folder == NULL) return tandem__fail_errno(err, path, "cannot open");
    tandem_status status = TANDEM_OK;
    *count = 0;
    for (const struct dirent *at = readdir(folder); at != NULL && status == TANDEM_OK;
         at = readdir(folder)) {
        const size_t len = strlen(at->d_name);
        if (strcmp(at->d_name, ".") == 0 || strcmp(at->d_name, "..") == 0) continue;
        if (*count == ENTRIES_MAX || len >= ENTRY_NAME)
            status = TANDEM_FAIL(err, CAPACITY, "%s: too many files, or too long a name", path);
        else
            memcpy(names[(*count)++], at->d_name, len + 1);
    }
    (void)closedir(folder);
    qsort(names, (size_t)*count, ENTRY_NAME, compare_names);
    return status;
}

static tandem_status list_files(const char *folder, const char *inside, tandem_buffer *out,
                                tandem_error *err);

static tandem_status list_entry(const char *folder, const char *inside, tandem_buffer *out,
                                tandem_error *err) {
    char path[TANDEM_PATH_MAX];
    char hex[TANDEM_SHA_HEX_MAX];
    size_t bytes = 0;
    TANDEM_TRY(tandem__path_join(folder, inside, path, err));
    if (tandem__file_is_directory(path)) return list_files(folder, inside, out, err);
    TANDEM_TRY(hash_file(path, &bytes, hex, err));
    return tandem__buffer_printf(out, err, "%zu %s %s\n", bytes, hex, inside);
}

/* Appends a line for each file below `folder`/`inside`, in order. */
static tandem_status list_files(const char *folder, const char *inside, tandem_buffer *out,
                                tandem_error *err) {
    char path[TANDEM_PATH_MAX];
    char name[TANDEM_PATH_MAX];
    int count = 0;
    TANDEM_TRY(tandem__path_join(folder, inside, path, err));
    char(*names)[ENTRY_NAME] = tandem__mem_calloc(ENTRIES_MAX, sizeof *names);
    if (names == NULL) return TANDEM_FAIL(err, MEMORY, "no memory to list %s", path);
    tandem_status status = list_folder(path, names, &count, err);
    for (int i = 0; i < count && status == TANDEM_OK; i++) {
        status = tandem__path_join(inside, names[i], name, err);
        if (status == TANDEM_OK) status = list_entry(folder, name, out, err);
    }
    tandem__mem_free(names);
    return status;
}

/* What is in the folder's models now. */
static tandem_status list_models(const ane_model *model, const char *folder, tandem_buffer *out,
                                 tandem_error *err) {
    for (int32_t i = 0; i < model->bucket_count; i++) {
        char name[64];
        (void)snprintf(name, sizeof name, "s%d.mlmodelc", (int)model->buckets[i]);
        TANDEM_TRY(list_files(folder, name, out, err));
    }
    return TANDEM_OK;
}

static bool is_whole(const ane_model *model, const char *folder) {
    char path[TANDEM_PATH_MAX];
    tandem_buffer was;
    tandem_buffer is;
    tandem__buffer_init(&was, LIST_BYTES_MAX);
    tandem__buffer_init(&is, LIST_BYTES_MAX);
    const bool is_same = tandem__path_join(folder, LIST_FILE, path, NULL) == TANDEM_OK &&
                         tandem__file_read(path, &was, NULL) == TANDEM_OK &&
                         list_models(model, folder, &is, NULL) == TANDEM_OK && was.len > 0 &&
                         was.len == is.len && memcmp(was.ptr, is.ptr, is.len) == 0;
    tandem__buffer_deinit(&was);
    tandem__buffer_deinit(&is);
    return is_same;
}

static tandem_status write_list(const ane_model *model, const char *folder, tandem_error *err) {
    char path[TANDEM_PATH_MAX];
    tandem_buffer list;
    TANDEM_TRY(tandem__path_join(folder, LIST_FILE, path, err));
    tandem__buffer_init(&list, LIST_BYTES_MAX);
    tandem_status status = list_models(model, folder, &list, err);
    if (status == TANDEM_OK) status = tandem__file_write(path, list.ptr, list.len, err);
    tandem__buffer_deinit(&list);
    return status;
}

static bool is_same_file(const char *a, const char *b) {
    tandem_map x;
    tandem_map y;
    if (tandem__file_map(a, &x, NULL) != TANDEM_OK) return false;
    if (tandem__file_map(b, &y, NULL) != TANDEM_OK) {
        tandem__file_unmap(&x);
        return false;
    }
    const bool is_same =
        x.len >= SHARED_BYTES && x.len == y.len && memcmp(x.bytes, y.bytes, x.len) == 0;
    tandem__file_unmap(&x);
    tandem__file_unmap(&y);
    return is_same;
}

/* Makes `other` a link to `first`; where the disk has no links, it stays what it is. */
static void share_file(const char *first, const char *other) {
    char beside[TANDEM_PATH_MAX];
    const int need = snprintf(beside, sizeof beside, "%s.part", other);
    if (need < 0 || (size_t)need >= sizeof beside || !is_same_file(first, other)) return;
    if (link(first, beside) == 0 && rename(beside, other) != 0) (void)unlink(beside);
}

/* The equal files of two folders. */
static void share(const char *first, const char *other) {
    int count = 0;
    if (!tandem__file_is_directory(first)) {
        share_file(first, other);
        return;
    }
    char(*names)[ENTRY_NAME] = tandem__mem_calloc(ENTRIES_MAX, sizeof *names);
    if (names == NULL) return;
    (void)list_folder(first, names, &count, NULL);
    for (int i = 0; i < count; i++) {
        char a[TANDEM_PATH_MAX];
        char b[TANDEM_PATH_MAX];
        if (tandem__path_join(first, names[i], a, NULL) == TANDEM_OK &&
            tandem__path_join(other, names[i], b, NULL) == TANDEM_OK)
            share(a, b);
    }
    tandem__mem_free(names);
}

static tandem_status compile(const ane_model *model, const char *folder, tandem_error *err) {
    char first[TANDEM_PATH_MAX];
    TANDEM_TRY(tandem__ane_package_path(folder, model->buckets[0], "mlmodelc", first, err));
    for (int32_t i = 0; i < model->bucket_count; i++) {
        char package[TANDEM_PATH_MAX];
        char kept[TANDEM_PATH_MAX];
        char compiled[TANDEM_PATH_MAX];
        const int32_t bucket = model->buckets[i];
        TANDEM_TRY(tandem__ane_package_path(folder, bucket, "mlpackage", package, err));
        TANDEM_TRY(tandem__ane_package_path(folder, bucket, "mlmodelc", kept, err));
        TANDEM_TRY(tandem__ane_compile(package, compiled, err));
        const tandem_status status = tandem__package_move(compiled, kept, err);
        if (status != TANDEM_OK) {
            (void)tandem__package_remove(compiled, NULL); /* or it stays where Core ML put it */
            return status;
        }
        TANDEM_TRY(tandem__package_remove(package, err));
        if (i > 0) share(first, kept);
    }
    return write_list(model, folder, err);
}

static tandem_status build_in(const ane_model *model, const char *folder, tandem_error *err) {
    TANDEM_TRY(tandem__package_remove(folder, err));
    TANDEM_TRY(tandem__folder_make(folder, err));
    TANDEM_TRY(tandem__ane_packages_write(model, folder, err));
    return compile(model, folder, err);
}

/* Another process may have been quicker: its models are as good. */
static tandem_status put_in_place(const ane_model *model, const char *beside, const char *folder,
                                  tandem_error *err) {
    if (rename(beside, folder) == 0) return TANDEM_OK;
    if (is_whole(model, folder)) return tandem__package_remove(beside, err);
    TANDEM_TRY(tandem__package_remove(folder, err));
    if (rename(beside, folder) == 0) return TANDEM_OK;
    return tandem__fail_errno(err, folder, "cannot rename");
}

/* Notes that the models are used. */
static void touch(const char *folder) {
    char list[TANDEM_PATH_MAX];
    if (tandem__path_join(folder, LIST_FILE, list, NULL) == TANDEM_OK)
        (void)utimensat(AT_FDCWD, list, NULL, 0);
}

/* When a folder was last used; one that was never finished, when it was begun. */
static time_t used_at(const char *folder) {
    char list[TANDEM_PATH_MAX];
    struct stat info;
    if (tandem__path_join(folder, LIST_FILE, list, NULL) == TANDEM_OK && stat(list, &info) == 0)
        return info.st_mtime;
    return stat(folder, &info) == 0 ? info.st_mtime : time(NULL);
}

/* Removes what has not been used for long. What cannot be is left. */
static void sweep(const char *cache) {
    char folder[TANDEM_PATH_MAX];
    int count = 0;
    char(*names)[ENTRY_NAME] = tandem__mem_calloc(ENTRIES_MAX, sizeof *names);
    if (names == NULL) return;
    (void)list_folder(cache, names, &count, NULL);
    for (int i = 0; i < count; i++) {
        if (tandem__path_join(cache, names[i], folder, NULL) != TANDEM_OK) continue;
        if (time(NULL) - used_at(folder) > KEPT_S) (void)tandem__package_remove(folder, NULL);
    }
    tandem__mem_free(names);
}

static atomic_uint parts; /* folders begun by this process: two engines may open at once */

tandem_status tandem__ane_cache_open(const ane_model *model, const char *build, char *folder,
                                     bool *is_new, tandem_error *err) {
    char cache[TANDEM_PATH_MAX];
    char beside[TANDEM_PATH_MAX];
    char key[TANDEM_SHA_HEX_MAX];
    char part[TANDEM_SHA_HEX_MAX + 32];
    TANDEM_TRY(cache_folder(cache, err));
    TANDEM_TRY(tandem__ane_packages_key(model, build, key, err));
    TANDEM_TRY(tandem__path_join(cache, key, folder, err));
    *is_new = !is_whole(model, folder);
    if (!*is_new) {
        touch(folder);
        return TANDEM_OK;
    }
    (void)snprintf(part, sizeof part, "%s.%ld-%u.part", key, (long)getpid(),
                   atomic_fetch_add_explicit(&parts, 1, memory_order_relaxed));
    TANDEM_TRY(tandem__path_join(cache, part, beside, err));
    tandem_status status = build_in(model, beside, err);
    if (status == TANDEM_OK) status = put_in_place(model, beside, folder, err);
    if (status != TANDEM_OK) (void)tandem__package_remove(beside, NULL);
    sweep(cache);
    return status;
}

void tandem__ane_cache_drop(const char *folder) {
    (void)tandem__package_remove(folder, NULL);
}
