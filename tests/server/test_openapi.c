/* SPDX-License-Identifier: Apache-2.0 */
/* GET /openapi.json against the route table: each has what the other has, and every reference and
 * every value that is filled in is there. */
#include <ctype.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "server/route_case.h"

static const tandem_json *document(route_case *c) {
    const tandem_json *root = NULL;
    tandem_error err = {0};
    route_begin(c);
    assert_true(route_ask(c, "GET", "/openapi.json", (tandem_str){NULL, 0}));
    if (tandem__json_parse_strict((tandem_str){c->out.ptr, c->out.len}, &c->arena, &root, &err))
        fail_msg("%s", err.message);
    return root;
}

static void test_every_route_is_in_it(void **state) {
    (void)state;
    route_case c;
    const tandem_json *paths = tandem__json_get(document(&c), "paths");
    for (size_t i = 0; server_route_at(i) != NULL; i++) {
        const server_route *route = server_route_at(i);
        char method[8] = "";
        for (size_t m = 0; route->method[m] != '\0' && m < sizeof method - 1; m++)
            method[m] = (char)tolower(route->method[m]);
        const tandem_json *operation =
            tandem__json_get(tandem__json_get(paths, route->path), method);
        if (operation == NULL) fail_msg("%s %s is missing", route->method, route->path);
        const bool has_body = tandem__json_get(operation, "requestBody") != NULL;
        assert_int_equal(has_body, strcmp(route->method, "POST") == 0);
    }
    route_end(&c);
}

/* The path with its last "{version}" as a request has it. */
static void fill_version(tandem_str path, char *out, size_t size) {
    (void)snprintf(out, size, "%.*s", (int)path.len, path.ptr);
    char *at = strstr(out, "{version}");
    if (at == NULL) return;
    *at = '1';
    memmove(at + 1, at + strlen("{version}"), strlen(at + strlen("{version}")) + 1);
}

static void test_every_path_has_a_route(void **state) {
    (void)state;
    route_case c;
    size_t count = 0;
    const tandem_json *paths = tandem__json_get(document(&c), "paths");
    for (const tandem_json *path = paths->first; path != NULL; path = path->next) {
        for (const tandem_json *operation = path->first; operation != NULL;
             operation = operation->next, count++) {
            char text[120];
            char method[8] = "";
            tandem_str model = {NULL, 0};
            bool is_known = false;
            fill_version(path->key, text, sizeof text);
            for (size_t m = 0; m < operation->key.len && m < sizeof method - 1; m++)
                method[m] = (char)toupper(operation->key.ptr[m]);
            if (server_route_find(tandem__str(method), tandem__str(text), &model, &is_known) ==
                NULL)
                fail_msg("%s %s has no route", method, text);
            assert_non_null(tandem__json_get(tandem__json_get(operation, "responses"), "200"));
        }
    }
    assert_true(count >= 40);
    route_end(&c);
}

/* "#/components/schemas/Lane" names a member of the document. */
static void check_reference(const tandem_json *root, tandem_str reference) {
    const tandem_json *at = root;
    tandem_str rest = {reference.ptr + 1, reference.len - 1};
    while (rest.len > 0) {
        char key[80];
        const char *slash = memchr(rest.ptr + 1, '/', rest.len - 1);
        const size_t len = slash == NULL ? rest.len : (size_t)(slash - rest.ptr);
        (void)snprintf(key, sizeof key, "%.*s", (int)len - 1, rest.ptr + 1);
        at = tandem__json_get(at, key);
        if (at == NULL) fail_msg("%.*s is nowhere", (int)reference.len, reference.ptr);
        rest = (tandem_str){rest.ptr + len, rest.len - len};
    }
}

static void check_node(const tandem_json *root, const tandem_json *node) {
    if (tandem__str_is(node->key, "$ref")) check_reference(root, node->text);
    if (node->kind == TANDEM_JSON_STRING) assert_false(tandem__str_starts(node->text, "@"));
    for (const tandem_json *child = node->first; child != NULL; child = child->next)
        check_node(root, child);
}

static void test_references_and_values(void **state) {
    (void)state;
    route_case c;
    const tandem_json *root = document(&c);
    check_node(root, root);
    const tandem_json *schemas = tandem__json_get(tandem__json_get(root, "components"), "schemas");
    const tandem_json *request =
        tandem__json_get(tandem__json_get(schemas, "EmbeddingsRequest"), "properties");
    const tandem_json *models = tandem__json_get(tandem__json_get(request, "model"), "enum");
    assert_int_equal(models->count, 1);
    assert_true(tandem__str_is(models->first->text, "org/embedder"));
    route_end(&c);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_route_is_in_it),
        cmocka_unit_test(test_every_path_has_a_route),
        cmocka_unit_test(test_references_and_values),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
