/* SPDX-License-Identifier: Apache-2.0 */
/* Whole folders as sentence-transformers and transformers save them, from texts to what a user
 * sees, through the public face: sparse vectors, scores of pairs, labels. Expected values are
 * theirs, in f32. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "golden/golden_files.h"
#include "tandem/tandem.h"

#define MODELS    "tests/golden/models/"
#define HEADS     "tests/golden/heads"
#define COUNT     9
#define VOCAB     200
#define DIFF_MOST 1e-5

static const char *const lanes[] = {"ref", "cpu"};

static tandem_engine *open_engine(const char *model, const char *lane) {
    char folder[128];
    (void)snprintf(folder, sizeof folder, MODELS "%s", model);
    const tandem_engine_options options = {.model = folder, .dtype = "f32", .lane = lane};
    tandem_engine *engine = NULL;
    tandem_error err = {0};
    if (tandem_engine_open(&options, &engine, &err) != TANDEM_OK) fail_msg("%s", err.message);
    return engine;
}

static void infer(tandem_engine *engine, const tandem_request *request, tandem_result *result) {
    tandem_error err = {0};
    if (tandem_engine_infer(engine, request, result, &err) != TANDEM_OK)
        fail_msg("%s", err.message);
    assert_int_equal(result->failed, 0);
}

/* The first COUNT texts of tiny-bert, which are no pairs. */
static void read_texts(tandem_text *texts) {
    static char bytes[4096];
    FILE *file = fopen("tests/golden/tiny-bert/texts.txt", "rb");
    assert_non_null(file);
    const size_t len = fread(bytes, 1, sizeof bytes - 1, file);
    assert_int_equal(fclose(file), 0);
    bytes[len] = '\0';
    const char *at = bytes;
    for (int i = 0; i < COUNT; i++) {
        const char *end = strchr(at, '\n');
        assert_non_null(end);
        texts[i] = (tandem_text){at, (size_t)(end - at)};
        assert_null(memchr(at, '\t', texts[i].len));
        at = end + 1;
    }
}

static void check_floats(const char *what, const float *got, const char *file, size_t count) {
    float *expected = golden_floats_read(HEADS, file, count);
    for (size_t i = 0; i < count; i++) {
        if (!(fabs((double)got[i] - (double)expected[i]) <= DIFF_MOST))
            fail_msg("%s: %zu is %.7f, expected %.7f", what, i, (double)got[i],
                     (double)expected[i]);
    }
    free(expected);
}

/* Entries in order, over zero, and the whole row as sentence-transformers gives it. */
static void check_sparse(const tandem_result *result, float *dense) {
    memset(dense, 0, (size_t)COUNT * VOCAB * sizeof *dense);
    assert_null(result->vectors);
    assert_int_equal(result->sparse_offsets[0], 0);
    assert_int_equal(result->dimensions, VOCAB);
    for (int i = 0; i < COUNT; i++) {
        int32_t last = -1;
        for (int64_t k = result->sparse_offsets[i]; k < result->sparse_offsets[i + 1]; k++) {
            assert_true(result->sparse_ids[k] > last);
            assert_true(result->sparse_weights[k] > 0.0f);
            last = result->sparse_ids[k];
            dense[i * VOCAB + last] = result->sparse_weights[k];
        }
        assert_true(last >= 0 && last < VOCAB);
    }
    check_floats("sparse", dense, "splade", (size_t)COUNT * VOCAB);
}

