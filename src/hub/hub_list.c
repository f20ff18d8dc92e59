/* SPDX-License-Identifier: Apache-2.0 */
/* What is in the cache: each models-- folder's snapshots, with their files and refs. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/arena.h"
#include "base/fail.h"
#include "base/mem.h"
#include "hub/hub_inventory.h"
#include "hub/hub_layout.h"
#include "hub/hub_select.h"
#include "hub/hub_walk.h"

#define ARENA_BYTES_MAX ((size_t)256 << 20)
#define TEXT_BYTES_MAX  ((size_t)48 << 20)
#define REFS_BYTES_MAX  4096

struct tandem_hub_memory {
    tandem_arena arena;
};

typedef struct file_node {
    tandem_hub_file file;
    struct file_node *next;
} file_node;

typedef struct snapshot_node {
    tandem_hub_snapshot snapshot;
    struct snapshot_node *next;
} snapshot_node;

typedef struct scanner {
    tandem_arena *arena;
    snapshot_node *first;
    size_t count;
    int64_t bytes;
    const char *commit; /* only this one; "" = all */
    const char *repo_folder;
    const char *name;

    /* Of the snapshot under way. */
    file_node *files;
    tandem_hub_snapshot *snapshot;
    tandem_buffer refs;
} scanner;

static tandem_status fail_memory(const scanner *s, tandem_error *err) {
    return TANDEM_FAIL(err, CAPACITY, "the list of models needs over %zu bytes",
                       s->arena->bytes_max);
}

void tandem__hub_link_blob(const char *path, char *blob) {
    char target[TANDEM_PATH_MAX];
    blob[0] = '\0';
    const ssize_t len = readlink(path, target, sizeof target - 1);
    if (len <= 0) return;
    target[len] = '\0';
    const char *last = strrchr(target, '/');
    if (last == NULL || last - target < 5 || strncmp(last - 5, "blobs", 5) != 0) return;
    const size_t name_len = strlen(last + 1);
    if (name_len >= TANDEM_HUB_NAME_MAX || strcmp(last + 1, "..") == 0) return;
    memcpy(blob, last + 1, name_len + 1);
}

static tandem_status add_file(void *context, const tandem_hub_found *found, tandem_error *err) {
    scanner *s = context;
    char blob[TANDEM_HUB_NAME_MAX];
    struct stat content;
    const bool is_there = stat(found->path, &content) == 0 && S_ISREG(content.st_mode);
    tandem__hub_link_blob(found->path, blob);
    file_node *node = tandem__arena_alloc(s->arena, sizeof *node);
    if (node == NULL) return fail_memory(s, err);
    node->file = (tandem_hub_file){
        .name = tandem__arena_copy(s->arena, found->name, strlen(found->name)),
        .blob = tandem__arena_copy(s->arena, blob, strlen(blob)),
        .bytes = is_there ? (int64_t)content.st_size : 0,
        .state = is_there ? TANDEM_HUB_UNCHECKED : TANDEM_HUB_MISSING,
    };
    if (node->file.name == NULL || node->file.blob == NULL) return fail_memory(s, err);
    node->next = s->files;
    s->files = node;
    s->snapshot->file_count++;
    s->snapshot->bytes += node->file.bytes;
    if (is_there && (int64_t)content.st_mtime > s->snapshot->modified_unix_s) {
        s->snapshot->modified_unix_s = (int64_t)content.st_mtime;
    }
    return TANDEM_OK;
}

static int by_file_name(const void *a, const void *b) {
    return strcmp(((const tandem_hub_file *)a)->name, ((const tandem_hub_file *)b)->name);
}

static tandem_status sort_files(scanner *s, tandem_error *err) {
    const size_t count = s->snapshot->file_count;
    tandem_hub_file *files = tandem__arena_array(s->arena, count + 1, sizeof *files);
    if (files == NULL) return fail_memory(s, err);
    size_t at = 0;
    for (const file_node *node = s->files; node != NULL; node = node->next) {
        files[at++] = node->file;
    }
    if (count > 0) qsort(files, count, sizeof *files, by_file_name);
    s->snapshot->files = files;
    return TANDEM_OK;
}

