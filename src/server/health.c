/* SPDX-License-Identifier: Apache-2.0 */
#include "server/health.h"

#include <stdio.h>

#include "base/fail.h"
#include "base/json_text.h"
#include "tandem/metrics.h"

/* Otherwise `why` says what is wrong. */
static bool is_ready_now(const server_catalog *catalog, char *why, size_t size) {
    if (size > 0) why[0] = '\0';
    if (catalog->is_draining != NULL && atomic_load(catalog->is_draining)) {
        (void)snprintf(why, size, "the server is shutting down");
        return false;
    }
    for (size_t i = 0; i < catalog->count; i++) {
        if (tandem_engine_is_ready(catalog->models[i].engine)) continue;
        (void)snprintf(why, size, "model %s has not computed anything within half a minute",
                       catalog->models[i].name);
        return false;
    }
    return true;
}

tandem_status server_ready_answer(server_ask *ask, const tandem_json *body, tandem_buffer *out,
                                  tandem_error *err) {
    (void)body;
    char why[240];
    const bool is_ready = is_ready_now(ask->catalog, why, sizeof why);
    if (!is_ready) ask->http_code = 503;
    TANDEM_TRY(tandem__buffer_printf(out, err, "{\"ready\":%s", is_ready ? "true" : "false"));
    if (!is_ready) {
        TANDEM_TRY(tandem__buffer_printf(out, err, ",\"reason\":"));
        TANDEM_TRY(tandem__json_text_string(out, tandem__str(why), err));
    }
    return tandem__buffer_push(out, "}\n", 2, err);
}
