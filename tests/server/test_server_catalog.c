/* SPDX-License-Identifier: Apache-2.0 */
/* Finding a model by the names that requests use. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "server/catalog.h"

static const server_catalog catalog = {
    .models =
        {
            {.name = "org/embedder", .size = "small", .info = {.has_embedding = true}},
            {.name = "org/reranker",
             .size = "small",
             .aliases = {"rerank-v3", "small-rerank"},
             .alias_count = 2,
             .info = {.labels = 1}},
            {.name = "org/large-embedder", .size = "large", .info = {.has_embedding = true}},
            {.name = "labels", .size = "small", .info = {.has_embedding = true, .labels = 3}},
        },
    .count = 4,
};

static void finds(const char *name, server_need need, const char *expected) {
    tandem_error err = {0};
    const server_model *model = NULL;
    assert_int_equal(server_catalog_find(&catalog, tandem__str(name), need, &model, &err), 0);
    assert_string_equal(model->name, expected);
}

static void refuses(const char *name, server_need need, tandem_status status, const char *message) {
    tandem_error err = {0};
    const server_model *model = NULL;
    assert_int_equal(server_catalog_find(&catalog, tandem__str(name), need, &model, &err), status);
    assert_string_equal(err.message, message);
    assert_null(model);
}

static void test_names(void **state) {
    (void)state;
    finds("org/embedder", SERVER_NEED_EMBED, "org/embedder");
    finds("embedder", SERVER_NEED_EMBED, "org/embedder");
    finds("rerank-v3", SERVER_NEED_RERANK, "org/reranker");
    finds("", SERVER_NEED_EMBED, "org/embedder");
    finds("", SERVER_NEED_RERANK, "org/reranker");
    finds("small", SERVER_NEED_RERANK, "org/reranker");
    finds("large", SERVER_NEED_EMBED, "org/large-embedder");
    finds("", SERVER_NEED_CLASSIFY, "labels");
    finds("reranker", SERVER_NEED_CLASSIFY, "org/reranker");
}

static void test_refusals(void **state) {
    (void)state;
    refuses("gpt", SERVER_NEED_EMBED, TANDEM_NOT_FOUND,
            "no model is called \"gpt\"; there are: org/embedder, org/reranker, "
            "org/large-embedder, labels");
    refuses("labels", SERVER_NEED_EMBED, TANDEM_UNSUPPORTED,
            "model labels is for classification, this request needs one for embeddings");
    refuses("embedder", SERVER_NEED_RERANK, TANDEM_UNSUPPORTED,
            "model org/embedder is for embeddings, this request needs one for reranking");
    refuses("", SERVER_NEED_SPARSE, TANDEM_UNSUPPORTED,
            "this server has no model for sparse embeddings; its models: org/embedder, "
            "org/reranker, org/large-embedder, labels");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_names),
        cmocka_unit_test(test_refusals),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
