/* SPDX-License-Identifier: Apache-2.0 */
/* The route of a request, and what is said where there is none. */
#include "base/fail.h"
#include "server/server_internal.h"

/* Errors of requests that have no route take the form of the API that they seem to want. */
static const server_route *nearest_route(tandem_str path) {
    static const server_route nowhere[] = {
        {.method = "", .path = "/v1/rerank", .api = SERVER_API_COHERE},
        {.method = "", .path = "/v2/rerank", .api = SERVER_API_COHERE},
        {.method = "", .path = "/v2", .api = SERVER_API_KSERVE},
        {.method = "", .path = "/v1", .api = SERVER_API_OPENAI},
        {.method = "", .path = "", .api = SERVER_API_TEI},
    };
    const server_route *route = nowhere;
    while (!tandem__str_starts(path, route->path)) route++;
    return route;
}

tandem_status server_work_allow(server_work *work) {
    const tandem_str path = work->exchange->head.path;
    const bool is_all = tandem__str_is(path, "*");
    tandem_str model;
    bool is_known = false;
    const bool has_get =
        is_all || server_route_find(TANDEM_STR("GET"), path, &model, &is_known) != NULL;
    const bool has_post =
        is_all || server_route_find(TANDEM_STR("POST"), path, &model, &is_known) != NULL;
    return tandem__buffer_printf(&work->fields, NULL, "Allow: %s%sOPTIONS\r\n",
                                 has_get ? "GET, HEAD, " : "", has_post ? "POST, " : "");
}

/* What to try where the path has no such method. */
static const char *other_method(tandem_str path) {
    tandem_str model;
    bool is_known = false;
    const bool has_get = server_route_find(TANDEM_STR("GET"), path, &model, &is_known) != NULL;
    const bool has_post = server_route_find(TANDEM_STR("POST"), path, &model, &is_known) != NULL;
    return has_get && has_post ? "GET or POST" : has_get ? "GET" : "POST";
}

static void answer_options(server_work *work) {
    if (server_work_fields(work, NULL) != TANDEM_OK || server_work_allow(work) != TANDEM_OK) {
        http_answer_break(work->exchange);
        return;
    }
    http_answer(work->exchange, 204, (tandem_str){work->fields.ptr, work->fields.len},
                (tandem_str){NULL, 0});
}

bool server_work_route(server_work *work) {
    const http_head *head = &work->exchange->head;
    server_ask *ask = &work->ask;
    const tandem_str method =
        tandem__str_is(head->method, "HEAD") ? TANDEM_STR("GET") : head->method;
    bool is_known = false;
    const server_route *route = server_route_find(method, head->path, &ask->path_model, &is_known);
    ask->route = route == NULL ? nearest_route(head->path) : route;
    work->is_routed = route != NULL;
    if (route != NULL) return true;
    if (tandem__str_is(head->method, "OPTIONS")) {
        answer_options(work);
        return false;
    }
    if (is_known)
        (void)TANDEM_FAIL(&work->err, INVALID, "%.*s is not a method of %.*s, %s is",
                          TANDEM_STR_ARG(head->method), TANDEM_STR_ARG(head->path),
                          other_method(head->path));
    else
        (void)TANDEM_FAIL(&work->err, NOT_FOUND,
                          "there is nothing at %.*s; GET /openapi.json lists what there is",
                          TANDEM_STR_ARG(head->path));
    ask->http_code = is_known ? 405 : 404;
    server_work_fail(work);
    return false;
}
