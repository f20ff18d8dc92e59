/* SPDX-License-Identifier: Apache-2.0 */
/* Cohere's and Jina's rerank. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "server/route_case.h"

static float scores[] = {0.25f, 0.75f, 0.5f};
static tandem_text_result texts[] = {{.tokens = 3}, {.tokens = 4}, {.tokens = 5}};
static const tandem_result three = {
    .vectors = scores, .texts = texts, .count = 3, .rows = 3, .dimensions = 1};

#define END(version)                                                                               \
    "],\"meta\":{\"api_version\":{\"version\":\"" version                                          \
    "\"},\"billed_units\":{\"search_units\":1}},\"usage\":{\"total_tokens\":12}}"
#define START "{\"id\":\"id-1\",\"object\":\"list\",\"model\":\"org/reranker\",\"results\":["

static void test_reads(void **state) {
    (void)state;
    route_case c;
    route_begin(&c);
    assert_true(route_ask(
        &c, "POST", "/v2/rerank",
        TANDEM_STR("{\"model\":\"reranker\",\"query\":\"q\",\"documents\":[\"a\",{\"text\":\"b\"}],"
                   "\"max_tokens_per_doc\":4096,\"priority\":5,\"top_n\":1,\"unknown\":1}")));
    const tandem_request *r = &c.ask.request;
    assert_int_equal(r->count, 2);
    assert_int_equal(r->task, TANDEM_TASK_CLASSIFY);
    assert_int_equal(r->scoring, TANDEM_SCORING_SIGMOID);
    assert_int_equal(r->priority, 5);
    assert_memory_equal(r->texts[1].ptr, "q", 1);
    assert_memory_equal(r->pairs[1].ptr, "b", 1);
    assert_false(r->refuse_long);
    route_end(&c);
}

static void test_answers(void **state) {
    (void)state;
    route_expect_result("/v2/rerank",
                        "{\"query\":\"q\",\"documents\":[\"a\",\"b\",\"c\"],"
                        "\"top_n\":2}",
                        &three,
                        START "{\"index\":1,\"relevance_score\":0.75},"
                              "{\"index\":2,\"relevance_score\":0.5}" END("2"));
    route_expect_result(
        "/v1/rerank",
        "{\"query\":\"q\",\"documents\":[\"a\\n\",{\"text\":\"b\",\"n\":[1.50,null,true,{}]},\"c\"]"
        ","
        "\"return_documents\":true}",
        &three,
        START "{\"index\":1,\"relevance_score\":0.75,\"document\":{\"text\":\"b\",\"n\":[1.50,null,"
              "true,{}]}},{\"index\":2,\"relevance_score\":0.5,\"document\":{\"text\":\"c\"}},"
              "{\"index\":0,\"relevance_score\":0.25,\"document\":{\"text\":\"a\\n\"}}" END("1"));
}

static void test_rank_fields(void **state) {
    (void)state;
    route_case c;
    route_begin(&c);
    assert_true(route_ask(&c, "POST", "/v1/rerank",
                          TANDEM_STR("{\"query\":\"q\",\"rank_fields\":[\"title\",\"year\"],"
                                     "\"documents\":[{\"year\":1999,\"title\":\"t\"},{\"title\":"
                                     "\"u\"}]}")));
    assert_int_equal(c.ask.request.pairs[0].len, 6);
    assert_memory_equal(c.ask.request.pairs[0].ptr, "t\n1999", 6);
    assert_int_equal(c.ask.request.pairs[1].len, 1);
    route_end(&c);
    route_expect("POST", "/v1/rerank",
                 "{\"query\":\"q\",\"rank_fields\":[\"title\"],\"documents\":[{\"year\":1999}]}",
                 400,
                 "{\"message\":\"documents[0]: an object of 1, expected one of the rank_fields\","
                 "\"id\":\"id-1\"}");
}

static void test_documents_are_cut(void **state) {
    (void)state;
    tandem_tokenizer *tokenizer = NULL;
    tandem_error err = {0};
    assert_int_equal(
        tandem_tokenizer_open("tests/golden/models/tiny-bert/tokenizer.json", &tokenizer, &err),
        TANDEM_OK);
    server_model *model = &route_catalog.models[2];
    model->tokenizer = tokenizer;
    route_case c;
    route_begin(&c);
    assert_true(route_ask(&c, "POST", "/v2/rerank",
                          TANDEM_STR("{\"query\":\"the\",\"documents\":[\"the the the\",\"the\"],"
                                     "\"max_tokens_per_doc\":2}")));
    assert_int_equal(c.ask.request.pairs[0].len, 7);
    assert_int_equal(c.ask.request.pairs[1].len, 3);
    route_end(&c);
    model->tokenizer = NULL;
    tandem_tokenizer_close(tokenizer);
}

static void refuses(const char *body, int code, const char *error) {
    route_expect("POST", "/v2/rerank", body, code, error);
}

static void test_refusals(void **state) {
    (void)state;
    refuses("{\"documents\":[\"a\"]}", 400,
            "{\"message\":\"query: missing, expected a string\",\"id\":\"id-1\"}");
    refuses("{\"query\":\"\",\"documents\":[\"a\"]}", 400,
            "{\"message\":\"`query` cannot be empty\",\"id\":\"id-1\"}");
    refuses("{\"query\":\"q\"}", 400,
            "{\"message\":\"documents: missing, expected a list of strings or of objects with a "
            "text\",\"id\":\"id-1\"}");
    refuses("{\"query\":\"q\",\"documents\":[]}", 400,
            "{\"message\":\"`documents` cannot be empty\",\"id\":\"id-1\"}");
    refuses("{\"query\":\"q\",\"documents\":[\"a\",{\"txt\":\"b\"}]}", 400,
            "{\"message\":\"documents[1]: an object of 1, expected a string or an object with a "
            "text\",\"id\":\"id-1\"}");
    refuses("{\"query\":\"q\",\"documents\":[\"a\"],\"top_n\":0}", 400,
            "{\"message\":\"top_n: 0, expected an integer from 1 to 2147483647\",\"id\":\"id-1\"}");
    refuses("{\"query\":\"q\",\"documents\":[\"a\"],\"return_documents\":\"yes\"}", 400,
            "{\"message\":\"return_documents: \\\"yes\\\", expected true or false\",\"id\":"
            "\"id-1\"}");
    refuses("{\"query\":\"q\",\"documents\":[\"a\"],\"model\":\"gpt\"}", 404,
            "{\"message\":\"no model is called \\\"gpt\\\"; there are: org/embedder, org/sparse, "
            "org/reranker, org/classifier\",\"id\":\"id-1\"}");
    refuses("{\"query\":\"q\",\"documents\":[\"a\"],\"model\":\"embedder\"}", 400,
            "{\"message\":\"model org/embedder is for embeddings, this request needs one for "
            "reranking\",\"id\":\"id-1\"}");
    refuses("{\"query\":\"q\",\"documents\":[\"a\",\"b\",\"c\",\"d\",\"e\"]}", 400,
            "{\"message\":\"batch size 5 > maximum allowed batch size 4\",\"id\":\"id-1\"}");
    refuses("{\"query\":\"q\",\"documents\":[\"a\"],\"rank_fields\":[7]}", 400,
            "{\"message\":\"rank_fields[0]: 7, expected a string\",\"id\":\"id-1\"}");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_reads),       cmocka_unit_test(test_answers),
        cmocka_unit_test(test_rank_fields), cmocka_unit_test(test_documents_are_cut),
        cmocka_unit_test(test_refusals),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
