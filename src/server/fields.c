/* SPDX-License-Identifier: Apache-2.0 */
#include "server/fields.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/fail.h"
#include "base/number.h"

#define FIELD_BYTES_MAX 96
#define WHOLE_MAX       9007199254740992.0 /* 2^53: doubles up to it are exact */

static const char *key_of(const char *name) {
    const char *dot = strrchr(name, '.');
    return dot == NULL ? name : dot + 1;
}

const tandem_json *server_field(const tandem_json *object, const char *name) {
    const tandem_json *member = tandem__json_get(object, key_of(name));
    return member == NULL || member->kind == TANDEM_JSON_NULL ? NULL : member;
}

const char *server_field_item(server_ask *ask, const char *name, size_t index) {
    char text[FIELD_BYTES_MAX];
    const int len = snprintf(text, sizeof text, "%s[%zu]", name, index);
    if (len < 0 || (size_t)len >= sizeof text) return name;
    const char *copy = tandem__arena_copy(ask->arena, text, (size_t)len);
    return copy == NULL ? name : copy;
}

tandem_status server_field_fail(server_ask *ask, const char *name, const tandem_json *value,
                                const char *expected, tandem_error *err) {
    ask->field = name;
    return TANDEM_FAIL(err, INVALID, "%s: %s, expected %s", name, tandem__json_label(value).text,
                       expected);
}

tandem_status server_field_missing(server_ask *ask, const char *name, const char *expected,
                                   tandem_error *err) {
    ask->field = name;
    return TANDEM_FAIL(err, INVALID, "%s: missing, expected %s", name, expected);
}

tandem_status server_field_empty(server_ask *ask, const char *name, tandem_error *err) {
    ask->field = name;
    ask->http_code = 400;
    return TANDEM_FAIL(err, INVALID, "`%s` cannot be empty", name);
}

tandem_status server_field_bool(server_ask *ask, const tandem_json *object, const char *name,
                                bool *value, tandem_error *err) {
    const tandem_json *member = server_field(object, name);
    if (member == NULL) return TANDEM_OK;
    if (member->kind != TANDEM_JSON_BOOL)
        return server_field_fail(ask, name, member, "true or false", err);
    *value = member->count != 0;
    return TANDEM_OK;
}

tandem_status server_field_str(server_ask *ask, const tandem_json *object, const char *name,
                               tandem_str *value, tandem_error *err) {
    const tandem_json *member = server_field(object, name);
    if (member == NULL) return TANDEM_OK;
    if (member->kind != TANDEM_JSON_STRING)
        return server_field_fail(ask, name, member, "a string", err);
    *value = member->text;
    return TANDEM_OK;
}

bool server_json_int(const tandem_json *node, int64_t *value) {
    if (tandem__json_to_int(node, value)) return true;
    double read = 0.0;
    if (node->kind != TANDEM_JSON_NUMBER || !tandem__number_parse_double(node->text, &read))
        return false;
    if (!(fabs(read) <= WHOLE_MAX) || read != floor(read)) return false;
    *value = (int64_t)read;
    return true;
}

tandem_status server_field_int(server_ask *ask, const tandem_json *object, const char *name,
                               server_range range, int64_t *value, tandem_error *err) {
    const tandem_json *member = server_field(object, name);
    if (member == NULL) return TANDEM_OK;
    int64_t read = 0;
    if (!server_json_int(member, &read) || read < range.min || read > range.max) {
        char expected[80];
        (void)snprintf(expected, sizeof expected, "an integer from %lld to %lld",
                       (long long)range.min, (long long)range.max);
        return server_field_fail(ask, name, member, expected, err);
    }
    *value = read;
    return TANDEM_OK;
}

tandem_status server_field_word(server_ask *ask, const tandem_json *object, const char *name,
                                const char **value, tandem_error *err) {
    tandem_str text = {NULL, 0};
    TANDEM_TRY(server_field_str(ask, object, name, &text, err));
    if (text.ptr == NULL) return TANDEM_OK;
    if (memchr(text.ptr, '\0', text.len) != NULL)
        return server_field_fail(ask, name, server_field(object, name), "no NUL character", err);
    *value = tandem__arena_copy(ask->arena, text.ptr, text.len);
    if (*value == NULL) return TANDEM_FAIL(err, MEMORY, "no memory for %s", name);
    return TANDEM_OK;
}

void *server_ask_array(server_ask *ask, size_t count, size_t size, tandem_error *err) {
    void *memory = tandem__arena_array(ask->arena, count, size);
    if (memory == NULL)
        (void)TANDEM_FAIL(err, MEMORY, "no memory for %zu parts of a request", count);
    return memory;
}

tandem_status server_body_parse(server_ask *ask, tandem_str body, const tandem_json **root,
                                tandem_error *err) {
    if (body.len == 0) {
        ask->http_code = 400;
        return TANDEM_FAIL(err, FORMAT, "the request's body is empty, expected JSON");
    }
    const tandem_status status = tandem__json_parse_strict(body, ask->arena, root, err);
    if (status == TANDEM_FORMAT) ask->http_code = 400;
    if (status == TANDEM_CAPACITY) ask->http_code = 413;
    return status;
}

