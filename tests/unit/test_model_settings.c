/* SPDX-License-Identifier: Apache-2.0 */
/* What sentence-transformers' documents mean: lengths, poolings, prompts, heads, old names. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "model/source.h"
#include "support/documents.h"

#define CONFIG    "config.json"
#define MODULES   "modules.json"
#define POOLING   "1_Pooling/config.json"
#define SENTENCE  "config_sentence_transformers.json"
#define TRUNK     "sentence_bert_config.json"
#define TOKENIZER "tokenizer_config.json"
#define WEIGHTS   "model.safetensors"

/* Opens and takes the documents over. */
static tandem_source *open_documents(documents *docs) {
    tandem_source *source = NULL;
    tandem_error err = {0};
    if (tandem__source_open_memory(docs->list, docs->count, &source, &err) != TANDEM_OK) {
        fail_msg("%s", err.message);
    }
    return source;
}

static void max_length_is_that_of_sentence_transformers(void **state) {
    (void)state;
    static const struct {
        const char *trunk;     /* sentence_bert_config.json; NULL: none */
        const char *tokenizer; /* tokenizer_config.json; NULL: none */
        int32_t expected;      /* the model has 64 positions */
    } cases[] = {
        {"{\"max_seq_length\":48}", "{\"model_max_length\":32}", 48},
        {"{\"max_seq_length\":null}", "{\"model_max_length\":32}", 32},
        {"{}", "{\"model_max_length\":32}", 32},
        {NULL, "{\"model_max_length\":32}", 32},
        {NULL, "{\"model_max_length\":1000000000000000019884624838656}", 64},
        {NULL, "{\"model_max_length\":1e30}", 64},
        {NULL, "{}", 64},
        {NULL, NULL, 64},
        {"{\"max_seq_length\":512}", NULL, 64},
        {"{\"max_seq_length\":48,\"processor_kwargs\":{\"model_max_length\":16}}", NULL, 16},
        {"{\"max_seq_length\":48,\"tokenizer_args\":{\"model_max_length\":16}}", NULL, 16},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        documents *docs = documents_load(TINY_BERT);
        documents_remove(docs, TRUNK);
        documents_remove(docs, TOKENIZER);
        if (cases[i].trunk != NULL) documents_set_text(docs, TRUNK, cases[i].trunk);
        if (cases[i].tokenizer != NULL) documents_set_text(docs, TOKENIZER, cases[i].tokenizer);
        tandem_source *source = open_documents(docs);
        assert_int_equal(source->max_length, cases[i].expected);
        tandem__source_close(source);
        documents_free(docs);
    }
}

static void poolings_by_flag_and_by_word(void **state) {
    (void)state;
    static const struct {
        const char *text;
        tandem_pooling expected;
    } cases[] = {
        {"{\"pooling_mode_cls_token\":true}", TANDEM_POOLING_CLS},
        {"{\"pooling_mode_max_tokens\":true}", TANDEM_POOLING_MAX},
        {"{\"pooling_mode_mean_tokens\":true}", TANDEM_POOLING_MEAN},
        {"{\"pooling_mode_mean_sqrt_len_tokens\":true}", TANDEM_POOLING_MEAN_SQRT},
        {"{\"pooling_mode_weightedmean_tokens\":true}", TANDEM_POOLING_WEIGHTED_MEAN},
        {"{\"pooling_mode_lasttoken\":true}", TANDEM_POOLING_LAST},
        {"{\"pooling_mode_mean_tokens\":false}", TANDEM_POOLING_MEAN},
        {"{\"pooling_mode\":\"cls\"}", TANDEM_POOLING_CLS},
        {"{\"pooling_mode\":\"max\"}", TANDEM_POOLING_MAX},
        {"{\"pooling_mode\":\"mean_sqrt_len_tokens\"}", TANDEM_POOLING_MEAN_SQRT},
        {"{\"pooling_mode\":[\"weightedmean\"]}", TANDEM_POOLING_WEIGHTED_MEAN},
        {"{\"pooling_mode\":\"lasttoken\",\"pooling_mode_cls_token\":true}", TANDEM_POOLING_LAST},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        documents *docs = documents_load(TINY_BERT);
        documents_set_text(docs, POOLING, cases[i].text);
        tandem_source *source = open_documents(docs);
        assert_int_equal(source->plan->pooling, cases[i].expected);
        assert_true(source->is_prompt_pooled);
        tandem__source_close(source);
        documents_free(docs);
    }
}

static void folder_without_modules_is_mean_pooled(void **state) {
    (void)state;
    documents *docs = documents_load(TINY_BERT);
    documents_remove(docs, MODULES);
    documents_set_text(docs, SENTENCE, "{\"prompts\":{\"query\":\"ask: \"}}");
    tandem_source *source = open_documents(docs);
    assert_int_equal(source->plan->pooling, TANDEM_POOLING_MEAN);
    assert_false(source->plan->is_normalized);
    assert_int_equal(source->max_length, 64); /* sentence_bert_config.json is not read then */
    assert_string_equal(source->prompts[0].text, "");
    tandem__source_close(source);
    documents_free(docs);
}

