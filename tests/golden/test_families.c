/* SPDX-License-Identifier: Apache-2.0 */
/* Every family of models: token states and a classifier's logits, by the lanes that can run it, as
 * transformers computed them. Then each flag of the plan is turned in turn, and has to show. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "golden/golden_files.h"

#define FOLDER       "tests/golden/families/"
#define LABELS       3
#define COSINE_LEAST 0.999999
#define LOGIT_MOST   1e-5

static const char *const families[] = {"distilbert", "roberta",    "mpnet",  "nomic_bert",
                                       "gte",        "modernbert", "electra"};

static tandem_source *open_family(const char *name, char *folder, size_t size) {
    tandem_source *source = NULL;
    tandem_error err = {0};
    (void)snprintf(folder, size, FOLDER "%s", name);
    if (tandem__source_open(folder, &source, &err) != TANDEM_OK) fail_msg("%s", err.message);
    return source;
}

/* The lane's answer for all texts at once. */
static float *run(const tandem_plan *plan, const char *lane_name, const golden_texts *texts,
                  tandem_output output, size_t count) {
    const tandem_backend *backend = tandem__backend_find(lane_name);
    assert_non_null(backend);
    tandem_lane *lane =
        golden_lane_open(backend, plan, TANDEM_DTYPE_F32, NULL, texts->tokens, texts->count);
    tandem_batch batch = golden_batch(texts, 0, texts->count);
    float *out = calloc(count, sizeof *out);
    golden_submit(backend, lane, &batch, output, out);
    golden_batch_free(&batch);
    backend->close(lane);
    return out;
}

static golden_difference compare_states(const tandem_plan *plan, const char *lane,
                                        const golden_texts *texts, const char *folder) {
    const size_t count = (size_t)texts->tokens * (size_t)plan->hidden;
    float *expected = golden_floats_read(folder, "last", count);
    float *got = run(plan, lane, texts, TANDEM_OUTPUT_TOKENS, count);
    const golden_difference d = golden_compare(got, expected, texts->tokens, plan->hidden, 0);
    free(got);
    free(expected);
    return d;
}

static double compare_logits(const tandem_plan *plan, const char *lane, const golden_texts *texts,
                             const char *folder) {
    const size_t count = (size_t)texts->count * LABELS;
    float *expected = golden_floats_read(folder, "logits", count);
    float *got = run(plan, lane, texts, TANDEM_OUTPUT_HEAD, count);
    const golden_difference d = golden_compare(got, expected, texts->count, LABELS, 0);
    free(got);
    free(expected);
    return d.largest;
}

static void check_lane(const tandem_source *source, const char *name, const char *lane,
                       const golden_texts *texts, const char *folder) {
    const golden_difference d = compare_states(source->plan, lane, texts, folder);
    const double logit = compare_logits(source->plan, lane, texts, folder);
    if (d.cosine_min < COSINE_LEAST || logit > LOGIT_MOST) {
        fail_msg("%s on %s: cosine %.9f, logits off by %.2e", name, lane, d.cosine_min, logit);
    }
}

static void families_match_transformers(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof families / sizeof families[0]; i++) {
        char folder[256];
        tandem_source *source = open_family(families[i], folder, sizeof folder);
        golden_texts texts = golden_texts_read(folder, 100);
        assert_string_equal(source->plan->family, families[i]);
        assert_int_equal(source->plan->labels, LABELS);
        assert_string_equal(source->labels[1], "perhaps");
        assert_int_equal(source->score, TANDEM_SCORE_SOFTMAX);
        assert_int_equal(source->plan->positions_max, 40);
        check_lane(source, families[i], "ref", &texts, folder);
        check_lane(source, families[i], "cpu", &texts, folder);
        golden_texts_free(&texts);
        tandem__source_close(source);
    }
}

/* A change of one thing in a plan; the copy's layers are the caller's to free. */
typedef void (*change)(tandem_plan *plan, tandem_plan_layer *layers);

