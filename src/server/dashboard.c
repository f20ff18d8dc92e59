/* SPDX-License-Identifier: Apache-2.0 */
/* GET /: dashboard.html as it was built in, with a policy under which nothing runs but the page's
 * own script and style. They are named by their hash, which is computed here from the page itself:
 * nobody has to remember to change it. */
#include <server_dashboard_page.h>
#include <string.h>

#include "base/assert.h"
#include "base/fail.h"
#include "base/sha.h"
#include "server/metrics.h"

#define HASH_BYTES  32
#define BASE64_SIZE 45 /* of a hash, with the NUL */

static unsigned hex_value(char digit) {
    return (unsigned)(digit <= '9' ? digit - '0' : digit - 'a' + 10);
}

/* A hash from hexadecimal to base64, as policies want it. */
static void hash_text(const char *hex, char text[BASE64_SIZE]) {
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    unsigned char bytes[HASH_BYTES + 1] = {0}; // a whole number of threes
    for (int i = 0; i < HASH_BYTES; i++)
        bytes[i] = (unsigned char)(hex_value(hex[2 * i]) << 4 | hex_value(hex[2 * i + 1]));
    char *at = text;
    for (int i = 0; i < HASH_BYTES; i += 3) {
        const unsigned three =
            (unsigned)bytes[i] << 16 | (unsigned)bytes[i + 1] << 8 | (unsigned)bytes[i + 2];
        for (int shift = 18; shift >= 0; shift -= 6) *at++ = digits[three >> shift & 63];
    }
    at[-1] = '='; // 32 bytes leave one digit over
    *at = '\0';
}

/* The hash of what stands between two tags of the page, which has each once. */
static void hash_between(const char *start, const char *end, char text[BASE64_SIZE]) {
    const char *from = strstr(server_dashboard_page, start);
    TANDEM_ASSERT(from != NULL);
    from += strlen(start);
    const char *to = strstr(from, end);
    TANDEM_ASSERT(to != NULL);
    tandem_sha sha;
    char hex[TANDEM_SHA_HEX_MAX];
    tandem__sha_init(&sha, TANDEM_SHA_256);
    tandem__sha_update(&sha, from, (size_t)(to - from));
    tandem__sha_finish(&sha, hex);
    hash_text(hex, text);
}

tandem_status server_dashboard_answer(server_ask *ask, const tandem_json *body, tandem_buffer *out,
                                      tandem_error *err) {
    (void)body;
    char script[BASE64_SIZE];
    char style[BASE64_SIZE];
    hash_between("<script>", "</script>", script);
    hash_between("<style>", "</style>", style);
    ask->answer_type = "text/html; charset=utf-8";
    if (ask->more_headers != NULL) {
        TANDEM_TRY(tandem__buffer_printf(
            ask->more_headers, err,
            "Content-Security-Policy: default-src 'none'; script-src 'sha256-%s'; "
            "style-src 'sha256-%s'; connect-src 'self'; img-src data:; base-uri 'none'; "
            "form-action 'none'; frame-ancestors 'none'\r\n"
            "X-Content-Type-Options: nosniff\r\n"
            "Referrer-Policy: no-referrer\r\n"
            "Cache-Control: no-cache\r\n",
            script, style));
    }
    return tandem__buffer_push(out, server_dashboard_page, sizeof server_dashboard_page - 1, err);
}