static void sparse_vectors(void **state) {
    (void)state;
    tandem_text texts[COUNT];
    read_texts(texts);
    for (size_t l = 0; l < sizeof lanes / sizeof lanes[0]; l++) {
        tandem_engine *engine = open_engine("tiny-splade", lanes[l]);
        tandem_model_info info;
        tandem_engine_model(engine, &info);
        assert_true(info.has_sparse);
        assert_false(info.has_embedding);
        assert_string_equal(info.pooling, "splade");
        assert_string_equal(info.similarity, "dot");
        const tandem_request request = {
            .texts = texts, .count = COUNT, .lane = lanes[l], .task = TANDEM_TASK_EMBED_SPARSE};
        tandem_result result = {0};
        float *dense = calloc((size_t)COUNT * VOCAB, sizeof *dense);
        infer(engine, &request, &result);
        check_sparse(&result, dense);
        tandem_error err = {0};
        const tandem_request plain = {.texts = texts, .count = 1, .lane = lanes[l]};
        assert_int_equal(tandem_engine_infer(engine, &plain, &result, &err), TANDEM_UNSUPPORTED);
        assert_non_null(strstr(err.message, "no embeddings, it has token vectors, sparse"));
        tandem_selftest report;
        assert_int_equal(tandem_engine_selftest(engine, lanes[l], &report, &err), TANDEM_OK);
        assert_true(report.is_passed);
        free(dense);
        tandem_result_deinit(&result);
        tandem_engine_close(engine);
    }
}

/* A text that fails has no entries, and the others keep theirs. */
static void a_bad_text_is_empty(void **state) {
    (void)state;
    tandem_text texts[COUNT];
    read_texts(texts);
    tandem_engine *engine = open_engine("tiny-splade", "cpu");
    const tandem_text rows[4] = {{"\xff", 1}, texts[0], {"\xfe", 1}, texts[0]};
    const tandem_request request = {.texts = rows, .count = 4, .task = TANDEM_TASK_EMBED_SPARSE};
    tandem_result result = {0};
    tandem_error err = {0};
    assert_int_equal(tandem_engine_infer(engine, &request, &result, &err), TANDEM_OK);
    assert_int_equal(result.failed, 2);
    const int64_t *offsets = result.sparse_offsets;
    const int64_t count = offsets[2] - offsets[1];
    assert_true(count > 0);
    assert_int_equal(offsets[1], 0);
    assert_int_equal(offsets[3], count);
    assert_int_equal(offsets[4], 2 * count);
    assert_memory_equal(result.sparse_weights, result.sparse_weights + count,
                        (size_t)count * sizeof(float));
    tandem_result_deinit(&result);
    tandem_engine_close(engine);
}

static void scores_of_pairs(void **state) {
    (void)state;
    tandem_text texts[COUNT];
    tandem_text query[COUNT];
    read_texts(texts);
    for (int i = 0; i < COUNT; i++) query[i] = texts[0];
    for (size_t l = 0; l < sizeof lanes / sizeof lanes[0]; l++) {
        tandem_engine *engine = open_engine("tiny-rerank", lanes[l]);
        tandem_model_info info;
        tandem_engine_model(engine, &info);
        assert_int_equal(info.labels, 1);
        assert_string_equal(info.score, "sigmoid");
        assert_int_equal(info.max_length, 64); /* its save keeps no length: the positions */
        tandem_request request = {.texts = query,
                                  .pairs = texts,
                                  .count = COUNT,
                                  .lane = lanes[l],
                                  .task = TANDEM_TASK_CLASSIFY};
        tandem_result result = {0};
        infer(engine, &request, &result);
        check_floats("scores", result.vectors, "rerank", COUNT);
        request.raw_scores = true;
        infer(engine, &request, &result);
        check_floats("logits", result.vectors, "rerank_raw", COUNT);
        tandem_result_deinit(&result);
        tandem_engine_close(engine);
    }
}

static void scores_of_labels(void **state) {
    (void)state;
    tandem_text texts[COUNT];
    read_texts(texts);
    for (size_t l = 0; l < sizeof lanes / sizeof lanes[0]; l++) {
        tandem_engine *engine = open_engine("tiny-labels", lanes[l]);
        tandem_model_info info;
        tandem_engine_model(engine, &info);
        assert_int_equal(info.labels, 3);
        assert_string_equal(info.label_names[1], "perhaps");
        assert_string_equal(info.score, "softmax");
        tandem_request request = {
            .texts = texts, .count = COUNT, .lane = lanes[l], .task = TANDEM_TASK_CLASSIFY};
        tandem_result result = {0};
        infer(engine, &request, &result);
        check_floats("labels", result.vectors, "labels", (size_t)COUNT * 3);
        float softmax[3];
        memcpy(softmax, result.vectors, sizeof softmax);
        request.raw_scores = true;
        infer(engine, &request, &result);
        float logits[3];
        memcpy(logits, result.vectors, sizeof logits);
        double sum = 0.0;
        for (int i = 0; i < 3; i++) sum += exp((double)logits[i]);
        assert_true(fabs(exp((double)logits[2]) / sum - (double)softmax[2]) < 1e-6);
        request.raw_scores = false;
        request.scoring = TANDEM_SCORING_SIGMOID;
        infer(engine, &request, &result);
        const double sigmoid = 1.0 / (1.0 + exp(-(double)logits[0]));
        assert_true(fabs(sigmoid - (double)result.vectors[0]) < 1e-6);
        tandem_result_deinit(&result);
        tandem_engine_close(engine);
    }
}

