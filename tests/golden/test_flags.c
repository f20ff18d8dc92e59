/* SPDX-License-Identifier: Apache-2.0 */
/* No flag of a plan could be wrong unnoticed: each field of each structure of src/model/plan.h is
 * turned in a model of a family that uses it, and the answer has to move away from transformers'
 * (cosine below 0.999), or the lane has to refuse the plan.
 *
 * The header itself is read, so that a field added to it fails this test until it has a flip here
 * or, where no lane computes with it, a reason. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "golden/golden_files.h"

enum { HEADER_BYTES_MAX = 1 << 16, NAME_BYTES = 96, LABELS = 3, DENSE_WIDTH = 32 };

#define COSINE_MOST 0.999

/* A plan that may be changed, and what `ref` makes of it unchanged. */
typedef struct subject {
    tandem_plan plan;
    tandem_plan_layer *layers; /* the plan's own, to be changed as well */
    tandem_plan_dense dense[1];
    const char *folder;
    golden_texts texts;
} subject;

typedef void (*change)(subject *s);

#define CHANGE_PLAN(name, statement)                                                               \
    static void name(subject *s) {                                                                 \
        tandem_plan *plan = &s->plan;                                                              \
        statement;                                                                                 \
    }
#define CHANGE_LAYERS(name, statement)                                                             \
    static void name(subject *s) {                                                                 \
        for (int i = 0; i < s->plan.layer_count; i++) {                                            \
            tandem_plan_layer *layer = &s->layers[i];                                              \
            statement;                                                                             \
        }                                                                                          \
    }

CHANGE_PLAN(widen, plan->hidden *= 2)
CHANGE_PLAN(more_heads, (plan->heads *= 2, plan->head_dim /= 2))
CHANGE_PLAN(halve_heads, plan->head_dim /= 2)
CHANGE_PLAN(less_ffn, plan->ffn--)
CHANGE_PLAN(more_words, plan->vocab++)
CHANGE_PLAN(more_positions, plan->positions_max++)
CHANGE_PLAN(no_types, plan->types = 0)
CHANGE_PLAN(fewer_layers, plan->layer_count--)
CHANGE_PLAN(large_eps, plan->norm_eps = 1.0f)
CHANGE_PLAN(twice_the_scale, plan->attention_scale *= 2.0f)
CHANGE_PLAN(other_norm_place, plan->is_norm_first = !plan->is_norm_first)
CHANGE_PLAN(relu, plan->activation = TANDEM_ACTIVATION_RELU)
CHANGE_PLAN(only_absolute, plan->position = TANDEM_POSITION_ABSOLUTE)
CHANGE_PLAN(alibi, plan->position = TANDEM_POSITION_ALIBI)
CHANGE_PLAN(offset_less_one, plan->position_offset--)
CHANGE_PLAN(near_distance, plan->relative_distance_max = 12)
CHANGE_PLAN(no_relative, plan->relative_bias.data = NULL)
CHANGE_PLAN(no_word, plan->word.data = NULL)
CHANGE_PLAN(no_table,
            (plan->position_rows.data = NULL,
             plan->position = plan->position == TANDEM_POSITION_ABSOLUTE ? TANDEM_POSITION_NONE
                                                                         : plan->position))
CHANGE_PLAN(no_type_rows, plan->type_rows.data = NULL)
CHANGE_PLAN(no_embedding_norm, plan->embedding_norm.gamma.data = NULL)
CHANGE_PLAN(no_projection, plan->embedding_projection.weight.data = NULL)
CHANGE_PLAN(no_final_norm, plan->final_norm.gamma.data = NULL)
CHANGE_PLAN(pool_first, plan->pooling = TANDEM_POOLING_CLS)
CHANGE_PLAN(another_pooling, plan->joined_count = 1)
CHANGE_PLAN(no_dense, plan->dense_count = 0)
CHANGE_PLAN(more_dimensions, plan->dimensions++)
CHANGE_PLAN(head_of_first, plan->head_pooling = TANDEM_POOLING_CLS)
CHANGE_PLAN(no_head_dense, plan->head_dense.weight.data = NULL)
CHANGE_PLAN(head_tanh, plan->head_activation = TANDEM_ACTIVATION_TANH)
CHANGE_PLAN(no_head_norm, plan->head_norm.gamma.data = NULL)
CHANGE_PLAN(no_classifier, plan->classifier.weight.data = NULL)
CHANGE_PLAN(more_labels, plan->labels++)
CHANGE_PLAN(other_lm_dense, plan->lm_dense = plan->layers[0].output)
CHANGE_PLAN(lm_relu, plan->lm_activation = TANDEM_ACTIVATION_RELU)
CHANGE_PLAN(no_lm_norm, plan->lm_norm.gamma.data = NULL)
CHANGE_PLAN(tied_decoder, plan->lm_decoder.weight = plan->word)
CHANGE_PLAN(sum, plan->splade.is_sum = true)
CHANGE_PLAN(log_twice, plan->splade.is_log_twice = true)

