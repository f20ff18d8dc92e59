/* SPDX-License-Identifier: Apache-2.0 */
/* POST /v2/models/{model}/infer.
 *
 * Inputs are `text`, and `pair` for a classifier of pairs, BYTES of shape [n] or [n, 1]; or
 * `input_ids` [n, l] with its `attention_mask`, INT32 or INT64, as clients of exported encoders
 * send them. The output is `embedding` [n, d] or `scores` [n, labels], FP32.
 *
 * `parameters` may have Triton's `priority` (0 default, 1 highest) and `timeout` (microseconds),
 * and our own lane, deadline_ms, fallback, prompt_name, dimensions, normalize, truncate and
 * raw_scores. The model's own rule decides what a caller leaves out; texts are cut to length. */
#include <stdio.h>
#include <string.h>

#include "base/fail.h"
#include "base/json_text.h"
#include "base/number.h"
#include "server/answers.h"
#include "server/fields.h"
#include "server/kserve.h"

/* Where the JSON of a body ends. */
static tandem_status split_body(server_ask *ask, tandem_str bytes, tandem_str *json,
                                tandem_str *binary, tandem_error *err) {
    *json = bytes;
    *binary = (tandem_str){bytes.ptr + bytes.len, 0};
    const tandem_str header = ask->inference_header_length;
    if (header.ptr == NULL || header.len == 0) return TANDEM_OK;
    int64_t length = 0;
    if (!tandem__number_parse_int(header, &length) || length < 0 || (uint64_t)length > bytes.len) {
        ask->field = "Inference-Header-Content-Length";
        return TANDEM_FAIL(
            err, INVALID, "Inference-Header-Content-Length: \"%.*s\", expected 0 to the body's %zu",
            TANDEM_STR_ARG(header), bytes.len);
    }
    *json = (tandem_str){bytes.ptr, (size_t)length};
    *binary = (tandem_str){bytes.ptr + length, bytes.len - (size_t)length};
    return TANDEM_OK;
}

/* Triton's levels: 0 is the default, 1 the highest. 1 is realtime, 2 standard, 3 background, and
 * every further level waits longer. A word is tandem's own. */
static tandem_status read_priority(server_ask *ask, const tandem_json *parameters,
                                   tandem_error *err) {
    const tandem_json *node = server_field(parameters, "parameters.priority");
    if (node == NULL || node->kind == TANDEM_JSON_STRING) return TANDEM_OK;
    int64_t level = 0;
    const server_range range = {0, 1000};
    TANDEM_TRY(server_field_int(ask, parameters, "parameters.priority", range, &level, err));
    ask->has_priority = level > 0;
    const int32_t step = TANDEM_PRIORITY_STANDARD - TANDEM_PRIORITY_REALTIME;
    ask->request.priority = level == 0 ? TANDEM_PRIORITY_STANDARD
                                       : TANDEM_PRIORITY_REALTIME + ((int32_t)level - 1) * step;
    return TANDEM_OK;
}

static tandem_status read_parameters(server_ask *ask, const tandem_json *body, tandem_error *err) {
    kserve_own *own = ask->own;
    const tandem_json *parameters = server_field(body, "parameters");
    if (parameters == NULL) return TANDEM_OK;
    if (parameters->kind != TANDEM_JSON_OBJECT)
        return server_field_fail(ask, "parameters", parameters, "an object", err);
    tandem_request *request = &ask->request;
    TANDEM_TRY(server_read_common(ask, parameters, err));
    TANDEM_TRY(read_priority(ask, parameters, err));
    int64_t timeout_us = 0;
    TANDEM_TRY(server_field_int(ask, parameters, "parameters.timeout",
                                (server_range){0, (int64_t)1e12}, &timeout_us, err));
    if (timeout_us > 0 && request->deadline_ms <= 0.0)
        request->deadline_ms = (double)timeout_us / 1000.0;
    TANDEM_TRY(
        server_field_bool(ask, parameters, "parameters.binary_data_output", &own->is_binary, err));
    TANDEM_TRY(
        server_field_word(ask, parameters, "parameters.prompt_name", &request->prompt_name, err));
    bool is_cut = true;
    TANDEM_TRY(server_field_bool(ask, parameters, "parameters.truncate", &is_cut, err));
    request->refuse_long = !is_cut;
    TANDEM_TRY(
        server_field_bool(ask, parameters, "parameters.raw_scores", &request->raw_scores, err));
    const tandem_json *normalize = server_field(parameters, "parameters.normalize");
    if (normalize != NULL) {
        TANDEM_TRY(server_field_bool(ask, parameters, "parameters.normalize",
                                     &request->force_normalize, err));
        request->skip_normalize = !request->force_normalize;
    }
    return ask->model->info.has_embedding ? server_read_dimensions(ask, parameters, err)
                                          : TANDEM_OK;
}

