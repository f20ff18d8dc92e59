/* SPDX-License-Identifier: Apache-2.0 */
/* Text Embeddings Inference: /rerank and /predict.
 *
 * TEI makes scores of logits by itself, a sigmoid of one label and a softmax of several, whatever
 * the model's configuration says; so do we. Both answers come highest score first. */
#include "base/fail.h"
#include "base/json_text.h"
#include "server/answers.h"
#include "server/fields.h"
#include "server/inputs.h"
#include "server/routes_tei.h"

#define PREDICT_EXPECTED                                                                           \
    "a string, a pair of strings [string, string] or a batch of mixed strings and pairs "          \
    "[[string], [string, string], ...]"

static tandem_status read_raw_scores(server_ask *ask, const tandem_json *body, tandem_error *err) {
    ask->request.task = TANDEM_TASK_CLASSIFY;
    ask->request.scoring =
        ask->model->info.labels == 1 ? TANDEM_SCORING_SIGMOID : TANDEM_SCORING_SOFTMAX;
    return server_field_bool(ask, body, "raw_scores", &ask->request.raw_scores, err);
}

/* What the answer shows lives as long as the ask; the body need not. */
static tandem_status keep_texts(server_ask *ask, tandem_text *texts, size_t count,
                                tandem_error *err) {
    for (size_t i = 0; i < count; i++) {
        texts[i].ptr = tandem__arena_copy(ask->arena, texts[i].ptr, texts[i].len);
        if (texts[i].ptr == NULL) return TANDEM_FAIL(err, MEMORY, "no memory for the texts");
    }
    return TANDEM_OK;
}

tandem_status server_tei_rerank_read(server_ask *ask, const tandem_json *body, tandem_error *err) {
    server_tei *own = NULL;
    TANDEM_TRY(server_tei_begin(ask, body, &own, err));
    tandem_str query = {NULL, 0};
    TANDEM_TRY(server_field_str(ask, body, "query", &query, err));
    if (query.ptr == NULL) return server_field_missing(ask, "query", "a string", err);
    const tandem_json *list = server_field(body, "texts");
    if (list == NULL) return server_field_missing(ask, "texts", "a list of strings", err);
    if (list->kind != TANDEM_JSON_ARRAY)
        return server_field_fail(ask, "texts", list, "a list of strings", err);
    if (list->count == 0) return server_field_empty(ask, "texts", err);
    TANDEM_TRY(server_read_model(ask, body, SERVER_NEED_RERANK, err));
    TANDEM_TRY(server_read_common(ask, body, err));
    TANDEM_TRY(server_tei_truncation(ask, body, "truncate", "truncation_direction", err));
    TANDEM_TRY(read_raw_scores(ask, body, err));
    TANDEM_TRY(server_field_bool(ask, body, "return_text", &own->returns_text, err));
    TANDEM_TRY(server_check_batch(ask, "texts", list->count, err));
    tandem_text *pairs = NULL;
    tandem_text *texts = server_ask_array(ask, list->count, sizeof *texts, err);
    if (texts == NULL) return TANDEM_MEMORY;
    TANDEM_TRY(server_texts_read(ask, list, "texts", &pairs, err));
    for (size_t i = 0; i < list->count; i++) {
        if (query.len == 0 && pairs[i].len == 0)
            return server_field_empty(ask, server_field_item(ask, "texts", i), err);
        texts[i] = (tandem_text){query.ptr, query.len};
        own->characters += server_characters(texts[0]) + server_characters(pairs[i]);
    }
    if (own->returns_text) TANDEM_TRY(keep_texts(ask, pairs, list->count, err));
    ask->texts_field = "texts";
    ask->request.texts = texts;
    ask->request.pairs = pairs;
    ask->request.count = list->count;
    return TANDEM_OK;
}

