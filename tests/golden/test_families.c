/* SPDX-License-Identifier: Apache-2.0 */
/* Every family of models: token states and a classifier's logits, by the lanes that can run it, as
 * transformers computed them. test_flags.c shows that no flag of their plans could be wrong. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "golden/golden_files.h"

#define LABELS       3
#define COSINE_LEAST 0.999999
#define LOGIT_MOST   1e-5

static const char *const families[] = {"distilbert", "roberta",    "mpnet",  "nomic_bert",
                                       "gte",        "modernbert", "electra"};

static golden_difference compare_states(const tandem_plan *plan, const char *lane,
                                        const golden_texts *texts, const char *folder) {
    const size_t count = (size_t)texts->tokens * (size_t)plan->hidden;
    float *expected = golden_floats_read(folder, "last", count);
    float *got = golden_run(plan, lane, texts, TANDEM_OUTPUT_TOKENS, count);
    const golden_difference d = golden_compare(got, expected, texts->tokens, plan->hidden, 0);
    free(got);
    free(expected);
    return d;
}

static double compare_logits(const tandem_plan *plan, const char *lane, const golden_texts *texts,
                             const char *folder) {
    const size_t count = (size_t)texts->count * LABELS;
    float *expected = golden_floats_read(folder, "logits", count);
    float *got = golden_run(plan, lane, texts, TANDEM_OUTPUT_HEAD, count);
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
        tandem_source *source = golden_model_open("families", families[i], folder, sizeof folder);
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

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(families_match_transformers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