static void save_of_another_kind_is_mean_pooled(void **state) {
    (void)state;
    documents *docs = documents_load(TINY_BERT);
    documents_set_text(docs, SENTENCE, "{\"model_type\":\"MultiVectorEncoder\"}");
    documents_set_text(docs, MODULES, "[{\"type\":\"sentence_transformers.x.MultiVectorMask\"}]");
    tandem_source *source = open_documents(docs);
    assert_int_equal(source->plan->pooling, TANDEM_POOLING_MEAN);
    tandem__source_close(source);
    documents_free(docs);
}

static void prompts_and_settings(void **state) {
    (void)state;
    documents *docs = documents_load(TINY_BERT);
    documents_set_text(docs, SENTENCE,
                       "{\"prompts\":{\"document\":\"passage: \",\"clustering\":\"c: \","
                       "\"none\":null},\"default_prompt_name\":\"clustering\","
                       "\"similarity_fn_name\":\"dot\",\"truncate_dim\":16}");
    documents_set_text(docs, TRUNK, "{\"max_seq_length\":40,\"do_lower_case\":true}");
    documents_set_text(docs, POOLING, "{\"include_prompt\":false}");
    tandem_source *source = open_documents(docs);
    static const char *const expected[][2] = {
        {"query", ""}, {"document", "passage: "}, {"clustering", "c: "}, {"none", ""}};
    assert_int_equal(source->prompt_count, 4);
    for (size_t i = 0; i < 4; i++) {
        assert_string_equal(source->prompts[i].name, expected[i][0]);
        assert_string_equal(source->prompts[i].text, expected[i][1]);
    }
    assert_int_equal(source->default_prompt, 2);
    assert_string_equal(source->similarity, "dot");
    assert_int_equal(source->truncate_dim, 16);
    assert_true(source->is_lowercased);
    assert_false(source->is_prompt_pooled);
    tandem__source_close(source);
    documents_free(docs);
}

static void activations(void **state) {
    (void)state;
    static const struct {
        const char *word;
        tandem_activation expected;
    } cases[] = {
        {"\"gelu_new\"", TANDEM_ACTIVATION_GELU_TANH},
        {"\"relu\"", TANDEM_ACTIVATION_RELU},
        {"\"silu\"", TANDEM_ACTIVATION_SILU},
        {"\"swish\"", TANDEM_ACTIVATION_SILU},
        {"\"gelu_python\"", TANDEM_ACTIVATION_GELU_ERF},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        documents *docs = documents_load(TINY_BERT);
        documents_edit(docs, CONFIG, "\"gelu\"", cases[i].word);
        tandem_source *source = open_documents(docs);
        assert_int_equal(source->plan->activation, cases[i].expected);
        tandem__source_close(source);
        documents_free(docs);
    }
}

static void old_and_prefixed_names(void **state) {
    (void)state;
    documents *docs = documents_load(TINY_BERT);
    documents_edit(docs, WEIGHTS, "embeddings.LayerNorm.weight", "embeddings.LayerNorm.gamma");
    documents_edit(docs, WEIGHTS, "embeddings.LayerNorm.bias", "bert.embeddings.LayerNorm.beta");
    documents_edit(docs, WEIGHTS, "encoder.layer.1.output.dense.bias",
                   "bert.encoder.layer.1.output.dense.bias");
    documents_edit(docs, CONFIG, "\"model_type\": \"bert\"", "\"x\": 1");
    tandem_source *source = open_documents(docs);
    assert_non_null(source->plan->embedding_norm.gamma.data);
    assert_non_null(source->plan->layers[1].down.bias.data);
    tandem__source_close(source);
    documents_free(docs);
}

/* Two tensors of the right shapes take the head's names. */
static void classifier_head(void **state) {
    (void)state;
    documents *docs = documents_load(TINY_BERT);
    documents_edit(docs, CONFIG, "\"num_hidden_layers\": 2", "\"num_hidden_layers\": 1");
    documents_edit(docs, CONFIG, "\"BertModel\"", "\"BertForSequenceClassification\"");
    documents_edit(docs, CONFIG, "\"pad_token_id\": 0",
                   "\"id2label\":{\"1\":\"good\",\"0\":\"bad\"}");
    documents_edit(docs, WEIGHTS, "encoder.layer.1.attention.self.query.weight",
                   "bert.pooler.dense.weight");
    documents_edit(docs, WEIGHTS, "encoder.layer.1.attention.self.query.bias",
                   "bert.pooler.dense.bias");
    documents_edit(docs, CONFIG, "\"type_vocab_size\": 2", "\"type_vocab_size\": 0");
    documents_edit(docs, WEIGHTS, "embeddings.token_type_embeddings.weight", "classifier.weight");
    static const char bias[] = "encoder.layer.1.attention.self.key.bias\":{\"dtype\":\"F32\","
                               "\"shape\":[32]";
    tandem_source *source = NULL;
    tandem_error err = {0};
    documents_edit(docs, WEIGHTS, bias, "classifier.bias\":{\"dtype\":\"F32\",\"shape\":[32]");
    assert_int_equal(tandem__source_open_memory(docs->list, docs->count, &source, &err),
                     TANDEM_FORMAT);
    assert_non_null(strstr(err.message, "classifier.bias: shape [32], expected [2]"));
    documents_edit(docs, CONFIG, "\"id2label\":{\"1\":\"good\",\"0\":\"bad\"}",
                   "\"id2label\":{\"1\":\"good\",\"0\":\"bad\"},\"num_labels\":32");
    documents_edit(docs, WEIGHTS, "classifier.weight", "x");
    documents_edit(docs, WEIGHTS, "encoder.layer.1.attention.self.key.weight", "classifier.weight");
    source = open_documents(docs);
    assert_int_equal(source->plan->labels, 32);
    assert_string_equal(source->labels[31], "LABEL_31");
    assert_int_equal(source->plan->classifier.weight.rows, 32);
    assert_int_equal(source->plan->head_activation, TANDEM_ACTIVATION_TANH);
    assert_null(source->plan->type_rows.data);
    tandem__source_close(source);
    documents_free(docs);
}

