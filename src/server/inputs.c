/* SPDX-License-Identifier: Apache-2.0 */
#include "server/inputs.h"

#include <stdio.h>

#include "base/fail.h"
#include "base/utf8.h"
#include "server/fields.h"

#define EXPECTED "a string, a list of strings, token ids or a list of token id lists"

size_t server_characters(tandem_text text) {
    return tandem__utf8_count((const uint8_t *)text.ptr, text.len);
}

static const char *item_name(server_ask *ask, const server_inputs *inputs, size_t i) {
    return inputs->is_single ? inputs->name : server_field_item(ask, inputs->name, i);
}

static tandem_status read_text(server_ask *ask, const tandem_json *item, size_t at,
                               server_inputs *inputs, tandem_text *text, tandem_error *err) {
    if (item->kind != TANDEM_JSON_STRING) {
        return server_field_fail(ask, item_name(ask, inputs, at), item,
                                 "a string: texts and token ids do not mix", err);
    }
    if (item->text.len == 0) return server_field_empty(ask, item_name(ask, inputs, at), err);
    *text = (tandem_text){item->text.ptr, item->text.len};
    inputs->characters += server_characters(*text);
    return TANDEM_OK;
}

static tandem_status read_texts(server_ask *ask, const tandem_json *first, size_t count,
                                server_inputs *inputs, tandem_error *err) {
    tandem_text *texts = server_ask_array(ask, count, sizeof *texts, err);
    if (texts == NULL) return TANDEM_MEMORY;
    const tandem_json *item = first;
    for (size_t i = 0; i < count; i++, item = item->next)
        TANDEM_TRY(read_text(ask, item, i, inputs, &texts[i], err));
    ask->request.texts = texts;
    ask->request.count = count;
    return TANDEM_OK;
}

tandem_status server_texts_read(server_ask *ask, const tandem_json *list, const char *name,
                                tandem_text **texts, tandem_error *err) {
    *texts = server_ask_array(ask, list->count, sizeof **texts, err);
    if (*texts == NULL) return TANDEM_MEMORY;
    size_t i = 0;
    for (const tandem_json *item = list->first; item != NULL; item = item->next, i++) {
        if (item->kind != TANDEM_JSON_STRING)
            return server_field_fail(ask, server_field_item(ask, name, i), item, "a string", err);
        (*texts)[i] = (tandem_text){item->text.ptr, item->text.len};
    }
    return TANDEM_OK;
}

static tandem_status fail_id(server_ask *ask, const char *name, const tandem_json *item,
                             tandem_error *err) {
    char expected[200];
    (void)snprintf(expected, sizeof expected,
                   "a token id from 0 to %d; ids of another tokenizer, such as tiktoken's, mean "
                   "nothing to %.60s: send texts",
                   ask->model->info.vocab - 1, ask->model->name);
    return server_field_fail(ask, name, item, expected, err);
}

/* The ids of one text to `ids`, at most the model's length of them. */
static tandem_status read_ids(server_ask *ask, const tandem_json *list, size_t at,
                              server_inputs *inputs, int32_t *ids, size_t *count,
                              tandem_error *err) {
    if (list->kind != TANDEM_JSON_ARRAY)
        return server_field_fail(ask, item_name(ask, inputs, at), list,
                                 "a list of token ids: texts and token ids do not mix", err);
    if (list->count == 0) return server_field_empty(ask, item_name(ask, inputs, at), err);
    const size_t length = (size_t)ask->model->info.max_length;
    if (list->count > length && !inputs->is_cut_to_length) {
        ask->field = item_name(ask, inputs, at);
        return TANDEM_FAIL(err, INVALID, "%s: %u tokens, expected at most %zu", ask->field,
                           list->count, length);
    }
    if (list->count > length) inputs->cut++;
    const size_t skip = inputs->is_cut_left && list->count > length ? list->count - length : 0;
    size_t n = 0;
    for (const tandem_json *item = list->first; item != NULL; item = item->next, n++) {
        int64_t id = -1;
        if (!server_json_int(item, &id) || id < 0 || id >= ask->model->info.vocab) {
            const char *name = server_field_item(ask, item_name(ask, inputs, at), n);
            return fail_id(ask, name, item, err);
        }
        if (n >= skip && n - skip < length) ids[n - skip] = (int32_t)id;
    }
    *count = n < length ? n : length;
    inputs->characters += n;
    return TANDEM_OK;
}

