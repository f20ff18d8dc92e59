/* SPDX-License-Identifier: Apache-2.0 */
/* The Open Inference Protocol: JSON and binary tensors in and out, metadata, refusals. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "server/route_case.h"

#define INFER "/v2/models/org/embedder/infer"

static float vectors[] = {1.0f, -2.0f, 0.5f, 0.0f, 0.25f, 0.0f, 0.0f, 1.0f};
static tandem_text_result texts[] = {{.tokens = 3}, {.tokens = 6}};
static const tandem_result two = {
    .vectors = vectors, .texts = texts, .count = 2, .rows = 2, .dimensions = 4};

static bool ask_binary(route_case *c, const char *path, tandem_str body, const char *length) {
    c->ask.inference_header_length = tandem__str(length);
    return route_ask(c, "POST", path, body);
}

static void test_json(void **state) {
    (void)state;
    route_expect_result(
        INFER,
        "{\"id\":\"a\\\"b\",\"inputs\":[{\"name\":\"text\",\"shape\":[2],"
        "\"datatype\":\"BYTES\",\"data\":[\"x\",\"y\"]}]}",
        &two,
        "{\"id\":\"a\\\"b\",\"model_name\":\"org/embedder\",\"model_version\":\"1\","
        "\"outputs\":[{\"name\":\"embedding\",\"datatype\":\"FP32\",\"shape\":[2,4],"
        "\"data\":[1.0,-2.0,0.5,0.0,0.25,0.0,0.0,1.0]}]}");
    route_case c;
    route_begin(&c);
    assert_true(route_ask(
        &c, "POST", "/v2/models/reranker/versions/1/infer",
        TANDEM_STR("{\"parameters\":{\"priority\":3,\"timeout\":2500,\"lane\":\"cpu\",\"truncate\":"
                   "false},\"inputs\":[{\"name\":\"pair\",\"shape\":[2,1],\"datatype\":\"BYTES\","
                   "\"data\":[[\"x\"],[\"yz\"]]},{\"name\":\"text\",\"shape\":[2],\"datatype\":"
                   "\"BYTES\",\"data\":[\"q\",\"r\"]}],\"outputs\":[{\"name\":\"scores\"}]}")));
    const tandem_request *r = &c.ask.request;
    assert_string_equal(c.ask.model->name, "org/reranker");
    assert_int_equal(r->task, TANDEM_TASK_CLASSIFY);
    assert_int_equal(r->count, 2);
    assert_memory_equal(r->pairs[1].ptr, "yz", 2);
    assert_memory_equal(r->texts[1].ptr, "r", 1);
    assert_int_equal(r->priority, TANDEM_PRIORITY_BACKGROUND);
    assert_true(c.ask.has_priority && r->deadline_ms == 2.5 && r->refuse_long);
    assert_string_equal(r->lane, "cpu");
    route_end(&c);
}

static void test_priorities(void **state) {
    (void)state;
    const struct {
        const char *priority;
        int32_t expected;
        bool is_set;
    } cases[] = {{"0", 0, false}, {"1", -10, true}, {"2", 0, true}, {"\"urgent\"", -10, true}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char body[200];
        (void)snprintf(body, sizeof body,
                       "{\"parameters\":{\"priority\":%s},\"inputs\":[{\"name\":\"text\",\"shape\":"
                       "[1],\"datatype\":\"BYTES\",\"data\":[\"x\"]}]}",
                       cases[i].priority);
        route_case c;
        route_begin(&c);
        assert_true(route_ask(&c, "POST", INFER, tandem__str(body)));
        assert_int_equal(c.ask.request.priority, cases[i].expected);
        assert_int_equal(c.ask.has_priority, cases[i].is_set);
        route_end(&c);
    }
}

/* tritonclient's default: both ways binary. */
static void test_binary(void **state) {
    (void)state;
    static const char json[] = "{\"inputs\":[{\"name\":\"text\",\"shape\":[2],\"datatype\":"
                               "\"BYTES\",\"parameters\":{\"binary_data_size\":11}}],"
                               "\"parameters\":{\"binary_data_output\":true}}";
    char body[300];
    char length[20];
    const size_t size = sizeof json - 1;
    memcpy(body, json, size);
    memcpy(body + size, "\1\0\0\0x\2\0\0\0yz", 11);
    (void)snprintf(length, sizeof length, "%zu", size);
    route_case c;
    route_begin(&c);
    assert_true(ask_binary(&c, INFER, (tandem_str){body, size + 11}, length));
    assert_int_equal(c.ask.request.count, 2);
    assert_int_equal(c.ask.request.texts[1].len, 2);
    assert_memory_equal(c.ask.request.texts[1].ptr, "yz", 2);
    route_write(&c, &two);
    const char *head = "{\"model_name\":\"org/embedder\",\"model_version\":\"1\",\"outputs\":["
                       "{\"name\":\"embedding\",\"datatype\":\"FP32\",\"shape\":[2,4],"
                       "\"parameters\":{\"binary_data_size\":32}}]}";
    assert_int_equal(c.out.len, strlen(head) + 32);
    assert_memory_equal(c.out.ptr, head, strlen(head));
    assert_memory_equal(c.out.ptr + strlen(head), vectors, 32);
    char header[80];
    (void)snprintf(header, sizeof header, "Inference-Header-Content-Length: %zu\r\n", strlen(head));
    assert_string_equal(c.headers.ptr, header);
    assert_string_equal(c.ask.answer_type, "application/octet-stream");
    route_end(&c);
    /* Cut short, one byte too many, lengths that are none. */
    const struct {
        size_t len;
        const char *length;
    } broken[] = {{size + 10, length},
                  {size + 12, length},
                  {size + 11, "-1"},
                  {size + 11, "x"},
                  {size + 11, "99999999999999999999"},
                  {size + 11, "1000"},
                  {size + 11, "5"}};
    for (size_t i = 0; i < sizeof broken / sizeof *broken; i++) {
        body[size + 11] = 'x';
        route_begin(&c);
        assert_false(ask_binary(&c, INFER, (tandem_str){body, broken[i].len}, broken[i].length));
        assert_int_equal(c.code, 400);
        route_end(&c);
    }
    body[size] = 9; // the first text says that it is longer than the tensor
    route_begin(&c);
    assert_false(ask_binary(&c, INFER, (tandem_str){body, size + 11}, length));
    assert_string_equal(c.out.ptr,
                        "{\"error\":\"inputs[0]: element 0 is cut off: 11 bytes are left "
                        "of the tensor\"}");
    route_end(&c);
}