/* Every module after three joined poolings; with a prompt that none of them takes in. */
static void modules_after_pooling(void **state) {
    (void)state;
    tandem_text texts[COUNT];
    read_texts(texts);
    for (size_t l = 0; l < sizeof lanes / sizeof lanes[0]; l++) {
        tandem_engine *engine = open_engine("tiny-modules", lanes[l]);
        tandem_request request = {.texts = texts, .count = COUNT, .lane = lanes[l]};
        tandem_result result = {0};
        infer(engine, &request, &result);
        assert_int_equal(result.dimensions, 24);
        check_floats("modules", result.vectors, "modules", (size_t)COUNT * 24);
        request.prompt_name = "count";
        infer(engine, &request, &result);
        check_floats("modules with a prompt", result.vectors, "modules_prompt", (size_t)COUNT * 24);
        tandem_selftest report;
        tandem_error err = {0};
        assert_int_equal(tandem_engine_selftest(engine, lanes[l], &report, &err), TANDEM_OK);
        assert_true(report.is_passed);
        tandem_result_deinit(&result);
        tandem_engine_close(engine);
    }
}

/* Token vectors: a token a row, each with its id, cut like any text. */
static void token_vectors(void **state) {
    (void)state;
    tandem_engine *engine = open_engine("tiny-bert", "cpu");
    const tandem_tokenizer *tokenizer = tandem_engine_tokenizer(engine);
    const tandem_text rows[2] = {{"the cat sat", 11}, {"one two three four five six", 27}};
    tandem_request request = {
        .texts = rows, .count = 2, .max_length = 5, .task = TANDEM_TASK_EMBED_ALL};
    tandem_result result = {0};
    infer(engine, &request, &result);
    assert_int_equal(result.rows, 10);
    assert_int_equal(result.texts[1].first_row, 5);
    assert_int_equal(result.texts[1].dropped, 3);
    const char *const words[10] = {"[CLS]", "the", "cat", "sat",   "[SEP]",
                                   "[CLS]", "one", "two", "three", "[SEP]"};
    for (int i = 0; i < 10; i++)
        assert_string_equal(tandem_tokenizer_token(tokenizer, result.ids[i], NULL), words[i]);
    /* The mean of a text's token vectors, at length 1, is its embedding. */
    float mean[32];
    double length = 0.0;
    for (int k = 0; k < 32; k++) {
        double sum = 0.0;
        for (int t = 5; t < 10; t++) sum += (double)result.vectors[t * 32 + k];
        mean[k] = (float)sum;
        length += sum * sum;
    }
    request.task = TANDEM_TASK_EMBED;
    infer(engine, &request, &result);
    assert_null(result.ids);
    for (int k = 0; k < 32; k++) {
        const double expected = (double)mean[k] / sqrt(length);
        assert_true(fabs((double)result.vectors[32 + k] - expected) < 1e-6);
    }
    request.task = TANDEM_TASK_EMBED_ALL;
    request.split_long = true;
    tandem_error err = {0};
    assert_int_equal(tandem_engine_infer(engine, &request, &result, &err), TANDEM_INVALID);
    assert_non_null(strstr(err.message, "split_long"));
    tandem_result_deinit(&result);
    tandem_engine_close(engine);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sparse_vectors),  cmocka_unit_test(a_bad_text_is_empty),
        cmocka_unit_test(scores_of_pairs), cmocka_unit_test(scores_of_labels),
        cmocka_unit_test(token_vectors),   cmocka_unit_test(modules_after_pooling),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
