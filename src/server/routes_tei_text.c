/* SPDX-License-Identifier: Apache-2.0 */
/* Text Embeddings Inference: /tokenize and /decode, which need a tokenizer and no lane.
 *
 * A token's start and stop are bytes of the text and null for special tokens, as TEI's are. */
#include "base/fail.h"
#include "base/json_text.h"
#include "base/utf8.h"
#include "server/answers.h"
#include "server/fields.h"
#include "server/routes_tei.h"

#define IDS_EXPECTED "a list of token ids or a list of such lists"

static tandem_status read_tokenizer(server_ask *ask, const tandem_json *body, tandem_error *err) {
    TANDEM_TRY(server_body_object(ask, body, err));
    TANDEM_TRY(server_read_model(ask, body, SERVER_NEED_ANY, err));
    if (ask->model->tokenizer != NULL) return TANDEM_OK;
    return TANDEM_FAIL(err, UNSUPPORTED, "model %s has no tokenizer", ask->model->name);
}

/* What stands in the text between two offsets, which may part a character. */
static tandem_status write_span(tandem_str text, tandem_span span, tandem_buffer *out,
                                tandem_error *err) {
    const tandem_str part = {text.ptr + span.start, (size_t)(span.end - span.start)};
    const uint8_t *bytes = (const uint8_t *)part.ptr;
    if (tandem__utf8_valid_prefix(bytes, part.len) == part.len)
        return tandem__json_text_string(out, part, err);
    tandem_buffer whole;
    tandem__buffer_init(&whole, 3 * part.len);
    tandem_status status = tandem__buffer_reserve(&whole, 3 * part.len, err);
    if (status == TANDEM_OK) {
        whole.len = tandem__utf8_replace(bytes, part.len, (uint8_t *)whole.ptr);
        status = tandem__json_text_string(out, (tandem_str){whole.ptr, whole.len}, err);
    }
    tandem__buffer_deinit(&whole);
    return status;
}

static tandem_status write_token(const server_ask *ask, const tandem_encoding *encoding, int32_t i,
                                 tandem_str text, tandem_buffer *out, tandem_error *err) {
    const bool is_special = encoding->special[i] != 0;
    TANDEM_TRY(server_push(out, i == 0 ? "{\"id\":" : ",{\"id\":", err));
    TANDEM_TRY(server_push_int(out, encoding->ids[i], err));
    TANDEM_TRY(server_push(out, ",\"text\":", err));
    if (is_special) {
        size_t len = 0;
        const char *token = tandem_tokenizer_token(ask->model->tokenizer, encoding->ids[i], &len);
        TANDEM_TRY(
            tandem__json_text_string(out, (tandem_str){token == NULL ? "" : token, len}, err));
        return server_push(out, ",\"special\":true,\"start\":null,\"stop\":null}", err);
    }
    TANDEM_TRY(write_span(text, encoding->bytes[i], out, err));
    TANDEM_TRY(server_push(out, ",\"special\":false,\"start\":", err));
    TANDEM_TRY(server_push_int(out, encoding->bytes[i].start, err));
    TANDEM_TRY(server_push(out, ",\"stop\":", err));
    TANDEM_TRY(server_push_int(out, encoding->bytes[i].end, err));
    return server_push(out, "}", err);
}

typedef struct tokenize_job {
    tandem_encode_options options;
    tandem_encoding encoding;
} tokenize_job;

static tandem_status tokenize_text(server_ask *ask, const tandem_json *item, const char *name,
                                   tokenize_job *job, tandem_buffer *out, tandem_error *err) {
    if (item->kind != TANDEM_JSON_STRING)
        return server_field_fail(ask, name, item, "a string", err);
    if (item->text.len == 0) return server_field_empty(ask, name, err);
    ask->field = name; // an answer that is too large is its text's fault
    TANDEM_TRY(tandem_tokenizer_encode(ask->model->tokenizer, item->text.ptr, item->text.len, NULL,
                                       0, &job->options, &job->encoding, err));
    TANDEM_TRY(server_push(out, "[", err));
    for (int32_t i = 0; i < job->encoding.count; i++)
        TANDEM_TRY(write_token(ask, &job->encoding, i, item->text, out, err));
    ask->field = NULL;
    return server_push(out, "]", err);
}

static tandem_status tokenize_all(server_ask *ask, const tandem_json *inputs, tokenize_job *job,
                                  tandem_buffer *out, tandem_error *err) {
    const bool is_list = inputs->kind == TANDEM_JSON_ARRAY;
    if (is_list && inputs->count == 0) return server_field_empty(ask, "inputs", err);
    if (is_list) TANDEM_TRY(server_check_batch(ask, "inputs", inputs->count, err));
    size_t i = 0;
    TANDEM_TRY(server_push(out, "[", err));
    for (const tandem_json *item = is_list ? inputs->first : inputs; item != NULL;
         item = is_list ? item->next : NULL, i++) {
        const char *name = is_list ? server_field_item(ask, "inputs", i) : "inputs";
        if (i > 0) TANDEM_TRY(server_push(out, ",", err));
        TANDEM_TRY(tokenize_text(ask, item, name, job, out, err));
    }
    return server_push(out, "]", err);
}

