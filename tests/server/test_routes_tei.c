/* SPDX-License-Identifier: Apache-2.0 */
/* Text Embeddings Inference's routes: what a body becomes, what a result becomes, and each refusal
 * to the byte. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "server/route_case.h"

static void refuses(const char *path, const char *body, int code, const char *expected) {
    route_expect("POST", path, body, code, expected);
}

static void test_embed_defaults(void **state) {
    (void)state;
    route_case c;
    route_begin(&c);
    assert_true(route_ask(&c, "POST", "/embed", TANDEM_STR("{\"inputs\":\"h\\u00e9 you\"}")));
    const tandem_request *r = &c.ask.request;
    assert_string_equal(c.ask.model->name, "org/embedder");
    assert_string_equal(c.ask.texts_field, "inputs");
    assert_int_equal(r->count, 1);
    assert_memory_equal(r->texts[0].ptr, "h\xc3\xa9 you", 7);
    assert_int_equal(r->texts[0].len, 7);
    assert_int_equal(r->task, TANDEM_TASK_EMBED);
    assert_true(r->force_normalize && !r->skip_normalize && !r->refuse_long);
    assert_null(r->prompt_name);
    assert_null(r->lane);
    assert_int_equal(r->dimensions, 0);
    assert_false(c.ask.has_priority);
    route_end(&c);
}

static void test_embed_fields(void **state) {
    (void)state;
    route_case c;
    route_begin(&c);
    assert_true(route_ask(
        &c, "POST", "/embed",
        TANDEM_STR("{\"inputs\":[\"a\",\"b\"],\"truncate\":false,\"truncation_direction\":\"Left\","
                   "\"prompt_name\":\"query\",\"normalize\":false,\"dimensions\":3,\"lane\":\"cpu\""
                   ",\"priority\":\"background\",\"deadline_ms\":12.5,\"fallback\":\"none\","
                   "\"model\":\"embedder\",\"whatever\":{}}")));
    const tandem_request *r = &c.ask.request;
    assert_int_equal(r->count, 2);
    assert_true(r->refuse_long && r->skip_normalize && !r->force_normalize);
    assert_true(r->truncate_left);
    assert_string_equal(r->prompt_name, "query");
    assert_string_equal(r->lane, "cpu");
    assert_int_equal(r->dimensions, 3);
    assert_int_equal(r->priority, TANDEM_PRIORITY_BACKGROUND);
    assert_true(c.ask.has_priority);
    assert_true(r->deadline_ms == 12.5);
    assert_int_equal(r->fallback, TANDEM_FALLBACK_NONE);
    route_end(&c);
}

static void test_embed_ids(void **state) {
    (void)state;
    route_case c;
    route_begin(&c);
    assert_true(route_ask(&c, "POST", "/embed",
                          TANDEM_STR("{\"inputs\":[[1,2,3],[4,5,6,7,8,9,10,11,12]]}")));
    const tandem_request *r = &c.ask.request;
    assert_int_equal(r->count, 2);
    assert_int_equal(r->id_offsets[1], 3);
    assert_int_equal(r->id_offsets[2], 11); // nine ids, the model takes eight
    assert_int_equal(r->ids[3], 4);
    assert_int_equal(r->ids[10], 11);
    assert_null(r->texts);
    assert_false(r->refuse_long);
    route_end(&c);
    route_begin(&c);
    assert_true(route_ask(&c, "POST", "/embed",
                          TANDEM_STR("{\"inputs\":[1,2,3,4,5,6,7,8,9,10],"
                                     "\"truncation_direction\":\"left\"}")));
    assert_int_equal(c.ask.request.id_offsets[1], 8);
    assert_int_equal(c.ask.request.ids[0], 3);
    assert_int_equal(c.ask.request.ids[7], 10);
    assert_false(c.ask.request.truncate_left);
    route_end(&c);
    route_begin(&c);
    assert_true(route_ask(&c, "POST", "/embed", TANDEM_STR("{\"inputs\":[1,99]}")));
    assert_int_equal(c.ask.request.count, 1);
    assert_int_equal(c.ask.request.id_offsets[1], 2);
    route_end(&c);
}

static const struct {
    const char *body;
    int code;
    const char *error;
} bad_embeds[] = {
    {"", 422, "{\"error\":\"body: empty, expected a JSON object\",\"error_type\":\"Validation\"}"},
    {"[]", 422,
     "{\"error\":\"body: an array of 0, expected a JSON "
     "object\",\"error_type\":\"Validation\"}"},
    {"{}", 422,
     "{\"error\":\"inputs: missing, expected a string, a list of strings, token ids or a list "
     "of"
     " token id lists\",\"error_type\":\"Validation\"}"},
    {"{\"inputs\":[]}", 400, "{\"error\":\"`inputs` cannot be empty\",\"error_type\":\"Empty\"}"},
    {"{\"inputs\":\"\"}", 400, "{\"error\":\"`inputs` cannot be empty\",\"error_type\":\"Empty\"}"},
    {"{\"inputs\":[\"a\",\"\"]}", 400,
     "{\"error\":\"`inputs[1]` cannot be empty\",\"error_type\":\"Empty\"}"},
    {"{\"inputs\":[\"a\",7]}", 422,
     "{\"error\":\"inputs[1]: 7, expected a string: texts and token ids do not mix\","
     "\"error_type\":\"Validation\"}"},
    {"{\"inputs\":[\"a\",\"b\",\"c\",\"d\",\"e\"]}", 422,
     "{\"error\":\"batch size 5 > maximum allowed batch size "
     "4\",\"error_type\":\"Validation\"}"},
    {"{\"inputs\":\"a\",\"truncate\":1}", 422,
     "{\"error\":\"truncate: 1, expected true or false\",\"error_type\":\"Validation\"}"},
    {"{\"inputs\":\"a\",\"dimensions\":5}", 422,
     "{\"error\":\"dimensions: 5, expected an integer from 1 to 4\","
     "\"error_type\":\"Validation\"}"},
    {"{\"inputs\":\"a\",\"dimensions\":1e400}", 422,
     "{\"error\":\"dimensions: 1e400, expected an integer from 1 to 4\","
     "\"error_type\":\"Validation\"}"},
    {"{\"inputs\":\"a\",\"truncation_direction\":\"Up\"}", 422,
     "{\"error\":\"truncation_direction: \\\"Up\\\", expected Left or Right\","
     "\"error_type\":\"Validation\"}"},
    {"{\"inputs\":\"a\",\"priority\":\"soon\"}", 422,
     "{\"error\":\"priority: \\\"soon\\\", expected realtime, standard, background or an "
     "integer"
     " (lower first)\",\"error_type\":\"Validation\"}"},
    {"{\"inputs\":\"a\",\"deadline_ms\":-1}", 422,
     "{\"error\":\"deadline_ms: -1, expected a number over 0 to 1e9\","
     "\"error_type\":\"Validation\"}"},
    {"{\"inputs\":\"a\",\"fallback\":\"maybe\"}", 422,
     "{\"error\":\"fallback: \\\"maybe\\\", expected next or none\","
     "\"error_type\":\"Validation\"}"},
    {"{\"inputs\":\"a\",\"model\":\"gpt\"}", 404,
     "{\"error\":\"no model is called \\\"gpt\\\"; there are: org/embedder, org/sparse, "
     "org/reranker, org/classifier\",\"error_type\":\"Validation\"}"},
    {"{\"inputs\":\"a\",\"model\":\"reranker\"}", 424,
     "{\"error\":\"model org/reranker is for reranking, this request needs one for "
     "embeddings\",\"error_type\":\"Backend\"}"},
    {"{\"inputs\":[[1,100]]}", 422,
     "{\"error\":\"inputs[0][1]: 100, expected a token id from 0 to 99; ids of another "
     "tokenizer, such as tiktoken's, mean nothing to org/embedder: send texts\","
     "\"error_type\":\"Validation\"}"},
    {"{\"inputs\":[1],\"prompt_name\":\"query\"}", 424,
     "{\"error\":\"model org/embedder has no tokenizer\",\"error_type\":\"Backend\"}"},
    {"{\"inputs\":[[]]}", 400,
     "{\"error\":\"`inputs[0]` cannot be empty\",\"error_type\":\"Empty\"}"},
    {"{\"inputs\":[1,2,3,4,5,6,7,8,9],\"truncate\":false}", 422,
     "{\"error\":\"inputs: 9 tokens, expected at most 8\",\"error_type\":\"Validation\"}"},
};

static void test_embed_refusals(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof bad_embeds / sizeof *bad_embeds; i++)
        refuses("/embed", bad_embeds[i].body, bad_embeds[i].code, bad_embeds[i].error);
}

static void test_embed_answer(void **state) {
    (void)state;
    float vectors[] = {0.1f, -1.0f, 0.0f, 1e-7f, 1.0f, 2.0f, 3.0f, 4.5f};
    tandem_text_result texts[] = {{.tokens = 3}, {.tokens = 4, .dropped = 2}};
    const tandem_result result = {.vectors = vectors,
                                  .texts = texts,
                                  .count = 2,
                                  .rows = 2,
                                  .dimensions = 4,
                                  .truncated = 1,
                                  .lane = "cpu",
                                  .dtype = "f16",
                                  .tokenize_ns = 1999999,
                                  .queue_ns = 2000000,
                                  .infer_ns = 7000000};
    route_case c;
    route_begin(&c);
    assert_true(route_ask(&c, "POST", "/embed", TANDEM_STR("{\"inputs\":[\"\\u00e9\",\"bc\"]}")));
    route_write(&c, &result);
    assert_string_equal(c.out.ptr, "[[0.1,-1.0,0.0,1e-07],[1.0,2.0,3.0,4.5]]");
    assert_string_equal(c.headers.ptr,
                        "x-compute-type: cpu+f16\r\nx-compute-time: 10\r\n"
                        "x-compute-characters: 3\r\nx-compute-tokens: 7\r\nx-total-time: 10\r\n"
                        "x-tokenization-time: 1\r\nx-queue-time: 2\r\nx-inference-time: 7\r\n");
    route_end(&c);
}

static void test_embed_all(void **state) {
    (void)state;
    float vectors[] = {1, 2, 3, 4, 5, 6};
    tandem_text_result texts[] = {{.tokens = 2, .first_row = 0},
                                  {.tokens = 0, .first_row = 2},
                                  {.tokens = 1, .first_row = 2}};
    const tandem_result result = {
        .vectors = vectors, .texts = texts, .count = 3, .rows = 3, .dimensions = 2};
    route_expect_result("/embed_all", "{\"inputs\":[\"a\",\"b\",\"c\"]}", &result,
                        "[[[1.0,2.0],[3.0,4.0]],[],[[5.0,6.0]]]");
}

static void test_embed_sparse(void **state) {
    (void)state;
    int64_t offsets[] = {0, 2, 2};
    int32_t ids[] = {5, 99};
    float weights[] = {0.5f, 1.25f};
    tandem_text_result texts[] = {{.tokens = 2}, {.tokens = 2}};
    const tandem_result result = {.sparse_offsets = offsets,
                                  .sparse_ids = ids,
                                  .sparse_weights = weights,
                                  .texts = texts,
                                  .count = 2};
    route_expect_result("/embed_sparse", "{\"inputs\":[\"a\",\"b\"]}", &result,
                        "[[{\"index\":5,\"value\":0.5},{\"index\":99,\"value\":1.25}],[]]");
}

static void test_similarity(void **state) {
    (void)state;
    float vectors[] = {3, 0, 0, 2, -1, 0, 0, 0};
    tandem_text_result texts[4] = {{.tokens = 2}};
    const tandem_result result = {
        .vectors = vectors, .texts = texts, .count = 4, .rows = 4, .dimensions = 2};
    const char *body = "{\"inputs\":{\"source_sentence\":\"a\",\"sentences\":[\"b\",\"c\",\"d\"]}}";
    route_expect_result("/similarity", body, &result, "[0.0,-1.0,0.0]");
    route_expect_result("/", body, &result, "[0.0,-1.0,0.0]");
    refuses("/similarity", "{\"inputs\":{\"source_sentence\":\"a\",\"sentences\":[]}}", 400,
            "{\"error\":\"`inputs.sentences` cannot be empty\",\"error_type\":\"Empty\"}");
    refuses("/similarity",
            "{\"inputs\":{\"source_sentence\":\"a\",\"sentences\":[\"a\",\"b\",\"c\",\"d\"]}}", 422,
            "{\"error\":\"batch size 5 > maximum allowed batch size 4\","
            "\"error_type\":\"Validation\"}");
    refuses("/similarity", "{\"inputs\":{\"source_sentence\":1,\"sentences\":[\"a\"]}}", 422,
            "{\"error\":\"inputs.source_sentence: 1, expected a string\","
            "\"error_type\":\"Validation\"}");
    refuses("/similarity",
            "{\"inputs\":{\"source_sentence\":\"q\",\"sentences\":[\"a\"]},"
            "\"parameters\":{\"truncate\":\"yes\"}}",
            422,
            "{\"error\":\"parameters.truncate: \\\"yes\\\", expected true or false\","
            "\"error_type\":\"Validation\"}");
}

static void test_rerank(void **state) {
    (void)state;
    float scores[] = {0.25f, 0.75f, 0.25f};
    tandem_text_result texts[3] = {{.tokens = 2}};
    const tandem_result result = {
        .vectors = scores, .texts = texts, .count = 3, .rows = 3, .dimensions = 1};
    route_expect_result("/rerank", "{\"query\":\"q\",\"texts\":[\"a\",\"b\",\"c\"]}", &result,
                        "[{\"index\":1,\"score\":0.75},{\"index\":2,\"score\":0.25},"
                        "{\"index\":0,\"score\":0.25}]");
    route_expect_result("/rerank",
                        "{\"query\":\"q\",\"texts\":[\"a\",\"b\\n\",\"c\"],\"return_text\":true}",
                        &result,
                        "[{\"index\":1,\"text\":\"b\\n\",\"score\":0.75},{\"index\":2,\"text\":"
                        "\"c\",\"score\":0.25},"
                        "{\"index\":0,\"text\":\"a\",\"score\":0.25}]");
    refuses("/rerank", "{\"texts\":[\"a\"]}", 422,
            "{\"error\":\"query: missing, expected a string\",\"error_type\":\"Validation\"}");
    refuses("/rerank", "{\"query\":\"q\",\"texts\":[]}", 400,
            "{\"error\":\"`texts` cannot be empty\",\"error_type\":\"Empty\"}");
    refuses("/rerank", "{\"query\":\"q\",\"texts\":[\"a\"],\"model\":\"embedder\"}", 424,
            "{\"error\":\"model org/embedder is for embeddings, this request needs one for "
            "reranking\",\"error_type\":\"Backend\"}");
}

static void test_predict(void **state) {
    (void)state;
    float scores[] = {0.2f, 0.5f, 0.3f, 0.1f, 0.1f, 0.8f};
    tandem_text_result texts[2] = {{.tokens = 2}};
    tandem_result result = {
        .vectors = scores, .texts = texts, .count = 1, .rows = 1, .dimensions = 3};
    const char *one = "[{\"score\":0.5,\"label\":\"b\"},{\"score\":0.3,\"label\":\"c\"},"
                      "{\"score\":0.2,\"label\":\"a\"}]";
    const char *body = "{\"inputs\":\"x\",\"model\":\"classifier\"}";
    route_expect_result("/predict", body, &result, one);
    route_expect_result("/", body, &result, one);
    route_expect_result("/", "{\"inputs\":\"x\",\"model\":\"classifier\",\"parameters\":{}}",
                        &result,
                        "[[{\"score\":0.5,\"label\":\"b\"},{\"score\":0.3,\"label\":\"c\"},"
                        "{\"score\":0.2,\"label\":\"a\"}]]");
    route_expect_result(
        "/predict",
        "{\"inputs\":[\"x\",\"y\"],\"model\":\"classifier\",\"parameters\":{\"top_k\":1}}", &result,
        "[[{\"score\":0.5,\"label\":\"b\"}]]");
    result.count = 2;
    route_expect_result("/predict", "{\"inputs\":[[\"x\"],[\"y\"]],\"model\":\"classifier\"}",
                        &result,
                        "[[{\"score\":0.5,\"label\":\"b\"},{\"score\":0.3,\"label\":\"c\"},"
                        "{\"score\":0.2,\"label\":\"a\"}],[{\"score\":0.8,\"label\":\"c\"},"
                        "{\"score\":0.1,\"label\":\"b\"},{\"score\":0.1,\"label\":\"a\"}]]");
    refuses("/predict", "{\"inputs\":[[\"a\",\"b\"],[\"c\"]]}", 422,
            "{\"error\":\"inputs[1]: an array of 1, expected a pair, as the others\","
            "\"error_type\":\"Validation\"}");
}

static void test_large_answers_come_in_slices(void **state) {
    (void)state;
    enum { COUNT = 3, WIDE = 4096 };
    static float vectors[COUNT * WIDE];
    tandem_text_result texts[COUNT] = {{.tokens = 2}};
    for (size_t i = 0; i < COUNT * WIDE; i++) vectors[i] = 0.12345678f;
    const tandem_result result = {
        .vectors = vectors, .texts = texts, .count = COUNT, .rows = COUNT, .dimensions = WIDE};
    route_case c;
    route_begin(&c);
    assert_true(route_ask(&c, "POST", "/embed", TANDEM_STR("{\"inputs\":[\"a\",\"b\",\"c\"]}")));
    route_write(&c, &result);
    assert_int_equal(c.slices, 2); // two rows of 45 KB each, then one
    const tandem_json *root = NULL;
    assert_int_equal(tandem__json_parse((tandem_str){c.out.ptr, c.out.len}, &c.arena, &root, NULL),
                     TANDEM_OK);
    assert_int_equal(root->count, COUNT);
    assert_int_equal(root->first->next->next->count, WIDE);
    route_end(&c);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_embed_defaults),
        cmocka_unit_test(test_embed_fields),
        cmocka_unit_test(test_embed_ids),
        cmocka_unit_test(test_embed_refusals),
        cmocka_unit_test(test_embed_answer),
        cmocka_unit_test(test_embed_all),
        cmocka_unit_test(test_embed_sparse),
        cmocka_unit_test(test_similarity),
        cmocka_unit_test(test_rerank),
        cmocka_unit_test(test_predict),
        cmocka_unit_test(test_large_answers_come_in_slices),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
