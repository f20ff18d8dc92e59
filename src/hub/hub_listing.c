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

static tandem_status collect(void *context, const tandem_hub_reply *reply, const char *bytes,
                             size_t len, tandem_error *err) {
    (void)reply;
    return tandem__buffer_push(context, bytes, len, err);
}

/* Sends until an answer with 200 has come whole, or to a HEAD a redirect; other answers become
 * errors about `what` (a file, NULL = the model). The sink's context is a tandem_buffer, or NULL.
 */
static tandem_status send_until_good(tandem_hub_session *session, const tandem_hub_request *request,
                                     const char *what, tandem_hub_reply *reply, tandem_error *err) {
    tandem_hub_retry retry = tandem__hub_retry_start(&session->settings);
    for (;;) {
        if (request->context != NULL) ((tandem_buffer *)request->context)->len = 0;
        tandem_status status = tandem__hub_http_send(session->http, request, reply, err);
        const bool is_good = reply->code == 200 || (request->is_head && reply->code / 100 == 3);
        if (status == TANDEM_OK && is_good) return TANDEM_OK;
        if (status == TANDEM_OK) {
            status = tandem__hub_refusal(&session->settings, &session->name, what, reply, err);
        }
        TANDEM_TRY(tandem__hub_retry_wait(&retry, &session->watch, reply, status, err));
    }
}

tandem_status tandem__hub_listing_fetch(tandem_hub_session *session, tandem_buffer *text,
                                        tandem_error *err) {
    char url[TANDEM_HUB_URL_MAX];
    (void)snprintf(url, sizeof url, "%s/api/models/", session->settings.endpoint);
    TANDEM_TRY(tandem__hub_url_add(url, session->name.repo, true, err));
    TANDEM_TRY(tandem__hub_url_add(url, "/revision/", true, err));
    TANDEM_TRY(tandem__hub_url_add(url, session->name.revision, false, err));
    const size_t len = strlen(url);
    (void)snprintf(url + len, sizeof url - len, "?blobs=true");
    const tandem_hub_request request = {.url = url, .sink = collect, .context = text};
    tandem_hub_reply reply;
    return send_until_good(session, &request, NULL, &reply, err);
}

tandem_status tandem__hub_file_url(const tandem_hub_session *session, const char *path, char *url,
                                   tandem_error *err) {
    (void)snprintf(url, TANDEM_HUB_URL_MAX, "%s/", session->settings.endpoint);
    TANDEM_TRY(tandem__hub_url_add(url, session->name.repo, true, err));
    TANDEM_TRY(tandem__hub_url_add(url, "/resolve/", true, err));
    TANDEM_TRY(tandem__hub_url_add(url, session->commit, false, err));
    TANDEM_TRY(tandem__hub_url_add(url, "/", true, err));
    return tandem__hub_url_add(url, path, true, err);
}

tandem_status tandem__hub_entry_complete(tandem_hub_session *session, tandem_hub_entry *entry,
                                         tandem_error *err) {
    if (entry->etag[0] != '\0' && entry->bytes >= 0) return TANDEM_OK;
    char url[TANDEM_HUB_URL_MAX];
    TANDEM_TRY(tandem__hub_file_url(session, entry->path, url, err));
    const tandem_hub_request request = {.url = url, .is_head = true};
    tandem_hub_reply reply;
    TANDEM_TRY(send_until_good(session, &request, entry->path, &reply, err));
    if (reply.commit[0] != '\0' && strcmp(reply.commit, session->commit) != 0) {
        return TANDEM_FAIL(err, FORMAT, "%s: the Hub answers for commit %s, expected %s",
                           entry->path, reply.commit, session->commit);
    }
    const char *etag = reply.linked_etag[0] != '\0' ? reply.linked_etag : reply.etag;
    if (!tandem__hub_is_hash(etag)) {
        return TANDEM_FAIL(
            err, FORMAT, "%s: ETag \"%s\", expected SHA-1 or SHA-256: nothing to check it against",
            entry->path, etag);
    }
    entry->bytes = reply.linked_bytes >= 0 || reply.code != 200 ? reply.linked_bytes : reply.length;
    if (entry->bytes < 0) {
        return TANDEM_FAIL(err, FORMAT, "%s: the Hub does not say how long it is", entry->path);
    }
    return copy(&session->arena, tandem__str(etag), &entry->etag, err);
}
