/* SPDX-License-Identifier: Apache-2.0 */
/* The engine through its public face, on the committed tiny model (H 32, 64 positions, text length
 * 48 by default). */
#include <math.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/mem.h"
#include "tandem/tandem.h"

#define MODELS "tests/golden/models/"
#define MODEL  MODELS "tiny-bert"
#define H      32

static tandem_engine *open_model(const char *model, const char *dtype, int threads) {
    const tandem_engine_options options = {.model = model, .dtype = dtype, .threads = threads};
    tandem_engine *engine = NULL;
    tandem_error err = {0};
    if (tandem_engine_open(&options, &engine, &err) != TANDEM_OK) fail_msg("%s", err.message);
    return engine;
}

static tandem_engine *open_engine(const char *dtype, int threads) {
    return open_model(MODEL, dtype, threads);
}

static tandem_text text(const char *bytes) {
    return (tandem_text){bytes, strlen(bytes)};
}

static void infer(tandem_engine *engine, const tandem_request *request, tandem_result *result) {
    tandem_error err = {0};
    if (tandem_engine_infer(engine, request, result, &err) != TANDEM_OK)
        fail_msg("%s", err.message);
}

static void fails(tandem_engine *engine, const tandem_request *request, tandem_status status,
                  const char *says) {
    tandem_result result = {0};
    tandem_error err = {0};
    assert_int_equal(tandem_engine_infer(engine, request, &result, &err), status);
    if (strstr(err.message, says) == NULL) fail_msg("\"%s\" lacks \"%s\"", err.message, says);
    tandem_result_deinit(&result);
}

static double length_of(const float *v, int n) {
    double sum = 0;
    for (int i = 0; i < n; i++) sum += (double)v[i] * (double)v[i];
    return sqrt(sum);
}

static void test_alone_and_together(void **state) {
    (void)state;
    const char *const words[] = {"", "a", "the quick brown fox", "x y z",
                                 "zero one two three four"};
    enum { COUNT = 200 };
    tandem_text texts[COUNT];
    for (int i = 0; i < COUNT; i++) texts[i] = text(words[i % 5]);
    for (int threads = 1; threads <= 3; threads += 2) {
        tandem_engine *engine = open_engine("f16", threads);
        const tandem_request all = {.texts = texts, .count = COUNT};
        tandem_result together = {0};
        tandem_result alone = {0};
        infer(engine, &all, &together);
        assert_int_equal(together.rows, COUNT);
        assert_int_equal(together.dimensions, H);
        assert_string_equal(together.lane, "cpu");
        assert_string_equal(together.dtype, "f16");
        for (int i = 0; i < COUNT; i += 7) {
            const tandem_request one = {.texts = &texts[i], .count = 1};
            infer(engine, &one, &alone);
            assert_memory_equal(alone.vectors, together.vectors + i * H, H * sizeof(float));
            assert_true(fabs(length_of(alone.vectors, H) - 1) < 1e-6);
        }
        tandem_result_deinit(&alone);
        tandem_result_deinit(&together);
        tandem_engine_close(engine);
    }
}

static void test_ids_equal_texts(void **state) {
    (void)state;
    tandem_engine *engine = open_engine("f32", 1);
    const tandem_text one = text("the quick brown fox");
    tandem_encoding encoding = {0};
    tandem_error err = {0};
    assert_int_equal(tandem_tokenizer_encode(tandem_engine_tokenizer(engine), one.ptr, one.len,
                                             NULL, 0, NULL, &encoding, &err),
                     TANDEM_OK);
    const int32_t offsets[2] = {0, encoding.count};
    tandem_result by_text = {0};
    tandem_result by_ids = {0};
    infer(engine, &(tandem_request){.texts = &one, .count = 1}, &by_text);
    infer(engine, &(tandem_request){.ids = encoding.ids, .id_offsets = offsets, .count = 1},
          &by_ids);
    assert_memory_equal(by_text.vectors, by_ids.vectors, H * sizeof(float));
    assert_int_equal(by_text.tokens, encoding.count);
    tandem_encoding_deinit(&encoding);
    tandem_result_deinit(&by_text);
    tandem_result_deinit(&by_ids);
    tandem_engine_close(engine);
}