static tandem_status add_ref(void *context, const tandem_hub_found *found, tandem_error *err) {
    scanner *s = context;
    char commit[TANDEM_HUB_NAME_MAX];
    tandem_error ignored = {.status = TANDEM_OK};
    if (tandem__hub_read_ref(s->repo_folder, found->name, commit, &ignored) != TANDEM_OK) {
        return TANDEM_OK;
    }
    if (strcmp(commit, s->snapshot->commit) != 0) return TANDEM_OK;
    return tandem__buffer_printf(&s->refs, err, "%s%s", s->refs.len == 0 ? "" : ", ", found->name);
}

static tandem_status find_refs(scanner *s, tandem_error *err) {
    char folder[TANDEM_PATH_MAX];
    TANDEM_TRY(tandem__path_join(s->repo_folder, "refs", folder, err));
    tandem__buffer_init(&s->refs, REFS_BYTES_MAX);
    const tandem_status status = tandem__hub_walk(folder, TANDEM_HUB_WALK_FILES, add_ref, s, err);
    s->snapshot->refs =
        tandem__arena_copy(s->arena, s->refs.len == 0 ? "" : s->refs.ptr, s->refs.len);
    tandem__buffer_deinit(&s->refs);
    return status == TANDEM_OK && s->snapshot->refs == NULL ? fail_memory(s, err) : status;
}

static tandem_status read_text(void *context, const char *path, tandem_str *text,
                               tandem_error *err) {
    const scanner *s = context;
    char full[TANDEM_PATH_MAX];
    TANDEM_TRY(tandem__path_join(s->snapshot->folder, path, full, err));
    tandem_buffer content;
    tandem__buffer_init(&content, TEXT_BYTES_MAX);
    tandem_status status = tandem__file_read(full, &content, err);
    if (status == TANDEM_OK) {
        text->ptr = tandem__arena_copy(s->arena, content.ptr, content.len);
        text->len = content.len;
        if (text->ptr == NULL) status = fail_memory(s, err);
    }
    tandem__buffer_deinit(&content);
    return status;
}

/* The rules by which files are chosen for download say what a whole snapshot has. */
static tandem_status find_missing(scanner *s, tandem_error *err) {
    tandem_hub_snapshot *snapshot = s->snapshot;
    const char **paths = tandem__arena_array(s->arena, snapshot->file_count + 1, sizeof *paths);
    if (paths == NULL) return fail_memory(s, err);
    tandem_hub_tree tree = {.paths = paths, .read = read_text, .context = s};
    snapshot->missing = "";
    for (size_t i = 0; i < snapshot->file_count; i++) {
        if (snapshot->files[i].state != TANDEM_HUB_MISSING) {
            paths[tree.count++] = snapshot->files[i].name;
        }
    }
    tandem_hub_selection selection;
    tandem_error why = {.status = TANDEM_OK};
    const tandem_status status = tandem__hub_select(&tree, s->arena, &selection, &why);
    if (status == TANDEM_OK) return TANDEM_OK;
    if (status == TANDEM_MEMORY) return TANDEM_FAIL(err, MEMORY, "%s", why.message);
    snapshot->missing = tandem__arena_copy(s->arena, why.message, strlen(why.message));
    return snapshot->missing == NULL ? fail_memory(s, err) : TANDEM_OK;
}

