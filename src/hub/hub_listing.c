/* SPDX-License-Identifier: Apache-2.0 */
#include "hub/hub_listing.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/fail.h"
#include "base/json.h"
#include "hub/hub_layout.h"

#define FILES_MAX 20000

static tandem_status copy(tandem_arena *arena, tandem_str text, const char **out,
                          tandem_error *err) {
    *out = tandem__arena_copy(arena, text.ptr, text.len);
    if (*out != NULL) return TANDEM_OK;
    return TANDEM_FAIL(err, CAPACITY, "the list of files needs over %zu bytes", arena->bytes_max);
}

static tandem_status read_entry(const tandem_json *sibling, tandem_arena *arena,
                                tandem_hub_entry *entry, tandem_error *err) {
    tandem_str path = TANDEM_STR("");
    tandem_str etag = TANDEM_STR("");
    entry->bytes = -1;
    TANDEM_TRY(tandem__json_read_str(sibling, "rfilename", &path, err));
    TANDEM_TRY(tandem__json_read_str(sibling, "blobId", &etag, err));
    TANDEM_TRY(tandem__json_read_int(sibling, "size", 0, INT64_MAX, &entry->bytes, err));
    const tandem_json *lfs = tandem__json_get(sibling, "lfs");
    TANDEM_TRY(tandem__json_read_str(lfs, "sha256", &etag, err));
    TANDEM_TRY(tandem__json_read_int(lfs, "size", 0, INT64_MAX, &entry->bytes, err));
    if (!tandem__hub_path_is_safe(path.ptr, path.len)) {
        return TANDEM_FAIL(err, FORMAT, "file name \"%.*s\", expected one inside the model",
                           TANDEM_STR_ARG(path));
    }
    TANDEM_TRY(copy(arena, path, &entry->path, err));
    TANDEM_TRY(copy(arena, etag, &entry->etag, err));
    if (entry->etag[0] != '\0' && !tandem__hub_is_hash(entry->etag)) {
        return TANDEM_FAIL(err, FORMAT, "%s: hash \"%.100s\", expected SHA-1 or SHA-256",
                           entry->path, entry->etag);
    }
    return TANDEM_OK;
}

static int by_path(const void *a, const void *b) {
    return strcmp(((const tandem_hub_entry *)a)->path, ((const tandem_hub_entry *)b)->path);
}

/* Sorted, each name once. */
static tandem_status index_paths(tandem_hub_listing *listing, tandem_arena *arena,
                                 tandem_error *err) {
    listing->paths = tandem__arena_array(arena, listing->count + 1, sizeof *listing->paths);
    if (listing->paths == NULL) return TANDEM_FAIL(err, MEMORY, "no memory for a list of files");
    if (listing->count > 0) {
        qsort(listing->entries, listing->count, sizeof *listing->entries, by_path);
    }
    for (size_t i = 0; i < listing->count; i++) {
        listing->paths[i] = listing->entries[i].path;
        if (i > 0 && strcmp(listing->paths[i - 1], listing->paths[i]) == 0) {
            return TANDEM_FAIL(err, FORMAT, "%s is listed twice", listing->paths[i]);
        }
    }
    return TANDEM_OK;
}

tandem_status tandem__hub_listing_read(tandem_str json, tandem_arena *arena,
                                       tandem_hub_listing *listing, tandem_error *err) {
    const tandem_json *root = NULL;
    TANDEM_TRY(tandem__json_parse(json, arena, &root, err));
    tandem_str commit = TANDEM_STR("");
    TANDEM_TRY(tandem__json_read_str(root, "sha", &commit, err));
    TANDEM_TRY(copy(arena, commit, &listing->commit, err));
    if (!tandem__hub_is_hash(listing->commit)) {
        return TANDEM_FAIL(err, FORMAT, "sha: \"%.100s\", expected a commit", listing->commit);
    }
    const tandem_json *siblings = tandem__json_get(root, "siblings");
    if (siblings == NULL || siblings->kind != TANDEM_JSON_ARRAY || siblings->count > FILES_MAX) {
        const tandem_json_label label = tandem__json_label(siblings);
        return TANDEM_FAIL(err, FORMAT, "siblings: %s, expected a list of at most %d files",
                           label.text, FILES_MAX);
    }
    listing->entries = tandem__arena_array(arena, siblings->count + 1, sizeof *listing->entries);
    if (listing->entries == NULL) return TANDEM_FAIL(err, MEMORY, "no memory for a list of files");
    TANDEM_JSON_EACH(sibling, siblings) {
        TANDEM_TRY(read_entry(sibling, arena, &listing->entries[listing->count], err));
        listing->count++;
    }
    return index_paths(listing, arena, err);
}