static void test_dimensions_and_normalize(void **state) {
    (void)state;
    tandem_engine *engine = open_engine("f32", 1);
    const tandem_text one = text("hello there");
    tandem_result whole = {0};
    tandem_result cut = {0};
    tandem_request request = {.texts = &one, .count = 1, .skip_normalize = true};
    infer(engine, &request, &whole);
    request.dimensions = 8;
    infer(engine, &request, &cut);
    assert_int_equal(cut.dimensions, 8);
    assert_memory_equal(whole.vectors, cut.vectors, 8 * sizeof(float));
    request.skip_normalize = false;
    infer(engine, &request, &cut);
    assert_true(fabs(length_of(cut.vectors, 8) - 1) < 1e-6);
    request.dimensions = H + 1;
    fails(engine, &request, TANDEM_INVALID, "dimensions: 33");
    tandem_result_deinit(&whole);
    tandem_result_deinit(&cut);
    tandem_engine_close(engine);
}

/* A text of about 300 tokens. */
static const char *long_text(void) {
    static char bytes[1200];
    if (bytes[0] == '\0') {
        for (size_t i = 0; i + 4 < sizeof bytes; i += 4) memcpy(bytes + i, "a b ", 4);
    }
    return bytes;
}

static void test_long_texts(void **state) {
    (void)state;
    tandem_engine *engine = open_engine("f32", 2);
    const tandem_text one = text(long_text());
    tandem_result result = {0};
    tandem_request request = {.texts = &one, .count = 1};
    infer(engine, &request, &result);
    assert_int_equal(result.texts[0].tokens, 48);
    assert_true(result.texts[0].dropped > 500);
    assert_int_equal(result.truncated, 1);
    request.max_length = 64;
    infer(engine, &request, &result);
    assert_int_equal(result.texts[0].tokens, 64);
    request.max_length = 65;
    fails(engine, &request, TANDEM_INVALID, "max_length: 65");
    request.max_length = 0;
    request.split_long = true;
    infer(engine, &request, &result);
    assert_int_equal(result.texts[0].dropped, 0);
    request.max_length = 2;
    fails(engine, &request, TANDEM_INVALID, "max_length: 2, expected over 2 to split");
    assert_int_equal(result.truncated, 0);
    assert_true(result.texts[0].tokens > 600);
    assert_true(fabs(length_of(result.vectors, H) - 1) < 1e-6);
    tandem_result_deinit(&result);
    tandem_engine_close(engine);
}

static void test_one_bad_text(void **state) {
    (void)state;
    tandem_engine *engine = open_engine("f32", 2);
    const tandem_text texts[] = {text("good"), text("\xff bad"), text(long_text()), text("good")};
    tandem_request request = {.texts = texts, .count = 4, .refuse_long = true};
    tandem_result result = {0};
    tandem_error err = {0};
    assert_int_equal(tandem_engine_infer(engine, &request, &result, &err), TANDEM_OK);
    assert_int_equal(result.failed, 2);
    assert_int_equal(result.texts[1].status, TANDEM_FORMAT);
    assert_int_equal(result.texts[2].status, TANDEM_CAPACITY);
    assert_int_equal(err.status, TANDEM_FORMAT);
    assert_int_equal(result.first_failed, 1);
    assert_non_null(strstr(err.message, "UTF-8"));
    assert_null(strstr(err.message, "text 1"));
    assert_memory_equal(result.vectors, result.vectors + 3 * H, H * sizeof(float));
    assert_true(length_of(result.vectors + H, H) == 0.0);
    request.replace_invalid = true;
    tandem_error_clear(&err);
    assert_int_equal(tandem_engine_infer(engine, &request, &result, &err), TANDEM_OK);
    assert_int_equal(result.failed, 1);
    assert_int_equal(result.first_failed, 2);
    assert_non_null(strstr(err.message, "limit 48"));
    tandem_result_deinit(&result);
    tandem_engine_close(engine);
}

/* What is left of a long text is its end, between the special tokens. */
static void test_truncates_left(void **state) {
    (void)state;
    tandem_engine *engine = open_engine("f32", 1);
    const tandem_text texts[] = {text("the cat the cat the"), text("cat the")};
    tandem_request request = {.texts = texts, .count = 2, .max_length = 4, .truncate_left = true};
    tandem_result result = {0};
    tandem_error err = {0};
    assert_int_equal(tandem_engine_infer(engine, &request, &result, &err), TANDEM_OK);
    assert_int_equal(result.texts[0].dropped, 3);
    assert_memory_equal(result.vectors, result.vectors + H, H * sizeof(float));
    request.split_long = true;
    assert_int_equal(tandem_engine_infer(engine, &request, &result, &err), TANDEM_INVALID);
    tandem_result_deinit(&result);
    tandem_engine_close(engine);
}

