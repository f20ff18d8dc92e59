/* SPDX-License-Identifier: Apache-2.0 */
/* How a request is called in logs, traces and answers: X-Request-Id, and traceparent as W3C's Trace
 * Context (level 1) writes it: version-trace id-span id-flags. */
#include <stdio.h>
#include <string.h>

#include "server/server_internal.h"

#define ID_LEN_MAX ((size_t)128)

/* Printable, without blanks, quotes or what a header or a log line could be broken with. */
static bool is_fit(tandem_str id) {
    if (id.len == 0 || id.len > ID_LEN_MAX) return false;
    for (size_t i = 0; i < id.len; i++) {
        const char c = id.ptr[i];
        if (c <= ' ' || c >= 0x7f || c == '"' || c == '\\' || c == '<' || c == '>') return false;
    }
    return true;
}

static bool is_hex(const char *text, size_t len, bool is_zero_allowed) {
    bool is_zero = true;
    for (size_t i = 0; i < len; i++) {
        const char c = text[i];
        if (!((c >= '0' && c <= '9') || (c >= 'a' && c <= 'f'))) return false;
        if (c != '0') is_zero = false;
    }
    return is_zero_allowed || !is_zero;
}

/* "00-<32 hex>-<16 hex>-<2 hex>"; a version to come may have more behind. */
static bool is_traceparent(tandem_str text) {
    if (text.len < 55 || text.ptr[2] != '-' || text.ptr[35] != '-' || text.ptr[52] != '-')
        return false;
    if (!is_hex(text.ptr, 2, true) || memcmp(text.ptr, "ff", 2) == 0) return false;
    if (memcmp(text.ptr, "00", 2) == 0 ? text.len != 55 : text.len > 55 && text.ptr[55] != '-')
        return false;
    return is_hex(text.ptr + 3, 32, false) && is_hex(text.ptr + 36, 16, false) &&
           is_hex(text.ptr + 53, 2, true);
}

static unsigned long long next(server_work *work) {
    return (unsigned long long)tandem__random_next(&work->loop->random);
}

void server_work_name(server_work *work) {
    const http_head *head = &work->exchange->head;
    const tandem_str id = http_head_get(head, "X-Request-Id");
    if (is_fit(id)) {
        memcpy(work->id, id.ptr, id.len);
        work->id[id.len] = '\0';
    } else {
        // The form of a version 4 UUID, which some clients parse.
        const unsigned long long a = next(work);
        const unsigned long long b = next(work);
        (void)snprintf(work->id, sizeof work->id, "%08llx-%04llx-4%03llx-%04llx-%012llx", a >> 32,
                       a >> 16 & 0xffff, a & 0xfff, (b >> 48 & 0x3fff) | 0x8000,
                       b & 0xffffffffffff);
    }
    work->ask.id = work->id;
    const tandem_str trace = http_head_get(head, "traceparent");
    const unsigned long long span = next(work) | 1;
    if (is_traceparent(trace))
        (void)snprintf(work->trace, sizeof work->trace, "00-%.32s-%016llx-%.2s", trace.ptr + 3,
                       span, trace.ptr + 53);
    else
        (void)snprintf(work->trace, sizeof work->trace, "00-%016llx%016llx-%016llx-01", next(work),
                       next(work) | 1, span);
}
