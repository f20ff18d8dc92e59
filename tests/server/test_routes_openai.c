/* SPDX-License-Identifier: Apache-2.0 */
/* OpenAI's routes: reading, answering, refusing. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "server/route_case.h"

static float vectors[] = {1.0f, -2.0f, 0.5f, 0.0f, 0.25f, 0.0f, 0.0f, 1.0f};
static tandem_text_result texts[] = {{.tokens = 3}, {.tokens = 6}};
static const tandem_result two = {
    .vectors = vectors, .texts = texts, .count = 2, .rows = 2, .dimensions = 4, .tokens = 6};

static void test_reads(void **state) {
    (void)state;
    route_case c;
    route_begin(&c);
    assert_true(route_ask(&c, "POST", "/v1/embeddings",
                          TANDEM_STR("{\"input\":[\"a\",\"b\"],\"model\":\"org/embedder\","
                                     "\"encoding_format\":null,\"dimensions\":2,\"user\":\"u\","
                                     "\"priority\":-10}")));
    assert_int_equal(c.ask.request.count, 2);
    assert_int_equal(c.ask.request.dimensions, 2);
    assert_int_equal(c.ask.request.priority, -10);
    assert_true(c.ask.request.force_normalize);
    assert_string_equal(c.ask.texts_field, "input");
    route_end(&c);
}

static void test_answers(void **state) {
    (void)state;
    route_expect_result("/v1/embeddings", "{\"model\":\"embedder\",\"input\":[\"a\",\"b\"]}", &two,
                        "{\"object\":\"list\",\"data\":[{\"object\":\"embedding\",\"index\":0,"
                        "\"embedding\":[1.0,-2.0,0.5,0.0]},{\"object\":\"embedding\",\"index\":1,"
                        "\"embedding\":[0.25,0.0,0.0,1.0]}],\"model\":\"org/embedder\","
                        "\"usage\":{\"prompt_tokens\":9,\"total_tokens\":9}}");
    route_expect_result(
        "/v1/embeddings",
        "{\"model\":\"embedder\",\"input\":[\"a\",\"b\"],\"encoding_format\":\"base64\"}", &two,
        "{\"object\":\"list\",\"data\":[{\"object\":\"embedding\",\"index\":0,"
        "\"embedding\":\"AACAPwAAAMAAAAA/AAAAAA==\"},{\"object\":\"embedding\","
        "\"index\":1,\"embedding\":\"AACAPgAAAAAAAAAAAACAPw==\"}],"
        "\"model\":\"org/embedder\","
        "\"usage\":{\"prompt_tokens\":9,\"total_tokens\":9}}");
}

static void refuses(const char *body, int code, const char *error) {
    route_expect("POST", "/v1/embeddings", body, code, error);
}

static void test_refusals(void **state) {
    (void)state;
    route_expect("POST", "/v1/embeddings", "{\"input\":\"a\"}", 400,
                 "{\"error\":{\"message\":\"model: missing, expected a model's name\","
                 "\"type\":\"invalid_request_error\",\"param\":\"model\",\"code\":null}}");
    refuses(
        "{\"model\":\"embedder\",\"input\":{}}", 400,
        "{\"error\":{\"message\":\"input: an object of 0, expected a string, a list of strings, "
        "token ids or a list of token id lists\",\"type\":\"invalid_request_error\","
        "\"param\":\"input\",\"code\":null}}");
    refuses("{\"model\":\"embedder\",\"input\":[\"a\",\"\"]}", 400,
            "{\"error\":{\"message\":\"`input[1]` cannot be empty\","
            "\"type\":\"invalid_request_error\",\"param\":\"input[1]\",\"code\":null}}");
    refuses("{\"input\":\"a\",\"model\":\"gpt\"}", 404,
            "{\"error\":{\"message\":\"no model is called \\\"gpt\\\"; there are: org/embedder, "
            "org/sparse, org/reranker, org/classifier\",\"type\":\"invalid_request_error\","
            "\"param\":\"model\",\"code\":\"model_not_found\"}}");
    refuses("{\"model\":\"embedder\",\"input\":\"a\",\"encoding_format\":\"hex\"}", 400,
            "{\"error\":{\"message\":\"encoding_format: \\\"hex\\\", expected float or base64\","
            "\"type\":\"invalid_request_error\",\"param\":\"encoding_format\",\"code\":null}}");
    refuses("{\"model\":\"embedder\",\"input\":\"a\",\"dimensions\":0}", 400,
            "{\"error\":{\"message\":\"dimensions: 0, expected an integer from 1 to 4\","
            "\"type\":\"invalid_request_error\",\"param\":\"dimensions\",\"code\":null}}");
    refuses("{\"model\":\"embedder\",\"input\":[[9906,11]]}", 400,
            "{\"error\":{\"message\":\"input[0][0]: 9906, expected a token id from 0 to 99; ids of "
            "another tokenizer, such as tiktoken's, mean nothing to org/embedder: send texts\","
            "\"type\":\"invalid_request_error\",\"param\":\"input[0][0]\",\"code\":null}}");
}

static void test_item_limit(void **state) {
    (void)state;
    route_case c;
    route_begin(&c);
    tandem_buffer body;
    tandem__buffer_init(&body, 1 << 20);
    assert_int_equal(
        tandem__buffer_push(&body, "{\"model\":\"embedder\",\"input\":[\"a\"", 32, NULL), 0);
    for (int i = 1; i < 2049; i++)
        assert_int_equal(tandem__buffer_push(&body, ",\"a\"", 4, NULL), 0);
    assert_int_equal(tandem__buffer_push(&body, "]}", 2, NULL), 0);
    route_catalog.limits.batch_texts = 100000;
    assert_false(route_ask(&c, "POST", "/v1/embeddings", (tandem_str){body.ptr, body.len}));
    route_catalog.limits.batch_texts = 4;
    assert_string_equal(c.out.ptr,
                        "{\"error\":{\"message\":\"input: 2049 items, expected at most 2048\","
                        "\"type\":\"invalid_request_error\",\"param\":\"input\",\"code\":null}}");
    assert_int_equal(c.code, 400);
    tandem__buffer_deinit(&body);
    route_end(&c);
}

static void test_teis_alias_ignores(void **state) {
    (void)state;
    route_case c;
    route_begin(&c);
    assert_true(route_ask(&c, "POST", "/embeddings", TANDEM_STR("{\"input\":\"a\",\"foo\":1}")));
    route_end(&c);
}

static void test_models(void **state) {
    (void)state;
    const char *one = "{\"id\":\"org/reranker\",\"object\":\"model\",\"created\":0,"
                      "\"owned_by\":\"org\"}";
    route_expect("GET", "/v1/models/org/reranker", "", 200, one);
    route_expect("GET", "/v1/models/org%2Freranker", "", 200, one);
    route_expect("GET", "/v1/models/reranker", "", 200, one);
    route_expect("GET", "/v1/models/x%2", "", 404,
                 "{\"error\":{\"message\":\"no model is called \\\"x%2\\\"; there are: "
                 "org/embedder, org/sparse, org/reranker, org/classifier\","
                 "\"type\":\"invalid_request_error\",\"param\":\"model\","
                 "\"code\":\"model_not_found\"}}");
    route_catalog.count = 1;
    route_expect("GET", "/v1/models", "", 200,
                 "{\"object\":\"list\",\"data\":[{\"id\":\"org/embedder\",\"object\":\"model\","
                 "\"created\":1700000000,\"owned_by\":\"org\"}]}");
    route_catalog.count = 4;
}

static void test_errors_of_the_server(void **state) {
    (void)state;
    route_case c;
    route_begin(&c);
    assert_true(route_ask(&c, "POST", "/v1/embeddings",
                          TANDEM_STR("{\"model\":\"embedder\",\"input\":\"a\"}")));
    const tandem_error busy = {.status = TANDEM_CAPACITY, .message = "too much waits"};
    assert_int_equal(server_error_write(&c.ask, &busy, &c.out), 429);
    assert_int_equal(tandem__buffer_push(&c.out, "", 1, NULL), 0);
    assert_string_equal(c.out.ptr,
                        "{\"error\":{\"message\":\"too much waits\",\"type\":\"requests\","
                        "\"param\":null,\"code\":\"rate_limit_exceeded\"}}");
    route_end(&c);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_reads),
        cmocka_unit_test(test_answers),
        cmocka_unit_test(test_refusals),
        cmocka_unit_test(test_item_limit),
        cmocka_unit_test(test_models),
        cmocka_unit_test(test_teis_alias_ignores),
        cmocka_unit_test(test_errors_of_the_server),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