static void dense_without_activation(subject *s) {
    s->dense[0].activation = TANDEM_ACTIVATION_NONE;
}
static void unit_for_dense(subject *s) {
    s->dense[0].kind = TANDEM_DENSE_UNIT;
}
static void norm_for_dense(subject *s) {
    s->dense[0].kind = TANDEM_DENSE_NORM;
    s->dense[0].norm = s->plan.layers[0].ffn_norm;
}
static void dense_and_input(subject *s) {
    s->dense[0].has_residual = true;
}
static void dense_and_residual(subject *s) {
    s->dense[0].has_residual = true;
    s->dense[0].residual.weight = s->plan.layers[0].output.weight;
}
static void other_dense(subject *s) {
    s->dense[0].linear = s->plan.layers[0].output;
}

CHANGE_LAYERS(query_is_key, layer->query = layer->key)
CHANGE_LAYERS(key_is_value, layer->key = layer->value)
CHANGE_LAYERS(value_is_query, layer->value = layer->query)
CHANGE_LAYERS(output_is_query, layer->output = layer->query)
CHANGE_LAYERS(no_attention_norm, layer->attention_norm.gamma.data = NULL)
CHANGE_LAYERS(up_is_gate, layer->up = layer->gate)
CHANGE_LAYERS(gate_is_up, layer->gate = layer->up)
CHANGE_LAYERS(no_down, layer->down.weight.data = NULL)
CHANGE_LAYERS(no_ffn_norm, layer->ffn_norm.gamma.data = NULL)
CHANGE_LAYERS(small_base, layer->rope_theta = 10.0f)
CHANGE_LAYERS(no_rotation, layer->rope_theta = 0.0f)
CHANGE_LAYERS(stretch, layer->rope_scale = 0.7f)
CHANGE_LAYERS(no_window, layer->window = 0)
CHANGE_LAYERS(window_less_one, layer->window -= layer->window > 0)
CHANGE_LAYERS(no_weight, layer->output.weight.data = NULL)
CHANGE_LAYERS(no_bias, layer->value.bias.data = NULL)
CHANGE_LAYERS(no_gamma, layer->ffn_norm.gamma.data = NULL)
CHANGE_LAYERS(no_beta, layer->ffn_norm.beta.data = NULL)

/* Where a flip has to show. */
typedef enum shows {
    IN_STATES = 0, /* [T, H], beside transformers' */
    IN_LOGITS,     /* [B, LABELS], beside transformers' */
    IN_WEIGHTS,    /* [B, V] of a masked language model, beside transformers' */
    IN_VECTORS,    /* pooled, beside those of the plan as it was */
    IN_REFUSAL,    /* the lane does not open, or does not run the batch */
} shows;

