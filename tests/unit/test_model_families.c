/* SPDX-License-Identifier: Apache-2.0 */
/* What each family reads from its config.json, and what it refuses there. Weights are random: the
 * golden tests hold the families against transformers. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "model/model.h"
#include "support/temp_folder.h"

#define SIZES                                                                                      \
    "\"vocab_size\":50,\"hidden_size\":32,\"num_hidden_layers\":4,\"num_attention_heads\":4,"      \
    "\"intermediate_size\":48,\"max_position_embeddings\":42"

static char folder[256];

static int set_up(void **state) {
    (void)state;
    folder_make(folder);
    return 0;
}

static int tear_down(void **state) {
    (void)state;
    folder_remove(folder);
    return 0;
}

static tandem_source *open_config(const char *text) {
    tandem_source *source = NULL;
    tandem_error err = {0};
    folder_write_text(folder, "config.json", text);
    if (tandem__source_random(folder, 1, &source, &err) != TANDEM_OK) fail_msg("%s", err.message);
    return source;
}

static void refuse_config(const char *text, tandem_status expected, const char *message) {
    tandem_source *source = NULL;
    tandem_error err = {0};
    folder_write_text(folder, "config.json", text);
    const tandem_status status = tandem__source_random(folder, 1, &source, &err);
    if (status != expected || strstr(err.message, message) == NULL) {
        fail_msg("%s: status %d \"%s\", expected %d \"%s\"", text, status, err.message, expected,
                 message);
    }
    assert_null(source);
}

static void assert_close(float got, double expected) {
    const double difference = (double)got / expected - 1.0;
    assert_true(difference < 1e-6 && difference > -1e-6);
}

static void roberta_counts_from_its_padding(void **state) {
    (void)state;
    static const char *const types[] = {"roberta", "xlm-roberta", "camembert"};
    for (size_t i = 0; i < 3; i++) {
        char text[512] = "{\"model_type\":\"";
        strncat(text, types[i], 64);
        strncat(text, "\",\"pad_token_id\":3,\"type_vocab_size\":1," SIZES "}", 400);
        tandem_source *source = open_config(text);
        assert_string_equal(source->plan->family, "roberta");
        assert_int_equal(source->plan->position_offset, 4);
        assert_int_equal(source->plan->positions_max, 38);
        assert_int_equal(source->plan->position_rows.rows, 42);
        assert_int_equal(source->max_length, 38);
        tandem__source_close(source);
    }
    refuse_config("{\"model_type\":\"roberta\",\"pad_token_id\":50," SIZES "}", TANDEM_FORMAT,
                  "pad_token_id: 50, expected an integer from 0 to 49");
    refuse_config("{\"model_type\":\"roberta\",\"pad_token_id\":41," SIZES "}", TANDEM_FORMAT,
                  "pad_token_id: 41, expected less than");
}

static void mpnet_has_buckets(void **state) {
    (void)state;
    tandem_source *source = open_config("{\"model_type\":\"mpnet\"," SIZES "}");
    assert_int_equal(source->plan->position, TANDEM_POSITION_RELATIVE);
    assert_int_equal(source->plan->relative_bias.rows, 32);
    assert_int_equal(source->plan->relative_bias.cols, 4);
    assert_int_equal(source->plan->relative_distance_max, 128);
    assert_int_equal(source->plan->position_offset, 2);
    assert_int_equal(source->plan->positions_max, 40);
    assert_int_equal(source->plan->types, 0);
    tandem__source_close(source);
    refuse_config("{\"model_type\":\"mpnet\",\"relative_attention_num_buckets\":1," SIZES "}",
                  TANDEM_FORMAT, "relative_attention_num_buckets: 1");
    refuse_config("{\"model_type\":\"mpnet\",\"max_position_embeddings\":2,\"hidden_size\":8,"
                  "\"num_attention_heads\":2}",
                  TANDEM_FORMAT, "max_position_embeddings: 2, expected over 2");
}

static void nomic_reads_both_spellings(void **state) {
    (void)state;
    tandem_source *source =
        open_config("{\"model_type\":\"nomic_bert\",\"vocab_size\":50,\"n_embd\":32,\"n_layer\":2,"
                    "\"n_head\":4,\"n_inner\":48,\"n_positions\":64,\"rotary_emb_base\":2000,"
                    "\"layer_norm_epsilon\":1e-6,\"activation_function\":\"geglu\","
                    "\"rotary_scaling_factor\":null}");
    assert_int_equal(source->plan->hidden, 32);
    assert_int_equal(source->plan->layer_count, 2);
    assert_int_equal(source->plan->ffn, 48);
    assert_int_equal(source->plan->positions_max, 64);
    assert_int_equal(source->plan->activation, TANDEM_ACTIVATION_GELU_ERF);
    assert_close(source->plan->norm_eps, 1e-6);
    assert_close(source->plan->layers[1].rope_theta, 2000.0);
    assert_int_equal(source->plan->layers[0].gate.weight.rows, 48);
    assert_null(source->plan->layers[0].query.bias.data);
    assert_null(source->plan->position_rows.data);
    tandem__source_close(source);
    source = open_config("{\"model_type\":\"nomic_bert\",\"rope_parameters\":{\"rope_theta\":7,"
                         "\"rope_type\":\"default\"}," SIZES "}");
    assert_int_equal(source->plan->activation, TANDEM_ACTIVATION_SILU);
    assert_close(source->plan->layers[0].rope_theta, 7.0);
    assert_close(source->plan->layers[0].rope_scale, 1.0);
    tandem__source_close(source);
    static const char *const refused[][2] = {
        {"\"prenorm\":true", "prenorm: true, expected false"},
        {"\"activation_function\":\"glu\"", "activation_function: \"glu\""},
        {"\"rotary_emb_fraction\":0.5", "rotary_emb_fraction: 0.5"},
        {"\"rotary_scaling_factor\":2", "rotary_scaling_factor: 2, expected null"},
        {"\"rope_parameters\":{\"rope_type\":\"yarn\"}", "rope_type: \"yarn\""},
        {"\"rope_parameters\":{\"partial_rotary_factor\":0.5}", "partial_rotary_factor: 0.5"},
    };
    for (size_t i = 0; i < sizeof refused / sizeof refused[0]; i++) {
        char text[512] = "{\"model_type\":\"nomic_bert\",";
        strncat(text, refused[i][0], 128);
        strncat(text, "," SIZES "}", 300);
        refuse_config(text, TANDEM_UNSUPPORTED, refused[i][1]);
    }
    refuse_config("{\"model_type\":\"nomic_bert\",\"rotary_emb_base\":-1," SIZES "}", TANDEM_FORMAT,
                  "rotary_emb_base: -1, expected a number over 1");
    refuse_config("{\"model_type\":\"nomic_bert\",\"hidden_size\":12,\"num_attention_heads\":4}",
                  TANDEM_FORMAT, "gives 3, expected an even number");
}

/* theta s and s^(-2/D), D = 8 */
static void gte_stretches_by_ntk(void **state) {
    (void)state;
    tandem_source *source = open_config(
        "{\"model_type\":\"new\",\"rope_theta\":500000,\"rope_scaling\":{\"type\":\"ntk\","
        "\"factor\":2.0},\"type_vocab_size\":0," SIZES "}");
    assert_string_equal(source->plan->family, "gte");
    assert_close(source->plan->layers[0].rope_theta, 1e6);
    assert_close(source->plan->layers[3].rope_scale, 0.8408964152537145);
    assert_null(source->plan->type_rows.data);
    assert_null(source->plan->layers[0].up.bias.data);
    assert_non_null(source->plan->layers[0].down.bias.data);
    tandem__source_close(source);
    static const struct {
        const char *field;
        tandem_status status;
        const char *message;
    } refused[] = {
        {"\"rope_scaling\":{\"type\":\"linear\",\"factor\":2}", TANDEM_UNSUPPORTED, "\"linear\""},
        {"\"rope_scaling\":{\"type\":\"ntk\",\"factor\":0}", TANDEM_FORMAT, "factor: 0"},
        {"\"rope_scaling\":{\"type\":\"ntk\",\"factor\":2,\"mixed_b\":0.5}", TANDEM_UNSUPPORTED,
         "mixed_b: 0.5"},
        {"\"position_embedding_type\":\"absolute\"", TANDEM_UNSUPPORTED, "expected \"rope\""},
        {"\"layer_norm_type\":\"rms_norm\"", TANDEM_UNSUPPORTED, "layer_norm_type"},
        {"\"pack_qkv\":false", TANDEM_UNSUPPORTED, "pack_qkv: false, expected true"},
        {"\"logn_attention_scale\":true", TANDEM_UNSUPPORTED, "logn_attention_scale: true"},
    };
    for (size_t i = 0; i < sizeof refused / sizeof refused[0]; i++) {
        char text[512] = "{\"model_type\":\"new\",";
        strncat(text, refused[i].field, 128);
        strncat(text, "," SIZES "}", 300);
        refuse_config(text, refused[i].status, refused[i].message);
    }
}

