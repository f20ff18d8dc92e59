/* SPDX-License-Identifier: Apache-2.0 */
/* POST /v1/rerank and /v2/rerank: one body that takes what Cohere's v1 and v2 and Jina's clients
 * send, and one answer that has what each of them reads.
 *
 * Documents are texts or objects; of an object its `text` is ranked, or the `rank_fields` one after
 * the other, a line each. Long documents are cut without a word, as all three do, after
 * `max_tokens_per_doc` tokens if that is less than the model takes. Scores are sigmoids, 0 to 1. */
#include "server/routes_cohere.h"
#include "base/fail.h"
#include "base/json_text.h"
#include "server/answers.h"
#include "server/fields.h"
#include "server/inputs.h"

#define DOCUMENTS_EXPECTED "a list of strings or of objects with a text"
#define UNIT_DOCUMENTS     100 /* that Cohere bills as one search */

typedef struct cohere_own {
    const tandem_json *rank_fields; /* while reading */
    tandem_str *documents;          /* [count] as JSON; NULL unless they are to be returned */
    uint32_t *order;
    uint32_t top;
} cohere_own;

/* A line for each of the fields that the document has. */
static tandem_status join_fields(server_ask *ask, const tandem_json *document, const char *name,
                                 tandem_text *text, tandem_error *err) {
    const cohere_own *own = ask->own;
    tandem_buffer lines;
    tandem__buffer_init(&lines, (size_t)ask->catalog->limits.body_bytes + 1);
    tandem_status status = TANDEM_OK;
    for (const tandem_json *field = own->rank_fields->first; field != NULL && status == TANDEM_OK;
         field = field->next) {
        const tandem_json *member = document->first;
        while (member != NULL && !tandem__str_equal(member->key, field->text))
            member = member->next;
        if (member == NULL) continue;
        if (lines.len > 0) status = tandem__buffer_push(&lines, "\n", 1, err);
        if (status == TANDEM_OK)
            status = tandem__buffer_push(&lines, member->text.ptr, member->text.len, err);
    }
    if (status == TANDEM_OK && lines.len == 0)
        status = server_field_fail(ask, name, document, "one of the rank_fields", err);
    if (status == TANDEM_OK) {
        *text = (tandem_text){tandem__arena_copy(ask->arena, lines.ptr, lines.len), lines.len};
        if (text->ptr == NULL) status = TANDEM_FAIL(err, MEMORY, "no memory for a document");
    }
    tandem__buffer_deinit(&lines);
    return status;
}

static tandem_status read_document(server_ask *ask, const tandem_json *document, size_t i,
                                   tandem_text *text, tandem_error *err) {
    const cohere_own *own = ask->own;
    const tandem_json *string = document;
    if (document->kind == TANDEM_JSON_OBJECT && own->rank_fields != NULL)
        return join_fields(ask, document, server_field_item(ask, "documents", i), text, err);
    if (document->kind == TANDEM_JSON_OBJECT) string = tandem__json_get(document, "text");
    if (string == NULL || string->kind != TANDEM_JSON_STRING) {
        return server_field_fail(ask, server_field_item(ask, "documents", i), document,
                                 "a string or an object with a text", err);
    }
    *text = (tandem_text){string->text.ptr, string->text.len};
    return TANDEM_OK;
}

/* Each document as JSON, for the answer: a text as an object that has it. */
static tandem_status keep_documents(server_ask *ask, const tandem_json *list, tandem_error *err) {
    cohere_own *own = ask->own;
    own->documents = server_ask_array(ask, list->count, sizeof *own->documents, err);
    if (own->documents == NULL) return TANDEM_MEMORY;
    tandem_buffer text;
    tandem__buffer_init(&text, ask->arena->bytes_max);
    tandem_status status = TANDEM_OK;
    size_t i = 0;
    for (const tandem_json *item = list->first; item != NULL && status == TANDEM_OK;
         item = item->next, i++) {
        text.len = 0;
        const bool is_text = item->kind == TANDEM_JSON_STRING;
        if (is_text) status = server_push(&text, "{\"text\":", err);
        if (status == TANDEM_OK) status = server_push_json(&text, item, err);
        if (is_text && status == TANDEM_OK) status = server_push(&text, "}", err);
        if (status != TANDEM_OK) break;
        const char *kept = tandem__arena_copy(ask->arena, text.ptr, text.len);
        if (kept == NULL) status = TANDEM_FAIL(err, MEMORY, "no memory for the documents");
        own->documents[i] = (tandem_str){kept, text.len};
    }
    tandem__buffer_deinit(&text);
    return status;
}

