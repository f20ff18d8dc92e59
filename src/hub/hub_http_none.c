/* SPDX-License-Identifier: Apache-2.0 */
/* In place of hub_http.c and hub_curl.c in a build without TANDEM_HUB: no connection opens, so that
 * what is in the cache can be listed, verified and removed, and nothing be pulled. */
#include "base/fail.h"
#include "hub/hub_http.h"

static tandem_status fail(tandem_error *err) {
    return TANDEM_FAIL(err, UNSUPPORTED, "this build of tandem lacks downloading (TANDEM_HUB=OFF)");
}

tandem_status tandem__hub_http_open(const tandem_hub_settings *settings, tandem_hub_watch *watch,
                                    tandem_hub_http **http, tandem_error *err) {
    (void)settings;
    (void)watch;
    (void)http;
    return fail(err);
}

void tandem__hub_http_close(tandem_hub_http *http) {
    (void)http;
}

tandem_status tandem__hub_http_send(tandem_hub_http *http, const tandem_hub_request *request,
                                    tandem_hub_reply *reply, tandem_error *err) {
    (void)http;
    (void)request;
    (void)reply;
    return fail(err);
}