static void change_activation(tandem_plan *plan, tandem_plan_layer *layers) {
    (void)layers;
    plan->activation = TANDEM_ACTIVATION_RELU;
}
static void change_scale(tandem_plan *plan, tandem_plan_layer *layers) {
    (void)layers;
    plan->attention_scale *= 2.0f;
}
static void change_norm_place(tandem_plan *plan, tandem_plan_layer *layers) {
    (void)layers;
    plan->is_norm_first = !plan->is_norm_first;
}
static void change_offset(tandem_plan *plan, tandem_plan_layer *layers) {
    (void)layers;
    plan->position_offset--;
}
static void change_table(tandem_plan *plan, tandem_plan_layer *layers) {
    (void)layers;
    plan->position_rows.data = NULL;
    if (plan->position == TANDEM_POSITION_ABSOLUTE) plan->position = TANDEM_POSITION_NONE;
}
static void change_relative(tandem_plan *plan, tandem_plan_layer *layers) {
    (void)layers;
    plan->position = TANDEM_POSITION_ABSOLUTE;
}
static void change_types(tandem_plan *plan, tandem_plan_layer *layers) {
    (void)layers;
    plan->types = 0;
}
static void change_theta(tandem_plan *plan, tandem_plan_layer *layers) {
    for (int i = 0; i < plan->layer_count; i++) layers[i].rope_theta = 10.0f;
}
static void change_rotation(tandem_plan *plan, tandem_plan_layer *layers) {
    for (int i = 0; i < plan->layer_count; i++) layers[i].rope_theta = 0.0f;
}
static void change_stretch(tandem_plan *plan, tandem_plan_layer *layers) {
    for (int i = 0; i < plan->layer_count; i++) layers[i].rope_scale = 0.7f;
}
static void change_gate(tandem_plan *plan, tandem_plan_layer *layers) {
    for (int i = 0; i < plan->layer_count; i++) {
        const tandem_linear up = layers[i].up;
        layers[i].up = layers[i].gate;
        layers[i].gate = up;
    }
}
static void change_window(tandem_plan *plan, tandem_plan_layer *layers) {
    for (int i = 0; i < plan->layer_count; i++) layers[i].window = 0;
}
static void change_window_by_one(tandem_plan *plan, tandem_plan_layer *layers) {
    for (int i = 0; i < plan->layer_count; i++) {
        if (layers[i].window > 0) layers[i].window--;
    }
}
static void change_final_norm(tandem_plan *plan, tandem_plan_layer *layers) {
    (void)layers;
    plan->final_norm.gamma.data = NULL;
}
static void change_query_key(tandem_plan *plan, tandem_plan_layer *layers) {
    for (int i = 0; i < plan->layer_count; i++) layers[i].query = layers[i].value;
}

static const struct {
    const char *family;
    change change;
    const char *what;
} changes[] = {
    {"distilbert", change_activation, "activation"},
    {"distilbert", change_scale, "attention scale"},
    {"distilbert", change_norm_place, "norm first"},
    {"distilbert", change_table, "positions"},
    {"roberta", change_offset, "position offset"},
    {"roberta", change_query_key, "query"},
    {"mpnet", change_offset, "position offset"},
    {"mpnet", change_table, "positions"},
    {"mpnet", change_relative, "relative bias"},
    {"nomic_bert", change_theta, "rope base"},
    {"nomic_bert", change_rotation, "rope"},
    {"nomic_bert", change_gate, "gate and up"},
    {"nomic_bert", change_types, "types"},
    {"gte", change_theta, "rope base"},
    {"gte", change_stretch, "rope scale"},
    {"gte", change_gate, "gate and up"},
    {"gte", change_types, "types"},
    {"electra", change_types, "types"},
    {"electra", change_scale, "attention scale"},
    {"modernbert", change_window, "window"},
    {"modernbert", change_window_by_one, "window less one"},
    {"modernbert", change_theta, "rope base"},
    {"modernbert", change_gate, "gate and up"},
    {"modernbert", change_norm_place, "norm first"},
    {"modernbert", change_final_norm, "final norm"},
};

static void every_flag_shows(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof changes / sizeof changes[0]; i++) {
        char folder[256];
        tandem_source *source = open_family(changes[i].family, folder, sizeof folder);
        golden_texts texts = golden_texts_read(folder, 100);
        tandem_plan plan = *source->plan;
        tandem_plan_layer *layers = calloc((size_t)plan.layer_count, sizeof *layers);
        for (int k = 0; k < plan.layer_count; k++) layers[k] = plan.layers[k];
        plan.layers = layers;
        changes[i].change(&plan, layers);
        const golden_difference d = compare_states(&plan, "ref", &texts, folder);
        if (!(d.cosine_min < 0.999)) {
            fail_msg("%s: %s does not show: cosine %.6f", changes[i].family, changes[i].what,
                     d.cosine_min);
        }
        free(layers);
        golden_texts_free(&texts);
        tandem__source_close(source);
    }
}

/* The mean of ModernBERT's head, its norm, and what follows the dense layer. */
static void every_flag_of_a_head_shows(void **state) {
    (void)state;
    char folder[256];
    tandem_source *source = open_family("modernbert", folder, sizeof folder);
    golden_texts texts = golden_texts_read(folder, 100);
    tandem_plan plan = *source->plan;
    plan.head_pooling = TANDEM_POOLING_CLS;
    assert_true(compare_logits(&plan, "ref", &texts, folder) > 1e-3);
    plan = *source->plan;
    plan.head_norm.gamma.data = NULL;
    assert_true(compare_logits(&plan, "ref", &texts, folder) > 1e-3);
    plan = *source->plan;
    plan.head_activation = TANDEM_ACTIVATION_TANH;
    assert_true(compare_logits(&plan, "ref", &texts, folder) > 1e-3);
    golden_texts_free(&texts);
    tandem__source_close(source);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(families_match_transformers),
        cmocka_unit_test(every_flag_shows),
        cmocka_unit_test(every_flag_of_a_head_shows),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
