/* SPDX-License-Identifier: Apache-2.0 */
/* Text Embeddings Inference: /embed, /embed_all, /embed_sparse, /similarity, and POST / that is one
 * of the routes by the model's task.
 *
 * Fields, defaults and error kinds are those of router/src/http/{types,server}.rs at 1.9.3. Fields
 * that it does not know are ignored, as serde does; `model`, `lane`, `priority`, `deadline_ms` and
 * `fallback` are tandem's own. */
#include <math.h>

#include "base/fail.h"
#include "base/json_text.h"
#include "server/answers.h"
#include "server/fields.h"
#include "server/inputs.h"
#include "server/routes_tei.h"

tandem_status server_tei_begin(server_ask *ask, const tandem_json *body, server_tei **own,
                               tandem_error *err) {
    TANDEM_TRY(server_body_object(ask, body, err));
    *own = server_ask_array(ask, 1, sizeof **own, err);
    if (*own == NULL) return TANDEM_MEMORY;
    ask->own = *own;
    return TANDEM_OK;
}

tandem_status server_tei_truncation(server_ask *ask, const tandem_json *object,
                                    const char *truncate, const char *direction,
                                    tandem_error *err) {
    bool is_cut = !ask->catalog->limits.refuse_long;
    TANDEM_TRY(server_field_bool(ask, object, truncate, &is_cut, err));
    ask->request.refuse_long = !is_cut;
    tandem_str side = {NULL, 0};
    TANDEM_TRY(server_field_str(ask, object, direction, &side, err));
    if (side.ptr == NULL || tandem__str_is(side, "right") || tandem__str_is(side, "Right"))
        return TANDEM_OK;
    const tandem_json *value = server_field(object, direction);
    if (!tandem__str_is(side, "left") && !tandem__str_is(side, "Left"))
        return server_field_fail(ask, direction, value, "Left or Right", err);
    ask->request.truncate_left = true;
    return TANDEM_OK;
}

static int64_t to_ms(uint64_t ns) {
    return (int64_t)(ns / 1000000);
}

tandem_status server_tei_headers(server_ask *ask, const tandem_result *result, tandem_error *err) {
    const server_tei *own = ask->own;
    const int64_t total = to_ms(result->tokenize_ns + result->queue_ns + result->infer_ns);
    if (ask->more_headers == NULL) return TANDEM_OK;
    TANDEM_TRY(tandem__buffer_printf(ask->more_headers, err, "x-compute-type: %s+%s\r\n",
                                     result->lane == NULL ? "none" : result->lane,
                                     result->dtype == NULL ? "none" : result->dtype));
    TANDEM_TRY(server_header_int(ask, "x-compute-time", total, err));
    TANDEM_TRY(server_header_int(ask, "x-compute-characters", (int64_t)own->characters, err));
    TANDEM_TRY(server_header_int(ask, "x-compute-tokens", server_tokens(result), err));
    TANDEM_TRY(server_header_int(ask, "x-total-time", total, err));
    TANDEM_TRY(server_header_int(ask, "x-tokenization-time", to_ms(result->tokenize_ns), err));
    TANDEM_TRY(server_header_int(ask, "x-queue-time", to_ms(result->queue_ns), err));
    TANDEM_TRY(server_header_int(ask, "x-inference-time", to_ms(result->infer_ns), err));
    return server_header_cut(ask, own->cut, err);
}

