/* SPDX-License-Identifier: Apache-2.0 */
#include "server/yaml_tree.h"

#include <stdio.h>
#include <yaml.h>

#include "base/fail.h"
#include "base/utf8.h"

typedef struct reader {
    const char *name;
    tandem_arena *arena;
    tandem_error *err;
    server_yaml *root;
    server_yaml *open[SERVER_YAML_DEPTH_MAX]; /* containers, outermost first */
    server_yaml *last[SERVER_YAML_DEPTH_MAX]; /* ... the last child of each */
    int depth;
    const char *key; /* read, its value not yet */
    uint32_t key_line;
    bool is_ended; /* the document is over */
} reader;

static tandem_status fail_at(const reader *r, uint32_t line, const char *message) {
    return TANDEM_FAIL(r->err, FORMAT, "%s:%u: %s", r->name, line, message);
}

static tandem_status no_memory(const reader *r, uint32_t line) {
    return TANDEM_FAIL(r->err, CAPACITY, "%s:%u: the settings need more than %zu bytes", r->name,
                       line, r->arena->bytes_max);
}

/* A map's child has a key; without one, a scalar is the key. */
static bool wants_key(const reader *r) {
    return r->depth > 0 && r->open[r->depth - 1]->kind == SERVER_YAML_MAP && r->key == NULL;
}

/* Puts a new node of that kind where the reader stands. */
static tandem_status add(reader *r, server_yaml_kind kind, uint32_t line, server_yaml **out) {
    server_yaml *node = tandem__arena_alloc(r->arena, sizeof *node);
    if (node == NULL) return no_memory(r, line);
    *node = (server_yaml){.kind = kind, .line = r->key == NULL ? line : r->key_line};
    node->key = r->key;
    r->key = NULL;
    *out = node;
    if (r->depth == 0) {
        r->root = node;
        return TANDEM_OK;
    }
    server_yaml *parent = r->open[r->depth - 1];
    if (parent->count == 0)
        parent->first = node;
    else
        r->last[r->depth - 1]->next = node;
    r->last[r->depth - 1] = node;
    parent->count++;
    return TANDEM_OK;
}

static tandem_status open_container(reader *r, server_yaml_kind kind, uint32_t line) {
    if (wants_key(r)) return fail_at(r, line, "a map or list as a key, expected a name");
    if (r->depth == SERVER_YAML_DEPTH_MAX) {
        return TANDEM_FAIL(r->err, CAPACITY, "%s:%u: nested deeper than %d levels", r->name, line,
                           SERVER_YAML_DEPTH_MAX);
    }
    server_yaml *node = NULL;
    TANDEM_TRY(add(r, kind, line, &node));
    r->open[r->depth] = node;
    r->last[r->depth] = NULL;
    r->depth++;
    return TANDEM_OK;
}

static tandem_status take_key(reader *r, const char *key, uint32_t line) {
    const server_yaml *map = r->open[r->depth - 1];
    if (map->count >= SERVER_YAML_KEYS_MAX) {
        return TANDEM_FAIL(r->err, CAPACITY, "%s:%u: a map of more than %d keys", r->name, line,
                           SERVER_YAML_KEYS_MAX);
    }
    for (const server_yaml *other = map->first; other != NULL; other = other->next) {
        if (strcmp(other->key, key) != 0) continue;
        return TANDEM_FAIL(r->err, FORMAT, "%s:%u: %s stands here and on line %u, expected once",
                           r->name, line, key, other->line);
    }
    r->key = key;
    r->key_line = line;
    return TANDEM_OK;
}

/* The ways to write that there is no value: only without quotes. */
static bool is_nothing(const yaml_event_t *event) {
    if (event->data.scalar.style != YAML_PLAIN_SCALAR_STYLE) return false;
    const tandem_str text = {(const char *)event->data.scalar.value, event->data.scalar.length};
    return text.len == 0 || tandem__str_is(text, "~") || tandem__str_is(text, "null") ||
           tandem__str_is(text, "Null") || tandem__str_is(text, "NULL");
}

static tandem_status take_scalar(reader *r, const yaml_event_t *event, uint32_t line) {
    const char *bytes = (const char *)event->data.scalar.value;
    const size_t len = event->data.scalar.length;
    if (event->data.scalar.anchor != NULL || event->data.scalar.tag != NULL) {
        return fail_at(r, line, "an anchor or tag (& or !), expected a plain value");
    }
    if (memchr(bytes, 0, len) != NULL) return fail_at(r, line, "a NUL character");
    const char *text = tandem__arena_copy(r->arena, bytes, len);
    if (text == NULL) return no_memory(r, line);
    if (wants_key(r)) return take_key(r, text, line);
    server_yaml *node = NULL;
    TANDEM_TRY(add(r, SERVER_YAML_SCALAR, line, &node));
    node->text = is_nothing(event) ? NULL : text;
    return TANDEM_OK;
}

