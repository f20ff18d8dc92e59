/* SPDX-License-Identifier: Apache-2.0 */
/* A model with one thing wrong: each is refused with a line that names file, field and value. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "model/source.h"
#include "support/documents.h"

#define CONFIG    "config.json"
#define MODULES   "modules.json"
#define POOLING   "1_Pooling/config.json"
#define DENSE     "2_Dense/config.json"
#define SENTENCE  "config_sentence_transformers.json"
#define TRUNK     "sentence_bert_config.json"
#define TOKENIZER "tokenizer_config.json"
#define WEIGHTS   "model.safetensors"
#define Q0        "encoder.layer.0.attention.self.query"

/* In `document`, `from` becomes `to` (from == NULL: all of it does); then opening fails with
 * `status` and a message that holds `message`. */
typedef struct refusal {
    const char *document;
    const char *from;
    const char *to;
    tandem_status status;
    const char *message;
} refusal;

static void check(const refusal *c) {
    documents *docs = documents_load(TINY_BERT);
    if (c->from == NULL)
        documents_set_text(docs, c->document, c->to);
    else
        documents_edit(docs, c->document, c->from, c->to);
    tandem_source *source = NULL;
    tandem_error err = {0};
    const tandem_status status = tandem__source_open_memory(docs->list, docs->count, &source, &err);
    if (status != c->status || strstr(err.message, c->message) == NULL ||
        strchr(err.message, '\n') != NULL) {
        fail_msg("%s -> %s: status %d \"%s\", expected %d \"%s\"", c->from, c->to, status,
                 err.message, c->status, c->message);
    }
    assert_null(source);
    documents_free(docs);
}

#define CHECK_ALL(cases)                                                                           \
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases)[0]; i++) check(&(cases)[i])

static void refuses_sizes(void **state) {
    (void)state;
    static const refusal cases[] = {
        {CONFIG, "\"hidden_size\": 32", "\"hidden_size\": \"abc\"", TANDEM_FORMAT,
         "memory/config.json: hidden_size: \"abc\", expected an integer from 1 to 65536"},
        {CONFIG, "\"type_vocab_size\": 2", "\"type_vocab_size\": 0", TANDEM_FORMAT,
         "token_type_embeddings.weight: shape [2,32], expected [0,32]"},
        {CONFIG, "\"hidden_size\": 32", "\"hidden_size\": 0", TANDEM_FORMAT, "hidden_size: 0"},
        {CONFIG, "\"hidden_size\": 32", "\"hidden_size\": 32.5", TANDEM_FORMAT, "32.5"},
        {CONFIG, "\"hidden_size\": 32", "\"hidden_size\": 30", TANDEM_FORMAT,
         "hidden_size: 30, expected a multiple of num_attention_heads, which is 4"},
        {CONFIG, "\"num_hidden_layers\": 2", "\"num_hidden_layers\": 2000000000", TANDEM_FORMAT,
         "num_hidden_layers: 2000000000, expected an integer from 1 to 512"},
        {CONFIG, "\"num_hidden_layers\": 2", "\"num_hidden_layers\": 1e2", TANDEM_FORMAT, "1e2"},
        {CONFIG, "\"num_hidden_layers\": 2", "\"num_hidden_layers\": 3", TANDEM_FORMAT,
         "memory/model.safetensors: encoder.layer.2.attention.self.query.weight: no such tensor"},
        {CONFIG, "\"num_attention_heads\": 4", "\"num_attention_heads\": 64", TANDEM_FORMAT,
         "num_attention_heads: 64, expected an integer from 1 to 32"},
        {CONFIG, "\"vocab_size\": 200", "\"vocab_size\": 99999999999", TANDEM_FORMAT,
         "vocab_size: 99999999999"},
        {CONFIG, "\"vocab_size\": 200", "\"vocab_size\": 201", TANDEM_FORMAT,
         "embeddings.word_embeddings.weight: shape [200,32], expected [201,32]"},
        {CONFIG, "\"intermediate_size\": 64", "\"intermediate_size\": true", TANDEM_FORMAT,
         "intermediate_size: true"},
        {CONFIG, "\"max_position_embeddings\": 64", "\"max_position_embeddings\": -1",
         TANDEM_FORMAT, "max_position_embeddings: -1"},
        {CONFIG, "\"type_vocab_size\": 2", "\"type_vocab_size\": []", TANDEM_FORMAT,
         "type_vocab_size: an array of 0"},
        {CONFIG, "\"layer_norm_eps\": 1e-12", "\"layer_norm_eps\": -1", TANDEM_FORMAT,
         "layer_norm_eps: -1, expected a number from 0 to 1"},
        {CONFIG, "\"layer_norm_eps\": 1e-12", "\"layer_norm_eps\": \"x\"", TANDEM_FORMAT,
         "layer_norm_eps: \"x\""},
    };
    CHECK_ALL(cases);
}

