/* SPDX-License-Identifier: Apache-2.0 */
/* A YAML file as a small tree in which every node knows its line, for settings.
 *
 * Of YAML that is one document of maps, lists and scalars: anchors, aliases, tags, merge keys and
 * further documents are refused, since a setting that stands somewhere else than it is read is a
 * trap. All scalars are text; what a text means is decided by who reads the field, so that neither
 * "no" nor 1e3 is taken for something else. Read by libyaml's events instead of its documents, so
 * that limits hold while it reads.
 *
 * Bounds: SERVER_YAML_BYTES_MAX of file, SERVER_YAML_DEPTH_MAX levels, SERVER_YAML_KEYS_MAX keys
 * of one map, and the arena. */
#ifndef TANDEM_SERVER_YAML_TREE_H
#define TANDEM_SERVER_YAML_TREE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/str.h"
#include "tandem/status.h"

#define SERVER_YAML_BYTES_MAX ((size_t)4 << 20)
#define SERVER_YAML_DEPTH_MAX 8
#define SERVER_YAML_KEYS_MAX  256

typedef enum server_yaml_kind {
    SERVER_YAML_SCALAR = 0,
    SERVER_YAML_LIST = 1,
    SERVER_YAML_MAP = 2,
} server_yaml_kind;

typedef struct server_yaml {
    server_yaml_kind kind;
    uint32_t line;    /* from 1 on; of a map's member that of its key */
    uint32_t count;   /* items or members */
    const char *key;  /* of a map's member, else NULL; NUL-terminated UTF-8 without NUL inside */
    const char *text; /* of a SCALAR, the same; NULL where there is no value: empty, ~, null */
    struct server_yaml *next;  /* sibling */
    struct server_yaml *first; /* item or member */
} server_yaml;

/* The tree of `text`; an empty file is an empty map. `name` is the file as errors call it:
 * "tandem.yaml:12: ...". TANDEM_FORMAT, TANDEM_CAPACITY over a bound. Any thread. */
tandem_status server_yaml_parse(tandem_str text, const char *name, tandem_arena *arena,
                                const server_yaml **root, tandem_error *err) TANDEM_NODISCARD;

/* For messages: "a list", "a map", or the text in quotes, cut. */
typedef struct server_yaml_label {
    char text[80];
} server_yaml_label;
server_yaml_label server_yaml_say(const server_yaml *node);

#endif
