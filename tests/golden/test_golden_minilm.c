/* SPDX-License-Identifier: Apache-2.0 */
/* all-MiniLM-L6-v2 from the Hub's cache, by each lane. A model that is not there is a failure that
 * says how to get it: nothing is skipped in silence. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "golden/golden_files.h"

#define FOLDER "tests/golden/minilm"

/* Builds without optimisation or with AddressSanitizer take the first few texts alone, and so does
 * an emulated processor. */
#if defined(TANDEM_EMULATED)
enum { TEXTS_MAX = 6 };
#elif defined(__OPTIMIZE__) && !defined(__SANITIZE_ADDRESS__)
enum { TEXTS_MAX = 1000 };
#else
enum { TEXTS_MAX = 3 };
#endif

typedef struct fixture {
    tandem_source *source;
    tandem_pool *pool;
    golden_texts texts;
} fixture;

static int set_up(void **state) {
    fixture *f = calloc(1, sizeof *f);
    tandem_error err = {0};
    if (tandem__source_open("sentence-transformers/all-MiniLM-L6-v2", &f->source, &err) !=
        TANDEM_OK)
        fail_msg("%s (tools/fetch_model.sh gets it)", err.message);
    if (tandem__pool_open(0, &f->pool, &err) != TANDEM_OK) fail_msg("%s", err.message);
    f->texts = golden_texts_read(FOLDER, TEXTS_MAX);
    *state = f;
    return 0;
}

static int tear_down(void **state) {
    fixture *f = *state;
    golden_texts_free(&f->texts);
    tandem__pool_close(f->pool);
    tandem__source_close(f->source);
    free(f);
    return 0;
}

static golden_difference run(const fixture *f, const char *name, tandem_dtype dtype) {
    const tandem_backend *backend = tandem__backend_find(name);
    const tandem_plan *plan = f->source->plan;
    const size_t total = (size_t)f->texts.count * (size_t)plan->dimensions;
    float *expected = golden_floats_read(FOLDER, "mean", total);
    float *got = calloc(total, sizeof *got);
    tandem_lane *lane =
        golden_lane_open(backend, plan, dtype, f->pool, f->texts.tokens, f->texts.count);
    tandem_batch batch = golden_batch(&f->texts, 0, f->texts.count);
    golden_submit(backend, lane, &batch, TANDEM_OUTPUT_POOLED, got);
    const golden_difference d = golden_compare(got, expected, f->texts.count, plan->dimensions, 1);
    printf("%s %d texts, %d tokens: cosine %.9f mean, %.9f least, largest difference %.2e\n", name,
           (int)f->texts.count, (int)f->texts.tokens, d.cosine_mean, d.cosine_min, d.largest);
    golden_batch_free(&batch);
    backend->close(lane);
    free(expected);
    free(got);
    return d;
}

static void test_ref(void **state) {
    const golden_difference d = run(*state, "ref", TANDEM_DTYPE_F32);
    assert_true(d.cosine_min >= 0.999999);
    assert_true(d.largest <= 1e-6);
}

static void test_cpu_f32(void **state) {
    const golden_difference d = run(*state, "cpu", TANDEM_DTYPE_F32);
    assert_true(d.cosine_min >= 0.999999);
    assert_true(d.largest <= 2e-5);
}

static void test_cpu_f16(void **state) {
    const golden_difference d = run(*state, "cpu", TANDEM_DTYPE_F16);
    assert_true(d.cosine_mean >= 0.99999);
}

/* Where the processor has what eight bits need; that it says so elsewhere is test_lanes'. */
static void test_cpu_i8(void **state) {
    if (!tandem__backend_find("cpu")->has_dtype(TANDEM_DTYPE_I8)) return;
    const golden_difference d = run(*state, "cpu", TANDEM_DTYPE_I8);
    assert_true(d.cosine_mean >= 0.998);
    assert_true(d.cosine_min >= 0.99);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_ref),
        cmocka_unit_test(test_cpu_f32),
        cmocka_unit_test(test_cpu_f16),
        cmocka_unit_test(test_cpu_i8),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