tandem_status server_tei_rerank_write(server_ask *ask, const tandem_result *result, size_t *row,
                                      tandem_buffer *out, tandem_error *err) {
    server_tei *own = ask->own;
    if (*row == 0) {
        TANDEM_TRY(server_tei_headers(ask, result, err));
        TANDEM_TRY(server_rank(ask, result->vectors, result->count, &own->order, err));
    }
    size_t i = *row;
    for (; i < result->count && (i == *row || !server_slice_is_full(out)); i++) {
        const uint32_t index = own->order[i];
        TANDEM_TRY(server_push(out, i == 0 ? "[{\"index\":" : ",{\"index\":", err));
        TANDEM_TRY(server_push_int(out, index, err));
        if (own->returns_text) {
            const tandem_text text = ask->request.pairs[index];
            TANDEM_TRY(server_push(out, ",\"text\":", err));
            TANDEM_TRY(tandem__json_text_string(out, (tandem_str){text.ptr, text.len}, err));
        }
        TANDEM_TRY(server_push(out, ",\"score\":", err));
        TANDEM_TRY(server_push_float(out, result->vectors[index], err));
        TANDEM_TRY(server_push(out, "}", err));
    }
    *row = i;
    if (i < result->count) return TANDEM_OK;
    *row = SERVER_ROWS_DONE;
    return server_push(out, "]", err);
}

/* One text, or a pair of them, from the strings of `list`. */
static tandem_status read_sequence(server_ask *ask, const tandem_json *list, const char *name,
                                   tandem_text sequence[2], tandem_error *err) {
    if (list->kind != TANDEM_JSON_ARRAY || list->count < 1 || list->count > 2)
        return server_field_fail(ask, name, list, PREDICT_EXPECTED, err);
    tandem_text *texts = NULL;
    TANDEM_TRY(server_texts_read(ask, list, name, &texts, err));
    sequence[0] = texts[0];
    sequence[1] = list->count == 2 ? texts[1] : (tandem_text){NULL, 0};
    if (sequence[0].len + sequence[1].len == 0) return server_field_empty(ask, name, err);
    return TANDEM_OK;
}

/* `first` and its siblings, each a list of one or two strings. */
static tandem_status read_sequences(server_ask *ask, const tandem_json *first, size_t count,
                                    server_tei *own, tandem_error *err) {
    tandem_text *texts = server_ask_array(ask, count, sizeof *texts, err);
    tandem_text *pairs = server_ask_array(ask, count, sizeof *pairs, err);
    if (texts == NULL || pairs == NULL) return TANDEM_MEMORY;
    const bool are_pairs = first->count == 2;
    const tandem_json *item = first;
    for (size_t i = 0; i < count; i++, item = item->next) {
        const char *name = count == 1 ? "inputs" : server_field_item(ask, "inputs", i);
        tandem_text sequence[2] = {{NULL, 0}, {NULL, 0}};
        TANDEM_TRY(read_sequence(ask, item, name, sequence, err));
        if ((item->count == 2) != are_pairs) {
            return server_field_fail(
                ask, name, item, are_pairs ? "a pair, as the others" : "one text, as the others",
                err);
        }
        texts[i] = sequence[0];
        pairs[i] = sequence[1];
        own->characters += server_characters(sequence[0]) + server_characters(sequence[1]);
    }
    ask->request.texts = texts;
    ask->request.pairs = are_pairs ? pairs : NULL;
    ask->request.count = count;
    return TANDEM_OK;
}

static tandem_status read_predict_inputs(server_ask *ask, const tandem_json *body, server_tei *own,
                                         tandem_error *err) {
    const tandem_json *inputs = server_field(body, "inputs");
    if (inputs == NULL) return server_field_missing(ask, "inputs", PREDICT_EXPECTED, err);
    ask->texts_field = "inputs";
    own->is_single = ask->is_single = true;
    if (inputs->kind == TANDEM_JSON_STRING) {
        tandem_text *text = server_ask_array(ask, 1, sizeof *text, err);
        if (text == NULL) return TANDEM_MEMORY;
        if (inputs->text.len == 0) return server_field_empty(ask, "inputs", err);
        *text = (tandem_text){inputs->text.ptr, inputs->text.len};
        own->characters = server_characters(*text);
        ask->request.texts = text;
        ask->request.count = 1;
        return TANDEM_OK;
    }
    if (inputs->kind != TANDEM_JSON_ARRAY || inputs->count == 0)
        return server_field_fail(ask, "inputs", inputs, PREDICT_EXPECTED, err);
    if (inputs->first->kind != TANDEM_JSON_ARRAY) return read_sequences(ask, inputs, 1, own, err);
    own->is_single = ask->is_single = false;
    TANDEM_TRY(server_check_batch(ask, "inputs", inputs->count, err));
    return read_sequences(ask, inputs->first, inputs->count, own, err);
}

/* The Hub's inference API puts `top_k` and `function_to_apply` into `parameters`, and its client
 * expects the answer for one text in a list. */