static const struct {
    const char *field;
    const char *family;
    change change;
    shows shows;
} flips[] = {
    {"plan.hidden", "distilbert", widen, IN_REFUSAL},
    {"plan.heads", "gte", more_heads, IN_STATES},
    {"plan.head_dim", "distilbert", halve_heads, IN_REFUSAL},
    {"plan.ffn", "distilbert", less_ffn, IN_REFUSAL},
    {"plan.vocab", "distilbert", more_words, IN_REFUSAL},
    {"plan.positions_max", "roberta", more_positions, IN_REFUSAL},
    {"plan.types", "nomic_bert", no_types, IN_STATES},
    {"plan.types", "gte", no_types, IN_STATES},
    {"plan.types", "electra", no_types, IN_STATES},
    {"plan.layer_count", "roberta", fewer_layers, IN_STATES},
    {"plan.norm_eps", "mpnet", large_eps, IN_STATES},
    {"plan.attention_scale", "distilbert", twice_the_scale, IN_STATES},
    {"plan.attention_scale", "electra", twice_the_scale, IN_STATES},
    {"plan.is_norm_first", "distilbert", other_norm_place, IN_STATES},
    {"plan.is_norm_first", "modernbert", other_norm_place, IN_STATES},
    {"plan.activation", "distilbert", relu, IN_STATES},
    {"plan.activation", "nomic_bert", relu, IN_STATES},
    {"plan.position", "mpnet", only_absolute, IN_STATES},
    {"plan.position", "distilbert", alibi, IN_STATES},
    {"plan.position_offset", "roberta", offset_less_one, IN_STATES},
    {"plan.position_offset", "mpnet", offset_less_one, IN_STATES},
    {"plan.relative_distance_max", "mpnet", near_distance, IN_STATES},
    {"plan.relative_bias", "mpnet", no_relative, IN_REFUSAL},
    {"plan.word", "distilbert", no_word, IN_REFUSAL},
    {"plan.position_rows", "distilbert", no_table, IN_STATES},
    {"plan.position_rows", "mpnet", no_table, IN_STATES},
    {"plan.type_rows", "electra", no_type_rows, IN_REFUSAL},
    {"plan.embedding_norm", "modernbert", no_embedding_norm, IN_STATES},
    {"plan.embedding_projection", "electra", no_projection, IN_REFUSAL},
    {"plan.final_norm", "modernbert", no_final_norm, IN_STATES},
    {"plan.pooling", "roberta", pool_first, IN_VECTORS},
    {"plan.dense_count", "roberta", no_dense, IN_VECTORS},
    {"plan.joined_count", "roberta", another_pooling, IN_REFUSAL},
    {"plan_dense.kind", "roberta", unit_for_dense, IN_VECTORS},
    {"plan_dense.norm", "roberta", norm_for_dense, IN_VECTORS},
    {"plan_dense.has_residual", "roberta", dense_and_input, IN_VECTORS},
    {"plan_dense.residual", "roberta", dense_and_residual, IN_VECTORS},
    {"plan_dense.linear", "roberta", other_dense, IN_VECTORS},
    {"plan_dense.activation", "roberta", dense_without_activation, IN_VECTORS},
    {"plan.dimensions", "roberta", more_dimensions, IN_REFUSAL},
    {"plan.head_pooling", "modernbert", head_of_first, IN_LOGITS},
    {"plan.head_dense", "roberta", no_head_dense, IN_LOGITS},
    {"plan.head_activation", "modernbert", head_tanh, IN_LOGITS},
    {"plan.head_norm", "modernbert", no_head_norm, IN_LOGITS},
    {"plan.classifier", "roberta", no_classifier, IN_REFUSAL},
    {"plan.labels", "roberta", more_labels, IN_REFUSAL},
    {"plan.lm_dense", "mpnet", other_lm_dense, IN_WEIGHTS},
    {"plan.lm_activation", "mpnet", lm_relu, IN_WEIGHTS},
    {"plan.lm_norm", "mpnet", no_lm_norm, IN_WEIGHTS},
    {"plan.lm_decoder", "distilbert", tied_decoder, IN_WEIGHTS},
    {"splade.is_sum", "bert", sum, IN_WEIGHTS},
    {"splade.is_log_twice", "bert", log_twice, IN_WEIGHTS},
    {"plan_layer.query", "roberta", query_is_key, IN_STATES},
    {"plan_layer.key", "roberta", key_is_value, IN_STATES},
    {"plan_layer.value", "roberta", value_is_query, IN_STATES},
    {"plan_layer.output", "roberta", output_is_query, IN_STATES},
    {"plan_layer.attention_norm", "gte", no_attention_norm, IN_STATES},
    {"plan_layer.up", "nomic_bert", up_is_gate, IN_STATES},
    {"plan_layer.gate", "gte", gate_is_up, IN_STATES},
    {"plan_layer.gate", "modernbert", gate_is_up, IN_STATES},
    {"plan_layer.down", "distilbert", no_down, IN_REFUSAL},
    {"plan_layer.ffn_norm", "electra", no_ffn_norm, IN_STATES},
    {"plan_layer.rope_theta", "nomic_bert", small_base, IN_STATES},
    {"plan_layer.rope_theta", "nomic_bert", no_rotation, IN_STATES},
    {"plan_layer.rope_theta", "gte", small_base, IN_STATES},
    {"plan_layer.rope_theta", "modernbert", small_base, IN_STATES},
    {"plan_layer.rope_scale", "gte", stretch, IN_STATES},
    {"plan_layer.window", "modernbert", no_window, IN_STATES},
    {"plan_layer.window", "modernbert", window_less_one, IN_STATES},
    {"linear.weight", "distilbert", no_weight, IN_REFUSAL},
    {"linear.bias", "distilbert", no_bias, IN_STATES},
    {"norm.gamma", "distilbert", no_gamma, IN_STATES},
    {"norm.beta", "distilbert", no_beta, IN_STATES},
};

