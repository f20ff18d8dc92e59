/* SPDX-License-Identifier: Apache-2.0 */
/* The cache's files as they are written: folders, links, locks, refs. See base/hub_cache.h for the
 * picture; beside it,
 *
 *     <cache>/.locks/models--<org>--<name>/<etag>.lock   held while blobs/<etag> is made
 *     <cache>/.locks/models--<org>--<name>/pull.lock     shared by pulls, exclusive for a removal
 *     blobs/<etag>.incomplete                            what has come of it so far
 */
#ifndef TANDEM_HUB_LAYOUT_H
#define TANDEM_HUB_LAYOUT_H

#include "hub/hub_settings.h"

#define TANDEM_HUB_FILE_MAX  1024 /* bytes of a file's name in a model, the NUL included */
#define TANDEM_HUB_DEPTH_MAX 8    /* folders in it */

/* Whether a file's name from the network or from a model's own JSON stays inside the folder that it
 * is put in: no empty part, ".", "..", backslash, colon or control character, none too long. */
bool tandem__hub_path_is_safe(const char *path, size_t len);

/* 40 or 64 lower-case hexadecimal digits: git's SHA-1, or SHA-256. */
bool tandem__hub_is_hash(const char *text);

/* a/b/c into TANDEM_PATH_MAX bytes. */
tandem_status tandem__hub_join3(const char *a, const char *b, const char *c, char *out,
                                tandem_error *err) TANDEM_NODISCARD;

/* Makes the folder and those above it. With `is_parent` only those above the last part. */
tandem_status tandem__hub_make_folders(const char *path, bool is_parent,
                                       tandem_error *err) TANDEM_NODISCARD;

/* snapshots/<commit>/<path> as a link to blobs/<etag>, in one step over what is there. */
tandem_status tandem__hub_link(const char *repo_folder, const char *commit, const char *path,
                               const char *etag, tandem_error *err) TANDEM_NODISCARD;

/* refs/<revision>, unless it says so already or the revision is the commit. */
tandem_status tandem__hub_write_ref(const char *repo_folder, const char *revision,
                                    const char *commit, tandem_error *err) TANDEM_NODISCARD;

/* Marks the cache for backup programs, as huggingface_hub does. A failure does not matter. */
void tandem__hub_tag_cache(const char *cache);

typedef enum tandem_hub_lock_kind {
    TANDEM_HUB_LOCK_SHARED = 0,
    TANDEM_HUB_LOCK_ALONE = 1,
} tandem_hub_lock_kind;

/* Takes <cache>/.locks/models--<org>--<name>/<file>.lock by flock, as Python's filelock does, and
 * waits for it unless `watch` is NULL: then TANDEM_CAPACITY if another has it. `*fd` is -1 on a
 * file system without locks: files are then still made whole and renamed, only perhaps twice. */
tandem_status tandem__hub_lock(const char *cache, const char *repo_folder, const char *file,
                               tandem_hub_lock_kind kind, tandem_hub_watch *watch, int *fd,
                               tandem_error *err) TANDEM_NODISCARD;
void tandem__hub_unlock(int fd); /* -1 is allowed */

#endif
