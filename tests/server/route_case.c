/* SPDX-License-Identifier: Apache-2.0 */
#include "server/route_case.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#define ARENA_BYTES ((size_t)16 << 20)
#define OUT_BYTES   ((size_t)64 << 20)

static const char *const labels[] = {"a", "b", "c"};
static const char *const prompts[] = {"query"};

server_catalog route_catalog = {
    .models = {{.name = "org/embedder",
                .size = "small",
                .dtype = "f16",
                .created_s = 1700000000,
                .info = {.name = "org/embedder",
                         .family = "bert",
                         .revision = "abc",
                         .pooling = "mean",
                         .score = "none",
                         .dimensions = 4,
                         .vocab = 100,
                         .max_length = 8,
                         .positions_max = 8,
                         .prompt_count = 1,
                         .prompt_names = prompts,
                         .has_embedding = true}},
               {.name = "org/sparse",
                .size = "small",
                .dtype = "f16",
                .index = 1,
                .info = {.name = "org/sparse",
                         .pooling = "splade",
                         .vocab = 100,
                         .dimensions = 100,
                         .max_length = 8,
                         .has_sparse = true}},
               {.name = "org/reranker",
                .size = "small",
                .dtype = "f16",
                .index = 2,
                .info = {.name = "org/reranker",
                         .vocab = 100,
                         .max_length = 8,
                         .labels = 1,
                         .score = "sigmoid",
                         .label_names = labels}},
               {.name = "org/classifier",
                .size = "small",
                .dtype = "f16",
                .index = 3,
                .info = {.name = "org/classifier",
                         .vocab = 100,
                         .max_length = 8,
                         .labels = 3,
                         .score = "softmax",
                         .label_names = labels}}},
    .count = 4,
    .limits = {.body_bytes = 1 << 20, .batch_texts = 4, .connections = 64, .queue_tokens = 1 << 16},
    .version = "0.1.0",
};

void route_begin(route_case *c) {
    *c = (route_case){.code = 200};
    tandem__arena_init(&c->arena, ARENA_BYTES);
    tandem__buffer_init(&c->out, OUT_BYTES);
    tandem__buffer_init(&c->headers, OUT_BYTES);
    c->ask = (server_ask){
        .arena = &c->arena, .catalog = &route_catalog, .id = "id-1", .more_headers = &c->headers};
}

void route_end(route_case *c) {
    tandem__arena_deinit(&c->arena);
    tandem__buffer_deinit(&c->out);
    tandem__buffer_deinit(&c->headers);
}

static void end_with_nul(tandem_buffer *buffer) {
    assert_int_equal(tandem__buffer_push(buffer, "", 1, NULL), TANDEM_OK);
    buffer->len--;
}

static tandem_status read(route_case *c, tandem_str body, tandem_error *err) {
    const server_route *route = c->ask.route;
    const tandem_json *root = NULL;
    if (route->read_bytes != NULL) return route->read_bytes(&c->ask, body, err);
    if (body.len > 0) {
        const tandem_status status = tandem__json_parse_strict(body, &c->arena, &root, err);
        if (status != TANDEM_OK) return status;
    }
    if (route->answer != NULL) return route->answer(&c->ask, root, &c->out, err);
    return route->read(&c->ask, root, err);
}

bool route_ask(route_case *c, const char *method, const char *path, tandem_str body) {
    bool is_known = false;
    tandem_error err = {0};
    c->ask.route =
        server_route_find(tandem__str(method), tandem__str(path), &c->ask.path_model, &is_known);
    assert_non_null(c->ask.route);
    const tandem_status status = read(c, body, &err);
    if (status != TANDEM_OK) {
        assert_int_equal(err.status, status);
        c->out.len = 0;
        c->code = server_error_write(&c->ask, &err, &c->out);
    }
    end_with_nul(&c->out);
    return status == TANDEM_OK;
}

void route_write(route_case *c, const tandem_result *result) {
    tandem_buffer slice;
    tandem_error err = {0};
    tandem__buffer_init(&slice, OUT_BYTES);
    for (size_t row = 0; row != SERVER_ROWS_DONE; c->slices++) {
        slice.len = 0;
        assert_int_equal(c->ask.route->write(&c->ask, result, &row, &slice, &err), TANDEM_OK);
        assert_true(slice.len > 0);
        assert_int_equal(tandem__buffer_push(&c->out, slice.ptr, slice.len, NULL), TANDEM_OK);
    }
    tandem__buffer_deinit(&slice);
    end_with_nul(&c->out);
    end_with_nul(&c->headers);
}

void route_expect(const char *method, const char *path, const char *body, int code,
                  const char *expected) {
    route_case c;
    route_begin(&c);
    (void)route_ask(&c, method, path, tandem__str(body));
    assert_string_equal(c.out.ptr, expected);
    assert_int_equal(c.code, code);
    route_end(&c);
}

void route_expect_result(const char *path, const char *body, const tandem_result *result,
                         const char *expected) {
    route_case c;
    route_begin(&c);
    if (!route_ask(&c, "POST", path, tandem__str(body))) fail_msg("%s", c.out.ptr);
    route_write(&c, result);
    assert_string_equal(c.out.ptr, expected);
    route_end(&c);
}