/* What /embed, /embed_all and /embed_sparse have in common. */
static tandem_status read_inputs(server_ask *ask, const tandem_json *body, server_need need,
                                 tandem_error *err) {
    server_tei *own = NULL;
    TANDEM_TRY(server_tei_begin(ask, body, &own, err));
    TANDEM_TRY(server_read_model(ask, body, need, err));
    TANDEM_TRY(server_read_common(ask, body, err));
    TANDEM_TRY(server_tei_truncation(ask, body, "truncate", "truncation_direction", err));
    TANDEM_TRY(server_field_word(ask, body, "prompt_name", &ask->request.prompt_name, err));
    server_inputs inputs = {.name = "inputs",
                            .is_cut_to_length = !ask->request.refuse_long,
                            .is_cut_left = ask->request.truncate_left};
    TANDEM_TRY(server_inputs_read(ask, body, &inputs, err));
    if (ask->request.id_offsets != NULL && ask->request.prompt_name != NULL)
        TANDEM_TRY(server_inputs_decode(ask, err));
    if (ask->request.id_offsets != NULL) {
        // The engine takes ids as they are, and these have been checked and cut.
        ask->request.refuse_long = false;
        ask->request.truncate_left = false;
    }
    own->characters = inputs.characters;
    own->cut = inputs.cut;
    return TANDEM_OK;
}

tandem_status server_tei_embed_read(server_ask *ask, const tandem_json *body, tandem_error *err) {
    TANDEM_TRY(read_inputs(ask, body, SERVER_NEED_EMBED, err));
    bool is_normalized = true;
    TANDEM_TRY(server_field_bool(ask, body, "normalize", &is_normalized, err));
    ask->request.force_normalize = is_normalized;
    ask->request.skip_normalize = !is_normalized;
    return server_read_dimensions(ask, body, err);
}

tandem_status server_tei_embed_write(server_ask *ask, const tandem_result *result, size_t *row,
                                     tandem_buffer *out, tandem_error *err) {
    if (*row == 0) TANDEM_TRY(server_tei_headers(ask, result, err));
    size_t i = *row;
    for (; i < result->count && (i == *row || !server_slice_is_full(out)); i++) {
        TANDEM_TRY(server_push(out, i == 0 ? "[" : ",", err));
        TANDEM_TRY(tandem__json_text_floats(out, server_vector(result, i),
                                            (size_t)result->dimensions, err));
    }
    *row = i;
    if (i < result->count) return TANDEM_OK;
    *row = SERVER_ROWS_DONE;
    return server_push(out, "]", err);
}

tandem_status server_tei_embed_all_read(server_ask *ask, const tandem_json *body,
                                        tandem_error *err) {
    TANDEM_TRY(read_inputs(ask, body, SERVER_NEED_EMBED, err));
    ask->request.task = TANDEM_TASK_EMBED_ALL;
    return TANDEM_OK;
}

/* The vectors of one text from own->token on until the slice is full. */
static tandem_status write_tokens(server_tei *own, const tandem_result *result, size_t text,
                                  tandem_buffer *out, tandem_error *err) {
    const size_t first = (size_t)result->texts[text].first_row;
    const size_t count = (size_t)result->texts[text].tokens;
    if (own->token == 0) TANDEM_TRY(server_push(out, text == 0 ? "[[" : ",[", err));
    while (own->token < count && (own->token == 0 || !server_slice_is_full(out))) {
        if (own->token > 0) TANDEM_TRY(server_push(out, ",", err));
        TANDEM_TRY(tandem__json_text_floats(out, server_vector(result, first + own->token),
                                            (size_t)result->dimensions, err));
        own->token++;
    }
    return own->token < count ? TANDEM_OK : server_push(out, "]", err);
}

/* `*row` is the text; own->token is the place in it. */
tandem_status server_tei_embed_all_write(server_ask *ask, const tandem_result *result, size_t *row,
                                         tandem_buffer *out, tandem_error *err) {
    server_tei *own = ask->own;
    if (*row == 0 && own->token == 0) TANDEM_TRY(server_tei_headers(ask, result, err));
    do {
        TANDEM_TRY(write_tokens(own, result, *row, out, err));
        if (own->token < (size_t)result->texts[*row].tokens) return TANDEM_OK;
        own->token = 0;
        (*row)++;
    } while (*row < result->count && !server_slice_is_full(out));
    if (*row < result->count) return TANDEM_OK;
    *row = SERVER_ROWS_DONE;
    return server_push(out, "]", err);
}