static tandem_status take(reader *r, const yaml_event_t *event) {
    const uint32_t line = (uint32_t)event->start_mark.line + 1;
    switch (event->type) {
    case YAML_NO_EVENT:
    case YAML_STREAM_START_EVENT:
    case YAML_STREAM_END_EVENT:
        return TANDEM_OK;
    case YAML_DOCUMENT_START_EVENT:
        if (r->is_ended) return fail_at(r, line, "a second document, expected one");
        return TANDEM_OK;
    case YAML_DOCUMENT_END_EVENT:
        r->is_ended = true;
        return TANDEM_OK;
    case YAML_ALIAS_EVENT:
        return fail_at(r, line, "an alias (*), expected the value itself");
    case YAML_SCALAR_EVENT:
        return take_scalar(r, event, line);
    case YAML_SEQUENCE_START_EVENT:
        if (event->data.sequence_start.anchor != NULL || event->data.sequence_start.tag != NULL)
            return fail_at(r, line, "an anchor or tag (& or !), expected a plain list");
        return open_container(r, SERVER_YAML_LIST, line);
    case YAML_MAPPING_START_EVENT:
        if (event->data.mapping_start.anchor != NULL || event->data.mapping_start.tag != NULL)
            return fail_at(r, line, "an anchor or tag (& or !), expected a plain map");
        return open_container(r, SERVER_YAML_MAP, line);
    case YAML_SEQUENCE_END_EVENT:
    case YAML_MAPPING_END_EVENT:
        r->depth--;
        return TANDEM_OK;
    }
    return TANDEM_OK;
}

static tandem_status syntax(const reader *r, const yaml_parser_t *parser) {
    if (parser->error == YAML_MEMORY_ERROR) {
        return TANDEM_FAIL(r->err, MEMORY, "%s: no memory to read it", r->name);
    }
    return TANDEM_FAIL(r->err, FORMAT, "%s:%zu: column %zu: %s%s%s", r->name,
                       parser->problem_mark.line + 1, parser->problem_mark.column + 1,
                       parser->context == NULL ? "" : parser->context,
                       parser->context == NULL ? "" : ", ",
                       parser->problem == NULL ? "not YAML" : parser->problem);
}

static tandem_status read_events(reader *r, yaml_parser_t *parser) {
    bool is_over = false;
    while (!is_over) {
        yaml_event_t event;
        if (!yaml_parser_parse(parser, &event)) return syntax(r, parser);
        is_over = event.type == YAML_STREAM_END_EVENT;
        const tandem_status status = take(r, &event);
        yaml_event_delete(&event);
        if (status != TANDEM_OK) return status;
    }
    return TANDEM_OK;
}

tandem_status server_yaml_parse(tandem_str text, const char *name, tandem_arena *arena,
                                const server_yaml **root, tandem_error *err) {
    *root = NULL;
    reader r = {.name = name, .arena = arena, .err = err};
    if (text.len > SERVER_YAML_BYTES_MAX) {
        return TANDEM_FAIL(err, CAPACITY, "%s: %zu bytes, at most %zu", name, text.len,
                           SERVER_YAML_BYTES_MAX);
    }
    const size_t valid = tandem__utf8_valid_prefix((const uint8_t *)text.ptr, text.len);
    if (valid != text.len) {
        return TANDEM_FAIL(err, FORMAT, "%s: byte %zu is not UTF-8", name, valid);
    }
    yaml_parser_t parser;
    if (!yaml_parser_initialize(&parser)) {
        return TANDEM_FAIL(err, MEMORY, "%s: no memory to read it", name);
    }
    yaml_parser_set_encoding(&parser, YAML_UTF8_ENCODING);
    yaml_parser_set_input_string(&parser, (const unsigned char *)text.ptr, text.len);
    tandem_status status = read_events(&r, &parser);
    yaml_parser_delete(&parser);
    if (status != TANDEM_OK) return status;
    if (r.root == NULL || (r.root->kind == SERVER_YAML_SCALAR && r.root->text == NULL)) {
        r.depth = 0;
        TANDEM_TRY(add(&r, SERVER_YAML_MAP, 1, &r.root));
    }
    *root = r.root;
    return TANDEM_OK;
}

server_yaml_label server_yaml_say(const server_yaml *node) {
    server_yaml_label label;
    switch (node->kind) {
    case SERVER_YAML_SCALAR:
        if (node->text == NULL)
            (void)snprintf(label.text, sizeof label.text, "nothing");
        else
            (void)snprintf(label.text, sizeof label.text, "\"%.60s\"", node->text);
        break;
    case SERVER_YAML_LIST:
        (void)snprintf(label.text, sizeof label.text, "a list");
        break;
    case SERVER_YAML_MAP:
        (void)snprintf(label.text, sizeof label.text, "a map");
        break;
    }
    return label;
}
