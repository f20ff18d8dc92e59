/* SPDX-License-Identifier: Apache-2.0 */
/* Whole models by the metal lane: its own host code over the stand-in for Metal, the shipped
 * kernels on the processor. Random models of every form a plan can take with the kernels under the
 * checker, the golden models of every family without. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "golden/golden_files.h"
#include "metal_models.h"

static void compare_outputs(const random_shape *shape, const tandem_plan *plan, tandem_lane *lane,
                            const tandem_batch *batch) {
    const tandem_output outputs[] = {TANDEM_OUTPUT_POOLED, TANDEM_OUTPUT_TOKENS, TANDEM_OUTPUT_HEAD,
                                     TANDEM_OUTPUT_SPARSE};
    for (size_t i = 0; i < sizeof outputs / sizeof outputs[0]; i++) {
        if (outputs[i] == TANDEM_OUTPUT_HEAD && !shape->has_head) continue;
        if (outputs[i] == TANDEM_OUTPUT_SPARSE && !shape->has_lm) continue;
        float *got = metal_run(lane, plan, batch, outputs[i]);
        metal_compare(shape->name, plan, batch, outputs[i], got);
        free(got);
    }
}

/* Batches of one token, of one text longer than a block of queries, of several. */
static void compare_shape(const random_shape *shape) {
    static const struct {
        int sequences;
        int length_max;
    } sizes[] = {{1, 1}, {1, 43}, {4, 19}};
    random_plan *made = random_plan_make(shape, 42);
    tandem_lane *lane = metal_open(&made->plan, 120, 8, 1);
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        random_batch batch =
            random_batch_make(&made->plan, sizes[i].sequences, sizes[i].length_max, i % 2 == 0, i);
        compare_outputs(shape, &made->plan, lane, &batch.batch);
        random_batch_free(&batch);
    }
    tandem__backend_metal.close(lane);
    random_plan_free(made);
}

static void test_random_models(void **state) {
    (void)state;
    metal_sim_start(&(metal_sim_options){.build = MSL_CHECKED, .seed = 3});
    for (int i = 0; i < METAL_SHAPES; i++) compare_shape(&metal_shapes[i]);
    assert_int_equal(metal_sim_compiles(), 1);
    metal_stop();
}

/* A batch of 520 tokens takes the large tiles of the products, and windows that cut. */
static void test_large_batch(void **state) {
    (void)state;
    random_shape shape = metal_shapes[6];
    shape.hidden = 320;
    shape.heads = 5;
    shape.head_dim = 64;
    shape.ffn = 1280;
    shape.layers = 2;
    random_plan *made = random_plan_make(&shape, 1);
    metal_sim_start(&(metal_sim_options){.build = MSL_FAST});
    tandem_lane *lane = metal_open(&made->plan, 600, 8, 1);
    random_batch batch = random_batch_make(&made->plan, 8, 100, true, 5);
    compare_outputs(&shape, &made->plan, lane, &batch.batch);
    random_batch_free(&batch);
    tandem__backend_metal.close(lane);
    metal_stop();
    random_plan_free(made);
}

static void test_families(void **state) {
    static const char *const families[] = {"distilbert", "roberta",    "mpnet",  "nomic_bert",
                                           "gte",        "modernbert", "electra"};
    (void)state;
    metal_sim_start(&(metal_sim_options){.build = MSL_FAST});
    for (size_t i = 0; i < sizeof families / sizeof families[0]; i++) {
        char folder[256];
        tandem_source *source = golden_model_open("families", families[i], folder, sizeof folder);
        golden_texts texts = golden_texts_read(folder, 100);
        tandem_batch batch = golden_batch(&texts, 0, texts.count);
        tandem_lane *lane = metal_open(source->plan, texts.tokens, texts.count, 1);
        const tandem_output outputs[] = {TANDEM_OUTPUT_TOKENS, TANDEM_OUTPUT_HEAD};
        for (int j = 0; j < 2; j++) {
            float *got = metal_run(lane, source->plan, &batch, outputs[j]);
            metal_compare(families[i], source->plan, &batch, outputs[j], got);
            free(got);
        }
        tandem__backend_metal.close(lane);
        golden_batch_free(&batch);
        golden_texts_free(&texts);
        tandem__source_close(source);
    }
    metal_stop();
}

typedef struct cost_sum {
    int steps;
    double products; /* FLOPs of what multiplies weights */
    double bytes_read;
    double bytes_written;
} cost_sum;

static void add_cost(void *context, const tandem_metal_cost *cost) {
    cost_sum *sum = context;
    sum->steps++;
    if (strncmp(cost->kernel, "gemm", 4) == 0) sum->products += cost->flops;
    assert_true(cost->groups > 0 && cost->flops > 0);
    sum->bytes_read += cost->bytes_read;
    sum->bytes_written += cost->bytes_written;
}

/* BERT's figures by hand: per layer 4 H H + 2 H F multiplications a token, 7 dispatches. */
static void test_cost(void **state) {
    (void)state;
    random_plan *made = random_plan_make(&metal_shapes[1], 42);
    const tandem_plan *plan = &made->plan;
    const int32_t lengths[] = {20, 30};
    cost_sum sum = {0};
    assert_int_equal(tandem__metal_cost(plan, lengths, 2, add_cost, &sum, NULL), TANDEM_OK);
    assert_int_equal(sum.steps, 1 + 7 * plan->layer_count + 1);
    const double h = plan->hidden;
    const double weights = 4 * h * h + 2 * h * plan->ffn;
    assert_true(sum.products == 2 * 50 * weights * plan->layer_count);
    assert_true(sum.bytes_read > 2 * weights * plan->layer_count);
    assert_true(sum.bytes_written > 2 * 50 * 4 * h * plan->layer_count);
    random_plan_free(made);
    random_shape odd = metal_shapes[1];
    odd.head_dim = 12;
    made = random_plan_make(&odd, 42);
    tandem_error err = {0};
    assert_int_equal(tandem__metal_cost(&made->plan, lengths, 2, add_cost, &sum, &err),
                     TANDEM_UNSUPPORTED);
    assert_non_null(strstr(err.message, "a multiple of 8 as head_dim, not 12"));
    random_plan_free(made);
}

static void count_step(void *context, const char *op, const char *where, const char *how) {
    int *steps = context;
    ++*steps;
    assert_true(op[0] != '\0' && where[0] != '\0' && how[0] != '\0');
    if (*steps == 1) assert_string_equal(op, "embeddings");
    if (*steps != 2) return;
    assert_string_equal(op, "query, key, value 48 x 16");
    assert_string_equal(where, "GPU");
    assert_string_equal(how, "gemm_32x32, 8 threadgroups of 128 for 100 tokens");
}

static void test_explain(void **state) {
    (void)state;
    random_plan *made = random_plan_make(&metal_shapes[0], 42);
    int steps = 0;
    metal_sim_start(&(metal_sim_options){.build = MSL_FAST});
    tandem_lane *lane = metal_open(&made->plan, 120, 8, 1);
    tandem__backend_metal.explain(lane, count_step, &steps);
    assert_true(steps >= 1 + 7); /* and what follows the pooling */
    tandem__backend_metal.close(lane);
    metal_stop();
    random_plan_free(made);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(test_random_models, metal_tear_down),
        cmocka_unit_test_teardown(test_large_batch, metal_tear_down),
        cmocka_unit_test_teardown(test_families, metal_tear_down),
        cmocka_unit_test_teardown(test_cost, metal_tear_down),
        cmocka_unit_test_teardown(test_explain, metal_tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
