/* SPDX-License-Identifier: Apache-2.0 */
/* Settings as data: a table row says what a field is called, where it lies in its structure and
 * which values it takes. The file, the environment and the command line give a field its value
 * through the same function, so that all three judge it alike. */
#ifndef TANDEM_SERVER_CONFIG_FIELD_H
#define TANDEM_SERVER_CONFIG_FIELD_H

#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "server/yaml_tree.h"
#include "tandem/status.h"

typedef enum server_field_kind {
    SERVER_FIELD_TEXT = 0,     /* const char *, not empty */
    SERVER_FIELD_WORD = 1,     /* const char *, one of `words` */
    SERVER_FIELD_INT = 2,      /* int64_t within [min, max] */
    SERVER_FIELD_BYTES = 3,    /* int64_t within [min, max]: 2000000, 2MB, 64MiB */
    SERVER_FIELD_SWITCH = 4,   /* bool: true, false, yes, no, on, off, 1, 0 */
    SERVER_FIELD_PRIORITY = 5, /* int32_t: a word or a whole number */
    SERVER_FIELD_SECONDS = 6,  /* double within [min, max] */
    SERVER_FIELD_PRICE = 7,    /* int64_t, millionths: "0.25" is 250000; at most six decimals */
} server_field_kind;

typedef struct server_field {
    const char *name;
    server_field_kind kind;
    size_t offset;
    int64_t min;
    int64_t max;
    const char *words; /* of a WORD: "a|b|c" */
} server_field;

#define SERVER_FIELD_COUNT(table) (sizeof(table) / sizeof *(table))

/* Gives the field of `object` the value that `text` says. `source` begins the error's message: a
 * flag, a variable, a file's line. Texts are copied to the arena; without one they outlive the
 * object. TANDEM_INVALID names the value and what was expected. */
tandem_status server_field_set(const server_field *field, void *object, const char *text,
                               const char *source, tandem_arena *arena,
                               tandem_error *err) TANDEM_NODISCARD;

/* What reads a part of a file that is no plain field. `object` is the structure at hand. */
typedef struct server_file server_file;
typedef tandem_status server_part_function(server_file *file, void *object, const server_yaml *node,
                                           tandem_error *err);
typedef struct server_part {
    const char *name;
    server_part_function *read;
} server_part;

/* A file as it is read. */
struct server_file {
    const char *name; /* for messages */
    tandem_arena *arena;
    const server_yaml *tiers; /* seen so far; read last, since tenants name tiers */
    const server_yaml *tenants;
};

/* What a map may hold. */
typedef struct server_shape {
    const server_field *fields;
    size_t field_count;
    const server_part *parts;
    size_t part_count;
} server_shape;

/* The members of `map` by its shape: an unknown key is refused with the nearest known one. `path`
 * is where the map stands ("tiers.gold", "" at the top). */
tandem_status server_file_read(server_file *file, const server_yaml *map, const char *path,
                               void *object, const server_shape *shape,
                               tandem_error *err) TANDEM_NODISCARD;

/* TANDEM_FORMAT "file:line: key: value, expected ...". */
tandem_status server_file_expected(const server_file *file, const server_yaml *node,
                                   const char *key, const char *expected, tandem_error *err);

#endif
