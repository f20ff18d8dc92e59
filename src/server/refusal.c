/* SPDX-License-Identifier: Apache-2.0 */
/* What a failed request is told: the code and the body that the API's own server would send.
 *
 * A code comes from, in this order: what the raiser set (ask->http_code), the API's own rule for
 * the status, server_status_code. CAPACITY with a field is a request that is too large by itself
 * and never fits; without one, the server has too much to do at the moment. FORMAT is a body that
 * is no JSON. */
#include <string.h>

#include "base/fail.h"
#include "base/json_text.h"
#include "server/ask.h"

int server_status_code(tandem_status status) {
    switch (status) {
    case TANDEM_OK:
        return 200;
    case TANDEM_INVALID:
        return 422;
    case TANDEM_UNSUPPORTED:
        return 422;
    case TANDEM_NOT_FOUND:
        return 404;
    case TANDEM_FORMAT:
        return 400;
    case TANDEM_IO:
        return 500;
    case TANDEM_PERMISSION:
        return 403;
    case TANDEM_CAPACITY:
        return 429;
    case TANDEM_TIMEOUT:
        return 504;
    case TANDEM_CANCELLED:
    case TANDEM_MEMORY:
    case TANDEM_DEVICE:
        return 503;
    case TANDEM_NUMERIC:
        return 500;
    }
    return 500;
}

static bool is_clients_fault(tandem_status status) {
    return status == TANDEM_INVALID || status == TANDEM_FORMAT || status == TANDEM_UNSUPPORTED;
}

/* 0 where the API has no own rule. TEI: ErrorType of router/src/lib.rs and its codes. Triton:
 * HttpCodeFromError of src/http_server.cc, with a full queue and a timeout UNAVAILABLE. */
static int code_of_api(server_api api, tandem_status status, bool has_field) {
    const bool is_too_large = status == TANDEM_CAPACITY && has_field;
    switch (api) {
    case SERVER_API_TEI:
        if (status == TANDEM_UNSUPPORTED || status == TANDEM_NUMERIC) return 424;
        return is_too_large ? 422 : 0;
    case SERVER_API_OPENAI:
    case SERVER_API_COHERE:
        return is_clients_fault(status) || is_too_large ? 400 : 0;
    case SERVER_API_KSERVE:
        if (is_clients_fault(status) || is_too_large) return 400;
        return status == TANDEM_CAPACITY || status == TANDEM_TIMEOUT ? 503 : 0;
    case SERVER_API_OWN:
        return is_too_large ? 422 : 0;
    }
    return 0;
}

/* `is_empty`: an INVALID that is 400, which only empty values are. */
static const char *tei_type(int code, bool is_empty) {
    switch (code) {
    case 400:
        return is_empty ? "Empty" : "Validation";
    case 424:
    case 500:
        return "Backend";
    case 429:
    case 504:
        return "Overloaded";
    case 503:
        return "Unhealthy";
    default:
        return "Validation";
    }
}

static const char *openai_type(int code) {
    if (code >= 500) return "server_error";
    return code == 429 ? "requests" : "invalid_request_error";
}

/* With quotes, since it may be null. */
static const char *openai_code(int code, tandem_status status) {
    switch (code) {
    case 401:
        return "\"invalid_api_key\"";
    case 404:
        return status == TANDEM_NOT_FOUND ? "\"model_not_found\"" : "null";
    case 429:
        return "\"rate_limit_exceeded\"";
    case 504:
        return "\"timeout\"";
    default:
        return "null";
    }
}

static tandem_status push(tandem_buffer *out, const char *text) {
    return tandem__buffer_push(out, text, strlen(text), NULL);
}

static tandem_status push_string(tandem_buffer *out, const char *text) {
    return tandem__json_text_string(out, tandem__str(text), NULL);
}

static tandem_status write_openai(const server_ask *ask, const tandem_error *err, int code,
                                  tandem_buffer *out) {
    TANDEM_TRY(push(out, "{\"error\":{\"message\":"));
    TANDEM_TRY(push_string(out, err->message));
    TANDEM_TRY(push(out, ",\"type\":\""));
    TANDEM_TRY(push(out, openai_type(code)));
    TANDEM_TRY(push(out, "\",\"param\":"));
    TANDEM_TRY(ask->field == NULL ? push(out, "null") : push_string(out, ask->field));
    TANDEM_TRY(push(out, ",\"code\":"));
    TANDEM_TRY(push(out, openai_code(code, err->status)));
    return push(out, "}}");
}

static tandem_status write_body(const server_ask *ask, server_api api, const tandem_error *err,
                                int code, tandem_buffer *out) {
    switch (api) {
    case SERVER_API_TEI:
    case SERVER_API_OWN:
        TANDEM_TRY(push(out, "{\"error\":"));
        TANDEM_TRY(push_string(out, err->message));
        TANDEM_TRY(push(out, ",\"error_type\":\""));
        TANDEM_TRY(push(out, tei_type(code, err->status == TANDEM_INVALID && ask->field != NULL)));
        return push(out, "\"}");
    case SERVER_API_OPENAI:
        return write_openai(ask, err, code, out);
    case SERVER_API_COHERE:
        TANDEM_TRY(push(out, "{\"message\":"));
        TANDEM_TRY(push_string(out, err->message));
        TANDEM_TRY(push(out, ",\"id\":"));
        TANDEM_TRY(push_string(out, ask->id == NULL ? "" : ask->id));
        return push(out, "}");
    case SERVER_API_KSERVE:
        TANDEM_TRY(push(out, "{\"error\":"));
        TANDEM_TRY(push_string(out, err->message));
        return push(out, "}");
    }
    return TANDEM_OK;
}

int server_error_write(const server_ask *ask, const tandem_error *err, tandem_buffer *out) {
    const server_api api = ask->route == NULL ? SERVER_API_OWN : ask->route->api;
    int code = ask->http_code;
    if (code == 0) code = code_of_api(api, err->status, ask->field != NULL);
    if (code == 0) code = server_status_code(err->status);
    const size_t start = out->len;
    if (write_body(ask, api, err, code, out) != TANDEM_OK) out->len = start;
    return code;
}