static void refuses_kinds(void **state) {
    (void)state;
    static const refusal cases[] = {
        {CONFIG, "\"model_type\": \"bert\"", "\"model_type\": \"t5\"", TANDEM_UNSUPPORTED,
         "config.json: model_type: \"t5\" is not a known architecture, expected one of bert"},
        {CONFIG, "\"model_type\": \"bert\"", "\"model_type\": 5", TANDEM_UNSUPPORTED, "5 is not"},
        {CONFIG, "\"model_type\": \"bert\"", "\"architectures\": [\"GPT2Model\"]",
         TANDEM_UNSUPPORTED, "architectures: \"GPT2Model\" is not a known architecture"},
        {CONFIG, "\"model_type\": \"bert\"", "\"architectures\": [\"BertJapaneseModel\"]",
         TANDEM_UNSUPPORTED, "architectures"},
        {CONFIG, "\"model_type\": \"bert\"", "\"architectures\": [7]", TANDEM_UNSUPPORTED, "7"},
        {CONFIG, "\"model_type\": \"bert\"", "\"architectures\": []", TANDEM_UNSUPPORTED,
         "model_type: nothing"},
        {CONFIG, "\"hidden_act\": \"gelu\"", "\"hidden_act\": \"mish\"", TANDEM_UNSUPPORTED,
         "hidden_act: \"mish\", expected gelu, gelu_new"},
        {CONFIG, "\"absolute\"", "\"relative_key\"", TANDEM_UNSUPPORTED,
         "position_embedding_type: \"relative_key\", expected \"absolute\""},
        {CONFIG, "\"pad_token_id\": 0", "\"is_decoder\": true", TANDEM_UNSUPPORTED,
         "is_decoder: true"},
        {CONFIG, "\"pad_token_id\": 0", "\"quantization_config\": {\"bits\":4}", TANDEM_UNSUPPORTED,
         "quantization_config"},
        {CONFIG, "\"pad_token_id\": 0", "\"pruned_heads\": {\"0\":[1]}", TANDEM_UNSUPPORTED,
         "pruned_heads"},
        {CONFIG, NULL, "{", TANDEM_FORMAT, "memory/config.json: not valid JSON at line 1"},
        {CONFIG, NULL, "[1]", TANDEM_FORMAT, "config.json: an array of 1, expected an object"},
        {CONFIG, NULL, "", TANDEM_FORMAT, "config.json: not valid JSON"},
        {CONFIG, NULL, "{\"a\": \"\xff\"}", TANDEM_FORMAT, "config.json: not valid JSON"},
    };
    CHECK_ALL(cases);
}

