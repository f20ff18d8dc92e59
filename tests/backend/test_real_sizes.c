/* SPDX-License-Identifier: Apache-2.0 */
/* The cpu lane against the reference at the hyperparameters of published models, with few layers
 * and a small vocabulary: what depends on a size (a tile, a tail, a block of the attention, the
 * angles of far positions) depends on these. tools/compare_models.py does the same with all layers
 * and transformers on the other side. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "backend/random_plan.h"
#include "golden/golden_files.h"

#define BASE .hidden = 768, .heads = 12, .head_dim = 64, .storage = TANDEM_DTYPE_F32
#define ERF  .activation = TANDEM_ACTIVATION_GELU_ERF

/* clang-format off */
static const random_shape shapes[] = {
    {.name = "bge-small-en-v1.5", ERF, .hidden = 384, .heads = 12, .head_dim = 32, .ffn = 1536,
     .layers = 3, .positions = 512, .types = 2, .storage = TANDEM_DTYPE_F32,
     .position = TANDEM_POSITION_ABSOLUTE, .pooling = TANDEM_POOLING_CLS},
    {.name = "bge-reranker-base", BASE, ERF, .ffn = 3072, .layers = 2, .positions = 512,
     .types = 1, .position = TANDEM_POSITION_ABSOLUTE, .pooling = TANDEM_POOLING_MEAN,
     .has_head = true},
    {.name = "all-mpnet-base-v2", BASE, ERF, .ffn = 3072, .layers = 2, .positions = 512,
     .position = TANDEM_POSITION_RELATIVE, .pooling = TANDEM_POOLING_MEAN},
    {.name = "nomic-embed-text-v1.5", BASE, .activation = TANDEM_ACTIVATION_SILU, .ffn = 3072,
     .layers = 1, .positions = 2048, .types = 2, .position = TANDEM_POSITION_ROPE,
     .pooling = TANDEM_POOLING_MEAN, .has_gate = true, .lacks_bias = true},
    {.name = "gte-base-en-v1.5", BASE, ERF, .ffn = 3072, .layers = 3, .positions = 700,
     .position = TANDEM_POSITION_ROPE, .pooling = TANDEM_POOLING_CLS, .has_gate = true},
    {.name = "ModernBERT-base", BASE, ERF, .ffn = 1152, .layers = 3, .positions = 1024,
     .position = TANDEM_POSITION_ROPE, .window = 64, .pooling = TANDEM_POOLING_MEAN,
     .is_norm_first = true, .has_gate = true, .lacks_bias = true, .has_head = true},
    {.name = "electra-small", ERF, .hidden = 256, .heads = 4, .head_dim = 64, .ffn = 1024,
     .layers = 3, .positions = 512, .types = 2, .embedding = 128, .storage = TANDEM_DTYPE_F32,
     .position = TANDEM_POSITION_ABSOLUTE, .pooling = TANDEM_POOLING_MEAN, .has_head = true},
    {.name = "bert-large", ERF, .hidden = 1024, .heads = 16, .head_dim = 64, .ffn = 4096,
     .layers = 1, .positions = 512, .types = 2, .storage = TANDEM_DTYPE_F32,
     .position = TANDEM_POSITION_ABSOLUTE, .pooling = TANDEM_POOLING_MEAN},
};
/* clang-format on */

typedef struct subject {
    const random_shape *shape;
    random_plan *made;
    random_batch batch;
    tandem_pool *pool;
} subject;

static float *run(const subject *s, const char *name, tandem_dtype dtype, tandem_output output) {
    const tandem_backend *backend = tandem__backend_find(name);
    const tandem_plan *plan = &s->made->plan;
    const tandem_batch *batch = &s->batch.batch;
    const size_t count = (size_t)tandem__output_rows(plan, output, batch) *
                         (size_t)tandem__output_width(plan, output);
    tandem_lane *lane =
        golden_lane_open(backend, plan, dtype, s->pool, batch->tokens, batch->sequences);
    float *out = calloc(count, sizeof *out);
    golden_submit(backend, lane, batch, output, out);
    backend->close(lane);
    return out;
}

static void compare(const subject *s, tandem_output output) {
    const int rows = (int)tandem__output_rows(&s->made->plan, output, &s->batch.batch);
    const int width = tandem__output_width(&s->made->plan, output);
    float *expected = run(s, "ref", TANDEM_DTYPE_F32, output);
    float *exact = run(s, "cpu", TANDEM_DTYPE_F32, output);
    float *half = run(s, "cpu", TANDEM_DTYPE_F16, output);
    const golden_difference f32 = golden_compare(exact, expected, rows, width, 0);
    const golden_difference f16 = golden_compare(half, expected, rows, width, 0);
    const bool is_score = output == TANDEM_OUTPUT_HEAD;
    if (f32.cosine_min < 0.999999 || f16.cosine_mean < 0.99999 ||
        (is_score && f32.largest > 1e-5)) {
        fail_msg("%s, output %d: f32: cosine %.9f, off by %.1e; f16: cosine %.9f on the mean",
                 s->shape->name, (int)output, f32.cosine_min, f32.largest, f16.cosine_mean);
    }
    free(half);
    free(exact);
    free(expected);
}

static void lanes_agree_at_real_sizes(void **state) {
    (void)state;
    tandem_pool *pool = NULL;
    assert_int_equal(tandem__pool_open(2, &pool, NULL), TANDEM_OK);
    for (size_t i = 0; i < sizeof shapes / sizeof shapes[0]; i++) {
        subject s = {.shape = &shapes[i], .pool = pool, .made = random_plan_make(&shapes[i], i)};
        /* The longest sequence, then short ones. */
        s.batch = random_batch_make(&s.made->plan, 1, shapes[i].positions, false, i);
        compare(&s, TANDEM_OUTPUT_TOKENS);
        random_batch_free(&s.batch);
        s.batch = random_batch_make(&s.made->plan, 9, 33, false, i);
        compare(&s, TANDEM_OUTPUT_TOKENS);
        if (shapes[i].has_head) compare(&s, TANDEM_OUTPUT_HEAD);
        random_batch_free(&s.batch);
        random_plan_free(s.made);
    }
    tandem__pool_close(pool);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(lanes_agree_at_real_sizes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
