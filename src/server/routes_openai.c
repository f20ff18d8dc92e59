/* SPDX-License-Identifier: Apache-2.0 */
/* OpenAI: POST /v1/embeddings, GET /v1/models.
 *
 * As OpenAI's server: `model` is required, there are at most 2048 items, no text is empty. Two
 * things are as other servers of this API have them, so that their callers need no change: a text
 * over the model's length is cut, and the answer says so in X-Tandem-Truncated; an argument that
 * nobody knows is ignored. TEI has the same route as /embeddings, where `model` may be missing. */
#include "server/routes_openai.h"
#include "base/base64.h"
#include "base/fail.h"
#include "base/json_text.h"
#include "server/answers.h"
#include "server/fields.h"
#include "server/inputs.h"

#if defined(__BYTE_ORDER__)
_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "base64 vectors are little-endian f32");
#endif

typedef struct openai_own {
    size_t cut;
    bool is_base64;
} openai_own;

static tandem_status read_format(server_ask *ask, const tandem_json *body, openai_own *own,
                                 tandem_error *err) {
    tandem_str format = {NULL, 0};
    TANDEM_TRY(server_field_str(ask, body, "encoding_format", &format, err));
    if (format.ptr == NULL || tandem__str_is(format, "float")) return TANDEM_OK;
    own->is_base64 = tandem__str_is(format, "base64");
    if (own->is_base64) return TANDEM_OK;
    return server_field_fail(ask, "encoding_format", server_field(body, "encoding_format"),
                             "float or base64", err);
}

tandem_status server_openai_read_lenient(server_ask *ask, const tandem_json *body,
                                         tandem_error *err) {
    TANDEM_TRY(server_body_object(ask, body, err));
    openai_own *own = server_ask_array(ask, 1, sizeof *own, err);
    if (own == NULL) return TANDEM_MEMORY;
    ask->own = own;
    TANDEM_TRY(server_read_model(ask, body, SERVER_NEED_EMBED, err));
    TANDEM_TRY(server_read_common(ask, body, err));
    TANDEM_TRY(read_format(ask, body, own, err));
    TANDEM_TRY(server_read_dimensions(ask, body, err));
    tandem_str user = {NULL, 0};
    TANDEM_TRY(server_field_str(ask, body, "user", &user, err));
    const bool is_cut = !ask->catalog->limits.refuse_long;
    server_inputs inputs = {
        .name = "input", .count_max = SERVER_ITEMS_MAX, .is_cut_to_length = is_cut};
    TANDEM_TRY(server_inputs_read(ask, body, &inputs, err));
    own->cut = inputs.cut;
    ask->request.refuse_long = !is_cut && ask->request.id_offsets == NULL;
    ask->request.force_normalize = true;
    return TANDEM_OK;
}

tandem_status server_openai_read(server_ask *ask, const tandem_json *body, tandem_error *err) {
    TANDEM_TRY(server_body_object(ask, body, err));
    if (server_field(body, "model") == NULL)
        return server_field_missing(ask, "model", "a model's name", err);
    return server_openai_read_lenient(ask, body, err);
}

static tandem_status write_item(const server_ask *ask, const tandem_result *result, size_t i,
                                tandem_buffer *out, tandem_error *err) {
    const openai_own *own = ask->own;
    const size_t n = (size_t)result->dimensions;
    TANDEM_TRY(
        server_push(out,
                    i == 0 ? "{\"object\":\"list\",\"data\":[{\"object\":\"embedding\",\"index\":"
                           : ",{\"object\":\"embedding\",\"index\":",
                    err));
    TANDEM_TRY(server_push_int(out, (int64_t)i, err));
    TANDEM_TRY(server_push(out, ",\"embedding\":", err));
    if (!own->is_base64) {
        TANDEM_TRY(tandem__json_text_floats(out, server_vector(result, i), n, err));
        return server_push(out, "}", err);
    }
    TANDEM_TRY(server_push(out, "\"", err));
    TANDEM_TRY(tandem__base64_push(out, server_vector(result, i), n * sizeof(float), err));
    return server_push(out, "\"}", err);
}

tandem_status server_openai_write(server_ask *ask, const tandem_result *result, size_t *row,
                                  tandem_buffer *out, tandem_error *err) {
    const openai_own *own = ask->own;
    if (*row == 0) TANDEM_TRY(server_header_cut(ask, own->cut, err));
    size_t i = *row;
    for (; i < result->count && (i == *row || !server_slice_is_full(out)); i++)
        TANDEM_TRY(write_item(ask, result, i, out, err));
    *row = i;
    if (i < result->count) return TANDEM_OK;
    *row = SERVER_ROWS_DONE;
    TANDEM_TRY(server_push(out, "],\"model\":", err));
    TANDEM_TRY(server_push_string(out, ask->model->name, err));
    TANDEM_TRY(server_push(out, ",\"usage\":{\"prompt_tokens\":", err));
    const int64_t tokens = server_tokens(result);
    TANDEM_TRY(server_push_int(out, tokens, err));
    TANDEM_TRY(server_push(out, ",\"total_tokens\":", err));
    TANDEM_TRY(server_push_int(out, tokens, err));
    return server_push(out, "}}", err);
}

/* The organisation of "org/name". */
static tandem_str owner_of(const char *name) {
    const char *slash = strchr(name, '/');
    const bool has_owner = slash != NULL && slash != name;
    return has_owner ? (tandem_str){name, (size_t)(slash - name)} : TANDEM_STR("tandem");
}

static tandem_status write_model(const server_model *model, tandem_buffer *out, tandem_error *err) {
    TANDEM_TRY(server_push(out, "{\"id\":", err));
    TANDEM_TRY(server_push_string(out, model->name, err));
    TANDEM_TRY(server_push(out, ",\"object\":\"model\",\"created\":", err));
    TANDEM_TRY(server_push_int(out, model->created_s, err));
    TANDEM_TRY(server_push(out, ",\"owned_by\":", err));
    TANDEM_TRY(tandem__json_text_string(out, owner_of(model->name), err));
    return server_push(out, "}", err);
}

tandem_status server_models_answer(server_ask *ask, const tandem_json *body, tandem_buffer *out,
                                   tandem_error *err) {
    (void)body;
    TANDEM_TRY(server_push(out, "{\"object\":\"list\",\"data\":[", err));
    for (size_t i = 0; i < ask->catalog->count; i++) {
        if (i > 0) TANDEM_TRY(server_push(out, ",", err));
        TANDEM_TRY(write_model(&ask->catalog->models[i], out, err));
    }
    return server_push(out, "]}", err);
}

tandem_status server_model_answer(server_ask *ask, const tandem_json *body, tandem_buffer *out,
                                  tandem_error *err) {
    (void)body;
    TANDEM_TRY(server_read_path_model(ask, ask->path_model, SERVER_NEED_ANY, err));
    return write_model(ask->model, out, err);
}
