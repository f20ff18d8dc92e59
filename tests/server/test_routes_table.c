/* SPDX-License-Identifier: Apache-2.0 */
/* The route table: every row is found by its own path, nothing else is; and the codes of errors. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "server/ask.h"

static const server_route *find(const char *method, const char *path, tandem_str *model,
                                bool *is_known) {
    return server_route_find(tandem__str(method), tandem__str(path), model, is_known);
}

static void test_rows(void **state) {
    (void)state;
    for (size_t i = 0; server_route_at(i) != NULL; i++) {
        const server_route *route = server_route_at(i);
        tandem_str model = {NULL, 0};
        bool is_known = false;
        assert_ptr_equal(find(route->method, route->path, &model, &is_known), route);
        assert_true(is_known);
        if (strchr(route->path, '{') != NULL)
            assert_true(tandem__str_is(model, "{model}"));
        else
            assert_int_equal(model.len, 0);
        const bool reads = (route->read != NULL) != (route->read_bytes != NULL);
        assert_true(route->answer != NULL ? !reads && route->write == NULL
                                          : reads && route->write != NULL);
    }
}

static void test_what_is_not_there(void **state) {
    (void)state;
    const char *const paths[] = {"", "/embed/", "/EMBED", "/v1/models/", "/v1", "embed", "/embedx"};
    for (size_t i = 0; i < sizeof paths / sizeof *paths; i++) {
        tandem_str model = {NULL, 0};
        bool is_known = true;
        assert_null(find("POST", paths[i], &model, &is_known));
        assert_false(is_known);
    }
    tandem_str model = {NULL, 0};
    bool is_known = false;
    assert_null(find("GET", "/embed", &model, &is_known));
    assert_true(is_known);
    assert_null(find("DELETE", "/v1/models/a/b", &model, &is_known));
    assert_true(is_known);
    assert_int_equal(model.len, 0);
}

static void test_codes(void **state) {
    (void)state;
    assert_int_equal(server_status_code(TANDEM_OK), 200);
    assert_int_equal(server_status_code(TANDEM_INVALID), 422);
    assert_int_equal(server_status_code(TANDEM_FORMAT), 400);
    assert_int_equal(server_status_code(TANDEM_NOT_FOUND), 404);
    assert_int_equal(server_status_code(TANDEM_CAPACITY), 429);
    assert_int_equal(server_status_code(TANDEM_DEVICE), 503);
    assert_int_equal(server_status_code(TANDEM_TIMEOUT), 504);
    assert_int_equal(server_status_code((tandem_status)77), 500);
}

/* One row an API and status: what the clients of that API understand. */
static void test_codes_of_apis(void **state) {
    (void)state;
    const struct {
        server_api api;
        tandem_status status;
        const char *field;
        int code;
        const char *body;
    } cases[] = {
        {SERVER_API_TEI, TANDEM_CAPACITY, NULL, 429,
         "{\"error\":\"m\",\"error_type\":\"Overloaded\"}"},
        {SERVER_API_TEI, TANDEM_CAPACITY, "inputs[1]", 422,
         "{\"error\":\"m\",\"error_type\":\"Validation\"}"},
        {SERVER_API_TEI, TANDEM_NUMERIC, NULL, 424, "{\"error\":\"m\",\"error_type\":\"Backend\"}"},
        {SERVER_API_TEI, TANDEM_DEVICE, NULL, 503,
         "{\"error\":\"m\",\"error_type\":\"Unhealthy\"}"},
        {SERVER_API_TEI, TANDEM_FORMAT, NULL, 400,
         "{\"error\":\"m\",\"error_type\":\"Validation\"}"},
        {SERVER_API_TEI, TANDEM_FORMAT, "inputs[0]", 400,
         "{\"error\":\"m\",\"error_type\":\"Validation\"}"},
        {SERVER_API_TEI, TANDEM_TIMEOUT, NULL, 504,
         "{\"error\":\"m\",\"error_type\":\"Overloaded\"}"},
        {SERVER_API_OPENAI, TANDEM_CAPACITY, "input[0]", 400,
         "{\"error\":{\"message\":\"m\",\"type\":\"invalid_request_error\",\"param\":\"input[0]\","
         "\"code\":null}}"},
        {SERVER_API_OPENAI, TANDEM_TIMEOUT, NULL, 504,
         "{\"error\":{\"message\":\"m\",\"type\":\"server_error\",\"param\":null,"
         "\"code\":\"timeout\"}}"},
        {SERVER_API_COHERE, TANDEM_FORMAT, NULL, 400, "{\"message\":\"m\",\"id\":\"id-1\"}"},
        {SERVER_API_COHERE, TANDEM_CAPACITY, NULL, 429, "{\"message\":\"m\",\"id\":\"id-1\"}"},
        {SERVER_API_KSERVE, TANDEM_INVALID, "x", 400, "{\"error\":\"m\"}"},
        {SERVER_API_KSERVE, TANDEM_CAPACITY, NULL, 503, "{\"error\":\"m\"}"},
        {SERVER_API_KSERVE, TANDEM_TIMEOUT, NULL, 503, "{\"error\":\"m\"}"},
        {SERVER_API_KSERVE, TANDEM_NOT_FOUND, NULL, 404, "{\"error\":\"m\"}"},
        {SERVER_API_OWN, TANDEM_INVALID, "x", 422,
         "{\"error\":\"m\",\"error_type\":\"Validation\"}"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const server_route route = {.api = cases[i].api};
        const server_ask ask = {.route = &route, .id = "id-1", .field = cases[i].field};
        const tandem_error err = {.status = cases[i].status, .message = "m"};
        tandem_buffer out;
        tandem__buffer_init(&out, 1000);
        assert_int_equal(server_error_write(&ask, &err, &out), cases[i].code);
        assert_int_equal(tandem__buffer_push(&out, "", 1, NULL), TANDEM_OK);
        assert_string_equal(out.ptr, cases[i].body);
        tandem__buffer_deinit(&out);
    }
}

static void test_no_memory_for_an_error(void **state) {
    (void)state;
    const server_ask ask = {.http_code = 418};
    tandem_error err = {.status = TANDEM_INVALID};
    memset(err.message, 'x', sizeof err.message - 1);
    tandem_buffer out;
    tandem__buffer_init(&out, 100);
    assert_int_equal(server_error_write(&ask, &err, &out), 418);
    assert_int_equal(out.len, 0);
    tandem__buffer_deinit(&out);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rows),
        cmocka_unit_test(test_what_is_not_there),
        cmocka_unit_test(test_codes),
        cmocka_unit_test(test_codes_of_apis),
        cmocka_unit_test(test_no_memory_for_an_error),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
