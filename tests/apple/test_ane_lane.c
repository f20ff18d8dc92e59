/* SPDX-License-Identifier: Apache-2.0 */
/* The lane `ane` whole, over the stand-in for Core ML: golden models and random ones against `ref`,
 * several predictions at once, the cache, and everything that can go wrong. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "apple/ane_rig.h"
#include "golden/golden_files.h"
#include "support/temp_folder.h"

#define COSINE_LEAST 0.9999

static double cosine(const float *a, const float *b, size_t n) {
    double ab = 0, aa = 0, bb = 0;
    for (size_t i = 0; i < n; i++) {
        ab += (double)a[i] * (double)b[i];
        aa += (double)a[i] * (double)a[i];
        bb += (double)b[i] * (double)b[i];
    }
    return ab / sqrt(aa * bb);
}

/* One output of both lanes, row by row. */
static void compare(const tandem_plan *plan, tandem_lane *lane, const tandem_batch *batch,
                    tandem_output output, const char *name) {
    const int64_t rows = tandem__output_rows(plan, output, batch);
    const int32_t width = tandem__output_width(plan, output);
    const tandem_backend *ref = tandem__backend_find("ref");
    tandem_lane *other =
        golden_lane_open(ref, plan, TANDEM_DTYPE_F32, NULL, batch->tokens, batch->sequences);
    float *got = calloc((size_t)rows * (size_t)width, sizeof *got);
    float *expected = calloc((size_t)rows * (size_t)width, sizeof *expected);
    golden_submit(ref, other, batch, output, expected);
    rig_run(lane, batch, output, got);
    double least = 1.0;
    for (int64_t i = 0; i < rows; i++) {
        const double c = cosine(got + i * width, expected + i * width, (size_t)width);
        if (c < least) least = c;
        if (!(c >= COSINE_LEAST)) fail_msg("%s: row %d: cosine %.6f", name, (int)i, c);
    }
    print_message("%s: cosine at least %.7f\n", name, least);
    free(got);
    free(expected);
    ref->close(other);
}

static void compare_golden(const char *kind, const char *name, tandem_output output) {
    char folder[256];
    tandem_source *source = golden_model_open(kind, name, folder, sizeof folder);
    golden_texts texts = golden_texts_read(folder, 12);
    tandem_batch batch = golden_batch(&texts, 0, texts.count);
    coreml_sim_start(0);
    tandem_lane *lane = rig_open(source->plan, texts.tokens);
    compare(source->plan, lane, &batch, TANDEM_OUTPUT_TOKENS, name);
    compare(source->plan, lane, &batch, output, name);
    tandem__backend_ane.close(lane);
    assert_int_equal(coreml_sim_stop(), 0);
    golden_batch_free(&batch);
    golden_texts_free(&texts);
    tandem__source_close(source);
}

static void golden_models_match_ref(void **state) {
    static const char *const families[] = {"distilbert", "roberta",    "mpnet",  "nomic_bert",
                                           "gte",        "modernbert", "electra"};
    (void)state;
    for (size_t i = 0; i < sizeof families / sizeof families[0]; i++)
        compare_golden("families", families[i], TANDEM_OUTPUT_HEAD);
}