const char *kserve_output(const server_model *model, int32_t *columns) {
    *columns = model->info.labels > 0 ? model->info.labels : model->info.dimensions;
    return model->info.labels > 0 ? "scores" : "embedding";
}

static tandem_status read_outputs(server_ask *ask, const tandem_json *body, tandem_error *err) {
    kserve_own *own = ask->own;
    int32_t columns = 0;
    const char *name = kserve_output(ask->model, &columns);
    const tandem_json *outputs = server_field(body, "outputs");
    if (outputs == NULL) return TANDEM_OK;
    if (outputs->kind != TANDEM_JSON_ARRAY)
        return server_field_fail(ask, "outputs", outputs, "a list of outputs", err);
    size_t i = 0;
    for (const tandem_json *node = outputs->first; node != NULL; node = node->next, i++) {
        const char *field = server_field_item(ask, "outputs", i);
        const tandem_json *wanted = server_field(node, "name");
        if (wanted == NULL || wanted->kind != TANDEM_JSON_STRING)
            return server_field_fail(ask, field, node, "an object with a name", err);
        if (!tandem__str_is(wanted->text, name) || i > 0) {
            ask->field = field;
            return TANDEM_FAIL(err, INVALID,
                               "unexpected inference output '%.*s' for model '%s', its output is "
                               "'%s'",
                               TANDEM_STR_ARG(wanted->text), ask->model->name, name);
        }
        const tandem_json *parameters = server_field(node, "parameters");
        if (parameters != NULL && parameters->kind != TANDEM_JSON_OBJECT)
            return server_field_fail(ask, field, parameters, "parameters that are an object", err);
        if (server_field(parameters, "classification") != NULL)
            return server_field_fail(ask, field, parameters, "no classification", err);
        TANDEM_TRY(
            server_field_bool(ask, parameters, "parameters.binary_data", &own->is_binary, err));
    }
    return TANDEM_OK;
}

static const kserve_tensor *find_tensor(const kserve_own *own, const char *name) {
    for (size_t i = 0; i < own->tensor_count; i++) {
        if (tandem__str_is(own->tensors[i].name, name)) return &own->tensors[i];
    }
    return NULL;
}

static tandem_status check_tensor(server_ask *ask, const kserve_tensor *tensor, size_t rows,
                                  tandem_error *err) {
    ask->field = tensor->field;
    if (tensor->rows != rows)
        return TANDEM_FAIL(err, INVALID, "%s: shape starts with %zu, expected %zu as the others",
                           tensor->field, tensor->rows, rows);
    const bool is_bytes = tandem__str_is(tensor->datatype, "BYTES");
    const bool is_text =
        tandem__str_is(tensor->name, "text") || tandem__str_is(tensor->name, "pair");
    const bool is_int =
        tandem__str_is(tensor->datatype, "INT64") || tandem__str_is(tensor->datatype, "INT32");
    if (is_text ? !is_bytes : !is_int)
        return TANDEM_FAIL(err, INVALID, "%s: input '%.*s' of data-type '%.*s', expected '%s'",
                           tensor->field, TANDEM_STR_ARG(tensor->name),
                           TANDEM_STR_ARG(tensor->datatype),
                           is_text ? "BYTES" : "INT64' or 'INT32");
    if (is_text && tensor->count != tensor->rows)
        return TANDEM_FAIL(err, INVALID, "%s: shape has %zu elements a row, expected 1",
                           tensor->field, tensor->count / tensor->rows);
    ask->field = NULL;
    return TANDEM_OK;
}

static tandem_status fail_tensor_name(server_ask *ask, const kserve_tensor *tensor,
                                      tandem_error *err) {
    ask->field = tensor->field;
    return TANDEM_FAIL(
        err, INVALID,
        "unexpected inference input '%.*s' for model '%s', expected one text and for "
        "pairs one pair, or one input_ids and its attention_mask",
        TANDEM_STR_ARG(tensor->name), ask->model->name);
}

static tandem_status check_tensors(server_ask *ask, tandem_error *err) {
    const kserve_own *own = ask->own;
    const bool has_text = find_tensor(own, "text") != NULL;
    const char *const first = has_text ? "text" : "input_ids";
    const char *const second = has_text ? "pair" : "attention_mask";
    TANDEM_TRY(server_check_batch(ask, own->tensors[0].field, own->tensors[0].rows, err));
    for (size_t i = 0; i < own->tensor_count; i++) {
        const kserve_tensor *tensor = &own->tensors[i];
        const bool is_known =
            tandem__str_is(tensor->name, first) || tandem__str_is(tensor->name, second);
        const bool has_first = find_tensor(own, first) != NULL;
        if (!is_known || !has_first ||
            (i > 0 && tandem__str_equal(own->tensors[0].name, tensor->name)))
            return fail_tensor_name(ask, tensor, err);
        if (tandem__str_is(tensor->name, "pair") && ask->model->info.labels == 0)
            return fail_tensor_name(ask, tensor, err);
        TANDEM_TRY(check_tensor(ask, tensor, own->tensors[0].rows, err));
    }
    return TANDEM_OK;
}

