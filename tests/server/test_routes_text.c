/* SPDX-License-Identifier: Apache-2.0 */
/* TEI's routes that need no lane: /tokenize, /decode, /info, /health. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "server/route_case.h"

static int open_tokenizer(void **state) {
    tandem_tokenizer *tokenizer = NULL;
    (void)state;
    if (tandem_tokenizer_open("tests/golden/models/tiny-bert/tokenizer.json", &tokenizer, NULL))
        return -1;
    route_catalog.models[0].tokenizer = tokenizer;
    *state = tokenizer;
    return 0;
}

static int close_tokenizer(void **state) {
    route_catalog.models[0].tokenizer = NULL;
    tandem_tokenizer_close(*state);
    return 0;
}

static void test_tokenize(void **state) {
    (void)state;
    const char *plain = "{\"id\":103,\"text\":\"The\",\"special\":false,\"start\":0,\"stop\":3},"
                        "{\"id\":9,\"text\":\"\xc3\xa9\",\"special\":false,\"start\":4,\"stop\":6}";
    char expected[400];
    (void)snprintf(expected, sizeof expected, "[[%s]]", plain);
    route_expect("POST", "/tokenize", "{\"inputs\":\"The \\u00e9\",\"add_special_tokens\":false}",
                 200, expected);
    (void)snprintf(
        expected, sizeof expected,
        "[[{\"id\":2,\"text\":\"[CLS]\",\"special\":true,\"start\":null,\"stop\":null},%s,"
        "{\"id\":3,\"text\":\"[SEP]\",\"special\":true,\"start\":null,\"stop\":null}]]",
        plain);
    route_expect("POST", "/tokenize", "{\"inputs\":[\"The \\u00e9\"]}", 200, expected);
    route_expect("POST", "/tokenize", "{\"inputs\":[]}", 400,
                 "{\"error\":\"`inputs` cannot be empty\",\"error_type\":\"Empty\"}");
    route_expect("POST", "/tokenize", "{\"inputs\":[\"a\",\"\"]}", 400,
                 "{\"error\":\"`inputs[1]` cannot be empty\",\"error_type\":\"Empty\"}");
    route_expect("POST", "/tokenize", "{\"inputs\":[\"a\",1]}", 422,
                 "{\"error\":\"inputs[1]: 1, expected a string\",\"error_type\":\"Validation\"}");
    route_expect("POST", "/tokenize", "{\"inputs\":7}", 422,
                 "{\"error\":\"inputs: 7, expected a string or a list of strings\","
                 "\"error_type\":\"Validation\"}");
    route_expect("POST", "/tokenize", "{\"inputs\":\"a\",\"prompt_name\":\"query\"}", 422,
                 "{\"error\":\"prompt_name: \\\"query\\\", expected none: the text stands alone "
                 "here\",\"error_type\":\"Validation\"}");
    route_expect("POST", "/tokenize", "{\"inputs\":\"a\",\"model\":\"sparse\"}", 424,
                 "{\"error\":\"model org/sparse has no tokenizer\",\"error_type\":\"Backend\"}");
}

static void test_decode(void **state) {
    (void)state;
    route_expect("POST", "/decode", "{\"ids\":[2,103,104,3]}", 200, "[\"the cat\"]");
    route_expect("POST", "/decode",
                 "{\"ids\":[[103],[2,104,3,4294967295]],\"skip_special_tokens\":false}", 200,
                 "[\"the\",\"[CLS] cat [SEP]\"]");
    route_expect("POST", "/decode", "{\"ids\":[]}", 400,
                 "{\"error\":\"`ids` cannot be empty\",\"error_type\":\"Empty\"}");
    route_expect("POST", "/decode", "{\"ids\":[[1],[]]}", 400,
                 "{\"error\":\"`ids[1]` cannot be empty\",\"error_type\":\"Empty\"}");
    route_expect("POST", "/decode", "{\"ids\":[1,-1]}", 422,
                 "{\"error\":\"ids[1]: -1, expected a token id from 0 to 4294967295\","
                 "\"error_type\":\"Validation\"}");
    route_expect("POST", "/decode", "{\"ids\":[[1],2]}", 422,
                 "{\"error\":\"ids[1]: 2, expected a list of token ids\","
                 "\"error_type\":\"Validation\"}");
    route_expect("POST", "/decode", "{\"ids\":\"x\"}", 422,
                 "{\"error\":\"ids: \\\"x\\\", expected a list of token ids or a list of such "
                 "lists\",\"error_type\":\"Validation\"}");
}

/* A prompt is text, so the ids become text again, without their special tokens. */
static void test_ids_with_a_prompt(void **state) {
    (void)state;
    route_catalog.models[0].info.vocab = 199;
    route_case c;
    route_begin(&c);
    assert_true(route_ask(&c, "POST", "/embed",
                          TANDEM_STR("{\"inputs\":[[2,103,104,3],[104]],\"prompt_name\":\"query\","
                                     "\"truncate\":false}")));
    const tandem_request *r = &c.ask.request;
    assert_null(r->ids);
    assert_null(r->id_offsets);
    assert_int_equal(r->count, 2);
    assert_int_equal(r->texts[0].len, 7);
    assert_memory_equal(r->texts[0].ptr, "the cat", 7);
    assert_true(r->refuse_long);
    route_end(&c);
    route_catalog.models[0].info.vocab = 100;
}