static void test_tokens_of_each_text(void **state) {
    (void)state;
    tandem_engine *engine = open_engine("f32", 1);
    const tandem_text texts[] = {text("a b"), text("c")};
    const tandem_request request = {.texts = texts, .count = 2, .task = TANDEM_TASK_EMBED_ALL};
    tandem_result result = {0};
    infer(engine, &request, &result);
    assert_int_equal(result.rows, result.texts[0].tokens + result.texts[1].tokens);
    assert_int_equal(result.texts[0].first_row, 0);
    assert_int_equal(result.texts[1].first_row, result.texts[0].tokens);
    const tandem_request classify = {.texts = texts, .count = 2, .task = TANDEM_TASK_CLASSIFY};
    fails(engine, &classify, TANDEM_UNSUPPORTED,
          "no sequence classifier, it has token vectors, embeddings");
    tandem_result_deinit(&result);
    tandem_engine_close(engine);
}

static void test_lanes_and_fallback(void **state) {
    (void)state;
    tandem_engine *engine = open_engine(NULL, 1);
    const tandem_text one = text("a");
    tandem_request request = {.texts = &one, .count = 1, .lane = "ref"};
    tandem_result result = {0};
    infer(engine, &request, &result);
    assert_string_equal(result.lane, "ref");
    request.lane = "ane";
    infer(engine, &request, &result);
    assert_string_equal(result.lane, "cpu");
    assert_non_null(strstr(result.reason, "fallback: lane ane"));
    request.fallback = TANDEM_FALLBACK_NONE;
    fails(engine, &request, TANDEM_DEVICE, "ane");
    request.lane = "gpu";
    fails(engine, &request, TANDEM_INVALID, "\"gpu\"");
    tandem_lane_info lanes[TANDEM_LANES_MAX];
    const int count = tandem_lanes(engine, lanes);
    assert_true(count >= 2);
    for (int i = 0; i < count; i++) {
        assert_true(lanes[i].is_available || lanes[i].reason[0] != '\0');
    }
    tandem_result_deinit(&result);
    tandem_engine_close(engine);
}

static void test_pairs(void **state) {
    (void)state;
    tandem_engine *engine = open_engine("f32", 1);
    const tandem_text first = text("a b");
    const tandem_text nothing = {NULL, 0};
    const tandem_text invalid = text("\xff");
    tandem_result alone = {0};
    tandem_result pair = {0};
    infer(engine, &(tandem_request){.texts = &first, .count = 1}, &alone);
    tandem_request request = {.texts = &first, .pairs = &nothing, .count = 1};
    infer(engine, &request, &pair);
    assert_int_equal(pair.tokens, alone.tokens + 1); /* [SEP] of the empty second text */
    request.pairs = &invalid;
    request.replace_invalid = true;
    infer(engine, &request, &pair);
    assert_int_equal(pair.failed, 0);
    tandem_result_deinit(&alone);
    tandem_result_deinit(&pair);
    tandem_engine_close(engine);
}

static void test_bad_requests(void **state) {
    (void)state;
    tandem_engine *engine = open_engine("f32", 1);
    const int32_t ids[] = {2, 5, 200, 3};
    const int32_t offsets[] = {0, 4};
    const int32_t empty[] = {0, 0};
    tandem_request request = {.ids = ids, .id_offsets = offsets, .count = 1};
    fails(engine, &request, TANDEM_INVALID, "200, expected 0 to 199");
    request.refuse_long = true;
    fails(engine, &request, TANDEM_INVALID, "belong to texts");
    request.refuse_long = false;
    request.id_offsets = empty;
    fails(engine, &request, TANDEM_INVALID, "0 tokens");
    fails(engine, &(tandem_request){.count = 1}, TANDEM_INVALID, "neither texts nor ids");
    const tandem_text one = text("a");
    fails(engine, &(tandem_request){.texts = &one, .count = 1, .prompt_name = "nope"},
          TANDEM_INVALID, "\"nope\"");
    tandem_result result = {0};
    infer(engine, &(tandem_request){.count = 0}, &result);
    assert_int_equal(result.rows, 0);
    tandem_result_deinit(&result);
    tandem_engine_close(engine);
}