typedef struct id_rows {
    const int64_t *ids;  /* [rows, columns] */
    const int64_t *mask; /* the same, or NULL: all of them count */
    size_t rows;
    size_t columns;
} id_rows;

/* The ids of a row that its mask leaves, at most the model's length of them. */
static tandem_status take_row(server_ask *ask, const id_rows *from, size_t row, int32_t *to,
                              int32_t *count, tandem_error *err) {
    const tandem_model_info *info = &ask->model->info;
    ask->field = "inputs";
    for (size_t i = row * from->columns; i < (row + 1) * from->columns; i++) {
        if (from->mask != NULL && from->mask[i] == 0) continue;
        if (from->ids[i] < 0 || from->ids[i] >= info->vocab)
            return TANDEM_FAIL(err, INVALID,
                               "inputs: row %zu of input_ids has %lld, expected 0 to %d", row,
                               (long long)from->ids[i], info->vocab - 1);
        if (*count < info->max_length)
            to[(*count)++] = (int32_t)from->ids[i];
        else if (ask->request.refuse_long)
            return TANDEM_FAIL(err, INVALID, "inputs: row %zu of input_ids is over %d tokens", row,
                               info->max_length);
    }
    if (*count == 0)
        return TANDEM_FAIL(err, INVALID, "inputs: row %zu of input_ids has no token", row);
    ask->field = NULL;
    return TANDEM_OK;
}

static tandem_status read_ids(server_ask *ask, tandem_error *err) {
    const kserve_own *own = ask->own;
    const kserve_tensor *ids = find_tensor(own, "input_ids");
    const kserve_tensor *mask = find_tensor(own, "attention_mask");
    int64_t *id_values = NULL;
    int64_t *mask_values = NULL;
    TANDEM_TRY(kserve_ints(ask, ids, &id_values, err));
    if (mask != NULL && mask->count != ids->count) {
        ask->field = mask->field;
        return TANDEM_FAIL(err, INVALID, "%s: %zu elements, input_ids has %zu", mask->field,
                           mask->count, ids->count);
    }
    if (mask != NULL) TANDEM_TRY(kserve_ints(ask, mask, &mask_values, err));
    const id_rows from = {id_values, mask_values, ids->rows, ids->count / ids->rows};
    int32_t *taken = server_ask_array(ask, ids->count, sizeof *taken, err);
    int32_t *offsets = server_ask_array(ask, from.rows + 1, sizeof *offsets, err);
    if (taken == NULL || offsets == NULL) return TANDEM_MEMORY;
    for (size_t row = 0; row < from.rows; row++) {
        int32_t count = 0;
        TANDEM_TRY(take_row(ask, &from, row, taken + offsets[row], &count, err));
        offsets[row + 1] = offsets[row] + count;
    }
    ask->request.ids = taken;
    ask->request.id_offsets = offsets;
    ask->request.count = from.rows;
    ask->request.refuse_long = false; // the engine takes ids as they are
    return TANDEM_OK;
}

static tandem_status read_texts(server_ask *ask, const kserve_tensor *text, tandem_error *err) {
    const kserve_tensor *pair = find_tensor(ask->own, "pair");
    tandem_text *texts = NULL;
    tandem_text *pairs = NULL;
    TANDEM_TRY(kserve_texts(ask, text, &texts, err));
    if (pair != NULL) TANDEM_TRY(kserve_texts(ask, pair, &pairs, err));
    ask->texts_field = "text";
    ask->request.texts = texts;
    ask->request.pairs = pairs;
    ask->request.count = text->count;
    return TANDEM_OK;
}

static tandem_status read_id(server_ask *ask, const tandem_json *body, tandem_error *err) {
    kserve_own *own = ask->own;
    TANDEM_TRY(server_field_str(ask, body, "id", &own->id, err));
    own->has_id = own->id.ptr != NULL;
    if (!own->has_id) return TANDEM_OK;
    own->id.ptr = tandem__arena_copy(ask->arena, own->id.ptr, own->id.len); // outlives the body
    return own->id.ptr == NULL ? TANDEM_FAIL(err, MEMORY, "no memory for the id") : TANDEM_OK;
}

