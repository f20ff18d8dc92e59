/* SPDX-License-Identifier: Apache-2.0 */
/* Sums of usage by key, in a hash table of fixed size. The owner locks. */
#ifndef TANDEM_SERVER_LEDGER_ROWS_H
#define TANDEM_SERVER_LEDGER_ROWS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "server/ledger.h"

#define SERVER_LEDGER_MODEL_BYTES 128 /* of a name's end, NUL included */
#define SERVER_LEDGER_LANE_BYTES  16

/* What is summed up together. No padding: compared and hashed as bytes, zero after each text. */
typedef struct server_ledger_key {
    int64_t price;
    int32_t day; /* since 1970, UTC */
    uint16_t lane_class;
    uint16_t outcome;
    char tenant[SERVER_NAME_BYTES];
    char model[SERVER_LEDGER_MODEL_BYTES];
    char lane[SERVER_LEDGER_LANE_BYTES];
} server_ledger_key;

typedef struct server_ledger_row {
    server_ledger_key key;
    int64_t requests;
    int64_t texts;
    int64_t tokens;
    int64_t cached_texts;
} server_ledger_row;

typedef struct server_ledger_rows {
    server_ledger_row *rows; /* [SERVER_LEDGER_ROWS], `count` used */
    uint32_t *slots;         /* row + 1; 0 = free */
    size_t count;
    uint64_t requests; /* of all rows */
} server_ledger_rows;

/* False when out of memory. */
bool server_ledger_rows_init(server_ledger_rows *rows) TANDEM_NODISCARD;
void server_ledger_rows_deinit(server_ledger_rows *rows);

/* Adds `usage` to the row of its key on `day`. False where it was entered under "(other)" for want
 * of room. */
bool server_ledger_rows_add(server_ledger_rows *rows, const server_usage *usage, int32_t day);

void server_ledger_rows_clear(server_ledger_rows *rows);

#endif