static void refuses_modules(void **state) {
    (void)state;
#define MODULE(name, path)                                                                         \
    "{\"type\":\"sentence_transformers.models." name "\",\"path\":\"" path "\"}"
    static const refusal cases[] = {
        {MODULES, NULL, "{}", TANDEM_FORMAT, "modules.json: an object of 0, expected an array"},
        {MODULES, NULL, "[]", TANDEM_UNSUPPORTED, "modules.json: no Transformer module"},
        {MODULES, NULL, "[3]", TANDEM_FORMAT, "modules.json: 3, expected an object"},
        {MODULES, NULL, "[{\"type\":\"custom_st.Transformer\"}]", TANDEM_UNSUPPORTED,
         "type: \"custom_st.Transformer\" is code of the model's own"},
        {MODULES, NULL, "[{\"type\":\"sentence_transformers.models.LSTM\"}]", TANDEM_UNSUPPORTED,
         "type: \"sentence_transformers.models.LSTM\", expected Transformer, Pooling"},
        {MODULES, NULL, "[{\"type\":1}]", TANDEM_FORMAT, "modules.json: type: 1"},
        {MODULES, NULL, "[" MODULE("Transformer", "../x") "]", TANDEM_FORMAT, "path: \"../x\""},
        {MODULES, NULL, "[" MODULE("Transformer", "a/../../x") "]", TANDEM_FORMAT, "path"},
        {MODULES, NULL, "[" MODULE("Transformer", "/etc") "]", TANDEM_FORMAT, "path: \"/etc\""},
        {MODULES, NULL, "[" MODULE("Transformer", "c:x") "]", TANDEM_FORMAT, "path: \"c:x\""},
        {MODULES, NULL, "[" MODULE("Transformer", "0_T") "]", TANDEM_NOT_FOUND,
         "memory/0_T/config.json: no such file"},
        {MODULES, NULL, "[" MODULE("Transformer", "") "," MODULE("Pooling", "2_Pooling") "]",
         TANDEM_NOT_FOUND, "memory/2_Pooling/config.json: no such file, a Pooling needs it"},
        {MODULES, NULL, "[" MODULE("Transformer", "") "," MODULE("Transformer", "") "]",
         TANDEM_UNSUPPORTED, "memory/modules.json: two Transformer modules"},
        {MODULES, NULL, "[" MODULE("Pooling", "1_Pooling") "]", TANDEM_UNSUPPORTED,
         "memory/modules.json: a Pooling module at this place"},
        {MODULES, NULL, "[" MODULE("Transformer", "") "," MODULE("Normalize", "") "]",
         TANDEM_UNSUPPORTED, "memory/modules.json: a Normalize module at this place"},
    };
    CHECK_ALL(cases);
}

static void refuses_poolings(void **state) {
    (void)state;
    static const refusal cases[] = {
        {POOLING, "\"pooling_mode_cls_token\": false", "\"pooling_mode_cls_token\": 1",
         TANDEM_FORMAT, "pooling_mode_cls_token: 1, expected true or false"},
        {POOLING, NULL, "{\"pooling_mode\":\"median\"}", TANDEM_FORMAT, "pooling_mode: \"median\""},
        {POOLING, NULL, "{\"pooling_mode\":[\"mean\",\"median\"]}", TANDEM_FORMAT,
         "1_Pooling/config.json: pooling_mode: \"median\", expected mean, cls, max, lasttoken"},
        {POOLING, NULL, "{\"pooling_mode\":[\"mean\",7]}", TANDEM_FORMAT, "pooling_mode: 7"},
        {POOLING, NULL,
         "{\"pooling_mode\":[\"mean\",\"mean\",\"mean\",\"mean\",\"mean\",\"mean\",\"mean\"]}",
         TANDEM_CAPACITY, "pooling_mode: over 6 modes"},
        {POOLING, NULL, "{\"pooling_mode\":[]}", TANDEM_FORMAT, "pooling_mode: nothing"},
        {POOLING, NULL, "{\"pooling_mode\":7}", TANDEM_FORMAT, "pooling_mode: 7"},
        {POOLING, NULL, "{\"include_prompt\":\"no\"}", TANDEM_FORMAT, "include_prompt: \"no\""},
    };
    CHECK_ALL(cases);
}