tandem_status kserve_infer_read(server_ask *ask, tandem_str bytes, tandem_error *err) {
    tandem_str json = {NULL, 0};
    tandem_str binary = {NULL, 0};
    const tandem_json *body = NULL;
    TANDEM_TRY(split_body(ask, bytes, &json, &binary, err));
    TANDEM_TRY(server_body_parse(ask, json, &body, err));
    TANDEM_TRY(server_body_object(ask, body, err));
    kserve_own *own = server_ask_array(ask, 1, sizeof *own, err);
    if (own == NULL) return TANDEM_MEMORY;
    ask->own = own;
    TANDEM_TRY(kserve_model(ask, err));
    const tandem_model_info *info = &ask->model->info;
    if (!info->has_embedding && info->labels == 0)
        return TANDEM_FAIL(err, UNSUPPORTED, "model %s gives no embeddings and no scores",
                           ask->model->name);
    TANDEM_TRY(read_id(ask, body, err));
    TANDEM_TRY(read_parameters(ask, body, err));
    TANDEM_TRY(read_outputs(ask, body, err));
    TANDEM_TRY(kserve_tensors_read(ask, body, binary, err));
    TANDEM_TRY(check_tensors(ask, err));
    ask->request.task = info->labels > 0 ? TANDEM_TASK_CLASSIFY : TANDEM_TASK_EMBED;
    const kserve_tensor *text = find_tensor(own, "text");
    return text != NULL ? read_texts(ask, text, err) : read_ids(ask, err);
}

/* Everything up to the tensor's elements. */
static tandem_status write_head(server_ask *ask, const tandem_result *result, tandem_buffer *out,
                                tandem_error *err) {
    const kserve_own *own = ask->own;
    int32_t columns = 0;
    const char *name = kserve_output(ask->model, &columns);
    TANDEM_TRY(server_push(out, "{", err));
    if (own->has_id) {
        TANDEM_TRY(server_push(out, "\"id\":", err));
        TANDEM_TRY(tandem__json_text_string(out, own->id, err));
        TANDEM_TRY(server_push(out, ",", err));
    }
    TANDEM_TRY(server_push(out, "\"model_name\":", err));
    TANDEM_TRY(server_push_string(out, ask->model->name, err));
    TANDEM_TRY(server_push(out, ",\"model_version\":\"1\",\"outputs\":[{\"name\":\"", err));
    TANDEM_TRY(server_push(out, name, err));
    TANDEM_TRY(server_push(out, "\",\"datatype\":\"FP32\",\"shape\":[", err));
    TANDEM_TRY(server_push_int(out, (int64_t)result->count, err));
    TANDEM_TRY(server_push(out, ",", err));
    TANDEM_TRY(server_push_int(out, result->dimensions, err));
    if (!own->is_binary) return server_push(out, "],\"data\":[", err);
    TANDEM_TRY(server_push(out, "],\"parameters\":{\"binary_data_size\":", err));
    const size_t row = (size_t)result->dimensions * sizeof(float);
    TANDEM_TRY(server_push_int(out, (int64_t)(result->count * row), err));
    return server_push(out, "}}]}", err);
}

static tandem_status write_start(server_ask *ask, const tandem_result *result, tandem_buffer *out,
                                 tandem_error *err) {
    const kserve_own *own = ask->own;
    const size_t start = out->len;
    TANDEM_TRY(write_head(ask, result, out, err));
    if (!own->is_binary) return TANDEM_OK;
    ask->answer_type = "application/octet-stream";
    return server_header_int(ask, "Inference-Header-Content-Length", (int64_t)(out->len - start),
                             err);
}

tandem_status kserve_infer_write(server_ask *ask, const tandem_result *result, size_t *row,
                                 tandem_buffer *out, tandem_error *err) {
    const kserve_own *own = ask->own;
    const size_t columns = (size_t)result->dimensions;
    if (*row == 0) TANDEM_TRY(write_start(ask, result, out, err));
    size_t i = *row;
    for (; i < result->count && (i == *row || !server_slice_is_full(out)); i++) {
        const float *vector = server_vector(result, i);
        if (own->is_binary) { // little-endian: see routes_openai.c
            TANDEM_TRY(tandem__buffer_push(out, vector, columns * sizeof *vector, err));
            continue;
        }
        if (i > 0) TANDEM_TRY(server_push(out, ",", err));
        TANDEM_TRY(tandem__json_text_join(out, vector, columns, ',', err));
    }
    *row = i;
    if (i < result->count) return TANDEM_OK;
    *row = SERVER_ROWS_DONE;
    return own->is_binary ? TANDEM_OK : server_push(out, "]}]}", err);
}
