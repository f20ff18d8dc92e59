/* SPDX-License-Identifier: Apache-2.0 */
/* JSON documents as a tree, for configuration and model files. Parsing is yajl's; this file adds
 * limits, the tree and typed reads whose errors name the field, its value and what was expected.
 *
 * Objects keep their members in file order; a repeated key counts with its last value, as in
 * Python. Numbers keep their text and are read when asked for. Any thread may read a tree. */
#ifndef TANDEM_BASE_JSON_H
#define TANDEM_BASE_JSON_H

#include <stdbool.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/str.h"
#include "tandem/status.h"

#define TANDEM_JSON_DEPTH_MAX 64

typedef enum tandem_json_kind {
    TANDEM_JSON_NULL = 0,
    TANDEM_JSON_BOOL = 1,
    TANDEM_JSON_NUMBER = 2,
    TANDEM_JSON_STRING = 3,
    TANDEM_JSON_ARRAY = 4,
    TANDEM_JSON_OBJECT = 5,
} tandem_json_kind;

typedef struct tandem_json {
    tandem_json_kind kind;
    uint32_t count;           /* members or elements; of a BOOL: 0 or 1 */
    tandem_str key;           /* of a member of an object; else empty */
    tandem_str text;          /* of a STRING (unescaped UTF-8) or a NUMBER (as written) */
    struct tandem_json *next; /* sibling */
    struct tandem_json *first;
} tandem_json;

#define TANDEM_JSON_EACH(item, parent)                                                             \
    for (const tandem_json *item = (parent)->first; item != NULL; item = item->next)

/* Parses `text`. The tree lives in `arena`; strings without escapes point into `text`, which must
 * live as long. TANDEM_FORMAT names line and column; deeper than TANDEM_JSON_DEPTH_MAX is an
 * error; a tree over the arena's bound is TANDEM_CAPACITY. */
tandem_status tandem__json_parse(tandem_str text, tandem_arena *arena, const tandem_json **root,
                                 tandem_error *err) TANDEM_NODISCARD;

/* The member, or NULL; also NULL where `object` is NULL or no object. */
const tandem_json *tandem__json_get(const tandem_json *object, const char *key);

/* Typed reads of a member. Absent or null: the output keeps its value (the default) and the result
 * is TANDEM_OK. Another type, or a number out of range: TANDEM_FORMAT with a message. */
tandem_status tandem__json_read_int(const tandem_json *object, const char *key, int64_t min,
                                    int64_t max, int64_t *value,
                                    tandem_error *err) TANDEM_NODISCARD;
tandem_status tandem__json_read_double(const tandem_json *object, const char *key, double *value,
                                       tandem_error *err) TANDEM_NODISCARD;
tandem_status tandem__json_read_bool(const tandem_json *object, const char *key, bool *value,
                                     tandem_error *err) TANDEM_NODISCARD;
tandem_status tandem__json_read_str(const tandem_json *object, const char *key, tandem_str *value,
                                    tandem_error *err) TANDEM_NODISCARD;

/* A NUMBER node's value; false where it is not a number, not an integer or out of 64 bits. */
bool tandem__json_to_int(const tandem_json *node, int64_t *value);

/* For messages: a short rendering of the node, such as `"abc"`, `12` or `an object`. */
typedef struct tandem_json_label {
    char text[80];
} tandem_json_label;
tandem_json_label tandem__json_label(const tandem_json *node);

#endif