static void refuses_settings(void **state) {
    (void)state;
    static const refusal cases[] = {
        {TRUNK, NULL, "{\"max_seq_length\":0}", TANDEM_FORMAT,
         "sentence_bert_config.json: max_seq_length: 0"},
        {TRUNK, NULL, "{\"max_seq_length\":\"x\"}", TANDEM_FORMAT, "max_seq_length: \"x\""},
        {TRUNK, NULL, "{\"transformer_task\":\"fill-mask\"}", TANDEM_UNSUPPORTED,
         "sentence_bert_config.json: transformer_task: \"fill-mask\", expected feature-extraction"},
        {TRUNK, NULL, "{\"transformer_task\":\"retrieval\"}", TANDEM_UNSUPPORTED, "\"retrieval\""},
        {TRUNK, NULL, "{\"module_output_name\":\"sentence_embedding\"}", TANDEM_UNSUPPORTED,
         "module_output_name: \"sentence_embedding\", expected \"token_embeddings\""},
        {TRUNK, NULL, "{\"modality_config\":{\"text\":{\"method\":\"get_text_features\"}}}",
         TANDEM_UNSUPPORTED, "method: \"get_text_features\", expected \"forward\""},
        {TRUNK, NULL, "{\"modality_config\":{\"text\":{\"method_output_name\":\"pooler_output\"}}}",
         TANDEM_UNSUPPORTED,
         "method_output_name: \"pooler_output\", expected \"last_hidden_state\""},
        {TRUNK, NULL, "{\"query_length\":32}", TANDEM_UNSUPPORTED, "query_length: 32"},
        {TRUNK, NULL, "{\"document_length\":300}", TANDEM_UNSUPPORTED, "document_length: 300"},
        {TRUNK, NULL, "{\"query_expansion\":true}", TANDEM_UNSUPPORTED, "query_expansion: true"},
        {TRUNK, NULL, "{\"processing_kwargs\":{\"text\":{\"max_length\":9}}}", TANDEM_UNSUPPORTED,
         "processing_kwargs: text: max_length: 9"},
        {TRUNK, NULL, "{\"processing_kwargs\":{\"common\":{\"add_special_tokens\":false}}}",
         TANDEM_UNSUPPORTED, "processing_kwargs: common: add_special_tokens: false"},
        {TRUNK, NULL, "{\"config_kwargs\":{\"hidden_size\":3}}", TANDEM_UNSUPPORTED,
         "config_kwargs: hidden_size: 3"},
        {TRUNK, NULL, "{\"do_lower_case\":3}", TANDEM_FORMAT, "do_lower_case: 3"},
        {SENTENCE, NULL, "{\"prompts\":7}", TANDEM_FORMAT,
         "config_sentence_transformers.json: prompts: 7"},
        {SENTENCE, NULL, "{\"prompts\":{\"a\":1}}", TANDEM_FORMAT, "prompts: a: 1"},
        {SENTENCE, NULL, "{\"default_prompt_name\":\"a\"}", TANDEM_FORMAT,
         "default_prompt_name: \"a\", expected one of the prompts"},
        {SENTENCE, NULL, "{\"truncate_dim\":-4}", TANDEM_FORMAT, "truncate_dim: -4"},
        {SENTENCE, NULL, "{\"similarity_fn_name\":4}", TANDEM_FORMAT, "similarity_fn_name: 4"},
        {SENTENCE, NULL, "{\"model_type\":4}", TANDEM_FORMAT, "model_type: 4"},
    };
    CHECK_ALL(cases);
}

static void refuses_weights(void **state) {
    (void)state;
    static const refusal cases[] = {
        {WEIGHTS, Q0 ".weight\":{\"dtype\":\"F32\",\"shape\":[32,32]",
         Q0 ".weight\":{\"dtype\":\"F32\",\"shape\":[16,64]", TANDEM_FORMAT,
         "memory/model.safetensors: " Q0 ".weight: shape [16,64], expected [32,32]"},
        {WEIGHTS, Q0 ".bias\":{\"dtype\":\"F32\",\"shape\":[32]",
         Q0 ".bias\":{\"dtype\":\"F32\",\"shape\":[1,32]", TANDEM_FORMAT,
         Q0 ".bias: shape [1,32], expected [32]"},
        {WEIGHTS, Q0 ".bias\":{\"dtype\":\"F32\",\"shape\":[32]",
         Q0 ".bias\":{\"dtype\":\"I32\",\"shape\":[32]", TANDEM_UNSUPPORTED,
         Q0 ".bias: dtype I32, expected F32, F16 or BF16"},
        {WEIGHTS, Q0 ".weight", "x", TANDEM_FORMAT, Q0 ".weight: no such tensor"},
        {WEIGHTS, "embeddings.LayerNorm.weight", "embeddings.LayerNorm.x", TANDEM_FORMAT,
         "embeddings.LayerNorm.weight: no such tensor"},
        {CONFIG, "\"BertModel\"", "\"BertForSequenceClassification\"", TANDEM_FORMAT,
         "pooler.dense.weight: no such tensor, the model needs it"},
    };
    CHECK_ALL(cases);
    documents *docs = documents_load(TINY_BERT);
    documents_remove(docs, WEIGHTS);
    tandem_source *source = NULL;
    tandem_error err = {0};
    assert_int_equal(tandem__source_open_memory(docs->list, docs->count, &source, &err),
                     TANDEM_NOT_FOUND);
    assert_string_equal(err.message, "memory/model.safetensors: no such document");
    documents_free(docs);
}