static tandem_status read_hub_parameters(server_ask *ask, const tandem_json *body, server_tei *own,
                                         tandem_error *err) {
    const tandem_json *parameters = server_field(body, "parameters");
    if (parameters == NULL) return TANDEM_OK;
    if (parameters->kind != TANDEM_JSON_OBJECT)
        return server_field_fail(ask, "parameters", parameters, "an object", err);
    own->is_nested = true;
    int64_t top = 0;
    TANDEM_TRY(server_field_int(ask, parameters, "parameters.top_k", (server_range){1, INT32_MAX},
                                &top, err));
    own->top = (uint32_t)top;
    tandem_str function = {NULL, 0};
    const char *name = "parameters.function_to_apply";
    TANDEM_TRY(server_field_str(ask, parameters, name, &function, err));
    if (function.ptr == NULL) return TANDEM_OK;
    if (tandem__str_is(function, "none"))
        ask->request.raw_scores = true;
    else if (tandem__str_is(function, "sigmoid"))
        ask->request.scoring = TANDEM_SCORING_SIGMOID;
    else if (tandem__str_is(function, "softmax"))
        ask->request.scoring = TANDEM_SCORING_SOFTMAX;
    else
        return server_field_fail(ask, name, server_field(parameters, name),
                                 "none, sigmoid or softmax", err);
    return TANDEM_OK;
}

/* Without a name, the first that has several labels; else a reranker will do. */
static tandem_status read_classifier(server_ask *ask, const tandem_json *body, tandem_error *err) {
    const server_catalog *catalog = ask->catalog;
    for (size_t i = 0; server_field(body, "model") == NULL && i < catalog->count; i++) {
        if (catalog->models[i].info.labels < 2) continue;
        ask->model = &catalog->models[i];
        return TANDEM_OK;
    }
    return server_read_model(ask, body, SERVER_NEED_CLASSIFY, err);
}

tandem_status server_tei_predict_read(server_ask *ask, const tandem_json *body, tandem_error *err) {
    server_tei *own = NULL;
    TANDEM_TRY(server_tei_begin(ask, body, &own, err));
    TANDEM_TRY(read_classifier(ask, body, err));
    TANDEM_TRY(server_read_common(ask, body, err));
    TANDEM_TRY(server_tei_truncation(ask, body, "truncate", "truncation_direction", err));
    TANDEM_TRY(read_raw_scores(ask, body, err));
    TANDEM_TRY(read_hub_parameters(ask, body, own, err));
    return read_predict_inputs(ask, body, own, err);
}

static tandem_status write_labels(server_ask *ask, const float *scores, tandem_buffer *out,
                                  tandem_error *err) {
    const server_tei *own = ask->own;
    const tandem_model_info *info = &ask->model->info;
    uint32_t *order = NULL;
    TANDEM_TRY(server_rank(ask, scores, (size_t)info->labels, &order, err));
    const uint32_t labels = (uint32_t)info->labels;
    const uint32_t count = own->top > 0 && own->top < labels ? own->top : labels;
    for (uint32_t i = 0; i < count; i++) {
        TANDEM_TRY(server_push(out, i == 0 ? "[{\"score\":" : ",{\"score\":", err));
        TANDEM_TRY(server_push_float(out, scores[order[i]], err));
        TANDEM_TRY(server_push(out, ",\"label\":", err));
        TANDEM_TRY(server_push_string(out, info->label_names[order[i]], err));
        TANDEM_TRY(server_push(out, "}", err));
    }
    return server_push(out, "]", err);
}

tandem_status server_tei_predict_write(server_ask *ask, const tandem_result *result, size_t *row,
                                       tandem_buffer *out, tandem_error *err) {
    const server_tei *own = ask->own;
    const bool is_list = !own->is_single || own->is_nested;
    if (*row == 0) TANDEM_TRY(server_tei_headers(ask, result, err));
    size_t i = *row;
    for (; i < result->count && (i == *row || !server_slice_is_full(out)); i++) {
        if (is_list) TANDEM_TRY(server_push(out, i == 0 ? "[" : ",", err));
        TANDEM_TRY(write_labels(ask, server_vector(result, i), out, err));
    }
    *row = i;
    if (i < result->count) return TANDEM_OK;
    *row = SERVER_ROWS_DONE;
    return is_list ? server_push(out, "]", err) : TANDEM_OK;
}
