/* SPDX-License-Identifier: Apache-2.0 */
#include "server/usage_route.h"

#include <string.h>

#include "base/fail.h"
#include "base/log.h"
#include "base/number.h"
#include "server/keys.h"
#include "server/ledger.h"
#include "server/usage.h"

#define READ_NS       UINT64_C(500000000)
#define TENANT_LENGTH 200 /* bytes of a name in a query, percent signs included */

/* A value of a query string, decoded, NUL-terminated, in the request's arena; NULL without memory
 * or where it is no text. */
static const char *decode(tandem_arena *arena, tandem_str value) {
    char *text = tandem__arena_copy(arena, value.ptr, value.len);
    if (text == NULL) return NULL;
    size_t len = 0;
    for (size_t i = 0; i < value.len; i++, len++) {
        text[len] = value.ptr[i] == '+' ? ' ' : value.ptr[i];
        if (value.ptr[i] != '%') continue;
        const int high = i + 2 < value.len ? tandem__hex_digit(value.ptr[i + 1]) : -1;
        const int low = i + 2 < value.len ? tandem__hex_digit(value.ptr[i + 2]) : -1;
        if (high < 0 || low < 0 || (high == 0 && low == 0)) return NULL;
        text[len] = (char)(high << 4 | low);
        i += 2;
    }
    text[len] = '\0';
    return text;
}

static tandem_status take(server_ask *ask, tandem_str name, tandem_str value,
                          server_usage_query *query, tandem_error *err) {
    const char *text = value.len <= TENANT_LENGTH ? decode(ask->arena, value) : NULL;
    if (text == NULL) {
        return TANDEM_FAIL(err, INVALID, "%.*s: \"%.*s\", expected a short text",
                           TANDEM_STR_ARG(name), TANDEM_STR_ARG(value));
    }
    if (tandem__str_is(name, "by"))
        return server_usage_by_parse(tandem__str(text), "by", &query->by, err);
    const char **field = tandem__str_is(name, "tenant")  ? &query->tenant
                         : tandem__str_is(name, "since") ? &query->since
                         : tandem__str_is(name, "until") ? &query->until
                                                         : NULL;
    if (field == NULL) {
        return TANDEM_FAIL(err, INVALID, "%.*s: expected by, tenant, since or until",
                           TANDEM_STR_ARG(name));
    }
    *field = text;
    return TANDEM_OK;
}

static tandem_status read_query(server_ask *ask, server_usage_query *query, tandem_error *err) {
    tandem_str rest = ask->query;
    while (rest.len > 0) {
        const char *end = memchr(rest.ptr, '&', rest.len);
        const size_t len = end == NULL ? rest.len : (size_t)(end - rest.ptr);
        const char *equal = memchr(rest.ptr, '=', len);
        const size_t name = equal == NULL ? len : (size_t)(equal - rest.ptr);
        const size_t skip = name == len ? len : name + 1;
        if (len > 0) {
            TANDEM_TRY(take(ask, (tandem_str){rest.ptr, name},
                            (tandem_str){rest.ptr + skip, len - skip}, query, err));
        }
        const size_t used = end == NULL ? len : len + 1;
        rest = (tandem_str){rest.ptr + used, rest.len - used};
    }
    return TANDEM_OK;
}

/* A tenant's own usage, whatever it asks for. */
static tandem_status bound_to_own(server_ask *ask, server_usage_query *query, tandem_error *err) {
    if (ask->tenant == NULL || server_tenant_tier(ask->tenant).is_admin) return TANDEM_OK;
    const char *own = server_tenant_name(ask->tenant);
    if (query->tenant != NULL && strcmp(query->tenant, own) != 0) {
        ask->http_code = 403;
        return TANDEM_FAIL(err, PERMISSION, "tenant: \"%.60s\", this key sees %s alone",
                           query->tenant, own);
    }
    query->tenant = own;
    return TANDEM_OK;
}

tandem_status server_usage_answer(server_ask *ask, const tandem_json *body, tandem_buffer *out,
                                  tandem_error *err) {
    (void)body;
    if (ask->catalog->ledger == NULL) {
        return TANDEM_FAIL(err, NOT_FOUND,
                           "this server keeps no ledger; it does with --ledger FILE");
    }
    server_usage_query query = {.by = SERVER_USAGE_TENANT, .limit_ns = READ_NS};
    TANDEM_TRY(read_query(ask, &query, err));
    TANDEM_TRY(bound_to_own(ask, &query, err));
    tandem_error cause = {0};
    const tandem_status status =
        server_usage_json(server_ledger_path(ask->catalog->ledger), &query, out, &cause);
    if (status == TANDEM_TIMEOUT || status == TANDEM_IO || status == TANDEM_FORMAT) {
        // Where the file lies is for the log.
        ask->http_code = 503;
        tandem__log(TANDEM_LOG_WARN, "GET /usage: %s", cause.message);
        return TANDEM_FAIL(err, IO, "the ledger cannot be read now");
    }
    if (status != TANDEM_OK)
        return tandem__fail(err, status, __FILE__, __LINE__, "%s", cause.message);
    return TANDEM_OK;
}
