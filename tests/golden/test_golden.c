/* SPDX-License-Identifier: Apache-2.0 */
/* The tiny BERT: states of every layer and vectors of every pooling, by each lane, as the Python
 * reference computed them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>

#include "golden/golden_files.h"

#define MODEL  "tests/golden/models/tiny-bert"
#define FOLDER "tests/golden/tiny-bert"

typedef struct fixture {
    tandem_source *source;
    golden_texts texts;
} fixture;

static int set_up(void **state) {
    fixture *f = calloc(1, sizeof *f);
    tandem_error err = {0};
    if (tandem__source_open(MODEL, &f->source, &err) != TANDEM_OK) fail_msg("%s", err.message);
    f->texts = golden_texts_read(FOLDER, 1000);
    assert_true(f->texts.count > 5);
    *state = f;
    return 0;
}

static int tear_down(void **state) {
    fixture *f = *state;
    golden_texts_free(&f->texts);
    tandem__source_close(f->source);
    free(f);
    return 0;
}

typedef struct bounds {
    tandem_dtype dtype;
    double cosine_min;
    double cosine_mean;
    double largest; /* of unit vectors */
} bounds;

static const bounds strict = {TANDEM_DTYPE_F32, 0.999999, 0.999999, 2e-5};
static const bounds narrow = {TANDEM_DTYPE_F16, 0.9999, 0.99999, 2e-2};

/* The file's states are text after text, the lane's state after state. */
static void check_states(const fixture *f, const tandem_backend *backend, const bounds *gate) {
    const tandem_plan *plan = f->source->plan;
    const int states = plan->layer_count + 1;
    const size_t hidden = (size_t)plan->hidden;
    const size_t total = (size_t)f->texts.tokens * (size_t)states * hidden;
    float *expected = golden_floats_read(FOLDER, "states", total);
    float *got = calloc(total, sizeof *got);
    tandem_lane *lane =
        golden_lane_open(backend, plan, gate->dtype, NULL, f->texts.tokens, f->texts.count);
    tandem_batch batch = golden_batch(&f->texts, 0, f->texts.count);
    golden_submit(backend, lane, &batch, TANDEM_OUTPUT_STATES, got);
    const float *of_text = expected;
    for (int text = 0; text < f->texts.count; text++) {
        const int first = batch.offsets[text];
        const int tokens = batch.offsets[text + 1] - first;
        for (int s = 0; s < states; s++) {
            const float *row = got + ((size_t)s * (size_t)batch.tokens + (size_t)first) * hidden;
            const golden_difference d = golden_compare(row, of_text, tokens, plan->hidden, 0);
            assert_true(d.cosine_min >= gate->cosine_min);
            /* Components of a normed state are of the order of one, not of 1/sqrt(H). */
            assert_true(d.largest <= 6.0 * gate->largest);
            of_text += (size_t)tokens * hidden;
        }
    }
    golden_batch_free(&batch);
    backend->close(lane);
    free(expected);
    free(got);
}

static void check_pooling(const fixture *f, const tandem_backend *backend, const bounds *gate,
                          tandem_pooling pooling, const char *name) {
    tandem_plan plan = *f->source->plan;
    plan.pooling = pooling;
    const size_t total = (size_t)f->texts.count * (size_t)plan.hidden;
    float *expected = golden_floats_read(FOLDER, name, total);
    float *got = calloc(total, sizeof *got);
    tandem_lane *lane =
        golden_lane_open(backend, &plan, gate->dtype, NULL, f->texts.tokens, f->texts.count);
    tandem_batch batch = golden_batch(&f->texts, 0, f->texts.count);
    golden_submit(backend, lane, &batch, TANDEM_OUTPUT_POOLED, got);
    const golden_difference d = golden_compare(got, expected, f->texts.count, plan.hidden, 1);
    if (d.cosine_min < gate->cosine_min || d.cosine_mean < gate->cosine_mean ||
        d.largest > gate->largest) {
        fail_msg("%s, %s: cosine %.9f mean, %.9f least, largest difference %.2e", backend->name,
                 name, d.cosine_mean, d.cosine_min, d.largest);
    }
    golden_batch_free(&batch);
    backend->close(lane);
    free(expected);
    free(got);
}

static void check_lane(const fixture *f, const char *name, const bounds *gate) {
    const tandem_backend *backend = tandem__backend_find(name);
    assert_non_null(backend);
    check_states(f, backend, gate);
    check_pooling(f, backend, gate, TANDEM_POOLING_MEAN, "mean");
    check_pooling(f, backend, gate, TANDEM_POOLING_CLS, "cls");
    check_pooling(f, backend, gate, TANDEM_POOLING_MAX, "max");
    check_pooling(f, backend, gate, TANDEM_POOLING_LAST, "lasttoken");
    check_pooling(f, backend, gate, TANDEM_POOLING_WEIGHTED_MEAN, "weightedmean");
}

static void test_ref(void **state) {
    check_lane(*state, "ref", &strict);
}

static void test_cpu_f32(void **state) {
    check_lane(*state, "cpu", &strict);
}

static void test_cpu_f16(void **state) {
    check_lane(*state, "cpu", &narrow);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_ref),
        cmocka_unit_test(test_cpu_f32),
        cmocka_unit_test(test_cpu_f16),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
