/* SPDX-License-Identifier: Apache-2.0 */
#include "hub/hub_blob.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fail.h"
#include "hub/hub_layout.h"

#define READ_BYTES 65536

typedef struct download {
    tandem_hub_session *session;
    const tandem_hub_entry *entry;
    char path[TANDEM_PATH_MAX];    /* blobs/<etag> */
    char partial[TANDEM_PATH_MAX]; /* blobs/<etag>.incomplete */
    int fd;                        /* of `partial` */
    int64_t have;                  /* its bytes, hashed */
    tandem_sha sha;
    bool has_begun; /* this answer's first bytes were looked at */
} download;

/* Git names a blob by the SHA-1 of its kind, its size and its content. */
static void start_hash(tandem_sha *sha, const char *like, int64_t bytes) {
    tandem__sha_init(sha, strlen(like) == 64 ? TANDEM_SHA_256 : TANDEM_SHA_1);
    if (sha->kind == TANDEM_SHA_256) return;
    char head[32];
    const int len = snprintf(head, sizeof head, "blob %lld", (long long)bytes);
    tandem__sha_update(sha, head, (size_t)len + 1); /* the NUL is part of it */
}

/* Hashes `fd` from where it stands to its end. */
static tandem_status hash_rest(int fd, const char *path, tandem_sha *sha, tandem_hub_watch *watch,
                               int64_t *bytes, tandem_error *err) {
    char block[READ_BYTES];
    for (;;) {
        const ssize_t got = read(fd, block, sizeof block);
        if (got < 0 && errno == EINTR) continue;
        if (got < 0) return tandem__fail_errno(err, path, "cannot read");
        if (got == 0) return TANDEM_OK;
        tandem__sha_update(sha, block, (size_t)got);
        *bytes += got;
        watch->progress.bytes_done += got;
        if (tandem__hub_watch_tick(watch, false)) return tandem__hub_watch_fail(watch, err);
    }
}

tandem_status tandem__hub_blob_hash(const char *path, const char *like, tandem_hub_watch *watch,
                                    char hex[TANDEM_SHA_HEX_MAX], tandem_error *err) {
    const int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) return tandem__fail_errno(err, path, "cannot open");
    struct stat info;
    tandem_status status = TANDEM_OK;
    if (fstat(fd, &info) != 0) status = tandem__fail_errno(err, path, "cannot stat");
    if (status == TANDEM_OK && !S_ISREG(info.st_mode)) {
        status = TANDEM_FAIL(err, INVALID, "%s: no regular file", path);
    }
    if (status == TANDEM_OK) {
        tandem_sha sha;
        int64_t bytes = 0;
        start_hash(&sha, like, info.st_size);
        status = hash_rest(fd, path, &sha, watch, &bytes, err);
        tandem__sha_finish(&sha, hex);
    }
    (void)close(fd);
    return status;
}

static tandem_status find_paths(const tandem_hub_session *session, const tandem_hub_entry *entry,
                                char *path, char *partial, tandem_error *err) {
    char name[TANDEM_SHA_HEX_MAX + sizeof ".incomplete"];
    TANDEM_TRY(tandem__hub_join3(session->repo_folder, "blobs", entry->etag, path, err));
    (void)snprintf(name, sizeof name, "%s.incomplete", entry->etag);
    return tandem__hub_join3(session->repo_folder, "blobs", name, partial, err);
}

/* Bytes of a regular file, -1 if there is none. */
static int64_t file_bytes(const char *path) {
    struct stat info;
    return stat(path, &info) == 0 && S_ISREG(info.st_mode) ? (int64_t)info.st_size : -1;
}

int64_t tandem__hub_blob_bytes_left(const tandem_hub_session *session,
                                    const tandem_hub_entry *entry) {
    char path[TANDEM_PATH_MAX];
    char partial[TANDEM_PATH_MAX];
    tandem_error ignored = {.status = TANDEM_OK};
    if (find_paths(session, entry, path, partial, &ignored) != TANDEM_OK) return entry->bytes;
    if (file_bytes(path) == entry->bytes) return 0;
    const int64_t have = file_bytes(partial);
    return have > 0 && have <= entry->bytes ? entry->bytes - have : entry->bytes;
}

/* A new file rather than a truncated one: should a lock not have held, the old one may meanwhile be
 * another's blob. */
static tandem_status start_over(download *d, tandem_error *err) {
    d->session->watch.progress.bytes_done -= d->have;
    d->have = 0;
    start_hash(&d->sha, d->entry->etag, d->entry->bytes);
    (void)unlink(d->partial);
    (void)close(d->fd);
    d->fd = open(d->partial, O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0666);
    return d->fd < 0 ? tandem__fail_errno(err, d->partial, "cannot create") : TANDEM_OK;
}

/* What an earlier pull left counts if it is not longer than the whole. */
static tandem_status open_partial(download *d, tandem_error *err) {
    TANDEM_TRY(tandem__hub_make_folders(d->partial, true, err));
    d->fd = open(d->partial, O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0666);
    if (d->fd < 0) return tandem__fail_errno(err, d->partial, "cannot create");
    start_hash(&d->sha, d->entry->etag, d->entry->bytes);
    TANDEM_TRY(hash_rest(d->fd, d->partial, &d->sha, &d->session->watch, &d->have, err));
    return d->have > d->entry->bytes ? start_over(d, err) : TANDEM_OK;
}

static tandem_status write_at(const download *d, const char *bytes, size_t len, tandem_error *err) {
    int64_t at = d->have;
    while (len > 0) {
        const ssize_t put = pwrite(d->fd, bytes, len, (off_t)at);
        if (put < 0 && errno == EINTR) continue;
        if (put < 0) return tandem__fail_errno(err, d->partial, "cannot write");
        bytes += put;
        at += put;
        len -= (size_t)put;
    }
    return TANDEM_OK;
}

