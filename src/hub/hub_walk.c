/* SPDX-License-Identifier: Apache-2.0 */
#include "hub/hub_walk.h"

#include <dirent.h>
#include <errno.h>
#include <string.h>

#include "base/fail.h"
#include "base/file.h"

#define DEPTH_MAX 10

typedef struct walker {
    tandem_hub_walk_kind kind;
    tandem_hub_visitor visitor;
    void *context;
    size_t root_len; /* of the folder and its slash */
    tandem_error *err;
} walker;

static tandem_status walk(const walker *w, const char *folder, int depth);

static tandem_status visit(const walker *w, const char *path, int depth) {
    struct stat info;
    if (lstat(path, &info) != 0) {
        if (errno == ENOENT) return TANDEM_OK; /* another process was quicker */
        return tandem__fail_errno(w->err, path, "cannot stat");
    }
    const bool is_folder = S_ISDIR(info.st_mode);
    if (is_folder && w->kind != TANDEM_HUB_WALK_TOP) TANDEM_TRY(walk(w, path, depth + 1));
    if (is_folder && w->kind == TANDEM_HUB_WALK_FILES) return TANDEM_OK;
    const tandem_hub_found found = {.path = path, .name = path + w->root_len, .info = &info};
    return w->visitor(w->context, &found, w->err);
}

static tandem_status walk(const walker *w, const char *folder, int depth) {
    if (depth > DEPTH_MAX) {
        return TANDEM_FAIL(w->err, FORMAT, "%s: deeper than %d folders", folder, DEPTH_MAX);
    }
    DIR *directory = opendir(folder);
    if (directory == NULL) {
        if (errno == ENOENT || errno == ENOTDIR) return TANDEM_OK;
        return tandem__fail_errno(w->err, folder, "cannot open");
    }
    tandem_status status = TANDEM_OK;
    while (status == TANDEM_OK) {
        const struct dirent *entry = readdir(directory);
        if (entry == NULL) break;
        if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0) continue;
        char path[TANDEM_PATH_MAX];
        status = tandem__path_join(folder, entry->d_name, path, w->err);
        if (status == TANDEM_OK) status = visit(w, path, depth);
    }
    (void)closedir(directory);
    return status;
}

tandem_status tandem__hub_walk(const char *folder, tandem_hub_walk_kind kind,
                               tandem_hub_visitor visitor, void *context, tandem_error *err) {
    const size_t len = strlen(folder);
    const walker w = {.kind = kind,
                      .visitor = visitor,
                      .context = context,
                      .root_len = len > 0 && folder[len - 1] == '/' ? len : len + 1,
                      .err = err};
    return walk(&w, folder, 0);
}