/* Bytes of files whose blob no snapshot before this one has. */
static int64_t new_bytes(const scanner *s, const tandem_hub_snapshot *snapshot) {
    int64_t bytes = 0;
    for (size_t i = 0; i < snapshot->file_count; i++) {
        const tandem_hub_file *file = &snapshot->files[i];
        bool is_new = true;
        for (const snapshot_node *node = s->first; node != NULL && is_new; node = node->next) {
            const tandem_hub_snapshot *other = &node->snapshot;
            const bool is_self = other == snapshot;
            if (other->name != snapshot->name || file->blob[0] == '\0') continue;
            for (size_t j = 0; j < (is_self ? i : other->file_count) && is_new; j++) {
                is_new = strcmp(other->files[j].blob, file->blob) != 0;
            }
        }
        if (is_new) bytes += file->bytes;
    }
    return bytes;
}

static tandem_status add_snapshot(void *context, const tandem_hub_found *found, tandem_error *err) {
    scanner *s = context;
    if (!S_ISDIR(found->info->st_mode) || found->name[0] == '.') return TANDEM_OK;
    if (s->commit[0] != '\0' && strcmp(s->commit, found->name) != 0) return TANDEM_OK;
    snapshot_node *node = tandem__arena_alloc(s->arena, sizeof *node);
    if (node == NULL) return fail_memory(s, err);
    s->snapshot = &node->snapshot;
    s->files = NULL;
    *s->snapshot = (tandem_hub_snapshot){
        .name = s->name,
        .commit = tandem__arena_copy(s->arena, found->name, strlen(found->name)),
        .folder = tandem__arena_copy(s->arena, found->path, strlen(found->path)),
    };
    if (s->snapshot->commit == NULL || s->snapshot->folder == NULL) return fail_memory(s, err);
    TANDEM_TRY(tandem__hub_walk(found->path, TANDEM_HUB_WALK_FILES, add_file, s, err));
    TANDEM_TRY(sort_files(s, err));
    TANDEM_TRY(find_refs(s, err));
    TANDEM_TRY(find_missing(s, err));
    node->next = s->first;
    s->first = node;
    s->count++;
    s->bytes += new_bytes(s, s->snapshot);
    return TANDEM_OK;
}

/* "models--org--name", as "org/name". */
static tandem_status name_of_folder(const scanner *s, const char *entry, const char **name,
                                    tandem_error *err) {
    const char *org = entry + strlen("models--");
    const char *dashes = strstr(org, "--");
    char text[2 * TANDEM_HUB_NAME_MAX];
    if (dashes == NULL)
        (void)snprintf(text, sizeof text, "%.255s", org);
    else
        (void)snprintf(text, sizeof text, "%.*s/%.255s", (int)(dashes - org), org, dashes + 2);
    *name = tandem__arena_copy(s->arena, text, strlen(text));
    return *name == NULL ? fail_memory(s, err) : TANDEM_OK;
}

static tandem_status add_repo(void *context, const tandem_hub_found *found, tandem_error *err) {
    scanner *s = context;
    char snapshots[TANDEM_PATH_MAX];
    if (strncmp(found->name, "models--", 8) != 0) return TANDEM_OK;
    s->repo_folder = found->path;
    TANDEM_TRY(name_of_folder(s, found->name, &s->name, err));
    TANDEM_TRY(tandem__path_join(found->path, "snapshots", snapshots, err));
    return tandem__hub_walk(snapshots, TANDEM_HUB_WALK_TOP, add_snapshot, s, err);
}

static int by_name_then_age(const void *a, const void *b) {
    const tandem_hub_snapshot *x = a;
    const tandem_hub_snapshot *y = b;
    const int names = strcmp(x->name, y->name);
    if (names != 0) return names;
    if (x->modified_unix_s != y->modified_unix_s) {
        return x->modified_unix_s > y->modified_unix_s ? -1 : 1;
    }
    return strcmp(x->commit, y->commit);
}