static void modernbert_mixes_layers(void **state) {
    (void)state;
    tandem_source *source = open_config(
        "{\"model_type\":\"modernbert\",\"local_attention\":10,\"global_attn_every_n_layers\":2,"
        "\"global_rope_theta\":5000,\"local_rope_theta\":600," SIZES "}");
    const tandem_plan *plan = source->plan;
    assert_true(plan->is_norm_first);
    for (int i = 0; i < 4; i++) {
        assert_int_equal(plan->layers[i].window, i % 2 ? 5 : 0);
        assert_close(plan->layers[i].rope_theta, i % 2 ? 600.0 : 5000.0);
        assert_int_equal(plan->layers[i].attention_norm.gamma.data != NULL, i > 0);
    }
    assert_non_null(plan->final_norm.gamma.data);
    assert_null(plan->final_norm.beta.data);
    assert_close(plan->norm_eps, 1e-5);
    tandem__source_close(source);
    static const char *const refused[][2] = {
        {"\"layer_types\":[\"full_attention\"]", "expected an array of 4 words"},
        {"\"layer_types\":[\"a\",\"a\",\"a\",\"a\"]", "layer_types: \"a\", expected"},
        {"\"classifier_pooling\":\"max\"", "classifier_pooling: \"max\""},
        {"\"classifier_activation\":\"x\"", "classifier_activation: \"x\", expected gelu"},
        {"\"rope_scaling\":{\"type\":\"linear\"}", "rope_scaling: an object of 1"},
        {"\"local_attention\":1", "local_attention: 1"},
    };
    for (size_t i = 0; i < sizeof refused / sizeof refused[0]; i++) {
        char text[512] = "{\"model_type\":\"modernbert\",";
        strncat(text, refused[i][0], 128);
        strncat(text, "," SIZES "}", 300);
        const bool is_format = i == 0 || i == 5;
        refuse_config(text, is_format ? TANDEM_FORMAT : TANDEM_UNSUPPORTED, refused[i][1]);
    }
}