/* Fields that no lane computes with. */
static const struct {
    const char *field;
    const char *why;
} others[] = {
    {"view.data", "what the fields of this type stand for is turned there"},
    {"view.dtype", "as data"},
    {"view.rows", "held to the plan's sizes"},
    {"view.cols", "held to the plan's sizes"},
    {"plan.family", "a name for messages"},
    {"plan.splade", "a structure, see splade"},
    {"plan.layers", "an array, see plan_layer"},
    {"plan.dense", "an array, see plan_dense"},
    {"plan.is_normalized", "the pipeline's last step: tests/unit/test_engine.c"},
    {"plan.joined", "widens what follows, see joined_count: tests/golden/test_heads.c"},
    {"plan_dense.norm_eps", "torch's constant: tests/golden/test_heads.c"},
    {"plan.parameters", "a figure for reports"},
    {"plan.release", "a callback"},
    {"plan.describe", "a callback"},
    {"plan.release_context", "of callbacks"},
};

static subject subject_open(const tandem_source *source, const char *folder) {
    subject s = {.plan = *source->plan, .folder = folder};
    const size_t count = (size_t)s.plan.layer_count;
    s.layers = calloc(count, sizeof *s.layers);
    assert_non_null(s.layers);
    memcpy(s.layers, source->plan->layers, count * sizeof *s.layers);
    s.texts = golden_texts_read(folder, 100);
    s.plan.pooling = TANDEM_POOLING_MEAN;
    return s;
}

static void subject_close(subject *s) {
    free(s->layers);
    golden_texts_free(&s->texts);
}

/* Points the plan at what the subject holds; the family has no Dense, so its head's lends one. */
static void subject_aim(subject *s) {
    s->plan.layers = s->layers;
    s->plan.dense = s->dense;
    if (s->plan.head_dense.weight.data == NULL) return;
    s->dense[0] =
        (tandem_plan_dense){.linear = s->plan.head_dense, .activation = TANDEM_ACTIVATION_TANH};
    s->plan.dense_count = 1;
}

/* The least cosine of a flipped plan's answer with transformers'. */
static double cosine_of(const subject *s, shows where) {
    static const struct {
        tandem_output output;
        const char *file;
    } answers[] = {
        [IN_STATES] = {TANDEM_OUTPUT_TOKENS, "last"},
        [IN_LOGITS] = {TANDEM_OUTPUT_HEAD, "logits"},
        [IN_WEIGHTS] = {TANDEM_OUTPUT_SPARSE, "max"},
    };
    const int widths[] = {
        [IN_STATES] = s->plan.hidden, [IN_LOGITS] = LABELS, [IN_WEIGHTS] = s->plan.vocab};
    const int rows = where == IN_STATES ? s->texts.tokens : s->texts.count;
    const size_t count = (size_t)rows * (size_t)widths[where];
    float *expected = golden_floats_read(s->folder, answers[where].file, count);
    float *got = golden_run(&s->plan, "ref", &s->texts, answers[where].output, count);
    const golden_difference d = golden_compare(got, expected, rows, widths[where], 0);
    free(got);
    free(expected);
    return d.cosine_min;
}

static double cosine_of_vectors(subject *s, change turn) {
    const size_t count = (size_t)s->texts.count * DENSE_WIDTH;
    assert_int_equal(s->plan.dimensions, DENSE_WIDTH);
    float *before = golden_run(&s->plan, "ref", &s->texts, TANDEM_OUTPUT_POOLED, count);
    turn(s);
    float *after = golden_run(&s->plan, "ref", &s->texts, TANDEM_OUTPUT_POOLED, count);
    const golden_difference d = golden_compare(after, before, s->texts.count, DENSE_WIDTH, 0);
    free(before);
    free(after);
    return d.cosine_min;
}

/* 0 if `ref` refuses the plan or its head, as cosines that are low enough; else 1. */
static double cosine_of_refusal(const subject *s) {
    const tandem_backend *ref = tandem__backend_find("ref");
    const tandem_backend_options options = {.dtype = TANDEM_DTYPE_F32,
                                            .tokens_max = s->texts.tokens,
                                            .sequences_max = s->texts.count,
                                            .in_flight_max = 1};
    tandem_lane *lane = NULL;
    if (ref->open(&s->plan, &options, &lane, NULL) != TANDEM_OK) return 0.0;
    float *out = calloc((size_t)s->texts.count, sizeof *out * (LABELS + 1));
    tandem_batch batch = golden_batch(&s->texts, 0, s->texts.count);
    tandem_ticket ticket = 0;
    const tandem_status status = ref->submit(lane, &batch, TANDEM_OUTPUT_HEAD, out, &ticket, NULL);
    golden_batch_free(&batch);
    free(out);
    ref->close(lane);
    return status != TANDEM_OK ? 0.0 : 1.0;
}