tandem_status server_body_object(server_ask *ask, const tandem_json *body, tandem_error *err) {
    (void)ask;
    if (body == NULL) return TANDEM_FAIL(err, INVALID, "body: empty, expected a JSON object");
    if (body->kind == TANDEM_JSON_OBJECT) return TANDEM_OK;
    return TANDEM_FAIL(err, INVALID, "body: %s, expected a JSON object",
                       tandem__json_label(body).text);
}

static bool read_priority_value(const tandem_json *node, int32_t *priority) {
    int64_t value = 0;
    if (node->kind == TANDEM_JSON_STRING)
        return tandem_priority_parse(node->text.ptr, node->text.len, priority, NULL) == TANDEM_OK;
    if (!server_json_int(node, &value) || value < INT32_MIN || value > INT32_MAX) return false;
    *priority = (int32_t)value;
    return true;
}

static tandem_status read_priority(server_ask *ask, const tandem_json *object, tandem_error *err) {
    const tandem_json *member = server_field(object, "priority");
    if (member == NULL) return TANDEM_OK;
    if (!read_priority_value(member, &ask->request.priority))
        return server_field_fail(ask, "priority", member,
                                 "realtime, standard, background or an integer (lower first)", err);
    ask->has_priority = true;
    return TANDEM_OK;
}

static tandem_status read_deadline(server_ask *ask, const tandem_json *object, tandem_error *err) {
    const tandem_json *member = server_field(object, "deadline_ms");
    if (member == NULL) return TANDEM_OK;
    double value = 0.0;
    if (member->kind != TANDEM_JSON_NUMBER || !tandem__number_parse_double(member->text, &value) ||
        !(value > 0.0 && value <= 1e9)) {
        return server_field_fail(ask, "deadline_ms", member, "a number over 0 to 1e9", err);
    }
    ask->request.deadline_ms = value;
    return TANDEM_OK;
}

tandem_status server_read_common(server_ask *ask, const tandem_json *object, tandem_error *err) {
    TANDEM_TRY(server_field_word(ask, object, "lane", &ask->request.lane, err));
    TANDEM_TRY(read_priority(ask, object, err));
    TANDEM_TRY(read_deadline(ask, object, err));
    tandem_str fallback = {NULL, 0};
    TANDEM_TRY(server_field_str(ask, object, "fallback", &fallback, err));
    if (fallback.ptr == NULL) return TANDEM_OK;
    const bool is_none = tandem__str_is(fallback, "none");
    if (!is_none && !tandem__str_is(fallback, "next"))
        return server_field_fail(ask, "fallback", server_field(object, "fallback"), "next or none",
                                 err);
    ask->request.fallback = is_none ? TANDEM_FALLBACK_NONE : TANDEM_FALLBACK_NEXT;
    return TANDEM_OK;
}

tandem_status server_read_model(server_ask *ask, const tandem_json *object, server_need need,
                                tandem_error *err) {
    tandem_str name = {NULL, 0};
    TANDEM_TRY(server_field_str(ask, object, "model", &name, err));
    if (name.ptr != NULL && name.len == 0)
        return server_field_fail(ask, "model", server_field(object, "model"), "a model's name",
                                 err);
    const tandem_status status = server_catalog_find(ask->catalog, name, need, &ask->model, err);
    if (status != TANDEM_OK && name.len > 0) ask->field = "model";
    return status;
}

/* A percent sign without two hexadecimal digits stands for itself. */
static tandem_status decode_path(server_ask *ask, tandem_str path, tandem_str *decoded,
                                 tandem_error *err) {
    char *text = server_ask_array(ask, path.len + 1, 1, err);
    if (text == NULL) return TANDEM_MEMORY;
    size_t len = 0;
    for (size_t i = 0; i < path.len; i++) {
        const int high =
            path.ptr[i] == '%' && i + 2 < path.len ? tandem__hex_digit(path.ptr[i + 1]) : -1;
        const int low = high >= 0 ? tandem__hex_digit(path.ptr[i + 2]) : -1;
        text[len++] = low >= 0 ? (char)(high * 16 + low) : path.ptr[i];
        if (low >= 0) i += 2;
    }
    *decoded = (tandem_str){text, len};
    return TANDEM_OK;
}

tandem_status server_read_path_model(server_ask *ask, tandem_str name, server_need need,
                                     tandem_error *err) {
    tandem_str decoded = {NULL, 0};
    TANDEM_TRY(decode_path(ask, name, &decoded, err));
    const tandem_status status = server_catalog_find(ask->catalog, decoded, need, &ask->model, err);
    if (status != TANDEM_OK) ask->field = "model";
    return status;
}

tandem_status server_read_dimensions(server_ask *ask, const tandem_json *object,
                                     tandem_error *err) {
    int64_t dimensions = 0;
    TANDEM_TRY(server_field_int(ask, object, "dimensions",
                                (server_range){1, ask->model->info.dimensions}, &dimensions, err));
    ask->request.dimensions = (int32_t)dimensions;
    return TANDEM_OK;
}

tandem_status server_check_batch(server_ask *ask, const char *name, size_t count,
                                 tandem_error *err) {
    const int64_t limit = ask->catalog->limits.batch_texts;
    if (limit <= 0 || count <= (size_t)limit) return TANDEM_OK;
    ask->field = name;
    return TANDEM_FAIL(err, INVALID, "batch size %zu > maximum allowed batch size %lld", count,
                       (long long)limit);
}