static void score_functions(void **state) {
    (void)state;
    static const struct {
        const char *fields;
        tandem_score expected;
    } cases[] = {
        {"\"num_labels\":1", TANDEM_SCORE_SIGMOID},
        {"\"num_labels\":3", TANDEM_SCORE_SOFTMAX},
        {"\"num_labels\":3,\"problem_type\":\"multi_label_classification\"", TANDEM_SCORE_SIGMOID},
        {"\"num_labels\":3,\"problem_type\":\"regression\"", TANDEM_SCORE_IDENTITY},
        {"\"num_labels\":1,\"problem_type\":\"regression\"", TANDEM_SCORE_SIGMOID},
        {"\"num_labels\":1,\"sentence_transformers\":{\"activation_fn\":"
         "\"torch.nn.modules.linear.Identity\"}",
         TANDEM_SCORE_IDENTITY},
        {"\"sbert_ce_default_activation_function\":\"torch.nn.modules.activation.Sigmoid\"",
         TANDEM_SCORE_SIGMOID},
        {"\"sentence_transformers\":{\"activation_fn\":\"torch.nn.modules.activation.Softmax\"}",
         TANDEM_SCORE_SOFTMAX},
        {"\"num_labels\":1,\"sentence_transformers\":{\"activation_fn\":\"my.code.Scaled\"}",
         TANDEM_SCORE_SIGMOID},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char text[600] = "{\"model_type\":\"bert\","
                         "\"architectures\":[\"BertForSequenceClassification\"],";
        strncat(text, cases[i].fields, 200);
        strncat(text, "," SIZES "}", 300);
        tandem_source *source = open_config(text);
        assert_int_equal(source->score, cases[i].expected);
        assert_int_equal(source->plan->classifier.weight.rows, source->plan->labels);
        tandem__source_close(source);
    }
    refuse_config(
        "{\"model_type\":\"bert\",\"architectures\":[\"BertForSequenceClassification\"],"
        "\"sbert_ce_default_activation_function\":\"torch.nn.modules.activation.ELU\"," SIZES "}",
        TANDEM_UNSUPPORTED, "activation_fn: \"torch.nn.modules.activation.ELU\"");
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(roberta_counts_from_its_padding), TEST(mpnet_has_buckets),
        TEST(nomic_reads_both_spellings),      TEST(gte_stretches_by_ntk),
        TEST(modernbert_mixes_layers),         TEST(score_functions),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