static void every_flag_shows(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof flips / sizeof flips[0]; i++) {
        char folder[256];
        const char *kind = flips[i].shows == IN_WEIGHTS ? "lm" : "families";
        tandem_source *source = golden_model_open(kind, flips[i].family, folder, sizeof folder);
        subject s = subject_open(source, folder);
        subject_aim(&s);
        double cosine = 1.0;
        if (flips[i].shows == IN_VECTORS) {
            cosine = cosine_of_vectors(&s, flips[i].change);
        } else {
            const bool is_refusal = flips[i].shows == IN_REFUSAL;
            if (is_refusal) assert_true(cosine_of_refusal(&s) > COSINE_MOST);
            flips[i].change(&s);
            cosine = is_refusal ? cosine_of_refusal(&s) : cosine_of(&s, flips[i].shows);
        }
        if (!(cosine < COSINE_MOST)) {
            fail_msg("flip %zu: %s of %s does not show: cosine %.6f", i, flips[i].field,
                     flips[i].family, cosine);
        }
        subject_close(&s);
        tandem__source_close(source);
    }
}

static bool is_known(const char *field) {
    for (size_t i = 0; i < sizeof flips / sizeof flips[0]; i++) {
        if (strcmp(flips[i].field, field) == 0) return true;
    }
    for (size_t i = 0; i < sizeof others / sizeof others[0]; i++) {
        assert_true(strlen(others[i].why) > 0);
        if (strcmp(others[i].field, field) == 0) return true;
    }
    return false;
}

/* Spaces in place of comments. */
static void blank_comments(char *text) {
    for (char *at = text; (at = strstr(at, "/*")) != NULL;) {
        char *end = strstr(at, "*/");
        assert_non_null(end);
        memset(at, ' ', (size_t)(end + 2 - at));
    }
}

static bool is_word(char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_';
}

/* The name that a declaration [begin, end) gives: its last word, what stands before
 * its bracket, or what (*name)(...) holds. */
static void take_name(const char *begin, const char *end, char *name) {
    const char *star = begin;
    while (star + 1 < end && !(star[0] == '(' && star[1] == '*')) star++;
    const char *at = star + 1 < end ? star + 2 : end;
    if (at == end) {
        const char *bracket = memchr(begin, '[', (size_t)(end - begin)); /* an array's */
        if (bracket != NULL) at = end = bracket;
        while (at > begin && is_word(at[-1])) at--;
    }
    size_t len = 0;
    while (at + len < end && is_word(at[len])) len++;
    assert_in_range(len, 1, NAME_BYTES / 2);
    memcpy(name, at, len);
    name[len] = '\0';
}

/* Checks the fields of a structure whose body ends at `end`; returns how many. */
static int check_fields(const char *structure, const char *body, const char *end) {
    int count = 0;
    for (const char *at = body; at < end;) {
        const char *stop = strchr(at, ';');
        if (stop == NULL || stop >= end) break;
        char name[NAME_BYTES];
        char field[2 * NAME_BYTES];
        take_name(at, stop, name);
        (void)snprintf(field, sizeof field, "%s.%s", structure, name);
        if (!is_known(field)) {
            fail_msg("src/model/plan.h: %s has no flip in this test: add one to `flips`, or to "
                     "`others` if no lane computes with it",
                     field);
        }
        count++;
        at = stop + 1;
    }
    return count;
}

static void every_field_has_a_flip(void **state) {
    (void)state;
    static char text[HEADER_BYTES_MAX];
    static const char start[] = "typedef struct tandem_";
    FILE *file = fopen("src/model/plan.h", "re");
    assert_non_null(file);
    const size_t size = fread(text, 1, sizeof text - 1, file);
    assert_in_range(size, 1000, sizeof text - 2);
    (void)fclose(file);
    blank_comments(text);
    int count = 0;
    for (char *at = text; (at = strstr(at, start)) != NULL;) {
        char structure[NAME_BYTES];
        char *body = strchr(at, '{');
        assert_non_null(body);
        char *end = strchr(body, '}');
        assert_non_null(end);
        take_name(at, body - 1, structure);
        count += check_fields(structure + strlen("tandem_"), body + 1, end);
        at = end;
    }
    assert_true(count >= 60);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_flag_shows),
        cmocka_unit_test(every_field_has_a_flip),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
