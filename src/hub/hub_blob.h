/* SPDX-License-Identifier: Apache-2.0 */
/* One file's content: fetched, resumed, checked, put in place.
 *
 *     lock etag ─ blobs/etag there? ── yes ─────────────────────────────────────┐
 *                     no                                                        │
 *                 hash what blobs/etag.incomplete has ─ GET from there ─ write and hash as it comes
 *                     │            ▲ cut, 429, 5xx: wait and go on              │
 *                     │            └────────────────────                        │
 *                 hash right? sync, rename to blobs/etag ─ unlock ──────────────┘
 *
 * The name is the content's hash, so whatever happens to the process, the machine or the lock, a
 * blob that has its name is whole. Writing is by position: two writers whose lock did not hold
 * (some network file systems) write the same bytes to the same places. */
#ifndef TANDEM_HUB_BLOB_H
#define TANDEM_HUB_BLOB_H

#include "hub/hub_listing.h"

/* Makes sure that blobs/<etag> of a complete `entry` is there. Moves on the session's progress:
 * bytes_done by the entry's bytes in all, bytes_fetched by what came. `*was_fetched` tells whether
 * anything had to come; it may be NULL. */
tandem_status tandem__hub_blob_fetch(tandem_hub_session *session, const tandem_hub_entry *entry,
                                     bool *was_fetched, tandem_error *err) TANDEM_NODISCARD;

/* Bytes that are still to come for it. */
int64_t tandem__hub_blob_bytes_left(const tandem_hub_session *session,
                                    const tandem_hub_entry *entry);

/* The hash that the file at `path` is named by, should it be `like` (a hash of the same kind), into
 * `hex`. Moves on bytes_done of the watch. */
tandem_status tandem__hub_blob_hash(const char *path, const char *like, tandem_hub_watch *watch,
                                    char hex[TANDEM_SHA_HEX_MAX],
                                    tandem_error *err) TANDEM_NODISCARD;

#endif