/* The start of the text that `tokens` tokens are of. */
static tandem_status cut_document(const server_ask *ask, tandem_encoding *encoding, int64_t tokens,
                                  tandem_text *text, tandem_error *err) {
    const tandem_encode_options options = {
        .max_length = (int32_t)tokens, .want = TANDEM_WANT_OFFSETS, .skip_special = true};
    TANDEM_TRY(tandem_tokenizer_encode(ask->model->tokenizer, text->ptr, text->len, NULL, 0,
                                       &options, encoding, err));
    if (encoding->dropped > 0 && encoding->count > 0)
        text->len = (size_t)encoding->bytes[encoding->count - 1].end;
    return TANDEM_OK;
}

static tandem_status cut_documents(server_ask *ask, const tandem_json *body, tandem_text *pairs,
                                   size_t count, tandem_error *err) {
    int64_t tokens = 0;
    TANDEM_TRY(server_field_int(ask, body, "max_tokens_per_doc", (server_range){1, INT32_MAX},
                                &tokens, err));
    if (tokens == 0 || tokens >= ask->model->info.max_length || ask->model->tokenizer == NULL)
        return TANDEM_OK;
    tandem_encoding encoding = {0};
    tandem_status status = TANDEM_OK;
    for (size_t i = 0; i < count && status == TANDEM_OK; i++)
        status = cut_document(ask, &encoding, tokens, &pairs[i], err);
    tandem_encoding_deinit(&encoding);
    return status;
}

static tandem_status read_documents(server_ask *ask, const tandem_json *body, tandem_str query,
                                    tandem_error *err) {
    const tandem_json *list = server_field(body, "documents");
    ask->texts_field = "documents";
    if (list == NULL) return server_field_missing(ask, "documents", DOCUMENTS_EXPECTED, err);
    if (list->kind != TANDEM_JSON_ARRAY)
        return server_field_fail(ask, "documents", list, DOCUMENTS_EXPECTED, err);
    if (list->count == 0) return server_field_empty(ask, "documents", err);
    TANDEM_TRY(server_check_batch(ask, "documents", list->count, err));
    tandem_text *texts = server_ask_array(ask, list->count, sizeof *texts, err);
    tandem_text *pairs = server_ask_array(ask, list->count, sizeof *pairs, err);
    if (texts == NULL || pairs == NULL) return TANDEM_MEMORY;
    size_t i = 0;
    for (const tandem_json *item = list->first; item != NULL; item = item->next, i++) {
        texts[i] = (tandem_text){query.ptr, query.len};
        TANDEM_TRY(read_document(ask, item, i, &pairs[i], err));
    }
    ask->request.texts = texts;
    ask->request.pairs = pairs;
    ask->request.count = list->count;
    TANDEM_TRY(cut_documents(ask, body, pairs, list->count, err));
    bool is_returned = false;
    TANDEM_TRY(server_field_bool(ask, body, "return_documents", &is_returned, err));
    return is_returned ? keep_documents(ask, list, err) : TANDEM_OK;
}

static tandem_status read_rank_fields(server_ask *ask, const tandem_json *body, tandem_error *err) {
    cohere_own *own = ask->own;
    const tandem_json *list = server_field(body, "rank_fields");
    if (list == NULL) return TANDEM_OK;
    const char *expected = "a list of strings";
    if (list->kind != TANDEM_JSON_ARRAY || list->count == 0)
        return server_field_fail(ask, "rank_fields", list, expected, err);
    tandem_text *names = NULL;
    TANDEM_TRY(server_texts_read(ask, list, "rank_fields", &names, err));
    own->rank_fields = list;
    return TANDEM_OK;
}

