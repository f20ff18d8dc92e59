/* SPDX-License-Identifier: Apache-2.0 */
/* A pull, in steps that each leave the cache well formed:
 *
 *     list ─ modules.json, index ─ choose ─ room on the disk? ─ blobs ─ links ─ ref
 *
 * Links and ref come last, when every blob is there: a name that could be opened before can be
 * opened all the while, and afterwards means the new commit. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/statvfs.h>

#include "base/assert.h"
#include "base/bytes_text.h"
#include "base/fail.h"
#include "base/mem.h"
#include "hub/hub_blob.h"
#include "hub/hub_layout.h"
#include "hub/hub_select.h"

#define ARENA_BYTES_MAX ((size_t)192 << 20)
#define LIST_BYTES_MAX  ((size_t)32 << 20)
#define TEXT_BYTES_MAX  ((size_t)48 << 20) /* of modules.json or an index */

typedef struct puller {
    tandem_hub_session session;
    tandem_hub_listing listing;
    tandem_hub_selection selection;
    int lock; /* pull.lock, shared */
    int64_t bytes;
    int32_t files_fetched;
} puller;

/* Listed paths are sorted and what is asked for is one of them. */
static tandem_hub_entry *entry_of(const puller *p, const char *path) {
    size_t low = 0;
    size_t high = p->listing.count;
    while (low < high) {
        const size_t middle = low + (high - low) / 2;
        if (strcmp(p->listing.paths[middle], path) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    TANDEM_ASSERT(low < p->listing.count);
    TANDEM_ASSERT(strcmp(p->listing.paths[low], path) == 0);
    return &p->listing.entries[low];
}

static tandem_status fetch(puller *p, const char *path, tandem_error *err) {
    bool was_fetched = false;
    tandem_hub_entry *entry = entry_of(p, path);
    TANDEM_TRY(tandem__hub_entry_complete(&p->session, entry, err));
    TANDEM_TRY(tandem__hub_blob_fetch(&p->session, entry, &was_fetched, err));
    if (was_fetched) p->files_fetched++;
    return TANDEM_OK;
}

/* For the choice: one of the model's own JSON files, fetched like any other. */
static tandem_status read_text(void *context, const char *path, tandem_str *text,
                               tandem_error *err) {
    puller *p = context;
    char blob[TANDEM_PATH_MAX];
    tandem_hub_entry *entry = entry_of(p, path);
    TANDEM_TRY(tandem__hub_entry_complete(&p->session, entry, err));
    if (entry->bytes >= (int64_t)TEXT_BYTES_MAX) {
        return TANDEM_FAIL(err, CAPACITY, "%s: %lld bytes, limit %zu", path,
                           (long long)entry->bytes, TEXT_BYTES_MAX);
    }
    TANDEM_TRY(fetch(p, path, err));
    TANDEM_TRY(tandem__hub_join3(p->session.repo_folder, "blobs", entry->etag, blob, err));
    tandem_buffer content;
    tandem__buffer_init(&content, TEXT_BYTES_MAX);
    tandem_status status = tandem__file_read(blob, &content, err);
    if (status == TANDEM_OK) {
        const char *kept = tandem__arena_copy(&p->session.arena, content.ptr, content.len);
        *text = (tandem_str){kept, content.len};
        if (kept == NULL) {
            status = TANDEM_FAIL(err, CAPACITY, "%s: needs over %zu bytes", path, ARENA_BYTES_MAX);
        }
    }
    tandem__buffer_deinit(&content);
    return status;
}

static tandem_status list(puller *p, tandem_error *err) {
    tandem_buffer text;
    tandem__buffer_init(&text, LIST_BYTES_MAX);
    (void)tandem__hub_watch_tick(&p->session.watch, true);
    tandem_status status = tandem__hub_listing_fetch(&p->session, &text, err);
    tandem_str json = TANDEM_STR("");
    if (status == TANDEM_OK) {
        json.ptr = tandem__arena_copy(&p->session.arena, text.ptr, text.len);
        json.len = text.len;
        if (json.ptr == NULL) status = TANDEM_FAIL(err, MEMORY, "no memory for a list of files");
    }
    tandem__buffer_deinit(&text);
    if (status != TANDEM_OK) return status;
    status = tandem__hub_listing_read(json, &p->session.arena, &p->listing, err);
    if (status != TANDEM_OK) return tandem__fail_prefix(err, status, "the Hub's list of files");
    const char *revision = p->session.name.revision;
    if (tandem__hub_is_hash(revision) && strcmp(revision, p->listing.commit) != 0) {
        return TANDEM_FAIL(err, FORMAT, "the Hub answers for commit %s, expected %s",
                           p->listing.commit, revision);
    }
    (void)snprintf(p->session.commit, sizeof p->session.commit, "%s", p->listing.commit);
    return TANDEM_OK;
}

/* Some slack, since a full disk hurts more than this one download. */
static tandem_status check_room(const puller *p, int64_t left, tandem_error *err) {
    const int64_t slack = 16 << 20;
    const char *cache = p->session.settings.cache;
    struct statvfs info;
    if (statvfs(cache, &info) != 0) return tandem__fail_errno(err, cache, "cannot ask its size");
    const uint64_t unit = info.f_frsize;
    const uint64_t have = info.f_bavail > (uint64_t)INT64_MAX / (unit == 0 ? 1 : unit)
                              ? (uint64_t)INT64_MAX
                              : (uint64_t)info.f_bavail * unit;
    if (left == 0 || have >= (uint64_t)left + (uint64_t)slack) return TANDEM_OK;
    return TANDEM_FAIL(err, CAPACITY, "needs %s and %s to spare, %s are free in %s",
                       tandem__bytes_text(left).text, tandem__bytes_text(slack).text,
                       tandem__bytes_text((int64_t)have).text, cache);
}

/* Sizes of what was chosen; refuses what is too large before any of it is fetched. */
static tandem_status measure(puller *p, tandem_error *err) {
    tandem_hub_progress *progress = &p->session.watch.progress;
    const int64_t bytes_max = p->session.settings.bytes_max;
    int64_t left = 0;
    for (size_t i = 0; i < p->selection.count; i++) {
        tandem_hub_entry *entry = entry_of(p, p->selection.paths[i]);
        TANDEM_TRY(tandem__hub_entry_complete(&p->session, entry, err));
        if (entry->bytes > bytes_max - p->bytes) {
            return TANDEM_FAIL(err, CAPACITY,
                               "%s is %s, and with the files before it more than "
                               "the limit of %s",
                               entry->path, tandem__bytes_text(entry->bytes).text,
                               tandem__bytes_text(bytes_max).text);
        }
        p->bytes += entry->bytes;
        left += tandem__hub_blob_bytes_left(&p->session, entry);
    }
    progress->bytes_total = p->bytes;
    progress->files_total = (int32_t)p->selection.count;
    progress->bytes_done = 0; /* those that the choice took are counted when their turn comes */
    return check_room(p, left, err);
}

static tandem_status fetch_all(puller *p, tandem_error *err) {
    tandem_hub_progress *progress = &p->session.watch.progress;
    for (size_t i = 0; i < p->selection.count; i++) {
        TANDEM_TRY(fetch(p, p->selection.paths[i], err));
        progress->files_done++;
        if (tandem__hub_watch_tick(&p->session.watch, true)) {
            return tandem__hub_watch_fail(&p->session.watch, err);
        }
    }
    return TANDEM_OK;
}

/* One process, one thread at a time, so that two pulls do not meet in the same link or ref. */
static tandem_status place_all(puller *p, tandem_error *err) {
    const tandem_hub_session *s = &p->session;
    int lock = -1;
    TANDEM_TRY(tandem__hub_lock(s->settings.cache, s->repo_folder, "place", TANDEM_HUB_LOCK_ALONE,
                                &p->session.watch, &lock, err));
    tandem_status status = TANDEM_OK;
    for (size_t i = 0; i < p->selection.count && status == TANDEM_OK; i++) {
        const tandem_hub_entry *entry = entry_of(p, p->selection.paths[i]);
        status = tandem__hub_link(s->repo_folder, s->commit, entry->path, entry->etag, err);
    }
    if (status == TANDEM_OK) {
        status = tandem__hub_write_ref(s->repo_folder, s->name.revision, s->commit, err);
    }
    tandem__hub_unlock(lock);
    if (status == TANDEM_OK) tandem__hub_tag_cache(s->settings.cache);
    return status;
}

static tandem_status pull_online(puller *p, tandem_error *err) {
    tandem_hub_session *s = &p->session;
    TANDEM_TRY(tandem__hub_http_open(&s->settings, &s->watch, &s->http, err));
    TANDEM_TRY(list(p, err));
    TANDEM_TRY(tandem__hub_lock(s->settings.cache, s->repo_folder, "pull", TANDEM_HUB_LOCK_SHARED,
                                &s->watch, &p->lock, err));
    const tandem_hub_tree tree = {.paths = (const char *const *)p->listing.paths,
                                  .count = p->listing.count,
                                  .read = read_text,
                                  .context = p};
    TANDEM_TRY(tandem__hub_select(&tree, &s->arena, &p->selection, err));
    TANDEM_TRY(measure(p, err));
    TANDEM_TRY(fetch_all(p, err));
    return place_all(p, err);
}

static tandem_status find_offline(puller *p, const tandem_hub_options *options, tandem_error *err) {
    tandem_hub_options here = options == NULL ? (tandem_hub_options){0} : *options;
    here.cache = p->session.settings.cache;
    tandem_hub_inventory inventory = {0};
    const tandem_hub_name *name = &p->session.name;
    tandem_error why = {.status = TANDEM_OK};
    tandem_status status = tandem_hub_list(&here, name->repo, name->revision, &inventory, &why);
    if (status != TANDEM_OK) {
        status = TANDEM_FAIL(err, NOT_FOUND, "offline, and %s", why.message);
    } else if (inventory.snapshots[0].missing[0] != '\0') {
        status = TANDEM_FAIL(err, NOT_FOUND, "offline, and its copy in the cache is not whole: %s",
                             inventory.snapshots[0].missing);
    } else {
        (void)snprintf(p->session.commit, sizeof p->session.commit, "%s",
                       inventory.snapshots[0].commit);
        p->bytes = inventory.snapshots[0].bytes;
        p->selection.count = inventory.snapshots[0].file_count;
    }
    tandem_hub_inventory_deinit(&inventory);
    return status;
}

static tandem_status report(const puller *p, tandem_hub_pulled *pulled, tandem_error *err) {
    char folder[TANDEM_PATH_MAX];
    TANDEM_TRY(
        tandem__hub_join3(p->session.repo_folder, "snapshots", p->session.commit, folder, err));
    *pulled = (tandem_hub_pulled){
        .bytes = p->bytes,
        .bytes_fetched = p->session.watch.progress.bytes_fetched,
        .files = (int32_t)p->selection.count,
        .files_fetched = p->files_fetched,
    };
    _Static_assert(sizeof pulled->folder == sizeof folder, "a path fits");
    (void)snprintf(pulled->folder, sizeof pulled->folder, "%s", folder);
    (void)snprintf(pulled->commit, sizeof pulled->commit, "%s", p->session.commit);
    return TANDEM_OK;
}

/* Most messages come from rooms that do not know the model's name. */
static tandem_status name_model(const puller *p, tandem_status status, tandem_error *err) {
    if (err == NULL || strncmp(err->message, "model ", 6) == 0) return status;
    if (strstr(err->message, p->session.name.repo) != NULL) return status;
    char prefix[TANDEM_HUB_NAME_MAX + 8];
    (void)snprintf(prefix, sizeof prefix, "model %s", p->session.name.repo);
    return tandem__fail_prefix(err, status, prefix);
}

tandem_status tandem_hub_pull(const tandem_hub_options *options, const char *name,
                              const char *revision, tandem_hub_pulled *pulled, tandem_error *err) {
    puller *p = tandem__mem_calloc(1, sizeof *p);
    if (p == NULL) return TANDEM_FAIL(err, MEMORY, "no memory for a download");
    tandem_hub_session *s = &p->session;
    p->lock = -1;
    tandem__arena_init(&s->arena, ARENA_BYTES_MAX);
    tandem__hub_watch_init(&s->watch, options);
    tandem_status status = tandem__hub_settings_name(name, revision, &s->name, NULL, err);
    if (status != TANDEM_OK) goto done;
    s->watch.progress.name = s->name.repo;
    status = tandem__hub_settings_read(options, true, &s->settings, err);
    if (status != TANDEM_OK) goto done;
    status = tandem__hub_repo_folder(s->settings.cache, s->name.repo, s->repo_folder, err);
    if (status != TANDEM_OK) goto done;
    status = s->settings.is_offline ? find_offline(p, options, err) : pull_online(p, err);
    if (status == TANDEM_OK) status = report(p, pulled, err);
    if (status != TANDEM_OK) status = name_model(p, status, err);
done:
    tandem__hub_unlock(p->lock);
    tandem__hub_http_close(s->http);
    tandem__arena_deinit(&s->arena);
    tandem__mem_free(p);
    return status;
}
