/* SPDX-License-Identifier: Apache-2.0 */
/* What one call works with: the caller's options, else the Hub's environment variables, else the
 * defaults, all checked; and the caller's progress. */
#ifndef TANDEM_HUB_SETTINGS_H
#define TANDEM_HUB_SETTINGS_H

#include "base/file.h"
#include "base/hub_cache.h"
#include "tandem/hub.h"

#define TANDEM_HUB_URL_MAX   16384 /* bytes; the Hub's signed addresses take about 2,000 */
#define TANDEM_HUB_TOKEN_MAX 1024

typedef struct tandem_hub_settings {
    char cache[TANDEM_PATH_MAX];
    char endpoint[1024]; /* no slash at its end */
    char token[TANDEM_HUB_TOKEN_MAX];
    int64_t bytes_max;
    int32_t timeout_ms;
    int32_t retries;
    int32_t pause_ms;
    bool is_offline;
} tandem_hub_settings;

/* TANDEM_INVALID for an endpoint that is no address, or a token that cannot be one. Without
 * `has_network` the endpoint and the token are not looked at. `options` may be NULL. */
tandem_status tandem__hub_settings_read(const tandem_hub_options *options, bool has_network,
                                        tandem_hub_settings *settings,
                                        tandem_error *err) TANDEM_NODISCARD;

/* The name with the revision that wins: `revision` unless NULL, else the name's own. `is_said`
 * tells whether there was either; it may be NULL. */
tandem_status tandem__hub_settings_name(const char *name, const char *revision,
                                        tandem_hub_name *parsed, bool *is_said,
                                        tandem_error *err) TANDEM_NODISCARD;

/* The caller's progress function and what it is told. */
typedef struct tandem_hub_watch {
    tandem_hub_progress_function function; /* NULL = nobody asks */
    void *context;
    tandem_hub_progress progress;
    uint64_t told_ns;
    bool is_cancelled;
} tandem_hub_watch;

void tandem__hub_watch_init(tandem_hub_watch *watch, const tandem_hub_options *options);

/* Tells the caller, at most ten times a second unless `is_news`. True once it has cancelled. */
bool tandem__hub_watch_tick(tandem_hub_watch *watch, bool is_news);

/* Sleeps while `why` is shown. TANDEM_CANCELLED. */
tandem_status tandem__hub_watch_sleep(tandem_hub_watch *watch, int64_t ms, const char *why,
                                      tandem_error *err) TANDEM_NODISCARD;

/* The error of a cancelled call. */
tandem_status tandem__hub_watch_fail(const tandem_hub_watch *watch, tandem_error *err);

#endif