static void test_token_ids(void **state) {
    (void)state;
    route_case c;
    route_begin(&c);
    assert_true(route_ask(
        &c, "POST", INFER,
        TANDEM_STR("{\"inputs\":[{\"name\":\"input_ids\",\"shape\":[2,3],\"datatype\":\"INT64\","
                   "\"data\":[[1,2,3],[4,5,0]]},{\"name\":\"attention_mask\",\"shape\":[2,3],"
                   "\"datatype\":\"INT64\",\"data\":[1,1,1,1,1,0]}]}")));
    const tandem_request *r = &c.ask.request;
    assert_int_equal(r->count, 2);
    assert_int_equal(r->id_offsets[1], 3);
    assert_int_equal(r->id_offsets[2], 5);
    assert_int_equal(r->ids[4], 5);
    route_end(&c);
    static const char json[] = "{\"inputs\":[{\"name\":\"input_ids\",\"shape\":[1,2],\"datatype\":"
                               "\"INT32\",\"parameters\":{\"binary_data_size\":8}}]}";
    char body[200];
    char length[20];
    memcpy(body, json, sizeof json - 1);
    memcpy(body + sizeof json - 1, "\x07\0\0\0\x63\0\0\0", 8);
    (void)snprintf(length, sizeof length, "%zu", sizeof json - 1);
    route_begin(&c);
    assert_true(ask_binary(&c, INFER, (tandem_str){body, sizeof json - 1 + 8}, length));
    assert_int_equal(c.ask.request.ids[0], 7);
    assert_int_equal(c.ask.request.ids[1], 99);
    route_end(&c);
    body[sizeof json - 1 + 3] = (char)0xff; // negative
    route_begin(&c);
    assert_false(ask_binary(&c, INFER, (tandem_str){body, sizeof json - 1 + 8}, length));
    assert_string_equal(c.out.ptr,
                        "{\"error\":\"inputs: row 0 of input_ids has -16777209, expected "
                        "0 to 99\"}");
    route_end(&c);
}

