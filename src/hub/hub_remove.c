/* SPDX-License-Identifier: Apache-2.0 */
/* Takes snapshots out of the cache, and then the blobs that no snapshot links to any more.
 *
 * Links are removed, never followed: blobs are found by their names in this model's own folder, and
 * that folder must be a real one. No pull of the same model by tandem can be under way: a removal
 * holds its pull.lock alone. */
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/fail.h"
#include "hub/hub_inventory.h"
#include "hub/hub_layout.h"
#include "hub/hub_walk.h"

typedef struct remover {
    const tandem_hub_settings *settings;
    char folder[TANDEM_PATH_MAX]; /* <cache>/models--org--name */
    char commit[TANDEM_HUB_NAME_MAX];
    int64_t bytes_freed;
    const char *blob; /* looked for by is_linked */
    bool is_linked;
    size_t snapshots; /* that are left */
} remover;

static tandem_status remove_one(void *context, const tandem_hub_found *found, tandem_error *err) {
    remover *r = context;
    if (S_ISDIR(found->info->st_mode)) {
        if (rmdir(found->path) != 0) return tandem__fail_errno(err, found->path, "cannot remove");
        return TANDEM_OK;
    }
    if (unlink(found->path) != 0) return tandem__fail_errno(err, found->path, "cannot remove");
    if (S_ISREG(found->info->st_mode)) r->bytes_freed += (int64_t)found->info->st_size;
    return TANDEM_OK;
}

/* A folder of the model's, if it is a real one, and all that is in it. */
static tandem_status remove_tree(remover *r, const char *path, tandem_error *err) {
    struct stat info;
    if (lstat(path, &info) != 0) return TANDEM_OK;
    const tandem_hub_found found = {.path = path, .name = path, .info = &info};
    if (S_ISDIR(info.st_mode)) {
        TANDEM_TRY(tandem__hub_walk(path, TANDEM_HUB_WALK_ALL, remove_one, r, err));
    }
    return remove_one(r, &found, err);
}

static tandem_status count_snapshot(void *context, const tandem_hub_found *found,
                                    tandem_error *err) {
    remover *r = context;
    (void)err;
    if (S_ISDIR(found->info->st_mode)) r->snapshots++;
    return TANDEM_OK;
}

static tandem_status remove_ref(void *context, const tandem_hub_found *found, tandem_error *err) {
    const remover *r = context;
    char commit[TANDEM_HUB_NAME_MAX];
    tandem_error ignored = {.status = TANDEM_OK};
    const tandem_status status = tandem__hub_read_ref(r->folder, found->name, commit, &ignored);
    if (status != TANDEM_OK || strcmp(commit, r->commit) != 0) return TANDEM_OK;
    if (unlink(found->path) != 0) return tandem__fail_errno(err, found->path, "cannot remove");
    return TANDEM_OK;
}

static tandem_status compare_link(void *context, const tandem_hub_found *found, tandem_error *err) {
    remover *r = context;
    char blob[TANDEM_HUB_NAME_MAX];
    (void)err;
    tandem__hub_link_blob(found->path, blob);
    if (strcmp(blob, r->blob) == 0) r->is_linked = true;
    return TANDEM_OK;
}

/* What Python is fetching at this moment is not linked yet, but its lock is held. */
static tandem_status remove_blob(void *context, const tandem_hub_found *found, tandem_error *err) {
    remover *r = context;
    char snapshots[TANDEM_PATH_MAX];
    char etag[TANDEM_HUB_NAME_MAX];
    int lock = -1;
    tandem_error ignored = {.status = TANDEM_OK};
    (void)snprintf(etag, sizeof etag, "%.*s", (int)strcspn(found->name, "."), found->name);
    if (tandem__hub_lock(r->settings->cache, r->folder, etag, TANDEM_HUB_LOCK_ALONE, NULL, &lock,
                         &ignored) != TANDEM_OK) {
        return TANDEM_OK;
    }
    r->blob = found->name;
    r->is_linked = false;
    tandem_status status = tandem__hub_join3(r->folder, "snapshots", "", snapshots, err);
    if (status == TANDEM_OK) {
        status = tandem__hub_walk(snapshots, TANDEM_HUB_WALK_FILES, compare_link, r, err);
    }
    if (status == TANDEM_OK && !r->is_linked) status = remove_one(r, found, err);
    tandem__hub_unlock(lock);
    return status;
}

