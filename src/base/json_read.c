/* SPDX-License-Identifier: Apache-2.0 */
/* Reading a tree: walks, members, typed reads. */
#include <stdio.h>

#include "base/assert.h"
#include "base/fail.h"
#include "base/json.h"
#include "base/number.h"

/* White space is what yajl takes for it: vertical tab and form feed as well. */
static const char *skip_between(const char *at) {
    while (*at == ' ' || (*at >= '\t' && *at <= '\r') || *at == ',' || *at == ':') at++;
    return at;
}

/* The string whose quote is at `at`; what follows it. */
static const char *take_string(tandem_json_walk *walk, const char *at, tandem_str *text) {
    const char *const start = at + 1;
    for (at = start; *at != '"' && *at != '\\';) at++;
    if (*at == '"') {
        *text = (tandem_str){start, (size_t)(at - start)};
        return at + 1;
    }
    while (*at != '"') at += *at == '\\' ? 2 : 1;
    *text = walk->escaped->text;
    walk->escaped = walk->escaped->next;
    return at + 1;
}

/* A string, number or word into `node`; of a container its kind alone, and `at` is then inside. */
static const char *take_value(tandem_json_walk *walk, const char *at, tandem_json *node) {
    const char *const start = at;
    switch (*at) {
    case '"':
        node->kind = TANDEM_JSON_STRING;
        return take_string(walk, at, &node->text);
    case '[':
    case '{':
        node->kind = *at == '[' ? TANDEM_JSON_ARRAY : TANDEM_JSON_OBJECT;
        return at + 1;
    case 't':
        node->kind = TANDEM_JSON_BOOL;
        node->count = 1;
        return at + 4;
    case 'f':
        node->kind = TANDEM_JSON_BOOL;
        return at + 5;
    case 'n':
        node->kind = TANDEM_JSON_NULL;
        return at + 4;
    default:
        node->kind = TANDEM_JSON_NUMBER;
        while ((*at >= '0' && *at <= '9') || *at == '-' || *at == '+' || *at == '.' ||
               (*at | 0x20) == 'e') {
            at++;
        }
        TANDEM_ASSERT(at > start); // the parser has seen to it
        node->text = (tandem_str){start, (size_t)(at - start)};
        return at;
    }
}

/* The key, where there is one, and the value. */
static const char *take_member(tandem_json_walk *walk, const char *at, bool has_key,
                               tandem_json *node) {
    *node = (tandem_json){.kind = TANDEM_JSON_NULL};
    if (has_key) at = skip_between(take_string(walk, at, &node->key));
    return take_value(walk, at, node);
}

static bool is_container(const tandem_json *node) {
    return node->kind == TANDEM_JSON_ARRAY || node->kind == TANDEM_JSON_OBJECT;
}

/* From inside of a container to behind its end, counting what it holds. */
static const char *skip_container(tandem_json_walk *walk, const char *at, tandem_json *node) {
    bool has_keys[TANDEM_JSON_DEPTH_MAX];
    uint32_t depth = 0;
    has_keys[0] = node->kind == TANDEM_JSON_OBJECT;
    for (at = skip_between(at);; at = skip_between(at)) {
        if (*at == ']' || *at == '}') {
            at++;
            if (depth-- == 0) return at;
            continue;
        }
        tandem_json inner;
        at = take_member(walk, at, has_keys[depth], &inner);
        node->count += depth == 0;
        if (is_container(&inner)) has_keys[++depth] = inner.kind == TANDEM_JSON_OBJECT;
    }
}

static const char *take_children(tandem_json_walk *walk, const char *at) {
    tandem_json *const node = &walk->nodes[0];
    tandem_json spare;
    for (at = skip_between(at); *at != ']' && *at != '}'; at = skip_between(at)) {
        const bool has_room = node->count < TANDEM_JSON_CHILDREN_MAX;
        tandem_json *const child = has_room ? &walk->nodes[1 + node->count] : &spare;
        at = take_member(walk, at, node->kind == TANDEM_JSON_OBJECT, child);
        if (is_container(child)) at = skip_container(walk, at, child);
        if (has_room && node->count == 0) node->first = child;
        if (has_room && node->count > 0) child[-1].next = child;
        node->count++;
    }
    return at + 1;
}

/* The text is valid, so that no step needs a check of where it ends. */
static bool step_text(tandem_json_walk *walk) {
    if (walk->now == NULL) {
        walk->at = walk->parent->text.ptr;
        walk->escaped = walk->parent->escaped;
    }
    const char *at = skip_between(walk->at);
    walk->now = NULL;
    if (*at == ']' || *at == '}') return false;
    tandem_json *const node = &walk->nodes[0];
    at = take_member(walk, at, walk->parent->kind == TANDEM_JSON_OBJECT, node);
    walk->at = is_container(node) ? take_children(walk, at) : at;
    walk->now = node;
    return true;
}

