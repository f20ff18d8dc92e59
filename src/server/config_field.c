/* SPDX-License-Identifier: Apache-2.0 */
#include "server/config_field.h"

#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "base/fail.h"
#include "base/nearest.h"
#include "base/number.h"
#include "base/str.h"
#include "tandem/engine.h"

#define SOURCE_BYTES 300

static bool parse_switch(const char *text, bool *value) {
    *value = tandem__str_is_one_of("true|yes|on|1|True|TRUE", text);
    return *value || tandem__str_is_one_of("false|no|off|0|False|FALSE", text);
}

/* A whole number and a unit: powers of 1000, or with an i of 1024. */
static bool parse_bytes(const char *text, int64_t *bytes) {
    static const struct unit {
        const char *word;
        int64_t factor;
    } units[] = {
        {"", 1},
        {"B", 1},
        {"kB", 1000},
        {"KB", 1000},
        {"MB", 1000 * 1000},
        {"GB", 1000 * 1000 * 1000},
        {"KiB", 1 << 10},
        {"MiB", 1 << 20},
        {"GiB", 1 << 30},
    };
    const size_t digits = strspn(text, "-0123456789");
    const char *unit = text + digits + strspn(text + digits, " ");
    int64_t number = 0;
    if (!tandem__number_parse_int((tandem_str){text, digits}, &number)) return false;
    for (size_t i = 0; i < sizeof units / sizeof *units; i++) {
        if (strcmp(unit, units[i].word) != 0) continue;
        if (number > INT64_MAX / units[i].factor || number < 0) return false;
        *bytes = number * units[i].factor;
        return true;
    }
    return false;
}

/* Decimal to millionths, exactly. */
static bool parse_price(const char *text, int64_t *micros) {
    const size_t whole = strspn(text, "0123456789");
    int64_t value = 0;
    if (!tandem__number_parse_int((tandem_str){text, whole}, &value) || value > 1000000000)
        return false;
    value *= 1000000;
    if (text[whole] != '\0') {
        const char *fraction = text + whole + 1;
        const size_t digits = strspn(fraction, "0123456789");
        if (text[whole] != '.' || digits == 0 || digits > 6 || fraction[digits] != '\0')
            return false;
        int64_t unit = 100000;
        for (size_t i = 0; i < digits; i++, unit /= 10) value += (fraction[i] - '0') * unit;
    }
    *micros = value;
    return true;
}

static tandem_status number_expected(const server_field *field, const char *source,
                                     const char *text, tandem_error *err) {
    return TANDEM_FAIL(err, INVALID, "%s: \"%.60s\", expected a %s from %lld to %lld", source, text,
                       field->kind == SERVER_FIELD_BYTES     ? "size, such as 2MB or 64MiB,"
                       : field->kind == SERVER_FIELD_SECONDS ? "number of seconds"
                                                             : "whole number",
                       (long long)field->min, (long long)field->max);
}

static tandem_status set_text(void *at, const char *text, const char *source, tandem_arena *arena,
                              tandem_error *err) {
    if (text[0] == '\0') return TANDEM_FAIL(err, INVALID, "%s: empty, expected a text", source);
    const char *copy = arena == NULL ? text : tandem__arena_copy(arena, text, strlen(text));
    if (copy == NULL) return TANDEM_FAIL(err, MEMORY, "%s: no memory", source);
    *(const char **)at = copy;
    return TANDEM_OK;
}