#define THREE                                                                                      \
    "[{\"type\":\"sentence_transformers.models.Transformer\",\"path\":\"\"},"                      \
    "{\"type\":\"sentence_transformers.models.Pooling\",\"path\":\"1_Pooling\"},"                  \
    "{\"type\":\"sentence_transformers.models.Dense\",\"path\":\"2_Dense\"}]"

static void refuses_dense_modules(void **state) {
    (void)state;
    static const struct {
        const char *text;
        tandem_status status;
        const char *message;
    } cases[] = {
        {"{}", TANDEM_FORMAT, "2_Dense/config.json: in_features: nothing"},
        {"{\"in_features\":32}", TANDEM_FORMAT, "out_features: nothing"},
        {"{\"in_features\":32,\"out_features\":-1}", TANDEM_FORMAT, "out_features: -1"},
        {"{\"in_features\":31,\"out_features\":8}", TANDEM_FORMAT, "in_features: 31, expected 32"},
        {"{\"in_features\":32,\"out_features\":8,\"activation_function\":\"my.Act\"}",
         TANDEM_UNSUPPORTED, "activation_function: \"my.Act\""},
        {"{\"in_features\":32,\"out_features\":8,\"activation_function\":"
         "\"torch.nn.modules.activation.Hardtanh\"}",
         TANDEM_UNSUPPORTED, "2_Dense/config.json: activation_function: \"torch.nn.modules."},
        {"{\"in_features\":32,\"out_features\":8,\"use_residual\":7}", TANDEM_FORMAT,
         "use_residual: 7"},
        {"{\"in_features\":32,\"out_features\":8,\"module_input_name\":\"token_embeddings\"}",
         TANDEM_UNSUPPORTED, "module_input_name: \"token_embeddings\""},
        {"{\"in_features\":32,\"out_features\":8}", TANDEM_NOT_FOUND,
         "memory/2_Dense/model.safetensors: no such document"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        documents *docs = documents_load(TINY_BERT);
        documents_set_text(docs, MODULES, THREE);
        documents_set_text(docs, DENSE, cases[i].text);
        tandem_source *source = NULL;
        tandem_error err = {0};
        const tandem_status status =
            tandem__source_open_memory(docs->list, docs->count, &source, &err);
        if (status != cases[i].status || strstr(err.message, cases[i].message) == NULL) {
            fail_msg("%s: status %d \"%s\"", cases[i].text, status, err.message);
        }
        documents_free(docs);
    }
}

/* Modules that are known by name and not run: refused by file and name. */
static void refuses_modules_by_name(void **state) {
    (void)state;
    static const char *const names[] = {
        "sentence_transformers.models.LSTM",
        "sentence_transformers.models.CNN",
        "sentence_transformers.models.BoW",
        "sentence_transformers.models.WordEmbeddings",
        "sentence_transformers.models.WordWeights",
        "sentence_transformers.models.WeightedLayerPooling",
        "sentence_transformers.models.CLIPModel",
        "sentence_transformers.models.Asym",
        "sentence_transformers.sentence_transformer.modules.static_embedding.StaticEmbedding",
        "sentence_transformers.base.modules.router.Router",
        "sentence_transformers.sparse_encoder.modules.sparse_auto_encoder.SparseAutoEncoder",
        "sentence_transformers.sparse_encoder.modules.SparseStaticEmbedding",
        "sentence_transformers.cross_encoder.modules.logit_score.LogitScore",
    };
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        char modules[300];
        char message[200];
        (void)snprintf(modules, sizeof modules,
                       "[{\"type\":\"sentence_transformers.models.Transformer\",\"path\":\"\"},"
                       "{\"type\":\"%s\",\"path\":\"1_X\"}]",
                       names[i]);
        (void)snprintf(message, sizeof message,
                       "memory/modules.json: type: \"%s\", expected Transformer, Pooling",
                       names[i]);
        check(&(refusal){MODULES, NULL, modules, TANDEM_UNSUPPORTED, message});
    }
}

