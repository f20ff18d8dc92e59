/* SPDX-License-Identifier: Apache-2.0 */
/* What is asked of the Hub about a model before its files are fetched: hub_listing.h. */
#include <stdio.h>
#include <string.h>

#include "base/fail.h"
#include "hub/hub_layout.h"
#include "hub/hub_listing.h"

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
    entry->etag = tandem__arena_copy(&session->arena, etag, strlen(etag));
    if (entry->etag == NULL) return TANDEM_FAIL(err, MEMORY, "no memory for a list of files");
    return TANDEM_OK;
}
