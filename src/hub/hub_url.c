/* SPDX-License-Identifier: Apache-2.0 */
/* Addresses, which need no network: apart from the requests, so that hub_http_none.c may stand in
 * for these. */
#include <string.h>

#include "base/fail.h"
#include "hub/hub_http.h"

tandem_status tandem__hub_url_add(char *url, const char *text, bool keeps_slashes,
                                  tandem_error *err) {
    static const char digits[] = "0123456789ABCDEF";
    size_t at = strlen(url);
    for (const char *p = text; *p != '\0'; p++) {
        const unsigned char c = (unsigned char)*p;
        const bool is_plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
                              (c >= '0' && c <= '9') || strchr("-._~", c) != NULL ||
                              (c == '/' && keeps_slashes);
        if (at + 4 > TANDEM_HUB_URL_MAX) {
            return TANDEM_FAIL(err, CAPACITY, "%.100s...: address is longer than %d bytes", url,
                               TANDEM_HUB_URL_MAX - 1);
        }
        if (!is_plain) {
            url[at++] = '%';
            url[at++] = digits[c >> 4];
            url[at++] = digits[c & 15];
        } else {
            url[at++] = (char)c;
        }
        url[at] = '\0';
    }
    return TANDEM_OK;
}