static tandem_status read_id_lists(server_ask *ask, const tandem_json *first, size_t count,
                                   server_inputs *inputs, tandem_error *err) {
    size_t total = 0;
    const tandem_json *item = first;
    for (size_t i = 0; i < count; i++, item = item->next) total += item->count;
    int32_t *ids = server_ask_array(ask, total + 1, sizeof *ids, err);
    int32_t *offsets = server_ask_array(ask, count + 1, sizeof *offsets, err);
    if (ids == NULL || offsets == NULL) return TANDEM_MEMORY;
    if (total > INT32_MAX) return TANDEM_FAIL(err, CAPACITY, "%zu token ids in a request", total);
    item = first;
    for (size_t i = 0; i < count; i++, item = item->next) {
        size_t n = 0;
        TANDEM_TRY(read_ids(ask, item, i, inputs, ids + offsets[i], &n, err));
        offsets[i + 1] = offsets[i] + (int32_t)n;
    }
    ask->request.ids = ids;
    ask->request.id_offsets = offsets;
    ask->request.count = count;
    return TANDEM_OK;
}

tandem_status server_inputs_read(server_ask *ask, const tandem_json *object, server_inputs *inputs,
                                 tandem_error *err) {
    const tandem_json *node = server_field(object, inputs->name);
    if (node == NULL) return server_field_missing(ask, inputs->name, EXPECTED, err);
    ask->texts_field = inputs->name;
    inputs->is_single = ask->is_single = true;
    if (node->kind == TANDEM_JSON_STRING) return read_texts(ask, node, 1, inputs, err);
    if (node->kind != TANDEM_JSON_ARRAY)
        return server_field_fail(ask, inputs->name, node, EXPECTED, err);
    ask->is_single = node->count > 0 && node->first->kind == TANDEM_JSON_NUMBER;
    if (node->count == 0) return server_field_empty(ask, inputs->name, err);
    if (node->first->kind == TANDEM_JSON_NUMBER) return read_id_lists(ask, node, 1, inputs, err);
    inputs->is_single = false;
    TANDEM_TRY(server_check_batch(ask, inputs->name, node->count, err));
    if (inputs->count_max > 0 && node->count > inputs->count_max) {
        ask->field = inputs->name;
        return TANDEM_FAIL(err, INVALID, "%s: %u items, expected at most %zu", inputs->name,
                           node->count, inputs->count_max);
    }
    if (node->first->kind == TANDEM_JSON_STRING)
        return read_texts(ask, node->first, node->count, inputs, err);
    if (node->first->kind == TANDEM_JSON_ARRAY)
        return read_id_lists(ask, node->first, node->count, inputs, err);
    return server_field_fail(ask, server_field_item(ask, inputs->name, 0), node->first,
                             "a string or a list of token ids", err);
}

tandem_status server_inputs_decode(server_ask *ask, tandem_error *err) {
    tandem_request *request = &ask->request;
    const tandem_tokenizer *tokenizer = ask->model->tokenizer;
    if (tokenizer == NULL)
        return TANDEM_FAIL(err, UNSUPPORTED, "model %s has no tokenizer", ask->model->name);
    tandem_text *texts = server_ask_array(ask, request->count, sizeof *texts, err);
    if (texts == NULL) return TANDEM_MEMORY;
    for (size_t i = 0; i < request->count; i++) {
        const int32_t *ids = request->ids + request->id_offsets[i];
        const size_t count = (size_t)(request->id_offsets[i + 1] - request->id_offsets[i]);
        size_t len = 0;
        TANDEM_TRY(tandem_tokenizer_decode(tokenizer, ids, count, true, NULL, 0, &len, err));
        char *text = server_ask_array(ask, len + 1, 1, err);
        if (text == NULL) return TANDEM_MEMORY;
        TANDEM_TRY(tandem_tokenizer_decode(tokenizer, ids, count, true, text, len + 1, &len, err));
        texts[i] = (tandem_text){text, len};
    }
    request->ids = NULL;
    request->id_offsets = NULL;
    request->texts = texts;
    return TANDEM_OK;
}