tandem_status server_cohere_read(server_ask *ask, const tandem_json *body, tandem_error *err) {
    TANDEM_TRY(server_body_object(ask, body, err));
    cohere_own *own = server_ask_array(ask, 1, sizeof *own, err);
    if (own == NULL) return TANDEM_MEMORY;
    ask->own = own;
    TANDEM_TRY(server_read_model(ask, body, SERVER_NEED_RERANK, err));
    TANDEM_TRY(server_read_common(ask, body, err));
    tandem_str query = {NULL, 0};
    TANDEM_TRY(server_field_str(ask, body, "query", &query, err));
    if (query.ptr == NULL) return server_field_missing(ask, "query", "a string", err);
    if (query.len == 0) return server_field_empty(ask, "query", err);
    int64_t top = 0;
    int64_t chunks = 0;
    const server_range positive = {1, INT32_MAX};
    TANDEM_TRY(server_field_int(ask, body, "top_n", positive, &top, err));
    TANDEM_TRY(server_field_int(ask, body, "max_chunks_per_doc", positive, &chunks, err));
    own->top = (uint32_t)top;
    TANDEM_TRY(read_rank_fields(ask, body, err));
    TANDEM_TRY(read_documents(ask, body, query, err));
    ask->request.task = TANDEM_TASK_CLASSIFY;
    ask->request.scoring = TANDEM_SCORING_SIGMOID;
    return TANDEM_OK;
}

static tandem_status write_start(server_ask *ask, const tandem_result *result, tandem_buffer *out,
                                 tandem_error *err) {
    cohere_own *own = ask->own;
    TANDEM_TRY(server_rank(ask, result->vectors, result->count, &own->order, err));
    TANDEM_TRY(server_push(out, "{\"id\":", err));
    TANDEM_TRY(server_push_string(out, ask->id, err));
    TANDEM_TRY(server_push(out, ",\"object\":\"list\",\"model\":", err));
    TANDEM_TRY(server_push_string(out, ask->model->name, err));
    return server_push(out, ",\"results\":[", err);
}

static tandem_status write_end(const server_ask *ask, const tandem_result *result,
                               tandem_buffer *out, tandem_error *err) {
    const bool is_v1 = strcmp(ask->route->path, "/v1/rerank") == 0;
    TANDEM_TRY(server_push(out, "],\"meta\":{\"api_version\":{\"version\":\"", err));
    TANDEM_TRY(server_push(out, is_v1 ? "1" : "2", err));
    TANDEM_TRY(server_push(out, "\"},\"billed_units\":{\"search_units\":", err));
    const size_t units = (result->count + UNIT_DOCUMENTS - 1) / UNIT_DOCUMENTS;
    TANDEM_TRY(server_push_int(out, (int64_t)units, err));
    TANDEM_TRY(server_push(out, "}},\"usage\":{\"total_tokens\":", err));
    TANDEM_TRY(server_push_int(out, server_tokens(result), err));
    return server_push(out, "}}", err);
}

tandem_status server_cohere_write(server_ask *ask, const tandem_result *result, size_t *row,
                                  tandem_buffer *out, tandem_error *err) {
    const cohere_own *own = ask->own;
    if (*row == 0) TANDEM_TRY(write_start(ask, result, out, err));
    const size_t count = own->top > 0 && own->top < result->count ? own->top : result->count;
    size_t i = *row;
    for (; i < count && (i == *row || !server_slice_is_full(out)); i++) {
        const uint32_t index = own->order[i];
        TANDEM_TRY(server_push(out, i == 0 ? "{\"index\":" : ",{\"index\":", err));
        TANDEM_TRY(server_push_int(out, index, err));
        TANDEM_TRY(server_push(out, ",\"relevance_score\":", err));
        TANDEM_TRY(server_push_float(out, result->vectors[index], err));
        if (own->documents != NULL) {
            const tandem_str document = own->documents[index];
            TANDEM_TRY(server_push(out, ",\"document\":", err));
            TANDEM_TRY(tandem__buffer_push(out, document.ptr, document.len, err));
        }
        TANDEM_TRY(server_push(out, "}", err));
    }
    *row = i;
    if (i < count) return TANDEM_OK;
    *row = SERVER_ROWS_DONE;
    return write_end(ask, result, out, err);
}