/* Every flag of a plan, with sequences in three buckets and on their edges. */
static void flags_match_ref(void **state) {
    random_shape shapes[7] = {rig_shape, rig_shape, rig_shape, rig_shape,
                              rig_shape, rig_shape, rig_shape};
    (void)state;
    shapes[1].name = "alibi, relu, bf16";
    shapes[1].position = TANDEM_POSITION_ALIBI;
    shapes[1].activation = TANDEM_ACTIVATION_RELU;
    shapes[1].storage = TANDEM_DTYPE_BF16;
    shapes[2].name = "rope, gate, norms first, no biases";
    shapes[2].position = TANDEM_POSITION_ROPE;
    shapes[2].activation = TANDEM_ACTIVATION_SILU;
    shapes[2].has_gate = shapes[2].is_norm_first = shapes[2].lacks_bias = true;
    shapes[3].name = "relative, window, tanh";
    shapes[3].position = TANDEM_POSITION_RELATIVE;
    shapes[3].activation = TANDEM_ACTIVATION_TANH;
    shapes[3].window = 5;
    shapes[4].name = "projected embeddings, modules, gelu by tanh";
    shapes[4].embedding = 48;
    shapes[4].dense = 2;
    shapes[4].activation = TANDEM_ACTIVATION_GELU_TANH;
    shapes[5].name = "window alone, f16, no activation";
    shapes[5].window = 3;
    shapes[5].storage = TANDEM_DTYPE_F16;
    shapes[5].activation = TANDEM_ACTIVATION_NONE;
    shapes[6].name = "one head, many layers";
    shapes[6].heads = 1;
    shapes[6].layers = 4;
    for (size_t i = 0; i < sizeof shapes / sizeof shapes[0]; i++) {
        random_plan *made = random_plan_make(&shapes[i], 7 + i);
        random_batch batch = random_batch_make(&made->plan, 6, 97, true, 3 + i);
        coreml_sim_start(0);
        tandem_lane *lane = rig_open(&made->plan, batch.batch.tokens);
        compare(&made->plan, lane, &batch.batch, TANDEM_OUTPUT_TOKENS, shapes[i].name);
        compare(&made->plan, lane, &batch.batch, TANDEM_OUTPUT_POOLED, shapes[i].name);
        tandem__backend_ane.close(lane);
        assert_int_equal(coreml_sim_stop(), 0);
        random_batch_free(&batch);
        random_plan_free(made);
    }
}

/* Weights over the limit of one operand: q, k, v and output cut by outputs, the feed-forward by F.
 */
static void cut_operands_match_ref(void **state) {
    random_shape shape = rig_shape;
    (void)state;
    shape.name = "cut";
    shape.head_dim = 8224;
    shape.ffn = 16440;
    shape.layers = 1;
    shape.positions = 32;
    shape.storage = TANDEM_DTYPE_F16;
    shape.activation = TANDEM_ACTIVATION_SILU;
    shape.has_gate = true;
    random_plan *made = random_plan_make(&shape, 11);
    random_batch batch = random_batch_make(&made->plan, 1, 9, false, 12);
    coreml_sim_start(0);
    tandem_lane *lane = rig_open(&made->plan, 32);
    compare(&made->plan, lane, &batch.batch, TANDEM_OUTPUT_TOKENS, shape.name);
    tandem__backend_ane.close(lane);
    assert_int_equal(coreml_sim_stop(), 0);
    random_batch_free(&batch);
    random_plan_free(made);
}

/* all-MiniLM-L6-v2 whole, at its smallest bucket, against ref's vectors. */
static void minilm_matches_ref(void **state) {
    tandem_error err = {.status = TANDEM_OK};
    tandem_source *source = NULL;
    int32_t offsets[] = {0, 5, 14, 46};
    int32_t ids[46];
    (void)state;
    if (tandem__source_open("sentence-transformers/all-MiniLM-L6-v2", &source, &err) != TANDEM_OK)
        fail_msg("%s (tools/fetch_model.sh gets it)", err.message);
    assert_int_equal(rig_cache_make(NULL), 0); /* now: the model lies in a cache too */
    for (int i = 0; i < 46; i++) ids[i] = 1996 + 37 * i;
    for (int i = 0; i < 3; i++) {
        ids[offsets[i]] = 101;
        ids[offsets[i + 1] - 1] = 102;
    }
    const tandem_batch batch = {.ids = ids, .offsets = offsets, .tokens = 46, .sequences = 3};
    coreml_sim_start(0);
    tandem_lane *lane = NULL;
    const tandem_backend_options options = {
        .dtype = TANDEM_DTYPE_F16, .tokens_max = 46, .sequences_max = 3, .in_flight_max = 1};
    if (tandem__backend_ane.open(source->plan, &options, &lane, &err) != TANDEM_OK)
        fail_msg("%s", err.message);
    compare(source->plan, lane, &batch, TANDEM_OUTPUT_POOLED, "MiniLM");
    tandem__backend_ane.close(lane);
    assert_int_equal(coreml_sim_stop(), 0);
    tandem__source_close(source);
    assert_int_equal(rig_cache_remove(NULL), 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(golden_models_match_ref, rig_cache_make, rig_cache_remove),
        cmocka_unit_test_setup_teardown(flags_match_ref, rig_cache_make, rig_cache_remove),
        cmocka_unit_test_setup_teardown(cut_operands_match_ref, rig_cache_make, rig_cache_remove),
        cmocka_unit_test(minilm_matches_ref),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
