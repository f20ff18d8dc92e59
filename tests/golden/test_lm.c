/* SPDX-License-Identifier: Apache-2.0 */
/* Masked-language-model heads of every family, pooled to sparse vectors, as transformers' logits
 * give them: SPLADE's usual form, and a sum of values with two logarithms. Each text alone and all
 * at once, on one thread and on three. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/pool.h"
#include "golden/golden_files.h"

#define FOLDER       "tests/golden/lm/"
#define COSINE_LEAST 0.999999
#define WEIGHT_MOST  1e-5

static const char *const families[] = {"bert",       "camembert", "distilbert", "roberta", "mpnet",
                                       "nomic_bert", "gte",       "modernbert", "electra"};

typedef struct subject {
    char folder[256];
    tandem_source *source;
    tandem_plan plan;
    golden_texts texts;
} subject;

static subject open_subject(const char *name) {
    subject s = {.source = NULL};
    tandem_error err = {0};
    (void)snprintf(s.folder, sizeof s.folder, FOLDER "%s", name);
    if (tandem__source_open(s.folder, &s.source, &err) != TANDEM_OK) fail_msg("%s", err.message);
    s.plan = *s.source->plan;
    s.texts = golden_texts_read(s.folder, 100);
    return s;
}

static void close_subject(subject *s) {
    golden_texts_free(&s->texts);
    tandem__source_close(s->source);
}

/* Sparse vectors [count, V]: all texts in one batch, or each in its own. */
static float *run(const subject *s, const char *lane_name, tandem_pool *pool, int is_alone) {
    const tandem_backend *backend = tandem__backend_find(lane_name);
    assert_non_null(backend);
    tandem_lane *lane = golden_lane_open(backend, &s->plan, TANDEM_DTYPE_F32, pool, s->texts.tokens,
                                         s->texts.count);
    const size_t width = (size_t)s->plan.vocab;
    float *out = calloc((size_t)s->texts.count * width, sizeof *out);
    /* What a lane leaves alone must not look like a result. */
    memset(out, 0x7f, (size_t)s->texts.count * width * sizeof *out);
    const int step = is_alone ? 1 : s->texts.count;
    for (int i = 0; i < s->texts.count; i += step) {
        tandem_batch batch = golden_batch(&s->texts, i, i + step);
        golden_submit(backend, lane, &batch, TANDEM_OUTPUT_SPARSE, out + (size_t)i * width);
        golden_batch_free(&batch);
    }
    backend->close(lane);
    return out;
}

static void check(const subject *s, const char *lane, tandem_pool *pool, const char *file) {
    const size_t count = (size_t)s->texts.count * (size_t)s->plan.vocab;
    float *expected = golden_floats_read(s->folder, file, count);
    float *got = run(s, lane, pool, 0);
    float *alone = run(s, lane, pool, 1);
    const golden_difference d = golden_compare(got, expected, s->texts.count, s->plan.vocab, 0);
    size_t zeros = 0;
    for (size_t i = 0; i < count; i++) zeros += got[i] == 0.0f;
    if (d.cosine_min < COSINE_LEAST || d.largest > WEIGHT_MOST || zeros == 0) {
        fail_msg("%s on %s, %s: cosine %.9f, off by %.2e, %zu zeros", s->folder, lane, file,
                 d.cosine_min, d.largest, zeros);
    }
    assert_memory_equal(got, alone, count * sizeof *got);
    free(alone);
    free(got);
    free(expected);
}

static void sparse_vectors_match_transformers(void **state) {
    (void)state;
    tandem_pool *pool = NULL;
    assert_int_equal(tandem__pool_open(3, &pool, NULL), TANDEM_OK);
    for (size_t i = 0; i < sizeof families / sizeof families[0]; i++) {
        subject s = open_subject(families[i]);
        check(&s, "ref", NULL, "max");
        check(&s, "cpu", NULL, "max");
        check(&s, "cpu", pool, "max");
        s.plan.splade = (tandem_splade){.is_sum = true, .is_log_twice = true};
        check(&s, "ref", NULL, "sum");
        check(&s, "cpu", NULL, "sum");
        check(&s, "cpu", pool, "sum");
        close_subject(&s);
    }
    tandem__pool_close(pool);
}

/* A file without a decoder has that of the word embeddings, one with its own keeps it. */
static void decoders_are_tied_where_the_file_has_none(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof families / sizeof families[0]; i++) {
        subject s = open_subject(families[i]);
        const int is_own = strcmp(families[i], "distilbert") == 0;
        assert_int_equal(s.plan.lm_decoder.weight.data != s.plan.word.data, is_own);
        assert_int_equal(s.plan.lm_decoder.bias.cols, s.plan.vocab);
        assert_int_equal(s.plan.pooling, TANDEM_POOLING_MEAN);
        close_subject(&s);
    }
}

/* Each part of a head, taken away or changed, shows. */
static void every_part_shows(void **state) {
    (void)state;
    for (int part = 0; part < 4; part++) {
        subject s = open_subject("mpnet");
        if (part == 0) s.plan.lm_activation = TANDEM_ACTIVATION_RELU;
        if (part == 1) s.plan.lm_norm.gamma.data = NULL;
        if (part == 2) s.plan.lm_decoder.bias.data = NULL;
        if (part == 3) s.plan.lm_dense.bias.data = NULL;
        const size_t count = (size_t)s.texts.count * (size_t)s.plan.vocab;
        float *expected = golden_floats_read(s.folder, "max", count);
        float *got = run(&s, "ref", NULL, 0);
        const golden_difference d = golden_compare(got, expected, s.texts.count, s.plan.vocab, 0);
        if (!(d.largest > 1e-3)) fail_msg("part %d does not show: %.2e", part, d.largest);
        free(got);
        free(expected);
        close_subject(&s);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sparse_vectors_match_transformers),
        cmocka_unit_test(decoders_are_tied_where_the_file_has_none),
        cmocka_unit_test(every_part_shows),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