static tandem_status take(void *context, const tandem_hub_reply *reply, const char *bytes,
                          size_t len, tandem_error *err) {
    download *d = context;
    if (!d->has_begun) {
        d->has_begun = true;
        if (reply->code == 200 && d->have > 0) TANDEM_TRY(start_over(d, err));
        if (reply->code == 206 && reply->range_start != d->have) {
            return TANDEM_FAIL(err, FORMAT, "%s: asked for bytes from %lld, got those from %lld",
                               d->entry->path, (long long)d->have, (long long)reply->range_start);
        }
    }
    if ((int64_t)len > d->entry->bytes - d->have) {
        return TANDEM_FAIL(err, FORMAT, "%s: longer than the %lld bytes that the Hub lists",
                           d->entry->path, (long long)d->entry->bytes);
    }
    TANDEM_TRY(write_at(d, bytes, len, err));
    tandem__sha_update(&d->sha, bytes, len);
    d->have += (int64_t)len;
    d->session->watch.progress.bytes_done += (int64_t)len;
    d->session->watch.progress.bytes_fetched += (int64_t)len;
    return TANDEM_OK;
}

/* One request for the bytes that are missing. A body that ends early without an error of the
 * connection is a cut as well. */
static tandem_status receive(download *d, const char *url, tandem_hub_reply *reply,
                             tandem_error *err) {
    const tandem_hub_request request = {.url = url, .offset = d->have, .sink = take, .context = d};
    d->has_begun = false;
    TANDEM_TRY(tandem__hub_http_send(d->session->http, &request, reply, err));
    if (reply->code == 416 && d->have > 0) { /* what we have is not a part of it */
        reply->is_transient = true;
        TANDEM_TRY(start_over(d, err));
        return TANDEM_FAIL(err, FORMAT, "%s: the Hub has no bytes after those already here",
                           d->entry->path);
    }
    if (reply->code != 200 && reply->code != 206) {
        return tandem__hub_refusal(&d->session->settings, &d->session->name, d->entry->path, reply,
                                   err);
    }
    if (d->have == d->entry->bytes) return TANDEM_OK;
    reply->is_transient = true;
    return TANDEM_FAIL(err, IO, "%s: %lld bytes came, expected %lld", d->entry->path,
                       (long long)d->have, (long long)d->entry->bytes);
}

/* Until all bytes are here. To have come further than ever gives back the retries. */
static tandem_status receive_all(download *d, tandem_error *err) {
    char url[TANDEM_HUB_URL_MAX];
    TANDEM_TRY(tandem__hub_file_url(d->session, d->entry->path, url, err));
    tandem_hub_retry retry = tandem__hub_retry_start(&d->session->settings);
    int64_t furthest = d->have;
    while (d->have < d->entry->bytes) {
        tandem_hub_reply reply;
        const tandem_status status = receive(d, url, &reply, err);
        if (status == TANDEM_OK) continue;
        if (d->have > furthest) {
            furthest = d->have;
            retry = tandem__hub_retry_start(&d->session->settings);
        }
        TANDEM_TRY(tandem__hub_retry_wait(&retry, &d->session->watch, &reply, status, err));
    }
    return TANDEM_OK;
}

/* A wrong hash may come from an old part or from a bad proxy: once more from the start, and then
 * it is the Hub's. Nothing wrong is kept. */
static tandem_status receive_checked(download *d, tandem_error *err) {
    char hex[TANDEM_SHA_HEX_MAX];
    for (int attempt = 0; attempt < 2; attempt++) {
        TANDEM_TRY(receive_all(d, err));
        tandem__sha_finish(&d->sha, hex);
        if (strcmp(hex, d->entry->etag) == 0) return TANDEM_OK;
        TANDEM_TRY(start_over(d, err));
    }
    (void)unlink(d->partial);
    return TANDEM_FAIL(err, FORMAT, "%s: has hash %s, expected %s; nothing of it was kept",
                       d->entry->path, hex, d->entry->etag);
}

static tandem_status place(const download *d, tandem_error *err) {
    if (fsync(d->fd) != 0) return tandem__fail_errno(err, d->partial, "cannot sync");
    if (rename(d->partial, d->path) == 0) return TANDEM_OK;
    const tandem_status status = tandem__fail_errno(err, d->path, "cannot rename");
    if (file_bytes(d->path) != d->entry->bytes) return status;
    tandem_error_clear(err); /* another was quicker, whose lock did not keep us out */
    return TANDEM_OK;
}

tandem_status tandem__hub_blob_fetch(tandem_hub_session *session, const tandem_hub_entry *entry,
                                     bool *was_fetched, tandem_error *err) {
    download d = {.session = session, .entry = entry, .fd = -1};
    int lock = -1;
    session->watch.progress.file = entry->path;
    TANDEM_TRY(find_paths(session, entry, d.path, d.partial, err));
    TANDEM_TRY(tandem__hub_lock(session->settings.cache, session->repo_folder, entry->etag,
                                TANDEM_HUB_LOCK_ALONE, &session->watch, &lock, err));
    tandem_status status = TANDEM_OK;
    const bool is_there = file_bytes(d.path) == entry->bytes;
    if (is_there) {
        session->watch.progress.bytes_done += entry->bytes;
    } else {
        status = open_partial(&d, err);
        if (status == TANDEM_OK) status = receive_checked(&d, err);
        if (status == TANDEM_OK) status = place(&d, err);
    }
    if (d.fd >= 0) (void)close(d.fd);
    tandem__hub_unlock(lock);
    if (was_fetched != NULL) *was_fetched = !is_there;
    if (status == TANDEM_OK) (void)tandem__hub_watch_tick(&session->watch, true);
    return status;
}