tandem_status server_tei_sparse_read(server_ask *ask, const tandem_json *body, tandem_error *err) {
    TANDEM_TRY(read_inputs(ask, body, SERVER_NEED_SPARSE, err));
    ask->request.task = TANDEM_TASK_EMBED_SPARSE;
    return TANDEM_OK;
}

static tandem_status write_sparse(const tandem_result *result, size_t text, tandem_buffer *out,
                                  tandem_error *err) {
    TANDEM_TRY(server_push(out, "[", err));
    const int64_t first = result->sparse_offsets[text];
    for (int64_t i = first; i < result->sparse_offsets[text + 1]; i++) {
        TANDEM_TRY(server_push(out, i == first ? "{\"index\":" : ",{\"index\":", err));
        TANDEM_TRY(server_push_int(out, result->sparse_ids[i], err));
        TANDEM_TRY(server_push(out, ",\"value\":", err));
        TANDEM_TRY(server_push_float(out, result->sparse_weights[i], err));
        TANDEM_TRY(server_push(out, "}", err));
    }
    return server_push(out, "]", err);
}

tandem_status server_tei_sparse_write(server_ask *ask, const tandem_result *result, size_t *row,
                                      tandem_buffer *out, tandem_error *err) {
    if (*row == 0) TANDEM_TRY(server_tei_headers(ask, result, err));
    size_t i = *row;
    for (; i < result->count && (i == *row || !server_slice_is_full(out)); i++) {
        TANDEM_TRY(server_push(out, i == 0 ? "[" : ",", err));
        TANDEM_TRY(write_sparse(result, i, out, err));
    }
    *row = i;
    if (i < result->count) return TANDEM_OK;
    *row = SERVER_ROWS_DONE;
    return server_push(out, "]", err);
}

/* The source sentence is text 0, the others follow. */
static tandem_status read_sentences(server_ask *ask, const tandem_json *inputs, server_tei *own,
                                    tandem_error *err) {
    tandem_str source = {NULL, 0};
    TANDEM_TRY(server_field_str(ask, inputs, "inputs.source_sentence", &source, err));
    if (source.ptr == NULL)
        return server_field_missing(ask, "inputs.source_sentence", "a string", err);
    const tandem_json *list = server_field(inputs, "inputs.sentences");
    if (list == NULL)
        return server_field_missing(ask, "inputs.sentences", "a list of strings", err);
    if (list->kind != TANDEM_JSON_ARRAY)
        return server_field_fail(ask, "inputs.sentences", list, "a list of strings", err);
    if (list->count == 0) return server_field_empty(ask, "inputs.sentences", err);
    const size_t count = (size_t)list->count + 1;
    TANDEM_TRY(server_check_batch(ask, "inputs.sentences", count, err));
    tandem_text *sentences = NULL;
    tandem_text *texts = server_ask_array(ask, count, sizeof *texts, err);
    if (texts == NULL) return TANDEM_MEMORY;
    TANDEM_TRY(server_texts_read(ask, list, "inputs.sentences", &sentences, err));
    texts[0] = (tandem_text){source.ptr, source.len};
    for (size_t i = 0; i < count; i++) {
        if (i > 0) texts[i] = sentences[i - 1];
        if (texts[i].len == 0 && i == 0)
            return server_field_empty(ask, "inputs.source_sentence", err);
        if (texts[i].len == 0)
            return server_field_empty(ask, server_field_item(ask, "inputs.sentences", i - 1), err);
        own->characters += server_characters(texts[i]);
    }
    ask->request.texts = texts;
    ask->request.count = count;
    return TANDEM_OK;
}