#define TENSOR(more) "{\"name\":\"text\",\"datatype\":\"BYTES\"," more "}"
#define ONE(more)    "{\"inputs\":[" TENSOR(more) "]}"
#define GOOD         TENSOR("\"shape\":[1],\"data\":[\"x\"]")

static void test_refusals(void **state) {
    (void)state;
    const struct {
        const char *body;
        const char *error;
    } cases[] = {
        {"{}", "inputs: missing, expected a list of tensors"},
        {"{\"inputs\":[]}", "inputs: an array of 0, expected a list of 1 to 4 tensors"},
        {"{\"inputs\":[1]}", "inputs[0]: 1, expected a tensor"},
        {"{\"inputs\":[{}]}", "inputs[0].name: missing, expected a string"},
        {ONE("\"shape\":[2],\"data\":[\"x\"]"), "inputs[0]: 1 elements, its shape has 2"},
        {ONE("\"shape\":[-1],\"data\":[\"x\"]"),
         "inputs[0].shape: an array of 1, expected a list of 1 to 8 positive integers, as many "
         "elements as there are"},
        {ONE("\"shape\":[3000000000,3000000000],\"data\":[\"x\"]"),
         "inputs[0].shape: an array of 2, expected a list of 1 to 8 positive integers, as many "
         "elements as there are"},
        {ONE("\"shape\":[1],\"data\":[1]"), "inputs[0].data: 1, expected strings"},
        {ONE("\"shape\":[1],\"data\":\"x\""),
         "inputs[0].data: \\\"x\\\", expected a list of elements"},
        {ONE("\"shape\":[1,2],\"data\":[\"x\",\"y\"]"),
         "inputs[0]: shape has 2 elements a row, expected 1"},
        {"{\"inputs\":[{\"name\":\"other\",\"shape\":[1],\"datatype\":\"BYTES\",\"data\":[\"x\"]}]"
         "}",
         "unexpected inference input 'other' for model 'org/embedder', expected one text and for "
         "pairs one pair, or one input_ids and its attention_mask"},
        {"{\"inputs\":[{\"name\":\"input_ids\",\"shape\":[4,500000000],\"datatype\":\"INT64\","
         "\"data\":[[1],2]}]}", // said before memory is taken for so many
         "inputs[0]: 2 elements, its shape has 2000000000"},
        {"{\"inputs\":[{\"name\":\"text\",\"shape\":[1],\"datatype\":\"FP32\",\"data\":[1.5]}]}",
         "inputs[0]: input 'text' of data-type 'FP32', expected 'BYTES'"},
        {"{\"inputs\":[" GOOD "," GOOD "]}",
         "unexpected inference input 'text' for model 'org/embedder', expected one text and for "
         "pairs one pair, or one input_ids and its attention_mask"},
        {"{\"inputs\":[" GOOD "],\"outputs\":[{\"name\":\"other\"}]}",
         "unexpected inference output 'other' for model 'org/embedder', its output is 'embedding'"},
        {"{\"inputs\":[" GOOD "],\"id\":7}", "id: 7, expected a string"},
        {"{\"inputs\":[" GOOD "],\"parameters\":{\"priority\":-1}}",
         "parameters.priority: -1, expected an integer from 0 to 1000"},
        {"{\"inputs\":[" GOOD "],\"parameters\":{\"timeout\":\"soon\"}}",
         "parameters.timeout: \\\"soon\\\", expected an integer from 0 to 1000000000000"},
        {"{\"inputs\":[" TENSOR("\"shape\":[5],\"data\":[\"a\",\"b\",\"c\",\"d\",\"e\"]") "]}",
         "batch size 5 > maximum allowed batch size 4"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char expected[400];
        (void)snprintf(expected, sizeof expected, "{\"error\":\"%s\"}", cases[i].error);
        route_expect("POST", INFER, cases[i].body, 400, expected);
    }
    route_expect("POST", "/v2/models/none/infer", "{\"inputs\":[" GOOD "]}", 404,
                 "{\"error\":\"no model is called \\\"none\\\"; there are: org/embedder, "
                 "org/sparse, org/reranker, org/classifier\"}");
    route_expect("POST", "/v2/models/embedder/versions/7/infer", "{\"inputs\":[" GOOD "]}", 404,
                 "{\"error\":\"model 'org/embedder' has no version '7', it has version '1'\"}");
    route_case c;
    route_begin(&c);
    assert_false(route_ask(&c, "POST", INFER, TANDEM_STR("{\"inputs\":")));
    assert_int_equal(c.code, 400);
    route_end(&c);
}

static void test_metadata(void **state) {
    (void)state;
    route_expect(
        "GET", "/v2", "", 200,
        "{\"name\":\"tandem\",\"version\":\"0.1.0\",\"extensions\":[\"binary_tensor_data\","
        "\"model_repository\",\"model_configuration\",\"statistics\",\"parameters\"]}");
    route_expect("GET", "/v2/health/live", "", 200, "{\"live\":true}");
    route_expect("GET", "/v2/health/ready", "", 503,
                 "{\"error\":\"model 'org/embedder' is not ready\"}");
    route_expect("GET", "/v2/models/reranker/ready", "", 503,
                 "{\"error\":\"model 'org/reranker' is not ready\"}");
    const char *embedder =
        "{\"name\":\"org/embedder\",\"versions\":[\"1\"],\"platform\":\"tandem\",\"inputs\":["
        "{\"name\":\"text\",\"datatype\":\"BYTES\",\"shape\":[-1]}],\"outputs\":[{\"name\":"
        "\"embedding\",\"datatype\":\"FP32\",\"shape\":[-1,4]}]}";
    route_expect("GET", "/v2/models/org/embedder", "", 200, embedder);
    route_expect("GET", "/v2/models/org%2fembedder/versions/1", "", 200, embedder);
    route_expect(
        "GET", "/v2/models/classifier/config", "", 200,
        "{\"name\":\"org/classifier\",\"platform\":\"tandem\",\"backend\":\"tandem\","
        "\"version_policy\":{\"latest\":{\"num_versions\":1}},\"max_batch_size\":4,"
        "\"input\":[{\"name\":\"text\",\"data_type\":\"TYPE_STRING\",\"dims\":[1]},"
        "{\"name\":\"pair\",\"data_type\":\"TYPE_STRING\",\"dims\":[1],\"optional\":true}],"
        "\"output\":[{\"name\":\"scores\",\"data_type\":\"TYPE_FP32\",\"dims\":[3]}]}");
    route_case c;
    route_begin(&c);
    assert_true(route_ask(&c, "GET", "/v2/models/stats", (tandem_str){NULL, 0}));
    const tandem_json *root = NULL;
    assert_int_equal(tandem__json_parse((tandem_str){c.out.ptr, c.out.len}, &c.arena, &root, NULL),
                     0);
    assert_int_equal(tandem__json_get(root, "model_stats")->count, 4);
    route_end(&c);
    route_begin(&c);
    assert_true(route_ask(&c, "GET", "/v2/models/sparse/stats", (tandem_str){NULL, 0}));
    assert_int_equal(tandem__json_parse((tandem_str){c.out.ptr, c.out.len}, &c.arena, &root, NULL),
                     0);
    assert_int_equal(tandem__json_get(root, "model_stats")->count, 1);
    route_end(&c);
    route_expect("POST", "/v2/repository/index", "{\"ready\":true}", 200, "[]");
    route_catalog.count = 1;
    route_expect("POST", "/v2/repository/index", "", 200,
                 "[{\"name\":\"org/embedder\",\"version\":\"1\",\"state\":\"UNAVAILABLE\","
                 "\"reason\":\"not ready\"}]");
    route_catalog.count = 4;
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_json),     cmocka_unit_test(test_priorities),
        cmocka_unit_test(test_binary),   cmocka_unit_test(test_token_ids),
        cmocka_unit_test(test_refusals), cmocka_unit_test(test_metadata),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