tandem_status tandem__hub_find(const char *cache, const char *name, const char *revision,
                               char *folder, char *commit, tandem_error *err) {
    tandem_hub_name parsed;
    bool is_said = false;
    char bare[TANDEM_HUB_NAME_MAX];
    TANDEM_TRY(tandem__hub_settings_name(name, revision, &parsed, &is_said, err));
    (void)snprintf(bare, sizeof bare, "%.*s", (int)strcspn(name, "@"), name);
    TANDEM_TRY(tandem__hub_repo_folder(cache, bare, folder, err));
    if (strchr(bare, '/') != NULL || !tandem__file_is_directory(folder)) {
        TANDEM_TRY(tandem__hub_repo_folder(cache, parsed.repo, folder, err));
    }
    commit[0] = '\0';
    return is_said ? tandem__hub_read_ref(folder, parsed.revision, commit, err) : TANDEM_OK;
}

static tandem_status scan_one(scanner *s, const char *cache, const char *name, const char *revision,
                              tandem_error *err) {
    char folder[TANDEM_PATH_MAX];
    char commit[TANDEM_HUB_NAME_MAX];
    struct stat info;
    TANDEM_TRY(tandem__hub_find(cache, name, revision, folder, commit, err));
    s->commit = commit;
    const tandem_hub_found found = {
        .path = folder, .name = strrchr(folder, '/') + 1, .info = &info};
    TANDEM_TRY(add_repo(s, &found, err));
    s->commit = "";
    if (s->count > 0) return TANDEM_OK;
    if (commit[0] == '\0' || !tandem__file_is_directory(folder)) {
        return TANDEM_FAIL(err, NOT_FOUND, "model %s is not in the cache %.200s", s->name, cache);
    }
    return TANDEM_FAIL(err, NOT_FOUND, "model %s: revision %s is not in the cache %.200s", s->name,
                       revision != NULL ? revision : strchr(name, '@') + 1, cache);
}

static tandem_status finish(const scanner *s, const char *cache, tandem_hub_inventory *inventory,
                            tandem_error *err) {
    tandem_hub_snapshot *snapshots = tandem__arena_array(s->arena, s->count + 1, sizeof *snapshots);
    const char *kept = tandem__arena_copy(s->arena, cache, strlen(cache));
    if (snapshots == NULL || kept == NULL) return fail_memory(s, err);
    size_t at = 0;
    for (const snapshot_node *node = s->first; node != NULL; node = node->next) {
        snapshots[at++] = node->snapshot;
    }
    if (s->count > 0) qsort(snapshots, s->count, sizeof *snapshots, by_name_then_age);
    inventory->snapshots = snapshots;
    inventory->count = s->count;
    inventory->bytes = s->bytes;
    inventory->cache = kept;
    return TANDEM_OK;
}

tandem_status tandem_hub_list(const tandem_hub_options *options, const char *name,
                              const char *revision, tandem_hub_inventory *inventory,
                              tandem_error *err) {
    tandem_hub_settings settings;
    TANDEM_TRY(tandem__hub_settings_read(options, false, &settings, err));
    struct tandem_hub_memory *memory = tandem__mem_calloc(1, sizeof *memory);
    if (memory == NULL) return TANDEM_FAIL(err, MEMORY, "no memory for a list of models");
    tandem__arena_init(&memory->arena, ARENA_BYTES_MAX);
    scanner s = {.arena = &memory->arena, .commit = ""};
    tandem_hub_inventory found = {.memory = memory};
    tandem_status status =
        name == NULL ? tandem__hub_walk(settings.cache, TANDEM_HUB_WALK_TOP, add_repo, &s, err)
                     : scan_one(&s, settings.cache, name, revision, err);
    if (status == TANDEM_OK) status = finish(&s, settings.cache, &found, err);
    if (status != TANDEM_OK) {
        tandem_hub_inventory_deinit(&found);
        return status;
    }
    *inventory = found;
    return TANDEM_OK;
}

void tandem_hub_inventory_deinit(tandem_hub_inventory *inventory) {
    if (inventory->memory != NULL) {
        tandem__arena_deinit(&inventory->memory->arena);
        tandem__mem_free(inventory->memory);
    }
    *inventory = (tandem_hub_inventory){0};
}