static void test_prompt_goes_before(void **state) {
    (void)state;
    tandem_engine *engine = open_engine("f32", 1);
    const tandem_text bare = text("b c");
    const tandem_text joined = text("a b c");
    tandem_result first = {0};
    tandem_result second = {0};
    infer(engine, &(tandem_request){.texts = &bare, .count = 1, .prompt = "a "}, &first);
    infer(engine, &(tandem_request){.texts = &joined, .count = 1}, &second);
    assert_memory_equal(first.vectors, second.vectors, H * sizeof(float));
    tandem_result_deinit(&first);
    tandem_result_deinit(&second);
    tandem_engine_close(engine);
}

static void test_open_fails_clearly(void **state) {
    (void)state;
    static const struct {
        tandem_engine_options options;
        tandem_status status;
        const char *says;
    } cases[] = {
        {{.model = "/nonexistent/model"}, TANDEM_NOT_FOUND, "/nonexistent/model"},
        {{.model = MODEL, .dtype = "f17"}, TANDEM_INVALID, "f17"},
        {{.model = MODEL, .lane = "gpu"}, TANDEM_INVALID, "gpu"},
        {{.model = MODEL, .threads = -1}, TANDEM_INVALID, "threads: -1"},
        {{.model = MODEL, .max_length = 65}, TANDEM_INVALID, "max_length: 65"},
        {{.model = MODEL, .dtype = "fp8"}, TANDEM_UNSUPPORTED, "fp8, lane cpu has f32 and f16"},
        {{.shape = "bert-gigantic"}, TANDEM_NOT_FOUND, "bert-gigantic"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        tandem_engine *engine = NULL;
        tandem_error err = {0};
        assert_int_equal(tandem_engine_open(&cases[i].options, &engine, &err), cases[i].status);
        assert_null(engine);
        if (strstr(err.message, cases[i].says) == NULL) fail_msg("%s", err.message);
    }
}

static void test_selftest_passes(void **state) {
    (void)state;
    static const char *const dtypes[] = {"f32", "f16"};
    for (int i = 0; i < 2; i++) {
        tandem_engine *engine = open_engine(dtypes[i], 2);
        tandem_selftest report = {0};
        tandem_error err = {0};
        assert_int_equal(tandem_engine_selftest(engine, "cpu", &report, &err), TANDEM_OK);
        assert_true(report.is_passed);
        assert_true(report.is_batch_invariant);
        assert_string_equal(report.dtype, dtypes[i]);
        tandem_engine_close(engine);
    }
}

static void test_no_allocation_when_warm(void **state) {
    (void)state;
    static const struct {
        const char *model;
        tandem_task task;
    } cases[] = {{MODEL, TANDEM_TASK_EMBED},
                 {MODEL, TANDEM_TASK_EMBED_ALL},
                 {MODELS "tiny-modules", TANDEM_TASK_EMBED},
                 {MODELS "tiny-splade", TANDEM_TASK_EMBED_SPARSE},
                 {MODELS "tiny-labels", TANDEM_TASK_CLASSIFY}};
    const tandem_text texts[] = {text("a b c d"), text("hello"), text(long_text())};
    for (size_t c = 0; c < sizeof cases / sizeof cases[0]; c++) {
        tandem_engine *engine = open_model(cases[c].model, "f16", 2);
        const tandem_request request = {.texts = texts, .count = 3, .task = cases[c].task};
        tandem_result result = {0};
        for (int i = 0; i < 8; i++) infer(engine, &request, &result);
        const uint64_t before = tandem__mem_count();
        for (int i = 0; i < 50; i++) infer(engine, &request, &result);
        assert_int_equal(tandem__mem_count(), before);
        tandem_result_deinit(&result);
        tandem_engine_close(engine);
    }
}

typedef struct caller {
    tandem_engine *engine;
    float expected[H];
    int wrong;
} caller;

static void *call_many(void *context) {
    caller *c = context;
    const tandem_text one = text("one two three");
    tandem_result result = {0};
    for (int i = 0; i < 100; i++) {
        tandem_error err = {0};
        const tandem_request request = {.texts = &one, .count = 1};
        if (tandem_engine_infer(c->engine, &request, &result, &err) != TANDEM_OK ||
            memcmp(result.vectors, c->expected, sizeof c->expected) != 0) {
            c->wrong++;
        }
    }
    tandem_result_deinit(&result);
    return NULL;
}

static void test_many_callers(void **state) {
    (void)state;
    tandem_engine *engine = open_engine("f16", 2);
    const tandem_text one = text("one two three");
    tandem_result result = {0};
    infer(engine, &(tandem_request){.texts = &one, .count = 1}, &result);
    caller callers[4];
    pthread_t threads[4];
    for (int i = 0; i < 4; i++) {
        callers[i] = (caller){.engine = engine};
        memcpy(callers[i].expected, result.vectors, sizeof callers[i].expected);
        assert_int_equal(pthread_create(&threads[i], NULL, call_many, &callers[i]), 0);
    }
    for (int i = 0; i < 4; i++) {
        assert_int_equal(pthread_join(threads[i], NULL), 0);
        assert_int_equal(callers[i].wrong, 0);
    }
    tandem_result_deinit(&result);
    tandem_engine_close(engine);
}

/* Every allocation of opening an engine and of a first request fails once, in turn. */
static void run_out_of_memory(const char *model, tandem_task task) {
    const tandem_text one = text("one two three");
    const tandem_request request = {.texts = &one, .count = 1, .task = task};
    bool is_through = false;
    for (uint64_t n = 1; !is_through && n < 5000; n++) {
        const tandem_engine_options options = {.model = model, .threads = 1};
        tandem_engine *engine = NULL;
        tandem_error err = {0};
        tandem_result result = {0};
        tandem__mem_fail_at(n);
        tandem_status status = tandem_engine_open(&options, &engine, &err);
        if (status == TANDEM_OK) {
            status = tandem_engine_infer(engine, &request, &result, &err);
            is_through = status == TANDEM_OK && result.failed == 0;
        } else {
            assert_null(engine);
        }
        tandem__mem_fail_at(0);
        if (!is_through && err.status == TANDEM_OK) fail_msg("allocation %d: no error", (int)n);
        tandem_result_deinit(&result);
        tandem_engine_close(engine);
    }
    assert_true(is_through);
}

static void test_out_of_memory(void **state) {
    (void)state;
    run_out_of_memory(MODEL, TANDEM_TASK_EMBED);
    run_out_of_memory(MODELS "tiny-splade", TANDEM_TASK_EMBED_SPARSE);
    run_out_of_memory(MODELS "tiny-modules", TANDEM_TASK_EMBED_ALL);
}

static void test_priority_words(void **state) {
    (void)state;
    static const struct {
        const char *word;
        int32_t priority;
    } good[] = {{"realtime", -10},
                {"real_time", -10},
                {"urgent", -10},
                {"standard", 0},
                {"-3", -3},
                {"background", 10},
                {"2000000000", 2000000000},
                {"+10", 10}};
    static const char *const bad[] = {"",   "fast", "Realtime", "1.5", "3000000000",
                                      " 1", "+",    "+-1",      "++1"};
    tandem_error err = {0};
    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++) {
        int32_t priority = 99;
        assert_int_equal(tandem_priority_parse(good[i].word, strlen(good[i].word), &priority, &err),
                         TANDEM_OK);
        assert_int_equal(priority, good[i].priority);
    }
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        int32_t priority = 99;
        tandem_error_clear(&err);
        assert_int_equal(tandem_priority_parse(bad[i], strlen(bad[i]), &priority, &err),
                         TANDEM_INVALID);
        assert_non_null(strstr(err.message, "expected realtime"));
        assert_int_equal(priority, 99);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_alone_and_together),
        cmocka_unit_test(test_ids_equal_texts),
        cmocka_unit_test(test_dimensions_and_normalize),
        cmocka_unit_test(test_long_texts),
        cmocka_unit_test(test_one_bad_text),
        cmocka_unit_test(test_truncates_left),
        cmocka_unit_test(test_tokens_of_each_text),
        cmocka_unit_test(test_lanes_and_fallback),
        cmocka_unit_test(test_pairs),
        cmocka_unit_test(test_bad_requests),
        cmocka_unit_test(test_prompt_goes_before),
        cmocka_unit_test(test_open_fails_clearly),
        cmocka_unit_test(test_selftest_passes),
        cmocka_unit_test(test_no_allocation_when_warm),
        cmocka_unit_test(test_many_callers),
        cmocka_unit_test(test_priority_words),
        cmocka_unit_test(test_out_of_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