tandem_status server_tei_similarity_read(server_ask *ask, const tandem_json *body,
                                         tandem_error *err) {
    server_tei *own = NULL;
    TANDEM_TRY(server_tei_begin(ask, body, &own, err));
    TANDEM_TRY(server_read_model(ask, body, SERVER_NEED_EMBED, err));
    TANDEM_TRY(server_read_common(ask, body, err));
    const tandem_json *parameters = server_field(body, "parameters");
    if (parameters != NULL && parameters->kind != TANDEM_JSON_OBJECT)
        return server_field_fail(ask, "parameters", parameters, "an object", err);
    TANDEM_TRY(server_tei_truncation(ask, parameters, "parameters.truncate",
                                     "parameters.truncation_direction", err));
    TANDEM_TRY(server_field_word(ask, parameters, "parameters.prompt_name",
                                 &ask->request.prompt_name, err));
    const tandem_json *inputs = server_field(body, "inputs");
    if (inputs == NULL)
        return server_field_missing(ask, "inputs", "an object with source_sentence and sentences",
                                    err);
    if (inputs->kind != TANDEM_JSON_OBJECT)
        return server_field_fail(ask, "inputs", inputs,
                                 "an object with source_sentence and sentences", err);
    ask->texts_field = "inputs.sentences";
    ask->request.skip_normalize = true;
    return read_sentences(ask, inputs, own, err);
}

static float cosine(const float *a, const float *b, int32_t n) {
    double dot = 0.0;
    double aa = 0.0;
    double bb = 0.0;
    for (int32_t i = 0; i < n; i++) {
        dot += (double)a[i] * (double)b[i];
        aa += (double)a[i] * (double)a[i];
        bb += (double)b[i] * (double)b[i];
    }
    return aa > 0.0 && bb > 0.0 ? (float)(dot / sqrt(aa * bb)) : 0.0f;
}

tandem_status server_tei_similarity_write(server_ask *ask, const tandem_result *result, size_t *row,
                                          tandem_buffer *out, tandem_error *err) {
    TANDEM_TRY(server_tei_headers(ask, result, err));
    for (size_t i = 1; i < result->count; i++) {
        TANDEM_TRY(server_push(out, i == 1 ? "[" : ",", err));
        const float score =
            cosine(server_vector(result, 0), server_vector(result, i), result->dimensions);
        TANDEM_TRY(server_push_float(out, score, err));
    }
    *row = SERVER_ROWS_DONE;
    return server_push(out, "]", err);
}

/* TEI gives POST / the route of its one model's task. Here the body may tell as well. */
tandem_status server_tei_task_read(server_ask *ask, const tandem_json *body, tandem_error *err) {
    TANDEM_TRY(server_body_object(ask, body, err));
    const tandem_json *inputs = server_field(body, "inputs");
    const bool is_rerank = server_field(body, "query") != NULL && inputs == NULL;
    server_read_function *read = server_tei_embed_read;
    server_write_function *write = server_tei_embed_write;
    TANDEM_TRY(server_read_model(ask, body, SERVER_NEED_ANY, err));
    if (is_rerank) {
        read = server_tei_rerank_read;
        write = server_tei_rerank_write;
    } else if (inputs != NULL && inputs->kind == TANDEM_JSON_OBJECT) {
        read = server_tei_similarity_read;
        write = server_tei_similarity_write;
    } else if (server_model_serves(ask->model, SERVER_NEED_CLASSIFY)) {
        read = server_tei_predict_read;
        write = server_tei_predict_write;
    } else if (!server_model_serves(ask->model, SERVER_NEED_EMBED)) {
        read = server_tei_sparse_read;
        write = server_tei_sparse_write;
    }
    TANDEM_TRY(read(ask, body, err));
    server_tei *own = ask->own;
    own->write = write;
    return TANDEM_OK;
}

tandem_status server_tei_task_write(server_ask *ask, const tandem_result *result, size_t *row,
                                    tandem_buffer *out, tandem_error *err) {
    const server_tei *own = ask->own;
    return own->write(ask, result, row, out, err);
}
