/* SPDX-License-Identifier: Apache-2.0 */
/* Each allocation of a request fails in turn: the reader and the writer say so and leave nothing
 * behind. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/mem.h"
#include "server/route_case.h"

#define FAILURES_MAX 200
#define BYTES_MAX    ((size_t)4 << 20)

static float vectors[2 * 100];
static int64_t offsets[] = {0, 2, 3};
static int32_t ids[] = {1, 2, 3};
static tandem_text_result texts[2] = {{.tokens = 1}, {.tokens = 1, .first_row = 1}};

static tandem_status read(server_ask *ask, const char *body, tandem_buffer *out,
                          tandem_error *err) {
    const tandem_json *root = NULL;
    if (ask->route->read_bytes != NULL) return ask->route->read_bytes(ask, tandem__str(body), err);
    const tandem_status status =
        tandem__json_parse_strict(tandem__str(body), ask->arena, &root, err);
    if (status != TANDEM_OK) return status;
    return ask->route->answer != NULL ? ask->route->answer(ask, root, out, err)
                                      : ask->route->read(ask, root, err);
}

static tandem_status write(server_ask *ask, tandem_buffer *out, tandem_error *err) {
    const bool is_classified = ask->request.task == TANDEM_TASK_CLASSIFY;
    const tandem_result result = {
        .vectors = vectors,
        .sparse_offsets = offsets,
        .sparse_ids = ids,
        .sparse_weights = vectors,
        .texts = texts,
        .count = ask->request.count,
        .rows = ask->request.count,
        .dimensions = is_classified ? ask->model->info.labels : 4,
    };
    for (size_t row = 0; row != SERVER_ROWS_DONE;) {
        const tandem_status status = ask->route->write(ask, &result, &row, out, err);
        if (status != TANDEM_OK) return status;
    }
    return TANDEM_OK;
}

/* With the n-th allocation failing; false once there are no more than n - 1. */
static bool is_refused(const char *path, const char *body, uint64_t n) {
    tandem_arena arena;
    tandem_buffer out;
    tandem_buffer headers;
    bool is_known = false;
    tandem__arena_init(&arena, BYTES_MAX);
    tandem__buffer_init(&out, BYTES_MAX);
    tandem__buffer_init(&headers, BYTES_MAX);
    server_ask ask = {
        .arena = &arena, .catalog = &route_catalog, .id = "id", .more_headers = &headers};
    ask.route =
        server_route_find(TANDEM_STR("POST"), tandem__str(path), &ask.path_model, &is_known);
    tandem_error err = {0};
    tandem__mem_fail_at(n);
    tandem_status status = read(&ask, body, &out, &err);
    if (status == TANDEM_OK && ask.route->write != NULL) status = write(&ask, &out, &err);
    tandem__mem_fail_at(0);
    if (status != TANDEM_OK) {
        assert_int_equal(err.status, status);
        assert_true(status == TANDEM_MEMORY || status == TANDEM_CAPACITY);
    }
    tandem__buffer_deinit(&headers);
    tandem__buffer_deinit(&out);
    tandem__arena_deinit(&arena);
    return status != TANDEM_OK;
}

static void test_every_allocation(void **state) {
    (void)state;
    const struct {
        const char *path;
        const char *body;
    } cases[] = {
        {"/embed", "{\"inputs\":[\"a\",\"b\"],\"lane\":\"cpu\",\"prompt_name\":\"query\"}"},
        {"/embed", "{\"inputs\":[[1,2],[3]]}"},
        {"/embed", "{\"inputs\":[[5,6],[7]],\"prompt_name\":\"query\"}"},
        {"/embed_all", "{\"inputs\":[\"a\",\"b\"]}"},
        {"/embed_sparse", "{\"inputs\":[\"a\",\"b\"]}"},
        {"/similarity", "{\"inputs\":{\"source_sentence\":\"a\",\"sentences\":[\"b\"]}}"},
        {"/rerank", "{\"query\":\"q\",\"texts\":[\"a\",\"b\"],\"return_text\":true}"},
        {"/predict", "{\"inputs\":[[\"a\",\"b\"],[\"c\",\"d\"]]}"},
        {"/tokenize", "{\"inputs\":[\"the \\u00e9\",\"a\"]}"},
        {"/decode", "{\"ids\":[[5,6],[7]]}"},
        {"/v1/embeddings", "{\"model\":\"embedder\",\"input\":[\"a\",\"b\"],"
                           "\"encoding_format\":\"base64\"}"},
        {"/v2/rerank", "{\"query\":\"q\",\"documents\":[{\"t\":\"a\"},\"b\"],"
                       "\"rank_fields\":[\"t\"],\"return_documents\":true}"},
        {"/v2/models/embedder/infer",
         "{\"id\":\"x\",\"inputs\":[{\"name\":\"text\",\"shape\":[2],\"datatype\":\"BYTES\","
         "\"data\":[\"a\",\"b\"]}],\"parameters\":{\"binary_data_output\":true}}"},
        {"/v2/models/embedder/infer",
         "{\"inputs\":[{\"name\":\"input_ids\",\"shape\":[1,2],\"datatype\":\"INT64\",\"data\":"
         "[1,2]},{\"name\":\"attention_mask\",\"shape\":[1,2],\"datatype\":\"INT64\",\"data\":"
         "[1,1]}]}"},
    };
    tandem_tokenizer *tokenizer = NULL;
    assert_int_equal(
        tandem_tokenizer_open("tests/golden/models/tiny-bert/tokenizer.json", &tokenizer, NULL),
        TANDEM_OK);
    route_catalog.models[0].tokenizer = tokenizer;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        uint64_t n = 1;
        while (n < FAILURES_MAX && is_refused(cases[i].path, cases[i].body, n)) n++;
        assert_true(n > 1 && n < FAILURES_MAX);
    }
    route_catalog.models[0].tokenizer = NULL;
    tandem_tokenizer_close(tokenizer);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_allocation),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