static void expect_info(const char *name, const char *type) {
    route_case c;
    route_begin(&c);
    assert_true(route_ask(&c, "GET", "/info", (tandem_str){NULL, 0}));
    const tandem_json *root = NULL;
    assert_int_equal(tandem__json_parse((tandem_str){c.out.ptr, c.out.len}, &c.arena, &root, NULL),
                     0);
    assert_true(tandem__str_is(tandem__json_get(root, "model_id")->text, name));
    assert_true(tandem__str_is(tandem__json_get(root, "model_dtype")->text, "float16"));
    assert_true(tandem__str_is(tandem__json_get(root, "max_input_length")->text, "8"));
    assert_true(tandem__str_is(tandem__json_get(root, "max_client_batch_size")->text, "4"));
    assert_int_equal(tandem__json_get(root, "auto_truncate")->count, 1);
    assert_int_equal(root->count, 15); // as TEI's Info
    assert_non_null(strstr(c.out.ptr, type));
    route_end(&c);
}

static void test_info(void **state) {
    (void)state;
    expect_info("org/embedder", "\"model_type\":{\"embedding\":{\"pooling\":\"mean\"}}");
    const server_model first = route_catalog.models[0];
    route_catalog.models[0] = route_catalog.models[3];
    expect_info("org/classifier", "\"model_type\":{\"classifier\":{\"id2label\":{\"0\":\"a\","
                                  "\"1\":\"b\",\"2\":\"c\"},\"label2id\":{\"a\":0,\"b\":1,"
                                  "\"c\":2}}}");
    route_catalog.models[0] = route_catalog.models[2];
    expect_info("org/reranker", "\"model_type\":{\"reranker\":{\"id2label\":{\"0\":\"a\"},"
                                "\"label2id\":{\"a\":0}}}");
    route_catalog.models[0] = first;
}

static void test_health(void **state) {
    (void)state;
    const char *expected =
        "{\"error\":\"unhealthy: model org/embedder has computed nothing of late, "
        "or the server ends\",\"error_type\":\"Unhealthy\"}";
    route_expect("GET", "/health", "", 503, expected);
    route_expect("GET", "/ping", "", 503, expected);
    const size_t count = route_catalog.count;
    route_catalog.count = 0;
    route_expect("GET", "/health", "", 200, "");
    route_catalog.count = count;
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_tokenize),
        cmocka_unit_test(test_decode),
        cmocka_unit_test(test_ids_with_a_prompt),
        cmocka_unit_test(test_info),
        cmocka_unit_test(test_health),
    };
    return cmocka_run_group_tests(tests, open_tokenizer, close_tokenizer);
}
