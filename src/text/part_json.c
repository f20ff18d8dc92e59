/* SPDX-License-Identifier: Apache-2.0 */
#include "text/part_json.h"

#include "base/fail.h"

tandem_status tandem__part_name(const tandem_json *part, tandem_str *name, tandem_error *err) {
    const tandem_json *const type = tandem__json_get(part, "type");
    if (type == NULL || type->kind != TANDEM_JSON_STRING) {
        const tandem_json_label label =
            tandem__json_label(part->kind == TANDEM_JSON_OBJECT ? type : part);
        return TANDEM_FAIL(err, FORMAT, "type: %s, expected the name of a part", label.text);
    }
    *name = type->text;
    return TANDEM_OK;
}

tandem_status tandem__part_text(const tandem_json *part, const char *key, tandem_arena *arena,
                                tandem_str *text, tandem_error *err) {
    const tandem_json *const field = tandem__json_get(part, key);
    if (field == NULL || field->kind != TANDEM_JSON_STRING) {
        const tandem_json_label label = tandem__json_label(field);
        return TANDEM_FAIL(err, FORMAT, "%s: %s, expected a string", key, label.text);
    }
    text->len = field->text.len;
    text->ptr = tandem__arena_copy(arena, field->text.ptr, field->text.len);
    return text->ptr == NULL ? TANDEM_FAIL(err, MEMORY, "no memory for settings") : TANDEM_OK;
}

tandem_status tandem__part_flag(const tandem_json *part, const char *key, bool *value,
                                tandem_error *err) {
    const tandem_json *const field = tandem__json_get(part, key);
    if (field == NULL || field->kind != TANDEM_JSON_BOOL) {
        const tandem_json_label label = tandem__json_label(field);
        return TANDEM_FAIL(err, FORMAT, "%s: %s, expected true or false", key, label.text);
    }
    *value = field->count != 0;
    return TANDEM_OK;
}
