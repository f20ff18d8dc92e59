/* SPDX-License-Identifier: Apache-2.0 */
/* Protobuf's wire format, read strictly: every message comes with the list of the fields it may
 * have, and a field that is not in it, has another wire type, or comes twice without being repeated
 * is an error that names the message. Private to the interpreter of packages. */
#ifndef TANDEM_TESTS_MIL_RUN_WIRE_H
#define TANDEM_TESTS_MIL_RUN_WIRE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/fail.h"
#include "base/str.h"

typedef enum mil_run_wire_kind {
    MIL_RUN_NUMBER = 0, /* varint */
    MIL_RUN_BYTES = 2,  /* message, string, or packed numbers */
} mil_run_wire_kind;

typedef struct mil_run_wire_field {
    uint32_t number;
    mil_run_wire_kind kind;
    bool is_repeated;
} mil_run_wire_field;

typedef struct mil_run_message {
    const char *name;
    int field_count;
    mil_run_wire_field fields[8];
} mil_run_message;

/* Field `number`, the last one read. */
typedef struct mil_run_wire {
    const mil_run_message *message;
    tandem_str rest;
    uint32_t seen; /* bit i: fields[i] was there */
    uint32_t number;
    uint64_t value;   /* of a MIL_RUN_NUMBER */
    tandem_str bytes; /* of MIL_RUN_BYTES; inside the message */
} mil_run_wire;

/*     mil_run_wire at = {.message = &block_message, .rest = bytes};
 *     bool more;
 *     while (true) { TANDEM_TRY(mil_run_wire_next(&at, &more, err)); if (!more) break; ... } */
tandem_status mil_run_wire_next(mil_run_wire *at, bool *more, tandem_error *err);

/* One varint off the front of packed numbers. */
tandem_status mil_run_varint(tandem_str *bytes, uint64_t *value, tandem_error *err);

#endif
