/* SPDX-License-Identifier: Apache-2.0 */
#include "model/family.h"

#include <stdio.h>
#include <string.h>

#include "base/fail.h"

static tandem_status fail_unknown(const char *key, const char *value, tandem_error *err) {
    char known[200] = "";
    size_t used = 0;
    for (const tandem_family *family = tandem__families; family->name != NULL; family++) {
        for (size_t k = 0; k < TANDEM_FAMILY_TYPES_MAX; k++) {
            const char *type = family->model_types[k];
            if (type == NULL) break;
            const int put =
                snprintf(known + used, sizeof known - used, "%s%s", used == 0 ? "" : ", ", type);
            if (put < 0 || (size_t)put >= sizeof known - used) break;
            used += (size_t)put;
        }
    }
    return TANDEM_FAIL(err, UNSUPPORTED, "%s: %s is not a known architecture, expected one of %s",
                       key, value, known);
}

static const tandem_family *find_type(tandem_str type) {
    for (const tandem_family *family = tandem__families; family->name != NULL; family++) {
        for (size_t k = 0; k < TANDEM_FAMILY_TYPES_MAX; k++) {
            const char *known = family->model_types[k];
            if (known == NULL) break;
            if (tandem__str_is(type, known)) return family;
        }
    }
    return NULL;
}

/* "BertModel" and "BertForMaskedLM" are of class "Bert", "BertJapaneseModel" is not. */
static bool is_class(tandem_str name, const char *prefix) {
    if (!tandem__str_starts(name, prefix)) return false;
    const size_t len = strlen(prefix);
    const tandem_str rest = {name.ptr + len, name.len - len};
    return tandem__str_starts(rest, "Model") || tandem__str_starts(rest, "For");
}

static const tandem_family *find_class(tandem_str name) {
    for (const tandem_family *family = tandem__families; family->name != NULL; family++) {
        for (size_t k = 0; k < TANDEM_FAMILY_TYPES_MAX; k++) {
            const char *prefix = family->class_prefixes[k];
            if (prefix == NULL) break;
            if (is_class(name, prefix)) return family;
        }
    }
    return NULL;
}

tandem_status tandem__family_find(const tandem_json *config, const tandem_family **family,
                                  tandem_error *err) {
    const tandem_json *type = tandem__json_get(config, "model_type");
    if (type != NULL && type->kind != TANDEM_JSON_NULL) {
        const tandem_family *found =
            type->kind == TANDEM_JSON_STRING ? find_type(type->text) : NULL;
        if (found == NULL) return fail_unknown("model_type", tandem__json_label(type).text, err);
        *family = found;
        return TANDEM_OK;
    }
    /* Checkpoints from before 2020 have the class alone. */
    const tandem_json *classes = tandem__json_get(config, "architectures");
    if (classes == NULL || classes->kind != TANDEM_JSON_ARRAY || classes->count == 0) {
        return fail_unknown("model_type", "nothing", err);
    }
    const tandem_json *first = classes->first;
    const tandem_family *found = first->kind == TANDEM_JSON_STRING ? find_class(first->text) : NULL;
    if (found == NULL) return fail_unknown("architectures", tandem__json_label(first).text, err);
    *family = found;
    return TANDEM_OK;
}
