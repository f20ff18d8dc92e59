/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/ids.h"

#include <string.h>

#include "base/arena.h"
#include "base/fail.h"
#include "base/json.h"
#include "base/number.h"

#define TREE_BYTES(len) ((size_t)128 * (len) + ((size_t)1 << 20))

static tandem_status push_id(int64_t value, tandem_buffer *ids, tandem_error *err) {
    const int32_t id = (int32_t)value;
    if (value != id || id < 0) {
        return TANDEM_FAIL(err, FORMAT, "%lld is no token id", (long long)value);
    }
    return tandem__buffer_push(ids, &id, sizeof id, err);
}

/* Whole numbers between spaces and commas. */
static tandem_status parse_words(tandem_str line, tandem_buffer *ids, tandem_error *err) {
    static const char gaps[] = " \t,";
    size_t at = 0;
    while (at < line.len) {
        size_t end = at;
        while (end < line.len && memchr(gaps, line.ptr[end], sizeof gaps - 1) == NULL) end++;
        const tandem_str word = {line.ptr + at, end - at};
        int64_t value = 0;
        if (word.len > 0 && !tandem__number_parse_int(word, &value)) {
            return TANDEM_FAIL(err, FORMAT, "\"%.*s\" is no token id", TANDEM_STR_ARG(word));
        }
        if (word.len > 0) TANDEM_TRY(push_id(value, ids, err));
        at = end + 1;
    }
    return TANDEM_OK;
}

static tandem_status parse_list(const tandem_json *list, tandem_buffer *ids, tandem_error *err) {
    TANDEM_JSON_EACH(item, list) {
        int64_t value = 0;
        if (!tandem__json_to_int(item, &value)) {
            return TANDEM_FAIL(err, FORMAT, "%s is no token id", tandem__json_label(item).text);
        }
        TANDEM_TRY(push_id(value, ids, err));
    }
    return TANDEM_OK;
}

static tandem_status parse_json(tandem_str line, const char *field, tandem_arena *arena,
                                tandem_buffer *ids, tandem_error *err) {
    /* A line is all of the document: the parser's own count of lines would be a second one. */
    static const char first_line[] = "not valid JSON at line 1, ";
    const tandem_json *list = NULL;
    tandem_error cause = {0};
    const tandem_status status = tandem__json_parse(line, arena, &list, &cause);
    if (status != TANDEM_OK) {
        const bool is_placed = strncmp(cause.message, first_line, sizeof first_line - 1) == 0;
        return tandem__fail(err, status, __FILE__, __LINE__, "not valid JSON: %s",
                            cause.message + (is_placed ? sizeof first_line - 1 : 0));
    }
    if (list->kind == TANDEM_JSON_OBJECT) {
        list = tandem__json_get(list, field);
        if (list == NULL) return TANDEM_FAIL(err, FORMAT, "no field \"%s\"", field);
    }
    if (list->kind == TANDEM_JSON_ARRAY) return parse_list(list, ids, err);
    return TANDEM_FAIL(err, FORMAT, "field \"%s\" is %s, expected a list of token ids", field,
                       tandem__json_label(list).text);
}

tandem_status cli_ids_parse(tandem_str line, const char *field, tandem_buffer *ids,
                            tandem_error *err) {
    size_t at = 0;
    while (at < line.len && (line.ptr[at] == ' ' || line.ptr[at] == '\t')) at++;
    ids->len = 0;
    if (at == line.len || (line.ptr[at] != '[' && line.ptr[at] != '{')) {
        return parse_words(line, ids, err);
    }
    tandem_arena arena;
    tandem__arena_init(&arena, TREE_BYTES(line.len));
    const tandem_status status = parse_json(line, field, &arena, ids, err);
    tandem__arena_deinit(&arena);
    return status;
}