tandem_status server_field_set(const server_field *field, void *object, const char *text,
                               const char *source, tandem_arena *arena, tandem_error *err) {
    void *at = (char *)object + field->offset;
    int64_t number = 0;
    switch (field->kind) {
    case SERVER_FIELD_TEXT:
        return set_text(at, text, source, arena, err);
    case SERVER_FIELD_WORD:
        if (!tandem__str_is_one_of(field->words, text)) {
            return TANDEM_FAIL(err, INVALID, "%s: \"%.60s\", expected one of %s", source, text,
                               field->words);
        }
        return set_text(at, text, source, arena, err);
    case SERVER_FIELD_INT:
        if (!tandem__number_parse_int(tandem__str(text), &number) || number < field->min ||
            number > field->max)
            return number_expected(field, source, text, err);
        *(int64_t *)at = number;
        return TANDEM_OK;
    case SERVER_FIELD_BYTES:
        if (!parse_bytes(text, &number) || number < field->min || number > field->max)
            return number_expected(field, source, text, err);
        *(int64_t *)at = number;
        return TANDEM_OK;
    case SERVER_FIELD_SWITCH:
        if (parse_switch(text, at)) return TANDEM_OK;
        return TANDEM_FAIL(err, INVALID, "%s: \"%.60s\", expected true or false", source, text);
    case SERVER_FIELD_PRIORITY:
        if (tandem_priority_parse(text, strlen(text), at, NULL) == TANDEM_OK) return TANDEM_OK;
        return TANDEM_FAIL(err, INVALID,
                           "%s: \"%.60s\", expected realtime, standard, background or a whole "
                           "number",
                           source, text);
    case SERVER_FIELD_SECONDS: {
        double seconds = 0.0;
        if (!tandem__number_parse_double(tandem__str(text), &seconds) ||
            seconds < (double)field->min || seconds > (double)field->max)
            return number_expected(field, source, text, err);
        *(double *)at = seconds;
        return TANDEM_OK;
    }
    case SERVER_FIELD_PRICE:
        if (parse_price(text, at)) return TANDEM_OK;
        return TANDEM_FAIL(err, INVALID,
                           "%s: \"%.60s\", expected a price per million tokens such as 0.25, at "
                           "most 1000000000 with six decimals",
                           source, text);
    }
    return TANDEM_OK;
}

tandem_status server_file_expected(const server_file *file, const server_yaml *node,
                                   const char *key, const char *expected, tandem_error *err) {
    return TANDEM_FAIL(err, FORMAT, "%s:%u: %s: %s, expected %s", file->name, node->line, key,
                       server_yaml_say(node).text, expected);
}

/* Every known key is at hand: the nearest is what was meant. */
static tandem_status unknown(const server_file *file, const server_yaml *node, const char *place,
                             const server_shape *shape, tandem_error *err) {
    const char *nearest = "";
    int least = INT32_MAX;
    for (size_t i = 0; i < shape->field_count + shape->part_count; i++) {
        const char *name = i < shape->field_count ? shape->fields[i].name
                                                  : shape->parts[i - shape->field_count].name;
        const int distance = tandem__edit_distance(node->key, name);
        if (distance >= least) continue;
        least = distance;
        nearest = name;
    }
    return TANDEM_FAIL(err, FORMAT, "%s:%u: %.80s: no such setting%s%s, the nearest is %s",
                       file->name, node->line, node->key, place[0] == '\0' ? "" : " in ", place,
                       nearest);
}

static tandem_status read_field(const server_file *file, const server_yaml *node, const char *path,
                                void *object, const server_field *field, tandem_error *err) {
    char source[SOURCE_BYTES];
    (void)snprintf(source, sizeof source, "%.120s:%u: %s%s%s", file->name, node->line, path,
                   path[0] == '\0' ? "" : ".", field->name);
    if (node->kind != SERVER_YAML_SCALAR || node->text == NULL) {
        return TANDEM_FAIL(err, FORMAT, "%s: %s, expected a value", source,
                           server_yaml_say(node).text);
    }
    return server_field_set(field, object, node->text, source, file->arena, err);
}

static tandem_status read_member(server_file *file, const server_yaml *node, const char *path,
                                 void *object, const server_shape *shape, tandem_error *err) {
    for (size_t i = 0; i < shape->field_count; i++) {
        if (strcmp(shape->fields[i].name, node->key) == 0)
            return read_field(file, node, path, object, &shape->fields[i], err);
    }
    for (size_t i = 0; i < shape->part_count; i++) {
        if (strcmp(shape->parts[i].name, node->key) == 0)
            return shape->parts[i].read(file, object, node, err);
    }
    return unknown(file, node, path, shape, err);
}

tandem_status server_file_read(server_file *file, const server_yaml *map, const char *path,
                               void *object, const server_shape *shape, tandem_error *err) {
    if (map->kind != SERVER_YAML_MAP) {
        return server_file_expected(file, map, path[0] == '\0' ? "the file" : path,
                                    "a map of settings", err);
    }
    for (const server_yaml *node = map->first; node != NULL; node = node->next)
        TANDEM_TRY(read_member(file, node, path, object, shape, err));
    return TANDEM_OK;
}
