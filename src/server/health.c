/* SPDX-License-Identifier: Apache-2.0 */
#include "server/health.h"

#include <stdio.h>

#include "base/fail.h"
#include "base/json_text.h"
#include "server/keys.h"
#include "server/ledger.h"
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

static tandem_status push_member(tandem_buffer *out, const char *key, const char *value,
                                 tandem_error *err) {
    TANDEM_TRY(tandem__buffer_printf(out, err, ",\"%s\":", key));
    return tandem__json_text_string(out, tandem__str(value), err);
}

tandem_status server_ready_answer(server_ask *ask, const tandem_json *body, tandem_buffer *out,
                                  tandem_error *err) {
    (void)body;
    char why[240];
    const bool is_ready = is_ready_now(ask->catalog, why, sizeof why);
    if (!is_ready) ask->http_code = 503;
    TANDEM_TRY(tandem__buffer_printf(out, err, "{\"ready\":%s", is_ready ? "true" : "false"));
    if (!is_ready) TANDEM_TRY(push_member(out, "reason", why, err));
    // What does not keep it from computing is said, and no more.
    char fault[240];
    if (ask->catalog->ledger != NULL &&
        server_ledger_fault(ask->catalog->ledger, fault, sizeof fault))
        TANDEM_TRY(push_member(out, "ledger", fault, err));
    if (ask->catalog->keys != NULL && server_keys_fault(ask->catalog->keys, fault, sizeof fault))
        TANDEM_TRY(push_member(out, "keys", fault, err));
    return tandem__buffer_push(out, "}\n", 2, err);
}