static void labels_have_names(void **state) {
    (void)state;
    static const struct {
        const char *map;
        tandem_status status;
        const char *message;
    } cases[] = {
        {"{\"0\":\"bad\",\"2\":\"good\"}", TANDEM_FORMAT, "id2label: \"2\": \"good\""},
        {"{\"x\":\"bad\"}", TANDEM_FORMAT, "id2label: \"x\""},
        {"{\"0\":7}", TANDEM_FORMAT, "id2label: \"0\": 7"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        documents *docs = documents_load(TINY_BERT);
        documents_edit(docs, CONFIG, "\"BertModel\"", "\"BertForSequenceClassification\"");
        documents_edit(docs, CONFIG, "\"pad_token_id\": 0", "\"id2label\": @");
        documents_edit(docs, CONFIG, "@", cases[i].map);
        tandem_source *source = NULL;
        tandem_error err = {0};
        assert_int_equal(tandem__source_open_memory(docs->list, docs->count, &source, &err),
                         cases[i].status);
        if (strstr(err.message, cases[i].message) == NULL) fail_msg("%s", err.message);
        documents_free(docs);
    }
}

/* The tiny model's own 32 x 32 matrix and its bias stand in for a Dense module's. */
static void dense_module_follows_pooling(void **state) {
    (void)state;
    documents *docs = documents_load(TINY_BERT);
    size_t len = 0;
    const void *weights = documents_bytes(docs, WEIGHTS, &len);
    documents_set(docs, "2_Dense/model.safetensors", weights, len);
    documents_edit(docs, "2_Dense/model.safetensors", "encoder.layer.0.intermediate.dense.weight",
                   "linear.weight");
    documents_edit(docs, "2_Dense/model.safetensors", "encoder.layer.0.intermediate.dense.bias",
                   "linear.bias");
    documents_set_text(docs, "2_Dense/config.json",
                       "{\"in_features\":32,\"out_features\":64,"
                       "\"activation_function\":\"torch.nn.modules.linear.Identity\"}");
    documents_set_text(
        docs, MODULES,
        "[{\"type\":\"sentence_transformers.base.modules.transformer.Transformer\",\"path\":\"\"},"
        "{\"type\":\"sentence_transformers.models.Pooling\",\"path\":\"1_Pooling\"},"
        "{\"type\":\"sentence_transformers.models.Dropout\",\"path\":\"x\"},"
        "{\"type\":\"sentence_transformers.models.Dense\",\"path\":\"2_Dense\"},"
        "{\"type\":\"sentence_transformers.models.Normalize\",\"path\":\"3_Normalize\"}]");
    tandem_source *source = open_documents(docs);
    const tandem_plan *plan = source->plan;
    assert_int_equal(plan->dense_count, 1);
    assert_int_equal(plan->dense[0].linear.weight.rows, 64);
    assert_int_equal(plan->dense[0].linear.weight.cols, 32);
    assert_int_equal(plan->dense[0].linear.bias.cols, 64);
    assert_int_equal(plan->dense[0].activation, TANDEM_ACTIVATION_NONE);
    assert_int_equal(plan->dimensions, 64);
    assert_true(plan->is_normalized);
    tandem__source_close(source);
    documents_free(docs);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(max_length_is_that_of_sentence_transformers),
        cmocka_unit_test(poolings_by_flag_and_by_word),
        cmocka_unit_test(folder_without_modules_is_mean_pooled),
        cmocka_unit_test(save_of_another_kind_is_mean_pooled),
        cmocka_unit_test(prompts_and_settings),
        cmocka_unit_test(activations),
        cmocka_unit_test(old_and_prefixed_names),
        cmocka_unit_test(classifier_head),
        cmocka_unit_test(labels_have_names),
        cmocka_unit_test(dense_module_follows_pooling),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