#define SPLADE(transformer, after)                                                                 \
    "[{\"type\":\"sentence_transformers.models." transformer "\",\"path\":\"\"},"                  \
    "{\"type\":\"sentence_transformers.models.SpladePooling\",\"path\":\"1_Pooling\"}" after "]"

static void refuses_sparse_modules(void **state) {
    (void)state;
    static const refusal cases[] = {
        {MODULES, NULL, SPLADE("Transformer", ""), TANDEM_UNSUPPORTED,
         "transformer_task: \"feature-extraction\", expected fill-mask before a SpladePooling"},
        {MODULES, NULL, SPLADE("MLMTransformer", ""), TANDEM_FORMAT,
         "cls.predictions.transform.dense.weight: no such tensor, the model needs it"},
        {MODULES, NULL,
         SPLADE("MLMTransformer",
                ",{\"type\":\"sentence_transformers.models.Normalize\",\"path\":\"2\"}"),
         TANDEM_UNSUPPORTED, "a Normalize module after SpladePooling"},
    };
    CHECK_ALL(cases);
    static const refusal settings[] = {
        {POOLING, NULL, "{\"pooling_strategy\":\"mean\"}", TANDEM_UNSUPPORTED,
         "1_Pooling/config.json: pooling_strategy: \"mean\", expected max or sum"},
        {POOLING, NULL, "{\"activation_function\":\"gelu\"}", TANDEM_UNSUPPORTED,
         "activation_function: \"gelu\", expected relu or log1p_relu"},
    };
    for (size_t i = 0; i < sizeof settings / sizeof settings[0]; i++) {
        documents *docs = documents_load(TINY_BERT);
        documents_set_text(docs, MODULES, SPLADE("MLMTransformer", ""));
        documents_set_text(docs, POOLING, settings[i].to);
        tandem_source *source = NULL;
        tandem_error err = {0};
        assert_int_equal(tandem__source_open_memory(docs->list, docs->count, &source, &err),
                         settings[i].status);
        if (strstr(err.message, settings[i].message) == NULL) fail_msg("%s", err.message);
        documents_free(docs);
    }
}

static void refuses_norm_modules(void **state) {
    (void)state;
    static const refusal cases[] = {
        {DENSE, NULL, "{}", TANDEM_FORMAT, "2_Dense/config.json: dimension: nothing"},
        {DENSE, NULL, "{\"dimension\":33}", TANDEM_FORMAT,
         "2_Dense/config.json: dimension: 33, expected 32"},
        {DENSE, NULL, "{\"dimension\":32}", TANDEM_NOT_FOUND, "memory/2_Dense/model.safetensors"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        documents *docs = documents_load(TINY_BERT);
        documents_set_text(docs, MODULES, THREE);
        documents_edit(docs, MODULES, "models.Dense", "models.LayerNorm");
        documents_set_text(docs, DENSE, cases[i].to);
        tandem_source *source = NULL;
        tandem_error err = {0};
        assert_int_equal(tandem__source_open_memory(docs->list, docs->count, &source, &err),
                         cases[i].status);
        if (strstr(err.message, cases[i].message) == NULL) fail_msg("%s", err.message);
        documents_free(docs);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(refuses_sizes),          cmocka_unit_test(refuses_kinds),
        cmocka_unit_test(refuses_modules),        cmocka_unit_test(refuses_poolings),
        cmocka_unit_test(refuses_settings),       cmocka_unit_test(refuses_weights),
        cmocka_unit_test(refuses_dense_modules),  cmocka_unit_test(refuses_modules_by_name),
        cmocka_unit_test(refuses_sparse_modules), cmocka_unit_test(refuses_norm_modules),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
