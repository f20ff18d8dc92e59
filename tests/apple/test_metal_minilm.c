/* SPDX-License-Identifier: Apache-2.0 */
/* all-MiniLM-L6-v2 by the metal lane on the stand-in, against the vectors of the Python reference:
 * texts of 2 to 256 tokens in one batch, and the short ones in another, which takes the products'
 * smaller tiles. The model comes from the Hub's cache; where it is not there the test fails and
 * says how to get it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "golden/golden_files.h"
#include "metal_models.h"

#define FOLDER "tests/golden/minilm"

static int set_up(void **state) {
    tandem_source *source = NULL;
    tandem_error err = {0};
    if (tandem__source_open("sentence-transformers/all-MiniLM-L6-v2", &source, &err) != TANDEM_OK)
        fail_msg("%s (tools/fetch_model.sh gets it)", err.message);
    *state = source;
    return 0;
}

static int tear_down(void **state) {
    tandem__source_close(*state);
    return 0;
}

static void compare(const tandem_plan *plan, int texts_max) {
    golden_texts texts = golden_texts_read(FOLDER, texts_max);
    float *expected = golden_floats_read(FOLDER, "mean", (size_t)(texts.count * plan->dimensions));
    metal_sim_start(&(metal_sim_options){.build = MSL_FAST});
    tandem_lane *lane = metal_open(plan, texts.tokens, texts.count, 1);
    tandem_batch batch = golden_batch(&texts, 0, texts.count);
    float *got = metal_run(lane, plan, &batch, TANDEM_OUTPUT_POOLED);
    const golden_difference d = golden_compare(got, expected, texts.count, plan->dimensions, 1);
    printf("%d texts, %d tokens: cosine %.7f mean, %.7f least\n", (int)texts.count,
           (int)texts.tokens, d.cosine_mean, d.cosine_min);
    assert_true(d.cosine_min >= 0.9995);
    tandem__backend_metal.close(lane);
    metal_stop();
    free(got);
    free(expected);
    golden_batch_free(&batch);
    golden_texts_free(&texts);
}

static void test_all_texts(void **state) {
    const tandem_source *source = *state;
    compare(source->plan, 20);
}

static void test_short_texts(void **state) {
    const tandem_source *source = *state;
    compare(source->plan, 4);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(test_all_texts, metal_tear_down),
        cmocka_unit_test_teardown(test_short_texts, metal_tear_down),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