static tandem_status remove_snapshots(remover *r, tandem_error *err) {
    char snapshots[TANDEM_PATH_MAX];
    char refs[TANDEM_PATH_MAX];
    char path[TANDEM_PATH_MAX];
    TANDEM_TRY(tandem__path_join(r->folder, "snapshots", snapshots, err));
    TANDEM_TRY(tandem__path_join(r->folder, "refs", refs, err));
    if (r->commit[0] == '\0') {
        TANDEM_TRY(remove_tree(r, refs, err));
        return remove_tree(r, snapshots, err);
    }
    /* A ref to nothing would make Python call the cache corrupt: refs go first. */
    TANDEM_TRY(tandem__hub_walk(refs, TANDEM_HUB_WALK_FILES, remove_ref, r, err));
    TANDEM_TRY(tandem__path_join(snapshots, r->commit, path, err));
    TANDEM_TRY(remove_tree(r, path, err));
    return tandem__hub_walk(snapshots, TANDEM_HUB_WALK_TOP, count_snapshot, r, err);
}

/* Without a snapshot a model's folder holds nothing that anybody uses. */
static tandem_status remove_rest(remover *r, tandem_error *err) {
    char blobs[TANDEM_PATH_MAX];
    char locks[TANDEM_PATH_MAX];
    TANDEM_TRY(tandem__path_join(r->folder, "blobs", blobs, err));
    TANDEM_TRY(tandem__hub_walk(blobs, TANDEM_HUB_WALK_TOP, remove_blob, r, err));
    if (r->snapshots > 0) return TANDEM_OK;
    if (rmdir(blobs) != 0 && tandem__file_is_directory(blobs)) return TANDEM_OK; /* in use */
    TANDEM_TRY(remove_tree(r, r->folder, err));
    TANDEM_TRY(
        tandem__hub_join3(r->settings->cache, ".locks", strrchr(r->folder, '/') + 1, locks, err));
    return remove_tree(r, locks, err);
}

tandem_status tandem_hub_remove(const tandem_hub_options *options, const char *name,
                                const char *revision, int64_t *bytes_freed, tandem_error *err) {
    tandem_hub_settings settings;
    remover r = {.settings = &settings};
    struct stat info;
    TANDEM_TRY(tandem__hub_settings_read(options, false, &settings, err));
    TANDEM_TRY(tandem__hub_find(settings.cache, name, revision, r.folder, r.commit, err));
    if (lstat(r.folder, &info) == 0 && !S_ISDIR(info.st_mode)) {
        return TANDEM_FAIL(err, INVALID, "%s: is no folder of the cache's own; not removed",
                           r.folder);
    }
    /* Without a revision, what an interrupted pull has left may go too. */
    if (r.commit[0] != '\0' || !tandem__file_is_directory(r.folder)) {
        tandem_hub_inventory inventory = {0};
        TANDEM_TRY(tandem_hub_list(options, name, revision, &inventory, err));
        tandem_hub_inventory_deinit(&inventory);
    }
    int lock = -1;
    TANDEM_TRY(tandem__hub_lock(settings.cache, r.folder, "pull", TANDEM_HUB_LOCK_ALONE, NULL,
                                &lock, err));
    tandem_status status = remove_snapshots(&r, err);
    if (status == TANDEM_OK) status = remove_rest(&r, err);
    tandem__hub_unlock(lock);
    if (status == TANDEM_OK && bytes_freed != NULL) *bytes_freed = r.bytes_freed;
    return status;
}
