/* SPDX-License-Identifier: Apache-2.0 */
/* What the Hub says a model consists of, at one commit. */
#ifndef TANDEM_HUB_LISTING_H
#define TANDEM_HUB_LISTING_H

#include "hub/hub_session.h"

typedef struct tandem_hub_entry {
    const char *path;
    const char *etag; /* SHA-256 of a large file, git's SHA-1 of a small one; "" = not said */
    int64_t bytes;    /* -1 = not said */
} tandem_hub_entry;

typedef struct tandem_hub_listing {
    const char *commit;
    tandem_hub_entry *entries; /* [count], in the arena */
    const char **paths;        /* [count], the same ones' */
    size_t count;
} tandem_hub_listing;

/* Every name is safe in a path (hub_layout.h), the commit is a hash. */
tandem_status tandem__hub_listing_read(tandem_str json, tandem_arena *arena,
                                       tandem_hub_listing *listing,
                                       tandem_error *err) TANDEM_NODISCARD;

/* Asks the Hub, with retries. `text` gets the answer. */
tandem_status tandem__hub_listing_fetch(tandem_hub_session *session, tandem_buffer *text,
                                        tandem_error *err) TANDEM_NODISCARD;

/* Where the list did not say an entry's hash and size, a HEAD does. */
tandem_status tandem__hub_entry_complete(tandem_hub_session *session, tandem_hub_entry *entry,
                                         tandem_error *err) TANDEM_NODISCARD;

/* {endpoint}/{name}/resolve/{commit}/{path} into TANDEM_HUB_URL_MAX bytes. */
tandem_status tandem__hub_file_url(const tandem_hub_session *session, const char *path, char *url,
                                   tandem_error *err) TANDEM_NODISCARD;

#endif
