/* SPDX-License-Identifier: Apache-2.0 */
#include "base/fail.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/utf8.h"

const char *tandem_status_text(tandem_status status) {
    switch (status) {
#define TANDEM_STATUS_CASE(name, value, text)                                                      \
    case TANDEM_##name:                                                                            \
        return text;
        TANDEM_STATUS_MAP(TANDEM_STATUS_CASE)
#undef TANDEM_STATUS_CASE
    }
    return "unknown status";
}

void tandem_error_clear(tandem_error *err) {
    if (err != NULL) *err = (tandem_error){.status = TANDEM_OK};
}

/* Messages quote names and values from files that may hold anything. */
static void make_printable(char *text) {
    const size_t len = strlen(text);
    size_t at = 0;
    while (at < len) {
        uint32_t code = 0;
        const size_t step = tandem__utf8_decode((const uint8_t *)text + at, len - at, &code);
        const bool is_bad = step == 0 || code < 0x20 || (code >= 0x7f && code < 0xa0);
        if (is_bad) memset(text + at, '?', step == 0 ? 1 : step);
        at += step == 0 ? 1 : step;
    }
}

tandem_status tandem__fail(tandem_error *err, tandem_status status, const char *file, int line,
                           const char *format, ...) {
    if (err == NULL || err->status != TANDEM_OK) return status;
    va_list args;
    va_start(args, format);
    (void)vsnprintf(err->message, sizeof err->message, format, args);
    va_end(args);
    make_printable(err->message);
    err->status = status;
    err->file = file;
    err->line = line;
    return status;
}

tandem_status tandem__fail_prefix(tandem_error *err, tandem_status status, const char *prefix) {
    if (err == NULL || err->status == TANDEM_OK) return status;
    char joined[sizeof err->message];
    const int written = snprintf(joined, sizeof joined, "%s: %s", prefix, err->message);
    if (written < 0) return status;
    memcpy(err->message, joined, sizeof joined);
    make_printable(err->message);
    return status;
}
