/* SPDX-License-Identifier: Apache-2.0 */
/* Reads what is on disk and compares it with the hash that it is named by. */
#include <stdio.h>
#include <string.h>

#include "base/fail.h"
#include "hub/hub_blob.h"
#include "hub/hub_layout.h"

typedef struct verifier {
    tandem_hub_inventory *inventory;
    tandem_hub_watch watch;
    const char *bad_folder; /* of the first file that is not good, NULL if all are */
    const tandem_hub_file *bad;
} verifier;

/* A blob that two files share is read once. */
static const tandem_hub_file *find_checked(const verifier *v, const tandem_hub_snapshot *snapshot,
                                           const tandem_hub_file *file) {
    for (const tandem_hub_snapshot *other = v->inventory->snapshots; other <= snapshot; other++) {
        if (strcmp(other->name, snapshot->name) != 0) continue;
        for (size_t i = 0; i < other->file_count; i++) {
            const tandem_hub_file *earlier = &other->files[i];
            if (earlier == file) return NULL;
            if (strcmp(earlier->blob, file->blob) == 0) return earlier;
        }
    }
    return NULL;
}

static tandem_status check(verifier *v, const tandem_hub_snapshot *snapshot, tandem_hub_file *file,
                           tandem_error *err) {
    char path[TANDEM_PATH_MAX];
    char hex[TANDEM_SHA_HEX_MAX];
    if (file->state == TANDEM_HUB_MISSING) return TANDEM_OK;
    file->state = TANDEM_HUB_UNNAMED;
    if (!tandem__hub_is_hash(file->blob)) return TANDEM_OK;
    const tandem_hub_file *earlier = find_checked(v, snapshot, file);
    if (earlier != NULL) {
        file->state = earlier->state;
        v->watch.progress.bytes_done += file->bytes;
        return TANDEM_OK;
    }
    TANDEM_TRY(tandem__path_join(snapshot->folder, file->name, path, err));
    TANDEM_TRY(tandem__hub_blob_hash(path, file->blob, &v->watch, hex, err));
    file->state = strcmp(hex, file->blob) == 0 ? TANDEM_HUB_GOOD : TANDEM_HUB_DAMAGED;
    return TANDEM_OK;
}

static tandem_status check_snapshot(verifier *v, const tandem_hub_snapshot *snapshot,
                                    tandem_error *err) {
    /* The inventory's own memory, const to its readers only. */
    tandem_hub_file *files = (tandem_hub_file *)(uintptr_t)snapshot->files;
    v->watch.progress.name = snapshot->name;
    for (size_t i = 0; i < snapshot->file_count; i++) {
        v->watch.progress.file = files[i].name;
        TANDEM_TRY(check(v, snapshot, &files[i], err));
        v->watch.progress.files_done++;
        const bool is_bad =
            files[i].state == TANDEM_HUB_DAMAGED || files[i].state == TANDEM_HUB_MISSING;
        if (is_bad && v->bad == NULL) {
            v->bad = &files[i];
            v->bad_folder = snapshot->folder;
        }
    }
    return TANDEM_OK;
}

static tandem_status check_all(verifier *v, tandem_error *err) {
    const tandem_hub_inventory *inventory = v->inventory;
    for (size_t i = 0; i < inventory->count; i++) {
        v->watch.progress.bytes_total += inventory->snapshots[i].bytes;
        v->watch.progress.files_total += (int32_t)inventory->snapshots[i].file_count;
    }
    for (size_t i = 0; i < inventory->count; i++) {
        TANDEM_TRY(check_snapshot(v, &inventory->snapshots[i], err));
    }
    if (v->bad == NULL) return TANDEM_OK;
    return TANDEM_FAIL(
        err, FORMAT, "%s/%s: %s; remove the model and pull it again", v->bad_folder, v->bad->name,
        v->bad->state == TANDEM_HUB_MISSING ? "its content is missing" : "its content has changed");
}

tandem_status tandem_hub_verify(const tandem_hub_options *options, const char *name,
                                const char *revision, tandem_hub_inventory *inventory,
                                tandem_error *err) {
    TANDEM_TRY(tandem_hub_list(options, name, revision, inventory, err));
    verifier v = {.inventory = inventory};
    tandem__hub_watch_init(&v.watch, options);
    const tandem_status status = check_all(&v, err);
    if (status != TANDEM_OK && v.bad == NULL) tandem_hub_inventory_deinit(inventory);
    return status;
}
