/* SPDX-License-Identifier: Apache-2.0 */
/* One call of the public API that uses the network: what its steps share. One thread. */
#ifndef TANDEM_HUB_SESSION_H
#define TANDEM_HUB_SESSION_H

#include "base/arena.h"
#include "hub/hub_http.h"

typedef struct tandem_hub_session {
    tandem_hub_settings settings;
    tandem_hub_watch watch;
    tandem_hub_name name;
    char repo_folder[TANDEM_PATH_MAX];
    char commit[TANDEM_SHA_HEX_MAX];
    tandem_hub_http *http; /* NULL offline */
    tandem_arena arena;
} tandem_hub_session;

#endif
