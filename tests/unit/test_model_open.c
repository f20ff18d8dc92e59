/* SPDX-License-Identifier: Apache-2.0 */
/* Opening real folders and random shapes: the plan, the views and the settings that come out. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "model/model.h"

#define TINY "tests/golden/models/tiny-bert"

static void check_view(tandem_view view, int64_t rows, int64_t cols) {
    assert_non_null(view.data);
    assert_int_equal(view.rows, rows);
    assert_int_equal(view.cols, cols);
}

static void tiny_bert_becomes_a_plan(void **state) {
    (void)state;
    tandem_source *source = NULL;
    tandem_error err = {0};
    if (tandem__source_open(TINY, &source, &err) != TANDEM_OK) fail_msg("%s", err.message);
    const tandem_plan *plan = source->plan;
    assert_string_equal(plan->family, "bert");
    assert_int_equal(plan->hidden, 32);
    assert_int_equal(plan->heads, 4);
    assert_int_equal(plan->head_dim, 8);
    assert_int_equal(plan->ffn, 64);
    assert_int_equal(plan->vocab, 200);
    assert_int_equal(plan->positions_max, 64);
    assert_int_equal(plan->types, 2);
    assert_int_equal(plan->layer_count, 2);
    assert_int_equal(plan->activation, TANDEM_ACTIVATION_GELU_ERF);
    assert_int_equal(plan->position, TANDEM_POSITION_ABSOLUTE);
    assert_int_equal(plan->pooling, TANDEM_POOLING_MEAN);
    assert_true(plan->is_normalized);
    assert_false(plan->is_norm_first);
    assert_int_equal(plan->dimensions, 32);
    assert_int_equal(plan->labels, 0);
    assert_int_equal(plan->parameters, 25664);
    assert_true(plan->attention_scale > 0.35355f && plan->attention_scale < 0.35356f);
    check_view(plan->word, 200, 32);
    check_view(plan->position_rows, 64, 32);
    check_view(plan->type_rows, 2, 32);
    check_view(plan->embedding_norm.gamma, 1, 32);
    for (int i = 0; i < 2; i++) {
        const tandem_plan_layer *layer = &plan->layers[i];
        check_view(layer->query.weight, 32, 32);
        check_view(layer->output.bias, 1, 32);
        check_view(layer->up.weight, 64, 32);
        check_view(layer->up.bias, 1, 64);
        check_view(layer->down.weight, 32, 64);
        check_view(layer->ffn_norm.beta, 1, 32);
        assert_null(layer->gate.weight.data);
    }
    assert_int_equal(source->max_length, 48);
    assert_string_equal(source->tokenizer_path, TINY "/tokenizer.json");
    assert_string_equal(source->similarity, "cosine");
    assert_int_equal(source->default_prompt, -1);
    assert_int_equal(source->truncate_dim, 0);
    plan->release(plan->release_context, plan->word.data, 200 * 32 * sizeof(float));
    tandem__source_close(source);
}

static void random_weights_repeat_and_differ(void **state) {
    (void)state;
    tandem_source *sources[3] = {NULL};
    const uint64_t seeds[3] = {7, 7, 8};
    tandem_error err = {0};
    for (int i = 0; i < 3; i++) {
        if (tandem__source_random(TINY, seeds[i], &sources[i], &err)) fail_msg("%s", err.message);
        assert_int_equal(sources[i]->plan->word.dtype, TANDEM_DTYPE_BF16);
        assert_int_equal(sources[i]->plan->parameters, 25664);
    }
    const size_t bytes = (size_t)200 * 32 * 2;
    assert_memory_equal(sources[0]->plan->word.data, sources[1]->plan->word.data, bytes);
    assert_memory_not_equal(sources[0]->plan->word.data, sources[2]->plan->word.data, bytes);
    for (int i = 0; i < 3; i++) tandem__source_close(sources[i]);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(tiny_bert_becomes_a_plan),
        cmocka_unit_test(random_weights_repeat_and_differ),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
