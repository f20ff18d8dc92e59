/* SPDX-License-Identifier: Apache-2.0 */
/* JSON documents as a tree, for configuration and model files. Parsing is yajl's; this file adds
 * limits, the tree and typed reads whose errors name the field, its value and what was expected.
 *
 * Objects keep their members in file order; a repeated key counts with its last value, as in
 * Python. Numbers keep their text and are read when asked for. Any thread may read a tree.
 *
 * A vocabulary would make a tree of several times its text. Where the caller names such containers
 * they stay text: validated and counted, and read item by item by TANDEM_JSON_EACH. */
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
    /* Of a container that stayed text (`text` is then from its first item on, `first` NULL): its
     * strings and keys that hold escapes, in order, linked by `next`. */
    struct tandem_json *escaped;
} tandem_json;

/* For each member or element, whatever the container:
 *
 *     TANDEM_JSON_EACH(item, parent) { use item->text; }
 *
 * `break`, `continue` and `return` work as in any loop. Items of a container that stayed text live
 * until the next turn; of their own children the first TANDEM_JSON_CHILDREN_MAX are there, without
 * children of theirs. Their strings live as long as the tree. */
#define TANDEM_JSON_EACH(item, container)                                                          \
    for (tandem_json_walk item##_walk = {.parent = (container), .is_through = true};               \
         tandem__json_step(&item##_walk);)                                                         \
        for (const tandem_json *item = item##_walk.now; item != NULL;                              \
             item = NULL, item##_walk.is_through = true)

#define TANDEM_JSON_CHILDREN_MAX 3

typedef struct tandem_json_walk {
    const tandem_json *parent;
    const tandem_json *now;     /* the item */
    bool is_through;            /* the body came to its end: it was not left by a break */
    const char *at;             /* from here on of a container that stayed text: */
    const tandem_json *escaped; /* the next string with an escape */
    tandem_json nodes[1 + TANDEM_JSON_CHILDREN_MAX];
} tandem_json_walk;

/* To the next item; false after the last, and after a break. */
bool tandem__json_step(tandem_json_walk *walk);

/* Parses `text`. The tree lives in `arena`; strings without escapes point into `text`, which must
 * live as long. TANDEM_FORMAT names line and column; deeper than TANDEM_JSON_DEPTH_MAX is an
 * error; a tree over the arena's bound is TANDEM_CAPACITY. */
tandem_status tandem__json_parse(tandem_str text, tandem_arena *arena, const tandem_json **root,
                                 tandem_error *err) TANDEM_NODISCARD;

/* The same for what strangers send: a key that an object has twice is TANDEM_FORMAT, because two
 * readers could take different values, and so is an object of over TANDEM_JSON_MEMBERS_MAX. */
#define TANDEM_JSON_MEMBERS_MAX 256
tandem_status tandem__json_parse_strict(tandem_str text, tandem_arena *arena,
                                        const tandem_json **root,
                                        tandem_error *err) TANDEM_NODISCARD;

/* As tandem__json_parse, but the containers at root[outer][key of inner] stay text. `inner` ends
 * with NULL. */
typedef struct tandem_json_large {
    const char *outer;
    const char *inner[4];
} tandem_json_large;
tandem_status tandem__json_parse_large(tandem_str text, const tandem_json_large *large,
                                       tandem_arena *arena, const tandem_json **root,
                                       tandem_error *err) TANDEM_NODISCARD;

/* The member, or NULL; also NULL where `object` is NULL, no object, or one that stayed text. */
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