tandem_status server_tei_tokenize_answer(server_ask *ask, const tandem_json *body,
                                         tandem_buffer *out, tandem_error *err) {
    TANDEM_TRY(read_tokenizer(ask, body, err));
    bool has_special = true;
    TANDEM_TRY(server_field_bool(ask, body, "add_special_tokens", &has_special, err));
    const tandem_json *prompt = server_field(body, "prompt_name");
    if (prompt != NULL)
        return server_field_fail(ask, "prompt_name", prompt, "none: the text stands alone here",
                                 err);
    const tandem_json *inputs = server_field(body, "inputs");
    const char *expected = "a string or a list of strings";
    if (inputs == NULL) return server_field_missing(ask, "inputs", expected, err);
    if (inputs->kind != TANDEM_JSON_STRING && inputs->kind != TANDEM_JSON_ARRAY)
        return server_field_fail(ask, "inputs", inputs, expected, err);
    tokenize_job job = {
        .options = {.want = TANDEM_WANT_OFFSETS, .skip_special = !has_special},
    };
    const tandem_status status = tokenize_all(ask, inputs, &job, out, err);
    tandem_encoding_deinit(&job.encoding);
    return status;
}

/* TEI's ids are u32. Those that no vocabulary has are passed over, so any of them will do. */
static tandem_status read_ids(server_ask *ask, const tandem_json *list, const char *name,
                              int32_t **ids, tandem_error *err) {
    if (list->count == 0) return server_field_empty(ask, name, err);
    *ids = server_ask_array(ask, list->count, sizeof **ids, err);
    if (*ids == NULL) return TANDEM_MEMORY;
    size_t i = 0;
    for (const tandem_json *item = list->first; item != NULL; item = item->next, i++) {
        int64_t id = -1;
        if (!server_json_int(item, &id) || id < 0 || id > UINT32_MAX)
            return server_field_fail(ask, server_field_item(ask, name, i), item,
                                     "a token id from 0 to 4294967295", err);
        (*ids)[i] = id < INT32_MAX ? (int32_t)id : INT32_MAX;
    }
    return TANDEM_OK;
}

static tandem_status decode_list(server_ask *ask, const tandem_json *list, const char *name,
                                 bool skip_special, tandem_buffer *out, tandem_error *err) {
    int32_t *ids = NULL;
    if (list->kind != TANDEM_JSON_ARRAY)
        return server_field_fail(ask, name, list, "a list of token ids", err);
    TANDEM_TRY(read_ids(ask, list, name, &ids, err));
    size_t len = 0;
    const tandem_tokenizer *tokenizer = ask->model->tokenizer;
    TANDEM_TRY(
        tandem_tokenizer_decode(tokenizer, ids, list->count, skip_special, NULL, 0, &len, err));
    char *text = server_ask_array(ask, len + 1, 1, err);
    if (text == NULL) return TANDEM_MEMORY;
    TANDEM_TRY(tandem_tokenizer_decode(tokenizer, ids, list->count, skip_special, text, len + 1,
                                       &len, err));
    return tandem__json_text_string(out, (tandem_str){text, len}, err);
}

tandem_status server_tei_decode_answer(server_ask *ask, const tandem_json *body, tandem_buffer *out,
                                       tandem_error *err) {
    TANDEM_TRY(read_tokenizer(ask, body, err));
    bool skip_special = true;
    TANDEM_TRY(server_field_bool(ask, body, "skip_special_tokens", &skip_special, err));
    const tandem_json *ids = server_field(body, "ids");
    if (ids == NULL) return server_field_missing(ask, "ids", IDS_EXPECTED, err);
    if (ids->kind != TANDEM_JSON_ARRAY)
        return server_field_fail(ask, "ids", ids, IDS_EXPECTED, err);
    if (ids->count == 0) return server_field_empty(ask, "ids", err);
    const bool is_batch = ids->first->kind == TANDEM_JSON_ARRAY;
    if (is_batch) TANDEM_TRY(server_check_batch(ask, "ids", ids->count, err));
    size_t i = 0;
    TANDEM_TRY(server_push(out, "[", err));
    for (const tandem_json *list = is_batch ? ids->first : ids; list != NULL;
         list = is_batch ? list->next : NULL, i++) {
        if (i > 0) TANDEM_TRY(server_push(out, ",", err));
        const char *name = is_batch ? server_field_item(ask, "ids", i) : "ids";
        TANDEM_TRY(decode_list(ask, list, name, skip_special, out, err));
    }
    return server_push(out, "]", err);
}