bool tandem__json_step(tandem_json_walk *walk) {
    if (!walk->is_through) return false;
    walk->is_through = false;
    const tandem_json *const parent = walk->parent;
    if (is_container(parent) && parent->text.ptr != NULL) return step_text(walk);
    walk->now = walk->now == NULL ? parent->first : walk->now->next;
    return walk->now != NULL;
}

const tandem_json *tandem__json_get(const tandem_json *object, const char *key) {
    if (object == NULL || object->kind != TANDEM_JSON_OBJECT) return NULL;
    if (object->text.ptr != NULL) return NULL; /* its members do not last */
    const tandem_str wanted = tandem__str(key);
    const tandem_json *found = NULL;
    TANDEM_JSON_EACH(member, object) {
        if (tandem__str_equal(member->key, wanted)) found = member;
    }
    return found;
}

tandem_json_label tandem__json_label(const tandem_json *node) {
    tandem_json_label label = {"nothing"};
    if (node == NULL) return label;
    const int len = node->text.len < 60 ? (int)node->text.len : 60;
    switch (node->kind) {
    case TANDEM_JSON_NULL:
        (void)snprintf(label.text, sizeof label.text, "null");
        break;
    case TANDEM_JSON_BOOL:
        (void)snprintf(label.text, sizeof label.text, "%s", node->count ? "true" : "false");
        break;
    case TANDEM_JSON_NUMBER:
        (void)snprintf(label.text, sizeof label.text, "%.*s", len, node->text.ptr);
        break;
    case TANDEM_JSON_STRING:
        (void)snprintf(label.text, sizeof label.text, "\"%.*s\"", len, node->text.ptr);
        break;
    case TANDEM_JSON_ARRAY:
        (void)snprintf(label.text, sizeof label.text, "an array of %u", node->count);
        break;
    case TANDEM_JSON_OBJECT:
        (void)snprintf(label.text, sizeof label.text, "an object of %u", node->count);
        break;
    }
    return label;
}

static bool json_to_double(const tandem_json *node, double *value) {
    return node != NULL && node->kind == TANDEM_JSON_NUMBER &&
           tandem__number_parse_double(node->text, value);
}

bool tandem__json_to_int(const tandem_json *node, int64_t *value) {
    return node != NULL && node->kind == TANDEM_JSON_NUMBER &&
           tandem__number_parse_int(node->text, value);
}

static bool is_absent(const tandem_json *node) {
    return node == NULL || node->kind == TANDEM_JSON_NULL;
}

static tandem_status fail_type(const char *key, const tandem_json *node, const char *expected,
                               tandem_error *err) {
    const tandem_json_label label = tandem__json_label(node);
    return TANDEM_FAIL(err, FORMAT, "%s: %s, expected %s", key, label.text, expected);
}

tandem_status tandem__json_read_int(const tandem_json *object, const char *key, int64_t min,
                                    int64_t max, int64_t *value, tandem_error *err) {
    const tandem_json *node = tandem__json_get(object, key);
    if (is_absent(node)) return TANDEM_OK;
    int64_t number = 0;
    if (!tandem__json_to_int(node, &number) || number < min || number > max) {
        char expected[80];
        (void)snprintf(expected, sizeof expected, "an integer from %lld to %lld", (long long)min,
                       (long long)max);
        return fail_type(key, node, expected, err);
    }
    *value = number;
    return TANDEM_OK;
}

tandem_status tandem__json_read_double(const tandem_json *object, const char *key, double *value,
                                       tandem_error *err) {
    const tandem_json *node = tandem__json_get(object, key);
    if (is_absent(node)) return TANDEM_OK;
    if (!json_to_double(node, value)) return fail_type(key, node, "a finite number", err);
    return TANDEM_OK;
}

tandem_status tandem__json_read_bool(const tandem_json *object, const char *key, bool *value,
                                     tandem_error *err) {
    const tandem_json *node = tandem__json_get(object, key);
    if (is_absent(node)) return TANDEM_OK;
    if (node->kind != TANDEM_JSON_BOOL) return fail_type(key, node, "true or false", err);
    *value = node->count != 0;
    return TANDEM_OK;
}

tandem_status tandem__json_read_str(const tandem_json *object, const char *key, tandem_str *value,
                                    tandem_error *err) {
    const tandem_json *node = tandem__json_get(object, key);
    if (is_absent(node)) return TANDEM_OK;
    if (node->kind != TANDEM_JSON_STRING) return fail_type(key, node, "a string", err);
    *value = node->text;
    return TANDEM_OK;
}
